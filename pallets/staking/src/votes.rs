//! Where a vote is counted: stake enters and leaves the pools of candidates.

use cuckoo_staking_math::PoolError;
use frame::prelude::*;

use crate::{
	Balance, Candidates, ClosedEpochs, Config, CurrentEra, Error, Event, Ledger, Pallet, Pool,
	Pools, Positions, Role, RoleOf, RoleTotals, WeightHistories, WeightHistory,
};

impl<T: Config> From<PoolError> for Error<T> {
	fn from(error: PoolError) -> Self {
		match error {
			PoolError::Overflow => Self::Overflow,
			PoolError::TooSmall => Self::BelowMinimumVote,
			PoolError::Insufficient => Self::InsufficientVote,
		}
	}
}

/// What a change did to a pool.
pub(crate) struct PoolChange {
	/// The pool's balance before it.
	pub before: Balance,
	/// The pool after it.
	pub pool: Pool,
	/// What the staker has in the pool after it.
	pub position: Balance,
}

impl<T: Config> Pallet<T> {
	pub(crate) fn do_vote(
		voter: &T::AccountId,
		candidate: &T::AccountId,
		amount: Balance,
	) -> DispatchResult {
		ensure!(amount > 0, Error::<T>::ZeroAmount);
		ensure!(RoleOf::<T>::contains_key(candidate), Error::<T>::NotACandidate);
		let mut ledger = Self::load_ledger(voter)?;
		ledger.debit(amount)?;
		let change = Self::enter_pool(&mut ledger, voter, candidate, amount)?;
		ensure!(change.position >= T::MinimumVote::get(), Error::<T>::BelowMinimumVote);
		Self::store_ledger(voter, ledger)?;
		Self::reweigh(candidate, change.before, &change.pool)?;
		Self::deposit_event(Event::Voted {
			voter: voter.clone(),
			candidate: candidate.clone(),
			amount,
			position: change.position,
			weight: change.pool.balance,
		});
		Ok(())
	}

	pub(crate) fn do_unvote(
		voter: &T::AccountId,
		candidate: &T::AccountId,
		amount: Balance,
	) -> DispatchResult {
		ensure!(amount > 0, Error::<T>::ZeroAmount);
		let mut ledger = Self::load_ledger(voter)?;
		let change = Self::leave_pool(&mut ledger, voter, candidate, amount)?;
		ledger.credit(amount)?;
		Self::store_ledger(voter, ledger)?;
		Self::deposit_event(Event::Unvoted {
			voter: voter.clone(),
			candidate: candidate.clone(),
			amount,
			position: change.position,
			weight: change.pool.balance,
		});
		Ok(())
	}

	pub(crate) fn do_move_vote(
		voter: &T::AccountId,
		from: &T::AccountId,
		to: &T::AccountId,
		amount: Balance,
	) -> DispatchResult {
		ensure!(amount > 0, Error::<T>::ZeroAmount);
		ensure!(from != to, Error::<T>::SameCandidate);
		ensure!(RoleOf::<T>::contains_key(to), Error::<T>::NotACandidate);
		let mut ledger = Self::load_ledger(voter)?;
		let left = Self::leave_pool(&mut ledger, voter, from, amount)?;
		let entered = Self::enter_pool(&mut ledger, voter, to, amount)?;
		ensure!(entered.position >= T::MinimumVote::get(), Error::<T>::BelowMinimumVote);
		Self::store_ledger(voter, ledger)?;
		Self::reweigh(to, entered.before, &entered.pool)?;
		Self::deposit_event(Event::VoteMoved {
			voter: voter.clone(),
			from: from.clone(),
			to: to.clone(),
			amount,
			from_weight: left.pool.balance,
			to_weight: entered.pool.balance,
		});
		Ok(())
	}

	/// Puts `amount`, which the caller has taken from somewhere, into the pool of `candidate`. The
	/// caller checks that the position is large enough and brings the registry in step.
	pub(crate) fn enter_pool(
		ledger: &mut Ledger<T>,
		voter: &T::AccountId,
		candidate: &T::AccountId,
		amount: Balance,
	) -> Result<PoolChange, DispatchError> {
		let earnings = Self::accrue(candidate);
		let known = Positions::<T>::get(voter, candidate);
		if known.is_none() && voter != candidate {
			ensure!(ledger.votes < T::MaxVotes::get(), Error::<T>::TooManyVotes);
			ledger.votes = ledger.votes.saturating_add(1);
		}
		let mut backing = known.unwrap_or_default();
		let mut pool = Pools::<T>::get(candidate);
		let Pool { balance: before, epoch, .. } = pool;
		Self::settle_claim(candidate, &mut backing, &pool, &earnings);
		Self::burn(voter, backing.stake.settle(&pool))?;
		backing.stake.deposit(&mut pool, amount).map_err(Error::<T>::from)?;
		if pool.epoch != epoch {
			ClosedEpochs::<T>::insert(candidate, epoch, earnings.per_share.index);
		}
		Pools::<T>::insert(candidate, pool);
		Positions::<T>::insert(voter, candidate, backing);
		Ok(PoolChange { before, pool, position: backing.stake.worth(&pool) })
	}

