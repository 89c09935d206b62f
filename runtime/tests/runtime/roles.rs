//! Registration through the calls that people send.

use codec::Encode;
use cuckoo_staking_runtime_api::Role;
use frame_support::{assert_noop, assert_ok, BoundedVec};
use pallet_cuckoo_staking::{consent_payload, CandidateInfo, Error};
use sp_core::{sr25519, Pair};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{traits::Dispatchable, MultiSignature};

use crate::{chain, GENESIS_HASH};
use cuckoo_runtime::{
	configs::{MINIMUM_COORDINATOR_STAKE, MINIMUM_MINER_STAKE, MINIMUM_VALIDATOR_STAKE},
	currency::{CAI, MILLI_CAI},
	genesis_config_presets::DEVELOPMENT_PRESET,
	AccountId, Balance, Runtime, RuntimeCall, RuntimeOrigin, Session, SessionKeys, Staking,
};

fn stash() -> AccountId {
	Sr25519Keyring::Eve.to_account_id()
}

fn operator() -> sr25519::Pair {
	sr25519::Pair::from_string("//Eve//operator", None).expect("is a path")
}

fn stake(amount: Balance) -> RuntimeCall {
	RuntimeCall::Staking(pallet_cuckoo_staking::Call::stake { amount })
}

fn register(role: Role, self_stake: Balance, consent: &[u8]) -> RuntimeCall {
	let mut info = CandidateInfo::default();
	if role == Role::Coordinator {
		let url = b"wss://example.org".to_vec();
		let url = BoundedVec::try_from(url).expect("is short");
		info.endpoints = BoundedVec::try_from(vec![url]).expect("is one");
	}
	RuntimeCall::Staking(pallet_cuckoo_staking::Call::register {
		role,
		self_stake,
		operator: operator().public().into(),
		proof: MultiSignature::Sr25519(operator().sign(consent)),
		info,
	})
}

#[test]
fn minimums_are_those_of_the_design() {
	assert_eq!(MINIMUM_VALIDATOR_STAKE, 100_000 * CAI);
	assert_eq!(MINIMUM_MINER_STAKE, 20_000 * CAI);
	assert_eq!(MINIMUM_COORDINATOR_STAKE, 2_000_000 * CAI);
}

#[test]
fn a_little_less_than_the_minimum_is_refused_and_the_minimum_is_enough() {
	for (role, minimum) in [
		(Role::Validator, 100_000 * CAI),
		(Role::Miner, 20_000 * CAI),
		(Role::Coordinator, 2_000_000 * CAI),
	] {
		chain(DEVELOPMENT_PRESET).execute_with(|| {
			let consent = consent_payload(&GENESIS_HASH, &stash(), role);
			assert_ok!(stake(minimum).dispatch(RuntimeOrigin::signed(stash())));

			for less in [minimum - MILLI_CAI, minimum - 1] {
				assert_noop!(
					register(role, less, &consent)
						.dispatch(RuntimeOrigin::signed(stash()))
						.map_err(|error| error.error),
					Error::<Runtime>::BelowRoleMinimum
				);
			}
			assert_ok!(register(role, minimum, &consent).dispatch(RuntimeOrigin::signed(stash())));
			let candidate = Staking::view_candidate(stash()).expect("is registered");
			assert_eq!((candidate.role, candidate.self_stake), (role, minimum));
			assert!(candidate.active);
		});
	}
}

#[test]
fn an_operator_agrees_to_one_chain_stash_and_role_only() {
	chain(DEVELOPMENT_PRESET).execute_with(|| {
		let minimum = MINIMUM_MINER_STAKE;
		assert_ok!(stake(minimum).dispatch(RuntimeOrigin::signed(stash())));
		let other_stash = Sr25519Keyring::Ferdie.to_account_id();
		for consent in [
			consent_payload(&cuckoo_runtime::Hash::zero(), &stash(), Role::Miner),
			consent_payload(&GENESIS_HASH, &other_stash, Role::Miner),
			consent_payload(&GENESIS_HASH, &stash(), Role::Validator),
			b"agreed".to_vec(),
		] {
			assert_noop!(
				register(Role::Miner, minimum, &consent)
					.dispatch(RuntimeOrigin::signed(stash()))
					.map_err(|error| error.error),
				Error::<Runtime>::InvalidProof
			);
		}
	});
}

#[test]
fn session_keys_need_the_proof_that_they_are_the_senders() {
	let mut externalities = chain(DEVELOPMENT_PRESET);
	let keystore = sp_keystore::testing::MemoryKeystore::new();
	externalities.register_extension(sp_keystore::KeystoreExt::new(keystore));
	externalities.execute_with(|| {
		let validator = Sr25519Keyring::Alice.to_account_id();
		let set_keys = |owner: &AccountId| {
			let generated = SessionKeys::generate(&owner.encode(), None);
			let (keys, proof) = (generated.keys, generated.proof.encode());
			let call = pallet_cuckoo_staking::Call::set_keys { keys, proof };
			RuntimeCall::Staking(call)
				.dispatch(RuntimeOrigin::signed(validator.clone()))
				.map_err(|error| error.error)
		};
		assert_noop!(set_keys(&stash()), pallet_session::Error::<Runtime>::InvalidProof);
		assert_ok!(set_keys(&validator));
	});
}

#[test]
fn the_session_pallets_own_way_to_set_keys_is_closed() {
	chain(DEVELOPMENT_PRESET).execute_with(|| {
		let validator = Sr25519Keyring::Alice.to_account_id();
		let keys = Session::load_keys(&validator).expect("a validator of the genesis");
		let call = RuntimeCall::Session(pallet_session::Call::set_keys { keys, proof: Vec::new() });
		assert_noop!(
			call.dispatch(RuntimeOrigin::signed(validator)).map_err(|error| error.error),
			frame_system::Error::<Runtime>::CallFiltered
		);
	});
}
