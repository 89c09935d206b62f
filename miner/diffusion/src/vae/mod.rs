//! The autoencoder between pixels and latents (diffusers' `AutoencoderKL`, Kingma and Welling 2013).

mod decoder;
mod encoder;

use decoder::VaeDecoder;
use encoder::VaeEncoder;

use crate::{
	config::VaeConfig,
	layers::{add, Attention, GroupNorm, Resnet, ResnetConfig},
};
use candle_core::{Result, Tensor};
use candle_nn::{Linear, VarBuilder};

const NORM_EPS: f64 = 1e-6;

/// The autoencoder, its weights loaded.
pub(crate) struct Vae {
	pub decoder: VaeDecoder,
	/// Some models come without.
	pub encoder: Option<VaeEncoder>,
	config: VaeConfig,
}

impl Vae {
	pub fn new(vb: VarBuilder, config: &VaeConfig) -> Result<Self> {
		let has_encoder = vb.contains_tensor("encoder.conv_in.weight");
		Ok(Self {
			decoder: VaeDecoder::new(vb.clone(), config)?,
			encoder: has_encoder.then(|| VaeEncoder::new(vb, config)).transpose()?,
			config: config.clone(),
		})
	}

	/// Pixels of a side for each latent of it.
	pub fn factor(&self) -> usize {
		self.config.factor()
	}

	/// An upper estimate of the working memory in bytes, for latents of this size.
	pub fn working_bytes(&self, height: usize, width: usize) -> usize {
		// Of the decoder, which has more layers. Its finest level works on the channels of the one
		// before it, and holds the block's input, its shortcut and the results on their way.
		let widest = self.config.channels.iter().take(2).max().copied().unwrap_or(0);
		height * width * self.factor().pow(2) * widest * 6 * 4
	}
}

/// The coarsest level: every place of the picture looks at all others.
struct MidBlock {
	before: Resnet,
	norm: GroupNorm,
	attention: Attention,
	after: Resnet,
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
	pub fn new(vb: VarBuilder, channels: usize, config: &VaeConfig) -> Result<Self> {
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

	pub fn forward(&self, x: &Tensor, slice: Option<usize>) -> Result<Tensor> {
		let x = self.before.forward(x, None)?;
		let (batch, channels, height, width) = x.dims4()?;
		let places = self.norm.forward(&x)?.reshape((batch, channels, height * width))?;
		let places = places.transpose(1, 2)?.contiguous()?;
		let seen = self.attention.forward(&places, &places, slice)?;
		let seen = seen.transpose(1, 2)?.contiguous()?;
		self.after.forward(&add(&x, &seen.reshape((batch, channels, height, width))?)?, None)
	}
}
