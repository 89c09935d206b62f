//! What can go wrong while a model is loaded or a picture is rendered, each in one clear line.

use crate::Device;
use std::path::PathBuf;

/// Why a model directory could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
	/// The directory does not exist or is not a directory.
	#[error("model directory {} does not exist or is not a directory", .0.display())]
	MissingDirectory(PathBuf),
	/// Neither the directory nor any directory directly under it holds a `model_index.json`.
	#[error("no model in {}: expected a model_index.json there or one level below", .0.display())]
	NoModels(PathBuf),
	/// A file that the model needs is not there. Lists every name that would have done.
	#[error("{} lacks {}", .dir.display(), .names.join(" or "))]
	MissingFile {
		/// Where it was looked for.
		dir: PathBuf,
		/// The file names that are accepted, best first.
		names: Vec<String>,
	},
	/// A file exists but cannot be read.
	#[error("cannot read {}: {source}", .path.display())]
	Io {
		/// The file.
		path: PathBuf,
		/// What the operating system said.
		source: std::io::Error,
	},
	/// A configuration file is not the JSON that was expected.
	#[error("{}: {message}", .path.display())]
	Config {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		message: String,
	},
	/// The model is of a kind that this crate would compute wrongly.
	#[error("{}: {field} is {value}, which is not supported: {reason}", .path.display())]
	Unsupported {
		/// The configuration file.
		path: PathBuf,
		/// The setting in it.
		field: String,
		/// The setting's value.
		value: String,
		/// What would be accepted.
		reason: String,
	},
	/// The tokenizer's files are inconsistent.
	#[error("{}: {message}", .path.display())]
	Tokenizer {
		/// The file or directory.
		path: PathBuf,
		/// What is wrong with it.
		message: String,
	},
	/// A safetensors file is damaged: truncated, or not a safetensors file at all.
	#[error("{} is not a sound safetensors file: {message}", .path.display())]
	CorruptWeights {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		message: String,
	},
	/// The configuration asks for a tensor that the weights do not hold.
	#[error("{} lacks the tensor {tensor}", .path.display())]
	MissingTensor {
		/// The file, or the first of its shards.
		path: PathBuf,
		/// The tensor's name.
		tensor: String,
	},
	/// A tensor's shape contradicts the configuration.
	#[error(
		"{}: tensor {tensor} has shape {found:?}, the configuration asks for {expected:?}",
		.path.display()
	)]
	TensorShape {
		/// The file.
		path: PathBuf,
		/// The tensor's name.
		tensor: String,
		/// The shape in the file.
		found: Vec<usize>,
		/// The shape that the configuration leads to.
		expected: Vec<usize>,
	},
	/// A LoRA file is not for this model, or of a kind that would be computed wrongly.
	#[error("{}: {message}", .path.display())]
	Lora {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		message: String,
	},
	/// The device cannot be used.
	#[error("device {device}: {message}")]
	Device {
		/// The device.
		device: Device,
		/// Why not.
		message: String,
	},
	/// The device's memory does not hold the model.
	#[error("device {device} has not enough free memory for this model")]
	OutOfMemory {
		/// The device.
		device: Device,
	},
	/// The directory holds another model than before.
	#[error("the files of {} have changed since the model was loaded first", .0.display())]
	Changed(PathBuf),
	/// The tensor library failed in another way.
	#[error("cannot build the model from {}: {message}", .path.display())]
	Compute {
		/// The model directory's part that was being built.
		path: PathBuf,
		/// What the library said.
		message: String,
	},
}

/// A field of a [`RenderRequest`](crate::RenderRequest) with a value that cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {allowed}")]
pub struct RequestError {
	/// The field's name as in [`RenderRequest`](crate::RenderRequest).
	pub field: &'static str,
	/// The value that was given (for texts: their length).
	pub value: String,
	/// What is allowed, as a phrase: "must be 1 to 150".
	pub allowed: String,
}

/// Why a PNG file gave no picture, in one phrase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no PNG picture that can be read: {0}")]
pub struct PngError(pub(crate) String);

/// Why no picture came out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
	/// The request breaks a limit of the crate or of the model.
	#[error(transparent)]
	Request(#[from] RequestError),
	/// The progress callback asked to stop.
	#[error("rendering was cancelled")]
	Cancelled,
	/// The device, or the machine, has not enough memory for a picture of this size. A smaller
	/// picture may still work.
	#[error("not enough memory: {0}")]
	OutOfMemory(String),
	/// The model produced infinities or NaN instead of numbers.
	#[error("the model produced values that are not finite ({0}): its weights are unusable")]
	NotFinite(String),
	/// The tokenizer refused the prompt.
	#[error("cannot tokenize the prompt: {0}")]
	Tokenizer(String),
	/// The tensor library failed in another way.
	#[error("rendering failed: {0}")]
	Compute(String),
}

/// candle's errors carry a backtrace after the first line; people get the first line.
pub(crate) fn one_line(error: &dyn std::fmt::Display) -> String {
	error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Whether the CUDA libraries reported exhausted memory. candle boxes their errors as trait
/// objects of several crates, so the status names in the text are the stable thing to look at.
pub(crate) fn is_out_of_memory(error: &candle_core::Error) -> bool {
	let text = error.to_string();
	["OUT_OF_MEMORY", "ALLOC_FAILED", "out of memory"].iter().any(|status| text.contains(status))
}

impl From<candle_core::Error> for RenderError {
	fn from(error: candle_core::Error) -> Self {
		if is_out_of_memory(&error) {
			Self::OutOfMemory(one_line(&error))
		} else {
			Self::Compute(one_line(&error))
		}
	}
}
