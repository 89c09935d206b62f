//! What staking costs with ever more voters: our pallet beside `pallet-staking`, in the same run.
//!
//! ```text
//! cargo bench -p pallet-cuckoo-staking --bench scale [-- VOTERS… [--theirs-up-to=VOTERS]]
//! ```
//!
//! With a million voters it takes a quarter of an hour and 8 GB, most of that for `pallet-staking`,
//! which `--theirs-up-to` leaves out with more voters.
//!
//! It fails when an operation of ours reads or writes more keys with more voters.

mod count;
mod network;
mod ours;
mod theirs;

use std::{env, process::ExitCode};

use count::{Cost, REPEATS};
use network::{ELECTED, VALIDATORS};

/// What is measured. The legend of the table says what each is in the two pallets.
const OPERATIONS: [&str; 6] =
	["vote", "claim", "era change", "slash: report", "slash: apply", "slash: settle"];

/// The voters of a first round that is not shown.
const WARM_UP: u32 = 100;

/// The cost of each operation, if there is such an operation.
type Costs = [Option<Cost>; OPERATIONS.len()];

/// The costs with a number of voters.
struct Measured {
	voters: u32,
	ours: Costs,
	theirs: Option<Costs>,
}

/// What to measure.
struct Arguments {
	/// Numbers of voters, rising.
	sizes: Vec<u32>,
	/// With more voters `pallet-staking` is left out.
	theirs_up_to: u32,
}

impl Arguments {
	fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
		let number = |text: &str| {
			text.parse::<u32>()
				.ok()
				.filter(|number| *number > REPEATS)
				.ok_or_else(|| format!("`{text}` is not a number of voters above {REPEATS}"))
		};
		let (mut sizes, mut theirs_up_to) = (Vec::new(), u32::MAX);
		for argument in arguments {
			match argument.strip_prefix("--theirs-up-to=") {
				Some(limit) => theirs_up_to = number(limit)?,
				None => sizes.push(number(&argument)?),
			}
		}
		if sizes.is_empty() {
			sizes.extend([100, 10_000, 1_000_000]);
		}
		sizes.sort_unstable();
		Ok(Self { sizes, theirs_up_to })
	}
}

fn main() -> ExitCode {
	// Cargo passes `--bench`.
	let arguments = env::args().skip(1).filter(|argument| argument != "--bench");
	let Arguments { sizes, theirs_up_to } = match Arguments::parse(arguments) {
		Ok(arguments) => arguments,
		Err(error) => {
			eprintln!("{error}");
			return ExitCode::FAILURE;
		},
	};
	count::check_count();
	// The first runs in a process are slower, and would make the fewest voters look dear.
	ours::costs(WARM_UP);
	theirs::costs(WARM_UP);
	let mut measured = Vec::new();
	for voters in sizes {
		eprintln!("{voters} voters: ours");
		let ours = ours::costs(voters);
		let theirs = (voters <= theirs_up_to).then(|| {
			eprintln!("{voters} voters: pallet-staking");
			theirs::costs(voters)
		});
		measured.push(Measured { voters, ours, theirs });
	}
	print_table(&measured);
	print_growth(&measured);
	if is_flat(&measured) {
		println!("\nOurs read and write the same number of keys whatever the number of voters.");
		ExitCode::SUCCESS
	} else {
		eprintln!("\nOurs do not read and write the same number of keys: see above.");
		ExitCode::FAILURE
	}
}

fn print_table(measured: &[Measured]) {
	println!(
		"{VALIDATORS} validators, {ELECTED} elected; all voters back one of them. State in memory.\n\
		 Time: the processor's, median of up to {REPEATS} runs. \
		 Reads and writes: different storage keys.\n\n\
		 - vote: one voter adds 1 CAI / nominates again\n\
		 - claim: one voter claims / the validator's era is paid out to all voters, page by page\n\
		 - era change: the two session ends of the election and of the era's beginning\n\
		 - slash: apply: the hook of the block / the session end\n\
		 - slash: settle: one voter's part is burnt / done when it is applied\n"
	);
	if measured.iter().any(|row| row.theirs.is_none()) {
		println!(
			"`-`: pallet-staking was not measured with so many voters, for the time it takes.\n"
		);
	}
	println!("{:26} | {:>30} | {:>36}", "", "ours", "pallet-staking");
	println!(
		"{:14} {:>11} | {:>12} {:>8} {:>8} | {:>14} {:>10} {:>10}",
		"operation", "voters", "µs", "reads", "writes", "µs", "reads", "writes"
	);
	for (index, operation) in OPERATIONS.iter().enumerate() {
		for Measured { voters, ours, theirs } in measured {
			let ours = cells(ours[index]);
			let theirs = cells(theirs.and_then(|theirs| theirs[index]));
			println!(
				"{operation:14} {voters:>11} | {:>12} {:>8} {:>8} | {:>14} {:>10} {:>10}",
				ours[0], ours[1], ours[2], theirs[0], theirs[1], theirs[2]
			);
		}
	}
}

/// Time in microseconds, reads and writes.
fn cells(cost: Option<Cost>) -> [String; 3] {
	let Some(Cost { time, reads, writes }) = cost else { return ["-"; 3].map(String::from) };
	[format!("{:.1}", time.as_secs_f64() * 1e6), reads.to_string(), writes.to_string()]
}

/// Prints how much more each operation costs with the most voters than with the fewest.
fn print_growth(measured: &[Measured]) {
	println!();
	for (index, operation) in OPERATIONS.iter().enumerate() {
		let ours = growth(measured.iter().map(|row| (row.voters, row.ours[index])));
		let theirs = growth(
			measured.iter().filter_map(|row| row.theirs.map(|theirs| (row.voters, theirs[index]))),
		);
		println!("{operation:14} ours {ours}; pallet-staking {theirs}");
	}
}

/// The factors between the first and the last of these costs.
fn growth(costs: impl Iterator<Item = (u32, Option<Cost>)>) -> String {
	let costs: Vec<_> =
		costs.filter_map(|(voters, cost)| cost.map(|cost| (voters, cost))).collect();
	let (Some((few, cheap)), Some((many, dear))) = (costs.first(), costs.last()) else {
		return "-".into();
	};
	format!(
		"x{:.1} time, x{:.1} reads, x{:.1} writes from {few} to {many}",
		dear.time.as_secs_f64() / cheap.time.as_secs_f64(),
		dear.reads as f64 / cheap.reads as f64,
		dear.writes as f64 / cheap.writes as f64,
	)
}

/// Whether our operations touch the same number of keys at all sizes.
fn is_flat(measured: &[Measured]) -> bool {
	let keys = |costs: &Costs| costs.map(|cost| cost.map(|cost| (cost.reads, cost.writes)));
	measured.windows(2).all(|pair| keys(&pair[0].ours) == keys(&pair[1].ours))
}
