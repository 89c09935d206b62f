//! Attention with its projections.

use super::on_numbers;
use crate::cpu;
use candle_core::{DType, Module, Result, Tensor};
use candle_nn::{ops::softmax_last_dim, Linear};

/// Projections to queries, keys and values, attention of several heads, and a projection of the
/// result.
pub(crate) struct Attention {
	pub to_queries: Linear,
	pub to_keys: Linear,
	pub to_values: Linear,
	pub to_result: Linear,
	pub heads: usize,
}

impl Attention {
	/// What each of the places (batch, places, width) sees in `context` (batch, others, width).
	pub fn forward(&self, places: &Tensor, context: &Tensor) -> Result<Tensor> {
		let queries = self.to_queries.forward(places)?;
		let keys = self.to_keys.forward(context)?;
		let values = self.to_values.forward(context)?;
		let seen = if places.device().is_cpu() {
			self.on_cpu(&queries, &keys, &values)?
		} else {
			self.by_candle(&queries, &keys, &values)?
		};
		self.to_result.forward(&seen)
	}

	fn on_cpu(&self, queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
		let (batch, count, width) = queries.dims3()?;
		let sizes = cpu::attention::Sizes {
			batch,
			heads: self.heads,
			queries: count,
			keys: keys.dim(1)?,
			width,
		};
		let seen = on_numbers([queries, keys, values], |[queries, keys, values]| {
			cpu::attention::attention(queries, keys, values, sizes)
		})?;
		Tensor::from_vec(seen, (batch, count, width), queries.device())
	}

	/// With the scores in single precision: half has no room for them.
	fn by_candle(&self, queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
		let (batch, count, width) = queries.dims3()?;
		let dim = width / self.heads;
		let split = |tensor: &Tensor| {
			let split = tensor.reshape((batch, tensor.dim(1)?, self.heads, dim))?;
			split.transpose(1, 2)?.contiguous()?.to_dtype(DType::F32)
		};
		let keys = (split(keys)?.t()? * (1.0 / (dim as f64).sqrt()))?;
		let shares = softmax_last_dim(&split(queries)?.matmul(&keys)?)?;
		let seen = shares.matmul(&split(values)?)?.to_dtype(queries.dtype())?;
		seen.transpose(1, 2)?.reshape((batch, count, width))
	}
}
