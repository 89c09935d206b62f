//! Results of leases that ended because their miners were silent.

use super::*;

#[test]
fn a_late_result_is_accepted_once() {
	// While the task waits again, and while another miner holds it.
	for others in [0, 1] {
		let mut sim = Sim::new(&[1_000_000, 1]);
		sim.connect(0, 1);
		let id = sim.offer();
		let lost = sim.pick_up(0).unwrap();
		if others == 1 {
			sim.connect(1, 1);
		}
		sim.pass(30_200, &[1]);
		assert!(sim.scheduler.take_effects().abandoned.is_empty(), "its pictures are kept");
		let held = sim.pick_up(1);
		assert_eq!(held.is_some(), others == 1);
		assert!(sim.scheduler.uploading(&id, 1, "guess", sim.now).is_err());
		assert!(sim.scheduler.uploading(&id, 1, &lost.lease, sim.now).is_ok());
		assert_eq!(sim.submit(0, &lost), Ok(TaskState::Done));
		let record = sim.last(&id);
		assert_eq!((record.state, record.attempt), (TaskState::Done, 1));
		assert_eq!(record.lease.unwrap().token, lost.lease);
		assert_eq!(sim.submit(0, &lost), Err(Code::NoLease), "not twice");
		if let Some(held) = held {
			// The other one is free again when it has noticed.
			let next = sim.offer();
			assert_eq!(sim.pick_up(1), None);
			assert_eq!(sim.submit(1, &held), Err(Code::NoLease));
			let taken = sim.pick_up(1).or_else(|| sim.pick_up(0)).unwrap();
			assert_eq!(taken.task_id, next);
		}
		assert_eq!((sim.scheduler.running(), sim.scheduler.queued()), (others, 0));
	}
}

#[test]
fn a_bad_late_result_changes_nothing() {
	let mut sim = Sim::new(&[1_000_000, 1]);
	sim.connect(0, 1);
	let id = sim.offer();
	let lost = sim.pick_up(0).unwrap();
	sim.connect(1, 1);
	sim.pass(30_200, &[1]);
	let held = sim.pick_up(1).unwrap();
	sim.scheduler.take_effects();
	let (now, rng) = (sim.now, &mut sim.rng);
	sim.scheduler.submit(operator(0), &id, 1, &lost.lease, now, rng).unwrap();
	sim.scheduler.reject(&id, 1, &lost.lease, now);
	assert_eq!(sim.scheduler.take_effects().changed, []);
	assert_eq!(sim.submit(1, &held), Ok(TaskState::Done));
}
