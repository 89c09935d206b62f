//! How long tasks take and wait.

use super::quote::Work;
use super::State;
use crate::scheduler::{App, Load, Millis, TaskRecord};
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	task::{TaskId, TaskSpec, TaskState},
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

	/// Means over the recent tasks of a model, if there were any.
	pub(super) fn of(&self, model: &str) -> Option<&Times> {
		self.by_model.get(model)
	}
}

impl Times {
	/// How long a miner is at work on so many thousandths of a work unit, in seconds.
	pub(super) fn render_seconds(&self, milliunits: u64) -> f64 {
		self.milliunit * milliunits as f64
	}
}

impl State {
	/// When a miner would begin a task of so many thousandths of a work unit that this app offers now, in
	/// seconds, at a load of its model; `None` if that cannot be told.
	pub(super) fn wait_seconds(
		&self,
		app: &App,
		model: &str,
		milliunits: u64,
		load: Load,
	) -> Option<f64> {
		if load.free > load.queued {
			return Some(0.0);
		}
		let ahead = self.scheduler.work_ahead(model, app, milliunits);
		wait_seconds(ahead, load.slots, load.slots - load.free, self.times.of(model))
	}

	/// Whether a task of this app would find a miner in the time for which tasks may wait, as far as
	/// that can be told. (All slots are taken to be in use if something waits or none is free, so that
	/// this takes no time in the number of miners.)
	///
	/// # Errors
	///
	/// `BUSY`, with the time after which it would.
	pub(super) fn check_wait(&self, app: &App, work: &Work) -> Result<(), Refusal> {
		let Some(most) = self.accounts.options().max_wait else { return Ok(()) };
		let ahead = self.scheduler.work_ahead(&work.model, app, work.milliunits);
		if ahead == 0 && self.scheduler.has_free(&work.model) {
			return Ok(());
		}
		let slots = self.scheduler.slots(&work.model);
		match wait_seconds(ahead, slots, slots, self.times.of(&work.model)) {
			Some(wait) if wait > f64::from(most) => {
				let why = format!(
					"a miner would begin in about {wait:.0} seconds, and tasks may wait for {most}; try \
					again later"
				);
				// At least a second, and not for longer than anybody would wait.
				let later = (wait - f64::from(most)).ceil().clamp(1.0, 3600.0);
				Err(Refusal::new(Code::Busy, why).retry_after(later as u32))
			},
			_ => Ok(()),
		}
	}
}

/// So much work comes first, shared by so many slots, of which some are at work on tasks that are half
/// done.
fn wait_seconds(ahead: u64, slots: usize, at_work: usize, times: Option<&Times>) -> Option<f64> {
	if slots == 0 {
		return None;
	}
	let times = times?;
	Some((times.render_seconds(ahead) + at_work as f64 / 2.0 * times.task) / slots as f64)
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_coordinator_api::task::TaskRequest;

	#[test]
	fn the_wait_follows_from_queue_slots_and_times() {
		let times = Times { task: 8.0, milliunit: 0.1 };
		assert_eq!(wait_seconds(0, 2, 2, None), None, "nothing was measured");
		assert_eq!(wait_seconds(0, 0, 0, Some(&times)), None, "nobody serves it");
		assert_eq!(wait_seconds(0, 2, 2, Some(&times)), Some(4.0));
		assert_eq!(wait_seconds(240, 2, 2, Some(&times)), Some(16.0));
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
