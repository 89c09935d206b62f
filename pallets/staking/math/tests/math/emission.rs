//! What pots give.

use cuckoo_staking_math::{
	emission::{budget, due, split},
	Balance, Perbill, Perquintill,
};
use proptest::prelude::*;
use sp_core::U256;

use crate::{any_amount, rate, Fraction};

/// The parts of a whole in which a [`Perquintill`] is counted.
const QUINTILLION: u64 = 1_000_000_000_000_000_000;

fn fraction() -> impl Strategy<Value = Perquintill> {
	prop_oneof![
		Just(0),
		Just(1),
		Just(QUINTILLION - 1),
		Just(QUINTILLION),
		0..=QUINTILLION / 1_000,
		0..=QUINTILLION,
	]
	.prop_map(Perquintill::from_parts)
}

/// The exact `fraction` of `left`.
fn part(left: Balance, fraction: Perquintill) -> Fraction {
	Fraction::new(left, fraction.deconstruct().into(), QUINTILLION.into())
}

/// What the parts of a budget are when nothing has run out.
fn floors<const N: usize>(budget: Balance, parts: [Perbill; N]) -> [Balance; N] {
	parts.map(|part| Fraction::part(budget, part).floor())
}

/// The length of an era and a few slots of it in order, and some after it.
fn slots() -> impl Strategy<Value = (u64, Vec<u64>)> {
	prop_oneof![1..=10u64, 1..=100_000u64, Just(u64::MAX)].prop_flat_map(|length| {
		prop::collection::vec(0..=length.saturating_add(3), 0..20).prop_map(move |mut slots| {
			slots.sort_unstable();
			(length, slots)
		})
	})
}

proptest! {
	#[test]
	fn a_budget_is_rounded_down(left in any_amount(), fraction in fraction()) {
		prop_assert_eq!(budget(left, fraction), part(left, fraction).floor());
	}

	/// A pot emits something as long as it has a planck to emit, and never all that it has.
	#[test]
	fn a_pot_never_runs_dry(
		start in 1..=1u128 << 100,
		parts in prop_oneof![1..QUINTILLION, 1..QUINTILLION / 1_000, Just(QUINTILLION - 1)],
	) {
		let fraction = Perquintill::from_parts(parts);
		let (mut left, mut emitted) = (start, 0);
		for _ in 0..200 {
			let now = budget(left, fraction);
			let has_a_planck = U256::from(left) * U256::from(parts) >= U256::from(QUINTILLION);
			prop_assert_eq!(now > 0, has_a_planck);
			prop_assert!(now < left);
			left -= now;
			emitted += now;
		}
		prop_assert!(left > 0);
		prop_assert_eq!(left + emitted, start);
	}

	#[test]
	fn what_is_due_is_rounded_down((length, slots) in slots(), budget in any_amount()) {
		for elapsed in slots {
			let exact = Fraction::new(budget, elapsed.min(length).into(), length.into());
			prop_assert_eq!(due(budget, elapsed, length), exact.floor());
		}
	}

	/// However the slots of an era are visited, the parts paid add up to the budget.
	#[test]
	fn what_is_due_adds_up((length, slots) in slots(), budget in any_amount()) {
		let (mut paid, mut before) = (0, 0);
		for elapsed in slots.into_iter().chain([length]) {
			let now = due(budget, elapsed, length);
			prop_assert!(now >= before);
			paid += now - before;
			before = now;
		}
		prop_assert_eq!(due(budget, 0, length), 0);
		prop_assert_eq!(paid, budget);
	}

	#[test]
	fn an_era_without_slots_owes_everything_at_once(budget in any_amount(), elapsed in 0..3u64) {
		prop_assert_eq!(due(budget, elapsed, 0), budget);
	}

	#[test]
	fn parts_of_a_budget_are_rounded_down(budget in any_amount(), cuts in [rate(), rate(), rate()]) {
		// Three cuts make four parts of 100 % together.
		let mut cuts = cuts;
		cuts.sort_unstable();
		let [a, b, c] = cuts;
		let parts = [a, b - a, c - b, Perbill::one() - c];
		let given = split(budget, parts);
		prop_assert_eq!(given, floors(budget, parts));
		let sum: Balance = given.iter().sum();
		prop_assert!(sum <= budget);
		prop_assert!(budget - sum < 4);
	}

	#[test]
	fn no_more_than_a_budget_is_divided(budget in any_amount(), parts in [rate(), rate(), rate()]) {
		let mut left = budget;
		for (given, floor) in split(budget, parts).into_iter().zip(floors(budget, parts)) {
			// The first come first.
			prop_assert_eq!(given, floor.min(left));
			left -= given;
		}
	}
}

#[test]
fn nobody_gets_nothing_of_a_budget() {
	assert_eq!(split(5, []), [0; 0]);
	assert_eq!(split(5, [Perbill::one(); 2]), [5, 0]);
	assert_eq!(split(0, [Perbill::one(); 2]), [0, 0]);
	assert_eq!(split(100, [Perbill::from_percent(60); 3]), [60, 40, 0]);
}

/// The emission that halves a pot in four years of eras of six hours.
#[test]
fn a_pot_halves_in_its_half_life() {
	const ERAS: u32 = 5_844;
	// 1 - 2^(-1/n), without the loss of digits of that subtraction.
	let fraction = -(-std::f64::consts::LN_2 / f64::from(ERAS)).exp_m1();
	let fraction = Perquintill::from_parts((fraction * QUINTILLION as f64).round() as u64);
	let start: Balance = 1_000_000_000 * u128::from(QUINTILLION);
	let left = (0..ERAS).fold(start, |left, _| left - budget(left, fraction));
	assert!((left as f64 / start as f64 * 2.0 - 1.0).abs() < 1e-6);
}
