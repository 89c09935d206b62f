//! What the miner has done and earned, kept on its disk: a line of JSON for each signed result, each end
//! of a task and each era, in one file a month. A result is down on the disk before it is sent, so that
//! its receipt outlives everything that may happen afterwards.

use anyhow::Context as _;
use chrono::{DateTime, Datelike as _, NaiveDate};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
	collections::VecDeque,
	fs::{self, File, OpenOptions},
	io::{self, Read as _, Seek as _, SeekFrom, Write as _},
	path::{Path, PathBuf},
	sync::Arc,
	time::{SystemTime, UNIX_EPOCH},
};
use tracing::{error, info, warn};

/// Lines that are kept in memory while the disk takes none; then the oldest ones are lost.
const MAX_UNSAVED: usize = 1000;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
	/// When, in milliseconds since 1970.
	pub time: u64,
	/// What.
	#[serde(flatten)]
	pub event: Event,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
	/// A result was signed, and is about to be sent.
	Receipt {
		/// Stash (SS58) of the coordinator.
		coordinator: String,
		/// The signed result as it is sent.
		signed: Value,
	},
	/// A task has ended.
	End {
		/// Stash (SS58) of the coordinator.
		coordinator: String,
		/// Name of the task.
		task: String,
		/// Which try.
		attempt: u32,
		/// How it has ended.
		outcome: Outcome,
		/// Name of the model.
		model: String,
		/// Pictures that were rendered and taken.
		pictures: u32,
		/// Work units of the task, in thousandths.
		milliunits: u64,
		/// Time spent rendering, in milliseconds.
		render_ms: u64,
		/// Why it was not done.
		#[serde(default, skip_serializing_if = "Option::is_none")]
		why: Option<String>,
	},
	/// An era has begun.
	Era {
		/// Its number.
		era: u32,
		/// What the stash can claim for itself, in planck.
		#[serde(with = "decimal")]
		pending: u128,
		/// By how much that has grown since the last look, in planck; the least that was earned.
		#[serde(with = "decimal")]
		earned: u128,
	},
}

/// How a task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
	/// Rendered, and taken by the coordinator.
	Done,
	/// Not rendered, because it cannot be.
	Refused,
	/// Not rendered, by a fault of this miner.
	Failed,
	/// Given back, or lost to somebody else, or cancelled.
	Dropped,
}

/// Numbers beyond 2^53 are texts, as JSON readers need them.
mod decimal {
	use serde::{Deserialize, Deserializer, Serializer};

	pub fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.collect_str(number)
	}

	pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
		String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
	}
}

/// The files of one miner. Clones write to the same ones.
#[derive(Clone)]
pub struct History(Arc<Mutex<Log>>);

struct Log {
	dir: PathBuf,
	/// The file of the present month, and which that is.
	file: Option<(NaiveDate, File)>,
	unsaved: VecDeque<String>,
	failing: bool,
}

impl History {
	/// Keeps its files in `dir`, which is made if it is not there.
	pub fn open(dir: PathBuf) -> anyhow::Result<Self> {
		fs::create_dir_all(&dir).with_context(|| {
			format!(
				"cannot make the folder {} for receipts: name another one by --data",
				dir.display()
			)
		})?;
		Ok(Self(Arc::new(Mutex::new(Log {
			dir,
			file: None,
			unsaved: VecDeque::new(),
			failing: false,
		}))))
	}

	/// Writes a line, down to the disk. Where that fails, the line waits in memory for the next one.
	pub async fn record(&self, event: Event) {
		let log = Arc::clone(&self.0);
		let write = move || {
			let mut log = log.lock();
			let entry = Entry { time: unix_millis(), event };
			match serde_json::to_string(&entry) {
				Ok(line) => log.add(line, date(entry.time)),
				Err(error) => error!("a receipt cannot be written: {error}"),
			}
		};
		// It fails only while the program ends.
		let _ = tokio::task::spawn_blocking(write).await;
	}
}

impl Log {
	fn add(&mut self, line: String, date: NaiveDate) {
		self.unsaved.push_back(line);
		match self.save(date) {
			Ok(()) if self.failing => {
				self.failing = false;
				info!("receipts are written to {} again", self.dir.display());
			},
			Ok(()) => (),
			Err(error) => {
				// It may end within a line now; whoever opens it next looks.
				self.file = None;
				if !self.failing {
					self.failing = true;
					let dir = self.dir.display();
					warn!(
						"cannot write receipts to {dir}: {error}; they wait in memory: make room there"
					);
				}
				if self.unsaved.len() > MAX_UNSAVED {
					self.unsaved.pop_front();
				}
			},
		}
	}

	fn save(&mut self, date: NaiveDate) -> io::Result<()> {
		let month = date.with_day(1).unwrap_or(date);
		let file = match &mut self.file {
			Some((of, file)) if *of == month => file,
			file => {
				let path = self.dir.join(file_name(month));
				&mut file.insert((month, open(&path)?)).1
			},
		};
		let text: String = self.unsaved.iter().flat_map(|line| [line, "\n"]).collect();
		file.write_all(text.as_bytes())?;
		file.sync_data()?;
		self.unsaved.clear();
		Ok(())
	}
}

fn file_name(month: NaiveDate) -> String {
	format!("history-{:04}-{:02}.jsonl", month.year(), month.month())
}

