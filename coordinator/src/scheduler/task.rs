//! A task: the record of it, which is kept, and what only the running scheduler knows.

use super::app::App;
use super::Millis;
use crate::registry::Operator;
use cuckoo_coordinator_api::{
	amount::Amount,
	error::Refusal,
	task::{PictureRef, TaskId, TaskSpec, TaskState, TaskStatus},
	webhook::Webhook,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// All that is to be kept of a task. [Events](super::Event) make it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskRecord {
	/// Name of the task.
	pub id: TaskId,
	/// Place in the order of all offers, from 0.
	pub sequence: u64,
	/// Who offered it.
	#[serde(default)]
	pub app: App,
	/// What it costs if it is done: set aside while it is under way.
	#[serde(default)]
	pub price: Amount,
	/// Where the task is.
	pub state: TaskState,
	/// Which try this is, from 1; 0 before the first.
	pub attempt: u32,
	/// Denoising steps done in this attempt.
	pub step: u32,
	/// The lease under which the task is held or was finished.
	pub lease: Option<LeaseRecord>,
	/// The exact work.
	#[serde(with = "shared")]
	pub spec: Arc<TaskSpec>,
	/// The pictures of a task that is done.
	pub pictures: Vec<PictureRef>,
	/// Why the task failed or expired.
	pub failure: Option<Refusal>,
	/// When it was offered.
	pub offered_at: Millis,
	/// When its state changed last.
	pub changed_at: Millis,
	/// When it expires.
	pub deadline: Millis,
	/// Where its app is told of it.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub webhook: Option<Webhook>,
	/// The miners that have had it; empty once it has ended.
	pub tried: Vec<Tried>,
	/// Leases that ended because their miners were silent: a result of theirs is still welcome.
	/// Empty once the task has ended.
	pub late: Vec<LeaseRecord>,
	/// Attempts that failed by somebody's fault, each on another miner.
	pub faults: u32,
	/// Why the last of them failed.
	pub last_fault: Option<String>,
	/// How many events have made it.
	pub events: u32,
}

/// The hold of a miner on a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseRecord {
	/// Which try.
	pub attempt: u32,
	/// Proves that the miner holds the attempt; secret.
	pub token: String,
	/// Operator of the miner.
	pub operator: Operator,
	/// Stash (SS58) of the miner.
	pub miner: String,
	/// Digest under which the miner offered the model, in hexadecimal.
	pub model_digest: String,
}

/// A miner that has had a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
	/// Operator of the miner.
	pub miner: Operator,
	/// Until when it is not drawn for the task again; `None`: never again.
	pub until: Option<Millis>,
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
			miner: self.lease.as_ref().map(|lease| lease.miner.clone()),
			spec: (*self.spec).clone(),
			pictures: self.pictures.clone(),
			price: self.price,
			failure: self.failure.clone(),
			offered_at: self.offered_at,
			changed_at: self.changed_at,
		}
	}

	/// Denoising steps of an attempt, over all its pictures.
	pub fn total_steps(&self) -> u32 {
		self.spec.steps.saturating_mul(self.spec.images)
	}

	/// Whom not to draw now.
	pub(super) fn excluded(&self, now: Millis) -> Vec<Operator> {
		self.tried
			.iter()
			.filter(|tried| tried.until.is_none_or(|until| now < until))
			.map(|tried| tried.miner)
			.collect()
	}
}

/// A task that has not ended.
#[derive(Clone, Debug)]
pub(super) struct Task {
	pub(super) record: TaskRecord,
	/// There while the task is leased.
	pub(super) hold: Option<Hold>,
}

/// What only the running scheduler knows of a lease.
#[derive(Clone, Debug)]
pub(super) struct Hold {
	pub(super) miner: Operator,
	pub(super) expires: Millis,
	/// How long each sign of life makes it last.
	pub(super) lasts: Millis,
	pub(super) phase: Phase,
}

/// How far a lease is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
	/// The miner has not been told.
	Assigned,
	/// The miner works on it, and since when if that is known.
	Working { since: Option<Millis> },
	/// It was read from the store: the miner may or may not have been told.
	Restored,
}

impl Hold {
	/// Whether the miner may be at work.
	pub(super) fn picked_up(&self) -> bool {
		self.phase != Phase::Assigned
	}
}

/// A specification that is shared, in serialized form.
pub(super) mod shared {
	use super::{Arc, Deserialize, Serialize, TaskSpec};
	use serde::{Deserializer, Serializer};

	pub(in super::super) fn serialize<S: Serializer>(
		spec: &Arc<TaskSpec>,
		serializer: S,
	) -> Result<S::Ok, S::Error> {
		spec.as_ref().serialize(serializer)
	}

	pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
		deserializer: D,
	) -> Result<Arc<TaskSpec>, D::Error> {
		TaskSpec::deserialize(deserializer).map(Arc::new)
	}
}
