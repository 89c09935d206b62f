//! `cuckoo-miner doctor`: is everything there that mining needs? One line for each thing that was looked
//! at, and for each that is not as it should be another one that says what to do.

use crate::{
	cli::MineArgs,
	connection,
	discovery::Coordinator,
	history::unix_millis,
	models,
	sensors::{gibibytes, Sensors},
	startup::check_registration,
};
use anyhow::{bail, Context as _};
use cuckoo_chain_client::{format_cai, keys, ChainClient, ChainError, Keypair, Registry, Role};
use cuckoo_coordinator_api::signing::{Audience, MAX_AGE_MS};
use cuckoo_diffusion::{list_models, step_time, Device, Pipeline};
use std::{
	fmt,
	io::Write as _,
	path::Path,
	time::{Duration, Instant},
};

/// Coordinators that are dialled, those with most stake first.
const DIALLED: usize = 10;
/// A finalized block that is older than this is a sign of a node that does not follow the chain.
const STALE: Duration = Duration::from_mins(2);
/// Steps of a usual picture.
const STEPS: u32 = 20;

/// What was found.
enum Finding {
	/// As it should be.
	Good(String),
	/// Mining works, but not as well as it could; and what to do.
	Poor(String, String),
	/// Mining does not work; and what to do.
	Bad(String, String),
}

use Finding::{Bad, Good, Poor};

impl fmt::Display for Finding {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Good(what) => write!(f, "good  {what}"),
			Poor(what, advice) => write!(f, "poor  {what}\n      {advice}"),
			Bad(what, advice) => write!(f, "BAD   {what}\n      {advice}"),
		}
	}
}

/// What was looked at so far.
#[derive(Default)]
struct Report {
	bad: usize,
}

impl Report {
	fn add(&mut self, finding: Finding) {
		self.bad += usize::from(matches!(finding, Bad(..)));
		println!("{finding}");
	}

	/// Adds a question that the node did not answer.
	fn unanswered(&mut self, what: &str, error: &ChainError) {
		self.add(Bad(
			format!("{what}: {error}"),
			"look at the log of the node, or name another one with --chain".into(),
		));
	}
}

/// Looks at everything; an error if mining would not work.
pub async fn run(args: &MineArgs) -> anyhow::Result<()> {
	let mut report = Report::default();
	report.add(Good(format!(
		"program: cuckoo-miner {}, {}",
		env!("CARGO_PKG_VERSION"),
		if cfg!(feature = "cuda") { "for CUDA and the CPU" } else { "for the CPU only" }
	)));
	let devices = args.devices();
	let sensors = Sensors::open();
	for device in &devices {
		report.add(processor(*device, &sensors));
	}
	if let (Some(dir), Some(device)) = (args.models.clone(), devices.first().copied()) {
		// Rendering would keep the runtime from anything else.
		for finding in tokio::task::spawn_blocking(move || models(&dir, device)).await? {
			report.add(finding);
		}
	}
	report.add(receipts(args));
	let key = args.key.as_ref().map(|file| (file, keys::load(file, &args.password)));
	let keypair = match &key {
		Some((file, Ok(keypair))) => {
			let operator = keypair.public_key().to_account_id();
			report.add(Good(format!("key: {} is that of the operator {operator}", file.display())));
			Some(keypair)
		},
		Some((_, Err(error))) => {
			report.add(Bad(
				format!("key: {error}"),
				"without it nobody knows for whom this machine works".into(),
			));
			None
		},
		None => None,
	};
	match ChainClient::connect(&args.chain).await {
		Ok(client) => chain(&mut report, args, &client, keypair).await,
		Err(error) => report.add(Bad(
			format!("node: {error}"),
			"start a node on this machine, or name another one with --chain ws://HOST:9944".into(),
		)),
	}
	match report.bad {
		0 => Ok(()),
		1 => bail!("one thing keeps this machine from mining"),
		bad => bail!("{bad} things keep this machine from mining"),
	}
}

