//! How busy the miners of a model are.

use super::Scheduler;
use cuckoo_coordinator_api::task::{TaskId, TaskState};
use std::collections::BTreeSet;

/// How busy those who serve a model are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
	/// Tasks that wait for the model.
	pub queued: usize,
	/// Tasks that its live miners can hold at once.
	pub slots: usize,
	/// How many more they could take now.
	pub free: usize,
}

impl Scheduler {
	/// Whether a task waits for a miner.
	pub fn is_queued(&self, id: &TaskId) -> bool {
		self.tasks.get(id).is_some_and(|task| task.record.state == TaskState::Queued)
	}

	/// How busy those who serve a model are. Takes time in the number of miners.
	pub fn load(&self, model: &str) -> Load {
		let queued = self.queues.get(model).map_or(0, BTreeSet::len);
		let mut load = Load { queued, slots: 0, free: 0 };
		for miner in self.miners.values() {
			let (slots, free) = miner.slots(model);
			load.slots += slots;
			load.free += free;
		}
		load
	}
}
