//! What people read of an audit.

use super::check::{Outcome, PastRegistry};
use crate::registry::Operator;
use anyhow::bail;
use cuckoo_chain_client::AccountId32;
use cuckoo_coordinator_api::assignment::{AssignmentRecord, DrawLogHeader};
use std::collections::HashMap;
use std::io::{self, Write};

/// Findings that are shown.
const SHOWN: usize = 20;

/// Says whose draws these are.
pub(super) fn begin(header: &DrawLogHeader, out: &mut impl Write) -> io::Result<()> {
	let DrawLogHeader { genesis, coordinator, first, end } = header;
	writeln!(out, "coordinator  {}", AccountId32(coordinator.0))?;
	writeln!(out, "chain        0x{genesis}")?;
	writeln!(out, "tasks        {first} to {}", end - 1)
}

/// The draws for one task, in words.
pub(super) fn draws(
	record: &AssignmentRecord,
	registries: &HashMap<u64, PastRegistry>,
	out: &mut impl Write,
) -> io::Result<()> {
	if record.draws.is_empty() {
		writeln!(out, "no miner has been drawn for it yet")?;
	}
	for draw in &record.draws {
		let miner = Operator(draw.miner.0);
		let registry = registries.get(&draw.block);
		let weights = registry.and_then(|registry| registry.weights(draw).ok()).unwrap_or_default();
		let weight = weights.iter().find(|(other, _)| *other == miner).map_or(0, |(_, own)| *own);
		let chance = 100.0 * weight as f64 / draw.total as f64;
		writeln!(
			out,
			"attempt {}: {} was drawn with a chance of {chance:.2} % among {} miners at block #{}",
			draw.attempt,
			registry.and_then(|registry| registry.stash(&miner)).unwrap_or("somebody unknown"),
			weights.len(),
			draw.block
		)?;
	}
	Ok(())
}

/// What was found, with the table of shares if it is wanted.
///
/// # Errors
///
/// The log is not as it must be, or the shares do not fit.
pub(super) fn end(outcome: &Outcome, table: bool, out: &mut impl Write) -> anyhow::Result<()> {
	let Outcome { records, draws, findings, fairness, stashes } = outcome;
	if table {
		writeln!(
			out,
			"draws        {draws}, of which {} had a choice and {} had none",
			fairness.draws(),
			fairness.without_choice()
		)?;
		let head = ["miner", "eligible", "observed", "expected", "z"];
		let [miner, eligible, observed, expected, z] = head;
		writeln!(out, "\n{miner:<48} {eligible:>9} {observed:>9} {expected:>11} {z:>6}")?;
		for share in fairness.shares() {
			let stash = stashes.get(&share.miner).map_or("", String::as_str);
			writeln!(
				out,
				"{stash:<48} {:>9} {:>9} {:>11.1} {:>6.2}",
				share.eligible,
				share.observed,
				share.expected,
				share.deviations()
			)?;
		}
		if let Some(test) = fairness.chi_square() {
			let (statistic, degrees, p) = (test.statistic, test.degrees, test.probability);
			writeln!(out, "\nchi-square {statistic:.3}, {degrees} degrees of freedom, p = {p:.4}")?;
		}
	}
	if !findings.is_empty() {
		for finding in findings.iter().take(SHOWN) {
			writeln!(out, "{finding}")?;
		}
		if findings.len() > SHOWN {
			writeln!(out, "… and {} more", findings.len() - SHOWN)?;
		}
		bail!("the log is not as it must be (findings: {}, records: {records})", findings.len());
	}
	if table && !fairness.fits() {
		bail!("every record is as it must be, but the shares do not fit the stakes");
	}
	writeln!(out, "every record is as it must be")?;
	Ok(())
}
