//! The way from the scheduler to the disk. Entries are appended in order, in microseconds; one thread
//! writes all that have gathered while the last group was on its way to the disk as the next group.
//! What followers and readers see of a task is what has been written.

use super::{Durability, Entry, StoreError, TaskStore, Upload, Written};
use crate::metrics::StoreMetrics;
use crate::scheduler::{Change, Event, TaskRecord, Version};
use crate::webhooks::{Delivery, Due};
use cuckoo_coordinator_api::{
	assignment::AssignmentRecord,
	error::{Code, Refusal},
	task::TaskId,
};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How long what is not durable yet may stay so, where answers do not wait for it.
const FLUSH: Duration = Duration::from_secs(1);

/// The journal. See the [module](self). When it is dropped, what was appended is written first.
pub struct Journal {
	shared: Arc<Shared>,
	writer: Option<JoinHandle<()>>,
}

/// What comes out of a journal, to be done by others.
pub struct Outflow {
	/// Names of pictures that nobody needs any more.
	pub garbage: mpsc::UnboundedReceiver<String>,
	/// Messages to apps that are to be sent.
	pub deliveries: mpsc::UnboundedReceiver<Due>,
}

struct Shared {
	store: Box<dyn TaskStore>,
	queue: Mutex<Queue>,
	/// Rung when something was appended.
	bell: Condvar,
	/// Each task that has not ended, as it was written last, with those who follow it.
	live: Mutex<HashMap<TaskId, watch::Sender<Arc<TaskRecord>>>>,
	progress: watch::Sender<Progress>,
	/// Numbers of the appendices with a change that did not hold.
	refused: Mutex<BTreeSet<u64>>,
	/// Where the names of pictures go that nobody needs any more.
	garbage: mpsc::UnboundedSender<String>,
	/// Where messages to apps go that are to be sent.
	deliveries: mpsc::UnboundedSender<Due>,
	metrics: StoreMetrics,
}

#[derive(Default)]
struct Queue {
	entries: Vec<(u64, Entry)>,
	/// How often something was appended.
	appended: u64,
	closed: bool,
}

#[derive(Clone, Default)]
struct Progress {
	/// Everything up to this appendix has been written.
	written: u64,
	/// Why nothing more can be written.
	failure: Option<Arc<str>>,
}

impl Journal {
	/// Starts the writer on a store in which these tasks are unfinished.
	pub fn start(
		store: Box<dyn TaskStore>,
		unfinished: &[TaskRecord],
		durability: Durability,
	) -> (Self, Outflow) {
		let (garbage, removed) = mpsc::unbounded_channel();
		let (deliveries, due) = mpsc::unbounded_channel();
		let live = unfinished
			.iter()
			.map(|record| (record.id.clone(), watch::channel(Arc::new(record.clone())).0))
			.collect();
		let shared = Arc::new(Shared {
			store,
			queue: Mutex::default(),
			bell: Condvar::new(),
			live: Mutex::new(live),
			progress: watch::channel(Progress::default()).0,
			refused: Mutex::default(),
			garbage,
			deliveries,
			metrics: StoreMetrics::default(),
		});
		let versions = unfinished.iter().map(|record| (record.id.clone(), record.version()));
		let writer = Writer { shared: shared.clone(), durability, versions: versions.collect() };
		let writer = thread::Builder::new()
			.name("store".into())
			.spawn(move || writer.run())
			.expect("the system can start a thread; qed");
		let outflow = Outflow { garbage: removed, deliveries: due };
		(Self { shared, writer: Some(writer) }, outflow)
	}

	/// What is counted of the store.
	pub(crate) fn metrics(&self) -> &StoreMetrics {
		&self.shared.metrics
	}

	/// Appends entries; the number to wait for with [`Self::written`]. Without entries it is the number
	/// of what was appended last.
	pub fn append(&self, entries: Vec<Entry>) -> u64 {
		let mut queue = self.shared.queue.lock();
		if !entries.is_empty() {
			queue.appended += 1;
			let number = queue.appended;
			queue.entries.extend(entries.into_iter().map(|entry| (number, entry)));
			self.shared.bell.notify_one();
		}
		queue.appended
	}

	/// Waits until everything up to an appendix is written.
	///
	/// # Errors
	///
	/// `INTERNAL` if it cannot be, or if the change did not hold.
	pub async fn written(&self, number: u64) -> Result<(), Refusal> {
		let mut progress = self.shared.progress.subscribe();
		let there = |progress: &Progress| progress.written >= number || progress.failure.is_some();
		let written = progress.wait_for(there).await.is_ok_and(|seen| seen.written >= number);
		if written && !self.shared.refused.lock().contains(&number) {
			Ok(())
		} else {
			Err(Refusal::new(
				Code::Internal,
				"this could not be kept; look at the coordinator's log",
			))
		}
	}

	/// Waits until nothing more can be written, and says why.
	pub async fn failed(&self) -> String {
		let mut progress = self.shared.progress.subscribe();
		let failed = progress.wait_for(|progress| progress.failure.is_some()).await;
		failed
			.ok()
			.and_then(|progress| progress.failure.as_deref().map(str::to_owned))
			.unwrap_or_else(|| "the store has ended".into())
	}

	/// A task as it was written last. May read from the disk if the task has ended.
	pub fn task(&self, id: &TaskId) -> Result<Option<Arc<TaskRecord>>, StoreError> {
		let live = self.shared.live.lock().get(id).map(|task| task.borrow().clone());
		match live {
			Some(record) => Ok(Some(record)),
			None => Ok(self.shared.store.task(id)?.map(Arc::new)),
		}
	}

