//! Rewards: how they flow, who gets them, and that nothing is lost.

use cuckoo_staking_math::{emission, Perbill, Perquintill};
use frame::{prelude::DispatchError, traits::fungible::Inspect};

use crate::{
	mock::*, Balance, Call, EarningsOf, Error, Event, Ledgers, Pools, Positions, Pot, Pots,
	RewardDestination, Role, RoleFlows,
};

/// The emission of the tests' first era for each role.
fn budgets() -> [Balance; 3] {
	Role::ALL.map(|role| RoleFlows::<Test>::get(role).budget)
}

fn pending(staker: &AccountId, candidate: &AccountId) -> Balance {
	Staking::view_pending_rewards(staker)
		.into_iter()
		.find(|reward| reward.candidate == *candidate)
		.map_or(0, |reward| reward.amount)
}

/// Whether two amounts differ by at most `planck`.
#[track_caller]
fn assert_near(a: Balance, b: Balance, planck: Balance) {
	assert!(a.abs_diff(b) <= planck, "{a} and {b} differ by {}", a.abs_diff(b));
}

fn claim(candidate: &AccountId) -> Call<Test> {
	Call::claim { candidate: candidate.clone() }
}

#[test]
fn an_era_emits_the_fraction_of_what_is_left_and_divides_it_between_the_roles() {
	run(|| {
		let total = emission::budget(STAKING_POT, crate::pots::DEFAULT_EMISSION);
		let [validators, miners, coordinators] = budgets();
		assert_near(validators, total / 10 * 4, 10);
		assert_near(miners, total / 10 * 3, 10);
		assert_near(coordinators, total / 10 * 3, 10);
		// Half of a pot is left after four years of eras of six hours.
		let four_years = (0..5_844).fold(STAKING_POT, |left, _| {
			left - emission::budget(left, crate::pots::DEFAULT_EMISSION)
		});
		assert_near(four_years, STAKING_POT / 2, STAKING_POT / 1_000_000_000);
	});
}

#[test]
fn miners_share_by_weight_slot_by_slot() {
	run(|| {
		let one = registered(1, Role::Miner, 20_000 * CAI);
		let two = registered(2, Role::Miner, 60_000 * CAI);
		let [_, budget, _] = budgets();
		pass_slots(ERA_SLOTS / 2);
		assert_near(pending(&one, &one), budget / 8, 2);
		assert_near(pending(&two, &two), budget / 8 * 3, 4);
		pass_slots(ERA_SLOTS);
		// The budget is all that an era gives, however long it lasts.
		assert_near(pending(&one, &one), budget / 4, 2);
		assert_near(pending(&two, &two), budget / 4 * 3, 4);
	});
}

#[test]
fn voters_share_with_the_candidate_by_stake_after_its_commission() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		done(&miner, Call::set_commission { commission: Perbill::from_percent(10) });
		let voter = account(2);
		done(&voter, stake(60_000 * CAI));
		done(&voter, vote(&miner, 60_000 * CAI));
		let [_, budget, _] = budgets();
		pass_slots(ERA_SLOTS);
		let commission = budget / 10;
		assert_near(pending(&voter, &miner), (budget - commission) / 4 * 3, 4);
		assert_near(pending(&miner, &miner), commission + (budget - commission) / 4, 4);

		let before = Balances::free_balance(&voter);
		let expected = pending(&voter, &miner);
		done(&voter, claim(&miner));
		assert_eq!(Balances::free_balance(&voter), before + expected);
		assert_eq!(
			last_event(),
			Event::RewardPaid {
				staker: voter.clone(),
				candidate: miner.clone(),
				amount: expected,
				compounded: false
			}
		);
		refused(&voter, claim(&miner), Error::NothingToClaim);
		refused(&account(3), claim(&miner), Error::NoVote);
		done(&miner, claim(&miner));
		assert_eq!(EarningsOf::<Test>::get(&miner).commission_due, 0);
		// What was paid and what is left is what there was, but for a planck for each claim.
		let state = Pots::<Test>::get(Pot::Staking);
		assert!(state.owed <= 3, "{}", state.owed);
	});
}

