//! Loading sound and damaged model directories.

use cuckoo_diffusion::{
	untrained, Device, LoadError, Pipeline, RenderError, RenderRequest, Sampler, StartPicture,
};
use std::{fs, ops::ControlFlow, path::Path};

fn model() -> tempfile::TempDir {
	let dir = tempfile::tempdir().unwrap();
	untrained::write(dir.path(), 1).unwrap();
	dir
}

/// What loading says about the model after `damage`.
fn refusal(damage: impl FnOnce(&Path)) -> LoadError {
	let dir = model();
	damage(dir.path());
	let error = Pipeline::load(dir.path(), &Device::Cpu).err().expect("damaged");
	assert_eq!(error.to_string().lines().count(), 1, "{error}");
	error
}

/// Sets a field of a configuration file.
fn set(dir: &Path, file: &str, field: &str, value: serde_json::Value) {
	let path = dir.join(file);
	let mut config: serde_json::Value =
		serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
	config[field] = value;
	fs::write(path, config.to_string()).unwrap();
}

#[test]
fn the_plumbing_model_says_what_it_is() {
	let dir = model();
	let pipeline = Pipeline::load(dir.path(), &Device::Cpu).unwrap();
	let info = pipeline.info();
	assert_eq!(info.name, dir.path().file_name().unwrap().to_str().unwrap());
	assert_eq!((info.width, info.height), (64, 64));
	assert!(!info.trained);
	assert_eq!(info.notice.as_deref(), Some("untrained, for plumbing only"));
	assert!((100_000..2_000_000).contains(&info.parameters), "{}", info.parameters);
	assert_eq!(pipeline.device(), Device::Cpu);
}

#[test]
fn the_plumbing_model_is_the_same_every_time() {
	let digest = |dir: &Path| Pipeline::load(dir, &Device::Cpu).unwrap().info().digest;
	let (a, b, other) = (model(), model(), tempfile::tempdir().unwrap());
	untrained::write(other.path(), 2).unwrap();
	let expected = digest(a.path());
	assert_eq!(expected, digest(b.path()));
	assert_ne!(expected, digest(other.path()));
	// Writing over another one leaves nothing of it.
	untrained::write(other.path(), 1).unwrap();
	assert_eq!(expected, digest(other.path()));
	// What the pictures do not depend on does not count.
	fs::write(a.path().join("README.md"), "hello").unwrap();
	assert_eq!(expected, digest(a.path()));
	// Known, so that every machine's plumbing model is known to be the same.
	assert_eq!(expected[..8], [0x1e, 0xaf, 0xed, 0x1b, 0x2b, 0x18, 0x36, 0x2f]);
}

#[test]
fn absent_files_are_named() {
	let error = Pipeline::load(Path::new("/does/not/exist"), &Device::Cpu).err().unwrap();
	assert_eq!(
		error.to_string(),
		"model directory /does/not/exist does not exist or is not a directory"
	);
	for (file, expected) in [
		("model_index.json", "lacks model_index.json"),
		("scheduler/scheduler_config.json", "scheduler lacks scheduler_config.json"),
		("text_encoder/config.json", "text_encoder lacks config.json"),
		("text_encoder/model.safetensors", "text_encoder lacks model.safetensors or "),
		("tokenizer/tokenizer.json", "tokenizer lacks tokenizer.json or vocab.json"),
		("unet/config.json", "unet lacks config.json"),
		(
			"unet/diffusion_pytorch_model.safetensors",
			"unet lacks diffusion_pytorch_model.safetensors or ",
		),
		("vae/config.json", "vae lacks config.json"),
		(
			"vae/diffusion_pytorch_model.safetensors",
			"vae lacks diffusion_pytorch_model.safetensors or ",
		),
	] {
		let error = refusal(|dir| fs::remove_file(dir.join(file)).unwrap());
		assert!(matches!(error, LoadError::MissingFile { .. }), "{error:?}");
		assert!(error.to_string().contains(expected), "{error}");
	}
}

#[test]
fn a_truncated_weights_file_is_named() {
	for file in ["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"] {
		for keep in [0, 100, 100_000] {
			let error = refusal(|dir| {
				let path = dir.join(file);
				let content = fs::read(&path).unwrap();
				fs::write(path, &content[..keep]).unwrap();
			});
			assert!(matches!(error, LoadError::CorruptWeights { .. }), "{error:?}");
			assert!(error.to_string().contains(file), "{error}");
		}
	}
}

