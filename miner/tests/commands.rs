//! What the commands of the program print, without chain and coordinator.

use cuckoo_diffusion::untrained;
use std::{
	fs,
	process::{Command, Output},
};

/// Runs the program on a small model, with whatever else it needs to know.
fn run(args: &[&str]) -> (Output, String) {
	let dir = tempfile::tempdir().unwrap();
	let (key, models) = (dir.path().join("key"), dir.path().join("models"));
	fs::write(&key, "//Alice\n").unwrap();
	untrained::write(&models.join("plumbing"), 1).unwrap();
	let output = Command::new(env!("CARGO_BIN_EXE_cuckoo-miner"))
		.args(args)
		.env("CUCKOO_KEY", key)
		.env("CUCKOO_MODELS", models)
		.env("CUCKOO_DEVICE", "cpu")
		.env("RUST_LOG", "error")
		.output()
		.unwrap();
	let printed = String::from_utf8(output.stdout.clone()).unwrap();
	(output, printed)
}

#[test]
fn bench_measures() {
	let few = ["bench", "--pictures", "3", "--steps", "2", "--side", "64"];
	let (output, printed) = run(&few);
	assert!(output.status.success(), "{output:?}");
	assert!(printed.contains("plumbing on cpu: 64×64, 2 steps"), "{printed}");
	for line in ["images/s ", "s/image ", "steps/s ", "memory "] {
		assert!(printed.contains(line), "{printed}");
	}

	let (output, printed) = run(&[&few[..], &["--json"]].concat());
	assert!(output.status.success(), "{output:?}");
	let measured: serde_json::Value = serde_json::from_str(&printed).unwrap();
	assert_eq!((&measured["pictures"], &measured["side"]), (&3.into(), &64.into()));
	let number = |pointer| measured.pointer(pointer).unwrap().as_f64().unwrap();
	let [rate, median, p95] =
		["/imagesPerSecond", "/secondsPerImage/p50", "/secondsPerImage/p95"].map(number);
	assert!(median <= p95 && rate > 0.0 && number("/stepsPerSecond") >= rate, "{printed}");

	let (output, _) = run(&["bench", "--side", "65"]);
	assert!(!output.status.success());
	let error = String::from_utf8(output.stderr).unwrap();
	assert!(error.starts_with("error: ") && error.contains("width"), "{error}");
}

#[test]
fn render_starts_from_a_picture_of_its_size_and_names_what_it_cannot_use() {
	let dir = tempfile::tempdir().unwrap();
	let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
	let (first, second) = (path("first.png"), path("second.png"));
	let base = ["render", "--prompt", "x", "--steps", "2", "--guidance-scale", "1"];
	let render = |more: &[&str]| run(&[&base[..], more].concat());
	let (output, _) = render(&["--width", "72", "--height", "64", "--out", &first]);
	assert!(output.status.success(), "{output:?}");
	let (output, printed) = render(&["--from", &first, "--strength", "0.5", "--out", &second]);
	assert!(output.status.success(), "{output:?}");
	assert!(printed.starts_with(&second), "{printed}");
	let size = |file: &str| fs::read(file).unwrap()[16..24].to_vec();
	assert_eq!(size(&first), size(&second), "width and height in the PNG file");

	fs::write(path("bad"), "no tensors").unwrap();
	for (option, file) in [("--from", "bad"), ("--lora", "bad"), ("--lora", "absent")] {
		let (output, _) = render(&[option, &path(file), "--out", &second]);
		assert!(!output.status.success());
		let error = String::from_utf8(output.stderr).unwrap();
		assert!(error.starts_with("error: ") && error.contains(file), "{error}");
	}
}

#[test]
fn doctor_says_what_is_missing_and_what_to_do() {
	let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
	let nobody = format!("ws://{}", listener.local_addr().unwrap());
	drop(listener);
	let (output, printed) = run(&["doctor", "--chain", &nobody]);
	assert_eq!(output.status.code(), Some(1), "{printed}");
	for line in [
		"good  program: cuckoo-miner ",
		"poor  device: the CPU",
		"poor  model plumbing: loaded in ",
		"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
		"BAD   node: cannot reach a node at ",
		"      start a node on this machine",
	] {
		assert!(printed.contains(line), "{line:?} is not in {printed}");
	}
	let error = String::from_utf8(output.stderr).unwrap();
	assert!(error.contains("one thing keeps this machine from mining"), "{error}");
}
