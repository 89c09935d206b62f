//! The Cuckoo miner: renders pictures for coordinators and is paid by the chain.
//!
//! - [`startup`]: what must hold before it starts;
//! - [`discovery`]: which coordinators to work for, drawn by stake;
//! - [`fleet`]: the links to them, as the registry changes; [`link`]: one of them; [`connection`]: one
//!   session over it, [`tls`]: encrypted; [`turns`]: who is asked for work next;
//! - [`tasks`]: one task from the assignment to the end;
//! - [`worker`]: a thread for each device that renders; [`queue`]: what waits for them; [`model_cache`]:
//!   the models on one device;
//! - [`report`], [`history`], [`earnings`], [`sensors`]: what it has done and how it is; shown by
//!   [`view`], [`metrics`] and [`history_command`];
//! - [`shutdown`], [`logging`], [`backoff`], [`text`], [`context`]: what the others need;
//! - [`cli`], [`models`], [`bench`], [`doctor`]: the command line and its commands.

mod backoff;
mod bench;
mod cli;
mod connection;
mod context;
mod discovery;
mod doctor;
mod earnings;
mod fleet;
mod history;
mod history_command;
mod link;
mod logging;
mod metrics;
mod model_cache;
mod models;
mod queue;
mod report;
mod sensors;
mod shutdown;
mod startup;
mod tasks;
mod text;
mod tls;
mod turns;
mod view;
mod worker;

#[cfg(test)]
mod fake_coordinator;

use anyhow::Context as _;
use clap::Parser as _;
use cli::{Cli, Command, MineArgs};
use cuckoo_chain_client::{key_command, Role};
use logging::LogLines;
use std::{
	env,
	io::{self, IsTerminal as _},
	process::ExitCode,
	sync::Arc,
};

/// What the coordinator and the chain say to a miner, as far as it is looked at without a connection: for
/// tests with random input.
pub mod heard {
	pub use crate::connection::{upload_base, Trouble};
	pub use crate::discovery::{draw, Coordinator, Selection};
	pub use crate::tasks::job;
	pub use crate::text::printable;
}

/// The program.
pub fn run() -> ExitCode {
	let cli = Cli::parse();
	// GPUs are counted as nvidia-smi counts them, not by their speed. Here is nobody yet who could look.
	if env::var_os("CUDA_DEVICE_ORDER").is_none() {
		env::set_var("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
	}
	let result = tokio::runtime::Runtime::new()
		.context("cannot start")
		.and_then(|runtime| runtime.block_on(carry_out(cli)));
	match result {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			let error = format!("{error:#}");
			eprintln!("error: {}", error.split_whitespace().collect::<Vec<_>>().join(" "));
			ExitCode::FAILURE
		},
	}
}

async fn carry_out(cli: Cli) -> anyhow::Result<()> {
	let Some(command) = cli.command else { return mine(&cli.mine).await };
	logging::start();
	match command {
		Command::Key(command) => {
			Ok(key_command::run(command, Role::Miner, &mut io::stdout()).await?)
		},
		Command::Models(args) => models::list(&args),
		Command::Render(args) => models::render(&args),
		Command::Bench(args) => bench::run(&args),
		Command::Doctor(args) => Box::pin(doctor::run(&args)).await,
		Command::History(args) => history_command::run(&args),
	}
}

async fn mine(args: &MineArgs) -> anyhow::Result<()> {
	let log = if !args.plain && io::stdout().is_terminal() && io::stderr().is_terminal() {
		Some(logging::start_for_view())
	} else {
		logging::start();
		None
	};
	let startup::Ready { context, client, registry } = startup::prepare(args).await?;
	let shutdown = shutdown::Shutdown::watch_signals()?;
	if let Some(address) = args.metrics_listen {
		metrics::serve(address, Arc::clone(&context)).await?;
	}
	tokio::spawn(earnings::follow(Arc::clone(&context), client, registry.clone()));
	let fleet = fleet::Fleet::new(Arc::clone(&context), args.selection());
	let Some(log) = log else { return fleet.run(registry, shutdown.phase()).await };
	watched(&log, context, &shutdown, fleet.run(registry, shutdown.phase())).await
}

/// Mines while the live view shows it, and shows the end of the log afterwards.
async fn watched(
	log: &LogLines,
	context: Arc<context::Context>,
	shutdown: &shutdown::Shutdown,
	mining: impl std::future::Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
	/// Lines of the log that stay on the terminal.
	const LEFT: usize = 5;
	log.keep_quiet(true);
	let view = view::View::start(context, shutdown.clone(), log.clone())?;
	let result = mining.await;
	drop(view);
	log.keep_quiet(false);
	let lines = log.last();
	for line in &lines[lines.len().saturating_sub(LEFT)..] {
		eprintln!("{line}");
	}
	result
}
