//! What the holder of a lease may do, and how leases end.

use super::task::{Lease, Task, Tried};
use super::timers::Timer;
use super::{shutting_down, Millis, Scheduler, TaskRecord};
use crate::registry::Operator;
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	miner::{Assignment, FailureReport, Heartbeat},
	task::{PictureRef, TaskId, TaskSpec, TaskState},
};
use rand::RngCore;
use std::sync::Arc;

/// What a result is checked against.
#[derive(Clone, Debug)]
pub struct Submission {
	/// The work that was asked for.
	pub spec: Arc<TaskSpec>,
	/// Digest of the model as the miner offered it, in hexadecimal.
	pub model_digest: String,
}

impl Scheduler {
	/// Tells a miner of the oldest task that was leased to it, if there is one of which it does not
	/// know. (That it asks is no sign of life by itself: a poll may outlive its connection; see
	/// [`Self::heard`].)
	pub fn pick_up(
		&mut self,
		operator: Operator,
		now: Millis,
		rng: &mut dyn RngCore,
	) -> Option<Assignment> {
		self.advance(now);
		let assignment = self.take_assigned(operator, now);
		self.dispatch(now, rng);
		assignment
	}

	fn take_assigned(&mut self, operator: Operator, now: Millis) -> Option<Assignment> {
		let miner = self.miners.get_mut(&operator)?;
		miner.set_polling(true);
		let id = miner.to_pick_up.pop_front();
		self.refresh(operator);
		let id = id?;
		self.extend(&id, now);
		let task = self.tasks.get_mut(&id)?;
		let lease = task.lease.as_mut()?;
		lease.picked_up = true;
		Some(Assignment {
			attempt: task.record.attempt,
			lease: lease.token.clone(),
			lease_ms: self.options.lease_ms,
			spec: (*task.record.spec).clone(),
			task_id: id,
		})
	}

	/// The holder of a lease says how far it is, which extends the lease.
	///
	/// # Errors
	///
	/// `NO_LEASE` if it does not hold the task (any more).
	pub fn heartbeat(
		&mut self,
		operator: Operator,
		beat: &Heartbeat,
		now: Millis,
		rng: &mut dyn RngCore,
	) -> Result<(), Refusal> {
		self.advance(now);
		self.note_heard(operator, now);
		let held = self.held(Some(operator), &beat.task_id, beat.attempt, &beat.lease);
		if let Ok(task) = held {
			let step = beat.step.min(task.record.total_steps());
			if task.record.step != step {
				task.record.step = step;
				let record = task.record.clone();
				self.effects.changed.push(record);
			}
			self.extend(&beat.task_id, now);
			self.dispatch(now, rng);
			return Ok(());
		}
		self.noticed(operator, &beat.task_id, now, rng);
		Err(no_lease())
	}

	/// Whoever names a lease is about to upload a picture for it, which extends the lease: the work
	/// that the picture must fit.
	///
	/// # Errors
	///
	/// `NO_LEASE` if there is no such lease (any more).
	pub fn uploading(
		&mut self,
		id: &TaskId,
		attempt: u32,
		lease: &str,
		now: Millis,
	) -> Result<Arc<TaskSpec>, Refusal> {
		self.advance(now);
		let task = self.held(None, id, attempt, lease)?;
		let spec = task.record.spec.clone();
		let miner = task.lease.as_ref().map(|lease| lease.miner);
		self.extend(id, now);
		if let Some(miner) = miner {
			self.note_heard(miner, now);
		}
		Ok(spec)
	}

	/// The holder of a lease hands in its result: the task is being verified until [`Self::accept`]
	/// or [`Self::reject`].
	///
	/// # Errors
	///
	/// `NO_LEASE` if it does not hold the task (any more).
	pub fn submit(
		&mut self,
		operator: Operator,
		id: &TaskId,
		attempt: u32,
		lease: &str,
		now: Millis,
		rng: &mut dyn RngCore,
	) -> Result<Submission, Refusal> {
		self.advance(now);
		self.note_heard(operator, now);
		if let Ok(task) = self.held(Some(operator), id, attempt, lease) {
			task.record.state = TaskState::Verifying;
			task.record.changed_at = now;
			let record = task.record.clone();
			let model_digest =
				task.lease.as_ref().map(|lease| lease.model_digest.clone()).unwrap_or_default();
			self.extend(id, now);
			self.effects.changed.push(record.clone());
			self.dispatch(now, rng);
			return Ok(Submission { spec: record.spec, model_digest });
		}
		self.noticed(operator, id, now, rng);
		Err(no_lease())
	}

