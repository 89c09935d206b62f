//! `model_index.json`: which pipeline the directory is for, and the classes of its parts.

use super::ConfigFile;
use crate::{directory::ModelDirectory, models::MODEL_INDEX, LoadError};
use serde_json::Value;

/// The pipelines that are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
	/// `StableDiffusionPipeline`: Stable Diffusion 1.x and 2.x.
	StableDiffusion,
	/// `StableDiffusionXLPipeline`: Stable Diffusion XL and its Turbo, with two text encoders.
	StableDiffusionXl {
		/// Whether an empty negative prompt means zeros rather than the encoded empty text.
		zero_empty_prompt: bool,
	},
}

/// The classes that the parts must have, by their name in the file.
const PARTS: [(&str, &str); 3] =
	[("text_encoder", "CLIPTextModel"), ("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL")];
/// The same for what only Stable Diffusion XL has.
const XL_PARTS: [(&str, &str); 1] = [("text_encoder_2", "CLIPTextModelWithProjection")];

/// What matters of the index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ModelIndex {
	pub family: Family,
	/// `_notice`: something for the users of the model to know.
	pub notice: Option<String>,
	/// `_trained`: false in a model whose weights were drawn at random.
	pub trained: bool,
}

impl ModelIndex {
	pub fn read(model: &ModelDirectory) -> Result<Self, LoadError> {
		Self::from_config(&ConfigFile::read(model, "", MODEL_INDEX)?)
	}

	pub(super) fn from_config(config: &ConfigFile) -> Result<Self, LoadError> {
		let class: String = config.required("_class_name")?;
		let family = match class.as_str() {
			"StableDiffusionPipeline" => Family::StableDiffusion,
			"StableDiffusionXLPipeline" => {
				let zero = config.optional("force_zeros_for_empty_prompt")?;
				Family::StableDiffusionXl { zero_empty_prompt: zero.unwrap_or(true) }
			},
			_ => {
				return Err(config.unsupported(
					"_class_name",
					class,
					"only StableDiffusionPipeline (Stable Diffusion 1.x and 2.x) and \
					 StableDiffusionXLPipeline are",
				));
			},
		};
		let own_parts: &[(&str, &str)] = match family {
			Family::StableDiffusion => &[],
			Family::StableDiffusionXl { .. } => &XL_PARTS,
		};
		for &(part, expected) in PARTS.iter().chain(own_parts) {
			let found: Vec<Value> = config.required(part)?;
			match found.get(1).and_then(Value::as_str) {
				Some(class) if class == expected => {},
				found => {
					let found = found.unwrap_or("absent");
					return Err(config.unsupported(part, found, format!("it must be {expected}")));
				},
			}
		}
		Ok(Self {
			family,
			notice: config.optional("_notice")?,
			trained: config.optional("_trained")?.unwrap_or(true),
		})
	}
}
