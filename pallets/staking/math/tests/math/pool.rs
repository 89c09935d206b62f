//! Pools: what shares are worth, and how they are bought and sold.

use cuckoo_staking_math::{
	Balance, Perbill, Pool, PoolError, Position, MAX_SHARES_A_PLANCK, MAX_SHARES_BOUGHT,
};
use proptest::prelude::*;
use sp_core::U256;

use crate::{amount, pool_and_position, rest, Fraction};

proptest! {
	#[test]
	fn value_is_rounded_down((pool, position) in pool_and_position()) {
		let exact = Fraction::new(pool.balance, position.shares, pool.shares);
		prop_assert_eq!(pool.value_of(&position), exact.floor());
	}

	#[test]
	fn shares_are_issued_rounding_down(
		(before, old) in pool_and_position(),
		amount in amount(),
	) {
		prop_assume!(before.balance >= before.shares.div_ceil(MAX_SHARES_BOUGHT));
		let (mut pool, mut position) = (before, old);
		let others = rest(&before, &old);
		let exact = u128::try_from(
			U256::from(amount) * U256::from(before.shares) / U256::from(before.balance),
		);
		match (pool.deposit(&mut position, amount), exact) {
			(Ok(issued), Ok(exact)) => {
				prop_assert_eq!(issued, exact);
				prop_assert_eq!(pool.shares, before.shares + issued);
				prop_assert_eq!(position.shares, old.shares + issued);
				prop_assert_eq!(pool.balance, before.balance + amount);
				prop_assert!(pool.value_of(&position) <= before.value_of(&old) + amount);
				prop_assert!(pool.value_of(&others) >= before.value_of(&others));
				prop_assert!(pool.balance <= pool.shares);
			},
			(Err(error), exact) => {
				let expected =
					if exact == Ok(0) { PoolError::TooSmall } else { PoolError::Overflow };
				prop_assert_eq!(error, expected);
				prop_assert_eq!((pool, position), (before, old));
			},
			(Ok(_), Err(_)) => prop_assert!(false, "more shares than fit were issued"),
		}
	}

	#[test]
	fn shares_are_burned_rounding_up(
		(before, old) in pool_and_position(),
		part in prop_oneof![0..=1_000u128, Just(1_000)],
		beyond in 0..=1u128,
	) {
		let value = before.value_of(&old);
		let amount = value / 1_000 * part + value % 1_000 * part / 1_000 + beyond;
		let (mut pool, mut position) = (before, old);
		let others = rest(&before, &old);
		match pool.withdraw(&mut position, amount) {
			Ok(burned) => {
				prop_assert!(amount > 0 && amount <= value);
				if amount == value {
					prop_assert_eq!(burned, old.shares);
				} else {
					let exact = Fraction::new(amount, before.shares, before.balance);
					prop_assert_eq!(burned, exact.ceil());
				}
				prop_assert_eq!(pool.balance, before.balance - amount);
				prop_assert_eq!(pool.shares, before.shares - burned);
				prop_assert_eq!(position.shares, old.shares - burned);
				prop_assert!(pool.value_of(&position) <= value - amount);
				prop_assert!(pool.value_of(&others) >= before.value_of(&others));
				prop_assert!(pool.balance <= pool.shares);
			},
			Err(PoolError::TooSmall) => prop_assert_eq!(amount, 0),
			Err(error) => {
				prop_assert_eq!(error, PoolError::Insufficient);
				prop_assert!(amount > value);
				prop_assert_eq!((pool, position), (before, old));
			},
		}
	}

	#[test]
	fn redeeming_pays_the_value_and_leaves_no_shares(
		(before, old) in pool_and_position(),
	) {
		let (mut pool, mut position) = (before, old);
		let others = rest(&before, &old);
		prop_assert_eq!(pool.redeem(&mut position), before.value_of(&old));
		prop_assert_eq!(position.shares, 0);
		prop_assert!(pool.value_of(&others) >= before.value_of(&others));
		prop_assert_eq!(pool.is_empty(), old.shares == before.shares);
		prop_assert_eq!(pool.shares, others.shares);
	}

	#[test]
	fn entering_and_leaving_gains_nothing(
		(before, _) in pool_and_position(),
		amount in 1..=1u128 << 60,
	) {
		let (mut pool, mut position) = (before, Position::default());
		if pool.deposit(&mut position, amount).is_ok() {
			prop_assert!(pool.redeem(&mut position) <= amount);
			prop_assert!(pool.balance >= before.balance);
		}
	}

	/// Three stakers enter and leave in any order while the pool has losses.
	#[test]
	fn a_pool_stays_sound(
		steps in prop::collection::vec((0..3usize, 0..4u8, 1..=1u128 << 90), 1..60),
	) {
		let mut pool = Pool::default();
		let mut stakers = [Position::default(); 3];
		for (staker, action, amount) in steps {
			let before = (pool, stakers);
			let position = &mut stakers[staker];
			let result = match action {
				0 => pool.deposit(position, amount),
				1 => {
					let value = pool.value_of(position);
					pool.withdraw(position, amount % value.saturating_add(2))
				},
				2 => Ok(pool.redeem(position)),
				// A loss of any part, now and then of everything.
				_ => {
					pool.balance = (pool.balance / 7).saturating_mul(amount % 7);
					Ok(0)
				},
			};
			if result.is_err() {
				prop_assert_eq!((pool, stakers), before);
			}
			prop_assert!(pool.balance <= pool.shares);
			let shares: u128 = stakers
				.iter()
				.filter(|position| position.epoch == pool.epoch)
				.map(|position| position.shares)
				.sum();
			prop_assert_eq!(shares, pool.shares);
			let worth: Balance = stakers.iter().map(|position| pool.value_of(position)).sum();
			prop_assert!(worth <= pool.balance);
			prop_assert!(pool.balance - worth < 3 || pool.shares == 0);
		}
	}
}

