//! The store through its journal: what outlives a crash, what is refused, what is removed.

mod accounts;

use super::*;
use crate::assignment::late_draw::LateDraw;
use crate::registry::Operator;
use crate::scheduler::{App, LeaseRecord, Version, What};
use cuckoo_coordinator_api::{
	amount::Amount,
	assignment::{Draw, Hex, MinerSet},
	task::{PictureRef, TaskRequest, TaskState},
};
use parking_lot::Mutex;
use redb::{Database, TableDefinition};
use std::sync::{mpsc, Arc};
use std::time::Duration;

fn id(n: u8) -> TaskId {
	TaskId::from_bytes([n; 16])
}

fn lease(n: u8, attempt: u32) -> LeaseRecord {
	LeaseRecord {
		attempt,
		token: format!("lease {n} {attempt}"),
		operator: Operator([n; 32]),
		miner: "stash".into(),
		model_digest: "ab".repeat(32),
	}
}

fn draw(lease: &LeaseRecord) -> Draw {
	Draw {
		attempt: lease.attempt,
		era: 1,
		block: 2,
		block_hash: Hex([3; 32]),
		eligible: MinerSet::default(),
		total: 4,
		pre_output: Hex([5; 32]),
		proof: Hex([6; 64]),
		point: 3,
		miner: Hex(lease.operator.0),
	}
}

/// A task whose log this is, step by step.
struct Story(Option<TaskRecord>);

impl Story {
	fn change(&mut self, at: Millis, what: What) -> Entry {
		let event = Event { at, what };
		let from = self.0.as_ref().map(TaskRecord::version);
		let draw = match &event.what {
			What::Leased(lease) => {
				let draw = draw(lease);
				Some(LateDraw::new(|| draw))
			},
			_ => None,
		};
		let log = match self.0.take() {
			Some(mut record) => {
				record.apply(&event);
				record
			},
			None => TaskRecord::rebuild([event.clone()]).unwrap(),
		};
		self.0 = Some(log.clone());
		Entry::Change(Box::new(Change { from, event: Some(event), record: Arc::new(log), draw }))
	}

	fn offered(n: u8, at: Millis) -> (Self, Entry) {
		Self::offer(n, at, App::default(), Amount::ZERO)
	}

	/// Offered by an app, at this price.
	fn offered_by(n: u8, app: App, price: Amount) -> (Self, Entry) {
		Self::offer(n, 0, app, price)
	}

	fn offer(n: u8, at: Millis, app: App, price: Amount) -> (Self, Entry) {
		let mut story = Self(None);
		let spec = Arc::new(TaskRequest::new("a red bird").resolve(1, "m".into()));
		let sequence = n.into();
		let deadline = at + 600_000;
		let offer =
			What::Offered { id: id(n), sequence, app, price, spec, deadline, webhook: None };
		let entry = story.change(at, offer);
		(story, entry)
	}

	/// From the offer to the end, at this time; a picture of `bytes`.
	fn done(n: u8, at: Millis, bytes: u64) -> Vec<Entry> {
		let (mut story, offered) = Self::offered(n, at);
		let picture = PictureRef {
			index: 0,
			path: String::new(),
			width: 1,
			height: 1,
			bytes,
			digest: String::new(),
		};
		vec![
			offered,
			story.change(at, What::Leased(lease(n, 1))),
			upload(n, 1, bytes),
			story.change(at, What::Submitted),
			story.change(
				at,
				What::Accepted {
					lease: lease(n, 1),
					pictures: vec![picture],
					result: "signed".into(),
				},
			),
		]
	}

	fn cancelled(&mut self, at: Millis) -> Entry {
		let what = What::Ended { state: TaskState::Cancelled, step: 3, failure: None };
		self.change(at, what)
	}

	fn record(&self) -> &TaskRecord {
		self.0.as_ref().unwrap()
	}
}

fn upload(n: u8, attempt: u32, bytes: u64) -> Entry {
	let name = format!("{n} {attempt} {bytes}");
	let upload = Upload { name, bytes, width: 1, height: 1, digest: String::new() };
	Entry::Upload { id: id(n), attempt, index: 0, upload }
}

fn open(dir: &Path) -> Result<RedbStore, StoreError> {
	RedbStore::open(&dir.join("tasks.redb"), Durability::Commit, Retention::default())
}

