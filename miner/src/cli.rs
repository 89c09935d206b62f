//! The command line.

use crate::discovery::Selection;
use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use cuckoo_chain_client::{
	key_command::{KeyCommand, LOCAL_NODE},
	keys::Password,
	parse_account, parse_hash, AccountId32,
};
use cuckoo_coordinator_api::miner::MAX_SLOTS;
use cuckoo_diffusion::{Device, Lora, Sampler};
use directories::BaseDirs;
use std::{net::SocketAddr, path::PathBuf, str::FromStr};

/// Renders pictures for coordinators and is paid by the chain.
///
/// Reads the coordinators from the chain, connects to some of them drawn by their stake, takes tasks
/// and renders them. The first Ctrl-C finishes the tasks in hand, the second one gives them back.
#[derive(Debug, Parser)]
#[command(
	version,
	args_conflicts_with_subcommands = true,
	subcommand_negates_reqs = true,
	after_help = "The key must be the operator of a registered miner: see `cuckoo-miner key`.\n\
		What is logged can be set by RUST_LOG, such as RUST_LOG=debug."
)]
pub struct Cli {
	/// How to mine, where no command is given.
	#[command(flatten)]
	pub mine: MineArgs,
	/// Something else than to mine.
	#[command(subcommand)]
	pub command: Option<Command>,
}

/// Everything that the program does apart from mining.
#[derive(Debug, Subcommand)]
pub enum Command {
	/// Make, show and prove operator keys.
	#[command(subcommand)]
	Key(KeyCommand),
	/// Load the models and list them: name, digest, size, notice.
	Models(ModelsArgs),
	/// Render one picture to a file, without chain and coordinator.
	Render(Box<RenderArgs>),
	/// Measure how fast this machine renders.
	Bench(BenchArgs),
	/// Check everything that mining needs, and say what to do about what is missing.
	Doctor(Box<MineArgs>),
	/// Show what this machine has done and earned, day by day.
	History(HistoryArgs),
}

/// How to mine.
#[derive(Debug, Args)]
pub struct MineArgs {
	/// WebSocket address of a node of the chain.
	#[arg(long, env = "CUCKOO_CHAIN", value_name = "URL", default_value = LOCAL_NODE)]
	pub chain: String,
	/// File with the operator's key; `cuckoo-miner key new` makes one.
	#[arg(long, env = "CUCKOO_KEY", value_name = "FILE", required = true)]
	pub key: Option<PathBuf>,
	/// Its password.
	#[command(flatten)]
	pub password: Password,
	/// A model directory in the diffusers format, or a directory with several of them.
	#[arg(long, env = "CUCKOO_MODELS", value_name = "DIR", required = true)]
	pub models: Option<PathBuf>,
	/// How many coordinators to work for, drawn by their stake.
	#[arg(
		long,
		env = "CUCKOO_COORDINATORS",
		value_name = "N",
		default_value_t = 3,
		value_parser = clap::value_parser!(u8).range(1..=32)
	)]
	coordinators: u8,
	/// Work only for registered coordinators with this endpoint, such as wss://203.0.113.7:9981
	/// (repeatable); then for all of them, whatever --coordinators says.
	#[arg(
		long = "coordinator",
		env = "CUCKOO_COORDINATOR",
		value_name = "URL",
		value_delimiter = ',',
		value_parser = endpoint
	)]
	only: Vec<String>,
	/// Never work for the coordinator with this stash (repeatable).
	#[arg(
		long = "block",
		env = "CUCKOO_BLOCK",
		value_name = "STASH",
		value_delimiter = ',',
		value_parser = account
	)]
	blocked: Vec<AccountId32>,
	/// How many tasks to hold at once; a device renders one after the other [default: one a device].
	#[arg(
		long,
		env = "CUCKOO_SLOTS",
		value_name = "N",
		value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS))
	)]
	slots: Option<u32>,
	/// What to render on: auto (all GPUs that answer, else the CPU), cpu, or, in a build for CUDA, a list
	/// such as cuda:0,cuda:1. Each device has a worker of its own.
	#[arg(
		long,
		env = "CUCKOO_DEVICES",
		value_name = "LIST",
		value_delimiter = ',',
		default_value = "auto"
	)]
	devices: Vec<DeviceChoice>,
	/// Memory for models on each device, in GiB; when it is full, the models go that were not used for
	/// longest [default: three quarters of what the device has].
	#[arg(long, env = "CUCKOO_MODEL_MEMORY", value_name = "GIB", value_parser = gibibytes)]
	pub model_memory: Option<u64>,
	/// Where receipts and earnings are kept.
	#[command(flatten)]
	pub data: DataArgs,
	/// Address on which metrics for Prometheus are served, at /metrics, such as 127.0.0.1:9616; without
	/// it there are none.
	#[arg(long, env = "CUCKOO_METRICS_LISTEN", value_name = "ADDRESS")]
	pub metrics_listen: Option<SocketAddr>,
	/// Log lines instead of the live view, on a terminal too.
	#[arg(long, env = "CUCKOO_PLAIN")]
	pub plain: bool,
	/// Refuse a node whose chain has another genesis hash than this one.
	#[arg(long, env = "CUCKOO_GENESIS", value_name = "0x…", value_parser = hash)]
	pub genesis: Option<Hash>,
}

