//! The configuration and tokenizer files of the plumbing model.

use super::NOTICE;
use serde_json::{json, Map, Value};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// Channels of the finest and the coarsest level; the UNet's blocks want multiples of 32.
const UNET_CHANNELS: [usize; 2] = [32, 64];
const VAE_CHANNELS: [usize; 4] = [32; 4];
const LATENT_CHANNELS: usize = 4;
const TEXT_WIDTH: usize = 64;
/// A prompt has a token for each byte here, so there is room for more than CLIP's 77.
const POSITIONS: usize = 96;

/// All files with their paths relative to the model.
pub(super) fn all() -> [(&'static str, Value); 7] {
	let vocabulary = vocabulary();
	let vocabulary_size = vocabulary.len();
	[
		("model_index.json", model_index()),
		("scheduler/scheduler_config.json", scheduler()),
		("text_encoder/config.json", text_encoder(vocabulary_size)),
		("tokenizer/tokenizer.json", tokenizer(vocabulary)),
		("tokenizer/tokenizer_config.json", tokenizer_config()),
		("unet/config.json", unet()),
		("vae/config.json", vae()),
	]
}

fn model_index() -> Value {
	json!({
		"_class_name": "StableDiffusionPipeline",
		"_notice": NOTICE,
		"_trained": false,
		"feature_extractor": [null, null],
		"requires_safety_checker": false,
		"safety_checker": [null, null],
		"scheduler": ["diffusers", "EulerDiscreteScheduler"],
		"text_encoder": ["transformers", "CLIPTextModel"],
		"tokenizer": ["transformers", "CLIPTokenizerFast"],
		"unet": ["diffusers", "UNet2DConditionModel"],
		"vae": ["diffusers", "AutoencoderKL"],
	})
}

fn scheduler() -> Value {
	json!({
		"_class_name": "EulerDiscreteScheduler",
		"beta_end": 0.012,
		"beta_schedule": "scaled_linear",
		"beta_start": 0.00085,
		"num_train_timesteps": 1000,
		"prediction_type": "epsilon",
		"set_alpha_to_one": false,
		"steps_offset": 1,
		"timestep_spacing": "leading",
	})
}

fn text_encoder(vocabulary_size: usize) -> Value {
	json!({
		"architectures": ["CLIPTextModel"],
		"hidden_act": "quick_gelu",
		"hidden_size": TEXT_WIDTH,
		"intermediate_size": 4 * TEXT_WIDTH,
		"layer_norm_eps": 1e-5,
		"max_position_embeddings": POSITIONS,
		"model_type": "clip_text_model",
		"num_attention_heads": 4,
		"num_hidden_layers": 2,
		"vocab_size": vocabulary_size,
	})
}

fn unet() -> Value {
	json!({
		"_class_name": "UNet2DConditionModel",
		"act_fn": "silu",
		"attention_head_dim": 4,
		"block_out_channels": UNET_CHANNELS,
		"cross_attention_dim": TEXT_WIDTH,
		"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
		"flip_sin_to_cos": true,
		"freq_shift": 0,
		"in_channels": LATENT_CHANNELS,
		"layers_per_block": 1,
		"norm_num_groups": 32,
		"out_channels": LATENT_CHANNELS,
		"sample_size": 8,
		"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
		"use_linear_projection": true,
	})
}

fn vae() -> Value {
	json!({
		"_class_name": "AutoencoderKL",
		"act_fn": "silu",
		"block_out_channels": VAE_CHANNELS,
		"down_block_types": vec!["DownEncoderBlock2D"; VAE_CHANNELS.len()],
		"in_channels": 3,
		"latent_channels": LATENT_CHANNELS,
		"layers_per_block": 1,
		"norm_num_groups": 32,
		"out_channels": 3,
		"sample_size": 64,
		"scaling_factor": 0.18215,
		"up_block_types": vec!["UpDecoderBlock2D"; VAE_CHANNELS.len()],
	})
}

fn tokenizer_config() -> Value {
	json!({
		"bos_token": START,
		"eos_token": END,
		"model_max_length": POSITIONS,
		"pad_token": END,
		"tokenizer_class": "CLIPTokenizerFast",
		"unk_token": END,
	})
}

/// One token for each byte, by the letter that stands for it, and the two marks.
fn vocabulary() -> Map<String, Value> {
	let mut letters: Vec<_> = ByteLevel::alphabet().into_iter().collect();
	letters.sort_unstable();
	letters
		.into_iter()
		.map(String::from)
		.chain([START.to_owned(), END.to_owned()])
		.zip((0..).map(Value::from))
		.collect()
}

fn tokenizer(vocabulary: Map<String, Value>) -> Value {
	let marks: Vec<_> = [START, END]
		.map(|mark| {
			json!({
				"id": vocabulary[mark], "content": mark, "special": true, "normalized": false,
				"single_word": false, "lstrip": false, "rstrip": false,
			})
		})
		.to_vec();
	json!({
		"version": "1.0",
		"truncation": null,
		"padding": null,
		"added_tokens": marks,
		"normalizer": { "type": "Sequence", "normalizers": [
			{ "type": "NFC" },
			{ "type": "Lowercase" },
		] },
		"pre_tokenizer": {
			"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
		},
		"post_processor": null,
		"decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
		"model": {
			"type": "BPE", "dropout": null, "unk_token": END, "fuse_unk": false,
			"continuing_subword_prefix": "", "end_of_word_suffix": "",
			"vocab": vocabulary, "merges": [],
		},
	})
}
