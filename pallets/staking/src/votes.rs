//! Where a vote is counted: stake enters and leaves the pools of candidates.

use cuckoo_staking_math::PoolError;
use frame::prelude::*;

use crate::{
	Balance, Config, Error, Event, Ledger, Pallet, Pool, Pools, Positions, Role, RoleOf, RoleTotals,
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
	/// The pool's balance after it.
	pub after: Balance,
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
		let role = RoleOf::<T>::get(candidate).ok_or(Error::<T>::NotACandidate)?;
		let mut ledger = Self::load_ledger(voter);
		ledger.debit(amount)?;
		let change = Self::enter_pool(&mut ledger, voter, candidate, amount)?;
		ensure!(change.position >= T::MinimumVote::get(), Error::<T>::BelowMinimumVote);
		Self::store_ledger(voter, ledger);
		Self::reweigh(role, candidate, &change)?;
		Self::deposit_event(Event::Voted {
			voter: voter.clone(),
			candidate: candidate.clone(),
			amount,
			position: change.position,
			weight: change.after,
		});
		Ok(())
	}

	pub(crate) fn do_unvote(
		voter: &T::AccountId,
		candidate: &T::AccountId,
		amount: Balance,
	) -> DispatchResult {
		ensure!(amount > 0, Error::<T>::ZeroAmount);
		let mut ledger = Self::load_ledger(voter);
		let change = Self::leave_pool(&mut ledger, voter, candidate, amount)?;
		ledger.credit(amount)?;
		Self::store_ledger(voter, ledger);
		Self::deposit_event(Event::Unvoted {
			voter: voter.clone(),
			candidate: candidate.clone(),
			amount,
			position: change.position,
			weight: change.after,
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
		let role = RoleOf::<T>::get(to).ok_or(Error::<T>::NotACandidate)?;
		let mut ledger = Self::load_ledger(voter);
		let left = Self::leave_pool(&mut ledger, voter, from, amount)?;
		let entered = Self::enter_pool(&mut ledger, voter, to, amount)?;
		ensure!(entered.position >= T::MinimumVote::get(), Error::<T>::BelowMinimumVote);
		Self::store_ledger(voter, ledger);
		Self::reweigh(role, to, &entered)?;
		Self::deposit_event(Event::VoteMoved {
			voter: voter.clone(),
			from: from.clone(),
			to: to.clone(),
			amount,
			from_weight: left.after,
			to_weight: entered.after,
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
		let known = Positions::<T>::get(voter, candidate);
		if known.is_none() && voter != candidate {
			ensure!(ledger.votes < T::MaxVotes::get(), Error::<T>::TooManyVotes);
			ledger.votes = ledger.votes.saturating_add(1);
		}
		let mut position = known.unwrap_or_default();
		let mut pool = Pools::<T>::get(candidate);
		let before = pool.balance;
		pool.deposit(&mut position, amount).map_err(Error::<T>::from)?;
		Pools::<T>::insert(candidate, pool);
		Positions::<T>::insert(voter, candidate, position);
		Ok(PoolChange { before, after: pool.balance, position: pool.value_of(&position) })
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
		let mut position = Positions::<T>::get(voter, candidate).ok_or(Error::<T>::NoVote)?;
		let mut pool = Pools::<T>::get(candidate);
		let before = pool.balance;
		pool.withdraw(&mut position, amount).map_err(Error::<T>::from)?;
		let value = pool.value_of(&position);
		let role = RoleOf::<T>::get(candidate);
		if let Some(role) = role.filter(|_| voter == candidate) {
			ensure!(value >= Self::minimum_stake(role), Error::<T>::SelfStakeNeeded);
		}
		if position.shares == 0 {
			Positions::<T>::remove(voter, candidate);
			if voter != candidate {
				ledger.votes = ledger.votes.saturating_sub(1);
			}
		} else {
			ensure!(value >= T::MinimumVote::get(), Error::<T>::BelowMinimumVote);
			Positions::<T>::insert(voter, candidate, position);
		}
		// A pool that once lost everything keeps its epoch, or worthless shares would revive.
		if pool == Pool::default() {
			Pools::<T>::remove(candidate);
		} else {
			Pools::<T>::insert(candidate, pool);
		}
		Self::expose(ledger, candidate, amount)?;
		let change = PoolChange { before, after: pool.balance, position: value };
		if let Some(role) = role {
			Self::reweigh(role, candidate, &change)?;
		}
		Ok(change)
	}

	/// Brings the role's total and the ranking in step with a change to the pool of a registered
	/// candidate.
	fn reweigh(role: Role, candidate: &T::AccountId, change: &PoolChange) -> DispatchResult {
		RoleTotals::<T>::try_mutate(role, |total| {
			total.weight = total
				.weight
				.saturating_sub(change.before)
				.checked_add(change.after)
				.ok_or(Error::<T>::Overflow)?;
			Ok::<_, DispatchError>(())
		})?;
		if role == Role::Validator {
			Self::rerank(candidate, change.before, change.after);
		}
		Ok(())
	}
}
