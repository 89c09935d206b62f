//! Candidates from the start of the chain.

use crate::{mock::*, Candidates, GenesisCandidate, Operators, Role, ValidatorCount};

#[test]
fn genesis_registers_candidates_of_every_role() {
	let candidates = vec![
		genesis_candidate(1, Role::Validator, 100_000 * CAI),
		genesis_candidate(2, Role::Miner, 20_000 * CAI),
		genesis_candidate(3, Role::Coordinator, 2_000_000 * CAI),
	];
	chain(candidates, 3).execute_with(|| {
		check();
		assert_eq!(ValidatorCount::<Test>::get(), 3);
		for (n, role) in [(1, Role::Validator), (2, Role::Miner), (3, Role::Coordinator)] {
			let candidate = Candidates::<Test>::get(role, account(n)).unwrap();
			assert_eq!(candidate.operator, account(n + 100));
			assert_eq!(candidate.info.name.as_slice(), format!("candidate {n}").as_bytes());
			assert_eq!(Operators::<Test>::get(account(n + 100)), Some(account(n)));
		}
		let coordinator = Staking::view_candidate(account(3)).unwrap();
		assert_eq!(coordinator.endpoints, [b"http://127.0.0.1:9955".to_vec()]);
		assert_eq!(held(&account(3)), 2_000_000 * CAI);
	});
}

#[test]
fn genesis_elects_at_least_one_validator() {
	chain(Vec::new(), 0).execute_with(|| assert_eq!(ValidatorCount::<Test>::get(), 1));
}

#[test]
#[should_panic(expected = "validatorCount 5 is more than the ranking holds")]
fn genesis_refuses_more_validators_than_are_ranked() {
	chain(Vec::new(), 5);
}

#[test]
#[should_panic(expected = "BelowRoleMinimum")]
fn genesis_refuses_too_little_stake() {
	chain(vec![genesis_candidate(1, Role::Miner, 20_000 * CAI - 1)], 1);
}

#[test]
#[should_panic(expected = "InsufficientBalance")]
fn genesis_refuses_a_candidate_without_funds() {
	chain(vec![genesis_candidate(99, Role::Miner, 20_000 * CAI)], 1);
}

#[test]
#[should_panic(expected = "AlreadyRegistered")]
fn genesis_refuses_a_stash_twice() {
	let candidate = genesis_candidate(1, Role::Miner, 20_000 * CAI);
	chain(vec![candidate.clone(), candidate], 1);
}

#[test]
#[should_panic(expected = "OperatorTaken")]
fn genesis_refuses_an_operator_twice() {
	let candidate = genesis_candidate(1, Role::Miner, 20_000 * CAI);
	let other = GenesisCandidate { stash: account(2), ..candidate.clone() };
	chain(vec![candidate, other], 1);
}

#[test]
#[should_panic(expected = "too long")]
fn genesis_refuses_a_long_name() {
	let candidate = genesis_candidate(1, Role::Miner, 20_000 * CAI);
	chain(vec![GenesisCandidate { name: "n".repeat(65), ..candidate }], 1);
}

#[test]
#[should_panic(expected = "too many endpoints")]
fn genesis_refuses_too_many_endpoints() {
	let candidate = genesis_candidate(1, Role::Coordinator, 2_000_000 * CAI);
	let endpoints = vec!["ws://example.org".into(); 5];
	chain(vec![GenesisCandidate { endpoints, ..candidate }], 1);
}

#[test]
#[should_panic(expected = "EndpointRequired")]
fn genesis_refuses_a_coordinator_without_endpoint() {
	let candidate = genesis_candidate(1, Role::Coordinator, 2_000_000 * CAI);
	chain(vec![GenesisCandidate { endpoints: Vec::new(), ..candidate }], 1);
}
