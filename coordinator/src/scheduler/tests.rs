//! The scheduler step by step. [`random_events`](super::random_events) drives it at random.

mod apps;
mod draws;
mod late;
mod restart;

use super::*;
use crate::assignment::{fairness::Fairness, vrf::tests::drawer};
use crate::registry::{MinerRegistration, RegistrySnapshot};
use cuckoo_coordinator_api::miner::{
	Assignment, FailureReason, FailureReport, Heartbeat, Login, ModelOffer,
};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

pub(super) const MODEL: &str = "m";

pub(super) fn operator(n: u8) -> Operator {
	Operator([n; 32])
}

pub(super) fn registration(n: u8, weight: u128) -> MinerRegistration {
	MinerRegistration {
		operator: operator(n),
		operator_address: format!("operator {n}"),
		stash: format!("stash {n}"),
		name: format!("miner {n}"),
		weight,
	}
}

/// A registry of these miners.
pub(super) fn registry(miners: Vec<MinerRegistration>) -> RegistrySnapshot {
	RegistrySnapshot { block: 40, block_hash: [4; 32], era: 2, miners }
}

pub(super) fn login(slots: u32, models: &[&str]) -> Login {
	let models = models
		.iter()
		.map(|name| ModelOffer { name: (*name).to_owned(), digest: "ab".repeat(32) })
		.collect();
	Login { slots, models, software: "test".into(), ..Login::default() }
}

pub(super) fn request(model: Option<&str>) -> TaskRequest {
	TaskRequest { model: model.map(str::to_owned), ..TaskRequest::new("a red bird") }
}

/// A scheduler with its clock and its randomness.
struct Sim {
	scheduler: Scheduler,
	rng: ChaCha20Rng,
	now: Millis,
}

impl Sim {
	/// Miners 0, 1, 2 … are registered with these weights; none is connected.
	fn new(weights: &[u128]) -> Self {
		Self::with_options(weights, SchedulerOptions::default())
	}

	fn with_options(weights: &[u128], options: SchedulerOptions) -> Self {
		let mut sim = Self {
			scheduler: Scheduler::new(options, drawer()),
			rng: ChaCha20Rng::seed_from_u64(11),
			now: 1_000_000,
		};
		sim.register(weights);
		sim
	}

	/// Miners 0, 1, 2 … are registered with these weights, and nobody else.
	fn register(&mut self, weights: &[u128]) {
		let miners = (0..).zip(weights).map(|(n, weight)| registration(n, *weight)).collect();
		self.scheduler.set_registry(&registry(miners), self.now, &mut self.rng);
	}

	fn connect(&mut self, n: u8, slots: u32) {
		self.connect_with(n, slots, &[MODEL]);
	}

	fn connect_with(&mut self, n: u8, slots: u32, models: &[&str]) {
		self.scheduler.connect(operator(n), login(slots, models), self.now, &mut self.rng).unwrap();
	}

	fn try_offer(&mut self, request: TaskRequest) -> Result<TaskId, Code> {
		let offered = self.scheduler.offer(request, self.now, &mut self.rng);
		offered.map(|record| record.id).map_err(|refusal| refusal.code)
	}

	fn offer(&mut self) -> TaskId {
		self.try_offer(request(Some(MODEL))).unwrap()
	}

	fn pick_up(&mut self, n: u8) -> Option<Assignment> {
		self.scheduler.heard(operator(n), self.now, &mut self.rng);
		self.scheduler.pick_up(operator(n), self.now, &mut self.rng)
	}

	fn heartbeat(&mut self, n: u8, held: &Assignment, step: u32) -> Result<(), Code> {
		let beat = Heartbeat {
			task_id: held.task_id.clone(),
			attempt: held.attempt,
			lease: held.lease.clone(),
			step,
		};
		let answer = self.scheduler.heartbeat(operator(n), &beat, self.now, &mut self.rng);
		answer.map_err(|refusal| refusal.code)
	}

