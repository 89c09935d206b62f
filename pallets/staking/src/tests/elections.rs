//! Eras, the ranking, and who is elected.

use frame::{deps::sp_runtime::testing::UintAuthorityId, prelude::DispatchError};

use crate::{mock::*, Balance, Call, CurrentEra, Error, Event, Ranking, Role};

fn validators(stakes: &[(u8, Balance)]) -> Vec<crate::GenesisCandidate<AccountId>> {
	stakes.iter().map(|(n, stake)| genesis_candidate(*n, Role::Validator, stake * CAI)).collect()
}

/// Runs a test on a chain with these validators (account, thousands of CAI).
fn run_with(stakes: &[(u8, Balance)], count: u32, test: impl FnOnce()) {
	let stakes: Vec<_> = stakes.iter().map(|(n, stake)| (*n, stake * 1_000)).collect();
	chain(validators(&stakes), count).execute_with(|| {
		test();
		check();
	});
}

fn active() -> Vec<AccountId> {
	Session::validators()
}

fn accounts(numbers: &[u8]) -> Vec<AccountId> {
	numbers.iter().copied().map(account).collect()
}

/// The number and the first session of the running era.
fn era() -> (u32, u32) {
	let era = CurrentEra::<Test>::get();
	(era.index, era.first_session)
}

fn ranked() -> Vec<AccountId> {
	Ranking::<Test>::get().into_iter().map(|(_, stash)| stash).collect()
}

#[test]
fn genesis_elects_the_heaviest_for_sessions_0_and_1() {
	run_with(&[(1, 100), (2, 300), (3, 200)], 2, || {
		assert_eq!(active(), accounts(&[2, 3]));
		end_sessions(1);
		assert_eq!(active(), accounts(&[2, 3]));
		assert_eq!(era(), (0, 0));
	});
}

#[test]
fn eras_last_their_sessions_and_begin_with_their_validators() {
	run_with(&[(1, 100), (2, 300), (3, 200)], 1, || {
		// Heavier than the second from now on, but only for the next era.
		done(&account(3), stake(200_000 * CAI));
		done(&account(3), vote(&account(3), 200_000 * CAI));
		for session in 1..=12 {
			end_sessions(1);
			let index = session / SESSIONS;
			assert_eq!(era(), (index, index * SESSIONS), "in session {session}");
			let elected = if index == 0 { account(2) } else { account(3) };
			assert_eq!(active(), [elected], "in session {session}");
		}
		let started: Vec<_> = events()
			.into_iter()
			.filter_map(|event| match event {
				Event::EraStarted { index, first_session, .. } => Some((index, first_session)),
				_ => None,
			})
			.collect();
		let expected: Vec<_> = (1..=4).map(|index| (index, index * SESSIONS)).collect();
		assert_eq!(started, expected);
	});
}

#[test]
fn eras_of_one_session_and_of_none_change_every_session() {
	for sessions in [1, 0] {
		run_with(&[(1, 100), (2, 200)], 1, || {
			SessionsPerEra::set(sessions);
			for session in 1..=4 {
				end_sessions(1);
				assert_eq!(era(), (session, session));
				assert_eq!(active(), accounts(&[2]));
			}
		});
	}
}

#[test]
fn an_election_takes_exactly_the_heaviest() {
	run_with(&[(1, 110), (2, 120), (3, 130), (4, 140)], 3, || {
		let voter = account(10);
		done(&voter, stake(100_000 * CAI));
		done(&voter, vote(&account(1), 25_000 * CAI));
		end_eras(1);
		assert_eq!(active(), accounts(&[4, 1, 3]));
		assert!(events().contains(&Event::ValidatorsElected { session: SESSIONS, count: 3 }));
		done(&voter, unvote(&account(1), 25_000 * CAI));
		end_eras(1);
		assert_eq!(active(), accounts(&[4, 3, 2]));
	});
}

#[test]
fn an_election_takes_all_when_there_are_fewer_than_asked_for() {
	run_with(&[(1, 100), (2, 200)], 4, || {
		assert_eq!(active(), accounts(&[2, 1]));
	});
}

#[test]
fn equal_weights_are_ranked_by_account() {
	run_with(&[(1, 100), (2, 100), (3, 100)], 3, || {
		let mut expected = accounts(&[1, 2, 3]);
		expected.sort();
		assert_eq!(active(), expected);
	});
}