fn in_memory() -> RedbStore {
	RedbStore::in_memory(Retention { age_ms: 100, bytes: 20_000, draws: 3 }).unwrap()
}

#[test]
fn what_was_written_is_there_after_a_crash() {
	let dir = tempfile::tempdir().unwrap();
	let copy = tempfile::tempdir().unwrap();
	let store = open(dir.path()).unwrap();
	let (mut queued, offered) = Story::offered(7, 5);
	let mut group = Story::done(3, 4, 10);
	group.push(offered);
	store.write(&group).unwrap();
	let leased = queued.change(6, What::Leased(lease(7, 1)));
	store.write(&[leased, upload(7, 1, 20)]).unwrap();
	// What a crash leaves: the file as it is on the disk now.
	std::fs::copy(dir.path().join("tasks.redb"), copy.path().join("tasks.redb")).unwrap();

	let found = open(copy.path()).unwrap();
	let unfinished = found.unfinished().unwrap();
	assert_eq!(unfinished.tasks, [queued.record().clone()]);
	assert_eq!((unfinished.next_sequence, unfinished.latest), (8, 6));
	let [((of, 1, 0), kept)] = &unfinished.uploads[..] else { panic!("{unfinished:?}") };
	assert_eq!((of, kept.bytes), (&id(7), 20));
	let done = found.task(&id(3)).unwrap().unwrap();
	assert_eq!(done.state, TaskState::Done);
	assert_eq!(found.upload(&id(3), 1, 0).unwrap().unwrap().bytes, 10);
	assert_eq!(found.task(&id(1)).unwrap(), None);
}

#[test]
fn the_record_can_be_rebuilt_from_the_log() {
	let store = in_memory();
	let (mut story, offered) = Story::offered(1, 0);
	let fault = Some("Internal: because".to_owned());
	let mut group = vec![
		offered,
		story.change(1, What::Leased(lease(1, 1))),
		story.change(2, What::Returned { fault, until: None, late: true }),
	];
	store.write(&group).unwrap();
	group = vec![
		story.change(3, What::Leased(lease(2, 2))),
		story.change(4, What::Submitted),
		story.change(5, What::Rejected),
	];
	store.write(&group).unwrap();
	let rebuilt = || TaskRecord::rebuild(store.events(&id(1)).unwrap());
	assert_eq!(rebuilt(), store.task(&id(1)).unwrap());
	assert_eq!(rebuilt().as_ref(), Some(story.record()));
	store.write(&[story.cancelled(6)]).unwrap();
	assert_eq!(rebuilt(), store.task(&id(1)).unwrap());
	assert_eq!(rebuilt().unwrap().step, 3);
	assert_eq!(TaskRecord::rebuild(store.events(&id(2)).unwrap()), None);
}

#[test]
fn a_store_that_is_in_use_or_unknown_is_refused_in_one_line() {
	let dir = tempfile::tempdir().unwrap();
	let store = open(dir.path()).unwrap();
	let refused = || {
		let Err(error) = open(dir.path()) else { panic!("it must be refused") };
		let line = error.to_string();
		assert!(line.contains("tasks.redb") && line.lines().count() == 1, "{line}");
		line
	};
	assert!(refused().contains("in use by another process"));
	store.claim("one").unwrap();
	store.claim("one").unwrap();
	let foreign = store.claim("another").unwrap_err().to_string();
	assert!(
		foreign.contains("coordinator one") && foreign.contains("this is another"),
		"{foreign}"
	);
	drop(store);

	let file = dir.path().join("tasks.redb");
	let database = Database::open(&file).unwrap();
	let write = database.begin_write().unwrap();
	let meta: TableDefinition<&str, u64> = TableDefinition::new("meta");
	write.open_table(meta).unwrap().insert("format", 5).unwrap();
	write.commit().unwrap();
	drop(database);
	assert!(refused().contains("has format 5, and this program knows format 4"));

	std::fs::write(&file, "something else").unwrap();
	assert!(refused().contains("cannot open the store"));
}