#[test]
fn validators_are_paid_by_the_blocks_that_they_author() {
	let candidates = [1, 2].map(|n| genesis_candidate(n, Role::Validator, 100_000 * CAI));
	chain(candidates.to_vec(), 2).execute_with(|| {
		let (one, two) = (account(1), account(2));
		let [budget, ..] = budgets();
		let a_block = budget / Balance::from(ERA_SLOTS);
		for _ in 0..3 {
			author_block(&one);
		}
		author_block(&two);
		pass_slots(4);
		assert_near(pending(&one, &one), 3 * a_block, 1);
		assert_near(pending(&two, &two), a_block, 1);
		// Weight makes no difference, nor do blocks beyond those of an era bring more than it has.
		for _ in 0..2 * ERA_SLOTS {
			author_block(&two);
		}
		assert!(RoleFlows::<Test>::get(Role::Validator).flowed <= budget);
		// Who is no validator any more, and has nobody behind it, gets nothing.
		author_block(&account(9));
		assert_eq!(pending(&account(9), &account(9)), 0);
		check();
	});
}

#[test]
fn what_nobody_can_earn_stays_in_the_pot() {
	run(|| {
		// A role without a candidate.
		pass_slots(ERA_SLOTS / 2);
		end_eras(3);
		assert_eq!(Pots::<Test>::get(Pot::Staking).left, STAKING_POT);
		// Later, only what flows from then on.
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let [_, budget, _] = budgets();
		pass_slots(ERA_SLOTS / 3);
		assert_near(pending(&miner, &miner), budget / 3, 2);
	});
}

#[test]
fn the_pot_shrinks_by_what_was_earned_only() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let [_, budget, _] = budgets();
		end_eras(1);
		let state = Pots::<Test>::get(Pot::Staking);
		assert_eq!(state.left, STAKING_POT - budget);
		assert_eq!(state.owed, budget);
		assert_near(pending(&miner, &miner), budget, 2);
		let [_, next, _] = budgets();
		assert!(next < budget);
	});
}

#[test]
fn a_change_of_a_position_settles_it_first() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let voter = account(2);
		done(&voter, stake(100_000 * CAI));
		done(&voter, vote(&miner, 20_000 * CAI));
		let [_, budget, _] = budgets();
		pass_slots(ERA_SLOTS / 2);
		let half = pending(&voter, &miner);
		assert_near(half, budget / 4, 2);
		// More stake earns from now on, and not for what was.
		done(&voter, vote(&miner, 40_000 * CAI));
		assert_eq!(pending(&voter, &miner), half);
		pass_slots(ERA_SLOTS / 2);
		assert_near(pending(&voter, &miner), half + budget / 8 * 3, 4);
		// Taking all back pays what was earned.
		let before = Balances::free_balance(&voter);
		let earned = pending(&voter, &miner);
		done(&voter, unvote(&miner, 60_000 * CAI));
		assert_eq!(Balances::free_balance(&voter), before + earned);
		assert_eq!(Positions::<Test>::get(&voter, &miner), None);
	});
}

#[test]
fn a_commission_is_kept_for_what_was_earned_under_it() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let voter = account(2);
		done(&voter, stake(20_000 * CAI));
		done(&voter, vote(&miner, 20_000 * CAI));
		let [_, budget, _] = budgets();
		pass_slots(ERA_SLOTS / 2);
		done(&miner, Call::set_commission { commission: Perbill::from_percent(5) });
		assert_near(pending(&voter, &miner), budget / 4, 2);
		assert_eq!(
			last_event(),
			Event::CommissionSet {
				stash: miner.clone(),
				old: Perbill::zero(),
				new: Perbill::from_percent(5)
			}
		);
	});
}

#[test]
fn a_commission_rises_by_steps_once_an_era_and_falls_at_once() {
	run(|| {
		let set = |percent| Call::set_commission { commission: Perbill::from_percent(percent) };
		refused(&account(9), set(1), Error::NotRegistered);
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		// Alone, it may choose.
		done(&miner, set(30));
		done(&miner, set(20));
		done(&miner, set(40));
		let voter = account(2);
		done(&voter, stake(CAI));
		done(&voter, vote(&miner, CAI));
		refused(&miner, set(46), Error::CommissionRise);
		done(&miner, set(45));
		refused(&miner, set(46), Error::CommissionRaisedAlready);
		done(&miner, set(10));
		refused(&miner, set(11), Error::CommissionRaisedAlready);
		end_eras(1);
		done(&miner, set(15));
		// To leave and come back is no way around it.
		done(&miner, Call::deregister {});
		done(&miner, register(&miner, Role::Miner, 0, 101));
		assert_eq!(EarningsOf::<Test>::get(&miner).commission, Perbill::from_percent(15));
		refused(&miner, set(16), Error::CommissionRaisedAlready);
	});
}

