//! The committed metadata belongs to the runtime of this workspace.

use std::{fs, path::Path};

/// As in the runtime's `metadata` example, which writes the file.
const METADATA_VERSION: u32 = 15;

#[test]
fn the_committed_metadata_is_the_runtimes() {
	let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../metadata.scale");
	let committed = fs::read(path).expect("the metadata is committed");
	let current = sp_io::TestExternalities::default()
		.execute_with(|| cuckoo_runtime::Runtime::metadata_at_version(METADATA_VERSION))
		.expect("the runtime has metadata of this version");
	assert!(
		committed == *current,
		"runtime/metadata.scale is not the metadata of this runtime: write it anew by scripts/metadata"
	);
}
