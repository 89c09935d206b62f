//! A program that runs, with its log.

use anyhow::{anyhow, bail, Context, Result};
use rustix::process::{kill_process, Pid, Signal};
use std::{
	env,
	ffi::OsStr,
	fs::{self, File},
	path::{Path, PathBuf},
	process::{Child, Command, ExitStatus, Stdio},
	thread,
	time::{Duration, Instant},
};
use tempfile::TempDir;

/// How often a log or a process is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How many lines of a log are shown with a failure.
const TAIL_LINES: usize = 30;

/// What Rust writes when a thread has panicked.
const PANIC: &str = "panicked at";

/// The built program of that name: in the directory that `CUCKOO_BIN_DIR` names, else where this
/// program was built.
pub fn binary(name: &str) -> Result<PathBuf> {
	let dir = if let Some(dir) = env::var_os("CUCKOO_BIN_DIR") {
		PathBuf::from(dir)
	} else {
		let program = env::current_exe().context("cannot find this program's own path")?;
		let dir = program.parent().context("this program is in no directory")?;
		// Tests are built in `deps`, one level below.
		match dir.file_name() {
			Some(name) if name == "deps" => dir.parent().unwrap_or(dir).to_owned(),
			_ => dir.to_owned(),
		}
	};
	let path = dir.join(format!("{name}{}", env::consts::EXE_SUFFIX));
	if !path.is_file() {
		bail!(
			"there is no {}: run `cargo build --release --workspace --bins`, or set CUCKOO_BIN_DIR \
			to the directory where {name} is",
			path.display()
		);
	}
	Ok(path)
}

/// A running program. It is killed when this guard is dropped; if that is because a test fails, the
/// end of its log is printed.
pub struct Process {
	name: String,
	child: Child,
	dir: TempDir,
}

impl Process {
	/// Starts the program `name` with `args`. Its output goes to a log file.
	pub fn start<A: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = A>) -> Result<Self> {
		Self::start_program(binary(name)?, args)
	}

	/// Like [`Self::start`], for any program: one at a path, or one that the system finds by name.
	pub fn start_program<A: AsRef<OsStr>>(
		program: impl AsRef<Path>,
		args: impl IntoIterator<Item = A>,
	) -> Result<Self> {
		let program = program.as_ref();
		let name = program.file_stem().unwrap_or(program.as_os_str()).to_string_lossy();
		let dir = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?;
		let log = File::create(log_path(dir.path()))?;
		let child = Command::new(program)
			.args(args)
			.stdin(Stdio::null())
			.stdout(log.try_clone()?)
			.stderr(log)
			.spawn()
			.with_context(|| format!("cannot start {name}"))?;
		Ok(Self { name: name.into_owned(), child, dir })
	}

	/// A directory for this process's own files, which goes when the guard is dropped.
	pub fn dir(&self) -> &Path {
		self.dir.path()
	}

	/// Everything that it has printed so far.
	pub fn log(&self) -> String {
		let bytes = fs::read(log_path(self.dir.path())).unwrap_or_default();
		String::from_utf8_lossy(&bytes).into_owned()
	}

	/// The last lines that it has printed.
	pub fn tail(&self) -> String {
		let log = self.log();
		let lines: Vec<_> = log.lines().collect();
		lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
	}

	/// Fails if it has ended, with what it said last.
	pub fn ensure_running(&mut self) -> Result<()> {
		match self.child.try_wait()? {
			None => Ok(()),
			Some(status) => Err(anyhow!("{} has ended ({status}):\n{}", self.name, self.tail())),
		}
	}

	/// Fails if any of its threads has panicked.
	pub fn ensure_no_panic(&self) -> Result<()> {
		match self.log().lines().find(|line| line.contains(PANIC)) {
			None => Ok(()),
			Some(line) => Err(anyhow!("{} has panicked: {line}", self.name)),
		}
	}

	/// Waits until a line of the log contains `text`, and answers with that line.
	pub async fn wait_for_line(&mut self, text: &str, patience: Duration) -> Result<String> {
		let begin = Instant::now();
		loop {
			if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
				return Ok(line.to_owned());
			}
			self.ensure_running()?;
			if begin.elapsed() > patience {
				bail!("{} did not print {text:?} in {patience:?}:\n{}", self.name, self.tail());
			}
			tokio::time::sleep(LOOK).await;
		}
	}

	/// Waits until it ends by itself.
	pub async fn wait_for_end(&mut self, patience: Duration) -> Result<ExitStatus> {
		let begin = Instant::now();
		loop {
			if let Some(status) = self.child.try_wait()? {
				return Ok(status);
			}
			if begin.elapsed() > patience {
				bail!("{} did not end in {patience:?}:\n{}", self.name, self.tail());
			}
			tokio::time::sleep(LOOK).await;
		}
	}

	/// How much memory it has in use now, in bytes.
	pub fn resident_bytes(&self) -> Result<u64> {
		let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
		let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
		let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
		Ok(kibibytes.context("the system does not tell how much memory it has")? * 1024)
	}

	/// Presses Ctrl-C, so to say.
	pub fn interrupt(&self) -> Result<()> {
		interrupt(&self.child).with_context(|| format!("cannot interrupt {}", self.name))
	}

	/// Ends it at once, as a power cut would.
	pub fn kill(&mut self) -> Result<()> {
		self.child.kill()?;
		self.child.wait()?;
		Ok(())
	}
}

