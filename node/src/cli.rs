//! The command line of the node.

use sc_cli::{
	ChainInfoCmd, CheckBlockCmd, ExportBlocksCmd, ExportChainSpecCmd, ExportStateCmd,
	ImportBlocksCmd, KeySubcommand, PurgeChainCmd, RevertCmd, RunCmd,
};

use crate::keys::SessionKeysCmd;

/// Without a subcommand, the node runs.
#[derive(Debug, clap::Parser)]
pub struct Cli {
	/// What to do instead of running the node.
	#[command(subcommand)]
	pub subcommand: Option<Subcommand>,

	/// How to run the node.
	#[clap(flatten)]
	pub run: RunCmd,
}

/// What the node can do besides running.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
	/// Make, inspect and store keys.
	#[command(subcommand)]
	Key(KeyCmd),

	/// Write the specification of a chain, for others to join it with `--chain FILE`.
	ExportChainSpec(ExportChainSpecCmd),

	/// Print the best and the finalized block of the database as JSON.
	ChainInfo(ChainInfoCmd),

	/// Delete the database of a chain.
	PurgeChain(PurgeChainCmd),

	/// Execute a block of the database again.
	CheckBlock(CheckBlockCmd),

	/// Write blocks to a file.
	ExportBlocks(ExportBlocksCmd),

	/// Read blocks from a file.
	ImportBlocks(ImportBlocksCmd),

	/// Write the state at a block as the genesis of a chain specification.
	ExportState(ExportStateCmd),

	/// Undo the last blocks that are not final.
	Revert(RevertCmd),
}

/// What can be done with keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCmd {
	/// Make new session keys for a validator and print the `staking.setKeys` that announces them.
	Session(SessionKeysCmd),

	/// What every Substrate node can do with keys.
	#[command(flatten)]
	Common(KeySubcommand),
}
