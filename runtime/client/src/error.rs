//! What can go wrong between a program and the chain.

use std::{error::Error, fmt::Write as _};

/// Why the chain could not be read or did not take a transaction. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
	/// The address of the node cannot be used.
	#[error("{url:?} is not the WebSocket address of a node: {reason}")]
	InvalidUrl {
		/// What was given.
		url: String,
		/// What is wrong with it.
		reason: String,
	},
	/// There is no answer from the node.
	#[error("cannot reach a node at {url}: {reason}; is it running, and is the address right?")]
	Unreachable {
		/// Where the node was sought.
		url: String,
		/// What happened.
		reason: String,
	},
	/// What answers is a node of some other chain.
	#[error("{url} is not a node of a Cuckoo chain: {reason}")]
	NotCuckoo {
		/// Where the node is.
		url: String,
		/// What is missing.
		reason: String,
	},
	/// A Cuckoo chain, but another one.
	#[error(
		"wrong chain: its genesis hash is 0x{}, expected is 0x{}; \
		check the address of the node",
		hex::encode(found),
		hex::encode(expected)
	)]
	WrongChain {
		/// Genesis hash of the chain that was meant.
		expected: [u8; 32],
		/// Genesis hash of the chain that was found.
		found: [u8; 32],
	},
	/// The chain's runtime and this program do not fit together.
	#[error(
		"the chain's runtime (version {spec_version}) does not fit to this program: {reason}; \
		update the older of the two"
	)]
	Incompatible {
		/// Version of the runtime.
		spec_version: u32,
		/// What does not fit.
		reason: String,
	},
	/// The node did not answer a question.
	#[error("the node cannot tell {what}: {reason}")]
	Request {
		/// What was asked for.
		what: &'static str,
		/// What happened.
		reason: String,
	},
	/// The node has not finalized a block yet, or knows none of this number.
	#[error("the node has not finalized block #{number}: wait until it has caught up, or ask another one")]
	NotFinalized {
		/// Number of the block.
		number: u64,
	},
	/// The node has removed the state of a block of the past.
	#[error(
		"the node has no state of block #{number} any more: ask one that keeps all of it, which runs with \
		`--state-pruning archive`"
	)]
	Pruned {
		/// Number of the block.
		number: u64,
	},
	/// A transaction did not get into a block, or did not get finalized.
	#[error("the transaction {call} was not taken: {reason}")]
	NotTaken {
		/// `Pallet.call`.
		call: String,
		/// Why.
		reason: String,
	},
	/// A transaction is in a finalized block, but the chain refused it there.
	#[error("the chain refused {call}: {reason}")]
	Refused {
		/// `Pallet.call`.
		call: String,
		/// The name of the error: `Pallet::Error`.
		error: String,
		/// Name and description of the error.
		reason: String,
	},
}

/// What the libraries write before the cause as it passes their layers; it tells people nothing.
const LAYERS: [&str; 3] = ["Backend error: ", "RPC error: ", "client error: "];

/// An error and everything that caused it, without repetitions, on one line.
pub(crate) fn describe(error: &dyn Error) -> String {
	let mut text = one_line(&error.to_string());
	let mut source = error.source();
	while let Some(error) = source {
		let cause = one_line(&error.to_string());
		if !text.contains(&cause) {
			let _ = write!(text, ": {cause}");
		}
		source = error.source();
	}
	text
}

fn one_line(text: &str) -> String {
	let text = LAYERS.iter().fold(text.to_owned(), |text, layer| text.replace(layer, ""));
	text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_chain_of_causes_becomes_one_line() {
		#[derive(Debug, thiserror::Error)]
		#[error("cannot read")]
		struct Outer(#[source] std::io::Error);
		let error = Outer(std::io::Error::other("disk\nfull"));
		assert_eq!(describe(&error), "cannot read: disk full");
	}

	#[test]
	fn the_layers_of_libraries_are_left_out() {
		let error =
			std::io::Error::other("RPC error: client error: RPC error: client error: refused");
		assert_eq!(describe(&error), "refused");
	}

	#[test]
	fn a_wrong_chain_shows_both_hashes() {
		let error = ChainError::WrongChain { expected: [1; 32], found: [2; 32] };
		let text = error.to_string();
		assert!(text.contains(&format!("hash is 0x{}", "02".repeat(32))), "{text}");
		assert!(text.contains(&format!("expected is 0x{}", "01".repeat(32))), "{text}");
	}
}
