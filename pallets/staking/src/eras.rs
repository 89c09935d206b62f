//! Eras: a fixed number of sessions each, with an election for the first of them.
//!
//! The session pallet plans session `n + 1` when session `n` starts. The election for an era is
//! therefore held one session before the era begins, and the era's number changes when its first
//! session starts, together with its validators.

use alloc::vec::Vec;
use frame::prelude::*;
use pallet_session::historical;

use crate::{Config, CurrentEra, EraInfo, Event, Pallet, Role, WeightInfo};

impl<T: Config> Pallet<T> {
	/// How many sessions an era lasts, at least one.
	pub(crate) fn sessions_per_era() -> u32 {
		T::SessionsPerEra::get().max(1)
	}

	/// Whether `session` is the first of the era after the running one.
	fn begins_next_era(session: u32) -> bool {
		let first = CurrentEra::<T>::get().first_session;
		session >= first.saturating_add(Self::sessions_per_era())
	}

	/// Ends the running era, whose rewards have flowed, and begins the next one.
	pub(crate) fn begin_era(first_session: u32) {
		let ended = CurrentEra::<T>::get().index;
		for role in Role::ALL {
			Self::advance(role);
		}
		let index = ended.saturating_add(1);
		let started_at = T::Slot::get();
		CurrentEra::<T>::put(EraInfo { index, first_session, started_at });
		Self::emit_mining(ended);
		let rewards = Self::open_flows();
		Self::deposit_event(Event::EraStarted { index, first_session, rewards });
		frame_system::Pallet::<T>::register_extra_weight_unchecked(
			T::WeightInfo::begin_era(),
			DispatchClass::Mandatory,
		);
	}

	/// The era in which `session` was, or the running one if it has not been yet.
	pub(crate) fn era_of(session: u32) -> u32 {
		let EraInfo { index, first_session, .. } = CurrentEra::<T>::get();
		let before = first_session.saturating_sub(session).div_ceil(Self::sessions_per_era());
		index.saturating_sub(before)
	}
}

impl<T: Config> pallet_session::SessionManager<T::AccountId> for Pallet<T> {
	fn new_session(session: u32) -> Option<Vec<T::AccountId>> {
		if Self::begins_next_era(session) {
			Self::elect(session)
		} else {
			None
		}
	}

	/// Session 0 is elected from the candidates of the genesis; session 1 has the same validators,
	/// as the session pallet asks.
	fn new_session_genesis(session: u32) -> Option<Vec<T::AccountId>> {
		if session == 0 {
			Self::elect(session)
		} else {
			None
		}
	}

	fn start_session(session: u32) {
		if Self::begins_next_era(session) {
			Self::begin_era(session);
		}
	}

	fn end_session(_session: u32) {}
}

impl<T: Config> historical::SessionManager<T::AccountId, ()> for Pallet<T> {
	fn new_session(session: u32) -> Option<Vec<(T::AccountId, ())>> {
		let validators = <Self as pallet_session::SessionManager<_>>::new_session(session)?;
		Some(identified(validators))
	}

	fn new_session_genesis(session: u32) -> Option<Vec<(T::AccountId, ())>> {
		let validators = <Self as pallet_session::SessionManager<_>>::new_session_genesis(session)?;
		Some(identified(validators))
	}

	fn start_session(session: u32) {
		<Self as pallet_session::SessionManager<_>>::start_session(session);
	}

	fn end_session(session: u32) {
		<Self as pallet_session::SessionManager<_>>::end_session(session);
	}
}

/// Adds the full identification, which is empty: a stash is all that an offence needs.
fn identified<AccountId>(validators: Vec<AccountId>) -> Vec<(AccountId, ())> {
	validators.into_iter().map(|stash| (stash, ())).collect()
}
