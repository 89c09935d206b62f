//! `cuckoo-coordinator app …`: the keys of apps.

use super::ask;
use crate::accounts::{Accounts, AppOptions, Command, Limits, Reply};
use crate::cli::data_dir;
use crate::service::wall_clock;
use crate::store::{Durability, Entry, RedbStore, Retention, StoreError, TaskStore, TASKS_FILE};
use anyhow::{bail, Context};
use clap::{Args, Subcommand};
use cuckoo_chain_client::{format_cai, parse_cai};
use cuckoo_coordinator_api::{amount::Amount, app::AccountView};
use rand::rngs::OsRng;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Make, list, limit, top up and revoke the keys of apps, whether the coordinator runs or not.
#[derive(Debug, Args)]
pub struct AppArgs {
	/// What to do.
	#[command(subcommand)]
	pub command: AppCommand,
	/// Data directory of the coordinator.
	#[arg(long, env = "CUCKOO_DATA", value_name = "DIR", global = true)]
	pub data: Option<PathBuf>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
	/// Make an app and its key, which is printed now and never again.
	Add {
		/// Name of the app.
		name: String,
		/// Put so many CAI into its account.
		#[arg(long, value_name = "CAI", default_value = "0", value_parser = amount)]
		budget: Amount,
		/// Most requests a second; 0: no limit.
		#[arg(long, value_name = "REQUESTS", default_value_t = 50)]
		rate: u32,
		/// Most tasks under way at once; 0: no limit.
		#[arg(long, value_name = "TASKS", default_value_t = 1000)]
		in_flight: u32,
	},
	/// Show all apps with their accounts and limits.
	List,
	/// Put money into an app's account.
	Deposit {
		/// Name of the app.
		name: String,
		/// How many CAI.
		#[arg(value_name = "CAI", value_parser = amount)]
		amount: Amount,
	},
	/// Take money out of an app's account that is not set aside for tasks.
	Withdraw {
		/// Name of the app.
		name: String,
		/// How many CAI.
		#[arg(value_name = "CAI", value_parser = amount)]
		amount: Amount,
	},
	/// Change an app's limits; what is not given stays.
	Limit {
		/// Name of the app.
		name: String,
		/// Most requests a second; 0: no limit.
		#[arg(long, value_name = "REQUESTS", required_unless_present = "in_flight")]
		rate: Option<u32>,
		/// Most tasks under way at once; 0: no limit.
		#[arg(long, value_name = "TASKS")]
		in_flight: Option<u32>,
	},
	/// Replace the key of an app, which is printed now and never again; the old one is refused at once.
	NewKey {
		/// Name of the app.
		name: String,
	},
	/// Refuse an app's key for good; its tasks under way go on.
	Revoke {
		/// Name of the app.
		name: String,
	},
}

fn amount(text: &str) -> Result<Amount, String> {
	parse_cai(text).map(Amount)
}

impl From<AppCommand> for Command {
	fn from(command: AppCommand) -> Self {
		match command {
			AppCommand::Add { name, budget, rate, in_flight } => {
				let limits = Limits {
					requests_per_second: NonZeroU32::new(rate),
					in_flight: NonZeroU32::new(in_flight),
				};
				Self::Add { name, budget, limits }
			},
			AppCommand::List => Self::List,
			AppCommand::Deposit { name, amount } => Self::Deposit { name, amount },
			AppCommand::Withdraw { name, amount } => Self::Withdraw { name, amount },
			AppCommand::Limit { name, rate, in_flight } => {
				Self::Limit { name, requests_per_second: rate, in_flight }
			},
			AppCommand::NewKey { name } => Self::NewKey { name },
			AppCommand::Revoke { name } => Self::Revoke { name },
		}
	}
}

/// Does what was asked for, and writes the answer to `out`.
///
/// # Errors
///
/// Why it is not done, in one line.
pub async fn run(args: AppArgs, out: &mut impl Write) -> anyhow::Result<()> {
	let dir = data_dir(args.data.as_deref())?;
	let command = Command::from(args.command);
	let asked = ask(&dir, &command).await;
	let asked = asked.with_context(|| {
		format!("the coordinator that runs on {} cannot be asked", dir.display())
	})?;
	let reply = match asked {
		Some(answered) => answered?,
		None => execute_alone(&dir, command)?,
	};
	print(&reply, out)?;
	Ok(())
}