#[test]
fn an_election_of_nobody_keeps_the_present_validators() {
	run_with(&[(1, 100), (2, 200)], 2, || {
		done(&account(1), Call::deregister {});
		done(&account(2), Call::deregister {});
		end_eras(2);
		assert_eq!(active(), accounts(&[2, 1]));
		assert!(events().contains(&Event::ElectionFailed { session: SESSIONS }));
	});
}

#[test]
fn a_genesis_without_candidates_leaves_the_session_keys_in_charge() {
	run(|| {
		assert_eq!(active(), accounts(&[30]));
		end_eras(2);
		assert_eq!(active(), accounts(&[30]));
	});
}

#[test]
fn a_validator_without_session_keys_is_passed_over() {
	// The accounts past 30 have none.
	run_with(&[(1, 100), (35, 300), (2, 200)], 2, || {
		assert_eq!(active(), accounts(&[2, 1]));
		assert_eq!(ranked(), accounts(&[35, 2, 1]));
	});
}

#[test]
fn a_deregistered_validator_serves_until_the_era_ends() {
	run_with(&[(1, 100), (2, 200)], 1, || {
		done(&account(2), Call::deregister {});
		assert_eq!(ranked(), accounts(&[1]));
		end_sessions(SESSIONS - 1);
		assert_eq!(active(), accounts(&[2]));
		end_sessions(1);
		assert_eq!(active(), accounts(&[1]));
	});
}

#[test]
fn only_validators_are_ranked() {
	run(|| {
		registered(1, Role::Miner, 500_000 * CAI);
		registered(2, Role::Coordinator, 2_000_000 * CAI);
		let validator = registered(3, Role::Validator, 100_000 * CAI);
		assert_eq!(ranked(), [validator]);
	});
}

#[test]
fn a_heavier_newcomer_displaces_the_lowest() {
	run_with(&[(1, 110), (2, 120), (3, 130), (4, 140)], 1, || {
		let newcomer = registered(5, Role::Validator, 115_000 * CAI);
		assert_eq!(ranked(), accounts(&[4, 3, 2, 5]));
		let happened = events();
		let displaced = Event::Displaced { stash: account(1), weight: 110_000 * CAI };
		assert!(happened.contains(&displaced));
		assert!(happened.contains(&Event::Ranked { stash: newcomer, weight: 115_000 * CAI }));
	});
}

#[test]
fn a_lighter_newcomer_waits_until_it_is_heavy_enough() {
	run_with(&[(1, 110), (2, 120), (3, 130), (4, 140)], 1, || {
		let newcomer = registered(5, Role::Validator, 105_000 * CAI);
		assert_eq!(ranked(), accounts(&[4, 3, 2, 1]));
		done(&newcomer, stake(50_000 * CAI));
		done(&newcomer, vote(&newcomer, 4_000 * CAI));
		assert_eq!(ranked(), accounts(&[4, 3, 2, 1]));
		done(&newcomer, vote(&newcomer, 16_000 * CAI));
		assert_eq!(ranked(), accounts(&[4, 3, 5, 2]));
		// The displaced one comes back by a vote in the same way.
		done(&account(1), stake(12_000 * CAI));
		done(&account(1), vote(&account(1), 12_000 * CAI));
		assert_eq!(ranked(), accounts(&[4, 3, 5, 1]));
	});
}

#[test]
fn rank_brings_a_displaced_validator_back_when_there_is_room() {
	run_with(&[(1, 110), (2, 120), (3, 130), (4, 140), (5, 150)], 1, || {
		let anyone = account(20);
		let call = || Call::rank { candidate: account(1) };
		assert_eq!(ranked(), accounts(&[5, 4, 3, 2]));
		refused(&anyone, call(), Error::NotHeavyEnough);
		done(&account(3), Call::deregister {});
		done(&anyone, call());
		assert_eq!(last_event(), Event::Ranked { stash: account(1), weight: 110_000 * CAI });
		assert_eq!(ranked(), accounts(&[5, 4, 2, 1]));
		refused(&anyone, call(), Error::AlreadyRanked);
	});
}

