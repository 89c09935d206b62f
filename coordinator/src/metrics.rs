//! What is counted and timed, for Prometheus. Every label has a fixed set of values: no metric grows
//! with tasks, apps or miners.

use crate::scheduler::{Change, Millis, What};
use axum::{
	extract::{MatchedPath, Request, State},
	middleware::Next,
	response::Response,
};
use cuckoo_coordinator_api::{
	error::Code,
	task::{TaskId, TaskState},
};
use prometheus_client::{
	encoding::text::encode,
	metrics::{
		counter::Counter,
		family::Family,
		gauge::Gauge,
		histogram::{exponential_buckets, Histogram},
	},
	registry::{Metric, Registry, Unit},
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The form in which [`Metrics::encode`] answers.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One label: its name, and a value of a fixed set.
type Label = [(&'static str, &'static str); 1];
type Counters = Family<Label, Counter>;
type Gauges = Family<Label, Gauge>;

/// Seconds of a stage of a task: from 10 ms to 11 minutes, the longest that a task may take by default.
fn stage_histogram() -> Histogram {
	Histogram::new(exponential_buckets(0.01, 2.0, 17))
}

/// Seconds of something that takes milliseconds: from half a millisecond to 16 s.
fn short_histogram() -> Histogram {
	Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
}

/// Everything that is counted.
pub struct Metrics {
	registry: Registry,
	offered: Counter,
	ended: Counters,
	attempts: Counters,
	stages: Family<Label, Histogram, fn() -> Histogram>,
	answers: Family<AnswerLabels, Counter>,
	refusals: Family<RefusalLabels, Counter>,
	connections: Gauges,
	connections_refused: Counters,
	/// Pictures that miners uploaded, by whether they were kept.
	pub(crate) uploads: Uploads,
	/// Messages to apps.
	pub(crate) webhooks: Webhooks,
	tasks: Gauges,
	miners: Gauges,
	block: Gauge,
	registry_age: Gauge,
	accepting: Gauge,
	memory: Gauge,
}

type AnswerLabels = [(&'static str, Cow<'static, str>); 3];
type RefusalLabels = [(&'static str, Cow<'static, str>); 2];

/// What is counted of the pictures that miners upload.
#[derive(Clone)]
pub(crate) struct Uploads {
	/// Kept or refused.
	outcomes: Counters,
	/// Bytes of the kept ones.
	bytes: Counter,
	/// From the request to the answer.
	seconds: Histogram,
	/// To decode and check one.
	pub(crate) check_seconds: Histogram,
}

/// What is counted of messages to apps.
#[derive(Clone)]
pub(crate) struct Webhooks {
	outcomes: Counters,
	seconds: Histogram,
	pending: Gauge,
}

/// What is counted of the store; the journal has it from its start.
#[derive(Clone)]
pub(crate) struct StoreMetrics {
	/// To write a group durably.
	pub(crate) commit_seconds: Histogram,
	/// Entries of a group.
	pub(crate) group_entries: Histogram,
}

impl Default for StoreMetrics {
	fn default() -> Self {
		Self {
			commit_seconds: short_histogram(),
			group_entries: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
		}
	}
}

/// How the coordinator is when somebody asks.
pub(crate) struct Snapshot {
	/// Tasks that wait for a miner.
	pub(crate) queued: usize,
	/// Tasks that a miner holds.
	pub(crate) running: usize,
	/// Active registered miners.
	pub(crate) registered: usize,
	/// Those that are connected and were heard of lately.
	pub(crate) live: usize,
	/// The finalized block of the registry.
	pub(crate) block: u64,
	/// Since when that is known.
	pub(crate) registry_age: Duration,
	/// Whether offers are taken.
	pub(crate) accepting: bool,
}

/// Since when each task that has not ended is in its stage, as far as that was seen.
#[derive(Debug, Default)]
pub(crate) struct Stages {
	since: HashMap<TaskId, Millis>,
}

impl Stages {
	/// Seconds since the stage of a task began, which ends `now` as the next one begins.
	fn next(&mut self, id: &TaskId, now: Millis) -> Option<f64> {
		let before = self.since.insert(id.clone(), now)?;
		Some(seconds(before, now))
	}
}

fn seconds(from: Millis, to: Millis) -> f64 {
	to.saturating_sub(from) as f64 / 1000.0
}

impl Metrics {
	/// Nothing has been counted yet but what `store` counts.
	pub(crate) fn new(store: &StoreMetrics) -> Self {
		let mut registry = Registry::default();
		let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
		let start_time = Gauge::<i64>::default();
		start_time.set(start.as_secs().cast_signed());
		registry.register_with_unit(
			"process_start_time",
			"When the program started, in seconds since the Unix epoch",
			Unit::Seconds,
			start_time,
		);
		let memory = Gauge::default();
		registry.register_with_unit(
			"process_resident_memory",
			"Memory that the program holds",
			Unit::Bytes,
			memory.clone(),
		);
		let mut add = Adder { registry: registry.sub_registry_with_prefix("cuckoo") };
		let build = Gauges::default();
		build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
		add.metric("build_info", "The version of this program", build);
		let uploads = Uploads {
			outcomes: add.add("uploads", "Pictures that miners uploaded, by outcome"),
			bytes: add.add("upload_bytes", "Bytes of the uploaded pictures that were kept"),
			seconds: add.seconds(
				"upload",
				"From the request to the answer of an upload",
				short_histogram(),
			),
			check_seconds: add.seconds(
				"picture_check",
				"To decode an uploaded picture and check it",
				short_histogram(),
			),
		};
		add.seconds("store_commit", "To write a group of entries", store.commit_seconds.clone());
		add.metric(
			"store_group_entries",
			"Entries that were written as one group",
			store.group_entries.clone(),
		);
		let webhooks = Webhooks {
			outcomes: add.add("webhook_tries", "Messages to apps that were sent, by outcome"),
			seconds: add.seconds("webhook", "To send one, until its answer", short_histogram()),
			pending: add.add("webhooks_pending", "Messages to apps that have not been received"),
		};
		let (offered, ended, attempts, stages, answers, refusals) = (
			add.add("tasks_offered", "Tasks that were taken in"),
			add.add("tasks_ended", "Tasks that have ended, by their last state"),
			add.add("attempts", "Leases, and what became of them"),
			Family::new_with_constructor(stage_histogram as fn() -> Histogram),
			add.add("http_answers", "Answers over HTTP, by listener, route and status"),
			add.add("refusals", "Requests and calls that were refused, by listener and code"),
		);
		add.seconds(
			"task_stage",
			"How long tasks are in a stage: queued, pickup (drawn to told), render (told to result); \
			total is from the offer of tasks that are done",
			Family::clone(&stages),
		);
		Self {
			offered,
			ended,
			attempts,
			stages,
			answers,
			refusals,
			connections: add.add("connections", "Open connections, by listener"),
			connections_refused: add.add(
				"connections_refused",
				"Connections that were closed because there were too many, by listener",
			),
			uploads,
			webhooks,
			tasks: add.add("tasks", "Tasks that have not ended, by what they are"),
			miners: add.add("miners", "Active registered miners, and those of them that are live"),
			block: add.add("registry_block", "The finalized block to which the registry belongs"),
			registry_age: add.seconds(
				"registry_age",
				"Since the registry was read",
				Gauge::default(),
			),
			accepting: add.add("accepting", "1 while offers are taken, 0 when going down"),
			memory,
			registry,
		}
	}

	/// Counts what has happened to a task.
	pub(crate) fn see(&self, stages: &mut Stages, change: &Change) {
		let Change { event: Some(event), record, .. } = change else { return };
		let id = &record.id;
		match &event.what {
			What::Offered { .. } => {
				self.offered.inc();
				stages.next(id, event.at);
			},
			What::Leased(_) => {
				self.attempt("leased");
				self.stage("queued", stages.next(id, event.at));
			},
			What::Submitted => self.stage("render", stages.next(id, event.at)),
			What::Rejected => {
				self.attempt("rejected");
				stages.next(id, event.at);
			},
			What::Returned { fault, .. } => {
				self.attempt(if fault.is_some() { "failed" } else { "returned" });
				stages.next(id, event.at);
			},
			What::Accepted { .. } => {
				self.attempt("accepted");
				self.stage("total", Some(seconds(record.offered_at, event.at)));
				self.end(stages, id, TaskState::Done);
			},
			What::Ended { state, .. } => self.end(stages, id, *state),
		}
	}

	/// Counts that a miner was told of a task.
	pub(crate) fn picked_up(&self, stages: &mut Stages, id: &TaskId, now: Millis) {
		self.stage("pickup", stages.next(id, now));
	}

	fn end(&self, stages: &mut Stages, id: &TaskId, state: TaskState) {
		stages.since.remove(id);
		let state = match state {
			TaskState::Done => "done",
			TaskState::Failed => "failed",
			TaskState::Cancelled => "cancelled",
			_ => "expired",
		};
		self.ended.get_or_create(&[("state", state)]).inc();
	}

	fn attempt(&self, event: &'static str) {
		self.attempts.get_or_create(&[("event", event)]).inc();
	}

	fn stage(&self, stage: &'static str, seconds: Option<f64>) {
		if let Some(seconds) = seconds {
			self.stages.get_or_create(&[("stage", stage)]).observe(seconds);
		}
	}

	/// What is counted of a listener.
	pub fn listener(self: &Arc<Self>, name: &'static str) -> ListenerMetrics {
		ListenerMetrics { metrics: self.clone(), name }
	}

	/// Everything in the text form of OpenMetrics, which Prometheus reads.
	pub(crate) fn encode(&self, now: &Snapshot) -> String {
		let set = |gauges: &Gauges, label, value, number: usize| {
			gauges.get_or_create(&[(label, value)]).set(number.cast_signed() as i64);
		};
		set(&self.tasks, "state", "queued", now.queued);
		set(&self.tasks, "state", "running", now.running);
		set(&self.miners, "state", "registered", now.registered);
		set(&self.miners, "state", "live", now.live);
		self.block.set(now.block.cast_signed());
		self.registry_age.set(now.registry_age.as_secs().cast_signed());
		self.accepting.set(now.accepting.into());
		self.memory.set(resident_bytes().unwrap_or_default());
		let mut text = String::new();
		encode(&mut text, &self.registry).expect("text can be written to a string; qed");
		text
	}
}

/// Adds metrics to a registry.
struct Adder<'a> {
	registry: &'a mut Registry,
}

