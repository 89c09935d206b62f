//! Each lease is drawn in a way that can be checked.

use super::*;
use crate::assignment::vrf::{tests::GENESIS, DrawInput, Verifier};
use cuckoo_coordinator_api::assignment::{Draw, Hex};

impl Sim {
	/// The draws since the last call, with the tasks as they were leased.
	fn draws(&mut self) -> Vec<(Draw, Arc<TaskRecord>)> {
		let changed = self.scheduler.take_effects().changed;
		changed
			.into_iter()
			.filter_map(|change| Some(((*change.draw?).clone(), change.record)))
			.collect()
	}
}

#[test]
fn a_lease_names_its_draw() {
	let mut sim = Sim::new(&[10, 20, 30, 40]);
	(0..3).for_each(|n| sim.connect(n, 1));
	let id = sim.offer();
	let [(draw, record)] = &sim.draws()[..] else { panic!("one task, one draw") };
	assert_eq!((&record.id, record.attempt, draw.attempt), (&id, 1, 1));
	assert_eq!((draw.block, draw.block_hash, draw.era), (40, Hex([4; 32]), 2));
	// Miner 3 is registered and not connected.
	assert_eq!((draw.eligible.iter().collect::<Vec<_>>(), draw.total), (vec![0, 1, 2], 60));
	let borders = [10, 30, 60];
	let drawn = borders.iter().position(|border| draw.point < *border).unwrap();
	assert_eq!(draw.miner, Hex([drawn as u8; 32]));
	assert_eq!(record.lease.as_ref().unwrap().operator.0, draw.miner.0);

	let input = DrawInput { era: 2, sequence: 0, task_hash: record.spec.digest(), attempt: 1 };
	let verifier = Verifier::new(GENESIS, drawer().public_key()).unwrap();
	let output = verifier.verify(&input, draw.pre_output.0, &draw.proof.0).unwrap();
	let point = crate::assignment::uniform::uniform_below(60, &mut output.randomness());
	assert_eq!(point, draw.point);
}

#[test]
fn another_attempt_is_another_draw_without_those_that_had_the_task() {
	let mut sim = Sim::new(&[10, 20, 30]);
	(0..3).for_each(|n| sim.connect(n, 1));
	sim.offer();
	let (first, record) = sim.draws().pop().unwrap();
	let had = record.lease.as_ref().unwrap().operator.0[0];
	let held = sim.pick_up(had).unwrap();
	sim.fail(had, &held, FailureReason::Internal).unwrap();
	let (second, _) = sim.draws().pop().unwrap();
	assert_eq!(second.attempt, 2);
	assert!(first.eligible.contains(had.into()) && !second.eligible.contains(had.into()));
	assert_ne!(first.pre_output, second.pre_output);
}

#[test]
fn places_follow_the_registry() {
	let mut sim = Sim::new(&[10, 20]);
	(0..2).for_each(|n| sim.connect(n, 64));
	// Miner 0 leaves: miner 1 is the first of two now.
	let later = registry(vec![registration(9, 5), registration(1, 20)]);
	let later = RegistrySnapshot { block: 41, ..later };
	sim.scheduler.set_registry(&later, sim.now, &mut sim.rng);
	sim.offer();
	let (draw, _) = sim.draws().pop().unwrap();
	assert_eq!((draw.block, draw.miner, draw.total), (41, Hex([1; 32]), 20));
	assert_eq!(draw.eligible.iter().collect::<Vec<_>>(), [0]);
	sim.connect(9, 1);
	sim.offer();
	let (draw, _) = sim.draws().pop().unwrap();
	assert_eq!((draw.eligible.iter().collect::<Vec<_>>(), draw.total), (vec![0, 1], 25));
	// And comes back: the others move up.
	sim.register(&[10, 20]);
	sim.offer();
	let (draw, _) = sim.draws().pop().unwrap();
	assert_eq!((draw.eligible.iter().collect::<Vec<_>>(), draw.total), (vec![1], 20));
}

#[test]
fn the_same_offers_are_drawn_alike_whatever_the_other_randomness_is() {
	let run = |seed| {
		let mut sim = Sim::new(&[10, 20, 30]);
		sim.rng = ChaCha20Rng::seed_from_u64(seed);
		(0..3).for_each(|n| sim.connect(n, 64));
		for _ in 0..20 {
			sim.try_offer(TaskRequest { seed: Some(1), ..request(Some(MODEL)) }).unwrap();
		}
		sim.draws().into_iter().map(|(draw, _)| (draw.pre_output, draw.miner)).collect::<Vec<_>>()
	};
	assert_eq!(run(1), run(2));
}
