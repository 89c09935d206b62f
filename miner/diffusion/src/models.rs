//! Model directories: which there are, and what identifies one.

use crate::LoadError;
use std::{
	fs::File,
	io::Read,
	path::{Path, PathBuf},
};

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
	/// little-endian u64. A read-me or a download cache beside them changes nothing.
	pub digest: [u8; 32],
	/// The width that the model was made for, in pixels.
	pub width: u32,
	/// The height that the model was made for, in pixels.
	pub height: u32,
	/// Number of weights that were loaded.
	pub parameters: u64,
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

pub(crate) fn blake2_256() -> blake2b_simd::State {
	blake2b_simd::Params::new().hash_length(32).to_state()
}

pub(crate) fn finish(hash: &blake2b_simd::State) -> [u8; 32] {
	let mut digest = [0; 32];
	digest.copy_from_slice(hash.finalize().as_bytes());
	digest
}

/// The digest that [`ModelInfo::digest`] documents, over `files` given relative to `dir`.
pub(crate) fn digest(dir: &Path, files: &[PathBuf]) -> Result<[u8; 32], LoadError> {
	let mut names: Vec<_> = files
		.iter()
		.map(|file| {
			let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
			(parts.join("/"), dir.join(file))
		})
		.collect();
	names.sort();
	names.dedup();

	let mut hash = blake2_256();
	let mut buffer = vec![0; 1 << 20];
	for (name, path) in names {
		let io = |source| LoadError::Io { path: path.clone(), source };
		let mut file = File::open(&path).map_err(io)?;
		let length = file.metadata().map_err(io)?.len();
		hash.update(&(name.len() as u64).to_le_bytes());
		hash.update(name.as_bytes());
		hash.update(&length.to_le_bytes());
		loop {
			let read = file.read(&mut buffer).map_err(io)?;
			if read == 0 {
				break;
			}
			hash.update(&buffer[..read]);
		}
	}
	Ok(finish(&hash))
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

	#[test]
	fn digest_depends_on_names_and_contents_only() {
		let dir = tempfile::tempdir().unwrap();
		fs::write(dir.path().join("a"), "12").unwrap();
		fs::write(dir.path().join("b"), "3").unwrap();
		let of = |files: &[&str]| {
			digest(dir.path(), &files.iter().map(PathBuf::from).collect::<Vec<_>>()).unwrap()
		};
		let before = of(&["a", "b"]);
		assert_eq!(before, of(&["b", "a", "b"]));
		assert_ne!(before, of(&["a"]));

		let mut by_hand = blake2_256();
		for (name, content) in [("a", "12"), ("b", "3")] {
			by_hand.update(&1u64.to_le_bytes()).update(name.as_bytes());
			by_hand.update(&(content.len() as u64).to_le_bytes()).update(content.as_bytes());
		}
		assert_eq!(before, finish(&by_hand));

		fs::write(dir.path().join("a"), "1").unwrap();
		fs::write(dir.path().join("b"), "23").unwrap();
		assert_ne!(before, of(&["a", "b"]), "content moved from one file to the next");
	}
}
