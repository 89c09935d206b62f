//! The page for people, in a browser.

use crate::clients::packages::{install, installed, run};
use crate::common::*;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use subxt_signer::sr25519::dev;

/// The script that drives the browser, and what it needs.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page");

/// Chromium, as Debian and others call it.
fn chromium() -> PathBuf {
	let names = ["chromium", "chromium-browser", "google-chrome"];
	let found = names.iter().find_map(|name| {
		let output =
			Command::new("sh").args(["-c", &format!("command -v {name}")]).output().ok()?;
		let path = String::from_utf8(output.stdout).ok()?;
		output.status.success().then(|| PathBuf::from(path.trim()))
	});
	found.expect("there is Chromium: `scripts/setup test` installs it")
}

#[tokio::test]
async fn the_page_works_in_a_browser() {
	// First, as it takes time in which no miner would be heard of.
	let files = ["package.json", "package-lock.json", ".npmrc"];
	let install = |dir: &Path| install(dir, "npm", ["ci", "--silent"]);
	let packages = installed("page", Path::new(SCRIPTS), &files, install);
	let names =
		[("Ganymede", 50), ("a miner with a long name that somebody has given it", 30), ("Io", 20)];
	let keys = [dev::alice(), dev::bob(), dev::charlie()];
	let miners = keys.iter().zip(names).map(|(key, (name, weight))| {
		let mut miner = registration(key, weight);
		miner.name = name.into();
		miner
	});
	let coordinator = Coordinator::start(miners.collect()).await;
	for key in &keys[..2] {
		TestMiner::connect(&coordinator, key.clone()).await.work();
	}
	// It finds the package only from where that is installed.
	let script = packages.join("page.mjs");
	std::fs::copy(Path::new(SCRIPTS).join("page.mjs"), &script).unwrap();
	// Where screenshots stay, to be looked at.
	let shots = packages.join("screenshots");
	std::fs::create_dir_all(&shots).unwrap();
	let (chromium, base) = (chromium(), format!("http://{}", coordinator.apps));
	let args = [
		script.as_os_str(),
		chromium.as_os_str(),
		OsStr::new(&base),
		OsStr::new(MODEL),
		shots.as_os_str(),
	];
	let printed = run("node", &args, &packages).await;
	assert!(printed.contains("all as expected"), "{printed}");
}

/// A page from elsewhere can neither be put in place of this one nor around it.
#[tokio::test]
async fn the_page_may_run_only_its_own_script() {
	let coordinator = Coordinator::start(vec![]).await;
	let answer = reqwest::get(format!("http://{}/", coordinator.apps)).await.unwrap();
	assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
	let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
	assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
	assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
	// Calls by JSON-RPC still come to the same path, and a browser's WebSocket too.
	let (status, body) =
		coordinator.post(r#"{"jsonrpc":"2.0","id":1,"method":"cuckoo_info"}"#).await;
	assert_eq!((status, body["result"]["queued"].as_u64()), (200, Some(0)));
	drop(coordinator.app().await);
}
