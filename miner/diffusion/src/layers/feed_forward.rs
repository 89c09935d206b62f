//! The feed-forward layer of a transformer, gated by GELU (GEGLU, Shazeer 2020).

use super::on_numbers;
use crate::cpu;
use candle_core::{Module, Result, Tensor, D};
use candle_nn::{linear, Linear, VarBuilder};

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
			gated: linear(width, 2 * inner, vb.pp("net.0.proj"))?,
			output: linear(inner, width, vb.pp("net.2"))?,
		})
	}

	/// (batch, places, width) to the same.
	pub fn forward(&self, places: &Tensor) -> Result<Tensor> {
		let inner = self.gated.forward(places)?;
		let gated = if inner.device().is_cpu() {
			let (batch, count, both) = inner.dims3()?;
			let gated = on_numbers([&inner], |[rows]| cpu::activation::geglu(rows, both / 2))?;
			Tensor::from_vec(gated, (batch, count, both / 2), inner.device())?
		} else {
			let halves = inner.chunk(2, D::Minus1)?;
			(&halves[0] * halves[1].gelu_erf()?)?
		};
		self.output.forward(&gated)
	}
}
