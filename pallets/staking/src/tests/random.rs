//! Random calls by fifty accounts, with every rule checked after each of them.
//!
//! `scripts/test` runs some thousands of them; `RANDOM_CALLS=100000` runs that many.

use std::{cell::RefCell, collections::BTreeMap};

use frame::{
	deps::frame_support::traits::ValidatorRegistration, prelude::DispatchError,
	traits::fungible::Inspect,
};
use proptest::{
	prelude::*,
	test_runner::{Config as ProptestConfig, TestRunner},
};

use crate::{
	mock::*, Balance, Call, Event, Ledgers, Offenders, Perbill, Perquintill, Pools, Positions, Pot,
	Queue, Ranking, RewardDestination, Role, RoleOf, SubPools, ValidatorCount,
};

/// The accounts that act.
const STAKERS: u8 = 50;
/// How many calls there are in one run.
const STEPS: usize = 250;
/// How many calls there are in all, where `RANDOM_CALLS` does not say.
const CALLS: usize = 10_000;

#[derive(Clone, Debug)]
enum Amount {
	Exactly(Balance),
	/// All that there is to take.
	All,
	/// All but a planck, or a planck more.
	NearlyAll,
	Beyond,
}

#[derive(Clone, Debug)]
enum Step {
	Stake(u8, Balance),
	Unstake(u8, Amount),
	Withdraw(u8),
	Register { stash: u8, role: Role, more: Balance, operator: u8 },
	Deregister(u8),
	SetOperator { stash: u8, operator: u8 },
	SetInfo(u8, Role),
	Vote { voter: u8, candidate: u8, amount: Amount },
	Unvote { voter: u8, candidate: u8, amount: Amount },
	MoveVote { voter: u8, from: u8, to: u8, amount: Amount },
	Rank(u8),
	SetValidatorCount(u32),
	Claim { staker: u8, candidate: u8 },
	ClaimFor { staker: u8, candidate: u8 },
	SetRewardDestination(u8, RewardDestination),
	SetClaimFor(u8, bool),
	SetCommission(u8, u32),
	Settle { staker: u8, candidate: u8 },
	Slash { candidate: u8, fraction: Perbill, eras_ago: u32 },
	CancelSlash(u32),
	Unjail(u8),
	SetEmission(u64),
	SetRewardSplit([u32; 3]),
	Author(u8),
	Slots(u64),
	EndSession,
	EndEra,
}

fn who() -> impl Strategy<Value = u8> {
	1..=STAKERS
}

/// One of the few who vote, so that most of them have votes to take back.
fn voter() -> impl Strategy<Value = u8> {
	5..=10u8
}

/// A staker, or, mostly, a number beyond them: see [`registered_or_any`], [`backed_or_any`].
fn candidate() -> impl Strategy<Value = u8> {
	1..=STAKERS * 3
}

fn role() -> impl Strategy<Value = Role> {
	prop_oneof![
		4 => Just(Role::Validator),
		2 => Just(Role::Miner),
		1 => Just(Role::Coordinator),
	]
}

fn balance() -> impl Strategy<Value = Balance> {
	prop_oneof![
		1 => Just(0),
		1 => Just(Balance::MAX),
		2 => 1..=3 * CAI,
		4 => (1..=300_000u128).prop_map(|cai| cai * CAI),
		2 => Just(3_000_000 * CAI),
	]
}

fn amount() -> impl Strategy<Value = Amount> {
	prop_oneof![
		8 => balance().prop_map(Amount::Exactly),
		4 => Just(Amount::All),
		1 => Just(Amount::NearlyAll),
		1 => Just(Amount::Beyond),
	]
}

