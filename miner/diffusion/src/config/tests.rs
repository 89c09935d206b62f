//! The configurations of published models, shortened to what matters, and what must be refused.

use super::*;
use crate::samplers::{FinalSigma, NoiseSchedule, Prediction, ScheduleOptions, Spacing};

fn file(json: &Value) -> ConfigFile {
	ConfigFile::parse("model/config.json".into(), &json.to_string()).unwrap()
}

/// `base` with some fields set.
fn with(mut base: Value, changes: Value) -> Value {
	let Value::Object(changes) = changes else { panic!("changes are an object") };
	base.as_object_mut().unwrap().extend(changes);
	base
}

fn sd15_unet() -> Value {
	serde_json::json!({
		"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0", "act_fn": "silu",
		"attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280],
		"center_input_sample": false, "cross_attention_dim": 768,
		"down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
			"CrossAttnDownBlock2D", "DownBlock2D"],
		"downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": 4,
		"layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-05,
		"norm_num_groups": 32, "out_channels": 4, "sample_size": 64,
		"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
			"CrossAttnUpBlock2D"],
	})
}

fn sd21_unet() -> Value {
	with(
		sd15_unet(),
		serde_json::json!({
			"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024,
			"dual_cross_attention": false, "num_class_embeds": null, "only_cross_attention": false,
			"sample_size": 96, "upcast_attention": true, "use_linear_projection": true,
		}),
	)
}

pub(crate) fn sdxl_unet() -> Value {
	with(
		sd15_unet(),
		serde_json::json!({
			"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
			"attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280],
			"cross_attention_dim": 2048,
			"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
			"projection_class_embeddings_input_dim": 2816, "sample_size": 128,
			"transformer_layers_per_block": [1, 2, 10],
			"up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
			"use_linear_projection": true,
		}),
	)
}

fn sd15_vae() -> Value {
	serde_json::json!({
		"_class_name": "AutoencoderKL", "act_fn": "silu",
		"block_out_channels": [128, 256, 512, 512],
		"down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D",
			"DownEncoderBlock2D"],
		"in_channels": 3, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32,
		"out_channels": 3, "sample_size": 512,
		"up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D",
			"UpDecoderBlock2D"],
	})
}

fn sd15_text_encoder() -> Value {
	serde_json::json!({
		"architectures": ["CLIPTextModel"], "attention_dropout": 0.0, "bos_token_id": 0,
		"eos_token_id": 2, "hidden_act": "quick_gelu", "hidden_size": 768,
		"intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 77,
		"model_type": "clip_text_model", "num_attention_heads": 12, "num_hidden_layers": 12,
		"pad_token_id": 1, "projection_dim": 768, "vocab_size": 49408,
	})
}

fn sd15_scheduler() -> Value {
	serde_json::json!({
		"_class_name": "PNDMScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear",
		"beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false,
		"skip_prk_steps": true, "steps_offset": 1, "trained_betas": null, "clip_sample": false,
	})
}

fn sd15_index() -> Value {
	serde_json::json!({
		"_class_name": "StableDiffusionPipeline",
		"feature_extractor": ["transformers", "CLIPImageProcessor"],
		"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
		"scheduler": ["diffusers", "PNDMScheduler"],
		"text_encoder": ["transformers", "CLIPTextModel"],
		"tokenizer": ["transformers", "CLIPTokenizer"],
		"unet": ["diffusers", "UNet2DConditionModel"],
		"vae": ["diffusers", "AutoencoderKL"],
	})
}

pub(crate) fn sd15() -> (TextEncoderConfig, UNetConfig, VaeConfig) {
	(
		TextEncoderConfig::from_config(&file(&sd15_text_encoder())).unwrap(),
		UNetConfig::from_config(&file(&sd15_unet())).unwrap(),
		VaeConfig::from_config(&file(&sd15_vae())).unwrap(),
	)
}

