//! A task inside the scheduler, and the record of it that outlives it.

use super::Millis;
use crate::registry::Operator;
use cuckoo_coordinator_api::{
	error::Refusal,
	task::{PictureRef, TaskId, TaskSpec, TaskState, TaskStatus},
};
use std::sync::Arc;

/// All that is to be kept of a task: what a store saves and what apps are shown.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
	/// Name of the task.
	pub id: TaskId,
	/// Place in the order of all offers, from 0.
	pub sequence: u64,
	/// Where the task is.
	pub state: TaskState,
	/// Which try this is, from 1; 0 before the first.
	pub attempt: u32,
	/// Denoising steps done in this attempt.
	pub step: u32,
	/// Stash (SS58) of the miner that holds the task or finished it.
	pub miner: Option<String>,
	/// Operator of that miner.
	pub operator: Option<Operator>,
	/// The lease under which the task is held or was finished.
	pub lease: Option<String>,
	/// The exact work.
	pub spec: Arc<TaskSpec>,
	/// The pictures of a task that is done.
	pub pictures: Vec<PictureRef>,
	/// Why the task failed or expired.
	pub failure: Option<Refusal>,
	/// When it was offered.
	pub offered_at: Millis,
	/// When its state changed last.
	pub changed_at: Millis,
}

impl TaskRecord {
	/// The task as its app sees it.
	pub fn status(&self) -> TaskStatus {
		TaskStatus {
			task_id: self.id.clone(),
			sequence: self.sequence,
			state: self.state,
			attempt: self.attempt,
			step: self.step,
			steps: self.total_steps(),
			miner: self.miner.clone(),
			spec: (*self.spec).clone(),
			pictures: self.pictures.clone(),
			failure: self.failure.clone(),
			offered_at: self.offered_at,
			changed_at: self.changed_at,
		}
	}

	/// Denoising steps of an attempt, over all its pictures.
	pub fn total_steps(&self) -> u32 {
		self.spec.steps.saturating_mul(self.spec.images)
	}
}

/// A miner that has had the task.
#[derive(Clone, Debug)]
pub(super) struct Tried {
	pub(super) miner: Operator,
	/// Until when it is not drawn for the task again; `None`: never again.
	pub(super) until: Option<Millis>,
}

/// A miner's hold on a task.
#[derive(Clone, Debug)]
pub(super) struct Lease {
	pub(super) miner: Operator,
	pub(super) token: String,
	/// Digest under which the miner offered the model.
	pub(super) model_digest: String,
	pub(super) expires: Millis,
	/// Whether the miner has been told.
	pub(super) picked_up: bool,
}

/// A task that has not ended.
#[derive(Clone, Debug)]
pub(super) struct Task {
	pub(super) record: TaskRecord,
	pub(super) deadline: Millis,
	pub(super) lease: Option<Lease>,
	pub(super) tried: Vec<Tried>,
	/// Attempts that failed by somebody's fault, each on another miner.
	pub(super) faults: u32,
	/// Why the last of them failed.
	pub(super) last_fault: Option<String>,
}

impl Task {
	/// Whom not to draw now.
	pub(super) fn excluded(&self, now: Millis) -> Vec<Operator> {
		self.tried
			.iter()
			.filter(|tried| tried.until.is_none_or(|until| now < until))
			.map(|tried| tried.miner)
			.collect()
	}

	/// The order in which tasks of one model are drawn for: those that were tried before, then the
	/// others, each by the order of their offers.
	pub(super) fn queue_key(&self) -> QueueKey {
		QueueKey {
			fresh: self.record.attempt == 0,
			sequence: self.record.sequence,
			id: self.record.id.clone(),
		}
	}
}

/// A place in a model's queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueueKey {
	/// Whether the task has not been tried yet.
	pub(super) fresh: bool,
	pub(super) sequence: u64,
	pub(super) id: TaskId,
}
