//! The demo's model, with which the tests render, too.

use anyhow::{Context, Result};
use std::{
	fs, io,
	path::{Path, PathBuf},
};

/// Name of the model, which is the name of its directory.
pub const NAME: &str = "demo";

/// The directory with the models of this repository.
pub fn directory() -> PathBuf {
	Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("miner").join("models")
}

/// Makes a copy of the model in `models`, to be broken: its directory.
pub fn copy_to(models: &Path) -> Result<PathBuf> {
	let copied = models.join(NAME);
	copy(&directory().join(NAME), &copied)
		.with_context(|| format!("cannot copy the model to {}", copied.display()))?;
	Ok(copied)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
	fs::create_dir(to)?;
	for entry in fs::read_dir(from)? {
		let entry = entry?;
		let to = to.join(entry.file_name());
		if entry.file_type()?.is_dir() {
			copy(&entry.path(), &to)?;
		} else {
			fs::copy(entry.path(), to)?;
		}
	}
	Ok(())
}
