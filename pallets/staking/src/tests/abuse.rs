//! What an adversary would try.

use frame::{
	prelude::{Encode, H256},
	traits::fungible::Mutate,
};

use crate::{
	consent_payload, mock::*, Balance, Call, Error, Ledgers, Operators, Perbill, Perquintill,
	Pools, Ranking, Role, RoleTotals,
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

/// What `staker` can claim in all.
fn pending(staker: &AccountId) -> Balance {
	Staking::view_pending_rewards(staker).iter().map(|reward| reward.amount).sum()
}

/// Reports a slash of half the stake for what was done in this era.
#[track_caller]
fn slash_half(candidate: &AccountId) {
	let offence_era = crate::CurrentEra::<Test>::get().index;
	let fraction = Perbill::from_percent(50);
	let call = Call::slash { candidate: candidate.clone(), fraction, offence_era };
	dispatch(RuntimeOrigin::root(), call).unwrap();
}

#[test]
fn unvoting_just_before_a_slash() {
	run(|| {
		let bad = registered(1, Role::Miner, 20_000 * CAI);
		let good = registered(2, Role::Miner, 20_000 * CAI);
		let ways: [fn(&AccountId, &AccountId, &AccountId); 4] = [
			|_, _, _| (),
			|voter, bad, _| done(voter, unvote(bad, 100 * CAI)),
			|voter, bad, good| done(voter, move_vote(bad, good, 100 * CAI)),
			|voter, bad, _| {
				done(voter, unvote(bad, 100 * CAI));
				done(voter, Call::unstake { amount: 100 * CAI });
			},
		];
		for (n, leave) in (10..).zip(ways) {
			let voter = account(n);
			done(&voter, stake(100 * CAI));
			done(&voter, vote(&bad, 100 * CAI));
			leave(&voter, &bad, &good);
		}
		slash_half(&bad);
		end_eras(DEFER);
		for n in 10..14 {
			for candidate in [&bad, &good] {
				let call = Call::settle { staker: account(n), candidate: candidate.clone() };
				let _ = act(&account(20), call);
			}
			assert_eq!(held(&account(n)), 50 * CAI, "voter {n}");
		}
	});
}

#[test]
fn leaving_by_the_time_that_the_slash_is_applied() {
	run(|| {
		let bad = registered(1, Role::Miner, 20_000 * CAI);
		let voter = account(10);
		done(&voter, stake(100 * CAI));
		done(&voter, vote(&bad, 100 * CAI));
		done(&voter, unvote(&bad, 100 * CAI));
		done(&voter, Call::unstake { amount: 100 * CAI });
		// As late as an offence of that era may be reported.
		end_eras(BONDING - DEFER - 1);
		let fraction = Perbill::from_percent(50);
		let call = Call::slash { candidate: bad.clone(), fraction, offence_era: 0 };
		dispatch(RuntimeOrigin::root(), call).unwrap();
		end_eras(DEFER);
		refused(&voter, Call::withdraw {}, Error::NothingToWithdraw);
		end_eras(1);
		done(&voter, Call::withdraw {});
		assert_eq!(Balances::free_balance(&voter), FUNDS - 50 * CAI);
	});
}

#[test]
fn joining_just_before_a_reward() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let late = account(10);
		done(&late, stake(FUNDS / 2));
		pass_slots(ERA_SLOTS - 1);
		let before = pending(&miner);
		done(&late, vote(&miner, FUNDS / 2));
		end_eras(1);
		// One slot of thirty, however much it was.
		let budget = before / (Balance::from(ERA_SLOTS) - 1) * Balance::from(ERA_SLOTS);
		assert!(pending(&late) <= budget / Balance::from(ERA_SLOTS));
		assert!(pending(&miner) >= before);
		// Nor is anything left to those who come and go within a slot.
		let flash = account(11);
		done(&flash, stake(FUNDS / 2));
		let free = Balances::free_balance(&flash);
		done(&flash, vote(&miner, FUNDS / 2));
		done(&flash, unvote(&miner, FUNDS / 2));
		assert_eq!(Balances::free_balance(&flash), free);
	});
}

