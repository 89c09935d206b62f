//! From a prompt to the token states that the UNet's attention looks at.

mod clip;
mod tokenizer;

pub(crate) use clip::ClipTextModel;
pub(crate) use tokenizer::PromptTokenizer;

use crate::RenderError;
use candle_core::{Device, Tensor};

/// The text encoder with its tokenizer.
pub(crate) struct PromptEncoder {
	pub tokenizer: PromptTokenizer,
	pub model: ClipTextModel,
}

impl PromptEncoder {
	/// The token states of each prompt: (prompts, positions, width).
	pub fn encode(&self, prompts: &[&str], device: &Device) -> Result<Tensor, RenderError> {
		let mut ids = Vec::new();
		for prompt in prompts {
			ids.extend(self.tokenizer.encode(prompt)?);
		}
		let ids = Tensor::from_vec(ids, (prompts.len(), self.tokenizer.positions()), device)?;
		Ok(self.model.forward(&ids)?)
	}
}
