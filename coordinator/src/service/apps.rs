//! What apps may do.

use super::{unreadable, Service, State};
use crate::scheduler::{App, Offer, TaskRecord};
use bytes::Bytes;
use cuckoo_coordinator_api::{
	app::{CoordinatorInfo, MinerView},
	error::{Code, Refusal},
	task::{TaskId, TaskRequest, TaskState, TaskStatus},
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{timeout_at, Instant};

impl Service {
	/// Which coordinator this is, and how busy.
	pub fn info(&self) -> CoordinatorInfo {
		self.with(|state, _| self.describe(state))
	}

	/// Likewise, for those who look at the state already.
	pub(super) fn describe(&self, state: &State) -> CoordinatorInfo {
		CoordinatorInfo {
			version: env!("CARGO_PKG_VERSION").to_owned(),
			stash: self.identity.stash.clone(),
			operator: self.identity.operator_address.clone(),
			genesis: format!("0x{}", hex::encode(self.identity.genesis)),
			finalized_block: state.block,
			models: state.scheduler.models().into_iter().map(str::to_owned).collect(),
			queued: state.scheduler.queued() as u64,
			running: state.scheduler.running() as u64,
		}
	}

	/// Waits until the coordinator has gone down.
	pub async fn down(&self) {
		let mut down = self.down.subscribe();
		// It fails only if the coordinator is not there any more.
		let _ = down.wait_for(|down| *down).await;
	}

	/// Every registered active miner, most stake first.
	pub fn miners(&self) -> Vec<MinerView> {
		self.with(|state, _| state.scheduler.miners())
	}

	/// Takes a task in, and answers when it is kept.
	///
	/// # Errors
	///
	/// Those of [`Scheduler::offer`](crate::scheduler::Scheduler::offer); `UNAUTHORIZED`,
	/// `INSUFFICIENT_BALANCE` and `TOO_MANY_TASKS` by the account of the app; `PRICE_TOO_HIGH` for its
	/// request; `BUSY` if the task would wait for too long; `INVALID_REQUEST` if its webhook may not be
	/// called.
	pub async fn offer(&self, app: App, request: TaskRequest) -> Result<TaskStatus, Refusal> {
		self.admit_webhook(&request)?;
		let (offered, number) = self.numbered(|state, now| {
			let work = state.work(&app, &request)?;
			let price = work.price;
			if let Some(most) = request.max_offer_price.filter(|most| *most < price) {
				let why = format!(
					"the task costs {price} plancks and maxOfferPrice is {most}; offer more, or ask for \
					less"
				);
				return Err(Refusal::new(Code::PriceTooHigh, why));
			}
			state.accounts.check_offer(&app, price)?;
			state.check_wait(&app, &work)?;
			let offer = Offer { app, request, price };
			state.scheduler.offer(offer, now, &mut state.rng)
		});
		let record = offered?;
		self.journal.written(number).await?;
		Ok(record.status())
	}

	/// Whether the webhook that a request names, if it names one, may be called.
	pub(super) fn admit_webhook(&self, request: &TaskRequest) -> Result<(), Refusal> {
		request.webhook()?.map_or(Ok(()), |webhook| self.webhooks.admit(&webhook))
	}

	/// Where a task is.
	///
	/// # Errors
	///
	/// `UNKNOWN_TASK` if this app has none of this name (any more).
	pub fn status(&self, app: &App, id: &TaskId) -> Result<TaskStatus, Refusal> {
		self.record(app, id).map(|record| record.status())
	}

	/// Takes a task back.
	///
	/// # Errors
	///
	/// `UNKNOWN_TASK` if this app has none of this name (any more), `TASK_ENDED` if it has ended
	/// already.
	pub async fn cancel(&self, app: &App, id: &TaskId) -> Result<TaskStatus, Refusal> {
		self.record(app, id)?;
		let cancelled =
			self.promise(|state, now| state.scheduler.cancel(id, now, &mut state.rng)).await?;
		if let Some(record) = cancelled {
			return Ok(record.status());
		}
		let record = self.record(app, id)?;
		let why = format!("task {id} has ended already: it is {}", record.state);
		Err(Refusal::new(Code::TaskEnded, why))
	}

	/// Takes a task back if it waits for a miner: the app that wanted it has gone.
	pub fn cancel_queued(&self, id: &TaskId) {
		self.with(|state, now| {
			if state.scheduler.is_queued(id) {
				state.scheduler.cancel(id, now, &mut state.rng);
			}
		});
	}

	/// A task as it is now and after each change. Of several changes in a row only the last may be
	/// seen; the end of the task always is.
	///
	/// # Errors
	///
	/// `UNKNOWN_TASK` if this app has none of this name (any more).
	pub fn follow(
		&self,
		app: &App,
		id: &TaskId,
	) -> Result<watch::Receiver<Arc<TaskRecord>>, Refusal> {
		let found = self.journal.follow(id).map_err(unreadable)?;
		found.filter(|task| app.may_see(&task.borrow().app)).ok_or_else(|| unknown_task(id))
	}

	/// Waits until a task has ended, at most for `limit` and until the coordinator goes down; where it
	/// is then.
	///
	/// # Errors
	///
	/// `UNKNOWN_TASK` if this app has none of this name (any more).
	pub async fn wait(
		&self,
		app: &App,
		id: &TaskId,
		limit: Duration,
	) -> Result<TaskStatus, Refusal> {
		let mut changes = self.follow(app, id)?;
		let mut down = self.down.subscribe();
		let deadline = Instant::now() + limit;
		// That the time is over, or that nothing can change any more, is no error: say where it is.
		tokio::select! {
			_ = timeout_at(deadline, changes.wait_for(|record| record.state.is_final())) => {},
			_ = down.wait_for(|down| *down) => {},
		}
		let status = changes.borrow().status();
		Ok(status)
	}

	/// A finished picture as PNG.
	///
	/// # Errors
	///
	/// `UNKNOWN_TASK` if this app has no such picture (yet, or any more).
	pub async fn picture(&self, app: &App, id: &TaskId, index: u32) -> Result<Bytes, Refusal> {
		let record = self.record(app, id)?;
		if record.state != TaskState::Done {
			let what = format!("task {id} has no pictures: it is {}", record.state);
			return Err(Refusal::new(Code::UnknownTask, what));
		}
		let upload = self.journal.upload(id, record.attempt, index).map_err(unreadable)?;
		let upload = upload.ok_or_else(|| {
			let pictures = record.pictures.len();
			let what = format!("task {id} has {pictures} pictures, numbered from 0");
			Refusal::new(Code::UnknownTask, what)
		})?;
		self.pictures.get(&upload.name).await.map_err(unreadable)
	}
}

/// The refusal for a name that no task has.
pub(crate) fn unknown_task(name: impl std::fmt::Display) -> Refusal {
	let name: String = name.to_string().chars().take(64).collect();
	Refusal::new(
		Code::UnknownTask,
		format!("there is no task {name:?}; ended tasks are kept for a limited time"),
	)
}
