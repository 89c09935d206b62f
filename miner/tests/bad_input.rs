//! The program itself, given what it cannot work with: one clear line, exit code 1, no panic.

use cuckoo_diffusion::untrained;
use std::{
	fs,
	path::{Path, PathBuf},
	process::{Command, Output},
};
use tempfile::TempDir;

/// A directory with a good key file and a good model.
struct Place {
	dir: TempDir,
}

impl Place {
	fn new() -> Self {
		let dir = tempfile::tempdir().unwrap();
		fs::write(dir.path().join("key"), "//Alice\n").unwrap();
		untrained::write(&dir.path().join("models/plumbing"), 1).unwrap();
		Self { dir }
	}

	fn path(&self, name: &str) -> PathBuf {
		self.dir.path().join(name)
	}
}

/// Mines with these files, on a chain that nobody serves unless `more` names one.
fn mine(key: &Path, models: &Path, more: &[&str]) -> Output {
	let mut command = program();
	command.arg("--key").arg(key).arg("--models").arg(models).args(more);
	command.arg("--data").arg(models.with_file_name("data"));
	if !more.contains(&"--chain") {
		command.args(["--chain", &nobody()]);
	}
	command.output().unwrap()
}

fn program() -> Command {
	let mut command = Command::new(env!("CARGO_BIN_EXE_cuckoo-miner"));
	for (name, _) in std::env::vars_os() {
		if name.to_string_lossy().starts_with("CUCKOO_") {
			command.env_remove(name);
		}
	}
	command.env("RUST_LOG", "error");
	command
}

/// The address of a port that was free a moment ago.
fn nobody() -> String {
	let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
	format!("ws://{}", listener.local_addr().unwrap())
}

/// The one line that a refusal consists of; every one of `words` must be in it.
fn refused(output: &Output, words: &[&str]) {
	let stderr = String::from_utf8_lossy(&output.stderr);
	assert_eq!(output.status.code(), Some(1), "{stderr}");
	assert_eq!(stderr.lines().count(), 1, "{stderr}");
	assert!(stderr.starts_with("error: "), "{stderr}");
	assert!(!stderr.contains("panicked"), "{stderr}");
	for word in words {
		assert!(stderr.contains(word), "{word:?} is not in {stderr}");
	}
}

#[test]
fn a_key_file_without_a_key() {
	let place = Place::new();
	let models = place.path("models");
	let missing = place.path("absent");
	refused(&mine(&missing, &models, &[]), &["no key file", "absent"]);
	fs::write(place.path("bad"), "not a key\n").unwrap();
	#[cfg(unix)]
	{
		use std::os::unix::fs::PermissionsExt as _;
		fs::set_permissions(place.path("bad"), fs::Permissions::from_mode(0o600)).unwrap();
	}
	refused(&mine(&place.path("bad"), &models, &[]), &["holds no key", "bad"]);
}

#[test]
fn a_model_directory_that_is_missing_or_empty() {
	let place = Place::new();
	let key = place.path("key");
	let missing = place.path("absent");
	refused(&mine(&key, &missing, &[]), &["does not exist", "absent"]);
	fs::create_dir(place.path("empty")).unwrap();
	refused(&mine(&key, &place.path("empty"), &[]), &["no model in", "model_index.json"]);
}

#[test]
fn a_corrupt_safetensors_file() {
	let place = Place::new();
	let weights = place.path("models/plumbing/unet/diffusion_pytorch_model.safetensors");
	let whole = fs::read(&weights).unwrap();
	let key = place.path("key");
	for damaged in [&whole[..whole.len() / 2], &b"garbage"[..], &[0xff; 64][..], &[][..]] {
		fs::write(&weights, damaged).unwrap();
		refused(
			&mine(&key, &place.path("models"), &[]),
			&["diffusion_pytorch_model.safetensors", "safetensors file"],
		);
	}
}

#[test]
fn a_node_that_cannot_be_reached() {
	let place = Place::new();
	let (key, models) = (place.path("key"), place.path("models"));
	refused(&mine(&key, &models, &[]), &["cannot reach a node at ws://127.0.0.1"]);
	let http = ["--chain", "http://127.0.0.1:9944"];
	refused(&mine(&key, &models, &http), &["write ws:// for http://"]);
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_device_that_is_not_there() {
	let place = Place::new();
	let output = mine(&place.path("key"), &place.path("models"), &["--devices", "cuda:0"]);
	refused(&output, &["cuda:0"]);
}

#[test]
fn a_proof_without_a_node() {
	let place = Place::new();
	let stash = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
	let output = program()
		.args(["key", "prove", "--stash", stash, "--chain", &nobody(), "--key"])
		.arg(place.path("key"))
		.output()
		.unwrap();
	refused(&output, &["cannot reach a node"]);
}

#[test]
fn a_command_line_that_makes_no_sense() {
	for line in [&["--slots", "0"][..], &["--block", "Alice"], &["--genesis", "0x12"], &["fly"]] {
		let output = program().args(line).output().unwrap();
		let stderr = String::from_utf8_lossy(&output.stderr);
		assert_eq!(output.status.code(), Some(2), "{stderr}");
		assert!(stderr.starts_with("error: ") && !stderr.contains("panicked"), "{stderr}");
	}
}

#[test]
fn a_request_that_cannot_be_rendered() {
	let place = Place::new();
	let render = |more: &[&str]| {
		program()
			.args(["render", "--prompt", "a red bird", "--models"])
			.arg(place.path("models"))
			.arg("--out")
			.arg(place.path("bird.png"))
			.args(more)
			.output()
			.unwrap()
	};
	refused(&render(&["--width", "0"]), &["width is 0"]);
	refused(&render(&["--width", "65537"]), &["width is 65537"]);
	refused(&render(&["--model", "other"]), &["there is no model", "plumbing"]);
	assert!(!place.path("bird.png").exists());
}

#[test]
fn a_new_key_is_made_once_and_shown() {
	let place = Place::new();
	let file = place.path("new");
	let key = |command: &str, option: &str, more: &[&str]| {
		program().args(["key", command, option]).arg(&file).args(more).output().unwrap()
	};
	// There is no terminal to ask for a password.
	refused(&key("new", "--out", &[]), &["--password-file"]);
	let made = key("new", "--out", &["--unencrypted"]);
	assert!(made.status.success());
	let address = |output: &Output| {
		let text = String::from_utf8_lossy(&output.stdout).into_owned();
		text.lines().find(|line| line.starts_with("address:")).map(ToOwned::to_owned)
	};
	assert!(address(&made).is_some_and(|line| line.contains(" 5")));
	let secret = fs::read_to_string(&file).unwrap();
	assert_eq!(secret.split_whitespace().count(), 12);
	assert!(!String::from_utf8_lossy(&made.stdout).contains(secret.trim()));
	assert_eq!(address(&key("show", "--key", &[])), address(&made));
	refused(&key("new", "--out", &["--unencrypted"]), &["exists already"]);
	assert_eq!(fs::read_to_string(&file).unwrap(), secret);
}

#[test]
fn models_are_listed_with_what_they_say_of_themselves() {
	let place = Place::new();
	let output = program().args(["models", "--models"]).arg(place.path("models")).output().unwrap();
	let text = String::from_utf8_lossy(&output.stdout);
	assert!(output.status.success());
	assert!(text.starts_with("plumbing\n  digest: "), "{text}");
	assert!(text.contains(untrained::NOTICE), "{text}");
}
