//! A loaded model, and rendering with it.

use crate::{
	config::{read_noise_schedule, ModelIndex, UNetConfig, VaeConfig},
	denoising::{denoise, guide, Noise, OnStep, PictureNoise},
	directory::ModelDirectory,
	lora::{self, LoraFile, Part},
	memory,
	models::model_name,
	request::{limits, multiple},
	samplers::{NoiseSchedule, Plan, Start},
	text::{PromptEncoder, TextParts},
	unet::{Condition, UNet},
	vae::Vae,
	weights::Weights,
	Device, LoadError, Lora, ModelInfo, Picture, RenderError, RenderRequest, RequestError,
};
use candle_core::{DType, Tensor};
use rayon::prelude::*;
use std::{ops::ControlFlow, path::Path};

/// How far a request has come, as if its pictures were denoised one after the other. Reported after
/// each denoising step; where pictures are denoised together, such a step is one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
	/// The picture being denoised, from 0.
	pub image: u32,
	/// Pictures in the request.
	pub images: u32,
	/// Denoising steps done for this picture, from 1.
	pub step: u32,
	/// Denoising steps of each picture: not those that are left out where the request starts from a
	/// picture.
	pub steps: u32,
}

impl Progress {
	/// After `done` ≥ 1 steps of all pictures together.
	fn after(done: u32, images: u32, steps: u32) -> Self {
		Self { image: (done - 1) / steps, images, step: (done - 1) % steps + 1, steps }
	}
}

/// Pictures that are denoised together.
struct Batch {
	pictures: usize,
	/// What each call of the UNet is to show: of the prompts, with a row for each picture.
	conditions: Vec<Condition>,
	/// Height and width of the latents.
	size: (usize, usize),
	guidance_scale: f32,
	/// How many places look at once in attention, where that is bounded.
	slice: Option<usize>,
}

/// The model's output for the samples of a batch, one picture after the other, at a timestep.
type Predict<'a> = dyn Fn(&Batch, &[f32], f64) -> Result<Vec<f32>, RenderError> + 'a;

/// A model on a device, ready to render.
pub struct Pipeline {
	info: ModelInfo,
	device: Device,
	opened: candle_core::Device,
	text: PromptEncoder,
	unet: UNet,
	unet_dtype: DType,
	vae: Vae,
	latent_channels: usize,
	schedule: NoiseSchedule,
}

impl Pipeline {
	/// Loads the model directory `dir` (diffusers format) onto `device`.
	///
	/// On a GPU the UNet runs in half precision, the text encoder and the decoder in single; on
	/// the CPU all run in single precision.
	///
	/// # Errors
	///
	/// If a file is missing or damaged, if the model is of a kind that would be computed wrongly,
	/// or if the device cannot be used or is too small.
	pub fn load(dir: &Path, device: &Device) -> Result<Self, LoadError> {
		Self::load_with(dir, device, &[])
	}