#[test]
fn only_the_accepted_attempts_pictures_outlive_a_task() {
	let store = in_memory();
	let (mut story, offered) = Story::offered(1, 0);
	let leased = story.change(1, What::Leased(lease(1, 1)));
	let group = [offered, leased, upload(1, 1, 10), upload(1, 1, 11)];
	assert_eq!(store.write(&group).unwrap().garbage, ["1 1 10"], "replaced");
	let until = Some(5);
	let returned = story.change(2, What::Returned { fault: None, until, late: false });
	let group = [returned, Entry::Abandon { id: id(1), attempt: 1 }];
	assert_eq!(store.write(&group).unwrap().garbage, ["1 1 11"]);
	let late = story.change(3, What::Leased(lease(2, 2)));
	store.write(&[late, upload(1, 2, 12)]).unwrap();
	assert_eq!(store.write(&[story.cancelled(4)]).unwrap().garbage, ["1 2 12"]);

	let mut done = Story::done(2, 5, 20);
	done.insert(3, upload(2, 0, 21));
	assert_eq!(store.write(&done).unwrap().garbage, ["2 0 21"]);
	assert_eq!(store.upload(&id(2), 1, 0).unwrap().unwrap().bytes, 20);
	assert_eq!(store.upload(&id(1), 2, 0).unwrap(), None);
}

#[test]
fn ended_tasks_go_by_age_and_size_and_others_stay() {
	let store = in_memory();
	let (_, offered) = Story::offered(9, 0);
	store.write(&[offered]).unwrap();
	for (n, ended_at) in [(1, 10), (2, 50), (3, 60)] {
		store.write(&Story::done(n, ended_at, 10)).unwrap();
	}
	let kept = |numbers: &[u8]| {
		for n in 1..10 {
			let found = store.task(&id(n)).unwrap().is_some();
			assert_eq!(found, numbers.contains(&n), "{n}");
			assert_eq!(store.events(&id(n)).unwrap().is_empty(), !found, "{n}");
		}
	};
	assert!(store.write(&[Entry::Prune { now: 110 }]).unwrap().garbage.is_empty());
	kept(&[1, 2, 3, 9]);
	assert_eq!(store.write(&[Entry::Prune { now: 111 }]).unwrap().garbage, ["1 1 10"]);
	kept(&[2, 3, 9]);
	// Two more of 12,000 bytes each are more than 20,000.
	store.write(&Story::done(4, 70, 12_000)).unwrap();
	store.write(&Story::done(5, 80, 12_000)).unwrap();
	let gone = store.write(&[Entry::Prune { now: 111 }]).unwrap().garbage;
	assert_eq!(gone, ["2 1 10", "3 1 10", "4 1 12000"]);
	kept(&[5, 9]);
	store.write(&[Entry::Prune { now: 10_000 }]).unwrap();
	kept(&[9]);
	assert_eq!(store.unfinished().unwrap().tasks.len(), 1);
}

#[test]
fn draws_are_kept_with_their_tasks_and_the_last_ones_longer() {
	let store = in_memory();
	let (mut story, offered) = Story::offered(0, 0);
	let until = Some(5);
	let group = [
		offered,
		story.change(1, What::Leased(lease(1, 1))),
		story.change(2, What::Returned { fault: None, until, late: false }),
		story.change(3, What::Leased(lease(2, 2))),
	];
	store.write(&group).unwrap();
	let (mut cancelled, offered) = Story::offered(1, 0);
	store.write(&[offered, cancelled.cancelled(4)]).unwrap();
	let expected = |sequence: u64, draws: &[Draw]| AssignmentRecord {
		sequence,
		task_hash: Hex(story.record().spec.digest()),
		draws: draws.to_vec(),
	};
	let first = expected(0, &[draw(&lease(1, 1)), draw(&lease(2, 2))]);
	assert_eq!(store.assignment(&id(0)).unwrap(), Some(first.clone()));
	// Nobody was drawn for the second one, and its number is there all the same.
	assert_eq!(store.assignments(0, 9).unwrap(), [first.clone(), expected(1, &[])]);
	assert_eq!(store.assignments(0, 1).unwrap(), [first]);
	assert_eq!(store.assignments(1, 9).unwrap(), [expected(1, &[])]);
	assert_eq!((store.assigned().unwrap(), store.assignment(&id(7)).unwrap()), (0..2, None));

	(2..7).for_each(|n| drop(store.write(&Story::done(n, 10, 10)).unwrap()));
	store.write(&[Entry::Prune { now: 50 }]).unwrap();
	assert_eq!(store.assigned().unwrap(), 0..7, "all tasks are kept");
	store.write(&[Entry::Prune { now: 10_000 }]).unwrap();
	assert_eq!(store.task(&id(6)).unwrap(), None);
	assert_eq!(store.assigned().unwrap(), 0..7, "the first task has not ended");
	store.write(&[story.cancelled(10_001)]).unwrap();
	store.write(&[Entry::Prune { now: 20_000 }]).unwrap();
	assert_eq!(store.assigned().unwrap(), 4..7);
	assert_eq!(store.assignment(&id(3)).unwrap(), None);
	let kept = store.assignment(&id(4)).unwrap().unwrap();
	assert_eq!((kept.sequence, kept.draws.len()), (4, 1));
}