#[test]
fn a_configuration_that_the_weights_contradict_is_refused() {
	let error = refusal(|dir| {
		set(dir, "unet/config.json", "block_out_channels", [32, 96].as_slice().into());
	});
	assert!(matches!(error, LoadError::TensorShape { .. }), "{error:?}");
	assert!(error.to_string().contains("unet/diffusion_pytorch_model.safetensors: tensor "));

	let error = refusal(|dir| set(dir, "vae/config.json", "layers_per_block", 2.into()));
	assert_eq!(
		error.to_string().rsplit('/').next(),
		Some(
			"diffusion_pytorch_model.safetensors lacks the tensor \
			 decoder.up_blocks.0.resnets.2.norm1.weight"
		)
	);

	let error = refusal(|dir| set(dir, "unet/config.json", "cross_attention_dim", 32.into()));
	assert!(error
		.to_string()
		.ends_with("cross_attention_dim is 32, the text encoder's hidden_size 64"));
	let error = refusal(|dir| {
		set(dir, "unet/config.json", "addition_embed_type", "text_time".into());
		set(dir, "unet/config.json", "addition_time_embed_dim", 8.into());
		set(dir, "unet/config.json", "projection_class_embeddings_input_dim", 64.into());
	});
	assert!(error.to_string().ends_with("addition_embed_type asks for a second text encoder"));
	let error = refusal(|dir| {
		set(dir, "model_index.json", "_class_name", "StableDiffusionXLPipeline".into());
	});
	assert!(error.to_string().ends_with("text_encoder_2 is missing"));
	let error = refusal(|dir| set(dir, "vae/config.json", "latent_channels", 8.into()));
	assert!(error.to_string().ends_with("in_channels is 4, the VAE's latent_channels 8"));
	let error = refusal(|dir| set(dir, "unet/config.json", "act_fn", "relu".into()));
	assert!(matches!(error, LoadError::Unsupported { .. }), "{error:?}");
}

#[test]
fn weights_that_are_no_numbers_are_an_error_not_a_picture() {
	let dir = model();
	let path = dir.path().join("unet/diffusion_pytorch_model.safetensors");
	let mut content = fs::read(&path).unwrap();
	let end = content.len();
	content[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
	fs::write(path, content).unwrap();
	let pipeline = Pipeline::load(dir.path(), &Device::Cpu).unwrap();
	let request = RenderRequest {
		prompt: "a red bird".into(),
		negative_prompt: String::new(),
		width: 64,
		height: 64,
		steps: 1,
		guidance_scale: 7.5,
		seed: 1,
		sampler: Sampler::Ddim,
		images: 1,
		start: None,
	};
	let result = pipeline.render(&request, &mut |_| ControlFlow::Continue(()));
	assert!(matches!(result, Err(RenderError::NotFinite(_))), "{result:?}");
}

#[test]
fn without_an_encoder_a_model_renders_from_noise_only() {
	let dir = model();
	let path = dir.path().join("vae/diffusion_pytorch_model.safetensors");
	let content = fs::read(&path).unwrap();
	let all = safetensors::SafeTensors::deserialize(&content).unwrap();
	let decoder = all.iter().filter(|(name, _)| !name.starts_with("encoder."));
	fs::write(&path, safetensors::serialize(decoder, None).unwrap()).unwrap();
	let pipeline = Pipeline::load(dir.path(), &Device::Cpu).unwrap();
	let mut request = RenderRequest {
		prompt: "a red bird".into(),
		negative_prompt: String::new(),
		width: 64,
		height: 64,
		steps: 1,
		guidance_scale: 1.0,
		seed: 1,
		sampler: Sampler::Ddim,
		images: 1,
		start: None,
	};
	let mut go_on = |_| ControlFlow::Continue(());
	let mut pictures = pipeline.render(&request, &mut go_on).unwrap();
	request.start = Some(StartPicture { picture: pictures.remove(0), strength: 1.0 });
	let error = pipeline.render(&request, &mut go_on).unwrap_err();
	assert!(matches!(error, RenderError::Request(_)), "{error:?}");
	assert_eq!(
		error.to_string(),
		"start is a picture: must be left out: this model's autoencoder has no encoder"
	);
}

#[test]
fn bytes_flipped_anywhere_in_a_header_never_panic() {
	let dir = model();
	let path = dir.path().join("vae/diffusion_pytorch_model.safetensors");
	let sound = fs::read(&path).unwrap();
	for at in (0..600).step_by(7) {
		let mut damaged = sound.clone();
		damaged[at] ^= 0x15;
		fs::write(&path, damaged).unwrap();
		// Loading may succeed where the byte did not matter; it must only not panic.
		if let Err(error) = Pipeline::load(dir.path(), &Device::Cpu) {
			assert!(
				error.to_string().contains("vae/diffusion_pytorch_model.safetensors"),
				"{error}"
			);
		}
	}
}
