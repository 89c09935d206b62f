//! Logs as coordinators make them pass; a log that was tampered with does not, and it is said which
//! record is wrong, and why.

use super::check::{Auditor, Outcome, PastRegistry};
use super::report;
use crate::assignment::vrf::tests::{drawer, GENESIS};
use crate::registry::{MinerRegistration, Operator, RegistrySnapshot};
use crate::scheduler::{Scheduler, SchedulerOptions};
use cuckoo_coordinator_api::{
	assignment::{AssignmentRecord, Draw, DrawLogHeader, Hex, MinerSet},
	miner::{FailureReason, FailureReport, Login, ModelOffer},
	task::TaskRequest,
};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::collections::{BTreeMap, HashMap};

const TASKS: u64 = 60;

fn registry(block: u64, weights: &[u128]) -> RegistrySnapshot {
	let miners = (1..).zip(weights).map(|(n, weight)| MinerRegistration {
		operator: Operator([n; 32]),
		operator_address: format!("operator {n}"),
		stash: format!("stash {n}"),
		name: format!("miner {n}"),
		weight: *weight,
	});
	let era = (block / 10) as u32;
	RegistrySnapshot { block, block_hash: [block as u8; 32], era, miners: miners.collect() }
}

/// A log, and the registries that its draws name.
#[derive(Clone)]
struct Case {
	header: DrawLogHeader,
	records: Vec<AssignmentRecord>,
	registries: HashMap<u64, PastRegistry>,
}

impl Case {
	/// What a scheduler does with three miners, while stakes change and some attempts fail.
	fn honest() -> Self {
		let mut scheduler = Scheduler::new(SchedulerOptions::default(), drawer());
		let mut rng = ChaCha20Rng::seed_from_u64(1);
		let blocks = [(9, [10, 20, 30]), (10, [10, 25, 30]), (11, [40, 25, 30])];
		let mut records = BTreeMap::new();
		for (round, (block, weights)) in blocks.into_iter().enumerate() {
			scheduler.set_registry(&registry(block, &weights), 0, &mut rng);
			if round == 0 {
				for n in 1..=3 {
					let models = vec![ModelOffer { name: "m".into(), digest: "ab".repeat(32) }];
					let login = Login { slots: 64, models, ..Login::default() };
					scheduler.connect(Operator([n; 32]), login, 0, &mut rng).unwrap();
				}
			}
			for n in 0..TASKS / 3 {
				let offered = scheduler.offer(TaskRequest::new("a bird"), 0, &mut rng).unwrap();
				let lease = offered.lease.unwrap();
				if n % 5 == 0 {
					let report = FailureReport {
						task_id: offered.id,
						attempt: 1,
						lease: lease.token,
						reason: FailureReason::Internal,
						message: String::new(),
					};
					scheduler.fail(lease.operator, &report, 0, &mut rng).unwrap();
				}
			}
		}
		for change in scheduler.take_effects().changed {
			let record = &change.record;
			let kept = records.entry(record.sequence).or_insert_with(|| AssignmentRecord {
				sequence: record.sequence,
				task_hash: Hex(record.spec.digest()),
				draws: Vec::new(),
			});
			kept.draws.extend(change.draw.map(|draw| (*draw).clone()));
		}
		let past = |(block, weights): (u64, [u128; 3])| {
			(block, PastRegistry::new(registry(block, &weights), true))
		};
		Self {
			header: DrawLogHeader {
				genesis: Hex(GENESIS),
				coordinator: Hex(drawer().public_key()),
				first: 0,
				end: TASKS,
			},
			records: records.into_values().collect(),
			registries: blocks.into_iter().map(past).collect(),
		}
	}

	fn audit(&self) -> Outcome {
		let mut auditor = Auditor::new(&self.header).unwrap();
		self.records.iter().for_each(|record| auditor.check(record, &self.registries));
		auditor.finish()
	}

	/// What is found, line by line, once something was changed.
	fn found(&self, tamper: impl FnOnce(&mut Self)) -> Vec<String> {
		let mut tampered = self.clone();
		tamper(&mut tampered);
		tampered.audit().findings.iter().map(ToString::to_string).collect()
	}

