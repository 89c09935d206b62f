//! The encoder half of the autoencoder: from pixels to latents.

use super::{resnet, MidBlock, NORM_EPS};
use crate::{
	config::VaeConfig,
	layers::{Convolution, GroupNorm, Resnet, Stride},
};
use candle_core::{Result, Tensor, D};
use candle_nn::VarBuilder;

/// The encoder, its weights loaded.
pub(crate) struct VaeEncoder {
	conv_in: Convolution,
	down: Vec<DownBlock>,
	mid: MidBlock,
	norm_out: GroupNorm,
	conv_out: Convolution,
	quant_conv: Option<Convolution>,
	latent_channels: usize,
	scaling_factor: f64,
}

/// A level on the way to latents: its layers, then a convolution to half the size.
struct DownBlock {
	layers: Vec<Resnet>,
	halve: Option<Convolution>,
}

impl DownBlock {
	fn new(
		vb: VarBuilder,
		input: usize,
		output: usize,
		is_coarsest: bool,
		config: &VaeConfig,
	) -> Result<Self> {
		let layers = (0..config.layers_per_block)
			.map(|i| resnet(&vb, i, if i == 0 { input } else { output }, output, config))
			.collect::<Result<_>>()?;
		let halve = (!is_coarsest)
			.then(|| {
				let vb = vb.pp("downsamplers.0.conv");
				Convolution::new(vb, output, output, 3, Stride::Halve(0))
			})
			.transpose()?;
		Ok(Self { layers, halve })
	}

	fn forward(&self, x: &Tensor) -> Result<Tensor> {
		let mut x = x.clone();
		for layer in &self.layers {
			x = layer.forward(&x, None)?;
		}
		let Some(halve) = &self.halve else { return Ok(x) };
		// The border is on the right and below only.
		halve.forward(&x.pad_with_zeros(D::Minus1, 0, 1)?.pad_with_zeros(D::Minus2, 0, 1)?)
	}
}

impl VaeEncoder {
	pub fn new(vb: VarBuilder, config: &VaeConfig) -> Result<Self> {
		// The mean of each latent and the logarithm of its variance.
		let both = 2 * config.latent_channels;
		let convolution = |vb, input, output| Convolution::new(vb, input, output, 3, Stride::Keep);
		let quant_conv = config
			.quant_conv
			.then(|| Convolution::new(vb.pp("quant_conv"), both, both, 1, Stride::Keep))
			.transpose()?;
		let vb = vb.pp("encoder");
		let channels = &config.channels;
		let coarsest = channels[channels.len() - 1];
		let down = (0..channels.len())
			.map(|i| {
				let input = channels[i.saturating_sub(1)];
				let vb = vb.pp("down_blocks").pp(i);
				DownBlock::new(vb, input, channels[i], i + 1 == channels.len(), config)
			})
			.collect::<Result<_>>()?;
		Ok(Self {
			conv_in: convolution(vb.pp("conv_in"), 3, channels[0])?,
			down,
			mid: MidBlock::new(vb.pp("mid_block"), coarsest, config)?,
			norm_out: GroupNorm::new(
				vb.pp("conv_norm_out"),
				coarsest,
				config.norm_groups,
				NORM_EPS,
			)?,
			conv_out: convolution(vb.pp("conv_out"), coarsest, both)?,
			quant_conv,
			latent_channels: config.latent_channels,
			scaling_factor: config.scaling_factor,
		})
	}

	/// RGB pictures (batch, 3, height, width) in [-1, 1], whose sides are multiples of the factor, to
	/// the mean of their latents (batch, channels, height / factor, width / factor). `slice` bounds how
	/// many places look at once in attention.
	pub fn encode(&self, pictures: &Tensor, slice: Option<usize>) -> Result<Tensor> {
		let mut x = self.conv_in.forward(pictures)?;
		for block in &self.down {
			x = block.forward(&x)?;
		}
		x = self.mid.forward(&x, slice)?;
		x = self.conv_out.forward(&self.norm_out.forward_silu(&x, None)?)?;
		if let Some(conv) = &self.quant_conv {
			x = conv.forward(&x)?;
		}
		x.narrow(1, 0, self.latent_channels)? * self.scaling_factor
	}
}
