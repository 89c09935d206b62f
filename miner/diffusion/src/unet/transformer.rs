//! The transformer inside the UNet's blocks: every place of the picture looks at all others, then
//! at the prompt.

use super::block::Inputs;
use crate::{
	config::UNetConfig,
	layers::{self, add, Attention, Convolution, FeedForward, GroupNorm, Stride},
};
use candle_core::{Module, Result, Tensor};
use candle_nn::{layer_norm, linear, linear_no_bias, LayerNorm, Linear, VarBuilder};

const GROUP_NORM_EPS: f64 = 1e-6;
const LAYER_NORM_EPS: f64 = 1e-5;

/// A stack of transformer layers over the places of a picture (diffusers' `Transformer2DModel`).
pub(super) struct SpatialTransformer {
	norm: GroupNorm,
	proj_in: Projection,
	layers: Vec<Layer>,
	proj_out: Projection,
}

/// The same product, stored in one of two shapes.
enum Projection {
	Convolution(Convolution),
	Linear(Linear),
}

impl SpatialTransformer {
	pub fn new(
		vb: VarBuilder,
		channels: usize,
		heads: usize,
		layers: usize,
		config: &UNetConfig,
	) -> Result<Self> {
		let projection = |name| {
			let vb = vb.pp(name);
			Ok::<_, candle_core::Error>(if config.use_linear_projection {
				Projection::Linear(linear(channels, channels, vb)?)
			} else {
				Projection::Convolution(Convolution::new(vb, channels, channels, 1, Stride::Keep)?)
			})
		};
		Ok(Self {
			norm: GroupNorm::new(vb.pp("norm"), channels, config.norm_groups, GROUP_NORM_EPS)?,
			proj_in: projection("proj_in")?,
			layers: (0..layers)
				.map(|i| {
					let vb = vb.pp("transformer_blocks").pp(i);
					Layer::new(vb, channels, heads, config.cross_attention_dim)
				})
				.collect::<Result<_>>()?,
			proj_out: projection("proj_out")?,
		})
	}

	/// (batch, channels, height, width) to the same.
	pub fn forward(&self, picture: &Tensor, inputs: Inputs) -> Result<Tensor> {
		let (batch, channels, height, width) = picture.dims4()?;
		let to_places =
			|x: Tensor| x.reshape((batch, channels, height * width))?.transpose(1, 2)?.contiguous();
		let to_picture =
			|x: Tensor| x.transpose(1, 2)?.contiguous()?.reshape((batch, channels, height, width));

		let normed = self.norm.forward(picture)?;
		let mut places = match &self.proj_in {
			Projection::Convolution(conv) => to_places(conv.forward(&normed)?)?,
			Projection::Linear(linear) => layers::linear(linear, &to_places(normed)?)?,
		};
		for layer in &self.layers {
			places = layer.forward(&places, inputs)?;
		}
		let added = match &self.proj_out {
			Projection::Convolution(conv) => conv.forward(&to_picture(places)?)?,
			Projection::Linear(linear) => to_picture(layers::linear(linear, &places)?)?,
		};
		add(&added, picture)
	}
}

struct Layer {
	norm1: LayerNorm,
	to_itself: Attention,
	norm2: LayerNorm,
	to_prompt: Attention,
	norm3: LayerNorm,
	feed_forward: FeedForward,
}

impl Layer {
	fn new(vb: VarBuilder, width: usize, heads: usize, context: usize) -> Result<Self> {
		let norm = |name| layer_norm(width, LAYER_NORM_EPS, vb.pp(name));
		let attention = |name, context| {
			let vb = vb.pp(name);
			Ok::<_, candle_core::Error>(Attention {
				to_queries: linear_no_bias(width, width, vb.pp("to_q"))?,
				to_keys: linear_no_bias(context, width, vb.pp("to_k"))?,
				to_values: linear_no_bias(context, width, vb.pp("to_v"))?,
				to_result: linear(width, width, vb.pp("to_out.0"))?,
				heads,
			})
		};
		Ok(Self {
			norm1: norm("norm1")?,
			to_itself: attention("attn1", width)?,
			norm2: norm("norm2")?,
			to_prompt: attention("attn2", context)?,
			norm3: norm("norm3")?,
			feed_forward: FeedForward::new(vb.pp("ff"), width)?,
		})
	}

	fn forward(&self, x: &Tensor, Inputs { context, slice, .. }: Inputs) -> Result<Tensor> {
		let normed = self.norm1.forward(x)?;
		let x = add(&self.to_itself.forward(&normed, &normed, slice)?, x)?;
		let x = add(&self.to_prompt.forward(&self.norm2.forward(&x)?, context, slice)?, &x)?;
		add(&self.feed_forward.forward(&self.norm3.forward(&x)?)?, &x)
	}
}
