//! Slashes, jail, and how losses reach the stakers.

use cuckoo_staking_math::{Perbill, Pool};
use frame::prelude::DispatchError;

use crate::{
	mock::*, Balance, Call, Candidates, Error, Event, Ledgers, Offenders, PendingSlashes, Pools,
	Positions, Ranking, Role, RoleTotals, SubPools,
};

fn percent(percent: u32) -> Perbill {
	Perbill::from_percent(percent)
}

#[track_caller]
fn slash(candidate: &AccountId, fraction: Perbill, offence_era: u32) {
	try_slash(candidate, fraction, offence_era).unwrap();
}

fn try_slash(
	candidate: &AccountId,
	fraction: Perbill,
	offence_era: u32,
) -> Result<(), DispatchError> {
	let call = Call::slash { candidate: candidate.clone(), fraction, offence_era };
	let result = dispatch(RuntimeOrigin::root(), call);
	check();
	result
}

fn settle(staker: &AccountId, candidate: &AccountId) -> Call<Test> {
	Call::settle { staker: staker.clone(), candidate: candidate.clone() }
}

fn era() -> u32 {
	crate::CurrentEra::<Test>::get().index
}

/// Goes on until what was reported now has been applied.
fn apply() {
	end_eras(DEFER);
	check();
}

fn backed(voter: &AccountId, candidate: &AccountId) -> Balance {
	Positions::<Test>::get(voter, candidate)
		.map_or(0, |backing| backing.stake.worth(&Pools::<Test>::get(candidate)))
}

/// A miner with 20,000 CAI of its own and 10,000 of a voter.
fn backed_miner() -> (AccountId, AccountId) {
	let miner = registered(1, Role::Miner, 20_000 * CAI);
	let voter = account(10);
	done(&voter, stake(15_000 * CAI));
	done(&voter, vote(&miner, 10_000 * CAI));
	(miner, voter)
}

#[test]
fn a_slash_waits_and_then_hits_all_who_back_in_proportion() {
	run(|| {
		let (miner, voter) = backed_miner();
		slash(&miner, percent(10), 0);
		assert_eq!(Pools::<Test>::get(&miner).balance, 30_000 * CAI);
		assert_eq!(Staking::view_pending_slashes(&miner).len(), 1);
		apply();
		assert_eq!(Pools::<Test>::get(&miner).balance, 27_000 * CAI);
		assert_eq!(RoleTotals::<Test>::get(Role::Miner).weight, 27_000 * CAI);
		assert!(Staking::view_pending_slashes(&miner).is_empty());
		assert_eq!(backed(&voter, &miner), 9_000 * CAI);
		// The tokens go when the voter is touched.
		assert_eq!(held(&voter), 15_000 * CAI);
		let issuance = Balances::total_issuance();
		done(&account(20), settle(&voter, &miner));
		assert_eq!(held(&voter), 14_000 * CAI);
		assert_eq!(Balances::total_issuance(), issuance - 1_000 * CAI);
		refused(&account(20), settle(&voter, &miner), Error::NothingToSettle);
		// Taking back what is left works to the last planck.
		done(&voter, unvote(&miner, 9_000 * CAI));
		done(&miner, Call::deregister {});
		done(&miner, unvote(&miner, 18_000 * CAI));
		assert_eq!(held(&miner), 18_000 * CAI);
	});
}

#[test]
fn the_events_of_a_slash_tell_what_happened() {
	run(|| {
		let (miner, voter) = backed_miner();
		end_eras(1);
		done(&voter, unvote(&miner, 4_000 * CAI));
		slash(&miner, percent(50), 1);
		let reported = Event::SlashReported {
			id: 0,
			candidate: miner.clone(),
			fraction: percent(50),
			offence_era: 1,
			apply_era: 1 + DEFER,
		};
		let jailed = Event::Jailed { stash: miner.clone(), until_era: 1 + DEFER };
		assert_eq!(events().into_iter().rev().take(2).collect::<Vec<_>>(), [jailed, reported]);
		apply();
		let applied = Event::SlashApplied {
			id: 0,
			candidate: miner.clone(),
			pool: 13_000 * CAI,
			left: 2_000 * CAI,
			weight: 13_000 * CAI,
		};
		assert!(events().contains(&applied));
		done(&voter, settle(&voter, &miner));
		let slashed: Vec<_> = events()
			.into_iter()
			.filter_map(|event| match event {
				Event::Slashed { staker, amount, .. } if staker == voter => Some(amount),
				_ => None,
			})
			.collect();
		assert_eq!(slashed, [2_000 * CAI, 3_000 * CAI]);
	});
}

