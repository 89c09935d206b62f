//! The program with bad input: one clear line on standard error and a non-zero exit.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

/// Runs the program with these arguments; its exit code and what it wrote to standard error.
fn run(args: &[&str]) -> (Option<i32>, String) {
	let output = Command::new(env!("CARGO_BIN_EXE_cuckoo-coordinator"))
		.args(args)
		.env_remove("CUCKOO_KEY")
		.env_remove("CUCKOO_CHAIN")
		.env_remove("RUST_LOG")
		.output()
		.unwrap();
	(output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The one line with which the program gives up.
fn complaint(args: &[&str]) -> String {
	let (code, stderr) = run(args);
	assert_eq!(code, Some(1), "{stderr}");
	assert_eq!(stderr.lines().count(), 1, "{stderr}");
	assert!(stderr.starts_with("error: ") && !stderr.contains("panicked"), "{stderr}");
	stderr
}

fn key_file(content: &str) -> (tempfile::TempDir, PathBuf) {
	let dir = tempfile::tempdir().unwrap();
	let path = dir.path().join("key");
	std::fs::write(&path, content).unwrap();
	(dir, path)
}

#[test]
fn a_key_is_needed_and_must_be_good() {
	assert!(complaint(&[]).contains("--key FILE"));
	assert!(complaint(&["--key", "/nonexistent/key"]).contains("/nonexistent/key"));
	let (_dir, path) = key_file("not a key");
	let path = path.to_str().unwrap();
	assert!(complaint(&["--key", path]).contains(path));
	assert!(complaint(&["key", "show", "--key", path]).contains(path));
}

#[test]
fn a_node_that_cannot_be_reached_is_named() {
	let (_dir, path) = key_file("//Alice");
	let key = path.to_str().unwrap();
	// A port that was free a moment ago: nothing listens there.
	let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
	let chain = format!("ws://127.0.0.1:{port}");
	let free = ["--app-listen", "127.0.0.1:0", "--miner-listen", "127.0.0.1:0"];
	let args = [&["--key", key, "--chain", &chain][..], &free].concat();
	assert!(complaint(&args).contains(&chain));
	let args = [&["--key", key, "--chain", "http://x"][..], &free].concat();
	assert!(complaint(&args).contains("ws://"));
	let stash = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
	let prove = ["key", "prove", "--stash", stash, "--key", key, "--endpoint", "ws://x:9981"];
	assert!(complaint(&[&prove[..], &["--chain", &chain]].concat()).contains(&chain));
}

#[test]
fn a_port_in_use_is_named_with_the_option_that_changes_it() {
	let (_dir, path) = key_file("//Alice");
	let key = path.to_str().unwrap();
	let taken = TcpListener::bind("127.0.0.1:0").unwrap();
	let address = taken.local_addr().unwrap().to_string();
	for (option, other) in [("--app-listen", "--miner-listen"), ("--miner-listen", "--app-listen")]
	{
		let message = complaint(&["--key", key, option, &address, other, "127.0.0.1:0"]);
		assert!(message.contains(&address) && message.contains(option), "{message}");
	}
}

#[test]
fn an_audit_names_the_log_that_it_cannot_read() {
	assert!(complaint(&["audit", "--log", "/nonexistent/log"]).contains("/nonexistent/log"));
	let (_dir, empty) = key_file("");
	let empty = empty.to_str().unwrap();
	assert!(complaint(&["audit", "--log", empty]).contains("it is empty"));
	let (_dir, other) = key_file("{}\n");
	assert!(complaint(&["audit", "--log", other.to_str().unwrap()]).contains("line 1"));
	// A port that was free a moment ago: nothing listens there.
	let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
	let url = format!("http://127.0.0.1:{port}");
	assert!(complaint(&["audit", "--coordinator", &url]).contains(&url));
	let header =
		format!(r#"{{"genesis":"{0}","coordinator":"{0}","first":3,"end":9}}"#, "00".repeat(32));
	let (_dir, log) = key_file(&header);
	let log = log.to_str().unwrap();
	let why = complaint(&["audit", "--log", log, "--from", "2"]);
	assert!(why.contains("from 3 on"), "{why}");
	let chain = format!("ws://127.0.0.1:{port}");
	assert!(complaint(&["audit", "--log", log, "--chain", &chain]).contains(&chain));
}

#[test]
fn bad_arguments_are_explained() {
	for (args, named) in [
		(&["--genesis", "0x12"][..], "--genesis"),
		(&["--app-listen", "somewhere"], "--app-listen"),
		(&["--lease", "0"], "--lease"),
		(&["key", "prove", "--stash", "nobody"], "--stash"),
		(&["--nonsense"], "--nonsense"),
		(&["audit"], "--coordinator"),
		(&["audit", "--coordinator", "http://x", "--task", "7"], "--task"),
		(&["audit", "--log", "x", "--from", "-1"], "--from"),
	] {
		let (code, stderr) = run(args);
		assert_eq!(code, Some(2), "{stderr}");
		assert!(stderr.starts_with("error: ") && stderr.contains(named), "{stderr}");
	}
}
