//! Attention in half precision on tensor cores (`kernels/attention.cu`).

use super::launch::{blocks, rows, whole, Launch, Number, Source};
use candle_core::{bail, Result};

/// Threads of a block, as the kernels have it.
const THREADS: u32 = 128;
/// For heads of up to so many numbers there is a kernel whose blocks take so many queries.
const KERNELS: [(usize, usize); 5] = [(48, 128), (64, 128), (80, 64), (128, 64), (160, 64)];

/// The shapes of queries, and of keys and values: (batch, places, heads × dim).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
	pub batch: usize,
	pub queries: usize,
	pub keys: usize,
	pub heads: usize,
	/// Numbers of a head.
	pub dim: usize,
}

impl Sizes {
	/// Whether there is a kernel for heads like these.
	pub fn have_kernel(self) -> bool {
		self.dim.is_multiple_of(8) && KERNELS.iter().any(|&(most, _)| self.dim <= most)
	}

	/// Its kernel is given queries, keys, values and result.
	pub(super) fn launch(self) -> Result<Launch> {
		let Self { batch, queries, keys, heads, dim } = self;
		let kernel = KERNELS.iter().find(|&&(most, _)| dim <= most && self.have_kernel());
		let Some(&(most, in_block)) = kernel else {
			bail!("there is no attention kernel for heads of {dim}");
		};
		if keys == 0 {
			bail!("attention to nothing");
		}
		let factor = std::f64::consts::LOG2_E / (dim as f64).sqrt();
		let numbers = vec![
			whole(queries)?,
			whole(keys)?,
			whole(heads)?,
			whole(dim)?,
			Number::from(factor as f32),
		];
		Ok(Launch {
			source: Source::Attention,
			kernel: format!("attention_{most}"),
			blocks: [blocks(queries, in_block)?, rows(heads)?, rows(batch)?],
			threads: THREADS,
			numbers,
		})
	}
}

#[cfg(feature = "cuda")]
pub(crate) use tensors::attention;

#[cfg(feature = "cuda")]
mod tensors {
	use super::Sizes;
	use crate::cuda::driver::{empty, launch, ready};
	use candle_core::{bail, DType, Result, Tensor};

	/// What queries (batch, places, heads × dim) see in keys and values (batch, others, heads × dim), all
	/// in half precision.
	pub(crate) fn attention(
		queries: &Tensor,
		keys: &Tensor,
		values: &Tensor,
		sizes: Sizes,
	) -> Result<Tensor> {
		let Sizes { batch, heads, dim, .. } = sizes;
		let shape = |places| [batch, places, heads * dim];
		let fits = queries.dims() == shape(sizes.queries)
			&& [keys, values].iter().all(|tensor| tensor.dims() == shape(sizes.keys));
		if !fits || [queries, keys, values].iter().any(|tensor| tensor.dtype() != DType::F16) {
			bail!(
				"no attention of {:?} to {:?} and {:?} in f16 for {sizes:?}",
				queries.shape(),
				keys.shape(),
				values.shape()
			);
		}
		let seen = empty(queries.dims(), DType::F16, queries.device())?;
		let tensors = [&ready(queries)?, &ready(keys)?, &ready(values)?, &seen];
		launch(&sizes.launch()?, &tensors)?;
		Ok(seen)
	}
}