#[test]
fn the_first_contradiction_is_kept_and_outlives_the_task() {
	let store = in_memory();
	store.write(&Story::done(1, 0, 10)).unwrap();
	let evidence = |refused: &str| Evidence {
		attempt: 1,
		at: 3,
		accepted: "signed".into(),
		refused: refused.into(),
	};
	let entry = |refused| Entry::Evidence { id: id(1), evidence: evidence(refused) };
	store.write(&[entry("other"), entry("another")]).unwrap();
	store.write(&[entry("yet another"), Entry::Prune { now: 10_000 }]).unwrap();
	assert_eq!(store.task(&id(1)).unwrap(), None);
	assert_eq!(store.evidence(&id(1)).unwrap(), [evidence("other")]);
	assert_eq!(store.evidence(&id(2)).unwrap(), []);
}

/// A store whose writes wait until they are let through, or fail.
struct Gate {
	inner: RedbStore,
	groups: Arc<Mutex<Vec<usize>>>,
	open: Mutex<mpsc::Receiver<bool>>,
}

impl TaskStore for Gate {
	fn write(&self, group: &[Entry]) -> Result<Written, StoreError> {
		let may = self.open.lock().recv().unwrap_or(true);
		if !may {
			return Err(StoreError::Directory {
				path: "x".into(),
				error: std::io::Error::other("the disk is full"),
			});
		}
		self.groups.lock().push(group.len());
		self.inner.write(group)
	}

	fn sync(&self) -> Result<(), StoreError> {
		self.inner.sync()
	}

	fn task(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
		self.inner.task(id)
	}

	fn events(&self, id: &TaskId) -> Result<Vec<Event>, StoreError> {
		self.inner.events(id)
	}

	fn assignment(&self, id: &TaskId) -> Result<Option<AssignmentRecord>, StoreError> {
		self.inner.assignment(id)
	}

	fn assignments(&self, from: u64, most: usize) -> Result<Vec<AssignmentRecord>, StoreError> {
		self.inner.assignments(from, most)
	}

	fn assigned(&self) -> Result<Range<u64>, StoreError> {
		self.inner.assigned()
	}

	fn upload(&self, id: &TaskId, attempt: u32, index: u32) -> Result<Option<Upload>, StoreError> {
		self.inner.upload(id, attempt, index)
	}

	fn delivery(&self, number: u64) -> Result<Option<Delivery>, StoreError> {
		self.inner.delivery(number)
	}

	fn evidence(&self, id: &TaskId) -> Result<Vec<Evidence>, StoreError> {
		self.inner.evidence(id)
	}
}

type Groups = Arc<Mutex<Vec<usize>>>;

fn gated() -> (Journal, mpsc::Sender<bool>, Groups) {
	let (open, receiver) = mpsc::channel();
	let groups = Groups::default();
	let gate = Gate { inner: in_memory(), groups: groups.clone(), open: Mutex::new(receiver) };
	let (journal, _) = Journal::start(Box::new(gate), &[], Durability::Commit);
	(journal, open, groups)
}

/// Whether an appendix has been written by now.
async fn is_written(journal: &Journal, number: u64) -> bool {
	tokio::time::timeout(Duration::from_millis(50), journal.written(number)).await.is_ok()
}

