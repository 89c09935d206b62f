//! The render thread: one for the device, with its models loaded; jobs are rendered one after the
//! other.

use anyhow::Context as _;
use cuckoo_coordinator_api::miner::FailureReason;
use cuckoo_diffusion::{Picture, Pipeline, Progress, RenderError, RenderRequest};
use std::{
	any::Any,
	collections::BTreeMap,
	ops::ControlFlow,
	panic::{catch_unwind, AssertUnwindSafe},
	sync::{
		atomic::{AtomicBool, AtomicU32, Ordering},
		mpsc, Arc,
	},
	time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// What renders. The seam between the miner and the diffusion crate.
pub trait Model {
	/// Renders the request, reporting each step to `progress`, which may stop it.
	fn render(
		&self,
		request: &RenderRequest,
		progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
	) -> Result<Vec<Picture>, RenderError>;
}

impl Model for Pipeline {
	fn render(
		&self,
		request: &RenderRequest,
		progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
	) -> Result<Vec<Picture>, RenderError> {
		Pipeline::render(self, request, progress)
	}
}

/// Loaded models by the name under which apps ask for them.
pub type Models = BTreeMap<String, Box<dyn Model>>;

/// What to render with which model.
#[derive(Clone, Debug)]
pub struct RenderJob {
	/// Name of the model.
	pub model: String,
	/// The request.
	pub request: RenderRequest,
}

/// The pictures of a job.
#[derive(Debug)]
pub struct Rendered {
	/// In order.
	pub pictures: Vec<RenderedPicture>,
	/// Time spent rendering.
	pub duration: Duration,
}

/// One picture, ready to be sent.
#[derive(Debug)]
pub struct RenderedPicture {
	/// The PNG file.
	pub png: Vec<u8>,
	/// BLAKE2-256 of the raw pixels.
	pub digest: [u8; 32],
}

/// Why a job gave no pictures.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
	/// The renderer says why.
	#[error(transparent)]
	Render(#[from] RenderError),
	/// No model of that name is loaded.
	#[error("this miner does not serve the model {0:?}")]
	ModelMissing(String),
	/// A defect of the renderer.
	#[error("the renderer crashed: {0}")]
	Crashed(String),
	/// There is nobody to render.
	#[error("the render thread has ended")]
	Gone,
}

impl WorkError {
	/// What a coordinator is told.
	pub fn reason(&self) -> FailureReason {
		match self {
			Self::Render(RenderError::OutOfMemory(_)) => FailureReason::OutOfMemory,
			Self::Render(RenderError::Request(_) | RenderError::Tokenizer(_)) => {
				FailureReason::BadTask
			},
			Self::ModelMissing(_) => FailureReason::ModelMissing,
			Self::Render(_) | Self::Crashed(_) | Self::Gone => FailureReason::Internal,
		}
	}
}

/// A job that waits for the device or is on it. Dropping it stops the rendering at the next step.
pub struct Ticket {
	step: Arc<AtomicU32>,
	stop: Arc<AtomicBool>,
	outcome: oneshot::Receiver<Result<Rendered, WorkError>>,
}

impl Ticket {
	/// The count of denoising steps done so far, over all pictures.
	pub fn step(&self) -> Arc<AtomicU32> {
		Arc::clone(&self.step)
	}

	/// Waits for the pictures.
	pub async fn outcome(&mut self) -> Result<Rendered, WorkError> {
		(&mut self.outcome).await.unwrap_or(Err(WorkError::Gone))
	}
}

impl Drop for Ticket {
	fn drop(&mut self) {
		self.stop.store(true, Ordering::Relaxed);
	}
}

struct Queued {
	job: RenderJob,
	step: Arc<AtomicU32>,
	stop: Arc<AtomicBool>,
	outcome: oneshot::Sender<Result<Rendered, WorkError>>,
}

/// The way to the render thread.
pub struct Worker {
	jobs: mpsc::Sender<Queued>,
}

impl Worker {
	/// Starts the thread and loads the models on it: they need not be able to move between threads,
	/// and a device's context stays with the thread that uses it. Returns what `load` told about the
	/// models.
	pub fn start<T: Send + 'static>(
		load: impl FnOnce() -> anyhow::Result<(Models, T)> + Send + 'static,
	) -> anyhow::Result<(Self, T)> {
		let (jobs, queue) = mpsc::channel();
		let (ready, loaded) = mpsc::sync_channel(1);
		std::thread::Builder::new()
			.name("render".into())
			.spawn(move || match load() {
				Ok((models, about)) => {
					let _ = ready.send(Ok(about));
					run(&models, &queue);
				},
				Err(error) => {
					let _ = ready.send(Err(error));
				},
			})
			.context("cannot start the render thread")?;
		let about =
			loaded.recv().context("the render thread ended while it loaded the models")??;
		Ok((Self { jobs }, about))
	}

	/// Queues a job.
	pub fn render(&self, job: RenderJob) -> Ticket {
		let (sender, outcome) = oneshot::channel();
		let ticket = Ticket { step: Arc::default(), stop: Arc::default(), outcome };
		// If the thread has ended, the sender is dropped here and the ticket says so.
		let _ = self.jobs.send(Queued {
			job,
			step: Arc::clone(&ticket.step),
			stop: Arc::clone(&ticket.stop),
			outcome: sender,
		});
		ticket
	}
}

