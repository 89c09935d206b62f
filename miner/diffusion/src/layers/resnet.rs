//! Convolution blocks with a shortcut (diffusers' `ResnetBlock2D`).

use super::{linear, Convolution, GroupNorm, Stride};
use candle_core::{Result, Tensor};
use candle_nn::{ops::silu, Linear, VarBuilder};

/// Two convolutions, each after a norm and SiLU, whose result is added to the input.
pub(crate) struct Resnet {
	norm1: GroupNorm,
	conv1: Convolution,
	time: Option<Linear>,
	norm2: GroupNorm,
	conv2: Convolution,
	/// Where input and output have different numbers of channels.
	shortcut: Option<Convolution>,
}

/// Sizes of a [`Resnet`].
pub(crate) struct ResnetConfig {
	pub input: usize,
	pub output: usize,
	/// Channels of the embedded timestep, if it is told one.
	pub time: Option<usize>,
	pub groups: usize,
	pub eps: f64,
}

impl Resnet {
	pub fn new(vb: VarBuilder, config: &ResnetConfig) -> Result<Self> {
		let &ResnetConfig { input, output, time, groups, eps } = config;
		let time =
			time.map(|time| candle_nn::linear(time, output, vb.pp("time_emb_proj"))).transpose()?;
		let shortcut = (input != output)
			.then(|| Convolution::new(vb.pp("conv_shortcut"), input, output, 1, Stride::Keep))
			.transpose()?;
		Ok(Self {
			norm1: GroupNorm::new(vb.pp("norm1"), input, groups, eps)?,
			conv1: Convolution::new(vb.pp("conv1"), input, output, 3, Stride::Keep)?,
			time,
			norm2: GroupNorm::new(vb.pp("norm2"), output, groups, eps)?,
			conv2: Convolution::new(vb.pp("conv2"), output, output, 3, Stride::Keep)?,
			shortcut,
		})
	}

	/// Pictures (batch, input channels, height, width) and the embedded timestep (1 or batch, time
	/// channels) to (batch, output channels, height, width).
	pub fn forward(&self, pictures: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
		let time = match (&self.time, time) {
			(Some(layer), Some(time)) => Some(linear(layer, &silu(time)?)?),
			_ => None,
		};
		let inner = self.conv1.forward(&self.norm1.forward_silu(pictures, None)?)?;
		let inner = self.norm2.forward_silu(&inner, time.as_ref())?;
		match &self.shortcut {
			Some(shortcut) => self.conv2.forward_plus(&inner, &shortcut.forward(pictures)?),
			None => self.conv2.forward_plus(&inner, pictures),
		}
	}
}
