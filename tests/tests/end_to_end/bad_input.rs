//! Bad input, in each place where there is some: one clear line and a failure, or a typed error;
//! never a panic.

use cuckoo_coordinator_api::{app::AppApiClient, error::Code, task::TaskRequest};
use cuckoo_e2e::{
	app::refused,
	models,
	network::{preset_coordinator, Coordinator, Listeners, Node},
	ports, process,
	staking::write_key_file,
};
use std::{
	fs,
	net::TcpListener,
	os::unix::fs::PermissionsExt,
	path::{Path, PathBuf},
	time::Duration,
};
use tempfile::TempDir;

/// How long a program may take to find out that it cannot work.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs a program that is to refuse its arguments; the one line with which it does so.
async fn refusal(program: &str, arguments: &[&str]) -> String {
	let ended = process::run(program, arguments, PATIENCE).await.unwrap();
	ended.refusal().unwrap().to_owned()
}

fn says(line: &str, parts: &[&str]) {
	for part in parts {
		assert!(line.contains(part), "{line:?} does not say {part:?}");
	}
}

/// A file of that name and content in a directory that goes with the guard.
fn file(name: &str, content: &str) -> (TempDir, String) {
	let dir = tempfile::tempdir().unwrap();
	let path = dir.path().join(name);
	write_key_file(&path, content).unwrap();
	let path = path.to_str().unwrap().to_owned();
	(dir, path)
}

/// The arguments with which the program would start, were they all good.
struct Arguments {
	program: &'static str,
	chain: String,
	key: String,
	rest: Vec<String>,
	_files: Vec<TempDir>,
}

impl Arguments {
	fn coordinator(chain: &str) -> Self {
		let (dir, key) = file("key", "//Coordinator//operator");
		let [app, miner] = ports::free().unwrap();
		let rest = vec![
			"--app-listen".into(),
			format!("127.0.0.1:{app}"),
			"--miner-listen".into(),
			format!("127.0.0.1:{miner}"),
		];
		Self { program: "cuckoo-coordinator", chain: chain.into(), key, rest, _files: vec![dir] }
	}

	fn miner(chain: &str) -> Self {
		let (dir, key) = file("key", "//Miner1//operator");
		let rest = vec!["--models".into(), models::directory().to_str().unwrap().into()];
		Self { program: "cuckoo-miner", chain: chain.into(), key, rest, _files: vec![dir] }
	}

	/// The refusal with the value of one option replaced or added.
	async fn refusal_with(&self, option: &str, value: &str) -> String {
		let mut arguments = vec!["--chain", &self.chain, "--key", &self.key];
		arguments.extend(self.rest.iter().map(String::as_str));
		match arguments.iter().position(|argument| *argument == option) {
			Some(place) => arguments[place + 1] = value,
			None => arguments.extend([option, value]),
		}
		refusal(self.program, &arguments).await
	}
}

#[tokio::test]
async fn key_files() {
	// The key is read before the node is called.
	let nowhere = "ws://127.0.0.1:1";
	let (_empty_dir, empty) = file("empty", "");
	let (_words_dir, words) = file("words", "these are not the words of a secret phrase");
	let (_exposed_dir, exposed) = file("exposed", &format!("0x{}", "12".repeat(32)));
	fs::set_permissions(&exposed, fs::Permissions::from_mode(0o644)).unwrap();
	for arguments in [Arguments::coordinator(nowhere), Arguments::miner(nowhere)] {
		let with = async |path: &str| arguments.refusal_with("--key", path).await;
		says(&with("missing.key").await, &["missing.key", "no key file"]);
		says(&with(&empty).await, &[&empty, "empty"]);
		says(&with(&words).await, &[&words, "holds no key"]);
		says(&with(&exposed).await, &[&exposed, "chmod 600"]);
	}
}

#[tokio::test]
async fn nodes() {
	let [port] = ports::free().unwrap();
	let unreachable = format!("ws://127.0.0.1:{port}");
	for arguments in [Arguments::coordinator(&unreachable), Arguments::miner(&unreachable)] {
		says(&arguments.refusal_with("--chain", &unreachable).await, &[&unreachable, "reach"]);
		let http = unreachable.replace("ws:", "http:");
		says(&arguments.refusal_with("--chain", &http).await, &[&http, "ws://"]);
		says(&arguments.refusal_with("--chain", "nonsense").await, &["nonsense", "ws://"]);
	}
}

#[tokio::test]
async fn chains_ports_and_registrations() {
	let node = Node::start("quick", "alice", &[]).await.unwrap();
	let (coordinator, miner) = (Arguments::coordinator(&node.url()), Arguments::miner(&node.url()));

	let genesis = format!("0x{}", "12".repeat(32));
	for arguments in [&coordinator, &miner] {
		let line = arguments.refusal_with("--genesis", &genesis).await;
		says(&line, &[&genesis, "wrong chain"]);
	}

	let taken = TcpListener::bind("127.0.0.1:0").unwrap();
	let address = taken.local_addr().unwrap().to_string();
	for option in ["--app-listen", "--miner-listen"] {
		says(&coordinator.refusal_with(option, &address).await, &[&address, "use"]);
	}

	let (_dir, stranger) = file("stranger.key", "//BadInputStranger");
	for arguments in [&coordinator, &miner] {
		says(&arguments.refusal_with("--key", &stranger).await, &["not registered"]);
	}
	// Registered, but as something else.
	let (_dir, other_role) = file("other-role.key", "//Miner1//operator");
	says(&coordinator.refusal_with("--key", &other_role).await, &["coordinator", "miner"]);
}

/// A copy of the model, to be broken.
fn model_copy() -> (TempDir, PathBuf) {
	let dir = tempfile::tempdir().unwrap();
	let model = models::copy_to(dir.path()).unwrap();
	(dir, model)
}

