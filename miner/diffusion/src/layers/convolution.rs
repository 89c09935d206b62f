//! Two-dimensional convolutions.

use super::{add, on_numbers, to_numbers};
use crate::cpu;
#[cfg(feature = "cuda")]
use crate::cuda;
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;

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
	#[cfg(feature = "cuda")]
	Cuda(cuda::convolution::Convolution),
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
		Ok(Self(match vb.device() {
			Device::Cpu => {
				let shape = cpu::convolution::Shape { input, output, side, stride, padding };
				let (weight, bias) = (to_numbers(&weight)?, to_numbers(&bias)?);
				Backend::Cpu(cpu::convolution::Convolution::new(weight, bias, shape))
			},
			#[cfg(feature = "cuda")]
			Device::Cuda(_) => {
				Backend::Cuda(cuda::convolution::Convolution { weight, bias, stride, padding })
			},
			other => return Err(super::unknown(other)),
		}))
	}

	/// (batch, input channels, height, width) to the same with output channels.
	pub fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
		match &self.0 {
			Backend::Cpu(convolution) => on_cpu(convolution, pictures),
			#[cfg(feature = "cuda")]
			Backend::Cuda(convolution) => convolution.forward(pictures, None),
		}
	}

	/// The same, and `others` of the result's shape added.
	pub fn forward_plus(&self, pictures: &Tensor, others: &Tensor) -> Result<Tensor> {
		match &self.0 {
			Backend::Cpu(convolution) => add(&on_cpu(convolution, pictures)?, others),
			#[cfg(feature = "cuda")]
			Backend::Cuda(convolution) => convolution.forward(pictures, Some(others)),
		}
	}
}

fn on_cpu(convolution: &cpu::convolution::Convolution, pictures: &Tensor) -> Result<Tensor> {
	let (batch, _, height, width) = pictures.dims4()?;
	let result =
		on_numbers([&pictures.contiguous()?], |[x]| convolution.forward(x, height, width))?;
	let shape = convolution.shape();
	let size = (batch, shape.output, shape.reduced(height), shape.reduced(width));
	Tensor::from_vec(result, size, pictures.device())
}
