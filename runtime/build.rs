//! Compiles the runtime to WebAssembly and embeds the digest of its metadata.

fn main() {
	#[cfg(feature = "std")]
	wasm::build();
}

#[cfg(feature = "std")]
mod wasm {
	use std::{env, path::Path};

	/// Where the builder looks for the workspace, and in it for `Cargo.lock`.
	const WORKSPACE_HINT: &str = "WASM_BUILD_WORKSPACE_HINT";

	pub fn build() {
		// The target directory may lie outside the workspace, where the builder would not find the
		// lock file and would take other versions of the dependencies.
		if env::var_os(WORKSPACE_HINT).is_none() {
			env::set_var(WORKSPACE_HINT, Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
		}
		substrate_wasm_builder::WasmBuilder::init_with_defaults()
			.enable_metadata_hash("CAI", 18)
			.build();
	}
}