	/// The result of the lease was found good: the task is done.
	///
	/// # Errors
	///
	/// `NO_LEASE` if the lease has ended in the meantime.
	pub fn accept(
		&mut self,
		id: &TaskId,
		attempt: u32,
		lease: &str,
		pictures: Vec<PictureRef>,
		now: Millis,
		rng: &mut dyn RngCore,
	) -> Result<TaskRecord, Refusal> {
		self.advance(now);
		let task = self.held(None, id, attempt, lease)?;
		task.record.step = task.record.total_steps();
		task.record.pictures = pictures;
		let holder = task.lease.take();
		if let Some(Lease { miner: operator, expires, .. }) = holder {
			self.timers.call_off(expires, Timer::Lease(id.clone()));
			if let Some(miner) = self.miners.get_mut(&operator) {
				miner.leases.remove(id);
				miner.tasks_done += 1;
			}
			self.refresh(operator);
			self.forget(operator);
		}
		let record = self.end(id, TaskState::Done, None, now).ok_or_else(no_lease)?;
		self.dispatch(now, rng);
		Ok(record)
	}

	/// The result of the lease was found wanting: the miner may hand in a better one as long as its
	/// lease lasts.
	pub fn reject(&mut self, id: &TaskId, attempt: u32, lease: &str, now: Millis) {
		if let Ok(task) = self.held(None, id, attempt, lease) {
			task.record.state = TaskState::Leased;
			task.record.changed_at = now;
			let record = task.record.clone();
			self.effects.changed.push(record);
		}
	}

	/// The holder of a lease gives it back.
	///
	/// # Errors
	///
	/// `NO_LEASE` if it does not hold the task (any more).
	pub fn fail(
		&mut self,
		operator: Operator,
		report: &FailureReport,
		now: Millis,
		rng: &mut dyn RngCore,
	) -> Result<(), Refusal> {
		self.advance(now);
		self.note_heard(operator, now);
		let id = &report.task_id;
		if self.held(Some(operator), id, report.attempt, &report.lease).is_err() {
			self.noticed(operator, id, now, rng);
			return Err(no_lease());
		}
		let fault = report.reason.is_fault().then(|| {
			let message: String = report.message.chars().take(200).collect();
			format!("{:?}: {message}", report.reason)
		});
		self.take_back(id, fault, now);
		self.dispatch(now, rng);
		Ok(())
	}

	/// The task under a lease, if exactly this lease is the current one.
	fn held(
		&mut self,
		operator: Option<Operator>,
		id: &TaskId,
		attempt: u32,
		token: &str,
	) -> Result<&mut Task, Refusal> {
		self.tasks
			.get_mut(id)
			.filter(|task| {
				task.record.attempt == attempt
					&& task.lease.as_ref().is_some_and(|lease| {
						lease.token == token
							&& operator.is_none_or(|operator| operator == lease.miner)
					})
			})
			.ok_or_else(no_lease)
	}

	/// The miner is being told that a task is not its own: if it worked on it, its slot is free.
	fn noticed(&mut self, operator: Operator, id: &TaskId, now: Millis, rng: &mut dyn RngCore) {
		self.release(operator, id);
		self.dispatch(now, rng);
	}

	/// Makes a lease last from now on.
	fn extend(&mut self, id: &TaskId, now: Millis) {
		let expires = now + self.options.lease_ms;
		if let Some(lease) = self.tasks.get_mut(id).and_then(|task| task.lease.as_mut()) {
			self.timers.call_off(lease.expires, Timer::Lease(id.clone()));
			self.timers.set(expires, Timer::Lease(id.clone()));
			lease.expires = expires;
		}
	}

	/// A lease has not been extended, or not been picked up, in time.
	pub(super) fn lose_lease(&mut self, id: &TaskId, now: Millis) {
		let Some(lease) = self.tasks.get(id).and_then(|task| task.lease.as_ref()) else { return };
		let (operator, picked_up) = (lease.miner, lease.picked_up);
		if picked_up {
			self.take_back(id, Some("its miner went silent".to_owned()), now);
		} else {
			// It gets nothing more until it polls again.
			if let Some(miner) = self.miners.get_mut(&operator) {
				miner.set_polling(false);
			}
			self.take_back(id, None, now);
		}
	}

