//! The session keys of validators, which change at most once in an era: each change is a new set of
//! authorities for everybody who follows the chain's finality.

use alloc::vec::Vec;
use frame::prelude::*;

use crate::{Config, CurrentEra, Error, Event, KeyChanges, Pallet, Role, RoleOf};

/// What keeps session keys.
pub trait SessionKeys<AccountId> {
	/// The public keys of a validator.
	type Keys: Parameter;

	/// Sets the keys of `stash`, which takes a deposit for the first ones.
	///
	/// # Errors
	///
	/// When `proof` does not show that whoever has the keys agrees, when another validator has one of
	/// them, or when the stash cannot pay the deposit.
	fn set_keys(stash: &AccountId, keys: Self::Keys, proof: Vec<u8>) -> DispatchResult;
}

impl<T: pallet_session::Config> SessionKeys<T::AccountId> for pallet_session::Pallet<T> {
	type Keys = T::Keys;

	fn set_keys(stash: &T::AccountId, keys: T::Keys, proof: Vec<u8>) -> DispatchResult {
		Self::set_keys(frame_system::RawOrigin::Signed(stash.clone()).into(), keys, proof)
	}
}

/// The session keys of the runtime.
pub type KeysOf<T> =
	<<T as Config>::Session as SessionKeys<<T as frame_system::Config>::AccountId>>::Keys;

impl<T: Config> Pallet<T> {
	pub(crate) fn do_set_keys(
		stash: &T::AccountId,
		keys: KeysOf<T>,
		proof: Vec<u8>,
	) -> DispatchResult {
		ensure!(RoleOf::<T>::get(stash) == Some(Role::Validator), Error::<T>::NotAValidator);
		let era = CurrentEra::<T>::get().index;
		ensure!(KeyChanges::<T>::get(stash) != Some(era), Error::<T>::KeysSetAlready);
		T::Session::set_keys(stash, keys, proof)?;
		KeyChanges::<T>::insert(stash, era);
		Self::deposit_event(Event::KeysSet { stash: stash.clone() });
		Ok(())
	}
}
