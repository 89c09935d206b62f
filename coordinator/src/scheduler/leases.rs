//! What the holder of a lease may do, and how leases end.

use super::event::{Change, What};
use super::fair_queue::FairQueue;
use super::task::{Hold, LeaseRecord, Phase, Task};
use super::timers::Timer;
use super::{Millis, Scheduler, TaskRecord};
use crate::registry::Operator;
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	miner::{Assignment, FailureReport, Heartbeat},
	task::{PictureRef, TaskId, TaskSpec, TaskState},
};
use rand::RngCore;
use std::sync::Arc;

/// The longest time that a lease lasts without a sign of life, in milliseconds.
const MAX_LEASE_MS: Millis = 600_000;

/// What a result is checked against.
#[derive(Clone, Debug)]
pub struct Submission {
	/// The work that was asked for.
	pub spec: Arc<TaskSpec>,
	/// Digest of the model as the miner offered it, in hexadecimal.
	pub model_digest: String,
}

/// A result that was found good.
#[derive(Clone, Debug, Default)]
pub struct Verified {
	/// Its pictures.
	pub pictures: Vec<PictureRef>,
	/// The result as its miner signed it, as JSON.
	pub result: String,
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
		let lasts = id.as_ref().and_then(|id| {
			let p95 = miner.speeds.p95(&self.tasks.get(id)?.record.spec)?;
			let (least, most) = (self.options.lease_ms, MAX_LEASE_MS.max(self.options.lease_ms));
			Some((p95 * 5 / 2).clamp(least, most))
		});
		self.refresh(operator);
		let id = id?;
		let task = self.tasks.get_mut(&id)?;
		let lease = task.record.lease.as_ref()?;
		let hold = task.hold.as_mut()?;
		hold.phase = Phase::Working { since: Some(now) };
		hold.lasts = lasts.unwrap_or(self.options.lease_ms);
		let assignment = Assignment {
			attempt: lease.attempt,
			lease: lease.token.clone(),
			lease_ms: hold.lasts,
			spec: (*task.record.spec).clone(),
			task_id: id.clone(),
		};
		self.extend(&id, now);
		Some(assignment)
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
			if let Some(hold) = task.hold.as_mut().filter(|hold| hold.phase == Phase::Restored) {
				hold.phase = Phase::Working { since: None };
			}
			if task.record.step != step {
				let from = Some(task.record.version());
				task.record.step = step;
				let record = Arc::new(task.record.clone());
				self.effects.changed.push(Change { from, event: None, record, draw: None });
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
		let held = self.held(None, id, attempt, lease).map(|task| task.record.spec.clone());
		let Ok(spec) = held else {
			let late = self.late(None, id, attempt, lease).ok_or_else(no_lease)?;
			let miner = late.operator;
			self.note_heard(miner, now);
			return Ok(self.tasks[id].record.spec.clone());
		};
		let miner = self.tasks[id].hold.as_ref().map(|hold| hold.miner);
		self.extend(id, now);
		if let Some(miner) = miner {
			self.note_heard(miner, now);
		}
		Ok(spec)
	}

