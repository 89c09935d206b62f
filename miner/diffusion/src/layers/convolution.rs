//! Two-dimensional convolutions.

use super::{on_numbers, to_numbers};
use crate::cpu;
use candle_core::{Module, Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, VarBuilder};

/// How a convolution goes over a picture.
#[derive(Clone, Copy)]
pub(crate) enum Stride {
	/// Place by place, with a border that keeps the size.
	Keep,
	/// Over every second place, with a border of so many zeros.
	Halve(usize),
}

/// A convolution with a square kernel.
pub(crate) struct Convolution(Backend);

enum Backend {
	Cpu(cpu::convolution::Convolution),
	Candle(Conv2d),
}

impl Convolution {
	/// From `input` to `output` channels with a kernel of `side` × `side`.
	pub fn new(
		vb: VarBuilder,
		input: usize,
		output: usize,
		side: usize,
		stride: Stride,
	) -> Result<Self> {
		let (stride, padding) = match stride {
			Stride::Keep => (1, side / 2),
			Stride::Halve(padding) => (2, padding),
		};
		let weight = vb.get((output, input, side, side), "weight")?;
		let bias = vb.get(output, "bias")?;
		Ok(Self(if vb.device().is_cpu() {
			let shape = cpu::convolution::Shape { input, output, side, stride, padding };
			let (weight, bias) = (to_numbers(&weight)?, to_numbers(&bias)?);
			Backend::Cpu(cpu::convolution::Convolution::new(weight, bias, shape))
		} else {
			let config = Conv2dConfig { padding, stride, ..Conv2dConfig::default() };
			Backend::Candle(Conv2d::new(weight, Some(bias), config))
		}))
	}

	/// (batch, input channels, height, width) to the same with output channels.
	pub fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
		let convolution = match &self.0 {
			Backend::Cpu(convolution) => convolution,
			Backend::Candle(convolution) => return convolution.forward(pictures),
		};
		let (batch, _, height, width) = pictures.dims4()?;
		let result =
			on_numbers([&pictures.contiguous()?], |[x]| convolution.forward(x, height, width))?;
		let shape = convolution.shape();
		let size = (batch, shape.output, shape.reduced(height), shape.reduced(width));
		Tensor::from_vec(result, size, pictures.device())
	}
}
