//! The OpenAPI document against the coordinator, by schemathesis from PyPI: requests made up from the
//! document, good and bad ones, whose answers must be as it says.
//!
//! The normal run makes up to 20 examples of each kind for each operation. `CUCKOO_EXAMPLES=1000 cargo
//! test --release -p cuckoo-coordinator --test service schemathesis -- --nocapture` makes as many as it
//! says.

use super::*;
use crate::clients::packages;
use cuckoo_coordinator_api::miner::MinerApiClient;
use sp_crypto_hashing::blake2_256;
use std::env;
use std::ffi::OsStr;

/// The same requests in each run.
const SEED: &str = "1";

/// Renders whatever comes: black but for a pixel, so that the largest picture takes milliseconds.
async fn paint(miner: TestMiner) {
	while let Ok(assigned) = miner.client.poll(miner.session.clone(), 10).await {
		let Some(held) = assigned else { continue };
		let (width, height) = (held.spec.width, held.spec.height);
		let mut pixels = vec![0; width as usize * height as usize * 3];
		pixels[0] = 1;
		let file = png(width, height, &pixels);
		for index in 0..held.spec.images {
			miner.upload(&held, index, file.clone()).await;
		}
		let digest = hex::encode(blake2_256(&pixels));
		// It may have been cancelled.
		let _ = miner.submit(&TestMiner::result_with(&held, |_| digest.clone())).await;
	}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing() {
	let examples = env::var("CUCKOO_EXAMPLES").unwrap_or_else(|_| "20".into());
	let (coordinator, miner) = coordinator_and_miner().await;
	tokio::spawn(paint(miner));
	let dir = tempfile::tempdir().unwrap();
	let program = packages::python("schemathesis").with_file_name("schemathesis");
	let document = format!("http://{}/openapi.json", coordinator.apps);
	let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/schemathesis.toml");
	let run = ["--config-file", config, "--no-color", "run", &document, "--warnings", "off"];
	let args = [&run[..], &["--seed", SEED, "--max-examples", &examples]].concat();
	let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
	let printed = packages::run(program, &args, dir.path()).await;
	println!("{printed}");
	assert!(printed.contains("No issues found"), "{printed}");
}
