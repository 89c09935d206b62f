//! The command line.

use crate::accounts::AppOptionsArgs;
use crate::admin::AppArgs;
use crate::audit::AuditArgs;
use crate::connections::ConnectionLimits;
use crate::logging::LogFormat;
use crate::scheduler::SchedulerOptions;
use crate::store::{Durability, Retention};
use crate::tls::Certificate;
use crate::webhooks::WebhookOptions;
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use cuckoo_chain_client::{
	key_command::{KeyCommand, LOCAL_NODE},
	keys::Password,
	parse_hash,
};
use directories::BaseDirs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Takes picture tasks from apps and shares them out, by stake, among the miners that are registered
/// on the chain.
///
/// The key must be that of the operator of a registered, active coordinator. Every option may be given by
/// a flag, by its environment variable, or in a file (--config); the first of these that has it decides.
/// How much is logged is set by RUST_LOG (default "info").
#[derive(Debug, Parser)]
#[command(name = "cuckoo-coordinator", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
	/// What to do instead of running the coordinator.
	#[command(subcommand)]
	pub command: Option<Command>,
	/// How to run it.
	#[command(flatten)]
	pub run: RunArgs,
}

/// What can be done besides running the coordinator.
#[derive(Debug, Subcommand)]
pub enum Command {
	/// Make, show and prove operator keys.
	#[command(subcommand)]
	Key(KeyCommand),
	/// Make, list, limit, top up and revoke the keys of apps.
	App(AppArgs),
	/// Check how a coordinator has drawn miners, against the registry on the chain.
	Audit(AuditArgs),
	/// Make a TLS certificate that vouches for itself, and show the fingerprint by which miners will
	/// know it.
	Certificate(CertificateArgs),
	/// Print the options as they would be in effect, and where each comes from, in the form of a file for
	/// --config.
	Config(Box<RunArgs>),
}

/// A certificate to be made.
#[derive(Debug, Args)]
pub struct CertificateArgs {
	/// Host name or address at which it will be served; one or more times.
	#[arg(long = "host", value_name = "NAME", required = true)]
	pub hosts: Vec<String>,
	/// New file for the certificate.
	#[arg(long, value_name = "FILE", default_value = "tls.crt")]
	pub out_cert: PathBuf,
	/// New file for its private key, which only you can read.
	#[arg(long, value_name = "FILE", default_value = "tls.key")]
	pub out_key: PathBuf,
}

