//! `cuckoo-miner history`: what this machine has done and earned, from its own receipts.

use crate::{
	cli::HistoryArgs,
	history::{self, Entry, Event, Outcome},
};
use anyhow::{bail, Context as _};
use chrono::NaiveDate;
use cuckoo_chain_client::format_cai;
use serde::Serialize;
use std::{
	collections::BTreeMap,
	fs,
	path::{Path, PathBuf},
};

/// The work of some time, or for somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Work {
	done: u64,
	refused: u64,
	failed: u64,
	dropped: u64,
	pictures: u64,
	milliunits: u64,
	render_ms: u64,
}

impl Work {
	fn add(&mut self, outcome: Outcome, pictures: u32, milliunits: u64, render_ms: u64) {
		match outcome {
			Outcome::Done => {
				self.done += 1;
				self.pictures += u64::from(pictures);
				self.milliunits += milliunits;
				self.render_ms += render_ms;
			},
			Outcome::Refused => self.refused += 1,
			Outcome::Failed => self.failed += 1,
			Outcome::Dropped => self.dropped += 1,
		}
	}
}

/// All that can be said of a history.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
	operator: String,
	days: BTreeMap<NaiveDay, Work>,
	coordinators: BTreeMap<String, Work>,
	total: Work,
	receipts: u64,
	/// By era: what was earned in planck, at least.
	eras: BTreeMap<u32, String>,
	#[serde(skip)]
	earned: u128,
	#[serde(skip)]
	pending: u128,
}

/// A day that is written as text.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct NaiveDay(NaiveDate);

impl Serialize for NaiveDay {
	fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.collect_str(&self.0)
	}
}

/// Prints it.
pub fn run(args: &HistoryArgs) -> anyhow::Result<()> {
	let data = args.data.dir()?;
	let dir = match &args.operator {
		Some(operator) => data.join(operator.to_string()),
		None => only_miner(&data)?,
	};
	let (entries, senseless) = history::read(&dir)?;
	let operator = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
	let since = args.days.map(|days| {
		let today = history::date(history::unix_millis());
		today.checked_sub_days(chrono::Days::new(u64::from(days) - 1)).unwrap_or(today)
	});
	let summary = summarize(operator, &entries, since);
	if senseless > 0 {
		eprintln!("{senseless} lines in {} make no sense and are left out", dir.display());
	}
	if args.json {
		println!("{}", serde_json::to_string_pretty(&summary)?);
	} else {
		print!("{}", table(&summary, &dir));
	}
	Ok(())
}

/// The folder of the one miner that has worked here.
fn only_miner(data: &Path) -> anyhow::Result<PathBuf> {
	let nothing = || {
		format!(
			"there is no history in {}: no miner has worked for this user yet, or --data is another one",
			data.display()
		)
	};
	let mut dirs = Vec::new();
	for entry in fs::read_dir(data).with_context(nothing)? {
		let entry = entry.with_context(nothing)?;
		if entry.path().is_dir() {
			dirs.push(entry.file_name().to_string_lossy().into_owned());
		}
	}
	match &dirs[..] {
		[] => bail!(nothing()),
		[one] => Ok(data.join(one)),
		several => {
			bail!("several keys have worked here: choose by --operator {}", several.join(" or "))
		},
	}
}

fn summarize(operator: String, entries: &[Entry], since: Option<NaiveDate>) -> Summary {
	let mut summary = Summary { operator, ..Summary::default() };
	for Entry { time, event } in entries {
		let day = history::date(*time);
		if since.is_some_and(|since| day < since) {
			continue;
		}
		match event {
			Event::Receipt { .. } => summary.receipts += 1,
			Event::End { coordinator, outcome, pictures, milliunits, render_ms, .. } => {
				let of_day = summary.days.entry(NaiveDay(day)).or_default();
				let of_coordinator = summary.coordinators.entry(coordinator.clone()).or_default();
				for work in [of_day, of_coordinator, &mut summary.total] {
					work.add(*outcome, *pictures, *milliunits, *render_ms);
				}
			},
			Event::Era { era, pending, earned } => {
				// What shows at the beginning of an era was earned before it.
				summary.eras.insert(era.saturating_sub(1), earned.to_string());
				summary.earned = summary.earned.saturating_add(*earned);
				summary.pending = *pending;
			},
		}
	}
	summary
}

fn table(summary: &Summary, dir: &Path) -> String {
	let rows = |work: &BTreeMap<String, Work>| -> String {
		work.iter().map(|(name, work)| row(name, work)).collect()
	};
	let days = summary.days.iter().map(|(day, work)| row(&day.0.to_string(), work));
	format!(
		"operator {}, files in {}\n{HEADING}\n{}{}\n{}\nreceipts {}; eras {}; earned {} CAI; {} CAI can be claimed\n",
		summary.operator,
		dir.display(),
		days.collect::<String>(),
		row("in total", &summary.total),
		rows(&summary.coordinators),
		summary.receipts,
		summary.eras.len(),
		format_cai(summary.earned),
		format_cai(summary.pending)
	)
}

const HEADING: &str =
	"                                                    done refused  failed dropped \
pictures       units  seconds";

fn row(name: &str, work: &Work) -> String {
	let Work { done, refused, failed, dropped, pictures, milliunits, render_ms } = *work;
	let (units, seconds) = (milliunits as f64 / 1e3, render_ms as f64 / 1e3);
	format!(
		"{name:<48} {done:>7} {refused:>7} {failed:>7} {dropped:>7} {pictures:>8} {units:>11.3} \
		{seconds:>8.1}\n"
	)
}

#[cfg(test)]
mod tests {
	use super::*;

	fn end(outcome: Outcome, milliunits: u64) -> Event {
		Event::End {
			coordinator: "5Coordinator".into(),
			task: "t".into(),
			attempt: 1,
			outcome,
			model: "m".into(),
			pictures: 2,
			milliunits,
			render_ms: 1500,
			why: None,
		}
	}

	#[test]
	fn days_coordinators_and_eras_are_summed_up() {
		let cai = 10u128.pow(18);
		let day = 86_400_000;
		let entries = [
			(0, Event::Receipt { coordinator: "5Coordinator".into(), signed: "s".into() }),
			(1, end(Outcome::Done, 500)),
			(day, end(Outcome::Done, 250)),
			(day, end(Outcome::Failed, 250)),
			(day, Event::Era { era: 4, pending: 7 * cai, earned: 3 * cai }),
			(day, Event::Era { era: 5, pending: 9 * cai, earned: 2 * cai }),
		]
		.map(|(time, event)| Entry { time, event });
		let all = summarize("5Operator".into(), &entries, None);
		assert_eq!((all.days.len(), all.receipts), (2, 1));
		assert_eq!((all.total.done, all.total.failed, all.total.pictures), (2, 1, 4));
		assert_eq!((all.total.milliunits, all.total.render_ms), (750, 3000));
		assert_eq!(all.coordinators["5Coordinator"], all.total);
		let text = table(&all, Path::new("dir"));
		assert!(text.contains("eras 2; earned 5 CAI; 9 CAI can be claimed"), "{text}");
		assert!(text.contains("\n1970-01-02"), "{text}");
		let json = serde_json::to_value(&all).unwrap();
		assert_eq!(json["eras"]["3"], (3 * cai).to_string());
		assert_eq!(json["days"]["1970-01-01"]["pictures"], 2);
		let later = summarize("5Operator".into(), &entries, Some(history::date(day)));
		assert_eq!((later.days.len(), later.receipts, later.total.done), (1, 0, 1));
	}
}
