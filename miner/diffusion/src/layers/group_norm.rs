//! Group normalisation.

use super::{on_numbers, to_numbers};
use crate::cpu;
#[cfg(feature = "cuda")]
use crate::cuda;
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;

/// A group normalisation with a scale and a shift for each channel.
pub(crate) struct GroupNorm(Backend);

enum Backend {
	Cpu(cpu::group_norm::GroupNorm),
	#[cfg(feature = "cuda")]
	Cuda(cuda::group_norm::GroupNorm),
}

impl GroupNorm {
	/// Of so many channels in so many groups.
	pub fn new(vb: VarBuilder, channels: usize, groups: usize, eps: f64) -> Result<Self> {
		let (scale, shift) = (vb.get(channels, "weight")?, vb.get(channels, "bias")?);
		Ok(Self(match vb.device() {
			Device::Cpu => {
				let (scale, shift) = (to_numbers(&scale)?, to_numbers(&shift)?);
				Backend::Cpu(cpu::group_norm::GroupNorm { scale, shift, groups, eps })
			},
			#[cfg(feature = "cuda")]
			Device::Cuda(_) => Backend::Cuda(cuda::group_norm::GroupNorm { scale, shift, groups, eps }),
			other => return Err(super::unknown(other)),
		}))
	}

	/// Of pictures (batch, channels, height, width).
	pub fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
		self.compute(pictures, None, false)
	}

	/// SiLU of the normed pictures, to whose channels something was `added` first: (1 or batch,
	/// channels).
	pub fn forward_silu(&self, pictures: &Tensor, added: Option<&Tensor>) -> Result<Tensor> {
		self.compute(pictures, added, true)
	}

	fn compute(&self, pictures: &Tensor, added: Option<&Tensor>, silu: bool) -> Result<Tensor> {
		match &self.0 {
			Backend::Cpu(norm) => on_cpu(norm, pictures, added, silu),
			#[cfg(feature = "cuda")]
			Backend::Cuda(norm) => norm.forward(pictures, added, silu),
		}
	}
}

fn on_cpu(
	norm: &cpu::group_norm::GroupNorm,
	pictures: &Tensor,
	added: Option<&Tensor>,
	silu: bool,
) -> Result<Tensor> {
	let (.., height, width) = pictures.dims4()?;
	let pictures = pictures.contiguous()?;
	let normed = match added {
		None => on_numbers([&pictures], |[x]| norm.forward(x, height * width, &[], silu)),
		Some(added) => on_numbers([&pictures, &added.contiguous()?], |[x, added]| {
			norm.forward(x, height * width, added, silu)
		}),
	}?;
	Tensor::from_vec(normed, pictures.shape(), pictures.device())
}
