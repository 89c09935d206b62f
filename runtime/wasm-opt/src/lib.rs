//! Stands in for the crate `wasm-opt`, which compiles all of Binaryen (more than 200 files of C++) to do
//! one small thing for Substrate's Wasm builder. This does it with the program `wasm-opt` of an
//! installed Binaryen (Debian: `binaryen`).
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
	use std::fs;

	/// A module with one function, whose body is `i32.const 1` and what is given, after the builder's
	/// treatment.
	fn compact(body: &[u8]) -> Result<Vec<u8>, OptimizationError> {
		let mut module = b"\0asm\x01\0\0\0".to_vec();
		module.extend([1, 5, 1, 0x60, 0, 1, 0x7f]);
		module.extend([3, 2, 1, 0]);
		module.extend([7, 5, 1, 1, b'f', 0, 0]);
		let length = u8::try_from(body.len()).unwrap() + 4;
		module.extend([10, length + 2, 1, length, 0, 0x41, 1]);
		module.extend(body);
		module.push(0x0b);

		let dir = tempfile::tempdir().unwrap();
		let (infile, outfile) = (dir.path().join("in.wasm"), dir.path().join("out.wasm"));
		fs::write(&infile, module).unwrap();
		OptimizationOptions::new_opt_level_0()
			.mvp_features_only()
			.debug_info(true)
			.add_pass(Pass::StripDwarf)
			.add_pass(Pass::SignextLowering)
			.run(&infile, &outfile)?;
		Ok(fs::read(&outfile).unwrap())
	}

	#[test]
	fn a_module_is_written() {
		let written = compact(&[]).unwrap();
		assert!(written.starts_with(b"\0asm\x01\0\0\0"));
	}

	#[test]
	fn instructions_that_the_chain_does_not_know_are_refused() {
		// i32.extend8_s
		let error = compact(&[0xc0]).unwrap_err();
		assert!(matches!(error, OptimizationError::Failed(_)), "{error}");
	}
}
