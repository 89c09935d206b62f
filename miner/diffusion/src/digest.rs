//! What identifies a model: the digest over its files, computed once and remembered in the user's cache
//! folder.
//!
//! What is remembered counts only while nothing about the files has changed: their paths, lengths, inodes,
//! and the times of the last change of their content and of what the file system knows of them. Without a
//! cache, or with a damaged one, the digest is computed anew.

use crate::{error::one_line, LoadError};
use serde::{Deserialize, Serialize};
use std::{
	fs::{self, File, Metadata},
	io::{self, Read},
	os::unix::fs::MetadataExt,
	path::{Path, PathBuf},
	time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What was changed less than this before its digest was computed may be changed once more without a
/// new time, as the clocks of file systems are coarse: it is not remembered.
const SETTLED: Duration = Duration::from_secs(2);

/// Models of fewer bytes are hashed in the time that the look-up takes: they are not remembered.
const LEAST: u64 = 64 << 20;

pub(crate) fn blake2_256() -> blake2b_simd::State {
	blake2b_simd::Params::new().hash_length(32).to_state()
}

pub(crate) fn finish(hash: &blake2b_simd::State) -> [u8; 32] {
	let mut digest = [0; 32];
	digest.copy_from_slice(hash.finalize().as_bytes());
	digest
}

/// The digest that [`ModelInfo::digest`](crate::ModelInfo::digest) documents, over `files` given
/// relative to `dir`.
pub(crate) fn of_files(dir: &Path, files: &[PathBuf]) -> Result<[u8; 32], LoadError> {
	let files = Files::new(dir, files);
	match directories::BaseDirs::new() {
		Some(user) => {
			let file = user.cache_dir().join("cuckoo/digests.json");
			Cache { file, settled: SETTLED, least: LEAST }.digest(&files)
		},
		None => files.digest(),
	}
}

/// Adds the length of a file and its content.
pub(crate) fn add_file(hash: &mut blake2b_simd::State, path: &Path) -> Result<(), LoadError> {
	let error = |source| LoadError::Io { path: path.to_owned(), source };
	let mut file = File::open(path).map_err(error)?;
	hash.update(&file.metadata().map_err(error)?.len().to_le_bytes());
	let mut buffer = vec![0; 1 << 20];
	loop {
		let read = file.read(&mut buffer).map_err(error)?;
		if read == 0 {
			return Ok(());
		}
		hash.update(&buffer[..read]);
	}
}

/// Files of a directory, in the order of their names.
struct Files<'a> {
	dir: &'a Path,
	/// Relative to the directory, with slashes; and the full path.
	files: Vec<(String, PathBuf)>,
}

impl<'a> Files<'a> {
	fn new(dir: &'a Path, files: &[PathBuf]) -> Self {
		let named = |file: &PathBuf| {
			let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
			(parts.join("/"), dir.join(file))
		};
		let mut files: Vec<_> = files.iter().map(named).collect();
		files.sort();
		files.dedup();
		Self { dir, files }
	}

	fn digest(&self) -> Result<[u8; 32], LoadError> {
		let mut hash = blake2_256();
		for (name, path) in &self.files {
			hash.update(&(name.len() as u64).to_le_bytes());
			hash.update(name.as_bytes());
			add_file(&mut hash, path)?;
		}
		Ok(finish(&hash))
	}

	/// How the files look from outside.
	fn state(&self) -> io::Result<State> {
		let state = |(name, path): &(String, PathBuf)| {
			let metadata = fs::metadata(path)?;
			Ok(FileState {
				name: name.clone(),
				length: metadata.len(),
				device: metadata.dev(),
				inode: metadata.ino(),
				modified: modified(&metadata),
				changed: changed(&metadata),
			})
		};
		Ok(State {
			directory: self.dir.canonicalize()?,
			files: self.files.iter().map(state).collect::<io::Result<_>>()?,
		})
	}
}

/// Seconds and nanoseconds since 1970 of the last change of a file's content.
fn modified(metadata: &Metadata) -> (i64, i64) {
	(metadata.mtime(), metadata.mtime_nsec())
}

