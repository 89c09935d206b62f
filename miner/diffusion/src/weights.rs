//! Reading weights from safetensors files, sharded or not.
//!
//! The files are mapped into memory while a model is loaded. Each tensor is copied out when the model
//! asks for it, checked against the shape that the model asks for before anything is allocated, and
//! converted on its way to the device. So no second copy of the model is in memory, and nothing that
//! becomes of a file after loading matters: reading a map beyond the end of a file that was shortened
//! meanwhile would end the process.

mod file;

pub(crate) use file::{Failure, WeightsFile};

use crate::{
	directory::ModelDirectory,
	error::{is_out_of_memory, one_line},
	lora::{Change, LoraFile, Part},
	Device, LoadError,
};
use candle_core::{DType, Shape, Tensor};
use candle_nn::{var_builder::SimpleBackend, Init, VarBuilder};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
	collections::{BTreeSet, HashMap},
	path::Path,
	sync::Arc,
};

/// The weights of one part of a model (text encoder, UNet or VAE).
pub(crate) struct Weights {
	shards: Vec<WeightsFile>,
	shard_of: HashMap<String, usize>,
	/// What LoRA files change, by the name of the tensor.
	changes: HashMap<String, Vec<Change>>,
	/// What was loaded, and the last failure. candle's errors cannot carry ours.
	log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
	/// Elements of each tensor that was loaded, by name.
	loaded: HashMap<String, usize>,
	/// A model may ask for a tensor in two shapes and take the one that is there, so a failure
	/// counts only if building fails.
	failure: Option<LoadError>,
}

impl Weights {
	/// Opens the weights in the folder `part` whose files are called `stem.safetensors` and so on.
	pub fn open(model: &ModelDirectory, part: &str, stem: &str) -> Result<Self, LoadError> {
		let names = [
			format!("{stem}.safetensors"),
			format!("{stem}.safetensors.index.json"),
			format!("{stem}.fp16.safetensors"),
			format!("{stem}.safetensors.fp16.index.json"),
			format!("{stem}.safetensors.index.fp16.json"),
			format!("{stem}.fp16.safetensors.index.json"),
		];
		let names: Vec<_> = names.iter().map(String::as_str).collect();
		let file = model.find(part, &names)?;
		let files = if file.extension().is_some_and(|extension| extension == "json") {
			shard_names(&model.full(&file), &model.text(&file)?)?
				.iter()
				.map(|name| model.find(part, &[name]))
				.collect::<Result<_, _>>()?
		} else {
			vec![file]
		};
		let shards = files
			.iter()
			.map(|file| WeightsFile::open(model.full(file)))
			.collect::<Result<Vec<_>, _>>()?;
		let shard_of = shards
			.iter()
			.enumerate()
			.flat_map(|(i, shard)| shard.names().map(move |name| (name.clone(), i)))
			.collect();
		Ok(Self { shards, shard_of, changes: HashMap::new(), log: Arc::default() })
	}

	/// Has the weights changed, when they are loaded, as the LoRA files say of this part of the model.
	/// `aliases` gives other names than its own under which files know a layer.
	pub fn change(
		&mut self,
		part: Part,
		loras: &[LoraFile],
		aliases: impl Fn(&str) -> Vec<String>,
	) -> Result<(), LoadError> {
		if loras.is_empty() {
			return Ok(());
		}
		let shapes = self.shard_of.iter().filter_map(|(tensor, &shard)| {
			Some((tensor.strip_suffix(".weight")?, self.shards[shard].shape(tensor)?))
		});
		let layers = shapes
			.flat_map(|(layer, shape)| {
				let names = aliases(layer).into_iter().chain([part.flat(layer)]);
				names.map(move |name| (name, (layer, shape)))
			})
			.collect();
		for lora in loras {
			for (layer, change) in lora.changes(part, &layers)? {
				self.changes.entry(format!("{layer}.weight")).or_default().push(change);
			}
		}
		Ok(())
	}