impl Adder<'_> {
	fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
		self.metric(name, help, M::default())
	}

	fn metric<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
		self.registry.register(name, help, metric.clone());
		metric
	}

	fn seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
		self.registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
		metric
	}
}

/// What the program holds in memory, as Linux has it.
fn resident_bytes() -> Option<i64> {
	let status = std::fs::read_to_string("/proc/self/status").ok()?;
	let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
	let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
	Some(kibibytes * 1024)
}

impl Uploads {
	/// An upload was answered.
	pub(crate) fn answered(&self, kept: bool, took: Duration) {
		let outcome = if kept { "kept" } else { "refused" };
		self.outcomes.get_or_create(&[("outcome", outcome)]).inc();
		self.seconds.observe(took.as_secs_f64());
	}

	/// A picture of so many bytes was kept.
	pub(crate) fn kept(&self, bytes: u64) {
		self.bytes.inc_by(bytes);
	}
}

impl Webhooks {
	/// A message was sent.
	pub(crate) fn sent(&self, outcome: &'static str, took: Duration) {
		self.outcomes.get_or_create(&[("outcome", outcome)]).inc();
		self.seconds.observe(took.as_secs_f64());
	}

	/// So many have not been received.
	pub(crate) fn pending(&self, messages: usize) {
		self.pending.set(messages.cast_signed() as i64);
	}
}

