//! What is to happen by itself, and when.

use super::Millis;
use crate::registry::Operator;
use cuckoo_coordinator_api::task::TaskId;
use std::collections::BTreeSet;

/// Something that happens at a set time unless it is called off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
	/// The task has taken as long as a task may.
	Deadline(TaskId),
	/// The lease under which the task is held has not been extended.
	Lease(TaskId),
	/// The miner has not been heard of.
	Stale(Operator),
	/// The miner must have noticed by now that the task is gone.
	Release(Operator, TaskId),
}

/// Timers in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Millis, Timer)>);

impl Timers {
	pub(super) fn set(&mut self, at: Millis, timer: Timer) {
		self.0.insert((at, timer));
	}

	pub(super) fn call_off(&mut self, at: Millis, timer: Timer) {
		self.0.remove(&(at, timer));
	}

	#[cfg(test)]
	pub(super) fn iter(&self) -> impl Iterator<Item = &(Millis, Timer)> {
		self.0.iter()
	}

	/// The next timer whose time is not after `now`.
	pub(super) fn pop_due(&mut self, now: Millis) -> Option<Timer> {
		if self.0.first()?.0 > now {
			return None;
		}
		self.0.pop_first().map(|(_, timer)| timer)
	}
}
