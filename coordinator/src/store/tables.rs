//! How tasks are laid out in the database. Values are JSON: it names its fields, so that a later version
//! can add some and still read what an earlier one wrote.
//!
//! What is kept of a task is its log. Its record is what the log makes of it, so it is not written too.

use super::outbox::OUTBOX;
use super::{Evidence, RecordError, Retention, StoreError, Upload, Written};
use crate::accounts::{Account, AccountEvent, Unbalanced};
use crate::scheduler::{AccountId, Change, Event, Millis, TaskRecord};
use cuckoo_coordinator_api::{
	assignment::{AssignmentRecord, Hex},
	task::{TaskId, TaskState},
};
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use std::collections::{btree_map::Entry, BTreeMap};
use std::ops::RangeInclusive;

/// Numbers about the whole store, by name.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Texts about the whole store, by name.
pub(super) const TEXTS: TableDefinition<&str, &str> = TableDefinition::new("texts");
/// The sequence number of a task, by its name. Everything else goes by the number: what belongs to one
/// task, and to tasks of one time, lies together.
pub(super) const IDS: TableDefinition<&str, u64> = TableDefinition::new("ids");
/// Which tasks have not ended. The values are empty: the record was there in [`FORMATS_WITH_RECORDS`].
pub(super) const UNFINISHED: TableDefinition<u64, &[u8]> = TableDefinition::new("unfinished");
/// The records of ended tasks, in [`FORMATS_WITH_RECORDS`] only.
pub(super) const ENDED: TableDefinition<u64, &[u8]> = TableDefinition::new("ended");
/// All that happened: by task and number of the event, from 1.
pub(super) const EVENTS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("events");
/// How miners were drawn: by task and attempt. At attempt 0 stands the [`DrawnTask`] itself, so that no
/// number is missing even if nobody was drawn for it. Kept longer than the tasks.
pub(super) const DRAWS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("draws");
/// Uploaded pictures: by task, attempt and index.
pub(super) const UPLOADS: TableDefinition<UploadKey, &[u8]> = TableDefinition::new("uploads");

/// Sequence number of the task, attempt and index of a picture.
pub(super) type UploadKey = (u64, u32, u32);
/// Bytes that an ended task takes: by the time of its end and the task.
pub(super) const BY_END: TableDefinition<(Millis, u64), u64> = TableDefinition::new("by end");
/// Results that contradict accepted ones: by the name of the task and the attempt. Not pruned.
pub(super) const EVIDENCE: TableDefinition<(&str, u32), &[u8]> = TableDefinition::new("evidence");
/// Accounts of apps, by number.
pub(super) const ACCOUNTS: TableDefinition<u64, &[u8]> = TableDefinition::new("accounts");
/// What was done to accounts: by account and number of the event, from 1. Not pruned.
pub(super) const ACCOUNT_EVENTS: TableDefinition<(u64, u32), &[u8]> =
	TableDefinition::new("account events");

/// The layout of this module.
pub(super) const KNOWN_FORMAT: u64 = 4;
/// Layouts in which records were written beside the logs. What else they lack may be missing.
pub(super) const FORMATS_WITH_RECORDS: RangeInclusive<u64> = 2..=3;

/// In [`META`]: the layout of this module.
pub(super) const FORMAT: &str = "format";
/// In [`TEXTS`]: whose tasks these are.
pub(super) const OWNER: &str = "owner";
/// In [`META`]: the place of the next offer.
pub(super) const NEXT_SEQUENCE: &str = "next sequence";
/// In [`META`]: the bytes of all ended tasks.
pub(super) const ENDED_BYTES: &str = "ended bytes";

/// Tasks that one pruning removes at most, so that no group becomes large.
const PRUNED: usize = 1000;

/// The task to which draws belong.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DrawnTask {
	id: TaskId,
	hash: Hex<32>,
}

