//! Requests a second: a token bucket.

use crate::scheduler::Millis;
use std::num::NonZeroU32;

/// Seconds of requests that may come at once after some quiet.
const BURST_SECONDS: u64 = 5;
/// Thousandths of a request in a request.
const WHOLE: u64 = 1000;

/// A bucket that fills by `rate` tokens a second up to [`BURST_SECONDS`] of them; a request takes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
	/// Thousandths of a token, at the time `at`.
	level: u64,
	at: Millis,
}

impl TokenBucket {
	pub(super) fn full(rate: NonZeroU32, now: Millis) -> Self {
		Self { level: u64::from(rate.get()) * BURST_SECONDS * WHOLE, at: now }
	}

	/// Takes a token, or says in how many milliseconds there will be one.
	pub(super) fn take(&mut self, rate: NonZeroU32, now: Millis) -> Result<(), Millis> {
		let rate = u64::from(rate.get());
		// A token a second is a thousandth in a millisecond.
		let filled = now.saturating_sub(self.at).saturating_mul(rate);
		self.level = self.level.saturating_add(filled).min(rate * BURST_SECONDS * WHOLE);
		self.at = now;
		match self.level.checked_sub(WHOLE) {
			Some(rest) => {
				self.level = rest;
				Ok(())
			},
			None => Err((WHOLE - self.level).div_ceil(rate)),
		}
	}

	/// Whether it must be full by now, as a new one is.
	pub(super) fn is_idle(&self, now: Millis) -> bool {
		now.saturating_sub(self.at) >= BURST_SECONDS * 1000
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const ONE: NonZeroU32 = NonZeroU32::MIN;
	const TWO: NonZeroU32 = ONE.saturating_add(1);

	#[test]
	fn a_burst_and_then_the_rate() {
		let mut bucket = TokenBucket::full(TWO, 0);
		let burst = (0..100).take_while(|_| bucket.take(TWO, 0).is_ok()).count();
		assert_eq!(burst, 10);
		assert_eq!(bucket.take(TWO, 0), Err(500));
		assert_eq!(bucket.take(TWO, 499), Err(1));
		assert_eq!(bucket.take(TWO, 500), Ok(()));
		assert!(!bucket.is_idle(5_499) && bucket.is_idle(5_500));
		let later = (0..100).take_while(|_| bucket.take(TWO, 5_500).is_ok()).count();
		assert_eq!(later, 10, "no more than a burst is saved");
	}

	#[test]
	fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
		let mut bucket = TokenBucket::full(ONE, 1_000);
		while bucket.take(ONE, 1_000).is_ok() {}
		assert_eq!(bucket.take(ONE, 0), Err(1_000));
	}
}
