//! Random calls by twenty accounts, with every rule checked after each of them.

use std::{cell::RefCell, collections::BTreeMap};

use frame::prelude::DispatchError;
use proptest::{
	prelude::*,
	test_runner::{Config as ProptestConfig, TestRunner},
};

use crate::{
	mock::*, Balance, Call, Ledgers, Pools, Positions, Ranking, Role, RoleOf, ValidatorCount,
};

/// The accounts that act.
const STAKERS: u8 = 20;
/// How many calls there are at most in one run, and how many runs.
const STEPS: usize = 150;
const RUNS: u32 = 24;

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
		3 => Just(Step::EndSession),
		4 => Just(Step::EndEra),
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
		.map_or(0, |position| Pools::<Test>::get(candidate).value_of(&position))
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

/// Nobody has lost or got a token, and nobody has a vote below the minimum.
fn check_owners() {
	for who in (1..=40).map(account) {
		assert_eq!(Balances::free_balance(&who) + held(&who), FUNDS);
	}
	for (voter, candidate, _) in Positions::<Test>::iter() {
		assert!(backed(&voter, &candidate) >= CAI);
	}
	for (stash, role) in RoleOf::<Test>::iter() {
		assert!(backed(&stash, &stash) >= Staking::minimum_stake(role));
	}
	assert!(!Session::validators().is_empty());
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

	// The election for the coming era may have been held already.
	end_eras(1);
	let present = Session::validators();
	end_eras(1);
	let count = ValidatorCount::<Test>::get() as usize;
	let elected: Vec<_> = validators.into_iter().map(|(_, stash)| stash).take(count).collect();
	let expected = if elected.is_empty() { present } else { elected };
	assert_eq!(Session::validators(), expected);
}

#[test]
fn random_calls_break_no_rule() {
	let succeeded = RefCell::new(BTreeMap::<&str, u32>::new());
	let refused = RefCell::new(BTreeMap::<&str, u32>::new());
	let config = ProptestConfig {
		cases: RUNS,
		source_file: Some(file!()),
		max_shrink_iters: 500,
		..ProptestConfig::default()
	};
	let result = TestRunner::new(config).run(&prop::collection::vec(step(), 1..=STEPS), |steps| {
		// More validators than are ranked, so that some wait from the start.
		let mut candidates: Vec<_> = (1..=6u8)
			.map(|n| genesis_candidate(n, Role::Validator, (100_000 + u128::from(n)) * CAI))
			.collect();
		candidates.push(genesis_candidate(7, Role::Miner, 20_000 * CAI));
		chain(candidates, 2).execute_with(|| {
			for who in 1..=STAKERS {
				done(&account(who), stake(400_000 * CAI));
			}
			for step in steps {
				let (name, result) = perform(&step);
				check();
				check_owners();
				let counts = if result.is_ok() { &succeeded } else { &refused };
				*counts.borrow_mut().entry(name).or_default() += 1;
			}
			check_election();
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
	];
	let (succeeded, refused) = (succeeded.into_inner(), refused.into_inner());
	for call in calls {
		assert!(succeeded.contains_key(call), "{call} never succeeded: {succeeded:?}");
		assert!(refused.contains_key(call), "{call} was never refused: {refused:?}");
	}
	println!("succeeded: {succeeded:?}; refused: {refused:?}");
}
