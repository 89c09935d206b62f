//! Tasks from the offer to the end, as a pure state machine: no clock, no network, no randomness of
//! its own. Every method is told the time and is lent a random generator for names and leases; draws are
//! a function of the coordinator's key. What follows comes back as the returned value and, for everybody
//! else concerned, as [`Effects`].
//!
//! A task is queued, drawn for a miner (see [`crate::assignment`]) and leased to it; the miner picks
//! it up with its next poll and keeps the lease by heartbeats. Attempts run at least once; a result is
//! accepted exactly once: from the holder of the current lease, or from one whose lease ended only
//! because it was silent. Lost attempts are drawn for again without the miners that had them; three
//! that failed by somebody's fault end the task.
//!
//! - `task`: a task and its record, `event`: what can happen to it, `timers`: what happens by itself;
//! - `miners`: who is registered, connected, live and free, `load`: how busy they are, `speed`: how
//!   fast;
//! - `app`: who offers tasks, `fair_queue`: whose is next;
//! - `dispatch`: draws and new leases;
//! - `leases`: what the holder of a lease may do, and how leases end.

mod app;
mod dispatch;
mod event;
mod fair_queue;
mod leases;
mod load;
mod miners;
mod speed;
mod task;
mod timers;

#[cfg(test)]
mod random_events;
#[cfg(test)]
mod tests;

pub use app::{AccountId, App, Offer};
pub use event::{Change, Event, Version, What};
pub use leases::{Submission, Verified};
pub use load::Load;
pub use task::{LeaseRecord, TaskRecord, Tried};

use crate::assignment::{late_draw::LateDraw, pool::Pool, vrf::Drawer};
use crate::registry::Operator;
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	miner::LIVE_SECONDS,
	task::{TaskId, TaskRequest, TaskState, MAX_SEED},
};
use fair_queue::{FairQueue, LastServed};
use miners::{LiveStake, Miner, Roll};
use rand::RngCore;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use task::{Hold, Phase, Task};
use timers::{Timer, Timers};

/// Milliseconds since the Unix epoch, by a clock that never goes back.
pub type Millis = u64;

/// Seconds after which a full queue may have room.
const FULL_FOR: u32 = 5;

/// The limits by which tasks are scheduled.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
	/// A lease ends at the earliest so long after the last sign of life, in milliseconds; later for a
	/// miner that was seen to take longer for such work.
	pub lease_ms: Millis,
	/// A lease that its miner does not pick up ends after this time, in milliseconds.
	pub pickup_ms: Millis,
	/// A miner that gave a task back without fault is not drawn for it again in this time, in
	/// milliseconds.
	pub cool_off_ms: Millis,
	/// A miner not heard of for longer gets no tasks, in milliseconds.
	pub live_ms: Millis,
	/// A task that has not ended after this time expires, in milliseconds.
	pub deadline_ms: Millis,
	/// Most tasks that wait for a miner.
	pub max_queued: usize,
	/// A task that failed on so many miners has failed.
	pub max_faults: u32,
}

impl Default for SchedulerOptions {
	fn default() -> Self {
		Self {
			lease_ms: 30_000,
			pickup_ms: 5_000,
			cool_off_ms: 10_000,
			live_ms: LIVE_SECONDS * 1000,
			deadline_ms: 600_000,
			max_queued: 10_000,
			max_faults: 3,
		}
	}
}

/// What others must be told after calls to the scheduler.
#[derive(Debug, Default, PartialEq)]
pub struct Effects {
	/// What happened to tasks, in order: to be kept, and then shown.
	pub changed: Vec<Change>,
	/// Miners for which a task waits to be picked up.
	pub assigned: Vec<Operator>,
	/// Miners whose session is over because they are not registered any more.
	pub unregistered: Vec<Operator>,
	/// Attempts that came to nothing: what was uploaded for them can go.
	pub abandoned: Vec<(TaskId, u32)>,
}

/// The scheduler. See the [module](self).
#[derive(Debug)]
pub struct Scheduler {
	options: SchedulerOptions,
	drawer: Drawer,
	/// Whom the registry names, and where it was read.
	roll: Roll,
	/// Tasks that have not ended.
	tasks: BTreeMap<TaskId, Task>,
	/// Miners that are registered, and those that still hold something.
	miners: BTreeMap<Operator, Miner>,
	/// By model: the miners that could take a task now. Never empty.
	pools: HashMap<String, Pool>,
	/// By model: the tasks that wait for a miner. Never empty.
	queues: BTreeMap<String, FairQueue>,
	last_served: LastServed,
	/// By model: the stake of the live miners that serve it, free or not.
	live_stake: BTreeMap<String, LiveStake>,
	/// Leases read from the store, of miners that have not been heard of since.
	restored: BTreeMap<Operator, BTreeSet<TaskId>>,
	/// Models for which a task or a miner has become available.
	dirty: BTreeSet<String>,
	timers: Timers,
	next_sequence: u64,
	/// Tasks in `queues`.
	queued: usize,
	draining: bool,
	effects: Effects,
}