impl MineArgs {
	/// What to render on: each device once.
	pub fn devices(&self) -> Vec<Device> {
		let mut devices = Vec::new();
		for choice in &self.devices {
			let chosen = match choice {
				DeviceChoice::Auto => gpus(),
				DeviceChoice::Only(device) => vec![*device],
			};
			for device in chosen {
				if !devices.contains(&device) {
					devices.push(device);
				}
			}
		}
		devices
	}

	/// How many tasks to hold at once on so many devices.
	pub fn slots(&self, devices: usize) -> u32 {
		self.slots.unwrap_or((devices as u32).clamp(1, MAX_SLOTS))
	}

	/// Which coordinators to work for.
	pub fn selection(&self) -> Selection {
		let count = if self.only.is_empty() { self.coordinators.into() } else { self.only.len() };
		Selection {
			count,
			only: self.only.clone(),
			blocked: self.blocked.iter().copied().collect(),
		}
	}
}

/// All GPUs that answer, or else the CPU.
fn gpus() -> Vec<Device> {
	match Device::best() {
		Device::Cpu => vec![Device::Cpu],
		first @ Device::Cuda(_) => {
			let others = (1..).map(Device::Cuda).take_while(|device| device.check().is_ok());
			std::iter::once(first).chain(others).collect()
		},
	}
}

/// Where a miner keeps its receipts and earnings.
#[derive(Debug, Args)]
pub struct DataArgs {
	/// Folder for receipts and earnings [default: cuckoo-miner in the user's data folder].
	#[arg(long = "data", env = "CUCKOO_DATA", value_name = "DIR")]
	given: Option<PathBuf>,
}

impl DataArgs {
	/// The folder, which need not be there.
	pub fn dir(&self) -> anyhow::Result<PathBuf> {
		if let Some(dir) = &self.given {
			return Ok(dir.clone());
		}
		let dirs = BaseDirs::new().context("this user has no home directory: give --data DIR")?;
		Ok(dirs.data_dir().join("cuckoo-miner"))
	}
}

/// Which history to show.
#[derive(Debug, Args)]
pub struct HistoryArgs {
	/// Where it is.
	#[command(flatten)]
	pub data: DataArgs,
	/// Operator whose history it is (SS58) [default: the only one that has worked here].
	#[arg(long, value_name = "SS58", value_parser = account)]
	pub operator: Option<AccountId32>,
	/// Only the last so many days, today included.
	#[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
	pub days: Option<u32>,
	/// Print JSON.
	#[arg(long)]
	pub json: bool,
}

/// Which models to list.
#[derive(Debug, Args)]
pub struct ModelsArgs {
	/// A model directory in the diffusers format, or a directory with several of them.
	#[arg(long, env = "CUCKOO_MODELS", value_name = "DIR")]
	pub models: PathBuf,
	/// What to load them on: auto, cpu, or cuda:N in a build for CUDA.
	#[arg(long, env = "CUCKOO_DEVICE", value_name = "DEVICE", default_value = "auto")]
	pub device: DeviceChoice,
}

