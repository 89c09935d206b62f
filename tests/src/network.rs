//! A chain, coordinators and miners that belong together, on loopback.

use crate::{
	app::App,
	ports,
	process::{self, Process},
	staking::{write_key_file, Candidate},
};
use anyhow::{bail, ensure, Context, Result};
use cuckoo_chain_client::ChainClient;
use jsonrpsee::{core::client::ClientT, http_client::HttpClientBuilder, rpc_params};
use std::{
	fs,
	path::{Path, PathBuf},
	time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a program may take until it is of use. Generous, for machines with much else to do.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// How often a question is asked again.
const LOOK: Duration = Duration::from_millis(200);

/// How long slots, sessions and eras are on a chain.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
	/// Milliseconds in a slot.
	pub slot_ms: u64,
	/// Slots in a session.
	pub session_slots: u64,
	/// Sessions in an era.
	pub era_sessions: u32,
}

/// Writes the specification of a chain like the built-in `chain`, with other timing, to a file in `dir`,
/// and answers with its path.
pub async fn chain_spec(chain: &str, timing: Timing, dir: &Path) -> Result<String> {
	let export = ["export-chain-spec", "--chain", chain];
	let ended = process::run("cuckoo-node", export, PATIENCE).await?;
	ensure!(ended.status.success(), "{ended:?}");
	let mut spec: serde_json::Value = serde_json::from_str(&ended.stdout)?;
	let field = spec
		.pointer_mut("/genesis/runtimeGenesis/patch/timing")
		.context("the specification has no timing")?;
	*field = serde_json::json!({
		"slotDurationMs": timing.slot_ms,
		"sessionLength": timing.session_slots,
		"sessionsPerEra": timing.era_sessions,
	});
	let file = dir.join(format!("{chain}.json"));
	fs::write(&file, spec.to_string())?;
	Ok(file.display().to_string())
}

/// Makes session keys for `owner` (SS58) in the node's files in `base`, with the node's own command, and
/// answers with the encoded call that it prints.
pub async fn session_keys_call(chain: &str, base: &Path, owner: &str) -> Result<Vec<u8>> {
	let base = base.display().to_string();
	let arguments = ["key", "session", "--chain", chain, "--base-path", &base, "--owner", owner];
	let ended = process::run("cuckoo-node", arguments, PATIENCE).await?;
	ensure!(ended.status.success(), "{ended:?}");
	let call = ended
		.stdout
		.lines()
		.find_map(|line| line.strip_prefix("call")?.trim().strip_prefix("0x"))
		.context("the call is not printed")?;
	Ok(hex::decode(call)?)
}

/// A node that runs, with a database of its own that survives a restart.
pub struct Node {
	process: Process,
	arguments: Vec<String>,
	rpc_port: u16,
	// Deleted last.
	_base: TempDir,
}

impl Node {
	/// Starts a node on the built-in chain `chain`, as the well-known validator that `authority`
	/// (`alice`, `bob`, …) names, and waits until it answers.
	pub async fn start(chain: &str, authority: &str, more: &[&str]) -> Result<Self> {
		let [rpc_port] = ports::free()?;
		Self::start_at(rpc_port, chain, authority, more).await
	}

	/// Like [`Self::start`], and answers at the port that is given.
	pub async fn start_at(
		rpc_port: u16,
		chain: &str,
		authority: &str,
		more: &[&str],
	) -> Result<Self> {
		let base = tempfile::Builder::new().prefix("cuckoo-node-base-").tempdir()?;
		Self::launch(base, rpc_port, chain, authority, more).await
	}

	/// Like [`Self::start`], with its files, and so its keys, in `base`.
	pub async fn start_in(
		base: TempDir,
		chain: &str,
		authority: &str,
		more: &[&str],
	) -> Result<Self> {
		let [rpc_port] = ports::free()?;
		Self::launch(base, rpc_port, chain, authority, more).await
	}

