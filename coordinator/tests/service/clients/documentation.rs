//! The examples for app developers: every one is run, against a coordinator in place of the one that
//! they name.

use super::packages::{node_directory, python, run};
use super::*;
use cuckoo_coordinator::webhooks::signature;
use std::fs;
use std::path::Path;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/app-developer.md"));
/// The coordinator that the examples name.
const NAMED: &str = "127.0.0.1:9980";

/// The examples in a language, in their order.
fn examples(language: &str) -> Vec<String> {
	let begin = format!("```{language}\n");
	let parts = PAGE.split(&begin).skip(1);
	parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

/// Whether an example has left a picture, which is taken away.
fn left_picture(dir: &Path) -> bool {
	let file = dir.join("bird.png");
	let is_png = fs::read(&file).is_ok_and(|bytes| bytes.starts_with(b"\x89PNG\r\n"));
	let _ = fs::remove_file(file);
	is_png
}

#[tokio::test]
async fn the_examples_for_the_shell_work() {
	let coordinator = serving().await;
	let dir = tempfile::tempdir().unwrap();
	let examples = examples("sh");
	assert!(examples.len() >= 4, "{}", examples.len());
	for example in examples {
		let makes_picture = example.contains("bird.png");
		let script = format!("set -euo pipefail\n{}", example.replace(NAMED, &coordinator.apps));
		run("bash", &["-c".as_ref(), script.as_ref()], dir.path()).await;
		assert_eq!(left_picture(dir.path()), makes_picture, "{example}");
	}
}

#[tokio::test]
async fn the_examples_for_python_work() {
	let coordinator = serving().await;
	let (dir, python) = (tempfile::tempdir().unwrap(), python("openai"));
	let examples = examples("python");
	assert_eq!(examples.len(), 2);
	for example in examples {
		let script = example.replace(NAMED, &coordinator.apps);
		run(&python, &["-c".as_ref(), script.as_ref()], dir.path()).await;
		assert_eq!(left_picture(dir.path()), script.contains("bird.png"), "{example}");
	}
}

#[tokio::test]
async fn the_example_that_verifies_messages_tells_good_from_bad() {
	let dir = tempfile::tempdir().unwrap();
	let example = examples("python").into_iter().find(|example| example.contains("def verified"));
	let example = example.unwrap();
	let (secret, seconds, body) = ([9; 32], now() / 1000, r#"{"type":"task.completed"}"#);
	let header = signature(&secret, "msg_1", seconds, body);
	let secret = BASE64_STANDARD.encode(secret);
	let check = format!(
		"{example}
headers = {{'webhook-id': 'msg_1', 'webhook-timestamp': '{seconds}', 'webhook-signature': 'v1,x {header}'}}
assert verified('whsec_{secret}', headers, b'{body}')
assert not verified('whsec_{secret}', headers, b'another')
assert not verified('whsec_{secret}', headers | {{'webhook-timestamp': '1'}}, b'{body}')
"
	);
	run("python3", &["-c".as_ref(), check.as_ref()], dir.path()).await;
}

#[tokio::test]
async fn the_examples_for_node_work() {
	let coordinator = serving().await;
	let (dir, packages) = (tempfile::tempdir().unwrap(), node_directory());
	let examples = examples("js");
	assert_eq!(examples.len(), 1);
	for example in examples {
		// It finds the package only from where that is installed.
		let script = packages.join(format!("example-{}.mjs", std::process::id()));
		fs::write(&script, example.replace(NAMED, &coordinator.apps)).unwrap();
		run("node", &[script.as_os_str()], dir.path()).await;
		fs::remove_file(script).unwrap();
		assert!(left_picture(dir.path()), "{example}");
	}
}
