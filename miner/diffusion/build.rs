//! With the feature `cuda`: compiles the kernels to PTX, which the driver compiles for the GPU that it finds.

use std::{
	env,
	path::PathBuf,
	process::{exit, Command},
};

const SOURCES: [&str; 3] = ["attention", "group_norm", "pointwise"];

fn main() {
	println!("cargo:rerun-if-changed=kernels");
	println!("cargo:rerun-if-env-changed=NVCC");
	println!("cargo:rerun-if-env-changed=CUDA_COMPUTE_CAP");
	if env::var_os("CARGO_FEATURE_CUDA").is_none() {
		return;
	}
	let nvcc = env::var_os("NVCC").unwrap_or_else(|| "nvcc".into());
	// Ampere, the oldest with all instructions that the kernels use.
	let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "80".into());
	let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
	for source in SOURCES {
		let result = Command::new(&nvcc)
			.args(["--ptx", "-O3", "-std=c++17"])
			.arg(format!("-arch=compute_{capability}"))
			.arg("-o")
			.arg(out.join(source).with_extension("ptx"))
			.arg(format!("kernels/{source}.cu"))
			.status();
		match result {
			Ok(status) if status.success() => {},
			Ok(status) => fail(&format!("nvcc on kernels/{source}.cu: {status}")),
			Err(error) => fail(&format!(
				"cannot run {}: {error}; scripts/build-cuda installs it",
				nvcc.display()
			)),
		}
	}
}

fn fail(message: &str) -> ! {
	eprintln!("error: {message}");
	exit(1)
}
