//! The tasks that wait for a model, fair between apps: deficit round robin (Shreedhar and Varghese,
//! "Efficient Fair Queuing using Deficit Round Robin", 1995) with work units as the size of a task.
//!
//! Apps with waiting tasks take turns. A turn brings an app a [`QUANTUM`] of credit; it is served as
//! long as its first task does not take more than its credit, and keeps the rest for its next turn. So a
//! flood of one app delays the first task of another by one round at most: a quantum of each app.
//!
//! Turns in which an app could not pay are not gone through: the round in which it can pay follows from
//! its credit, and apps are kept in the order of those rounds. Every step takes time in the logarithm of
//! the number of apps.

use super::app::App;
use super::task::TaskRecord;
use cuckoo_coordinator_api::task::TaskId;
use std::collections::{BTreeMap, HashMap};

/// The credit of a turn, in thousandths of a work unit: that of a picture of 512×512 in 20 steps.
const QUANTUM: u64 = 5_000;
/// Of more apps it is not remembered when they were served last.
const MAX_SERVED: usize = 65_536;

/// The queue. Tasks that were tried before stand first, in the order of their offers: their apps have
/// paid for their turn already.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
	retried: BTreeMap<u64, Waiting>,
	lines: HashMap<App, Line>,
	turns: BTreeMap<Turn, App>,
	/// The round in which a task was served last.
	round: u64,
	/// How many lines have been begun.
	begun: u64,
	/// Work of the tried tasks.
	retried_work: u64,
	/// How many tasks wait.
	waiting: usize,
}

/// The tasks of one app that were never tried, in the order of their offers. Never empty.
#[derive(Debug)]
struct Line {
	tasks: BTreeMap<u64, Waiting>,
	/// When its first task can be served.
	turn: Turn,
	/// Its credit then: no less than the work of that task, and no more than a quantum above it.
	credit: u64,
	/// Work of all its tasks.
	work: u64,
}

/// A place in the order of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
	round: u64,
	/// Place among the apps, by which those of one round follow each other.
	place: u64,
}

#[derive(Clone, Debug)]
struct Waiting {
	id: TaskId,
	/// In thousandths of a work unit.
	work: u64,
}

/// A task that is next in its queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next<'a> {
	pub(super) id: &'a TaskId,
	/// Whose it is, unless it was tried before.
	pub(super) app: Option<App>,
	/// Its place in the order of offers.
	pub(super) sequence: u64,
}

impl Line {
	fn first(&self) -> &Waiting {
		self.tasks.values().next().expect("lines are never empty; qed")
	}

	/// Finds the turn for the first task, from a turn in `round` that left so much credit.
	fn wait_from(&mut self, round: u64, credit: u64) {
		let quanta = self.first().work.saturating_sub(credit).div_ceil(QUANTUM);
		self.credit = credit + quanta * QUANTUM;
		self.turn.round = round + quanta;
	}
}

impl FairQueue {
	/// A task waits.
	pub(super) fn insert(&mut self, task: &TaskRecord) {
		let waiting = Waiting { id: task.id.clone(), work: task.spec.milliunits() };
		self.waiting += 1;
		if task.attempt > 0 {
			self.retried_work += waiting.work;
			self.retried.insert(task.sequence, waiting);
			return;
		}
		if let Some(line) = self.lines.get_mut(&task.app) {
			line.work += waiting.work;
			line.tasks.insert(task.sequence, waiting);
			return;
		}
		// Behind those that wait for this round, or else an app with one task at a time would always
		// be served twice.
		let turn = Turn { round: self.round, place: self.begun };
		self.begun += 1;
		let work = waiting.work;
		let tasks = BTreeMap::from([(task.sequence, waiting)]);
		let mut line = Line { tasks, turn, credit: 0, work };
		line.wait_from(self.round, 0);
		self.turns.insert(line.turn, task.app);
		self.lines.insert(task.app, line);
	}

	/// A task that is next, or was tried before, gets a miner; whether it was there.
	pub(super) fn serve(&mut self, task: &TaskRecord) -> bool {
		let paid = self.lines.get(&task.app).map(|line| (line.turn.round, line.credit));
		self.take(task, |work| {
			let (round, credit) = paid.unwrap_or_default();
			(round, credit.saturating_sub(work))
		})
	}

	/// A task does not wait any more; whether it was there. If it was the first of its app, that app
	/// waits as if it had just come.
	pub(super) fn remove(&mut self, task: &TaskRecord) -> bool {
		let round = self.round;
		self.take(task, |_| (round, 0))
	}