	fn fail(&mut self, n: u8, held: &Assignment, reason: FailureReason) -> Result<(), Code> {
		let report = FailureReport {
			task_id: held.task_id.clone(),
			attempt: held.attempt,
			lease: held.lease.clone(),
			reason,
			message: "because".into(),
		};
		let answer = self.scheduler.fail(operator(n), &report, self.now, &mut self.rng);
		answer.map_err(|refusal| refusal.code)
	}

	fn submit(&mut self, n: u8, held: &Assignment) -> Result<TaskState, Code> {
		let Assignment { task_id, attempt, lease, .. } = held;
		let (now, rng) = (self.now, &mut self.rng);
		self.scheduler
			.submit(operator(n), task_id, *attempt, lease, now, rng)
			.and_then(|_| {
				self.scheduler.accept(task_id, *attempt, lease, Verified::default(), now, rng)
			})
			.map(|record| record.state)
			.map_err(|refusal| refusal.code)
	}

	/// Lets time pass, in ticks, during which the miners in `alive` give signs of life.
	fn pass(&mut self, ms: Millis, alive: &[u8]) {
		let end = self.now + ms;
		while self.now < end {
			self.now = (self.now + 200).min(end);
			for n in alive {
				self.scheduler.heard(operator(*n), self.now, &mut self.rng);
			}
			self.scheduler.tick(self.now, &mut self.rng);
		}
	}

	/// The task as it was published last.
	fn last(&mut self, id: &TaskId) -> TaskRecord {
		let changed = self.scheduler.take_effects().changed;
		let last = changed.iter().rfind(|change| change.record.id == *id);
		TaskRecord::clone(&last.expect("the task has changed").record)
	}
}

#[test]
fn a_task_goes_from_the_offer_to_the_end() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	let id = sim.offer();
	let effects = sim.scheduler.take_effects();
	assert_eq!(effects.assigned, [operator(0)]);
	let states: Vec<_> = effects.changed.iter().map(|change| change.record.state).collect();
	assert_eq!(states, [TaskState::Queued, TaskState::Leased]);

	let held = sim.pick_up(0).unwrap();
	assert_eq!((&held.task_id, held.attempt), (&id, 1));
	assert_eq!(sim.pick_up(0), None);
	sim.heartbeat(0, &held, 7).unwrap();
	let record = sim.last(&id);
	assert_eq!((record.step, record.status().miner.as_deref()), (7, Some("stash 0")));

	assert_eq!(sim.submit(0, &held), Ok(TaskState::Done));
	let record = sim.last(&id);
	assert_eq!((record.state, record.step), (TaskState::Done, record.total_steps()));
	assert_eq!(record.lease.unwrap().token, held.lease);
	assert_eq!((sim.scheduler.running(), sim.scheduler.queued()), (0, 0));
	assert_eq!(sim.scheduler.miners()[0].tasks_done, 1);
	assert_eq!(sim.submit(0, &held), Err(Code::NoLease));
}

#[test]
fn only_the_holder_of_the_current_lease_can_do_anything() {
	let mut sim = Sim::new(&[1, 1]);
	sim.connect(0, 1);
	let id = sim.offer();
	let held = sim.pick_up(0).unwrap();
	sim.connect(1, 1);
	for wrong in [
		Assignment { attempt: 2, ..held.clone() },
		Assignment { lease: "guess".into(), ..held.clone() },
		Assignment { task_id: TaskId::from_bytes([9; 16]), ..held.clone() },
	] {
		assert_eq!(sim.heartbeat(0, &wrong, 1), Err(Code::NoLease));
		assert_eq!(sim.fail(0, &wrong, FailureReason::Internal), Err(Code::NoLease));
		assert_eq!(sim.submit(0, &wrong), Err(Code::NoLease));
	}
	assert_eq!(sim.submit(1, &held), Err(Code::NoLease));
	assert!(sim.scheduler.uploading(&id, 1, "guess", sim.now).is_err());
	assert!(sim.scheduler.uploading(&id, 1, &held.lease, sim.now).is_ok());
	assert_eq!(sim.submit(0, &held), Ok(TaskState::Done));
}

