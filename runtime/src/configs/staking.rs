//! Stake, roles, rewards and slashes.

use frame_support::{
	parameter_types,
	traits::{ConstU128, ConstU32, Get},
	PalletId,
};
use frame_system::EnsureRoot;
use sp_runtime::{Perbill, Perquintill};

use crate::{
	currency::CAI, timing, weights, AccountId, Babe, Balance, Balances, Runtime, Session, Signature,
};

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

/// Eras from the report of a slash to its application: a day on the live network, in which it can be
/// cancelled.
pub const SLASH_DEFER_ERAS: u32 = 4;

parameter_types! {
	/// The most validators that can be elected.
	pub const MaxValidators: u32 = 256;
	/// From which the accounts of the pots are derived.
	pub const StakingPalletId: PalletId = PalletId(*b"cai/stkg");
	/// Eight times what the live network starts with: half a pot in half a year.
	pub const MaxEmission: Perquintill = Perquintill::from_parts(1_000_000_000_000_000);
	pub const MaxCommissionRise: Perbill = Perbill::from_percent(5);
}

/// The slot of the block that is made.
pub struct CurrentSlot;
impl Get<u64> for CurrentSlot {
	fn get() -> u64 {
		Babe::current_slot().into()
	}
}

impl pallet_cuckoo_staking::Config for Runtime {
	type Currency = Balances;
	type AdminOrigin = EnsureRoot<AccountId>;
	type SlashOrigin = EnsureRoot<AccountId>;
	type OperatorSignature = Signature;
	type Session = Session;
	type Slot = CurrentSlot;
	// The work pallet's, when there is one.
	type MiningRewards = ();
	type PalletId = StakingPalletId;
	type MinimumValidatorStake = ConstU128<MINIMUM_VALIDATOR_STAKE>;
	type MinimumMinerStake = ConstU128<MINIMUM_MINER_STAKE>;
	type MinimumCoordinatorStake = ConstU128<MINIMUM_COORDINATOR_STAKE>;
	type MinimumVote = ConstU128<MINIMUM_VOTE>;
	type SessionsPerEra = timing::EraDuration<Runtime>;
	type EraLength = timing::EraLength<Runtime>;
	type ErasPerYear = timing::ErasPerYear<Runtime>;
	type MaxEmission = MaxEmission;
	type MaxCommissionRise = MaxCommissionRise;
	type SlashDefer = ConstU32<SLASH_DEFER_ERAS>;
	type MaxSlashesPerBlock = ConstU32<4>;
	type BondingDuration = ConstU32<BONDING_ERAS>;
	type MaxChunks = ConstU32<16>;
	type MaxVotes = ConstU32<32>;
	type MaxExposures = ConstU32<32>;
	type MaxRanked = MaxValidators;
	type WeightInfo = weights::pallet_cuckoo_staking::WeightInfo<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = BenchmarkHelper;
}

/// Signs with the keys of the measuring machine.
#[cfg(feature = "runtime-benchmarks")]
pub struct BenchmarkHelper;
#[cfg(feature = "runtime-benchmarks")]
impl pallet_cuckoo_staking::benchmarking::BenchmarkHelper<Runtime> for BenchmarkHelper {
	fn sign(payload: &[u8]) -> (AccountId, Signature) {
		let key_type = sp_core::crypto::key_types::ACCOUNT;
		let public = sp_io::crypto::sr25519_generate(key_type, None);
		let signature = sp_io::crypto::sr25519_sign(key_type, &public, payload)
			.expect("the key was generated a moment ago");
		(public.into(), Signature::Sr25519(signature))
	}

	fn session_keys(stash: &AccountId) -> (crate::SessionKeys, alloc::vec::Vec<u8>) {
		let generated = crate::SessionKeys::generate(&codec::Encode::encode(stash), None);
		(generated.keys, codec::Encode::encode(&generated.proof))
	}
}
