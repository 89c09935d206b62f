//! Whether draws follow the stakes, by a chi-square test. Fixed seeds: the outcome does not change
//! from run to run.

use super::pool::Pool;
use crate::registry::Operator;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

const CAI: u128 = 1_000_000_000_000_000_000;
const DRAWS: u32 = 100_000;
const STAKES: [u128; 8] = [20_000, 40_000, 140_000, 20_001, 75_000, 300_000, 1_000_000, 33_333];

/// 99.9 % of samples of the chi-square distribution with this many degrees of freedom are below.
fn critical_value(degrees: usize) -> f64 {
	[10.828, 13.816, 16.266, 18.467, 20.515, 22.458, 24.322][degrees - 1]
}

fn chi_square(counts: &[u32], weights: &[u128]) -> f64 {
	let draws = f64::from(counts.iter().sum::<u32>());
	let total = weights.iter().sum::<u128>() as f64;
	counts
		.iter()
		.zip(weights)
		.map(|(count, weight)| {
			let expected = draws * *weight as f64 / total;
			(f64::from(*count) - expected).powi(2) / expected
		})
		.sum()
}

/// Whether counts like these are to be expected of draws by these weights (p > 0.001).
pub(crate) fn follows(counts: &[u32], weights: &[u128]) -> bool {
	chi_square(counts, weights) < critical_value(weights.len() - 1)
}

fn miner(index: usize) -> Operator {
	Operator([index as u8; 32])
}

/// How often each miner is drawn when the pool holds `stakes` and `excluded` had the task.
fn draw(stakes: &[u128], excluded: &[Operator], seed: u64) -> Vec<u32> {
	let mut rng = ChaCha20Rng::seed_from_u64(seed);
	let mut pool = Pool::default();
	for (index, stake) in stakes.iter().enumerate() {
		pool.set(miner(index), stake * CAI);
	}
	let mut counts = vec![0; stakes.len()];
	for _ in 0..DRAWS {
		counts[usize::from(pool.draw(excluded, &mut rng).unwrap().0[0])] += 1;
	}
	counts
}

#[test]
fn draws_follow_the_stakes() {
	for seed in 0..5 {
		let counts = draw(&STAKES, &[], seed);
		assert!(follows(&counts, &STAKES), "seed {seed}: {counts:?}");
	}
}

#[test]
fn draws_without_the_miners_that_had_the_task_follow_the_stakes_of_the_rest() {
	let counts = draw(&STAKES, &[miner(6), miner(0)], 7);
	assert_eq!((counts[6], counts[0]), (0, 0));
	let rest = [1, 2, 3, 4, 5, 7];
	let counts = rest.map(|index| counts[index]);
	let stakes = rest.map(|index| STAKES[index]);
	assert!(follows(&counts, &stakes), "{counts:?}");
}

/// The same test must fail for a draw that is off by little: one miner five per cent too heavy, or
/// the draw not by stake at all.
#[test]
fn a_biased_draw_is_caught() {
	let mut biased = STAKES;
	biased[6] = biased[6] * 105 / 100;
	assert!(!follows(&draw(&biased, &[], 0), &STAKES));
	assert!(!follows(&draw(&[1; 8], &[], 0), &STAKES));
}