#[test]
fn who_left_before_the_offence_is_not_slashed_and_who_left_after_it_is() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let voters = [10, 11].map(account);
		for voter in &voters {
			done(voter, stake(10_000 * CAI));
			done(voter, vote(&miner, 10_000 * CAI));
		}
		done(&voters[0], unvote(&miner, 10_000 * CAI));
		end_eras(1);
		// The offence is now.
		done(&voters[1], unvote(&miner, 10_000 * CAI));
		slash(&miner, percent(20), 1);
		apply();
		for (voter, left) in voters.iter().zip([10_000, 8_000]) {
			done(voter, stake(CAI));
			assert_eq!(Ledgers::<Test>::get(voter).idle, left * CAI + CAI);
			assert_eq!(held(voter), left * CAI + CAI);
		}
	});
}

#[test]
fn unbonding_stake_is_slashed() {
	run(|| {
		let (miner, voter) = backed_miner();
		done(&voter, unvote(&miner, 10_000 * CAI));
		done(&voter, Call::unstake { amount: 15_000 * CAI });
		slash(&miner, percent(30), 0);
		end_eras(BONDING);
		done(&voter, Call::withdraw {});
		assert_eq!(held(&voter), 0);
		assert_eq!(Balances::free_balance(&voter), FUNDS - 3_000 * CAI);
	});
}

#[test]
fn a_moved_vote_carries_its_liability_along() {
	run(|| {
		let (miner, voter) = backed_miner();
		let other = registered(2, Role::Miner, 20_000 * CAI);
		done(&voter, vote(&miner, 5_000 * CAI));
		done(&voter, move_vote(&miner, &other, 15_000 * CAI));
		slash(&miner, percent(40), 0);
		apply();
		// All stake is behind the other: the debt waits, and anyone may have it taken.
		done(&account(20), settle(&voter, &other));
		assert_eq!(backed(&voter, &other), 9_000 * CAI);
		assert_eq!(held(&voter), 9_000 * CAI);
		assert_eq!(Pools::<Test>::get(&other).balance, 29_000 * CAI);
		assert_eq!(Ledgers::<Test>::get(&voter).debt, 0);
	});
}

#[test]
fn a_debt_is_taken_from_what_becomes_idle_and_ends_with_the_stake() {
	run(|| {
		let (miner, voter) = backed_miner();
		let other = registered(2, Role::Miner, 20_000 * CAI);
		done(&voter, vote(&miner, 5_000 * CAI));
		done(&voter, move_vote(&miner, &other, 15_000 * CAI));
		slash(&miner, percent(50), 0);
		slash(&other, percent(50), 0);
		apply();
		// 7,500 are left behind the other, and 7,500 are owed for the miner.
		done(&voter, unvote(&other, 4_000 * CAI));
		assert_eq!(Ledgers::<Test>::get(&voter).idle, 0);
		assert_eq!(Ledgers::<Test>::get(&voter).debt, 3_500 * CAI);
		assert_eq!(held(&voter), 3_500 * CAI);
		done(&account(20), settle(&voter, &other));
		let ledger = Ledgers::<Test>::get(&voter);
		assert_eq!((held(&voter), ledger.debt, ledger.votes), (0, 0, 0));
		// Stake that comes later owes nothing.
		done(&voter, stake(CAI));
		assert_eq!(held(&voter), CAI);
	});
}

#[test]
fn a_pool_that_lost_everything_begins_anew_and_old_shares_stay_worthless() {
	run(|| {
		let (miner, voter) = backed_miner();
		pass_slots(5);
		slash(&miner, percent(100), 0);
		apply();
		let earned = Staking::view_pending_rewards(&voter)[0].amount;
		assert!(earned > 0);
		assert_eq!(backed(&voter, &miner), 0);
		// Somebody else comes in.
		let newcomer = account(11);
		done(&newcomer, stake(5_000 * CAI));
		done(&newcomer, vote(&miner, 5_000 * CAI));
		assert_eq!(
			Pools::<Test>::get(&miner),
			Pool { balance: 5_000 * CAI, shares: 5_000 * CAI, epoch: 1 }
		);
		assert_eq!(backed(&voter, &miner), 0);
		// What was earned before is still paid, once, and the position goes.
		assert_eq!(Staking::view_pending_rewards(&voter)[0].amount, earned);
		let free = Balances::free_balance(&voter);
		done(&account(20), settle(&voter, &miner));
		assert_eq!(Balances::free_balance(&voter), free + earned);
		assert_eq!(held(&voter), 5_000 * CAI);
		assert_eq!(Positions::<Test>::get(&voter, &miner), None);
		assert_eq!(Ledgers::<Test>::get(&voter).votes, 0);
		assert_eq!(backed(&newcomer, &miner), 5_000 * CAI);
	});
}

