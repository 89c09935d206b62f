//! `model_index.json`: which pipeline the directory is for, and the classes of its parts.

use super::ConfigFile;
use crate::{directory::ModelDirectory, models::MODEL_INDEX, LoadError};
use serde_json::Value;

/// The classes that the parts must have, by their name in the file.
const PARTS: [(&str, &str); 3] =
	[("text_encoder", "CLIPTextModel"), ("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL")];

/// What matters of the index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ModelIndex {
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
		if class != "StableDiffusionPipeline" {
			return Err(config.unsupported(
				"_class_name",
				class,
				"only StableDiffusionPipeline (Stable Diffusion 1.x and 2.x) is",
			));
		}
		for (part, expected) in PARTS {
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
			notice: config.optional("_notice")?,
			trained: config.optional("_trained")?.unwrap_or(true),
		})
	}
}
