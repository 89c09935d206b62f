//! What a miner has done, in numbers.

use crate::{history::Outcome, link::Link};
use cuckoo_chain_client::BlockRef;
use std::{
	fmt,
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc,
	},
	time::Duration,
};

/// How a miner stands among the others, and with whom it works, at one finalized block.
#[derive(Clone, Default)]
pub struct Standing {
	/// The block; `None` before the first look.
	pub block: Option<BlockRef>,
	/// The era at that block.
	pub era: u32,
	/// Stake behind it, in planck.
	pub weight: u128,
	/// Stake behind all active miners, in planck.
	pub all_weight: u128,
	/// The links to coordinators.
	pub links: Vec<Arc<Link>>,
	/// Why there is no work, if there is none.
	pub no_work: Option<String>,
}

impl Standing {
	/// Its part of the stake of all active miners, 0 to 1.
	pub fn share(&self) -> f64 {
		self.weight as f64 / self.all_weight.max(1) as f64
	}
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Totals {
	done: AtomicU64,
	refused: AtomicU64,
	failed: AtomicU64,
	dropped: AtomicU64,
	render_ms: AtomicU64,
}

impl Totals {
	/// A task has ended, after so much rendering if it was done.
	pub fn count(&self, outcome: Outcome, rendering: Duration) {
		let count = match outcome {
			Outcome::Done => &self.done,
			Outcome::Refused => &self.refused,
			Outcome::Failed => &self.failed,
			Outcome::Dropped => &self.dropped,
		};
		count.fetch_add(1, Ordering::Relaxed);
		self.render_ms.fetch_add(rendering.as_millis() as u64, Ordering::Relaxed);
	}

	/// The counts now.
	pub fn snapshot(&self) -> Counts {
		Counts {
			done: self.done.load(Ordering::Relaxed),
			refused: self.refused.load(Ordering::Relaxed),
			failed: self.failed.load(Ordering::Relaxed),
			dropped: self.dropped.load(Ordering::Relaxed),
			render_ms: self.render_ms.load(Ordering::Relaxed),
		}
	}
}

/// Counts of some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
	/// Tasks rendered and taken.
	pub done: u64,
	/// Tasks that nobody can render.
	pub refused: u64,
	/// Tasks that this miner could not render.
	pub failed: u64,
	/// Tasks that were given back, went to somebody else, or were cancelled.
	pub dropped: u64,
	/// Time spent rendering what was taken, in milliseconds.
	pub render_ms: u64,
}

impl Counts {
	/// What has come since `earlier`.
	pub fn since(self, earlier: Self) -> Self {
		Self {
			done: self.done - earlier.done,
			refused: self.refused - earlier.refused,
			failed: self.failed - earlier.failed,
			dropped: self.dropped - earlier.dropped,
			render_ms: self.render_ms - earlier.render_ms,
		}
	}
}

impl fmt::Display for Counts {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let seconds = Duration::from_millis(self.render_ms).as_secs_f32();
		let Self { done, refused, failed, dropped, .. } = self;
		write!(
			f,
			"{done} done in {seconds:.1} s of rendering, {refused} refused, {failed} failed, {dropped} \
			dropped"
		)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_minute_is_the_difference_of_two_snapshots() {
		let totals = Totals::default();
		totals.count(Outcome::Done, Duration::from_millis(1500));
		let before = totals.snapshot();
		totals.count(Outcome::Done, Duration::from_millis(2500));
		for outcome in [Outcome::Failed, Outcome::Dropped, Outcome::Dropped, Outcome::Refused] {
			totals.count(outcome, Duration::ZERO);
		}
		let minute = totals.snapshot().since(before);
		let expected = Counts { done: 1, refused: 1, failed: 1, dropped: 2, render_ms: 2500 };
		assert_eq!(minute, expected);
		assert_eq!(
			minute.to_string(),
			"1 done in 2.5 s of rendering, 1 refused, 1 failed, 2 dropped"
		);
		assert_eq!(totals.snapshot().since(Counts::default()).done, 2);
	}
}