	/// Gives back, without fault, the leases of a miner that `which` names.
	pub(super) fn return_leases(
		&mut self,
		operator: Operator,
		now: Millis,
		which: impl Fn(&Lease) -> bool,
	) {
		let Some(miner) = self.miners.get(&operator) else { return };
		let returned: Vec<TaskId> = miner
			.leases
			.iter()
			.filter(|id| {
				self.tasks.get(id).and_then(|task| task.lease.as_ref()).is_some_and(&which)
			})
			.cloned()
			.collect();
		for id in returned {
			self.take_back(&id, None, now);
		}
	}

	/// Ends the lease of a task and queues the task again, or gives it up if it has failed on too
	/// many miners. `fault` says what went wrong, `None` if the attempt does not count.
	fn take_back(&mut self, id: &TaskId, fault: Option<String>, now: Millis) {
		let cool_off = now + self.options.cool_off_ms;
		let Some(task) = self.tasks.get_mut(id) else { return };
		let Some(lease) = task.lease.take() else { return };
		self.timers.call_off(lease.expires, Timer::Lease(id.clone()));
		self.effects.abandoned.push((id.clone(), task.record.attempt));
		let until = fault.is_none().then_some(cool_off);
		task.tried.retain(|tried| tried.miner != lease.miner);
		task.tried.push(Tried { miner: lease.miner, until });
		task.record.state = TaskState::Queued;
		task.record.step = 0;
		task.record.miner = None;
		task.record.operator = None;
		task.record.lease = None;
		task.record.changed_at = now;
		let at_fault = fault.is_some();
		if at_fault {
			task.faults += 1;
			task.last_fault = fault;
		}
		let (record, faults) = (task.record.clone(), task.faults);
		if let Some(miner) = self.miners.get_mut(&lease.miner) {
			miner.leases.remove(id);
			miner.to_pick_up.retain(|waiting| waiting != id);
			miner.tasks_failed += u64::from(at_fault);
		}
		self.refresh(lease.miner);
		self.forget(lease.miner);

		if self.draining {
			self.end(id, TaskState::Failed, Some(shutting_down()), now);
		} else if faults >= self.options.max_faults {
			let last = self.tasks.get(id).and_then(|task| task.last_fault.as_deref());
			let last = last.unwrap_or_default();
			let failure = Refusal::new(
				Code::FailedEverywhere,
				format!("failed on {faults} different miners; the last attempt: {last}"),
			);
			self.end(id, TaskState::Failed, Some(failure), now);
		} else {
			self.effects.changed.push(record);
			self.enqueue(id);
		}
	}

	/// Ends a task; its record. `None` if it has ended before.
	pub(super) fn end(
		&mut self,
		id: &TaskId,
		state: TaskState,
		failure: Option<Refusal>,
		now: Millis,
	) -> Option<TaskRecord> {
		if self.tasks.get(id)?.record.state == TaskState::Queued {
			self.dequeue(id);
		}
		let Task { mut record, deadline, lease, .. } = self.tasks.remove(id)?;
		self.timers.call_off(deadline, Timer::Deadline(id.clone()));
		if let Some(lease) = lease {
			self.timers.call_off(lease.expires, Timer::Lease(id.clone()));
			self.effects.abandoned.push((id.clone(), record.attempt));
			self.occupy_until_noticed(id, &lease);
		}
		if state != TaskState::Done {
			(record.miner, record.operator, record.lease) = (None, None, None);
		}
		record.state = state;
		record.failure = failure;
		record.changed_at = now;
		self.effects.changed.push(record.clone());
		Some(record)
	}

	/// A miner that renders a task which has just ended is busy with it until it hears of that.
	fn occupy_until_noticed(&mut self, id: &TaskId, lease: &Lease) {
		let Some(miner) = self.miners.get_mut(&lease.miner) else { return };
		miner.leases.remove(id);
		if lease.picked_up {
			miner.releasing.insert(id.clone(), lease.expires);
			self.timers.set(lease.expires, Timer::Release(lease.miner, id.clone()));
		} else {
			miner.to_pick_up.retain(|waiting| waiting != id);
		}
		self.refresh(lease.miner);
		self.forget(lease.miner);
	}
}

fn no_lease() -> Refusal {
	Refusal::new(
		Code::NoLease,
		"this lease is not, or no longer, the one that holds the task: stop",
	)
}
