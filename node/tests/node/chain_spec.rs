//! Chains by name and by file.

use cuckoo_node::chain_spec::load;
use sp_runtime::BuildStorage;

#[test]
fn every_built_in_chain_has_a_genesis_of_its_own() {
	let names = ["dev", "local", "quick", "quick-local"];
	let mut geneses: Vec<_> = names
		.iter()
		.map(|name| {
			let spec = load(name).expect("is built in");
			assert_eq!(spec.id(), format!("cuckoo-{name}"));
			spec.build_storage().expect("the preset is a genesis").top
		})
		.collect();
	geneses.sort();
	geneses.dedup();
	assert_eq!(geneses.len(), names.len());
}

#[test]
fn an_exported_chain_is_read_back_as_the_same() {
	let spec = load("quick").expect("is built in");
	let file = tempfile::NamedTempFile::new().expect("a temporary file");
	std::fs::write(file.path(), spec.as_json(true).expect("has a text")).expect("is written");
	let read = load(file.path().to_str().expect("UTF-8")).expect("is a specification");
	assert_eq!(
		read.build_storage().expect("a genesis").top,
		spec.build_storage().expect("a genesis").top
	);
}

#[test]
fn bad_names_and_files_are_refused_in_one_line() {
	let unknown = load("mainnet").err().expect("no such chain");
	assert!(unknown.contains("`mainnet`") && unknown.contains("quick-local"), "{unknown}");

	let file = tempfile::NamedTempFile::new().expect("a temporary file");
	std::fs::write(file.path(), "{ \"name\": 1 }").expect("is written");
	let broken = load(file.path().to_str().expect("UTF-8")).err().expect("no specification");
	assert!(broken.starts_with("cannot read"), "{broken}");
	assert_eq!(broken.lines().count(), 1, "{broken}");
}
