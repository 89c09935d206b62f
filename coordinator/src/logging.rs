//! The log: on standard error, as text for people or as JSON for programs.

use anyhow::Context;
use std::io::{stderr, IsTerminal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
	/// For people, in colour on a terminal.
	#[default]
	Text,
	/// One JSON object a line; what a line is about is in fields of its own, such as `task`.
	Json,
}

/// Begins to log, as much as RUST_LOG says (default "info").
///
/// # Errors
///
/// If RUST_LOG is not understood.
pub fn init(format: LogFormat) -> anyhow::Result<()> {
	let filter = EnvFilter::builder()
		.with_default_directive(LevelFilter::INFO.into())
		.from_env()
		.context("RUST_LOG is not understood")?;
	let log = tracing_subscriber::fmt()
		.with_env_filter(filter)
		.with_target(false)
		.with_ansi(stderr().is_terminal())
		.with_writer(stderr);
	match format {
		LogFormat::Text => log.init(),
		LogFormat::Json => log.json().flatten_event(true).with_ansi(false).init(),
	}
	Ok(())
}
