//! One task, from the assignment to the end: checked, rendered, uploaded, submitted; or given back
//! with the reason.

use crate::{
	connection::{Connection, UploadTrouble},
	context::Context,
	history::{Event, Outcome},
	link::{CallError, Link},
	shutdown::Phase,
	worker::{RenderJob, Rendered, RenderedPicture, WorkError},
};
use cuckoo_coordinator_api::{
	error::Code,
	miner::{
		Assignment, FailureReason, FailureReport, Heartbeat, PictureDigest, TaskResult,
		HEARTBEAT_SECONDS, MAX_PICTURE_BYTES,
	},
	signing::Signed,
	task::{TaskId, TaskSpec, TaskState},
};
use cuckoo_diffusion::{RenderRequest, Sampler};
use parking_lot::Mutex;
use std::{
	sync::{
		atomic::{AtomicBool, AtomicU32, Ordering},
		Arc,
	},
	time::Duration,
};
use tokio::time::{sleep, sleep_until, Instant};
use tracing::{debug, error, info, warn};

/// How often progress is looked at; what has changed is reported.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Pause before an upload is tried again.
const UPLOAD_PAUSE: Duration = Duration::from_secs(1);
/// How long telling a coordinator that its task comes back may take when the miner stops at once.
const GIVE_BACK: Duration = Duration::from_secs(3);

/// When a lease ends, unless it is kept.
pub struct Lease {
	length: Duration,
	ends: Mutex<Instant>,
}

impl Lease {
	/// A lease that starts now and ends so many milliseconds after the last sign of life.
	pub fn new(milliseconds: u64) -> Self {
		// Longer ones than a day are as good as a day, and no arithmetic overflows.
		let length = Duration::from_millis(milliseconds.min(86_400_000));
		Self { length, ends: Mutex::new(Instant::now() + length) }
	}

	/// Counts anew from the moment when the sign of life was sent.
	fn keep(&self, sent: Instant) {
		*self.ends.lock() = sent + self.length;
	}

	/// Waits until it has ended.
	pub async fn ended(&self) {
		loop {
			let ends = *self.ends.lock();
			if Instant::now() >= ends {
				return;
			}
			sleep_until(ends).await;
		}
	}

	/// How often the coordinator must hear of the task.
	fn heartbeat_interval(&self) -> Duration {
		// A beat must arrive before the limit, so it leaves a second earlier.
		Duration::from_secs(HEARTBEAT_SECONDS - 1).min(self.length / 3)
	}
}

/// How a task ended in a way other than done.
enum End {
	/// It comes back to the coordinator.
	Failed(FailureReason, String),
	/// Somebody else has it or nobody wants it any more.
	Lost(String),
}

/// Carries a task out. Ends when the coordinator knows the outcome, or its lease is over.
pub async fn run(context: &Context, link: &Link, assignment: Assignment) {
	let task = Task { context, link, lease: Lease::new(assignment.lease_ms), assignment };
	let started = Instant::now();
	task.announce();
	let end = tokio::select! {
		biased;
		() = link.phase_at_least(Phase::Abort) => {
			Err(End::Failed(FailureReason::ShuttingDown, "the miner is shutting down".into()))
		},
		end = task.carry_out() => end,
	};
	let seconds = started.elapsed().as_secs_f32();
	let id = task.id();
	match end {
		Ok((state, rendered)) => {
			info!(
				"task {id}: {state} after {seconds:.1} s ({:.1} s rendering)",
				rendered.as_secs_f32()
			);
			task.ended(Outcome::Done, rendered, None).await;
		},
		Err(End::Lost(why)) => {
			warn!("task {id}: dropped after {seconds:.1} s: {why}");
			task.ended(Outcome::Dropped, Duration::ZERO, Some(why)).await;
		},
		Err(End::Failed(reason, message)) => {
			let outcome = match reason {
				FailureReason::Capacity | FailureReason::ShuttingDown => {
					info!("task {id}: given back after {seconds:.1} s: {message}");
					Outcome::Dropped
				},
				FailureReason::BadTask => {
					warn!("task {id}: refused: {message}");
					Outcome::Refused
				},
				_ => {
					error!("task {id}: failed after {seconds:.1} s ({reason:?}): {message}");
					Outcome::Failed
				},
			};
			task.give_back(reason, message.clone()).await;
			task.ended(outcome, Duration::ZERO, Some(message)).await;
		},
	}
}