	/// The only thing found once the first draw of record 7 was changed.
	fn found_of_draw(&self, tamper: impl FnOnce(&mut Draw)) -> String {
		let found = self.found(|case| tamper(&mut case.records[7].draws[0]));
		let [finding] = &found[..] else { panic!("{found:?}") };
		assert!(finding.starts_with("record 7, attempt 1: "), "{finding}");
		finding.clone()
	}
}

fn one(found: &[String], begin: &str, why: &str) {
	let [finding] = found else { panic!("{found:?}") };
	assert!(finding.starts_with(begin) && finding.contains(why), "{finding}");
}

#[test]
fn an_honest_log_passes_and_its_table_is_shown() {
	let case = Case::honest();
	let outcome = case.audit();
	assert_eq!(outcome.findings, []);
	assert_eq!((outcome.records, outcome.draws), (TASKS, TASKS + TASKS / 5));
	assert_eq!(outcome.fairness.draws() + outcome.fairness.without_choice(), outcome.draws);
	let mut out = Vec::new();
	report::begin(&case.header, &mut out).unwrap();
	report::end(&outcome, true, &mut out).unwrap();
	let text = String::from_utf8(out).unwrap();
	for part in ["tasks        0 to 59", "stash 1", "chi-square", "every record is as it must be"] {
		assert!(text.contains(part), "{text}");
	}
	let mut out = Vec::new();
	report::draws(&case.records[0], &case.registries, &mut out).unwrap();
	let text = String::from_utf8(out).unwrap();
	assert!(text.lines().count() == 2 && text.contains("among 3 miners at block #9"), "{text}");
}

#[test]
fn a_changed_weight_is_found() {
	let case = Case::honest();
	let why = case.found_of_draw(|draw| draw.total += 1);
	assert!(why.contains("sum up to 60, not 61"), "{why}");
	// The other way round: the coordinator drew with other weights than the chain has.
	let found = case.found(|case| {
		case.registries.insert(9, PastRegistry::new(registry(9, &[10, 20, 31]), true));
	});
	assert!(found.len() as u64 >= TASKS / 3, "every draw at that block in which it took part");
	assert!(found[0].starts_with("record 0, attempt 1: ") && found[0].contains("61, not 60"));
	// Even if the sum is right: a draw that falls on somebody else by the true weights is found.
	let found = case.found(|case| {
		case.registries.insert(9, PastRegistry::new(registry(9, &[30, 20, 10]), true));
	});
	assert!(found.iter().any(|finding| finding.contains("the draw falls on")), "{found:?}");
}

#[test]
fn a_miner_that_is_dropped_or_made_up_is_found() {
	let case = Case::honest();
	let why = case.found_of_draw(|draw| draw.eligible.set(1, false));
	assert!(why.contains("sum up to 40, not 60") && why.contains("missing"), "{why}");
	// With the sum made right: the draw falls on somebody else.
	let why = case.found_of_draw(|draw| {
		let winner = draw.miner.0[0];
		draw.eligible.set(usize::from(winner) - 1, false);
		draw.total -= 10 * u128::from(winner);
	});
	assert!(why.contains("the random number is") || why.contains("the draw falls on"), "{why}");
	let why = case.found_of_draw(|draw| draw.eligible.set(9, true));
	assert!(why.contains("miner number 10") && why.contains("3 were active"), "{why}");
	let why = case.found_of_draw(|draw| (draw.eligible, draw.total) = (MinerSet::default(), 0));
	assert!(why.contains("nobody that was eligible"), "{why}");
}

#[test]
fn another_winner_is_found() {
	let case = Case::honest();
	let true_winner = Operator(case.records[7].draws[0].miner.0);
	for n in (1..=4).filter(|n| true_winner != Operator([*n; 32])) {
		let why = case.found_of_draw(|draw| draw.miner = Hex([n; 32]));
		let (drawn, named) = (true_winner, Operator([n; 32]));
		assert!(why.contains(&format!("falls on {drawn}, not on {named}")), "{why}");
	}
	let why = case.found_of_draw(|draw| draw.point ^= 1);
	assert!(why.contains("the random number is"), "{why}");
}

