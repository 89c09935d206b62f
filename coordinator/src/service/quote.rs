//! What a task would take, before it is offered.

use super::Service;
use crate::scheduler::{Load, Millis, TaskRecord};
use cuckoo_coordinator_api::{
	app::Quote,
	error::Refusal,
	task::{TaskId, TaskRequest, TaskSpec, TaskState},
};
use std::collections::HashMap;

/// How much of a mean the last task makes up.
const LAST: f64 = 0.125;
/// Most models whose times are known; those of further ones are not kept.
const MAX_MODELS: usize = 4096;

/// How long tasks took lately, by model, from the lease to the result.
#[derive(Debug, Default)]
pub(super) struct TaskTimes {
	by_model: HashMap<String, Times>,
	/// When tasks that miners are at work on were leased.
	leased: HashMap<TaskId, Millis>,
}

/// Means over the recent tasks of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
	/// Seconds for a task.
	task: f64,
	/// Seconds for a thousandth of a work unit.
	milliunit: f64,
}

impl TaskTimes {
	/// Those of a model, if any were taken.
	pub(super) fn of(&self, model: &str) -> Option<&Times> {
		self.by_model.get(model)
	}

	/// A task has changed.
	pub(super) fn see(&mut self, record: &TaskRecord) {
		if record.state == TaskState::Leased {
			self.leased.insert(record.id.clone(), record.changed_at);
		} else if let Some(leased_at) = self.leased.remove(&record.id) {
			if record.state == TaskState::Verifying {
				self.note(&record.spec, record.changed_at.saturating_sub(leased_at));
			}
		}
	}

	fn note(&mut self, spec: &TaskSpec, took: Millis) {
		let task = took as f64 / 1000.0;
		let milliunit = task / spec.milliunits() as f64;
		if let Some(times) = self.by_model.get_mut(&spec.model) {
			times.task += LAST * (task - times.task);
			times.milliunit += LAST * (milliunit - times.milliunit);
		} else if self.by_model.len() < MAX_MODELS {
			self.by_model.insert(spec.model.clone(), Times { task, milliunit });
		}
	}
}

impl Service {
	/// What a task would take, without offering it.
	///
	/// # Errors
	///
	/// Those with which the offer would be refused.
	pub fn quote(&self, request: TaskRequest) -> Result<Quote, Refusal> {
		self.admit_webhook(&request)?;
		self.with(|state, _| {
			let model = state.scheduler.admit(&request)?;
			let load = state.scheduler.load(&model);
			let times = state.times.of(&model);
			let milliunits = request.resolve(0, model.clone()).milliunits();
			Ok(Quote {
				milliunits,
				queued: load.queued as u64,
				slots: load.slots as u32,
				free_slots: load.free as u32,
				wait_seconds: wait_seconds(load, times),
				render_seconds: times.map(|times| times.milliunit * milliunits as f64),
				model,
			})
		})
	}
}

/// When a miner would begin: tasks ahead take the mean time, those at work are half done.
pub(super) fn wait_seconds(load: Load, times: Option<&Times>) -> Option<f64> {
	if load.free > load.queued {
		return Some(0.0);
	}
	if load.slots == 0 {
		return None;
	}
	let at_work = (load.slots - load.free) as f64;
	let ahead = load.queued as f64 + at_work / 2.0;
	Some(ahead * times?.task / load.slots as f64)
}

#[cfg(test)]
mod tests {
	use super::*;

	fn load(queued: usize, slots: usize, free: usize) -> Load {
		Load { queued, slots, free }
	}

	#[test]
	fn the_wait_follows_from_queue_slots_and_times() {
		let times = Times { task: 8.0, milliunit: 0.1 };
		assert_eq!(wait_seconds(load(0, 2, 1), None), Some(0.0));
		assert_eq!(wait_seconds(load(0, 2, 0), None), None, "nothing was measured");
		assert_eq!(wait_seconds(load(0, 0, 0), Some(&times)), None, "nobody serves it");
		assert_eq!(wait_seconds(load(0, 2, 0), Some(&times)), Some(4.0));
		assert_eq!(wait_seconds(load(3, 2, 0), Some(&times)), Some(16.0));
	}

	#[test]
	fn times_are_means_of_the_recent_tasks() {
		let mut known = TaskTimes::default();
		let mut spec = TaskRequest::new("x").resolve(1, "m".into());
		(spec.width, spec.height, spec.steps) = (1024, 1024, 1);
		known.note(&spec, 8_000);
		known.note(&spec, 16_000);
		let times = known.by_model["m"];
		assert!((times.task - 9.0).abs() < 1e-9 && (times.milliunit - 0.009).abs() < 1e-9);
	}
}
