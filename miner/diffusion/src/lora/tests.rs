//! Merging, and files that are not for a model.

use super::*;
use crate::{untrained, Device, Pipeline, RenderRequest, Sampler};
use rand_chacha::{
	rand_core::{RngCore, SeedableRng},
	ChaCha20Rng,
};
use safetensors::{tensor::TensorView, Dtype};
use std::{fs, ops::ControlFlow};

/// A safetensors file of single-precision tensors.
fn file(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
	let bytes: Vec<Vec<u8>> = tensors
		.iter()
		.map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
		.collect();
	let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
		(*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
	});
	safetensors::serialize(views, None).unwrap()
}

fn written(content: &[u8]) -> (tempfile::TempDir, Lora) {
	let dir = tempfile::tempdir().unwrap();
	let path = dir.path().join("lora.safetensors");
	fs::write(&path, content).unwrap();
	(dir, Lora { path, scale: 0.5 })
}

/// What a file with the given tensors adds to a layer of the UNet, "mid.layer", with weights of the
/// given shape.
fn change(shape: &[usize], tensors: &[(&str, &[usize], &[f32])]) -> Result<Vec<f32>, String> {
	let (_dir, lora) = written(&file(tensors));
	let layers = [("mid_layer".to_owned(), ("mid.layer", shape))].into();
	let changes = LoraFile::open(&lora).and_then(|lora| lora.changes(Part::Unet, &layers));
	let changes = changes.map_err(|error| {
		let error = error.to_string();
		error.rsplit_once("lora.safetensors: ").expect("the file is named").1.to_owned()
	})?;
	assert_eq!(changes.len(), 1);
	assert_eq!(changes[0].0, "mid.layer");
	let tensor = changes[0].1.tensor(shape).unwrap();
	assert_eq!(tensor.dims(), shape);
	Ok(tensor.flatten_all().unwrap().to_vec1().unwrap())
}

const DOWN: &str = "lora_unet_mid_layer.lora_down.weight";
const UP: &str = "lora_unet_mid_layer.lora_up.weight";
const ALPHA: &str = "lora_unet_mid_layer.alpha";

#[test]
fn a_change_is_the_product_times_scale_and_alpha_by_rank() {
	let down = (DOWN, &[2, 3][..], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]);
	let up = (UP, &[2, 2][..], &[1.0, 0.0, 10.0, 1.0][..]);
	// With a scale of a half.
	let product = [0.5, 1.0, 1.5, 7.0, 12.5, 18.0];
	assert_eq!(change(&[2, 3], &[down, up]).unwrap(), product);
	let with_alpha = change(&[2, 3], &[down, up, (ALPHA, &[], &[4.0])]).unwrap();
	assert_eq!(with_alpha, product.map(|x| 2.0 * x));
	// Convolutions of one place, in either shape, and of more.
	assert_eq!(change(&[2, 3, 1, 1], &[down, up]).unwrap(), product);
	let as_convolution = (UP, &[2, 2, 1, 1][..], up.2);
	assert_eq!(change(&[2, 3], &[(DOWN, &[2, 3, 1, 1], down.2), as_convolution]).unwrap(), product);
	assert_eq!(change(&[2, 1, 3, 1], &[(DOWN, &[2, 1, 3, 1], down.2), up]).unwrap(), product);
	assert_eq!(change(&[2, 1, 1, 3], &[(DOWN, &[2, 1, 1, 3], down.2), up]).unwrap(), product);
}