impl Scheduler {
	/// A scheduler that knows no miners and no tasks, and draws with the key of `drawer`.
	pub fn new(options: SchedulerOptions, drawer: Drawer) -> Self {
		Self {
			options,
			drawer,
			roll: Roll::default(),
			tasks: BTreeMap::new(),
			miners: BTreeMap::new(),
			pools: HashMap::new(),
			queues: BTreeMap::new(),
			last_served: LastServed::default(),
			live_stake: BTreeMap::new(),
			restored: BTreeMap::new(),
			dirty: BTreeSet::new(),
			timers: Timers::default(),
			next_sequence: 0,
			queued: 0,
			draining: false,
			effects: Effects::default(),
		}
	}

	/// Takes back the tasks that had not ended when the coordinator ended: those that waited wait
	/// again in their order, leases go on for as long as their miners need to come back. To be called
	/// once, before anything else.
	pub fn restore(&mut self, records: Vec<TaskRecord>, next_sequence: u64, now: Millis) {
		self.next_sequence = next_sequence;
		for record in records {
			let id = record.id.clone();
			self.timers.set(record.deadline, Timer::Deadline(id.clone()));
			let hold = record.lease.as_ref().map(|lease| Hold {
				miner: lease.operator,
				expires: now + self.options.lease_ms,
				lasts: self.options.lease_ms,
				phase: Phase::Restored,
			});
			if let Some(hold) = &hold {
				self.timers.set(hold.expires, Timer::Lease(id.clone()));
				self.restored.entry(hold.miner).or_default().insert(id.clone());
			}
			let waits = hold.is_none();
			self.tasks.insert(id.clone(), Task { record, hold });
			if waits {
				self.enqueue(&id);
			}
		}
	}

	/// The limits that it works by.
	pub fn options(&self) -> &SchedulerOptions {
		&self.options
	}

	/// Everything that others must be told since the last call.
	pub fn take_effects(&mut self) -> Effects {
		std::mem::take(&mut self.effects)
	}

	/// How many tasks wait for a miner.
	pub fn queued(&self) -> usize {
		self.queued
	}

	/// How many tasks are leased to a miner.
	pub fn running(&self) -> usize {
		self.tasks.len() - self.queued
	}

	/// Takes a new task in. The generator gives its name, and its seed where the app named none.
	///
	/// # Errors
	///
	/// `INVALID_REQUEST` for fields out of range; `SHUTTING_DOWN`; `BUSY` when the queue is full;
	/// `NO_MINERS` when no model is named and no miner is live; `UNKNOWN_MODEL` when miners are live
	/// and none serves the model. (While no miner is live at all a named model is taken on trust: its
	/// miners may be about to reconnect.)
	pub fn offer(
		&mut self,
		offer: impl Into<Offer>,
		now: Millis,
		rng: &mut dyn RngCore,
	) -> Result<TaskRecord, Refusal> {
		let Offer { app, request, price } = offer.into();
		self.advance(now);
		let model = self.admit(&request)?;
		let webhook = request.webhook()?;
		let seed = request.seed.unwrap_or_else(|| rng.next_u64() & MAX_SEED);
		let id = TaskId::from_bytes(random_bytes(rng));
		let event = Event {
			at: now,
			what: What::Offered {
				id: id.clone(),
				sequence: self.next_sequence,
				app,
				price,
				spec: Arc::new(request.resolve(seed, model)),
				deadline: now + self.options.deadline_ms,
				webhook,
			},
		};
		let record = TaskRecord::offered(&event).expect("the event is an offer; qed");
		self.next_sequence += 1;
		self.timers.set(record.deadline, Timer::Deadline(id.clone()));
		let task = Task { record: record.clone(), hold: None };
		let record = Arc::new(record);
		self.effects.changed.push(Change { from: None, event: Some(event), record, draw: None });
		self.tasks.insert(id.clone(), task);
		self.enqueue(&id);
		self.dispatch(now, rng);
		Ok(self.tasks[&id].record.clone())
	}