#[test]
fn the_first_deposit_buys_a_share_a_planck() {
	let (mut pool, mut position) = (Pool::default(), Position::default());
	assert_eq!(pool.deposit(&mut position, 7), Ok(7));
	assert_eq!(pool, Pool { balance: 7, shares: 7, epoch: 0 });
	assert_eq!(position, Position { shares: 7, epoch: 0 });
}

#[test]
fn nothing_is_deposited_and_nothing_withdrawn() {
	let (mut pool, mut position) = (Pool::default(), Position::default());
	assert_eq!(pool.deposit(&mut position, 0), Err(PoolError::TooSmall));
	assert_eq!(pool.withdraw(&mut position, 0), Err(PoolError::TooSmall));
	assert_eq!(pool.withdraw(&mut position, 1), Err(PoolError::Insufficient));
	assert_eq!(pool.redeem(&mut position), 0);
	assert!(pool.is_empty());
}

#[test]
fn taking_everything_leaves_no_share() {
	let mut pool = Pool { balance: 10, shares: 30, epoch: 0 };
	let mut position = Position { shares: 11, epoch: 0 };
	// Its 3 planck are worth 9 shares.
	assert_eq!(pool.withdraw(&mut position, 3), Ok(11));
	assert_eq!(position.shares, 0);
	assert_eq!(pool, Pool { balance: 7, shares: 19, epoch: 0 });
}

#[test]
fn the_largest_amount_fits_once() {
	let (mut pool, mut position) = (Pool::default(), Position::default());
	assert_eq!(pool.deposit(&mut position, u128::MAX), Ok(u128::MAX));
	assert_eq!(pool.value_of(&position), u128::MAX);
	let full = pool;
	assert_eq!(pool.deposit(&mut position, 1), Err(PoolError::Overflow));
	assert_eq!(pool, full);
	assert_eq!(pool.withdraw(&mut position, u128::MAX - 1), Ok(u128::MAX - 1));
	assert_eq!(pool, Pool { balance: 1, shares: 1, epoch: 0 });
}

#[test]
fn a_pool_that_lost_everything_begins_a_new_epoch() {
	let mut pool = Pool { balance: 0, shares: 10, epoch: 0 };
	let mut worthless = Position { shares: 10, epoch: 0 };
	let mut newcomer = Position::default();
	assert_eq!(pool.value_of(&worthless), 0);
	assert_eq!(pool.deposit(&mut newcomer, 5), Ok(5));
	assert_eq!(pool, Pool { balance: 5, shares: 5, epoch: 1 });
	assert_eq!(newcomer, Position { shares: 5, epoch: 1 });
	// The old shares take nothing, and are forgotten when their owner enters again.
	assert_eq!(pool.value_of(&worthless), 0);
	assert_eq!(pool.withdraw(&mut worthless, 1), Err(PoolError::Insufficient));
	assert_eq!(pool.redeem(&mut worthless.clone()), 0);
	assert_eq!(pool.deposit(&mut worthless, 5), Ok(5));
	assert_eq!(worthless, Position { shares: 5, epoch: 1 });
	assert_eq!(pool, Pool { balance: 10, shares: 10, epoch: 1 });
}

#[test]
fn the_epochs_end_before_they_wrap() {
	let mut pool = Pool { balance: 0, shares: 1, epoch: u32::MAX };
	assert_eq!(pool.deposit(&mut Position::default(), 5), Err(PoolError::Overflow));
}

#[test]
fn nobody_buys_into_a_pool_that_lost_practically_everything() {
	for shares in [1, MAX_SHARES_BOUGHT, 5 * MAX_SHARES_BOUGHT, 5 * MAX_SHARES_BOUGHT + 1] {
		let enough = shares.div_ceil(MAX_SHARES_BOUGHT);
		let mut pool = Pool { balance: enough, shares, epoch: 0 };
		assert!(pool.deposit(&mut Position::default(), 10).is_ok());
		assert_eq!((pool.balance, pool.epoch), (enough + 10, 0));
		let mut pool = Pool { balance: enough - 1, shares, epoch: 0 };
		assert_eq!(pool.deposit(&mut Position::default(), 10), Ok(10));
		assert_eq!(pool, Pool { balance: 10, shares: 10, epoch: 1 });
	}
}

#[test]
fn a_small_loss_does_not_empty_a_pool_that_was_poor_once() {
	const MUCH: Balance = 1_000_000_000_000_000_000_000_000;
	let (mut pool, mut first) = (Pool::default(), Position::default());
	assert!(pool.deposit(&mut first, 2 * MAX_SHARES_A_PLANCK - 1).is_ok());
	pool.slash(Perbill::from_parts(999_999_999));
	let mut second = Position::default();
	assert!(pool.deposit(&mut second, MUCH).is_ok());
	assert_eq!(pool.slash(Perbill::from_parts(1)), MUCH / 1_000_000_000);
	assert_eq!(pool.value_of(&second), MUCH - MUCH / 1_000_000_000);
}
