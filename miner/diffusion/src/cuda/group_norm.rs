//! Group normalisation with something added before it and SiLU after it (`kernels/group_norm.cu`).

use super::launch::{blocks, rows, variant, whole, Launch, Number, Source};
use candle_core::{DType, Result};

/// Threads of a block, as the kernels have it.
const THREADS: u32 = 256;
/// Numbers that a block is to work on at least, if a group has as many.
const PIECE: usize = 8192;
/// Pieces of a group at most.
const PIECES: usize = 128;
/// Numbers of single precision that the first kernel tells the second of each piece.
pub(super) const MOMENTS: usize = 3;

/// The shape of pictures (batch, channels, places).
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
	pub batch: usize,
	pub channels: usize,
	pub groups: usize,
	pub places: usize,
	/// Rows of what is added: one for all pictures, or one for each.
	pub added: Option<usize>,
}

/// The two kernels, and the number of pieces between them. The first is given the pictures, what is added (or
/// anything), and the moments; the second the same and scale, shift and result.
pub(super) fn launches(
	sizes: Sizes,
	dtype: DType,
	eps: f64,
	silu: bool,
) -> Result<([Launch; 2], usize)> {
	let Sizes { batch, channels, groups, places, added } = sizes;
	let (vector, name) = variant(dtype, places)?;
	let wide = channels / groups;
	let group = wide * places;
	let piece = group.div_ceil(PIECES).max(PIECE).next_multiple_of(vector);
	let pieces = group.div_ceil(piece);
	let added_rows = match added {
		None => Number::Whole(-1),
		Some(rows) => Number::Whole(i32::from(rows > 1)),
	};
	// What the kernels count in 32 bits: the channels of all pictures, the numbers of a group.
	whole(batch * channels)?;
	whole(group + piece)?;
	let mut numbers = vec![
		whole(channels)?,
		whole(wide)?,
		whole(places)?,
		whole(pieces)?,
		whole(piece)?,
		added_rows,
	];
	let launch = |step: &str, numbers: &[Number]| -> Result<Launch> {
		Ok(Launch {
			source: Source::GroupNorm,
			kernel: format!("group_norm_{step}_{name}"),
			blocks: [blocks(group, piece)?, rows(batch * groups)?, 1],
			threads: THREADS,
			numbers: numbers.to_vec(),
		})
	};
	let moments = launch("moments", &numbers)?;
	numbers.extend([Number::from(eps as f32), silu.into()]);
	Ok(([moments, launch("apply", &numbers)?], batch * groups * pieces))
}

#[cfg(feature = "cuda")]
pub(crate) use tensors::GroupNorm;

#[cfg(feature = "cuda")]
mod tensors {
	use super::{launches, Sizes, MOMENTS};
	use crate::cuda::driver::{empty, launch, ready};
	use candle_core::{bail, DType, Result, Tensor};

	/// A group normalisation with a scale and a shift for each channel.
	pub(crate) struct GroupNorm {
		pub scale: Tensor,
		pub shift: Tensor,
		pub groups: usize,
		pub eps: f64,
	}

	impl GroupNorm {
		/// Of pictures (batch, channels, height, width), to whose channels something was `added` first: (1
		/// or batch, channels).
		pub fn forward(
			&self,
			pictures: &Tensor,
			added: Option<&Tensor>,
			silu: bool,
		) -> Result<Tensor> {
			let (batch, channels, height, width) = pictures.dims4()?;
			let dtype = pictures.dtype();
			if self.scale.dims() != [channels] || self.shift.dims() != [channels] {
				bail!("a norm of {:?} channels is given {channels}", self.scale.dims());
			}
			let rows = added.map(Tensor::dims2).transpose()?;
			if rows.is_some_and(|(rows, of)| of != channels || (rows != 1 && rows != batch)) {
				bail!("{rows:?} cannot be added to {:?}", pictures.dims());
			}
			let added = added.map(ready).transpose()?;
			if [Some(&self.scale), Some(&self.shift), added.as_ref()]
				.iter()
				.flatten()
				.any(|tensor| tensor.dtype() != dtype)
			{
				bail!("a norm of {dtype:?} needs weights and additions of the same type");
			}
			let added_rows = rows.map(|(rows, _)| rows);
			let (groups, places) = (self.groups, height * width);
			let sizes = Sizes { batch, channels, groups, places, added: added_rows };
			let ([moments_of, apply], pieces) = launches(sizes, dtype, self.eps, silu)?;
			let pictures = ready(pictures)?;
			let added = added.as_ref().unwrap_or(&self.scale);
			let moments = empty(&[pieces * MOMENTS], DType::F32, pictures.device())?;
			let result = empty(pictures.dims(), dtype, pictures.device())?;
			launch(&moments_of, &[&pictures, added, &moments])?;
			launch(&apply, &[&pictures, added, &moments, &self.scale, &self.shift, &result])?;
			Ok(result)
		}
	}
}
