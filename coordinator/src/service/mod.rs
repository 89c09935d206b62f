//! The scheduler at work: with a clock, a store, the sessions of the miners and those who wait for
//! tasks to change. All of it sits behind one lock that is held for microseconds and never across a
//! wait.
//!
//! What happens under the lock is appended to the [journal](crate::store) under the lock, so in order.
//! An answer goes out when what it tells of has been written; so does what followers see.
//!
//! - `apps`: what apps may do; `draws`: how miners were drawn; `miners`: what miners may do; `accounts`:
//!   who apps are and what their operator may do with them;
//! - `quote`: what a task would take; `wait`: how long it would wait;
//! - `deliveries`: messages to apps on their way;
//! - `observation`: what the machinery around it may see; `network`: what people may see;
//! - `verification`: whether a result is what was asked for.

mod accounts;
mod apps;
mod clock;
mod deliveries;
mod draws;
mod miners;
mod network;
mod observation;
mod quote;
mod verification;
mod wait;

pub(crate) use apps::unknown_task;
pub(crate) use clock::wall_clock;
pub(crate) use miners::random_token;
pub use observation::{Health, Readiness};

use crate::accounts::{Accounts, AppOptions};
use crate::assignment::late_draw::LateDraw;
use crate::assignment::vrf::Drawer;
use crate::metrics::{Metrics, Stages};
use crate::registry::{Operator, RegistrySnapshot};
use crate::scheduler::{App, Effects, Millis, Scheduler, SchedulerOptions, TaskRecord};
use crate::sessions::Sessions;
use crate::store::{Entry, Journal, Outflow, Pictures, Store, StoreError, Upload};
use crate::webhooks::{Due, Sender, WebhookOptions};
use clock::SteadyClock;
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	signing::Audience,
	task::TaskId,
};
use parking_lot::Mutex;
use rand_chacha::ChaCha20Rng;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep, Instant, MissedTickBehavior};
use wait::TaskTimes;

/// How often the scheduler looks at the clock.
const TICK: Duration = Duration::from_millis(200);
/// How often what was kept long enough is removed.
const PRUNE: Duration = Duration::from_secs(10);

/// Who this coordinator is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
	/// Genesis hash of its chain.
	pub genesis: [u8; 32],
	/// Public key of its operator account.
	pub operator: [u8; 32],
	/// The same as an SS58 address.
	pub operator_address: String,
	/// SS58 address of its stash.
	pub stash: String,
}

impl Identity {
	/// For whom messages to this coordinator are signed.
	pub fn audience(&self) -> Audience {
		Audience { genesis: self.genesis, coordinator: self.operator }
	}
}

/// The coordinator without its listeners. See the [module](self).
pub struct Service {
	identity: Identity,
	clock: SteadyClock,
	state: Mutex<State>,
	journal: Journal,
	pictures: Pictures,
	metrics: Arc<Metrics>,
	/// What was last told of the network, and when.
	network: Mutex<network::Answer>,
	/// When it started.
	started_at: Millis,
	webhooks: Sender,
	/// Messages to apps that an earlier run has left.
	left_deliveries: Mutex<Vec<Due>>,
	/// Messages to apps that are to be sent.
	deliveries: tokio::sync::Mutex<mpsc::UnboundedReceiver<Due>>,
	/// Names of pictures that nobody needs any more.
	garbage: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
	/// Whether those who wait are to be answered because the coordinator goes down.
	down: watch::Sender<bool>,
}

struct State {
	scheduler: Scheduler,
	/// Pictures of tasks that have not ended, by attempt and index.
	uploads: HashMap<TaskId, HashMap<(u32, u32), Upload>>,
	sessions: Sessions,
	accounts: Accounts,
	/// Names, seeds and leases come from it: a cryptographic generator.
	rng: ChaCha20Rng,
	/// How long tasks took lately.
	times: TaskTimes,
	/// Since when tasks are in their stages.
	stages: Stages,
	/// The finalized block to which the registry belongs.
	block: u64,
	/// When that was read.
	registry_read: Option<Instant>,
}