#[test]
fn stable_diffusion_1_5() {
	let (text, unet, vae) = sd15();
	assert_eq!((text.hidden_size, text.layers, text.heads), (768, 12, 12));
	assert_eq!((text.positions, text.activation), (77, Activation::QuickGelu));

	let block =
		|channels, transformer_layers| BlockConfig { channels, heads: 8, transformer_layers };
	assert_eq!(
		unet.down,
		[block(320, Some(1)), block(640, Some(1)), block(1280, Some(1)), block(1280, None)]
	);
	assert_eq!(unet.mid, block(1280, Some(1)));
	assert_eq!(
		unet.up,
		[block(1280, None), block(1280, Some(1)), block(640, Some(1)), block(320, Some(1))]
	);
	assert_eq!((unet.layers_per_block, unet.use_linear_projection), (2, false));

	assert_eq!((vae.factor(), vae.post_quant_conv, vae.norm_groups), (8, true, 32));
	assert!((vae.scaling_factor - 0.18215).abs() < 1e-12);

	let schedule = scheduler::noise_schedule(&file(&sd15_scheduler())).unwrap();
	let expected = ScheduleOptions {
		prediction: Prediction::Epsilon,
		spacing: None,
		steps_offset: 1,
		set_alpha_to_one: false,
		final_sigma: FinalSigma::Zero,
		distilled_steps: 50,
		timestep_scaling: 10.0,
	};
	assert_eq!(schedule.options, expected);
	assert!((schedule.sigma(999.0) - 14.6146).abs() < 1e-4);

	let index = ModelIndex::from_config(&file(&sd15_index())).unwrap();
	let family = Family::StableDiffusion;
	assert_eq!(index, ModelIndex { family, notice: None, trained: true });
}

#[test]
fn stable_diffusion_2_1() {
	let unet = UNetConfig::from_config(&file(&sd21_unet())).unwrap();
	let heads = |blocks: &[BlockConfig]| blocks.iter().map(|b| b.heads).collect::<Vec<_>>();
	assert_eq!(heads(&unet.down), [5, 10, 20, 20]);
	assert_eq!(heads(&unet.up), [20, 20, 10, 5]);
	assert!(unet.use_linear_projection);
	assert_eq!((unet.cross_attention_dim, unet.sample_size), (1024, 96));

	let changes = serde_json::json!({ "prediction_type": "v_prediction",
		"timestep_spacing": "trailing", "_class_name": "DDIMScheduler" });
	let schedule = scheduler::noise_schedule(&file(&with(sd15_scheduler(), changes))).unwrap();
	assert_eq!(
		(schedule.options.prediction, schedule.options.spacing),
		(Prediction::Velocity, Some(Spacing::Trailing))
	);

	let changes = serde_json::json!({ "hidden_act": "gelu", "num_hidden_layers": 23 });
	let text = TextEncoderConfig::from_config(&file(&with(sd15_text_encoder(), changes))).unwrap();
	assert_eq!((text.activation, text.layers), (Activation::Gelu, 23));
}

#[test]
fn stable_diffusion_xl() {
	let unet = UNetConfig::from_config(&file(&sdxl_unet())).unwrap();
	let layers = |blocks: &[BlockConfig]| -> Vec<_> {
		blocks.iter().map(|block| block.transformer_layers).collect()
	};
	assert_eq!(layers(&unet.down), [None, Some(2), Some(10)]);
	assert_eq!(unet.mid.transformer_layers, Some(10));
	assert_eq!(layers(&unet.up), [Some(10), Some(2), None]);
	let added = unet.added.unwrap();
	assert_eq!(added, AddedConfig { number_width: 256, input: 2816 });
	assert_eq!(added.pooled_width(), 1280);

	let mut index = with(
		sd15_index(),
		serde_json::json!({
			"_class_name": "StableDiffusionXLPipeline",
			"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
			"tokenizer_2": ["transformers", "CLIPTokenizer"],
		}),
	);
	for (setting, zero_empty_prompt) in [(None, true), (Some(true), true), (Some(false), false)] {
		index["force_zeros_for_empty_prompt"] = setting.into();
		let family = Family::StableDiffusionXl { zero_empty_prompt };
		assert_eq!(ModelIndex::from_config(&file(&index)).unwrap().family, family);
	}
	let message = refusal(
		ModelIndex::from_config,
		&index,
		"text_encoder_2",
		serde_json::json!(["transformers", "CLIPTextModel"]),
	);
	assert!(message.contains("it must be CLIPTextModelWithProjection"), "{message}");

	// The Turbo's scheduler, and settings that others have.
	let changes = serde_json::json!({
		"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing",
		"interpolation_type": "linear", "final_sigmas_type": "sigma_min",
		"original_inference_steps": 20, "timestep_scaling": 5, "use_karras_sigmas": true,
	});
	let schedule = scheduler::noise_schedule(&file(&with(sd15_scheduler(), changes))).unwrap();
	let options = schedule.options;
	assert_eq!(
		(options.spacing, options.final_sigma),
		(Some(Spacing::Trailing), FinalSigma::Smallest)
	);
	assert_eq!((options.distilled_steps, options.timestep_scaling), (20, 5.0));
}

