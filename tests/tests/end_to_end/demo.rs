//! The demo, from its command line to its last line, and that it leaves nothing behind.

use cuckoo_e2e::process::{binary, interrupt, run_command, Ended};
use std::{
	fs,
	path::Path,
	process::{Command, Stdio},
	time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_mins(5);

/// In the environment of the demo and of all that it starts.
const MARK: &str = "CUCKOO_DEMO_TEST";

/// The demo with these arguments, its processes marked with `mark`.
fn demo(mark: &str, arguments: &[&str]) -> Command {
	let mut command = Command::new(binary("cuckoo-demo").unwrap());
	command.args(arguments).env(MARK, mark);
	command
}

/// The programs that run with that mark.
fn running(mark: &str) -> Vec<String> {
	let wanted = format!("{MARK}={mark}");
	let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
		let dir = entry.ok()?.path();
		// Processes end while they are looked at, and some are not ours to look at.
		let environment = fs::read(dir.join("environ")).ok()?;
		let marked = environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes());
		marked.then(|| fs::read_to_string(dir.join("comm")).unwrap_or_default())
	});
	processes.collect()
}

#[tokio::test]
async fn a_prompt_becomes_a_picture_and_nothing_is_left() {
	let out = tempfile::tempdir().unwrap();
	let out = out.path().to_str().unwrap();
	let arguments = ["fire", "--out", out, "--tasks", "3", "--steps", "4"];
	let ended = run_command(demo("whole", &arguments), PATIENCE).await.unwrap();
	assert!(ended.status.success(), "{ended:#?}");
	assert_eq!(running("whole"), Vec::<String>::new());

	let picture = Path::new(ended.stdout.lines().last().unwrap());
	let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(picture).unwrap()));
	let reader = decoder.read_info().unwrap();
	assert_eq!((reader.info().width, reader.info().height), (64, 64));
	assert_eq!(fs::read_dir(out).unwrap().count(), 4, "the picture and three small ones");
	for word in ["expected share", "Miner1", "Miner2", "Miner3", "20000 CAI", "70.0 %"] {
		assert!(ended.stdout.contains(word), "no {word:?} in\n{}", ended.stdout);
	}
}

#[tokio::test]
async fn an_interrupted_demo_leaves_nothing() {
	let out = tempfile::tempdir().unwrap();
	let mut child = demo("interrupted", &["--out", out.path().to_str().unwrap()])
		.stdout(Stdio::null())
		.stderr(Stdio::null())
		.spawn()
		.unwrap();
	let begin = Instant::now();
	while !running("interrupted").iter().any(|program| program.starts_with("cuckoo-node")) {
		assert!(begin.elapsed() < PATIENCE, "no node is started");
		assert!(child.try_wait().unwrap().is_none(), "the demo ended by itself");
		tokio::time::sleep(Duration::from_millis(50)).await;
	}
	interrupt(&child).unwrap();
	let status = child.wait().unwrap();
	assert!(!status.success());
	assert_eq!(running("interrupted"), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_line() {
	let empty = tempfile::tempdir().unwrap();
	let empty = empty.path().to_str().unwrap();
	let file = tempfile::NamedTempFile::new().unwrap();
	let file = file.path().to_str().unwrap();

	let mut without_programs = demo("missing", &["--out", empty]);
	without_programs.env("CUCKOO_BIN_DIR", empty);
	let ended = run_command(without_programs, PATIENCE).await.unwrap();
	says(&ended, "cuckoo-node");

	let ended = run_command(demo("models", &["--out", empty, "--models", "nowhere"]), PATIENCE);
	says(&ended.await.unwrap(), "nowhere");

	let ended = run_command(demo("out", &["--out", file]), PATIENCE);
	says(&ended.await.unwrap(), file);
}

fn says(ended: &Ended, part: &str) {
	let line = ended.refusal().unwrap();
	assert!(line.contains(part), "{line:?} does not say {part:?}");
}
