//! Who is registered, as of a finalized block. [`chain`] reads it from the chain.

pub mod chain;

use cuckoo_coordinator_api::signing::hex_array;
use serde::{de::Error as _, Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A miner's operator account: the public key with which its program signs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operator(pub [u8; 32]);

impl fmt::Display for Operator {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "0x{}", hex::encode(self.0))
	}
}

impl fmt::Debug for Operator {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		fmt::Display::fmt(self, f)
	}
}

/// As 64 hexadecimal digits.
impl Serialize for Operator {
	fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.serialize_str(&hex::encode(self.0))
	}
}

impl<'de> Deserialize<'de> for Operator {
	fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
		let text = String::deserialize(deserializer)?;
		hex_array(&text)
			.map(Self)
			.ok_or_else(|| D::Error::custom("an operator is not 64 hexadecimal digits"))
	}
}

/// A miner that is registered and active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinerRegistration {
	/// Account that runs the program.
	pub operator: Operator,
	/// The same as an SS58 address.
	pub operator_address: String,
	/// SS58 address of the stash.
	pub stash: String,
	/// Name that it gave itself.
	pub name: String,
	/// Its stake and its voters', in plancks: what draws go by.
	pub weight: u128,
}

/// The active miners at one finalized block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrySnapshot {
	/// Number of the block.
	pub block: u64,
	/// Its hash.
	pub block_hash: [u8; 32],
	/// The era that ran at it.
	pub era: u32,
	/// Every active miner, in any order.
	pub miners: Vec<MinerRegistration>,
}
