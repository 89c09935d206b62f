//! Several apps at once.

use super::*;

fn app(n: u64) -> App {
	App::Account(AccountId(n))
}

impl Sim {
	fn offer_for(&mut self, n: u64, model: &str) -> TaskId {
		let offer = Offer { app: app(n), ..request(Some(model)).into() };
		self.scheduler.offer(offer, self.now, &mut self.rng).unwrap().id
	}

	/// Lets a miner finish tasks one by one; whose they were.
	fn finish(&mut self, n: u8, count: usize) -> Vec<u64> {
		let mut owners = Vec::new();
		for _ in 0..count {
			let held = self.pick_up(n).expect("a task waits");
			owners.push(self.scheduler.tasks[&held.task_id].record.app.account().unwrap().0);
			self.submit(n, &held).unwrap();
		}
		owners
	}
}

#[test]
fn one_task_among_a_flood_of_another_app_is_served_within_a_round() {
	let mut sim = Sim::new(&[1]);
	for _ in 0..100 {
		sim.offer_for(1, MODEL);
	}
	sim.connect(0, 1);
	assert_eq!(sim.finish(0, 5), [1; 5]);
	sim.offer_for(2, MODEL);
	// One is leased already, and one more of the flood may come first.
	assert!(sim.finish(0, 3).contains(&2));
}

#[test]
fn a_flood_for_one_model_does_not_starve_another_model_of_the_same_miner() {
	let mut sim = Sim::new(&[1]);
	for _ in 0..100 {
		sim.offer_for(1, "a");
	}
	sim.connect_with(0, 1, &["a", "b"]);
	assert_eq!(sim.finish(0, 5), [1; 5]);
	for _ in 0..10 {
		sim.offer_for(2, "b");
	}
	let served = sim.finish(0, 10);
	let other = served.iter().filter(|owner| **owner == 2).count();
	assert!((4..=6).contains(&other), "{served:?}");
}

#[test]
fn a_retry_goes_before_the_tasks_of_all_apps() {
	let mut sim = Sim::new(&[1, 1]);
	sim.connect(0, 1);
	let first = sim.offer_for(1, MODEL);
	let held = sim.pick_up(0).unwrap();
	sim.offer_for(2, MODEL);
	sim.offer_for(3, MODEL);
	sim.fail(0, &held, FailureReason::Internal).unwrap();
	sim.connect(1, 1);
	assert_eq!(sim.pick_up(1).unwrap().task_id, first);
}

#[test]
fn who_waits_before_whom_can_be_told() {
	let mut sim = Sim::new(&[1]);
	sim.connect(0, 1);
	for _ in 0..11 {
		sim.offer_for(1, MODEL);
	}
	let work = request(None).resolve(0, MODEL.into()).milliunits();
	assert_eq!(sim.scheduler.work_ahead(MODEL, &app(1), work), 10 * work);
	assert_eq!(sim.scheduler.work_ahead(MODEL, &app(2), work), work);
	assert_eq!(sim.scheduler.work_ahead("other", &app(2), work), 0);
	assert_eq!((sim.scheduler.slots(MODEL), sim.scheduler.has_free(MODEL)), (1, false));
	sim.scheduler.disconnect(operator(0), sim.now, &mut sim.rng);
	assert_eq!(sim.scheduler.slots(MODEL), 0);
}
