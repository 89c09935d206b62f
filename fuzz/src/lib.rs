//! Random input for every parser that reads the network. scripts/fuzz runs it.
//!
//! A target is a function of bytes that panics if something is wrong. The main workspace's tests call the
//! same functions with what is in `seeds` and `regressions`.

pub mod chain;
pub mod coordinator;
pub mod miner;

/// Every target by its name.
pub fn targets() -> impl Iterator<Item = (&'static str, fn(&[u8]))> {
	coordinator::TARGETS.into_iter().chain(miner::TARGETS).chain(chain::TARGETS)
}
