//! How a kernel is launched.

use candle_core::{bail, DType, Result};

/// A file of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
	Attention,
	GroupNorm,
	Pointwise,
}

/// A kernel and all that it is told, but for its tensors.
#[derive(Debug)]
pub(crate) struct Launch {
	#[cfg_attr(
		not(feature = "cuda"),
		expect(dead_code, reason = "the emulated GPU has all kernels")
	)]
	pub source: Source,
	pub kernel: String,
	/// Blocks in x, y and z.
	pub blocks: [u32; 3],
	/// Threads of a block.
	pub threads: u32,
	/// The arguments after the tensors.
	pub numbers: Vec<Number>,
}

/// An argument that is not a tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
	Whole(i32),
	Real(f32),
}

impl From<f32> for Number {
	fn from(number: f32) -> Self {
		Self::Real(number)
	}
}

impl From<bool> for Number {
	fn from(is: bool) -> Self {
		Self::Whole(i32::from(is))
	}
}

/// A count as an argument.
pub(super) fn whole(count: usize) -> Result<Number> {
	match i32::try_from(count) {
		Ok(count) => Ok(Number::Whole(count)),
		Err(_) => bail!(
			"{count} numbers are too many for a GPU kernel: make the picture or the batch smaller"
		),
	}
}

/// Blocks of `size` for `count`, in the direction x.
pub(super) fn blocks(count: usize, size: usize) -> Result<u32> {
	match i32::try_from(count.div_ceil(size)) {
		Ok(blocks) => Ok(blocks.cast_unsigned()),
		Err(_) => bail!(
			"{count} numbers are too many for a GPU kernel: make the picture or the batch smaller"
		),
	}
}

/// Blocks in the directions y and z, which hardware limits.
pub(super) fn rows(count: usize) -> Result<u32> {
	match u16::try_from(count) {
		Ok(count) => Ok(count.into()),
		Err(_) => bail!("{count} are too many for a GPU kernel: make the batch smaller"),
	}
}

/// The numbers that a kernel reads at once from rows of a length, and the name of its variant that does.
pub(super) fn variant(dtype: DType, row: usize) -> Result<(usize, &'static str)> {
	Ok(match dtype {
		DType::F16 if row.is_multiple_of(8) => (8, "f16"),
		DType::F16 => (1, "f16_single"),
		DType::F32 if row.is_multiple_of(4) => (4, "f32"),
		DType::F32 => (1, "f32_single"),
		_ => bail!("there are GPU kernels for f16 and f32, not for {dtype:?}"),
	})
}
