//! Stands in for the crate `wasm-opt`, which compiles all of Binaryen (200 files of C++, a third of a
//! cold build) to do one small thing for Substrate's Wasm builder. This does it with the program
//! `wasm-opt` of an installed Binaryen (Debian: `binaryen`).
//!
//! Of the crate's interface there is what `substrate-wasm-builder` calls, and nothing else.

use std::{
	io,
	path::Path,
	process::{Command, ExitStatus},
};

/// A pass over the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
	/// Leaves out debug information in DWARF.
	StripDwarf,
	/// Replaces the instructions that extend signs. The target `wasm32v1-none` has none, and a
	/// module that has some is refused, since Binaryen before version 110 cannot replace them.
	SignextLowering,
}

/// Why a module was not written.
#[derive(Debug, thiserror::Error)]
pub enum OptimizationError {
	/// The program could not be started.
	#[error("cannot run `wasm-opt`: {0}; install Binaryen (Debian: apt-get install binaryen)")]
	Start(#[from] io::Error),
	/// The program refused the module, and has said why.
	#[error("`wasm-opt` failed: {0}")]
	Failed(ExitStatus),
}

/// What to do with a module.
#[derive(Clone, Debug)]
pub struct OptimizationOptions {
	arguments: Vec<&'static str>,
}

impl OptimizationOptions {
	/// Optimise nothing.
	pub fn new_opt_level_0() -> Self {
		Self { arguments: vec!["-O0"] }
	}

	/// Refuse what the first version of WebAssembly does not have.
	pub fn mvp_features_only(&mut self) -> &mut Self {
		self.arguments.push("--mvp-features");
		self
	}

	/// Whether to keep the names of functions.
	pub fn debug_info(&mut self, keep: bool) -> &mut Self {
		if keep {
			self.arguments.push("--debuginfo");
		}
		self
	}

	/// Adds a pass.
	pub fn add_pass(&mut self, pass: Pass) -> &mut Self {
		self.arguments.push(match pass {
			Pass::StripDwarf => "--strip-dwarf",
			Pass::SignextLowering => "--disable-sign-ext",
		});
		self
	}

	/// Reads `infile` and writes `outfile`.
	///
	/// # Errors
	///
	/// When `wasm-opt` is not installed, or refuses the module.
	pub fn run(
		&self,
		infile: impl AsRef<Path>,
		outfile: impl AsRef<Path>,
	) -> Result<(), OptimizationError> {
		let status = Command::new("wasm-opt")
			.args(&self.arguments)
			.arg(infile.as_ref())
			.arg("--output")
			.arg(outfile.as_ref())
			.status()?;
		if status.success() {
			Ok(())
		} else {
			Err(OptimizationError::Failed(status))
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::{fs, path::PathBuf, process::id};

	/// A module with one function; its body is `i32.const 1` and what is given.
	fn module(name: &str, body: &[u8]) -> PathBuf {
		let mut bytes = b"\0asm\x01\0\0\0".to_vec();
		bytes.extend([1, 5, 1, 0x60, 0, 1, 0x7f]);
		bytes.extend([3, 2, 1, 0]);
		bytes.extend([7, 5, 1, 1, b'f', 0, 0]);
		let length = u8::try_from(body.len()).unwrap() + 4;
		bytes.extend([10, length + 2, 1, length, 0, 0x41, 1]);
		bytes.extend(body);
		bytes.push(0x0b);
		let path = std::env::temp_dir().join(format!("cuckoo-{}-{name}.wasm", id()));
		fs::write(&path, bytes).unwrap();
		path
	}

	fn compact(infile: &Path) -> Result<Vec<u8>, OptimizationError> {
		let outfile = infile.with_extension("out");
		let result = OptimizationOptions::new_opt_level_0()
			.mvp_features_only()
			.debug_info(true)
			.add_pass(Pass::StripDwarf)
			.add_pass(Pass::SignextLowering)
			.run(infile, &outfile);
		let written = fs::read(&outfile);
		for path in [infile, &outfile] {
			let _ = fs::remove_file(path);
		}
		result.map(|()| written.unwrap())
	}

	#[test]
	fn a_module_is_written() {
		let written = compact(&module("good", &[])).unwrap();
		assert!(written.starts_with(b"\0asm\x01\0\0\0"));
	}

	#[test]
	fn instructions_that_the_chain_does_not_know_are_refused() {
		// i32.extend8_s
		let error = compact(&module("sign", &[0xc0])).unwrap_err();
		assert!(matches!(error, OptimizationError::Failed(_)), "{error}");
	}
}
