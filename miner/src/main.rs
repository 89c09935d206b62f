//! `cuckoo-miner`: see the library and `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
	cuckoo_miner::run()
}
