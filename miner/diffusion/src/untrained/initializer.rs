//! Weights drawn from a seed, for whatever tensors a model part asks for.

use super::Draw;
use crate::{
	denoising::standard_normal,
	digest::{blake2_256, finish},
};
use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::{var_builder::SimpleBackend, Init};
use parking_lot::Mutex;
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use safetensors::{tensor::TensorView, Dtype, SafeTensorError};
use std::{collections::BTreeMap, sync::Arc};

/// A source of weights that remembers what it gave out.
#[derive(Clone)]
pub(super) struct Initializer {
	draw: Draw,
	/// Tells the parts apart: names repeat among them.
	part: String,
	given: Arc<Mutex<BTreeMap<String, Weight>>>,
}

struct Weight {
	shape: Vec<usize>,
	/// Little-endian f32.
	bytes: Vec<u8>,
}

impl Initializer {
	pub fn new(draw: Draw, part: &str) -> Self {
		Self { draw, part: part.to_owned(), given: Arc::default() }
	}

	/// All tensors given out so far, as a safetensors file.
	pub fn into_safetensors(self) -> std::result::Result<Vec<u8>, SafeTensorError> {
		let given = self.given.lock();
		let tensors = given
			.iter()
			.map(|(name, weight)| {
				TensorView::new(Dtype::F32, weight.shape.clone(), &weight.bytes)
					.map(|view| (name.as_str(), view))
			})
			.collect::<std::result::Result<Vec<_>, _>>()?;
		safetensors::serialize(tensors, None)
	}
}

/// The weights of one tensor: they depend on the seed, the part and the name alone.
pub(super) fn draw(seed: u64, part: &str, name: &str, dims: &[usize]) -> Vec<f32> {
	let count = dims.iter().product();
	if dims.len() == 1 {
		// Norms do nothing and nothing is added, as in a fresh model.
		return vec![if name.ends_with("bias") { 0.0 } else { 1.0 }; count];
	}
	let mut hash = blake2_256();
	hash.update(&seed.to_le_bytes()).update(part.as_bytes()).update(b"/");
	let mut generator = ChaCha20Rng::from_seed(finish(hash.update(name.as_bytes())));
	let deviation = deviation(&format!("{part}/{name}"), dims);
	standard_normal(&mut generator, count).into_iter().map(|x| x * deviation).collect()
}

/// The standard deviation of a tensor's weights: what keeps the size of signals about the same,
/// but for a few places. The factors were chosen by looking at the pictures.
fn deviation(name: &str, dims: &[usize]) -> f32 {
	let fan_in: usize = dims[1..].iter().product();
	let keep = 1.0 / (fan_in as f32).sqrt();
	match name {
		_ if name.contains("token_embedding") => 1.0,
		_ if name.contains("position_embedding") => 0.3,
		// Sharp attention to the prompt: soft attention would average all prompts to the same.
		_ if name.contains("attn2.to_q") || name.contains("attn2.to_k") => 2.0 * keep,
		// The "noise" that the model sees is to be about as large as the real one, for the prompt
		// to show.
		_ if name.starts_with("unet") && name.ends_with("/conv_out.weight") => 1.6 * keep,
		// Pixels that use the range from black to white without leaving it much.
		_ if name.starts_with("vae") && name.contains("conv_out") => 0.8 * keep,
		_ => keep,
	}
}

impl SimpleBackend for Initializer {
	fn get(
		&self,
		shape: Shape,
		name: &str,
		_: Init,
		dtype: DType,
		device: &Device,
	) -> Result<Tensor> {
		let values = (self.draw)(&self.part, name, shape.dims());
		let weight = Weight {
			shape: shape.dims().to_vec(),
			bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
		};
		self.given.lock().insert(name.to_owned(), weight);
		Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
	}

	fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
		candle_core::bail!("no shape is given for {name}")
	}

	/// Every tensor that is asked for exists.
	fn contains_tensor(&self, _: &str) -> bool {
		true
	}
}
