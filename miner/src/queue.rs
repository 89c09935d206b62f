//! Jobs that wait for a device.

use crate::worker::Queued;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{
	collections::VecDeque,
	time::{Duration, Instant},
};

/// A job that has waited for so long is taken by any device, even one that must load its model first.
const PATIENCE: Duration = Duration::from_secs(5);

/// The queue from which all devices take.
#[derive(Default)]
pub struct Queue {
	state: Mutex<State>,
	changed: Condvar,
}

#[derive(Default)]
struct State {
	jobs: VecDeque<(Instant, Queued)>,
	closed: bool,
}

impl Queue {
	fn state(&self) -> MutexGuard<'_, State> {
		self.state.lock()
	}

	/// Puts a job at the end. A closed queue drops it.
	pub fn push(&self, job: Queued) {
		let mut state = self.state();
		if !state.closed {
			state.jobs.push_back((Instant::now(), job));
			// All, since the one that has the model loaded may not be the first to wake.
			self.changed.notify_all();
		}
	}

	/// Waits for a job, and takes the oldest one among those for a model that is loaded; the oldest one
	/// of all if there is none or it has waited too long. `None` when the queue is closed.
	pub fn pop(&self, is_loaded: impl Fn(&str) -> bool) -> Option<Queued> {
		let mut state = self.state();
		loop {
			if state.closed {
				return None;
			}
			if let Some((since, _)) = state.jobs.front() {
				let suitable = state.jobs.iter().position(|(_, job)| is_loaded(job.model()));
				let place = suitable.filter(|_| since.elapsed() < PATIENCE).unwrap_or(0);
				return state.jobs.remove(place).map(|(_, job)| job);
			}
			self.changed.wait(&mut state);
		}
	}

	/// Drops all jobs and lets every device end.
	pub fn close(&self) {
		let mut state = self.state();
		state.closed = true;
		state.jobs.clear();
		self.changed.notify_all();
	}
}