#[test]
fn a_refused_result_may_be_followed_by_a_better_one() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	let id = sim.offer();
	let held = sim.pick_up(0).unwrap();
	let (now, rng) = (sim.now, &mut sim.rng);
	sim.scheduler.submit(operator(0), &id, 1, &held.lease, now, rng).unwrap();
	assert_eq!(sim.last(&id).state, TaskState::Verifying);
	sim.scheduler.reject(&id, 1, &held.lease, sim.now);
	assert_eq!(sim.last(&id).state, TaskState::Leased);
	assert_eq!(sim.submit(0, &held), Ok(TaskState::Done));
}

#[test]
fn a_silent_miner_loses_its_task_to_another() {
	let mut sim = Sim::new(&[1_000_000, 1]);
	sim.connect(0, 1);
	let id = sim.offer();
	let lost = sim.pick_up(0).unwrap();
	sim.connect(1, 1);
	sim.pass(29_900, &[1]);
	assert_eq!(sim.pick_up(1), None);
	sim.pass(200, &[1]);
	let held = sim.pick_up(1).unwrap();
	assert_eq!((&held.task_id, held.attempt), (&id, 2));
	assert_eq!(sim.heartbeat(0, &lost, 1), Err(Code::NoLease));
	assert_eq!(sim.submit(1, &held), Ok(TaskState::Done));
	assert_eq!(sim.submit(0, &lost), Err(Code::NoLease), "the task has ended");
	assert_eq!(sim.scheduler.miners()[0].tasks_failed, 1);
}

#[test]
fn a_lease_follows_the_speed_that_was_measured() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	let mut lease_after = |seconds: u64| {
		sim.offer();
		let held = sim.pick_up(0).unwrap();
		for _ in 0..seconds {
			sim.pass(1_000, &[]);
			sim.heartbeat(0, &held, 1).unwrap();
		}
		assert_eq!(sim.submit(0, &held), Ok(TaskState::Done));
		held.lease_ms
	};
	assert_eq!(lease_after(20), 30_000, "nothing is known yet");
	assert_eq!(lease_after(4), 50_000, "2.5 times 20 s");
	assert_eq!(lease_after(400), 50_000, "the slowest of few counts");
	assert_eq!(lease_after(1), 600_000, "ten minutes at most");
	// Other work is another class; and the lease is kept for as long as it says.
	let other = TaskRequest { width: 64, height: 64, ..request(Some(MODEL)) };
	sim.try_offer(other).unwrap();
	assert_eq!(sim.pick_up(0).unwrap().lease_ms, 30_000);
}

#[test]
fn heartbeats_keep_the_lease() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	sim.offer();
	let held = sim.pick_up(0).unwrap();
	for step in 0..20 {
		sim.pass(5_000, &[]);
		sim.heartbeat(0, &held, step).unwrap();
	}
	assert_eq!(sim.submit(0, &held), Ok(TaskState::Done));
}

#[test]
fn a_lease_that_is_not_picked_up_goes_elsewhere_without_fault() {
	let mut sim = Sim::new(&[1, 1]);
	sim.connect(0, 1);
	let id = sim.offer();
	sim.pass(4_000, &[]);
	sim.connect(1, 1);
	sim.pass(1_200, &[]);
	assert_eq!(sim.pick_up(1).unwrap().task_id, id);
	assert_eq!(sim.scheduler.miners()[0].tasks_failed, 0);
	// A miner that lets leases lie gets no more until it polls.
	let second = sim.offer();
	assert_eq!(sim.last(&second).state, TaskState::Queued);
	assert_eq!(sim.pick_up(0), None);
	assert_eq!(sim.pick_up(0).unwrap().task_id, second);
}

