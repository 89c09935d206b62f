//! Weights in a complete binary tree whose inner nodes hold the sums of their children: a change of
//! one weight and a draw in proportion to the weights both cost O(log n).

use super::uniform::uniform_below;
use rand::RngCore;

/// Largest weight that a leaf holds; larger ones are cut to it. More than sixty times the plancks
/// that exist, and small enough that 2^32 leaves sum up without overflow.
pub const MAX_WEIGHT: u128 = 1 << 96;

/// A sum tree over `u128` weights. Leaves are numbered from 0; a leaf never set weighs nothing.
#[derive(Clone, Debug)]
pub struct SumTree {
	/// `nodes[1]` is the root, the children of `i` are `2i` and `2i + 1`, the leaves are the second
	/// half. A power of two long, at least two.
	nodes: Vec<u128>,
}

impl Default for SumTree {
	fn default() -> Self {
		Self { nodes: vec![0; 2] }
	}
}

impl SumTree {
	fn leaves(&self) -> usize {
		self.nodes.len() / 2
	}

	/// The weight of a leaf.
	pub fn weight(&self, leaf: usize) -> u128 {
		if leaf < self.leaves() {
			self.nodes[self.leaves() + leaf]
		} else {
			0
		}
	}

	/// Sets the weight of a leaf, at most [`MAX_WEIGHT`]; 0 takes it out of the draw. The tree grows
	/// as needed.
	pub fn set(&mut self, leaf: usize, weight: u128) {
		while leaf >= self.leaves() {
			self.grow();
		}
		let mut node = self.leaves() + leaf;
		self.nodes[node] = weight.min(MAX_WEIGHT);
		while node > 1 {
			node /= 2;
			self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1];
		}
	}

	/// Doubles the number of leaves.
	fn grow(&mut self) {
		let old = self.leaves();
		let mut nodes = vec![0; 4 * old];
		nodes[2 * old..3 * old].copy_from_slice(&self.nodes[old..]);
		for node in (1..2 * old).rev() {
			nodes[node] = nodes[2 * node] + nodes[2 * node + 1];
		}
		self.nodes = nodes;
	}

	/// The sum of all weights.
	pub fn total(&self) -> u128 {
		self.nodes[1]
	}

	/// The leaf to which `point` belongs when the weights are laid end to end in the order of the
	/// leaves, `None` if `point` is not below the total.
	pub fn leaf_at(&self, mut point: u128) -> Option<usize> {
		if point >= self.total() {
			return None;
		}
		let mut node = 1;
		while node < self.leaves() {
			node *= 2;
			if point >= self.nodes[node] {
				point -= self.nodes[node];
				node += 1;
			}
		}
		Some(node - self.leaves())
	}

	/// Draws a leaf with probability exactly weight / total, `None` if all weights are 0.
	pub fn draw(&self, rng: &mut dyn RngCore) -> Option<usize> {
		let total = self.total();
		if total == 0 {
			return None;
		}
		self.leaf_at(uniform_below(total, rng))
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
		assert_eq!(tree.draw(&mut rand::rngs::mock::StepRng::new(0, 1)), None);
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
