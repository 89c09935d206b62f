//! Who is served when.

use super::super::{Event, Offer, What};
use super::*;
use crate::scheduler::app::AccountId;
use cuckoo_coordinator_api::task::TaskRequest;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn app(n: u64) -> App {
	App::Account(AccountId(n))
}

/// A queue, and what was put into it.
#[derive(Default)]
struct Sim {
	queue: FairQueue,
	waiting: BTreeMap<TaskId, TaskRecord>,
	offered: u64,
}

impl Sim {
	/// A task of so many pictures of 512×512 in 20 steps, so of so many quanta.
	fn offer(&mut self, owner: u64, images: u32) -> TaskRecord {
		let request = TaskRequest { images, ..TaskRequest::new("a red bird") };
		let Offer { app, request, price } = Offer { app: app(owner), ..request.into() };
		let mut id = [0; 16];
		id[..8].copy_from_slice(&self.offered.to_be_bytes());
		let what = What::Offered {
			id: TaskId::from_bytes(id),
			sequence: self.offered,
			app,
			price,
			spec: Arc::new(request.resolve(0, "m".into())),
			deadline: 0,
			webhook: None,
		};
		self.offered += 1;
		let record = TaskRecord::rebuild([Event { at: 0, what }]).unwrap();
		self.queue.insert(&record);
		self.waiting.insert(record.id.clone(), record.clone());
		record
	}

	/// Serves the next task.
	fn serve(&mut self) -> Option<TaskRecord> {
		let id = self.queue.next().next()?.id.clone();
		let record = self.waiting.remove(&id).unwrap();
		assert!(self.queue.serve(&record));
		self.queue.checked();
		Some(record)
	}

	/// Serves tasks; whose they were.
	fn serve_many(&mut self, count: usize) -> Vec<u64> {
		(0..count).map_while(|_| self.serve()).map(|record| owner(&record)).collect()
	}
}

fn owner(record: &TaskRecord) -> u64 {
	record.app.account().unwrap().0
}

#[test]
fn one_task_among_a_flood_waits_for_one_round() {
	let mut sim = Sim::default();
	for _ in 0..1000 {
		sim.offer(1, 1);
		sim.offer(2, 1);
	}
	sim.serve_many(7);
	sim.offer(3, 1);
	let place = sim.serve_many(10).iter().position(|owner| *owner == 3).unwrap();
	assert!(place <= 3, "{place}");
}

#[test]
fn an_app_with_one_task_at_a_time_gets_its_share_and_no_more() {
	let mut sim = Sim::default();
	for _ in 0..1000 {
		sim.offer(1, 1);
	}
	sim.offer(2, 1);
	let mut served = [0; 3];
	for _ in 0..1000 {
		let owner = owner(&sim.serve().unwrap());
		served[owner as usize] += 1;
		if owner == 2 {
			sim.offer(2, 1);
		}
	}
	assert_eq!(served, [0, 500, 500]);
}

#[test]
fn shares_are_of_work_and_not_of_tasks() {
	let mut sim = Sim::default();
	for _ in 0..400 {
		sim.offer(1, 8);
		sim.offer(2, 1);
	}
	let served = sim.serve_many(360);
	let large = served.iter().filter(|owner| **owner == 1).count();
	assert_eq!(large, 40, "as much work of either");
}

#[test]
fn small_tasks_share_a_turn() {
	let mut sim = Sim::default();
	let request = TaskRequest { width: 256, height: 256, ..TaskRequest::new("x") };
	assert_eq!(request.resolve(0, "m".into()).milliunits() * 4, QUANTUM);
	for n in 0..4 {
		sim.offer(1, 1);
		let mut small = sim.offer(2, 1);
		sim.queue.remove(&small);
		let spec = Arc::make_mut(&mut small.spec);
		(spec.width, spec.height) = (256, 256);
		sim.queue.insert(&small);
		sim.waiting.insert(small.id.clone(), small);
		assert_eq!(sim.queue.len(), 2 * (n + 1));
	}
	assert_eq!(sim.serve_many(8), [1, 2, 2, 2, 2, 1, 1, 1]);
}

