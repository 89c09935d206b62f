//! The blocks of the UNet: one for each resolution on the way down, one at the bottom, one for each
//! on the way up.

use super::transformer::SpatialTransformer;
use crate::{
	config::{BlockConfig, UNetConfig},
	layers::{enlarge, Convolution, Resnet, ResnetConfig, Stride},
};
use candle_core::{Result, Tensor, D};
use candle_nn::VarBuilder;

/// What the layers of all blocks look at besides the picture.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
	/// The embedded timestep, with what is embedded beside it: (1 or batch, time channels).
	pub time: &'a Tensor,
	/// The token states: (batch, positions, width).
	pub context: &'a Tensor,
	/// How many places look at once in attention, where that is bounded.
	pub slice: Option<usize>,
}

/// A convolution block, in most places with a transformer after it.
struct Layer {
	resnet: Resnet,
	transformer: Option<SpatialTransformer>,
}

impl Layer {
	/// Layer `i` of the block whose weights are in `vb`.
	fn new(
		vb: &VarBuilder,
		i: usize,
		input: usize,
		block: &BlockConfig,
		config: &UNetConfig,
	) -> Result<Self> {
		let transformer = block
			.transformer_layers
			.map(|layers| {
				let vb = vb.pp("attentions").pp(i);
				SpatialTransformer::new(vb, block.channels, block.heads, layers, config)
			})
			.transpose()?;
		Ok(Self { resnet: resnet(vb, i, input, block.channels, config)?, transformer })
	}

	fn forward(&self, x: &Tensor, inputs: Inputs) -> Result<Tensor> {
		let x = self.resnet.forward(x, Some(inputs.time))?;
		match &self.transformer {
			Some(transformer) => transformer.forward(&x, inputs),
			None => Ok(x),
		}
	}
}

fn resnet(
	vb: &VarBuilder,
	i: usize,
	input: usize,
	output: usize,
	config: &UNetConfig,
) -> Result<Resnet> {
	let config = ResnetConfig {
		input,
		output,
		time: Some(config.time_channels()),
		groups: config.norm_groups,
		eps: config.norm_eps,
	};
	Resnet::new(vb.pp("resnets").pp(i), &config)
}

/// A level on the way down: its layers, then a convolution to half the size.
pub(super) struct DownBlock {
	layers: Vec<Layer>,
	halve: Option<Convolution>,
	padding: usize,
}

impl DownBlock {
	/// Level `level`, 0 being the finest.
	pub fn new(vb: &VarBuilder, level: usize, config: &UNetConfig) -> Result<Self> {
		let block = &config.down[level];
		let above = config.down[level.saturating_sub(1)].channels;
		let layers = (0..config.layers_per_block)
			.map(|i| Layer::new(vb, i, if i == 0 { above } else { block.channels }, block, config))
			.collect::<Result<_>>()?;
		let padding = config.downsample_padding;
		let halve = (level + 1 < config.down.len())
			.then(|| {
				let vb = vb.pp("downsamplers.0.conv");
				Convolution::new(vb, block.channels, block.channels, 3, Stride::Halve(padding))
			})
			.transpose()?;
		Ok(Self { layers, halve, padding })
	}

	/// Adds the state after each layer to `skipped`, and returns the last.
	pub fn forward(&self, x: &Tensor, inputs: Inputs, skipped: &mut Vec<Tensor>) -> Result<Tensor> {
		let mut x = x.clone();
		for layer in &self.layers {
			x = layer.forward(&x, inputs)?;
			skipped.push(x.clone());
		}
		if let Some(halve) = &self.halve {
			if self.padding == 0 {
				x = x.pad_with_zeros(D::Minus1, 0, 1)?.pad_with_zeros(D::Minus2, 0, 1)?;
			}
			x = halve.forward(&x)?;
			skipped.push(x.clone());
		}
		Ok(x)
	}
}

/// The coarsest level, between the ways down and up.
pub(super) struct MidBlock {
	layer: Layer,
	resnet: Resnet,
}

impl MidBlock {
	pub fn new(vb: &VarBuilder, config: &UNetConfig) -> Result<Self> {
		let channels = config.mid.channels;
		Ok(Self {
			layer: Layer::new(vb, 0, channels, &config.mid, config)?,
			resnet: resnet(vb, 1, channels, channels, config)?,
		})
	}

	pub fn forward(&self, x: &Tensor, inputs: Inputs) -> Result<Tensor> {
		self.resnet.forward(&self.layer.forward(x, inputs)?, Some(inputs.time))
	}
}

/// A level on the way up: its layers, each with a state skipped on the way down, then a convolution
/// at double the size.
pub(super) struct UpBlock {
	layers: Vec<Layer>,
	double: Option<Convolution>,
}

impl UpBlock {
	/// Level `level`, 0 being the coarsest.
	pub fn new(vb: &VarBuilder, level: usize, config: &UNetConfig) -> Result<Self> {
		let levels = config.up.len();
		let block = &config.up[level];
		let below = config.up[level.saturating_sub(1)].channels;
		// The last skipped state of a level comes from the next finer one.
		let finer = config.up[(level + 1).min(levels - 1)].channels;
		let last = config.layers_per_block;
		let layers = (0..=last)
			.map(|i| {
				let own = if i == 0 { below } else { block.channels };
				let skipped = if i == last { finer } else { block.channels };
				Layer::new(vb, i, own + skipped, block, config)
			})
			.collect::<Result<_>>()?;
		let double = (level + 1 < levels)
			.then(|| {
				let vb = vb.pp("upsamplers.0.conv");
				Convolution::new(vb, block.channels, block.channels, 3, Stride::Keep)
			})
			.transpose()?;
		Ok(Self { layers, double })
	}

	/// Takes the states that its layers want off the end of `skipped`.
	pub fn forward(&self, x: &Tensor, inputs: Inputs, skipped: &mut Vec<Tensor>) -> Result<Tensor> {
		let mut x = x.clone();
		let states = skipped.split_off(skipped.len() - self.layers.len());
		for (layer, state) in self.layers.iter().zip(states.iter().rev()) {
			x = layer.forward(&Tensor::cat(&[&x, state], 1)?, inputs)?;
		}
		match (&self.double, skipped.last()) {
			(Some(double), Some(finer)) => {
				// Sides that are odd somewhere on the way down were rounded up there.
				let (_, _, height, width) = finer.dims4()?;
				double.forward(&enlarge(&x, (height, width))?)
			},
			_ => Ok(x),
		}
	}
}
