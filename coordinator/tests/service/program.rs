//! The program with bad input: one clear line on standard error and a non-zero exit.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

/// The program with these arguments and nothing from the environment.
fn program(args: &[&str]) -> Command {
	let mut program = Command::new(env!("CARGO_BIN_EXE_cuckoo-coordinator"));
	for (name, _) in std::env::vars() {
		if name.starts_with("CUCKOO_") || name == "RUST_LOG" {
			program.env_remove(name);
		}
	}
	program.args(args);
	program
}

/// Runs the program with these arguments; its exit code and what it wrote to standard error.
fn run(args: &[&str]) -> (Option<i32>, String) {
	let output = program(args).output().unwrap();
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
		(&["audit", "--log", "x", "--from", "y"], "--from"),
	] {
		let (code, stderr) = run(args);
		assert_eq!(code, Some(2), "{stderr}");
		assert!(stderr.starts_with("error: ") && stderr.contains(named), "{stderr}");
	}
}

/// Runs `config` with more arguments and an environment; what it prints.
fn config(args: &[&str], env: &[(&str, &str)]) -> String {
	let mut program = program(&[&["config"], args].concat());
	let output = program.envs(env.iter().copied()).output().unwrap();
	assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
	String::from_utf8(output.stdout).unwrap()
}

#[test]
fn options_come_from_flags_then_the_environment_then_a_file() {
	let (dir, path) = key_file(
		"lease = 40\ndeadline = 50\nqueue = 60\nlog-format = 'json'\nwebhook-allow-private = true",
	);
	let path = path.to_str().unwrap();
	let env = [("CUCKOO_DEADLINE", "51"), ("CUCKOO_QUEUE", "61"), ("CUCKOO_CONFIG", path)];
	let shown = config(&["--queue", "62"], &env);
	for line in [
		format!("lease = 40 # {path}"),
		"deadline = 51 # environment, CUCKOO_DEADLINE".into(),
		"queue = 62 # flag".into(),
		"keep-hours = 24 # default".into(),
		format!("log-format = \"json\" # {path}"),
		format!("webhook-allow-private = true # {path}"),
		"# key is not set".into(),
	] {
		assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
	}
	assert!(!shown.contains("draw-seed"), "{shown}");
	// What is shown is such a file.
	let again = dir.path().join("again");
	std::fs::write(&again, &shown).unwrap();
	let shown_again = config(&["--config", again.to_str().unwrap()], &[]);
	let values = |text: &str| -> Vec<String> {
		text.lines().skip(1).map(|line| line.split(" # ").next().unwrap().to_owned()).collect()
	};
	assert_eq!(values(&shown_again), values(&shown));
}

#[test]
fn a_bad_file_is_explained_in_one_line() {
	let (_dir, path) = key_file("leese = 40");
	let message = complaint(&["--config", path.to_str().unwrap()]);
	assert!(message.contains(path.to_str().unwrap()), "{message}");
	assert!(message.contains("did you mean \"lease\"?"), "{message}");
	assert!(complaint(&["--config", "/nonexistent/file"]).contains("/nonexistent/file"));
}

/// Every line is an object of its own, whatever is logged.
#[test]
fn the_log_can_be_json() {
	let (dir, path) = key_file("//Alice");
	let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
	let chain = format!("ws://127.0.0.1:{port}");
	let args = ["--log-format", "json", "--key", path.to_str().unwrap(), "--chain", &chain];
	let free = ["--app-listen", "127.0.0.1:0", "--miner-listen", "127.0.0.1:0"];
	let output = program(&[&args[..], &free].concat()).env("RUST_LOG", "trace").output().unwrap();
	let stderr = String::from_utf8(output.stderr).unwrap();
	let (log, last) = stderr.trim_end().rsplit_once('\n').unwrap();
	assert!(last.starts_with("error: ") && last.contains(&chain), "{last}");
	for line in log.lines() {
		let entry: serde_json::Value = serde_json::from_str(line).unwrap();
		assert!(entry["timestamp"].is_string() && entry["level"].is_string(), "{line}");
	}
	drop(dir);
}
