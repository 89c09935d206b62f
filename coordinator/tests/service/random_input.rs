//! The targets of scripts/fuzz for what apps and miners send, with its seeds and what it once found.

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/coordinator.rs"]
mod targets;

#[test]
fn what_was_once_found_stays_solved() {
	replay::replay(&targets::TARGETS);
}
