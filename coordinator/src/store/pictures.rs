//! The pictures: files in a directory, or objects in a bucket. A name is used once, so nothing is ever
//! overwritten.

use super::{Durability, PictureError, StoreError};
use bytes::Bytes;
use cuckoo_coordinator_api::task::TaskId;
use futures::StreamExt;
use object_store::{
	local::LocalFileSystem, memory::InMemory, path::Path as ObjectPath, prefix::PrefixStore,
	ObjectStore, ObjectStoreExt, PutPayload,
};
use rand::RngCore;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use url::Url;

/// Where pictures lie.
pub struct Pictures {
	store: Arc<dyn ObjectStore>,
	/// Tells the names that this process gives from those of others.
	run: String,
	next: AtomicU64,
}

impl Pictures {
	fn new(store: Arc<dyn ObjectStore>) -> Self {
		let run = format!("{:016x}", rand::rngs::OsRng.next_u64());
		Self { store, run, next: AtomicU64::default() }
	}

	/// Pictures that are gone when this is dropped.
	pub fn in_memory() -> Self {
		Self::new(Arc::new(InMemory::new()))
	}

	/// Pictures in a directory, which is made if it is missing.
	///
	/// # Errors
	///
	/// If it cannot be made.
	pub fn in_directory(dir: &Path, durability: Durability) -> Result<Self, StoreError> {
		std::fs::create_dir_all(dir)
			.map_err(|error| StoreError::Directory { path: dir.to_owned(), error })?;
		let files = LocalFileSystem::new_with_prefix(dir).map_err(PictureError)?;
		Ok(Self::new(Arc::new(files.with_fsync(durability == Durability::Commit))))
	}

	/// Pictures at a URL: `file:///DIR` or `s3://BUCKET/PREFIX`. Keys, region and endpoint of the
	/// bucket come from `environment`, by the names that AWS uses.
	///
	/// # Errors
	///
	/// If the URL is not understood, or the directory cannot be made.
	pub fn at(
		url: &str,
		durability: Durability,
		environment: impl IntoIterator<Item = (String, String)>,
	) -> Result<Self, StoreError> {
		let bad = |why: String| StoreError::PicturesUrl { url: url.to_owned(), why };
		let parsed = Url::parse(url).map_err(|error| {
			bad(format!("{error}; it must be file:///DIRECTORY or s3://BUCKET/PREFIX"))
		})?;
		match parsed.scheme() {
			"file" => {
				let dir = parsed.to_file_path();
				let dir = dir.map_err(|()| bad("it names no directory of this machine".into()))?;
				Self::in_directory(&dir, durability)
			},
			"s3" => {
				// For the connections to the bucket; it stays if there is one already.
				let _ = rustls::crypto::ring::default_provider().install_default();
				let (bucket, prefix) = object_store::parse_url_opts(&parsed, environment)
					.map_err(|error| bad(error.to_string()))?;
				Ok(Self::new(Arc::new(PrefixStore::new(bucket, prefix))))
			},
			scheme => Err(bad(format!("{scheme} is not known; known are file and s3"))),
		}
	}

	/// A new name for a picture.
	pub fn name(&self, id: &TaskId, attempt: u32, index: u32) -> String {
		let number = self.next.fetch_add(1, Ordering::Relaxed);
		let shelf = &id.as_str()[..2];
		format!("{shelf}/{id}-{attempt}-{index}-{}-{number}.png", self.run)
	}

	/// Keeps a picture.
	pub async fn put(&self, name: &str, png: Bytes) -> Result<(), StoreError> {
		let payload = PutPayload::from(png);
		self.store.put(&ObjectPath::from(name), payload).await.map_err(PictureError)?;
		Ok(())
	}

	/// A picture.
	pub async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
		let found = self.store.get(&ObjectPath::from(name)).await.map_err(PictureError)?;
		Ok(found.bytes().await.map_err(PictureError)?)
	}

	/// Drops a picture. One that cannot be dropped now is swept at a later start.
	pub async fn remove(&self, name: &str) {
		if let Err(error) = self.store.delete(&ObjectPath::from(name)).await {
			if !matches!(error, object_store::Error::NotFound { .. }) {
				tracing::warn!(name, %error, "a picture cannot be removed");
			}
		}
	}

	/// Drops what earlier runs left and nobody needs: `needed` says of a task, attempt, index and name
	/// whether somebody does. How many were dropped.
	pub async fn sweep(&self, needed: impl Fn(&TaskId, u32, u32, &str) -> bool) -> usize {
		let mut names = self.store.list(None);
		let mut swept = 0;
		while let Some(found) = names.next().await {
			let name = match found {
				Ok(found) => found.location.to_string(),
				Err(error) => {
					tracing::warn!(%error, "the pictures cannot be listed");
					break;
				},
			};
			// What this run writes may not be on record yet.
			let Some((id, attempt, index, run)) = parse(&name) else { continue };
			if run != self.run && !needed(&id, attempt, index, &name) {
				self.remove(&name).await;
				swept += 1;
			}
		}
		swept
	}
}

/// Task, attempt, index and run of a name; `None` for files that are not ours.
fn parse(name: &str) -> Option<(TaskId, u32, u32, &str)> {
	let mut parts = name.split_once('/')?.1.strip_suffix(".png")?.split('-');
	let id = TaskId::parse(parts.next()?)?;
	let (attempt, index) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
	Some((id, attempt, index, parts.next()?))
}

#[cfg(test)]
mod tests {
	use super::*;

	const ID: [u8; 16] = [0xab; 16];

	#[tokio::test]
	async fn pictures_lie_in_files_until_they_are_swept() {
		let dir = tempfile::tempdir().unwrap();
		let id = TaskId::from_bytes(ID);
		let png = |byte| Bytes::from(vec![byte; 100]);
		let (kept, orphan) = {
			let pictures = Pictures::in_directory(dir.path(), Durability::Commit).unwrap();
			let names = [pictures.name(&id, 1, 0), pictures.name(&id, 2, 0)];
			pictures.put(&names[0], png(1)).await.unwrap();
			pictures.put(&names[1], png(2)).await.unwrap();
			names.into()
		};
		std::fs::write(dir.path().join("ab/somebody.txt"), "else's").unwrap();
		let url = Url::from_directory_path(dir.path()).unwrap();
		let pictures = Pictures::at(url.as_str(), Durability::Eventual, []).unwrap();
		let new = pictures.name(&id, 3, 0);
		pictures.put(&new, png(3)).await.unwrap();
		let needed = |of: &TaskId, attempt, index, name: &str| {
			*of == id && (attempt, index) == (1, 0) && name == kept
		};
		assert_eq!(pictures.sweep(needed).await, 1);
		assert_eq!(pictures.get(&kept).await.unwrap(), png(1));
		assert_eq!(pictures.get(&new).await.unwrap(), png(3));
		assert!(pictures.get(&orphan).await.is_err());
		assert!(dir.path().join("ab/somebody.txt").exists());
		pictures.remove(&kept).await;
		pictures.remove(&kept).await;
		assert!(pictures.get(&kept).await.is_err());
	}

	#[test]
	fn places_that_are_no_good_are_named() {
		let refused = |url| match Pictures::at(url, Durability::Commit, []) {
			Err(error @ StoreError::PicturesUrl { .. }) => error.to_string(),
			_ => panic!("{url} must be refused"),
		};
		assert!(refused("pictures").contains("s3://BUCKET"));
		assert!(refused("ftp://x/y").contains("ftp is not known"));
		assert!(refused("file://elsewhere/x").contains("this machine"));
	}
}
