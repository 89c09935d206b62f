//! The command line.

use crate::discovery::Selection;
use clap::{Args, Parser, Subcommand};
use cuckoo_chain_client::{
	key_command::{KeyCommand, LOCAL_NODE},
	parse_account, parse_hash, AccountId32,
};
use cuckoo_coordinator_api::miner::MAX_SLOTS;
use cuckoo_diffusion::{Device, Lora, Sampler};
use std::{path::PathBuf, str::FromStr};

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
}

/// How to mine.
#[derive(Debug, Args)]
pub struct MineArgs {
	/// WebSocket address of a node of the chain.
	#[arg(long, env = "CUCKOO_CHAIN", value_name = "URL", default_value = LOCAL_NODE)]
	pub chain: String,
	/// File with the operator's secret; `cuckoo-miner key generate` makes one.
	#[arg(long, env = "CUCKOO_KEY", value_name = "FILE", required = true)]
	pub key: Option<PathBuf>,
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
	/// How many tasks to hold at once; the device renders one after the other.
	#[arg(
		long,
		env = "CUCKOO_SLOTS",
		value_name = "N",
		default_value_t = 1,
		value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS))
	)]
	pub slots: u32,
	/// What to render on: auto, cpu, or cuda:N in a build for CUDA.
	#[arg(long, env = "CUCKOO_DEVICE", value_name = "DEVICE", default_value = "auto")]
	pub device: DeviceChoice,
	/// Refuse a node whose chain has another genesis hash than this one.
	#[arg(long, env = "CUCKOO_GENESIS", value_name = "0x…", value_parser = hash)]
	pub genesis: Option<Hash>,
}

impl MineArgs {
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
		assert_eq!(cli.mine.slots, 1);
		assert_eq!(cli.mine.device, DeviceChoice::Auto);
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
			--block {STASH} --slots 4 --device cuda:1 --genesis {genesis}"
		);
		let cli = parse(&line.split(' ').collect::<Vec<_>>()).unwrap();
		assert_eq!(cli.mine.genesis, Some(Hash([0xab; 32])));
		assert_eq!(cli.mine.device, DeviceChoice::Only(Device::Cuda(1)));
		assert_eq!(cli.mine.slots, 4);
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
		assert!(with("--device", "gpu").contains("use auto, cpu or cuda:N"));
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
		assert!(parse(&["key", "generate", "--out", "k"]).unwrap().command.is_some());
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