	/// Like [`load`](Self::load), with the changes of LoRA files merged into the weights: for each
	/// layer that a file changes, `weights += scale · alpha / rank · up · down`.
	///
	/// # Errors
	///
	/// Also if a LoRA file is damaged, changes what the model does not have, or holds anything that is
	/// not understood.
	pub fn load_with(dir: &Path, device: &Device, loras: &[Lora]) -> Result<Self, LoadError> {
		let device = *device;
		let model = ModelDirectory::open(dir)?;
		let index = ModelIndex::read(&model)?;
		let unet_config = UNetConfig::read(&model)?;
		let vae_config = VaeConfig::read(&model)?;
		let schedule = read_noise_schedule(&model)?;
		let mut text = TextParts::read(&model, index.family)?;
		check_fit(&model, &text, &unet_config, &vae_config)?;
		let mut unet_weights = Weights::open(&model, "unet", "diffusion_pytorch_model")?;
		let vae_weights = Weights::open(&model, "vae", "diffusion_pytorch_model")?;
		let files = loras.iter().map(LoraFile::open).collect::<Result<Vec<_>, _>>()?;
		let parts = [text.parts(), vec![Part::Unet]].concat();
		files.iter().try_for_each(|lora| lora.check_parts(&parts))?;
		text.change(&files)?;
		unet_weights.change(Part::Unet, &files, |layer| {
			lora::original_names(layer, unet_config.layers_per_block)
		})?;
		let digest = lora::digest_with(model.digest()?, loras)?;

		let opened = device.open()?;
		let unet_dtype = match device {
			Device::Cpu => DType::F32,
			Device::Cuda(_) => DType::F16,
		};
		let (text, text_parameters) = text.build(device, &opened)?;
		let (unet, unet_parameters) =
			unet_weights.build(unet_dtype, device, &opened, |vb| UNet::new(vb, &unet_config))?;
		let (vae, vae_parameters) =
			vae_weights.build(DType::F32, device, &opened, |vb| Vae::new(vb, &vae_config))?;

		let side = (unet_config.sample_size * vae_config.factor()) as u32;
		let side = side.clamp(limits::MIN_SIDE, limits::MAX_SIDE);
		let rest = (text_parameters + vae_parameters) * DType::F32.size_in_bytes() as u64;
		let bytes = unet_parameters * unet_dtype.size_in_bytes() as u64 + rest;
		Ok(Self {
			info: ModelInfo {
				name: model_name(dir),
				digest,
				width: side,
				height: side,
				parameters: text_parameters + unet_parameters + vae_parameters,
				bytes,
				trained: index.trained,
				notice: index.notice,
			},
			device,
			opened,
			text,
			unet,
			unet_dtype,
			vae,
			latent_channels: unet_config.latent_channels,
			schedule,
		})
	}

	/// Renders the request on the calling thread (and, on the CPU, all cores), reporting each step
	/// to `progress`, which may stop it.
	///
	/// On the CPU pictures are rendered one after the other, so that none depends on how many come with
	/// it. On a GPU as many as its memory holds are denoised together; where the memory is not enough
	/// for one, attention is computed in slices.
	///
	/// # Errors
	///
	/// If the request breaks a limit, was stopped, needs more memory than there is, or the model's
	/// output is not finite. The pipeline can be used again after any error.
	pub fn render(
		&self,
		request: &RenderRequest,
		progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
	) -> Result<Vec<Picture>, RenderError> {
		let together = match self.device {
			Device::Cpu => 1,
			Device::Cuda(_) => request.images as usize,
		};
		let predict =
			|batch: &Batch, sample: &[f32], timestep| self.predict(batch, sample, timestep);
		self.render_by(&predict, request, together, progress)
	}

	/// Renders the request by what `predict` says of at most so many pictures together.
	fn render_by(
		&self,
		predict: &Predict,
		request: &RenderRequest,
		together: usize,
		progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
	) -> Result<Vec<Picture>, RenderError> {
		request.validate()?;
		let factor = self.vae.factor();
		multiple("width", request.width, factor as u32)?;
		multiple("height", request.height, factor as u32)?;
		let size @ (height, width) =
			(request.height as usize / factor, request.width as usize / factor);

		// A scale of 1 is the prompt's own output.
		let guided = (request.guidance_scale - 1.0).abs() > f32::EPSILON;
		let negative = guided.then_some(request.negative_prompt.as_str());
		if self.device == Device::Cpu {
			let prompts = 1 + usize::from(guided);
			let unet = self.unet.working_bytes(prompts, height, width);
			memory::check(unet.max(self.vae.working_bytes(height, width)))?;
		}
		let condition =
			self.condition(negative, &request.prompt, (request.height, request.width))?;
		let (start, picture, steps) = match &request.start {
			None => (Start::Noise, Vec::new(), request.steps),
			Some(start) => {
				let steps = start.steps(request.steps);
				let left_out = (request.steps - steps) as usize;
				(Start::Picture { left_out }, self.encode(&start.picture)?, steps)
			},
		};
		let plan = request.sampler.plan(&self.schedule, request.steps as usize, start);
		let images = request.images as usize;
		let latents = memory::in_batches(images, together, |pictures, slice| {
			let batch =
				self.batch(&condition, pictures.len(), size, request.guidance_scale, slice)?;
			let seed = |picture| request.seed.wrapping_add(picture as u64);
			let noise: Vec<_> = pictures.clone().map(|i| PictureNoise::new(seed(i))).collect();
			let mut on_step = |step, _: &[f32]| {
				let done = pictures.start as u32 * steps + (pictures.len() * step) as u32;
				progress(Progress::after(done, request.images, steps))
			};
			let picture = picture.repeat(batch.pictures);
			let latents = self.latents(predict, &plan, &noise, &picture, &batch, &mut on_step)?;
			Ok(latents.chunks(latents.len() / batch.pictures).map(<[f32]>::to_vec).collect())
		})?;
		memory::in_batches(images, 1, |pictures, slice| {
			pictures.map(|i| self.decode(&latents[i], size, slice)).collect()
		})
	}

