//! Files that must not replace others: keys and certificates.

use std::{
	fs::OpenOptions,
	io::{self, Write},
	path::Path,
};

/// Writes `text` to a new file at `path`, down to the disk, with these permissions (`mode`, as on Unix).
///
/// # Errors
///
/// `AlreadyExists` if there is such a file, which is left as it is; or it cannot be written.
pub fn write_new(path: &Path, mode: u32, text: &str) -> io::Result<()> {
	let mut options = OpenOptions::new();
	options.write(true).create_new(true);
	#[cfg(unix)]
	std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
	let mut file = options.open(path)?;
	file.write_all(text.as_bytes())?;
	file.sync_all()
}
