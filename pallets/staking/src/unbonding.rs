//! The way out: idle stake unbonds and is withdrawn.

use frame::{
	prelude::*,
	traits::{
		fungible::{InspectHold, MutateHold},
		tokens::Precision,
	},
};

use crate::{Balance, Chunk, Config, CurrentEra, Error, Event, HoldReason, Ledger, Pallet};

impl<T: Config> Ledger<T> {
	/// How much has finished unbonding by `era`.
	pub(crate) fn matured(&self, era: u32) -> Balance {
		self.unbonding
			.iter()
			.filter(|chunk| chunk.until_era <= era)
			.fold(0, |sum: Balance, chunk| sum.saturating_add(chunk.amount))
	}

	/// Adds `amount` to what can be withdrawn from `until_era` on.
	fn unbond(&mut self, amount: Balance, until_era: u32) -> Result<(), Error<T>> {
		if let Some(chunk) = self.unbonding.iter_mut().find(|chunk| chunk.until_era == until_era) {
			chunk.amount = chunk.amount.checked_add(amount).ok_or(Error::<T>::Overflow)?;
			return Ok(());
		}
		self.unbonding.try_push(Chunk { amount, until_era }).map_err(|_| Error::<T>::TooManyChunks)
	}
}

impl<T: Config> Pallet<T> {
	pub(crate) fn do_unstake(stash: &T::AccountId, amount: Balance) -> DispatchResult {
		ensure!(amount > 0, Error::<T>::ZeroAmount);
		let mut ledger = Self::load_ledger(stash)?;
		ledger.debit(amount)?;
		let era = CurrentEra::<T>::get().index;
		let until_era = era.saturating_add(T::BondingDuration::get());
		ledger.unbond(amount, until_era)?;
		let idle = ledger.idle;
		Self::store_ledger(stash, ledger)?;
		Self::deposit_event(Event::Unstaked { stash: stash.clone(), amount, until_era, idle });
		Ok(())
	}

	pub(crate) fn do_withdraw(stash: &T::AccountId) -> DispatchResult {
		let mut ledger = Self::load_ledger(stash)?;
		let era = CurrentEra::<T>::get().index;
		let amount = ledger.matured(era);
		ensure!(amount > 0, Error::<T>::NothingToWithdraw);
		ledger.unbonding.retain(|chunk| chunk.until_era > era);
		Self::store_ledger(stash, ledger)?;
		let reason = HoldReason::Stake.into();
		T::Currency::release(&reason, stash, amount, Precision::Exact)?;
		let held = T::Currency::balance_on_hold(&reason, stash);
		Self::deposit_event(Event::Withdrawn { stash: stash.clone(), amount, held });
		Ok(())
	}
}