	/// The holder of a lease hands in its result: the task is being verified until [`Self::accept`]
	/// or [`Self::reject`]. So may a miner whose lease has ended because it was silent, as long as
	/// nobody else has finished the task.
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
		let held = self.held(Some(operator), id, attempt, lease).is_ok();
		let found = if held {
			self.happen(id, What::Submitted, now);
			self.extend(id, now);
			self.tasks[id].record.lease.as_ref()
		} else {
			self.late(Some(operator), id, attempt, lease)
		};
		let Some(model_digest) = found.map(|lease| lease.model_digest.clone()) else {
			self.noticed(operator, id, now, rng);
			return Err(no_lease());
		};
		self.dispatch(now, rng);
		Ok(Submission { spec: self.tasks[id].record.spec.clone(), model_digest })
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
		verified: Verified,
		now: Millis,
		rng: &mut dyn RngCore,
	) -> Result<TaskRecord, Refusal> {
		self.advance(now);
		let held = self.held(None, id, attempt, lease).is_ok();
		let lease = if held {
			let task = self.tasks.get_mut(id).ok_or_else(no_lease)?;
			// Its slot is free at once: it knows.
			if let Some(Hold { miner: operator, expires, phase, .. }) = task.hold.take() {
				self.timers.call_off(expires, Timer::Lease(id.clone()));
				if let Some(miner) = self.miners.get_mut(&operator) {
					miner.leases.remove(id);
					if let Phase::Working { since: Some(since) } = phase {
						miner.speeds.learn(&task.record.spec, now.saturating_sub(since));
					}
				}
			}
			task.record.lease.clone()
		} else {
			self.late(None, id, attempt, lease).cloned()
		};
		let lease = lease.ok_or_else(no_lease)?;
		let operator = lease.operator;
		if let Some(miner) = self.miners.get_mut(&operator) {
			miner.tasks_done += 1;
		}
		let Verified { pictures, result } = verified;
		let accepted = What::Accepted { lease, pictures, result };
		let record = self.finish(id, accepted, now).ok_or_else(no_lease)?;
		self.refresh(operator);
		self.forget(operator);
		self.dispatch(now, rng);
		Ok(record)
	}

	/// The result of the lease was found wanting: the miner may hand in a better one as long as its
	/// lease lasts.
	pub fn reject(&mut self, id: &TaskId, attempt: u32, lease: &str, now: Millis) {
		if self.held(None, id, attempt, lease).is_ok() {
			self.happen(id, What::Rejected, now);
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
		self.take_back(id, fault, false, now);
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
				let lease = task.record.lease.as_ref();
				lease.is_some_and(|lease| lease.is(operator, attempt, token))
			})
			.ok_or_else(no_lease)
	}

	/// A lease that ended because its miner was silent.
	fn late(
		&self,
		operator: Option<Operator>,
		id: &TaskId,
		attempt: u32,
		token: &str,
	) -> Option<&LeaseRecord> {
		let late = &self.tasks.get(id)?.record.late;
		late.iter().find(|lease| lease.is(operator, attempt, token))
	}

	/// The miner is being told that a task is not its own: if it worked on it, its slot is free.
	fn noticed(&mut self, operator: Operator, id: &TaskId, now: Millis, rng: &mut dyn RngCore) {
		self.release(operator, id);
		self.dispatch(now, rng);
	}

	/// Makes a lease last from now on.
	fn extend(&mut self, id: &TaskId, now: Millis) {
		if let Some(hold) = self.tasks.get_mut(id).and_then(|task| task.hold.as_mut()) {
			let expires = now + hold.lasts;
			self.timers.call_off(hold.expires, Timer::Lease(id.clone()));
			self.timers.set(expires, Timer::Lease(id.clone()));
			hold.expires = expires;
		}
	}

	/// A lease has not been extended, or not been picked up, in time.
	pub(super) fn lose_lease(&mut self, id: &TaskId, now: Millis) {
		let Some(hold) = self.tasks.get(id).and_then(|task| task.hold.as_ref()) else { return };
		match hold.phase {
			Phase::Assigned => {
				// It gets nothing more until it polls again.
				if let Some(miner) = self.miners.get_mut(&hold.miner) {
					miner.set_polling(false);
				}
				self.take_back(id, None, false, now);
			},
			Phase::Working { .. } => {
				self.take_back(id, Some("its miner went silent".to_owned()), true, now);
			},
			// It is not known whether the miner ever heard of it.
			Phase::Restored => self.take_back(id, None, true, now),
		}
	}

	/// Gives back, without fault, the leases of a miner that `which` names.
	pub(super) fn return_leases(
		&mut self,
		operator: Operator,
		now: Millis,
		which: impl Fn(&Hold) -> bool,
	) {
		let Some(miner) = self.miners.get(&operator) else { return };
		let returned: Vec<TaskId> = miner
			.leases
			.iter()
			.filter(|id| self.tasks.get(id).and_then(|task| task.hold.as_ref()).is_some_and(&which))
			.cloned()
			.collect();
		for id in returned {
			self.take_back(&id, None, false, now);
		}
	}

	/// Ends the lease of a task and queues the task again, or gives it up if it has failed on too
	/// many miners. `fault` says what went wrong, `None` if the attempt does not count; after `late`
	/// its result is still welcome.
	pub(super) fn take_back(
		&mut self,
		id: &TaskId,
		fault: Option<String>,
		late: bool,
		now: Millis,
	) {
		let Some(task) = self.tasks.get_mut(id) else { return };
		let Some(hold) = task.hold.take() else { return };
		self.timers.call_off(hold.expires, Timer::Lease(id.clone()));
		if !late {
			self.effects.abandoned.push((id.clone(), task.record.attempt));
		}
		if let Some(miner) = self.miners.get_mut(&hold.miner) {
			miner.leases.remove(id);
			miner.to_pick_up.retain(|waiting| waiting != id);
			miner.tasks_failed += u64::from(fault.is_some());
		}
		let until = fault.is_none().then_some(now + self.options.cool_off_ms);
		self.happen(id, What::Returned { fault, until, late }, now);
		self.refresh(hold.miner);
		self.forget(hold.miner);
		self.enqueue(id);
		self.give_up(id, now);
	}

	/// Fails a task that has failed on as many miners as it is tried on: it is to blame, not they.
	fn give_up(&mut self, id: &TaskId, now: Millis) {
		let TaskRecord { faults, last_fault, tried, .. } = &self.tasks[id].record;
		if *faults < self.options.max_faults {
			return;
		}
		for tried in tried.iter().filter(|tried| tried.until.is_none()) {
			if let Some(miner) = self.miners.get_mut(&tried.miner) {
				miner.tasks_failed = miner.tasks_failed.saturating_sub(1);
			}
		}
		let last = last_fault.as_deref().unwrap_or_default();
		let why = format!("failed on {faults} different miners; the last attempt: {last}");
		let failure = Refusal::new(Code::FailedEverywhere, why);
		self.end(id, TaskState::Failed, Some(failure), now);
	}

	/// Ends a task without a result; its record. `None` if it has ended before.
	pub(super) fn end(
		&mut self,
		id: &TaskId,
		state: TaskState,
		failure: Option<Refusal>,
		now: Millis,
	) -> Option<TaskRecord> {
		let step = self.tasks.get(id)?.record.step;
		self.finish(id, What::Ended { state, step, failure }, now)
	}

	/// Lets the last thing happen to a task, which is forgotten then; its record.
	fn finish(&mut self, id: &TaskId, what: What, now: Millis) -> Option<TaskRecord> {
		if self.tasks.get(id)?.record.state == TaskState::Queued {
			self.dequeue(id, FairQueue::remove);
		}
		self.happen(id, what, now);
		let Task { record, hold } = self.tasks.remove(id)?;
		self.timers.call_off(record.deadline, Timer::Deadline(id.clone()));
		if let Some(hold) = hold {
			self.timers.call_off(hold.expires, Timer::Lease(id.clone()));
			self.occupy_until_noticed(id, &hold);
		}
		Some(record)
	}

	/// A miner that renders a task which has just ended is busy with it until it hears of that.
	fn occupy_until_noticed(&mut self, id: &TaskId, hold: &Hold) {
		let Some(miner) = self.miners.get_mut(&hold.miner) else { return };
		miner.leases.remove(id);
		if hold.picked_up() {
			miner.releasing.insert(id.clone(), hold.expires);
			self.timers.set(hold.expires, Timer::Release(hold.miner, id.clone()));
		} else {
			miner.to_pick_up.retain(|waiting| waiting != id);
		}
		self.refresh(hold.miner);
		self.forget(hold.miner);
	}
}

impl LeaseRecord {
	/// Whether this is the lease that was named.
	fn is(&self, operator: Option<Operator>, attempt: u32, token: &str) -> bool {
		self.attempt == attempt
			&& self.token == token
			&& operator.is_none_or(|operator| operator == self.operator)
	}
}

fn no_lease() -> Refusal {
	Refusal::new(
		Code::NoLease,
		"this lease is not, or no longer, the one that holds the task: stop",
	)
}
