//! A loaded model, and rendering with it.

use crate::{
	config::{read_noise_schedule, ModelIndex, TextEncoderConfig, UNetConfig, VaeConfig},
	denoising::{denoise, guide, PictureNoise},
	directory::ModelDirectory,
	memory,
	models::model_name,
	request::{limits, multiple},
	samplers::{NoiseSchedule, Plan},
	text::{ClipTextModel, PromptEncoder, PromptTokenizer},
	unet::UNet,
	vae::VaeDecoder,
	weights::Weights,
	Device, LoadError, ModelInfo, Picture, RenderError, RenderRequest,
};
use candle_core::{DType, Tensor};
use std::{ops::ControlFlow, path::Path};

/// How far a request has come. Reported after each denoising step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
	/// The picture being denoised, from 0.
	pub image: u32,
	/// Pictures in the request.
	pub images: u32,
	/// Denoising steps done for this picture, from 1.
	pub step: u32,
	/// Denoising steps of each picture.
	pub steps: u32,
}

/// A model on a device, ready to render.
pub struct Pipeline {
	info: ModelInfo,
	device: Device,
	opened: candle_core::Device,
	text: PromptEncoder,
	unet: UNet,
	unet_dtype: DType,
	vae: VaeDecoder,
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
		let device = *device;
		let model = ModelDirectory::open(dir)?;
		let index = ModelIndex::read(&model)?;
		let text_config = TextEncoderConfig::read(&model)?;
		let unet_config = UNetConfig::read(&model)?;
		let vae_config = VaeConfig::read(&model)?;
		check_fit(&model, &text_config, &unet_config, &vae_config)?;
		let schedule = read_noise_schedule(&model)?;
		let tokenizer = PromptTokenizer::read(&model, &text_config)?;
		let text_weights = Weights::open(&model, "text_encoder", "model")?;
		let unet_weights = Weights::open(&model, "unet", "diffusion_pytorch_model")?;
		let vae_weights = Weights::open(&model, "vae", "diffusion_pytorch_model")?;
		let digest = model.digest()?;

		let opened = device.open()?;
		let unet_dtype = match device {
			Device::Cpu => DType::F32,
			Device::Cuda(_) => DType::F16,
		};
		let (text_model, text_parameters) =
			text_weights
				.build(DType::F32, device, &opened, |vb| ClipTextModel::new(vb, &text_config))?;
		let (unet, unet_parameters) =
			unet_weights.build(unet_dtype, device, &opened, |vb| UNet::new(vb, &unet_config))?;
		let (vae, vae_parameters) = vae_weights
			.build(DType::F32, device, &opened, |vb| VaeDecoder::new(vb, &vae_config))?;

		let side = (unet_config.sample_size * vae_config.factor()) as u32;
		let side = side.clamp(limits::MIN_SIDE, limits::MAX_SIDE);
		Ok(Self {
			info: ModelInfo {
				name: model_name(dir),
				digest,
				width: side,
				height: side,
				parameters: text_parameters + unet_parameters + vae_parameters,
				trained: index.trained,
				notice: index.notice,
			},
			device,
			opened,
			text: PromptEncoder { tokenizer, model: text_model },
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
	/// Pictures are rendered one after the other: so none depends on how many come with it, and
	/// the memory needed is that of one.
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
		request.validate()?;
		let factor = self.vae.factor();
		multiple("width", request.width, factor as u32)?;
		multiple("height", request.height, factor as u32)?;
		let (height, width) = (request.height as usize / factor, request.width as usize / factor);

		// A scale of 1 is the prompt's own output.
		let guided = (request.guidance_scale - 1.0).abs() > f32::EPSILON;
		let prompts: &[&str] =
			if guided { &[&request.negative_prompt, &request.prompt] } else { &[&request.prompt] };
		if self.device == Device::Cpu {
			let unet = self.unet.attention_bytes(prompts.len(), height, width);
			memory::check(unet.max(self.vae.working_bytes(height, width)))?;
		}
		let context = self.text.encode(prompts, &self.opened)?.to_dtype(self.unet_dtype)?;
		let plan = request.sampler.plan(&self.schedule, request.steps as usize);
		(0..request.images)
			.map(|image| {
				let mut on_step = |step| {
					progress(Progress {
						image,
						images: request.images,
						step: step as u32,
						steps: request.steps,
					})
				};
				let noise = PictureNoise::new(request.seed.wrapping_add(u64::from(image)));
				let size = (height, width);
				let scale = request.guidance_scale;
				let latents = self.latents(&plan, &noise, &context, scale, size, &mut on_step)?;
				self.decode(latents, size)
			})
			.collect()
	}

	/// What was loaded.
	pub fn info(&self) -> &ModelInfo {
		&self.info
	}

	/// The device that the model is on.
	pub fn device(&self) -> Device {
		self.device
	}

	/// Denoises one picture. `context` holds the states of one prompt, or of the negative prompt
	/// and the prompt for guidance.
	fn latents(
		&self,
		plan: &Plan,
		noise: &PictureNoise,
		context: &Tensor,
		guidance_scale: f32,
		(height, width): (usize, usize),
		on_step: &mut dyn FnMut(usize) -> ControlFlow<()>,
	) -> Result<Vec<f32>, RenderError> {
		let prompts = context.dim(0)?;
		let len = self.latent_channels * height * width;
		let mut predict = |sample: &[f32], timestep: f64| {
			let shape = (prompts, self.latent_channels, height, width);
			let samples = Tensor::from_vec(sample.repeat(prompts), shape, &self.opened)?
				.to_dtype(self.unet_dtype)?;
			let output = self
				.unet
				.forward(&samples, timestep, context)?
				.to_dtype(DType::F32)?
				.flatten_all()?
				.to_vec1::<f32>()?;
			Ok(match output.split_at_checked(len) {
				Some((negative, prompt)) if !prompt.is_empty() => {
					guide(negative, prompt, guidance_scale)
				},
				_ => output,
			})
		};
		denoise(plan, noise, len, &mut predict, on_step)
	}

	fn decode(
		&self,
		latents: Vec<f32>,
		(height, width): (usize, usize),
	) -> Result<Picture, RenderError> {
		let shape = (1, self.latent_channels, height, width);
		let latents = Tensor::from_vec(latents, shape, &self.opened)?;
		let pixels = self.vae.decode(&latents)?.squeeze(0)?.permute((1, 2, 0))?;
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
	text: &TextEncoderConfig,
	unet: &UNetConfig,
	vae: &VaeConfig,
) -> Result<(), LoadError> {
	let unfit =
		|message| LoadError::Config { path: model.full(Path::new("unet/config.json")), message };
	if unet.cross_attention_dim != text.hidden_size {
		return Err(unfit(format!(
			"cross_attention_dim is {}, the text encoder's hidden_size {}",
			unet.cross_attention_dim, text.hidden_size
		)));
	}
	if unet.latent_channels != vae.latent_channels {
		return Err(unfit(format!(
			"in_channels is {}, the VAE's latent_channels {}",
			unet.latent_channels, vae.latent_channels
		)));
	}
	Ok(())
}
