//! The command line, and the line with which it fails.

use clap::CommandFactory;
use cuckoo_node::{cli::Cli, command::describe};
use sc_cli::Error;

#[test]
fn the_command_line_is_consistent() {
	Cli::command().debug_assert();
}

#[test]
fn errors_are_one_line() {
	let error = Error::NetworkKeyNotFound("some/key".into());
	let text = describe(&error);
	assert_eq!(text.lines().count(), 1, "{text}");
	assert_eq!(text.matches("some/key").count(), 2, "{text}");
	assert_eq!(describe(&Error::Input("one\n  two".into())), "one two");
}
