//! Which coordinators to work for: a draw by stake among the registered ones.

use crate::text::printable;
use cuckoo_chain_client::{AccountId32, Candidate};
use rand::Rng;
use std::{collections::BTreeSet, fmt};

/// A registered, active coordinator that a miner may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coordinator {
	/// The account whose stake answers for it.
	pub stash: AccountId32,
	/// Public key of its operator: what it must name in its challenge.
	pub operator: [u8; 32],
	/// Name from its registration.
	pub name: String,
	/// Stake behind it, in planck.
	pub weight: u128,
	/// Where to dial, in the order of preference; at least one.
	pub endpoints: Vec<String>,
	/// SHA-256 fingerprint of the one certificate that it may have, if its registration names one.
	pub certificate: Option<[u8; 32]>,
}

impl fmt::Display for Coordinator {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match printable(&self.name).as_str() {
			"" => write!(f, "{}", self.stash),
			name => write!(f, "{name} ({})", self.stash),
		}
	}
}

/// What the miner's owner wants of the coordinators.
#[derive(Clone, Debug)]
pub struct Selection {
	/// How many to be connected to.
	pub count: usize,
	/// Only these endpoints; any if empty.
	pub only: Vec<String>,
	/// Stashes never to work for.
	pub blocked: BTreeSet<AccountId32>,
}

impl Selection {
	/// The coordinators among `candidates` that may be connected to, with those of their endpoints
	/// that may be dialled.
	pub fn eligible(&self, candidates: &[Candidate]) -> Vec<Coordinator> {
		candidates
			.iter()
			.filter(|candidate| candidate.active && !self.blocked.contains(&candidate.stash))
			.map(|candidate| Coordinator {
				stash: candidate.stash,
				operator: candidate.operator.0,
				name: candidate.name.clone(),
				weight: candidate.weight,
				endpoints: candidate
					.endpoints
					.iter()
					.filter(|endpoint| self.may_dial(endpoint, candidate.certificate.is_some()))
					.cloned()
					.collect(),
				certificate: candidate.certificate,
			})
			.filter(|coordinator| !coordinator.endpoints.is_empty())
			.collect()
	}

	/// Whom a certificate was promised by the chain must be asked for it.
	fn may_dial(&self, endpoint: &str, has_certificate: bool) -> bool {
		let endpoint = normal(endpoint);
		(endpoint.starts_with("wss://") || (!has_certificate && endpoint.starts_with("ws://")))
			&& (self.only.is_empty() || self.only.iter().any(|only| normal(only) == endpoint))
	}
}

/// The form in which two spellings of an endpoint are equal.
fn normal(endpoint: &str) -> String {
	endpoint.trim().trim_end_matches('/').to_ascii_lowercase()
}

