//! Model directories: which there are, and what is known of a loaded one.

use crate::LoadError;
use std::path::{Path, PathBuf};

/// The file that makes a directory a model.
pub(crate) const MODEL_INDEX: &str = "model_index.json";

/// A model directory that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
	/// The directory's own name: what apps ask for.
	pub name: String,
	/// The directory.
	pub path: PathBuf,
}

/// What a loaded model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
	/// The directory's own name.
	pub name: String,
	/// BLAKE2b-256 over the files that decide what pictures come out (`model_index.json`, the
	/// configurations, the tokenizer, the weights that were loaded): for each in the order of its
	/// relative path, the path's length, the path, the content's length, the content; lengths as
	/// little-endian u64. A read-me or a download cache beside them changes nothing. With LoRA files
	/// ([`Pipeline::load_with`](crate::Pipeline::load_with)): BLAKE2b-256 over that and, for each file in
	/// the given order, its length, its content and its scale as little-endian f32.
	pub digest: [u8; 32],
	/// The width that the model was made for, in pixels.
	pub width: u32,
	/// The height that the model was made for, in pixels.
	pub height: u32,
	/// Number of weights that were loaded.
	pub parameters: u64,
	/// Bytes that they take on the device; what is made of them for speed comes on top on the CPU.
	pub bytes: u64,
	/// False if the model says of itself that it was never trained.
	pub trained: bool,
	/// What the model wants its users to know (`_notice` in `model_index.json`).
	pub notice: Option<String>,
}

/// The models in `dir`, by name: `dir` itself if it is one, else those directly under it.
///
/// # Errors
///
/// If `dir` is no directory, cannot be read, or holds no model.
pub fn list_models(dir: &Path) -> Result<Vec<ModelEntry>, LoadError> {
	if !dir.is_dir() {
		return Err(LoadError::MissingDirectory(dir.to_owned()));
	}
	if dir.join(MODEL_INDEX).is_file() {
		return Ok(vec![ModelEntry { name: model_name(dir), path: dir.to_owned() }]);
	}
	let io = |source| LoadError::Io { path: dir.to_owned(), source };
	let mut models = Vec::new();
	for entry in std::fs::read_dir(dir).map_err(io)? {
		let path = entry.map_err(io)?.path();
		if path.join(MODEL_INDEX).is_file() {
			models.push(ModelEntry { name: model_name(&path), path });
		}
	}
	if models.is_empty() {
		return Err(LoadError::NoModels(dir.to_owned()));
	}
	models.sort_by(|a, b| a.name.cmp(&b.name));
	Ok(models)
}

/// The directory's own name, also where it is given as `.` or ends in `..`.
pub(crate) fn model_name(dir: &Path) -> String {
	let full = dir.canonicalize();
	full.as_deref()
		.unwrap_or(dir)
		.file_name()
		.map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::fs;

	#[test]
	fn models_are_found_by_name_and_their_absence_is_said() {
		let dir = tempfile::tempdir().unwrap();
		assert!(matches!(
			list_models(&dir.path().join("absent")),
			Err(LoadError::MissingDirectory(_))
		));
		assert!(matches!(list_models(dir.path()), Err(LoadError::NoModels(_))));
		for name in ["zebra", "ant", "not-a-model"] {
			fs::create_dir(dir.path().join(name)).unwrap();
		}
		for name in ["zebra", "ant"] {
			fs::write(dir.path().join(name).join(MODEL_INDEX), "{}").unwrap();
		}
		let names = |dir: &Path| -> Vec<_> {
			list_models(dir).unwrap().into_iter().map(|model| model.name).collect()
		};
		assert_eq!(names(dir.path()), ["ant", "zebra"]);
		assert_eq!(names(&dir.path().join("zebra")), ["zebra"]);
		assert_eq!(names(&dir.path().join("not-a-model/../zebra/.")), ["zebra"]);
	}
}
