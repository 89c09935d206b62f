//! What `StakingApi` shows.

use cuckoo_staking_runtime_api::{
	CandidateView, EraView, ExposureView, PositionView, StakerView, UnbondingView, MAX_PAGE,
};

use crate::{mock::*, Balance, Call, Perbill, Pot, Role, RoleTotal};

#[test]
fn candidate_shows_everything_about_one() {
	run(|| {
		end_eras(2);
		let stash = registered(1, Role::Coordinator, 2_000_005 * CAI);
		let voter = account(2);
		done(&voter, stake(10 * CAI));
		done(&voter, vote(&stash, 7 * CAI));
		let expected = CandidateView {
			stash: stash.clone(),
			operator: account(101),
			role: Role::Coordinator,
			weight: 2_000_012 * CAI,
			self_stake: 2_000_005 * CAI,
			active: true,
			inactive_from: None,
			jailed_until: None,
			commission: 0,
			registered_at: 2,
			name: b"a name".to_vec(),
			contact: b"somebody@example.org".to_vec(),
			endpoints: vec![b"wss://coordinator.example.org:9955".to_vec()],
			certificate: Some([7; 32]),
		};
		assert_eq!(Staking::view_candidate(stash), Some(expected.clone()));
		assert_eq!(Staking::view_candidate_by_operator(&account(101)), Some(expected));
	});
}

#[test]
fn candidate_is_none_for_the_unregistered() {
	run(|| {
		let stash = registered(1, Role::Miner, 20_000 * CAI);
		assert_eq!(Staking::view_candidate(account(101)), None);
		assert_eq!(Staking::view_candidate_by_operator(&stash), None);
		done(&stash, Call::deregister {});
		assert_eq!(Staking::view_candidate(stash), None);
		assert_eq!(Staking::view_candidate_by_operator(&account(101)), None);
	});
}

#[test]
fn candidates_are_shown_in_pages_without_gap_or_repetition() {
	run(|| {
		for n in 1..=9 {
			registered(n, Role::Miner, 20_000 * CAI);
		}
		registered(10, Role::Validator, 100_000 * CAI);
		let all = Staking::view_candidates(Role::Miner, None, MAX_PAGE);
		assert_eq!(all.len(), 9);
		assert!(all.iter().all(|candidate| candidate.role == Role::Miner));
		for limit in 1..=10 {
			let mut seen = Vec::new();
			let mut cursor = None;
			loop {
				let page = Staking::view_candidates(Role::Miner, cursor, limit);
				assert!(page.len() <= limit as usize);
				let Some(last) = page.last() else { break };
				cursor = Some(last.stash.clone());
				seen.extend(page);
			}
			assert_eq!(seen, all, "in pages of {limit}");
		}
	});
}

#[test]
fn a_page_goes_on_after_a_candidate_that_left() {
	run(|| {
		for n in 1..=6 {
			registered(n, Role::Miner, 20_000 * CAI);
		}
		let all = Staking::view_candidates(Role::Miner, None, MAX_PAGE);
		let cursor = all[2].stash.clone();
		done(&cursor, Call::deregister {});
		assert_eq!(Staking::view_candidates(Role::Miner, Some(cursor), MAX_PAGE), all[3..]);
	});
}

#[test]
fn a_page_of_nothing_is_empty_and_a_long_one_is_capped() {
	run(|| {
		registered(1, Role::Miner, 20_000 * CAI);
		assert!(Staking::view_candidates(Role::Miner, None, 0).is_empty());
		assert!(Staking::view_candidates(Role::Validator, None, MAX_PAGE).is_empty());
		let template = crate::Candidates::<Test>::get(Role::Miner, account(1)).unwrap();
		for n in 0..300u32 {
			let mut bytes = [255; 32];
			bytes[..4].copy_from_slice(&n.to_le_bytes());
			let stash = AccountId::new(bytes);
			crate::Candidates::<Test>::insert(Role::Validator, &stash, template.clone());
		}
		let page = Staking::view_candidates(Role::Validator, None, u32::MAX);
		assert_eq!(page.len(), MAX_PAGE as usize);
		let _ = crate::Candidates::<Test>::clear_prefix(Role::Validator, u32::MAX, None);
	});
}

