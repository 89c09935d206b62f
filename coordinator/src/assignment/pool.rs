//! The miners that could take a task of one model now, and the draw among them.

use super::sum_tree::SumTree;
use crate::registry::Operator;
use rand::RngCore;
use std::collections::HashMap;

/// The miners that serve one model, are live and have a free slot, with their weights.
#[derive(Clone, Debug, Default)]
pub struct Pool {
	tree: SumTree,
	leaf_of: HashMap<Operator, usize>,
	/// Which miner a leaf stands for; `None` where the leaf is free.
	miner_at: Vec<Option<Operator>>,
	free: Vec<usize>,
}

impl Pool {
	/// Puts a miner in, or changes its weight.
	pub fn set(&mut self, miner: Operator, weight: u128) {
		let leaf = match self.leaf_of.get(&miner) {
			Some(leaf) => *leaf,
			None => self.add(miner),
		};
		self.tree.set(leaf, weight);
	}

	fn add(&mut self, miner: Operator) -> usize {
		let leaf = if let Some(leaf) = self.free.pop() {
			self.miner_at[leaf] = Some(miner);
			leaf
		} else {
			self.miner_at.push(Some(miner));
			self.miner_at.len() - 1
		};
		self.leaf_of.insert(miner, leaf);
		leaf
	}

	/// Takes a miner out, if it is in.
	pub fn remove(&mut self, miner: &Operator) {
		if let Some(leaf) = self.leaf_of.remove(miner) {
			self.tree.set(leaf, 0);
			self.miner_at[leaf] = None;
			self.free.push(leaf);
		}
	}

	/// Whether nobody is in it.
	pub fn is_empty(&self) -> bool {
		self.leaf_of.is_empty()
	}

	/// Whether the miner is in it.
	pub fn contains(&self, miner: &Operator) -> bool {
		self.leaf_of.contains_key(miner)
	}

	/// Draws a miner with probability exactly its weight / the sum of the weights, both taken over
	/// those in the pool that are not `excluded`. `None` if that leaves nobody with any weight.
	pub fn draw(&mut self, excluded: &[Operator], rng: &mut dyn RngCore) -> Option<Operator> {
		// Their weights go to zero for this one draw: few miners, O(log n) each, and the rest of the
		// tree is exact without them.
		let mut restore = Vec::with_capacity(excluded.len());
		for miner in excluded {
			if let Some(leaf) = self.leaf_of.get(miner) {
				restore.push((*leaf, self.tree.weight(*leaf)));
				self.tree.set(*leaf, 0);
			}
		}
		let drawn = self.tree.draw(rng);
		// Backwards, so that a miner named twice gets its first weight back.
		for (leaf, weight) in restore.into_iter().rev() {
			self.tree.set(leaf, weight);
		}
		drawn.and_then(|leaf| self.miner_at[leaf])
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use rand::SeedableRng;
	use rand_chacha::ChaCha20Rng;

	fn miner(n: u8) -> Operator {
		Operator([n; 32])
	}

	#[test]
	fn only_those_in_the_pool_are_drawn() {
		let mut rng = ChaCha20Rng::seed_from_u64(3);
		let mut pool = Pool::default();
		assert_eq!(pool.draw(&[], &mut rng), None);
		pool.set(miner(1), 10);
		pool.set(miner(2), 10);
		pool.set(miner(3), 10);
		pool.remove(&miner(2));
		pool.set(miner(4), 0);
		let mut seen = std::collections::HashSet::new();
		for _ in 0..200 {
			seen.insert(pool.draw(&[], &mut rng).unwrap());
		}
		assert_eq!(seen, [miner(1), miner(3)].into());
		// A freed leaf is used again.
		pool.set(miner(5), 10);
		assert_eq!(pool.miner_at.len(), 4);
	}

	#[test]
	fn the_excluded_are_out_for_one_draw_only() {
		let mut rng = ChaCha20Rng::seed_from_u64(4);
		let mut pool = Pool::default();
		pool.set(miner(1), 1_000_000);
		pool.set(miner(2), 1);
		for _ in 0..50 {
			assert_eq!(pool.draw(&[miner(1), miner(1)], &mut rng), Some(miner(2)));
		}
		assert_eq!(pool.draw(&[miner(1), miner(2)], &mut rng), None);
		assert_eq!(pool.tree.total(), 1_000_001);
	}
}
