//! The store in one redb file.

use super::outbox::{deliveries, delivery};
use super::tables::{
	assignments_of, decode, events_of, uploads_of, Tables, ACCOUNTS, ACCOUNT_EVENTS, BY_END, DRAWS,
	ENDED, EVENTS, EVIDENCE, FORMAT, FORMATS_WITH_RECORDS, IDS, KNOWN_FORMAT, META, NEXT_SEQUENCE,
	OWNER, TEXTS, UNFINISHED, UPLOADS,
};
use super::{
	audit, Durability, Entry, Evidence, Retention, StoreError, TaskStore, Unfinished, Upload,
	Written, TASKS_FILE,
};
use crate::accounts::{Account, AccountEvent};
use crate::scheduler::{AccountId, Event, TaskRecord};
use crate::webhooks::Delivery;
use cuckoo_coordinator_api::{assignment::AssignmentRecord, task::TaskId};
use redb::{
	backends::InMemoryBackend, Database, DatabaseError, ReadTransaction, ReadableDatabase,
	ReadableTable, WriteTransaction,
};
use std::fs::DirBuilder;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// What the database may hold of its file in memory.
const CACHE_BYTES: usize = 128 << 20;

/// Tasks in one file, which this process alone may have open.
pub struct RedbStore {
	database: Database,
	durability: Durability,
	retention: Retention,
}

impl RedbStore {
	/// Opens the file in a data directory, both made if they are missing.
	///
	/// # Errors
	///
	/// The directory cannot be made, or those of [`Self::open`].
	pub fn in_directory(
		dir: &Path,
		durability: Durability,
		retention: Retention,
	) -> Result<Self, StoreError> {
		// Prompts and leases are nobody else's business.
		DirBuilder::new()
			.recursive(true)
			.mode(0o700)
			.create(dir)
			.map_err(|error| StoreError::Directory { path: dir.to_owned(), error })?;
		Self::open(&dir.join(TASKS_FILE), durability, retention)
	}

	/// Opens a file, which is made if it is missing.
	///
	/// # Errors
	///
	/// It is in use, of an unknown format, or broken.
	pub fn open(
		path: &Path,
		durability: Durability,
		retention: Retention,
	) -> Result<Self, StoreError> {
		let opened = Database::builder().set_cache_size(CACHE_BYTES).create(path);
		let database = opened.map_err(|error| match error {
			DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
			DatabaseError::UpgradeRequired(version) => StoreError::Format {
				path: path.to_owned(),
				found: format!("redb {version}"),
				known: KNOWN_FORMAT,
			},
			error => StoreError::Open { path: path.to_owned(), error: Box::new(error.into()) },
		})?;
		Self::prepare(database, path, durability, retention)
	}

	/// A store that is gone when it is dropped.
	pub fn in_memory(retention: Retention) -> Result<Self, StoreError> {
		let database = Database::builder().create_with_backend(InMemoryBackend::new())?;
		Self::prepare(database, Path::new("in memory"), Durability::Commit, retention)
	}

	/// Makes the tables where they are missing, and sees that it knows them where they are not.
	fn prepare(
		database: Database,
		path: &Path,
		durability: Durability,
		retention: Retention,
	) -> Result<Self, StoreError> {
		let store = Self { database, durability, retention };
		let transaction = store.begin(Durability::Commit)?;
		{
			let mut tables = Tables::open(&transaction)?;
			let found = tables.meta.get(FORMAT)?.map(|format| format.value());
			match found {
				Some(KNOWN_FORMAT) => {},
				Some(found) if FORMATS_WITH_RECORDS.contains(&found) => {
					transaction.delete_table(ENDED)?;
					tables.meta.insert(FORMAT, KNOWN_FORMAT)?;
				},
				None => drop(tables.meta.insert(FORMAT, KNOWN_FORMAT)?),
				Some(found) => {
					return Err(StoreError::Format {
						path: path.to_owned(),
						found: found.to_string(),
						known: KNOWN_FORMAT,
					});
				},
			}
		}
		transaction.commit()?;
		Ok(store)
	}

	/// Sees that the store is of this owner, or makes it so if it is new.
	///
	/// # Errors
	///
	/// It is somebody else's.
	pub fn claim(&self, owner: &str) -> Result<(), StoreError> {
		let transaction = self.begin(Durability::Commit)?;
		{
			let mut texts = transaction.open_table(TEXTS)?;
			let found = texts.get(OWNER)?.map(|found| found.value().to_owned());
			match found {
				None => drop(texts.insert(OWNER, owner)?),
				Some(found) if found == owner => {},
				Some(found) => {
					return Err(StoreError::Foreign { found, owner: owner.to_owned() });
				},
			}
		}
		Ok(transaction.commit()?)
	}

	fn begin(&self, durability: Durability) -> Result<WriteTransaction, StoreError> {
		let mut transaction = self.database.begin_write()?;
		match durability {
			// After a crash the file opens at once instead of being read through.
			Durability::Commit => transaction.set_quick_repair(true),
			Durability::Eventual => transaction.set_durability(redb::Durability::None)?,
		}
		Ok(transaction)
	}