fn step() -> impl Strategy<Value = Step> {
	prop_oneof![
		4 => (who(), balance()).prop_map(|(who, amount)| Step::Stake(who, amount)),
		5 => (who(), amount()).prop_map(|(who, amount)| Step::Unstake(who, amount)),
		4 => candidate().prop_map(Step::Withdraw),
		8 => (who(), role(), prop_oneof![3 => Just(0), 1 => balance()], 101..=125u8).prop_map(
			|(stash, role, more, operator)| Step::Register { stash, role, more, operator }
		),
		3 => candidate().prop_map(Step::Deregister),
		2 => (candidate(), 101..=125u8)
			.prop_map(|(stash, operator)| Step::SetOperator { stash, operator }),
		2 => (candidate(), role()).prop_map(|(stash, role)| Step::SetInfo(stash, role)),
		12 => (voter(), candidate(), amount())
			.prop_map(|(voter, candidate, amount)| Step::Vote { voter, candidate, amount }),
		8 => (voter(), candidate(), amount())
			.prop_map(|(voter, candidate, amount)| Step::Unvote { voter, candidate, amount }),
		8 => (voter(), candidate(), candidate(), amount())
			.prop_map(|(voter, from, to, amount)| Step::MoveVote { voter, from, to, amount }),
		6 => candidate().prop_map(Step::Rank),
		2 => (0..=5u32).prop_map(Step::SetValidatorCount),
		8 => (voter(), candidate()).prop_map(|(staker, candidate)| Step::Claim { staker, candidate }),
		4 => (voter(), candidate())
			.prop_map(|(staker, candidate)| Step::ClaimFor { staker, candidate }),
		2 => (voter(), prop_oneof![Just(RewardDestination::Free), Just(RewardDestination::Compound)])
			.prop_map(|(who, destination)| Step::SetRewardDestination(who, destination)),
		2 => (voter(), any::<bool>()).prop_map(|(who, allowed)| Step::SetClaimFor(who, allowed)),
		4 => (candidate(), prop_oneof![0..=50_000_000u32, 0..=1_000_000_000u32])
			.prop_map(|(who, parts)| Step::SetCommission(who, parts)),
		8 => (voter(), candidate())
			.prop_map(|(staker, candidate)| Step::Settle { staker, candidate }),
		5 => (candidate(), fraction(), 0..=4u32).prop_map(
			|(candidate, fraction, eras_ago)| Step::Slash { candidate, fraction, eras_ago }
		),
		3 => (0..=3u32).prop_map(Step::CancelSlash),
		5 => candidate().prop_map(Step::Unjail),
		1 => (0..=11_000_000_000_000_000u64).prop_map(Step::SetEmission),
		1 => prop_oneof![
			Just([40, 30, 30]), Just([0, 0, 100]), Just([1, 98, 1]), Just([50, 50, 50])
		].prop_map(Step::SetRewardSplit),
		5 => candidate().prop_map(Step::Author),
		5 => (0..=2 * ERA_SLOTS).prop_map(Step::Slots),
		3 => Just(Step::EndSession),
		4 => Just(Step::EndEra),
	]
}

fn fraction() -> impl Strategy<Value = Perbill> {
	prop_oneof![
		1 => Just(Perbill::one()),
		1 => Just(Perbill::zero()),
		1 => Just(Perbill::from_parts(1)),
		1 => Just(Perbill::from_parts(999_999_999)),
		6 => (0..=1_000_000_000u32).prop_map(Perbill::from_parts),
	]
}

/// The amount meant, where `all` can be taken.
fn resolve(amount: &Amount, all: Balance) -> Balance {
	match amount {
		Amount::Exactly(amount) => *amount,
		Amount::All => all,
		Amount::NearlyAll => all.saturating_sub(1),
		Amount::Beyond => all + 1,
	}
}

fn idle(who: &AccountId) -> Balance {
	Ledgers::<Test>::get(who).idle
}

fn backed(voter: &AccountId, candidate: &AccountId) -> Balance {
	Positions::<Test>::get(voter, candidate)
		.map_or(0, |backing| backing.stake.worth(&Pools::<Test>::get(candidate)))
}

/// The `n`th of these accounts, round and round; without any, the `n`th of all.
fn pick(n: u8, accounts: Vec<AccountId>) -> AccountId {
	let index = usize::from(n) % accounts.len().max(1);
	accounts.into_iter().nth(index).unwrap_or_else(|| account(n))
}

/// The account meant: a number beyond the stakers stands for somebody registered.
fn registered_or_any(n: u8) -> AccountId {
	match n {
		..=STAKERS => account(n),
		_ => pick(n, RoleOf::<Test>::iter_keys().collect()),
	}
}

/// The account meant: a number beyond the stakers stands for somebody whom `voter` backs.
fn backed_or_any(voter: &AccountId, n: u8) -> AccountId {
	match n {
		..=STAKERS => account(n),
		_ => pick(n, Positions::<Test>::iter_key_prefix(voter).collect()),
	}
}

/// The account meant: a number beyond the stakers stands for somebody with stake unbonding.
fn unbonding_or_any(n: u8) -> AccountId {
	if n <= STAKERS {
		return account(n);
	}
	let ledgers = Ledgers::<Test>::iter().filter(|(_, ledger)| !ledger.unbonding.is_empty());
	pick(n, ledgers.map(|(staker, _)| staker).collect())
}

