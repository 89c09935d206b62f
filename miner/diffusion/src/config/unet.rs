//! `unet/config.json`: the UNet2DConditionModel that predicts noise.

use super::{ConfigFile, MAX_CHANNELS};
use crate::{directory::ModelDirectory, LoadError};
use serde_json::json;

/// The sizes that Stable Diffusion XL is told: of the original, of the crop's corner, of the picture,
/// two numbers each.
const SIZE_NUMBERS: usize = 6;

/// One resolution level on the way down or up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockConfig {
	pub channels: usize,
	/// Attention heads (the files call it `attention_head_dim`).
	pub heads: usize,
	/// Transformer layers of each attention, or `None` for a block without attention.
	pub transformer_layers: Option<usize>,
}

/// What is embedded beside the timestep (`addition_embed_type` "text_time"): the pooled text and
/// the sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddedConfig {
	/// Channels that each number of the sizes is spread over.
	pub number_width: usize,
	/// Width of all of it together.
	pub input: usize,
}

impl AddedConfig {
	/// Width of the pooled text.
	pub fn pooled_width(&self) -> usize {
		self.input - SIZE_NUMBERS * self.number_width
	}
}

/// Sizes of the UNet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UNetConfig {
	/// Channels of the latents, in and out.
	pub latent_channels: usize,
	/// Width of the token states that the attention looks at.
	pub cross_attention_dim: usize,
	pub layers_per_block: usize,
	pub norm_groups: usize,
	pub norm_eps: f64,
	/// Whether the timestep's cosines come before its sines.
	pub cosine_first: bool,
	pub frequency_shift: f64,
	pub downsample_padding: usize,
	pub use_linear_projection: bool,
	pub added: Option<AddedConfig>,
	/// Latent side that the model was trained at.
	pub sample_size: usize,
	/// From the finest level to the coarsest.
	pub down: Vec<BlockConfig>,
	/// At the coarsest level, always with attention.
	pub mid: BlockConfig,
	/// From the coarsest level to the finest.
	pub up: Vec<BlockConfig>,
}

impl UNetConfig {
	pub fn read(model: &ModelDirectory) -> Result<Self, LoadError> {
		Self::from_config(&ConfigFile::read(model, "unet", "config.json")?)
	}

