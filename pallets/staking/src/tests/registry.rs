//! `register`, `deregister`, `set_operator`, `set_info`.

use crate::{
	mock::*, Balance, Call, CandidateInfo, Candidates, Error, Event, Operators, Pools, Role,
	RoleOf, RoleTotal, RoleTotals,
};

const ROLES: [(Role, Balance); 3] = [
	(Role::Validator, 100_000 * CAI),
	(Role::Miner, 20_000 * CAI),
	(Role::Coordinator, 2_000_000 * CAI),
];

/// The call by which the first account registers as `role` and shows `info`.
fn register_with(role: Role, info: CandidateInfo) -> Call<Test> {
	let minimum = Staking::minimum_stake(role);
	let stash = account(1);
	let proof = proof(101, &stash, role);
	Call::register { role, self_stake: minimum, operator: account(101), proof, info }
}

#[test]
fn register_with_exactly_the_minimum_is_enough_for_each_role() {
	for (role, minimum) in ROLES {
		run(|| {
			let stash = account(1);
			done(&stash, stake(minimum));
			done(&stash, register(&stash, role, minimum, 101));
			let candidate = Candidates::<Test>::get(role, &stash).unwrap();
			assert_eq!(candidate.operator, account(101));
			assert_eq!(candidate.info, info(role));
			assert_eq!(RoleOf::<Test>::get(&stash), Some(role));
			assert_eq!(Operators::<Test>::get(account(101)), Some(stash.clone()));
			assert_eq!(RoleTotals::<Test>::get(role), RoleTotal { candidates: 1, weight: minimum });
			assert!(events().contains(&Event::Registered {
				stash,
				operator: account(101),
				role,
				self_stake: minimum,
				weight: minimum,
			}));
		});
	}
}

#[test]
fn register_with_a_planck_less_than_the_minimum_is_refused_for_each_role() {
	for (role, minimum) in ROLES {
		run(|| {
			let stash = account(1);
			done(&stash, stake(minimum));
			refused(&stash, register(&stash, role, minimum - 1, 101), Error::BelowRoleMinimum);
			refused(&stash, register(&stash, role, 1, 101), Error::BelowRoleMinimum);
			refused(&stash, register(&stash, role, 0, 101), Error::BelowRoleMinimum);
		});
	}
}

#[test]
fn register_with_more_than_idle_is_refused() {
	run(|| {
		let stash = account(1);
		done(&stash, stake(20_000 * CAI - 1));
		refused(&stash, register(&stash, Role::Miner, 20_000 * CAI, 101), Error::InsufficientIdle);
	});
}

#[test]
fn register_twice_is_refused() {
	run(|| {
		let stash = registered(1, Role::Miner, 20_000 * CAI);
		done(&stash, stake(200_000 * CAI));
		refused(&stash, register(&stash, Role::Miner, 20_000 * CAI, 102), Error::AlreadyRegistered);
		refused(
			&stash,
			register(&stash, Role::Validator, 100_000 * CAI, 102),
			Error::AlreadyRegistered,
		);
	});
}

#[test]
fn register_with_a_busy_operator_is_refused() {
	run(|| {
		registered(1, Role::Miner, 20_000 * CAI);
		let other = account(2);
		done(&other, stake(20_000 * CAI));
		refused(&other, register(&other, Role::Miner, 20_000 * CAI, 101), Error::OperatorTaken);
	});
}

#[test]
fn register_as_ones_own_operator_works() {
	run(|| {
		let stash = account(1);
		done(&stash, stake(20_000 * CAI));
		done(&stash, register(&stash, Role::Miner, 20_000 * CAI, 1));
		assert_eq!(Operators::<Test>::get(&stash), Some(stash.clone()));
	});
}

