//! `stake`, `unstake`, `withdraw`.

use crate::{mock::*, Call, Chunk, Error, Event, Ledger, Ledgers};

#[test]
fn stake_holds_the_amount_as_idle() {
	run(|| {
		let staker = account(1);
		done(&staker, stake(5 * CAI));
		done(&staker, stake(2 * CAI));
		assert_eq!(held(&staker), 7 * CAI);
		assert_eq!(Balances::free_balance(&staker), FUNDS - 7 * CAI);
		assert_eq!(Ledgers::<Test>::get(&staker).idle, 7 * CAI);
		assert_eq!(last_event(), Event::Staked { stash: staker, amount: 2 * CAI, idle: 7 * CAI });
	});
}

#[test]
fn stake_of_nothing_is_refused() {
	run(|| refused(&account(1), stake(0), Error::ZeroAmount));
}

#[test]
fn stake_leaves_the_existential_deposit_free() {
	run(|| {
		refused(&account(1), stake(FUNDS), Error::InsufficientBalance);
		refused(&account(1), stake(FUNDS - CAI + 1), Error::InsufficientBalance);
		done(&account(1), stake(FUNDS - CAI));
		refused(&account(1), stake(1), Error::InsufficientBalance);
	});
}

#[test]
fn stake_of_an_account_without_funds_is_refused() {
	run(|| refused(&account(99), stake(CAI), Error::InsufficientBalance));
}

#[test]
fn unstake_unbonds_idle_stake() {
	run(|| {
		let staker = account(1);
		done(&staker, stake(10 * CAI));
		done(&staker, Call::unstake { amount: 4 * CAI });
		let ledger = Ledgers::<Test>::get(&staker);
		assert_eq!(ledger.idle, 6 * CAI);
		assert_eq!(ledger.unbonding.to_vec(), [Chunk { amount: 4 * CAI, until_era: BONDING }]);
		assert_eq!(held(&staker), 10 * CAI);
		assert_eq!(
			last_event(),
			Event::Unstaked { stash: staker, amount: 4 * CAI, until_era: BONDING, idle: 6 * CAI }
		);
	});
}

#[test]
fn unstake_of_nothing_is_refused() {
	run(|| refused(&account(1), Call::unstake { amount: 0 }, Error::ZeroAmount));
}

#[test]
fn unstake_of_more_than_idle_is_refused() {
	run(|| {
		let voter = account(1);
		let miner = registered(2, crate::Role::Miner, 20_000 * CAI);
		done(&voter, stake(10 * CAI));
		done(&voter, vote(&miner, 4 * CAI));
		refused(&voter, Call::unstake { amount: 6 * CAI + 1 }, Error::InsufficientIdle);
		done(&voter, Call::unstake { amount: 6 * CAI });
	});
}

#[test]
fn unstake_in_one_era_makes_one_chunk() {
	run(|| {
		let staker = account(1);
		done(&staker, stake(10 * CAI));
		for amount in [1, 2, 3] {
			done(&staker, Call::unstake { amount });
		}
		assert_eq!(
			Ledgers::<Test>::get(&staker).unbonding.to_vec(),
			[Chunk { amount: 6, until_era: BONDING }]
		);
	});
}

#[test]
fn unstake_is_refused_when_the_chunks_are_full() {
	run(|| {
		let staker = account(1);
		done(&staker, stake(10 * CAI));
		for _ in 0..3 {
			done(&staker, Call::unstake { amount: CAI });
			end_eras(1);
		}
		refused(&staker, Call::unstake { amount: CAI }, Error::TooManyChunks);
		// The first chunk is ready by now and makes room.
		done(&staker, Call::withdraw {});
		done(&staker, Call::unstake { amount: CAI });
	});
}

#[test]
fn withdraw_releases_what_is_ready_and_no_more() {
	run(|| {
		let staker = account(1);
		done(&staker, stake(10 * CAI));
		done(&staker, Call::unstake { amount: 4 * CAI });
		end_eras(1);
		done(&staker, Call::unstake { amount: 3 * CAI });
		end_eras(BONDING - 2);
		refused(&staker, Call::withdraw {}, Error::NothingToWithdraw);
		end_eras(1);
		done(&staker, Call::withdraw {});
		assert_eq!(
			last_event(),
			Event::Withdrawn { stash: staker.clone(), amount: 4 * CAI, held: 6 * CAI }
		);
		assert_eq!(Balances::free_balance(&staker), FUNDS - 6 * CAI);
		refused(&staker, Call::withdraw {}, Error::NothingToWithdraw);
		end_eras(1);
		done(&staker, Call::withdraw {});
		assert_eq!(held(&staker), 3 * CAI);
	});
}

#[test]
fn withdraw_without_stake_is_refused() {
	run(|| refused(&account(1), Call::withdraw {}, Error::NothingToWithdraw));
}

#[test]
fn an_empty_ledger_is_removed() {
	run(|| {
		let staker = account(1);
		done(&staker, stake(CAI));
		done(&staker, Call::unstake { amount: CAI });
		end_eras(BONDING);
		assert!(Ledgers::<Test>::contains_key(&staker));
		done(&staker, Call::withdraw {});
		assert!(!Ledgers::<Test>::contains_key(&staker));
		assert_eq!(Ledgers::<Test>::get(&staker), Ledger::default());
		assert_eq!(held(&staker), 0);
		assert_eq!(Balances::free_balance(&staker), FUNDS);
	});
}
