//! The `key` commands of the programs that run with an operator key: make, show and prove.

use crate::{
	amount::{format_cai, parse_cai},
	certificate::{self, CertificateError},
	consent::{self, Info, Registration},
	keys::{self, KeyError, Password},
	parse_account, AccountId32, ChainClient, ChainError, Keypair, Role,
};
use clap::{Args, Subcommand};
use std::{
	io::{self, Write},
	path::{Path, PathBuf},
};

/// Where a node of one's own listens.
pub const LOCAL_NODE: &str = "ws://127.0.0.1:9944";

/// What can be done with operator keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
	/// Make a new key and write it, encrypted with a password, to a new file that only you can read.
	New {
		/// The file; one that exists is left as it is.
		#[arg(long, value_name = "FILE")]
		out: PathBuf,
		/// The password.
		#[command(flatten)]
		password: Password,
		/// Without a password: whoever reads the file has the key. It holds the secret phrase.
		#[arg(long, conflicts_with = "password_file")]
		unencrypted: bool,
	},
	/// Show address and public key of the key in a file.
	Show {
		/// The file.
		#[arg(long, env = "CUCKOO_KEY", value_name = "FILE")]
		key: PathBuf,
		/// Its password.
		#[command(flatten)]
		password: Password,
	},
	/// Print the proof that the key agrees to be the operator of a stash, and the whole
	/// `staking.register` call with it, to be pasted into polkadot.js Apps.
	Prove(ProveArgs),
}

/// A registration.
#[derive(Debug, Args)]
pub struct ProveArgs {
	/// Account (SS58) whose stake answers for the operator; it will send the call.
	#[arg(long, value_name = "SS58", value_parser = parse_account)]
	pub stash: AccountId32,
	/// WebSocket address of a node of the chain.
	#[arg(long, env = "CUCKOO_CHAIN", value_name = "URL", default_value = LOCAL_NODE)]
	pub chain: String,
	/// File with the secret of the operator account.
	#[arg(long, env = "CUCKOO_KEY", value_name = "FILE")]
	pub key: PathBuf,
	/// Its password.
	#[command(flatten)]
	pub password: Password,
	/// validator, miner or coordinator [default: what this program is].
	#[arg(long, value_name = "ROLE")]
	pub role: Option<Role>,
	/// How much of its idle stake the stash puts behind itself [default: the role's minimum].
	#[arg(long, value_name = "CAI", value_parser = parse_cai)]
	pub self_stake: Option<u128>,
	/// Name to show on the chain, at most 64 bytes.
	#[arg(long, value_name = "TEXT", default_value = "", value_parser = bounded::<64>)]
	pub name: String,
	/// How people can reach you, at most 128 bytes.
	#[arg(long, value_name = "TEXT", default_value = "", value_parser = bounded::<128>)]
	pub contact: String,
	/// For coordinators: URL at which miners reach it (wss://HOST:9981, or ws:// without
	/// encryption); one to four times.
	#[arg(long = "endpoint", value_name = "URL", value_parser = bounded::<128>)]
	pub endpoints: Vec<String>,
	/// For coordinators: file with the TLS certificate at these endpoints (PEM). Miners then accept
	/// no other one. Leave it out if a public authority issued it.
	#[arg(long, value_name = "FILE")]
	pub certificate: Option<PathBuf>,
}