#[test]
fn jail_and_fall_below_the_minimum_count_from_the_next_era() {
	run(|| {
		let (miner, _) = backed_miner();
		let active = || Staking::view_candidate(miner.clone()).unwrap().active;
		slash(&miner, percent(1), 0);
		assert!(active(), "inside the era nothing changes");
		refused(&miner, Call::unjail {}, Error::StillJailed);
		apply();
		assert!(!active());
		// A hundredth of the self-stake is gone.
		refused(&miner, Call::unjail {}, Error::BelowRoleMinimum);
		done(&miner, stake(1_000 * CAI));
		done(&miner, vote(&miner, 1_000 * CAI));
		assert!(!active());
		done(&miner, Call::unjail {});
		assert!(active());
		refused(&miner, Call::unjail {}, Error::NotJailed);
		refused(&account(9), Call::unjail {}, Error::NotRegistered);
	});
}

#[test]
fn in_jail_nothing_is_earned() {
	run(|| {
		let (miner, voter) = backed_miner();
		let pending = || -> Balance {
			[&miner, &voter]
				.iter()
				.flat_map(|staker| Staking::view_pending_rewards(staker))
				.map(|reward| reward.amount)
				.sum()
		};
		pass_slots(5);
		let before = pending();
		slash(&miner, percent(10), 0);
		pass_slots(5);
		end_eras(2);
		assert_eq!(pending(), before);
	});
}

#[test]
fn a_cancelled_slash_takes_nothing_and_frees_the_candidate() {
	run(|| {
		let (miner, _) = backed_miner();
		slash(&miner, percent(10), 0);
		let cancel = |id| dispatch(RuntimeOrigin::root(), Call::cancel_slash { id });
		assert_eq!(
			dispatch(RuntimeOrigin::signed(miner.clone()), Call::cancel_slash { id: 0 }),
			Err(DispatchError::BadOrigin)
		);
		assert_eq!(cancel(1), Err(Error::<Test>::NoSuchSlash.into()));
		cancel(0).unwrap();
		assert_eq!(cancel(0), Err(Error::<Test>::NoSuchSlash.into()));
		check();
		assert!(Staking::view_candidate(miner.clone()).unwrap().active);
		assert_eq!(Offenders::<Test>::get(&miner).jailed_until, None);
		apply();
		assert_eq!(Pools::<Test>::get(&miner).balance, 30_000 * CAI);
		// The queue goes on behind it.
		slash(&miner, percent(10), era());
		apply();
		assert_eq!(Pools::<Test>::get(&miner).balance, 27_000 * CAI);
	});
}

#[test]
fn of_several_offences_in_an_era_the_worst_counts() {
	run(|| {
		let (miner, _) = backed_miner();
		slash(&miner, percent(10), 0);
		assert_eq!(try_slash(&miner, percent(10), 0), Err(Error::<Test>::SlashedAlready.into()));
		slash(&miner, percent(40), 0);
		apply();
		// Up to a part in 10^9, in which fractions are counted.
		let left = Pools::<Test>::get(&miner).balance;
		assert!(left <= 18_000 * CAI && left > 18_000 * CAI - 30_000 * CAI / 1_000_000_000);
		// Another era is another offence.
		slash(&miner, percent(50), era());
		apply();
		assert_eq!(Pools::<Test>::get(&miner).balance, left / 2);
	});
}

#[test]
fn wrong_slashes_are_refused() {
	run(|| {
		let (miner, _) = backed_miner();
		let call = Call::slash { candidate: miner.clone(), fraction: percent(1), offence_era: 0 };
		let result = dispatch(RuntimeOrigin::signed(miner.clone()), call);
		assert_eq!(result, Err(DispatchError::BadOrigin));
		assert_eq!(try_slash(&miner, Perbill::zero(), 0), Err(Error::<Test>::ZeroFraction.into()));
		assert_eq!(try_slash(&miner, percent(1), 1), Err(Error::<Test>::OffenceInFuture.into()));
		// The oldest that can still be applied before a voter who left in that era is free.
		end_eras(BONDING);
		let oldest = era() + DEFER + 1 - BONDING;
		let too_old = try_slash(&miner, percent(1), oldest - 1);
		assert_eq!(too_old, Err(Error::<Test>::OffenceTooOld.into()));
		slash(&miner, percent(1), oldest);
	});
}