struct Task<'a> {
	context: &'a Context,
	link: &'a Link,
	assignment: Assignment,
	lease: Lease,
}

impl Task<'_> {
	/// The task's name; it comes from outside, so what is malformed is not shown.
	fn id(&self) -> &str {
		TaskId::parse(self.assignment.task_id.as_str())
			.map_or("(malformed id)", |_| self.assignment.task_id.as_str())
	}

	fn announce(&self) {
		let TaskSpec { width, height, steps, images, model, .. } = &self.assignment.spec;
		info!(
			"task {}: attempt {} from {}: {images} × {width}×{height}, {steps} steps, model {}",
			self.id(),
			self.assignment.attempt,
			self.link.name(),
			crate::text::printable(model)
		);
	}

	/// Counts it, and writes down how it has ended.
	async fn ended(&self, outcome: Outcome, rendering: Duration, why: Option<String>) {
		self.context.totals.count(outcome, rendering);
		let spec = &self.assignment.spec;
		let event = Event::End {
			coordinator: self.link.stash(),
			task: self.id().to_owned(),
			attempt: self.assignment.attempt,
			outcome,
			model: crate::text::printable(&spec.model),
			pictures: if outcome == Outcome::Done { spec.images } else { 0 },
			milliunits: spec.milliunits(),
			render_ms: rendering.as_millis() as u64,
			why,
		};
		self.context.history.record(event).await;
	}

	/// The state of the task after the submission, and the time spent rendering.
	async fn carry_out(&self) -> Result<(TaskState, Duration), End> {
		let job = job(&self.assignment).map_err(|why| End::Failed(FailureReason::BadTask, why))?;
		let model = &self.assignment.spec.model;
		if !self.context.offers.borrow().iter().any(|offer| offer.name == *model) {
			let why = format!("this miner does not serve the model {model:?}");
			return Err(End::Failed(FailureReason::ModelMissing, why));
		}
		let mut ticket = self.context.workers.render(job);
		let step = ticket.step();
		let render_and_upload = async {
			let rendered = ticket.outcome().await.map_err(|error| self.not_rendered(&error))?;
			for (index, picture) in rendered.pictures.iter().enumerate() {
				self.upload(index as u32, picture).await?;
			}
			Ok(rendered)
		};
		let rendered = tokio::select! {
			biased;
			rendered = render_and_upload => rendered?,
			why = self.keep_lease(&step) => return Err(End::Lost(why)),
		};
		// From here on a heartbeat could come to be answered after the submission has ended the
		// lease, so the submission alone speaks.
		Ok((self.submit(&rendered).await?, rendered.duration))
	}

	/// What to tell the coordinator. A model that cannot be loaded any more is not offered any longer.
	fn not_rendered(&self, error: &WorkError) -> End {
		let reason = error.reason();
		if let (WorkError::Load { model, .. }, FailureReason::ModelMissing) = (error, reason) {
			self.context.withdraw(model);
		}
		End::Failed(reason, error.to_string())
	}

	/// Sends heartbeats; ends with the reason when the lease is lost.
	async fn keep_lease(&self, step: &Arc<AtomicU32>) -> String {
		let interval = self.lease.heartbeat_interval();
		let (mut said, mut said_at) = (0, Instant::now());
		loop {
			sleep(PROGRESS_INTERVAL.min(interval)).await;
			let now = step.load(Ordering::Relaxed);
			if now == said && said_at.elapsed() < interval {
				continue;
			}
			let sent = Instant::now();
			let beat = |connection: Arc<Connection>| async move {
				connection
					.heartbeat(Heartbeat {
						task_id: self.assignment.task_id.clone(),
						attempt: self.assignment.attempt,
						lease: self.assignment.lease.clone(),
						step: now,
					})
					.await
			};
			match self.link.call(&self.lease, beat).await {
				Ok(()) => {
					self.lease.keep(sent);
					(said, said_at) = (now, sent);
				},
				Err(CallError::Refused(refusal)) if ends_lease(refusal.code) => {
					return refusal.message;
				},
				Err(CallError::Refused(refusal)) => {
					debug!("task {}: heartbeat refused: {refusal}", self.id());
				},
				Err(CallError::LeaseEnded) => return lease_over(),
			}
		}
	}

	/// Uploads a picture; tries again while the lease holds.
	async fn upload(&self, index: u32, picture: &RenderedPicture) -> Result<(), End> {
		let size = picture.png.len();
		if size > MAX_PICTURE_BYTES {
			let message = format!("picture {index} has {size} bytes, more than may be uploaded");
			return Err(End::Failed(FailureReason::BadTask, message));
		}
		let holder = (&self.assignment.task_id, self.assignment.attempt, &*self.assignment.lease);
		loop {
			let connection = self.link.connection_other_than(None).await;
			let png = picture.png.clone();
			match connection.upload(holder, index, png).await {
				Ok(()) => return Ok(()),
				// No lease (any more), or the task is gone or has ended: giving it back tells the
				// coordinator that this miner has noticed.
				Err(UploadTrouble::Refused(401 | 403 | 404 | 409, why)) => {
					return Err(End::Failed(FailureReason::Capacity, why));
				},
				Err(UploadTrouble::Refused(status, why)) => {
					let message = format!("picture {index} is refused ({status}): {why}");
					return Err(End::Failed(FailureReason::Internal, message));
				},
				Err(UploadTrouble::Later(why)) => {
					warn!("task {}: upload failed, trying again: {why}", self.id());
					sleep(UPLOAD_PAUSE).await;
				},
			}
		}
	}

	/// Signs and sends the result, again and again while the lease holds.
	async fn submit(&self, rendered: &Rendered) -> Result<TaskState, End> {
		let spec = &self.assignment.spec;
		let model = self.context.digest(&spec.model);
		let result = TaskResult {
			task_id: self.assignment.task_id.clone(),
			attempt: self.assignment.attempt,
			lease: self.assignment.lease.clone(),
			parameters: hex::encode(spec.digest()),
			model: model.unwrap_or_default(),
			pictures: rendered
				.pictures
				.iter()
				.zip(0..)
				.map(|(picture, index)| PictureDigest {
					index,
					digest: hex::encode(picture.digest),
				})
				.collect(),
			render_ms: rendered.duration.as_millis() as u64,
		};
		let written_down = AtomicBool::new(false);
		let submit = |connection: Arc<Connection>| {
			let (result, written_down) = (&result, &written_down);
			async move {
				let signed = connection.seal(self.context, result);
				// A result that is signed again over another connection says the same.
				if !written_down.swap(true, Ordering::Relaxed) {
					self.write_down(&signed).await;
				}
				connection.submit(signed).await
			}
		};
		match self.link.call(&self.lease, submit).await {
			Ok(state) => Ok(state),
			Err(CallError::Refused(refusal)) if ends_lease(refusal.code) => {
				Err(End::Lost(refusal.message))
			},
			Err(CallError::Refused(refusal)) => {
				Err(End::Failed(FailureReason::Internal, refusal.message))
			},
			Err(CallError::LeaseEnded) => Err(End::Lost(lease_over())),
		}
	}

	async fn write_down(&self, signed: &Signed<TaskResult>) {
		match serde_json::to_value(signed) {
			Ok(signed) => {
				let event = Event::Receipt { coordinator: self.link.stash(), signed };
				self.context.history.record(event).await;
			},
			Err(error) => error!("task {}: its receipt cannot be written: {error}", self.id()),
		}
	}

	/// Tells the coordinator that the task comes back.
	async fn give_back(&self, reason: FailureReason, message: String) {
		let report = FailureReport {
			task_id: self.assignment.task_id.clone(),
			attempt: self.assignment.attempt,
			lease: self.assignment.lease.clone(),
			reason,
			message,
		};
		let tell = self.link.call(&self.lease, |connection| {
			let report = report.clone();
			async move { connection.fail(report).await }
		});
		let hurry = async {
			self.link.phase_at_least(Phase::Abort).await;
			sleep(GIVE_BACK).await;
		};
		let told = tokio::select! {
			told = tell => told,
			() = hurry => Err(CallError::LeaseEnded),
		};
		if let Err(CallError::Refused(refusal)) = told {
			debug!("task {}: the coordinator does not want it back: {refusal}", self.id());
		}
	}
}

