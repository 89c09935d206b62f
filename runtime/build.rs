//! Compiles the runtime to WebAssembly and embeds the digest of its metadata.

fn main() {
	#[cfg(feature = "std")]
	substrate_wasm_builder::WasmBuilder::init_with_defaults()
		.enable_metadata_hash("CAI", 18)
		.build();
}