#[test]
fn schedules_without_signal_at_the_end() {
	let changes = serde_json::json!({
		"rescale_betas_zero_snr": true, "prediction_type": "v_prediction",
	});
	let schedule = scheduler::noise_schedule(&file(&with(sd15_scheduler(), changes))).unwrap();
	assert!(schedule.signal(999) == 0.0);
	let schedule = scheduler::noise_schedule(&file(&sd15_scheduler())).unwrap();
	assert!(schedule.signal(999) > 0.0);
}

#[test]
fn words_of_python_count_as_absent() {
	let text = r#"{"lambda_min_clipped": -Infinity, "a": NaN, "b": Infinity, "c": 1}"#;
	let config = ConfigFile::parse("config.json".into(), text).unwrap();
	assert!(config.value("lambda_min_clipped").is_none());
	assert_eq!(config.required::<u32>("c").unwrap(), 1);
}

/// What is said about `base` with `field` set to `value`.
fn refusal<T>(
	read: impl Fn(&ConfigFile) -> Result<T, LoadError>,
	base: &Value,
	field: &str,
	value: Value,
) -> String {
	let changed = with(base.clone(), serde_json::json!({ field: value }));
	match read(&file(&changed)) {
		Ok(_) => panic!("{changed} passed"),
		Err(error) => error.to_string(),
	}
}

#[test]
fn what_would_be_computed_wrongly_is_refused_by_name() {
	use serde_json::json;
	let message = refusal(UNetConfig::from_config, &sd15_unet(), "num_attention_heads", json!(8));
	assert_eq!(
		message,
		"model/config.json: num_attention_heads is 8, which is not supported: it must not be set"
	);
	for (field, value) in [
		("act_fn", json!("gelu")),
		("addition_embed_type", json!("image")),
		("time_cond_proj_dim", json!(256)),
		("class_embed_type", json!("timestep")),
		("only_cross_attention", json!([true, true, true, false])),
		("in_channels", json!(9)),
		("mid_block_type", json!("UNetMidBlock2D")),
		("down_block_types", json!(["A", "DownBlock2D", "DownBlock2D", "DownBlock2D"])),
		("up_block_types", json!(["UpBlock2D", "UpBlock2D", "UpBlock2D", "AttnUpBlock2D"])),
	] {
		let message = refusal(UNetConfig::from_config, &sd15_unet(), field, value);
		assert!(message.contains("not supported") && message.contains(field), "{message}");
	}
	for (field, value) in [
		("shift_factor", json!(0.06)),
		("mid_block_add_attention", json!(false)),
		("up_block_types", json!(["UpDecoderBlock2D", "Other", "Other", "Other"])),
	] {
		let message = refusal(VaeConfig::from_config, &sd15_vae(), field, value);
		assert!(message.contains("not supported") && message.contains(field), "{message}");
	}
	for (field, value) in [
		("_class_name", json!("FlowMatchEulerDiscreteScheduler")),
		("_class_name", json!("TCDScheduler")),
		("beta_schedule", json!("sigmoid")),
		("prediction_type", json!("flow_prediction")),
		("timestep_spacing", json!("karras")),
		("rescale_betas_zero_snr", json!(true)),
		("final_sigmas_type", json!("largest")),
		("timestep_type", json!("continuous")),
		("trained_betas", json!([0.1, 0.2])),
	] {
		let read = scheduler::noise_schedule;
		let message = refusal(read, &sd15_scheduler(), field, value);
		assert!(message.contains("not supported") && message.contains(field), "{message}");
	}
	for (field, value) in [
		("_class_name", json!("StableDiffusionXLImg2ImgPipeline")),
		("_class_name", json!("StableDiffusion3Pipeline")),
		("text_encoder", json!(["transformers", "T5EncoderModel"])),
		("unet", json!([null, null])),
		("vae", json!(["diffusers", "AutoencoderTiny"])),
	] {
		let message = refusal(ModelIndex::from_config, &sd15_index(), field, value);
		assert!(message.contains("not supported") && message.contains(field), "{message}");
	}
	let read = TextEncoderConfig::from_config;
	let message = refusal(read, &sd15_text_encoder(), "hidden_act", json!("relu"));
	assert!(message.contains("quick_gelu or gelu"), "{message}");
}