impl Service {
	/// A coordinator that knows no miners yet, and goes on with the tasks that are unfinished in the
	/// store. The generator is to be seeded by the operating system, as leases and sessions come from
	/// it; the key of `drawer` is that of the operator.
	pub fn new(
		identity: Identity,
		options: SchedulerOptions,
		drawer: Drawer,
		store: Store,
		rng: ChaCha20Rng,
	) -> Self {
		let Store { journal, pictures, unfinished, outflow } = store;
		let Outflow { garbage, deliveries } = outflow;
		let clock = SteadyClock::start_after(unfinished.latest);
		let mut scheduler = Scheduler::new(options, drawer);
		let accounts = Accounts::new(AppOptions::default(), unfinished.accounts, &unfinished.tasks);
		if !unfinished.tasks.is_empty() {
			tracing::info!(tasks = unfinished.tasks.len(), "going on with unfinished tasks");
		}
		scheduler.restore(unfinished.tasks, unfinished.next_sequence, clock.now());
		let mut uploads: HashMap<TaskId, HashMap<_, _>> = HashMap::new();
		for ((id, attempt, index), upload) in unfinished.uploads {
			uploads.entry(id).or_default().insert((attempt, index), upload);
		}
		let sessions = Sessions::default();
		Self {
			identity,
			network: Mutex::default(),
			started_at: clock.now(),
			clock,
			state: Mutex::new(State {
				scheduler,
				uploads,
				sessions,
				accounts,
				rng,
				times: TaskTimes::default(),
				stages: Stages::default(),
				block: 0,
				registry_read: None,
			}),
			metrics: Arc::new(Metrics::new(journal.metrics())),
			journal,
			pictures,
			webhooks: Sender::new(WebhookOptions::default()),
			left_deliveries: Mutex::new(unfinished.deliveries),
			deliveries: tokio::sync::Mutex::new(deliveries),
			garbage: tokio::sync::Mutex::new(garbage),
			down: watch::channel(false).0,
		}
	}

	/// Sends messages to apps in this way.
	#[must_use]
	pub fn with_webhooks(self, options: WebhookOptions) -> Self {
		Self { webhooks: Sender::new(options), ..self }
	}

	/// Has other rules for apps than that everybody may do everything for nothing.
	#[must_use]
	pub fn with_apps(self, options: AppOptions) -> Self {
		self.state.lock().accounts.set_options(options);
		self
	}

	/// Who this coordinator is.
	pub fn identity(&self) -> &Identity {
		&self.identity
	}

	/// Keeps time, follows the registry, sends messages to apps and removes what need not be kept, for as
	/// long as all last. Never ends by itself.
	pub async fn run(&self, registry: watch::Receiver<Arc<RegistrySnapshot>>) {
		tokio::join!(self.keep_time(registry), self.deliver(), self.clear_up());
	}

	async fn keep_time(&self, mut registry: watch::Receiver<Arc<RegistrySnapshot>>) {
		let mut tick = interval(TICK);
		tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
		let mut prune = interval(PRUNE);
		prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
		registry.mark_changed();
		let mut followed = true;
		loop {
			tokio::select! {
				_ = tick.tick() => self.with(|state, now| state.scheduler.tick(now, &mut state.rng)),
				_ = prune.tick() => {
					self.journal.append(vec![Entry::Prune { now: self.clock.now() }]);
				},
				changed = registry.changed(), if followed => match changed {
					Ok(()) => {
						let snapshot = registry.borrow_and_update().clone();
						self.set_registry(&snapshot);
					},
					// Nobody feeds it any more: go on with what is known.
					Err(_) => followed = false,
				},
			}
		}
	}

	async fn clear_up(&self) {
		let swept = self
			.pictures
			.sweep(|id, attempt, index, name| match self.journal.upload(id, attempt, index) {
				Ok(upload) => upload.is_some_and(|upload| upload.name == name),
				Err(error) => {
					tracing::error!(%error, "a picture is kept although it may be of no use");
					true
				},
			})
			.await;
		if swept > 0 {
			tracing::info!(swept, "removed pictures that nobody needs");
		}
		let mut garbage = self.garbage.lock().await;
		while let Some(name) = garbage.recv().await {
			self.pictures.remove(&name).await;
		}
	}

	/// Waits until nothing more can be kept, and says why: the coordinator must end then.
	pub async fn failed(&self) -> String {
		self.journal.failed().await
	}

	fn set_registry(&self, snapshot: &RegistrySnapshot) {
		self.with(|state, now| {
			tracing::debug!(
				block = snapshot.block,
				miners = snapshot.miners.len(),
				"registry read"
			);
			state.block = snapshot.block;
			state.registry_read = Some(Instant::now());
			state.scheduler.set_registry(snapshot, now, &mut state.rng);
		});
	}