/// The tables, open for writing.
pub(super) struct Tables<'t> {
	pub(super) meta: Table<'t, &'static str, u64>,
	ids: Table<'t, &'static str, u64>,
	unfinished: Table<'t, u64, &'static [u8]>,
	events: Table<'t, (u64, u32), &'static [u8]>,
	draws: Table<'t, (u64, u32), &'static [u8]>,
	uploads: Table<'t, UploadKey, &'static [u8]>,
	by_end: Table<'t, (Millis, u64), u64>,
	evidence: Table<'t, (&'static str, u32), &'static [u8]>,
	accounts: Table<'t, u64, &'static [u8]>,
	account_events: Table<'t, (u64, u32), &'static [u8]>,
	/// The accounts that this group changes, as they will be after it.
	changed: BTreeMap<AccountId, Account>,
	pub(super) outbox: Table<'t, u64, &'static [u8]>,
	/// The place of the next offer, if the group has offers.
	next_sequence: Option<u64>,
	/// What the tasks take that have ended in this group.
	newly_ended_bytes: u64,
	/// What is to follow when all of this is written.
	pub(super) written: Written,
}

impl<'t> Tables<'t> {
	pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
		Ok(Self {
			meta: transaction.open_table(META)?,
			ids: transaction.open_table(IDS)?,
			unfinished: transaction.open_table(UNFINISHED)?,
			events: transaction.open_table(EVENTS)?,
			draws: transaction.open_table(DRAWS)?,
			uploads: transaction.open_table(UPLOADS)?,
			by_end: transaction.open_table(BY_END)?,
			evidence: transaction.open_table(EVIDENCE)?,
			accounts: transaction.open_table(ACCOUNTS)?,
			account_events: transaction.open_table(ACCOUNT_EVENTS)?,
			changed: BTreeMap::new(),
			outbox: transaction.open_table(OUTBOX)?,
			next_sequence: None,
			newly_ended_bytes: 0,
			written: Written::default(),
		})
	}

	/// Logs a change.
	pub(super) fn change(&mut self, change: &Change) -> Result<(), StoreError> {
		let Change { from, event: Some(event), record, draw } = change else { return Ok(()) };
		let sequence = record.sequence;
		if from.is_none() {
			self.ids.insert(record.id.as_str(), sequence)?;
			self.unfinished.insert(sequence, &[][..])?;
			self.next_sequence = Some(sequence + 1);
			let drawn = DrawnTask { id: record.id.clone(), hash: Hex(record.spec.digest()) };
			self.draws.insert((sequence, 0), &*encode(&drawn)?)?;
		}
		if let Some(draw) = draw {
			self.draws.insert((sequence, draw.attempt), &*encode(&**draw)?)?;
		}
		self.events.insert((sequence, record.events), &*encode(event)?)?;
		self.tell(change)?;
		if let Some(id) = record.app.account() {
			self.change_account(id, |account| account.follow(change))?;
		}
		if record.state.is_final() {
			self.close(record)?;
		}
		Ok(())
	}

	/// Logs what was done to an account.
	pub(super) fn account_event(&mut self, event: &AccountEvent) -> Result<(), StoreError> {
		let id = event.account;
		let number = match Account::made(event) {
			Some(account) => {
				self.changed.insert(id, account);
				1
			},
			None => self.change_account(id, |account| account.apply(event))?.events,
		};
		self.account_events.insert((id.0, number), &*encode(event)?)?;
		Ok(())
	}

	/// Changes an account; it is written at the end of the group.
	fn change_account(
		&mut self,
		id: AccountId,
		change: impl FnOnce(&mut Account) -> Result<(), Unbalanced>,
	) -> Result<&Account, StoreError> {
		let unbalanced = |why: String| StoreError::Unbalanced { account: id.0, why };
		let account = match self.changed.entry(id) {
			Entry::Occupied(account) => account.into_mut(),
			Entry::Vacant(place) => {
				let found = self.accounts.get(id.0)?.map(|account| decode(account.value()));
				place.insert(found.ok_or_else(|| unbalanced("it is missing".into()))??)
			},
		};
		change(account).map_err(|error| unbalanced(error.to_string()))?;
		Ok(account)
	}

	/// Writes what changes once in a group, however many entries change it.
	pub(super) fn finish(mut self) -> Result<Written, StoreError> {
		for (id, account) in std::mem::take(&mut self.changed) {
			self.accounts.insert(id.0, &*encode(&account)?)?;
		}
		if let Some(next) = self.next_sequence {
			self.meta.insert(NEXT_SEQUENCE, next)?;
		}
		if self.newly_ended_bytes > 0 {
			let all = self.ended_bytes()?;
			self.meta.insert(ENDED_BYTES, all)?;
		}
		Ok(self.written)
	}

	/// Moves a task to those that have ended.
	fn close(&mut self, record: &TaskRecord) -> Result<(), StoreError> {
		let sequence = record.sequence;
		self.unfinished.remove(sequence)?;
		let accepted = (record.state == TaskState::Done).then_some(record.attempt);
		let mut bytes = 0;
		for event in self.events.range((sequence, 0)..=(sequence, u32::MAX))? {
			bytes += event?.1.value().len() as u64;
		}
		for (key, upload) in self.uploads_of(sequence, None)? {
			if Some(key.1) == accepted {
				bytes += upload.bytes;
			} else {
				self.uploads.remove(key)?;
				self.written.garbage.push(upload.name);
			}
		}
		self.by_end.insert((record.changed_at, sequence), bytes)?;
		self.newly_ended_bytes += bytes;
		Ok(())
	}

	pub(super) fn upload(
		&mut self,
		id: &TaskId,
		attempt: u32,
		index: u32,
		upload: &Upload,
	) -> Result<(), StoreError> {
		let Some(sequence) = self.sequence(id)? else { return Ok(()) };
		let before = self.uploads.insert((sequence, attempt, index), &*encode(upload)?)?;
		if let Some(before) = before {
			self.written.garbage.push(decode::<Upload>(before.value())?.name);
		}
		Ok(())
	}

	pub(super) fn abandon(&mut self, id: &TaskId, attempt: u32) -> Result<(), StoreError> {
		let Some(sequence) = self.sequence(id)? else { return Ok(()) };
		for (key, upload) in self.uploads_of(sequence, Some(attempt))? {
			self.uploads.remove(key)?;
			self.written.garbage.push(upload.name);
		}
		Ok(())
	}

	pub(super) fn evidence(&mut self, id: &TaskId, evidence: &Evidence) -> Result<(), StoreError> {
		let key = (id.as_str(), evidence.attempt);
		// The first contradiction proves it; more of them would only take room.
		if self.evidence.get(key)?.is_none() {
			self.evidence.insert(key, &*encode(evidence)?)?;
		}
		Ok(())
	}

	/// Removes what need not be kept any more.
	pub(super) fn prune(&mut self, now: Millis, retention: &Retention) -> Result<(), StoreError> {
		self.prune_tasks(now.saturating_sub(retention.age_ms), retention.bytes)?;
		self.prune_draws(retention.draws)
	}

	/// Removes the tasks that ended before `too_old`, and the oldest while all take more than `most`.
	fn prune_tasks(&mut self, too_old: Millis, most: u64) -> Result<(), StoreError> {
		let mut all = self.ended_bytes()?;
		for _ in 0..PRUNED {
			let Some((ended_at, sequence)) = self.by_end.first()?.map(|(key, _)| key.value())
			else {
				break;
			};
			if ended_at >= too_old && all <= most {
				break;
			}
			let bytes = self.by_end.remove((ended_at, sequence))?.map(|bytes| bytes.value());
			all = all.saturating_sub(bytes.unwrap_or_default());
			self.remove(sequence)?;
		}
		self.meta.insert(ENDED_BYTES, all)?;
		self.newly_ended_bytes = 0;
		Ok(())
	}

	/// Removes the draws for the first tasks, so that no number is missing in between, while there are
	/// more than `most` after them and nothing else is kept of them.
	fn prune_draws(&mut self, most: u64) -> Result<(), StoreError> {
		let written = self.meta.get(NEXT_SEQUENCE)?.map(|next| next.value());
		let next = self.next_sequence.or(written).unwrap_or_default();
		for _ in 0..PRUNED {
			let Some(sequence) = self.draws.first()?.map(|(key, _)| key.value().0) else { break };
			if next.saturating_sub(sequence) <= most || self.events.get((sequence, 1))?.is_some() {
				break;
			}
			let drawn = self.draws.remove((sequence, 0))?.map(|drawn| decode(drawn.value()));
			if let Some(DrawnTask { id, .. }) = drawn.transpose()? {
				self.ids.remove(id.as_str())?;
			}
			self.draws.retain_in((sequence, 0)..=(sequence, u32::MAX), |_, _| false)?;
		}
		Ok(())
	}

	fn remove(&mut self, sequence: u64) -> Result<(), StoreError> {
		self.events.retain_in((sequence, 0)..=(sequence, u32::MAX), |_, _| false)?;
		for (key, upload) in self.uploads_of(sequence, None)? {
			self.uploads.remove(key)?;
			self.written.garbage.push(upload.name);
		}
		Ok(())
	}

	fn sequence(&self, id: &TaskId) -> Result<Option<u64>, StoreError> {
		Ok(self.ids.get(id.as_str())?.map(|sequence| sequence.value()))
	}

	/// The bytes of all ended tasks, with those that have ended in this group.
	fn ended_bytes(&self) -> Result<u64, StoreError> {
		let before = self.meta.get(ENDED_BYTES)?.map(|bytes| bytes.value()).unwrap_or_default();
		Ok(before + self.newly_ended_bytes)
	}

	fn uploads_of(
		&self,
		sequence: u64,
		attempt: Option<u32>,
	) -> Result<Vec<(UploadKey, Upload)>, StoreError> {
		uploads_of(&self.uploads, sequence, attempt)
	}
}

