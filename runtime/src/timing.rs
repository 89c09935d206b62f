//! The lengths of slots, sessions and eras, chosen at genesis.
//!
//! Everything that depends on time reads these values from storage, so that the same Wasm serves
//! the live network and test networks that go through their eras in a minute. No call changes
//! them: BABE derives the number of a slot from its duration, and would lose its place.

use core::marker::PhantomData;
use frame_support::{pallet_prelude::*, traits::Get};

pub use pallet::*;

/// Slot duration of the live network, in milliseconds.
pub const LIVE_SLOT_DURATION_MS: u64 = 6_000;

/// Session length of the live network, in slots: one hour.
pub const LIVE_SESSION_LENGTH: u64 = 600;

/// Sessions in an era of the live network: an era is six hours.
pub const LIVE_SESSIONS_PER_ERA: u32 = 6;

/// The shortest slot that a network of real machines can keep up with, in milliseconds.
pub const MINIMUM_SLOT_DURATION_MS: u64 = 500;

/// Storage and genesis of the chain's timing.
// The pallet macro writes the `if !…` that this lint finds.
#[allow(clippy::if_not_else)]
#[frame_support::pallet]
pub mod pallet {
	use super::*;

	/// The pallet.
	#[pallet::pallet]
	pub struct Pallet<T>(_);

	/// Timing needs nothing but the chain itself.
	#[pallet::config]
	pub trait Config: frame_system::Config {}

	/// Length of a slot in milliseconds: the time in which one block is expected.
	#[pallet::storage]
	pub type SlotDuration<T: Config> = StorageValue<_, u64, ValueQuery, LiveSlotDuration>;

	/// Length of a session in slots: how long one set of validators and its keys serve.
	#[pallet::storage]
	pub type SessionLength<T: Config> = StorageValue<_, u64, ValueQuery, LiveSessionLength>;

	/// Length of an era in sessions: how long one election of validators holds.
	#[pallet::storage]
	pub type SessionsPerEra<T: Config> = StorageValue<_, u32, ValueQuery, LiveSessionsPerEra>;

	/// The timing of a new chain; what is left out is as on the live network.
	#[pallet::genesis_config]
	pub struct GenesisConfig<T: Config> {
		/// Length of a slot in milliseconds.
		pub slot_duration_ms: u64,
		/// Length of a session in slots.
		pub session_length: u64,
		/// Length of an era in sessions.
		pub sessions_per_era: u32,
		/// Ties the configuration to the runtime.
		#[serde(skip)]
		pub marker: PhantomData<T>,
	}

	impl<T: Config> Default for GenesisConfig<T> {
		fn default() -> Self {
			Self {
				slot_duration_ms: LIVE_SLOT_DURATION_MS,
				session_length: LIVE_SESSION_LENGTH,
				sessions_per_era: LIVE_SESSIONS_PER_ERA,
				marker: PhantomData,
			}
		}
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			// A genesis that cannot run has to be refused here: there is no caller to report to.
			assert!(
				self.slot_duration_ms >= MINIMUM_SLOT_DURATION_MS,
				"genesis: timing.slotDurationMs must be at least {MINIMUM_SLOT_DURATION_MS}"
			);
			assert!(self.session_length > 0, "genesis: timing.sessionLength must not be zero");
			assert!(self.sessions_per_era > 0, "genesis: timing.sessionsPerEra must not be zero");
			SlotDuration::<T>::put(self.slot_duration_ms);
			SessionLength::<T>::put(self.session_length);
			SessionsPerEra::<T>::put(self.sessions_per_era);
		}
	}

	/// The slot duration where genesis set none.
	pub struct LiveSlotDuration;
	impl Get<u64> for LiveSlotDuration {
		fn get() -> u64 {
			LIVE_SLOT_DURATION_MS
		}
	}

	/// The session length where genesis set none.
	pub struct LiveSessionLength;
	impl Get<u64> for LiveSessionLength {
		fn get() -> u64 {
			LIVE_SESSION_LENGTH
		}
	}

	/// The sessions of an era where genesis set none.
	pub struct LiveSessionsPerEra;
	impl Get<u32> for LiveSessionsPerEra {
		fn get() -> u32 {
			LIVE_SESSIONS_PER_ERA
		}
	}
}

/// The time between two blocks that BABE expects, in milliseconds.
pub struct ExpectedBlockTime<T>(PhantomData<T>);
impl<T: Config> Get<u64> for ExpectedBlockTime<T> {
	fn get() -> u64 {
		SlotDuration::<T>::get()
	}
}

/// The least time between the timestamps of two blocks, in milliseconds: half a slot, as the
/// timestamp pallet takes twice this value for the block time.
pub struct MinimumPeriod<T>(PhantomData<T>);
impl<T: Config> Get<u64> for MinimumPeriod<T> {
	fn get() -> u64 {
		SlotDuration::<T>::get() / 2
	}
}

/// The length of a session in slots; a session is one BABE epoch.
pub struct EpochDuration<T>(PhantomData<T>);
impl<T: Config> Get<u64> for EpochDuration<T> {
	fn get() -> u64 {
		SessionLength::<T>::get()
	}
}

/// The length of an era in sessions.
pub struct EraDuration<T>(PhantomData<T>);
impl<T: Config> Get<u32> for EraDuration<T> {
	fn get() -> u32 {
		SessionsPerEra::<T>::get()
	}
}

/// The length of an era in slots.
pub struct EraLength<T>(PhantomData<T>);
impl<T: Config> Get<u64> for EraLength<T> {
	fn get() -> u64 {
		SessionLength::<T>::get().saturating_mul(SessionsPerEra::<T>::get().into())
	}
}

/// How many eras there are in a year of 365.25 days, rounded down.
pub struct ErasPerYear<T>(PhantomData<T>);
impl<T: Config> Get<u32> for ErasPerYear<T> {
	fn get() -> u32 {
		const YEAR_MS: u64 = 31_557_600_000;
		let era_ms = EraLength::<T>::get().saturating_mul(SlotDuration::<T>::get());
		YEAR_MS.checked_div(era_ms).and_then(|eras| eras.try_into().ok()).unwrap_or(u32::MAX)
	}
}
