//! The link to one coordinator: connects, logs in, polls, and does so again whenever the connection
//! is lost, until it is told to leave.
//!
//! A lease outlives the connection on which it was given: tasks in hand keep rendering while the link
//! connects and logs in again, and talk over whatever connection there is ([`Link::call`]). Whether
//! their leases still hold then, the coordinator says.

use crate::{
	backoff::Backoff,
	connection::{text, Connection, Trouble},
	context::Context,
	discovery::Coordinator,
	shutdown::Phase,
	tasks::{self, Lease},
	turns::Slot,
};
use cuckoo_chain_client::format_cai;
use cuckoo_coordinator_api::{
	error::Refusal,
	miner::{Assignment, FailureReason, FailureReport, MinerStanding},
};
use parking_lot::Mutex;
use std::{
	convert::Infallible,
	future::{pending, Future},
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc,
	},
	time::{Duration, Instant},
};
use tokio::{
	sync::watch,
	time::{sleep, timeout},
};
use tracing::{debug, info, warn};

/// A connection that held for so long was a good one: the next failure is a first one.
const STEADY: Duration = Duration::from_secs(10);
/// How often a coordinator is asked how its draws went.
const STANDING_INTERVAL: Duration = Duration::from_secs(15);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a link is told. It follows changes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders {
	/// Whom to work for, as registered now.
	pub coordinator: Coordinator,
	/// Whether to work at all.
	pub phase: Phase,
}

/// Since when a link is up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
	/// Logged in.
	Up,
	/// Not connected.
	Down {
		/// Since when.
		since: Instant,
	},
}

/// Why a call by a task was not answered.
#[derive(Debug)]
pub enum CallError {
	/// The coordinator says no.
	Refused(Refusal),
	/// There was no connection until the lease ended.
	LeaseEnded,
}

/// The link to one coordinator.
pub struct Link {
	context: Arc<Context>,
	orders: watch::Receiver<Orders>,
	status: watch::Sender<Status>,
	connection: watch::Sender<Option<Arc<Connection>>>,
	/// Tasks in hand.
	held: watch::Sender<usize>,
	polls: AtomicU64,
	tasks: AtomicU64,
	/// What the coordinator said last of its draws.
	standing: Mutex<MinerStanding>,
	/// Why it gives no work, as far as it has said so.
	complaint: Mutex<Option<String>>,
}

impl Link {
	/// A link that is down.
	pub fn new(context: Arc<Context>, orders: watch::Receiver<Orders>) -> Arc<Self> {
		Arc::new(Self {
			context,
			orders,
			status: watch::Sender::new(Status::Down { since: Instant::now() }),
			connection: watch::Sender::new(None),
			held: watch::Sender::new(0),
			polls: AtomicU64::new(0),
			tasks: AtomicU64::new(0),
			standing: Mutex::default(),
			complaint: Mutex::default(),
		})
	}

	/// Stash (SS58) of the coordinator.
	pub fn stash(&self) -> String {
		self.orders.borrow().coordinator.stash.to_string()
	}

	/// Stake behind the coordinator, in planck.
	pub fn weight(&self) -> u128 {
		self.orders.borrow().coordinator.weight
	}

	/// How often it was asked for work so far.
	pub fn polls(&self) -> u64 {
		self.polls.load(Ordering::Relaxed)
	}

	/// How many tasks it has given so far.
	pub fn tasks(&self) -> u64 {
		self.tasks.load(Ordering::Relaxed)
	}

	/// What the coordinator said last of its draws.
	pub fn standing(&self) -> MinerStanding {
		*self.standing.lock()
	}

	/// Why it cannot be worked for, or gives no work, as far as that is known.
	pub fn complaint(&self) -> Option<String> {
		self.complaint.lock().clone()
	}

	fn complain(&self, complaint: Option<String>) {
		*self.complaint.lock() = complaint;
	}

	/// Whether it is up.
	pub fn status(&self) -> Status {
		*self.status.borrow()
	}

	/// How many tasks of this coordinator are in hand.
	pub fn held(&self) -> usize {
		*self.held.borrow()
	}

	/// Works until the orders say to leave and the tasks in hand have ended; then logs out.
	pub async fn run(self: Arc<Self>) {
		tokio::select! {
			() = self.released() => (),
			never = self.keep_connected() => match never {},
		}
		let connection = self.connection.send_replace(None);
		if let Some(connection) = connection {
			if let Ok(Err(trouble)) = timeout(FAREWELL, connection.logout()).await {
				debug!("logout from {}: {}", self.name(), text(&trouble));
			}
		}
	}

	/// Waits until there is nothing left to do.
	async fn released(&self) {
		self.phase_at_least(Phase::Drain).await;
		// The sender lives in `self`, so this does not fail.
		let _ = self.held.subscribe().wait_for(|held| *held == 0).await;
	}

