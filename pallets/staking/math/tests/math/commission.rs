//! Commissions.

use cuckoo_staking_math::{
	commission::{may_change, split},
	Perbill,
};
use proptest::prelude::*;

use crate::{any_amount, rate, Fraction};

proptest! {
	#[test]
	fn a_commission_is_rounded_down_and_the_rest_is_the_others(
		reward in any_amount(),
		rate in rate(),
	) {
		let (commission, others) = split(reward, rate);
		prop_assert_eq!(commission, Fraction::part(reward, rate).floor());
		prop_assert_eq!(commission.checked_add(others), Some(reward));
	}

	#[test]
	fn all_or_nothing_is_exact(reward in any_amount()) {
		prop_assert_eq!(split(reward, Perbill::zero()), (0, reward));
		prop_assert_eq!(split(reward, Perbill::one()), (reward, 0));
	}

	#[test]
	fn a_commission_rises_by_a_step_at_most(old in rate(), new in rate(), step in rate()) {
		let within = new.deconstruct() <= old.deconstruct() + step.deconstruct();
		prop_assert_eq!(may_change(old, new, step), within);
	}

	#[test]
	fn a_commission_may_always_fall(old in rate(), part in rate(), step in rate()) {
		prop_assert!(may_change(old, old * part, step));
	}
}

#[test]
fn a_step_is_allowed_to_its_last_part() {
	let step = Perbill::from_percent(5);
	let old = Perbill::from_percent(10);
	assert!(may_change(old, old, step));
	assert!(may_change(old, Perbill::from_percent(15), step));
	assert!(!may_change(old, Perbill::from_parts(150_000_001), step));
	assert!(may_change(old, Perbill::zero(), step));
	// Without a step it may only fall.
	assert!(may_change(old, old, Perbill::zero()));
	assert!(!may_change(old, Perbill::from_parts(100_000_001), Perbill::zero()));
	// Nor does the step wrap at the end.
	assert!(may_change(Perbill::from_percent(99), Perbill::one(), step));
	assert!(may_change(Perbill::zero(), Perbill::one(), Perbill::one()));
}
