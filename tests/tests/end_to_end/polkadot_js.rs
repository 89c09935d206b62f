//! Staking with polkadot.js, as people's wallets do it.

use cuckoo_e2e::{
	network::{chain_spec, Node, Timing},
	polkadot_js::run,
	process::binary,
};

#[tokio::test]
async fn stake_register_vote_and_read_back() {
	let node = Node::start("quick", "alice", &[]).await.unwrap();
	let miner = binary("cuckoo-miner").unwrap();
	run("staking.mjs", [node.url().as_ref(), miner.as_os_str()]).await;
}

#[tokio::test]
async fn stake_vote_claim_be_slashed_and_withdraw() {
	let dir = tempfile::tempdir().unwrap();
	// Eras of four seconds: unbonding takes 28 of them.
	let timing = Timing { slot_ms: 1_000, session_slots: 4, era_sessions: 1 };
	let spec = chain_spec("quick", timing, dir.path()).await.unwrap();
	let node = Node::start(&spec, "alice", &[]).await.unwrap();
	let story = run("story.mjs", [node.url()]).await;
	println!("{story}");
}