/// The same of what the file system knows of it; nobody can set this back.
fn changed(metadata: &Metadata) -> (i64, i64) {
	(metadata.ctime(), metadata.ctime_nsec())
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct State {
	directory: PathBuf,
	files: Vec<FileState>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct FileState {
	name: String,
	length: u64,
	device: u64,
	inode: u64,
	modified: (i64, i64),
	changed: (i64, i64),
}

impl State {
	/// Of all files together.
	fn length(&self) -> u64 {
		self.files.iter().map(|file| file.length).sum()
	}

	/// Whether all was last changed so long before `now`.
	fn settled(&self, now: SystemTime, long: Duration) -> bool {
		let until = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(long);
		let until = (until.as_secs().cast_signed(), i64::from(until.subsec_nanos()));
		self.files.iter().all(|file| file.modified.max(file.changed) <= until)
	}
}

/// What is remembered of a directory.
#[derive(Serialize, Deserialize)]
struct Entry {
	#[serde(flatten)]
	state: State,
	digest: [u8; 32],
}

/// The file with what is remembered.
struct Cache {
	file: PathBuf,
	settled: Duration,
	least: u64,
}

impl Cache {
	fn digest(&self, files: &Files) -> Result<[u8; 32], LoadError> {
		let start = SystemTime::now();
		// Files that cannot be looked at are an error when they are read.
		let Ok(before) = files.state() else { return files.digest() };
		if before.length() < self.least {
			return files.digest();
		}
		let entries = self.read();
		if let Some(known) = entries.iter().find(|entry| entry.state == before) {
			return Ok(known.digest);
		}
		let digest = files.digest()?;
		let unchanged = files.state().is_ok_and(|after| after == before);
		if unchanged && before.settled(start, self.settled) {
			let directory = before.directory.clone();
			if let Err(error) = self.remember(entries, Entry { state: before, digest }) {
				let (file, directory) = (self.file.display(), directory.display());
				tracing::debug!("cannot note the digest of {directory} in {file}: {error}");
			}
		}
		Ok(digest)
	}

	fn read(&self) -> Vec<Entry> {
		let read = fs::read(&self.file);
		if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
			return Vec::new();
		}
		read.and_then(|text| Ok(serde_json::from_slice(&text)?)).unwrap_or_else(|error| {
			tracing::debug!("cannot use {}: {}", self.file.display(), one_line(&error));
			Vec::new()
		})
	}

	/// Writes the entries of the directories that there still are, and the new one.
	fn remember(&self, mut entries: Vec<Entry>, new: Entry) -> io::Result<()> {
		entries.retain(|entry| {
			entry.state.directory != new.state.directory && entry.state.directory.is_dir()
		});
		entries.push(new);
		if let Some(folder) = self.file.parent() {
			fs::create_dir_all(folder)?;
		}
		// Others who read meanwhile see the old file or the new one.
		let fresh = self.file.with_extension(format!("{}.new", std::process::id()));
		fs::write(&fresh, serde_json::to_vec(&entries)?)?;
		fs::rename(&fresh, &self.file)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn paths(names: &[&str]) -> Vec<PathBuf> {
		names.iter().map(PathBuf::from).collect()
	}

	#[test]
	fn digest_depends_on_names_and_contents_only() {
		let dir = tempfile::tempdir().unwrap();
		fs::write(dir.path().join("a"), "12").unwrap();
		fs::write(dir.path().join("b"), "3").unwrap();
		let of = |files: &[&str]| of_files(dir.path(), &paths(files)).unwrap();
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

	/// A directory with the file "a", beside a cache.
	fn directory() -> (tempfile::TempDir, PathBuf, Cache) {
		let root = tempfile::tempdir().unwrap();
		let dir = root.path().join("model");
		fs::create_dir(&dir).unwrap();
		fs::write(dir.join("a"), "12").unwrap();
		let file = root.path().join("cache/digests.json");
		(root, dir, Cache { file, settled: Duration::ZERO, least: 1 })
	}

	fn digest(cache: &Cache, dir: &Path) -> [u8; 32] {
		cache.digest(&Files::new(dir, &paths(&["a"]))).unwrap()
	}

	/// Replaces every remembered digest by one that no file has.
	fn falsify(cache: &Cache) {
		let mut entries = cache.read();
		assert!(!entries.is_empty(), "nothing is remembered");
		for entry in &mut entries {
			entry.digest = [7; 32];
		}
		fs::write(&cache.file, serde_json::to_vec(&entries).unwrap()).unwrap();
	}

	#[test]
	fn a_digest_is_remembered_until_anything_changes() {
		let (_root, dir, cache) = directory();
		let file = dir.join("a");
		let sound = digest(&cache, &dir);
		falsify(&cache);
		assert_eq!(digest(&cache, &dir), [7; 32], "it is not computed again");

		let modified = fs::metadata(&file).unwrap().modified().unwrap();
		let set_modified = |time| {
			File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
		};
		let changes: [(&str, &dyn Fn()); 4] = [
			("time", &|| set_modified(modified + Duration::from_nanos(1))),
			// As somebody would who wants to hide it.
			("content alone", &|| {
				std::thread::sleep(Duration::from_millis(20));
				fs::write(&file, "21").unwrap();
				set_modified(modified + Duration::from_nanos(1));
			}),
			("file", &|| {
				fs::write(dir.join("b"), "12").unwrap();
				fs::rename(dir.join("b"), &file).unwrap();
			}),
			("length", &|| fs::write(&file, "123").unwrap()),
		];
		for (what, change) in changes {
			falsify(&cache);
			change();
			let expected = Files::new(&dir, &paths(&["a"])).digest().unwrap();
			assert_eq!(digest(&cache, &dir), expected, "another {what}");
			assert_eq!(cache.read().len(), 1, "one entry a directory");
		}
		assert_ne!(digest(&cache, &dir), sound);
	}

	#[test]
	fn what_changed_just_now_or_is_small_is_not_remembered() {
		let (_root, dir, cache) = directory();
		let cache = Cache { settled: Duration::from_hours(1), ..cache };
		digest(&cache, &dir);
		let cache = Cache { settled: Duration::ZERO, least: 3, ..cache };
		digest(&cache, &dir);
		assert!(!cache.file.exists());
		let cache = Cache { least: 2, ..cache };
		digest(&cache, &dir);
		assert!(cache.file.exists());
	}

	#[test]
	fn without_a_sound_cache_digests_are_computed() {
		let (root, dir, cache) = directory();
		let sound = digest(&cache, &dir);
		for damaged in ["", "[", "{}", r#"[{"digest":[]}]"#] {
			fs::write(&cache.file, damaged).unwrap();
			assert_eq!(digest(&cache, &dir), sound);
			assert_eq!(cache.read().len(), 1, "it is mended");
		}
		// A folder where a file should be.
		let file = root.path().to_owned();
		assert_eq!(digest(&Cache { file, ..cache }, &dir), sound);
	}

	#[test]
	fn what_is_gone_is_forgotten() {
		let (root, dir, cache) = directory();
		digest(&cache, &dir);
		let moved = root.path().join("other");
		fs::rename(&dir, &moved).unwrap();
		digest(&cache, &moved);
		let entries = cache.read();
		assert_eq!(entries.len(), 1);
		assert!(entries[0].state.directory.ends_with("other"));
	}
}
