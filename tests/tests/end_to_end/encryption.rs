//! Miners and coordinators over TLS: which certificate a miner accepts.

use cuckoo_coordinator_api::task::TaskRequest;
use cuckoo_e2e::{
	app::App,
	models,
	network::{preset_coordinator, preset_miners, Coordinator, Listeners, Miner, Node, PATIENCE},
	process::{binary, run, Process},
	staking::write_key_file,
};
use std::path::Path;
use tempfile::TempDir;

/// A certificate that vouches for itself, as the coordinator makes it.
struct Made {
	certificate: String,
	key: String,
	fingerprint: [u8; 32],
}

impl Made {
	async fn new(dir: &Path, name: &str) -> Self {
		let file = |kind| dir.join(format!("{name}.{kind}")).display().to_string();
		let (certificate, key) = (file("crt"), file("key"));
		let arguments =
			["certificate", "--host", "127.0.0.1", "--out-cert", &certificate, "--out-key", &key];
		let ended = run("cuckoo-coordinator", arguments, PATIENCE).await.unwrap();
		assert!(ended.status.success(), "{ended:?}");
		let fingerprint = ended
			.stdout
			.lines()
			.find_map(|line| line.strip_prefix("fingerprint: 0x"))
			.and_then(|hex| hex::decode(hex).ok()?.try_into().ok())
			.unwrap_or_else(|| panic!("no fingerprint: {ended:?}"));
		Self { certificate, key, fingerprint }
	}

	/// The options with which a coordinator serves miners with it.
	fn options(&self) -> [&str; 4] {
		["--miner-tls-cert", &self.certificate, "--miner-tls-key", &self.key]
	}
}

async fn draws_a_picture(app: &App) {
	// By name, a model may be asked for before its miners are back.
	let model = Some(models::NAME.into());
	let prompt = TaskRequest::new("a sealed letter");
	let request = TaskRequest { width: 64, height: 64, steps: 2, model, ..prompt };
	let task = app.offer(request).await.unwrap();
	let done = app.wait(&task.task_id, PATIENCE).await.unwrap();
	assert_eq!(done.pictures.len(), 1, "{done:?}");
	app.picture(&done.pictures[0], 64, 64).await.unwrap();
}

#[tokio::test]
async fn a_miner_accepts_only_the_certificate_that_the_chain_names() {
	let models = models::directory();
	let files = TempDir::new().unwrap();
	let (first, second) =
		(Made::new(files.path(), "first").await, Made::new(files.path(), "second").await);
	let mut node = Node::start("quick", "alice", &[]).await.unwrap();
	let chain = node.client().await.unwrap();
	let listeners = Listeners::free().unwrap();
	let mut registered = preset_coordinator(listeners);
	registered.endpoints = vec![format!("wss://127.0.0.1:{}", listeners.miner)];
	registered.certificate = Some(first.fingerprint);
	registered.publish_info(&chain).await.unwrap();

	let mut coordinator =
		Coordinator::start(&node, &registered, listeners, &first.options()).await.unwrap();
	let mut miner = Miner::start(&node, &preset_miners()[0], &models, &[]).unwrap();
	miner.process().wait_for_line("connected to", PATIENCE).await.unwrap();
	draws_a_picture(coordinator.app()).await;

	// Somebody else takes the port, with a certificate of their own.
	coordinator.process().kill().unwrap();
	let mut coordinator =
		Coordinator::start(&node, &registered, listeners, &second.options()).await.unwrap();
	let registered_is = format!("registered is 0x{}", hex::encode(&first.fingerprint[..8]));
	miner.process().wait_for_line(&registered_is, PATIENCE).await.unwrap();
	let warned = "miners will refuse this coordinator";
	coordinator.process().wait_for_line(warned, PATIENCE).await.unwrap();

	// The chain names it: the miner follows.
	registered.certificate = Some(second.fingerprint);
	registered.publish_info(&chain).await.unwrap();
	draws_a_picture(coordinator.app()).await;
	for process in [coordinator.process(), miner.process(), node.process()] {
		process.ensure_no_panic().unwrap();
		process.ensure_running().unwrap();
	}
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_needs_no_registration() {
	let models = models::directory();
	let files = TempDir::new().unwrap();
	let made = Made::new(files.path(), "tls").await;
	let mut node = Node::start("quick", "alice", &[]).await.unwrap();
	let chain = node.client().await.unwrap();
	let listeners = Listeners::free().unwrap();
	let mut registered = preset_coordinator(listeners);
	registered.endpoints = vec![format!("wss://127.0.0.1:{}", listeners.miner)];
	registered.publish_info(&chain).await.unwrap();
	let coordinator =
		Coordinator::start(&node, &registered, listeners, &made.options()).await.unwrap();

	// This system does not trust it, and nothing is registered.
	let [careful, trusting, _] = preset_miners();
	let mut careful = Miner::start(&node, &careful, &models, &[]).unwrap();
	careful.process().wait_for_line("certificate", PATIENCE).await.unwrap();
	assert!(!careful.process().log().contains("connected to"), "{}", careful.process().tail());

	// A system that trusts it as an authority.
	let key = files.path().join("operator.key");
	write_key_file(&key, &trusting.operator_uri()).unwrap();
	let mut trusting = Process::start_program(
		"env",
		[
			&format!("SSL_CERT_FILE={}", made.certificate),
			&binary("cuckoo-miner").unwrap().display().to_string(),
			"--chain",
			&node.url(),
			"--key",
			&key.display().to_string(),
			"--models",
			&models.display().to_string(),
		],
	)
	.unwrap();
	trusting.wait_for_line("connected to", PATIENCE).await.unwrap();
	draws_a_picture(coordinator.app()).await;
	trusting.interrupt().unwrap();
	assert!(trusting.wait_for_end(PATIENCE).await.unwrap().success(), "{}", trusting.tail());
}
