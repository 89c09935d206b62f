//! The text encoders of a model while it is being loaded: checked first, built when all is known
//! to fit.

use super::{ClipTextModel, ProjectedClipTextModel, PromptEncoder, PromptTokenizer, SecondEncoder};
use crate::{
	config::{Family, TextEncoderConfig},
	directory::ModelDirectory,
	lora::{LoraFile, Part},
	weights::Weights,
	Device, LoadError,
};
use candle_core::DType;

/// The parts that a pipeline of the model's family has.
pub(crate) struct TextParts {
	first: TextPart,
	/// The second encoder of Stable Diffusion XL, and whether an empty negative prompt means zeros
	/// there.
	second: Option<(TextPart, bool)>,
}

/// An encoder and its tokenizer.
struct TextPart {
	config: TextEncoderConfig,
	tokenizer: PromptTokenizer,
	weights: Weights,
}

impl TextPart {
	fn read(model: &ModelDirectory, encoder: &str, tokenizer: &str) -> Result<Self, LoadError> {
		let config = TextEncoderConfig::read(model, encoder)?;
		Ok(Self {
			tokenizer: PromptTokenizer::read(model, tokenizer, &config)?,
			weights: Weights::open(model, encoder, "model")?,
			config,
		})
	}
}

impl TextParts {
	pub fn read(model: &ModelDirectory, family: Family) -> Result<Self, LoadError> {
		let first = TextPart::read(model, "text_encoder", "tokenizer")?;
		let second = match family {
			Family::StableDiffusion => None,
			Family::StableDiffusionXl { zero_empty_prompt } => {
				let second = TextPart::read(model, "text_encoder_2", "tokenizer_2")?;
				Some((second, zero_empty_prompt))
			},
		};
		Ok(Self { first, second })
	}

	/// Width of the token states.
	pub fn width(&self) -> usize {
		let second = self.second.as_ref().map_or(0, |(second, _)| second.config.hidden_size);
		self.first.config.hidden_size + second
	}

	/// Width of the pooled text, if there is one.
	pub fn pooled_width(&self) -> Option<usize> {
		self.second.as_ref().map(|(second, _)| second.config.projection)
	}

	/// The parts that there are.
	pub fn parts(&self) -> Vec<Part> {
		let second = self.second.as_ref().map(|_| Part::TextEncoder2);
		[Part::TextEncoder].into_iter().chain(second).collect()
	}

	/// Has LoRA files change the weights.
	pub fn change(&mut self, loras: &[LoraFile]) -> Result<(), LoadError> {
		let no_aliases = |_: &str| Vec::new();
		self.first.weights.change(Part::TextEncoder, loras, no_aliases)?;
		if let Some((second, _)) = &mut self.second {
			second.weights.change(Part::TextEncoder2, loras, no_aliases)?;
		}
		Ok(())
	}

	/// The encoder in single precision, and the number of its weights.
	pub fn build(
		self,
		device: Device,
		opened: &candle_core::Device,
	) -> Result<(PromptEncoder, u64), LoadError> {
		let TextPart { config, tokenizer, weights } = self.first;
		let (model, count) =
			weights.build(DType::F32, device, opened, |vb| ClipTextModel::new(vb, &config))?;
		let Some((second, zero_empty_prompt)) = self.second else {
			return Ok((PromptEncoder { tokenizer, model, second: None }, count));
		};
		let (second_model, second_count) =
			second.weights.build(DType::F32, device, opened, |vb| {
				ProjectedClipTextModel::new(vb, &second.config)
			})?;
		let second =
			SecondEncoder { tokenizer: second.tokenizer, model: second_model, zero_empty_prompt };
		let second = Some(second);
		Ok((PromptEncoder { tokenizer, model, second }, count + second_count))
	}
}
