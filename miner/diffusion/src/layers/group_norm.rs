//! Group normalisation.

use super::{on_numbers, to_numbers};
use crate::cpu;
use candle_core::{Module, Result, Tensor};
use candle_nn::{ops::silu, VarBuilder};

/// A group normalisation with a scale and a shift for each channel.
pub(crate) struct GroupNorm(Backend);

enum Backend {
	Cpu(cpu::group_norm::GroupNorm),
	Candle(candle_nn::GroupNorm),
}

impl GroupNorm {
	/// Of so many channels in so many groups.
	pub fn new(vb: VarBuilder, channels: usize, groups: usize, eps: f64) -> Result<Self> {
		let (scale, shift) = (vb.get(channels, "weight")?, vb.get(channels, "bias")?);
		Ok(Self(if vb.device().is_cpu() {
			let (scale, shift) = (to_numbers(&scale)?, to_numbers(&shift)?);
			Backend::Cpu(cpu::group_norm::GroupNorm { scale, shift, groups, eps })
		} else {
			Backend::Candle(candle_nn::GroupNorm::new(scale, shift, channels, groups, eps)?)
		}))
	}

	/// Of pictures (batch, channels, height, width).
	pub fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
		match &self.0 {
			Backend::Cpu(norm) => on_cpu(norm, pictures, None, false),
			Backend::Candle(norm) => norm.forward(pictures),
		}
	}

	/// SiLU of the normed pictures, to whose channels something was `added` first: (1 or batch,
	/// channels).
	pub fn forward_silu(&self, pictures: &Tensor, added: Option<&Tensor>) -> Result<Tensor> {
		match (&self.0, added) {
			(Backend::Cpu(norm), _) => on_cpu(norm, pictures, added, true),
			(Backend::Candle(norm), None) => silu(&norm.forward(pictures)?),
			(Backend::Candle(norm), Some(added)) => {
				let (batch, channels) = added.dims2()?;
				let added = added.reshape((batch, channels, 1, 1))?;
				silu(&norm.forward(&pictures.broadcast_add(&added)?)?)
			},
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