/// Draws up to `count` different coordinators. Each draw takes one of those left with probability
/// weight / Σ weights; one without any weight is never drawn.
pub fn draw(
	mut coordinators: Vec<Coordinator>,
	count: usize,
	rng: &mut impl Rng,
) -> Vec<Coordinator> {
	let mut drawn = Vec::new();
	while drawn.len() < count {
		// The supply of the token is far below 2^128, so the sum is exact on every real chain.
		let total = coordinators.iter().fold(0u128, |sum, c| sum.saturating_add(c.weight));
		if total == 0 {
			break;
		}
		let mut point = rng.gen_range(0..total);
		let hit = coordinators.iter().position(|coordinator| {
			let inside = point < coordinator.weight;
			point = point.saturating_sub(coordinator.weight);
			inside
		});
		let Some(hit) = hit else { break };
		drawn.push(coordinators.swap_remove(hit));
	}
	drawn
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_chain_client::Role;
	use rand::{rngs::StdRng, SeedableRng};

	fn candidate(id: u8, weight: u128, endpoints: &[&str]) -> Candidate {
		Candidate {
			stash: AccountId32([id; 32]),
			operator: AccountId32([id + 100; 32]),
			role: Role::Coordinator,
			weight,
			self_stake: weight,
			active: true,
			registered_at: 0,
			name: format!("c{id}"),
			contact: String::new(),
			endpoints: endpoints.iter().map(ToString::to_string).collect(),
			certificate: None,
		}
	}

	fn any() -> Selection {
		Selection { count: 3, only: vec![], blocked: BTreeSet::new() }
	}

	fn with_weights(weights: &[u128]) -> Vec<Coordinator> {
		let candidates: Vec<_> = weights
			.iter()
			.enumerate()
			.map(|(id, weight)| candidate(id as u8, *weight, &["ws://h:1"]))
			.collect();
		any().eligible(&candidates)
	}

	#[test]
	fn only_those_that_can_be_worked_for_are_eligible() {
		let mut inactive = candidate(1, 5, &["ws://a:1"]);
		inactive.active = false;
		let candidates = [
			inactive,
			candidate(2, 5, &["http://b:1", "https://b:2"]),
			candidate(3, 5, &["http://c:1", "ws://c:2", "WSS://c:3"]),
			candidate(4, 5, &["ws://d:1"]),
			candidate(5, 5, &[]),
		];
		let selection = Selection { blocked: [AccountId32([4; 32])].into(), ..any() };
		let eligible = selection.eligible(&candidates);
		assert_eq!(eligible.len(), 1);
		assert_eq!(eligible[0].endpoints, ["ws://c:2", "WSS://c:3"]);
		assert_eq!(eligible[0].operator, [103; 32]);
	}

	#[test]
	fn one_with_a_registered_certificate_is_not_dialled_without_encryption() {
		let mut coordinator = candidate(1, 5, &["ws://a:1", "wss://a:2"]);
		coordinator.certificate = Some([7; 32]);
		let eligible = any().eligible(&[coordinator.clone()]);
		assert_eq!(eligible[0].endpoints, ["wss://a:2"]);
		assert_eq!(eligible[0].certificate, Some([7; 32]));
		coordinator.endpoints.pop();
		assert!(any().eligible(&[coordinator]).is_empty());
	}

	#[test]
	fn the_owner_may_name_endpoints() {
		let candidates =
			[candidate(1, 5, &["ws://a:1", "ws://a:2"]), candidate(2, 5, &["ws://b:1"])];
		let selection = Selection { only: vec!["WS://a:2/".into()], ..any() };
		let eligible = selection.eligible(&candidates);
		assert_eq!(eligible.len(), 1);
		assert_eq!(eligible[0].endpoints, ["ws://a:2"]);
	}

	#[test]
	fn nobody_is_drawn_twice_and_never_more_than_there_are() {
		let mut rng = StdRng::seed_from_u64(7);
		for count in 0..6 {
			let drawn = draw(with_weights(&[1, 2, 3, 0]), count, &mut rng);
			let stashes: BTreeSet<_> = drawn.iter().map(|c| c.stash).collect();
			assert_eq!(drawn.len(), count.min(3));
			assert_eq!(stashes.len(), drawn.len());
			assert!(!stashes.contains(&AccountId32([3; 32])), "no stake, no draw");
		}
		assert!(draw(vec![], 3, &mut rng).is_empty());
	}

	#[test]
	fn the_same_randomness_gives_the_same_draw() {
		let with = |seed| {
			draw(with_weights(&[5, 4, 3, 2, 1]), 3, &mut StdRng::seed_from_u64(seed))
				.into_iter()
				.map(|c| c.stash)
				.collect::<Vec<_>>()
		};
		assert_eq!(with(1), with(1));
		assert!((2..20).any(|seed| with(seed) != with(1)));
	}

	#[test]
	fn chances_are_proportional_to_stake() {
		// Weights on the scale of real stakes: 2, 4 and 14 million CAI.
		let million = 10u128.pow(24);
		let weights = [2 * million, 4 * million, 14 * million];
		let mut rng = StdRng::seed_from_u64(42);
		let rounds = 20_000u32;
		let (mut first, mut second_after_heaviest, mut heaviest_first) = ([0u32; 3], [0u32; 3], 0);
		for _ in 0..rounds {
			let drawn = draw(with_weights(&weights), 2, &mut rng);
			let place = |c: &Coordinator| usize::from(c.stash.0[0]);
			first[place(&drawn[0])] += 1;
			if place(&drawn[0]) == 2 {
				heaviest_first += 1;
				second_after_heaviest[place(&drawn[1])] += 1;
			}
		}
		let near = |count: u32, of: u32, share: f64| {
			(f64::from(count) / f64::from(of) - share).abs() < 0.015
		};
		for (count, share) in first.into_iter().zip([0.1, 0.2, 0.7]) {
			assert!(near(count, rounds, share), "{first:?}");
		}
		// Once the heaviest is out, 2 and 4 million share the second draw.
		assert!(near(second_after_heaviest[0], heaviest_first, 1.0 / 3.0));
		assert!(near(second_after_heaviest[1], heaviest_first, 2.0 / 3.0));
		assert_eq!(second_after_heaviest[2], 0);
	}
}
