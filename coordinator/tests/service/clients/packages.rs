//! OpenAI's own packages for Python and Node.js, as apps install them, and what else comes from PyPI.
//! They are installed once, into the
//! target directory, in the versions that `coordinator/tests/clients` names.

use super::*;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tokio::time::timeout;

/// The scripts and what they need.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
/// Longest time that a script may take.
const SCRIPT_TIME: Duration = Duration::from_mins(30);

/// A directory of that name with a copy of these files of `scripts`, made ready by `install` when they are
/// not what they were the last time. Tests that run at the same time wait for each other.
pub fn installed(
	name: &str,
	scripts: &Path,
	files: &[&str],
	install: impl FnOnce(&Path),
) -> PathBuf {
	let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
	fs::create_dir_all(&dir).unwrap();
	let alone = File::create(dir.join("lock")).unwrap();
	alone.lock().unwrap();
	let read = |file: &&str| fs::read_to_string(scripts.join(file)).unwrap();
	let wanted: String = files.iter().map(read).collect();
	let stamp = dir.join("installed");
	if fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
		for file in files {
			fs::copy(scripts.join(file), dir.join(file)).unwrap();
		}
		install(&dir);
		fs::write(stamp, wanted).unwrap();
	}
	dir
}

/// Runs a command in a directory. Tried twice: networks fail.
pub fn install<const N: usize>(dir: &Path, program: impl AsRef<OsStr>, args: [&str; N]) {
	let name = program.as_ref().display();
	let attempt = || Command::new(&program).args(args).current_dir(dir).output();
	let run = || attempt().unwrap_or_else(|error| panic!("{name}: {error}"));
	let failed = |output: &Output| !output.status.success();
	let output = Some(run()).filter(|output| !failed(output)).unwrap_or_else(run);
	let said = String::from_utf8_lossy(&output.stderr);
	assert!(!failed(&output), "{name} {args:?} fails: {said}");
}

/// A Python with the packages that `requirements-NAME.txt` lists.
pub fn python(name: &str) -> PathBuf {
	let requirements = format!("requirements-{name}.txt");
	let dir = installed(&format!("{name}-python"), Path::new(SCRIPTS), &[&requirements], |dir| {
		install(dir, "python3", ["-m", "venv", "--clear", "venv"]);
		let pip = ["-m", "pip", "install", "--quiet", "--requirement", &requirements];
		install(dir, dir.join("venv/bin/python"), pip);
	});
	dir.join("venv/bin/python")
}

/// A directory in which scripts for Node.js find the package.
pub fn node_directory() -> PathBuf {
	let files = ["package.json", "package-lock.json", ".npmrc"];
	let install = |dir: &Path| install(dir, "npm", ["ci", "--silent"]);
	installed("openai-node", Path::new(SCRIPTS), &files, install)
}

/// Runs a program to its end and answers with what it printed.
pub async fn run(program: impl AsRef<OsStr>, args: &[&OsStr], dir: &Path) -> String {
	let mut command = tokio::process::Command::new(program);
	command.args(args).current_dir(dir).kill_on_drop(true);
	let output = timeout(SCRIPT_TIME, command.output()).await.expect("it ends in time").unwrap();
	let said = String::from_utf8_lossy(&output.stderr);
	let printed = String::from_utf8_lossy(&output.stdout);
	assert!(output.status.success(), "{command:?} fails: {said}{printed}");
	printed.into_owned()
}

/// Runs one of the scripts against a coordinator and checks the pictures that it leaves.
async fn check(program: impl AsRef<OsStr>, script: &Path) {
	let coordinator = serving().await;
	let dir = tempfile::tempdir().unwrap();
	let base = format!("http://{}/v1", coordinator.apps);
	let args = [script.as_os_str(), OsStr::new(&base), OsStr::new(MODEL), dir.path().as_os_str()];
	let printed = run(program, &args, dir.path()).await;
	assert!(printed.contains("all as expected"), "{printed}");
	let picture = png(64, 72, &pixels(&request("a red bird").resolve(7, MODEL.into()), 0));
	for name in ["base64.png", "address.png", "stream.png"] {
		assert_eq!(fs::read(dir.path().join(name)).unwrap(), picture, "{name}");
	}
}

#[tokio::test]
async fn the_package_for_python_works() {
	check(python("openai"), &Path::new(SCRIPTS).join("openai_client.py")).await;
}

#[tokio::test]
async fn the_package_for_node_works() {
	// It finds the package only from where that is installed.
	let script = node_directory().join("openai_client.mjs");
	fs::copy(Path::new(SCRIPTS).join("openai_client.mjs"), &script).unwrap();
	check("node", &script).await;
}
