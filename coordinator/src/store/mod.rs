//! Where tasks and pictures are kept, so that nothing that was promised is lost.
//!
//! The scheduler works on tasks that have not ended; whatever happens to them is appended to the
//! [`Journal`], which writes it to a [`TaskStore`] in groups and tells nobody before it is there. Ended
//! tasks are read from the store. Pictures lie beside it, in an object store.
//!
//! - `journal`: groups of changes, one writer, and who waits for them;
//! - `database`: the store in a redb file; `tables`: how it is laid out, `outbox`: messages to apps in it;
//!   `audit`: that accounts balance;
//! - `pictures`: the object store.

mod audit;
mod database;
mod journal;
mod outbox;
mod pictures;
mod tables;
#[cfg(test)]
mod tests;

pub use database::RedbStore;
pub use journal::{Journal, Outflow};
pub use pictures::Pictures;

use crate::accounts::{Account, AccountEvent};
use crate::scheduler::{Change, Event, Millis, TaskRecord};
use crate::webhooks::{Delivery, Due};
use cuckoo_coordinator_api::{assignment::AssignmentRecord, task::TaskId};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// File of the tasks and accounts in the data directory.
pub const TASKS_FILE: &str = "tasks.redb";
/// Directory of the pictures in the data directory.
const PICTURES_DIR: &str = "pictures";

/// Keeps tasks. Every method may block for as long as the disk takes.
pub trait TaskStore: Send + Sync {
	/// Writes a group of entries, in order, all or none, and messages to apps with the changes of which
	/// they tell.
	fn write(&self, group: &[Entry]) -> Result<Written, StoreError>;

	/// Makes sure that everything written so far outlives a crash.
	fn sync(&self) -> Result<(), StoreError>;

	/// A task as it was written last.
	fn task(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError>;

	/// All that happened to a task, in order.
	fn events(&self, id: &TaskId) -> Result<Vec<Event>, StoreError>;

	/// How miners were drawn for a task.
	fn assignment(&self, id: &TaskId) -> Result<Option<AssignmentRecord>, StoreError>;

	/// How miners were drawn for the tasks from a sequence number on: all of them or the first `most`.
	fn assignments(&self, from: u64, most: usize) -> Result<Vec<AssignmentRecord>, StoreError>;

	/// The sequence numbers of the tasks for which it knows that.
	fn assigned(&self) -> Result<Range<u64>, StoreError>;

	/// A picture of an attempt.
	fn upload(&self, id: &TaskId, attempt: u32, index: u32) -> Result<Option<Upload>, StoreError>;

	/// A message that has not been received yet.
	fn delivery(&self, number: u64) -> Result<Option<Delivery>, StoreError>;

	/// Results that contradict accepted ones of the same miner, task and attempt.
	fn evidence(&self, id: &TaskId) -> Result<Vec<Evidence>, StoreError>;
}

/// What follows from a group that was written.
#[derive(Debug, Default, PartialEq)]
pub struct Written {
	/// Names of pictures that nobody needs any more.
	pub garbage: Vec<String>,
	/// Messages to apps that are to be sent.
	pub deliveries: Vec<Due>,
}

/// Something to be kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
	/// Something happened to a task, and with that to the account of its app. With its end go the
	/// pictures of all attempts but the accepted one.
	Change(Box<Change>),
	/// Something was done to an account.
	Account(AccountEvent),
	/// A picture was uploaded, in place of an earlier one with the same index.
	Upload {
		/// For this task,
		id: TaskId,
		/// in this attempt,
		attempt: u32,
		/// at this place.
		index: u32,
		/// The picture.
		upload: Upload,
	},
	/// An attempt came to nothing: its pictures can go.
	Abandon {
		/// Of this task.
		id: TaskId,
		/// Which attempt.
		attempt: u32,
	},
	/// A miner contradicted itself.
	Evidence {
		/// About this task.
		id: TaskId,
		/// Both results.
		evidence: Evidence,
	},
	/// A message is to be sent again.
	Postpone {
		/// Which one, and when.
		due: Due,
		/// How often it was sent in vain.
		tries: u32,
	},
	/// A message was received, or given up.
	Delivered {
		/// Which one.
		number: u64,
	},
	/// What has been kept for as long, or is as much, as may be, is to go.
	Prune {
		/// The present time.
		now: Millis,
	},
}

/// An uploaded picture, found to be what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upload {
	/// Name in the object store.
	pub name: String,
	/// Size of the PNG in bytes.
	pub bytes: u64,
	/// Width in pixels.
	pub width: u32,
	/// Height in pixels.
	pub height: u32,
	/// BLAKE2-256 of the raw RGB pixels, in hexadecimal.
	pub digest: String,
}

/// Two results that one miner signed for the same task and attempt, with different pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
	/// Which attempt.
	pub attempt: u32,
	/// When the second one came.
	pub at: Millis,
	/// The one that was accepted, as its miner signed it, as JSON.
	pub accepted: String,
	/// The one that was refused, likewise.
	pub refused: String,
}