	/// Takes no offers and starts no attempts any more, and waits until the tasks that miners are at
	/// work on have ended, at most for `grace`. Then those who wait are answered, and all sessions end.
	/// What has not ended goes on when the coordinator starts again.
	pub async fn drain(&self, grace: Duration) {
		let deadline = Instant::now() + grace;
		self.with(|state, now| state.scheduler.drain(now));
		while self.with(|state, _| state.scheduler.running()) > 0 && Instant::now() < deadline {
			sleep(Duration::from_millis(50)).await;
		}
		let ended = self.promise(|state, _| state.sessions.end_all()).await;
		if let Err(refusal) = ended {
			tracing::error!(%refusal, "the last changes are not kept");
		}
		self.down.send_replace(true);
	}

	/// Runs `act` on the state, then appends what has changed and tells those concerned.
	fn with<R>(&self, act: impl FnOnce(&mut State, Millis) -> R) -> R {
		self.numbered(act).0
	}

	/// Likewise; the answer waits until everything is kept that it tells of.
	///
	/// # Errors
	///
	/// `INTERNAL` if it cannot be kept.
	async fn promise<R>(&self, act: impl FnOnce(&mut State, Millis) -> R) -> Result<R, Refusal> {
		let (result, number) = self.numbered(act);
		self.journal.written(number).await?;
		Ok(result)
	}

	/// Likewise, without waiting; the number in the journal to wait for.
	fn numbered<R>(&self, act: impl FnOnce(&mut State, Millis) -> R) -> (R, u64) {
		let mut state = self.state.lock();
		let result = act(&mut state, self.clock.now());
		let Effects { changed, assigned, unregistered, abandoned } = state.scheduler.take_effects();
		let mut entries = Vec::with_capacity(changed.len() + abandoned.len());
		for (id, attempt) in abandoned {
			if let Some(uploads) = state.uploads.get_mut(&id) {
				uploads.retain(|(of, _), _| *of != attempt);
			}
			entries.push(Entry::Abandon { id, attempt });
		}
		let (mut happened, mut drawn) = (Vec::new(), Vec::new());
		for change in changed {
			if change.event.is_some() {
				happened.push(change.record.clone());
			}
			drawn.extend(change.draw.clone());
			state.times.see(&change.record);
			self.metrics.see(&mut state.stages, &change);
			state.accounts.follow(&change);
			if change.record.state.is_final() {
				state.uploads.remove(&change.record.id);
			}
			entries.push(Entry::Change(Box::new(change)));
		}
		let number = self.journal.append(entries);
		for operator in assigned {
			state.sessions.wake(&operator);
		}
		for operator in unregistered {
			tracing::info!(miner = %operator, "not registered as active any more: its session ends");
			state.sessions.end(&operator);
		}
		drop(state);
		// What takes long and nobody waits for but those whom it concerns. The store's writer makes the
		// proofs itself if it comes first.
		drawn.iter().for_each(LateDraw::make);
		for record in &happened {
			log(record);
		}
		(result, number)
	}

	/// A task as it was kept last, if this app may see it.
	///
	/// # Errors
	///
	/// `UNKNOWN_TASK` if there is none of this name (any more), or it is another app's.
	fn record(&self, app: &App, id: &TaskId) -> Result<Arc<TaskRecord>, Refusal> {
		let found = self.journal.task(id).map_err(unreadable)?;
		found.filter(|record| app.may_see(&record.app)).ok_or_else(|| unknown_task(id))
	}
}

impl State {
	/// Whose session a token names.
	fn operator(&self, token: &str) -> Result<Operator, Refusal> {
		self.sessions.operator(token)
	}
}

/// The refusal for what the store cannot tell.
fn unreadable(error: StoreError) -> Refusal {
	tracing::error!(%error, "cannot read what was kept");
	Refusal::new(Code::Internal, "what was kept cannot be read; look at the coordinator's log")
}

/// Logs where a task has come to.
fn log(record: &TaskRecord) {
	let TaskRecord { id, state, attempt, spec, lease, .. } = record;
	let miner = lease.as_ref().map_or("none", |lease| &lease.miner);
	if let Some(failure) = &record.failure {
		tracing::warn!(task = %id, %state, attempt, code = ?failure.code, "{failure}");
	} else {
		tracing::info!(task = %id, %state, attempt, miner, model = %spec.model, "task");
	}
}
