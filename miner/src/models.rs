//! The models of a miner, and the commands that need nothing but them.

use crate::{
	cli::{ModelsArgs, RenderArgs},
	worker::{Model, Models},
};
use anyhow::{bail, ensure, Context as _};
use cuckoo_coordinator_api::{
	miner::{ModelOffer, MAX_MODELS},
	task::MODEL_BYTES,
};
use cuckoo_diffusion::{
	list_models, Device, Lora, ModelInfo, Picture, Pipeline, RenderRequest, StartPicture,
};
use std::{io::Write as _, ops::ControlFlow, path::Path, time::Instant};
use tracing::{info, warn};

/// Loads every model in `dir` onto the device.
pub fn load(dir: &Path, device: Device) -> anyhow::Result<(Models, Vec<ModelInfo>)> {
	let entries = list_models(dir)?;
	ensure!(
		entries.len() <= MAX_MODELS,
		"{} holds {} models; a miner may serve at most {MAX_MODELS}",
		dir.display(),
		entries.len()
	);
	let (mut models, mut infos) = (Models::new(), Vec::new());
	for entry in entries {
		let pipeline = Pipeline::load(&entry.path, &device)?;
		let info = pipeline.info().clone();
		ensure!(
			(1..=MODEL_BYTES).contains(&info.name.len()),
			"the name of the model directory {} is longer than {MODEL_BYTES} bytes",
			entry.path.display()
		);
		models.insert(info.name.clone(), Box::new(pipeline) as Box<dyn Model>);
		infos.push(info);
	}
	Ok((models, infos))
}

/// Says what was loaded, and warns of models that say something against themselves.
pub fn announce(infos: &[ModelInfo], device: Device) {
	for info in infos {
		info!(
			"model {} on {device}: {:.1} million weights, digest {}…",
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
pub fn offers(infos: &[ModelInfo]) -> Vec<ModelOffer> {
	infos
		.iter()
		.map(|info| ModelOffer { name: info.name.clone(), digest: hex::encode(info.digest) })
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
	let (_, infos) = load(&args.models, args.device.device())?;
	for info in infos {
		println!("{}", info.name);
		println!("  digest: {}", hex::encode(info.digest));
		println!("  weights: {:.1} million", info.parameters as f64 / 1e6);
		println!("  size: {} × {} pixels", info.width, info.height);
		if let Some(notice) = notice(&info) {
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
	announce(std::slice::from_ref(pipeline.info()), pipeline.device());
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
