//! `vote`, `unvote`, `move_vote`, and what they leave behind.

use crate::{
	mock::*, Balance, Call, Error, Event, Ledgers, Pool, Pools, Positions, Role, RoleTotal,
	RoleTotals, SubPools,
};

/// A miner with 20,000 CAI, the first account, and a voter with 100 CAI idle, the tenth.
fn miner_and_voter() -> (AccountId, AccountId) {
	let voter = account(10);
	done(&voter, stake(100 * CAI));
	(registered(1, Role::Miner, 20_000 * CAI), voter)
}

fn position(voter: &AccountId, candidate: &AccountId) -> Balance {
	Positions::<Test>::get(voter, candidate)
		.map_or(0, |backing| backing.stake.worth(&Pools::<Test>::get(candidate)))
}

#[test]
fn vote_puts_idle_stake_behind_the_candidate() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		done(&voter, vote(&miner, 30 * CAI));
		done(&voter, vote(&miner, 10 * CAI));
		assert_eq!(
			last_event(),
			Event::Voted {
				voter: voter.clone(),
				candidate: miner.clone(),
				amount: 10 * CAI,
				position: 40 * CAI,
				weight: 20_040 * CAI,
			}
		);
		assert_eq!(Ledgers::<Test>::get(&voter).idle, 60 * CAI);
		assert_eq!(Ledgers::<Test>::get(&voter).votes, 1);
		assert_eq!(position(&voter, &miner), 40 * CAI);
		assert_eq!(
			RoleTotals::<Test>::get(Role::Miner),
			RoleTotal { candidates: 1, weight: 20_040 * CAI }
		);
	});
}

#[test]
fn vote_for_oneself_adds_self_stake_and_is_no_vote() {
	run(|| {
		let (miner, _) = miner_and_voter();
		done(&miner, stake(5 * CAI));
		done(&miner, vote(&miner, 5 * CAI));
		assert_eq!(position(&miner, &miner), 20_005 * CAI);
		assert_eq!(Ledgers::<Test>::get(&miner).votes, 0);
	});
}

#[test]
fn vote_of_nothing_is_refused() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		refused(&voter, vote(&miner, 0), Error::ZeroAmount);
	});
}

#[test]
fn vote_for_an_unregistered_account_is_refused() {
	run(|| {
		let (_, voter) = miner_and_voter();
		refused(&voter, vote(&account(2), CAI), Error::NotACandidate);
		refused(&voter, vote(&voter, CAI), Error::NotACandidate);
	});
}

#[test]
fn vote_below_the_minimum_is_refused_but_a_small_addition_is_not() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		refused(&voter, vote(&miner, CAI - 1), Error::BelowMinimumVote);
		done(&voter, vote(&miner, CAI));
		done(&voter, vote(&miner, 1));
	});
}

#[test]
fn vote_for_too_many_candidates_is_refused() {
	run(|| {
		let voter = registered(9, Role::Miner, 20_000 * CAI);
		done(&voter, stake(100 * CAI));
		for n in 1..=3 {
			done(&voter, vote(&registered(n, Role::Miner, 20_000 * CAI), CAI));
		}
		let fourth = registered(4, Role::Miner, 20_000 * CAI);
		refused(&voter, vote(&fourth, CAI), Error::TooManyVotes);
		// More for a known one and for itself is no new candidate.
		done(&voter, vote(&account(1), CAI));
		done(&voter, vote(&voter, CAI));
		done(&voter, unvote(&account(2), CAI));
		done(&voter, vote(&fourth, CAI));
	});
}

