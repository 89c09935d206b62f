//! A task for a client that waits for its pictures.

use crate::scheduler::App;
use crate::service::Service;
use bytes::Bytes;
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	task::{TaskId, TaskRequest, TaskState, TaskStatus},
};
use std::sync::Arc;
use std::time::Duration;

/// Longer than any task may take: each ends by itself at its deadline.
const FOREVER: Duration = Duration::from_hours(48);

/// A task whose client waits for it. If this is dropped first, because the client has gone, the task is
/// cancelled unless a miner has begun it: that work is finished, and can be fetched by its id.
pub struct Awaited {
	service: Arc<Service>,
	app: App,
	id: TaskId,
	ended: bool,
}

/// A task that is done.
pub struct Finished {
	/// Its last status.
	pub status: TaskStatus,
	/// Its pictures as PNG.
	pub pictures: Vec<Bytes>,
}

impl Awaited {
	/// Offers a task for an app.
	///
	/// # Errors
	///
	/// Those of [`Service::offer`].
	pub async fn offer(
		service: &Arc<Service>,
		app: App,
		request: TaskRequest,
	) -> Result<Self, Refusal> {
		let id = service.offer(app, request).await?.task_id;
		Ok(Self { service: service.clone(), app, id, ended: false })
	}

	/// Name of the task.
	pub fn id(&self) -> &TaskId {
		&self.id
	}

	/// Waits until the task has ended.
	///
	/// # Errors
	///
	/// Why it failed; `CANCELLED` if it was taken back; `SHUTTING_DOWN` if nobody follows it any more.
	pub async fn finished(mut self) -> Result<Finished, Refusal> {
		let status = self.service.wait(&self.app, &self.id, FOREVER).await?;
		self.ended = status.state.is_final();
		match status.state {
			TaskState::Done => {
				let mut pictures = Vec::with_capacity(status.pictures.len());
				for picture in &status.pictures {
					let png = self.service.picture(&self.app, &self.id, picture.index).await?;
					pictures.push(png);
				}
				Ok(Finished { status, pictures })
			},
			TaskState::Cancelled => Err(Refusal::new(Code::Cancelled, "the task was cancelled")),
			_ => Err(status.failure.unwrap_or_else(|| {
				let what = "the coordinator is going down; try again later";
				Refusal::new(Code::ShuttingDown, what)
			})),
		}
	}
}

impl Drop for Awaited {
	fn drop(&mut self) {
		if !self.ended {
			self.service.cancel_queued(&self.id);
		}
	}
}
