//! What a miner has done, in numbers.

use std::{
	fmt,
	sync::atomic::{AtomicU64, Ordering},
	time::Duration,
};

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Totals {
	done: AtomicU64,
	failed: AtomicU64,
	lost: AtomicU64,
	render_ms: AtomicU64,
}

impl Totals {
	/// A task was rendered and taken by its coordinator.
	pub fn done(&self, rendering: Duration) {
		self.done.fetch_add(1, Ordering::Relaxed);
		self.render_ms.fetch_add(rendering.as_millis() as u64, Ordering::Relaxed);
	}

	/// A task could not be rendered.
	pub fn failed(&self) {
		self.failed.fetch_add(1, Ordering::Relaxed);
	}

	/// A task went to somebody else, or was cancelled.
	pub fn lost(&self) {
		self.lost.fetch_add(1, Ordering::Relaxed);
	}

	/// The counts now.
	pub fn snapshot(&self) -> Counts {
		Counts {
			done: self.done.load(Ordering::Relaxed),
			failed: self.failed.load(Ordering::Relaxed),
			lost: self.lost.load(Ordering::Relaxed),
			render_ms: self.render_ms.load(Ordering::Relaxed),
		}
	}
}

/// Counts of some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
	/// Tasks rendered and taken.
	pub done: u64,
	/// Tasks that could not be rendered.
	pub failed: u64,
	/// Tasks that went to somebody else, or were cancelled.
	pub lost: u64,
	/// Time spent rendering what was taken, in milliseconds.
	pub render_ms: u64,
}

impl Counts {
	/// What has come since `earlier`.
	pub fn since(self, earlier: Self) -> Self {
		Self {
			done: self.done - earlier.done,
			failed: self.failed - earlier.failed,
			lost: self.lost - earlier.lost,
			render_ms: self.render_ms - earlier.render_ms,
		}
	}
}

impl fmt::Display for Counts {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let seconds = Duration::from_millis(self.render_ms).as_secs_f32();
		let Self { done, failed, lost, .. } = self;
		write!(f, "{done} done in {seconds:.1} s of rendering, {failed} failed, {lost} dropped")
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_minute_is_the_difference_of_two_snapshots() {
		let totals = Totals::default();
		totals.done(Duration::from_millis(1500));
		let before = totals.snapshot();
		totals.done(Duration::from_millis(2500));
		totals.failed();
		totals.lost();
		totals.lost();
		let minute = totals.snapshot().since(before);
		assert_eq!(minute, Counts { done: 1, failed: 1, lost: 2, render_ms: 2500 });
		assert_eq!(minute.to_string(), "1 done in 2.5 s of rendering, 1 failed, 2 dropped");
		assert_eq!(totals.snapshot().since(Counts::default()).done, 2);
	}
}
