//! The untrained model with which the tests and the demo render.

use anyhow::{Context, Result};
use std::{
	env, fs,
	path::{Path, PathBuf},
};

/// Name of the model, which is the name of its directory.
pub const NAME: &str = "untrained-tiny";

/// Seed from which its weights are drawn.
const SEED: u64 = 1;

/// The directory in the user's cache that holds the untrained model. It is made if it is not there.
pub fn cached() -> Result<PathBuf> {
	let cache = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
		Some(dir) => PathBuf::from(dir),
		None => {
			PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
				.join(".cache")
		},
	};
	// Another version may draw other weights.
	let dir = cache.join("cuckoo").join("models").join(env!("CARGO_PKG_VERSION"));
	fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
	make(&dir)?;
	Ok(dir)
}

/// Makes the untrained model in `models`, unless it is there: whole, or not at all.
pub fn make(models: &Path) -> Result<()> {
	let model = models.join(NAME);
	if model.is_dir() {
		return Ok(());
	}
	let context = || format!("cannot write the model {}", model.display());
	let unfinished =
		tempfile::Builder::new().prefix(".").tempdir_in(models).with_context(context)?;
	cuckoo_diffusion::untrained::write(unfinished.path(), SEED).with_context(context)?;
	match fs::rename(unfinished.path(), &model) {
		// Somebody else was faster.
		Err(_) if model.is_dir() => Ok(()),
		renamed => renamed.with_context(context),
	}
}
