//! Slashes: decided at once, applied later, and settled with each staker when it is next touched.

use cuckoo_staking_math::slashing;
use frame::{
	prelude::*,
	traits::{
		fungible::{InspectHold, MutateHold},
		tokens::{Fortitude, Precision},
	},
};

use crate::{
	Balance, Config, CurrentEra, Error, Event, HoldReason, Ledger, Offender, Offenders, Pallet,
	PendingSlash, PendingSlashes, Perbill, Pool, Pools, Positions, Queue, Role, RoleOf, SubPools,
};

impl Offender {
	/// By which part the offences of `era` are slashed already.
	fn slashed(&self, era: u32) -> Perbill {
		self.offences
			.iter()
			.find(|(other, _)| *other == era)
			.map_or(Perbill::zero(), |(_, fraction)| *fraction)
	}

	/// Notes by which part the offences of `era` are slashed, and forgets those before `oldest`.
	fn note(&mut self, era: u32, fraction: Perbill, oldest: u32) {
		self.offences.retain(|(other, _)| *other >= oldest && *other != era);
		// Eras from `oldest` on are fewer than there is room for.
		let _ = self.offences.try_push((era, fraction));
	}
}

impl<T: Config> Pallet<T> {
	/// The first era whose offences can still be slashed: whoever was liable in it is still bonded
	/// when the slash is applied.
	fn oldest_offence(era: u32) -> u32 {
		let reach = T::BondingDuration::get().saturating_sub(T::SlashDefer::get());
		era.saturating_add(1).saturating_sub(reach)
	}

	/// Decides that `candidate` is slashed by `fraction` for what it did in `offence_era`. Of several
	/// offences in one era the worst counts.
	pub(crate) fn report_slash(
		candidate: &T::AccountId,
		fraction: Perbill,
		offence_era: u32,
	) -> DispatchResult {
		let era = CurrentEra::<T>::get().index;
		ensure!(!fraction.is_zero(), Error::<T>::ZeroFraction);
		ensure!(offence_era <= era, Error::<T>::OffenceInFuture);
		let oldest = Self::oldest_offence(era);
		ensure!(offence_era >= oldest, Error::<T>::OffenceTooOld);
		let mut offender = Offenders::<T>::get(candidate);
		let further = slashing::further(offender.slashed(offence_era), fraction)
			.ok_or(Error::<T>::SlashedAlready)?;
		offender.note(offence_era, fraction, oldest);
		offender.pending = offender.pending.saturating_add(1);

		let apply_era = era.saturating_add(T::SlashDefer::get());
		let id = Queue::<T>::mutate(|queue| {
			let id = queue.end;
			queue.end = id.saturating_add(1);
			id
		});
		let slash = PendingSlash {
			candidate: candidate.clone(),
			fraction: further,
			offence_era,
			apply_era,
		};
		PendingSlashes::<T>::insert(id, slash);
		Self::deposit_event(Event::SlashReported {
			id,
			candidate: candidate.clone(),
			fraction,
			offence_era,
			apply_era,
		});
		let jailed_until = offender.jailed_until.max(Some(apply_era));
		let jailed = jailed_until != offender.jailed_until;
		offender.jailed_until = jailed_until;
		Self::set_offender(candidate, offender)?;
		if jailed {
			let stash = candidate.clone();
			Self::deposit_event(Event::Jailed { stash, until_era: apply_era });
		}
		Ok(())
	}

	/// Writes what is known of an offender, and brings its status and weight in step.
	fn set_offender(stash: &T::AccountId, offender: Offender) -> DispatchResult {
		Self::accrue(stash);
		if offender == Offender::default() {
			Offenders::<T>::remove(stash);
		} else {
			Offenders::<T>::insert(stash, offender);
		}
		let pool = Pools::<T>::get(stash);
		Self::reweigh(stash, pool.balance, &pool)
	}

	pub(crate) fn do_cancel_slash(id: u32) -> DispatchResult {
		let PendingSlash { candidate, .. } =
			PendingSlashes::<T>::take(id).ok_or(Error::<T>::NoSuchSlash)?;
		let mut offender = Offenders::<T>::get(&candidate);
		offender.pending = offender.pending.saturating_sub(1);
		if offender.pending == 0 && !offender.applied {
			offender.jailed_until = None;
		}
		Self::set_offender(&candidate, offender)?;
		Self::deposit_event(Event::SlashCancelled { id, candidate });
		Ok(())
	}

	pub(crate) fn do_unjail(stash: &T::AccountId) -> DispatchResult {
		let role = RoleOf::<T>::get(stash).ok_or(Error::<T>::NotRegistered)?;
		let mut offender = Offenders::<T>::get(stash);
		let until_era = offender.jailed_until.ok_or(Error::<T>::NotJailed)?;
		ensure!(CurrentEra::<T>::get().index >= until_era, Error::<T>::StillJailed);
		let own = Self::self_stake(stash, &Pools::<T>::get(stash));
		ensure!(own >= Self::minimum_stake(role), Error::<T>::BelowRoleMinimum);
		offender.jailed_until = None;
		offender.applied = false;
		let oldest = Self::oldest_offence(CurrentEra::<T>::get().index);
		offender.offences.retain(|(era, _)| *era >= oldest);
		Self::set_offender(stash, offender)?;
		Self::deposit_event(Event::Unjailed { stash: stash.clone() });
		Ok(())
	}

