//! How each pallet is set up, a file for each concern.

mod admin;
mod balances;
mod consensus;
mod fees;
mod people;
mod session;
mod staking;
mod system;

pub use consensus::BABE_GENESIS_EPOCH_CONFIG;
pub use fees::ToAuthor;
pub use people::ProxyType;
pub use staking::{
	BONDING_ERAS, MINIMUM_COORDINATOR_STAKE, MINIMUM_MINER_STAKE, MINIMUM_VALIDATOR_STAKE,
	MINIMUM_VOTE, SLASH_DEFER_ERAS,
};
#[cfg(feature = "try-runtime")]
pub(crate) use system::MAXIMUM_BLOCK_WEIGHT;