#[test]
fn another_sequence_number_is_found() {
	let case = Case::honest();
	// Two tasks change places.
	let found = case.found(|case| {
		case.records.swap(7, 8);
		(case.records[7].sequence, case.records[8].sequence) = (7, 8);
	});
	assert_eq!(found.len(), 2, "{found:?}");
	for (finding, begin) in found.iter().zip(["record 7, attempt 1", "record 8, attempt 1"]) {
		assert!(finding.starts_with(begin) && finding.contains("the proof does not hold"));
	}
	let found = case.found(|case| case.records.swap(7, 8));
	assert_eq!(found.len(), 2, "{found:?}");
	assert!(found[0] == "record 7: it is missing" && found[1].contains("used before"), "{found:?}");
	let again = |case: &mut Case| case.records.insert(8, case.records[7].clone());
	one(&case.found(again), "record 7: ", "has been used before");
}

#[test]
fn a_swapped_proof_is_found() {
	let case = Case::honest();
	let other = case.records[8].draws[0].clone();
	for why in [
		case.found_of_draw(|draw| draw.proof = other.proof),
		case.found_of_draw(|draw| draw.pre_output = other.pre_output),
		case.found_of_draw(|draw| {
			(draw.proof, draw.pre_output) = (other.proof, other.pre_output);
		}),
		case.found_of_draw(|draw| draw.proof.0[40] ^= 1),
		case.found_of_draw(|draw| draw.proof = Hex([0xff; 64])),
	] {
		assert!(why.contains("the proof does not hold"), "{why}");
	}
	let found = case.found(|case| case.records[7].task_hash = Hex([1; 32]));
	one(&found, "record 7, attempt 1: ", "the proof does not hold");
	let all = case.found(|case| case.header.genesis = Hex([1; 32]));
	assert_eq!(all.len() as u64, TASKS + TASKS / 5);
}

#[test]
fn a_missing_record_is_found() {
	let case = Case::honest();
	one(&case.found(|case| drop(case.records.remove(7))), "record 7: ", "it is missing");
	one(&case.found(|case| drop(case.records.drain(7..10))), "record 7: ", "all up to 9");
	one(&case.found(|case| drop(case.records.remove(0))), "record 0: ", "it is missing");
	one(&case.found(|case| case.records.truncate(58)), "record 58: ", "all up to 59");
	let redrawn = case.records.iter().position(|record| record.draws.len() == 2).unwrap();
	let found = case.found(|case| drop(case.records[redrawn].draws.remove(0)));
	one(&found, &format!("record {redrawn}, attempt 2: "), "attempt 1 should stand there");
}

#[test]
fn another_block_is_found() {
	let case = Case::honest();
	let why = case.found_of_draw(|draw| draw.block_hash = Hex([1; 32]));
	assert!(why.contains("block #9 has the hash 0909"), "{why}");
	let why = case.found_of_draw(|draw| draw.era = 1);
	assert!(why.contains("the era was 0, not 1"), "{why}");
	let why = case.found_of_draw(|draw| draw.block = 99);
	assert!(why.contains("the registry at block #99 is not known"), "{why}");
	let found = case.found(|case| {
		case.registries.insert(11, PastRegistry::new(registry(11, &[40, 25, 30]), false));
	});
	assert!(found.iter().all(|finding| finding.contains("was not active")), "{found:?}");
	assert_eq!(found.len() as u64, TASKS / 3 + 4);
}

/// The message in which all of it ends.
#[test]
fn what_was_found_fails_the_audit() {
	let mut case = Case::honest();
	case.records.remove(7);
	let mut out = Vec::new();
	let error = report::end(&case.audit(), true, &mut out).unwrap_err().to_string();
	assert!(error.contains("findings: 1, records: 59"), "{error}");
	assert!(String::from_utf8(out).unwrap().contains("record 7: it is missing"));
}
