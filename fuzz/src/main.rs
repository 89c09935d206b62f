//! One program for all targets: `CUCKOO_FUZZ` names the one to run, `list` lists them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn choose() -> fn(&[u8]) {
	let wanted = std::env::var("CUCKOO_FUZZ").unwrap_or_default();
	let found = cuckoo_fuzz::targets().find(|(name, _)| *name == wanted);
	found.unwrap_or_else(|| panic!("CUCKOO_FUZZ names no target: {wanted:?}")).1
}

fuzz_target!(
	init: {
		TARGET.get_or_init(choose);
	},
	|data: &[u8]| {
		TARGET.get_or_init(choose)(data);
	}
);