/// How to run the coordinator.
#[derive(Debug, Args)]
pub struct RunArgs {
	/// Take options from this TOML file: its keys are the long names of the options.
	#[arg(long, env = "CUCKOO_CONFIG", value_name = "FILE")]
	pub config: Option<PathBuf>,
	/// WebSocket address of a node.
	#[arg(long, env = "CUCKOO_CHAIN", value_name = "URL", default_value = LOCAL_NODE)]
	pub chain: String,
	/// File with the secret of the operator account.
	#[arg(long, env = "CUCKOO_KEY", value_name = "FILE")]
	pub key: Option<PathBuf>,
	/// Its password.
	#[command(flatten)]
	pub password: Password,
	/// Address on which apps are served; port 0 takes a free one.
	#[arg(
		long,
		env = "CUCKOO_APP_LISTEN",
		value_name = "ADDRESS",
		default_value = "127.0.0.1:9980"
	)]
	pub app_listen: SocketAddr,
	/// Address on which miners are served; port 0 takes a free one.
	#[arg(
		long,
		env = "CUCKOO_MINER_LISTEN",
		value_name = "ADDRESS",
		default_value = "127.0.0.1:9981"
	)]
	pub miner_listen: SocketAddr,
	/// Encrypt the connections of apps with the certificate in this file (PEM).
	#[arg(long, env = "CUCKOO_APP_TLS_CERT", value_name = "FILE", requires = "app_tls_key")]
	pub app_tls_cert: Option<PathBuf>,
	/// Private key of that certificate (PEM).
	#[arg(long, env = "CUCKOO_APP_TLS_KEY", value_name = "FILE", requires = "app_tls_cert")]
	pub app_tls_key: Option<PathBuf>,
	/// Encrypt the connections of miners with the certificate in this file (PEM).
	#[arg(long, env = "CUCKOO_MINER_TLS_CERT", value_name = "FILE", requires = "miner_tls_key")]
	pub miner_tls_cert: Option<PathBuf>,
	/// Private key of that certificate (PEM).
	#[arg(long, env = "CUCKOO_MINER_TLS_KEY", value_name = "FILE", requires = "miner_tls_cert")]
	pub miner_tls_key: Option<PathBuf>,
	/// Address on which metrics for Prometheus are served, at /metrics; without it there are none. They
	/// tell all about the coordinator's business: keep others out.
	#[arg(long, env = "CUCKOO_METRICS_LISTEN", value_name = "ADDRESS")]
	pub metrics_listen: Option<SocketAddr>,
	/// Start only if the chain has this genesis hash (0x…).
	#[arg(long, env = "CUCKOO_GENESIS", value_name = "HASH", value_parser = parse_hash)]
	pub genesis: Option<[u8; 32]>,
	/// A miner that gives no sign of life for so many seconds loses its task; one that was seen to take
	/// longer for such work has longer, up to ten minutes.
	#[arg(
		long,
		env = "CUCKOO_LEASE",
		value_name = "SECONDS",
		default_value_t = 30,
		value_parser = clap::value_parser!(u64).range(10..=600)
	)]
	pub lease: u64,
	/// A task that has not ended after so many seconds expires.
	#[arg(
		long,
		env = "CUCKOO_DEADLINE",
		value_name = "SECONDS",
		default_value_t = 600,
		value_parser = clap::value_parser!(u64).range(10..=86_400)
	)]
	pub deadline: u64,
	/// Most tasks that wait for a miner; offers beyond are refused.
	#[arg(
		long,
		env = "CUCKOO_QUEUE",
		value_name = "TASKS",
		default_value_t = 10_000,
		value_parser = clap::value_parser!(u32).range(1..=1_000_000)
	)]
	pub queue: u32,
	/// Directory in which tasks and pictures are kept; made if it is missing. Default: the directory
	/// cuckoo-coordinator where this system keeps the data of programs, such as ~/.local/share.
	#[arg(long, env = "CUCKOO_DATA", value_name = "DIR")]
	pub data: Option<PathBuf>,
	/// When an answer goes out: when what it promises is on the disk, or at once, so that a crash may
	/// lose the last second.
	#[arg(long, env = "CUCKOO_DURABILITY", value_enum, default_value_t = Durability::Commit)]
	pub durability: Durability,
	/// Keep the pictures there instead of in the data directory: file:///DIR or s3://BUCKET/PREFIX.
	#[arg(long, env = "CUCKOO_PICTURES", value_name = "URL")]
	pub pictures: Option<String>,
	/// Ended tasks and their pictures are kept for so many hours.
	#[arg(
		long,
		env = "CUCKOO_KEEP_HOURS",
		value_name = "HOURS",
		default_value_t = 24,
		value_parser = clap::value_parser!(u64).range(1..=87_600)
	)]
	pub keep_hours: u64,
	/// Ended tasks and their pictures take about so many bytes at most; the oldest go first.
	#[arg(
		long,
		env = "CUCKOO_KEEP_BYTES",
		value_name = "BYTES",
		default_value_t = 10 << 30,
		value_parser = clap::value_parser!(u64).range(1 << 20..)
	)]
	pub keep_bytes: u64,
	/// How miners were drawn is kept for at least so many of the last tasks, for audits.
	#[arg(
		long,
		env = "CUCKOO_KEEP_DRAWS",
		value_name = "TASKS",
		default_value_t = 1_000_000,
		value_parser = clap::value_parser!(u64).range(1..)
	)]
	pub keep_draws: u64,
	/// Webhooks may be at private and loopback addresses, and without TLS: for tests and development.
	#[arg(long, env = "CUCKOO_WEBHOOK_ALLOW_PRIVATE")]
	pub webhook_allow_private: bool,
	/// Most connections at once, of apps and of miners each.
	#[arg(
		long,
		env = "CUCKOO_MAX_CONNECTIONS",
		value_name = "CONNECTIONS",
		default_value_t = 1024,
		value_parser = clap::value_parser!(u32).range(1..=65_536)
	)]
	pub max_connections: u32,
	/// Most connections at once from one address, of apps and of miners each.
	#[arg(
		long,
		env = "CUCKOO_MAX_CONNECTIONS_PER_ADDRESS",
		value_name = "CONNECTIONS",
		default_value_t = 256,
		value_parser = clap::value_parser!(u32).range(1..=65_536)
	)]
	pub max_connections_per_address: u32,
	/// Miners may finish what they are at work on for so many seconds when the coordinator goes down.
	#[arg(
		long,
		env = "CUCKOO_DRAIN",
		value_name = "SECONDS",
		default_value_t = 10,
		value_parser = clap::value_parser!(u64).range(0..=3600)
	)]
	pub drain: u64,
	/// How log lines look: as text for people, or as JSON for programs.
	#[arg(long, env = "CUCKOO_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
	pub log_format: LogFormat,
	/// What apps may do.
	#[command(flatten)]
	pub apps: AppOptionsArgs,
}