/// Does one step; the name of the call and its result.
fn perform(step: &Step) -> (&'static str, Result<(), DispatchError>) {
	let signed = |who: &AccountId, call| dispatch(RuntimeOrigin::signed(who.clone()), call);
	match step {
		Step::Stake(who, amount) => ("stake", signed(&account(*who), stake(*amount))),
		Step::Unstake(who, amount) => {
			let who = account(*who);
			let amount = resolve(amount, idle(&who));
			("unstake", signed(&who, Call::unstake { amount }))
		},
		Step::Withdraw(who) => ("withdraw", signed(&unbonding_or_any(*who), Call::withdraw {})),
		Step::Register { stash, role, more, operator } => {
			let needed = Staking::minimum_stake(*role).saturating_add(*more);
			let stash = account(*stash);
			let call = register(&stash, *role, needed, *operator);
			("register", signed(&stash, call))
		},
		Step::Deregister(stash) => {
			("deregister", signed(&registered_or_any(*stash), Call::deregister {}))
		},
		Step::SetOperator { stash, operator } => {
			let stash = registered_or_any(*stash);
			let role = RoleOf::<Test>::get(&stash).unwrap_or(Role::Miner);
			let proof = proof(*operator, &stash, role);
			let call = Call::set_operator { operator: account(*operator), proof };
			("set_operator", signed(&stash, call))
		},
		Step::SetInfo(stash, role) => {
			let call = Call::set_info { info: info(*role) };
			("set_info", signed(&registered_or_any(*stash), call))
		},
		Step::Vote { voter, candidate, amount } => {
			let voter = account(*voter);
			let amount = resolve(amount, idle(&voter));
			("vote", signed(&voter, vote(&registered_or_any(*candidate), amount)))
		},
		Step::Unvote { voter, candidate, amount } => {
			let voter = account(*voter);
			let candidate = backed_or_any(&voter, *candidate);
			let amount = resolve(amount, backed(&voter, &candidate));
			("unvote", signed(&voter, unvote(&candidate, amount)))
		},
		Step::MoveVote { voter, from, to, amount } => {
			let voter = account(*voter);
			let from = backed_or_any(&voter, *from);
			let amount = resolve(amount, backed(&voter, &from));
			("move_vote", signed(&voter, move_vote(&from, &registered_or_any(*to), amount)))
		},
		Step::Rank(candidate) => {
			("rank", signed(&account(1), Call::rank { candidate: registered_or_any(*candidate) }))
		},
		Step::SetValidatorCount(count) => {
			let call = Call::set_validator_count { count: *count };
			("set_validator_count", dispatch(RuntimeOrigin::root(), call))
		},
		Step::Claim { staker, candidate } => {
			let staker = account(*staker);
			let candidate = backed_or_any(&staker, *candidate);
			("claim", signed(&staker, Call::claim { candidate }))
		},
		Step::ClaimFor { staker, candidate } => {
			let staker = account(*staker);
			let candidate = backed_or_any(&staker, *candidate);
			("claim_for", signed(&account(1), Call::claim_for { staker, candidate }))
		},
		Step::SetRewardDestination(who, destination) => {
			let call = Call::set_reward_destination { destination: *destination };
			("set_reward_destination", signed(&account(*who), call))
		},
		Step::SetClaimFor(who, allowed) => {
			let call = Call::set_claim_for { allowed: *allowed };
			("set_claim_for", signed(&account(*who), call))
		},
		Step::SetCommission(who, parts) => {
			let call = Call::set_commission { commission: Perbill::from_parts(*parts) };
			("set_commission", signed(&registered_or_any(*who), call))
		},
		Step::Settle { staker, candidate } => {
			let staker = account(*staker);
			let candidate = backed_or_any(&staker, *candidate);
			("settle", signed(&account(1), Call::settle { staker, candidate }))
		},
		Step::Slash { candidate, fraction, eras_ago } => {
			let era = crate::CurrentEra::<Test>::get().index;
			let call = Call::slash {
				candidate: registered_or_any(*candidate),
				fraction: *fraction,
				// One ahead now and then.
				offence_era: (era + 1).saturating_sub(*eras_ago),
			};
			("slash", dispatch(RuntimeOrigin::root(), call))
		},
		Step::CancelSlash(ahead) => {
			let id = Queue::<Test>::get().next + ahead;
			("cancel_slash", dispatch(RuntimeOrigin::root(), Call::cancel_slash { id }))
		},
		Step::Unjail(stash) => {
			let jailed: Vec<_> = Offenders::<Test>::iter()
				.filter(|(_, offender)| offender.jailed_until.is_some())
				.map(|(stash, _)| stash)
				.collect();
			let stash = if *stash <= STAKERS { account(*stash) } else { pick(*stash, jailed) };
			// A slash may have taken it below the minimum.
			let _ = signed(&stash, vote(&stash, idle(&stash)));
			("unjail", signed(&stash, Call::unjail {}))
		},
		Step::SetEmission(parts) => {
			let fraction = Perquintill::from_parts(*parts);
			let call = Call::set_emission { pot: Pot::Staking, fraction };
			("set_emission", dispatch(RuntimeOrigin::root(), call))
		},
		Step::SetRewardSplit(parts) => {
			let [validators, miners, coordinators] = parts.map(Perbill::from_percent);
			let call = Call::set_reward_split { validators, miners, coordinators };
			("set_reward_split", dispatch(RuntimeOrigin::root(), call))
		},
		Step::Author(author) => {
			author_block(&registered_or_any(*author));
			("a block", Ok(()))
		},
		Step::Slots(count) => {
			pass_slots(*count);
			("slots", Ok(()))
		},
		Step::EndSession => {
			end_sessions(1);
			("end of a session", Ok(()))
		},
		Step::EndEra => {
			end_eras(1);
			("end of an era", Ok(()))
		},
	}
}