#[test]
fn a_commission_of_everything_leaves_the_voters_nothing() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		done(&miner, Call::set_commission { commission: Perbill::one() });
		let voter = account(2);
		done(&voter, stake(20_000 * CAI));
		done(&voter, vote(&miner, 20_000 * CAI));
		let [_, budget, _] = budgets();
		pass_slots(ERA_SLOTS);
		assert_eq!(pending(&voter, &miner), 0);
		assert_near(pending(&miner, &miner), budget, 1);
	});
}

#[test]
fn rewards_compound_behind_the_candidate() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let voter = account(2);
		done(&voter, stake(20_000 * CAI));
		done(&voter, vote(&miner, 20_000 * CAI));
		done(&voter, Call::set_reward_destination { destination: RewardDestination::Compound });
		pass_slots(ERA_SLOTS);
		let earned = pending(&voter, &miner);
		let free = Balances::free_balance(&voter);
		done(&voter, claim(&miner));
		assert_eq!(Balances::free_balance(&voter), free);
		assert_eq!(held(&voter), 20_000 * CAI + earned);
		assert_eq!(Pools::<Test>::get(&miner).balance, 40_000 * CAI + earned);
		// Behind somebody who has left, it becomes idle.
		end_eras(1);
		pass_slots(5);
		done(&miner, Call::deregister {});
		let earned = pending(&voter, &miner);
		assert!(earned > 0);
		done(&voter, claim(&miner));
		assert_eq!(Ledgers::<Test>::get(&voter).idle, earned);
	});
}

#[test]
fn others_claim_only_for_those_who_allow_it() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		pass_slots(ERA_SLOTS);
		let claim_for = || Call::claim_for { staker: miner.clone(), candidate: miner.clone() };
		refused(&account(5), claim_for(), Error::ClaimNotAllowed);
		done(&miner, Call::set_claim_for { allowed: true });
		let before = (Balances::free_balance(&miner), Balances::free_balance(account(5)));
		let earned = pending(&miner, &miner);
		done(&account(5), claim_for());
		assert_eq!(Balances::free_balance(&miner), before.0 + earned);
		assert_eq!(Balances::free_balance(account(5)), before.1);
		done(&miner, Call::set_claim_for { allowed: false });
		pass_slots(1);
		refused(&account(5), claim_for(), Error::ClaimNotAllowed);
		assert!(crate::Payouts::<Test>::iter().next().is_none());
	});
}

#[test]
fn who_leaves_the_registry_keeps_what_was_earned_and_earns_no_more() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		pass_slots(ERA_SLOTS / 2);
		let earned = pending(&miner, &miner);
		done(&miner, Call::deregister {});
		pass_slots(ERA_SLOTS / 2);
		assert_eq!(pending(&miner, &miner), earned);
		done(&miner, unvote(&miner, 20_000 * CAI));
		// Nothing is left of it.
		assert_eq!(pending(&miner, &miner), 0);
		assert!(!EarningsOf::<Test>::contains_key(&miner));
		// In another role it shares in that role's reward only.
		done(&miner, stake(2_000_000 * CAI));
		done(&miner, register(&miner, Role::Coordinator, 2_000_000 * CAI, 101));
		assert_eq!(pending(&miner, &miner), 0);
		let [_, _, budget] = budgets();
		end_eras(1);
		pass_slots(0);
		assert!(pending(&miner, &miner) <= budget);
	});
}

#[test]
fn the_mining_pot_is_emitted_to_whoever_divides_it() {
	run(|| {
		end_eras(2);
		assert_eq!(Pots::<Test>::get(Pot::Mining).left, MINING_POT);
		Miners::set(Some(account(200)));
		let first = emission::budget(MINING_POT, crate::pots::DEFAULT_EMISSION);
		end_eras(1);
		assert_eq!(Balances::total_balance(&account(200)), first);
		assert_eq!(Pots::<Test>::get(Pot::Mining).left, MINING_POT - first);
		end_eras(1);
		let second = emission::budget(MINING_POT - first, crate::pots::DEFAULT_EMISSION);
		assert_eq!(Balances::total_balance(&account(200)), first + second);
	});
}