/// Does it in the store itself, while no coordinator has it.
fn execute_alone(dir: &Path, command: Command) -> anyhow::Result<Reply> {
	if !matches!(command, Command::Add { .. }) && !dir.join(TASKS_FILE).exists() {
		bail!(
			"there is no coordinator's store in {}: give its directory with --data",
			dir.display()
		);
	}
	let store = RedbStore::in_directory(dir, Durability::Commit, Retention::default());
	let store = match store {
		Err(StoreError::InUse(path)) => bail!(
			"the coordinator that uses {} takes no commands, as its log says: stop it first",
			path.display()
		),
		store => store?,
	};
	let mut accounts = Accounts::new(AppOptions::default(), store.accounts()?, &[]);
	let (reply, events) = accounts.execute(command, wall_clock(), &mut OsRng)?;
	if !events.is_empty() {
		store.write(&events.into_iter().map(Entry::Account).collect::<Vec<_>>())?;
	}
	Ok(reply)
}

fn print(reply: &Reply, out: &mut impl Write) -> io::Result<()> {
	match reply {
		// Alone on its line, so that a script can take it.
		Reply::Key { secret, .. } => writeln!(out, "{secret}"),
		Reply::Account(account) => print_table(std::slice::from_ref(account), out),
		Reply::Accounts(accounts) => print_table(accounts, out),
	}
}

fn print_table(accounts: &[AccountView], out: &mut impl Write) -> io::Result<()> {
	let head = ["APP", "KEY", "BALANCE", "RESERVED", "SPENT", "RATE", "IN FLIGHT", "DONE"];
	let limit = |most: Option<u32>| most.map_or("-".to_owned(), |most| most.to_string());
	let mut rows = vec![head.map(str::to_owned)];
	rows.extend(accounts.iter().map(|account| {
		let key = if account.revoked { "revoked" } else { &format!("{}…", account.key_prefix) };
		[
			account.name.clone(),
			key.to_owned(),
			format_cai(account.balance.0),
			format_cai(account.reserved.0),
			format_cai(account.spent.0),
			limit(account.requests_per_second),
			format!("{}/{}", account.in_flight, limit(account.max_in_flight)),
			account.tasks_done.to_string(),
		]
	}));
	let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
	let widths: Vec<usize> = (0..head.len()).filter_map(width).collect();
	for row in &rows {
		let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
			// Names to the left, numbers to the right.
			if column < 2 {
				format!("{cell:width$}")
			} else {
				format!("{cell:>width$}")
			}
		});
		writeln!(out, "{}", cells.collect::<Vec<_>>().join("  "))?;
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;

	#[tokio::test]
	async fn keys_are_made_and_changed_while_the_coordinator_is_stopped() {
		let dir = tempfile::tempdir().unwrap();
		let run = |command: AppCommand| {
			let args = AppArgs { command, data: Some(dir.path().join("data")) };
			async {
				let mut out = Vec::new();
				run(args, &mut out).await.map(|()| String::from_utf8(out).unwrap())
			}
		};
		let missing = run(AppCommand::List).await.unwrap_err().to_string();
		assert!(missing.contains("--data"), "{missing}");
		let budget = Amount(1_500_000_000_000_000_000);
		let add = || AppCommand::Add { name: "shop".into(), budget, rate: 0, in_flight: 7 };
		let key = run(add()).await.unwrap();
		assert!(key.starts_with("ck_") && key.lines().count() == 1, "{key}");
		let taken = run(add()).await.unwrap_err().to_string();
		assert!(taken.contains("\"shop\"") && taken.lines().count() == 1, "{taken}");
		let deposit = AppCommand::Deposit { name: "shop".into(), amount: Amount(1) };
		run(deposit).await.unwrap();
		run(AppCommand::Revoke { name: "shop".into() }).await.unwrap();
		let list = run(AppCommand::List).await.unwrap();
		let row: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
		assert_eq!(
			row,
			["shop", "revoked", "1.500000000000000001", "0", "0", "-", "0/7", "0"],
			"{list}"
		);
	}
}
