//! Odd prompts, and the two kinds of tokenizer files.

use super::*;
use crate::config::Activation;
use std::fs;

const PART: &str = "tokenizer";

fn encoder(vocab_size: usize, positions: usize) -> TextEncoderConfig {
	TextEncoderConfig {
		vocab_size,
		hidden_size: 8,
		intermediate_size: 8,
		layers: 1,
		heads: 1,
		positions,
		layer_norm_eps: 1e-5,
		activation: Activation::QuickGelu,
		projection: 8,
	}
}

fn read(
	files: &[(&str, String)],
	encoder: &TextEncoderConfig,
) -> Result<PromptTokenizer, LoadError> {
	let dir = tempfile::tempdir().unwrap();
	fs::create_dir(dir.path().join(PART)).unwrap();
	for (name, content) in files {
		fs::write(dir.path().join(PART).join(name), content).unwrap();
	}
	PromptTokenizer::read(&ModelDirectory::open(dir.path()).unwrap(), PART, encoder)
}

/// A vocabulary as CLIP's: letters, letters that end a word, merged words, the marks.
fn clip_files(padding: &str) -> Vec<(&'static str, String)> {
	let tokens = [
		"!",
		"a",
		"b",
		"d",
		"e",
		"r",
		"!</w>",
		"a</w>",
		"b</w>",
		"d</w>",
		"e</w>",
		"r</w>",
		"re",
		"red</w>",
		"<|startoftext|>",
		"<|endoftext|>",
	];
	let vocabulary: Map<_, _> =
		tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id.into())).collect();
	vec![
		("vocab.json", Value::Object(vocabulary).to_string()),
		("merges.txt", "#version: 0.2\nr e\nre d</w>\n".to_owned()),
		(
			"special_tokens_map.json",
			json!({
				"bos_token": { "content": "<|startoftext|>", "lstrip": false },
				"eos_token": "<|endoftext|>",
				"pad_token": padding,
			})
			.to_string(),
		),
	]
}

#[test]
fn merges_words_as_clip_does() {
	let tokenizer = read(&clip_files("!"), &encoder(16, 10)).unwrap();
	// "red" is one token by two merges; "bad" is letters, the last with the mark of a word's end;
	// padding is the special token that the map names.
	let expected = [14, 13, 2, 1, 9, 6, 15, 0, 0, 0];
	assert_eq!(tokenizer.encode("red bad!").unwrap(), expected);
	assert_eq!(tokenizer.encode("  RED \n bad  ! ").unwrap(), expected);
	let tokenizer = read(&clip_files("<|endoftext|>"), &encoder(16, 5)).unwrap();
	assert_eq!(tokenizer.encode("").unwrap(), [14, 15, 15, 15, 15]);
	// Cut before the end mark.
	assert_eq!(tokenizer.encode("red red red red red").unwrap(), [14, 13, 13, 13, 15]);
}

/// The plumbing model's tokenizer, which knows every byte.
fn byte_tokenizer() -> PromptTokenizer {
	let dir = tempfile::tempdir().unwrap();
	crate::untrained::write(dir.path(), 1).unwrap();
	let model = ModelDirectory::open(dir.path()).unwrap();
	let encoder = TextEncoderConfig::read(&model, "text_encoder").unwrap();
	PromptTokenizer::read(&model, PART, &encoder).unwrap()
}

#[test]
fn takes_any_text() {
	let tokenizer = byte_tokenizer();
	let (start, end) = (256, 257);
	let long = "long ".repeat(1600);
	let every_char: String = (0..0x3000).filter_map(char::from_u32).collect();
	for prompt in [
		"",
		" ",
		"\0",
		"\n\t\r",
		"a red bird",
		"小鳥",
		"🦜👩‍👩‍👧‍👦",
		"e\u{301}",
		"\u{202e}bird",
		"<|endoftext|>",
		"((a:1.2), [b])",
		&long,
		&every_char,
	] {
		let ids = tokenizer.encode(prompt).unwrap();
		assert_eq!(ids.len(), 96);
		assert_eq!(ids[0], start);
		assert!(ids[1..].contains(&end));
		assert!(ids.iter().all(|&id| id <= end));
	}
	assert_eq!(tokenizer.encode(&long).unwrap()[95], end);
	assert_ne!(tokenizer.encode("🦜").unwrap(), tokenizer.encode("🦚").unwrap());
	assert_eq!(tokenizer.encode("A Red").unwrap(), tokenizer.encode("a red").unwrap());
	// 4 bytes, 4 tokens.
	assert_eq!(tokenizer.encode("🦜").unwrap()[5], end);
}

#[test]
fn inconsistent_files_are_named() {
	let without = |name: &str| {
		clip_files("!").into_iter().filter(|(file, _)| *file != name).collect::<Vec<_>>()
	};
	let with = |name: &'static str, content: &str| {
		let mut files = without(name);
		files.push((name, content.to_owned()));
		files
	};
	for (files, expected) in [
		(without("vocab.json"), "tokenizer lacks tokenizer.json or vocab.json"),
		(without("merges.txt"), "tokenizer lacks merges.txt"),
		(with("vocab.json", "{"), "vocab.json: malformed JSON"),
		(with("vocab.json", "{\"a\": 0}"), "vocab.json: "),
		(with("merges.txt", "r x\n"), "vocab.json: "),
		(with("tokenizer.json", "{}"), "tokenizer.json: "),
		(with("special_tokens_map.json", "nonsense"), "special_tokens_map.json: malformed JSON"),
		(clip_files("[PAD]"), "the special token \"[PAD]\" is not in the vocabulary"),
	] {
		let error = read(&files, &encoder(16, 10)).err().unwrap().to_string();
		assert!(error.contains(expected), "{expected}: {error}");
		assert_eq!(error.lines().count(), 1, "{error}");
	}
	let error = read(&clip_files("!"), &encoder(15, 10)).err().unwrap().to_string();
	assert!(error.ends_with("token 15 is beyond the text encoder's vocabulary of 15"), "{error}");
}
