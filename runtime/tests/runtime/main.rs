//! Tests of the runtime as a whole.

mod fees;
mod genesis;
mod metadata;
mod people;
mod rewards;
mod roles;
mod sessions;

use codec::Encode;
use frame_support::genesis_builder_helper::build_state;
use serde_json::Value;
use sp_consensus_babe::{
	digests::{PreDigest, SecondaryPlainPreDigest},
	BABE_ENGINE_ID,
};
use sp_io::TestExternalities;
use sp_runtime::{Digest, DigestItem};

use cuckoo_runtime::{
	genesis_config_presets::get_preset, BlockNumber, Hash, Runtime, RuntimeGenesisConfig, System,
};

/// The hash of the first block on every chain of these tests.
const GENESIS_HASH: Hash = Hash::repeat_byte(7);

/// A chain at the first block after the genesis of `preset`.
fn chain(preset: &str) -> TestExternalities {
	chain_with(preset, &Value::Null).expect("the preset is a genesis")
}

/// As [`chain`], with `changes` merged into the genesis.
fn chain_with(preset: &str, changes: &Value) -> Result<TestExternalities, String> {
	let patch = get_preset(&preset.into()).expect("the preset exists");
	let patch: Value = serde_json::from_slice(&patch).expect("a preset is JSON");
	let mut genesis =
		serde_json::to_value(RuntimeGenesisConfig::default()).expect("the default is JSON");
	merge(&mut genesis, &patch);
	merge(&mut genesis, changes);

	let mut externalities = TestExternalities::default();
	externalities.execute_with(|| {
		build_state::<RuntimeGenesisConfig>(genesis.to_string().into_bytes())?;
		frame_system::BlockHash::<Runtime>::insert(0, GENESIS_HASH);
		begin_block(1, 1);
		Ok::<_, String>(())
	})?;
	Ok(externalities)
}

/// Lays `patch` over `value`, as the chain specification does.
fn merge(value: &mut Value, patch: &Value) {
	match (value, patch) {
		(Value::Object(fields), Value::Object(changes)) => {
			for (name, change) in changes {
				merge(fields.entry(name.clone()).or_insert(Value::Null), change);
			}
		},
		(_, Value::Null) => (),
		(value, patch) => *value = patch.clone(),
	}
}

/// Begins the block `number` in `slot`, made by the first validator.
fn begin_block(number: BlockNumber, slot: u64) {
	let claim = PreDigest::SecondaryPlain(SecondaryPlainPreDigest {
		authority_index: 0,
		slot: slot.into(),
	});
	let digest = Digest { logs: vec![DigestItem::PreRuntime(BABE_ENGINE_ID, claim.encode())] };
	System::initialize(&number, &GENESIS_HASH, &digest);
}
