//! Attention with its projections.

use super::{linear, on_numbers};
use crate::cpu;
#[cfg(feature = "cuda")]
use crate::cuda;
use candle_core::{DType, Result, Tensor};
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
	/// What each of the places (batch, places, width) sees in `context` (batch, others, width). On a
	/// GPU, `slice` bounds how many places look at once, and so the memory for their scores.
	pub fn forward(
		&self,
		places: &Tensor,
		context: &Tensor,
		slice: Option<usize>,
	) -> Result<Tensor> {
		let queries = linear(&self.to_queries, places)?;
		let keys = linear(&self.to_keys, context)?;
		let values = linear(&self.to_values, context)?;
		let seen = if places.device().is_cpu() {
			self.on_cpu(&queries, &keys, &values)?
		} else {
			self.on_gpu(&queries, &keys, &values, slice)?
		};
		linear(&self.to_result, &seen)
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

	/// By a kernel that keeps no scores, if there is one for heads like these.
	fn on_gpu(
		&self,
		queries: &Tensor,
		keys: &Tensor,
		values: &Tensor,
		slice: Option<usize>,
	) -> Result<Tensor> {
		#[cfg(feature = "cuda")]
		{
			let (batch, count, width) = queries.dims3()?;
			let (heads, keys_count) = (self.heads, keys.dim(1)?);
			let dim = width / heads;
			let sizes =
				cuda::attention::Sizes { batch, queries: count, keys: keys_count, heads, dim };
			if queries.dtype() == DType::F16 && sizes.have_kernel() {
				return cuda::attention::attention(queries, keys, values, sizes);
			}
		}
		self.by_candle(queries, keys, values, slice)
	}

	/// With the scores in single precision: half has no room for them.
	fn by_candle(
		&self,
		queries: &Tensor,
		keys: &Tensor,
		values: &Tensor,
		slice: Option<usize>,
	) -> Result<Tensor> {
		let (batch, count, width) = queries.dims3()?;
		let dim = width / self.heads;
		let split = |tensor: &Tensor| {
			let split = tensor.reshape((batch, tensor.dim(1)?, self.heads, dim))?;
			split.transpose(1, 2)?.contiguous()?.to_dtype(DType::F32)
		};
		let keys = (split(keys)?.t()? * (1.0 / (dim as f64).sqrt()))?;
		let (of_heads, values) = (split(queries)?, split(values)?);
		let slice = slice.unwrap_or(count).clamp(1, count);
		let seen = (0..count)
			.step_by(slice)
			.map(|first| {
				let some = of_heads.narrow(2, first, slice.min(count - first))?.contiguous()?;
				softmax_last_dim(&some.matmul(&keys)?)?.matmul(&values)?.to_dtype(queries.dtype())
			})
			.collect::<Result<Vec<_>>>()?;
		Tensor::cat(&seen, 2)?.transpose(1, 2)?.reshape((batch, count, width))
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use candle_core::Device;

	/// What is computed on a GPU, computed on the CPU.
	#[test]
	fn a_slice_of_queries_sees_what_all_see() {
		let wave = |shape: (usize, usize, usize), phase: f64| {
			let count = shape.0 * shape.1 * shape.2;
			let numbers = (0..count).map(|i| (i as f64 * 0.7 + phase).sin() as f32).collect();
			Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
		};
		let identity = || Linear::new(Tensor::eye(8, DType::F32, &Device::Cpu).unwrap(), None);
		let attention = Attention {
			to_queries: identity(),
			to_keys: identity(),
			to_values: identity(),
			to_result: identity(),
			heads: 2,
		};
		let (queries, others) = (wave((2, 13, 8), 0.0), wave((2, 5, 8), 1.0));
		let numbers = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
		let whole = numbers(attention.by_candle(&queries, &others, &others, None).unwrap());
		let ours = numbers(attention.forward(&queries, &others, Some(4)).unwrap());
		for slice in [0, 1, 4, 12, 13, 100] {
			let sliced = attention.by_candle(&queries, &others, &others, Some(slice)).unwrap();
			assert_eq!(sliced.dims(), [2, 13, 8]);
			for ((sliced, whole), ours) in numbers(sliced).iter().zip(&whole).zip(&ours) {
				assert!((sliced - whole).abs() < 1e-6, "slices of {slice}: {sliced}, {whole}");
				assert!((sliced - ours).abs() < 1e-5, "slices of {slice}: {sliced}, {ours}");
			}
		}
	}
}