#[test]
fn what_does_not_fit_is_named() {
	let (down, up) = ([0.0; 6], [0.0; 4]);
	let sound = [(DOWN, &[2, 3][..], &down[..]), (UP, &[2, 2][..], &up[..])];
	let refused = |shape: &[usize], tensors: &[_]| change(shape, tensors).unwrap_err();
	let expected = format!("tensor {DOWN} has shape [2, 3], it must be (rank, [4])");
	assert_eq!(refused(&[2, 4], &sound), expected);
	let expected = format!("tensor {UP} has shape [2, 2], it must be [3, 2]");
	assert_eq!(refused(&[3, 3], &sound), expected);
	assert_eq!(
		refused(&[2, 3], &[(DOWN, &[3, 2], &down), sound[1]]),
		format!("tensor {DOWN} has shape [3, 2], it must be (rank, [3])")
	);
	assert_eq!(refused(&[2, 3], &sound[..1]), format!("{DOWN} lacks its counterpart"));
	assert_eq!(refused(&[3], &sound), format!("{DOWN} is of a layer that is no product"));
	let alpha = |shape, values| refused(&[2, 3], &[sound[0], sound[1], (ALPHA, shape, values)]);
	assert_eq!(alpha(&[2], &[1.0, 1.0]), format!("{ALPHA} is not one number"));
	assert_eq!(alpha(&[1], &[f32::NAN]), format!("{ALPHA} is NaN"));
	let other = "lora_unet_other.lora_down.weight";
	assert_eq!(
		refused(&[2, 3], &[(other, &[1], &[0.0])]),
		format!("{other} is of no layer of the model's unet")
	);
	let twice = "unet.mid.layer.lora_A.weight";
	let error = refused(&[2, 3], &[sound[0], sound[1], (twice, &[1], &[0.0])]);
	assert!(error.ends_with("mean the same"), "{error}");
	assert_eq!(refused(&[2, 3], &[]), "it has no tensors");
}

