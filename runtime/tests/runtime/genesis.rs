//! The presets.

use std::panic::{catch_unwind, AssertUnwindSafe};

use cuckoo_staking_runtime_api::Role;
use frame_support::traits::Get;
use serde_json::json;
use sp_core::{sr25519, Pair};
use sp_keyring::Sr25519Keyring;

use crate::{chain, chain_with};
use cuckoo_runtime::{
	configs::{MINIMUM_COORDINATOR_STAKE, MINIMUM_VALIDATOR_STAKE},
	currency::CAI,
	genesis_config_presets::{
		accounts, get_preset, preset_names, DEVELOPMENT_PRESET, LOCAL_PRESET,
		QUICK_DEVELOPMENT_PRESET, QUICK_LOCAL_PRESET,
	},
	AccountId, Babe, Balances, Runtime, Session, Staking,
};

#[test]
fn every_preset_creates_exactly_the_total_supply() {
	let names = preset_names();
	assert_eq!(
		names.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
		[DEVELOPMENT_PRESET, LOCAL_PRESET, QUICK_DEVELOPMENT_PRESET, QUICK_LOCAL_PRESET]
	);
	for name in names {
		chain(name.as_ref()).execute_with(|| {
			assert_eq!(
				Balances::total_issuance(),
				1_000_000_000_000_000_000_000_000_000,
				"{name:?}"
			);
		});
	}
	assert_eq!(get_preset(&"mainnet".into()), None);
}

#[test]
fn presets_register_who_is_needed_for_a_demo() {
	for (preset, validators) in [
		(DEVELOPMENT_PRESET, 1),
		(LOCAL_PRESET, 4),
		(QUICK_DEVELOPMENT_PRESET, 1),
		(QUICK_LOCAL_PRESET, 4),
	] {
		chain(preset).execute_with(|| {
			let page = |role| Staking::view_candidates(role, None, 256);

			let expected: Vec<AccountId> = [
				Sr25519Keyring::Alice,
				Sr25519Keyring::Bob,
				Sr25519Keyring::Charlie,
				Sr25519Keyring::Dave,
			][..validators]
				.iter()
				.map(|stash| stash.to_account_id())
				.collect();
			let mut elected = Session::validators();
			elected.sort();
			let mut sorted = expected.clone();
			sorted.sort();
			assert_eq!(elected, sorted);
			assert_eq!(Babe::authorities().len(), validators);
			let registered = page(Role::Validator);
			assert_eq!(registered.len(), validators);
			for validator in registered {
				assert!(expected.contains(&validator.stash));
				assert!(validator.active);
				assert_eq!(validator.self_stake, MINIMUM_VALIDATOR_STAKE);
			}

			let coordinators = page(Role::Coordinator);
			assert_eq!(coordinators.len(), 1);
			assert_eq!(coordinators[0].stash, accounts::COORDINATOR);
			assert_eq!(coordinators[0].operator, accounts::COORDINATOR_OPERATOR);
			assert_eq!(coordinators[0].self_stake, MINIMUM_COORDINATOR_STAKE);
			assert_eq!(coordinators[0].endpoints.len(), 1);

			assert_eq!(page(Role::Miner).len(), accounts::MINERS.len());
			for (miner, stake) in accounts::MINERS.iter().zip([20_000, 40_000, 140_000]) {
				let candidate =
					Staking::view_candidate_by_operator(&miner.operator).expect("is registered");
				assert_eq!(candidate.stash, miner.stash);
				assert_eq!(candidate.role, Role::Miner);
				assert_eq!(candidate.weight, stake * CAI);
				assert!(candidate.active);
				// Operators sign transactions, and so need something to pay fees with.
				assert!(Balances::free_balance(&miner.operator) >= CAI);
			}
			assert_eq!(
				pallet_sudo::Key::<Runtime>::get(),
				Some(Sr25519Keyring::Alice.to_account_id())
			);
		});
	}
}

#[test]
fn accounts_are_derived_from_the_paths_that_they_name() {
	let derive = |path: &str| -> AccountId {
		sr25519::Pair::from_string(path, None).expect("is a path").public().into()
	};
	assert_eq!(accounts::COORDINATOR, derive("//Coordinator"));
	assert_eq!(accounts::COORDINATOR_OPERATOR, derive("//Coordinator//operator"));
	for miner in accounts::MINERS {
		assert_eq!(miner.stash, derive(&format!("//{}", miner.name)));
		assert_eq!(miner.operator, derive(&format!("//{}//operator", miner.name)));
	}
}

#[test]
fn timing_is_that_of_the_preset() {
	for (preset, slot, session, era) in
		[(DEVELOPMENT_PRESET, 6_000, 600, 6), (QUICK_LOCAL_PRESET, 2_000, 10, 2)]
	{
		chain(preset).execute_with(|| {
			assert_eq!(Babe::slot_duration(), slot);
			assert_eq!(
				<<Runtime as pallet_babe::Config>::ExpectedBlockTime as Get<u64>>::get(),
				slot
			);
			assert_eq!(
				<<Runtime as pallet_timestamp::Config>::MinimumPeriod as Get<u64>>::get(),
				slot / 2
			);
			assert_eq!(
				<<Runtime as pallet_babe::Config>::EpochDuration as Get<u64>>::get(),
				session
			);
			assert_eq!(Babe::next_epoch().duration, session);
			assert_eq!(Staking::view_era().sessions_per_era, era);
		});
	}
}

#[test]
fn timing_that_cannot_run_is_refused() {
	for (field, value, allowed) in
		[("slotDurationMs", 499, 500), ("sessionLength", 0, 1), ("sessionsPerEra", 0, 1)]
	{
		let build = |value: u64| {
			catch_unwind(AssertUnwindSafe(|| {
				chain_with(DEVELOPMENT_PRESET, &json!({ "timing": { field: value } }))
			}))
		};
		let Err(panic) = build(value) else { panic!("{field} = {value} is not refused") };
		let message = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| {
			panic.downcast_ref::<&str>().expect("a panic has a message").to_string()
		});
		assert!(message.contains(field), "{message}");
		assert!(matches!(build(allowed), Ok(Ok(_))), "{field} = {allowed}");
	}
}

#[test]
fn unknown_fields_of_a_genesis_are_refused() {
	let genesis = chain_with(DEVELOPMENT_PRESET, &json!({ "timing": { "slotDuration": 1 } }));
	let Err(error) = genesis else { panic!("an unknown field is not refused") };
	assert!(error.contains("slotDuration"), "{error}");
}
