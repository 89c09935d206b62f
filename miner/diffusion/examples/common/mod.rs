//! What the examples share.

use std::{error::Error, process::ExitCode};

/// Calls `run` with the arguments of the program; an error is shown in one line.
pub fn with_arguments(run: impl FnOnce(&[String]) -> Result<(), Box<dyn Error>>) -> ExitCode {
	let arguments: Vec<_> = std::env::args().skip(1).collect();
	match run(&arguments) {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			eprintln!("{error}");
			ExitCode::FAILURE
		},
	}
}