	/// Applies the slashes whose time has come, at most `MaxSlashesPerBlock`, and returns how many
	/// numbers were looked at.
	pub(crate) fn apply_due_slashes() -> u32 {
		let era = CurrentEra::<T>::get().index;
		let mut queue = Queue::<T>::get();
		let mut count = 0;
		while queue.next < queue.end && count < T::MaxSlashesPerBlock::get() {
			// Slashes wait equally long, so they come due in the order of their numbers. One that is
			// not there was cancelled.
			if let Some(slash) = PendingSlashes::<T>::get(queue.next) {
				if slash.apply_era > era {
					break;
				}
				PendingSlashes::<T>::remove(queue.next);
				Self::apply_slash(queue.next, &slash);
			}
			queue.next = queue.next.saturating_add(1);
			count = count.saturating_add(1);
		}
		if count > 0 {
			Queue::<T>::put(queue);
		}
		count
	}

	/// Lowers the pool and the sub-pools of those who left since the offence.
	fn apply_slash(id: u32, slash: &PendingSlash<T::AccountId>) {
		let PendingSlash { candidate, fraction, offence_era, .. } = slash;
		Self::accrue(candidate);
		let before = Pools::<T>::get(candidate);
		let mut pool = before;
		let lost = pool.slash(*fraction);
		if lost > 0 {
			Pools::<T>::insert(candidate, pool);
		}
		let mut left = Balance::zero();
		for era in *offence_era..=CurrentEra::<T>::get().index {
			if let Some(mut pool) =
				Some(SubPools::<T>::get(candidate, era)).filter(|pool| *pool != Pool::default())
			{
				left = left.saturating_add(pool.slash(*fraction));
				SubPools::<T>::insert(candidate, era, pool);
			}
		}
		Offenders::<T>::mutate(candidate, |offender| {
			offender.pending = offender.pending.saturating_sub(1);
			offender.applied = offender.jailed_until.is_some();
		});
		let reweighed = Self::reweigh(candidate, before.balance, &pool);
		defensive_assert!(reweighed.is_ok(), "weights only fall here");
		Self::deposit_event(Event::SlashApplied {
			id,
			candidate: candidate.clone(),
			pool: lost,
			left,
			weight: pool.balance,
		});
	}

	/// Whether `stash` may have a part in `role` from the next era on, and earns: it is not in jail
	/// and its self-stake is enough.
	pub(crate) fn is_fit(role: Role, stash: &T::AccountId, pool: &Pool) -> bool {
		Offenders::<T>::get(stash).jailed_until.is_none()
			&& Self::self_stake(stash, pool) >= Self::minimum_stake(role)
	}

	/// Burns `amount` of what is held for `staker`.
	pub(crate) fn burn(staker: &T::AccountId, amount: Balance) -> DispatchResult {
		if amount == 0 {
			return Ok(());
		}
		let reason = HoldReason::Stake.into();
		T::Currency::burn_held(&reason, staker, amount, Precision::Exact, Fortitude::Force)?;
		let held = T::Currency::balance_on_hold(&reason, staker);
		Self::deposit_event(Event::Slashed { staker: staker.clone(), amount, held });
		Ok(())
	}

	/// Takes what `staker` owes for candidates that it left, as far as its stake is idle or
	/// unbonding; of that, what would be free last goes first.
	pub(crate) fn collect_debt(staker: &T::AccountId, ledger: &mut Ledger<T>) -> DispatchResult {
		if ledger.debt == 0 {
			return Ok(());
		}
		let mut taken = ledger.debt.min(ledger.idle);
		ledger.idle = ledger.idle.saturating_sub(taken);
		for chunk in ledger.unbonding.iter_mut().rev() {
			let part = chunk.amount.min(ledger.debt.saturating_sub(taken));
			chunk.amount = chunk.amount.saturating_sub(part);
			taken = taken.saturating_add(part);
		}
		ledger.unbonding.retain(|chunk| chunk.amount > 0);
		ledger.debt = ledger.debt.saturating_sub(taken);
		Self::burn(staker, taken)?;
		// The liability ends with the stake.
		let backs = ledger.votes > 0 || Positions::<T>::contains_key(staker, staker);
		if ledger.idle == 0 && ledger.unbonding.is_empty() && !backs {
			ledger.debt = 0;
		}
		Ok(())
	}

	pub(crate) fn do_settle(staker: &T::AccountId, candidate: &T::AccountId) -> DispatchResult {
		let held = T::Currency::balance_on_hold(&HoldReason::Stake.into(), staker);
		let mut ledger = Self::load_ledger(staker)?;
		let mut removed = false;
		if let Some(mut backing) = Positions::<T>::get(staker, candidate) {
			let earnings = Self::accrue(candidate);
			let mut pool = Pools::<T>::get(candidate);
			let before = pool.balance;
			Self::settle_claim(candidate, &mut backing, &pool, &earnings);
			Self::burn(staker, backing.stake.settle(&pool))?;
			let debt = ledger.debt.min(backing.stake.held);
			if debt > 0 {
				backing.stake.withdraw(&mut pool, debt).map_err(Error::<T>::from)?;
				ledger.debt = ledger.debt.saturating_sub(debt);
				Self::burn(staker, debt)?;
			}
			if backing.stake.held == 0 {
				// Shares of the running epoch leave with their owner.
				pool.redeem(&mut backing.stake.position);
			}
			removed = backing.stake.position.shares == 0;
			Self::store_pool(candidate, &pool);
			Self::store_backing(&mut ledger, staker, candidate, backing)?;
			Self::reweigh(candidate, before, &pool)?;
		}
		Self::store_ledger(staker, ledger)?;
		Self::drop_earnings(candidate);
		let changed = T::Currency::balance_on_hold(&HoldReason::Stake.into(), staker) != held;
		ensure!(changed || removed, Error::<T>::NothingToSettle);
		Ok(())
	}
}
