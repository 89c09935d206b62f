//! A scheduler that goes on where another one ended.

use super::*;

impl Sim {
	/// Everything that was published about tasks that have not ended, in order of their offers.
	fn unfinished(changes: Vec<Change>) -> Vec<TaskRecord> {
		let mut records = BTreeMap::new();
		for change in changes {
			let record = TaskRecord::clone(&change.record);
			if record.state.is_final() {
				records.remove(&record.sequence);
			} else if change.event.is_some() {
				records.insert(record.sequence, record);
			}
		}
		records.into_values().collect()
	}

	/// Another scheduler that goes on with what this one has published.
	fn restart(&mut self, weights: &[u128]) {
		let unfinished = Self::unfinished(self.scheduler.take_effects().changed);
		let next = self.scheduler.next_sequence;
		let mut restarted = Scheduler::new(self.scheduler.options.clone(), drawer());
		restarted.restore(unfinished, next, self.now);
		self.scheduler = restarted;
		self.register(weights);
	}
}

#[test]
fn a_restart_queues_what_waited_in_order_and_keeps_leases() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	let leased = sim.offer();
	let waiting = [sim.offer(), sim.offer()];
	let held = sim.pick_up(0).unwrap();
	sim.restart(&[1]);
	assert_eq!((sim.scheduler.running(), sim.scheduler.queued()), (1, 2));
	sim.connect(0, 1);
	assert_eq!(sim.pick_up(0), None, "its slot is taken");
	sim.heartbeat(0, &held, 1).unwrap();
	sim.pass(29_000, &[0]);
	assert_eq!(sim.submit(0, &held), Ok(TaskState::Done));
	let record = sim.last(&leased);
	assert_eq!((record.state, record.sequence), (TaskState::Done, 0));
	for id in waiting {
		let held = sim.pick_up(0).unwrap();
		assert_eq!((&held.task_id, held.attempt), (&id, 1));
		assert_eq!(sim.submit(0, &held), Ok(TaskState::Done));
	}
	let id = sim.offer();
	assert_eq!(sim.last(&id).sequence, 3);
}

#[test]
fn a_lease_whose_miner_does_not_come_back_is_nobodys_fault() {
	let mut sim = Sim::new(&[1, 1]);
	sim.connect(0, 1);
	let id = sim.offer();
	let held = sim.pick_up(0).unwrap();
	sim.restart(&[1, 1]);
	sim.connect(1, 1);
	sim.pass(29_800, &[1]);
	assert_eq!(sim.pick_up(1), None);
	sim.pass(400, &[1]);
	let second = sim.pick_up(1).unwrap();
	assert_eq!((second.task_id, second.attempt), (id.clone(), 2));
	assert_eq!(sim.last(&id).faults, 0);
	// It may still come late.
	assert_eq!(sim.submit(0, &held), Ok(TaskState::Done));
}

#[test]
fn the_leases_of_miners_that_were_deregistered_meanwhile_end_at_once() {
	let mut sim = Sim::new(&[1, 1]);
	sim.connect(1, 1);
	let id = sim.offer();
	sim.pick_up(1).unwrap();
	sim.restart(&[1]);
	sim.connect(0, 1);
	assert_eq!(sim.pick_up(0).unwrap().task_id, id);
}

#[test]
fn faults_and_deadlines_outlive_a_restart() {
	let mut sim = Sim::new(&[1, 1, 1]);
	let id = sim.offer();
	for n in 0..2 {
		sim.connect(n, 1);
		let held = sim.pick_up(n).unwrap();
		sim.fail(n, &held, FailureReason::Internal).unwrap();
	}
	sim.restart(&[1, 1, 1]);
	sim.connect(0, 1);
	sim.connect(1, 1);
	assert_eq!((sim.pick_up(0), sim.pick_up(1)), (None, None), "they had it");
	sim.connect(2, 1);
	let held = sim.pick_up(2).unwrap();
	assert_eq!(held.attempt, 3);
	sim.fail(2, &held, FailureReason::Internal).unwrap();
	assert_eq!(sim.last(&id).failure.unwrap().code, Code::FailedEverywhere);

	let id = sim.offer();
	sim.restart(&[1]);
	sim.pass(600_000, &[]);
	assert_eq!(sim.last(&id).state, TaskState::Expired);
}
