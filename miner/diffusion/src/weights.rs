//! Reading weights from safetensors files, sharded or not.
//!
//! The files are mapped into memory while a model is loaded. Each tensor is copied out when the model
//! asks for it, checked against the shape that the model asks for before anything is allocated, and
//! converted on its way to the device. So no second copy of the model is in memory, and nothing that
//! becomes of a file after loading matters: reading a map beyond the end of a file that was shortened
//! meanwhile would end the process.

use crate::{
	directory::ModelDirectory,
	error::{is_out_of_memory, one_line},
	Device, LoadError,
};
use candle_core::{DType, Shape, Tensor};
use candle_nn::{var_builder::SimpleBackend, Init, VarBuilder};
use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::Value;
use std::{
	collections::{BTreeSet, HashMap},
	fs::File,
	ops::Range,
	path::{Path, PathBuf},
	sync::{Arc, Mutex, PoisonError},
};

/// The length of the header comes first, as a little-endian u64.
const LENGTH_BYTES: usize = 8;
/// The format's own bound.
const MAX_HEADER_BYTES: usize = 100_000_000;

/// The weights of one part of a model (text encoder, UNet or VAE).
pub(crate) struct Weights {
	shards: Vec<Shard>,
	shard_of: HashMap<String, usize>,
	/// What was loaded, and the last failure. candle's errors cannot carry ours.
	log: Arc<Mutex<Log>>,
}

struct Shard {
	path: PathBuf,
	file: File,
	map: Mmap,
	tensors: HashMap<String, TensorInfo>,
	data_start: usize,
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
			.map(|file| Shard::open(model.full(file)))
			.collect::<Result<Vec<_>, _>>()?;
		let shard_of = shards
			.iter()
			.enumerate()
			.flat_map(|(i, shard)| shard.tensors.keys().map(move |name| (name.clone(), i)))
			.collect();
		Ok(Self { shards, shard_of, log: Arc::default() })
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
		let path = self.shards[0].path.clone();
		let built = build(VarBuilder::from_backend(Box::new(self), dtype, opened.clone()));
		let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
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
			path: self.shards[0].path.clone(),
			tensor: name.to_owned(),
		})?;
		self.shards[shard].load(name, expected, dtype, device)
	}
}

/// Ours, to be kept for [`Weights::build`], or candle's, which passes through.
enum Failure {
	Load(LoadError),
	Candle(candle_core::Error),
}

impl From<LoadError> for Failure {
	fn from(error: LoadError) -> Self {
		Self::Load(error)
	}
}

impl From<candle_core::Error> for Failure {
	fn from(error: candle_core::Error) -> Self {
		Self::Candle(error)
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
		let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
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

impl Shard {
	/// Reads the header and checks that the file is as long as it says.
	fn open(path: PathBuf) -> Result<Self, LoadError> {
		let corrupt = |message: String| LoadError::CorruptWeights { path: path.clone(), message };
		let io = |source| LoadError::Io { path: path.clone(), source };
		let file = File::open(&path).map_err(io)?;
		let size = file.metadata().map_err(io)?.len();
		if size < LENGTH_BYTES as u64 {
			return Err(corrupt(format!("it has only {size} bytes")));
		}
		let map = map(&file).map_err(io)?;
		let (length, rest) = map.split_first_chunk::<LENGTH_BYTES>().unwrap_or((&[0; 8], &[]));
		let length = u64::from_le_bytes(*length);
		let header = usize::try_from(length).ok().and_then(|length| rest.get(..length));
		let Some(header) = header.filter(|header| header.len() <= MAX_HEADER_BYTES) else {
			return Err(corrupt(format!("its header claims {length} bytes of {size}")));
		};
		let metadata: Metadata = serde_json::from_slice(header)
			.map_err(|error| corrupt(format!("its header is malformed: {error}")))?;
		let data_start = LENGTH_BYTES + header.len();
		let expected = data_start.saturating_add(metadata.data_len());
		if map.len() != expected {
			return Err(corrupt(format!("it has {size} bytes, its header promises {expected}")));
		}
		let tensors =
			metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
		Ok(Self { path, file, map, tensors, data_start })
	}

	fn load(
		&self,
		name: &str,
		expected: Option<&Shape>,
		dtype: DType,
		device: &candle_core::Device,
	) -> Result<Tensor, Failure> {
		let info = self.tensors.get(name).ok_or_else(|| LoadError::MissingTensor {
			path: self.path.clone(),
			tensor: name.to_owned(),
		})?;
		if let Some(expected) = expected.filter(|expected| expected.dims() != info.shape) {
			return Err(LoadError::TensorShape {
				path: self.path.clone(),
				tensor: name.to_owned(),
				found: info.shape.clone(),
				expected: expected.dims().to_vec(),
			}
			.into());
		}
		let Ok(stored @ (DType::F32 | DType::F16 | DType::BF16 | DType::F64)) =
			DType::try_from(info.dtype)
		else {
			return Err(LoadError::CorruptWeights {
				path: self.path.clone(),
				message: format!("tensor {name} has type {:?}, not a float", info.dtype),
			}
			.into());
		};
		let (start, end) = info.data_offsets;
		let data = self.data(start..end)?;
		let cpu = candle_core::Device::Cpu;
		Ok(Tensor::from_raw_buffer(data, stored, &info.shape, &cpu)?
			.to_dtype(dtype)?
			.to_device(device)?)
	}
}

impl Shard {
	/// Part of the tensors' data; to be copied at once.
	fn data(&self, range: Range<usize>) -> Result<&[u8], LoadError> {
		let path = || self.path.clone();
		let now = self.file.metadata().map_err(|source| LoadError::Io { path: path(), source })?;
		let data = self.map.get(self.data_start + range.start..self.data_start + range.end);
		match data.filter(|_| now.len() == self.map.len() as u64) {
			Some(data) => Ok(data),
			None => Err(LoadError::CorruptWeights {
				path: path(),
				message: "its length changed while it was read".into(),
			}),
		}
	}
}

/// Maps a whole file that is not empty into memory.
#[allow(unsafe_code)]
fn map(file: &File) -> std::io::Result<Mmap> {
	// SAFETY: the map is only read. What another process writes to the file meanwhile are other
	// numbers or a tensor's other name, never an invalid value of a type; that it did not shorten the
	// file is looked at before each tensor is copied.
	unsafe { Mmap::map(file) }
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
