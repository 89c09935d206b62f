//! Staking with polkadot.js, as people's wallets do it.

use cuckoo_e2e::{
	network::{chain_spec, Node, Timing},
	process::{binary, Process},
};
use std::{ffi::OsStr, path::PathBuf, process::Command, time::Duration};

/// Longer than the scripts' own patience.
const PATIENCE: Duration = Duration::from_mins(11);

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

/// Runs a script to its end, and answers with what it printed.
async fn run<A: AsRef<OsStr>>(script: &str, arguments: impl IntoIterator<Item = A>) -> String {
	let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("polkadot-js");
	if !scripts.join("node_modules").is_dir() {
		install(&scripts);
	}
	let mut command = vec![scripts.join(script).into_os_string()];
	command.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
	let mut process = Process::start_program("node", command).unwrap();
	let status = process.wait_for_end(PATIENCE).await.unwrap();
	assert!(status.success(), "{status}:\n{}", process.log());
	process.log()
}

/// Installs the packages that the lock file names. Tried twice: networks fail.
fn install(scripts: &PathBuf) {
	let mut attempts = (0..2).map(|_| {
		Command::new("npm").arg("ci").current_dir(scripts).status().expect("npm is installed")
	});
	assert!(attempts.any(|status| status.success()), "npm ci fails: see above");
}
