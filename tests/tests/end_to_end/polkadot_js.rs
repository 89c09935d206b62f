//! Staking with polkadot.js, as people's wallets do it.

use cuckoo_e2e::{
	network::Node,
	process::{binary, Process},
};
use std::{path::PathBuf, process::Command, time::Duration};

/// Two dozen transactions, each until it is final.
const PATIENCE: Duration = Duration::from_mins(6);

#[tokio::test]
async fn stake_register_vote_and_read_back() {
	let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("polkadot-js");
	if !scripts.join("node_modules").is_dir() {
		install(&scripts);
	}
	let node = Node::start("quick", "alice", &[]).await.unwrap();
	let mut script = Process::start_program(
		"node",
		[
			scripts.join("staking.mjs").as_os_str(),
			node.url().as_ref(),
			binary("cuckoo-miner").unwrap().as_os_str(),
		],
	)
	.unwrap();
	let status = script.wait_for_end(PATIENCE).await.unwrap();
	assert!(status.success(), "{status}:\n{}", script.log());
}

/// Installs the packages that the lock file names. Tried twice: networks fail.
fn install(scripts: &PathBuf) {
	let mut attempts = (0..2).map(|_| {
		Command::new("npm").arg("ci").current_dir(scripts).status().expect("npm is installed")
	});
	assert!(attempts.any(|status| status.success()), "npm ci fails: see above");
}
