//! Where tasks and pictures are kept: the scheduler works on tasks that have not ended and forgets
//! them then; what apps read comes from here. A [`TaskStore`] that writes to disk makes the
//! coordinator durable; [`MemoryStore`] is the one in use.

use crate::picture::Picture;
use crate::scheduler::{Millis, TaskRecord};
use cuckoo_coordinator_api::task::TaskId;
use std::collections::{BTreeSet, HashMap};

/// Keeps tasks and their pictures. It is told of each change before anybody outside is.
pub trait TaskStore: Send {
	/// Keeps a task as it is now, in place of what was known of it.
	fn save(&mut self, record: TaskRecord);

	/// What is known of a task.
	fn task(&self, id: &TaskId) -> Option<&TaskRecord>;

	/// Keeps a picture of an attempt, in place of an earlier one with the same index.
	fn save_picture(&mut self, id: &TaskId, attempt: u32, index: u32, picture: Picture);

	/// A picture of an attempt.
	fn picture(&self, id: &TaskId, attempt: u32, index: u32) -> Option<Picture>;

	/// Drops the pictures of an attempt.
	fn drop_pictures(&mut self, id: &TaskId, attempt: u32);

	/// Drops what has been kept for as long, or is as much, as may be.
	fn prune(&mut self, now: Millis);
}

/// How much is kept of tasks that have ended.
#[derive(Clone, Debug)]
pub struct Retention {
	/// For how long, in milliseconds.
	pub age_ms: Millis,
	/// How many bytes of pictures and texts; the tasks that ended first go first.
	pub bytes: usize,
}

impl Default for Retention {
	fn default() -> Self {
		Self { age_ms: 3_600_000, bytes: 1 << 30 }
	}
}

/// A store that forgets everything when the program ends.
#[derive(Debug)]
pub struct MemoryStore {
	retention: Retention,
	tasks: HashMap<TaskId, Entry>,
	/// Ended tasks by the time of their end.
	ended: BTreeSet<(Millis, TaskId)>,
	/// Bytes held by ended tasks.
	ended_bytes: usize,
}

#[derive(Debug)]
struct Entry {
	record: TaskRecord,
	/// By attempt and index.
	pictures: HashMap<(u32, u32), Picture>,
}

impl Entry {
	/// About how many bytes it takes.
	fn bytes(&self) -> usize {
		const RECORD: usize = 1024;
		let spec = &self.record.spec;
		let pictures: usize = self.pictures.values().map(|picture| picture.png.len()).sum();
		RECORD + spec.prompt.len() + spec.negative_prompt.len() + pictures
	}
}

impl MemoryStore {
	/// An empty store.
	pub fn new(retention: Retention) -> Self {
		Self { retention, tasks: HashMap::new(), ended: BTreeSet::new(), ended_bytes: 0 }
	}

	fn drop_oldest(&mut self) {
		if let Some((_, id)) = self.ended.pop_first() {
			if let Some(entry) = self.tasks.remove(&id) {
				self.ended_bytes -= entry.bytes();
			}
		}
	}
}

impl TaskStore for MemoryStore {
	fn save(&mut self, record: TaskRecord) {
		let (id, changed_at, ended) =
			(record.id.clone(), record.changed_at, record.state.is_final());
		let pictures = match self.tasks.remove(&id) {
			Some(entry) => {
				if self.ended.remove(&(entry.record.changed_at, id.clone())) {
					self.ended_bytes -= entry.bytes();
				}
				entry.pictures
			},
			None => HashMap::new(),
		};
		let mut entry = Entry { record, pictures };
		if ended {
			// Whatever came with other attempts than the accepted one is of no use now.
			let attempt = entry.record.attempt;
			let done = !entry.record.pictures.is_empty();
			entry.pictures.retain(|(of, _), _| done && *of == attempt);
			self.ended_bytes += entry.bytes();
			self.ended.insert((changed_at, id.clone()));
		}
		self.tasks.insert(id, entry);
	}

	fn task(&self, id: &TaskId) -> Option<&TaskRecord> {
		self.tasks.get(id).map(|entry| &entry.record)
	}

	fn save_picture(&mut self, id: &TaskId, attempt: u32, index: u32, picture: Picture) {
		// A task that has ended takes no more pictures: nothing accounts for them.
		if let Some(entry) = self.tasks.get_mut(id).filter(|e| !e.record.state.is_final()) {
			entry.pictures.insert((attempt, index), picture);
		}
	}

