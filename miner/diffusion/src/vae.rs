//! The decoder half of the autoencoder: from latents to pixels. The encoder half is not loaded.

use crate::{
	config::VaeConfig,
	layers::{add, enlarge, Attention, Convolution, GroupNorm, Resnet, ResnetConfig, Stride},
};
use candle_core::{Result, Tensor};
use candle_nn::{Linear, VarBuilder};

const NORM_EPS: f64 = 1e-6;

/// The decoder, its weights loaded.
pub(crate) struct VaeDecoder {
	post_quant_conv: Option<Convolution>,
	conv_in: Convolution,
	mid: MidBlock,
	up: Vec<UpBlock>,
	norm_out: GroupNorm,
	conv_out: Convolution,
	config: VaeConfig,
}

/// The coarsest level: every place of the picture looks at all others.
struct MidBlock {
	before: Resnet,
	norm: GroupNorm,
	attention: Attention,
	after: Resnet,
}

/// A level on the way to pixels: its layers, then a convolution at double the size.
struct UpBlock {
	layers: Vec<Resnet>,
	double: Option<Convolution>,
}

fn resnet(
	vb: &VarBuilder,
	i: usize,
	input: usize,
	output: usize,
	config: &VaeConfig,
) -> Result<Resnet> {
	let config =
		ResnetConfig { input, output, time: None, groups: config.norm_groups, eps: NORM_EPS };
	Resnet::new(vb.pp("resnets").pp(i), &config)
}

impl MidBlock {
	fn new(vb: VarBuilder, channels: usize, config: &VaeConfig) -> Result<Self> {
		let attention = vb.pp("attentions.0");
		// Files older than diffusers 0.18 have other names, and those of the original convolutions.
		let names = if attention.contains_tensor("to_q.weight") {
			["to_q", "to_k", "to_v", "to_out.0"]
		} else {
			["query", "key", "value", "proj_attn"]
		};
		let [to_queries, to_keys, to_values, to_result] = names.map(|name| {
			let vb = attention.pp(name);
			let weight = vb.get((channels, channels), "weight").or_else(|_| {
				vb.get((channels, channels, 1, 1), "weight")?.reshape((channels, channels))
			});
			Ok::<_, candle_core::Error>(Linear::new(weight?, Some(vb.get(channels, "bias")?)))
		});
		Ok(Self {
			before: resnet(&vb, 0, channels, channels, config)?,
			norm: GroupNorm::new(
				attention.pp("group_norm"),
				channels,
				config.norm_groups,
				NORM_EPS,
			)?,
			attention: Attention {
				to_queries: to_queries?,
				to_keys: to_keys?,
				to_values: to_values?,
				to_result: to_result?,
				heads: 1,
			},
			after: resnet(&vb, 1, channels, channels, config)?,
		})
	}

	fn forward(&self, x: &Tensor, slice: Option<usize>) -> Result<Tensor> {
		let x = self.before.forward(x, None)?;
		let (batch, channels, height, width) = x.dims4()?;
		let places = self.norm.forward(&x)?.reshape((batch, channels, height * width))?;
		let places = places.transpose(1, 2)?.contiguous()?;
		let seen = self.attention.forward(&places, &places, slice)?;
		let seen = seen.transpose(1, 2)?.contiguous()?;
		self.after.forward(&add(&x, &seen.reshape((batch, channels, height, width))?)?, None)
	}
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
			config: config.clone(),
		})
	}

	/// Latents (batch, channels, height, width) to RGB (batch, 3, height × factor, width × factor)
	/// around [-1, 1]. `slice` bounds how many places look at once in attention.
	pub fn decode(&self, latents: &Tensor, slice: Option<usize>) -> Result<Tensor> {
		let mut x = (latents / self.config.scaling_factor)?;
		if let Some(conv) = &self.post_quant_conv {
			x = conv.forward(&x)?;
		}
		x = self.mid.forward(&self.conv_in.forward(&x)?, slice)?;
		for block in &self.up {
			x = block.forward(&x)?;
		}
		self.conv_out.forward(&self.norm_out.forward_silu(&x, None)?)
	}

	/// Pixels of a side for each latent of it.
	pub fn factor(&self) -> usize {
		self.config.factor()
	}

	/// An upper estimate of the working memory in bytes, for latents of this size.
	pub fn working_bytes(&self, height: usize, width: usize) -> usize {
		// The finest level works on the channels of the one before it, and holds the block's
		// input, its shortcut and the results on their way.
		let widest = self.config.channels.iter().take(2).max().copied().unwrap_or(0);
		height * width * self.factor().pow(2) * widest * 6 * 4
	}
}
