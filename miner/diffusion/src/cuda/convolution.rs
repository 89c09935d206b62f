//! Convolutions by cuDNN, with the sums in single precision: candle asks cuDNN for sums in half precision, and
//! for its algorithm at every call, and writes zeros to its working memory.

use super::{driver, pointwise};
use candle_core::{bail, Result, Tensor};

/// A convolution with a square kernel: weight (output, input, side, side) and bias (output).
pub(crate) struct Convolution {
	pub weight: Tensor,
	pub bias: Tensor,
	pub stride: usize,
	pub padding: usize,
}

/// All that cuDNN's choice of an algorithm depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape {
	pub batch: usize,
	pub input: usize,
	pub height: usize,
	pub width: usize,
	pub output: usize,
	pub side: usize,
	pub stride: usize,
	pub padding: usize,
}

impl Shape {
	/// The shape of the result.
	pub fn result(self) -> [usize; 4] {
		let reduced = |size| (size + 2 * self.padding - self.side) / self.stride + 1;
		[self.batch, self.output, reduced(self.height), reduced(self.width)]
	}
}

impl Convolution {
	/// Pictures (batch, input channels, height, width) to the same with output channels, perhaps with
	/// `others` of the result's shape added.
	pub fn forward(&self, pictures: &Tensor, others: Option<&Tensor>) -> Result<Tensor> {
		let (batch, channels, height, width) = pictures.dims4()?;
		let (output, input, side, _) = self.weight.dims4()?;
		let Self { stride, padding, .. } = *self;
		if channels != input || height.min(width) + 2 * padding < side {
			bail!("a convolution {:?} of {:?}", self.weight.shape(), pictures.shape());
		}
		let shape = Shape { batch, input, height, width, output, side, stride, padding };
		let result = driver::convolve(&driver::ready(pictures)?, &self.weight, shape)?;
		pointwise::add(&result, &self.bias, 1, others)
	}
}
