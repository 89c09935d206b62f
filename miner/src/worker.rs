//! The render threads: one for each device, with models loaded on it. They take jobs from one queue; a
//! device renders one after the other.

use crate::{model_cache::ModelCache, queue::Queue};
use anyhow::Context as _;
use cuckoo_coordinator_api::miner::FailureReason;
use cuckoo_diffusion::{
	step_time, Device, LoadError, Picture, Pipeline, Progress, RenderError, RenderRequest,
};
use parking_lot::Mutex;
use std::{
	any::Any,
	ops::ControlFlow,
	panic::{catch_unwind, AssertUnwindSafe},
	sync::{
		atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
		mpsc, Arc,
	},
	thread,
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

	/// How much of the device's memory it holds, in bytes.
	fn bytes(&self) -> u64;

	/// The time of one of its denoising steps, with guidance and at its own size.
	fn step_time(&self) -> Result<Duration, RenderError>;
}

impl Model for Pipeline {
	fn render(
		&self,
		request: &RenderRequest,
		progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
	) -> Result<Vec<Picture>, RenderError> {
		Pipeline::render(self, request, progress)
	}

	fn bytes(&self) -> u64 {
		self.info().bytes
	}

	fn step_time(&self) -> Result<Duration, RenderError> {
		step_time(self)
	}
}

/// What to render with which model.
#[derive(Clone, Debug)]
pub struct RenderJob {
	/// The task that it is for, to show to people.
	pub task: String,
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
	/// The model cannot be loaded (any more).
	#[error("the model {model:?} cannot be loaded: {error}")]
	Load {
		/// Its name.
		model: String,
		/// Why.
		error: Box<LoadError>,
	},
	/// A defect of the renderer.
	#[error("the renderer crashed: {0}")]
	Crashed(String),
	/// There is nobody to render.
	#[error("the render threads have ended")]
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
			Self::Load { error, .. } => match **error {
				LoadError::OutOfMemory { .. } => FailureReason::OutOfMemory,
				_ => FailureReason::ModelMissing,
			},
			Self::Render(_) | Self::Crashed(_) | Self::Gone => FailureReason::Internal,
		}
	}
}

/// A job that waits for a device or is on it. Dropping it stops the rendering at the next step.
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

/// A job in the queue.
pub struct Queued {
	job: RenderJob,
	step: Arc<AtomicU32>,
	stop: Arc<AtomicBool>,
	outcome: oneshot::Sender<Result<Rendered, WorkError>>,
}

impl Queued {
	/// Name of the model that it needs.
	pub fn model(&self) -> &str {
		&self.job.model
	}
}

/// What a device does, for people to see.
pub struct Activity {
	/// The device.
	pub device: Device,
	/// Denoising steps since the start.
	pub steps: AtomicU64,
	/// Pictures since the start.
	pub pictures: AtomicU64,
	current: Mutex<Option<Current>>,
	loaded: Mutex<Vec<String>>,
}

/// A job on a device.
#[derive(Clone, Debug)]
pub struct Current {
	/// What is rendered.
	pub job: RenderJob,
	/// Denoising steps done so far, over all pictures.
	pub step: Arc<AtomicU32>,
	/// Since when.
	pub since: Instant,
}

impl Activity {
	/// Of a device that has done nothing so far.
	pub fn new(device: Device) -> Arc<Self> {
		Arc::new(Self {
			device,
			steps: AtomicU64::new(0),
			pictures: AtomicU64::new(0),
			current: Mutex::default(),
			loaded: Mutex::default(),
		})
	}

	/// The job on it, if there is one.
	pub fn current(&self) -> Option<Current> {
		self.current.lock().clone()
	}

	/// Names of the models that are loaded.
	pub fn loaded(&self) -> Vec<String> {
		self.loaded.lock().clone()
	}

	fn show(&self, current: Option<Current>, cache: &ModelCache) {
		*self.current.lock() = current;
		*self.loaded.lock() = cache.names();
	}
}

/// The way to the render threads.
pub struct Workers {
	queue: Arc<Queue>,
	activities: Vec<Arc<Activity>>,
}

impl Workers {
	/// Starts a thread for each device and sets up its models there: they need not be able to move
	/// between threads, and a device's context stays with the thread that uses it. Returns what `set_up`
	/// told about the models of each device.
	///
	/// # Errors
	///
	/// If `set_up` fails for any of them.
	pub fn start<T: Send + 'static>(
		devices: &[Device],
		set_up: impl Fn(Device) -> anyhow::Result<(ModelCache, T)> + Clone + Send + 'static,
	) -> anyhow::Result<(Self, Vec<T>)> {
		// Dropping it lets the threads end.
		let mut workers = Self { queue: Arc::default(), activities: Vec::new() };
		let mut starting = Vec::new();
		for device in devices {
			let (ready, is_ready) = mpsc::sync_channel(1);
			let (activity, queue) = (Activity::new(*device), Arc::clone(&workers.queue));
			workers.activities.push(Arc::clone(&activity));
			let set_up = set_up.clone();
			thread::Builder::new()
				.name(format!("render {device}"))
				.spawn(move || match set_up(activity.device) {
					Ok((mut cache, about)) => {
						activity.show(None, &cache);
						let _ = ready.send(Ok(about));
						run(&mut cache, &queue, &activity);
					},
					Err(error) => {
						let _ = ready.send(Err(error));
					},
				})
				.context("cannot start a render thread")?;
			starting.push(is_ready);
		}
		let set_up = starting.into_iter().map(|is_ready| {
			is_ready.recv().context("a render thread ended while it loaded the models")?
		});
		let about = set_up.collect::<anyhow::Result<_>>()?;
		Ok((workers, about))
	}

	/// Queues a job.
	pub fn render(&self, job: RenderJob) -> Ticket {
		let (sender, outcome) = oneshot::channel();
		let ticket = Ticket { step: Arc::default(), stop: Arc::default(), outcome };
		self.queue.push(Queued {
			job,
			step: Arc::clone(&ticket.step),
			stop: Arc::clone(&ticket.stop),
			outcome: sender,
		});
		ticket
	}

	/// What each device does.
	pub fn activities(&self) -> &[Arc<Activity>] {
		&self.activities
	}
}