	/// What was loaded.
	pub fn info(&self) -> &ModelInfo {
		&self.info
	}

	/// The device that the model is on.
	pub fn device(&self) -> Device {
		self.device
	}

	/// What the UNet is to look at: the prompt or, for guidance, the negative prompt and the prompt.
	fn condition(
		&self,
		negative: Option<&str>,
		prompt: &str,
		size: (u32, u32),
	) -> Result<Condition, RenderError> {
		let encoded = self.text.encode(negative, prompt, &self.opened)?;
		let states = encoded.states.to_dtype(self.unet_dtype)?;
		let pooled = encoded.pooled.map(|text| text.to_dtype(self.unet_dtype)).transpose()?;
		Ok(self.unet.condition(states, pooled.as_ref(), size)?)
	}

	/// A batch of so many pictures of latents of the given height and width.
	fn batch(
		&self,
		condition: &Condition,
		pictures: usize,
		size: (usize, usize),
		guidance_scale: f32,
		slice: Option<usize>,
	) -> Result<Batch, RenderError> {
		// On the CPU each prompt has a thread of its own: they have less to wait for each other than
		// threads that share the work on both.
		let conditions = match self.device {
			Device::Cpu => condition.each()?,
			Device::Cuda(_) => vec![condition.clone()],
		};
		let conditions = conditions
			.iter()
			.map(|condition| condition.repeated(pictures))
			.collect::<candle_core::Result<_>>()?;
		Ok(Batch { pictures, conditions, size, guidance_scale, slice })
	}

	/// Denoises a batch: the latents of one picture after the other. `picture` are those to start from,
	/// empty for noise alone.
	fn latents(
		&self,
		predict: &Predict,
		plan: &Plan,
		noise: &dyn Noise,
		picture: &[f32],
		batch: &Batch,
		on_step: &mut OnStep,
	) -> Result<Vec<f32>, RenderError> {
		let (height, width) = batch.size;
		let len = batch.pictures * self.latent_channels * height * width;
		let mut predict = |sample: &[f32], timestep| predict(batch, sample, timestep);
		denoise(plan, noise, picture, len, &mut predict, on_step)
	}

	/// The model's output, guided where the batch has two prompts.
	fn predict(
		&self,
		batch: &Batch,
		sample: &[f32],
		timestep: f64,
	) -> Result<Vec<f32>, RenderError> {
		let (height, width) = batch.size;
		let output = |condition: &Condition| -> candle_core::Result<Vec<f32>> {
			let rows = condition.rows()?;
			let shape = (rows, self.latent_channels, height, width);
			let samples = sample.repeat(rows / batch.pictures);
			let samples =
				Tensor::from_vec(samples, shape, &self.opened)?.to_dtype(self.unet_dtype)?;
			let output = self.unet.forward(&samples, timestep, condition, batch.slice)?;
			output.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
		};
		let output = match &batch.conditions[..] {
			[one] => output(one)?,
			each => {
				let outputs: Vec<_> = each.par_iter().map(output).collect::<Result<_, _>>()?;
				outputs.concat()
			},
		};
		Ok(match output.split_at_checked(sample.len()) {
			Some((negative, prompt)) if !prompt.is_empty() => {
				guide(negative, prompt, batch.guidance_scale)
			},
			_ => output,
		})
	}