/// Why a `key` command did not do what was asked. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum KeyCommandError {
	/// The key file.
	#[error(transparent)]
	Key(#[from] KeyError),
	/// The chain.
	#[error(transparent)]
	Chain(#[from] ChainError),
	/// The certificate.
	#[error(transparent)]
	Certificate(#[from] CertificateError),
	/// A coordinator without endpoint.
	#[error(
		"a coordinator needs an endpoint at which miners reach it: add --endpoint wss://HOST:9981"
	)]
	NoEndpoint,
	/// The output.
	#[error("cannot write the output: {0}")]
	Output(#[from] io::Error),
}

/// Does what was asked for and writes the outcome to `out`. `role` is what the calling program is.
pub async fn run(
	command: KeyCommand,
	role: Role,
	out: &mut impl Write,
) -> Result<(), KeyCommandError> {
	match command {
		KeyCommand::New { out: path, password, unencrypted } => {
			show(&path, &keys::create(&path, (!unencrypted).then_some(&password))?, out)?;
			let what = if unencrypted { "this file" } else { "this file and its password" };
			writeln!(out, "\nKeep a copy of {what} in a safe place: nobody can make it anew.")?;
		},
		KeyCommand::Show { key, password } => show(&key, &keys::load(&key, &password)?, out)?,
		KeyCommand::Prove(args) => prove(args, role, out).await?,
	}
	Ok(())
}

fn show(path: &Path, key: &Keypair, out: &mut impl Write) -> io::Result<()> {
	writeln!(out, "file:       {}", path.display())?;
	writeln!(out, "address:    {}", key.public_key().to_account_id())?;
	writeln!(out, "public key: 0x{}", hex::encode(key.public_key().0))
}

async fn prove(args: ProveArgs, role: Role, out: &mut impl Write) -> Result<(), KeyCommandError> {
	let ProveArgs { stash, chain, key, password, role: asked, self_stake, .. } = args;
	let ProveArgs { name, contact, endpoints, certificate, .. } = args;
	let role = asked.unwrap_or(role);
	if role == Role::Coordinator && endpoints.is_empty() {
		return Err(KeyCommandError::NoEndpoint);
	}
	let certificate = match certificate {
		Some(path) => Some(certificate::fingerprint(&certificate::load(&path)?[0])),
		None => None,
	};
	let key = keys::load(key, &password)?;
	let client = ChainClient::connect(&chain).await?;
	let self_stake = match self_stake {
		Some(self_stake) => self_stake,
		None => client.minimum_stake(role).await?,
	};
	let info = Info { name, contact, endpoints, certificate };
	let registration = Registration { stash, role, self_stake, info };
	let call = consent::register_call(&client, &key, &registration).await?;
	let proof = consent::prove(&key, client.genesis(), &stash, role);

	writeln!(out, "role:       {role}")?;
	writeln!(out, "stash:      {stash}")?;
	writeln!(out, "operator:   {}", key.public_key().to_account_id())?;
	writeln!(out, "genesis:    0x{}", hex::encode(client.genesis()))?;
	writeln!(out, "self-stake: {} CAI", format_cai(self_stake))?;
	if let Some(fingerprint) = registration.info.certificate {
		writeln!(out, "certificate: 0x{}", hex::encode(fingerprint))?;
	}
	writeln!(out, "proof:      Sr25519 0x{}", hex::encode(proof))?;
	writeln!(out, "call:       {call}")?;
	writeln!(
		out,
		"\nTo register: stake at least the self-stake (staking.stake), then in polkadot.js Apps open \
		Developer > Extrinsics > Decode, paste the call, and submit it from the stash."
	)?;
	Ok(())
}

fn bounded<const BYTES: usize>(text: &str) -> Result<String, String> {
	if text.len() <= BYTES {
		Ok(text.to_owned())
	} else {
		Err(format!("it has {} bytes; at most {BYTES} are allowed", text.len()))
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::Parser;

	const STASH: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

	#[derive(Debug, Parser)]
	struct Program {
		#[command(subcommand)]
		command: KeyCommand,
	}

	fn parse(line: &[&str]) -> Result<KeyCommand, clap::Error> {
		Program::try_parse_from([&["program"], line].concat()).map(|program| program.command)
	}

	async fn output(command: KeyCommand) -> Result<String, KeyCommandError> {
		let mut out = Vec::new();
		run(command, Role::Miner, &mut out).await?;
		Ok(String::from_utf8(out).unwrap())
	}

	#[test]
	fn a_registration_has_defaults_and_limits() {
		let prove = ["prove", "--stash", STASH, "--key", "k"];
		let Ok(KeyCommand::Prove(args)) = parse(&prove) else { panic!("must parse") };
		assert_eq!((args.role, args.self_stake, &*args.name), (None, None, ""));
		let more = ["--self-stake", "20000.5", "--role", "validator"];
		let Ok(KeyCommand::Prove(args)) = parse(&[&prove[..], &more].concat()) else {
			panic!("must parse")
		};
		assert_eq!(args.self_stake, Some(200_005 * 10u128.pow(17)));
		assert_eq!(args.role, Some(Role::Validator));
		let long = "x".repeat(65);
		let error = parse(&[&prove[..], &["--name", &long]].concat()).unwrap_err().to_string();
		assert!(error.contains("at most 64"), "{error}");
	}

	#[tokio::test]
	async fn a_new_key_is_shown_alike_and_never_overwritten() {
		let dir = tempfile::tempdir().unwrap();
		let secret = dir.path().join("password");
		std::fs::write(&secret, "correct horse").unwrap();
		let password = Password { password_file: Some(secret) };
		for unencrypted in [false, true] {
			let path = dir.path().join(format!("key {unencrypted}"));
			let new = |out| KeyCommand::New { out, password: password.clone(), unencrypted };
			let made = output(new(path.clone())).await.unwrap();
			let show = KeyCommand::Show { key: path.clone(), password: password.clone() };
			let shown = output(show).await.unwrap();
			assert!(made.starts_with(&shown), "{made} does not start with {shown}");
			let error = output(new(path.clone())).await.unwrap_err().to_string();
			assert!(error.contains("exists"), "{error}");
			let words = std::fs::read_to_string(path).unwrap().split_whitespace().count();
			assert_eq!(words == 12, unencrypted, "the phrase shows without a password alone");
		}
	}

	#[tokio::test]
	async fn a_coordinator_names_its_endpoint() {
		let line = ["prove", "--stash", STASH, "--key", "k", "--role", "coordinator"];
		let error = output(parse(&line).unwrap()).await.unwrap_err().to_string();
		assert!(error.contains("--endpoint"), "{error}");
	}
}