#[test]
fn staker_shows_where_the_stake_is() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let voter = account(2);
		done(&voter, stake(100 * CAI));
		done(&voter, vote(&miner, 40 * CAI));
		done(&voter, Call::unstake { amount: 5 * CAI });
		end_eras(1);
		done(&voter, unvote(&miner, 10 * CAI));
		done(&voter, Call::unstake { amount: 6 * CAI });
		let expected = |withdrawable, exposures| StakerView {
			held: 100 * CAI,
			idle: 59 * CAI,
			debt: 0,
			positions: vec![PositionView {
				candidate: miner.clone(),
				shares: 30 * CAI,
				amount: 30 * CAI,
				pending_reward: Staking::view_pending_rewards(&voter)[0].amount,
			}],
			unbonding: vec![
				UnbondingView { amount: 5 * CAI, until_era: BONDING },
				UnbondingView { amount: 6 * CAI, until_era: BONDING + 1 },
			],
			exposures,
			withdrawable,
		};
		let exposure = ExposureView {
			candidate: miner.clone(),
			amount: 10 * CAI,
			left_era: 1,
			until_era: BONDING + 1,
		};
		assert_eq!(Staking::view_staker(&voter), expected(0, vec![exposure.clone()]));
		end_eras(BONDING - 1);
		assert_eq!(Staking::view_staker(&voter), expected(5 * CAI, vec![exposure]));
		end_eras(1);
		// Expired, although the ledger was not touched.
		assert_eq!(Staking::view_staker(&voter), expected(11 * CAI, Vec::new()));
	});
}

#[test]
fn staker_shows_self_stake_and_nothing_for_strangers() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let view = Staking::view_staker(&miner);
		assert_eq!(view.held, 20_000 * CAI);
		assert_eq!(view.idle, 0);
		assert_eq!(
			view.positions,
			[PositionView {
				candidate: miner,
				shares: 20_000 * CAI,
				amount: 20_000 * CAI,
				pending_reward: 0,
			}]
		);
		let stranger = Staking::view_staker(&account(99));
		assert_eq!(
			stranger,
			StakerView {
				held: 0,
				idle: 0,
				debt: 0,
				positions: Vec::new(),
				unbonding: Vec::new(),
				exposures: Vec::new(),
				withdrawable: 0,
			}
		);
	});
}

#[test]
fn role_total_shows_number_and_weight() {
	run(|| {
		registered(1, Role::Miner, 20_000 * CAI);
		registered(2, Role::Miner, 40_000 * CAI);
		assert_eq!(
			Staking::view_role_total(Role::Miner),
			RoleTotal { candidates: 2, weight: 60_000 * CAI }
		);
		assert_eq!(Staking::view_role_total(Role::Validator), RoleTotal::default());
	});
}

#[test]
fn era_shows_the_running_one() {
	run(|| {
		end_sessions(SESSIONS + 1);
		let expected = EraView { index: 1, first_session: SESSIONS, sessions_per_era: SESSIONS };
		assert_eq!(Staking::view_era(), expected);
	});
}

#[test]
fn constants_show_the_rules() {
	run(|| {
		let constants = Staking::view_constants();
		for role in Role::ALL {
			assert_eq!(constants.minimum(role), Staking::minimum_stake(role));
		}
		assert_eq!(constants.validator_minimum, 100_000 * CAI);
		assert_eq!(constants.miner_minimum, 20_000 * CAI);
		assert_eq!(constants.coordinator_minimum, 2_000_000 * CAI);
		assert_eq!(constants.minimum_vote, CAI);
		assert_eq!(constants.bonding_eras, BONDING);
		assert_eq!(constants.max_votes, 3);
		assert_eq!(constants.max_unbonding_chunks, 3);
	});
}

