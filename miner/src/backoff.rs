//! How long to wait before the next try.

use rand::Rng;
use std::time::Duration;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that double from failure to failure. Each is shortened by a random part of up to a half, so
/// that the miners of a coordinator that restarts do not all come back at the same instant.
#[derive(Debug)]
pub struct Backoff {
	next: Duration,
}

impl Backoff {
	/// Starts with the shortest wait.
	pub fn new() -> Self {
		Self { next: FIRST }
	}

	/// The wait after one more failure.
	pub fn delay(&mut self, rng: &mut impl Rng) -> Duration {
		let full = self.next;
		self.next = (full * 2).min(LONGEST);
		full.mul_f64(rng.gen_range(0.5..=1.0))
	}

	/// Forgets the failures so far.
	pub fn reset(&mut self) {
		*self = Self::new();
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use rand::{rngs::StdRng, SeedableRng};

	#[test]
	fn waits_double_up_to_the_longest_and_start_again_after_a_reset() {
		let mut rng = StdRng::seed_from_u64(1);
		let mut backoff = Backoff::new();
		let mut full = FIRST;
		for _ in 0..12 {
			let delay = backoff.delay(&mut rng);
			assert!(delay >= full / 2 && delay <= full, "{delay:?} for {full:?}");
			full = (full * 2).min(LONGEST);
		}
		assert_eq!(full, LONGEST);
		backoff.reset();
		assert!(backoff.delay(&mut rng) <= FIRST);
	}

	#[test]
	fn two_miners_do_not_wait_equally_long() {
		let first = Backoff::new().delay(&mut StdRng::seed_from_u64(1));
		let second = Backoff::new().delay(&mut StdRng::seed_from_u64(2));
		assert_ne!(first, second);
	}
}
