//! What a candidate keeps of the reward of those who back it.

use cuckoo_staking_math::commission;
use frame::prelude::*;

use crate::{
	Config, CurrentEra, EarningsOf, Error, Event, Pallet, Perbill, Pools, Positions, RoleOf,
};

impl<T: Config> Pallet<T> {
	pub(crate) fn do_set_commission(stash: &T::AccountId, new: Perbill) -> DispatchResult {
		ensure!(RoleOf::<T>::contains_key(stash), Error::<T>::NotRegistered);
		// What was earned until now is divided as it was promised.
		let mut earnings = Self::accrue(stash);
		let old = earnings.commission;
		if new > old && !Self::is_alone(stash) {
			let era = CurrentEra::<T>::get().index;
			ensure!(earnings.raised_at != Some(era), Error::<T>::CommissionRaisedAlready);
			let step = T::MaxCommissionRise::get();
			ensure!(commission::may_change(old, new, step), Error::<T>::CommissionRise);
			earnings.raised_at = Some(era);
		}
		earnings.commission = new;
		EarningsOf::<T>::insert(stash, earnings);
		Self::deposit_event(Event::CommissionSet { stash: stash.clone(), old, new });
		Ok(())
	}

	/// Whether nobody but the stash itself is in its pool.
	fn is_alone(stash: &T::AccountId) -> bool {
		let own =
			Positions::<T>::get(stash, stash).map_or(0, |backing| backing.stake.position.shares);
		Pools::<T>::get(stash).shares == own
	}
}
