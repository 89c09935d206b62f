//! What happens to a task. A task's record is what its events make of it, and nothing else: the log of
//! them is kept, and the record can be rebuilt from it.

use super::app::App;
use super::task::{LeaseRecord, TaskRecord, Tried};
use super::Millis;
use crate::assignment::late_draw::LateDraw;
use cuckoo_coordinator_api::{
	amount::Amount,
	error::Refusal,
	task::{PictureRef, TaskId, TaskSpec, TaskState},
	webhook::Webhook,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Something that happened to a task, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
	/// When.
	pub at: Millis,
	/// What.
	pub what: What,
}

/// What can happen to a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum What {
	/// An app offered it, and it was taken in.
	Offered {
		/// Its name.
		id: TaskId,
		/// Its place in the order of all offers.
		sequence: u64,
		/// Which app.
		#[serde(default)]
		app: App,
		/// What it costs if it is done.
		#[serde(default)]
		price: Amount,
		/// The exact work.
		#[serde(with = "super::task::shared")]
		spec: Arc<TaskSpec>,
		/// When it expires.
		deadline: Millis,
		/// Where its app is told of it.
		#[serde(default, skip_serializing_if = "Option::is_none")]
		webhook: Option<Webhook>,
	},
	/// A miner was drawn for it.
	Leased(LeaseRecord),
	/// The holder of the lease handed in a result.
	Submitted,
	/// The result was found wanting; the lease goes on.
	Rejected,
	/// The lease ended without a result; the task waits again.
	Returned {
		/// What went wrong by the miner's fault; `None` if the attempt does not count.
		fault: Option<String>,
		/// Until when the miner is not drawn for it again; `None`: never again.
		until: Option<Millis>,
		/// Whether a result of this lease is still welcome.
		late: bool,
	},
	/// A result was accepted: the task is done.
	Accepted {
		/// Whose.
		lease: LeaseRecord,
		/// The pictures.
		pictures: Vec<PictureRef>,
		/// The result as its miner signed it, as JSON.
		result: String,
	},
	/// It failed, expired or was cancelled.
	Ended {
		/// Which of them.
		state: TaskState,
		/// Denoising steps that were done in the last attempt.
		step: u32,
		/// Why.
		failure: Option<Refusal>,
	},
}

/// A step in the life of a task, for whoever keeps tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
	/// Where the task was before; `None` if it is new.
	pub from: Option<Version>,
	/// What happened; `None` if the miner only says how far it is, which need not be kept.
	pub event: Option<Event>,
	/// The task after it.
	pub record: Arc<TaskRecord>,
	/// How the miner was drawn, if it was leased to one.
	pub draw: Option<LateDraw>,
}

/// Where a task is, exactly: a change holds only for a task that is still where the change started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
	/// How many events it has had.
	pub events: u32,
	/// Its state.
	pub state: TaskState,
	/// Which try.
	pub attempt: u32,
	/// The token of the lease under which it is held.
	pub lease: Option<String>,
}

impl TaskRecord {
	/// The task that a log of events tells of; `None` if the log does not begin with the offer.
	pub fn rebuild(events: impl IntoIterator<Item = Event>) -> Option<Self> {
		let mut events = events.into_iter();
		let mut record = Self::offered(&events.next()?)?;
		for event in events {
			record.apply(&event);
		}
		Some(record)
	}

	/// The task that an offer begins.
	pub(super) fn offered(event: &Event) -> Option<Self> {
		let What::Offered { id, sequence, app, price, spec, deadline, webhook } = &event.what
		else {
			return None;
		};
		Some(Self {
			id: id.clone(),
			sequence: *sequence,
			app: *app,
			price: *price,
			state: TaskState::Queued,
			attempt: 0,
			step: 0,
			lease: None,
			spec: spec.clone(),
			pictures: Vec::new(),
			failure: None,
			offered_at: event.at,
			changed_at: event.at,
			deadline: *deadline,
			webhook: webhook.clone(),
			tried: Vec::new(),
			late: Vec::new(),
			faults: 0,
			last_fault: None,
			events: 1,
		})
	}

	/// Lets an event happen to the task.
	pub(crate) fn apply(&mut self, event: &Event) {
		self.events += 1;
		self.changed_at = event.at;
		match &event.what {
			// It begins a task and happens to none.
			What::Offered { .. } => {},
			What::Leased(lease) => {
				self.state = TaskState::Leased;
				self.attempt = lease.attempt;
				self.step = 0;
				self.lease = Some(lease.clone());
			},
			What::Submitted => {
				self.state = TaskState::Verifying;
				self.step = self.total_steps();
			},
			What::Rejected => self.state = TaskState::Leased,
			What::Returned { fault, until, late } => {
				self.state = TaskState::Queued;
				self.step = 0;
				if let Some(lease) = self.lease.take() {
					self.tried.retain(|tried| tried.miner != lease.operator);
					self.tried.push(Tried { miner: lease.operator, until: *until });
					if *late {
						self.late.push(lease);
					}
				}
				if fault.is_some() {
					self.faults += 1;
					self.last_fault.clone_from(fault);
				}
			},
			What::Accepted { lease, pictures, .. } => {
				self.close(TaskState::Done);
				self.attempt = lease.attempt;
				self.step = self.total_steps();
				self.pictures.clone_from(pictures);
				self.lease = Some(lease.clone());
			},
			What::Ended { state, step, failure } => {
				self.close(*state);
				self.step = *step;
				self.failure.clone_from(failure);
			},
		}
	}

	/// Nobody is drawn for it any more.
	fn close(&mut self, state: TaskState) {
		self.state = state;
		self.lease = None;
		self.tried.clear();
		self.late.clear();
	}

	/// Where it is.
	pub fn version(&self) -> Version {
		Version {
			events: self.events,
			state: self.state,
			attempt: self.attempt,
			lease: self.lease.as_ref().map(|lease| lease.token.clone()),
		}
	}
}