#[test]
fn unvote_returns_the_stake_at_once_and_leaves_an_exposure() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		done(&voter, vote(&miner, 40 * CAI));
		done(&voter, unvote(&miner, 10 * CAI));
		done(&voter, unvote(&miner, 5 * CAI));
		assert_eq!(
			last_event(),
			Event::Unvoted {
				voter: voter.clone(),
				candidate: miner.clone(),
				amount: 5 * CAI,
				position: 25 * CAI,
				weight: 20_025 * CAI,
			}
		);
		let ledger = Ledgers::<Test>::get(&voter);
		assert_eq!(ledger.idle, 75 * CAI);
		assert_eq!(ledger.votes, 1);
		let [exposure] = ledger.exposures.as_slice() else { panic!("not one exposure") };
		assert_eq!((exposure.left_era, exposure.stake.held), (0, 15 * CAI));
		assert_eq!(exposure.candidate, miner);
		let sub_pool = SubPools::<Test>::get(&miner, 0);
		assert_eq!(sub_pool, Pool { balance: 15 * CAI, shares: 15 * CAI, epoch: 0 });
		assert_eq!(
			RoleTotals::<Test>::get(Role::Miner),
			RoleTotal { candidates: 1, weight: 20_025 * CAI }
		);
	});
}

#[test]
fn unvote_of_all_removes_the_position() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		done(&voter, vote(&miner, 40 * CAI));
		done(&voter, unvote(&miner, 40 * CAI));
		assert_eq!(Positions::<Test>::get(&voter, &miner), None);
		assert_eq!(Ledgers::<Test>::get(&voter).votes, 0);
	});
}

#[test]
fn unvote_of_nothing_is_refused() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		refused(&voter, unvote(&miner, 0), Error::ZeroAmount);
	});
}

#[test]
fn unvote_without_a_vote_is_refused() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		refused(&voter, unvote(&miner, CAI), Error::NoVote);
		refused(&voter, unvote(&account(99), CAI), Error::NoVote);
	});
}

#[test]
fn unvote_of_more_than_the_position_is_refused() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		done(&voter, vote(&miner, 40 * CAI));
		refused(&voter, unvote(&miner, 40 * CAI + 1), Error::InsufficientVote);
	});
}

#[test]
fn unvote_that_leaves_less_than_the_minimum_is_refused() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		done(&voter, vote(&miner, 3 * CAI));
		refused(&voter, unvote(&miner, 2 * CAI + 1), Error::BelowMinimumVote);
		done(&voter, unvote(&miner, 2 * CAI));
	});
}

#[test]
fn unvote_of_needed_self_stake_is_refused() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_010 * CAI);
		refused(&miner, unvote(&miner, 10 * CAI + 1), Error::SelfStakeNeeded);
		refused(&miner, unvote(&miner, 20_010 * CAI), Error::SelfStakeNeeded);
		done(&miner, unvote(&miner, 10 * CAI));
		refused(&miner, unvote(&miner, 1), Error::SelfStakeNeeded);
	});
}

#[test]
fn unvote_is_refused_when_the_exposures_are_full() {
	run(|| {
		let (_, voter) = miner_and_voter();
		let miners: Vec<_> = (2..=6).map(|n| registered(n, Role::Miner, 20_000 * CAI)).collect();
		let (last, others) = miners.split_last().unwrap();
		for miner in others {
			done(&voter, vote(miner, CAI));
			done(&voter, unvote(miner, CAI));
		}
		done(&voter, vote(last, CAI));
		refused(&voter, unvote(last, CAI), Error::TooManyExposures);
		// A known exposure grows, and expired ones make room.
		done(&voter, vote(&others[0], CAI));
		done(&voter, unvote(&others[0], CAI));
		end_eras(BONDING);
		done(&voter, unvote(last, CAI));
	});
}

