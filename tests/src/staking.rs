//! Becoming a candidate by transactions, as a staker does with a wallet.

use anyhow::{ensure, Context, Result};
use cuckoo_chain_client::{
	consent::{self, Info, Registration},
	cuckoo, AccountId32, ChainClient, Keypair, Role,
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use subxt_signer::sr25519::dev;

/// Planck in one CAI.
pub const CAI: u128 = 1_000_000_000_000_000_000;

/// What a stash gets beside its stake, for fees and the existential deposit.
const SPENDING_MONEY: u128 = 100 * CAI;

/// The key of a secret URI such as `//Alice`.
pub fn key(uri: &str) -> Result<Keypair> {
	let uri = uri.parse().with_context(|| format!("{uri} is no secret URI"))?;
	Ok(Keypair::from_uri(&uri)?)
}

/// Someone who is registered, or wants to be. The keys are development keys that everybody knows.
#[derive(Clone, Debug)]
pub struct Candidate {
	/// The name to show; the stash is `//NAME` and the operator `//NAME//operator`.
	pub name: String,
	/// What it does.
	pub role: Role,
	/// What it stakes, in planck.
	pub stake: u128,
	/// Where it listens, if it is a coordinator.
	pub endpoints: Vec<String>,
	/// SHA-256 fingerprint of its certificate, if it registers one.
	pub certificate: Option<[u8; 32]>,
}

impl Candidate {
	/// A miner of that name with so many CAI.
	pub fn miner(name: &str, cai: u128) -> Self {
		let (name, stake) = (name.into(), cai * CAI);
		Self { name, role: Role::Miner, stake, endpoints: vec![], certificate: None }
	}

	/// A coordinator of that name with the least stake that is enough.
	pub fn coordinator(name: &str, endpoint: String) -> Self {
		let (name, stake, endpoints) = (name.into(), 2_000_000 * CAI, vec![endpoint]);
		Self { name, role: Role::Coordinator, stake, endpoints, certificate: None }
	}

	/// The key that stakes.
	pub fn stash(&self) -> Result<Keypair> {
		key(&format!("//{}", self.name))
	}

	/// The account that stakes.
	pub fn stash_account(&self) -> Result<AccountId32> {
		Ok(self.stash()?.public_key().to_account_id())
	}

	/// Secret URI of the key that runs the program.
	pub fn operator_uri(&self) -> String {
		format!("//{}//operator", self.name)
	}

	/// The key that runs the program.
	pub fn operator(&self) -> Result<Keypair> {
		key(&self.operator_uri())
	}

	/// What it shows to others.
	pub fn info(&self) -> Info {
		let Self { name, endpoints, certificate, .. } = self.clone();
		Info { name, contact: String::new(), endpoints, certificate }
	}

	/// Stakes all that it has and registers with it. Needs the funds.
	pub async fn register(&self, chain: &ChainClient) -> Result<()> {
		let stash = self.stash()?;
		chain.submit(&cuckoo::tx().staking().stake(self.stake), &stash).await?;
		let registration = Registration {
			stash: self.stash_account()?,
			role: self.role,
			self_stake: self.stake,
			info: self.info(),
		};
		let call = consent::register(&self.operator()?, chain.genesis(), &registration);
		chain.submit(&call, &stash).await?;
		Ok(())
	}

	/// Replaces what it shows to others. It must be registered.
	pub async fn publish_info(&self, chain: &ChainClient) -> Result<()> {
		let call = cuckoo::tx().staking().set_info((&self.info()).into());
		chain.submit(&call, &self.stash()?).await?;
		Ok(())
	}
}

/// Writes a key file that only its owner can read.
pub fn write_key_file(path: &Path, uri: &str) -> Result<()> {
	fs::write(path, uri)
		.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
		.with_context(|| format!("cannot write {}", path.display()))
}

/// Gives each candidate what it stakes and something for fees. Alice pays.
pub async fn fund(chain: &ChainClient, candidates: &[Candidate]) -> Result<()> {
	let transfers = candidates
		.iter()
		.map(|candidate| {
			Ok(cuckoo::Call::Balances(cuckoo::balances::Call::transfer_keep_alive {
				dest: candidate.stash_account()?.into(),
				value: candidate.stake + SPENDING_MONEY,
			}))
		})
		.collect::<Result<Vec<_>>>()?;
	chain.submit(&cuckoo::tx().utility().batch_all(transfers), &dev::alice()).await?;
	Ok(())
}

/// Registers all candidates, at the same time, and checks that they then are.
pub async fn register_all(chain: &ChainClient, candidates: &[Candidate]) -> Result<()> {
	futures::future::try_join_all(candidates.iter().map(|candidate| candidate.register(chain)))
		.await?;
	for candidate in candidates {
		let operator = candidate.operator()?.public_key().to_account_id();
		let found = chain
			.candidate_by_operator(&operator)
			.await?
			.with_context(|| format!("{} is not registered", candidate.name))?;
		ensure!(
			found.stash == candidate.stash_account()? && found.active,
			"{} is registered, but not as it should be: {found:?}",
			candidate.name
		);
	}
	Ok(())
}