#[test]
fn refusing_for_capacity_is_no_fault_and_three_faults_fail_the_task() {
	let mut sim = Sim::new(&[1, 1, 1, 1]);
	for n in 0..4 {
		sim.connect(n, 1);
	}
	let id = sim.offer();
	let mut faults = 0;
	let mut tried = Vec::new();
	while faults < 3 {
		let (n, held) = (0..4).find_map(|n| Some((n, sim.pick_up(n)?))).expect("somebody has it");
		assert!(!tried.contains(&n), "miner {n} had it before");
		tried.push(n);
		let reason = if tried.len() == 1 {
			FailureReason::ShuttingDown
		} else {
			faults += 1;
			FailureReason::BadTask
		};
		sim.fail(n, &held, reason).unwrap();
	}
	let record = sim.last(&id);
	assert_eq!(record.state, TaskState::Failed);
	let failure = record.failure.unwrap();
	assert_eq!(failure.code, Code::FailedEverywhere);
	assert!(failure.message.contains("BadTask: because"), "{failure}");
	let failed: u64 = sim.scheduler.miners().iter().map(|miner| miner.tasks_failed).sum();
	assert_eq!(failed, 0, "the task is to blame");
}

#[test]
fn a_miner_without_fault_is_drawn_again_after_a_while() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	let id = sim.offer();
	let held = sim.pick_up(0).unwrap();
	sim.fail(0, &held, FailureReason::Capacity).unwrap();
	sim.pass(9_800, &[0]);
	assert_eq!(sim.pick_up(0), None);
	sim.pass(400, &[0]);
	let held = sim.pick_up(0).unwrap();
	assert_eq!((held.task_id, held.attempt), (id, 2));
}

#[test]
fn a_task_expires_and_says_why_it_was_last_given_back() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	let id = sim.offer();
	let held = sim.pick_up(0).unwrap();
	sim.fail(0, &held, FailureReason::OutOfMemory).unwrap();
	sim.pass(600_000, &[0]);
	let record = sim.last(&id);
	assert_eq!(record.state, TaskState::Expired);
	let failure = record.failure.unwrap();
	assert_eq!(failure.code, Code::DeadlinePassed);
	assert!(failure.message.contains("OutOfMemory: because"), "{failure}");
}

#[test]
fn tasks_go_first_come_first_served_and_retries_first_of_all() {
	let mut sim = Sim::new(&[1, 1]);
	sim.connect(0, 1);
	let first = sim.offer();
	let second = sim.offer();
	let third = sim.offer();
	let held = sim.pick_up(0).unwrap();
	assert_eq!(held.task_id, first);
	sim.fail(0, &held, FailureReason::Internal).unwrap();
	// Miner 0 had the first one, so it gets the second; miner 1 may have the retry.
	assert_eq!(sim.pick_up(0).unwrap().task_id, second);
	sim.connect(1, 2);
	assert_eq!(sim.pick_up(1).unwrap().task_id, first);
	assert_eq!(sim.pick_up(1).unwrap().task_id, third);
}

#[test]
fn a_cancelled_task_occupies_its_miner_until_it_has_noticed() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	let first = sim.offer();
	let held = sim.pick_up(0).unwrap();
	let record = sim.scheduler.cancel(&first, sim.now, &mut sim.rng).unwrap();
	assert_eq!((record.state, record.lease), (TaskState::Cancelled, None));
	assert_eq!(sim.scheduler.cancel(&first, sim.now, &mut sim.rng), None);
	sim.offer();
	assert_eq!(sim.pick_up(0), None);
	assert_eq!(sim.heartbeat(0, &held, 3), Err(Code::NoLease));
	assert!(sim.pick_up(0).is_some());

	// One that never notices is free when the lease would have ended.
	let (mut sim, id) = {
		let mut sim = Sim::new(&[1]);
		sim.connect(0, 1);
		let id = sim.offer();
		(sim, id)
	};
	sim.pick_up(0).unwrap();
	sim.scheduler.cancel(&id, sim.now, &mut sim.rng).unwrap();
	sim.offer();
	sim.pass(30_200, &[0]);
	assert!(sim.pick_up(0).is_some());
}

