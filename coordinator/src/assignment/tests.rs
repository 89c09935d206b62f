//! The law of the draws: 100,000 of them through the pool and the verifiable random function, while miners
//! join and leave. Key and inputs are fixed: the outcome does not change from run to run.

use super::fairness::{Fairness, LEAST_EXPECTED, MOST_DEVIATIONS};
use super::pool::Pool;
use super::vrf::{tests::drawer, DrawInput};
use cuckoo_chain_client::CAI;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

const DRAWS: u64 = 100_000;
const STAKES: [u128; 12] = [
	20_000, 40_000, 140_000, 20_001, 75_000, 300_000, 1_000_000, 33_333, 20_000, 500_000, 64_000,
	210_000,
];
/// Whom the biased draw favours.
const FAVOURED: usize = 9;

/// Counts draws in which the favoured miner weighs so many per cent of its stake.
fn draws(per_cent: u128) -> Fairness<usize> {
	let drawer = drawer();
	let mut rng = ChaCha20Rng::seed_from_u64(per_cent as u64);
	let mut pool = Pool::default();
	let mut present = [false; STAKES.len()];
	let mut fairness = Fairness::default();
	for sequence in 0..DRAWS {
		// Now and then somebody comes or goes.
		if sequence % 10 == 0 {
			let miner = rng.gen_range(0..STAKES.len());
			present[miner] = !present[miner];
			if present[miner] {
				let share = if miner == FAVOURED { per_cent } else { 100 };
				pool.set(miner, STAKES[miner] * CAI * share / 100);
			} else {
				pool.remove(miner);
			}
		}
		// Now and then somebody had the task before.
		let excluded: Vec<usize> =
			if rng.gen_ratio(1, 10) { vec![rng.gen_range(0..STAKES.len())] } else { Vec::new() };
		let input = DrawInput { era: 1, sequence, task_hash: [5; 32], attempt: 1 };
		let drawn = pool.draw(&excluded, || drawer.evaluate(&input).randomness());
		let Some(drawn) = drawn else { continue };
		let eligible: Vec<usize> = (0..STAKES.len())
			.filter(|miner| present[*miner] && !excluded.contains(miner))
			.collect();
		assert_eq!(drawn.eligible.iter().collect::<Vec<_>>(), eligible);
		let weights: Vec<_> = eligible.into_iter().map(|miner| (miner, STAKES[miner])).collect();
		fairness.add(&weights, drawn.place);
	}
	fairness
}

#[test]
fn a_hundred_thousand_draws_follow_the_stakes_while_miners_join_and_leave() {
	let fairness = draws(100);
	println!("{:>9} {:>9} {:>9} {:>11} {:>6}", "stake", "eligible", "observed", "expected", "z");
	for share in fairness.shares() {
		let (stake, z) = (STAKES[share.miner], share.deviations());
		println!(
			"{stake:>9} {:>9} {:>9} {:>11.1} {z:>6.2}",
			share.eligible, share.observed, share.expected
		);
		assert!(share.expected > LEAST_EXPECTED && z.abs() < MOST_DEVIATIONS, "{share:?}");
	}
	let test = fairness.chi_square().unwrap();
	println!("{} draws with a choice, {test:?}", fairness.draws());
	assert_eq!((fairness.shares().len(), test.degrees), (STAKES.len(), STAKES.len() - 1));
	assert!(fairness.draws() > DRAWS * 9 / 10 && test.probability > 0.001 && fairness.fits());
}

/// The same check must fail for a draw that is off by little.
#[test]
fn ten_per_cent_more_for_one_miner_are_caught() {
	let fairness = draws(110);
	let z = fairness.shares().iter().find(|share| share.miner == FAVOURED).unwrap().deviations();
	let test = fairness.chi_square().unwrap();
	println!("z of the favoured miner {z:.2}, {test:?}");
	assert!(z > MOST_DEVIATIONS && !fairness.fits());
}
