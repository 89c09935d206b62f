//! The same computed by diffusers: `scripts/parity` writes random models with what diffusers makes
//! of them, in float32 on the CPU, and runs the ignored test here on all of it. A small subset is
//! stored in the repository; the other tests compare with that.
//!
//! Weights and noise come from a formula that both sides know ([`formula`]), so that the stored
//! subset needs none.

use super::*;
use crate::{
	untrained::{write_weights, Draw},
	Sampler,
};
use safetensors::{tensor::TensorView, Dtype};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, sync::Arc};

/// The largest relative error that passes.
const LIMIT: f64 = 1e-4;

/// What diffusers made of a model, and of which inputs.
#[derive(Deserialize)]
struct ModelCase {
	name: String,
	/// In the stored subset, the model's configuration and tokenizer files.
	#[serde(default)]
	files: BTreeMap<String, String>,
	prompt: String,
	negative: String,
	/// Height and width in pixels.
	size: (u32, u32),
	guidance: f32,
	conditioned: Conditioned,
	trajectories: Vec<Trajectory>,
	/// How much of the picture may change in `from_picture`.
	strength: f64,
	from_picture: Vec<Trajectory>,
	/// The latents of the picture.
	encoded: Record,
	/// The pixels of given latents.
	decoded: Record,
	loras: Vec<LoraCase>,
}

/// What the model makes of the prompts, and the UNet's output for them.
#[derive(Deserialize)]
struct Conditioned {
	states: Record,
	pooled: Option<Record>,
	unet: Vec<UnetCase>,
}

/// The same with a LoRA file.
#[derive(Deserialize)]
struct LoraCase {
	naming: String,
	scale: f32,
	/// The shapes of the tensors in the file.
	tensors: BTreeMap<String, Vec<usize>>,
	conditioned: Conditioned,
}

#[derive(Deserialize)]
struct UnetCase {
	timestep: f64,
	output: Record,
}

/// The samples after each step that was done.
#[derive(Deserialize)]
struct Trajectory {
	sampler: String,
	steps: usize,
	samples: Vec<Record>,
}

/// Runs of one scheduler configuration with the model [`stand_in`].
#[derive(Deserialize)]
struct ScheduleCase {
	name: String,
	/// `scheduler_config.json`.
	config: serde_json::Value,
	trajectory: Trajectory,
}

/// A tensor, or every `stride`-th number of one.
#[derive(Deserialize)]
struct Record {
	len: usize,
	stride: usize,
	values: Vec<f64>,
}

impl Record {
	/// The relative error of `ours`: the length of the difference by the length of the record.
	fn error(&self, ours: &[f32]) -> f64 {
		assert_eq!(self.len, ours.len(), "another shape");
		let ours = ours.iter().step_by(self.stride).copied().map(f64::from);
		let (mut difference, mut length) = (0.0, 0.0);
		for (ours, &theirs) in ours.zip(&self.values) {
			difference += (ours - theirs).powi(2);
			length += theirs.powi(2);
		}
		assert!(length > 0.0, "nothing to compare with");
		(difference / length).sqrt()
	}
}

impl Trajectory {
	fn sampler(&self) -> Sampler {
		self.sampler.parse().unwrap()
	}

	/// The largest error after any step.
	fn error(&self, ours: &[Vec<f32>]) -> f64 {
		assert_eq!(self.samples.len(), ours.len());
		let errors = self.samples.iter().zip(ours).map(|(theirs, ours)| theirs.error(ours));
		errors.fold(0.0, f64::max)
	}
}

/// `count` numbers evenly spread over -1 to 1, by splitmix64 (Steele et al. 2014) from the FNV-1a
/// hash of a name.
fn formula(name: &str, count: usize) -> impl Iterator<Item = f64> {
	let start = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
		(hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
	});
	(1..=count as u64).map(move |i| {
		let z = start.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
		let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
	})
}

/// Unit noise, though not Gaussian.
fn unit(name: &str, count: usize) -> Vec<f32> {
	formula(name, count).map(|x| (x * 3.0_f64.sqrt()) as f32).collect()
}

/// The weights of a tensor: such that signals keep their size, with biases and norms that matter.
fn weights(file: &str, name: &str, dims: &[usize]) -> Vec<f32> {
	let part = file.split('/').next().unwrap();
	let numbers = formula(&format!("{part}/{name}"), dims.iter().product());
	let (middle, spread) = match dims {
		[_] if name.ends_with("bias") => (0.0, 0.2),
		[_] => (1.0, 0.2),
		_ if name.contains("embedding.weight") => (0.0, 1.0),
		[_, rest @ ..] => (0.0, (3.0 / rest.iter().product::<usize>() as f64).sqrt()),
		[] => unreachable!("weights have dimensions"),
	};
	numbers.map(|x| (middle + spread * x) as f32).collect()
}

struct FormulaNoise;

impl Noise for FormulaNoise {
	fn start(&self, len: usize) -> Vec<f32> {
		unit("noise", len)
	}

	fn step(&self, step: usize, len: usize) -> Vec<f32> {
		unit(&format!("noise/{step}"), len)
	}
}

