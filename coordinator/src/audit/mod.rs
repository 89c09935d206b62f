//! Whether a coordinator has drawn miners by the law: re-checks its log of draws against the registry as
//! the chain had it, and whether the shares fit.
//!
//! - [`log`]: where a log comes from;
//! - [`check`]: what must hold of it;
//! - `report`: what people read.

pub mod check;
pub mod log;
mod report;
#[cfg(test)]
mod tests;

use anyhow::{bail, ensure, Context};
use check::{Auditor, PastRegistry};
use clap::Args;
use cuckoo_chain_client::{key_command::LOCAL_NODE, AccountId32, ChainClient};
use cuckoo_coordinator_api::task::TaskId;
use log::Log;
use std::collections::hash_map::{Entry, HashMap};
use std::io::Write;
use std::path::PathBuf;

/// Registries that are remembered: the draws of one time were made at few blocks.
const REGISTRIES: usize = 64;

/// Whose draws are checked, and which.
#[derive(Debug, Args)]
pub struct AuditArgs {
	/// WebSocket address of a node that keeps the state of the blocks at which miners were drawn: one
	/// that runs with `--state-pruning archive`, for more than the last few minutes.
	#[arg(long, env = "CUCKOO_CHAIN", value_name = "URL", default_value = LOCAL_NODE)]
	pub chain: String,
	/// Where a coordinator listens for apps (http://…): its log of draws is fetched.
	#[arg(long, value_name = "URL", conflicts_with = "log", required_unless_present = "log")]
	pub coordinator: Option<String>,
	/// File with a log of draws, as `GET /v1/draws` of a coordinator gives it.
	#[arg(long, value_name = "FILE")]
	pub log: Option<PathBuf>,
	/// First sequence number. Default: the first one in the log.
	#[arg(long, value_name = "NUMBER")]
	pub from: Option<u64>,
	/// Last sequence number. Default: the last one in the log.
	#[arg(long, value_name = "NUMBER")]
	pub to: Option<u64>,
	/// Check the draws for this task only, and that they are for what its app asked.
	#[arg(
		long,
		value_name = "TASK",
		value_parser = task_id,
		requires = "coordinator",
		conflicts_with_all = ["from", "to"]
	)]
	pub task: Option<TaskId>,
}

fn task_id(text: &str) -> Result<TaskId, &'static str> {
	TaskId::parse(text).ok_or("the name of a task has 32 hexadecimal digits")
}

/// Checks the draws and prints what was found.
///
/// # Errors
///
/// The log or the chain cannot be read, a record is wrong, or the shares do not fit.
pub async fn run(args: AuditArgs, out: &mut impl Write) -> anyhow::Result<()> {
	let mut log = match (&args.coordinator, &args.log, &args.task) {
		(Some(url), _, Some(task)) => Log::of_task(url, task).await?,
		(Some(url), _, None) => Log::fetch(url, args.from, args.to).await?,
		(None, Some(file), _) => Log::open(file, args.from, args.to).await?,
		(None, None, _) => bail!("name a coordinator (--coordinator) or a log (--log)"),
	};
	let header = log.header().clone();
	ensure!(header.first < header.end, "the log has no draws for the tasks that were asked for");
	let chain = ChainClient::connect(&args.chain).await?;
	chain.ensure_genesis(header.genesis.0).context("these draws were made on another chain")?;
	let mut auditor = Auditor::new(&header).context("the log does not name a coordinator's key")?;
	report::begin(&header, out)?;

	let coordinator = AccountId32(header.coordinator.0);
	let mut registries = HashMap::new();
	while let Some(record) = log.next().await? {
		if registries.len() >= REGISTRIES {
			registries.clear();
		}
		for draw in &record.draws {
			if let Entry::Vacant(unread) = registries.entry(draw.block) {
				let registry = chain.registry_at(draw.block).await;
				let of = || format!("record {}, attempt {}", record.sequence, draw.attempt);
				unread.insert(PastRegistry::of(&registry.with_context(of)?, &coordinator));
			}
		}
		auditor.check(&record, &registries);
		if args.task.is_some() {
			report::draws(&record, &registries, out)?;
		}
	}
	report::end(&auditor.finish(), args.task.is_none(), out)
}
