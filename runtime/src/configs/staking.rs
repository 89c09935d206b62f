//! Stake and roles.

use frame_support::{
	parameter_types,
	traits::{ConstU128, ConstU32},
};
use frame_system::EnsureRoot;

use crate::{currency::CAI, timing, AccountId, Balance, Balances, Runtime, Session, Signature};

/// The least self-stake of a validator.
pub const MINIMUM_VALIDATOR_STAKE: Balance = 100_000 * CAI;

/// The least self-stake of a miner.
pub const MINIMUM_MINER_STAKE: Balance = 20_000 * CAI;

/// The least self-stake of a coordinator.
pub const MINIMUM_COORDINATOR_STAKE: Balance = 2_000_000 * CAI;

/// The least stake behind a candidate.
pub const MINIMUM_VOTE: Balance = CAI;

/// Eras from the beginning of unbonding to withdrawal: seven days on the live network.
pub const BONDING_ERAS: u32 = 28;

parameter_types! {
	/// The most validators that can be elected.
	pub const MaxValidators: u32 = 256;
}

impl pallet_cuckoo_staking::Config for Runtime {
	type Currency = Balances;
	type AdminOrigin = EnsureRoot<AccountId>;
	type OperatorSignature = Signature;
	type SessionKeys = Session;
	type MinimumValidatorStake = ConstU128<MINIMUM_VALIDATOR_STAKE>;
	type MinimumMinerStake = ConstU128<MINIMUM_MINER_STAKE>;
	type MinimumCoordinatorStake = ConstU128<MINIMUM_COORDINATOR_STAKE>;
	type MinimumVote = ConstU128<MINIMUM_VOTE>;
	type SessionsPerEra = timing::EraDuration<Runtime>;
	type BondingDuration = ConstU32<BONDING_ERAS>;
	type MaxChunks = ConstU32<16>;
	type MaxVotes = ConstU32<32>;
	type MaxExposures = ConstU32<32>;
	type MaxRanked = MaxValidators;
	type WeightInfo = pallet_cuckoo_staking::weights::SubstrateWeight<Runtime>;
}