#[test]
fn peft_says_alpha_for_all_layers() {
	let with_note = |note: &str| {
		let values = [1.0_f32.to_le_bytes(); 4].concat();
		let view =
			|shape: [usize; 2]| TensorView::new(Dtype::F32, shape.to_vec(), &values).unwrap();
		let tensors = [
			("unet.mid.layer.lora_A.weight", view([4, 1])),
			("unet.mid.layer.lora_B.weight", view([1, 4])),
		];
		let notes = [("lora_adapter_metadata".to_owned(), note.to_owned())].into();
		let (_dir, lora) = written(&safetensors::serialize(tensors, Some(notes)).unwrap());
		let layers = [("mid_layer".to_owned(), ("mid.layer", &[1, 1][..]))].into();
		let changes = LoraFile::open(&lora).unwrap().changes(Part::Unet, &layers);
		changes.map(|changes| changes[0].1.factor).map_err(|error| error.to_string())
	};
	// With a scale of a half.
	assert_eq!(with_note("{}"), Ok(0.5));
	assert_eq!(with_note(r#"{"text_encoder.lora_alpha": 9}"#), Ok(0.5));
	assert_eq!(with_note(r#"{"unet.lora_alpha": 8, "unet.use_rslora": false}"#), Ok(1.0));
	assert_eq!(with_note(r#"{"unet.lora_alpha": 8, "unet.use_rslora": true}"#), Ok(2.0));
	for (note, expected) in [
		("{", "lora_adapter_metadata is malformed"),
		(r#"{"unet.lora_alpha": "x"}"#, "it must be a number"),
		(r#"{"unet.use_dora": true}"#, "it is a DoRA"),
		(r#"{"unet.alpha_pattern": {"to_q": 2}}"#, "alpha_pattern is not supported"),
	] {
		let error = with_note(note).unwrap_err();
		assert!(error.contains(expected), "{error}");
	}
}

/// The plumbing model and a file that changes some of its layers: of the text encoder and of the UNet, a
/// product and a convolution.
fn plumbing() -> (tempfile::TempDir, tempfile::TempDir, Lora) {
	let model = tempfile::tempdir().unwrap();
	untrained::write(model.path(), 1).unwrap();
	let wave = |count: usize| (0..count).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>();
	let (wide, up, down) = (wave(2 * 64), wave(2 * 32), wave(2 * 32 * 9));
	let content = file(&[
		(
			"text_encoder.text_model.encoder.layers.0.self_attn.v_proj.lora_A.weight",
			&[2, 64],
			&wide,
		),
		(
			"text_encoder.text_model.encoder.layers.0.self_attn.v_proj.lora_B.weight",
			&[64, 2],
			&wide,
		),
		("lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight", &[2, 32, 3, 3], &down),
		("lora_unet_down_blocks_0_resnets_0_conv1.lora_up.weight", &[32, 2, 1, 1], &up),
		("lora_unet_down_blocks_0_resnets_0_conv1.alpha", &[], &[0.5]),
	]);
	let (dir, lora) = written(&content);
	(model, dir, lora)
}

#[test]
fn the_weights_and_the_digest_change_with_file_and_scale() {
	let (model, _dir, lora) = plumbing();
	let request = RenderRequest {
		prompt: "a red bird".into(),
		negative_prompt: String::new(),
		width: 64,
		height: 64,
		steps: 2,
		guidance_scale: 5.0,
		seed: 1,
		sampler: Sampler::Euler,
		images: 1,
		start: None,
	};
	let loaded = |loras: &[Lora]| {
		let pipeline = Pipeline::load_with(model.path(), &Device::Cpu, loras).unwrap();
		let picture = pipeline.render(&request, &mut |_| ControlFlow::Continue(())).unwrap();
		(pipeline.info().digest, picture[0].digest())
	};
	let of_scale = |scale| Lora { scale, ..lora.clone() };
	let (bare, one) = (loaded(&[]), loaded(&[of_scale(1.0)]));
	assert_eq!(bare.0, Pipeline::load(model.path(), &Device::Cpu).unwrap().info().digest);
	assert_eq!(one, loaded(&[of_scale(1.0)]));
	let half = loaded(&[of_scale(0.5)]);
	let nothing = loaded(&[of_scale(0.0)]);
	assert_eq!(nothing.1, bare.1, "with a scale of 0 nothing is changed");
	for (some, other) in [(bare, one), (bare, half), (one, half)] {
		assert!(some.0 != other.0 && some.1 != other.1);
	}
	assert_ne!(nothing.0, bare.0);
	// Two halves are one.
	assert_ne!(loaded(&[of_scale(0.5), of_scale(0.5)]).0, one.0);
}

#[test]
fn a_file_for_another_model_is_refused() {
	let (model, _dir, _) = plumbing();
	for (name, expected) in [
		(
			"lora_te2_text_model_encoder_layers_0_self_attn_v_proj.lora_down.weight",
			"text_encoder_2, which",
		),
		("lora_unet_input_blocks_8_1_proj_in.lora_down.weight", "of no layer of the model's unet"),
		("lora_transformer_x.lora_down.weight", "unknown tensor"),
	] {
		let (_dir, lora) = written(&file(&[(name, &[1, 1], &[0.0])]));
		let error = Pipeline::load_with(model.path(), &Device::Cpu, &[lora]).err().unwrap();
		assert!(matches!(error, LoadError::Lora { .. }), "{error:?}");
		assert!(error.to_string().contains(expected), "{error}");
	}
	let absent = Lora { path: "/does/not/exist".into(), scale: 1.0 };
	let error = Pipeline::load_with(model.path(), &Device::Cpu, &[absent]).err().unwrap();
	assert!(matches!(error, LoadError::Io { .. }), "{error:?}");
	let (_dir, lora) = written(&file(&[(DOWN, &[1, 1], &[0.0])]));
	let lora = Lora { scale: f32::NAN, ..lora };
	assert!(LoraFile::open(&lora).is_err());
}

/// Files that are sound but for some bytes, and files of bytes drawn at random.
#[test]
fn garbage_never_panics() {
	let (model, _dir, lora) = plumbing();
	let sound = fs::read(&lora.path).unwrap();
	let weights = || {
		let directory = crate::directory::ModelDirectory::open(model.path()).unwrap();
		crate::weights::Weights::open(&directory, "unet", "diffusion_pytorch_model").unwrap()
	};
	let mut generator = ChaCha20Rng::seed_from_u64(1);
	let mut refused = 0;
	for round in 0..400 {
		let mut content = sound.clone();
		let header = 8 + u64::from_le_bytes(content[..8].try_into().unwrap()) as usize;
		match round % 4 {
			// Names, shapes and lengths.
			0 | 1 => {
				for _ in 0..=round % 3 {
					let at = generator.next_u32() as usize % header;
					content[at] = b"0123456789[]{}\":,.ab_"[generator.next_u32() as usize % 21];
				}
			},
			2 => content.truncate(generator.next_u32() as usize % content.len()),
			_ => generator.fill_bytes(&mut content[round % 9..]),
		}
		fs::write(&lora.path, &content).unwrap();
		let merged = LoraFile::open(&lora)
			.and_then(|file| weights().change(Part::Unet, &[file], |_| Vec::new()));
		if let Err(error) = merged {
			assert!(error.to_string().contains("lora.safetensors"), "{error}");
			refused += 1;
		}
	}
	assert!((200..400).contains(&refused), "{refused} of 400");
}
