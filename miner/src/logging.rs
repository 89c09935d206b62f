//! Where log lines go: to the standard error, or into memory while the live view has the terminal.

use chrono::Timelike as _;
use parking_lot::{Mutex, MutexGuard};
use std::{
	collections::VecDeque,
	fmt,
	io::{self, IsTerminal as _, Write},
	sync::Arc,
};
use tracing_subscriber::{
	fmt::{format::Writer, time::FormatTime},
	EnvFilter,
};

/// What is logged unless RUST_LOG says otherwise.
const FILTER: &str = "warn,cuckoo_miner=info,cuckoo_diffusion=info,cuckoo_chain_client=info";
/// Lines that are kept for the view.
const KEPT: usize = 500;

fn filter() -> EnvFilter {
	EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| FILTER.into())
}

/// Logs to the standard error.
pub fn start() {
	tracing_subscriber::fmt()
		.with_env_filter(filter())
		.with_target(false)
		.with_ansi(io::stderr().is_terminal())
		.with_writer(io::stderr)
		.init();
}

/// Logs to the standard error until somebody asks to keep the lines.
pub fn start_for_view() -> LogLines {
	let lines = LogLines::default();
	let writer = lines.clone();
	tracing_subscriber::fmt()
		.with_env_filter(filter())
		.with_target(false)
		.with_ansi(false)
		.with_timer(Clock)
		.with_writer(move || writer.clone())
		.init();
	lines
}

/// The time of day (UTC): the view is about now.
struct Clock;

impl FormatTime for Clock {
	fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
		let now = chrono::Utc::now().time();
		write!(writer, "{:02}:{:02}:{:02}", now.hour(), now.minute(), now.second())
	}
}

/// The last log lines. Clones share them.
#[derive(Clone, Default)]
pub struct LogLines(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
	/// Whether lines are kept here only.
	quiet: bool,
	lines: VecDeque<String>,
}

impl LogLines {
	fn kept(&self) -> MutexGuard<'_, Kept> {
		self.0.lock()
	}

	/// From now on they do not go to the standard error (`true`), or do so again.
	pub fn keep_quiet(&self, quiet: bool) {
		self.kept().quiet = quiet;
	}

	/// The last lines, oldest first.
	pub fn last(&self) -> Vec<String> {
		self.kept().lines.iter().cloned().collect()
	}
}

impl Write for LogLines {
	/// Takes one line.
	fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
		let mut kept = self.kept();
		let text = String::from_utf8_lossy(bytes);
		kept.lines.extend(text.lines().map(ToOwned::to_owned));
		let superfluous = kept.lines.len().saturating_sub(KEPT);
		kept.lines.drain(..superfluous);
		if !kept.quiet {
			io::stderr().write_all(bytes)?;
		}
		Ok(bytes.len())
	}

	fn flush(&mut self) -> io::Result<()> {
		Ok(())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_last_lines_are_kept() {
		let mut lines = LogLines::default();
		lines.keep_quiet(true);
		for number in 0..KEPT + 10 {
			lines.write_all(format!("line {number}\n").as_bytes()).unwrap();
		}
		lines.flush().unwrap();
		let last = lines.last();
		assert_eq!((last.len(), &*last[0], &*last[KEPT - 1]), (KEPT, "line 10", "line 509"));
	}
}
