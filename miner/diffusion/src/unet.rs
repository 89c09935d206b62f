//! The UNet that predicts what to remove from a noisy sample.
//!
//! Built from candle-transformers' blocks, but not by its `UNet2DConditionModel`: that one computes
//! the timestep's sines in the model's own precision, where half precision has no room for them,
//! and takes the numbers of attention layers of the way up from the way down.

use crate::config::{BlockConfig, UNetConfig};
use candle_core::{Device, Module, Result, Tensor};
use candle_nn::{conv2d, group_norm, ops, Conv2d, Conv2dConfig, GroupNorm, VarBuilder};
use candle_transformers::models::stable_diffusion::{
	embeddings::TimestepEmbedding,
	unet_2d_blocks::{
		CrossAttnDownBlock2D, CrossAttnDownBlock2DConfig, CrossAttnUpBlock2D,
		CrossAttnUpBlock2DConfig, DownBlock2D, DownBlock2DConfig, UNetMidBlock2DCrossAttn,
		UNetMidBlock2DCrossAttnConfig, UpBlock2D, UpBlock2DConfig,
	},
};

/// The model, its weights loaded.
pub(crate) struct UNet {
	conv_in: Conv2d,
	time_embedding: TimestepEmbedding,
	down: Vec<DownBlock>,
	mid: UNetMidBlock2DCrossAttn,
	up: Vec<UpBlock>,
	norm_out: GroupNorm,
	conv_out: Conv2d,
	config: UNetConfig,
}

enum DownBlock {
	Plain(DownBlock2D),
	Attention(CrossAttnDownBlock2D),
}

enum UpBlock {
	Plain(UpBlock2D),
	Attention(CrossAttnUpBlock2D),
}

impl UNet {
	pub fn new(vb: VarBuilder, config: &UNetConfig) -> Result<Self> {
		let finest = config.down[0].channels;
		let time_channels = 4 * finest;
		let padded = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
		Ok(Self {
			conv_in: conv2d(config.latent_channels, finest, 3, padded, vb.pp("conv_in"))?,
			time_embedding: TimestepEmbedding::new(vb.pp("time_embedding"), finest, time_channels)?,
			down: down_blocks(&vb.pp("down_blocks"), time_channels, config)?,
			mid: mid_block(vb.pp("mid_block"), time_channels, config)?,
			up: up_blocks(&vb.pp("up_blocks"), time_channels, config)?,
			norm_out: group_norm(
				config.norm_groups,
				finest,
				config.norm_eps,
				vb.pp("conv_norm_out"),
			)?,
			conv_out: conv2d(finest, config.latent_channels, 3, padded, vb.pp("conv_out"))?,
			config: config.clone(),
		})
	}

	/// The model's output for samples of shape (batch, channels, height, width) at a timestep,
	/// given the token states (batch, positions, width).
	pub fn forward(&self, samples: &Tensor, timestep: f64, context: &Tensor) -> Result<Tensor> {
		let time = self.timestep_waves(timestep, samples.device())?.to_dtype(samples.dtype())?;
		let time = Some(self.time_embedding.forward(&time)?);
		let (time, context) = (time.as_ref(), Some(context));

		let mut x = self.conv_in.forward(samples)?;
		let mut skipped = vec![x.clone()];
		for block in &self.down {
			let (next, states) = match block {
				DownBlock::Plain(block) => block.forward(&x, time)?,
				DownBlock::Attention(block) => block.forward(&x, time, context)?,
			};
			skipped.extend(states);
			x = next;
		}
		x = self.mid.forward(&x, time, context)?;
		for block in &self.up {
			let states = skipped.split_off(skipped.len() - (self.config.layers_per_block + 1));
			// Sides that are odd somewhere on the way down were rounded up there.
			let size = match skipped.last() {
				Some(finer) => Some((finer.dim(2)?, finer.dim(3)?)),
				None => None,
			};
			x = match block {
				UpBlock::Plain(block) => block.forward(&x, &states, time, size)?,
				UpBlock::Attention(block) => block.forward(&x, &states, time, size, context)?,
			};
		}
		self.conv_out.forward(&ops::silu(&self.norm_out.forward(&x)?)?)
	}

	/// The timestep as waves of falling frequency: (1, channels of the finest level), in f32.
	fn timestep_waves(&self, timestep: f64, device: &Device) -> Result<Tensor> {
		let waves = timestep_waves(
			timestep,
			self.config.down[0].channels,
			self.config.frequency_shift,
			self.config.cosine_first,
		);
		Tensor::new(waves, device)?.unsqueeze(0)
	}

	/// An upper estimate of the attention's working memory in bytes, for samples of this size.
	pub fn attention_bytes(&self, batch: usize, height: usize, width: usize) -> usize {
		let level = |(i, block): (usize, &BlockConfig)| {
			let tokens = height.div_ceil(1 << i) * width.div_ceil(1 << i);
			// Scores and probabilities, each a full matrix in f32.
			block.transformer_layers.map_or(0, |_| batch * block.heads * tokens * tokens * 2 * 4)
		};
		let coarsest = self.config.down.len() - 1;
		let down = self.config.down.iter().enumerate().map(level);
		let up = self.config.up.iter().rev().enumerate().map(level);
		down.chain(up).chain([level((coarsest, &self.config.mid))]).max().unwrap_or(0)
	}
}

