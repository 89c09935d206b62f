//! What an adversary would try.

use frame::prelude::{Encode, H256};

use crate::{
	consent_payload, mock::*, Balance, Call, Error, Ledgers, Operators, Pools, Ranking, Role,
	RoleTotals,
};

#[test]
fn voting_twice_with_the_same_tokens() {
	run(|| {
		let one = registered(1, Role::Miner, 20_000 * CAI);
		let two = registered(2, Role::Miner, 20_000 * CAI);
		let voter = account(10);
		done(&voter, stake(100 * CAI));
		done(&voter, vote(&one, 100 * CAI));
		refused(&voter, vote(&two, 100 * CAI), Error::InsufficientIdle);
		refused(&voter, vote(&one, 100 * CAI), Error::InsufficientIdle);
		refused(&voter, Call::unstake { amount: CAI }, Error::InsufficientIdle);
		// Taken back and voted again, it counts in one place only, and unbonding counts nowhere.
		done(&voter, unvote(&one, 60 * CAI));
		done(&voter, vote(&two, 50 * CAI));
		done(&voter, Call::unstake { amount: 10 * CAI });
		assert_eq!(Pools::<Test>::get(&one).balance, 20_040 * CAI);
		assert_eq!(Pools::<Test>::get(&two).balance, 20_050 * CAI);
		assert_eq!(RoleTotals::<Test>::get(Role::Miner).weight, 40_090 * CAI);
		refused(&voter, vote(&two, 1), Error::InsufficientIdle);
	});
}

#[test]
fn staked_tokens_cannot_be_spent_or_staked_again() {
	run(|| {
		let staker = account(1);
		done(&staker, stake(FUNDS - CAI));
		let transfer = pallet_balances::Call::transfer_allow_death { dest: account(2), value: CAI };
		let result = frame::prelude::Dispatchable::dispatch(
			RuntimeCall::Balances(transfer),
			RuntimeOrigin::signed(staker.clone()),
		);
		assert!(result.is_err());
		refused(&staker, stake(CAI), Error::InsufficientBalance);
	});
}

#[test]
fn registering_somebody_elses_operator() {
	run(|| {
		let thief = account(1);
		let victim = account(50);
		done(&thief, stake(20_000 * CAI));
		for signer in [1, 2] {
			let call = Call::register {
				role: Role::Miner,
				self_stake: 20_000 * CAI,
				operator: victim.clone(),
				proof: proof(signer, &thief, Role::Miner),
				info: info(Role::Miner),
			};
			refused(&thief, call, Error::InvalidProof);
		}
		assert_eq!(Operators::<Test>::get(victim), None);
	});
}

/// The first account tries to register as a miner with a signature of its operator over `payload`.
fn replayed(payload: &[u8]) {
	let stash = account(1);
	done(&stash, stake(20_000 * CAI));
	let call = Call::register {
		role: Role::Miner,
		self_stake: 20_000 * CAI,
		operator: account(101),
		proof: sign(101, payload),
		info: info(Role::Miner),
	};
	refused(&stash, call, Error::InvalidProof);
}

#[test]
fn replaying_a_proof_for_another_stash() {
	run(|| replayed(&consent_payload(&System::block_hash(0), &account(2), Role::Miner)));
}

#[test]
fn replaying_a_proof_for_another_role() {
	run(|| replayed(&consent_payload(&System::block_hash(0), &account(1), Role::Validator)));
}

#[test]
fn replaying_a_proof_of_another_chain() {
	run(|| replayed(&consent_payload(&H256::repeat_byte(43), &account(1), Role::Miner)));
}

#[test]
fn using_a_signature_made_for_something_else() {
	run(|| replayed(&(System::block_hash(0), account(1), Role::Miner).encode()));
}

#[test]
fn the_payload_of_a_proof_is_as_documented() {
	let payload = consent_payload(&H256::repeat_byte(9), &account(1), Role::Coordinator);
	let mut expected = b"cuckoo/operator/v1".to_vec();
	expected.extend([9; 32]);
	expected.extend(AsRef::<[u8]>::as_ref(&account(1)));
	expected.push(2);
	assert_eq!(payload, expected);
}

#[test]
fn squatting_the_ranking_at_the_minimum() {
	run(|| {
		for n in 1..=4 {
			registered(n, Role::Validator, 100_000 * CAI);
		}
		// A planck more than the squatters is enough for everyone who comes later.
		for n in 5..=8 {
			registered(n, Role::Validator, 100_000 * CAI + 1);
		}
		let mut expected: Vec<_> = (5..=8).map(account).collect();
		expected.sort();
		let ranked: Vec<_> = Ranking::<Test>::get().into_iter().map(|(_, stash)| stash).collect();
		assert_eq!(ranked, expected);
		for n in 1..=4 {
			let call = Call::rank { candidate: account(n) };
			refused(&account(n), call, Error::NotHeavyEnough);
		}
	});
}

