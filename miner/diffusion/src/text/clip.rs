//! The CLIP text model: a causal transformer over the prompt's tokens.
//!
//! candle-transformers has one, but its configuration can only be one of the built-in ones, and
//! its `gelu` is the approximation by tanh where CLIP means the exact one.

use crate::config::{Activation, TextEncoderConfig};
use candle_core::{Device, IndexOp, Module, Result, Tensor, D};
use candle_nn::{
	embedding, layer_norm, linear, linear_no_bias, ops, Embedding, LayerNorm, LayerNormConfig,
	Linear, VarBuilder,
};

/// The model, its weights loaded.
pub(crate) struct ClipTextModel {
	token_embedding: Embedding,
	/// (positions, width)
	position_embedding: Tensor,
	layers: Vec<Layer>,
	final_layer_norm: LayerNorm,
	/// Added to the attention's scores: a token must not see those after it.
	causal_mask: Tensor,
}

struct Layer {
	norm1: LayerNorm,
	attention: Attention,
	norm2: LayerNorm,
	fc1: Linear,
	fc2: Linear,
	activation: Activation,
}

struct Attention {
	q_proj: Linear,
	k_proj: Linear,
	v_proj: Linear,
	out_proj: Linear,
	heads: usize,
}

impl ClipTextModel {
	pub fn new(vb: VarBuilder, config: &TextEncoderConfig) -> Result<Self> {
		// Newer versions of transformers leave the first part of the names out.
		const ANY: &str = "embeddings.token_embedding.weight";
		let bare = vb.contains_tensor(ANY) && !vb.contains_tensor(&format!("text_model.{ANY}"));
		let vb = if bare { vb } else { vb.pp("text_model") };
		let embeddings = vb.pp("embeddings");
		let width = config.hidden_size;
		let layers = (0..config.layers)
			.map(|i| Layer::new(vb.pp("encoder").pp("layers").pp(i), config))
			.collect::<Result<_>>()?;
		Ok(Self {
			token_embedding: embedding(config.vocab_size, width, embeddings.pp("token_embedding"))?,
			position_embedding: embeddings
				.pp("position_embedding")
				.get((config.positions, width), "weight")?,
			layers,
			final_layer_norm: norm(config, vb.pp("final_layer_norm"))?,
			causal_mask: causal_mask(config.positions, vb.device())?,
		})
	}

	/// (prompts, positions) token ids to states.
	pub fn forward(&self, ids: &Tensor) -> Result<States> {
		let tokens = self.token_embedding.forward(ids)?;
		let mut states = tokens.broadcast_add(&self.position_embedding)?;
		let mut penultimate = states.clone();
		for layer in &self.layers {
			penultimate = states;
			states = layer.forward(&penultimate, &self.causal_mask)?;
		}
		Ok(States { last: self.final_layer_norm.forward(&states)?, penultimate })
	}
}

/// What the model makes of prompts, each (prompts, positions, width).
pub(crate) struct States {
	/// After all layers, normalised: what Stable Diffusion 1 and 2 look at.
	pub last: Tensor,
	/// Before the last layer, not normalised: what Stable Diffusion XL looks at.
	pub penultimate: Tensor,
}

/// The text model with a projection of its pooled state (transformers'
/// `CLIPTextModelWithProjection`).
pub(crate) struct ProjectedClipTextModel {
	model: ClipTextModel,
	projection: Linear,
}

impl ProjectedClipTextModel {
	pub fn new(vb: VarBuilder, config: &TextEncoderConfig) -> Result<Self> {
		let projection = vb.pp("text_projection");
		Ok(Self {
			projection: linear_no_bias(config.hidden_size, config.projection, projection)?,
			model: ClipTextModel::new(vb, config)?,
		})
	}

	/// The states of (prompts, positions) token ids, and the projected state (prompts, projection)
	/// at the position in `ends` for each prompt.
	pub fn forward(&self, ids: &Tensor, ends: &[usize]) -> Result<(States, Tensor)> {
		let states = self.model.forward(ids)?;
		let pooled = ends
			.iter()
			.enumerate()
			.map(|(prompt, &end)| states.last.i((prompt, end)))
			.collect::<Result<Vec<_>>>()?;
		let pooled = self.projection.forward(&Tensor::stack(&pooled, 0)?)?;
		Ok((states, pooled))
	}
}

impl Layer {
	fn new(vb: VarBuilder, config: &TextEncoderConfig) -> Result<Self> {
		let (width, inner) = (config.hidden_size, config.intermediate_size);
		Ok(Self {
			norm1: norm(config, vb.pp("layer_norm1"))?,
			attention: Attention::new(vb.pp("self_attn"), config)?,
			norm2: norm(config, vb.pp("layer_norm2"))?,
			fc1: linear(width, inner, vb.pp("mlp").pp("fc1"))?,
			fc2: linear(inner, width, vb.pp("mlp").pp("fc2"))?,
			activation: config.activation,
		})
	}

	fn forward(&self, states: &Tensor, mask: &Tensor) -> Result<Tensor> {
		let states = (states + self.attention.forward(&self.norm1.forward(states)?, mask)?)?;
		let inner = self.fc1.forward(&self.norm2.forward(&states)?)?;
		let inner = match self.activation {
			Activation::QuickGelu => (&inner * ops::sigmoid(&(&inner * 1.702)?)?)?,
			Activation::Gelu => inner.gelu_erf()?,
		};
		states + self.fc2.forward(&inner)?
	}
}

impl Attention {
	fn new(vb: VarBuilder, config: &TextEncoderConfig) -> Result<Self> {
		let width = config.hidden_size;
		let projection = |name| linear(width, width, vb.pp(name));
		Ok(Self {
			q_proj: projection("q_proj")?,
			k_proj: projection("k_proj")?,
			v_proj: projection("v_proj")?,
			out_proj: projection("out_proj")?,
			heads: config.heads,
		})
	}

	fn forward(&self, states: &Tensor, mask: &Tensor) -> Result<Tensor> {
		let (batch, positions, width) = states.dims3()?;
		let per_head = width / self.heads;
		let split = |states: Tensor| {
			states.reshape((batch, positions, self.heads, per_head))?.transpose(1, 2)?.contiguous()
		};
		let scale = 1.0 / (per_head as f64).sqrt();
		let query = split((self.q_proj.forward(states)? * scale)?)?;
		let key = split(self.k_proj.forward(states)?)?;
		let value = split(self.v_proj.forward(states)?)?;
		let scores = query.matmul(&key.t()?)?.broadcast_add(mask)?;
		let attended = ops::softmax(&scores, D::Minus1)?.matmul(&value)?;
		self.out_proj.forward(&attended.transpose(1, 2)?.reshape((batch, positions, width))?)
	}
}

fn norm(config: &TextEncoderConfig, vb: VarBuilder) -> Result<LayerNorm> {
	let eps = config.layer_norm_eps;
	layer_norm(config.hidden_size, LayerNormConfig { eps, ..LayerNormConfig::default() }, vb)
}

fn causal_mask(positions: usize, device: &Device) -> Result<Tensor> {
	let mask: Vec<f32> = (0..positions)
		.flat_map(|row| {
			(0..positions).map(move |column| if column > row { f32::NEG_INFINITY } else { 0.0 })
		})
		.collect();
	Tensor::from_vec(mask, (positions, positions), device)
}
