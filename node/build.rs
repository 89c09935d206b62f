//! Puts the commit into the version that the node reports.
//!
//! It runs again when the node's own sources change, not at every commit: that would link the node
//! anew for each. A build from a fresh checkout, as a release is, always has it right.

use substrate_build_script_utils::generate_cargo_keys;

fn main() {
	generate_cargo_keys();
}