#[test]
fn register_refuses_endpoints_and_certificates_of_other_roles() {
	run(|| {
		let stash = account(1);
		done(&stash, stake(2_000_000 * CAI));
		for role in [Role::Validator, Role::Miner] {
			let listening = CandidateInfo {
				endpoints: info(Role::Coordinator).endpoints,
				..CandidateInfo::default()
			};
			let certified =
				CandidateInfo { certificate: Some([1; 32]), ..CandidateInfo::default() };
			for info in [listening, certified] {
				refused(&stash, register_with(role, info), Error::EndpointNotAllowed);
			}
		}
	});
}

#[test]
fn register_refuses_a_coordinator_without_endpoint() {
	run(|| {
		let stash = account(1);
		done(&stash, stake(2_000_000 * CAI));
		refused(
			&stash,
			register_with(Role::Coordinator, CandidateInfo::default()),
			Error::EndpointRequired,
		);
	});
}

#[test]
fn register_refuses_text_that_cannot_be_shown() {
	run(|| {
		let stash = account(1);
		done(&stash, stake(2_000_000 * CAI));
		let bad: [&[u8]; 3] = [b"\xff\xfe", b"two\nlines", b"\x1b[31mred"];
		for text in bad {
			let text = text.to_vec();
			let named =
				CandidateInfo { name: text.clone().try_into().unwrap(), ..info(Role::Coordinator) };
			let contactable = CandidateInfo {
				contact: text.clone().try_into().unwrap(),
				..info(Role::Coordinator)
			};
			let listening = CandidateInfo {
				endpoints: vec![text.try_into().unwrap()].try_into().unwrap(),
				..info(Role::Coordinator)
			};
			for info in [named, contactable, listening] {
				refused(&stash, register_with(Role::Coordinator, info), Error::InvalidText);
			}
		}
	});
}

#[test]
fn register_refuses_endpoints_that_are_no_urls() {
	run(|| {
		let stash = account(1);
		done(&stash, stake(2_000_000 * CAI));
		for url in [
			"",
			"coordinator.example.org",
			"ftp://example.org",
			"ws://",
			"https:///path",
			"http://:80",
			"wss://?query",
			"WS://example.org",
			"ws:/example.org",
			"ws://exam ple.org",
		] {
			let endpoints = vec![endpoint("ws://example.org"), endpoint(url)];
			let info = CandidateInfo {
				endpoints: endpoints.try_into().unwrap(),
				..CandidateInfo::default()
			};
			refused(&stash, register_with(Role::Coordinator, info), Error::InvalidEndpoint);
		}
	});
}

#[test]
fn register_takes_endpoints_of_every_scheme() {
	run(|| {
		let stash = account(1);
		done(&stash, stake(2_000_000 * CAI));
		let endpoints = ["ws://a", "wss://[::1]:9955/", "http://b:1/c?d", "https://é.example"];
		let endpoints: Vec<_> = endpoints.map(endpoint).into();
		let info =
			CandidateInfo { endpoints: endpoints.try_into().unwrap(), ..CandidateInfo::default() };
		done(&stash, register_with(Role::Coordinator, info));
	});
}

#[test]
fn deregister_frees_stash_and_operator_and_leaves_the_pool() {
	run(|| {
		let stash = registered(1, Role::Miner, 30_000 * CAI);
		let voter = account(2);
		done(&voter, stake(10 * CAI));
		done(&voter, vote(&stash, 10 * CAI));
		done(&stash, Call::deregister {});
		assert_eq!(
			last_event(),
			Event::Deregistered {
				stash: stash.clone(),
				operator: account(101),
				role: Role::Miner,
				weight: 30_010 * CAI,
			}
		);
		assert_eq!(RoleOf::<Test>::get(&stash), None);
		assert_eq!(Candidates::<Test>::get(Role::Miner, &stash), None);
		assert_eq!(Operators::<Test>::get(account(101)), None);
		assert_eq!(RoleTotals::<Test>::get(Role::Miner), RoleTotal::default());
		assert_eq!(Pools::<Test>::get(&stash).balance, 30_010 * CAI);
		done(&voter, unvote(&stash, 10 * CAI));
		done(&stash, unvote(&stash, 30_000 * CAI));
		assert!(!Pools::<Test>::contains_key(&stash));
	});
}

