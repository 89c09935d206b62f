//! The decoder half of the autoencoder: from latents to pixels.

use super::{resnet, MidBlock, NORM_EPS};
use crate::{
	config::VaeConfig,
	layers::{enlarge, Convolution, GroupNorm, Resnet, Stride},
};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// The decoder, its weights loaded.
pub(crate) struct VaeDecoder {
	post_quant_conv: Option<Convolution>,
	conv_in: Convolution,
	mid: MidBlock,
	up: Vec<UpBlock>,
	norm_out: GroupNorm,
	conv_out: Convolution,
	scaling_factor: f64,
}

/// A level on the way to pixels: its layers, then a convolution at double the size.
struct UpBlock {
	layers: Vec<Resnet>,
	double: Option<Convolution>,
}

impl UpBlock {
	fn new(
		vb: VarBuilder,
		input: usize,
		output: usize,
		is_finest: bool,
		config: &VaeConfig,
	) -> Result<Self> {
		let layers = (0..=config.layers_per_block)
			.map(|i| resnet(&vb, i, if i == 0 { input } else { output }, output, config))
			.collect::<Result<_>>()?;
		let double = (!is_finest)
			.then(|| {
				let vb = vb.pp("upsamplers.0.conv");
				Convolution::new(vb, output, output, 3, Stride::Keep)
			})
			.transpose()?;
		Ok(Self { layers, double })
	}

	fn forward(&self, x: &Tensor) -> Result<Tensor> {
		let mut x = x.clone();
		for layer in &self.layers {
			x = layer.forward(&x, None)?;
		}
		let Some(double) = &self.double else { return Ok(x) };
		let (.., height, width) = x.dims4()?;
		double.forward(&enlarge(&x, (2 * height, 2 * width))?)
	}
}

impl VaeDecoder {
	pub fn new(vb: VarBuilder, config: &VaeConfig) -> Result<Self> {
		let convolution = |vb, input, output| Convolution::new(vb, input, output, 3, Stride::Keep);
		let latent = config.latent_channels;
		let post_quant_conv = config
			.post_quant_conv
			.then(|| Convolution::new(vb.pp("post_quant_conv"), latent, latent, 1, Stride::Keep))
			.transpose()?;
		let vb = vb.pp("decoder");
		// From the coarsest level to the finest.
		let channels: Vec<_> = config.channels.iter().rev().copied().collect();
		let finest = channels[channels.len() - 1];
		let up = (0..channels.len())
			.map(|i| {
				let input = channels[i.saturating_sub(1)];
				let vb = vb.pp("up_blocks").pp(i);
				UpBlock::new(vb, input, channels[i], i + 1 == channels.len(), config)
			})
			.collect::<Result<_>>()?;
		Ok(Self {
			post_quant_conv,
			conv_in: convolution(vb.pp("conv_in"), latent, channels[0])?,
			mid: MidBlock::new(vb.pp("mid_block"), channels[0], config)?,
			up,
			norm_out: GroupNorm::new(vb.pp("conv_norm_out"), finest, config.norm_groups, NORM_EPS)?,
			conv_out: convolution(vb.pp("conv_out"), finest, 3)?,
			scaling_factor: config.scaling_factor,
		})
	}

	/// Latents (batch, channels, height, width) to RGB (batch, 3, height × factor, width × factor)
	/// around [-1, 1]. `slice` bounds how many places look at once in attention.
	pub fn decode(&self, latents: &Tensor, slice: Option<usize>) -> Result<Tensor> {
		let mut x = (latents / self.scaling_factor)?;
		if let Some(conv) = &self.post_quant_conv {
			x = conv.forward(&x)?;
		}
		x = self.mid.forward(&self.conv_in.forward(&x)?, slice)?;
		for block in &self.up {
			x = block.forward(&x)?;
		}
		self.conv_out.forward(&self.norm_out.forward_silu(&x, None)?)
	}
}
