//! Sums with a bias, and GEGLU (`kernels/pointwise.cu`).

use super::launch::{blocks, variant, whole, Launch, Number, Source};
use candle_core::{DType, Result};

/// Threads of a block, as the kernels have it.
const THREADS: usize = 256;

fn launch(kernel: String, vector: usize, count: usize, numbers: Vec<Number>) -> Result<Launch> {
	Ok(Launch {
		source: Source::Pointwise,
		kernel,
		blocks: [blocks(count, THREADS * vector)?, 1, 1],
		threads: THREADS as u32,
		numbers,
	})
}

/// A bias of `channels` added to `count` numbers, each of it to `places` of them one after the other; and
/// perhaps as many `others`. It is given the numbers, the bias, the others (or anything) and the result.
pub(super) fn add_launch(
	count: usize,
	channels: usize,
	places: usize,
	others: bool,
	dtype: DType,
) -> Result<Launch> {
	let (vector, name) = variant(dtype, if places == 1 { channels } else { places })?;
	let numbers = vec![whole(count)?, whole(channels)?, whole(places)?, others.into()];
	launch(format!("add_{name}"), vector, count, numbers)
}

/// GEGLU with `rows` of `width` results. It is given the numbers, the bias and the result.
pub(super) fn geglu_launch(rows: usize, width: usize, dtype: DType) -> Result<Launch> {
	let (vector, name) = variant(dtype, width)?;
	let count = rows * width;
	launch(format!("geglu_{name}"), vector, count, vec![whole(count)?, whole(width)?])
}

#[cfg(feature = "cuda")]
pub(crate) use tensors::{add, geglu};

#[cfg(feature = "cuda")]
mod tensors {
	use super::{add_launch, geglu_launch};
	use crate::cuda::driver::{empty, launch, ready};
	use candle_core::{bail, Result, Tensor, D};

	/// The sum of `numbers`, a bias along dimension `dim`, and perhaps `others` of the same shape as the
	/// numbers.
	pub(crate) fn add(
		numbers: &Tensor,
		bias: &Tensor,
		dim: usize,
		others: Option<&Tensor>,
	) -> Result<Tensor> {
		let channels = numbers.dim(dim)?;
		let places = numbers.dims()[dim + 1..].iter().product();
		if bias.dims() != [channels] || others.is_some_and(|others| others.dims() != numbers.dims())
		{
			bail!(
				"{:?} and {:?} cannot be added to {:?}",
				bias.dims(),
				others.map(Tensor::dims),
				numbers.dims()
			);
		}
		let dtype = numbers.dtype();
		if bias.dtype() != dtype || others.is_some_and(|others| others.dtype() != dtype) {
			bail!("a sum of {dtype:?} needs addends of the same type");
		}
		let (numbers, others) = (ready(numbers)?, others.map(ready).transpose()?);
		let sum = empty(numbers.dims(), dtype, numbers.device())?;
		let add = add_launch(numbers.elem_count(), channels, places, others.is_some(), dtype)?;
		launch(&add, &[&numbers, bias, others.as_ref().unwrap_or(&numbers), &sum])?;
		Ok(sum)
	}

	/// Of rows (…, 2 × width), to which a bias is added, the first half times GELU of the second:
	/// (…, width).
	pub(crate) fn geglu(rows: &Tensor, bias: &Tensor) -> Result<Tensor> {
		let both = rows.dim(D::Minus1)?;
		let dtype = rows.dtype();
		if bias.dims() != [both] || both % 2 != 0 || bias.dtype() != dtype {
			bail!("a bias {:?} cannot be added to {:?}", bias.shape(), rows.shape());
		}
		let rows = ready(rows)?;
		let mut dims = rows.dims().to_vec();
		dims.pop();
		dims.push(both / 2);
		let gated = empty(&dims, dtype, rows.device())?;
		let count = rows.elem_count() / both;
		launch(&geglu_launch(count, both / 2, dtype)?, &[&rows, bias, &gated])?;
		Ok(gated)
	}
}