/// What the last run of the coordinator left to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Unfinished {
	/// Tasks that have not ended, in the order of their offers.
	pub tasks: Vec<TaskRecord>,
	/// Pictures that were uploaded for them: task, attempt, index.
	pub uploads: Vec<((TaskId, u32, u32), Upload)>,
	/// Messages to apps that have not been received yet.
	pub deliveries: Vec<Due>,
	/// All accounts, in the order in which they were made.
	pub accounts: Vec<Account>,
	/// The place of the next offer.
	pub next_sequence: u64,
	/// The latest time that is on record.
	pub latest: Millis,
}

/// How much is kept of tasks that have ended.
#[derive(Clone, Debug)]
pub struct Retention {
	/// For how long, in milliseconds.
	pub age_ms: Millis,
	/// How many bytes of records and pictures; the tasks that ended first go first.
	pub bytes: u64,
	/// How many tasks, at least, for which it is known how miners were drawn: the last ones, and all of
	/// which anything else is kept.
	pub draws: u64,
}

impl Default for Retention {
	fn default() -> Self {
		Self { age_ms: 24 * 3_600_000, bytes: 10 << 30, draws: 1_000_000 }
	}
}

/// When an answer goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Durability {
	/// When what it promises is on the disk. Nothing that was promised is lost in a crash.
	#[default]
	Commit,
	/// At once; the disk follows within a second. A crash loses at most that.
	Eventual,
}

/// Why tasks or pictures cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
	/// The data directory cannot be made.
	#[error("cannot make the data directory {}: {error}; choose another one with --data", path.display())]
	Directory {
		/// Where.
		path: PathBuf,
		/// Why.
		error: std::io::Error,
	},
	/// Another process has the store.
	#[error(
		"the store {} is in use by another process: stop that one, or choose another directory with \
		--data",
		.0.display()
	)]
	InUse(PathBuf),
	/// The store was written by another version.
	#[error(
		"the store {} has format {found}, and this program knows format {known}: use the version that \
		wrote it, or choose another directory with --data",
		path.display()
	)]
	Format {
		/// Where.
		path: PathBuf,
		/// The format that it has.
		found: String,
		/// The format that is known.
		known: u64,
	},
	/// The store holds the tasks of another coordinator.
	#[error(
		"the store holds the tasks of coordinator {found}, and this is {owner}: choose another directory \
		with --data"
	)]
	Foreign {
		/// Whose tasks it holds.
		found: String,
		/// Who asks for it.
		owner: String,
	},
	/// The store cannot be opened.
	#[error("cannot open the store {}: {error}", path.display())]
	Open {
		/// Where.
		path: PathBuf,
		/// Why.
		error: Box<redb::Error>,
	},
	/// An account does not fit the tasks of its app, or what was put in and taken out.
	#[error("the account {account} does not balance: {why}; restore the store from a back-up, and report this as a fault")]
	Unbalanced {
		/// Its number.
		account: u64,
		/// What does not fit.
		why: String,
	},
	/// The database failed.
	#[error("the store failed: {0}")]
	Database(Box<redb::Error>),
	/// Something in the store cannot be read.
	#[error("a record in the store cannot be read: {0}")]
	Record(#[from] RecordError),
	/// The place for the pictures is not understood.
	#[error("cannot keep pictures in {url:?}: {why}")]
	PicturesUrl {
		/// What was asked for.
		url: String,
		/// What is wrong with it.
		why: String,
	},
	/// A picture cannot be kept or read.
	#[error("the pictures failed: {0}")]
	Pictures(#[from] PictureError),
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RecordError(pub(crate) serde_json::Error);

/// Why a picture cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PictureError(pub(crate) object_store::Error);

/// Everything that is kept, opened.
pub struct Store {
	pub(crate) journal: Journal,
	pub(crate) pictures: Pictures,
	pub(crate) unfinished: Unfinished,
	pub(crate) outflow: Outflow,
}

impl Store {
	/// Opens the store in a directory, which is made if it is missing; with the pictures at `pictures`
	/// (a URL) or, where none is given, in the same directory. `owner` names the coordinator and its
	/// chain: a store serves only the one that made it.
	///
	/// # Errors
	///
	/// The store is in use, another coordinator's, of an unknown format or broken, or the place for
	/// pictures is no good.
	pub fn open(
		dir: &Path,
		owner: &str,
		pictures: Option<&str>,
		durability: Durability,
		retention: Retention,
	) -> Result<Self, StoreError> {
		let database = RedbStore::in_directory(dir, durability, retention)?;
		database.claim(owner)?;
		let pictures = match pictures {
			Some(url) => Pictures::at(url, durability, std::env::vars())?,
			None => Pictures::in_directory(&dir.join(PICTURES_DIR), durability)?,
		};
		Self::start(database, pictures, durability)
	}

	/// A store that is gone when it is dropped.
	pub fn in_memory(retention: Retention) -> Result<Self, StoreError> {
		let database = RedbStore::in_memory(retention)?;
		Self::start(database, Pictures::in_memory(), Durability::Commit)
	}

	fn start(
		database: RedbStore,
		pictures: Pictures,
		durability: Durability,
	) -> Result<Self, StoreError> {
		let unfinished = database.unfinished()?;
		let (journal, outflow) = Journal::start(Box::new(database), &unfinished.tasks, durability);
		Ok(Self { journal, pictures, unfinished, outflow })
	}
}
