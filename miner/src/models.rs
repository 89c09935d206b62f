//! The models of a miner, and the commands that need nothing but them.

use crate::{
	cli::{ModelsArgs, RenderArgs},
	model_cache::ModelCache,
	worker::Model,
};
use anyhow::{bail, ensure, Context as _};
use cuckoo_coordinator_api::{
	miner::{ModelOffer, SpeedReport, MAX_MODELS},
	task::MODEL_BYTES,
};
use cuckoo_diffusion::{
	list_models, Device, LoadError, Lora, ModelEntry, ModelInfo, Picture, Pipeline, RenderRequest,
	StartPicture,
};
use std::{
	cell::RefCell,
	collections::{btree_map::Entry, BTreeMap},
	io::Write as _,
	ops::ControlFlow,
	path::Path,
	rc::Rc,
	time::{Duration, Instant},
};
use tracing::{info, warn};

/// The models in `dir`.
pub fn entries(dir: &Path) -> anyhow::Result<Vec<ModelEntry>> {
	let entries = list_models(dir)?;
	ensure!(
		entries.len() <= MAX_MODELS,
		"{} holds {} models; a miner may serve at most {MAX_MODELS}",
		dir.display(),
		entries.len()
	);
	for entry in &entries {
		ensure!(
			(1..=MODEL_BYTES).contains(&entry.name.len()),
			"the name of the model directory {} is longer than {MODEL_BYTES} bytes",
			entry.path.display()
		);
	}
	Ok(entries)
}

/// Loads each of the models once, so that every one is known to be good; those stay loaded that fit
/// `budget` bytes of the device's memory, the first ones before the others.
pub fn load(
	entries: &[ModelEntry],
	device: Device,
	budget: u64,
) -> anyhow::Result<(ModelCache, Vec<Served>)> {
	let infos = Rc::<RefCell<BTreeMap<String, ModelInfo>>>::default();
	let known = Rc::clone(&infos);
	let paths: BTreeMap<_, _> =
		entries.iter().map(|entry| (entry.name.clone(), entry.path.clone())).collect();
	let load = move |name: &str| -> Result<Box<dyn Model>, LoadError> {
		let path = paths.get(name).ok_or_else(|| LoadError::MissingDirectory(name.into()))?;
		let pipeline = Pipeline::load(path, &device)?;
		let info = pipeline.info().clone();
		// Coordinators were promised the model with that digest.
		match known.borrow_mut().entry(name.to_owned()) {
			Entry::Vacant(place) => {
				place.insert(info);
			},
			Entry::Occupied(before) if before.get().digest == info.digest => (),
			Entry::Occupied(_) => return Err(LoadError::Changed(path.clone())),
		}
		Ok(Box::new(pipeline))
	};
	let mut cache = ModelCache::new(Box::new(load), budget);
	let mut served = Vec::new();
	for entry in entries.iter().rev() {
		let model = cache.get(&entry.name)?;
		let info = infos.borrow()[&entry.name].clone();
		let step = model
			.step_time()
			.with_context(|| format!("the model {} does not render", entry.name))?;
		served.push(Served { info, step });
	}
	served.reverse();
	Ok((cache, served))
}

/// A model that is served.
pub struct Served {
	/// What it is.
	pub info: ModelInfo,
	/// The time of one of its denoising steps on the device, with guidance and at its own size.
	pub step: Duration,
}

/// What coordinators are told of the speed.
pub fn speeds(served: &[Served]) -> Vec<SpeedReport> {
	let report = |Served { info, step }: &Served| {
		let milliunits = f64::from(info.width * info.height) * 1000.0 / f64::from(1 << 20);
		SpeedReport {
			model: info.name.clone(),
			milliunits_per_second: (milliunits / step.as_secs_f64().max(1e-6)) as u64,
		}
	};
	served.iter().map(report).collect()
}

