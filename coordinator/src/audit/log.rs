//! Where a log of draws comes from: a running coordinator, or a file.

use anyhow::{bail, ensure, Context};
use cuckoo_coordinator_api::{
	assignment::{assignment_path, AssignmentProof, AssignmentRecord, DrawLogHeader, DRAWS_PATH},
	error::Refusal,
	task::{TaskId, TaskStatus},
};
use reqwest::Response;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::time::Duration;

/// The longest line that is read, in bytes: a thousand attempts among all miners that there can be.
const MAX_LINE: usize = 16 << 20;
/// How long a coordinator may be silent.
const SILENCE: Duration = Duration::from_mins(1);

/// A log of draws, read record by record.
pub struct Log {
	header: DrawLogHeader,
	source: Source,
	/// The number of the line that was read last.
	line: u64,
}

enum Source {
	/// What a running coordinator sends, and the part of it that is not read yet.
	Coordinator(Response, Vec<u8>),
	File(Lines<BufReader<File>>),
	/// The one record there is.
	Task(Option<AssignmentRecord>),
}

impl Log {
	/// The log of a running coordinator, or a part of it.
	///
	/// # Errors
	///
	/// The coordinator does not answer as one does, or does not keep that part.
	pub async fn fetch(url: &str, from: Option<u64>, to: Option<u64>) -> anyhow::Result<Self> {
		let end = to.map(|last| last.saturating_add(1));
		let asked = [("from", from), ("end", end)];
		let query = asked.iter().filter_map(|(name, number)| Some((*name, (*number)?)));
		let response = get(url, DRAWS_PATH, &query.collect::<Vec<_>>()).await?;
		Self::begin(Source::Coordinator(response, Vec::new()), from, to)
			.await
			.with_context(|| format!("{url} gives no log of these draws"))
	}

	/// The log in a file, or a part of it.
	///
	/// # Errors
	///
	/// The file cannot be read, is no log, or does not have that part.
	pub async fn open(path: &Path, from: Option<u64>, to: Option<u64>) -> anyhow::Result<Self> {
		let name = || format!("{} is no log of these draws", path.display());
		let file = File::open(path).with_context(name)?;
		Self::begin(Source::File(BufReader::new(file).lines()), from, to).await.with_context(name)
	}

	/// The draws for one task, which must be for the specification that its status shows.
	///
	/// # Errors
	///
	/// The coordinator does not answer as one does, does not know the task, or says of the draws another
	/// thing than of the task.
	pub async fn of_task(url: &str, task: &TaskId) -> anyhow::Result<Self> {
		let status: TaskStatus = get_json(url, &format!("/v1/tasks/{task}")).await?;
		let proof: AssignmentProof = get_json(url, &assignment_path(task)).await?;
		let record = proof.record;
		ensure!(
			record.sequence == status.sequence,
			"task {task} has the sequence number {}, but its draws name {}",
			status.sequence,
			record.sequence
		);
		ensure!(
			record.task_hash.0 == status.spec.digest(),
			"the draws for task {task} are for something else than was asked for: their task hash is {}, \
			that of its specification {}",
			record.task_hash,
			hex::encode(status.spec.digest())
		);
		let header = DrawLogHeader {
			genesis: proof.genesis,
			coordinator: proof.coordinator,
			first: record.sequence,
			end: record.sequence + 1,
		};
		Ok(Self { header, source: Source::Task(Some(record)), line: 0 })
	}

	async fn begin(mut source: Source, from: Option<u64>, to: Option<u64>) -> anyhow::Result<Self> {
		let mut header: DrawLogHeader = source.read(1).await?.context("it is empty")?;
		let DrawLogHeader { first, end, .. } = header;
		header.first = from.unwrap_or(first);
		header.end = to.map_or(end, |last| last.saturating_add(1));
		if header.first < first || header.end > end {
			bail!("it has those for the tasks from {first} on that come before {end}");
		}
		Ok(Self { header, source, line: 1 })
	}

	/// Whose draws these are, and for which tasks.
	pub fn header(&self) -> &DrawLogHeader {
		&self.header
	}

	/// The draws for the next task.
	///
	/// # Errors
	///
	/// The log cannot be read any further.
	pub async fn next(&mut self) -> anyhow::Result<Option<AssignmentRecord>> {
		if let Source::Task(record) = &mut self.source {
			return Ok(record.take());
		}
		loop {
			self.line += 1;
			let record: Option<AssignmentRecord> = self.source.read(self.line).await?;
			let Some(record) = record else { return Ok(None) };
			if (self.header.first..self.header.end).contains(&record.sequence) {
				return Ok(Some(record));
			}
		}
	}
}

impl Source {
	/// What stands on the next line, which has this number.
	async fn read<T: DeserializeOwned>(&mut self, number: u64) -> anyhow::Result<Option<T>> {
		let line = match self {
			Self::Coordinator(response, rest) => next_line(response, rest).await,
			Self::File(lines) => lines.next().transpose().map_err(Into::into),
			Self::Task(_) => Ok(None),
		};
		let line = line.with_context(|| format!("line {number} cannot be read"))?;
		line.map(|line| serde_json::from_str(&line))
			.transpose()
			.with_context(|| format!("line {number} is not what a log of draws has there"))
	}
}

/// The next line of an answer, of which `rest` has been received and not read.
async fn next_line(response: &mut Response, rest: &mut Vec<u8>) -> anyhow::Result<Option<String>> {
	let mut seen = 0;
	loop {
		if let Some(end) = rest[seen..].iter().position(|byte| *byte == b'\n') {
			let mut line: Vec<u8> = rest.drain(..=seen + end).collect();
			line.pop();
			return Ok(Some(String::from_utf8(line)?));
		}
		seen = rest.len();
		ensure!(seen <= MAX_LINE, "it has more than {MAX_LINE} bytes");
		match response.chunk().await? {
			Some(more) => rest.extend_from_slice(&more),
			None if rest.is_empty() => return Ok(None),
			None => bail!("it ends in the middle of it"),
		}
	}
}

async fn get(url: &str, path: &str, query: &[(&str, u64)]) -> anyhow::Result<Response> {
	let client = reqwest::Client::builder().read_timeout(SILENCE).build()?;
	let at = format!("{}{path}", url.trim_end_matches('/'));
	let asked = client.get(&at).query(query).send().await;
	let response = asked.with_context(|| format!("cannot ask the coordinator at {url}"))?;
	if !response.status().is_success() {
		let status = response.status();
		match response.json::<Refusal>().await {
			Ok(refusal) => bail!("the coordinator at {url} refuses: {refusal}"),
			Err(_) => {
				bail!("{at} answers with {status}: is that a coordinator's listener for apps?")
			},
		}
	}
	Ok(response)
}

async fn get_json<T: DeserializeOwned>(url: &str, path: &str) -> anyhow::Result<T> {
	let answer = get(url, path, &[]).await?.json().await;
	answer.with_context(|| format!("{url}{path} does not answer as a coordinator does"))
}