impl Drop for Process {
	fn drop(&mut self) {
		// Fails only if it has ended already.
		let _ = self.child.kill();
		let _ = self.child.wait();
		if thread::panicking() {
			eprintln!("--- the end of the log of {}\n{}\n---", self.name, self.tail());
		}
	}
}

fn log_path(dir: &Path) -> PathBuf {
	dir.join("log")
}

/// What a program that has ended said.
#[derive(Debug)]
pub struct Ended {
	/// How it ended.
	pub status: ExitStatus,
	/// What it printed to its standard output.
	pub stdout: String,
	/// What it printed to its standard error.
	pub stderr: String,
}

impl Ended {
	/// The one line with which it refused to work. Nothing may stand below it but dated lines of a
	/// log that was written out late, as the node's is. Fails if it did not refuse, or panicked.
	pub fn refusal(&self) -> Result<&str> {
		let is_error = |line: &&str| line.starts_with("error: ") || line.starts_with("Error: ");
		let dated = |line: &str| line.starts_with(|first: char| first.is_ascii_digit());
		let panicked = self.stderr.contains(PANIC) || self.stdout.contains(PANIC);
		let mut lines = self.stderr.lines().filter(|line| !line.trim().is_empty());
		match lines.find(is_error) {
			Some(line) if lines.all(dated) && !self.status.success() && !panicked => Ok(line),
			_ => Err(anyhow!("expected a failure and one line that says why, got {self:#?}")),
		}
	}
}

/// Presses Ctrl-C, so to say, for any program.
pub fn interrupt(child: &Child) -> Result<()> {
	Ok(kill_process(Pid::from_child(child), Signal::INT)?)
}

/// Runs the program `name` with `args` until it ends by itself. It is killed, and that is a failure,
/// when `patience` is over.
pub async fn run<A: AsRef<OsStr>>(
	name: &str,
	args: impl IntoIterator<Item = A>,
	patience: Duration,
) -> Result<Ended> {
	let mut command = Command::new(binary(name)?);
	command.args(args);
	run_command(command, patience).await
}

/// Like [`run`], for a command that is prepared.
pub async fn run_command(mut command: Command, patience: Duration) -> Result<Ended> {
	let dir = tempfile::tempdir()?;
	let (stdout, stderr) = (dir.path().join("stdout"), dir.path().join("stderr"));
	let mut child = command
		.stdin(Stdio::null())
		.stdout(File::create(&stdout)?)
		.stderr(File::create(&stderr)?)
		.spawn()
		.with_context(|| format!("cannot start {command:?}"))?;
	let begin = Instant::now();
	let status = loop {
		if let Some(status) = child.try_wait()? {
			break status;
		}
		if begin.elapsed() > patience {
			child.kill()?;
			child.wait()?;
			bail!(
				"{command:?} did not end in {patience:?}:\n{}{}",
				fs::read_to_string(&stdout)?,
				fs::read_to_string(&stderr)?
			);
		}
		tokio::time::sleep(LOOK).await;
	};
	Ok(Ended { status, stdout: fs::read_to_string(&stdout)?, stderr: fs::read_to_string(&stderr)? })
}
