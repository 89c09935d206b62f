//! Makes session keys while no node runs.

use std::path::PathBuf;

use clap::Parser;
use codec::Encode;
use cuckoo_runtime::{AccountId, RuntimeCall, SessionKeys};
use sc_cli::{Error, KeystoreParams, SharedParams, SubstrateCli};
use sc_keystore::LocalKeystore;
use sc_service::{config::KeystoreConfig, BasePath};
use sp_keystore::{KeystoreExt, KeystorePtr};
use sp_state_machine::BasicExternalities;

/// Make new session keys in the node's keystore, and print what announces them on the chain.
///
/// The owner is the stash that is registered as a validator. Sign and send the call from it: in
/// polkadot.js Apps under Developer, Extrinsics, either choose `staking.setKeys` and paste `keys` and
/// `proof`, or paste the whole call under Decode. The keys count from the session after the next, and
/// can be changed once in an era.
#[derive(Debug, Parser)]
pub struct SessionKeysCmd {
	/// The account, in SS58, that will send the call: the keys prove that they are its own.
	#[arg(long, value_name = "SS58")]
	pub owner: AccountId,

	/// Of which chain, and where the node keeps its files.
	#[clap(flatten)]
	pub shared_params: SharedParams,

	/// Where the keystore is.
	#[clap(flatten)]
	pub keystore_params: KeystoreParams,
}

/// Session keys and what announces them.
struct Announcement {
	/// SCALE of the public keys.
	keys: Vec<u8>,
	/// SCALE of the proof that who has the keys agrees that the owner has them.
	proof: Vec<u8>,
	/// SCALE of `staking.setKeys(keys, proof)`.
	call: Vec<u8>,
}

impl SessionKeysCmd {
	/// Makes the keys and prints the call.
	pub fn run<C: SubstrateCli>(&self, cli: &C) -> Result<(), Error> {
		let path = self.keystore_path(cli)?;
		let KeystoreConfig::Path { path, password } = path else {
			return Err("session keys need a keystore on disk".into());
		};
		let keystore = LocalKeystore::open(&path, password)
			.map_err(|error| format!("cannot open the keystore {}: {error}", path.display()))?;
		let Announcement { keys, proof, call } = announce(&self.owner, keystore.into());
		println!("owner     {}", self.owner);
		println!("keystore  {}", path.display());
		println!();
		println!("staking.setKeys(keys, proof), to be signed by the owner:");
		println!("keys      0x{}", hex::encode(keys));
		println!("proof     0x{}", hex::encode(proof));
		println!("call      0x{}", hex::encode(call));
		Ok(())
	}

	fn keystore_path<C: SubstrateCli>(&self, cli: &C) -> Result<KeystoreConfig, Error> {
		// A development chain without a base path lives in a temporary folder, which would take the
		// keys with it.
		let base_path = match (&self.shared_params.base_path, &self.keystore_params.keystore_path) {
			(Some(path), _) => BasePath::new(path),
			(None, None) if self.shared_params.is_dev() => {
				return Err("name the node's --base-path, or a --keystore-path: \
				            with --dev alone, the keys would be lost at once"
					.into())
			},
			_ => BasePath::from_project("", "", &C::executable_name()),
		};
		let chain = cli.load_spec(&self.shared_params.chain_id(self.shared_params.is_dev()))?;
		let config_dir: PathBuf = base_path.config_dir(chain.id());
		self.keystore_params.keystore_config(&config_dir)
	}
}

/// Makes session keys for `owner` in `keystore`.
fn announce(owner: &AccountId, keystore: KeystorePtr) -> Announcement {
	let mut externalities = BasicExternalities::new_empty();
	externalities.register_extension(KeystoreExt::from(keystore));
	let generated = externalities.execute_with(|| SessionKeys::generate(&owner.encode(), None));
	let proof = generated.proof.encode();
	let call = RuntimeCall::Staking(pallet_cuckoo_staking::Call::set_keys {
		keys: generated.keys.clone(),
		proof: proof.clone(),
	});
	Announcement { keys: generated.keys.encode(), proof, call: call.encode() }
}