/// What to render.
#[derive(Debug, Args)]
pub struct RenderArgs {
	/// Where the models are.
	#[command(flatten)]
	pub models: ModelsArgs,
	/// Name of the model [default: the first one].
	#[arg(long, value_name = "NAME")]
	pub model: Option<String>,
	/// LoRA file to merge into the model, and its scale [default: 1] (repeatable).
	#[arg(long = "lora", value_name = "FILE[:SCALE]", value_parser = lora)]
	pub loras: Vec<Lora>,
	/// What the picture shows.
	#[arg(long, value_name = "TEXT")]
	pub prompt: String,
	/// What the picture should not show.
	#[arg(long, value_name = "TEXT", default_value = "")]
	pub negative_prompt: String,
	/// PNG file to write.
	#[arg(long, value_name = "FILE")]
	pub out: PathBuf,
	/// PNG file to start from; the picture has its size.
	#[arg(long, value_name = "FILE", conflicts_with_all = ["width", "height"])]
	pub from: Option<PathBuf>,
	/// How much of the picture to start from may change, 0 to 1: the share of the steps that is done.
	#[arg(long, value_name = "SHARE", default_value_t = 0.75, requires = "from")]
	pub strength: f64,
	/// Width in pixels, a multiple of 8 [default: the model's].
	#[arg(long, value_name = "PIXELS")]
	pub width: Option<u32>,
	/// Height in pixels, a multiple of 8 [default: the model's].
	#[arg(long, value_name = "PIXELS")]
	pub height: Option<u32>,
	/// Denoising steps.
	#[arg(long, value_name = "N", default_value_t = 20)]
	pub steps: u32,
	/// Guidance scale; 1 or less turns guidance off.
	#[arg(long, value_name = "SCALE", default_value_t = 7.5)]
	pub guidance_scale: f32,
	/// Seed of the noise.
	#[arg(long, value_name = "N", default_value_t = 0)]
	pub seed: u64,
	/// Sampler: Euler, Euler a, DDIM, DPM++ 2M, DPM++ 2M Karras, UniPC, LCM or Heun.
	#[arg(long, value_name = "NAME", default_value = "Euler a")]
	pub sampler: Sampler,
}

/// What to measure.
#[derive(Debug, Args)]
pub struct BenchArgs {
	/// Where the models are.
	#[command(flatten)]
	pub models: ModelsArgs,
	/// Name of the model [default: the first one].
	#[arg(long, value_name = "NAME")]
	pub model: Option<String>,
	/// Pictures to render; one more comes first and is not counted.
	#[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
	pub pictures: u32,
	/// Width and height in pixels, a multiple of 8 [default: the model's].
	#[arg(long, value_name = "PIXELS")]
	pub side: Option<u32>,
	/// Denoising steps of each picture.
	#[arg(long, value_name = "N", default_value_t = 20)]
	pub steps: u32,
	/// Print JSON.
	#[arg(long)]
	pub json: bool,
}

/// A device, or the best one that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
	/// A GPU if this build can use one and there is one, else the CPU.
	Auto,
	/// This one and no other.
	Only(Device),
}

impl DeviceChoice {
	/// The device.
	pub fn device(self) -> Device {
		match self {
			Self::Auto => Device::best(),
			Self::Only(device) => device,
		}
	}
}

impl FromStr for DeviceChoice {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, String> {
		match text {
			"auto" => Ok(Self::Auto),
			_ => text
				.parse()
				.map(Self::Only)
				.map_err(|_| format!("unknown device {text:?}: use auto, cpu or cuda:N")),
		}
	}
}

/// A hash of 32 bytes. (As a type of its own, since clap takes arrays for lists.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

fn hash(text: &str) -> Result<Hash, String> {
	parse_hash(text).map(Hash).map_err(|error| error.to_string())
}

fn gibibytes(text: &str) -> Result<u64, String> {
	let gibibytes: f64 = text.parse().map_err(|_| "a number such as 7.5 is needed".to_owned())?;
	if (0.0..1e6).contains(&gibibytes) {
		Ok((gibibytes * f64::from(1 << 30)) as u64)
	} else {
		Err("it must be from 0 to a million".into())
	}
}

fn account(text: &str) -> Result<AccountId32, String> {
	parse_account(text).map_err(|error| error.to_string())
}

fn lora(text: &str) -> Result<Lora, String> {
	let scaled = |(path, scale): (&str, &str)| Some((path.to_owned(), scale.parse().ok()?));
	let (path, scale) = text.rsplit_once(':').and_then(scaled).unwrap_or((text.to_owned(), 1.0));
	if path.is_empty() {
		return Err("name a file, such as style.safetensors or style.safetensors:0.7".into());
	}
	Ok(Lora { path: path.into(), scale })
}