fn processor(device: Device, sensors: &Sensors) -> Finding {
	let reading = sensors.read(device);
	let memory = match (reading.memory_used, reading.memory_total) {
		(Some(used), Some(total)) => {
			format!(
				"{:.1} of {:.1} GiB of memory free",
				gibibytes(total.saturating_sub(used)),
				gibibytes(total)
			)
		},
		_ => "its memory is not known".into(),
	};
	let cores = std::thread::available_parallelism().map_or(1, usize::from);
	match device {
		Device::Cuda(_) => match (device.check(), reading.throttled) {
			(Ok(()), throttled) => {
				let name = reading.name.unwrap_or_else(|| "a GPU without a name".into());
				let driver = sensors.driver().unwrap_or_else(|| "unknown".into());
				let what = format!("device: {device} computes: {name}, driver {driver}, {memory}");
				match throttled {
					None => Good(what),
					Some(why) => Poor(what, format!("its clocks are held back: {why}; look at its cooling and power")),
				}
			},
			(Err(error), _) => Bad(
				error.to_string(),
				"check the driver with nvidia-smi, and that the CUDA libraries are on LD_LIBRARY_PATH".into(),
			),
		},
		Device::Cpu => Poor(
			format!("device: the CPU, {cores} cores, {memory}"),
			"it works; a GPU is far faster: scripts/build-cuda builds the miner for one".into(),
		),
	}
}

/// Whether receipts can be kept.
fn receipts(args: &MineArgs) -> Finding {
	let written = args.data.dir().and_then(|dir| {
		std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
		// It goes again at once.
		let file = tempfile::tempfile_in(&dir);
		let written = file.and_then(|mut file| file.write_all(&[0; 4096]).and(file.sync_all()));
		written.with_context(|| format!("cannot write to {}", dir.display()))?;
		Ok(dir)
	});
	match written {
		Ok(dir) => Good(format!("receipts: they go to {}", dir.display())),
		Err(error) => Bad(
			format!("receipts: {error:#}"),
			"make room there, or name another folder by --data".into(),
		),
	}
}

/// Loads each model and times a few of its steps.
fn models(dir: &Path, device: Device) -> Vec<Finding> {
	let advice = "put a model directory in the diffusers format there: see docs/miner.md";
	let entries = match list_models(dir) {
		Ok(entries) => entries,
		Err(error) => return vec![Bad(format!("models: {error}"), advice.into())],
	};
	let look = |path: &Path| -> Result<Finding, String> {
		let started = Instant::now();
		let pipeline = Pipeline::load(path, &device).map_err(|error| error.to_string())?;
		let loaded = started.elapsed().as_secs_f32();
		let info = pipeline.info();
		let step = step_time(&pipeline)
			.map_err(|error| format!("it does not render: {error}"))?
			.as_secs_f32();
		let what = format!(
			"model {}: loaded in {loaded:.1} s; {} × {} pixels in {STEPS} steps take about {:.1} s",
			info.name,
			info.width,
			info.height,
			step * STEPS as f32
		);
		Ok(match models::notice(info) {
			Some(notice) => Poor(what, format!("the model says of itself: {notice}")),
			None => Good(what),
		})
	};
	let look = |entry: &cuckoo_diffusion::ModelEntry| {
		look(&entry.path).unwrap_or_else(|error| {
			Bad(
				format!("model {}: {error}", entry.name),
				"download it again, or take it out".into(),
			)
		})
	};
	entries.iter().map(look).collect()
}

async fn chain(
	report: &mut Report,
	args: &MineArgs,
	client: &ChainClient,
	keypair: Option<&Keypair>,
) {
	if let Some(Err(error)) = args.genesis.map(|expected| client.ensure_genesis(expected.0)) {
		return report.add(Bad(
			format!("node: {error}"),
			"name a node of the right chain with --chain, or another --genesis".into(),
		));
	}
	let registry = match client.registry().await {
		Ok(registry) => registry,
		Err(error) => return report.unanswered("node", &error),
	};
	report.add(Good(format!(
		"node: {} serves chain {}…, finalized block {}",
		client.url(),
		hex::encode(&client.genesis()[..4]),
		registry.block
	)));
	match client.time().await {
		Ok(time) => {
			report.add(clock(Duration::from_millis(unix_millis()), Duration::from_millis(time)));
		},
		Err(error) => report.unanswered("clock", &error),
	}
	if let Some(keypair) = keypair {
		registration(report, args, client, keypair, &registry).await;
	}
	coordinators(report, args, client, &registry).await;
}