#[test]
fn deregister_without_a_role_is_refused() {
	run(|| refused(&account(1), Call::deregister {}, Error::NotRegistered));
}

#[test]
fn register_again_counts_what_stayed_in_the_pool() {
	run(|| {
		let stash = registered(1, Role::Validator, 100_000 * CAI);
		let voter = account(2);
		done(&voter, stake(10 * CAI));
		done(&voter, vote(&stash, 10 * CAI));
		done(&stash, Call::deregister {});
		end_eras(1);
		done(&stash, register(&stash, Role::Miner, 0, 102));
		assert_eq!(
			RoleTotals::<Test>::get(Role::Miner),
			RoleTotal { candidates: 1, weight: 100_010 * CAI }
		);
		assert_eq!(RoleTotals::<Test>::get(Role::Validator), RoleTotal::default());
		assert_eq!(Candidates::<Test>::get(Role::Miner, &stash).unwrap().registered_at, 1);
	});
}

#[test]
fn set_operator_replaces_the_operator() {
	run(|| {
		let stash = registered(1, Role::Miner, 20_000 * CAI);
		let call =
			Call::set_operator { operator: account(50), proof: proof(50, &stash, Role::Miner) };
		done(&stash, call);
		assert_eq!(
			last_event(),
			Event::OperatorSet { stash: stash.clone(), old: account(101), new: account(50) }
		);
		assert_eq!(Operators::<Test>::get(account(101)), None);
		assert_eq!(Operators::<Test>::get(account(50)), Some(stash.clone()));
		assert_eq!(Candidates::<Test>::get(Role::Miner, &stash).unwrap().operator, account(50));
	});
}

#[test]
fn set_operator_without_a_role_is_refused() {
	run(|| {
		let stash = account(1);
		let call =
			Call::set_operator { operator: account(50), proof: proof(50, &stash, Role::Miner) };
		refused(&stash, call, Error::NotRegistered);
	});
}

#[test]
fn set_operator_to_a_busy_one_is_refused() {
	run(|| {
		let stash = registered(1, Role::Miner, 20_000 * CAI);
		registered(2, Role::Miner, 20_000 * CAI);
		for operator in [101, 102] {
			let call = Call::set_operator {
				operator: account(operator),
				proof: proof(operator, &stash, Role::Miner),
			};
			refused(&stash, call, Error::OperatorTaken);
		}
	});
}

#[test]
fn set_operator_without_consent_is_refused() {
	run(|| {
		let stash = registered(1, Role::Miner, 20_000 * CAI);
		let call =
			Call::set_operator { operator: account(50), proof: proof(51, &stash, Role::Miner) };
		refused(&stash, call, Error::InvalidProof);
	});
}

#[test]
fn set_info_replaces_the_info() {
	run(|| {
		let stash = registered(1, Role::Coordinator, 2_000_000 * CAI);
		let new = CandidateInfo {
			name: b"another".to_vec().try_into().unwrap(),
			endpoints: vec![endpoint("http://127.0.0.1:9955")].try_into().unwrap(),
			..CandidateInfo::default()
		};
		done(&stash, Call::set_info { info: new.clone() });
		assert_eq!(last_event(), Event::InfoSet { stash: stash.clone() });
		assert_eq!(Candidates::<Test>::get(Role::Coordinator, &stash).unwrap().info, new);
	});
}

#[test]
fn set_info_is_checked_against_the_role() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let call = Call::set_info { info: info(Role::Coordinator) };
		refused(&miner, call, Error::EndpointNotAllowed);
		let coordinator = registered(2, Role::Coordinator, 2_000_000 * CAI);
		let call = Call::set_info { info: info(Role::Miner) };
		refused(&coordinator, call, Error::EndpointRequired);
	});
}

#[test]
fn set_info_without_a_role_is_refused() {
	run(|| {
		let call = Call::set_info { info: info(Role::Miner) };
		refused(&account(1), call, Error::NotRegistered);
	});
}
