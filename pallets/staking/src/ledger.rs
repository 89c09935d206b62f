//! The ledger of a staker: idle stake in, and the liabilities that go with it.

use frame::{
	prelude::*,
	traits::fungible::{InspectHold, MutateHold},
};

use cuckoo_staking_math::Stake;

use crate::{
	Balance, Config, CurrentEra, Error, Event, Exposure, HoldReason, Ledger, Ledgers, Pallet,
	SubPools,
};

impl<AccountId> Exposure<AccountId> {
	/// The era from which the stake is free of this liability.
	pub(crate) fn until_era<T: Config>(&self) -> u32 {
		self.left_era.saturating_add(T::BondingDuration::get())
	}

	/// Whether the stake is still liable in `era`.
	pub(crate) fn is_live<T: Config>(&self, era: u32) -> bool {
		era < self.until_era::<T>()
	}
}

impl<T: Config> Ledger<T> {
	/// Adds to the idle stake.
	pub(crate) fn credit(&mut self, amount: Balance) -> Result<(), Error<T>> {
		self.idle = self.idle.checked_add(amount).ok_or(Error::<T>::Overflow)?;
		Ok(())
	}

	/// Takes from the idle stake.
	pub(crate) fn debit(&mut self, amount: Balance) -> Result<(), Error<T>> {
		self.idle = self.idle.checked_sub(amount).ok_or(Error::<T>::InsufficientIdle)?;
		Ok(())
	}
}

impl<T: Config> Pallet<T> {
	/// Reads the ledger of `stash`, with its losses taken from it, and freed of the exposures that
	/// have expired.
	pub(crate) fn load_ledger(stash: &T::AccountId) -> Result<Ledger<T>, DispatchError> {
		let mut ledger = Ledgers::<T>::get(stash);
		let era = CurrentEra::<T>::get().index;
		for exposure in &mut ledger.exposures {
			let pool = SubPools::<T>::get(&exposure.candidate, exposure.left_era);
			ledger.debt = ledger.debt.saturating_add(exposure.stake.settle(&pool));
		}
		ledger.exposures.retain(|exposure| {
			let live = exposure.is_live::<T>(era);
			if !live {
				Self::release_exposure(exposure);
			}
			live
		});
		Self::collect_debt(stash, &mut ledger)?;
		Ok(ledger)
	}

	/// Writes the ledger of `stash`, after a debt was taken from what became idle, or removes it when
	/// nothing is in it.
	pub(crate) fn store_ledger(stash: &T::AccountId, mut ledger: Ledger<T>) -> DispatchResult {
		Self::collect_debt(stash, &mut ledger)?;
		if ledger == Ledger::default() {
			Ledgers::<T>::remove(stash);
		} else {
			Ledgers::<T>::insert(stash, ledger);
		}
		Ok(())
	}

	/// Notes that `amount` left the pool of `candidate` in this era and stays liable for what the
	/// candidate did before.
	pub(crate) fn expose(
		ledger: &mut Ledger<T>,
		candidate: &T::AccountId,
		amount: Balance,
	) -> DispatchResult {
		let era = CurrentEra::<T>::get().index;
		let known = ledger
			.exposures
			.iter()
			.position(|exposure| exposure.left_era == era && exposure.candidate == *candidate);
		let index = if let Some(index) = known {
			index
		} else {
			let exposure =
				Exposure { candidate: candidate.clone(), left_era: era, stake: Stake::default() };
			ledger.exposures.try_push(exposure).map_err(|_| Error::<T>::TooManyExposures)?;
			ledger.exposures.len().saturating_sub(1)
		};
		let exposure = ledger.exposures.get_mut(index).ok_or(Error::<T>::TooManyExposures)?;
		SubPools::<T>::try_mutate(candidate, era, |pool| exposure.stake.deposit(pool, amount))
			.map_err(|error| Error::<T>::from(error).into())
	}

	/// Takes the shares of an expired exposure out of its sub-pool, and the sub-pool away with the
	/// last of them.
	fn release_exposure(exposure: &Exposure<T::AccountId>) {
		SubPools::<T>::mutate_exists(&exposure.candidate, exposure.left_era, |slot| {
			if let Some(pool) = slot {
				pool.redeem(&mut exposure.stake.position.clone());
				if pool.is_empty() {
					*slot = None;
				}
			}
		});
	}

	pub(crate) fn do_stake(stash: &T::AccountId, amount: Balance) -> DispatchResult {
		ensure!(amount > 0, Error::<T>::ZeroAmount);
		let reason = HoldReason::Stake.into();
		ensure!(T::Currency::can_hold(&reason, stash, amount), Error::<T>::InsufficientBalance);
		T::Currency::hold(&reason, stash, amount)?;
		let mut ledger = Self::load_ledger(stash)?;
		ledger.credit(amount)?;
		Self::store_ledger(stash, ledger)?;
		let idle = Ledgers::<T>::get(stash).idle;
		Self::deposit_event(Event::Staked { stash: stash.clone(), amount, idle });
		Ok(())
	}
}