	async fn launch(
		base: TempDir,
		rpc_port: u16,
		chain: &str,
		authority: &str,
		more: &[&str],
	) -> Result<Self> {
		let [port] = ports::free()?;
		let mut arguments: Vec<String> = vec![
			"--chain".into(),
			chain.into(),
			format!("--{authority}"),
			"--base-path".into(),
			base.path().display().to_string(),
			"--rpc-port".into(),
			rpc_port.to_string(),
			"--listen-addr".into(),
			format!("/ip4/127.0.0.1/tcp/{port}"),
			"--unsafe-force-node-key-generation".into(),
			"--no-mdns".into(),
			"--no-telemetry".into(),
		];
		if !more.contains(&"--prometheus-port") {
			arguments.push("--no-prometheus".into());
		}
		arguments.extend(more.iter().map(ToString::to_string));
		let process = Process::start("cuckoo-node", &arguments)?;
		let mut node = Self { process, arguments, rpc_port, _base: base };
		node.client().await?;
		Ok(node)
	}

	/// Where it answers, as a WebSocket.
	pub fn url(&self) -> String {
		format!("ws://127.0.0.1:{}", self.rpc_port)
	}

	/// Where other nodes find it.
	pub async fn boot_address(&self) -> Result<String> {
		let rpc =
			HttpClientBuilder::default().build(format!("http://127.0.0.1:{}", self.rpc_port))?;
		let addresses: Vec<String> =
			rpc.request("system_localListenAddresses", rpc_params![]).await?;
		let loopback = addresses.into_iter().find(|address| address.starts_with("/ip4/127.0.0.1/"));
		loopback.context("the node does not listen on loopback")
	}

	/// A connection to it. Waits until there is one.
	pub async fn client(&mut self) -> Result<ChainClient> {
		let begin = Instant::now();
		loop {
			match ChainClient::connect(&self.url()).await {
				Ok(client) => return Ok(client),
				Err(error) if begin.elapsed() > PATIENCE => return Err(error.into()),
				Err(_) => {},
			}
			self.process.ensure_running()?;
			tokio::time::sleep(LOOK).await;
		}
	}

	/// The program itself.
	pub fn process(&mut self) -> &mut Process {
		&mut self.process
	}

	/// Ends it as a power cut would, and starts it again on the same database and ports.
	pub async fn restart(&mut self) -> Result<()> {
		self.process.kill()?;
		self.process.ensure_no_panic()?;
		self.process = Process::start("cuckoo-node", &self.arguments)?;
		self.client().await?;
		Ok(())
	}
}

/// Where a coordinator is to listen.
#[derive(Clone, Copy, Debug)]
pub struct Listeners {
	/// Port for apps.
	pub app: u16,
	/// Port for miners.
	pub miner: u16,
}

impl Listeners {
	/// Two ports on which nothing listens.
	pub fn free() -> Result<Self> {
		let [app, miner] = ports::free()?;
		Ok(Self { app, miner })
	}

	/// What the coordinator announces to miners on the chain.
	pub fn endpoint(self) -> String {
		format!("ws://127.0.0.1:{}", self.miner)
	}
}

/// A coordinator that runs.
pub struct Coordinator {
	process: Process,
	arguments: Vec<String>,
	app: App,
	/// Its key and its data.
	_files: TempDir,
}

impl Coordinator {
	/// Starts a coordinator for `candidate`, and waits until it answers apps.
	pub async fn start(
		node: &Node,
		candidate: &Candidate,
		listeners: Listeners,
		more: &[&str],
	) -> Result<Self> {
		let (files, key) = key_file(candidate)?;
		let mut arguments = vec![
			"--chain".to_owned(),
			node.url(),
			"--key".into(),
			key,
			"--data".into(),
			files.path().join("data").display().to_string(),
			"--app-listen".into(),
			format!("127.0.0.1:{}", listeners.app),
			"--miner-listen".into(),
			format!("127.0.0.1:{}", listeners.miner),
		];
		arguments.extend(more.iter().map(ToString::to_string));
		let app = App::new(format!("http://127.0.0.1:{}", listeners.app))?;
		let process = Process::start("cuckoo-coordinator", &arguments)?;
		let mut coordinator = Self { process, arguments, app, _files: files };
		coordinator.wait_until_it_answers().await?;
		Ok(coordinator)
	}