#[test]
fn pending_rewards_include_the_commission_of_a_candidate() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		done(&miner, Call::set_commission { commission: Perbill::from_percent(50) });
		let voter = account(2);
		done(&voter, stake(20_000 * CAI));
		done(&voter, vote(&miner, 20_000 * CAI));
		assert!(Staking::view_pending_rewards(&voter).is_empty());
		pass_slots(ERA_SLOTS);
		let [of_miner] = &Staking::view_pending_rewards(&miner)[..] else { panic!("not one") };
		let [of_voter] = &Staking::view_pending_rewards(&voter)[..] else { panic!("not one") };
		assert_eq!(of_miner.candidate, miner);
		assert_eq!(of_voter.candidate, miner);
		assert!(of_miner.amount.abs_diff(3 * of_voter.amount) <= 4);
		assert_eq!(Staking::view_staker(&voter).positions[0].pending_reward, of_voter.amount);
		// Shown and paid are the same.
		let before = Balances::free_balance(&miner);
		done(&miner, Call::claim { candidate: miner.clone() });
		assert_eq!(Balances::free_balance(&miner), before + of_miner.amount);
	});
}

#[test]
fn weight_at_an_era_is_that_of_its_beginning() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		let voter = account(2);
		done(&voter, stake(100 * CAI));
		let at = |era| Staking::view_weight_at(&miner, era).map(|weight| weight / CAI);
		assert_eq!(at(0), Some(0));
		assert_eq!(at(1), None);
		end_eras(1);
		done(&voter, vote(&miner, 10 * CAI));
		done(&voter, vote(&miner, 10 * CAI));
		end_eras(2);
		done(&voter, unvote(&miner, 5 * CAI));
		assert_eq!(
			(0..=4).map(at).collect::<Vec<_>>(),
			[Some(0), Some(20_000), Some(20_020), Some(20_020), None]
		);
		end_eras(1);
		assert_eq!(at(4), Some(20_015));
		// As long as stake is bonded, and no longer.
		assert_eq!(at(0), None);
		for _ in 0..20 {
			end_eras(1);
			done(&voter, vote(&miner, CAI));
		}
		assert!(crate::WeightHistories::<Test>::get(&miner).len() <= BONDING as usize + 1);
	});
}

#[test]
fn expected_return_foretells_what_is_then_paid() {
	let candidates = [1, 2].map(|n| genesis_candidate(n, Role::Validator, 100_000 * CAI));
	chain(candidates.to_vec(), 2).execute_with(|| {
		let miner = registered(3, Role::Miner, 20_000 * CAI);
		registered(4, Role::Miner, 60_000 * CAI);
		done(&miner, Call::set_commission { commission: Perbill::from_percent(20) });
		let voter = account(5);
		done(&voter, stake(10_000 * CAI));
		done(&voter, vote(&miner, 10_000 * CAI));
		end_eras(1);
		let seen = Staking::view_expected_return(&voter, &miner).unwrap();
		assert_eq!(seen.amount, 10_000 * CAI);
		assert_eq!(seen.share, 333_333_333);
		let before = Staking::view_pending_rewards(&voter)[0].amount;
		pass_slots(ERA_SLOTS);
		let earned = Staking::view_pending_rewards(&voter)[0].amount - before;
		assert!(earned.abs_diff(seen.era_reward) <= 10, "{earned} {}", seen.era_reward);
		let yearly = seen.era_reward * 1_461 * 1_000_000 / (10_000 * CAI);
		assert_eq!(Balance::from(seen.yearly_return), yearly);
		// A validator's is by its blocks.
		let own = Staking::view_expected_return(&account(1), &account(1)).unwrap();
		let budget = crate::RoleFlows::<Test>::get(Role::Validator).budget;
		assert_eq!(own.era_reward, budget / 2);
		assert_eq!(Staking::view_expected_return(&account(9), &miner), None);
	});
}

#[test]
fn pots_show_what_is_left_and_owed_now() {
	run(|| {
		registered(1, Role::Miner, 20_000 * CAI);
		pass_slots(ERA_SLOTS / 2);
		let [mining, staking] = &Staking::view_pots()[..] else { panic!("not two") };
		assert_eq!((mining.pot, mining.state.left), (Pot::Mining, MINING_POT));
		assert_eq!(staking.state.left + staking.state.owed, STAKING_POT);
		assert!(staking.state.owed > 0);
		assert_eq!(staking.account, Staking::pot_account(Pot::Staking));
		assert_eq!(staking.emission, crate::pots::DEFAULT_EMISSION.deconstruct());
	});
}
