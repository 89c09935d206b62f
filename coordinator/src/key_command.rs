//! `cuckoo-coordinator key …`: operator keys.

use crate::cli::{KeyCommand, ProveArgs};
use anyhow::Context;
use cuckoo_chain_client::{
	consent::{self, Info, Registration},
	keys, ChainClient, Keypair, Role,
};
use std::io::Write;

/// Plancks of one CAI.
const CAI: u128 = 1_000_000_000_000_000_000;

/// Does what was asked for and writes the outcome to `out`.
///
/// # Errors
///
/// One line that says what is wrong: with the key file, the node, or the output.
pub async fn run(command: KeyCommand, out: &mut impl Write) -> anyhow::Result<()> {
	match command {
		KeyCommand::Generate { out: path } => {
			let key = keys::create(&path)?;
			writeln!(out, "secret phrase   {} (keep a copy in a safe place)", path.display())?;
			show(&key, out)?;
		},
		KeyCommand::Show { key } => show(&keys::load(key)?, out)?,
		KeyCommand::Prove(args) => prove(args, out).await?,
	}
	Ok(())
}

fn show(key: &Keypair, out: &mut impl Write) -> std::io::Result<()> {
	writeln!(out, "address         {}", key.public_key().to_account_id())?;
	writeln!(out, "public key      0x{}", hex::encode(key.public_key().0))
}

async fn prove(args: ProveArgs, out: &mut impl Write) -> anyhow::Result<()> {
	let key = keys::load(&args.key)?;
	let client = ChainClient::connect(&args.chain).await?;
	let registration = Registration {
		stash: args.stash,
		role: Role::Coordinator,
		self_stake: u128::from(args.self_stake) * CAI,
		info: Info {
			name: args.name,
			contact: args.contact,
			endpoints: args.endpoints,
			certificate: None,
		},
	};
	let proof = consent::prove(&key, client.genesis(), &args.stash, Role::Coordinator);
	let call = consent::register_call(&client, &key, &registration)
		.await
		.context("cannot build the call")?;
	writeln!(out, "genesis         0x{}", hex::encode(client.genesis()))?;
	writeln!(out, "stash           {}", args.stash)?;
	writeln!(out, "operator        {}", key.public_key().to_account_id())?;
	writeln!(out, "proof           0x{}", hex::encode(proof))?;
	writeln!(out)?;
	writeln!(
		out,
		"The whole call, for polkadot.js Apps > Developer > Extrinsics > Decode; sign it with the \
		stash, which must have {} CAI staked and idle:",
		args.self_stake
	)?;
	writeln!(out, "{call}")?;
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;

	async fn output(command: KeyCommand) -> anyhow::Result<String> {
		let mut out = Vec::new();
		run(command, &mut out).await?;
		Ok(String::from_utf8(out)?)
	}

	#[tokio::test]
	async fn a_generated_key_is_shown_alike_and_never_overwritten() {
		let dir = tempfile::tempdir().unwrap();
		let path = dir.path().join("key");
		let made = output(KeyCommand::Generate { out: path.clone() }).await.unwrap();
		let shown = output(KeyCommand::Show { key: path.clone() }).await.unwrap();
		assert!(made.ends_with(&shown), "{made} does not end with {shown}");
		let error = output(KeyCommand::Generate { out: path }).await.unwrap_err().to_string();
		assert!(error.contains("exists"), "{error}");
	}

	#[tokio::test]
	async fn a_bad_key_file_is_one_line() {
		let dir = tempfile::tempdir().unwrap();
		let path = dir.path().join("key");
		std::fs::write(&path, "no key at all").unwrap();
		let error = format!("{:#}", output(KeyCommand::Show { key: path }).await.unwrap_err());
		assert_eq!(error.lines().count(), 1, "{error}");
	}
}
