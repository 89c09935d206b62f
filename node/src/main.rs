//! The program `cuckoo-node`; all of it is in the library.

use cuckoo_node::command;
use std::process::ExitCode;

fn main() -> ExitCode {
	match command::run() {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			eprintln!("Error: {}", command::describe(&error));
			ExitCode::FAILURE
		},
	}
}
