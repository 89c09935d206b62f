//! The stake registry as of one finalized block.

use crate::cuckoo::runtime_types::cuckoo_staking_runtime_api as api;
use std::{fmt, str::FromStr};
use subxt::utils::AccountId32;

/// What a stash is registered to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
	/// Produces and finalizes blocks.
	Validator,
	/// Is given tasks and renders them.
	Miner,
	/// Takes tasks from apps and gives them to miners.
	Coordinator,
}

impl Role {
	/// Every role, in the order of its index on the chain.
	pub const ALL: [Self; 3] = [Self::Validator, Self::Miner, Self::Coordinator];

	/// Its index on the chain.
	pub fn index(self) -> u8 {
		match self {
			Self::Validator => 0,
			Self::Miner => 1,
			Self::Coordinator => 2,
		}
	}
}

impl fmt::Display for Role {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Validator => "validator",
			Self::Miner => "miner",
			Self::Coordinator => "coordinator",
		})
	}
}

/// Text that names no [`Role`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such role; the roles are validator, miner and coordinator")]
pub struct UnknownRole;

impl FromStr for Role {
	type Err = UnknownRole;

	fn from_str(text: &str) -> Result<Self, UnknownRole> {
		Self::ALL.into_iter().find(|role| role.to_string() == text).ok_or(UnknownRole)
	}
}

impl From<Role> for api::Role {
	fn from(role: Role) -> Self {
		match role {
			Role::Validator => Self::Validator,
			Role::Miner => Self::Miner,
			Role::Coordinator => Self::Coordinator,
		}
	}
}

impl From<api::Role> for Role {
	fn from(role: api::Role) -> Self {
		match role {
			api::Role::Validator => Self::Validator,
			api::Role::Miner => Self::Miner,
			api::Role::Coordinator => Self::Coordinator,
		}
	}
}

/// A registered candidate. It displays accounts as SS58 addresses with the prefix 42.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
	/// The account whose stake answers for it.
	pub stash: AccountId32,
	/// The account that runs its program.
	pub operator: AccountId32,
	/// What it is registered to do.
	pub role: Role,
	/// Everything that backs it, its own stake and its voters', in planck.
	pub weight: u128,
	/// The part of the weight that is its own, in planck.
	pub self_stake: u128,
	/// Whether its own stake reaches the role's minimum: if not, it is given no work.
	pub active: bool,
	/// The era in which it registered.
	pub registered_at: u32,
	/// The name to show.
	pub name: String,
	/// How to reach the person who runs it.
	pub contact: String,
	/// URLs at which it listens (coordinators only).
	pub endpoints: Vec<String>,
	/// SHA-256 fingerprint of the TLS certificate at these endpoints.
	pub certificate: Option<[u8; 32]>,
}

impl From<api::CandidateView<AccountId32, u128>> for Candidate {
	fn from(view: api::CandidateView<AccountId32, u128>) -> Self {
		Self {
			stash: view.stash,
			operator: view.operator,
			role: view.role.into(),
			weight: view.weight,
			self_stake: view.self_stake,
			active: view.active,
			registered_at: view.registered_at,
			name: text(&view.name),
			contact: text(&view.contact),
			endpoints: view.endpoints.iter().map(|endpoint| text(endpoint)).collect(),
			certificate: view.certificate,
		}
	}
}

/// The chain checks that texts are UTF-8; a node that lies must not make a program fail.
fn text(bytes: &[u8]) -> String {
	String::from_utf8_lossy(bytes).into_owned()
}

/// A block of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
	/// Its number, counted from 0 at genesis.
	pub number: u64,
	/// Its hash.
	pub hash: [u8; 32],
}

impl fmt::Display for BlockRef {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "#{} (0x{}…)", self.number, hex::encode(&self.hash[..4]))
	}
}

/// All registered miners and coordinators, active or not, at one finalized block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
	/// The block.
	pub block: BlockRef,
	/// The era that runs at this block.
	pub era: u32,
	/// The miners, in no particular order.
	pub miners: Vec<Candidate>,
	/// The coordinators, in no particular order.
	pub coordinators: Vec<Candidate>,
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_role_is_read_as_it_is_written() {
		for role in Role::ALL {
			assert_eq!(role.to_string().parse(), Ok(role));
			assert_eq!(Role::from(api::Role::from(role)), role);
		}
		assert_eq!("Miner".parse::<Role>(), Err(UnknownRole));
	}

	#[test]
	fn a_block_is_shown_short() {
		let block = BlockRef { number: 7, hash: [0xab; 32] };
		assert_eq!(block.to_string(), "#7 (0xabababab…)");
	}
}
