//! The scheduler at work: with a clock, a store, the sessions of the miners and those who wait for
//! tasks to change. All of it sits behind one lock that is held for microseconds and never across a
//! wait.
//!
//! - `apps`: what apps may do; `miners`: what miners may do; `quote`: what a task would take;
//! - `verification`: whether a result is what was asked for.

mod apps;
mod clock;
mod miners;
mod quote;
mod verification;

pub(crate) use apps::unknown_task;
pub use apps::Health;
pub(crate) use miners::random_token;

use crate::registry::{Operator, RegistrySnapshot};
use crate::scheduler::{Effects, Millis, Scheduler, SchedulerOptions, TaskRecord};
use crate::sessions::Sessions;
use crate::store::TaskStore;
use clock::SteadyClock;
use cuckoo_coordinator_api::{error::Refusal, signing::Audience, task::TaskId};
use parking_lot::Mutex;
use quote::TaskTimes;
use rand_chacha::ChaCha20Rng;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{interval, sleep, Instant, MissedTickBehavior};

/// How often the scheduler looks at the clock.
const TICK: Duration = Duration::from_millis(200);

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
}

struct State {
	scheduler: Scheduler,
	store: Box<dyn TaskStore>,
	sessions: Sessions,
	/// For each task that has not ended: tells those who follow it.
	followed: HashMap<TaskId, watch::Sender<Arc<TaskRecord>>>,
	/// Names, seeds, leases and draws come from it: a cryptographic generator.
	rng: ChaCha20Rng,
	/// How long tasks took lately.
	times: TaskTimes,
	/// The finalized block to which the registry belongs.
	block: u64,
}

impl Service {
	/// A coordinator that knows no miners yet. The generator is to be seeded by the operating system,
	/// as leases and sessions come from it.
	pub fn new(
		identity: Identity,
		options: SchedulerOptions,
		store: Box<dyn TaskStore>,
		rng: ChaCha20Rng,
	) -> Self {
		Self {
			identity,
			clock: SteadyClock::start(),
			state: Mutex::new(State {
				scheduler: Scheduler::new(options),
				store,
				sessions: Sessions::default(),
				followed: HashMap::new(),
				rng,
				times: TaskTimes::default(),
				block: 0,
			}),
		}
	}

	/// Who this coordinator is.
	pub fn identity(&self) -> &Identity {
		&self.identity
	}

	/// Keeps time and follows the registry, for as long as both last. Never ends by itself.
	pub async fn run(&self, mut registry: watch::Receiver<Arc<RegistrySnapshot>>) {
		let mut tick = interval(TICK);
		tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
		registry.mark_changed();
		let mut followed = true;
		loop {
			tokio::select! {
				_ = tick.tick() => self.with(|state, now| {
					state.scheduler.tick(now, &mut state.rng);
					state.store.prune(now);
				}),
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

	fn set_registry(&self, snapshot: &RegistrySnapshot) {
		self.with(|state, now| {
			tracing::debug!(
				block = snapshot.block,
				miners = snapshot.miners.len(),
				"registry read"
			);
			state.block = snapshot.block;
			state.scheduler.set_registry(&snapshot.miners, now, &mut state.rng);
		});
	}

	/// Takes no offers and starts no attempts any more, and waits until the tasks that miners are at
	/// work on have ended, at most for `grace`. What is left then fails with `SHUTTING_DOWN`, and all
	/// sessions end.
	pub async fn drain(&self, grace: Duration) {
		let deadline = Instant::now() + grace;
		self.with(|state, now| state.scheduler.drain(now));
		while self.with(|state, _| state.scheduler.running()) > 0 && Instant::now() < deadline {
			sleep(Duration::from_millis(50)).await;
		}
		self.with(|state, now| {
			state.scheduler.abort(now);
			state.sessions.end_all();
		});
	}

	/// Runs `act` on the state, then tells everybody concerned what has changed.
	fn with<R>(&self, act: impl FnOnce(&mut State, Millis) -> R) -> R {
		let mut state = self.state.lock();
		let result = act(&mut state, self.clock.now());
		state.publish();
		result
	}
}

impl State {
	fn publish(&mut self) {
		let Effects { changed, assigned, unregistered, abandoned } = self.scheduler.take_effects();
		for (id, attempt) in abandoned {
			self.store.drop_pictures(&id, attempt);
		}
		for record in changed {
			self.publish_task(record);
		}
		for operator in assigned {
			self.sessions.wake(&operator);
		}
		for operator in unregistered {
			tracing::info!(miner = %operator, "not registered as active any more: its session ends");
			self.sessions.end(&operator);
		}
	}

	fn publish_task(&mut self, record: TaskRecord) {
		let before = self.store.task(&record.id).map(|known| (known.state, known.attempt));
		self.times.see(&record);
		if before != Some((record.state, record.attempt)) {
			log_change(&record);
		}
		self.store.save(record.clone());
		let (id, ended) = (record.id.clone(), record.state.is_final());
		let record = Arc::new(record);
		match self.followed.get(&id) {
			Some(followers) => {
				followers.send_replace(record);
			},
			None => {
				self.followed.insert(id.clone(), watch::channel(record).0);
			},
		}
		if ended {
			self.followed.remove(&id);
		}
	}

	/// Whose session a token names.
	fn operator(&self, token: &str) -> Result<Operator, Refusal> {
		self.sessions.operator(token)
	}
}

fn log_change(record: &TaskRecord) {
	let TaskRecord { id, state, attempt, spec, .. } = record;
	let miner = record.miner.as_deref().unwrap_or("none");
	if let Some(failure) = &record.failure {
		tracing::warn!(task = %id, %state, attempt, code = ?failure.code, "{failure}");
	} else {
		tracing::info!(task = %id, %state, attempt, miner, model = %spec.model, "task");
	}
}
