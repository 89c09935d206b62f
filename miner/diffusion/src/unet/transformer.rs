//! The transformer inside the UNet's blocks: every place of the picture looks at all others, then
//! at the prompt.
//!
//! candle-transformers' attention is used; its feed-forward layer is not, because it computes GELU
//! by tanh where the models were trained with the exact one.

use crate::config::UNetConfig;
use candle_core::{Module, Result, Tensor, D};
use candle_nn::{
	conv2d, group_norm, layer_norm, linear, Conv2d, Conv2dConfig, GroupNorm, LayerNorm, Linear,
	VarBuilder,
};
use candle_transformers::models::stable_diffusion::attention::CrossAttention;

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
	Convolution(Conv2d),
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
				Projection::Convolution(conv2d(channels, channels, 1, Conv2dConfig::default(), vb)?)
			})
		};
		Ok(Self {
			norm: group_norm(config.norm_groups, channels, GROUP_NORM_EPS, vb.pp("norm"))?,
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

	/// (batch, channels, height, width) and the token states (batch, positions, width).
	pub fn forward(&self, picture: &Tensor, context: &Tensor) -> Result<Tensor> {
		let (batch, channels, height, width) = picture.dims4()?;
		let to_places =
			|x: Tensor| x.reshape((batch, channels, height * width))?.transpose(1, 2)?.contiguous();
		let to_picture =
			|x: Tensor| x.transpose(1, 2)?.contiguous()?.reshape((batch, channels, height, width));

		let normed = self.norm.forward(picture)?;
		let mut places = match &self.proj_in {
			Projection::Convolution(conv) => to_places(conv.forward(&normed)?)?,
			Projection::Linear(linear) => linear.forward(&to_places(normed)?)?,
		};
		for layer in &self.layers {
			places = layer.forward(&places, context)?;
		}
		let added = match &self.proj_out {
			Projection::Convolution(conv) => conv.forward(&to_picture(places)?)?,
			Projection::Linear(linear) => to_picture(linear.forward(&places)?)?,
		};
		added + picture
	}
}

struct Layer {
	norm1: LayerNorm,
	to_itself: CrossAttention,
	norm2: LayerNorm,
	to_prompt: CrossAttention,
	norm3: LayerNorm,
	gated: Linear,
	output: Linear,
}

impl Layer {
	fn new(vb: VarBuilder, width: usize, heads: usize, context: usize) -> Result<Self> {
		let norm = |name| layer_norm(width, LAYER_NORM_EPS, vb.pp(name));
		let attention = |name, context| {
			CrossAttention::new(vb.pp(name), width, context, heads, width / heads, None, false)
		};
		let inner = 4 * width;
		Ok(Self {
			norm1: norm("norm1")?,
			to_itself: attention("attn1", None)?,
			norm2: norm("norm2")?,
			to_prompt: attention("attn2", Some(context))?,
			norm3: norm("norm3")?,
			gated: linear(width, 2 * inner, vb.pp("ff.net.0.proj"))?,
			output: linear(inner, width, vb.pp("ff.net.2"))?,
		})
	}

	fn forward(&self, x: &Tensor, context: &Tensor) -> Result<Tensor> {
		let x = (self.to_itself.forward(&self.norm1.forward(x)?, None)? + x)?;
		let x = (self.to_prompt.forward(&self.norm2.forward(&x)?, Some(context))? + x)?;
		self.feed_forward(&self.norm3.forward(&x)?)? + x
	}

	/// GEGLU (Shazeer 2020): half of the inner states gate the other half.
	fn feed_forward(&self, x: &Tensor) -> Result<Tensor> {
		let inner = self.gated.forward(x)?.chunk(2, D::Minus1)?;
		self.output.forward(&(&inner[0] * inner[1].gelu_erf()?)?)
	}
}
