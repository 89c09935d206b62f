//! `cuckoo-miner`: see the library and `--help`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
	cuckoo_miner::run().await
}