#[test]
fn a_task_can_be_cancelled_in_every_state_before_its_end() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	let leased = sim.offer();
	let queued = sim.offer();
	for id in [&queued, &leased] {
		assert_eq!(
			sim.scheduler.cancel(id, sim.now, &mut sim.rng).unwrap().state,
			TaskState::Cancelled
		);
	}
	assert_eq!(sim.pick_up(0), None, "a cancelled task is not handed out");
	let id = sim.offer();
	let held = sim.pick_up(0).unwrap();
	let (now, rng) = (sim.now, &mut sim.rng);
	sim.scheduler.submit(operator(0), &id, 1, &held.lease, now, rng).unwrap();
	let record = sim.scheduler.cancel(&id, now, rng).unwrap();
	assert_eq!(record.state, TaskState::Cancelled);
	let accepted = sim.scheduler.accept(&id, 1, &held.lease, Verified::default(), now, rng);
	assert_eq!(accepted.unwrap_err().code, Code::NoLease);
}

#[test]
fn offers_are_refused_with_the_reason() {
	let mut sim = Sim::with_options(
		&[1, 5],
		SchedulerOptions { max_queued: 1, ..SchedulerOptions::default() },
	);
	assert_eq!(sim.try_offer(request(None)), Err(Code::NoMiners));
	// Nobody is live: a named model is taken on trust.
	let waiting = sim.try_offer(request(Some("other"))).unwrap();
	assert_eq!(sim.try_offer(request(Some("other"))), Err(Code::Busy));
	sim.scheduler.cancel(&waiting, sim.now, &mut sim.rng);
	sim.connect_with(0, 1, &["small"]);
	sim.connect_with(1, 1, &["small", "large"]);
	assert_eq!(sim.try_offer(request(Some("other"))), Err(Code::UnknownModel));
	let bad = TaskRequest { width: 0, ..request(None) };
	assert_eq!(sim.try_offer(bad), Err(Code::InvalidRequest));
	assert_eq!(sim.scheduler.models(), ["small", "large"]);
	let id = sim.try_offer(request(None)).unwrap();
	assert_eq!(sim.last(&id).spec.model, "small");
	// A miner that is busy or silent for a moment still serves; one gone for long does not.
	sim.pass(15_200, &[0]);
	assert_eq!(sim.try_offer(request(Some("large"))), Err(Code::UnknownModel));
}

#[test]
fn a_miner_is_live_for_fifteen_seconds() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	sim.now += 15_000;
	let id = sim.offer();
	assert_eq!(sim.last(&id).state, TaskState::Leased);

	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	sim.now += 15_001;
	let id = sim.offer();
	assert_eq!(sim.last(&id).state, TaskState::Queued);
	assert_eq!(sim.scheduler.live_miners(), 0);
	// The next sign of life brings it back.
	sim.scheduler.heard(operator(0), sim.now, &mut sim.rng);
	assert_eq!(sim.last(&id).state, TaskState::Leased);
}

#[test]
fn a_miner_that_is_not_registered_any_more_is_out() {
	let mut sim = Sim::new(&[1, 1]);
	sim.connect(0, 1);
	let id = sim.offer();
	let held = sim.pick_up(0).unwrap();
	sim.scheduler.set_registry(&registry(vec![registration(1, 1)]), sim.now, &mut sim.rng);
	assert_eq!(sim.scheduler.take_effects().unregistered, [operator(0)]);
	assert_eq!(sim.submit(0, &held), Err(Code::NoLease));
	let refused = sim.scheduler.connect(operator(0), login(1, &[MODEL]), sim.now, &mut sim.rng);
	assert_eq!(refused.unwrap_err().code, Code::NotRegistered);
	sim.connect(1, 1);
	assert_eq!(sim.pick_up(1).unwrap().task_id, id);
	assert_eq!(sim.scheduler.miners().len(), 1);
}