/// The pictures of a task, in one attempt or in all.
pub(super) fn uploads_of(
	uploads: &impl ReadableTable<UploadKey, &'static [u8]>,
	sequence: u64,
	attempt: Option<u32>,
) -> Result<Vec<(UploadKey, Upload)>, StoreError> {
	let (first, last) = attempt.map_or((0, u32::MAX), |attempt| (attempt, attempt));
	uploads
		.range((sequence, first, 0)..=(sequence, last, u32::MAX))?
		.map(|entry| {
			let (key, upload) = entry?;
			Ok((key.value(), decode(upload.value())?))
		})
		.collect()
}

pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
	serde_json::to_vec(value).map_err(|error| RecordError(error).into())
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
	serde_json::from_slice(bytes).map_err(|error| RecordError(error).into())
}

/// The events of a task.
pub(super) fn events_of(
	events: &impl ReadableTable<(u64, u32), &'static [u8]>,
	sequence: u64,
) -> Result<Vec<Event>, StoreError> {
	events
		.range((sequence, 0)..=(sequence, u32::MAX))?
		.map(|entry| decode(entry?.1.value()))
		.collect()
}

/// The draws for the first tasks from `from` on, at most `most` of them.
pub(super) fn assignments_of(
	draws: &impl ReadableTable<(u64, u32), &'static [u8]>,
	from: u64,
	most: usize,
) -> Result<Vec<AssignmentRecord>, StoreError> {
	let mut records: Vec<AssignmentRecord> = Vec::new();
	for entry in draws.range((from, 0)..)? {
		let (key, value) = entry?;
		let (sequence, attempt) = key.value();
		if attempt > 0 {
			// Its task comes before it.
			if let Some(record) = records.last_mut() {
				record.draws.push(decode(value.value())?);
			}
			continue;
		}
		if records.len() == most {
			break;
		}
		let DrawnTask { hash, .. } = decode(value.value())?;
		records.push(AssignmentRecord { sequence, task_hash: hash, draws: Vec::new() });
	}
	Ok(records)
}
