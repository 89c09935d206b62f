//! The Cuckoo miner: renders pictures for coordinators and is paid by the chain.
//!
//! - [`startup`]: what must hold before it starts;
//! - [`discovery`]: which coordinators to work for, drawn by stake;
//! - [`fleet`]: the links to them, as the registry changes; [`link`]: one of them; [`connection`]: one
//!   session over it, [`tls`]: encrypted;
//! - [`tasks`]: one task from the assignment to the end; [`worker`]: the thread that renders;
//! - [`shutdown`], [`report`], [`backoff`], [`text`]: what the others need;
//! - [`cli`], [`models`], [`bench`], [`doctor`]: the command line and its commands.

mod backoff;
mod bench;
mod cli;
mod connection;
mod context;
mod discovery;
mod doctor;
mod fleet;
mod link;
mod models;
mod report;
mod shutdown;
mod startup;
mod tasks;
mod text;
mod tls;
mod worker;

#[cfg(test)]
mod fake_coordinator;

use clap::Parser as _;
use cli::{Cli, Command, MineArgs};
use cuckoo_chain_client::{key_command, Role};
use std::{io::IsTerminal as _, process::ExitCode};
use tracing_subscriber::EnvFilter;

/// What is logged unless RUST_LOG says otherwise.
const LOG_FILTER: &str = "warn,cuckoo_miner=info,cuckoo_diffusion=info,cuckoo_chain_client=info";

/// What the coordinator and the chain say to a miner, as far as it is looked at without a connection: for
/// tests with random input.
pub mod heard {
	pub use crate::connection::{upload_base, Trouble};
	pub use crate::discovery::{draw, Coordinator, Selection};
	pub use crate::tasks::job;
	pub use crate::text::printable;
}

/// The program.
pub async fn run() -> ExitCode {
	let cli = Cli::parse();
	start_log();
	let result = match cli.command {
		None => mine(&cli.mine).await,
		Some(Command::Key(command)) => {
			key_command::run(command, Role::Miner, &mut std::io::stdout()).await.map_err(Into::into)
		},
		Some(Command::Models(args)) => models::list(&args),
		Some(Command::Render(args)) => models::render(&args),
		Some(Command::Bench(args)) => bench::run(&args),
		Some(Command::Doctor(args)) => doctor::run(&args).await,
	};
	match result {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			let error = format!("{error:#}");
			eprintln!("error: {}", error.split_whitespace().collect::<Vec<_>>().join(" "));
			ExitCode::FAILURE
		},
	}
}

async fn mine(args: &MineArgs) -> anyhow::Result<()> {
	let startup::Ready { context, registry } = startup::prepare(args).await?;
	let phase = shutdown::watch_signals()?;
	fleet::Fleet::new(context, args.selection()).run(registry, phase).await
}

fn start_log() {
	let filter = EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| LOG_FILTER.into());
	tracing_subscriber::fmt()
		.with_env_filter(filter)
		.with_target(false)
		.with_ansi(std::io::stderr().is_terminal())
		.with_writer(std::io::stderr)
		.init();
}
