//! An unbiased random number below a bound.

use rand::RngCore;

/// A number drawn uniformly from `0..bound`, by rejection: numbers of as many bits as `bound` has are
/// drawn until one is below it, so that no remainder favours small ones. Fewer than two draws are
/// needed on average. `bound` must not be 0.
pub fn uniform_below(bound: u128, rng: &mut dyn RngCore) -> u128 {
	debug_assert!(bound > 0, "nothing is below 0");
	let mask = u128::MAX >> (bound - 1).leading_zeros().min(127);
	loop {
		let mut bytes = [0; 16];
		rng.fill_bytes(&mut bytes);
		let number = u128::from_le_bytes(bytes) & mask;
		if number < bound {
			return number;
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use rand::SeedableRng;
	use rand_chacha::ChaCha20Rng;

	#[test]
	fn it_stays_below_the_bound_and_reaches_all_of_it() {
		let mut rng = ChaCha20Rng::seed_from_u64(1);
		for bound in [1, 2, 3, 5, 8, 9] {
			let mut seen = vec![0; bound as usize];
			for _ in 0..1000 {
				seen[uniform_below(bound, &mut rng) as usize] += 1;
			}
			assert!(seen.iter().all(|count| *count > 60), "{bound}: {seen:?}");
		}
		for bound in [u128::MAX, (1 << 127) + 1, 1 << 127] {
			assert!(uniform_below(bound, &mut rng) < bound);
		}
	}

	/// With 3/4 of the range as the bound, taking the remainder would give the first third twice
	/// the share of the rest.
	#[test]
	fn large_bounds_are_not_skewed() {
		let mut rng = ChaCha20Rng::seed_from_u64(2);
		let bound = 3 << 126;
		let first_third = (0..30_000).filter(|_| uniform_below(bound, &mut rng) < 1 << 126).count();
		assert!((9_700..10_300).contains(&first_third), "{first_third}");
	}
}
