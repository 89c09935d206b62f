//! `vae/config.json`: the AutoencoderKL between latents and pixels.

use super::{ConfigFile, MAX_CHANNELS};
use crate::{directory::ModelDirectory, LoadError};
use serde_json::json;

/// Sizes of the autoencoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VaeConfig {
	pub latent_channels: usize,
	/// From the finest level to the coarsest.
	pub channels: Vec<usize>,
	pub layers_per_block: usize,
	pub norm_groups: usize,
	/// Latents are pixels' codes times this.
	pub scaling_factor: f64,
	/// Whether a 1×1 convolution comes before the decoder.
	pub post_quant_conv: bool,
	/// Whether a 1×1 convolution comes after the encoder.
	pub quant_conv: bool,
}

impl VaeConfig {
	pub fn read(model: &ModelDirectory) -> Result<Self, LoadError> {
		Self::from_config(&ConfigFile::read(model, "vae", "config.json")?)
	}

	pub(super) fn from_config(config: &ConfigFile) -> Result<Self, LoadError> {
		for (field, supported) in [
			("act_fn", json!("silu")),
			("in_channels", json!(3)),
			("latents_mean", json!(null)),
			("latents_std", json!(null)),
			("mid_block_add_attention", json!(true)),
			("out_channels", json!(3)),
			("shift_factor", json!(null)),
		] {
			config.only(field, supported)?;
		}
		let norm_groups = config.whole("norm_num_groups", Some(32), 1..=MAX_CHANNELS)?;
		let channels = config.block_channels(norm_groups)?;
		for (field, supported) in
			[("up_block_types", "UpDecoderBlock2D"), ("down_block_types", "DownEncoderBlock2D")]
		{
			let types: Vec<String> = config.required(field)?;
			if types.len() != channels.len() {
				return Err(config.error(format!(
					"{field} has {} entries, block_out_channels has {}",
					types.len(),
					channels.len()
				)));
			}
			if let Some(other) = types.into_iter().find(|kind| kind != supported) {
				let reason = format!("blocks must be {supported}");
				return Err(config.unsupported(field, other, reason));
			}
		}
		Ok(Self {
			latent_channels: config.whole("latent_channels", None, 1..=MAX_CHANNELS)?,
			channels,
			layers_per_block: config.whole("layers_per_block", Some(1), 1..=16)?,
			norm_groups,
			// Files older than the field are of Stable Diffusion 1.
			scaling_factor: config.positive("scaling_factor", 0.18215)?,
			post_quant_conv: config.optional("use_post_quant_conv")?.unwrap_or(true),
			quant_conv: config.optional("use_quant_conv")?.unwrap_or(true),
		})
	}

	/// Pixels of a side for each latent of it.
	pub fn factor(&self) -> usize {
		1 << (self.channels.len() - 1)
	}
}