impl RunArgs {
	/// The limits by which tasks are scheduled.
	pub fn scheduler_options(&self) -> SchedulerOptions {
		SchedulerOptions {
			lease_ms: self.lease * 1000,
			deadline_ms: self.deadline * 1000,
			max_queued: self.queue as usize,
			..SchedulerOptions::default()
		}
	}

	/// The certificate with which apps are served, if any.
	///
	/// # Errors
	///
	/// If it cannot be read.
	pub fn app_certificate(&self) -> anyhow::Result<Option<Certificate>> {
		certificate(self.app_tls_cert.as_deref(), self.app_tls_key.as_deref())
	}

	/// The certificate with which miners are served, if any.
	///
	/// # Errors
	///
	/// If it cannot be read.
	pub fn miner_certificate(&self) -> anyhow::Result<Option<Certificate>> {
		certificate(self.miner_tls_cert.as_deref(), self.miner_tls_key.as_deref())
	}

	/// How messages to apps are sent.
	pub fn webhook_options(&self) -> WebhookOptions {
		WebhookOptions { allow_private: self.webhook_allow_private, ..WebhookOptions::default() }
	}

	/// How many connections there may be, to each listener.
	pub fn connection_limits(&self) -> ConnectionLimits {
		ConnectionLimits {
			per_address: self.max_connections_per_address as usize,
			..(self.max_connections as usize).into()
		}
	}

	/// How much is kept of tasks that have ended.
	pub fn retention(&self) -> Retention {
		Retention {
			age_ms: self.keep_hours * 3_600_000,
			bytes: self.keep_bytes,
			draws: self.keep_draws,
		}
	}
}

fn certificate(file: Option<&Path>, key: Option<&Path>) -> anyhow::Result<Option<Certificate>> {
	// The command line has both or neither.
	file.zip(key).map(|(file, key)| Certificate::load(file, key)).transpose()
}

/// Where tasks, accounts and pictures are kept if `--data` says this.
///
/// # Errors
///
/// If it says nothing and this user has no directory for data.
pub fn data_dir(given: Option<&Path>) -> anyhow::Result<PathBuf> {
	if let Some(dir) = given {
		return Ok(dir.to_owned());
	}
	let dirs = BaseDirs::new().context("this user has no home directory: give --data DIR")?;
	Ok(dirs.data_dir().join("cuckoo-coordinator"))
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::CommandFactory;

	#[test]
	fn the_command_line_is_consistent() {
		Cli::command().debug_assert();
	}

	#[test]
	fn the_defaults_are_those_of_the_scheduler_and_the_store() {
		let cli = Cli::try_parse_from(["cuckoo-coordinator", "--key", "k"]).unwrap();
		let (options, standard) = (cli.run.scheduler_options(), SchedulerOptions::default());
		assert_eq!(options.lease_ms, standard.lease_ms);
		assert_eq!(options.deadline_ms, standard.deadline_ms);
		assert_eq!(options.max_queued, standard.max_queued);
		assert_eq!(cli.run.retention().age_ms, Retention::default().age_ms);
		assert_eq!(cli.run.retention().bytes, Retention::default().bytes);
		assert_eq!(cli.run.retention().draws, Retention::default().draws);
	}

	#[test]
	fn bad_values_are_refused_and_named() {
		for (option, value) in [
			("--genesis", "0x12"),
			("--app-listen", "localhost"),
			("--lease", "1"),
			("--queue", "0"),
			("--durability", "sometimes"),
			("--keep-hours", "0"),
			("--keep-bytes", "1000"),
			("--access", "perhaps"),
			("--price", "much"),
			("--coefficient", "sd"),
			("--max-connections-per-address", "0"),
		] {
			let error = Cli::try_parse_from(["cuckoo-coordinator", option, value]).unwrap_err();
			assert!(error.to_string().contains(option), "{error}");
		}
	}
}