/// Compares this machine's clock with the time of the last finalized block, which was a few blocks ago.
fn clock(ours: Duration, block: Duration) -> Finding {
	let tolerated = Duration::from_millis(MAX_AGE_MS);
	match (ours.checked_sub(block), block.checked_sub(ours)) {
		(_, Some(ahead)) if ahead > tolerated => Bad(
			format!("clock: it is at least {} s slow", ahead.as_secs()),
			"set it, such as with `timedatectl set-ntp true`: coordinators refuse messages of another \
			minute than theirs"
				.into(),
		),
		(Some(behind), _) if behind > STALE => Bad(
			format!("clock: the last finalized block is {} s old", behind.as_secs()),
			"wait until the node has caught up with the chain; if it has, this clock is fast: set it, \
			such as with `timedatectl set-ntp true`"
				.into(),
		),
		_ => Good("clock: it fits the time of the chain".into()),
	}
}

async fn registration(
	report: &mut Report,
	args: &MineArgs,
	client: &ChainClient,
	keypair: &Keypair,
	registry: &Registry,
) {
	let operator = keypair.public_key().to_account_id();
	let found = async {
		let candidate = client.candidate_by_operator(&operator).await?;
		Ok::<_, ChainError>((candidate, client.minimum_stake(Role::Miner).await?))
	};
	let (candidate, minimum) = match found.await {
		Ok(found) => found,
		Err(error) => return report.unanswered("registration", &error),
	};
	match check_registration(candidate, minimum) {
		Ok(candidate) => {
			let all: u128 =
				registry.miners.iter().filter(|miner| miner.active).map(|miner| miner.weight).sum();
			report.add(Good(format!(
				"registration: the operator of an active miner, stash {}",
				candidate.stash
			)));
			report.add(Good(format!(
				"stake: {} CAI with votes, {:.2} % of all miners' stake and so of their tasks",
				format_cai(candidate.weight),
				candidate.weight as f64 / all as f64 * 100.0
			)));
		},
		Err(missing) => {
			let file = args.key.clone().unwrap_or_default();
			let advice = missing.hint(&args.chain, &file);
			report.add(Bad(format!("registration: the operator {operator} {missing}"), advice));
		},
	}
}

/// Dials coordinators, without logging in: a miner that is at work keeps its session.
async fn coordinators(
	report: &mut Report,
	args: &MineArgs,
	client: &ChainClient,
	registry: &Registry,
) {
	let mut eligible = args.selection().eligible(&registry.coordinators);
	if eligible.is_empty() {
		return report.add(Bad(
			"coordinators: none is registered, active and not blocked".into(),
			"wait for one, or take --block and --coordinator away".into(),
		));
	}
	eligible.sort_by_key(|coordinator| std::cmp::Reverse(coordinator.weight));
	let mut reached = 0;
	let count = eligible.len();
	for coordinator in eligible.into_iter().take(DIALLED) {
		match reach(client, &coordinator).await {
			Ok((endpoint, took)) => {
				reached += 1;
				report.add(Good(format!(
					"coordinator {coordinator}: answers at {endpoint} in {} ms",
					took.as_millis()
				)));
			},
			Err(why) => report.add(Poor(
				format!("coordinator {coordinator}: {why}"),
				"others are taken meanwhile; if none answers, look at this machine's network"
					.into(),
			)),
		}
	}
	if reached == 0 {
		report.add(Bad(
			format!("coordinators: none of {} answers", count.min(DIALLED)),
			"check that this machine may open connections to the addresses above".into(),
		));
	}
}

/// The first endpoint at which a coordinator answers as itself, and how long that took; or why none
/// does.
async fn reach(
	client: &ChainClient,
	coordinator: &Coordinator,
) -> Result<(String, Duration), String> {
	let audience = Audience { genesis: client.genesis(), coordinator: coordinator.operator };
	let mut troubles = Vec::new();
	for endpoint in &coordinator.endpoints {
		let started = Instant::now();
		match connection::dial(&audience, coordinator.certificate, endpoint).await {
			Ok(_) => return Ok((endpoint.clone(), started.elapsed())),
			Err(why) => troubles.push(format!("{}: {why}", crate::text::printable(endpoint))),
		}
	}
	Err(troubles.join("; "))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn clocks_are_compared_with_the_chain() {
		let at = |ours, block| clock(Duration::from_secs(ours), Duration::from_secs(block));
		assert!(matches!(at(1_000, 980), Good(_)));
		assert!(matches!(at(1_000, 1_030), Good(_)));
		let Bad(slow, advice) = at(1_000, 1_300) else { panic!("five minutes slow") };
		assert!(slow.contains("300 s slow") && advice.contains("timedatectl"));
		let Bad(_, advice) = at(1_300, 1_000) else { panic!("five minutes fast") };
		assert!(advice.contains("this clock is fast"));
	}
}
