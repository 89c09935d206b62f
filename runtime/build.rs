//! Compiles the runtime to WebAssembly, with the digest of its metadata in it.

fn main() {
	#[cfg(feature = "std")]
	wasm::build();
}

#[cfg(feature = "std")]
mod wasm {
	use std::{env, fs, path::Path};

	use codec::Decode;
	use frame_metadata::{v15::RuntimeMetadataV15, RuntimeMetadata, RuntimeMetadataPrefixed};
	use merkleized_metadata::{generate_metadata_digest, ExtraInfo};

	/// Where the builder looks for the workspace, and in it for `Cargo.lock`.
	const WORKSPACE_HINT: &str = "WASM_BUILD_WORKSPACE_HINT";

	/// The committed metadata. A test compares it with the runtime's own.
	const METADATA: &str = "metadata.scale";

	/// Where `CheckMetadataHash` takes the digest from.
	const METADATA_HASH: &str = "RUNTIME_METADATA_HASH";

	/// The token, as wallets show it.
	const TOKEN: (&str, u8) = ("CAI", 18);

	pub fn build() {
		// The target directory may lie outside the workspace, where the builder would not find the
		// lock file and would take other versions of the dependencies.
		if env::var_os(WORKSPACE_HINT).is_none() {
			env::set_var(WORKSPACE_HINT, Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
		}
		println!("cargo:rerun-if-changed={METADATA}");
		// The digest of the committed metadata. The builder could ask the runtime itself, at the
		// price of a second set of the node's dependencies and of building the runtime twice.
		env::set_var(METADATA_HASH, hex::encode(metadata_hash()));
		substrate_wasm_builder::WasmBuilder::build_using_defaults();
	}

	/// The digest that offline wallets compute (Polkadot RFC 78).
	fn metadata_hash() -> [u8; 32] {
		let file = fs::read(METADATA).expect("the metadata is committed");
		let metadata = RuntimeMetadataPrefixed::decode(&mut &file[..]).expect("it is metadata").1;
		let RuntimeMetadata::V15(v15) = &metadata else { panic!("it has version 15") };
		// The version begins with these fields: spec_name, impl_name, authoring_version,
		// spec_version.
		let (spec_name, _, _, spec_version) =
			<(String, String, u32, u32)>::decode(&mut system_constant(v15, "Version"))
				.expect("it is a RuntimeVersion");
		let base58_prefix =
			u16::decode(&mut system_constant(v15, "SS58Prefix")).expect("it is a u16");
		let (token_symbol, decimals) = (TOKEN.0.into(), TOKEN.1);
		let extra = ExtraInfo { spec_version, spec_name, base58_prefix, decimals, token_symbol };
		generate_metadata_digest(&metadata, extra).expect("the metadata can be hashed").hash()
	}

	/// The encoded value of a constant of the System pallet.
	fn system_constant<'a>(metadata: &'a RuntimeMetadataV15, name: &str) -> &'a [u8] {
		let system = metadata.pallets.iter().find(|pallet| pallet.name == "System");
		let constant = system
			.and_then(|system| system.constants.iter().find(|constant| constant.name == name));
		&constant.expect("every runtime has it").value
	}
}
