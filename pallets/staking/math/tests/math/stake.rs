//! Stakes: what is held for a position, and what it owes after losses of its pool.

use cuckoo_staking_math::{Balance, Pool, PoolError, Stake};
use proptest::prelude::*;

use crate::{amount, pool_and_position, rate, rest};

prop_compose! {
	/// A pool and a stake in it, which may have losses to settle, or shares that rounding has made
	/// worth more than was paid for them.
	fn pool_and_stake()(
		(pool, position) in pool_and_position(),
		more in prop_oneof![Just(0), 0..=3u128, 0..=1u128 << 100],
		less in prop_oneof![2 => Just(0), 1 => 0..=3u128],
	) -> (Pool, Stake) {
		let held = (pool.value_of(&position) + more).saturating_sub(less);
		(pool, Stake { position, held })
	}
}

prop_compose! {
	fn pool_and_settled_stake()((pool, stake) in pool_and_stake()) -> (Pool, Stake) {
		(pool, Stake { held: stake.worth(&pool), ..stake })
	}
}

proptest! {
	#[test]
	fn a_stake_is_worth_its_shares_but_no_more_than_is_held((pool, stake) in pool_and_stake()) {
		prop_assert_eq!(stake.worth(&pool), pool.value_of(&stake.position).min(stake.held));
	}

	#[test]
	fn settling_owes_what_was_lost((pool, before) in pool_and_stake()) {
		let mut stake = before;
		let worth = before.worth(&pool);
		prop_assert_eq!(stake.settle(&pool), before.held - worth);
		prop_assert_eq!(stake, Stake { held: worth, ..before });
		prop_assert_eq!(stake.worth(&pool), worth);
		// Once.
		let settled = stake;
		prop_assert_eq!(stake.settle(&pool), 0);
		prop_assert_eq!(stake, settled);
	}

	#[test]
	fn a_deposit_is_held(
		(pool_before, before) in pool_and_settled_stake(),
		amount in amount(),
	) {
		let (mut pool, mut stake) = (pool_before, before);
		let (mut pool_after, mut position) = (pool_before, before.position);
		let expected = pool_after.deposit(&mut position, amount).map(|_| ());
		prop_assert_eq!(stake.deposit(&mut pool, amount), expected);
		if expected.is_ok() {
			prop_assert_eq!(pool, pool_after);
			prop_assert_eq!(stake, Stake { position, held: before.held + amount });
			// Rounding costs the depositor a planck at most.
			prop_assert!(stake.settle(&pool) <= 1);
		} else {
			prop_assert_eq!((pool, stake), (pool_before, before));
		}
	}

	#[test]
	fn a_withdrawal_is_no_longer_held(
		(pool_before, before) in pool_and_settled_stake(),
		part in prop_oneof![0..=1_000u128, Just(1_000)],
		beyond in 0..=1u128,
	) {
		let worth = before.worth(&pool_before);
		let amount = worth / 1_000 * part + worth % 1_000 * part / 1_000 + beyond;
		let (mut pool, mut stake) = (pool_before, before);
		let others = rest(&pool_before, &before.position);
		match stake.withdraw(&mut pool, amount) {
			Ok(()) => {
				prop_assert!(amount > 0 && amount <= worth);
				prop_assert_eq!(stake.held, before.held - amount);
				if amount == worth {
					prop_assert_eq!(stake.position.shares, 0);
					prop_assert_eq!(pool.shares, others.shares);
					let value = pool_before.value_of(&before.position);
					prop_assert_eq!(pool.balance, pool_before.balance - value);
				} else {
					prop_assert_eq!(pool.balance, pool_before.balance - amount);
					prop_assert_eq!(pool.shares, others.shares + stake.position.shares);
				}
				prop_assert!(pool.value_of(&others) >= pool_before.value_of(&others));
				prop_assert!(pool.balance <= pool.shares);
				prop_assert!(stake.settle(&pool) <= 1);
			},
			Err(error) => {
				if amount == 0 {
					prop_assert_eq!(error, PoolError::TooSmall);
				} else {
					prop_assert!(amount > worth);
					prop_assert_eq!(error, PoolError::Insufficient);
				}
				prop_assert_eq!((pool, stake), (pool_before, before));
			},
		}
	}

	/// A withdrawal before the losses are settled leaves them owed.
	#[test]
	fn withdrawing_does_not_escape_losses((mut pool, before) in pool_and_stake()) {
		let mut stake = before;
		let worth = before.worth(&pool);
		prop_assume!(worth > 0);
		prop_assert_eq!(stake.withdraw(&mut pool, worth), Ok(()));
		prop_assert_eq!(stake.position.shares, 0);
		prop_assert_eq!(stake.settle(&pool), before.held - worth);
		prop_assert_eq!(stake.held, 0);
	}

	/// Four stakers enter and leave in any order while the pool has losses: every planck that they
	/// put in is paid out, owed or still held.
	#[test]
	fn every_planck_is_accounted_for(
		steps in prop::collection::vec((0..4usize, 0..6u8, 1..=1u128 << 90, rate()), 1..60),
	) {
		let mut pool = Pool::default();
		let mut stakes = [Stake::default(); 4];
		let (mut deposited, mut paid, mut owed, mut lost) = (0, 0, 0, 0);
		let mut roundings = 0;
		for (staker, action, amount, fraction) in steps {
			let stake = &mut stakes[staker];
			// Whoever acts is settled first.
			if action < 5 {
				owed += stake.settle(&pool);
			}
			let before = (pool, *stake);
			let result = match action {
				0 | 1 => stake.deposit(&mut pool, amount).map(|()| deposited += amount),
				2 => {
					let amount = amount % stake.held.saturating_add(2);
					stake.withdraw(&mut pool, amount).map(|()| paid += amount)
				},
				3 => {
					let all = stake.held;
					stake.withdraw(&mut pool, all).map(|()| paid += all)
				},
				4 => Ok(()),
				_ => {
					// Mostly losses after which something is left.
					let part = if amount % 4 == 0 { fraction } else { fraction / 10 };
					lost += pool.slash(part);
					Ok(())
				},
			};
			roundings += 1;
			if result.is_err() {
				prop_assert_eq!((pool, stakes[staker]), before);
			}
			let held: Balance = stakes.iter().map(|stake| stake.held).sum();
			prop_assert_eq!(paid + owed + held, deposited);
			for stake in &stakes {
				prop_assert!(stake.worth(&pool) <= stake.held);
			}
			let worth: Balance = stakes.iter().map(|stake| stake.worth(&pool)).sum();
			prop_assert!(worth <= pool.balance);
			prop_assert!(pool.balance <= pool.shares);
		}
		// What is owed covers the losses, and is more only by what was rounded.
		owed += stakes.iter_mut().map(|stake| stake.settle(&pool)).sum::<Balance>();
		prop_assert!(owed >= lost);
		prop_assert!(owed - lost <= roundings + 4);
		// In the end everybody can leave with what is held for him.
		for stake in &mut stakes {
			owed += stake.settle(&pool);
			let all = stake.held;
			if all > 0 {
				prop_assert_eq!(stake.withdraw(&mut pool, all), Ok(()));
				paid += all;
			}
			prop_assert_eq!(stake.held, 0);
		}
		prop_assert_eq!(paid + owed, deposited);
	}
}