fn endpoint(text: &str) -> Result<String, String> {
	let text = text.trim();
	match text.split_once("://") {
		Some((scheme, rest))
			if ["ws", "wss"].contains(&&*scheme.to_ascii_lowercase()) && !rest.is_empty() =>
		{
			Ok(text.to_owned())
		},
		_ => Err("an endpoint looks like wss://203.0.113.7:9981 or ws://…".into()),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const STASH: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

	fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
		Cli::try_parse_from(std::iter::once("cuckoo-miner").chain(line.iter().copied()))
	}

	fn refusal(line: &[&str]) -> String {
		parse(line).expect_err("must be refused").to_string()
	}

	#[test]
	fn the_definition_is_sound() {
		<Cli as clap::CommandFactory>::command().debug_assert();
	}

	#[test]
	fn mining_needs_a_key_and_models_and_has_defaults_for_the_rest() {
		let cli = parse(&["--key", "k", "--models", "m"]).unwrap();
		assert!(cli.command.is_none());
		assert_eq!(cli.mine.chain, LOCAL_NODE);
		assert_eq!((cli.mine.slots(1), cli.mine.slots(4), cli.mine.slots(99)), (1, 4, MAX_SLOTS));
		assert_eq!(cli.mine.devices, [DeviceChoice::Auto]);
		assert_eq!((cli.mine.model_memory, cli.mine.metrics_listen), (None, None));
		assert_eq!(cli.mine.genesis, None);
		let selection = cli.mine.selection();
		assert_eq!(selection.count, 3);
		assert!(selection.only.is_empty() && selection.blocked.is_empty());
		assert!(refusal(&["--key", "k"]).contains("--models"));
		assert!(refusal(&["--models", "m"]).contains("--key"));
	}

	#[test]
	fn everything_can_be_chosen() {
		let genesis = format!("0x{}", "ab".repeat(32));
		let line = format!(
			"--key k --models m --chain ws://n:1 --coordinator ws://a:1 --coordinator ws://b:2 \
			--block {STASH} --slots 4 --devices cuda:1,cpu,cuda:1 --genesis {genesis} \
			--model-memory 1.5 --metrics-listen 127.0.0.1:9616 --data d --password-file p"
		);
		let cli = parse(&line.split(' ').collect::<Vec<_>>()).unwrap();
		assert_eq!(cli.mine.genesis, Some(Hash([0xab; 32])));
		assert_eq!(cli.mine.devices(), [Device::Cuda(1), Device::Cpu]);
		assert_eq!(cli.mine.slots(2), 4);
		assert_eq!(cli.mine.model_memory, Some(3 << 29));
		assert_eq!(cli.mine.data.dir().unwrap(), PathBuf::from("d"));
		let selection = cli.mine.selection();
		assert_eq!(selection.count, 2, "all that are named");
		assert_eq!(selection.only, ["ws://a:1", "ws://b:2"]);
		assert!(selection.blocked.contains(&STASH.parse().unwrap()));
	}

	#[test]
	fn wrong_values_are_named() {
		let with = |option, value| refusal(&["--key", "k", "--models", "m", option, value]);
		assert!(with("--coordinators", "0").contains("1..=32"));
		assert!(with("--slots", "65").contains("1..=64"));
		assert!(with("--devices", "gpu").contains("use auto, cpu or cuda:N"));
		assert!(with("--model-memory", "2e6").contains("a million"));
		assert!(with("--genesis", "0x12").contains("64 hexadecimal digits"));
		assert!(with("--block", "Alice").contains("SS58"));
		assert!(with("--coordinator", "http://a:1").contains("ws://"));
	}

	#[test]
	fn loras_have_a_scale_after_the_file() {
		let parsed =
			|text| lora(text).map(|lora| (lora.path.to_str().unwrap().to_owned(), lora.scale));
		assert_eq!(parsed("a.safetensors"), Ok(("a.safetensors".into(), 1.0)));
		assert_eq!(parsed("a.safetensors:0.7"), Ok(("a.safetensors".into(), 0.7)));
		assert_eq!(parsed("C:/a:b:-1"), Ok(("C:/a:b".into(), -1.0)));
		assert_eq!(parsed("a:b"), Ok(("a:b".into(), 1.0)));
		assert!(parsed("").is_err() && parsed(":2").is_err());
	}

	#[test]
	fn commands_stand_alone() {
		assert!(parse(&["key", "new", "--out", "k"]).unwrap().command.is_some());
		assert!(parse(&["models", "--models", "m"]).unwrap().command.is_some());
		let render = ["render", "--models", "m", "--prompt", "x", "--out", "o"];
		assert!(parse(&render).unwrap().command.is_some());
		let with = |more: &[&'static str]| parse(&[&render[..], more].concat());
		assert!(with(&["--from", "i", "--strength", "0.6"]).is_ok());
		assert!(with(&["--strength", "0.6"]).is_err(), "of nothing");
		assert!(with(&["--from", "i", "--width", "64"]).is_err(), "it is not resized");
		assert!(refusal(&["--key", "k", "models", "--models", "m"]).contains("cannot be used"));
	}
}
