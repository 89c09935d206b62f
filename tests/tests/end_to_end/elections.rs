//! Validators come and go, on a network of real nodes.

use anyhow::{bail, Context, Result};
use cuckoo_chain_client::{
	consent::{self, Info, Registration},
	cuckoo::{self, runtime_types::pallet_cuckoo_staking::pallet::Call as Staking},
	AccountId32, ChainClient, Keypair, Role,
};
use cuckoo_e2e::{
	network::{chain_spec, session_keys_call, Node, Timing},
	staking::CAI,
};
use std::{
	path::Path,
	time::{Duration, Instant},
};
use subxt_signer::sr25519::dev;

const AUTHORITIES: [&str; 4] = ["alice", "bob", "charlie", "dave"];

/// An era is twelve seconds long, so that its consequences come within minutes.
const TIMING: Timing = Timing { slot_ms: 2_000, session_slots: 6, era_sessions: 1 };

/// Many eras.
const ERAS: Duration = Duration::from_mins(5);

#[tokio::test]
async fn a_fifth_is_elected_and_one_leaves() {
	let dir = tempfile::tempdir().unwrap();
	let spec = chain_spec("quick-local", TIMING, dir.path()).await.unwrap();
	let mut nodes: Vec<Node> = Vec::new();
	for authority in AUTHORITIES {
		let boot = boot_arguments(nodes.first()).await.unwrap();
		let boot: Vec<_> = boot.iter().map(String::as_str).collect();
		nodes.push(Node::start(&spec, authority, &boot).await.unwrap());
	}
	let client = nodes[0].client().await.unwrap();
	let boot = boot_arguments(nodes.first()).await.unwrap();
	let boot: Vec<_> = boot.iter().map(String::as_str).collect();

	// A fifth seat, and somebody for it, who makes the session keys on the new machine.
	let seats = cuckoo::Call::Staking(Staking::set_validator_count { count: 5 });
	client.submit(&cuckoo::tx().sudo().sudo(seats), &dev::alice()).await.unwrap();
	let (eve, base) = (dev::eve(), tempfile::tempdir().unwrap());
	register_validator(&client, &eve).await.unwrap();
	announce_session_keys(&client, &spec, base.path(), &eve).await.unwrap();
	nodes.push(Node::start_in(base, &spec, "validator", &boot).await.unwrap());
	wait_for_validators(&client, |now| now.len() == 5 && now.contains(&account(&eve)))
		.await
		.unwrap();

	let charlie = dev::charlie();
	client.submit(&cuckoo::tx().staking().deregister(), &charlie).await.unwrap();
	wait_for_validators(&client, |now| !now.contains(&account(&charlie))).await.unwrap();

	let before = client.finalized().await.unwrap().number;
	wait_until("no finality", || async { Ok(client.finalized().await?.number >= before + 10) })
		.await
		.unwrap();
	for node in &mut nodes {
		node.process().ensure_running().unwrap();
		node.process().ensure_no_panic().unwrap();
	}
}

fn account(key: &Keypair) -> AccountId32 {
	key.public_key().to_account_id()
}

/// How a node finds the others.
async fn boot_arguments(first: Option<&Node>) -> Result<Vec<String>> {
	Ok(match first {
		Some(first) => vec!["--bootnodes".into(), first.boot_address().await?],
		None => vec![],
	})
}

/// Makes session keys with the node's own command, and sends the call that it prints.
async fn announce_session_keys(
	client: &ChainClient,
	spec: &str,
	base: &Path,
	owner: &Keypair,
) -> Result<()> {
	let call = session_keys_call(spec, base, &account(owner).to_string()).await?;
	let at_block = client.api().await.at_current_block().await?;
	let call = at_block.transactions().from_call_data_bytes(&call)?;
	client.submit(&call, owner).await?;
	Ok(())
}

/// Registers a validator that is its own operator.
async fn register_validator(client: &ChainClient, stash: &Keypair) -> Result<()> {
	let self_stake = 150_000 * CAI;
	client.submit(&cuckoo::tx().staking().stake(self_stake), stash).await?;
	let info = Info { name: "a fifth".into(), ..Info::default() };
	let registration =
		Registration { stash: account(stash), role: Role::Validator, self_stake, info };
	client.submit(&consent::register(stash, client.genesis(), &registration), stash).await?;
	Ok(())
}

async fn validators(client: &ChainClient) -> Result<Vec<AccountId32>> {
	let at_block = client.api().await.at_current_block().await?;
	let entry = at_block.storage().fetch(cuckoo::storage().session().validators(), ()).await?;
	Ok(entry.decode()?)
}

async fn wait_for_validators(
	client: &ChainClient,
	good: impl Fn(&[AccountId32]) -> bool,
) -> Result<()> {
	wait_until("the validators are others", || async { Ok(good(&validators(client).await?)) })
		.await
		.with_context(|| "the validators did not change as they should")
}

/// Asks until the answer is yes.
async fn wait_until<F: std::future::Future<Output = Result<bool>>>(
	complaint: &str,
	question: impl Fn() -> F,
) -> Result<()> {
	let begin = Instant::now();
	while !question().await? {
		if begin.elapsed() > ERAS {
			bail!("{complaint}");
		}
		tokio::time::sleep(Duration::from_secs(1)).await;
	}
	Ok(())
}