fn run(models: &Models, queue: &mpsc::Receiver<Queued>) {
	while let Ok(queued) = queue.recv() {
		if queued.stop.load(Ordering::Relaxed) {
			continue;
		}
		// The models hold nothing that a render in progress changes, so they are sound after it
		// broke off anywhere.
		let outcome = catch_unwind(AssertUnwindSafe(|| render(models, &queued)))
			.unwrap_or_else(|panic| Err(WorkError::Crashed(panic_text(panic.as_ref()))));
		let _ = queued.outcome.send(outcome);
	}
}

fn render(models: &Models, queued: &Queued) -> Result<Rendered, WorkError> {
	let Queued { job, step, stop, .. } = queued;
	let model = models.get(&job.model).ok_or_else(|| WorkError::ModelMissing(job.model.clone()))?;
	let started = Instant::now();
	let pictures = model.render(&job.request, &mut |progress| {
		step.store(progress.image * progress.steps + progress.step, Ordering::Relaxed);
		if stop.load(Ordering::Relaxed) {
			ControlFlow::Break(())
		} else {
			ControlFlow::Continue(())
		}
	})?;
	let duration = started.elapsed();
	let pictures = pictures
		.into_iter()
		.map(|picture| RenderedPicture { png: picture.png(), digest: picture.digest() })
		.collect();
	Ok(Rendered { pictures, duration })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
	panic
		.downcast_ref::<&str>()
		.map(ToString::to_string)
		.or_else(|| panic.downcast_ref::<String>().cloned())
		.unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
pub mod tests {
	use super::*;
	use cuckoo_diffusion::Sampler;

	/// A model that does what the prompt says: `crash`, run out of `memory`, be `slow` (ten minutes) or
	/// `brisk` (two seconds), or else give grey pictures in no time.
	pub struct Puppet;

	impl Model for Puppet {
		fn render(
			&self,
			request: &RenderRequest,
			progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
		) -> Result<Vec<Picture>, RenderError> {
			match request.prompt.as_str() {
				"crash" => panic!("on purpose"),
				"memory" => return Err(RenderError::OutOfMemory("on purpose".into())),
				_ => (),
			}
			let steps = match request.prompt.as_str() {
				"slow" => 60_000,
				"brisk" => 200,
				_ => request.steps,
			};
			for image in 0..request.images {
				for step in 1..=steps {
					if steps > request.steps {
						std::thread::sleep(Duration::from_millis(10));
					}
					let now = Progress { image, images: request.images, step, steps };
					if progress(now).is_break() {
						return Err(RenderError::Cancelled);
					}
				}
			}
			let size = (request.width * request.height * 3) as usize;
			let picture =
				Picture { width: request.width, height: request.height, rgb: vec![127; size] };
			Ok(vec![picture; request.images as usize])
		}
	}

	/// A worker that serves [`Puppet`] as `puppet`.
	pub fn puppet() -> Worker {
		let load = || {
			let models: Models = [("puppet".to_owned(), Box::new(Puppet) as Box<dyn Model>)].into();
			Ok((models, ()))
		};
		Worker::start(load).unwrap().0
	}

	fn job(model: &str, prompt: &str) -> RenderJob {
		RenderJob {
			model: model.into(),
			request: RenderRequest {
				prompt: prompt.into(),
				negative_prompt: String::new(),
				width: 64,
				height: 64,
				steps: 3,
				guidance_scale: 1.0,
				seed: 1,
				sampler: Sampler::Euler,
				images: 2,
				start: None,
			},
		}
	}

	#[tokio::test]
	async fn each_failure_has_its_reason_and_the_next_job_still_works() {
		let worker = puppet();
		for (model, prompt, reason) in [
			("puppet", "crash", FailureReason::Internal),
			("puppet", "memory", FailureReason::OutOfMemory),
			("other", "x", FailureReason::ModelMissing),
		] {
			let error = worker.render(job(model, prompt)).outcome().await.unwrap_err();
			assert_eq!(error.reason(), reason, "{error}");
		}
		let mut ticket = worker.render(job("puppet", "x"));
		let rendered = ticket.outcome().await.unwrap();
		assert_eq!(rendered.pictures.len(), 2);
		assert!(rendered.pictures[0].png.starts_with(b"\x89PNG"));
		assert_eq!(ticket.step().load(Ordering::Relaxed), 6, "steps count over all pictures");
	}

	#[tokio::test]
	async fn a_dropped_ticket_frees_the_device_at_the_next_step() {
		let worker = puppet();
		let slow = worker.render(job("puppet", "slow"));
		let skipped = worker.render(job("puppet", "slow"));
		let mut next = worker.render(job("puppet", "x"));
		tokio::time::sleep(Duration::from_millis(50)).await;
		drop((slow, skipped));
		let outcome = tokio::time::timeout(Duration::from_secs(10), next.outcome()).await;
		assert!(outcome.expect("the slow job was stopped").is_ok());
	}

	#[test]
	fn a_failure_to_load_is_handed_on() {
		let Err(error) = Worker::start::<()>(|| anyhow::bail!("no such model")) else {
			panic!("must fail")
		};
		assert_eq!(error.to_string(), "no such model");
	}
}