/// What was burnt since the last call of this.
fn take_burnt() -> Balance {
	let burnt = events()
		.iter()
		.map(|event| match event {
			Event::Slashed { amount, .. } => *amount,
			_ => 0,
		})
		.sum();
	System::reset_events();
	burnt
}

/// All tokens are somewhere, with the stakers or in the pots: `issued` of them.
fn check_tokens(issued: Balance) {
	let owned: Balance = (1..=STAKERS).map(account).map(|who| Balances::total_balance(&who)).sum();
	let pots: Balance =
		Pot::ALL.into_iter().map(|pot| Balances::total_balance(&Staking::pot_account(pot))).sum();
	let others = FUNDS * Balance::from(ACCOUNTS - STAKERS);
	assert_eq!(owned + pots + others, issued);
	assert_eq!(Balances::total_issuance(), issued);
	assert!(!Session::validators().is_empty());
}

/// Whoever takes back everything gets all that is shown as his, to the planck.
fn check_everybody_can_leave() {
	for stash in RoleOf::<Test>::iter_keys().collect::<Vec<_>>() {
		dispatch(RuntimeOrigin::signed(stash), Call::deregister {}).unwrap();
	}
	// Slashes that wait are applied first, as nobody gets away from them.
	end_eras(DEFER + 1);
	while Queue::<Test>::get().next < Queue::<Test>::get().end {
		pass_slots(1);
	}
	let stakers: Vec<_> = (1..=STAKERS).map(account).collect();
	for staker in &stakers {
		let origin = || RuntimeOrigin::signed(staker.clone());
		for candidate in Positions::<Test>::iter_key_prefix(staker).collect::<Vec<_>>() {
			let call = Call::settle { staker: staker.clone(), candidate: candidate.clone() };
			let _ = dispatch(origin(), call);
			let amount = backed(staker, &candidate);
			if amount > 0 {
				// The bound on exposures makes one wait.
				if dispatch(origin(), unvote(&candidate, amount)).is_err() {
					end_eras(BONDING);
					dispatch(origin(), unvote(&candidate, amount)).unwrap();
				}
			}
		}
		let call = Call::settle { staker: staker.clone(), candidate: staker.clone() };
		let _ = dispatch(origin(), call);
		let amount = idle(staker);
		if amount > 0 && dispatch(origin(), Call::unstake { amount }).is_err() {
			end_eras(BONDING);
			dispatch(origin(), Call::withdraw {}).unwrap();
			dispatch(origin(), Call::unstake { amount }).unwrap();
		}
		check();
	}
	end_eras(BONDING);
	for staker in &stakers {
		let _ = dispatch(RuntimeOrigin::signed(staker.clone()), Call::withdraw {});
		assert_eq!(held(staker), 0, "something is left behind");
		let call = Call::claim { candidate: staker.clone() };
		let _ = dispatch(RuntimeOrigin::signed(staker.clone()), call);
		// Whatever touches the ledger clears what has expired.
		dispatch(RuntimeOrigin::signed(staker.clone()), stake(CAI)).unwrap();
	}
	check();
	assert_eq!(Positions::<Test>::iter().count(), 0);
	assert_eq!(SubPools::<Test>::iter().count(), 0);
	assert_eq!(Staking::total_earned().unwrap(), 0);
}

