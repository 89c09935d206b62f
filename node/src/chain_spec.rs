//! The chains that a node can be started on.

use std::path::Path;

use cuckoo_runtime::{
	currency::DECIMALS,
	genesis_config_presets::{
		DEVELOPMENT_PRESET, LOCAL_PRESET, QUICK_DEVELOPMENT_PRESET, QUICK_LOCAL_PRESET,
	},
	SS58_PREFIX, WASM_BINARY,
};
use sc_service::{ChainType, GenericChainSpec, Properties};

/// The specification of a chain: its genesis and how to find its nodes.
pub type ChainSpec = GenericChainSpec;

/// A chain that is built into the node.
struct BuiltIn {
	/// What `--chain` calls it.
	name: &'static str,
	/// What people see.
	title: &'static str,
	/// The name of its folder in the base path.
	id: &'static str,
	/// The preset of the runtime that its genesis is.
	preset: &'static str,
	chain_type: ChainType,
}

const BUILT_IN: [BuiltIn; 4] = [
	BuiltIn {
		name: "dev",
		title: "Cuckoo Development",
		id: "cuckoo-dev",
		preset: DEVELOPMENT_PRESET,
		chain_type: ChainType::Development,
	},
	BuiltIn {
		name: "local",
		title: "Cuckoo Local",
		id: "cuckoo-local",
		preset: LOCAL_PRESET,
		chain_type: ChainType::Local,
	},
	BuiltIn {
		name: "quick",
		title: "Cuckoo Quick Development",
		id: "cuckoo-quick",
		preset: QUICK_DEVELOPMENT_PRESET,
		chain_type: ChainType::Development,
	},
	BuiltIn {
		name: "quick-local",
		title: "Cuckoo Quick Local",
		id: "cuckoo-quick-local",
		preset: QUICK_LOCAL_PRESET,
		chain_type: ChainType::Local,
	},
];

/// The chain that is meant where none is named.
const DEFAULT: &str = "local";

/// The chain that `--chain` names: a built-in one, or a file that holds a specification.
///
/// # Errors
///
/// One line that says what is wrong with the name or the file.
pub fn load(name: &str) -> Result<ChainSpec, String> {
	let name = if name.is_empty() { DEFAULT } else { name };
	if let Some(chain) = BUILT_IN.iter().find(|chain| chain.name == name) {
		return built_in(chain);
	}
	let path = Path::new(name);
	if !path.exists() {
		let names = BUILT_IN.map(|chain| chain.name).join(", ");
		return Err(format!(
			"there is no chain `{name}`: name one of {names}, or a file that exists"
		));
	}
	ChainSpec::from_json_file(path.into())
		.map_err(|error| format!("cannot read the chain specification `{name}`: {error}"))
}

fn built_in(chain: &BuiltIn) -> Result<ChainSpec, String> {
	let wasm = WASM_BINARY
		.ok_or("this node was built without the runtime's Wasm: start it with a `--chain` FILE")?;
	let mut properties = Properties::new();
	properties.insert("tokenSymbol".into(), "CAI".into());
	properties.insert("tokenDecimals".into(), DECIMALS.into());
	properties.insert("ss58Format".into(), SS58_PREFIX.into());
	Ok(ChainSpec::builder(wasm, None)
		.with_name(chain.title)
		.with_id(chain.id)
		.with_protocol_id("cuckoo")
		.with_chain_type(chain.chain_type.clone())
		.with_properties(properties)
		.with_genesis_config_preset_name(chain.preset)
		.build())
}