#[test]
fn slashes_are_applied_a_few_a_block() {
	run(|| {
		let miners: Vec<_> = (1..=5).map(|n| registered(n, Role::Miner, 20_000 * CAI)).collect();
		for miner in &miners {
			slash(miner, percent(50), 0);
		}
		let applied = || {
			miners.iter().filter(|miner| Pools::<Test>::get(*miner).balance == 10_000 * CAI).count()
		};
		end_eras(DEFER);
		for expected in [2, 4, 5, 5] {
			assert_eq!(applied(), expected);
			pass_slots(1);
		}
		assert_eq!(PendingSlashes::<Test>::iter().count(), 0);
		check();
	});
}

#[test]
fn a_slashed_validator_falls_in_the_ranking_and_is_not_elected_in_jail() {
	let candidates = [(1, 300), (2, 200), (3, 150)]
		.map(|(n, k)| genesis_candidate(n, Role::Validator, k * 1_000 * CAI));
	chain(candidates.to_vec(), 2).execute_with(|| {
		assert_eq!(Session::validators(), [account(1), account(2)]);
		slash(&account(1), percent(40), 0);
		end_eras(1);
		assert_eq!(Session::validators(), [account(2), account(3)]);
		let ranked: Vec<_> = Ranking::<Test>::get().into_iter().map(|(_, stash)| stash).collect();
		assert_eq!(ranked, [2, 1, 3].map(account));
		done(&account(1), Call::unjail {});
		end_eras(2);
		assert_eq!(Session::validators(), [account(2), account(1)]);
		check();
	});
}

#[test]
fn equivocation_is_slashed_through_the_offences_interface() {
	use pallet_session::historical::IdentificationTuple;
	use sp_staking::offence::{OffenceDetails, OnOffenceHandler};
	let candidates = [1, 2].map(|n| genesis_candidate(n, Role::Validator, 200_000 * CAI));
	chain(candidates.to_vec(), 2).execute_with(|| {
		end_eras(2);
		let report = |n, fraction, session| {
			let offender: IdentificationTuple<Test> = (account(n), ());
			let details = OffenceDetails { offender, reporters: vec![] };
			<Staking as OnOffenceHandler<_, _, _>>::on_offence(&[details], &[fraction], session)
		};
		// Sessions 3 to 5 were era 1.
		report(1, percent(10), 5);
		let slashes = Staking::view_pending_slashes(&account(1));
		assert_eq!((slashes.len(), slashes[0].offence_era), (1, 1));
		// The same again, nothing, and a session of an era too long ago are left alone.
		report(1, percent(10), 4);
		report(2, Perbill::zero(), 5);
		end_eras(BONDING);
		report(2, percent(10), 5);
		assert!(Staking::view_pending_slashes(&account(2)).is_empty());
		assert_eq!(Pools::<Test>::get(account(1)).balance, 180_000 * CAI);
		check();
	});
}

#[test]
fn in_jail_one_may_leave_but_not_come_back_active() {
	run(|| {
		let (miner, _) = backed_miner();
		slash(&miner, percent(10), 0);
		done(&miner, Call::deregister {});
		done(&miner, stake(10_000 * CAI));
		done(&miner, register(&miner, Role::Miner, 10_000 * CAI, 101));
		assert!(!Staking::view_candidate(miner.clone()).unwrap().active);
		assert_eq!(Candidates::<Test>::get(Role::Miner, &miner).unwrap().inactive_from, Some(0));
		apply();
		done(&miner, Call::unjail {});
		assert!(Staking::view_candidate(miner).unwrap().active);
	});
}

#[test]
fn a_sub_pool_is_slashed_once_for_an_offence() {
	run(|| {
		let (miner, voter) = backed_miner();
		done(&voter, unvote(&miner, 4_000 * CAI));
		slash(&miner, percent(50), 0);
		apply();
		assert_eq!(SubPools::<Test>::get(&miner, 0).balance, 2_000 * CAI);
		// Who leaves after it has paid already.
		done(&voter, unvote(&miner, 3_000 * CAI));
		assert_eq!(held(&voter), 10_000 * CAI);
		assert_eq!(Ledgers::<Test>::get(&voter).idle, 10_000 * CAI);
	});
}
