//! The UNet that predicts what to remove from a noisy sample (diffusers' `UNet2DConditionModel`).
//!
//! Put together from candle-transformers' parts where they are right: its convolution blocks and
//! its attention. Its whole UNet is not used: it computes the timestep's sines in the model's own
//! precision, normalises in 32 groups whatever the configuration says, and does not know the text
//! and sizes that Stable Diffusion XL embeds beside the timestep.

mod block;
mod transformer;
mod waves;

use crate::config::{AddedConfig, BlockConfig, UNetConfig};
use block::{DownBlock, Inputs, MidBlock, UpBlock};
use candle_core::{Module, Result, Tensor};
use candle_nn::{conv2d, group_norm, ops, Conv2d, Conv2dConfig, GroupNorm, VarBuilder};
use candle_transformers::models::stable_diffusion::embeddings::TimestepEmbedding;
use waves::waves;

/// The model, its weights loaded.
pub(crate) struct UNet {
	conv_in: Conv2d,
	time_embedding: TimestepEmbedding,
	added: Option<(AddedConfig, TimestepEmbedding)>,
	down: Vec<DownBlock>,
	mid: MidBlock,
	up: Vec<UpBlock>,
	norm_out: GroupNorm,
	conv_out: Conv2d,
	config: UNetConfig,
}

/// What a picture is to show, as the UNet looks at it in every step.
pub(crate) struct Condition {
	/// The token states: (prompts, positions, width).
	context: Tensor,
	/// What is added to the embedded timestep: (prompts, time channels).
	added: Option<Tensor>,
}

impl Condition {
	/// The number of prompts: one, or the negative one and the other.
	pub fn prompts(&self) -> Result<usize> {
		self.context.dim(0)
	}
}

impl UNet {
	pub fn new(vb: VarBuilder, config: &UNetConfig) -> Result<Self> {
		let finest = config.down[0].channels;
		let time = config.time_channels();
		let padded = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
		let added = config
			.added
			.map(|added| {
				let embedding = TimestepEmbedding::new(vb.pp("add_embedding"), added.input, time)?;
				Ok::<_, candle_core::Error>((added, embedding))
			})
			.transpose()?;
		Ok(Self {
			conv_in: conv2d(config.latent_channels, finest, 3, padded, vb.pp("conv_in"))?,
			time_embedding: TimestepEmbedding::new(vb.pp("time_embedding"), finest, time)?,
			added,
			down: (0..config.down.len())
				.map(|level| DownBlock::new(&vb.pp("down_blocks").pp(level), level, config))
				.collect::<Result<_>>()?,
			mid: MidBlock::new(&vb.pp("mid_block"), config)?,
			up: (0..config.up.len())
				.map(|level| UpBlock::new(&vb.pp("up_blocks").pp(level), level, config))
				.collect::<Result<_>>()?,
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

	/// What the model is to show: the token states (prompts, positions, width) and, for a model
	/// that takes them, the pooled text (prompts, width) in a picture of the given size in pixels.
	pub fn condition(
		&self,
		context: Tensor,
		pooled: Option<&Tensor>,
		(height, width): (u32, u32),
	) -> Result<Condition> {
		let added = match (&self.added, pooled) {
			(Some((config, embedding)), Some(pooled)) => {
				// The size the original had, where it was cropped, and the size it is wanted in.
				let sizes: Vec<f32> = [height, width, 0, 0, height, width]
					.into_iter()
					.flat_map(|number| self.waves(f64::from(number), config.number_width))
					.collect();
				let sizes = Tensor::new(sizes, pooled.device())?.to_dtype(pooled.dtype())?;
				let sizes = sizes.unsqueeze(0)?.repeat((pooled.dim(0)?, 1))?;
				Some(embedding.forward(&Tensor::cat(&[pooled, &sizes], 1)?)?)
			},
			_ => None,
		};
		Ok(Condition { context, added })
	}

	/// The model's output for samples of shape (prompts, channels, height, width) at a timestep.
	pub fn forward(
		&self,
		samples: &Tensor,
		timestep: f64,
		condition: &Condition,
	) -> Result<Tensor> {
		let time = self.waves(timestep, self.config.down[0].channels);
		let time = Tensor::new(time, samples.device())?.unsqueeze(0)?.to_dtype(samples.dtype())?;
		let mut time = self.time_embedding.forward(&time)?;
		if let Some(added) = &condition.added {
			time = time.broadcast_add(added)?;
		}
		let inputs = Inputs { time: &time, context: &condition.context };

		let mut x = self.conv_in.forward(samples)?;
		let mut skipped = vec![x.clone()];
		for block in &self.down {
			x = block.forward(&x, inputs, &mut skipped)?;
		}
		x = self.mid.forward(&x, inputs)?;
		for block in &self.up {
			x = block.forward(&x, inputs, &mut skipped)?;
		}
		self.conv_out.forward(&ops::silu(&self.norm_out.forward(&x)?)?)
	}

	fn waves(&self, number: f64, channels: usize) -> Vec<f32> {
		waves(number, channels, self.config.frequency_shift, self.config.cosine_first)
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