/// Stands in for a model where only the sampler is looked at.
fn stand_in(sample: &[f32], timestep: f64) -> Vec<f32> {
	let wave = |i| 0.2 * (i as f64 + timestep / 100.0).cos();
	sample.iter().enumerate().map(|(i, &x)| (0.8 * f64::from(x) + wave(i)) as f32).collect()
}

/// Collects the samples after each step into `samples`.
fn collect(samples: &mut Vec<Vec<f32>>) -> impl FnMut(usize, &[f32]) -> ControlFlow<()> + '_ {
	move |_, sample| {
		samples.push(sample.to_vec());
		ControlFlow::Continue(())
	}
}

impl ScheduleCase {
	fn error(&self) -> f64 {
		let dir = tempfile::tempdir().unwrap();
		fs::create_dir(dir.path().join("scheduler")).unwrap();
		let file = dir.path().join("scheduler/scheduler_config.json");
		fs::write(file, self.config.to_string()).unwrap();
		let model = ModelDirectory::open(dir.path()).unwrap();
		let schedule = read_noise_schedule(&model).unwrap();
		let plan = self.trajectory.sampler().plan(&schedule, self.trajectory.steps, Start::Noise);
		let len = self.trajectory.samples[0].len;
		let mut samples = Vec::new();
		let mut predict = |sample: &[f32], timestep: f64| Ok(stand_in(sample, timestep));
		denoise(&plan, &FormulaNoise, &[], len, &mut predict, &mut collect(&mut samples)).unwrap();
		self.trajectory.error(&samples)
	}
}

impl LoraCase {
	/// Writes the file.
	fn write(&self, file: &Path) {
		let fill = |name: &str, shape: &[usize]| -> Vec<f32> {
			// An alpha, the only one without a shape.
			if shape.is_empty() {
				return vec![1.5];
			}
			let spread = 0.5 * (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
			let numbers = formula(&format!("lora/{name}"), shape.iter().product());
			numbers.map(|x| (spread * x) as f32).collect()
		};
		let bytes = self.tensors.iter().map(|(name, shape)| {
			let bytes: Vec<u8> =
				fill(name, shape).iter().flat_map(|value| value.to_le_bytes()).collect();
			(name, shape, bytes)
		});
		let bytes: Vec<_> = bytes.collect();
		let views = bytes.iter().map(|(name, shape, bytes)| {
			(name, TensorView::new(Dtype::F32, (*shape).clone(), bytes).unwrap())
		});
		fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
	}
}

fn numbers(tensor: Tensor) -> Vec<f32> {
	tensor.flatten_all().unwrap().to_vec1().unwrap()
}

impl ModelCase {
	/// What was compared of the prompts and the UNet's output, and its error.
	fn conditioned_errors(&self, theirs: &Conditioned, pipeline: &Pipeline) -> Vec<(String, f64)> {
		let mut errors = Vec::new();
		let negative = Some(self.negative.as_str());
		let encoded = pipeline.text.encode(negative, &self.prompt, &pipeline.opened).unwrap();
		errors.push(("text states".to_owned(), theirs.states.error(&numbers(encoded.states))));
		assert_eq!(theirs.pooled.is_some(), encoded.pooled.is_some());
		if let (Some(theirs), Some(ours)) = (&theirs.pooled, encoded.pooled) {
			errors.push(("pooled text".to_owned(), theirs.error(&numbers(ours))));
		}
		let (height, width) = self.latents(pipeline);
		let condition = pipeline.condition(negative, &self.prompt, self.size).unwrap();
		for case in &theirs.unet {
			let shape = (2, pipeline.latent_channels, height, width);
			let samples = unit("unet input", 2 * pipeline.latent_channels * height * width);
			let samples = Tensor::from_vec(samples, shape, &pipeline.opened).unwrap();
			let output = pipeline.unet.forward(&samples, case.timestep, &condition, None).unwrap();
			let error = case.output.error(&numbers(output));
			errors.push((format!("UNet output at timestep {}", case.timestep), error));
		}
		errors
	}

	/// Height and width of the latents.
	fn latents(&self, pipeline: &Pipeline) -> (usize, usize) {
		let factor = pipeline.vae.factor();
		(self.size.0 as usize / factor, self.size.1 as usize / factor)
	}

