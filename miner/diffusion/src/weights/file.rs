//! One safetensors file.

use crate::{error::one_line, LoadError};
use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorInfo};
use std::{
	collections::HashMap,
	fs::File,
	path::{Path, PathBuf},
};

/// The length of the header comes first, as a little-endian u64.
const LENGTH_BYTES: usize = 8;
/// The format's own bound.
const MAX_HEADER_BYTES: usize = 100_000_000;

/// A sound file, mapped into memory.
pub(crate) struct WeightsFile {
	path: PathBuf,
	file: File,
	map: Mmap,
	tensors: HashMap<String, TensorInfo>,
	/// What the file says beside the tensors (`__metadata__`).
	notes: HashMap<String, String>,
	data_start: usize,
}

/// Ours, to be kept for [`Weights::build`](super::Weights::build), or candle's, which passes through.
pub(crate) enum Failure {
	Load(LoadError),
	Candle(candle_core::Error),
}

impl Failure {
	/// What is said of `path`.
	pub fn into_error(self, path: &Path) -> LoadError {
		match self {
			Self::Load(error) => error,
			Self::Candle(error) => {
				LoadError::Compute { path: path.to_owned(), message: one_line(&error) }
			},
		}
	}
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

impl WeightsFile {
	/// Reads the header and checks that the file is as long as it says.
	pub fn open(path: PathBuf) -> Result<Self, LoadError> {
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
		// Copied first, so that it cannot change while it is read.
		let header = header.to_vec();
		let metadata: Metadata = serde_json::from_slice(&header)
			.map_err(|error| corrupt(format!("its header is malformed: {error}")))?;
		let data_start = LENGTH_BYTES + header.len();
		let expected = data_start.saturating_add(metadata.data_len());
		if map.len() != expected {
			return Err(corrupt(format!("it has {size} bytes, its header promises {expected}")));
		}
		let tensors =
			metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
		let notes = metadata.metadata().clone().unwrap_or_default();
		Ok(Self { path, file, map, tensors, notes, data_start })
	}

	/// Where it is.
	pub fn path(&self) -> &Path {
		&self.path
	}

	/// The names of its tensors.
	pub fn names(&self) -> impl Iterator<Item = &String> {
		self.tensors.keys()
	}

	/// The shape of a tensor that it has.
	pub fn shape(&self, name: &str) -> Option<&[usize]> {
		self.tensors.get(name).map(|info| &info.shape[..])
	}

	/// What it says of itself under a name.
	pub fn note(&self, name: &str) -> Option<&String> {
		self.notes.get(name)
	}

	/// A copy of a tensor on the CPU, as it is stored; it must be of floats.
	pub fn tensor(&self, name: &str) -> Result<Tensor, Failure> {
		let info = self.tensors.get(name).ok_or_else(|| LoadError::MissingTensor {
			path: self.path.clone(),
			tensor: name.to_owned(),
		})?;
		let corrupt =
			|message: String| LoadError::CorruptWeights { path: self.path.clone(), message };
		let Ok(stored @ (DType::F32 | DType::F16 | DType::BF16 | DType::F64)) =
			DType::try_from(info.dtype)
		else {
			let message = format!("tensor {name} has type {:?}, not a float", info.dtype);
			return Err(corrupt(message).into());
		};
		let io = |source| LoadError::Io { path: self.path.clone(), source };
		let length = self.file.metadata().map_err(io)?.len();
		let (start, end) = info.data_offsets;
		let data = self.map.get(self.data_start + start..self.data_start + end);
		let Some(data) = data.filter(|_| length == self.map.len() as u64) else {
			return Err(corrupt("its length changed while it was read".into()).into());
		};
		Ok(Tensor::from_raw_buffer(data, stored, &info.shape, &Device::Cpu)?)
	}
}

/// Maps a whole file that is not empty into memory.
#[allow(unsafe_code)]
fn map(file: &File) -> std::io::Result<Mmap> {
	// SAFETY: the map is only read, and copied before anything is made of it. What another process
	// writes to the file meanwhile are other numbers; that it did not shorten the file is looked at
	// before each tensor is copied.
	unsafe { Mmap::map(file) }
}