/// The first weights file in a directory or under it.
fn weights(dir: &Path) -> Option<PathBuf> {
	let mut entries: Vec<_> =
		fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
	entries.sort();
	entries.into_iter().find_map(|path| {
		if path.is_dir() {
			weights(&path)
		} else {
			(path.extension()? == "safetensors").then_some(path)
		}
	})
}

#[tokio::test]
async fn model_directories() {
	let node = Node::start("quick", "alice", &[]).await.unwrap();
	let arguments = Arguments::miner(&node.url());
	let with = async |dir: &Path| arguments.refusal_with("--models", dir.to_str().unwrap()).await;

	says(&with(Path::new("no-such-models")).await, &["no-such-models"]);
	let nothing = tempfile::tempdir().unwrap();
	says(&with(nothing.path()).await, &[nothing.path().to_str().unwrap(), "model"]);

	// A header that promises more than the file holds, a file that is cut off, and one that is empty.
	for broken in [vec![0xff; 64], vec![], b"no safetensors at all".to_vec()] {
		let (dir, model) = model_copy();
		let file = weights(&model).expect("the model has weights");
		fs::write(&file, &broken).unwrap();
		says(&with(dir.path()).await, &[file.file_name().unwrap().to_str().unwrap()]);
	}
	let (dir, model) = model_copy();
	let file = weights(&model).expect("the model has weights");
	let whole = fs::read(&file).unwrap();
	fs::write(&file, &whole[..whole.len() / 2]).unwrap();
	says(&with(dir.path()).await, &[file.file_name().unwrap().to_str().unwrap()]);
}

#[tokio::test]
async fn node_arguments() {
	let taken = TcpListener::bind("127.0.0.1:0").unwrap();
	let port = taken.local_addr().unwrap().port().to_string();
	let base = tempfile::tempdir().unwrap();
	let base = base.path().to_str().unwrap();
	let dev = [
		"--chain",
		"quick",
		"--alice",
		"--base-path",
		base,
		"--unsafe-force-node-key-generation",
		"--no-prometheus",
		"--no-telemetry",
	];
	for (option, other) in [("--rpc-port", "--port"), ("--port", "--rpc-port")] {
		let [free] = ports::free().unwrap();
		let free = free.to_string();
		let mut arguments = dev.to_vec();
		arguments.extend([option, port.as_str(), other, free.as_str()]);
		says(&refusal("cuckoo-node", &arguments).await, &[&port, option, "in use"]);
	}

	says(&refusal("cuckoo-node", &["--chain", "atlantis"]).await, &["atlantis", "quick"]);
	let (_dir, broken) = file("broken.json", "{ \"name\": ");
	says(&refusal("cuckoo-node", &["--chain", &broken]).await, &[&broken]);
}

#[tokio::test]
async fn what_apps_ask_for() {
	let mut node = Node::start("quick", "alice", &[]).await.unwrap();
	let listeners = Listeners::free().unwrap();
	let candidate = preset_coordinator(listeners);
	candidate.publish_info(&node.client().await.unwrap()).await.unwrap();
	let mut coordinator = Coordinator::start(&node, &candidate, listeners, &[]).await.unwrap();
	let app = coordinator.app();

	let base = || TaskRequest::new("a red bird");
	for (request, field) in [
		(TaskRequest { prompt: "x".repeat(100_000), ..base() }, "prompt"),
		(TaskRequest { width: 0, ..base() }, "width"),
		(TaskRequest { width: 65_537, ..base() }, "width"),
		(TaskRequest { height: 0, ..base() }, "height"),
		(TaskRequest { steps: 0, ..base() }, "steps"),
		(TaskRequest { sampler: "crayons".into(), ..base() }, "sampler"),
	] {
		let refusal = refused(app.rpc().offer_task(request).await).unwrap();
		assert_eq!(refusal.code, Code::InvalidRequest, "{refusal}");
		says(&refusal.message, &[field]);
	}
	// Nobody renders here.
	let refusal = refused(app.rpc().offer_task(base()).await).unwrap();
	assert_eq!(refusal.code, Code::NoMiners, "{refusal}");

	// JSON-RPC 2.0: -32700 is a parse error, -32600 an invalid request, -32602 invalid parameters.
	for (body, code) in [
		("{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": ", -32_700),
		("[]", -32_600),
		("{\"jsonrpc\":\"2.0\",\"id\":1}", -32_600),
		("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"cuckoo_nothing\",\"params\":{}}", -32_601),
		("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"cuckoo_offerTask\",\"params\":{}}", -32_602),
		(
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"cuckoo_offerTask\",\
			\"params\":{\"request\":{\"prompt\":\"x\",\"width\":-1}}}",
			-32_602,
		),
	] {
		let answer = post(app.url(), body.into()).await;
		assert_eq!(answer["error"]["code"], code, "{body} is answered with {answer}");
	}
	// Larger than anything that makes sense: refused, whether in HTTP's words or JSON-RPC's.
	let huge = format!("\"{}\"", "x".repeat(32 << 20));
	let answer = reqwest::Client::new().post(app.url()).body(huge).send().await;
	if let Ok(answer) = answer {
		let status = answer.status();
		let text = answer.text().await.unwrap();
		assert!(status.is_client_error() || text.contains("\"error\""), "{status} {text}");
	}

	app.info().await.expect("the coordinator goes on");
	coordinator.process().ensure_no_panic().unwrap();
}

/// What a server answers to this body.
async fn post(url: &str, body: String) -> serde_json::Value {
	let answer = reqwest::Client::new()
		.post(url)
		.header("content-type", "application/json")
		.body(body)
		.send()
		.await
		.unwrap();
	serde_json::from_str(&answer.text().await.unwrap()).expect("the answer is JSON")
}
