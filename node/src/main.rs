//! The Cuckoo node: keeps the chain, makes and finalizes blocks, and answers over JSON-RPC.

// The errors of the library are large; they end the program, so their size costs nothing.
#![allow(clippy::result_large_err)]

mod chain_spec;
mod cli;
mod command;
mod keys;
mod ports;
mod rpc;
mod service;

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