/// Whether a refusal means that there is nothing to hold any more.
fn ends_lease(code: Code) -> bool {
	matches!(code, Code::NoLease | Code::UnknownTask | Code::TaskEnded | Code::NotRegistered)
}

fn lease_over() -> String {
	"the coordinator could not be reached until the lease was over".into()
}

/// What to render for an assignment; the error names what cannot be rendered.
pub fn job(assignment: &Assignment) -> Result<RenderJob, String> {
	if TaskId::parse(assignment.task_id.as_str()).is_none() {
		return Err("the task id is malformed".into());
	}
	let spec = &assignment.spec;
	let request = RenderRequest {
		prompt: spec.prompt.clone(),
		negative_prompt: spec.negative_prompt.clone(),
		width: spec.width,
		height: spec.height,
		steps: spec.steps,
		// A task with less than 1 wants no guidance, which the renderer knows as 1.
		guidance_scale: spec.guidance_scale.max(1.0),
		seed: spec.seed,
		sampler: spec.sampler.parse::<Sampler>().map_err(|error| error.to_string())?,
		images: spec.images,
		start: None,
	};
	request.validate().map_err(|error| error.to_string())?;
	let task = assignment.task_id.to_string();
	Ok(RenderJob { task, model: spec.model.clone(), request })
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_coordinator_api::task::TaskRequest;
	use tokio::time::timeout;

	fn assignment() -> Assignment {
		Assignment {
			task_id: TaskId::from_bytes([7; 16]),
			attempt: 1,
			lease: "secret".into(),
			lease_ms: 30_000,
			spec: TaskRequest::new("a red bird").resolve(5, "m".into()),
		}
	}

	#[test]
	fn every_field_of_the_task_reaches_the_renderer() {
		let mut assignment = assignment();
		let spec = &mut assignment.spec;
		spec.negative_prompt = "blue".into();
		(spec.width, spec.height, spec.steps, spec.images) = (64, 72, 3, 2);
		spec.guidance_scale = 2.5;
		let job = job(&assignment).unwrap();
		assert_eq!(job.model, "m");
		assert_eq!(
			job.request,
			RenderRequest {
				prompt: "a red bird".into(),
				negative_prompt: "blue".into(),
				width: 64,
				height: 72,
				steps: 3,
				guidance_scale: 2.5,
				seed: 5,
				sampler: Sampler::EulerAncestral,
				images: 2,
				start: None,
			}
		);
	}

	/// What apps may ask for is what miners can render.
	#[test]
	fn both_sides_know_the_same_samplers() {
		assert_eq!(cuckoo_coordinator_api::task::SAMPLERS, Sampler::ALL.map(Sampler::name));
	}

	#[test]
	fn tasks_that_cannot_be_rendered_are_named_before_the_device_sees_them() {
		let refused = |change: fn(&mut Assignment)| {
			let mut assignment = assignment();
			change(&mut assignment);
			job(&assignment).unwrap_err()
		};
		assert!(refused(|a| a.spec.width = 0).contains("width"));
		assert!(refused(|a| a.spec.steps = 100_000).contains("steps"));
		assert!(refused(|a| a.spec.sampler = "none".into()).contains("sampler"));
		assert!(refused(|a| a.spec.prompt = "x".repeat(100_000)).contains("prompt"));
		let malformed = |a: &mut Assignment| {
			a.task_id = serde_json::from_str("\"../../x\"").unwrap();
		};
		assert!(refused(malformed).contains("id"));
	}

	#[tokio::test]
	async fn a_lease_that_is_kept_does_not_end() {
		let start = Instant::now();
		let lease = Lease::new(600);
		sleep(Duration::from_millis(300)).await;
		lease.keep(start + Duration::from_millis(300));
		timeout(Duration::from_secs(20), lease.ended()).await.expect("it ends");
		assert!(start.elapsed() >= Duration::from_millis(900), "it was kept");
	}

	#[test]
	fn heartbeats_leave_in_time() {
		assert_eq!(Lease::new(900).heartbeat_interval(), Duration::from_millis(300));
		assert_eq!(Lease::new(u64::MAX).heartbeat_interval(), Duration::from_secs(4));
	}
}
