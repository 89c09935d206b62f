//! What `StakingApi` shows.

use cuckoo_staking_runtime_api::{
	CandidateView, EraView, ExposureView, PositionView, StakerView, UnbondingView, MAX_PAGE,
};

use crate::{mock::*, Call, Role, RoleTotal};

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
			positions: vec![PositionView {
				candidate: miner.clone(),
				shares: 30 * CAI,
				amount: 30 * CAI,
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
			[PositionView { candidate: miner, shares: 20_000 * CAI, amount: 20_000 * CAI }]
		);
		let stranger = Staking::view_staker(&account(99));
		assert_eq!(
			stranger,
			StakerView {
				held: 0,
				idle: 0,
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
