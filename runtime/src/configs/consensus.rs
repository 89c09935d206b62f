//! Who makes blocks, when, and which are final: timestamps, BABE, GRANDPA, authorship.

use frame_support::traits::{ConstU32, Get};
use pallet_session::FindAccountFromAuthorIndex;
use sp_consensus_babe::{AllowedSlots, BabeEpochConfiguration};
use sp_session::MembershipProof;

use super::staking::{MaxValidators, BONDING_ERAS, SLASH_DEFER_ERAS};
use crate::{timing, Babe, Historical, Offences, Runtime, RuntimeEvent, Session, Staking};

/// The first epoch's rules: a slot has a primary author with a chance of one in four, found by
/// its VRF, and a secondary one otherwise, so that no slot stays empty.
pub const BABE_GENESIS_EPOCH_CONFIG: BabeEpochConfiguration =
	BabeEpochConfiguration { c: (1, 4), allowed_slots: AllowedSlots::PrimaryAndSecondaryVRFSlots };

/// For how many sessions an offence can be reported: as long as the stake behind it is still bonded
/// when the slash is applied.
pub struct ReportableSessions;
impl Get<u32> for ReportableSessions {
	fn get() -> u32 {
		(BONDING_ERAS - SLASH_DEFER_ERAS).saturating_mul(timing::SessionsPerEra::<Runtime>::get())
	}
}
impl Get<u64> for ReportableSessions {
	fn get() -> u64 {
		<Self as Get<u32>>::get().into()
	}
}

/// How many blocks a report of an equivocation stays in the transaction pool.
pub struct ReportLongevity;
impl Get<u64> for ReportLongevity {
	fn get() -> u64 {
		<ReportableSessions as Get<u64>>::get()
			.saturating_mul(timing::SessionLength::<Runtime>::get())
	}
}

impl pallet_timestamp::Config for Runtime {
	type Moment = u64;
	type OnTimestampSet = Babe;
	type MinimumPeriod = timing::MinimumPeriod<Runtime>;
	type WeightInfo = pallet_timestamp::weights::SubstrateWeight<Runtime>;
}

impl pallet_babe::Config for Runtime {
	type EpochDuration = timing::EpochDuration<Runtime>;
	type ExpectedBlockTime = timing::ExpectedBlockTime<Runtime>;
	// Sessions end when epochs do, and the session pallet tells BABE of it.
	type EpochChangeTrigger = pallet_babe::ExternalTrigger;
	type DisabledValidators = Session;
	type WeightInfo = ();
	type MaxAuthorities = MaxValidators;
	type MaxNominators = ConstU32<0>;
	type KeyOwnerProof = MembershipProof;
	type EquivocationReportSystem =
		pallet_babe::EquivocationReportSystem<Self, Offences, Historical, ReportLongevity>;
}

impl pallet_grandpa::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type WeightInfo = ();
	type MaxAuthorities = MaxValidators;
	type MaxNominators = ConstU32<0>;
	type MaxSetIdSessionEntries = ReportableSessions;
	type KeyOwnerProof = MembershipProof;
	type EquivocationReportSystem =
		pallet_grandpa::EquivocationReportSystem<Self, Offences, Historical, ReportLongevity>;
}

impl pallet_authorship::Config for Runtime {
	type FindAuthor = FindAccountFromAuthorIndex<Self, Babe>;
	// The author of a block is paid for it.
	type EventHandler = Staking;
}