	fn picture(&self, id: &TaskId, attempt: u32, index: u32) -> Option<Picture> {
		self.tasks.get(id)?.pictures.get(&(attempt, index)).cloned()
	}

	fn drop_pictures(&mut self, id: &TaskId, attempt: u32) {
		if let Some(entry) = self.tasks.get_mut(id).filter(|e| !e.record.state.is_final()) {
			entry.pictures.retain(|(of, _), _| *of != attempt);
		}
	}

	fn prune(&mut self, now: Millis) {
		let too_old = now.saturating_sub(self.retention.age_ms);
		while self.ended.first().is_some_and(|(ended_at, _)| *ended_at < too_old)
			|| self.ended_bytes > self.retention.bytes
		{
			self.drop_oldest();
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use bytes::Bytes;
	use cuckoo_coordinator_api::task::{PictureRef, TaskRequest, TaskState};
	use std::sync::Arc;

	fn record(n: u8, state: TaskState, changed_at: Millis) -> TaskRecord {
		TaskRecord {
			id: TaskId::from_bytes([n; 16]),
			sequence: 0,
			state,
			attempt: 1,
			step: 0,
			miner: None,
			operator: None,
			lease: None,
			spec: Arc::new(TaskRequest::new("x").resolve(1, "m".into())),
			pictures: Vec::new(),
			failure: None,
			offered_at: 0,
			changed_at,
		}
	}

	fn done(n: u8, changed_at: Millis) -> TaskRecord {
		let mut record = record(n, TaskState::Done, changed_at);
		record.pictures.push(PictureRef {
			index: 0,
			path: String::new(),
			width: 1,
			height: 1,
			bytes: 1,
			digest: String::new(),
		});
		record
	}

	fn picture(bytes: usize) -> Picture {
		Picture { png: Bytes::from(vec![0; bytes]), width: 1, height: 1, digest: [0; 32] }
	}

	fn store() -> MemoryStore {
		MemoryStore::new(Retention { age_ms: 100, bytes: 10_000 })
	}

	#[test]
	fn only_the_accepted_attempts_pictures_outlive_the_task() {
		let mut store = store();
		let id = TaskId::from_bytes([1; 16]);
		store.save_picture(&id, 1, 0, picture(1));
		assert_eq!(store.picture(&id, 1, 0), None, "the task is not known");
		store.save(record(1, TaskState::Leased, 0));
		store.save_picture(&id, 0, 0, picture(1));
		store.save_picture(&id, 1, 0, picture(2));
		store.save(done(1, 5));
		assert_eq!(store.picture(&id, 0, 0), None);
		assert_eq!(store.picture(&id, 1, 0), Some(picture(2)));
		store.drop_pictures(&id, 1);
		assert_eq!(store.picture(&id, 1, 0), Some(picture(2)), "an ended task does not change");
		assert_eq!(store.task(&id), Some(&done(1, 5)));
	}

	#[test]
	fn ended_tasks_go_by_age_and_others_stay() {
		let mut store = store();
		store.save(record(1, TaskState::Queued, 0));
		store.save(record(2, TaskState::Cancelled, 0));
		store.save(record(3, TaskState::Cancelled, 50));
		store.prune(100);
		assert_eq!(store.tasks.len(), 3);
		store.prune(101);
		assert!(store.task(&TaskId::from_bytes([2; 16])).is_none());
		assert_eq!(store.tasks.len(), 2);
		store.prune(10_000);
		assert!(store.task(&TaskId::from_bytes([1; 16])).is_some());
		assert_eq!((store.tasks.len(), store.ended_bytes), (1, 0));
	}

	#[test]
	fn the_oldest_go_when_there_is_too_much() {
		let mut store = store();
		for n in 1..=4 {
			let id = TaskId::from_bytes([n; 16]);
			store.save(record(n, TaskState::Leased, 0));
			store.save_picture(&id, 1, 0, picture(3000));
			store.save(done(n, n.into()));
		}
		store.prune(5);
		let kept: Vec<u8> =
			(1..=4).filter(|n| store.task(&TaskId::from_bytes([*n; 16])).is_some()).collect();
		assert_eq!(kept, [3, 4]);
		assert!(store.ended_bytes <= 10_000);
	}
}