#[tokio::test]
async fn nobody_sees_what_is_not_written_and_groups_form_meanwhile() {
	let (journal, open, groups) = gated();
	let (mut story, offered) = Story::offered(1, 0);
	let first = journal.append(vec![offered]);
	assert!(!is_written(&journal, first).await);
	assert!(journal.task(&id(1)).unwrap().is_none());
	assert!(journal.follow(&id(1)).unwrap().is_none());
	// These gather while the first is on its way.
	let leased = journal.append(vec![story.change(1, What::Leased(lease(1, 1)))]);
	let second = journal.append(vec![Story::offered(2, 1).1]);
	assert_eq!(journal.append(Vec::new()), second);
	open.send(true).unwrap();
	journal.written(first).await.unwrap();
	let mut changes = journal.follow(&id(1)).unwrap().unwrap();
	assert_eq!(changes.borrow_and_update().state, TaskState::Queued);
	assert!(!is_written(&journal, leased).await);
	assert!(journal.task(&id(2)).unwrap().is_none());
	open.send(true).unwrap();
	journal.written(second).await.unwrap();
	changes.changed().await.unwrap();
	assert_eq!(changes.borrow_and_update().state, TaskState::Leased);
	assert_eq!(*groups.lock(), [1, 2]);

	let ended = journal.append(vec![story.cancelled(2)]);
	open.send(true).unwrap();
	journal.written(ended).await.unwrap();
	assert_eq!(changes.borrow_and_update().state, TaskState::Cancelled);
	let read = journal.task(&id(1)).unwrap().unwrap();
	assert_eq!(*read, *story.record());
}

#[tokio::test]
async fn a_change_that_does_not_hold_is_refused() {
	let (journal, open, groups) = gated();
	drop(open);
	let (mut story, offered) = Story::offered(1, 0);
	let number = journal.append(vec![offered.clone()]);
	journal.written(number).await.unwrap();
	let before = story.record().clone();
	let leased = story.change(1, What::Leased(lease(1, 1)));
	let Entry::Change(leased) = leased else { unreachable!() };
	let from = |change: fn(&mut Version)| {
		let mut version = before.version();
		change(&mut version);
		vec![Entry::Change(Box::new(Change { from: Some(version), ..(*leased).clone() }))]
	};
	for stale in [
		vec![offered],
		from(|version| version.events = 2),
		from(|version| version.state = TaskState::Leased),
		from(|version| version.attempt = 1),
		from(|version| version.lease = Some("another".into())),
	] {
		let number = journal.append(stale);
		let refusal = journal.written(number).await.unwrap_err();
		assert_eq!(refusal.code, cuckoo_coordinator_api::error::Code::Internal);
	}
	assert_eq!(*journal.task(&id(1)).unwrap().unwrap(), before);
	let number = journal.append(vec![Entry::Change(leased)]);
	journal.written(number).await.unwrap();
	assert_eq!(journal.task(&id(1)).unwrap().unwrap().state, TaskState::Leased);
	assert_eq!(*groups.lock(), [1, 1]);
	assert_eq!(journal.events(&id(1)).unwrap().len(), 2);
}

#[tokio::test]
async fn a_store_that_fails_ends_everything_and_says_why() {
	let (journal, open, _) = gated();
	let first = journal.append(vec![Story::offered(1, 0).1]);
	open.send(false).unwrap();
	assert!(journal.written(first).await.is_err());
	assert!(journal.failed().await.contains("the disk is full"));
	let second = journal.append(vec![Story::offered(2, 0).1]);
	assert!(journal.written(second).await.is_err());
	assert!(journal.task(&id(1)).unwrap().is_none());
}

#[tokio::test]
async fn progress_is_shown_and_not_written() {
	let (journal, open, groups) = gated();
	drop(open);
	let (mut story, offered) = Story::offered(1, 0);
	let leased = story.change(1, What::Leased(lease(1, 1)));
	journal.append(vec![offered, leased]);
	let mut record = story.record().clone();
	record.step = 7;
	let from = Some(record.version());
	let number = journal.append(vec![Entry::Change(Box::new(Change {
		from,
		event: None,
		record: Arc::new(record),
		draw: None,
	}))]);
	journal.written(number).await.unwrap();
	assert_eq!(journal.task(&id(1)).unwrap().unwrap().step, 7);
	assert_eq!(groups.lock().iter().sum::<usize>(), 2);
}

#[test]
fn what_was_appended_is_written_before_the_journal_ends() {
	let dir = tempfile::tempdir().unwrap();
	for durability in [Durability::Commit, Durability::Eventual] {
		let n = durability as u8;
		let retention = Retention::default();
		let store = Store::open(dir.path(), "test", None, durability, retention).unwrap();
		store.journal.append(vec![Story::offered(n, 0).1]);
		drop(store);
		assert!(open(dir.path()).unwrap().task(&id(n)).unwrap().is_some());
	}
}