	/// Waits until the orders are to leave.
	pub async fn phase_at_least(&self, phase: Phase) {
		// Without anybody to give orders there is nothing to work for.
		let _ = self.orders.clone().wait_for(|orders| orders.phase >= phase).await;
	}

	fn phase(&self) -> Phase {
		self.orders.borrow().phase
	}

	/// The coordinator, for people.
	pub fn name(&self) -> String {
		self.orders.borrow().coordinator.to_string()
	}

	async fn keep_connected(self: &Arc<Self>) -> Infallible {
		let mut backoff = Backoff::new();
		let mut last_failure = String::new();
		loop {
			let coordinator = self.orders.borrow().coordinator.clone();
			match self.connect(&coordinator).await {
				Ok(connection) => {
					last_failure.clear();
					let since = Instant::now();
					let end = self.serve(&coordinator, connection).await;
					if since.elapsed() >= STEADY {
						backoff.reset();
					}
					match end {
						End::Moved => {
							info!("the registration of {coordinator} has changed: connecting anew");
							continue;
						},
						End::Models => {
							info!("telling {coordinator} which models are left");
							continue;
						},
						End::Broken(Trouble::NoSession) => warn!(
							"{coordinator} has ended the session (another miner with the same key?): \
							logging in again"
						),
						End::Broken(trouble) => {
							warn!("lost {coordinator}: {}", text(&trouble));
							self.complain(Some(text(&trouble)));
						},
					}
				},
				Err(reason) => {
					self.complain(Some(reason.clone()));
					let failure = format!("cannot work for {coordinator}: {reason}");
					if failure == last_failure {
						debug!("{failure}");
					} else {
						warn!("{failure}; trying again and again");
						last_failure = failure;
					}
				},
			}
			let delay = backoff.delay(&mut rand::thread_rng());
			tokio::select! {
				() = sleep(delay) => (),
				() = self.other_than(&coordinator) => (),
			}
		}
	}

	/// Tries the endpoints in their order. The error says what is wrong with each of them.
	async fn connect(&self, coordinator: &Coordinator) -> Result<Arc<Connection>, String> {
		let mut failures = Vec::new();
		for endpoint in &coordinator.endpoints {
			match Connection::open(&self.context, coordinator, endpoint).await {
				Ok(connection) => return Ok(Arc::new(connection)),
				Err(reason) => failures.push(format!("{endpoint}: {reason}")),
			}
		}
		Err(failures.join("; "))
	}

	/// Works on a connection until it breaks.
	async fn serve(
		self: &Arc<Self>,
		coordinator: &Coordinator,
		connection: Arc<Connection>,
	) -> End {
		info!(
			"connected to {coordinator} at {}, stake {} CAI",
			connection.endpoint(),
			format_cai(coordinator.weight)
		);
		self.connection.send_replace(Some(Arc::clone(&connection)));
		self.status.send_replace(Status::Up);
		self.complain(None);
		let mut offers = self.context.offers.subscribe();
		self.context.connected.fetch_add(1, Ordering::Relaxed);
		// Counted back even where this future is dropped, because the link leaves. The connection
		// stays in place then, for the farewell.
		let _up = UpGuard(self);
		let end = tokio::select! {
			trouble = connection.broken() => End::Broken(trouble),
			trouble = self.poll_for_work(&connection) => End::Broken(trouble),
			() = self.moved(coordinator, &connection) => End::Moved,
			_ = offers.changed() => End::Models,
			trouble = self.ask_for_standing(&connection) => End::Broken(trouble),
		};
		self.connection.send_replace(None);
		end
	}

	/// Asks now and then how the draws went; ends when the connection breaks.
	async fn ask_for_standing(&self, connection: &Connection) -> Trouble {
		loop {
			match connection.standing().await {
				Ok(standing) => {
					*self.standing.lock() = standing;
				},
				// It may be an older coordinator, which cannot tell.
				Err(Trouble::Refused(refusal)) => {
					debug!("{} does not tell: {refusal}", self.name());
				},
				Err(trouble) => return trouble,
			}
			sleep(STANDING_INTERVAL).await;
		}
	}

