//! Kernels on the emulated GPU of `kernels/emulation`.

use super::super::launch::{Launch, Number};
use std::{
	io::Write,
	path::Path,
	process::{Command, Stdio},
	thread,
};

pub struct Processor(tempfile::TempDir);

impl Processor {
	/// Compiles it together with the kernels.
	pub fn new() -> Self {
		let directory = tempfile::tempdir().unwrap();
		let emulation = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/emulation");
		let mut compilers: Vec<_> = ["main", "gpu"]
			.map(|file| {
				Command::new("g++")
					.args([
						"-std=c++17",
						"-O1",
						"-Wall",
						"-Wextra",
						"-Werror",
						"-Wno-unknown-pragmas",
					])
					// What does not hold on a GPU must not hold here: kernels read memory as vectors.
					.arg("-fno-strict-aliasing")
					.args(["-fsanitize=undefined", "-fno-sanitize-recover=all", "-c", "-o"])
					.arg(directory.path().join(file))
					.arg(emulation.join(file).with_extension("cpp"))
					.spawn()
					.expect("g++ cannot be run: scripts/setup installs it")
			})
			.into();
		for compiler in &mut compilers {
			assert!(compiler.wait().unwrap().success(), "g++ does not take the kernels");
		}
		let mut linker = Command::new("g++");
		linker.arg("-fsanitize=undefined").arg("-o").arg(directory.path().join("run"));
		linker.args(["main", "gpu"].map(|file| directory.path().join(file)));
		assert!(linker.status().unwrap().success(), "g++ does not link the kernels");
		Self(directory)
	}

	/// Launches a kernel with these buffers, and returns what is in them afterwards.
	pub fn run(&self, launch: &Launch, buffers: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
		let mut input = Vec::new();
		let mut put = |number: usize| input.extend((number as u32).to_ne_bytes());
		put(launch.kernel.len());
		input.extend(launch.kernel.bytes());
		let mut put = |number: u32| input.extend(number.to_ne_bytes());
		launch.blocks.iter().for_each(|&blocks| put(blocks));
		put(launch.threads);
		put(buffers.len() as u32);
		for buffer in &buffers {
			input.extend((buffer.len() as u32).to_ne_bytes());
			input.extend(buffer);
		}
		input.extend((launch.numbers.len() as u32).to_ne_bytes());
		for number in &launch.numbers {
			input.extend(match number {
				Number::Whole(number) => number.to_ne_bytes(),
				Number::Real(number) => number.to_ne_bytes(),
			});
		}

		let mut emulator = Command::new(self.0.path().join("run"))
			.stdin(Stdio::piped())
			.stdout(Stdio::piped())
			.spawn()
			.unwrap();
		let mut to = emulator.stdin.take().unwrap();
		let writer = thread::spawn(move || to.write_all(&input));
		let output = emulator.wait_with_output().unwrap();
		let name = &launch.kernel;
		assert!(output.status.success(), "{name}: the emulated GPU ended with {}", output.status);
		writer.join().unwrap().unwrap();
		let mut left = &output.stdout[..];
		let mut take = |count| {
			let (taken, rest) = left.split_at(count);
			left = rest;
			taken.to_vec()
		};
		buffers.iter().map(|buffer| take(buffer.len())).collect()
	}
}