#[test]
fn the_admin_sets_emission_and_split_within_bounds() {
	run(|| {
		let root = RuntimeOrigin::root;
		let emission = |parts| Call::set_emission {
			pot: Pot::Staking,
			fraction: Perquintill::from_parts(parts),
		};
		let split = |a, b, c| {
			let [validators, miners, coordinators] = [a, b, c].map(Perbill::from_percent);
			Call::set_reward_split { validators, miners, coordinators }
		};
		refused_by_origin(emission(1));
		refused_by_origin(split(50, 50, 0));
		let max = MaxEmission::get().deconstruct();
		assert_eq!(dispatch(root(), emission(max + 1)), Err(Error::<Test>::InvalidEmission.into()));
		assert_eq!(dispatch(root(), split(50, 50, 1)), Err(Error::<Test>::InvalidSplit.into()));
		assert_eq!(dispatch(root(), split(50, 49, 0)), Err(Error::<Test>::InvalidSplit.into()));
		dispatch(root(), emission(max)).unwrap();
		dispatch(root(), split(0, 100, 0)).unwrap();
		let before = budgets();
		// From the next era on.
		pass_slots(1);
		assert_eq!(budgets(), before);
		end_eras(1);
		let expected = emission::budget(STAKING_POT, MaxEmission::get());
		assert_eq!(budgets(), [0, expected, 0]);
	});
}

#[track_caller]
fn refused_by_origin(call: Call<Test>) {
	let result = dispatch(RuntimeOrigin::signed(account(1)), call);
	assert_eq!(result, Err(DispatchError::BadOrigin));
}

/// Ten thousand eras with coming and going: what was paid, is owed and is left is what there was.
#[test]
fn nothing_is_lost_in_ten_thousand_eras() {
	run(|| {
		let paid_before: Balance =
			(1..=ACCOUNTS).map(|n| Balances::total_balance(&account(n))).sum();
		let miners: Vec<_> =
			(1..=3).map(|n| registered(n, Role::Miner, 20_000 * CAI * Balance::from(n))).collect();
		let coordinator = registered(4, Role::Coordinator, 2_000_000 * CAI);
		let validator = registered(5, Role::Validator, 100_000 * CAI);
		done(&miners[0], Call::set_commission { commission: Perbill::from_parts(123_456_789) });
		for n in 10..=15 {
			done(&account(n), stake(1_000 * CAI + Balance::from(n)));
		}
		// Each removal of a position may cut off less than a planck.
		let mut removed: Balance = 0;
		for era in 0..10_000u32 {
			author_block(&validator);
			let voter = account(10 + (era % 6) as u8);
			let candidate = match era % 5 {
				4 => &coordinator,
				n => &miners[(n % 3) as usize],
			};
			let act = |call| dispatch(RuntimeOrigin::signed(voter.clone()), call);
			match era % 7 {
				0 | 3 => drop(act(vote(candidate, 100 * CAI + Balance::from(era)))),
				1 => drop(act(claim(candidate))),
				2 => {
					let all = Positions::<Test>::get(&voter, candidate)
						.map_or(0, |backing| backing.stake.held);
					if all > 0 {
						act(unvote(candidate, all)).unwrap();
						removed += 1;
					}
				},
				_ => drop(dispatch(RuntimeOrigin::signed(candidate.clone()), claim(candidate))),
			}
			Slot::mutate(|slot| *slot += ERA_SLOTS);
			end_eras(1);
		}
		let now: Balance = (1..=ACCOUNTS).map(|n| Balances::total_balance(&account(n))).sum();
		let paid = now - paid_before;
		let state = Pots::<Test>::get(Pot::Staking);
		assert_eq!(paid + state.owed + state.left, STAKING_POT, "to the planck");
		let earned = Staking::total_earned().unwrap();
		let positions = Positions::<Test>::iter().count() as Balance;
		// What is owed and not earned is what was cut off: under a planck for each position there is
		// or was, and what the accumulators have not divided yet.
		let carried: Balance =
			EarningsOf::<Test>::iter().map(|(_, earnings)| earnings.per_share.carried() + 2).sum();
		let roles: Balance = Role::ALL
			.iter()
			.map(|role| RoleFlows::<Test>::get(role).per_weight.carried() + 1)
			.sum();
		let dust = state.owed - earned;
		assert!(
			dust <= removed + positions + carried + roles,
			"dust {dust}: {removed} removed, {positions} positions, {carried} + {roles} carried"
		);
		assert!(paid > STAKING_POT / 4, "something was paid: {paid}");
	});
}
