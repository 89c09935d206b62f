//! Sound and damaged files, and the layout of a published model.

use super::*;
use crate::{config::tests::sd15, text::ClipTextModel, unet::UNet, vae::Vae};
use candle_core::Device as CandleDevice;
use safetensors::{tensor::TensorView, Dtype};
use std::{
	collections::BTreeMap,
	fs::{self, File},
};

const STEM: &str = "model";

fn bytes(values: &[f32]) -> Vec<u8> {
	values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A file with one tensor "name" of shape (values).
fn one_tensor(name: &str, values: &[f32]) -> Vec<u8> {
	let data = bytes(values);
	let view = TensorView::new(Dtype::F32, vec![values.len()], &data).unwrap();
	safetensors::serialize([(name, view)], None).unwrap()
}

/// A model directory with the given files in its folder "part".
fn model(files: &[(&str, &[u8])]) -> (tempfile::TempDir, ModelDirectory) {
	let dir = tempfile::tempdir().unwrap();
	fs::create_dir(dir.path().join("part")).unwrap();
	for (name, content) in files {
		fs::write(dir.path().join("part").join(name), content).unwrap();
	}
	let model = ModelDirectory::open(dir.path()).unwrap();
	(dir, model)
}

/// Loads `name` with `len` elements.
fn load(model: &ModelDirectory, name: &str, len: usize) -> Result<(Vec<f32>, u64), LoadError> {
	let weights = Weights::open(model, "part", STEM)?;
	let build = |vb: VarBuilder| vb.get(len, name)?.to_vec1::<f32>();
	weights.build(DType::F32, Device::Cpu, &CandleDevice::Cpu, build)
}

#[test]
fn reads_what_was_written() {
	let (_dir, model) = model(&[("model.safetensors", &one_tensor("a.b", &[1.5, -2.0]))]);
	assert_eq!(load(&model, "a.b", 2).unwrap(), (vec![1.5, -2.0], 2));
}

#[test]
fn reads_half_precision() {
	// 1.5 is 0x3E00 as f16, 0x3FC0 as bf16.
	for (dtype, data) in [(Dtype::F16, [0x00, 0x3e]), (Dtype::BF16, [0xc0, 0x3f])] {
		let view = TensorView::new(dtype, vec![1], &data).unwrap();
		let file = safetensors::serialize([("a", view)], None).unwrap();
		let (_dir, model) = model(&[("model.fp16.safetensors", &file)]);
		assert_eq!(load(&model, "a", 1).unwrap().0, [1.5]);
	}
}

#[test]
fn reads_shards() {
	let index = br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
	let (first, second) = (one_tensor("a", &[1.0]), one_tensor("b", &[2.0]));
	let (_dir, model) = model(&[
		("model.safetensors.index.json", index.as_slice()),
		("model-1.safetensors", &first),
		("model-2.safetensors", &second),
	]);
	assert_eq!(load(&model, "a", 1).unwrap().0, [1.0]);
	assert_eq!(load(&model, "b", 1).unwrap().0, [2.0]);
	assert!(matches!(load(&model, "c", 1), Err(LoadError::MissingTensor { .. })));
}

#[test]
fn a_shard_index_that_leads_nowhere_is_refused() {
	for (index, expected) in [
		(r#"{"weight_map": {"a": "model-1.safetensors"}}"#, "lacks model-1.safetensors"),
		(r#"{"weight_map": {"a": "../x.safetensors"}}"#, "names no plain file for a"),
		(r#"{"weight_map": {"a": 1}}"#, "names no plain file for a"),
		(r#"{"weight_map": {}}"#, "weight_map is empty"),
		("{}", "weight_map is missing"),
		("{", "malformed JSON"),
	] {
		let (_dir, model) = model(&[("model.safetensors.index.json", index.as_bytes())]);
		let error = Weights::open(&model, "part", STEM).err().unwrap().to_string();
		assert!(error.contains(expected), "{error}");
	}
}

#[test]
fn damaged_files_are_named() {
	let sound = one_tensor("a", &[1.0, 2.0, 3.0]);
	let mut huge_header = sound.clone();
	huge_header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
	let mut broken_json = sound.clone();
	broken_json[8] = b'[';
	let overlong = [sound.as_slice(), b"x"].concat();
	let lying = br#"{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}"#;
	let lying = [&(lying.len() as u64).to_le_bytes(), lying.as_slice(), &[0; 4]].concat();
	for (damaged, expected) in [
		(&b""[..], "it has only 0 bytes"),
		(&sound[..7], "it has only 7 bytes"),
		(&sound[..20], "header claims"),
		(&sound[..sound.len() - 1], "its header promises"),
		(&overlong, "its header promises"),
		(&huge_header, "header claims"),
		(&broken_json, "its header is malformed"),
		(&lying, "its header is malformed"),
	] {
		let (_dir, model) = model(&[("model.safetensors", damaged)]);
		let error = Weights::open(&model, "part", STEM).err().unwrap();
		assert!(matches!(error, LoadError::CorruptWeights { .. }), "{error:?}");
		let error = error.to_string();
		assert!(error.contains("part/model.safetensors is not a sound safetensors"), "{error}");
		assert!(error.contains(expected), "{error}");
		assert_eq!(error.lines().count(), 1, "{error}");
	}
}

#[test]
fn a_file_that_shrinks_is_an_error_while_it_is_read_and_nothing_afterwards() {
	// More than a page, so that the rest would not be there to be read.
	let values: Vec<_> = (0..100_000).map(|i| i as f32).collect();
	let (dir, model) = model(&[("model.safetensors", &one_tensor("a", &values))]);
	let path = dir.path().join("part/model.safetensors");
	let shrink = || File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();

	let weights = Weights::open(&model, "part", STEM).unwrap();
	let build = |vb: VarBuilder| vb.get(values.len(), "a");
	let (tensor, _) = weights.build(DType::F32, Device::Cpu, &CandleDevice::Cpu, build).unwrap();
	let weights = Weights::open(&model, "part", STEM).unwrap();
	shrink();
	assert_eq!(tensor.to_vec1::<f32>().unwrap(), values);
	let error = weights.build(DType::F32, Device::Cpu, &CandleDevice::Cpu, build).unwrap_err();
	let error = error.to_string();
	assert!(error.ends_with("its length changed while it was read"), "{error}");
}

#[test]
fn wrong_tensors_are_named() {
	let (_dir, model) = model(&[("model.safetensors", &one_tensor("a", &[1.0, 2.0]))]);
	let error = load(&model, "a", 3).unwrap_err().to_string();
	assert!(
		error
			.ends_with("model.safetensors: tensor a has shape [2], the configuration asks for [3]"),
		"{error}"
	);
	let error = load(&model, "b", 3).unwrap_err().to_string();
	assert!(error.ends_with("model.safetensors lacks the tensor b"), "{error}");
}

#[test]
fn whole_numbers_are_no_weights() {
	let view = TensorView::new(Dtype::I32, vec![1], &[0; 4]).unwrap();
	let file = safetensors::serialize([("a", view)], None).unwrap();
	let (_dir, model) = model(&[("model.safetensors", &file)]);
	let error = load(&model, "a", 1).unwrap_err().to_string();
	assert!(error.ends_with("tensor a has type I32, not a float"), "{error}");
}

#[test]
fn absent_weights_name_every_accepted_file() {
	let (_dir, model) = model(&[]);
	let error = Weights::open(&model, "part", STEM).err().unwrap().to_string();
	assert!(error.contains("part lacks model.safetensors or model.safetensors.index.json or"));
}

/// Gives zeros for everything, without the memory for it, and notes what was asked for.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<BTreeMap<String, Vec<usize>>>>);

impl SimpleBackend for Recorder {
	fn get(
		&self,
		shape: Shape,
		name: &str,
		_: Init,
		dtype: DType,
		device: &CandleDevice,
	) -> candle_core::Result<Tensor> {
		self.0.lock().insert(name.to_owned(), shape.dims().to_vec());
		Tensor::zeros(1, dtype, device)?.broadcast_as(shape)
	}

	fn get_unchecked(&self, name: &str, _: DType, _: &CandleDevice) -> candle_core::Result<Tensor> {
		candle_core::bail!("no shape for {name}")
	}

	fn contains_tensor(&self, _: &str) -> bool {
		true
	}
}

fn layout<T>(
	build: impl FnOnce(VarBuilder) -> candle_core::Result<T>,
) -> BTreeMap<String, Vec<usize>> {
	let recorder = Recorder::default();
	let backend = Box::new(recorder.clone());
	build(VarBuilder::from_backend(backend, DType::F32, CandleDevice::Cpu)).unwrap();
	let layout = recorder.0.lock().clone();
	layout
}

fn count(layout: &BTreeMap<String, Vec<usize>>) -> usize {
	layout.values().map(|shape| shape.iter().product::<usize>()).sum()
}

#[test]
fn stable_diffusion_1_5_has_its_published_layout() {
	let (text, unet, vae) = sd15();
	let unet = layout(|vb| UNet::new(vb, &unet));
	let text = layout(|vb| ClipTextModel::new(vb, &text));
	let vae = layout(|vb| Vae::new(vb, &vae));

	// The published numbers of tensors and of weights: a layer too many or too wide shows.
	assert_eq!((unet.len(), count(&unet)), (686, 859_520_964));
	assert_eq!((text.len(), count(&text)), (196, 123_060_480));
	assert_eq!((vae.len(), count(&vae)), (248, 83_653_863));

	for (name, shape) in [
		("conv_in.weight", &[320, 4, 3, 3][..]),
		("time_embedding.linear_1.weight", &[1280, 320]),
		("time_embedding.linear_2.bias", &[1280]),
		("down_blocks.0.attentions.0.proj_in.weight", &[320, 320, 1, 1]),
		("down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q.weight", &[320, 320]),
		("down_blocks.0.attentions.1.transformer_blocks.0.ff.net.0.proj.weight", &[2560, 320]),
		("down_blocks.0.downsamplers.0.conv.weight", &[320, 320, 3, 3]),
		("down_blocks.1.resnets.0.conv_shortcut.weight", &[640, 320, 1, 1]),
		("down_blocks.2.resnets.1.time_emb_proj.weight", &[1280, 1280]),
		("down_blocks.3.resnets.1.conv2.bias", &[1280]),
		("mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight", &[1280, 768]),
		("mid_block.resnets.1.norm1.weight", &[1280]),
		("up_blocks.0.resnets.2.conv1.weight", &[1280, 2560, 3, 3]),
		("up_blocks.0.upsamplers.0.conv.weight", &[1280, 1280, 3, 3]),
		("up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_k.weight", &[1280, 768]),
		("up_blocks.1.resnets.2.conv1.weight", &[1280, 1920, 3, 3]),
		("up_blocks.2.resnets.0.norm1.weight", &[1920]),
		("up_blocks.3.resnets.2.conv_shortcut.weight", &[320, 640, 1, 1]),
		("up_blocks.3.attentions.2.transformer_blocks.0.norm3.bias", &[320]),
		("conv_norm_out.weight", &[320]),
		("conv_out.weight", &[4, 320, 3, 3]),
	] {
		assert_eq!(unet.get(name).map(Vec::as_slice), Some(shape), "{name}");
	}
	for (name, shape) in [
		("text_model.embeddings.token_embedding.weight", &[49408, 768][..]),
		("text_model.embeddings.position_embedding.weight", &[77, 768]),
		("text_model.encoder.layers.11.self_attn.out_proj.weight", &[768, 768]),
		("text_model.encoder.layers.0.mlp.fc1.weight", &[3072, 768]),
		("text_model.final_layer_norm.bias", &[768]),
	] {
		assert_eq!(text.get(name).map(Vec::as_slice), Some(shape), "{name}");
	}
	for (name, shape) in [
		("post_quant_conv.weight", &[4, 4, 1, 1][..]),
		("encoder.conv_out.weight", &[8, 512, 3, 3]),
		("encoder.down_blocks.2.downsamplers.0.conv.weight", &[512, 512, 3, 3]),
		("quant_conv.weight", &[8, 8, 1, 1]),
		("decoder.conv_in.weight", &[512, 4, 3, 3]),
		("decoder.mid_block.attentions.0.to_q.weight", &[512, 512]),
		("decoder.mid_block.attentions.0.to_out.0.bias", &[512]),
		("decoder.up_blocks.2.resnets.0.conv_shortcut.weight", &[256, 512, 1, 1]),
		("decoder.up_blocks.3.resnets.2.conv2.weight", &[128, 128, 3, 3]),
		("decoder.conv_out.weight", &[3, 128, 3, 3]),
	] {
		assert_eq!(vae.get(name).map(Vec::as_slice), Some(shape), "{name}");
	}
}
