//! Cutting a prompt into the tokens that CLIP was trained on.

use crate::{config::TextEncoderConfig, directory::ModelDirectory, LoadError, RenderError};
use serde_json::{json, Map, Value};
use std::path::{Path, PathBuf};
use tokenizers::Tokenizer;

/// A tokenizer that fills exactly the positions of the text encoder: the start mark, the prompt
/// (cut if it is too long), the end mark, padding.
pub(crate) struct PromptTokenizer {
	tokenizer: Tokenizer,
	positions: usize,
	start: u32,
	end: u32,
	padding: u32,
}

impl PromptTokenizer {
	/// Reads `tokenizer.json`, or `vocab.json` and `merges.txt` as older models have them, in the
	/// folder `part`; the special tokens from `special_tokens_map.json` or `tokenizer_config.json`.
	pub fn read(
		model: &ModelDirectory,
		part: &str,
		encoder: &TextEncoderConfig,
	) -> Result<Self, LoadError> {
		let specials = SpecialTokens::read(model, part)?;
		let file = model.find(part, &["tokenizer.json", "vocab.json"])?;
		let mut tokenizer = if file.ends_with("tokenizer.json") {
			parse(model.full(&file), model.text(&file)?.as_bytes())?
		} else {
			from_vocabulary(model, part, &file, &specials)?
		};
		let error = |message| LoadError::Tokenizer { path: model.full(&file), message };
		// Both would interfere with the layout above.
		tokenizer.with_padding(None);
		tokenizer.with_truncation(None).map_err(|e| error(e.to_string()))?;

		if let Some(&id) =
			tokenizer.get_vocab(true).values().find(|&&id| id as usize >= encoder.vocab_size)
		{
			return Err(error(format!(
				"token {id} is beyond the text encoder's vocabulary of {}",
				encoder.vocab_size
			)));
		}
		let id = |token: &str| {
			tokenizer.token_to_id(token).ok_or_else(|| {
				error(format!("the special token {token:?} is not in the vocabulary"))
			})
		};
		let (start, end, padding) =
			(id(&specials.start)?, id(&specials.end)?, id(&specials.padding)?);
		Ok(Self { tokenizer, positions: encoder.positions, start, end, padding })
	}

	/// Number of ids that [`encode`](Self::encode) returns.
	pub fn positions(&self) -> usize {
		self.positions
	}

	/// Where the prompt ends in ids from [`encode`](Self::encode): at the first end mark.
	pub fn end_of(&self, ids: &[u32]) -> usize {
		ids.iter().position(|&id| id == self.end).unwrap_or(self.positions - 1)
	}

	pub fn encode(&self, prompt: &str) -> Result<Vec<u32>, RenderError> {
		let encoding = self
			.tokenizer
			.encode_fast(prompt, false)
			.map_err(|error| RenderError::Tokenizer(crate::error::one_line(&error)))?;
		let mut ids = Vec::with_capacity(self.positions);
		ids.push(self.start);
		ids.extend(encoding.get_ids().iter().take(self.positions - 2));
		ids.push(self.end);
		ids.resize(self.positions, self.padding);
		Ok(ids)
	}
}

/// The marks around a prompt.
struct SpecialTokens {
	start: String,
	end: String,
	padding: String,
}

impl SpecialTokens {
	fn read(model: &ModelDirectory, part: &str) -> Result<Self, LoadError> {
		let mut fields = Map::new();
		// The first file to name a token decides.
		for name in ["special_tokens_map.json", "tokenizer_config.json"] {
			let Some(file) = model.find_optional(part, &[name]) else { continue };
			let value: Value = json_file(model, &file)?;
			for (field, value) in value.as_object().into_iter().flatten() {
				// A token is a text, or an object that says how to match it.
				let text = value.as_str().or_else(|| value.get("content")?.as_str());
				if let Some(text) = text {
					fields.entry(field).or_insert_with(|| text.into());
				}
			}
		}
		let token = |field: &str, default: &str| {
			fields.get(field).and_then(Value::as_str).unwrap_or(default).to_owned()
		};
		let end = token("eos_token", "<|endoftext|>");
		Ok(Self {
			start: token("bos_token", "<|startoftext|>"),
			padding: token("pad_token", &end),
			end,
		})
	}
}

/// CLIP's tokenizer around a bare vocabulary: lower case, words split as below, bytes as letters,
/// word ends marked.
fn from_vocabulary(
	model: &ModelDirectory,
	part: &str,
	file: &Path,
	specials: &SpecialTokens,
) -> Result<Tokenizer, LoadError> {
	let vocabulary: Value = json_file(model, file)?;
	let merges = model.text(&model.find(part, &["merges.txt"])?)?;
	let merges: Vec<_> = merges
		.lines()
		.filter(|line| !line.starts_with("#version") && !line.trim().is_empty())
		.collect();
	let added: Vec<_> = [&specials.start, &specials.end]
		.into_iter()
		.filter_map(|token| Some((token, vocabulary.get(token)?)))
		.map(|(token, id)| {
			json!({
				"id": id, "content": token, "special": true, "normalized": false,
				"single_word": false, "lstrip": false, "rstrip": false,
			})
		})
		.collect();
	let split = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
	let definition = json!({
		"version": "1.0",
		"truncation": null,
		"padding": null,
		"added_tokens": added,
		"normalizer": { "type": "Sequence", "normalizers": [
			{ "type": "NFC" },
			{ "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
			{ "type": "Lowercase" },
		] },
		"pre_tokenizer": { "type": "Sequence", "pretokenizers": [
			{ "type": "Split", "pattern": { "Regex": split }, "behavior": "Removed", "invert": true },
			{ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
		] },
		"post_processor": null,
		"decoder": null,
		"model": {
			"type": "BPE", "dropout": null, "unk_token": specials.end, "fuse_unk": false,
			"continuing_subword_prefix": "", "end_of_word_suffix": "</w>",
			"vocab": vocabulary, "merges": merges,
		},
	});
	parse(model.full(file), definition.to_string().as_bytes())
}

fn parse(path: PathBuf, definition: &[u8]) -> Result<Tokenizer, LoadError> {
	Tokenizer::from_bytes(definition)
		.map_err(|error| LoadError::Tokenizer { path, message: crate::error::one_line(&error) })
}

fn json_file(model: &ModelDirectory, file: &Path) -> Result<Value, LoadError> {
	serde_json::from_str(&model.text(file)?).map_err(|error| LoadError::Tokenizer {
		path: model.full(file),
		message: format!("malformed JSON: {error}"),
	})
}

#[cfg(test)]
mod tests;
