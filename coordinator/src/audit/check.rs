//! What must hold of a log of draws. Everything that a draw follows from is taken from the chain, except
//! who was eligible: that is the coordinator's word.

use crate::assignment::{
	fairness::Fairness,
	sum_tree::MAX_WEIGHT,
	uniform::uniform_below,
	vrf::{DrawInput, Verifier},
};
use crate::registry::{
	chain::{serves, snapshot},
	Operator, RegistrySnapshot,
};
use cuckoo_chain_client::{AccountId32, Registry};
use cuckoo_coordinator_api::assignment::{AssignmentRecord, Draw, DrawLogHeader, Hex};
use std::collections::HashMap;
use std::fmt;

/// The registry as the chain had it at a block.
#[derive(Clone, Debug)]
pub struct PastRegistry {
	/// The active miners, in the order of their operators' public keys.
	registry: RegistrySnapshot,
	/// Whether the coordinator was active.
	coordinator_active: bool,
}

impl PastRegistry {
	/// Of all registrations, what matters for the draws of a coordinator.
	pub fn of(registry: &Registry, coordinator: &AccountId32) -> Self {
		Self::new(snapshot(registry), serves(registry, coordinator))
	}

	/// With these miners.
	pub fn new(mut registry: RegistrySnapshot, coordinator_active: bool) -> Self {
		registry.miners.sort_unstable_by_key(|miner| miner.operator);
		Self { registry, coordinator_active }
	}

	/// The stash of a miner, if the miner was active.
	pub fn stash(&self, operator: &Operator) -> Option<&str> {
		let miners = &self.registry.miners;
		let found = miners.binary_search_by_key(operator, |miner| miner.operator);
		found.ok().map(|place| miners[place].stash.as_str())
	}

	/// The weights of those who were eligible in a draw, in order.
	///
	/// # Errors
	///
	/// It names miners that there were not.
	pub fn weights(&self, draw: &Draw) -> Result<Vec<(Operator, u128)>, String> {
		let miners = &self.registry.miners;
		let eligible = draw.eligible.iter().map(|place| {
			let miner = miners.get(place).ok_or_else(|| {
				let (place, count) = (place + 1, miners.len());
				format!("miner number {place} is said to be eligible, but {count} were active")
			})?;
			Ok((miner.operator, miner.weight.min(MAX_WEIGHT)))
		});
		eligible.collect()
	}
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
	/// Sequence number of the record.
	pub sequence: u64,
	/// The attempt, if it is one draw that is wrong.
	pub attempt: Option<u32>,
	/// Why.
	pub why: String,
}

impl fmt::Display for Finding {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "record {}", self.sequence)?;
		if let Some(attempt) = self.attempt {
			write!(f, ", attempt {attempt}")?;
		}
		write!(f, ": {}", self.why)
	}
}

/// Checks a log record by record.
pub struct Auditor {
	verifier: Verifier,
	/// The sequence number that must come next.
	next: u64,
	end: u64,
	outcome: Outcome,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Outcome {
	/// Records that were read.
	pub records: u64,
	/// Draws in them.
	pub draws: u64,
	/// What is wrong, in the order of the log.
	pub findings: Vec<Finding>,
	/// Shares, in the draws that are right.
	pub fairness: Fairness<Operator>,
	/// The stashes of the miners that were eligible.
	pub stashes: HashMap<Operator, String>,
}

impl Auditor {
	/// For a log that begins with this; `None` if that names no public key.
	pub fn new(header: &DrawLogHeader) -> Option<Self> {
		Some(Self {
			verifier: Verifier::new(header.genesis.0, header.coordinator.0)?,
			next: header.first,
			end: header.end,
			outcome: Outcome::default(),
		})
	}

