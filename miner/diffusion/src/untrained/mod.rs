//! The plumbing model: a tiny, complete model directory with weights drawn from a seed, so that
//! everything around a model can run where no trained one is. Its pictures are blots that change
//! with prompt and seed; it says so of itself (`_notice` in `model_index.json`).

mod files;
mod initializer;

use crate::{
	config::{Family, ModelIndex, TextEncoderConfig, UNetConfig, VaeConfig},
	directory::ModelDirectory,
	text::{ClipTextModel, ProjectedClipTextModel},
	unet::UNet,
	vae::Vae,
};
use candle_core::{DType, Device, Result as CandleResult};
use candle_nn::VarBuilder;
use initializer::{draw, Initializer};
use std::{fs, io, path::Path, sync::Arc};

/// What the model says of itself.
pub const NOTICE: &str = "untrained, for plumbing only";

/// Writes the plumbing model into the directory `dir`, which is made if need be; files of an
/// earlier one are replaced. The same seed gives the same files, byte for byte.
///
/// # Errors
///
/// If a file cannot be written.
pub fn write(dir: &Path, seed: u64) -> io::Result<()> {
	for (name, content) in files::all() {
		let path = dir.join(name);
		if let Some(folder) = path.parent() {
			fs::create_dir_all(folder)?;
		}
		fs::write(path, format!("{content:#}\n"))?;
	}
	let draw = move |part: &str, name: &str, dims: &[usize]| draw(seed, part, name, dims);
	write_weights(dir, &(Arc::new(draw) as Draw))
}

/// Gives the weights of a tensor by the file that it goes to, its name and its shape.
pub(crate) type Draw = Arc<dyn Fn(&str, &str, &[usize]) -> Vec<f32> + Send + Sync>;

/// Writes the weights of a model whose other files are in `dir`. Their names and shapes are those
/// that the loading code asks for, given the configuration there.
pub(crate) fn write_weights(dir: &Path, draw: &Draw) -> io::Result<()> {
	let model = ModelDirectory::open(dir).map_err(io::Error::other)?;
	let index = ModelIndex::read(&model).map_err(io::Error::other)?;
	let text = |part| TextEncoderConfig::read(&model, part).map_err(io::Error::other);
	let unet = UNetConfig::read(&model).map_err(io::Error::other)?;
	let vae = VaeConfig::read(&model).map_err(io::Error::other)?;
	let write_part = |file: &str, build: &dyn Fn(VarBuilder) -> CandleResult<()>| {
		let initializer = Initializer::new(draw.clone(), file);
		let backend = Box::new(initializer.clone());
		build(VarBuilder::from_backend(backend, DType::F32, Device::Cpu))
			.map_err(io::Error::other)?;
		fs::write(dir.join(file), initializer.into_safetensors().map_err(io::Error::other)?)
	};
	let first = text("text_encoder")?;
	write_part("text_encoder/model.safetensors", &|vb| ClipTextModel::new(vb, &first).map(drop))?;
	if let Family::StableDiffusionXl { .. } = index.family {
		let second = text("text_encoder_2")?;
		write_part("text_encoder_2/model.safetensors", &|vb| {
			ProjectedClipTextModel::new(vb, &second).map(drop)
		})?;
	}
	write_part("unet/diffusion_pytorch_model.safetensors", &|vb| UNet::new(vb, &unet).map(drop))?;
	write_part("vae/diffusion_pytorch_model.safetensors", &|vb| Vae::new(vb, &vae).map(drop))
}
