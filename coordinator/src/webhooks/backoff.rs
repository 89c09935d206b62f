//! When a message that did not arrive is sent again.

use crate::scheduler::Millis;
use rand::Rng;
use std::time::Duration;

/// Longest pause between two tries.
const LONGEST: Duration = Duration::from_hours(1);
/// A message that has not arrived after this time is given up.
const LIFE: Duration = Duration::from_hours(24);

/// Pauses that double, each lengthened or shortened by up to a half at random, so that what failed
/// together does not come again together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
	/// The first pause, on average.
	pub(crate) first: Duration,
}

impl Backoff {
	/// When to try again after `tries` that failed, the last of them `now`; `None` if the message, which
	/// is from `created`, is to be given up.
	pub(crate) fn next(
		self,
		tries: u32,
		created: Millis,
		now: Millis,
		rng: &mut impl Rng,
	) -> Option<Millis> {
		let doubled = self.first.saturating_mul(1 << tries.saturating_sub(1).min(30));
		let pause = doubled.min(LONGEST).mul_f64(rng.gen_range(0.5..1.5));
		let next = now + pause.as_millis() as Millis;
		(next < created + LIFE.as_millis() as Millis).then_some(next)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use rand::{rngs::StdRng, SeedableRng};

	#[test]
	fn pauses_double_up_to_an_hour_for_a_day() {
		let mut rng = StdRng::seed_from_u64(1);
		let backoff = Backoff { first: Duration::from_secs(5) };
		let (created, mut now, mut tries) = (1_000_000, 1_000_000, 0_u32);
		loop {
			tries += 1;
			let Some(next) = backoff.next(tries, created, now, &mut rng) else { break };
			let mean = (5.0 * f64::from(tries - 1).exp2()).min(3600.0);
			let pause = (next - now) as f64 / 1000.0;
			assert!((mean * 0.499..mean * 1.501).contains(&pause), "{tries}: {pause}");
			now = next;
		}
		assert!((20..60).contains(&tries), "{tries}");
		assert!(now - created < 86_400_000);
	}
}
