//! The decoder half of the autoencoder: from latents to pixels. The encoder half is not loaded.

use crate::config::VaeConfig;
use candle_core::{Module, Result, Tensor};
use candle_nn::{conv2d, group_norm, ops, Conv2d, Conv2dConfig, GroupNorm, VarBuilder};
use candle_transformers::models::stable_diffusion::unet_2d_blocks::{
	UNetMidBlock2D, UNetMidBlock2DConfig, UpDecoderBlock2D, UpDecoderBlock2DConfig,
};

const NORM_EPS: f64 = 1e-6;

/// The decoder, its weights loaded.
pub(crate) struct VaeDecoder {
	post_quant_conv: Option<Conv2d>,
	conv_in: Conv2d,
	mid: UNetMidBlock2D,
	up: Vec<UpDecoderBlock2D>,
	norm_out: GroupNorm,
	conv_out: Conv2d,
	config: VaeConfig,
}

impl VaeDecoder {
	pub fn new(vb: VarBuilder, config: &VaeConfig) -> Result<Self> {
		let padded = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
		let latent = config.latent_channels;
		let post_quant_conv = config
			.post_quant_conv
			.then(|| conv2d(latent, latent, 1, Conv2dConfig::default(), vb.pp("post_quant_conv")))
			.transpose()?;
		let vb = vb.pp("decoder");
		// From the coarsest level to the finest.
		let channels: Vec<_> = config.channels.iter().rev().copied().collect();
		let finest = channels[channels.len() - 1];
		let mut up = Vec::with_capacity(channels.len());
		for (i, &output) in channels.iter().enumerate() {
			up.push(UpDecoderBlock2D::new(
				vb.pp("up_blocks").pp(i),
				channels[i.saturating_sub(1)],
				output,
				UpDecoderBlock2DConfig {
					num_layers: config.layers_per_block + 1,
					resnet_eps: NORM_EPS,
					resnet_groups: config.norm_groups,
					output_scale_factor: 1.0,
					add_upsample: i + 1 < channels.len(),
				},
			)?);
		}
		Ok(Self {
			post_quant_conv,
			conv_in: conv2d(latent, channels[0], 3, padded, vb.pp("conv_in"))?,
			mid: UNetMidBlock2D::new(
				vb.pp("mid_block"),
				channels[0],
				None,
				UNetMidBlock2DConfig {
					num_layers: 1,
					resnet_eps: NORM_EPS,
					resnet_groups: Some(config.norm_groups),
					// One head over all channels.
					attn_num_head_channels: None,
					output_scale_factor: 1.0,
				},
			)?,
			up,
			norm_out: group_norm(config.norm_groups, finest, NORM_EPS, vb.pp("conv_norm_out"))?,
			conv_out: conv2d(finest, 3, 3, padded, vb.pp("conv_out"))?,
			config: config.clone(),
		})
	}

	/// Latents (batch, channels, height, width) to RGB (batch, 3, height × factor, width × factor)
	/// around [-1, 1].
	pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
		let mut x = (latents / self.config.scaling_factor)?;
		if let Some(conv) = &self.post_quant_conv {
			x = conv.forward(&x)?;
		}
		x = self.mid.forward(&self.conv_in.forward(&x)?, None)?;
		for block in &self.up {
			x = block.forward(&x)?;
		}
		self.conv_out.forward(&ops::silu(&self.norm_out.forward(&x)?)?)
	}

	/// Pixels of a side for each latent of it.
	pub fn factor(&self) -> usize {
		self.config.factor()
	}

	/// An upper estimate of the working memory in bytes, for latents of this size.
	pub fn working_bytes(&self, height: usize, width: usize) -> usize {
		let latents = height * width;
		// Scores, exponentials and probabilities of the attention, each a full matrix in f32.
		let attention = latents * latents * 3 * 4;
		// The finest level works on the channels of the one before it, and holds the block's
		// input, its shortcut and the results on their way.
		let widest = self.config.channels.iter().take(2).max().copied().unwrap_or(0);
		let activations = latents * self.factor().pow(2) * widest * 6 * 4;
		attention.max(activations)
	}
}