/// Says what was loaded, and warns of models that say something against themselves.
pub fn announce<'a>(infos: impl IntoIterator<Item = &'a ModelInfo>) {
	for info in infos {
		info!(
			"model {}: {:.1} million weights, digest {}…",
			info.name,
			info.parameters as f64 / 1e6,
			hex::encode(&info.digest[..4])
		);
		if let Some(notice) = notice(info) {
			warn!("model {}: {notice}", info.name);
		}
	}
}

/// What coordinators are told of the models.
pub fn offers(served: &[Served]) -> Vec<ModelOffer> {
	served
		.iter()
		.map(|Served { info, .. }| ModelOffer {
			name: info.name.clone(),
			digest: hex::encode(info.digest),
		})
		.collect()
}

/// What people must know before they use the model.
pub fn notice(info: &ModelInfo) -> Option<String> {
	match &info.notice {
		Some(notice) => Some(crate::text::printable(notice)),
		None => (!info.trained).then(|| "untrained".into()),
	}
}

/// `cuckoo-miner models`.
pub fn list(args: &ModelsArgs) -> anyhow::Result<()> {
	for entry in entries(&args.models)? {
		let pipeline = Pipeline::load(&entry.path, &args.device.device())?;
		let info = pipeline.info();
		println!("{}", info.name);
		println!("  digest: {}", hex::encode(info.digest));
		println!("  weights: {:.1} million", info.parameters as f64 / 1e6);
		println!("  size: {} × {} pixels", info.width, info.height);
		if let Some(notice) = notice(info) {
			println!("  notice: {notice}");
		}
	}
	Ok(())
}

/// Loads the model of that name, or the first one, with the changes of LoRA files.
pub fn open(args: &ModelsArgs, name: Option<&str>, loras: &[Lora]) -> anyhow::Result<Pipeline> {
	let entries = list_models(&args.models)?;
	let Some(entry) = entries.iter().find(|entry| name.is_none_or(|name| name == entry.name))
	else {
		let names: Vec<_> = entries.iter().map(|entry| &*entry.name).collect();
		bail!("there is no model {:?}: there are {}", name.unwrap_or_default(), names.join(", "));
	};
	Ok(Pipeline::load_with(&entry.path, &args.device.device(), loras)?)
}

/// The picture in a PNG file, to start from.
fn start(file: &Path, strength: f64) -> anyhow::Result<StartPicture> {
	let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
	let picture = Picture::from_png(&content).with_context(|| file.display().to_string())?;
	Ok(StartPicture { picture, strength })
}

/// `cuckoo-miner render`.
pub fn render(args: &RenderArgs) -> anyhow::Result<()> {
	let pipeline = open(&args.models, args.model.as_deref(), &args.loras)?;
	announce([pipeline.info()]);
	let start = args.from.as_deref().map(|file| start(file, args.strength)).transpose()?;
	let (width, height) = match &start {
		Some(StartPicture { picture, .. }) => (picture.width, picture.height),
		None => (
			args.width.unwrap_or(pipeline.info().width),
			args.height.unwrap_or(pipeline.info().height),
		),
	};
	let request = RenderRequest {
		prompt: args.prompt.clone(),
		negative_prompt: args.negative_prompt.clone(),
		width,
		height,
		steps: args.steps,
		guidance_scale: args.guidance_scale.max(1.0),
		seed: args.seed,
		sampler: args.sampler,
		images: 1,
		start,
	};
	let started = Instant::now();
	let pictures = pipeline.render(&request, &mut |progress| {
		eprint!("\rstep {}/{} ", progress.step, progress.steps);
		let _ = std::io::stderr().flush();
		ControlFlow::Continue(())
	})?;
	eprintln!("in {:.1} s", started.elapsed().as_secs_f32());
	for picture in pictures {
		std::fs::write(&args.out, picture.png())
			.with_context(|| format!("cannot write {}", args.out.display()))?;
		println!("{} (pixels {})", args.out.display(), hex::encode(picture.digest()));
	}
	Ok(())
}