	/// All accounts, in the order in which they were made.
	pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
		let read = self.database.begin_read()?;
		let table = read.open_table(ACCOUNTS)?;
		let all = table.iter()?;
		all.map(|entry| decode(entry?.1.value())).collect()
	}

	/// All that was done to an account, in order.
	pub fn account_events(&self, account: AccountId) -> Result<Vec<AccountEvent>, StoreError> {
		let read = self.database.begin_read()?;
		let table = read.open_table(ACCOUNT_EVENTS)?;
		let all = table.range((account.0, 0)..=(account.0, u32::MAX))?;
		all.map(|entry| decode(entry?.1.value())).collect()
	}

	/// What the last run left to be done.
	///
	/// # Errors
	///
	/// It cannot be read, or an account does not balance.
	pub fn unfinished(&self) -> Result<Unfinished, StoreError> {
		let read = self.database.begin_read()?;
		let mut unfinished = Unfinished {
			next_sequence: next_sequence(&read)?,
			deliveries: deliveries(&read)?,
			latest: read.open_table(BY_END)?.last()?.map_or(0, |(key, _)| key.value().0),
			..Unfinished::default()
		};
		let uploads = read.open_table(UPLOADS)?;
		let events = read.open_table(EVENTS)?;
		for entry in read.open_table(UNFINISHED)?.iter()? {
			let Some(record) = TaskRecord::rebuild(events_of(&events, entry?.0.value())?) else {
				continue;
			};
			unfinished.latest = unfinished.latest.max(record.changed_at);
			for ((_, attempt, index), upload) in uploads_of(&uploads, record.sequence, None)? {
				unfinished.uploads.push(((record.id.clone(), attempt, index), upload));
			}
			unfinished.tasks.push(record);
		}
		unfinished.accounts = self.accounts()?;
		for account in &unfinished.accounts {
			audit::check(account, &self.account_events(account.id)?, &unfinished.tasks)?;
		}
		Ok(unfinished)
	}

	fn sequence(read: &ReadTransaction, id: &TaskId) -> Result<Option<u64>, StoreError> {
		Ok(read.open_table(IDS)?.get(id.as_str())?.map(|sequence| sequence.value()))
	}
}

/// The place of the next offer.
fn next_sequence(read: &ReadTransaction) -> Result<u64, StoreError> {
	Ok(read.open_table(META)?.get(NEXT_SEQUENCE)?.map_or(0, |next| next.value()))
}

impl TaskStore for RedbStore {
	fn write(&self, group: &[Entry]) -> Result<Written, StoreError> {
		let transaction = self.begin(self.durability)?;
		let written = {
			let mut tables = Tables::open(&transaction)?;
			for entry in group {
				match entry {
					Entry::Change(change) => tables.change(change)?,
					Entry::Account(event) => tables.account_event(event)?,
					Entry::Upload { id, attempt, index, upload } => {
						tables.upload(id, *attempt, *index, upload)?;
					},
					Entry::Abandon { id, attempt } => tables.abandon(id, *attempt)?,
					Entry::Evidence { id, evidence } => tables.evidence(id, evidence)?,
					Entry::Postpone { due, tries } => tables.postpone(*due, *tries)?,
					Entry::Delivered { number } => tables.delivered(*number)?,
					Entry::Prune { now } => tables.prune(*now, &self.retention)?,
				}
			}
			tables.finish()?
		};
		transaction.commit()?;
		Ok(written)
	}

	fn sync(&self) -> Result<(), StoreError> {
		Ok(self.begin(Durability::Commit)?.commit()?)
	}

	fn task(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
		self.events(id).map(TaskRecord::rebuild)
	}

	fn events(&self, id: &TaskId) -> Result<Vec<Event>, StoreError> {
		let read = self.database.begin_read()?;
		match Self::sequence(&read, id)? {
			Some(sequence) => events_of(&read.open_table(EVENTS)?, sequence),
			None => Ok(Vec::new()),
		}
	}

	fn assignment(&self, id: &TaskId) -> Result<Option<AssignmentRecord>, StoreError> {
		let read = self.database.begin_read()?;
		let Some(sequence) = Self::sequence(&read, id)? else { return Ok(None) };
		let record = assignments_of(&read.open_table(DRAWS)?, sequence, 1)?.pop();
		Ok(record.filter(|record| record.sequence == sequence))
	}

	fn assignments(&self, from: u64, most: usize) -> Result<Vec<AssignmentRecord>, StoreError> {
		assignments_of(&self.database.begin_read()?.open_table(DRAWS)?, from, most)
	}

	fn assigned(&self) -> Result<Range<u64>, StoreError> {
		let read = self.database.begin_read()?;
		let next = next_sequence(&read)?;
		let first = read.open_table(DRAWS)?.first()?.map_or(next, |(key, _)| key.value().0);
		Ok(first..next)
	}

	fn upload(&self, id: &TaskId, attempt: u32, index: u32) -> Result<Option<Upload>, StoreError> {
		let read = self.database.begin_read()?;
		let Some(sequence) = Self::sequence(&read, id)? else { return Ok(None) };
		let upload = read.open_table(UPLOADS)?.get((sequence, attempt, index))?;
		upload.map(|upload| decode(upload.value())).transpose()
	}

	fn delivery(&self, number: u64) -> Result<Option<Delivery>, StoreError> {
		delivery(&self.database.begin_read()?, number)
	}

	fn evidence(&self, id: &TaskId) -> Result<Vec<Evidence>, StoreError> {
		let read = self.database.begin_read()?;
		let table = read.open_table(EVIDENCE)?;
		let all = table.range((id.as_str(), 0)..=(id.as_str(), u32::MAX))?;
		all.map(|entry| decode(entry?.1.value())).collect()
	}
}

impl<E: Into<redb::Error>> From<E> for StoreError {
	fn from(error: E) -> Self {
		Self::Database(Box::new(error.into()))
	}
}
