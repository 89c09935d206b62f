//! From one layout of the storage to the next.

/// Version 2: positions know what is held for them and what they have earned, rewards flow from the
/// pots, and slashes reach the stakers.
pub mod v2 {
	#[cfg(feature = "try-runtime")]
	use alloc::vec::Vec;
	use core::marker::PhantomData;
	use cuckoo_staking_math::{Claim, Position, Stake};
	use frame::{
		deps::frame_support::{migrations::VersionedMigration, traits::UncheckedOnRuntimeUpgrade},
		prelude::*,
	};

	use crate::{
		pots, Backing, Candidate, Candidates, Config, CurrentEra, EarningsOf, EraInfo, Exposure,
		Ledger, Ledgers, Pallet, Pools, Positions, Role,
	};

	/// The types of version 1.
	pub(crate) mod v1 {
		use alloc::vec::Vec;
		use codec::{Decode, Encode};
		use cuckoo_staking_math::{Balance, Position};

		use crate::{CandidateInfo, Chunk};

		#[derive(Encode, Decode)]
		pub struct Exposure<AccountId> {
			pub candidate: AccountId,
			pub left_era: u32,
			pub amount: Balance,
			pub position: Position,
		}

		#[derive(Encode, Decode)]
		pub struct Ledger<AccountId> {
			pub idle: Balance,
			pub votes: u32,
			pub unbonding: Vec<Chunk>,
			pub exposures: Vec<Exposure<AccountId>>,
		}

		#[derive(Encode, Decode)]
		pub struct Candidate<AccountId> {
			pub operator: AccountId,
			pub info: CandidateInfo,
			pub registered_at: u32,
		}

		#[derive(Encode, Decode)]
		pub struct EraInfo {
			pub index: u32,
			pub first_session: u32,
		}
	}

	/// The migration from version 1. It visits all stakers and candidates in one block, which test
	/// networks, the only ones that had version 1, have room for.
	pub type Migration<T> =
		VersionedMigration<1, 2, Unchecked<T>, Pallet<T>, <T as frame_system::Config>::DbWeight>;

	/// The migration without the check of the version.
	pub struct Unchecked<T>(PhantomData<T>);

	impl<T: Config> UncheckedOnRuntimeUpgrade for Unchecked<T> {
		fn on_runtime_upgrade() -> Weight {
			let mut items = 0u64;
			// Nothing had been slashed yet, so shares are worth what is held for them.
			Positions::<T>::translate(|_, candidate, position: Position| {
				items = items.saturating_add(1);
				let held = Pools::<T>::get(&candidate).value_of(&position);
				Some(Backing { stake: Stake { position, held }, claim: Claim::default() })
			});
			Ledgers::<T>::translate(|_, old: v1::Ledger<T::AccountId>| {
				items = items.saturating_add(1);
				let exposures = old.exposures.into_iter().map(|exposure| Exposure {
					candidate: exposure.candidate,
					left_era: exposure.left_era,
					stake: Stake { position: exposure.position, held: exposure.amount },
				});
				Some(Ledger {
					idle: old.idle,
					debt: 0,
					votes: old.votes,
					unbonding: BoundedVec::truncate_from(old.unbonding),
					exposures: BoundedVec::truncate_from(exposures.collect()),
				})
			});
			Candidates::<T>::translate(|_, _, old: v1::Candidate<T::AccountId>| {
				items = items.saturating_add(1);
				let v1::Candidate { operator, info, registered_at } = old;
				Some(Candidate { operator, info, registered_at, inactive_from: None })
			});
			let era = CurrentEra::<T>::translate(|old: Option<v1::EraInfo>| {
				// The clock starts with the next block.
				old.map(|v1::EraInfo { index, first_session }| EraInfo {
					index,
					first_session,
					started_at: 0,
				})
			});
			if era.is_err() {
				frame::log::error!(target: "runtime::staking", "the era is not that of version 1");
			}
			for (role, stash, _) in Candidates::<T>::iter() {
				items = items.saturating_add(1);
				let pool = Pools::<T>::get(&stash);
				EarningsOf::<T>::insert(&stash, crate::Earnings::default());
				if role != Role::Validator && Pallet::<T>::is_fit(role, &stash, &pool) {
					Pallet::<T>::set_earning_weight(&stash, role, pool.balance);
				}
			}
			Pallet::<T>::fill_pots(pots::DEFAULT_EMISSION, pots::DEFAULT_SPLIT);
			// Each item, and what is looked up for it; the era, the pots and the flows.
			T::DbWeight::get().reads_writes(
				items.saturating_mul(4).saturating_add(16),
				items.saturating_mul(3).saturating_add(16),
			)
		}

		#[cfg(feature = "try-runtime")]
		fn pre_upgrade() -> Result<Vec<u8>, frame::deps::sp_runtime::TryRuntimeError> {
			use codec::Encode;
			let counts = (Positions::<T>::iter_keys().count(), Ledgers::<T>::iter_keys().count());
			Ok((counts.0 as u64, counts.1 as u64).encode())
		}

		#[cfg(feature = "try-runtime")]
		fn post_upgrade(before: Vec<u8>) -> Result<(), frame::deps::sp_runtime::TryRuntimeError> {
			use codec::Decode;
			let before = <(u64, u64)>::decode(&mut &before[..]).map_err(|_| "no counts")?;
			let counts = (Positions::<T>::iter().count(), Ledgers::<T>::iter().count());
			ensure!(before == (counts.0 as u64, counts.1 as u64), "something was lost");
			Pallet::<T>::do_try_state()
		}
	}
}