/// The name of a code as programs see it.
fn code_name(code: Code) -> String {
	let name = serde_json::to_value(code).ok();
	name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What is counted of one listener.
#[derive(Clone)]
pub struct ListenerMetrics {
	metrics: Arc<Metrics>,
	name: &'static str,
}

impl ListenerMetrics {
	/// A connection is open until the answer is dropped.
	pub(crate) fn connection(&self) -> OpenConnection {
		let open = self.metrics.connections.get_or_create(&[("listener", self.name)]).clone();
		open.inc();
		OpenConnection(open)
	}

	/// A connection was closed because there are too many.
	pub(crate) fn connection_refused(&self) {
		self.metrics.connections_refused.get_or_create(&[("listener", self.name)]).inc();
	}

	/// Something was refused.
	pub(crate) fn refused(&self, code: Code) {
		let labels = [("listener", self.name.into()), ("code", code_name(code).into())];
		self.metrics.refusals.get_or_create(&labels).inc();
	}
}

/// A connection that counts until it is dropped.
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
	fn drop(&mut self) {
		self.0.dec();
	}
}

/// Counts an answer, and the refusal that it is if it carries a [`Code`] among its extensions. To be
/// put around the routes of a listener.
pub async fn count_answer(
	State(listener): State<ListenerMetrics>,
	request: Request,
	next: Next,
) -> Response {
	let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
	let response = next.run(request).await;
	let labels = [
		("listener", listener.name.into()),
		("route", path.map_or("none".into(), Cow::from)),
		("status", response.status().as_str().to_owned().into()),
	];
	listener.metrics.answers.get_or_create(&labels).inc();
	if let Some(code) = response.extensions().get::<Code>() {
		listener.refused(*code);
	}
	response
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn times_are_those_between_the_stages() {
		let mut stages = Stages::default();
		let id = TaskId::from_bytes([1; 16]);
		assert_eq!(stages.next(&id, 1_000), None, "nobody knows what was before");
		assert_eq!(stages.next(&id, 3_500), Some(2.5));
		assert_eq!(stages.next(&id, 3_500), Some(0.0));
	}

	#[test]
	fn an_open_connection_counts_until_it_is_dropped() {
		let metrics = Arc::new(Metrics::new(&StoreMetrics::default()));
		let open = metrics.listener("apps").connection();
		let gauge = metrics.connections.get_or_create(&[("listener", "apps")]).clone();
		assert_eq!(gauge.get(), 1);
		drop(open);
		assert_eq!(gauge.get(), 0);
	}

	#[test]
	fn the_memory_is_known() {
		assert!(resident_bytes().unwrap() > 1 << 20);
	}
}