	async fn wait_until_it_answers(&mut self) -> Result<()> {
		let begin = Instant::now();
		while let Err(error) = self.app.info().await {
			self.process.ensure_running()?;
			if begin.elapsed() > PATIENCE {
				return Err(error.context("the coordinator does not answer"));
			}
			tokio::time::sleep(LOOK).await;
		}
		Ok(())
	}

	/// Ends it as a power cut would, and starts it again with the same data and ports.
	pub async fn restart(&mut self) -> Result<()> {
		self.process.kill()?;
		self.process.ensure_no_panic()?;
		self.process = Process::start("cuckoo-coordinator", &self.arguments)?;
		self.wait_until_it_answers().await
	}

	/// What apps do with it.
	pub fn app(&self) -> &App {
		&self.app
	}

	/// What `cuckoo-coordinator audit` prints of its draws, which must all be right; `more` are further
	/// arguments.
	pub async fn audit(&self, node: &Node, more: &[&str]) -> Result<String> {
		let chain = node.url();
		let arguments = ["audit", "--chain", &chain, "--coordinator", self.app.url()];
		let ended =
			process::run("cuckoo-coordinator", arguments.iter().chain(more), PATIENCE).await?;
		ensure!(ended.status.success(), "{ended:?}");
		Ok(ended.stdout)
	}

	/// The program itself.
	pub fn process(&mut self) -> &mut Process {
		&mut self.process
	}
}

/// A miner that runs.
pub struct Miner {
	process: Process,
	/// Its stash, SS58.
	pub stash: String,
	/// What it was started with.
	arguments: Vec<String>,
	metrics: u16,
	/// Its key and its data.
	files: TempDir,
}

impl Miner {
	/// Starts a miner for `candidate` that renders with the models in `models`.
	pub fn start(node: &Node, candidate: &Candidate, models: &Path, more: &[&str]) -> Result<Self> {
		let (files, arguments, metrics) = Self::prepare(node, candidate, models, more)?;
		Ok(Self {
			process: Process::start("cuckoo-miner", &arguments)?,
			stash: candidate.stash_account()?.to_string(),
			arguments,
			metrics,
			files,
		})
	}

	/// A folder for the key and the data of a miner, what to start it with, and the port of its metrics.
	pub fn prepare(
		node: &Node,
		candidate: &Candidate,
		models: &Path,
		more: &[&str],
	) -> Result<(TempDir, Vec<String>, u16)> {
		let (files, key) = key_file(candidate)?;
		let [metrics] = ports::free()?;
		let mut arguments = vec![
			"--chain".to_owned(),
			node.url(),
			"--key".into(),
			key,
			"--models".into(),
			models.display().to_string(),
			"--data".into(),
			files.path().join("data").display().to_string(),
			"--metrics-listen".into(),
			format!("127.0.0.1:{metrics}"),
		];
		arguments.extend(more.iter().map(ToString::to_string));
		Ok((files, arguments, metrics))
	}

	/// What it tells Prometheus now: the value of the line that starts like this, `None` where there is no
	/// such line.
	pub async fn metric(&self, line: &str) -> Result<Option<f64>> {
		let url = format!("http://127.0.0.1:{}/metrics", self.metrics);
		let text = reqwest::get(url).await?.error_for_status()?.text().await?;
		let value = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
		Ok(value)
	}

	/// What `cuckoo-miner history --json` prints.
	pub async fn history(&self) -> Result<serde_json::Value> {
		let data = self.data().display().to_string();
		let command = ["history", "--json", "--data", &data];
		let ended = process::run("cuckoo-miner", command, PATIENCE).await?;
		ensure!(ended.status.success(), "{ended:?}");
		Ok(serde_json::from_str(&ended.stdout)?)
	}