#[test]
fn expired_exposures_leave_their_sub_pool_with_the_next_touch() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		let other = account(11);
		done(&other, stake(100 * CAI));
		for staker in [&voter, &other] {
			done(staker, vote(&miner, 10 * CAI));
			done(staker, unvote(&miner, 10 * CAI));
		}
		end_eras(BONDING - 1);
		done(&voter, stake(1));
		assert_eq!(Ledgers::<Test>::get(&voter).exposures.len(), 1);
		end_eras(1);
		done(&voter, stake(1));
		assert!(Ledgers::<Test>::get(&voter).exposures.is_empty());
		assert_eq!(SubPools::<Test>::get(&miner, 0).balance, 10 * CAI);
		done(&other, stake(1));
		assert!(!SubPools::<Test>::contains_key(&miner, 0));
	});
}

#[test]
fn no_exposure_outlives_the_stake() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		done(&voter, vote(&miner, 100 * CAI));
		done(&voter, unvote(&miner, 100 * CAI));
		done(&voter, Call::unstake { amount: 100 * CAI });
		end_eras(BONDING - 1);
		refused(&voter, Call::withdraw {}, Error::NothingToWithdraw);
		end_eras(1);
		done(&voter, Call::withdraw {});
		assert!(!Ledgers::<Test>::contains_key(&voter));
		assert!(!SubPools::<Test>::contains_key(&miner, 0));
	});
}

#[test]
fn move_vote_moves_stake_and_carries_the_exposure() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		let coordinator = registered(2, Role::Coordinator, 2_000_000 * CAI);
		done(&voter, vote(&miner, 40 * CAI));
		done(&voter, move_vote(&miner, &coordinator, 15 * CAI));
		assert_eq!(
			last_event(),
			Event::VoteMoved {
				voter: voter.clone(),
				from: miner.clone(),
				to: coordinator.clone(),
				amount: 15 * CAI,
				from_weight: 20_025 * CAI,
				to_weight: 2_000_015 * CAI,
			}
		);
		assert_eq!(position(&voter, &miner), 25 * CAI);
		assert_eq!(position(&voter, &coordinator), 15 * CAI);
		let ledger = Ledgers::<Test>::get(&voter);
		assert_eq!((ledger.idle, ledger.votes), (60 * CAI, 2));
		assert_eq!(ledger.exposures.len(), 1);
		assert_eq!(SubPools::<Test>::get(&miner, 0).balance, 15 * CAI);
		assert_eq!(RoleTotals::<Test>::get(Role::Miner).weight, 20_025 * CAI);
		assert_eq!(RoleTotals::<Test>::get(Role::Coordinator).weight, 2_000_015 * CAI);
	});
}

#[test]
fn move_vote_of_everything_needs_no_free_place() {
	run(|| {
		let (_, voter) = miner_and_voter();
		for n in 2..=4 {
			done(&voter, vote(&registered(n, Role::Miner, 20_000 * CAI), 2 * CAI));
		}
		let fifth = registered(5, Role::Miner, 20_000 * CAI);
		refused(&voter, move_vote(&account(2), &fifth, CAI), Error::TooManyVotes);
		done(&voter, move_vote(&account(2), &fifth, 2 * CAI));
	});
}

#[test]
fn move_vote_is_refused_as_vote_and_unvote_are() {
	run(|| {
		let (miner, voter) = miner_and_voter();
		let other = registered(2, Role::Miner, 20_000 * CAI);
		done(&voter, vote(&miner, 3 * CAI));
		refused(&voter, move_vote(&miner, &other, 0), Error::ZeroAmount);
		refused(&voter, move_vote(&miner, &miner, CAI), Error::SameCandidate);
		refused(&voter, move_vote(&miner, &account(3), CAI), Error::NotACandidate);
		refused(&voter, move_vote(&other, &miner, CAI), Error::NoVote);
		refused(&voter, move_vote(&miner, &other, 4 * CAI), Error::InsufficientVote);
		refused(&voter, move_vote(&miner, &other, 2 * CAI + 1), Error::BelowMinimumVote);
		refused(&voter, move_vote(&miner, &other, 1), Error::BelowMinimumVote);
		refused(&miner, move_vote(&miner, &other, CAI), Error::SelfStakeNeeded);
	});
}
