//! Writes the metadata of the runtime, from which the chain client is generated, to a file:
//! `scripts/metadata` calls it.

use std::{env, fs, process::ExitCode};

/// The version that is written: the one whose digest offline wallets compute (Polkadot RFC 78).
const METADATA_VERSION: u32 = 15;

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
