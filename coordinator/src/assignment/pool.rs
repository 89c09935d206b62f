//! The miners that could take a task of one model now, and the draw among them.

use super::sum_tree::SumTree;
use super::uniform::uniform_below;
use cuckoo_coordinator_api::assignment::MinerSet;
use rand::RngCore;
use std::collections::HashMap;

/// The miners that serve one model, are live and have a free slot, with their weights. Each goes by its
/// place among all active miners, in the order of their operators' public keys.
#[derive(Clone, Debug, Default)]
pub struct Pool {
	tree: SumTree,
	members: MinerSet,
	/// The sum of 1 / the sum of weights over all draws so far: a miner that was eligible in all of them
	/// with weight w would be drawn w times as often on average.
	draws: f64,
	/// By place: what is to be subtracted from that, for draws in which a miner was not eligible.
	missed: HashMap<usize, f64>,
}

/// Who was drawn, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
	/// The place of the miner.
	pub place: usize,
	/// Among whom was drawn.
	pub eligible: MinerSet,
	/// The sum of their weights.
	pub total: u128,
	/// The random number below it.
	pub point: u128,
}

impl Pool {
	/// Puts a miner in, or changes its weight. Returns how often it was to be expected in draws with the
	/// weight that it had before.
	pub fn set(&mut self, place: usize, weight: u128) -> f64 {
		let expected = self.expected(place);
		self.tree.set(place, weight);
		self.members.set(place, true);
		self.missed.insert(place, self.draws);
		expected
	}

	/// Takes a miner out, if it is in. Returns how often it was to be expected in draws since it came in.
	pub fn remove(&mut self, place: usize) -> f64 {
		let expected = self.expected(place);
		self.tree.set(place, 0);
		self.members.set(place, false);
		self.missed.remove(&place);
		expected
	}

	/// How often a miner was to be expected in draws since it came in or its weight changed: the sum of
	/// its chances. In time O(log n), as all here, since chances are w × (1 / W₁ + 1 / W₂ + …).
	pub fn expected(&self, place: usize) -> f64 {
		let missed = self.missed.get(&place);
		missed.map_or(0.0, |missed| self.tree.weight(place) as f64 * (self.draws - missed))
	}

	/// Whether nobody is in it.
	pub fn is_empty(&self) -> bool {
		self.members.is_empty()
	}

	/// Whether the miner is in it.
	pub fn contains(&self, place: usize) -> bool {
		self.members.contains(place)
	}

	/// Draws a miner with probability exactly its weight / the sum of the weights, both taken over
	/// those in the pool that are not `excluded`: a number below the sum falls on one of them when
	/// their weights are laid end to end in the order of their places. `None`, and no randomness is
	/// asked for, if that leaves nobody with any weight.
	pub fn draw<R: RngCore>(
		&mut self,
		excluded: &[usize],
		randomness: impl FnOnce() -> R,
	) -> Option<Drawn> {
		// Their weights go to zero for this one draw: few miners, O(log n) each, and the rest of the
		// tree is exact without them.
		let mut eligible = self.members.clone();
		let mut restore = Vec::with_capacity(excluded.len());
		for place in excluded {
			restore.push((*place, self.tree.weight(*place)));
			self.tree.set(*place, 0);
			eligible.set(*place, false);
		}
		let total = self.tree.total();
		if total > 0 {
			let chance = 1.0 / total as f64;
			self.draws += chance;
			// A miner named twice has no weight the second time.
			for (place, _) in restore.iter().filter(|(_, weight)| *weight > 0) {
				*self.missed.entry(*place).or_default() += chance;
			}
		}
		let drawn = (total > 0).then(|| {
			let point = uniform_below(total, &mut randomness());
			let place = self.tree.leaf_at(point).expect("the point is below the total; qed");
			Drawn { place, eligible, total, point }
		});
		// Backwards, so that a miner named twice gets its first weight back.
		for (place, weight) in restore.into_iter().rev() {
			self.tree.set(place, weight);
		}
		drawn
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use rand::SeedableRng;
	use rand_chacha::ChaCha20Rng;
	use std::collections::HashSet;

	fn members(places: &[usize]) -> MinerSet {
		places.iter().copied().collect()
	}

	#[test]
	fn only_those_in_the_pool_are_drawn() {
		let mut rng = ChaCha20Rng::seed_from_u64(3);
		let mut pool = Pool::default();
		assert_eq!(pool.draw(&[], || -> ChaCha20Rng { panic!("there is nobody") }), None);
		pool.set(1, 10);
		pool.set(2, 10);
		pool.set(3, 10);
		pool.remove(2);
		pool.set(4, 0);
		let mut seen = HashSet::new();
		for _ in 0..200 {
			let drawn = pool.draw(&[], || &mut rng).unwrap();
			assert_eq!((drawn.eligible, drawn.total), (members(&[1, 3, 4]), 20));
			assert_eq!(drawn.place, if drawn.point < 10 { 1 } else { 3 });
			seen.insert(drawn.place);
		}
		assert_eq!(seen, [1, 3].into());
	}

	/// Over draws with changing weights, members and exclusions.
	#[test]
	fn what_is_expected_is_the_sum_of_the_chances() {
		let mut rng = ChaCha20Rng::seed_from_u64(5);
		let mut pool = Pool::default();
		let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}");
		pool.set(1, 10);
		pool.set(2, 30);
		for _ in 0..3 {
			pool.draw(&[], || &mut rng).unwrap();
		}
		pool.draw(&[2, 2], || &mut rng).unwrap();
		close(pool.expected(1), 3.0 * 0.25 + 1.0);
		close(pool.expected(2), 3.0 * 0.75);
		close(pool.set(1, 90), 1.75);
		assert_eq!(pool.draw(&[1, 2], || &mut rng), None);
		pool.draw(&[], || &mut rng).unwrap();
		close(pool.remove(2), 3.0 * 0.75 + 0.25);
		pool.draw(&[], || &mut rng).unwrap();
		close(pool.remove(1), 0.75 + 1.0);
		close(pool.expected(1), 0.0);
		close(pool.expected(7), 0.0);
	}

	#[test]
	fn the_excluded_are_out_for_one_draw_only() {
		let mut rng = ChaCha20Rng::seed_from_u64(4);
		let mut pool = Pool::default();
		pool.set(1, 1_000_000);
		pool.set(2, 1);
		for _ in 0..50 {
			let drawn = pool.draw(&[1, 1, 9], || &mut rng).unwrap();
			assert_eq!((drawn.place, drawn.total, drawn.eligible), (2, 1, members(&[2])));
		}
		assert_eq!(pool.draw(&[1, 2], || &mut rng), None);
		assert_eq!(pool.tree.total(), 1_000_001);
		assert!(pool.contains(1) && pool.contains(2) && !pool.contains(9));
	}
}
