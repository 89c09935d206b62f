//! How busy the miners of a model are.

use super::app::App;
use super::fair_queue::FairQueue;
use super::Scheduler;
use cuckoo_coordinator_api::task::{TaskId, TaskState};

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
		let queued = self.queues.get(model).map_or(0, FairQueue::len);
		let mut load = Load { queued, slots: 0, free: 0 };
		for miner in self.miners.values() {
			let (slots, free) = miner.slots(model);
			load.slots += slots;
			load.free += free;
		}
		load
	}

	/// Whether a miner could take a task of a model now.
	pub fn has_free(&self, model: &str) -> bool {
		self.pools.contains_key(model)
	}

	/// How many tasks of a model its live miners can hold at once.
	pub fn slots(&self, model: &str) -> usize {
		self.live_stake.get(model).map_or(0, |behind| behind.slots)
	}

	/// About how much work would be done before a task of this app that is offered now, in thousandths
	/// of a unit. Takes time in the number of apps with waiting tasks of the model.
	pub fn work_ahead(&self, model: &str, app: &App, milliunits: u64) -> u64 {
		self.queues.get(model).map_or(0, |queue| queue.work_ahead(app, milliunits))
	}
}