	pub(super) fn from_config(config: &ConfigFile) -> Result<Self, LoadError> {
		for (field, supported) in [
			("act_fn", json!("silu")),
			("attention_type", json!("default")),
			("center_input_sample", json!(false)),
			("class_embed_type", json!(null)),
			("class_embeddings_concat", json!(false)),
			("conv_in_kernel", json!(3)),
			("conv_out_kernel", json!(3)),
			("cross_attention_norm", json!(null)),
			("dual_cross_attention", json!(false)),
			("encoder_hid_dim", json!(null)),
			("encoder_hid_dim_type", json!(null)),
			("mid_block_only_cross_attention", json!(false)),
			("mid_block_scale_factor", json!(1)),
			("mid_block_type", json!("UNetMidBlock2DCrossAttn")),
			("num_attention_heads", json!(null)),
			("num_class_embeds", json!(null)),
			("only_cross_attention", json!(false)),
			("resnet_out_scale_factor", json!(1)),
			("resnet_skip_time_act", json!(false)),
			("resnet_time_scale_shift", json!("default")),
			("reverse_transformer_layers_per_block", json!(null)),
			("time_cond_proj_dim", json!(null)),
			("time_embedding_act_fn", json!(null)),
			("time_embedding_dim", json!(null)),
			("time_embedding_type", json!("positional")),
			("timestep_post_act", json!(null)),
		] {
			config.only(field, supported)?;
		}
		let norm_groups = config.whole("norm_num_groups", Some(32), 1..=MAX_CHANNELS)?;
		let channels = config.block_channels(norm_groups)?;
		let levels = channels.len();
		let heads = config.per_block("attention_head_dim", Some(8), levels, &(1..=MAX_CHANNELS))?;
		for (&channels, &heads) in channels.iter().zip(&heads) {
			if !channels.is_multiple_of(heads) {
				return Err(config.error(format!(
					"attention_head_dim asks for {heads} heads, which do not divide {channels} channels"
				)));
			}
		}
		let layers =
			config.per_block("transformer_layers_per_block", Some(1), levels, &(1..=64))?;
		let level = |i: usize, attention: bool| BlockConfig {
			channels: channels[i],
			heads: heads[i],
			transformer_layers: attention.then_some(layers[i]),
		};
		let down =
			attention(config, "down_block_types", "CrossAttnDownBlock2D", "DownBlock2D", levels)?
				.into_iter()
				.enumerate()
				.map(|(i, attention)| level(i, attention))
				.collect();
		let up = attention(config, "up_block_types", "CrossAttnUpBlock2D", "UpBlock2D", levels)?
			.into_iter()
			.enumerate()
			.map(|(i, attention)| level(levels - 1 - i, attention))
			.collect();

		let latent_channels = config.whole("in_channels", None, 1..=MAX_CHANNELS)?;
		let out_channels = config.whole("out_channels", None, 1..=MAX_CHANNELS)?;
		if latent_channels != out_channels {
			return Err(config.unsupported(
				"in_channels",
				latent_channels,
				format!(
					"it must equal out_channels ({out_channels}): no inpainting or depth models"
				),
			));
		}
		let frequency_shift = config.optional("freq_shift")?.unwrap_or(0.0);
		if !(0.0..=1.0).contains(&frequency_shift) {
			return Err(config.error(format!("freq_shift is {frequency_shift}: must be 0 to 1")));
		}
		Ok(Self {
			latent_channels,
			cross_attention_dim: config.whole("cross_attention_dim", None, 1..=MAX_CHANNELS)?,
			layers_per_block: config.whole("layers_per_block", Some(2), 1..=16)?,
			norm_groups,
			norm_eps: config.positive("norm_eps", 1e-5)?,
			cosine_first: config.optional("flip_sin_to_cos")?.unwrap_or(true),
			frequency_shift,
			downsample_padding: config.whole("downsample_padding", Some(1), 0..=1)?,
			use_linear_projection: config.optional("use_linear_projection")?.unwrap_or(false),
			added: added(config)?,
			sample_size: config.whole("sample_size", Some(64), 1..=4096)?,
			down,
			mid: level(levels - 1, true),
			up,
		})
	}

	/// Width of the embedded timestep.
	pub fn time_channels(&self) -> usize {
		4 * self.down[0].channels
	}
}

fn added(config: &ConfigFile) -> Result<Option<AddedConfig>, LoadError> {
	if config.value("addition_embed_type").is_none() {
		return Ok(None);
	}
	config.only("addition_embed_type", json!("text_time"))?;
	let number_width = config.whole("addition_time_embed_dim", None, 2..=MAX_CHANNELS)?;
	let least = SIZE_NUMBERS * number_width + 1;
	let input =
		config.whole("projection_class_embeddings_input_dim", None, least..=2 * MAX_CHANNELS)?;
	Ok(Some(AddedConfig { number_width, input }))
}

/// Which blocks of a list have attention.
fn attention(
	config: &ConfigFile,
	field: &str,
	with: &str,
	without: &str,
	levels: usize,
) -> Result<Vec<bool>, LoadError> {
	let types: Vec<String> = config.required(field)?;
	if types.len() != levels {
		return Err(config.error(format!(
			"{field} has {} entries, block_out_channels has {levels}",
			types.len()
		)));
	}
	types
		.into_iter()
		.map(|kind| match kind {
			kind if kind == with => Ok(true),
			kind if kind == without => Ok(false),
			kind => {
				Err(config.unsupported(field, kind, format!("blocks must be {with} or {without}")))
			},
		})
		.collect()
}
