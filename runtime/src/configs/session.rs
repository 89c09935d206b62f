//! Sessions, the history of their validators, and offences proved from it.

use alloc::vec::Vec;
use frame_support::{parameter_types, traits::Get};
use pallet_session::{
	disabling::UpToLimitWithReEnablingDisablingStrategy,
	historical::{IdentificationTuple, NoteHistoricalRoot},
};
use sp_runtime::traits::{Convert, ConvertInto, OpaqueKeys};
use sp_staking::SessionIndex;

use super::consensus::ReportableSessions;
use crate::{
	currency::deposit, AccountId, Babe, Balance, Balances, Historical, Runtime, RuntimeEvent,
	SessionKeys, Staking,
};

parameter_types! {
	// The keys of a validator, and for each of the two the way back to its owner.
	pub const KeyDeposit: Balance = deposit(3, 160);
}

impl pallet_session::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	// A validator is known by the account that holds its stake.
	type ValidatorId = AccountId;
	type ValidatorIdOf = ConvertInto;
	type ShouldEndSession = Babe;
	type NextSessionRotation = Babe;
	type SessionManager = BoundedHistory<NoteHistoricalRoot<Self, Staking>>;
	type SessionHandler = <SessionKeys as OpaqueKeys>::KeyTypeIdProviders;
	type Keys = SessionKeys;
	// An offender makes no more blocks in its era, up to a third of the validators: the worst ones.
	type DisablingStrategy = UpToLimitWithReEnablingDisablingStrategy;
	type WeightInfo = pallet_session::weights::SubstrateWeight<Runtime>;
	type Currency = Balances;
	type KeyDeposit = KeyDeposit;
}

/// The full identification of a validator. It is empty: who backed a validator in a past era is
/// kept by the staking pallet's pools, so the proof need only show that the key was its.
pub struct NoExposure;
impl Convert<AccountId, Option<()>> for NoExposure {
	fn convert(_: AccountId) -> Option<()> {
		Some(())
	}
}

impl pallet_session::historical::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type FullIdentification = ();
	type FullIdentificationOf = NoExposure;
}

/// Drops the validator sets of sessions too old to be reported on, one as each session starts,
/// so that the history keeps its size.
pub struct BoundedHistory<Inner>(core::marker::PhantomData<Inner>);
impl<Inner: pallet_session::SessionManager<AccountId>> pallet_session::SessionManager<AccountId>
	for BoundedHistory<Inner>
{
	fn new_session(index: SessionIndex) -> Option<Vec<AccountId>> {
		Inner::new_session(index)
	}

	fn new_session_genesis(index: SessionIndex) -> Option<Vec<AccountId>> {
		Inner::new_session_genesis(index)
	}

	fn start_session(index: SessionIndex) {
		Inner::start_session(index);
		let oldest = index.saturating_sub(ReportableSessions::get());
		if oldest > 0 {
			Historical::prune_up_to(oldest);
		}
	}

	fn end_session(index: SessionIndex) {
		Inner::end_session(index);
	}
}

impl pallet_offences::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type IdentificationTuple = IdentificationTuple<Self>;
	type OnOffenceHandler = Staking;
}