#[test]
fn new_weights_count_at_once() {
	let mut sim = Sim::new(&[1, 1]);
	sim.connect(0, 64);
	sim.connect(1, 64);
	sim.register(&[0, 7]);
	for _ in 0..64 {
		sim.offer();
	}
	let running: Vec<_> =
		sim.scheduler.miners().iter().map(|m| (m.stash.clone(), m.running)).collect();
	assert_eq!(running, [("stash 1".to_owned(), 64), ("stash 0".to_owned(), 0)]);
	assert!((sim.scheduler.miners()[0].share - 1.0).abs() < f64::EPSILON);
}

/// The law of the whole path, not only of the draw: miners that come, go and are busy in between do
/// not shift the shares of tasks that were offered while all were free.
#[test]
fn tasks_are_shared_out_by_stake_when_all_miners_are_free() {
	let stakes = [20_000, 40_000, 140_000];
	let mut sim = Sim::new(&stakes);
	let mut fairness = Fairness::default();
	for round in 0..6_000 {
		if round % 100 == 0 {
			let n = (round / 100 % 3) as u8;
			sim.scheduler.disconnect(operator(n), sim.now, &mut sim.rng);
			(0..3).for_each(|n| sim.connect(n, 1));
		}
		sim.offer();
		let (n, held) = (0..3).find_map(|n| Some((n, sim.pick_up(n)?))).unwrap();
		// A second task while one miner is busy goes to one of the others.
		let other = sim.offer();
		let (m, second) = (0..3).find_map(|n| Some((n, sim.pick_up(n)?))).unwrap();
		assert!(m != n && second.task_id == other);
		sim.submit(n, &held).unwrap();
		sim.submit(m, &second).unwrap();
		let weights: Vec<_> = (0..).zip(stakes).collect();
		fairness.add(&weights, n);
	}
	assert!(fairness.chi_square().unwrap().probability > 0.001, "{fairness:?}");
}

#[test]
fn a_reconnected_miner_keeps_its_leases() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 2);
	sim.offer();
	let held = sim.pick_up(0).unwrap();
	sim.scheduler.disconnect(operator(0), sim.now, &mut sim.rng);
	let second = sim.offer();
	assert_eq!(sim.last(&second).state, TaskState::Queued);
	sim.pass(10_000, &[]);
	sim.connect(0, 2);
	sim.heartbeat(0, &held, 1).unwrap();
	assert_eq!(sim.pick_up(0).unwrap().task_id, second);
	assert_eq!(sim.submit(0, &held), Ok(TaskState::Done));
}

#[test]
fn a_miner_that_logs_out_gives_everything_back_without_fault() {
	let mut sim = Sim::new(&[1, 1]);
	sim.connect(0, 2);
	let ids = [sim.offer(), sim.offer()];
	sim.pick_up(0).unwrap();
	sim.scheduler.log_out(operator(0), sim.now, &mut sim.rng);
	sim.connect(1, 2);
	let mut taken = [sim.pick_up(1).unwrap().task_id, sim.pick_up(1).unwrap().task_id];
	taken.sort_by_key(|id| *id != ids[0]);
	assert_eq!(taken, ids);
	assert!(sim.scheduler.miners().iter().all(|miner| miner.tasks_failed == 0));
}

#[test]
fn going_down_lets_begun_tasks_finish_and_keeps_the_rest_for_later() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 2);
	let begun = sim.offer();
	let held = sim.pick_up(0).unwrap();
	let assigned = sim.offer();
	let queued = sim.offer();
	sim.scheduler.take_effects();
	sim.scheduler.drain(sim.now);
	let record = sim.last(&assigned);
	assert_eq!((record.state, record.faults), (TaskState::Queued, 0));
	assert_eq!(sim.try_offer(request(Some(MODEL))), Err(Code::ShuttingDown));
	sim.connect(0, 2);
	assert_eq!(sim.pick_up(0), None);
	assert_eq!(sim.submit(0, &held), Ok(TaskState::Done));
	assert_eq!(sim.last(&begun).state, TaskState::Done);
	assert_eq!((sim.scheduler.running(), sim.scheduler.queued()), (0, 2));
	assert!(sim.scheduler.tasks.contains_key(&queued));
}