#[test]
fn impossible_numbers_are_refused_by_name() {
	use serde_json::json;
	for (field, value) in [
		("norm_num_groups", json!(48)),
		("block_out_channels", json!([])),
		("block_out_channels", json!([320, 640, 1280, 100])),
		("block_out_channels", json!([320, 640, 1280, 0])),
		("block_out_channels", json!([320, 640, 1280, 1_u64 << 40])),
		("block_out_channels", json!([320, 640, 1280, -320])),
		("block_out_channels", json!([320, 640])),
		("block_out_channels", json!("320")),
		("block_out_channels", json!(null)),
		("attention_head_dim", json!(0)),
		("attention_head_dim", json!(7)),
		("attention_head_dim", json!([8, 8])),
		("layers_per_block", json!(0)),
		("layers_per_block", json!([2, 2, 2, 2])),
		("cross_attention_dim", json!(null)),
		("norm_eps", json!(0)),
		("downsample_padding", json!(2)),
		("freq_shift", json!(32)),
	] {
		let message = refusal(UNetConfig::from_config, &sd15_unet(), field, value.clone());
		let named = message.contains(field) || field == "block_out_channels";
		assert!(named && message.starts_with("model/config.json: "), "{value}: {message}");
	}
	for (field, value) in [
		("num_attention_heads", json!(0)),
		("num_attention_heads", json!(7)),
		("max_position_embeddings", json!(2)),
		("vocab_size", json!(0)),
		("hidden_size", json!(1.5)),
		("hidden_act", json!(null)),
	] {
		let read = TextEncoderConfig::from_config;
		let message = refusal(read, &sd15_text_encoder(), field, value);
		assert!(message.contains(field), "{message}");
	}
	for (field, value) in [
		("num_train_timesteps", json!(150)),
		("original_inference_steps", json!(0)),
		("timestep_scaling", json!(0)),
		("beta_end", json!(1.0)),
		("beta_end", json!(0.999)),
		("beta_start", json!(-0.1)),
		("steps_offset", json!(1001)),
	] {
		let read: fn(&ConfigFile) -> Result<NoiseSchedule, LoadError> = scheduler::noise_schedule;
		let message = refusal(read, &sd15_scheduler(), field, value);
		assert!(message.contains(field), "{message}");
	}
	for (field, value) in [("scaling_factor", json!(0)), ("norm_num_groups", json!(48))] {
		let message = refusal(VaeConfig::from_config, &sd15_vae(), field, value);
		assert!(message.contains(field), "{message}");
	}
}

#[test]
fn what_is_no_json_object_is_refused() {
	for (text, expected) in [
		("", "malformed JSON"),
		("{\"a\": 1", "malformed JSON"),
		("[1]", "not a JSON object"),
		("\u{0}\u{1}", "malformed JSON"),
	] {
		let error = ConfigFile::parse("config.json".into(), text).err().unwrap().to_string();
		assert!(error.contains(expected), "{error}");
		assert_eq!(error.lines().count(), 1);
	}
}
