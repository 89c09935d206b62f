//! The times that the service goes by.

use crate::scheduler::Millis;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, set when the program starts and steady from then on: leases and
/// deadlines do not jump when somebody sets the clock.
#[derive(Debug)]
pub struct SteadyClock {
	start: Instant,
	start_ms: Millis,
}

impl SteadyClock {
	/// Starts at the present time, or at the latest that is on record if the system's clock is behind
	/// that.
	pub fn start_after(latest: Millis) -> Self {
		Self { start: Instant::now(), start_ms: wall_clock().max(latest) }
	}

	/// Now.
	pub fn now(&self) -> Millis {
		self.start_ms + self.start.elapsed().as_millis() as Millis
	}
}

/// Milliseconds since the Unix epoch as the system's clock has it: what the time of a signed message
/// is compared with.
pub fn wall_clock() -> Millis {
	SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}