	/// Checks the next record. `registries` holds that of each block that its draws name.
	pub fn check(&mut self, record: &AssignmentRecord, registries: &HashMap<u64, PastRegistry>) {
		let sequence = record.sequence;
		self.outcome.records += 1;
		if sequence < self.next {
			self.find(sequence, None, "its sequence number has been used before".into());
			return;
		}
		self.missing_until(sequence);
		self.next = sequence.saturating_add(1);
		for (draw, attempt) in record.draws.iter().zip(1..) {
			self.outcome.draws += 1;
			if draw.attempt != attempt {
				let why = format!("attempt {attempt} should stand there: one is missing or added");
				self.find(sequence, Some(draw.attempt), why);
				return;
			}
			let Some(registry) = registries.get(&draw.block) else {
				let why = format!("the registry at block #{} is not known", draw.block);
				self.find(sequence, Some(attempt), why);
				continue;
			};
			match self.check_draw(record, draw, registry) {
				Ok(weights) => {
					for (miner, _) in &weights {
						if !self.outcome.stashes.contains_key(miner) {
							let stash = registry.stash(miner).unwrap_or_default().to_owned();
							self.outcome.stashes.insert(*miner, stash);
						}
					}
					self.outcome.fairness.add(&weights, Operator(draw.miner.0));
				},
				Err(why) => self.find(sequence, Some(attempt), why),
			}
		}
	}

	/// Checks that the log did not end too early; what was found in all.
	pub fn finish(mut self) -> Outcome {
		self.missing_until(self.end);
		self.outcome
	}

	fn find(&mut self, sequence: u64, attempt: Option<u32>, why: String) {
		self.outcome.findings.push(Finding { sequence, attempt, why });
	}

	fn missing_until(&mut self, sequence: u64) {
		match sequence.saturating_sub(self.next) {
			0 => {},
			1 => self.find(self.next, None, "it is missing".into()),
			_ => {
				let why = format!("it is missing, and so are all up to {}", sequence - 1);
				self.find(self.next, None, why);
			},
		}
	}

	/// The weights of the eligible, if the draw is right.
	fn check_draw(
		&self,
		record: &AssignmentRecord,
		draw: &Draw,
		past: &PastRegistry,
	) -> Result<Vec<(Operator, u128)>, String> {
		let RegistrySnapshot { block, block_hash, era, .. } = &past.registry;
		if *block_hash != draw.block_hash.0 {
			let (found, named) = (Hex(*block_hash), draw.block_hash);
			return Err(format!("block #{block} has the hash {found} on the chain, not {named}"));
		}
		if *era != draw.era {
			return Err(format!("at block #{block} the era was {era}, not {}", draw.era));
		}
		if !past.coordinator_active {
			return Err(format!("at block #{block} its coordinator was not active"));
		}
		let input = DrawInput {
			era: draw.era,
			sequence: record.sequence,
			task_hash: record.task_hash.0,
			attempt: draw.attempt,
		};
		let output = self.verifier.verify(&input, draw.pre_output.0, &draw.proof.0).ok_or(
			"the proof does not hold: it is not of this sequence number, task, attempt, era, chain and \
			coordinator, or has been changed",
		)?;
		let weights = past.weights(draw).map_err(|why| format!("{why} at block #{block}"))?;
		let total: u128 = weights.iter().map(|(_, weight)| weight).sum();
		if total != draw.total {
			let named = draw.total;
			return Err(format!(
				"the stakes of the eligible at block #{block} sum up to {total}, not {named}: \
				somebody is missing among them, or has another stake"
			));
		}
		if total == 0 {
			return Err("nobody that was eligible has any stake".into());
		}
		let point = uniform_below(total, &mut output.randomness());
		if point != draw.point {
			return Err(format!("the random number is {point}, not {}", draw.point));
		}
		let mut left = point;
		let drawn = weights.iter().find(|(_, weight)| {
			let falls = left < *weight;
			left = left.saturating_sub(*weight);
			falls
		});
		match drawn {
			Some((miner, _)) if miner.0 == draw.miner.0 => Ok(weights),
			drawn => {
				let drawn = drawn.map_or_else(String::new, |(miner, _)| miner.to_string());
				Err(format!("the draw falls on {drawn}, not on 0x{}", draw.miner))
			},
		}
	}
}
