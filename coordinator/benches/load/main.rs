//! What a coordinator carries, beside what people use instead.
//!
//! ```sh
//! cargo bench -p cuckoo-coordinator --bench load             # all of it
//! cargo bench -p cuckoo-coordinator --bench load -- --help   # what can be chosen
//! ```
//!
//! - [`store`]: the scheduler and the store, beside PostgreSQL with `SKIP LOCKED`;
//! - [`wire`]: a whole coordinator, in a process of its own, under apps and miners that come over real
//!   connections, `http`; `process` is that process.
//!
//! docs/decisions/0015-load.md has the method and what was measured.

#[path = "../../tests/service/common.rs"]
#[allow(dead_code)]
mod common;
mod http;
mod process;
mod store;
mod wire;

use clap::{Parser, ValueEnum};
use cuckoo_coordinator::store::Durability;
use std::fs;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
	/// The scheduler and the store, and PostgreSQL.
	Store,
	/// A whole coordinator.
	Wire,
}

/// Measures what a coordinator carries.
#[derive(Debug, Parser)]
struct Args {
	/// What to measure.
	#[arg(value_enum, default_values_t = [What::Store, What::Wire])]
	what: Vec<What>,
	/// Over the wire: how many miners are connected.
	#[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000])]
	miners: Vec<usize>,
	/// Over the wire: how many tasks a second are offered.
	#[arg(long, value_delimiter = ',', default_values_t = [500, 1_000, 2_000])]
	rates: Vec<u64>,
	/// How long each line takes.
	#[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
	seconds: u64,
	/// Over the wire: how long a miner takes to render.
	#[arg(long, value_name = "MILLISECONDS", default_value_t = 20)]
	render: u64,
	/// Over the wire: when the coordinator answers.
	#[arg(long, value_enum, default_value = "commit")]
	durability: Durability,
	/// Given by cargo.
	#[arg(long, hide = true)]
	bench: bool,
}

fn main() {
	if process::is_coordinator() {
		process::run_coordinator();
		return;
	}
	let args = Args::parse();
	let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
	let cores = std::thread::available_parallelism().map_or(0, usize::from);
	println!("{cores} cores; load before: {}\n", load.split(' ').next().unwrap_or_default());
	if args.what.contains(&What::Store) {
		store::compare(args.seconds);
		println!();
	}
	if args.what.contains(&What::Wire) {
		wire::measure(&args);
	}
}
