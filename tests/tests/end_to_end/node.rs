//! The node as its operators use it.

use cuckoo_chain_client::{watch_registry, ChainError};
use cuckoo_e2e::{
	network::{session_keys_call, Node, PATIENCE},
	ports, process,
};
use std::time::{Duration, Instant};
use subxt_signer::sr25519::dev;

const AUTHORITIES: [&str; 4] = ["alice", "bob", "charlie", "dave"];

#[tokio::test]
async fn four_validators_finalize_together() {
	let mut nodes: Vec<Node> = Vec::new();
	for authority in AUTHORITIES {
		let boot = match nodes.first() {
			Some(first) => vec!["--bootnodes".to_owned(), first.boot_address().await.unwrap()],
			None => vec![],
		};
		let boot: Vec<_> = boot.iter().map(String::as_str).collect();
		nodes.push(Node::start("quick-local", authority, &boot).await.unwrap());
	}

	// More than two thirds have to vote for a block to be final: at least three of the four.
	let mut hashes = Vec::new();
	for node in &mut nodes {
		let client = node.client().await.unwrap();
		let begin = Instant::now();
		while client.finalized().await.unwrap().number < 5 {
			node.process().ensure_running().unwrap();
			assert!(begin.elapsed() < PATIENCE, "no finality:\n{}", node.process().tail());
			tokio::time::sleep(Duration::from_millis(500)).await;
		}
		hashes.push(client.api().await.at_block(5u32).await.unwrap().block_hash());
		node.process().ensure_no_panic().unwrap();
	}
	assert!(hashes.iter().all(|hash| *hash == hashes[0]), "they are on different chains");
}

#[tokio::test]
async fn prometheus_answers_and_ctrl_c_ends_it_cleanly() {
	let [port] = ports::free().unwrap();
	let more = ["--prometheus-port", &port.to_string()];
	let mut node = Node::start("quick", "alice", &more).await.unwrap();

	let metrics = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap();
	let metrics = metrics.error_for_status().unwrap().text().await.unwrap();
	assert!(metrics.contains("substrate_block_height"), "{metrics}");

	node.process().interrupt().unwrap();
	let status = node.process().wait_for_end(PATIENCE).await.unwrap();
	assert!(status.success(), "{status}:\n{}", node.process().tail());
	node.process().ensure_no_panic().unwrap();
}

#[tokio::test]
async fn the_registry_stays_when_another_chain_answers_at_the_same_address() {
	let [port] = ports::free().unwrap();
	let mut node = Node::start_at(port, "quick", "alice", &[]).await.unwrap();
	let client = node.client().await.unwrap();
	let mut registry = watch_registry(client.clone()).await.unwrap();
	registry.changed().await.unwrap();
	drop(node);
	let last = registry.borrow_and_update().clone();
	assert_eq!((last.miners.len(), last.coordinators.len()), (3, 1));

	let _other = Node::start_at(port, "quick-local", "alice", &[]).await.unwrap();
	match client.registry().await {
		Err(ChainError::WrongChain { expected, .. }) => assert_eq!(expected, client.genesis()),
		other => panic!("another chain was taken for the same one: {other:?}"),
	}
	// Long enough for the background task to have found the other chain as well.
	tokio::time::sleep(Duration::from_secs(10)).await;
	assert_eq!(*registry.borrow(), last);
}

#[tokio::test]
async fn new_session_keys_are_announced_with_the_printed_call() {
	let mut node = Node::start("quick", "alice", &[]).await.unwrap();
	let client = node.client().await.unwrap();
	let owner = dev::alice();

	let base = tempfile::tempdir().unwrap();
	let account = owner.public_key().to_account_id().to_string();
	let call = session_keys_call("quick", base.path(), &account).await.unwrap();

	let at_block = client.api().await.at_current_block().await.unwrap();
	let call = at_block.transactions().from_call_data_bytes(&call).unwrap();
	assert_eq!((call.pallet_name(), call.call_name()), ("Staking", "set_keys"));
	match client.submit(&call, &dev::charlie()).await {
		Err(ChainError::Refused { .. }) => {},
		other => panic!("keys were taken from one who is not a validator: {other:?}"),
	}
	client.submit(&call, &owner).await.unwrap();
}

#[tokio::test]
async fn an_exported_chain_is_the_same_chain() {
	let ended = process::run("cuckoo-node", ["export-chain-spec", "--chain", "quick"], PATIENCE)
		.await
		.unwrap();
	assert!(ended.status.success(), "{ended:?}");
	let spec: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
	assert_eq!(spec["properties"]["tokenSymbol"], "CAI");
	assert_eq!(spec["properties"]["tokenDecimals"], 18);
	assert_eq!(spec["properties"]["ss58Format"], 42);

	let dir = tempfile::tempdir().unwrap();
	let file = dir.path().join("spec.json");
	std::fs::write(&file, &ended.stdout).unwrap();
	let mut exported = Node::start(file.to_str().unwrap(), "alice", &[]).await.unwrap();
	let mut built_in = Node::start("quick", "alice", &[]).await.unwrap();
	assert_eq!(
		exported.client().await.unwrap().genesis(),
		built_in.client().await.unwrap().genesis()
	);
}