	/// Takes a task out; `rest` says from which round, and with which credit, its app waits on if it was
	/// its first.
	fn take(&mut self, task: &TaskRecord, rest: impl FnOnce(u64) -> (u64, u64)) -> bool {
		if let Some(waiting) = self.retried.remove(&task.sequence) {
			self.retried_work -= waiting.work;
			self.waiting -= 1;
			return true;
		}
		let Some(line) = self.lines.get_mut(&task.app) else { return false };
		let was_first = line.tasks.keys().next() == Some(&task.sequence);
		let Some(waiting) = line.tasks.remove(&task.sequence) else { return false };
		self.waiting -= 1;
		line.work -= waiting.work;
		if !was_first {
			return true;
		}
		self.turns.remove(&line.turn);
		let (round, credit) = rest(waiting.work);
		self.round = self.round.max(round);
		if line.tasks.is_empty() {
			self.lines.remove(&task.app);
		} else {
			line.wait_from(round, credit);
			self.turns.insert(line.turn, task.app);
		}
		true
	}

	/// The tasks to find a miner for, in order, as far as the order is known: those that were tried
	/// before, then the one whose turn it is.
	pub(super) fn next(&self) -> impl Iterator<Item = Next<'_>> {
		let tried = self.retried.iter().map(|(sequence, waiting)| Next {
			id: &waiting.id,
			app: None,
			sequence: *sequence,
		});
		let fresh = self.turns.values().next().and_then(|app| {
			let (sequence, waiting) = self.lines.get(app)?.tasks.first_key_value()?;
			Some(Next { id: &waiting.id, app: Some(*app), sequence: *sequence })
		});
		tried.chain(fresh)
	}

	/// How many tasks wait.
	pub(super) fn len(&self) -> usize {
		self.waiting
	}

	/// Whether nothing waits.
	pub(super) fn is_empty(&self) -> bool {
		self.waiting == 0
	}

	/// Whether a task waits that was tried before.
	pub(super) fn has_retried(&self) -> bool {
		!self.retried.is_empty()
	}

	/// About how much work would be served before a new task of an app, in thousandths of a unit:
	/// everything of its own, and of every other app as much as that, with the task, comes to.
	pub(super) fn work_ahead(&self, app: &App, work: u64) -> u64 {
		let own = self.lines.get(app).map_or(0, |line| line.work);
		let others = self.lines.iter().filter(|(other, _)| *other != app);
		let others: u64 = others.map(|(_, line)| line.work.min(own + work)).sum();
		self.retried_work + own + others
	}

	/// All tasks in it, with what must hold of it checked.
	#[cfg(test)]
	pub(super) fn checked(&self) -> Vec<TaskId> {
		let mut all: Vec<TaskId> = self.retried.values().map(|task| task.id.clone()).collect();
		assert_eq!(self.retried.values().map(|task| task.work).sum::<u64>(), self.retried_work);
		assert_eq!(self.turns.len(), self.lines.len());
		for (app, line) in &self.lines {
			assert_eq!(self.turns.get(&line.turn), Some(app));
			assert!(line.turn.round >= self.round, "a turn was passed over");
			assert!((line.first().work..line.first().work + QUANTUM).contains(&line.credit));
			assert_eq!(line.tasks.values().map(|task| task.work).sum::<u64>(), line.work);
			all.extend(line.tasks.values().map(|task| task.id.clone()));
		}
		assert_eq!(all.len(), self.waiting);
		all
	}
}

/// When each app was served last, over all models: among queues that could be served, the one goes first
/// whose next app has waited longest for that.
#[derive(Debug, Default)]
pub(super) struct LastServed {
	by_app: HashMap<App, u64>,
	count: u64,
}

impl LastServed {
	/// The app is being served.
	pub(super) fn note(&mut self, app: App) {
		if self.by_app.len() >= MAX_SERVED {
			self.by_app.clear();
		}
		self.count += 1;
		self.by_app.insert(app, self.count);
	}

	/// The place of a queue's next task among those of other queues; the least is first.
	pub(super) fn place(&self, next: &Next) -> (u64, u64) {
		let served = next.app.map_or(0, |app| self.by_app.get(&app).map_or(1, |at| at + 1));
		(served, next.sequence)
	}

	/// Nothing waits any more: everybody starts anew.
	pub(super) fn forget(&mut self) {
		self.by_app.clear();
	}
}

#[cfg(test)]
mod tests;
