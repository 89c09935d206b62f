//! Reading the files of a model directory, and remembering which were read: they are what the
//! model's digest is made of.

use crate::LoadError;
use std::{
	cell::RefCell,
	path::{Path, PathBuf},
};

/// A model directory while it is being loaded.
pub(crate) struct ModelDirectory {
	path: PathBuf,
	read: RefCell<Vec<PathBuf>>,
}

impl ModelDirectory {
	pub fn open(path: &Path) -> Result<Self, LoadError> {
		if path.is_dir() {
			Ok(Self { path: path.to_owned(), read: RefCell::default() })
		} else {
			Err(LoadError::MissingDirectory(path.to_owned()))
		}
	}

	/// The full path of a file given relative to the directory.
	pub fn full(&self, relative: &Path) -> PathBuf {
		self.path.join(relative)
	}

	/// The first of `names` that is a file in the folder `part`, as a path relative to the
	/// directory. It counts as read.
	pub fn find(&self, part: &str, names: &[&str]) -> Result<PathBuf, LoadError> {
		self.find_optional(part, names).ok_or_else(|| LoadError::MissingFile {
			dir: self.path.join(part),
			names: names.iter().map(ToString::to_string).collect(),
		})
	}

	/// Like [`find`](Self::find), for files that may be absent.
	pub fn find_optional(&self, part: &str, names: &[&str]) -> Option<PathBuf> {
		let file = names
			.iter()
			.map(|name| Path::new(part).join(name))
			.find(|file| self.path.join(file).is_file())?;
		self.read.borrow_mut().push(file.clone());
		Some(file)
	}

	/// The text of a file found by [`find`](Self::find).
	pub fn text(&self, relative: &Path) -> Result<String, LoadError> {
		let path = self.full(relative);
		std::fs::read_to_string(&path).map_err(|source| LoadError::Io { path, source })
	}

	/// The digest over all files read so far.
	pub fn digest(&self) -> Result<[u8; 32], LoadError> {
		crate::digest::of_files(&self.path, &self.read.borrow())
	}
}