	/// Takes `amount` from the voter's position in the pool of `candidate`, exposed to what the
	/// candidate did before, and lowers the weight of the candidate if it is registered. Where the
	/// amount goes is up to the caller.
	fn leave_pool(
		ledger: &mut Ledger<T>,
		voter: &T::AccountId,
		candidate: &T::AccountId,
		amount: Balance,
	) -> Result<PoolChange, DispatchError> {
		let earnings = Self::accrue(candidate);
		let mut backing = Positions::<T>::get(voter, candidate).ok_or(Error::<T>::NoVote)?;
		let mut pool = Pools::<T>::get(candidate);
		let before = pool.balance;
		Self::settle_claim(candidate, &mut backing, &pool, &earnings);
		Self::burn(voter, backing.stake.settle(&pool))?;
		backing.stake.withdraw(&mut pool, amount).map_err(Error::<T>::from)?;
		let position = backing.stake.worth(&pool);
		if let Some(role) = RoleOf::<T>::get(candidate).filter(|_| voter == candidate) {
			ensure!(position >= Self::minimum_stake(role), Error::<T>::SelfStakeNeeded);
		}
		let left_all = backing.stake.position.shares == 0;
		ensure!(left_all || position >= T::MinimumVote::get(), Error::<T>::BelowMinimumVote);
		Self::store_pool(candidate, &pool);
		Self::store_backing(ledger, voter, candidate, backing)?;
		Self::expose(ledger, candidate, amount)?;
		Self::reweigh(candidate, before, &pool)?;
		Self::drop_earnings(candidate);
		Ok(PoolChange { before, pool, position })
	}

	/// Writes a pool, or removes it when nothing is in it and never was anything lost in it: a pool
	/// that once lost everything keeps its epoch, or worthless shares would revive.
	pub(crate) fn store_pool(candidate: &T::AccountId, pool: &Pool) {
		if *pool == Pool::default() {
			Pools::<T>::remove(candidate);
		} else {
			Pools::<T>::insert(candidate, pool);
		}
	}

	/// Brings everything that depends on the weight and the status of a candidate in step with its
	/// pool and its offences: the role's total, its part in the rewards, the era from which it is
	/// inactive, and the ranking. Its earnings must have been accrued before the change; `before` is
	/// the balance of the pool then.
	pub(crate) fn reweigh(
		candidate: &T::AccountId,
		before: Balance,
		pool: &Pool,
	) -> DispatchResult {
		if before != pool.balance {
			Self::note_weight(candidate, before);
		}
		let Some(role) = RoleOf::<T>::get(candidate) else { return Ok(()) };
		RoleTotals::<T>::try_mutate(role, |total| {
			total.weight = total
				.weight
				.saturating_sub(before)
				.checked_add(pool.balance)
				.ok_or(Error::<T>::Overflow)?;
			Ok::<_, DispatchError>(())
		})?;
		let fit = Self::is_fit(role, candidate, pool);
		Candidates::<T>::mutate(role, candidate, |slot| {
			if let Some(candidate) = slot {
				let next = CurrentEra::<T>::get().index.saturating_add(1);
				candidate.inactive_from =
					if fit { None } else { candidate.inactive_from.or(Some(next)) };
			}
		});
		if role == Role::Validator {
			Self::rerank(candidate, before, pool.balance);
		} else {
			Self::set_earning_weight(candidate, role, if fit { pool.balance } else { 0 });
		}
		Ok(())
	}

	/// Remembers the weight that a candidate had at the beginning of the running era, if this is the
	/// first change in it.
	fn note_weight(candidate: &T::AccountId, weight: Balance) {
		let era = CurrentEra::<T>::get().index;
		WeightHistories::<T>::mutate(candidate, |history: &mut WeightHistory| {
			if history.last().is_some_and(|(last, _)| *last == era) {
				return;
			}
			history.retain(|(old, _)| old.saturating_add(T::BondingDuration::get()) >= era);
			// The eras that are kept are fewer than there is room for.
			let _ = history.try_push((era, weight));
		});
	}
}