/// Once everybody has called `rank`, the ranking is exactly the heaviest validators, and the next
/// election takes the first of them.
fn check_election() {
	let mut validators: Vec<_> = crate::Candidates::<Test>::iter_key_prefix(Role::Validator)
		.map(|stash| (Pools::<Test>::get(&stash).balance, stash))
		.collect();
	for (_, stash) in &validators {
		let call = Call::rank { candidate: stash.clone() };
		let _ = dispatch(RuntimeOrigin::signed(account(1)), call);
	}
	check();
	validators.sort_by(|(weight, stash), (other_weight, other)| {
		other_weight.cmp(weight).then_with(|| stash.cmp(other))
	});
	validators.truncate(RANKED as usize);
	assert_eq!(Ranking::<Test>::get().to_vec(), validators);

	// The election for the coming era may have been held already. Slashes that wait change the
	// weights until then.
	end_eras(1);
	let present = Session::validators();
	if Queue::<Test>::get().next < Queue::<Test>::get().end {
		return;
	}
	end_eras(1);
	let count = ValidatorCount::<Test>::get() as usize;
	let fit = |stash: &AccountId| {
		Session::is_registered(stash)
			&& Staking::is_fit(Role::Validator, stash, &Pools::<Test>::get(stash))
	};
	let ranked = Ranking::<Test>::get().into_iter().map(|(_, stash)| stash);
	let elected: Vec<_> = ranked.filter(fit).take(count).collect();
	let expected = if elected.is_empty() { present } else { elected };
	assert_eq!(Session::validators(), expected);
}

#[test]
fn random_calls_break_no_rule() {
	let succeeded = RefCell::new(BTreeMap::<&str, u32>::new());
	let refused = RefCell::new(BTreeMap::<&str, u32>::new());
	let calls = std::env::var("RANDOM_CALLS")
		.map_or(CALLS, |calls| calls.parse().expect("RANDOM_CALLS is a number"));
	let config = ProptestConfig {
		cases: calls.div_ceil(STEPS) as u32,
		source_file: Some(file!()),
		max_shrink_iters: 100,
		..ProptestConfig::default()
	};
	let result = TestRunner::new(config).run(&prop::collection::vec(step(), STEPS), |steps| {
		// More validators than are ranked, so that some wait from the start.
		let mut candidates: Vec<_> = (1..=6u8)
			.map(|n| genesis_candidate(n, Role::Validator, (100_000 + u128::from(n)) * CAI))
			.collect();
		candidates.push(genesis_candidate(7, Role::Miner, 20_000 * CAI));
		chain(candidates, 2).execute_with(|| {
			for who in 1..=STAKERS {
				done(&account(who), stake(400_000 * CAI));
			}
			let mut issued = Balances::total_issuance();
			System::reset_events();
			for step in steps {
				let (name, result) = perform(&step);
				check();
				// Nothing is minted, and burnt is only what was slashed.
				issued -= take_burnt();
				check_tokens(issued);
				let counts = if result.is_ok() { &succeeded } else { &refused };
				*counts.borrow_mut().entry(name).or_default() += 1;
			}
			check_election();
			check_everybody_can_leave();
		});
		Ok(())
	});
	if let Err(error) = result {
		panic!("{error}");
	}
	// The walk is only worth something if it goes everywhere.
	let calls = [
		"stake",
		"unstake",
		"withdraw",
		"register",
		"deregister",
		"set_operator",
		"set_info",
		"vote",
		"unvote",
		"move_vote",
		"rank",
		"set_validator_count",
		"claim",
		"claim_for",
		"set_commission",
		"settle",
		"slash",
		"cancel_slash",
		"unjail",
		"set_emission",
		"set_reward_split",
	];
	let (succeeded, refused) = (succeeded.into_inner(), refused.into_inner());
	for call in calls {
		assert!(succeeded.contains_key(call), "{call} never succeeded: {succeeded:?}");
		assert!(refused.contains_key(call), "{call} was never refused: {refused:?}");
	}
	println!("succeeded: {succeeded:?}; refused: {refused:?}");
}