/// Sines and cosines of the timestep at `channels / 2` frequencies from 1 down to 1/10000.
fn timestep_waves(timestep: f64, channels: usize, shift: f64, cosine_first: bool) -> Vec<f32> {
	let half = channels / 2;
	let angles = (0..half).map(|i| {
		let exponent = i as f64 / (half as f64 - shift);
		timestep * libm::pow(10_000.0, -exponent)
	});
	let (sines, cosines): (Vec<_>, Vec<_>) =
		angles.map(|angle| (libm::sin(angle) as f32, libm::cos(angle) as f32)).unzip();
	if cosine_first {
		[cosines, sines].concat()
	} else {
		[sines, cosines].concat()
	}
}

fn down_blocks(vb: &VarBuilder, time: usize, config: &UNetConfig) -> Result<Vec<DownBlock>> {
	let levels = config.down.len();
	let mut blocks = Vec::with_capacity(levels);
	for (i, block) in config.down.iter().enumerate() {
		let vb = vb.pp(i);
		let input = config.down[i.saturating_sub(1)].channels;
		let plain = DownBlock2DConfig {
			num_layers: config.layers_per_block,
			resnet_eps: config.norm_eps,
			resnet_groups: config.norm_groups,
			output_scale_factor: 1.0,
			add_downsample: i + 1 < levels,
			downsample_padding: config.downsample_padding,
		};
		blocks.push(match block.transformer_layers {
			None => {
				DownBlock::Plain(DownBlock2D::new(vb, input, block.channels, Some(time), plain)?)
			},
			Some(layers) => DownBlock::Attention(CrossAttnDownBlock2D::new(
				vb,
				input,
				block.channels,
				Some(time),
				false,
				CrossAttnDownBlock2DConfig {
					downblock: plain,
					attn_num_head_channels: block.heads,
					cross_attention_dim: config.cross_attention_dim,
					sliced_attention_size: None,
					use_linear_projection: config.use_linear_projection,
					transformer_layers_per_block: layers,
				},
			)?),
		});
	}
	Ok(blocks)
}

fn mid_block(vb: VarBuilder, time: usize, config: &UNetConfig) -> Result<UNetMidBlock2DCrossAttn> {
	UNetMidBlock2DCrossAttn::new(
		vb,
		config.mid.channels,
		Some(time),
		false,
		UNetMidBlock2DCrossAttnConfig {
			num_layers: 1,
			resnet_eps: config.norm_eps,
			resnet_groups: Some(config.norm_groups),
			attn_num_head_channels: config.mid.heads,
			output_scale_factor: 1.0,
			cross_attn_dim: config.cross_attention_dim,
			sliced_attention_size: None,
			use_linear_projection: config.use_linear_projection,
			transformer_layers_per_block: config.mid.transformer_layers.unwrap_or(1),
		},
	)
}

fn up_blocks(vb: &VarBuilder, time: usize, config: &UNetConfig) -> Result<Vec<UpBlock>> {
	let levels = config.up.len();
	let mut blocks = Vec::with_capacity(levels);
	for (i, block) in config.up.iter().enumerate() {
		let vb = vb.pp(i);
		let previous = config.up[i.saturating_sub(1)].channels;
		// The last skipped state of a level comes from the next finer one.
		let finer = config.up[(i + 1).min(levels - 1)].channels;
		let plain = UpBlock2DConfig {
			num_layers: config.layers_per_block + 1,
			resnet_eps: config.norm_eps,
			resnet_groups: config.norm_groups,
			output_scale_factor: 1.0,
			add_upsample: i + 1 < levels,
		};
		blocks.push(match block.transformer_layers {
			None => UpBlock::Plain(UpBlock2D::new(
				vb,
				finer,
				previous,
				block.channels,
				Some(time),
				plain,
			)?),
			Some(layers) => UpBlock::Attention(CrossAttnUpBlock2D::new(
				vb,
				finer,
				previous,
				block.channels,
				Some(time),
				false,
				CrossAttnUpBlock2DConfig {
					upblock: plain,
					attn_num_head_channels: block.heads,
					cross_attention_dim: config.cross_attention_dim,
					sliced_attention_size: None,
					use_linear_projection: config.use_linear_projection,
					transformer_layers_per_block: layers,
				},
			)?),
		});
	}
	Ok(blocks)
}

#[cfg(test)]
mod tests {
	use super::timestep_waves;

	#[test]
	fn timestep_waves_by_hand() {
		// Frequencies 1 and 10000^(-1/2) = 0.01.
		let (t, slow) = (981.0_f64, 9.81_f64);
		let waves = [t.cos(), slow.cos(), t.sin(), slow.sin()];
		for (wave, expected) in timestep_waves(t, 4, 0.0, true).into_iter().zip(waves) {
			assert!((f64::from(wave) - expected).abs() < 1e-6, "{wave} is not {expected}");
		}
		// A shift of 1 makes the last frequency 1/10000; sines come first.
		let waves = [t.sin(), (t / 10_000.0).sin(), t.cos(), (t / 10_000.0).cos()];
		for (wave, expected) in timestep_waves(t, 4, 1.0, false).into_iter().zip(waves) {
			assert!((f64::from(wave) - expected).abs() < 1e-6, "{wave} is not {expected}");
		}
	}
}