	/// A task as it was written last, and after each change until its end.
	pub fn follow(
		&self,
		id: &TaskId,
	) -> Result<Option<watch::Receiver<Arc<TaskRecord>>>, StoreError> {
		if let Some(task) = self.shared.live.lock().get(id) {
			return Ok(Some(task.subscribe()));
		}
		let ended = self.shared.store.task(id)?;
		Ok(ended.map(|record| watch::channel(Arc::new(record)).1))
	}

	/// All that happened to a task. Reads from the disk.
	pub fn events(&self, id: &TaskId) -> Result<Vec<Event>, StoreError> {
		self.shared.store.events(id)
	}

	/// How miners were drawn for a task. Reads from the disk.
	pub fn assignment(&self, id: &TaskId) -> Result<Option<AssignmentRecord>, StoreError> {
		self.shared.store.assignment(id)
	}

	/// How miners were drawn for the tasks from a sequence number on, at most `most` of them. Reads from
	/// the disk.
	pub fn assignments(&self, from: u64, most: usize) -> Result<Vec<AssignmentRecord>, StoreError> {
		self.shared.store.assignments(from, most)
	}

	/// The sequence numbers of the tasks for which that is kept. Reads from the disk.
	pub fn assigned(&self) -> Result<Range<u64>, StoreError> {
		self.shared.store.assigned()
	}

	/// A message to an app that has not been received yet. Reads from the disk.
	pub(crate) fn delivery(&self, number: u64) -> Result<Option<Delivery>, StoreError> {
		self.shared.store.delivery(number)
	}

	/// A picture of an attempt. Reads from the disk.
	pub fn upload(
		&self,
		id: &TaskId,
		attempt: u32,
		index: u32,
	) -> Result<Option<Upload>, StoreError> {
		self.shared.store.upload(id, attempt, index)
	}
}

impl Drop for Journal {
	fn drop(&mut self) {
		self.shared.queue.lock().closed = true;
		self.shared.bell.notify_one();
		if let Some(writer) = self.writer.take() {
			if writer.join().is_err() {
				tracing::error!("the writer of the store has panicked");
			}
		}
	}
}

/// What runs in the thread of the writer.
struct Writer {
	shared: Arc<Shared>,
	durability: Durability,
	/// Where each task is that has not ended.
	versions: HashMap<TaskId, Version>,
}

impl Writer {
	fn run(mut self) {
		let mut flushed = Instant::now();
		let mut pending = false;
		loop {
			let due = pending.then(|| flushed + FLUSH);
			let (entries, appended, closed) = self.next(due);
			let ends = entries.is_empty() && closed;
			let mut outcome = self.write(entries);
			pending |= self.durability == Durability::Eventual;
			if outcome.is_ok() && pending && (ends || flushed.elapsed() >= FLUSH) {
				outcome = self.shared.store.sync();
				(flushed, pending) = (Instant::now(), false);
			}
			if let Err(error) = outcome {
				tracing::error!(%error, "nothing more can be kept");
				let failure = Some(error.to_string().into());
				self.shared.progress.send_modify(|progress| progress.failure = failure);
				return;
			}
			self.shared.progress.send_if_modified(|progress| {
				std::mem::replace(&mut progress.written, appended) != appended
			});
			if ends {
				return;
			}
		}
	}

	/// Waits for entries, for the end, or until `due`: all entries, the number of the last appendix,
	/// and whether there will be no more.
	fn next(&self, due: Option<Instant>) -> (Vec<(u64, Entry)>, u64, bool) {
		let mut queue = self.shared.queue.lock();
		while queue.entries.is_empty() && !queue.closed {
			match due {
				None => self.shared.bell.wait(&mut queue),
				Some(due) if self.shared.bell.wait_until(&mut queue, due).timed_out() => break,
				Some(_) => {},
			}
		}
		(std::mem::take(&mut queue.entries), queue.appended, queue.closed)
	}

	/// Writes a group, then shows it.
	fn write(&mut self, entries: Vec<(u64, Entry)>) -> Result<(), StoreError> {
		let mut group = Vec::with_capacity(entries.len());
		let mut shown = Vec::new();
		for (number, entry) in entries {
			if let Entry::Change(change) = &entry {
				if !self.holds(change) {
					let mut refused = self.shared.refused.lock();
					refused.insert(number);
					continue;
				}
				shown.push(change.record.clone());
				if change.event.is_none() {
					continue;
				}
			}
			group.push(entry);
		}
		if !group.is_empty() {
			let begin = Instant::now();
			let Written { garbage, deliveries } = self.shared.store.write(&group)?;
			self.shared.metrics.commit_seconds.observe(begin.elapsed().as_secs_f64());
			self.shared.metrics.group_entries.observe(group.len() as f64);
			for name in garbage {
				// Nobody listens any more: what is left is swept at the next start.
				let _ = self.shared.garbage.send(name);
			}
			for due in deliveries {
				// Likewise: what is left is sent after the next start.
				let _ = self.shared.deliveries.send(due);
			}
		}
		let mut live = self.shared.live.lock();
		for record in shown {
			let (id, ended) = (record.id.clone(), record.state.is_final());
			let task = live.entry(id.clone()).or_insert_with(|| watch::channel(record.clone()).0);
			task.send_replace(record);
			if ended {
				live.remove(&id);
			}
		}
		Ok(())
	}

	/// Whether a change starts from where its task is; if so, the task is where the change ends.
	fn holds(&mut self, change: &Change) -> bool {
		let id = &change.record.id;
		let found = self.versions.get(id);
		if found != change.from.as_ref() {
			let (expected, event) = (&change.from, &change.event);
			tracing::error!(task = %id, ?found, ?expected, ?event, "a change that does not hold is refused");
			return false;
		}
		if change.record.state.is_final() {
			self.versions.remove(id);
		} else {
			self.versions.insert(id.clone(), change.record.version());
		}
		true
	}
}
