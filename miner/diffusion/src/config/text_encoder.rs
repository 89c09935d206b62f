//! `text_encoder/config.json` and `text_encoder_2/config.json`: the CLIP text models.

use super::{ConfigFile, MAX_CHANNELS};
use crate::{directory::ModelDirectory, LoadError};

/// The non-linearity of the feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
	/// `quick_gelu`: `x · sigmoid(1.702 x)`.
	QuickGelu,
	/// `gelu`: the exact one, by the error function.
	Gelu,
}

/// Sizes of the CLIP text model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextEncoderConfig {
	pub vocab_size: usize,
	/// Width of a token's state.
	pub hidden_size: usize,
	pub intermediate_size: usize,
	pub layers: usize,
	pub heads: usize,
	/// Tokens in a prompt, the marks at both ends included.
	pub positions: usize,
	pub layer_norm_eps: f64,
	pub activation: Activation,
	/// Width of the projected pooled state, in models that have one.
	pub projection: usize,
}

impl TextEncoderConfig {
	/// Reads the configuration in the folder `part`.
	pub fn read(model: &ModelDirectory, part: &str) -> Result<Self, LoadError> {
		Self::from_config(&ConfigFile::read(model, part, "config.json")?)
	}

	pub(super) fn from_config(config: &ConfigFile) -> Result<Self, LoadError> {
		let hidden_size = config.whole("hidden_size", None, 1..=MAX_CHANNELS)?;
		let heads = config.whole("num_attention_heads", None, 1..=MAX_CHANNELS)?;
		if !hidden_size.is_multiple_of(heads) {
			return Err(config.error(format!(
				"hidden_size is {hidden_size}, which num_attention_heads ({heads}) does not divide"
			)));
		}
		let activation: String = config.required("hidden_act")?;
		Ok(Self {
			vocab_size: config.whole("vocab_size", None, 1..=1 << 24)?,
			hidden_size,
			intermediate_size: config.whole("intermediate_size", None, 1..=MAX_CHANNELS)?,
			layers: config.whole("num_hidden_layers", None, 1..=256)?,
			heads,
			// Two marks and at least one token between them.
			positions: config.whole("max_position_embeddings", None, 3..=4096)?,
			projection: config.whole("projection_dim", Some(512), 1..=MAX_CHANNELS)?,
			layer_norm_eps: config.positive("layer_norm_eps", 1e-5)?,
			activation: match activation.as_str() {
				"quick_gelu" => Activation::QuickGelu,
				"gelu" => Activation::Gelu,
				_ => {
					return Err(config.unsupported(
						"hidden_act",
						activation,
						"it must be quick_gelu or gelu",
					))
				},
			},
		})
	}
}