/// Opens a file to write at its end. A line that was broken off is ended first.
fn open(path: &Path) -> io::Result<File> {
	let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
	let mut last = [b'\n'];
	if file.metadata()?.len() > 0 {
		file.seek(SeekFrom::End(-1))?;
		file.read_exact(&mut last)?;
	}
	if last != [b'\n'] {
		file.write_all(b"\n")?;
	}
	Ok(file)
}

/// All lines in the folder of a miner, oldest month first, and how many of them make no sense.
pub fn read(dir: &Path) -> anyhow::Result<(Vec<Entry>, usize)> {
	let cannot = || format!("cannot read {}", dir.display());
	let mut files = Vec::new();
	for file in fs::read_dir(dir).with_context(cannot)? {
		let path = file.with_context(cannot)?.path();
		let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
		if name.starts_with("history-") && path.extension().is_some_and(|kind| kind == "jsonl") {
			files.push(path);
		}
	}
	files.sort();
	let (mut entries, mut senseless) = (Vec::new(), 0);
	for path in files {
		let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
		for line in String::from_utf8_lossy(&text).lines().filter(|line| !line.is_empty()) {
			match serde_json::from_str(line) {
				Ok(entry) => entries.push(entry),
				Err(_) => senseless += 1,
			}
		}
	}
	Ok((entries, senseless))
}

/// The day (UTC) of a time in milliseconds since 1970.
pub fn date(millis: u64) -> NaiveDate {
	let millis = i64::try_from(millis).unwrap_or(i64::MAX);
	DateTime::from_timestamp_millis(millis).unwrap_or_default().date_naive()
}

/// The time now, in milliseconds since 1970.
pub fn unix_millis() -> u64 {
	SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

#[cfg(test)]
mod tests {
	use super::*;

	fn era(era: u32) -> Event {
		Event::Era { era, pending: 5 * 10u128.pow(18), earned: u128::MAX }
	}

	fn log(dir: &Path) -> Log {
		Log { dir: dir.into(), file: None, unsaved: VecDeque::new(), failing: false }
	}

	#[tokio::test]
	async fn what_is_recorded_is_read_back() {
		let dir = tempfile::tempdir().unwrap();
		let of_miner = dir.path().join("5Grw");
		let end = Event::End {
			coordinator: "c".into(),
			task: "t".into(),
			attempt: 2,
			outcome: Outcome::Refused,
			model: "m".into(),
			pictures: 0,
			milliunits: 17,
			render_ms: 0,
			why: Some("\"too\nlarge\"".into()),
		};
		let receipt = Event::Receipt { coordinator: "c".into(), signed: serde_json::json!([1]) };
		for event in [receipt.clone(), end.clone()] {
			// As after a restart.
			History::open(of_miner.clone()).unwrap().record(event).await;
		}
		let (entries, senseless) = read(&of_miner).unwrap();
		let events: Vec<_> = entries.into_iter().map(|entry| entry.event).collect();
		assert_eq!((events, senseless), (vec![receipt, end], 0));
	}

	#[test]
	fn each_month_has_its_file() {
		let dir = tempfile::tempdir().unwrap();
		let mut log = log(dir.path());
		let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
		for (number, date) in
			[day(2026, 12, 31), day(2027, 1, 1), day(2027, 1, 31)].iter().enumerate()
		{
			let entry = Entry { time: 0, event: era(number as u32) };
			log.add(serde_json::to_string(&entry).unwrap(), *date);
		}
		let (entries, _) = read(dir.path()).unwrap();
		let eras: Vec<_> = entries.iter().map(|entry| entry.event.clone()).collect();
		assert_eq!(eras, [era(0), era(1), era(2)]);
		assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
		assert_eq!(date(1_798_761_600_000), day(2027, 1, 1));
	}

	#[test]
	fn a_broken_line_spoils_no_other() {
		let dir = tempfile::tempdir().unwrap();
		let day = NaiveDate::from_ymd_opt(2026, 11, 28).unwrap();
		fs::write(dir.path().join("history-2026-11.jsonl"), "{\"time\":1,\"event\":\"er").unwrap();
		let line = serde_json::to_string(&Entry { time: 2, event: era(1) }).unwrap();
		log(dir.path()).add(line, day);
		let (entries, senseless) = read(dir.path()).unwrap();
		assert_eq!((entries.len(), senseless), (1, 1));
	}

	/// A device that is always full, where the file should be.
	#[cfg(target_os = "linux")]
	#[test]
	fn what_a_full_disk_does_not_take_is_written_later() {
		let dir = tempfile::tempdir().unwrap();
		let day = NaiveDate::from_ymd_opt(2026, 11, 28).unwrap();
		let file = dir.path().join("history-2026-11.jsonl");
		std::os::unix::fs::symlink("/dev/full", &file).unwrap();
		let mut log = log(dir.path());
		for number in 0..MAX_UNSAVED as u32 + 5 {
			let entry = Entry { time: 0, event: era(number) };
			log.add(serde_json::to_string(&entry).unwrap(), day);
		}
		assert!(log.failing && log.unsaved.len() == MAX_UNSAVED);
		fs::remove_file(&file).unwrap();
		log.add(serde_json::to_string(&Entry { time: 0, event: era(9) }).unwrap(), day);
		assert!(!log.failing);
		assert_eq!(read(dir.path()).unwrap().0.len(), MAX_UNSAVED + 1);
	}
}
