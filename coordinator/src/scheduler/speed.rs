//! How fast a miner is with work of a class, as far as was seen.

use super::Millis;
use cuckoo_coordinator_api::task::TaskSpec;
use std::collections::{HashMap, VecDeque};

/// Durations that are remembered of a class.
const SAMPLES: usize = 32;
/// Classes that are remembered of a miner.
const CLASSES: usize = 256;

/// Work that takes about as long: the same model, and work units up to the same power of two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Class {
	model: String,
	size: u32,
}

impl Class {
	fn of(spec: &TaskSpec) -> Self {
		Self { model: spec.model.clone(), size: spec.milliunits().ilog2() }
	}
}

/// The last durations of a miner, by class.
#[derive(Debug, Default)]
pub(super) struct Speeds(HashMap<Class, VecDeque<Millis>>);

impl Speeds {
	/// The miner took so long for the work.
	pub(super) fn learn(&mut self, spec: &TaskSpec, took: Millis) {
		let class = Class::of(spec);
		if self.0.len() >= CLASSES && !self.0.contains_key(&class) {
			// Rare and harmless: what is forgotten is learned again.
			self.0.clear();
		}
		let samples = self.0.entry(class).or_default();
		if samples.len() == SAMPLES {
			samples.pop_front();
		}
		samples.push_back(took);
	}

	/// In what time the miner finishes 95 of 100 tasks like this one; `None` if it has finished none.
	pub(super) fn p95(&self, spec: &TaskSpec) -> Option<Millis> {
		let mut samples: Vec<Millis> = self.0.get(&Class::of(spec))?.iter().copied().collect();
		samples.sort_unstable();
		samples.get((samples.len() * 95).div_ceil(100).saturating_sub(1)).copied()
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_coordinator_api::task::TaskRequest;

	#[test]
	fn the_slow_ones_count_and_old_ones_are_forgotten() {
		let spec = TaskRequest::new("x").resolve(1, "m".into());
		let mut speeds = Speeds::default();
		assert_eq!(speeds.p95(&spec), None);
		speeds.learn(&spec, 7);
		assert_eq!(speeds.p95(&spec), Some(7));
		(1..=20).for_each(|took| speeds.learn(&spec, took));
		assert_eq!(speeds.p95(&spec), Some(19));
		(0..SAMPLES).for_each(|_| speeds.learn(&spec, 3));
		assert_eq!(speeds.p95(&spec), Some(3));
	}

	#[test]
	fn classes_are_told_apart_by_model_and_size() {
		let spec = TaskRequest::new("x").resolve(1, "m".into());
		let mut speeds = Speeds::default();
		speeds.learn(&spec, 7);
		let other = TaskRequest::new("y").resolve(2, "m".into());
		assert_eq!(speeds.p95(&other), Some(7), "the prompt and the seed make no difference");
		let large = TaskSpec { width: 1024, ..spec.clone() };
		assert_eq!(speeds.p95(&large), None);
		assert_eq!(speeds.p95(&TaskSpec { model: "n".into(), ..spec }), None);
	}

	#[test]
	fn what_is_remembered_is_bounded() {
		let mut speeds = Speeds::default();
		for n in 0..2 * CLASSES {
			let spec = TaskRequest::new("x").resolve(1, n.to_string());
			speeds.learn(&spec, 1);
			assert_eq!(speeds.p95(&spec), Some(1));
			assert!(speeds.0.len() <= CLASSES);
		}
	}
}