impl Drop for Workers {
	fn drop(&mut self) {
		self.queue.close();
	}
}

fn run(cache: &mut ModelCache, queue: &Queue, activity: &Activity) {
	while let Some(queued) = queue.pop(|model| cache.holds(model)) {
		if queued.stop.load(Ordering::Relaxed) {
			continue;
		}
		let current = Current {
			job: queued.job.clone(),
			step: Arc::clone(&queued.step),
			since: Instant::now(),
		};
		activity.show(Some(current), cache);
		// The models hold nothing that a render in progress changes, so they are sound after it
		// broke off anywhere.
		let outcome = catch_unwind(AssertUnwindSafe(|| render(cache, &queued, activity)))
			.unwrap_or_else(|panic| Err(WorkError::Crashed(panic_text(panic.as_ref()))));
		activity.show(None, cache);
		let _ = queued.outcome.send(outcome);
	}
}

fn render(
	cache: &mut ModelCache,
	queued: &Queued,
	activity: &Activity,
) -> Result<Rendered, WorkError> {
	let Queued { job, step, stop, .. } = queued;
	let started = Instant::now();
	let pictures = loop {
		let model = cache.get(&job.model).map_err(|error| WorkError::Load {
			model: job.model.clone(),
			error: Box::new(error),
		})?;
		let rendered = model.render(&job.request, &mut |progress| {
			step.store(progress.image * progress.steps + progress.step, Ordering::Relaxed);
			activity.steps.fetch_add(1, Ordering::Relaxed);
			if stop.load(Ordering::Relaxed) {
				ControlFlow::Break(())
			} else {
				ControlFlow::Continue(())
			}
		});
		match rendered {
			// It may fit when this model has the device for itself.
			Err(RenderError::OutOfMemory(_)) if cache.shrink() => (),
			rendered => break rendered?,
		}
	};
	let duration = started.elapsed();
	activity.pictures.fetch_add(pictures.len() as u64, Ordering::Relaxed);
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

		fn bytes(&self) -> u64 {
			10
		}

		fn step_time(&self) -> Result<Duration, RenderError> {
			Ok(Duration::from_millis(10))
		}
	}

	/// A worker that serves [`Puppet`] as `puppet`, and nothing else.
	pub fn puppet() -> Workers {
		let load = |name: &str| -> Result<Box<dyn Model>, LoadError> {
			match name {
				"puppet" => Ok(Box::new(Puppet)),
				_ => Err(LoadError::MissingDirectory(name.into())),
			}
		};
		let set_up = move |_| Ok((ModelCache::new(Box::new(load), 100), ()));
		Workers::start(&[Device::Cpu], set_up).unwrap().0
	}

	fn job(model: &str, prompt: &str) -> RenderJob {
		RenderJob {
			task: "task".into(),
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
		let set_up = |device| match device {
			Device::Cpu => Ok((ModelCache::new(Box::new(|_| Ok(Box::new(Puppet))), 100), ())),
			Device::Cuda(_) => anyhow::bail!("no such model"),
		};
		let Err(error) = Workers::start(&[Device::Cpu, Device::Cuda(1)], set_up) else {
			panic!("must fail")
		};
		assert_eq!(error.to_string(), "no such model");
	}

	#[tokio::test]
	async fn devices_work_at_the_same_time() {
		let set_up = |_| Ok((ModelCache::new(Box::new(|_| Ok(Box::new(Puppet))), 100), ()));
		let (workers, _) = Workers::start(&[Device::Cpu, Device::Cpu], set_up).unwrap();
		let slow = [(); 2].map(|()| workers.render(job("puppet", "slow")));
		let both = async {
			while !workers.activities().iter().all(|activity| activity.current().is_some()) {
				tokio::time::sleep(Duration::from_millis(10)).await;
			}
		};
		tokio::time::timeout(Duration::from_secs(10), both).await.expect("both are busy");
		let current = workers.activities()[0].current().unwrap();
		assert_eq!((&*current.job.task, &*current.job.model), ("task", "puppet"));
		drop(slow);
		workers.render(job("puppet", "x")).outcome().await.unwrap();
		assert!(workers.activities().iter().any(|activity| activity.loaded() == ["puppet"]));
	}
}