	/// The model that would render a request, if the request would be taken in now.
	///
	/// # Errors
	///
	/// Those of [`Self::offer`].
	pub fn admit(&self, request: &TaskRequest) -> Result<String, Refusal> {
		if self.draining {
			return Err(shutting_down());
		}
		request.check()?;
		let model = self.resolve_model(request.model.as_deref())?;
		if self.queued >= self.options.max_queued {
			let why =
				format!("{} tasks are waiting, no more are taken; try again later", self.queued);
			return Err(Refusal::new(Code::Busy, why).retry_after(FULL_FOR));
		}
		Ok(model)
	}

	fn resolve_model(&self, asked: Option<&str>) -> Result<String, Refusal> {
		let models = self.models();
		match asked {
			None => models.first().map(|model| (*model).to_owned()).ok_or_else(|| {
				Refusal::new(
					Code::NoMiners,
					"no miner is connected; try again later, or name the model to wait for",
				)
			}),
			Some(model) if models.is_empty() || self.live_stake.contains_key(model) => {
				Ok(model.to_owned())
			},
			Some(model) => {
				let model: String = model.chars().take(40).collect();
				let served = models.into_iter().take(10).collect::<Vec<_>>().join(", ");
				Err(Refusal::new(
					Code::UnknownModel,
					format!("no miner serves model {model:?} now; served are: {served}"),
				))
			},
		}
	}

	/// Takes a task back for its app; the record as it ended. `None` if the task is not known or has
	/// ended.
	pub fn cancel(
		&mut self,
		id: &TaskId,
		now: Millis,
		rng: &mut dyn RngCore,
	) -> Option<TaskRecord> {
		self.advance(now);
		let ended = self.end(id, TaskState::Cancelled, None, now);
		self.dispatch(now, rng);
		ended
	}

	/// Lets happen what is due by `now`. To be called a few times a second.
	pub fn tick(&mut self, now: Millis, rng: &mut dyn RngCore) {
		self.advance(now);
		// A miner may have cooled off for a task that was tried before.
		let retried = self.queues.iter().filter(|(_, queue)| queue.has_retried());
		self.dirty.extend(retried.map(|(model, _)| model.clone()));
		self.dispatch(now, rng);
	}

	/// Takes no offers and starts no attempts from now on. What no miner has begun waits, for the next
	/// start of the coordinator; the rest may still finish.
	pub fn drain(&mut self, now: Millis) {
		self.advance(now);
		self.draining = true;
		for operator in self.miners.keys().copied().collect::<Vec<_>>() {
			self.return_leases(operator, now, |hold| !hold.picked_up());
			self.refresh(operator);
		}
	}

	/// Whether it is going down.
	pub fn is_draining(&self) -> bool {
		self.draining
	}

	/// Lets everything happen that is due by `now`, in the order of time.
	fn advance(&mut self, now: Millis) {
		while let Some(timer) = self.timers.pop_due(now) {
			match timer {
				Timer::Deadline(id) => self.expire(&id, now),
				Timer::Lease(id) => self.lose_lease(&id, now),
				Timer::Stale(operator) => self.went_silent(operator),
				Timer::Release(operator, id) => self.release(operator, &id),
			}
		}
	}

	fn expire(&mut self, id: &TaskId, now: Millis) {
		let last = self.tasks.get(id).and_then(|task| task.record.last_fault.as_deref());
		let last = last.map(|last| format!("; the last attempt: {last}")).unwrap_or_default();
		let failure = Refusal::new(
			Code::DeadlinePassed,
			format!("not finished within {} seconds{last}", self.options.deadline_ms / 1000),
		);
		self.end(id, TaskState::Expired, Some(failure), now);
	}

	/// Lets something happen to a task, and publishes it.
	fn happen(&mut self, id: &TaskId, what: What, now: Millis) {
		self.publish(id, what, None, now);
	}

	/// Likewise, with how its miner was drawn.
	fn publish(&mut self, id: &TaskId, what: What, draw: Option<LateDraw>, now: Millis) {
		let Some(task) = self.tasks.get_mut(id) else { return };
		let from = Some(task.record.version());
		let event = Event { at: now, what };
		task.record.apply(&event);
		let record = Arc::new(task.record.clone());
		self.effects.changed.push(Change { from, event: Some(event), record, draw });
	}
}

fn shutting_down() -> Refusal {
	Refusal::new(Code::ShuttingDown, "the coordinator is going down; offer the task again later")
}

fn random_bytes(rng: &mut dyn RngCore) -> [u8; 16] {
	let mut bytes = [0; 16];
	rng.fill_bytes(&mut bytes);
	bytes
}