#[test]
fn splitting_a_stake_over_a_thousand_accounts() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let whole = account(10);
		done(&whole, stake(1_000 * CAI));
		done(&whole, vote(&miner, 1_000 * CAI));
		let parts: Vec<_> = (0..1_000u32)
			.map(|n| {
				let mut bytes = [77; 32];
				bytes[..4].copy_from_slice(&n.to_le_bytes());
				let part = AccountId::new(bytes);
				<Balances as Mutate<_>>::mint_into(&part, 2 * CAI).unwrap();
				for call in [stake(CAI), vote(&miner, CAI)] {
					dispatch(RuntimeOrigin::signed(part.clone()), call).unwrap();
				}
				part
			})
			.collect();
		end_eras(2);
		let split: Balance = parts.iter().map(pending).sum();
		assert!(split <= pending(&whole), "{split} is more than {}", pending(&whole));
		assert!(pending(&whole) - split <= 1_000);
	});
}

#[test]
fn inflating_shares_by_dust() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let victim = account(10);
		done(&victim, stake(1_000 * CAI));
		done(&victim, vote(&miner, 1_000 * CAI));
		slash_half(&miner);
		end_eras(DEFER);
		// At a price that is no round number, entering and leaving in odd amounts gains nothing.
		let attacker = account(11);
		done(&attacker, stake(2_000 * CAI));
		for n in 1..50 {
			done(&attacker, vote(&miner, 2 * CAI + n));
			done(&attacker, unvote(&miner, CAI / 2 + n));
			let backing = crate::Positions::<Test>::get(&attacker, &miner).unwrap();
			let all = backing.stake.worth(&Pools::<Test>::get(&miner));
			done(&attacker, unvote(&miner, all));
			end_eras(u32::from(n % 4 == 0));
		}
		assert!(held(&attacker) <= 2_000 * CAI);
		done(&account(20), Call::settle { staker: victim.clone(), candidate: miner.clone() });
		assert!(held(&victim).abs_diff(500 * CAI) <= 100);
	});
}

#[test]
fn draining_the_pot_with_a_role_without_weight() {
	run(|| {
		for _ in 0..5 {
			pass_slots(ERA_SLOTS);
			end_eras(1);
		}
		let full = crate::Pots::<Test>::get(crate::Pot::Staking);
		assert_eq!((full.left, full.owed), (STAKING_POT, 0));
		// The only miner is in jail, so the role has a candidate, but no weight.
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		slash_half(&miner);
		for _ in 0..5 {
			pass_slots(ERA_SLOTS);
			end_eras(1);
		}
		assert_eq!(crate::Pots::<Test>::get(crate::Pot::Staking), full);
		assert_eq!(pending(&miner), 0);
	});
}

#[test]
fn claiming_what_somebody_else_has_earned() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		pass_slots(ERA_SLOTS);
		let thief = account(10);
		let claim = || Call::claim { candidate: miner.clone() };
		refused(&thief, claim(), Error::NoVote);
		done(&thief, stake(CAI));
		done(&thief, vote(&miner, CAI));
		refused(&thief, claim(), Error::NothingToClaim);
		let call = Call::claim_for { staker: miner.clone(), candidate: miner.clone() };
		refused(&thief, call, Error::ClaimNotAllowed);
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
		refused(&voter, Call::rank { candidate: largest.clone() }, Error::NotAValidator);
		refused(&voter, Call::claim { candidate: largest.clone() }, Error::NoVote);
		let settle = Call::settle { staker: largest.clone(), candidate: largest.clone() };
		refused(&voter, settle, Error::NothingToSettle);
		let by_root = |call| {
			let result = dispatch(RuntimeOrigin::root(), call);
			check();
			result
		};
		let fraction = Perbill::from_parts(u32::MAX);
		let slash = |offence_era| Call::slash { candidate: largest.clone(), fraction, offence_era };
		assert_eq!(by_root(slash(u32::MAX)), Err(Error::<Test>::OffenceInFuture.into()));
		by_root(slash(0)).unwrap();
		by_root(Call::cancel_slash { id: u32::MAX }).unwrap_err();
		let fraction = Perquintill::from_parts(u64::MAX);
		by_root(Call::set_emission { pot: crate::Pot::Mining, fraction }).unwrap_err();
		let part = Perbill::from_parts(u32::MAX);
		let split = Call::set_reward_split { validators: part, miners: part, coordinators: part };
		by_root(split).unwrap_err();
		by_root(Call::set_validator_count { count: u32::MAX }).unwrap_err();
		// Above 100 % is 100 %.
		done(&miner, Call::set_commission { commission: Perbill::zero() });
		refused(&miner, Call::set_commission { commission: part }, Error::CommissionRise);
		end_eras(DEFER + 1);
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
