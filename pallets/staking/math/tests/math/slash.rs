//! Losses of pools, one and several.

use cuckoo_staking_math::{slashing::further, Perbill, Pool, Position, MAX_SHARES_A_PLANCK};
use proptest::prelude::*;
use sp_core::U256;

use crate::{pool_and_position, rate, Fraction, BILLION};

prop_compose! {
	/// A pool in which a planck is worth nearly as many shares as it may be.
	fn nearly_worthless()(
		shares in 1..=1u128 << 100,
	)(
		above in 0..=3u128,
		shares in Just(shares),
		owned in 0..=shares,
		epoch in 0..3u32,
	) -> (Pool, Position) {
		let balance = (shares / MAX_SHARES_A_PLANCK + above).min(shares);
		(Pool { balance, shares, epoch }, Position { shares: owned, epoch })
	}
}

fn any_pool() -> impl Strategy<Value = (Pool, Position)> {
	prop_oneof![3 => pool_and_position(), 1 => nearly_worthless()]
}

/// Whether a pool of `shares` with `balance` in it is worth less than a planck for each
/// `MAX_SHARES_A_PLANCK` of them.
fn is_dust(balance: u128, shares: u128) -> bool {
	U256::from(balance) * U256::from(MAX_SHARES_A_PLANCK) < U256::from(shares)
}

proptest! {
	#[test]
	fn a_loss_is_rounded_up((before, _) in any_pool(), fraction in rate()) {
		let mut pool = before;
		let taken = pool.slash(fraction);
		let exact = Fraction::part(before.balance, fraction).ceil();
		let left = before.balance - exact;
		if taken == exact {
			prop_assert!(fraction.is_zero() || left == 0 || !is_dust(left + 1, before.shares));
		} else {
			prop_assert_eq!(taken, before.balance);
			prop_assert!(is_dust(left, before.shares));
		}
		prop_assert_eq!(pool, Pool { balance: before.balance - taken, ..before });
		prop_assert!(pool.balance <= pool.shares);
	}

	#[test]
	fn a_loss_of_nothing_does_nothing((before, _) in any_pool()) {
		let mut pool = before;
		prop_assert_eq!(pool.slash(Perbill::zero()), 0);
		prop_assert_eq!(pool, before);
	}

	#[test]
	fn a_loss_of_everything_empties_the_pool((before, position) in any_pool()) {
		let mut pool = before;
		prop_assert_eq!(pool.slash(Perbill::one()), before.balance);
		prop_assert_eq!(pool, Pool { balance: 0, ..before });
		prop_assert_eq!(pool.value_of(&position), 0);
	}

	#[test]
	fn every_position_loses_the_same_fraction(
		(before, position) in any_pool(),
		fraction in rate(),
	) {
		let mut pool = before;
		let worth = before.value_of(&position);
		let taken = pool.slash(fraction);
		let lost = worth - pool.value_of(&position);
		// Less than a planck between `lost` and `worth * taken / balance`.
		let exact = U256::from(worth) * U256::from(taken);
		let balance = U256::from(before.balance);
		let scaled = U256::from(lost) * balance;
		prop_assert!(scaled.abs_diff(exact) < balance || balance.is_zero());
	}

	/// Whatever is slashed, the next deposit issues shares that fit.
	#[test]
	fn losses_leave_room_for_deposits(
		(mut pool, mut position) in any_pool(),
		losses in prop::collection::vec(rate(), 1..20),
		amount in 1..=1u128 << 90,
	) {
		for fraction in losses {
			pool.slash(fraction);
		}
		prop_assert!(pool.deposit(&mut position, amount).is_ok());
	}

	#[test]
	fn a_further_loss_is_rounded_up(done in rate(), total in rate()) {
		let parts = |rate: Perbill| u128::from(rate.deconstruct());
		let (done_parts, total_parts) = (parts(done), parts(total));
		match further(done, total) {
			None => prop_assert!(total <= done),
			Some(more) => {
				let exact = Fraction::new(total_parts - done_parts, BILLION, BILLION - done_parts);
				prop_assert_eq!(parts(more), exact.ceil());
				prop_assert!(!more.is_zero());
			},
		}
	}

	/// Two losses, the second a further one, leave no more than one loss of the total, and less by
	/// little.
	#[test]
	fn losses_add_up_to_the_total(
		balance in 1..=1u128 << 100,
		(done, total) in (rate(), rate()),
	) {
		let mut pool = Pool { balance, shares: balance, epoch: 0 };
		pool.slash(done);
		if let Some(more) = further(done, total) {
			pool.slash(more);
		}
		let mut at_once = Pool { balance, shares: balance, epoch: 0 };
		at_once.slash(total.max(done));
		prop_assert!(pool.balance <= at_once.balance);
		prop_assert!(at_once.balance - pool.balance <= balance / BILLION + 3 || pool.balance == 0);
	}
}

#[test]
fn a_loss_takes_at_least_a_planck() {
	let mut pool = Pool { balance: 1_000, shares: 1_000, epoch: 0 };
	assert_eq!(pool.slash(Perbill::from_parts(1)), 1);
	assert_eq!(pool, Pool { balance: 999, shares: 1_000, epoch: 0 });
	assert_eq!(pool.slash(Perbill::from_percent(50)), 500);
	assert_eq!(pool, Pool { balance: 499, shares: 1_000, epoch: 0 });
}

#[test]
fn a_loss_that_leaves_too_little_takes_everything() {
	let before = Pool { balance: 10, shares: 5 * MAX_SHARES_A_PLANCK, epoch: 2 };
	let mut pool = before;
	assert_eq!(pool.slash(Perbill::from_percent(50)), 5);
	assert_eq!(pool, Pool { balance: 5, ..before });
	let mut pool = before;
	assert_eq!(pool.slash(Perbill::from_percent(51)), 10);
	assert_eq!(pool, Pool { balance: 0, ..before });
}

#[test]
fn half_and_then_three_quarters_is_half_and_half() {
	let percent = Perbill::from_percent;
	assert_eq!(further(percent(50), percent(75)), Some(percent(50)));
	assert_eq!(further(percent(0), percent(75)), Some(percent(75)));
	assert_eq!(further(percent(50), percent(100)), Some(percent(100)));
	assert_eq!(further(percent(75), percent(75)), None);
	assert_eq!(further(percent(100), percent(100)), None);
	// Rounded up: 1 - 0.9 / 0.99.
	assert_eq!(further(percent(1), percent(10)), Some(Perbill::from_parts(90_909_091)));
}

#[test]
fn an_empty_pool_loses_nothing() {
	for shares in [0, 10, u128::MAX] {
		let before = Pool { balance: 0, shares, epoch: 1 };
		let mut pool = before;
		assert_eq!(pool.slash(Perbill::from_percent(50)), 0);
		assert_eq!(pool.slash(Perbill::one()), 0);
		assert_eq!(pool, before);
	}
}

#[test]
fn the_largest_pool_can_be_slashed() {
	let mut pool = Pool { balance: u128::MAX, shares: u128::MAX, epoch: 0 };
	let exact = Fraction::part(u128::MAX, Perbill::from_parts(999_999_998)).ceil();
	assert_eq!(pool.slash(Perbill::from_parts(999_999_998)), exact);
	assert_eq!(pool.balance, u128::MAX - exact);
}