#[test]
fn the_largest_number_in_every_argument() {
	const MAX: Balance = Balance::MAX;
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let other = registered(2, Role::Miner, 20_000 * CAI);
		let voter = account(10);
		done(&voter, stake(100 * CAI));
		done(&voter, vote(&miner, 50 * CAI));
		refused(&voter, stake(MAX), Error::InsufficientBalance);
		refused(&voter, Call::unstake { amount: MAX }, Error::InsufficientIdle);
		refused(&voter, vote(&miner, MAX), Error::InsufficientIdle);
		refused(&voter, unvote(&miner, MAX), Error::InsufficientVote);
		refused(&voter, move_vote(&miner, &other, MAX), Error::InsufficientVote);
		refused(&miner, unvote(&miner, MAX), Error::InsufficientVote);
		let stash = account(11);
		for role in Role::ALL {
			refused(&stash, register(&stash, role, MAX, 111), Error::InsufficientIdle);
		}
		let largest = AccountId::new([255; 32]);
		refused(&voter, vote(&largest, CAI), Error::NotACandidate);
		refused(&voter, unvote(&largest, CAI), Error::NoVote);
		refused(&voter, Call::rank { candidate: largest }, Error::NotAValidator);
	});
}

#[test]
fn acting_after_deregistering() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let other = registered(2, Role::Miner, 20_000 * CAI);
		let voter = account(10);
		done(&voter, stake(100 * CAI));
		done(&voter, vote(&miner, 50 * CAI));
		done(&miner, Call::deregister {});
		refused(&miner, Call::deregister {}, Error::NotRegistered);
		refused(&miner, Call::set_info { info: info(Role::Miner) }, Error::NotRegistered);
		let call =
			Call::set_operator { operator: account(50), proof: proof(50, &miner, Role::Miner) };
		refused(&miner, call, Error::NotRegistered);
		refused(&miner, vote(&miner, CAI), Error::NotACandidate);
		refused(&voter, vote(&miner, CAI), Error::NotACandidate);
		refused(&voter, move_vote(&other, &miner, CAI), Error::NotACandidate);
		refused(&account(3), Call::rank { candidate: miner.clone() }, Error::NotAValidator);
		// Self-stake is free now, but still answers for what the miner did.
		done(&miner, unvote(&miner, 20_000 * CAI));
		done(&voter, move_vote(&miner, &other, 50 * CAI));
		assert_eq!(Ledgers::<Test>::get(&miner).exposures.len(), 1);
		done(&miner, Call::unstake { amount: 20_000 * CAI });
		refused(&miner, Call::withdraw {}, Error::NothingToWithdraw);
	});
}

#[test]
fn leaving_before_a_bad_deed_is_noticed() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		done(&miner, Call::deregister {});
		done(&miner, unvote(&miner, 20_000 * CAI));
		// Another role does not wash the stake: the exposure stays.
		done(&miner, register(&miner, Role::Miner, 20_000 * CAI, 101));
		assert_eq!(crate::SubPools::<Test>::get(&miner, 0).balance, 20_000 * CAI);
	});
}

#[test]
fn unsigned_calls() {
	run(|| {
		let stash = account(1);
		let calls = [
			stake(CAI),
			Call::unstake { amount: CAI },
			Call::withdraw {},
			register(&stash, Role::Miner, 20_000 * CAI, 101),
			Call::deregister {},
			Call::set_operator { operator: account(50), proof: proof(50, &stash, Role::Miner) },
			Call::set_info { info: info(Role::Miner) },
			vote(&stash, CAI),
			unvote(&stash, CAI),
			move_vote(&stash, &account(2), CAI),
			Call::rank { candidate: stash.clone() },
			Call::set_validator_count { count: 1 },
		];
		for call in calls {
			for origin in [RuntimeOrigin::none(), RuntimeOrigin::root()] {
				let is_admin = matches!(call, Call::set_validator_count { .. })
					&& format!("{origin:?}").contains("Root");
				let result = dispatch(origin, call.clone());
				let expected =
					if is_admin { Ok(()) } else { Err(frame::prelude::DispatchError::BadOrigin) };
				assert_eq!(result, expected, "{call:?}");
			}
		}
	});
}