#[test]
fn the_first_stake_is_worth_what_was_paid() {
	let (mut pool, mut stake) = (Pool::default(), Stake::default());
	assert_eq!(stake.worth(&pool), 0);
	assert_eq!(stake.settle(&pool), 0);
	assert_eq!(stake.deposit(&mut pool, 7), Ok(()));
	assert_eq!((stake.worth(&pool), stake.held, stake.position.shares), (7, 7, 7));
}

#[test]
fn nothing_changes_when_too_much_would_be_held() {
	let before = Stake { held: u128::MAX, ..Stake::default() };
	let (mut pool, mut stake) = (Pool::default(), before);
	assert_eq!(stake.deposit(&mut pool, 1), Err(PoolError::Overflow));
	assert_eq!((pool, stake), (Pool::default(), before));
}

#[test]
fn a_planck_that_rounding_made_belongs_to_nobody() {
	let mut pool = Pool { balance: 10, shares: 10, epoch: 0 };
	let mut stake = Stake { held: 9, ..Stake::default() };
	stake.position.shares = 10;
	assert_eq!(stake.worth(&pool), 9);
	assert_eq!(stake.settle(&pool), 0);
	assert_eq!(stake.withdraw(&mut pool, 10), Err(PoolError::Insufficient));
	assert_eq!(stake.withdraw(&mut pool, 9), Ok(()));
	assert_eq!(stake, Stake::default());
	assert!(pool.is_empty());
}

#[test]
fn shares_of_a_pool_that_lost_everything_owe_all_that_is_held() {
	let mut pool = Pool { balance: 0, shares: 10, epoch: 0 };
	let mut stake = Stake { held: 10, ..Stake::default() };
	stake.position.shares = 10;
	assert_eq!(stake.worth(&pool), 0);
	assert_eq!(stake.settle(&pool), 10);
	assert_eq!(stake.withdraw(&mut pool, 1), Err(PoolError::Insufficient));
	// Who comes back begins anew.
	assert_eq!(stake.deposit(&mut pool, 3), Ok(()));
	assert_eq!((stake.worth(&pool), stake.held), (3, 3));
	assert_eq!(pool, Pool { balance: 3, shares: 3, epoch: 1 });
}
