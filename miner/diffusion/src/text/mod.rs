//! From a prompt to what the UNet looks at.

mod clip;
mod parts;
mod tokenizer;

pub(crate) use clip::{ClipTextModel, ProjectedClipTextModel};
pub(crate) use parts::TextParts;
pub(crate) use tokenizer::PromptTokenizer;

use crate::RenderError;
use candle_core::{Device, Tensor, D};

/// The text encoders of a model, with their tokenizers.
pub(crate) struct PromptEncoder {
	tokenizer: PromptTokenizer,
	model: ClipTextModel,
	second: Option<SecondEncoder>,
}

/// What Stable Diffusion XL has besides: it looks at the states of both, side by side, and at the
/// pooled text of this one.
struct SecondEncoder {
	tokenizer: PromptTokenizer,
	model: ProjectedClipTextModel,
	/// Whether an empty negative prompt means zeros rather than the encoded empty text.
	zero_empty_prompt: bool,
}

/// What is made of prompts.
pub(crate) struct Encoded {
	/// Token states: (prompts, positions, width).
	pub states: Tensor,
	/// The pooled text, where the model has it: (prompts, width).
	pub pooled: Option<Tensor>,
}

impl PromptEncoder {
	/// Encodes the prompt or, for guidance, the negative prompt and the prompt, in this order.
	pub fn encode(
		&self,
		negative: Option<&str>,
		prompt: &str,
		device: &Device,
	) -> Result<Encoded, RenderError> {
		let zeros = self.second.as_ref().is_some_and(|second| second.zero_empty_prompt);
		if zeros && negative == Some("") {
			let encoded = self.encode(None, prompt, device)?;
			return Ok(Encoded {
				states: after_zeros(&encoded.states)?,
				pooled: encoded.pooled.as_ref().map(after_zeros).transpose()?,
			});
		}
		let prompts: Vec<_> = negative.into_iter().chain([prompt]).collect();
		let (ids, _) = tokens(&self.tokenizer, &prompts, device)?;
		let first = self.model.forward(&ids)?;
		let Some(second) = &self.second else {
			return Ok(Encoded { states: first.last, pooled: None });
		};
		let (ids, ends) = tokens(&second.tokenizer, &prompts, device)?;
		let (second, pooled) = second.model.forward(&ids, &ends)?;
		let states = Tensor::cat(&[first.penultimate, second.penultimate], D::Minus1)?;
		Ok(Encoded { states, pooled: Some(pooled) })
	}
}

/// The token ids (prompts, positions), and where each prompt's end mark is.
fn tokens(
	tokenizer: &PromptTokenizer,
	prompts: &[&str],
	device: &Device,
) -> Result<(Tensor, Vec<usize>), RenderError> {
	let mut ids = Vec::new();
	let mut ends = Vec::new();
	for prompt in prompts {
		let of_prompt = tokenizer.encode(prompt)?;
		ends.push(tokenizer.end_of(&of_prompt));
		ids.extend(of_prompt);
	}
	Ok((Tensor::from_vec(ids, (prompts.len(), tokenizer.positions()), device)?, ends))
}

/// A tensor behind zeros of its shape.
fn after_zeros(tensor: &Tensor) -> candle_core::Result<Tensor> {
	Tensor::cat(&[&tensor.zeros_like()?, tensor], 0)
}