#[test]
fn what_was_tried_before_goes_first_in_the_order_of_offers() {
	let mut sim = Sim::default();
	let mut tried: Vec<TaskRecord> = (0..2).map(|_| sim.offer(1, 1)).collect();
	sim.offer(2, 1);
	for record in tried.iter_mut().rev() {
		assert!(sim.queue.remove(record));
		record.attempt = 1;
		sim.queue.insert(record);
		sim.waiting.insert(record.id.clone(), record.clone());
	}
	assert!(sim.queue.has_retried());
	let order: Vec<TaskId> = sim.queue.next().map(|next| next.id.clone()).collect();
	assert_eq!(order[..2], [tried[0].id.clone(), tried[1].id.clone()]);
	assert_eq!((order.len(), sim.serve_many(3)), (3, vec![1, 1, 2]));
	assert!(sim.queue.is_empty() && !sim.queue.remove(&tried[0]));
}

#[test]
fn credit_for_a_task_that_was_taken_back_is_gone() {
	let mut sim = Sim::default();
	let large = sim.offer(1, 8);
	for _ in 0..20 {
		sim.offer(1, 1);
		sim.offer(2, 1);
	}
	assert_eq!(sim.serve_many(6), [2; 6], "the large task is being saved for");
	assert!(sim.queue.remove(&large));
	assert_eq!(sim.serve_many(4), [1, 2, 1, 2], "no burst");
}

#[test]
fn what_comes_before_a_new_task_is_bounded_by_its_own() {
	let mut sim = Sim::default();
	for _ in 0..100 {
		sim.offer(1, 1);
	}
	assert_eq!(sim.queue.work_ahead(&app(1), QUANTUM), 100 * QUANTUM);
	assert_eq!(sim.queue.work_ahead(&app(2), QUANTUM), QUANTUM);
	sim.offer(2, 3);
	assert_eq!(sim.queue.work_ahead(&app(2), QUANTUM), (3 + 4) * QUANTUM);
}

#[test]
fn between_models_the_app_goes_first_that_waits_longest() {
	let mut served = LastServed::default();
	let id = TaskId::from_bytes([0; 16]);
	let next = |owner: Option<u64>, sequence| Next { id: &id, app: owner.map(app), sequence };
	served.note(app(1));
	served.note(app(2));
	let order = [next(None, 9), next(Some(3), 8), next(Some(1), 7), next(Some(2), 1)];
	let places: Vec<_> = order.iter().map(|next| served.place(next)).collect();
	assert!(places.is_sorted(), "{places:?}");
	served.forget();
	assert!(served.place(&order[3]) < served.place(&order[2]));
}

proptest! {
	/// Whoever has waiting tasks all the time gets as much work as any other such app, within a
	/// quantum and the largest task; and nothing is served twice or lost.
	#[test]
	fn whoever_always_waits_gets_an_equal_share(
		sizes in prop::collection::vec((1_u32..9, 1_u32..9, 1_u32..9), 60..120),
		noise in prop::collection::vec((4_u64..8, 1_u32..9, any::<bool>()), 0..120),
	) {
		let mut sim = Sim::default();
		for (a, b, c) in &sizes {
			for (owner, images) in [(1, *a), (2, *b), (3, *c)] {
				sim.offer(owner, images);
			}
		}
		let mut noise = noise.into_iter();
		let mut done = [0_u64; 8];
		for _ in 0..60 {
			if let Some((owner, images, taken_back)) = noise.next() {
				let task = sim.offer(owner, images);
				if taken_back {
					prop_assert!(sim.queue.remove(&task));
					sim.waiting.remove(&task.id);
				}
			}
			let task = sim.serve().unwrap();
			done[owner(&task) as usize] += task.spec.milliunits();
			let steady = &done[1..4];
			let apart = steady.iter().max().unwrap() - steady.iter().min().unwrap();
			prop_assert!(apart <= 8 * QUANTUM + QUANTUM, "{done:?}");
		}
		while sim.serve().is_some() {}
		prop_assert!(sim.waiting.is_empty() && sim.queue.is_empty());
	}
}