	/// Builds a model part from these weights. Also returns the number of weights that it took.
	pub fn build<T>(
		self,
		dtype: DType,
		device: Device,
		opened: &candle_core::Device,
		build: impl FnOnce(VarBuilder) -> candle_core::Result<T>,
	) -> Result<(T, u64), LoadError> {
		let log = self.log.clone();
		let path = self.shards[0].path().to_owned();
		let built = build(VarBuilder::from_backend(Box::new(self), dtype, opened.clone()));
		let mut log = log.lock();
		match built {
			Ok(part) => Ok((part, log.loaded.values().map(|&count| count as u64).sum())),
			Err(error) if is_out_of_memory(&error) => Err(LoadError::OutOfMemory { device }),
			Err(error) => Err(log
				.failure
				.take()
				.unwrap_or_else(|| LoadError::Compute { path, message: one_line(&error) })),
		}
	}

	fn load(
		&self,
		name: &str,
		expected: Option<&Shape>,
		dtype: DType,
		device: &candle_core::Device,
	) -> Result<Tensor, Failure> {
		let &shard = self.shard_of.get(name).ok_or_else(|| LoadError::MissingTensor {
			path: self.shards[0].path().to_owned(),
			tensor: name.to_owned(),
		})?;
		let file = &self.shards[shard];
		let found = file.shape(name).unwrap_or_default();
		if let Some(expected) = expected.filter(|expected| expected.dims() != found) {
			return Err(LoadError::TensorShape {
				path: file.path().to_owned(),
				tensor: name.to_owned(),
				found: found.to_vec(),
				expected: expected.dims().to_vec(),
			}
			.into());
		}
		let mut tensor = file.tensor(name)?;
		for change in self.changes.get(name).into_iter().flatten() {
			tensor = (tensor.to_dtype(DType::F32)? + change.tensor(found)?)?;
		}
		Ok(tensor.to_dtype(dtype)?.to_device(device)?)
	}
}

impl SimpleBackend for Weights {
	fn get(
		&self,
		shape: Shape,
		name: &str,
		_: Init,
		dtype: DType,
		device: &candle_core::Device,
	) -> candle_core::Result<Tensor> {
		let loaded = self.load(name, Some(&shape), dtype, device);
		let mut log = self.log.lock();
		match loaded {
			Ok(tensor) => {
				log.loaded.insert(name.to_owned(), tensor.elem_count());
				Ok(tensor)
			},
			Err(Failure::Load(error)) => {
				let message = error.to_string();
				log.failure = Some(error);
				Err(candle_core::Error::Msg(message))
			},
			Err(Failure::Candle(error)) => {
				log.failure = None;
				Err(error)
			},
		}
	}

	fn get_unchecked(
		&self,
		name: &str,
		dtype: DType,
		device: &candle_core::Device,
	) -> candle_core::Result<Tensor> {
		self.load(name, None, dtype, device).map_err(|failure| match failure {
			Failure::Load(error) => candle_core::Error::Msg(error.to_string()),
			Failure::Candle(error) => error,
		})
	}

	fn contains_tensor(&self, name: &str) -> bool {
		self.shard_of.contains_key(name)
	}
}

/// The files that a `*.index.json` spreads the tensors over.
fn shard_names(path: &Path, text: &str) -> Result<BTreeSet<String>, LoadError> {
	let error = |message: String| LoadError::Config { path: path.to_owned(), message };
	let index: Value =
		serde_json::from_str(text).map_err(|e| error(format!("malformed JSON: {e}")))?;
	let map = index
		.get("weight_map")
		.and_then(Value::as_object)
		.ok_or_else(|| error("weight_map is missing".into()))?;
	let mut names = BTreeSet::new();
	for (tensor, file) in map {
		// Plain names only: an index must not lead out of its folder.
		match file.as_str() {
			Some(name) if Path::new(name).file_name().is_some_and(|file| file == name) => {
				names.insert(name.to_owned());
			},
			_ => return Err(error(format!("weight_map names no plain file for {tensor}: {file}"))),
		}
	}
	if names.is_empty() {
		return Err(error("weight_map is empty".into()));
	}
	Ok(names)
}

#[cfg(test)]
mod tests;