	/// Polls while a slot is free; ends when the connection breaks.
	async fn poll_for_work(self: &Arc<Self>, connection: &Arc<Connection>) -> Trouble {
		let mut backoff = Backoff::new();
		let mut former = None;
		loop {
			let (stash, stake) = {
				let coordinator = &self.orders.borrow().coordinator;
				(coordinator.stash, coordinator.weight)
			};
			let slot = tokio::select! {
				biased;
				() = self.phase_at_least(Phase::Drain) => pending().await,
				slot = self.context.turns.next(stash, stake, former.take()) => slot,
			};
			self.polls.fetch_add(1, Ordering::Relaxed);
			match connection.poll(self.context.poll_seconds()).await {
				Ok(None) => {
					backoff.reset();
					self.complain(None);
					former = Some(slot);
				},
				Ok(Some(assignment)) => {
					backoff.reset();
					self.complain(None);
					self.tasks.fetch_add(1, Ordering::Relaxed);
					self.take(assignment, slot, connection).await;
				},
				Err(Trouble::Refused(refusal)) => {
					drop(slot);
					warn!("{} gives no work: {refusal}", self.name());
					self.complain(Some(refusal.message));
					let delay = backoff.delay(&mut rand::thread_rng());
					sleep(delay).await;
				},
				Err(trouble) => return trouble,
			}
		}
	}

	/// Starts on a task, or gives it back if it came too late.
	async fn take(self: &Arc<Self>, assignment: Assignment, slot: Slot, connection: &Connection) {
		if self.phase() == Phase::Work {
			self.held.send_modify(|held| *held += 1);
			let held = HeldGuard(Arc::clone(self));
			tokio::spawn(async move {
				let (link, _slot) = (&held.0, slot);
				tasks::run(&link.context, link, assignment).await;
			});
		} else {
			let report = FailureReport {
				task_id: assignment.task_id,
				attempt: assignment.attempt,
				lease: assignment.lease,
				reason: FailureReason::ShuttingDown,
				message: "the miner is shutting down".into(),
			};
			if let Err(trouble) = connection.fail(report).await {
				debug!("a task for {} was not given back: {}", self.name(), text(&trouble));
			}
		}
	}

	/// Makes a call for the holder of a lease, over whatever connection there is, and again over the
	/// next one whenever a connection breaks, until there is an answer or the lease has ended.
	pub async fn call<T, F>(
		&self,
		lease: &Lease,
		call: impl Fn(Arc<Connection>) -> F,
	) -> Result<T, CallError>
	where
		F: Future<Output = Result<T, Trouble>>,
	{
		let mut failed: Option<Arc<Connection>> = None;
		let answered = async {
			loop {
				let connection = self.connection_other_than(failed.as_ref()).await;
				match call(Arc::clone(&connection)).await {
					Ok(answer) => return Ok(answer),
					Err(Trouble::Refused(refusal)) => return Err(CallError::Refused(refusal)),
					Err(trouble) => connection.spoil(trouble),
				}
				failed = Some(connection);
			}
		};
		tokio::select! {
			biased;
			answer = answered => answer,
			() = lease.ended() => Err(CallError::LeaseEnded),
		}
	}

	/// Waits for a connection that is not the one that failed.
	pub async fn connection_other_than(&self, failed: Option<&Arc<Connection>>) -> Arc<Connection> {
		let usable = |connection: &Arc<Connection>| {
			failed.is_none_or(|failed| !Arc::ptr_eq(connection, failed))
		};
		let mut connections = self.connection.subscribe();
		let current = connections
			.wait_for(|connection| connection.as_ref().is_some_and(usable))
			.await
			.ok()
			.and_then(|connection| connection.clone());
		match current {
			Some(connection) => connection,
			// The sender lives in `self`.
			None => pending().await,
		}
	}

	/// Waits until the coordinator is registered in another way than `known`.
	async fn other_than(&self, known: &Coordinator) {
		if self
			.orders
			.clone()
			.wait_for(|orders| {
				let Coordinator { operator, endpoints, certificate, .. } = &orders.coordinator;
				(operator, endpoints, certificate)
					!= (&known.operator, &known.endpoints, &known.certificate)
			})
			.await
			.is_err()
		{
			pending::<()>().await;
		}
	}

	/// Waits until the registration does not lead to this connection any more. Another certificate is
	/// for the next connection: this one was made with the former one, rightly.
	async fn moved(&self, known: &Coordinator, connection: &Connection) {
		let moved = |orders: &Orders| {
			orders.coordinator.operator != known.operator
				|| !orders.coordinator.endpoints.iter().any(|e| e == connection.endpoint())
		};
		if self.orders.clone().wait_for(moved).await.is_err() {
			pending::<()>().await;
		}
	}
}

/// Why a connection is not used any more.
enum End {
	Broken(Trouble),
	Moved,
	/// The miner serves other models than it has said.
	Models,
}

/// Counts a link that is up.
struct UpGuard<'a>(&'a Link);

impl Drop for UpGuard<'_> {
	fn drop(&mut self) {
		self.0.context.connected.fetch_sub(1, Ordering::Relaxed);
		self.0.status.send_replace(Status::Down { since: Instant::now() });
	}
}

/// Counts a task in hand.
struct HeldGuard(Arc<Link>);

impl Drop for HeldGuard {
	fn drop(&mut self) {
		self.0.held.send_modify(|held| *held -= 1);
	}
}
