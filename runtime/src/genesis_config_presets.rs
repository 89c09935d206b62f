//! The ready-made test networks.
//!
//! | preset | validators | slot, session, era |
//! |---|---|---|
//! | `development` | Alice | as on the live network: 6 s, 600 slots, 6 sessions |
//! | `local` | Alice, Bob, Charlie, Dave | as on the live network |
//! | `quick-development` | Alice | 2 s, 10 slots, 2 sessions |
//! | `quick-local` | Alice, Bob, Charlie, Dave | 2 s, 10 slots, 2 sessions |
//!
//! In each of them a coordinator and three miners are registered and all CAI exist, and the keys
//! of all accounts are public knowledge: see [`accounts`].

pub mod accounts;

use alloc::{collections::BTreeMap, string::ToString, vec, vec::Vec};
use cuckoo_staking_runtime_api::Role;
use frame_support::build_struct_json_patch;
use pallet_cuckoo_staking::{GenesisCandidate, Pot};
use sp_genesis_builder::PresetId;
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};

use crate::{
	configs::{BABE_GENESIS_EPOCH_CONFIG, MINIMUM_COORDINATOR_STAKE, MINIMUM_VALIDATOR_STAKE},
	currency::{CAI, TOTAL_SUPPLY},
	timing::{LIVE_SESSIONS_PER_ERA, LIVE_SESSION_LENGTH, LIVE_SLOT_DURATION_MS},
	AccountId, BabeConfig, Balance, BalancesConfig, RuntimeGenesisConfig, SessionConfig,
	SessionKeys, Staking, StakingConfig, SudoConfig, TimingConfig,
};

/// One validator.
pub const DEVELOPMENT_PRESET: &str = sp_genesis_builder::DEV_RUNTIME_PRESET;

/// Four validators.
pub const LOCAL_PRESET: &str = "local";

/// One validator, quick eras.
pub const QUICK_DEVELOPMENT_PRESET: &str = "quick-development";

/// Four validators, quick eras.
pub const QUICK_LOCAL_PRESET: &str = "quick-local";

/// What each of the people owns, other than Alice, who owns the rest.
const PERSON_BALANCE: Balance = 10_000_000 * CAI;

/// What a stash owns beside its stake.
const STASH_FREE_BALANCE: Balance = 10_000 * CAI;

/// What an operator owns, to pay fees with.
const OPERATOR_BALANCE: Balance = 1_000 * CAI;

/// What pays for work, over all time.
pub const MINING_POT: Balance = 300_000_000 * CAI;

/// What pays for stake, over all time.
pub const STAKING_POT: Balance = 110_000_000 * CAI;

/// Where the coordinator of the presets says that it listens.
const COORDINATOR_ENDPOINT: &str = "ws://127.0.0.1:9981";

/// The people of the presets: they own CAI, and some of them are validators, too.
const PEOPLE: [Sr25519Keyring; 6] = [
	Sr25519Keyring::Alice,
	Sr25519Keyring::Bob,
	Sr25519Keyring::Charlie,
	Sr25519Keyring::Dave,
	Sr25519Keyring::Eve,
	Sr25519Keyring::Ferdie,
];

/// How long slots, sessions and eras are.
struct Pace {
	slot_duration_ms: u64,
	session_length: u64,
	sessions_per_era: u32,
}

const LIVE_PACE: Pace = Pace {
	slot_duration_ms: LIVE_SLOT_DURATION_MS,
	session_length: LIVE_SESSION_LENGTH,
	sessions_per_era: LIVE_SESSIONS_PER_ERA,
};

const QUICK_PACE: Pace = Pace { slot_duration_ms: 2_000, session_length: 10, sessions_per_era: 2 };

const ONE_VALIDATOR: &[(Sr25519Keyring, Ed25519Keyring)] =
	&[(Sr25519Keyring::Alice, Ed25519Keyring::Alice)];

const FOUR_VALIDATORS: &[(Sr25519Keyring, Ed25519Keyring)] = &[
	(Sr25519Keyring::Alice, Ed25519Keyring::Alice),
	(Sr25519Keyring::Bob, Ed25519Keyring::Bob),
	(Sr25519Keyring::Charlie, Ed25519Keyring::Charlie),
	(Sr25519Keyring::Dave, Ed25519Keyring::Dave),
];

