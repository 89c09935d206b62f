//! Writes the metadata of the runtime, as the chain client is generated from, to a file:
//! `cargo run -p cuckoo-runtime --example metadata -- runtime/client/metadata.scale`

use std::{env, fs, process::ExitCode};

/// The version that is written: the newest that subxt reads.
const METADATA_VERSION: u32 = 16;

fn main() -> ExitCode {
	let Some(path) = env::args_os().nth(1) else {
		eprintln!("Name the file to write.");
		return ExitCode::FAILURE;
	};
	// Some constants are read from storage, here an empty one: they show the live network's values.
	let metadata = sp_io::TestExternalities::default()
		.execute_with(|| cuckoo_runtime::Runtime::metadata_at_version(METADATA_VERSION));
	let Some(metadata) = metadata else {
		eprintln!("The runtime has no metadata of version {METADATA_VERSION}.");
		return ExitCode::FAILURE;
	};
	if let Err(error) = fs::write(&path, &*metadata) {
		eprintln!("Cannot write {}: {error}", path.to_string_lossy());
		return ExitCode::FAILURE;
	}
	ExitCode::SUCCESS
}