#[test]
fn rank_brings_a_displaced_validator_back_when_another_sank() {
	run_with(&[(1, 115), (2, 120), (3, 130), (4, 140), (5, 150)], 4, || {
		done(&account(4), unvote(&account(4), 40_000 * CAI));
		assert_eq!(ranked(), accounts(&[5, 3, 2, 4]));
		done(&account(20), Call::rank { candidate: account(1) });
		assert_eq!(ranked(), accounts(&[5, 3, 2, 1]));
	});
}

#[test]
fn rank_of_others_than_validators_is_refused() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		refused(&account(20), Call::rank { candidate: miner }, Error::NotAValidator);
		refused(&account(20), Call::rank { candidate: account(2) }, Error::NotAValidator);
	});
}

#[test]
fn set_validator_count_takes_effect_with_the_next_election() {
	run_with(&[(1, 100), (2, 200), (3, 300)], 1, || {
		dispatch(RuntimeOrigin::root(), Call::set_validator_count { count: 2 }).unwrap();
		assert_eq!(last_event(), Event::ValidatorCountSet { old: 1, new: 2 });
		assert_eq!(active(), accounts(&[3]));
		end_eras(1);
		assert_eq!(active(), accounts(&[3, 2]));
	});
}

#[test]
fn set_validator_count_out_of_range_is_refused() {
	run(|| {
		for count in [0, 5, u32::MAX] {
			let result = dispatch(RuntimeOrigin::root(), Call::set_validator_count { count });
			assert_eq!(result, Err(Error::<Test>::InvalidValidatorCount.into()));
		}
	});
}

#[test]
fn set_validator_count_is_the_admins() {
	run(|| {
		let call = Call::set_validator_count { count: 1 };
		assert_eq!(act(&account(1), call), Err(DispatchError::BadOrigin));
	});
}

fn set_keys(key: u64) -> Call<Test> {
	Call::set_keys { keys: UintAuthorityId(key), proof: Vec::new() }
}

fn next_key(n: u8) -> Option<u64> {
	pallet_session::NextKeys::<Test>::get(account(n)).map(|keys| keys.0)
}

#[test]
fn session_keys_change_once_in_an_era() {
	run_with(&[(1, 100)], 1, || {
		done(&account(1), set_keys(1_000));
		assert_eq!(last_event(), Event::KeysSet { stash: account(1) });
		refused(&account(1), set_keys(1_001), Error::KeysSetAlready);
		end_sessions(SESSIONS - 1);
		refused(&account(1), set_keys(1_001), Error::KeysSetAlready);
		assert_eq!(next_key(1), Some(1_000));
		end_sessions(1);
		done(&account(1), set_keys(1_001));
		assert_eq!(next_key(1), Some(1_001));
	});
}

#[test]
fn purged_or_left_and_back_is_no_way_around_it() {
	run_with(&[(1, 100)], 1, || {
		done(&account(1), set_keys(1_000));
		Session::purge_keys(RuntimeOrigin::signed(account(1))).unwrap();
		refused(&account(1), set_keys(1_001), Error::KeysSetAlready);
		done(&account(1), Call::deregister {});
		done(&account(1), register(&account(1), Role::Validator, 0, 101));
		refused(&account(1), set_keys(1_001), Error::KeysSetAlready);
		assert_eq!(next_key(1), None);
	});
}

#[test]
fn keys_that_the_session_refuses_use_up_nothing() {
	run_with(&[(1, 100)], 1, || {
		// The second account's.
		let taken = act(&account(1), set_keys(2));
		assert_eq!(taken, Err(pallet_session::Error::<Test>::DuplicatedKey.into()));
		done(&account(1), set_keys(1_000));
	});
}

#[test]
fn session_keys_of_others_than_validators_are_refused() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		refused(&miner, set_keys(1_000), Error::NotAValidator);
		refused(&account(2), set_keys(1_000), Error::NotAValidator);
	});
}

#[test]
fn the_change_of_keys_is_forgotten_with_the_last_staker() {
	run_with(&[(1, 100), (2, 100)], 1, || {
		let stash = account(1);
		done(&stash, set_keys(1_000));
		done(&stash, Call::deregister {});
		assert!(crate::KeyChanges::<Test>::contains_key(&stash));
		done(&stash, unvote(&stash, 100_000 * CAI));
		assert!(!crate::KeyChanges::<Test>::contains_key(&stash));
	});
}
