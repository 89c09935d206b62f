//! Weights in a binary tree whose inner nodes hold the sums of their children: a change of
//! one weight and a draw in proportion to the weights both cost O(log n).

use std::collections::HashMap;

/// Largest weight that a leaf holds; larger ones are cut to it. More than sixty times the plancks
/// that exist, and small enough that 2^32 leaves sum up without overflow.
pub const MAX_WEIGHT: u128 = 1 << 96;

/// A sum tree over `u128` weights. Leaves are numbered from 0; a leaf never set weighs nothing. Only
/// nodes that weigh something take room, so that a tree of few leaves is small whatever their numbers.
#[derive(Clone, Debug, Default)]
pub struct SumTree {
	/// By level and number: node `i` of level `l` holds the sum of the leaves from `i << l` and below
	/// `(i + 1) << l`. Level 0 are the leaves.
	sums: HashMap<(u32, usize), u128>,
	/// Level of the root.
	height: u32,
}

impl SumTree {
	fn sum(&self, level: u32, node: usize) -> u128 {
		self.sums.get(&(level, node)).copied().unwrap_or(0)
	}

	/// The weight of a leaf.
	pub fn weight(&self, leaf: usize) -> u128 {
		self.sum(0, leaf)
	}

	/// Sets the weight of a leaf, at most [`MAX_WEIGHT`]; 0 takes it out of the draw. The tree grows
	/// as needed.
	pub fn set(&mut self, leaf: usize, weight: u128) {
		while leaf >> self.height > 0 {
			let total = self.total();
			self.height += 1;
			self.put(self.height, 0, total);
		}
		self.put(0, leaf, weight.min(MAX_WEIGHT));
		for level in 1..=self.height {
			let node = leaf >> level;
			let sum = self.sum(level - 1, 2 * node) + self.sum(level - 1, 2 * node + 1);
			self.put(level, node, sum);
		}
	}

	fn put(&mut self, level: u32, node: usize, sum: u128) {
		if sum > 0 {
			self.sums.insert((level, node), sum);
		} else {
			self.sums.remove(&(level, node));
		}
	}

	/// The sum of all weights.
	pub fn total(&self) -> u128 {
		self.sum(self.height, 0)
	}

	/// The leaf to which `point` belongs when the weights are laid end to end in the order of the
	/// leaves, `None` if `point` is not below the total.
	pub fn leaf_at(&self, mut point: u128) -> Option<usize> {
		if point >= self.total() {
			return None;
		}
		let mut node = 0;
		for level in (0..self.height).rev() {
			node *= 2;
			let left = self.sum(level, node);
			if point >= left {
				point -= left;
				node += 1;
			}
		}
		Some(node)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	#[test]
	fn an_empty_tree_draws_nothing() {
		let tree = SumTree::default();
		assert_eq!(tree.total(), 0);
		assert_eq!(tree.leaf_at(0), None);
	}

	#[test]
	fn a_tree_of_few_leaves_is_small() {
		let mut tree = SumTree::default();
		tree.set(9_999, 1);
		assert_eq!((tree.leaf_at(0), tree.sums.len()), (Some(9_999), 15));
		tree.set(9_999, 0);
		assert_eq!((tree.total(), tree.sums.len()), (0, 0));
	}

	#[test]
	fn the_largest_weights_do_not_overflow() {
		let mut tree = SumTree::default();
		for leaf in 0..1000 {
			tree.set(leaf, u128::MAX);
		}
		assert_eq!(tree.total(), 1000 * MAX_WEIGHT);
		assert_eq!(tree.leaf_at(tree.total() - 1), Some(999));
	}

	proptest! {
		/// Against the obvious O(n) model: every border between two leaves is where it must be.
		#[test]
		fn it_agrees_with_a_list(changes in prop::collection::vec((0_usize..40, 0_u128..50), 1..200)) {
			let mut tree = SumTree::default();
			let mut list = [0_u128; 40];
			for (leaf, weight) in changes {
				tree.set(leaf, weight);
				list[leaf] = weight;
				prop_assert_eq!(tree.total(), list.iter().sum::<u128>());
			}
			let mut start = 0;
			for (leaf, weight) in list.into_iter().enumerate() {
				prop_assert_eq!(tree.weight(leaf), weight);
				if weight > 0 {
					prop_assert_eq!(tree.leaf_at(start), Some(leaf));
					prop_assert_eq!(tree.leaf_at(start + weight - 1), Some(leaf));
				}
				start += weight;
			}
			prop_assert_eq!(tree.leaf_at(start), None);
		}
	}
}
