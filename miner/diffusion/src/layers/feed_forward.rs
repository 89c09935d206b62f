//! The feed-forward layer of a transformer, gated by GELU (GEGLU, Shazeer 2020).

use super::{linear, on_numbers};
use crate::cpu;
#[cfg(feature = "cuda")]
use crate::cuda;
use candle_core::{Device, Result, Tensor};
use candle_nn::{Linear, VarBuilder};

/// A layer whose inner states are four times as wide; half of what is computed for them gates the
/// other half.
pub(crate) struct FeedForward {
	gated: Linear,
	output: Linear,
}

impl FeedForward {
	pub fn new(vb: VarBuilder, width: usize) -> Result<Self> {
		let inner = 4 * width;
		Ok(Self {
			gated: candle_nn::linear(width, 2 * inner, vb.pp("net.0.proj"))?,
			output: candle_nn::linear(inner, width, vb.pp("net.2"))?,
		})
	}

	/// (batch, places, width) to the same.
	pub fn forward(&self, places: &Tensor) -> Result<Tensor> {
		let gated = match places.device() {
			Device::Cpu => {
				let inner = linear(&self.gated, places)?;
				let (batch, count, both) = inner.dims3()?;
				let gated = on_numbers([&inner], |[rows]| cpu::activation::geglu(rows, both / 2))?;
				Tensor::from_vec(gated, (batch, count, both / 2), inner.device())?
			},
			#[cfg(feature = "cuda")]
			Device::Cuda(_) => {
				let (inner, bias) = super::product(&self.gated, places)?;
				cuda::pointwise::geglu(&inner, bias)?
			},
			other => return Err(super::unknown(other)),
		};
		linear(&self.output, &gated)
	}
}
