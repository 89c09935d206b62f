//! From one runtime to the next on a chain that runs.

use cuckoo_e2e::{network::Node, polkadot_js::run};
use std::env;

/// The file with the Wasm of the runtime to upgrade to, which must have a higher version.
const NEXT_RUNTIME: &str = "CUCKOO_NEXT_RUNTIME";

#[tokio::test]
#[ignore = "needs a second runtime: scripts/upgrade builds it"]
async fn an_authorised_upgrade_is_applied() {
	let next = env::var(NEXT_RUNTIME).expect("CUCKOO_NEXT_RUNTIME names the next runtime's Wasm");
	let mut node = Node::start("dev", "alice", &[]).await.unwrap();
	let story = run("upgrade.mjs", [node.url(), next]).await;
	node.process().ensure_no_panic().unwrap();
	println!("{story}");
}
