//! Validators come, go and cheat, on a network of real nodes.

use anyhow::{bail, Context, Result};
use cuckoo_chain_client::{
	consent::{self, Info, Registration},
	cuckoo::{
		self,
		runtime_types::{
			cuckoo_staking_runtime_api::CandidateView,
			pallet_cuckoo_staking::pallet::Call as Staking,
		},
	},
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
use tempfile::TempDir;

const AUTHORITIES: [&str; 4] = ["alice", "bob", "charlie", "dave"];

/// An era is twelve seconds long, so that its consequences come within minutes.
const TIMING: Timing = Timing { slot_ms: 2_000, session_slots: 6, era_sessions: 1 };

/// Many eras.
const ERAS: Duration = Duration::from_mins(5);

#[tokio::test]
async fn a_fifth_is_elected_and_one_leaves() {
	let Network { _dir, spec, mut nodes, client } = network().await.unwrap();

	// A fifth seat, and somebody for it, who makes the session keys on the new machine.
	let seats = cuckoo::Call::Staking(Staking::set_validator_count { count: 5 });
	client.submit(&cuckoo::tx().sudo().sudo(seats), &dev::alice()).await.unwrap();
	let (eve, base) = (dev::eve(), tempfile::tempdir().unwrap());
	register_validator(&client, &eve).await.unwrap();
	announce_session_keys(&client, &spec, base.path(), &eve).await.unwrap();
	let boot = boot_arguments(&nodes[0]).await.unwrap();
	let boot = boot.each_ref().map(String::as_str);
	nodes.push(Node::start_in(base, &spec, "validator", &boot).await.unwrap());
	wait_for_validators(&client, |now| now.len() == 5 && now.contains(&account(&eve)))
		.await
		.unwrap();

	let charlie = dev::charlie();
	client.submit(&cuckoo::tx().staking().deregister(), &charlie).await.unwrap();
	wait_for_validators(&client, |now| !now.contains(&account(&charlie))).await.unwrap();

	go_on(&client, &mut nodes).await.unwrap();
}

#[tokio::test]
async fn one_that_signs_twice_is_jailed_slashed_and_voted_out() {
	let Network { _dir, spec, mut nodes, client } = network().await.unwrap();
	let dave = account(&dev::dave());
	assert_eq!(candidate(&client, dave).await.unwrap().jailed_until, None);

	// A second machine with Dave's keys makes other blocks in the same slots.
	let boot = boot_arguments(&nodes[0]).await.unwrap();
	let boot = boot.each_ref().map(String::as_str);
	nodes.push(Node::start(&spec, "dave", &boot).await.unwrap());
	wait_until("Dave is not in jail", || async {
		Ok(candidate(&client, dave).await?.jailed_until.is_some())
	})
	.await
	.unwrap();
	wait_for_validators(&client, |now| now.len() == 3 && !now.contains(&dave)).await.unwrap();
	// One of four validators: (3 / 4)^2 of the stake is gone. If he was at it in the next era, too, before
	// the others were rid of him, so is the same part of what was left.
	let once = 100_000 * CAI * 7 / 16;
	let slashed = wait_until("Dave is not slashed", || async {
		let left = candidate(&client, dave).await?.weight;
		Ok(left == once || left == once * 7 / 16)
	})
	.await;
	assert!(slashed.is_ok(), "{:?}", candidate(&client, dave).await);
	assert!(!candidate(&client, dave).await.unwrap().active);

	// The runtime panics, caught, when one that is disabled tries to make a block: both of his nodes go on.
	let (honest, his) = nodes.split_at_mut(AUTHORITIES.len() - 1);
	go_on(&client, honest).await.unwrap();
	for node in his {
		node.process().ensure_running().unwrap();
	}
}

/// Four validators on a chain with short eras.
struct Network {
	_dir: TempDir,
	spec: String,
	nodes: Vec<Node>,
	client: ChainClient,
}

async fn network() -> Result<Network> {
	let dir = tempfile::tempdir()?;
	let spec = chain_spec("quick-local", TIMING, dir.path()).await?;
	let [first, others @ ..] = AUTHORITIES;
	let mut first = Node::start(&spec, first, &[]).await?;
	let client = first.client().await?;
	let boot = boot_arguments(&first).await?;
	let boot = boot.each_ref().map(String::as_str);
	let mut nodes = vec![first];
	for authority in others {
		nodes.push(Node::start(&spec, authority, &boot).await?);
	}
	Ok(Network { _dir: dir, spec, nodes, client })
}

/// Blocks are made and finalized by nodes that are well.
async fn go_on(client: &ChainClient, nodes: &mut [Node]) -> Result<()> {
	let before = client.finalized().await?.number;
	wait_until("no finality", || async { Ok(client.finalized().await?.number >= before + 10) })
		.await?;
	for node in nodes {
		node.process().ensure_running()?;
		node.process().ensure_no_panic()?;
	}
	Ok(())
}

fn account(key: &Keypair) -> AccountId32 {
	key.public_key().to_account_id()
}

/// How a node finds the others.
async fn boot_arguments(first: &Node) -> Result<[String; 2]> {
	Ok(["--bootnodes".into(), first.boot_address().await?])
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

async fn candidate(
	client: &ChainClient,
	stash: AccountId32,
) -> Result<CandidateView<AccountId32, u128>> {
	let at_block = client.api().await.at_current_block().await?;
	let question = cuckoo::runtime_apis().staking_api().candidate(stash);
	at_block.runtime_apis().call(question).await?.context("it is not registered")
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
