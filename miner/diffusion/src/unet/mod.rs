//! The UNet that predicts what to remove from a noisy sample (diffusers' `UNet2DConditionModel`).

mod block;
mod transformer;
mod waves;

use crate::{
	config::{AddedConfig, BlockConfig, UNetConfig},
	layers::{Convolution, GroupNorm, Stride},
};
use block::{DownBlock, Inputs, MidBlock, UpBlock};
use candle_core::{Module, Result, Tensor};
use candle_nn::{linear, ops::silu, Linear, VarBuilder};
use waves::waves;

#[cfg(feature = "cuda")]
use crate::cuda::graph::Recorded;

/// The model, its weights loaded.
pub(crate) struct UNet {
	conv_in: Convolution,
	time_embedding: Embedding,
	added: Option<(AddedConfig, Embedding)>,
	down: Vec<DownBlock>,
	mid: MidBlock,
	up: Vec<UpBlock>,
	norm_out: GroupNorm,
	conv_out: Convolution,
	config: UNetConfig,
	#[cfg(feature = "cuda")]
	recorded: Recorded,
}

/// Two linear layers with SiLU in between, for numbers spread over waves.
struct Embedding(Linear, Linear);

impl Embedding {
	fn new(vb: VarBuilder, input: usize, output: usize) -> Result<Self> {
		let second = linear(output, output, vb.pp("linear_2"))?;
		Ok(Self(linear(input, output, vb.pp("linear_1"))?, second))
	}

	fn forward(&self, waves: &Tensor) -> Result<Tensor> {
		self.1.forward(&silu(&self.0.forward(waves)?)?)
	}
}

/// What a picture is to show, as the UNet looks at it in every step.
#[derive(Clone)]
pub(crate) struct Condition {
	/// The token states: (prompts, positions, width), or with a row for each picture of each prompt.
	context: Tensor,
	/// What is added to the embedded timestep: (prompts, time channels), with as many rows.
	added: Option<Tensor>,
}

impl Condition {
	/// The number of prompts (one, or the negative one and the other) times that of pictures.
	pub fn rows(&self) -> Result<usize> {
		self.context.dim(0)
	}

	/// One for each row.
	pub fn each(&self) -> Result<Vec<Self>> {
		let one = |row| self.map(|tensor| tensor.narrow(0, row, 1)?.contiguous());
		(0..self.rows()?).map(one).collect()
	}

	/// The same for each of several pictures at once: the first prompt for all of them, then the
	/// second.
	pub fn repeated(&self, pictures: usize) -> Result<Self> {
		if pictures == 1 {
			return Ok(self.clone());
		}
		self.map(|tensor| {
			let mut shape = tensor.dims().to_vec();
			shape.insert(1, pictures);
			let repeated = tensor.unsqueeze(1)?.broadcast_as(shape)?.contiguous()?;
			repeated.flatten(0, 1)
		})
	}

	fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
		let added = self.added.as_ref().map(&change).transpose()?;
		Ok(Self { context: change(&self.context)?, added })
	}
}

impl UNet {
	pub fn new(vb: VarBuilder, config: &UNetConfig) -> Result<Self> {
		let finest = config.down[0].channels;
		let time = config.time_channels();
		let added = config
			.added
			.map(|added| {
				let embedding = Embedding::new(vb.pp("add_embedding"), added.input, time)?;
				Ok::<_, candle_core::Error>((added, embedding))
			})
			.transpose()?;
		Ok(Self {
			conv_in: Convolution::new(
				vb.pp("conv_in"),
				config.latent_channels,
				finest,
				3,
				Stride::Keep,
			)?,
			time_embedding: Embedding::new(vb.pp("time_embedding"), finest, time)?,
			added,
			down: (0..config.down.len())
				.map(|level| DownBlock::new(&vb.pp("down_blocks").pp(level), level, config))
				.collect::<Result<_>>()?,
			mid: MidBlock::new(&vb.pp("mid_block"), config)?,
			up: (0..config.up.len())
				.map(|level| UpBlock::new(&vb.pp("up_blocks").pp(level), level, config))
				.collect::<Result<_>>()?,
			norm_out: GroupNorm::new(
				vb.pp("conv_norm_out"),
				finest,
				config.norm_groups,
				config.norm_eps,
			)?,
			conv_out: Convolution::new(
				vb.pp("conv_out"),
				finest,
				config.latent_channels,
				3,
				Stride::Keep,
			)?,
			config: config.clone(),
			#[cfg(feature = "cuda")]
			recorded: Recorded::default(),
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

	/// The model's output for samples of shape (batch, channels, height, width) at a timestep, with a
	/// condition of as many rows. `slice` bounds how many places look at once in attention.
	pub fn forward(
		&self,
		samples: &Tensor,
		timestep: f64,
		condition: &Condition,
		slice: Option<usize>,
	) -> Result<Tensor> {
		let time = self.waves(timestep, self.config.down[0].channels);
		let time = Tensor::new(time, samples.device())?.unsqueeze(0)?.to_dtype(samples.dtype())?;
		let Condition { context, added } = condition;
		// Where memory is short, none is to be spent on a recording.
		#[cfg(feature = "cuda")]
		if samples.device().is_cuda() && slice.is_none() {
			let inputs: Vec<_> = [samples, &time, context].into_iter().chain(added).collect();
			return self.recorded.run(&inputs, |inputs| match inputs {
				[samples, time, context, added @ ..] => {
					self.compute(samples, time, context, added.first().copied(), None)
				},
				_ => candle_core::bail!("a step needs samples, a timestep and a prompt"),
			});
		}
		self.compute(samples, &time, context, added.as_ref(), slice)
	}

	/// The same with the waves of the timestep, (1, channels).
	fn compute(
		&self,
		samples: &Tensor,
		time: &Tensor,
		context: &Tensor,
		added: Option<&Tensor>,
		slice: Option<usize>,
	) -> Result<Tensor> {
		let mut time = self.time_embedding.forward(time)?;
		if let Some(added) = added {
			time = time.broadcast_add(added)?;
		}
		let inputs = Inputs { time: &time, context, slice };

		let mut x = self.conv_in.forward(samples)?;
		let mut skipped = vec![x.clone()];
		for block in &self.down {
			x = block.forward(&x, inputs, &mut skipped)?;
		}
		x = self.mid.forward(&x, inputs)?;
		for block in &self.up {
			x = block.forward(&x, inputs, &mut skipped)?;
		}
		self.conv_out.forward(&self.norm_out.forward_silu(&x, None)?)
	}

	fn waves(&self, number: f64, channels: usize) -> Vec<f32> {
		waves(number, channels, self.config.frequency_shift, self.config.cosine_first)
	}

	/// An upper estimate of the working memory on the CPU in bytes, for samples of this size.
	pub fn working_bytes(&self, batch: usize, height: usize, width: usize) -> usize {
		// The widest are the inner states of a transformer, eight and four times its width, beside
		// its input and the results on their way.
		const STATES: usize = 18;
		let level = |(i, block): (usize, &BlockConfig)| {
			batch * height.div_ceil(1 << i) * width.div_ceil(1 << i) * block.channels * 4
		};
		let levels = || self.config.down.iter().enumerate().map(level);
		let skipped: usize = levels().sum::<usize>() * (self.config.layers_per_block + 1);
		levels().max().unwrap_or(0) * STATES + skipped
	}
}