	/// What was compared with the model in `dir`, and its error.
	fn errors(&self, dir: &Path) -> Vec<(String, f64)> {
		let pipeline = Pipeline::load(dir, &Device::Cpu).unwrap();
		let mut errors = self.conditioned_errors(&self.conditioned, &pipeline);
		let (height, width) = self.latents(&pipeline);
		let len = pipeline.latent_channels * height * width;
		let negative = Some(self.negative.as_str());
		let condition = pipeline.condition(negative, &self.prompt, self.size).unwrap();

		let (rows, columns) = (self.size.0 as usize, self.size.1 as usize);
		let picture = formula("picture", 3 * rows * columns).map(|x| x as f32).collect();
		let picture = Tensor::from_vec(picture, (1, 3, rows, columns), &pipeline.opened).unwrap();
		let encoder = pipeline.vae.encoder.as_ref().unwrap();
		let encoded = numbers(encoder.encode(&picture, None).unwrap());
		errors.push(("VAE encode".to_owned(), self.encoded.error(&encoded)));

		let batch = pipeline.batch(&condition, 1, (height, width), self.guidance, None).unwrap();
		let predict =
			|batch: &Batch, sample: &[f32], timestep| pipeline.predict(batch, sample, timestep);
		let mut compare = |case: &Trajectory, start, picture: &[f32], name: &str| {
			let plan = case.sampler().plan(&pipeline.schedule, case.steps, start);
			let mut samples = Vec::new();
			let mut collect = collect(&mut samples);
			let noise = FormulaNoise;
			pipeline.latents(&predict, &plan, &noise, picture, &batch, &mut collect).unwrap();
			drop(collect);
			errors.push((format!("{}, {name}", case.sampler), case.error(&samples)));
		};
		for case in &self.trajectories {
			compare(case, Start::Noise, &[], &format!("{} steps", case.steps));
		}
		for case in &self.from_picture {
			let done = (case.steps as f64 * self.strength) as usize;
			let start = Start::Picture { left_out: case.steps - done };
			let name = format!("img2img, last {done} of {} steps", case.steps);
			compare(case, start, &encoded, &name);
		}
		let shape = (1, pipeline.latent_channels, height, width);
		let latents = Tensor::from_vec(unit("vae input", len), shape, &pipeline.opened).unwrap();
		let pixels = numbers(pipeline.vae.decoder.decode(&latents, None).unwrap());
		errors.push(("VAE decode".to_owned(), self.decoded.error(&pixels)));

		for case in &self.loras {
			let scratch = tempfile::tempdir().unwrap();
			let path = scratch.path().join("lora.safetensors");
			case.write(&path);
			let lora = Lora { path, scale: case.scale };
			let pipeline = Pipeline::load_with(dir, &Device::Cpu, &[lora]).unwrap();
			let with_lora = self.conditioned_errors(&case.conditioned, &pipeline);
			let named = |(what, error)| (format!("{what}, LoRA as of {}", case.naming), error);
			errors.extend(with_lora.into_iter().map(named));
		}
		errors
	}
}

#[test]
fn stored_samplers_agree() {
	let cases: Vec<ScheduleCase> =
		serde_json::from_str(include_str!("../../parity/stored/samplers.json")).unwrap();
	for sampler in Sampler::ALL {
		assert!(cases.iter().any(|case| case.trajectory.sampler() == sampler), "{sampler}");
	}
	for case in cases {
		let error = case.error();
		assert!(error < LIMIT, "{}: {error:.1e}", case.name);
	}
}

#[test]
fn stored_models_agree() {
	let cases: Vec<ModelCase> =
		serde_json::from_str(include_str!("../../parity/stored/models.json")).unwrap();
	assert!(!cases.is_empty());
	for case in cases {
		let dir = tempfile::tempdir().unwrap();
		for (name, content) in &case.files {
			let path = dir.path().join(name);
			fs::create_dir_all(path.parent().unwrap()).unwrap();
			fs::write(path, content).unwrap();
		}
		write_weights(dir.path(), &(Arc::new(weights) as Draw)).unwrap();
		for (what, error) in case.errors(dir.path()) {
			assert!(error < LIMIT, "{}, {what}: {error:.1e}", case.name);
		}
	}
}

/// Prints the table over all that `scripts/parity` wrote into the directory `CUCKOO_PARITY`.
#[test]
#[ignore = "needs what scripts/parity makes"]
fn everything_agrees() {
	let dir = std::env::var_os("CUCKOO_PARITY").expect("scripts/parity sets CUCKOO_PARITY");
	let dir = Path::new(&dir);
	let mut rows = Vec::new();
	let text = fs::read_to_string(dir.join("models.json")).unwrap();
	for case in serde_json::from_str::<Vec<ModelCase>>(&text).unwrap() {
		for (what, error) in case.errors(&dir.join(&case.name)) {
			rows.push((case.name.clone(), what, error));
		}
	}
	let text = fs::read_to_string(dir.join("samplers.json")).unwrap();
	let mut by_group: BTreeMap<String, (usize, f64)> = BTreeMap::new();
	for case in serde_json::from_str::<Vec<ScheduleCase>>(&text).unwrap() {
		let group = by_group.entry(case.name.clone()).or_default();
		*group = (group.0 + 1, group.1.max(case.error()));
	}
	for (name, (runs, error)) in by_group {
		rows.push(("formula".to_owned(), format!("{name} ({runs} runs)"), error));
	}
	println!("| model | compared | relative error |\n| --- | --- | --- |");
	for (model, what, error) in &rows {
		println!("| {model} | {what} | {error:.1e} |");
	}
	let worst = rows.iter().map(|(.., error)| *error).fold(0.0, f64::max);
	println!("worst of {}: {worst:.1e}, limit {LIMIT:.0e}", rows.len());
	assert!(worst < LIMIT);
}
