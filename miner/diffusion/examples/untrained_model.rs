//! Writes the plumbing model: `cargo run --release --example untrained_model -- DIR`.

use cuckoo_diffusion::untrained;
use std::{path::PathBuf, process::ExitCode};

/// Every copy of the plumbing model is to be the same, so that its digest is.
const SEED: u64 = 20_260_901;

fn main() -> ExitCode {
	let mut arguments = std::env::args_os().skip(1);
	let (Some(dir), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
		eprintln!("usage: untrained_model DIR");
		return ExitCode::FAILURE;
	};
	match untrained::write(&dir, SEED) {
		Ok(()) => {
			println!("{}: a model, {}", dir.display(), untrained::NOTICE);
			ExitCode::SUCCESS
		},
		Err(error) => {
			eprintln!("cannot write the model to {}: {error}", dir.display());
			ExitCode::FAILURE
		},
	}
}