	/// The latents of a picture whose sides are multiples of the autoencoder's factor.
	fn encode(&self, picture: &Picture) -> Result<Vec<f32>, RenderError> {
		let Some(encoder) = &self.vae.encoder else {
			return Err(RenderError::Request(RequestError {
				field: "start",
				value: "a picture".into(),
				allowed: "must be left out: this model's autoencoder has no encoder".into(),
			}));
		};
		let shape = (picture.height as usize, picture.width as usize, 3);
		let pixels: Vec<_> =
			picture.rgb.iter().map(|&value| f32::from(value) / 255.0 * 2.0 - 1.0).collect();
		let pixels = Tensor::from_vec(pixels, shape, &self.opened)?;
		let pixels = pixels.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()?;
		memory::in_batches(1, 1, |_, slice| {
			Ok(vec![encoder.encode(&pixels, slice)?.flatten_all()?.to_vec1()?])
		})
		.map(|latents| latents.concat())
	}

	fn decode(
		&self,
		latents: &[f32],
		(height, width): (usize, usize),
		slice: Option<usize>,
	) -> Result<Picture, RenderError> {
		let shape = (1, self.latent_channels, height, width);
		let latents = Tensor::from_slice(latents, shape, &self.opened)?;
		let pixels = self.vae.decoder.decode(&latents, slice)?.squeeze(0)?.permute((1, 2, 0))?;
		let (height, width, _) = pixels.dims3()?;
		let pixels = pixels.flatten_all()?.to_vec1::<f32>()?;
		if let Some(bad) = pixels.iter().find(|value| !value.is_finite()) {
			return Err(RenderError::NotFinite(format!("{bad} in the pixels")));
		}
		let rgb = pixels
			.into_iter()
			.map(|value| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8)
			.collect();
		Ok(Picture { width: width as u32, height: height as u32, rgb })
	}
}

/// Checks that the parts were made for each other.
fn check_fit(
	model: &ModelDirectory,
	text: &TextParts,
	unet: &UNetConfig,
	vae: &VaeConfig,
) -> Result<(), LoadError> {
	let unfit =
		|message| LoadError::Config { path: model.full(Path::new("unet/config.json")), message };
	if unet.cross_attention_dim != text.width() {
		let encoders = match text.pooled_width() {
			None => "the text encoder's",
			Some(_) => "the text encoders' together",
		};
		return Err(unfit(format!(
			"cross_attention_dim is {}, {encoders} hidden_size {}",
			unet.cross_attention_dim,
			text.width()
		)));
	}
	match (unet.added, text.pooled_width()) {
		(Some(added), Some(pooled)) if added.pooled_width() != pooled => {
			return Err(unfit(format!(
				"projection_class_embeddings_input_dim leaves {} for the pooled text, the second \
				 text encoder's projection_dim is {pooled}",
				added.pooled_width()
			)));
		},
		(Some(_), None) => {
			return Err(unfit("addition_embed_type asks for a second text encoder".into()));
		},
		(None, Some(_)) => {
			return Err(unfit("addition_embed_type is missing: it must be text_time".into()));
		},
		_ => {},
	}
	if unet.latent_channels != vae.latent_channels {
		return Err(unfit(format!(
			"in_channels is {}, the VAE's latent_channels {}",
			unet.latent_channels, vae.latent_channels
		)));
	}
	Ok(())
}

#[cfg(test)]
mod parity;
#[cfg(test)]
mod tests;
