//! `cuckoo-miner key`: operator keys, and the proof that one agrees to work for a stash.

use crate::{
	chain_facts::minimum_stake,
	cli::{KeyCommand, ProveArgs},
	text::cai,
};
use cuckoo_chain_client::{
	consent::{self, Info, Registration},
	keys, AccountId32, ChainClient, Keypair, Role,
};
use std::path::Path;

/// Runs a key command; what it prints is its result.
pub async fn run(command: KeyCommand) -> anyhow::Result<()> {
	match command {
		KeyCommand::Generate { out } => {
			show(&out, &keys::create(&out)?);
			println!("\nKeep a copy of this file in a safe place: nobody can make it anew.");
			Ok(())
		},
		KeyCommand::Show { key } => {
			show(&key, &keys::load(&key)?);
			Ok(())
		},
		KeyCommand::Prove(args) => prove(args).await,
	}
}

/// The account of a key.
pub fn account(key: &Keypair) -> AccountId32 {
	key.public_key().to_account_id()
}

fn show(path: &Path, key: &Keypair) {
	println!("file:       {}", path.display());
	println!("address:    {}", account(key));
	println!("public key: 0x{}", hex::encode(key.public_key().0));
}

async fn prove(args: ProveArgs) -> anyhow::Result<()> {
	let ProveArgs { stash, chain, key, self_stake, name, contact } = args;
	let key = keys::load(key)?;
	let client = ChainClient::connect(&chain).await?;
	let self_stake = match self_stake {
		Some(self_stake) => self_stake,
		None => minimum_stake(&client).await?,
	};
	let registration = Registration {
		stash,
		role: Role::Miner,
		self_stake,
		info: Info { name, contact, ..Info::default() },
	};
	let proof = consent::prove(&key, client.genesis(), &stash, Role::Miner);
	let call = consent::register_call(&client, &key, &registration).await?;

	println!("role:       {}", Role::Miner);
	println!("stash:      {stash}");
	println!("operator:   {}", account(&key));
	println!("genesis:    0x{}", hex::encode(client.genesis()));
	println!("self-stake: {} CAI", cai(self_stake));
	println!("proof:      Sr25519 0x{}", hex::encode(proof));
	println!("call:       {call}");
	println!();
	println!(
		"To register: stake at least the self-stake (staking.stake), then in polkadot.js Apps open \
		Developer > Extrinsics > Decode, paste the call, and submit it from the stash."
	);
	Ok(())
}