	/// Where it keeps its receipts.
	pub fn data(&self) -> PathBuf {
		self.files.path().join("data")
	}

	/// What `cuckoo-miner doctor` prints of a machine that may mine.
	pub async fn doctor(&self) -> Result<String> {
		let command = ["doctor"].into_iter().chain(self.arguments.iter().map(String::as_str));
		let ended = process::run("cuckoo-miner", command, PATIENCE).await?;
		ensure!(ended.status.success(), "{ended:?}");
		Ok(ended.stdout)
	}

	/// The program itself.
	pub fn process(&mut self) -> &mut Process {
		&mut self.process
	}
}

/// A file with the operator key of a candidate, in a directory of its own.
fn key_file(candidate: &Candidate) -> Result<(TempDir, String)> {
	let dir = tempfile::tempdir()?;
	let path = dir.path().join("operator.key");
	write_key_file(&path, &candidate.operator_uri())?;
	let path = path.display().to_string();
	Ok((dir, path))
}

/// The coordinator that the genesis of the test chains registers, with its real endpoint.
pub fn preset_coordinator(listeners: Listeners) -> Candidate {
	Candidate::coordinator("Coordinator", listeners.endpoint())
}

/// The miners that the genesis of the test chains registers.
pub fn preset_miners() -> [Candidate; 3] {
	[("Miner1", 20_000), ("Miner2", 40_000), ("Miner3", 140_000)]
		.map(|(name, cai)| Candidate::miner(name, cai))
}

/// A chain with one coordinator and its miners. All of it ends when this is dropped.
pub struct Network {
	/// The miners that run.
	pub miners: Vec<Miner>,
	/// The coordinator that runs.
	pub coordinator: Coordinator,
	/// The node that runs.
	pub node: Node,
}

impl Network {
	/// Starts a coordinator and miners that are registered on the node's chain, the coordinator with
	/// the endpoint of these listeners, and waits until all are connected.
	pub async fn start(
		node: Node,
		coordinator: &Candidate,
		listeners: Listeners,
		miners: &[Candidate],
		models: &Path,
		more_for_coordinator: &[&str],
	) -> Result<Self> {
		let coordinator =
			Coordinator::start(&node, coordinator, listeners, more_for_coordinator).await?;
		let miners = miners
			.iter()
			.map(|miner| Miner::start(&node, miner, models, &[]))
			.collect::<Result<Vec<_>>>()?;
		let mut network = Self { miners, coordinator, node };
		network.wait_for_miners().await?;
		Ok(network)
	}

	/// Starts a node on a chain of quick blocks, and the coordinator and the miners that are
	/// registered in its genesis.
	pub async fn start_preset(models: &Path) -> Result<Self> {
		let mut node = Node::start("quick", "alice", &[]).await?;
		let listeners = Listeners::free()?;
		let coordinator = preset_coordinator(listeners);
		coordinator.publish_info(&node.client().await?).await?;
		Self::start(node, &coordinator, listeners, &preset_miners(), models, &[]).await
	}

	async fn wait_for_miners(&mut self) -> Result<()> {
		let begin = Instant::now();
		loop {
			let views = self.coordinator.app.miners().await?;
			let live = views.iter().filter(|miner| miner.live).count();
			if live == self.miners.len() {
				return Ok(());
			}
			self.ensure_sound()?;
			if begin.elapsed() > PATIENCE {
				let logs: Vec<_> = self.miners.iter().map(|miner| miner.process.tail()).collect();
				bail!("{live} of {} miners are connected:\n{}", logs.len(), logs.join("\n"));
			}
			tokio::time::sleep(LOOK).await;
		}
	}

	/// Fails if any of the programs has panicked or ended.
	pub fn ensure_sound(&mut self) -> Result<()> {
		let miners = self.miners.iter_mut().map(Miner::process);
		for process in
			[&mut self.node.process, &mut self.coordinator.process].into_iter().chain(miners)
		{
			process.ensure_no_panic()?;
			process.ensure_running()?;
		}
		Ok(())
	}
}
