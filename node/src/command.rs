//! Carries out what the command line asks for.

use sc_cli::{Error, Result, SubstrateCli};
use sc_service::{Error as ServiceError, PartialComponents};

use crate::{
	chain_spec,
	cli::{Cli, KeyCmd, Subcommand},
	service::{self, Block},
};

impl SubstrateCli for Cli {
	fn impl_name() -> String {
		"Cuckoo Node".into()
	}

	fn impl_version() -> String {
		env!("SUBSTRATE_CLI_IMPL_VERSION").into()
	}

	fn description() -> String {
		"A node of the Cuckoo chain, the market for GPU inference".into()
	}

	fn author() -> String {
		"the Cuckoo contributors".into()
	}

	fn support_url() -> String {
		"the project's issue tracker".into()
	}

	fn copyright_start_year() -> i32 {
		2026
	}

	fn load_spec(&self, id: &str) -> std::result::Result<Box<dyn sc_service::ChainSpec>, String> {
		Ok(Box::new(chain_spec::load(id)?))
	}
}

/// Reads the command line and does what it says; returns when that is done, or the node has been
/// told to stop.
pub fn run() -> Result<()> {
	let cli = Cli::from_args();
	match &cli.subcommand {
		None => {
			let runner = cli.create_runner(&cli.run)?;
			runner.run_node_until_exit(|config| async move {
				service::start(config).map_err(Error::Service)
			})
		},
		Some(Subcommand::Key(KeyCmd::Session(cmd))) => cmd.run(&cli),
		Some(Subcommand::Key(KeyCmd::Common(cmd))) => cmd.run(&cli),
		Some(Subcommand::ExportChainSpec(cmd)) => cmd.run(cli.load_spec(&cmd.chain)?),
		Some(Subcommand::ChainInfo(cmd)) => {
			cli.create_runner(cmd)?.sync_run(|config| cmd.run::<Block>(&config))
		},
		Some(Subcommand::PurgeChain(cmd)) => {
			cli.create_runner(cmd)?.sync_run(|config| cmd.run(config.database))
		},
		Some(Subcommand::CheckBlock(cmd)) => cli.create_runner(cmd)?.async_run(|config| {
			let PartialComponents { client, task_manager, import_queue, .. } =
				service::new_partial(&config)?;
			Ok((cmd.run(client, import_queue), task_manager))
		}),
		Some(Subcommand::ExportBlocks(cmd)) => cli.create_runner(cmd)?.async_run(|config| {
			let PartialComponents { client, task_manager, .. } = service::new_partial(&config)?;
			Ok((cmd.run(client, config.database), task_manager))
		}),
		Some(Subcommand::ImportBlocks(cmd)) => cli.create_runner(cmd)?.async_run(|config| {
			let PartialComponents { client, task_manager, import_queue, .. } =
				service::new_partial(&config)?;
			Ok((cmd.run(client, import_queue), task_manager))
		}),
		Some(Subcommand::ExportState(cmd)) => cli.create_runner(cmd)?.async_run(|config| {
			let PartialComponents { client, task_manager, .. } = service::new_partial(&config)?;
			Ok((cmd.run(client, config.chain_spec), task_manager))
		}),
		Some(Subcommand::Revert(cmd)) => cli.create_runner(cmd)?.async_run(|config| {
			let PartialComponents { client, task_manager, backend, .. } =
				service::new_partial(&config)?;
			// Consensus keeps records beside the blocks, which have to go with them.
			let revert_consensus = Box::new(|client: std::sync::Arc<_>, backend, blocks| {
				sc_consensus_babe::revert(std::sync::Arc::clone(&client), backend, blocks)?;
				sc_consensus_grandpa::revert(client, blocks)?;
				Ok(())
			});
			Ok((cmd.run(client, backend, Some(revert_consensus)), task_manager))
		}),
	}
}

/// An error in one line.
pub fn describe(error: &Error) -> String {
	match error {
		Error::NetworkKeyNotFound(path) => format!(
			"a validator needs a network key, and there is none at {}: make one with `{} key \
			 generate-node-key --file {0}`, or let a test node make one with \
			 `--unsafe-force-node-key-generation`",
			path.display(),
			Cli::executable_name(),
		),
		// What went wrong is said inside; the library would name its own kind of error before it.
		Error::Input(message) | Error::Service(ServiceError::Other(message)) => one_line(message),
		Error::Service(ServiceError::Application(error)) | Error::Application(error) => {
			one_line(&error.to_string())
		},
		other => one_line(&other.to_string()),
	}
}

fn one_line(text: &str) -> String {
	text.split_whitespace().collect::<Vec<_>>().join(" ")
}