/// The genesis of the preset `id` as a JSON patch of the default genesis, or `None` if there is no
/// such preset.
pub fn get_preset(id: &PresetId) -> Option<Vec<u8>> {
	let patch = match id.as_ref() {
		DEVELOPMENT_PRESET => genesis(ONE_VALIDATOR, &LIVE_PACE),
		LOCAL_PRESET => genesis(FOUR_VALIDATORS, &LIVE_PACE),
		QUICK_DEVELOPMENT_PRESET => genesis(ONE_VALIDATOR, &QUICK_PACE),
		QUICK_LOCAL_PRESET => genesis(FOUR_VALIDATORS, &QUICK_PACE),
		_ => return None,
	};
	// A JSON value always has a text.
	Some(patch.to_string().into_bytes())
}

/// The names that [`get_preset`] knows.
pub fn preset_names() -> Vec<PresetId> {
	[DEVELOPMENT_PRESET, LOCAL_PRESET, QUICK_DEVELOPMENT_PRESET, QUICK_LOCAL_PRESET]
		.map(PresetId::from)
		.to_vec()
}

fn genesis(validators: &[(Sr25519Keyring, Ed25519Keyring)], pace: &Pace) -> serde_json::Value {
	let candidates = candidates(validators);
	let session_keys = validators
		.iter()
		.map(|(stash, grandpa)| {
			let keys =
				SessionKeys { babe: stash.public().into(), grandpa: grandpa.public().into() };
			(stash.to_account_id(), stash.to_account_id(), keys)
		})
		.collect();

	build_struct_json_patch!(RuntimeGenesisConfig {
		timing: TimingConfig {
			slot_duration_ms: pace.slot_duration_ms,
			session_length: pace.session_length,
			sessions_per_era: pace.sessions_per_era,
		},
		balances: BalancesConfig { balances: balances(&candidates) },
		babe: BabeConfig { epoch_config: BABE_GENESIS_EPOCH_CONFIG },
		staking: StakingConfig { validator_count: validators.len() as u32, candidates },
		session: SessionConfig { keys: session_keys },
		sudo: SudoConfig { key: Some(Sr25519Keyring::Alice.to_account_id()) },
	})
}

/// Who is registered from the start.
fn candidates(validators: &[(Sr25519Keyring, Ed25519Keyring)]) -> Vec<GenesisCandidate<AccountId>> {
	let validators = validators.iter().map(|(stash, _)| GenesisCandidate {
		stash: stash.to_account_id(),
		operator: stash.to_account_id(),
		role: Role::Validator,
		self_stake: MINIMUM_VALIDATOR_STAKE,
		name: stash.to_string(),
		endpoints: vec![],
	});
	let coordinator = GenesisCandidate {
		stash: accounts::COORDINATOR,
		operator: accounts::COORDINATOR_OPERATOR,
		role: Role::Coordinator,
		self_stake: MINIMUM_COORDINATOR_STAKE,
		name: "Coordinator".into(),
		endpoints: vec![COORDINATOR_ENDPOINT.into()],
	};
	let miners = accounts::MINERS.into_iter().map(|miner| GenesisCandidate {
		stash: miner.stash,
		operator: miner.operator,
		role: Role::Miner,
		self_stake: miner.self_stake,
		name: miner.name.into(),
		endpoints: vec![],
	});
	validators.chain([coordinator]).chain(miners).collect()
}

/// The balances from which the stakes are taken. They sum up to the total supply: Alice owns what
/// the others do not.
fn balances(candidates: &[GenesisCandidate<AccountId>]) -> Vec<(AccountId, Balance)> {
	let mut balances = BTreeMap::<AccountId, Balance>::new();
	for person in PEOPLE {
		balances.insert(person.to_account_id(), PERSON_BALANCE);
	}
	for candidate in candidates {
		*balances.entry(candidate.stash.clone()).or_default() +=
			candidate.self_stake + STASH_FREE_BALANCE;
		if candidate.operator != candidate.stash {
			*balances.entry(candidate.operator.clone()).or_default() += OPERATOR_BALANCE;
		}
	}
	balances.insert(Staking::pot_account(Pot::Mining), MINING_POT);
	balances.insert(Staking::pot_account(Pot::Staking), STAKING_POT);
	let others: Balance = balances
		.iter()
		.filter(|(account, _)| **account != Sr25519Keyring::Alice.to_account_id())
		.map(|(_, balance)| balance)
		.sum();
	balances.insert(Sr25519Keyring::Alice.to_account_id(), TOTAL_SUPPLY - others);
	balances.into_iter().collect()
}
