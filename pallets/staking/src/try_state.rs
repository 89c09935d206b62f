//! What must always be true of the storage. Iterates over everything: for tests and `try-runtime`
//! only.

use alloc::collections::{BTreeMap, BTreeSet};
use cuckoo_staking_math::{Balance, Pool, Position};
use frame::{
	deps::sp_runtime::TryRuntimeError,
	prelude::*,
	traits::fungible::{Inspect, InspectHold},
};

use crate::{
	Candidates, Config, CurrentEra, EarningsOf, HoldReason, Ledgers, Offenders, Operators, Pallet,
	PendingSlashes, Pools, Positions, Pot, Pots, Queue, Ranking, Role, RoleFlows, RoleOf,
	RoleTotal, RoleTotals, SubPools, ValidatorCount,
};

type Check = Result<(), TryRuntimeError>;

impl<T: Config> Pallet<T> {
	/// Checks the whole storage of the pallet.
	///
	/// # Errors
	///
	/// The first rule that is broken, in words.
	pub fn do_try_state() -> Check {
		Self::check_pools()?;
		Self::check_ledgers()?;
		Self::check_sub_pools()?;
		Self::check_registry()?;
		Self::check_ranking()?;
		Self::check_earnings()?;
		Self::check_pots()?;
		Self::check_slashes()
	}

	/// The shares of a pool are those of its positions, and no share is worth more than it cost.
	fn check_pools() -> Check {
		let mut owned = BTreeMap::<T::AccountId, u128>::new();
		for (_, candidate, backing) in Positions::<T>::iter() {
			let pool = Pools::<T>::get(&candidate);
			let position = backing.stake.position;
			add_shares(owned.entry(candidate).or_default(), &pool, &position)?;
		}
		for (candidate, pool) in Pools::<T>::iter() {
			ensure!(pool != Pool::default(), "an empty pool is stored");
			ensure!(pool.balance <= pool.shares, "a share is worth more than it cost");
			let shares = owned.remove(&candidate).unwrap_or_default();
			ensure!(shares == pool.shares, "the shares of a pool are not those of its positions");
		}
		ensure!(owned.values().all(|shares| *shares == 0), "a position is in no pool");
		Ok(())
	}

	/// What is held is what is idle, unbonding and held for positions; bounds and counts hold; a debt
	/// waits only while all stake backs somebody; whoever is exposed still has stake.
	fn check_ledgers() -> Check {
		let mut stakers: BTreeSet<T::AccountId> = Ledgers::<T>::iter_keys().collect();
		stakers.extend(Positions::<T>::iter_keys().map(|(staker, _)| staker));
		let era = CurrentEra::<T>::get().index;
		for staker in stakers {
			let ledger = Ledgers::<T>::get(&staker);
			let mut total = ledger.idle;
			let mut votes = 0u32;
			let mut backs = false;
			for (candidate, backing) in Positions::<T>::iter_prefix(&staker) {
				total = sum(total, backing.stake.held)?;
				votes = votes.saturating_add(u32::from(candidate != staker));
				backs = true;
			}
			ensure!(votes == ledger.votes, "the number of votes is not that of the positions");
			ensure!(votes <= T::MaxVotes::get(), "a staker backs too many candidates");
			let mut eras = BTreeSet::new();
			for chunk in &ledger.unbonding {
				total = sum(total, chunk.amount)?;
				ensure!(chunk.amount > 0, "nothing is unbonding in a chunk");
				ensure!(eras.insert(chunk.until_era), "two chunks end in one era");
			}
			let held = T::Currency::balance_on_hold(&HoldReason::Stake.into(), &staker);
			ensure!(held == total, "what is held is not what is staked");
			ensure!(
				ledger.debt == 0 || (ledger.idle == 0 && ledger.unbonding.is_empty() && backs),
				"a debt waits although there is something to take it from, or nothing at all"
			);
			let exposed = ledger.exposures.iter().any(|exposure| {
				let pool = SubPools::<T>::get(&exposure.candidate, exposure.left_era);
				exposure.is_live::<T>(era) && exposure.stake.worth(&pool) > 0
			});
			ensure!(held > 0 || !exposed || ledger.debt == 0, "an exposure outlived the stake");
		}
		Ok(())
	}

	/// The shares of a sub-pool are those of the exposures to it.
	fn check_sub_pools() -> Check {
		let mut owned = BTreeMap::<(T::AccountId, u32), u128>::new();
		for (_, ledger) in Ledgers::<T>::iter() {
			let mut known = BTreeSet::new();
			for exposure in ledger.exposures {
				let key = (exposure.candidate, exposure.left_era);
				let pool = SubPools::<T>::get(&key.0, key.1);
				let position = exposure.stake.position;
				ensure!(known.insert(key.clone()), "a candidate and era are exposed twice");
				add_shares(owned.entry(key).or_default(), &pool, &position)?;
			}
		}
		for (candidate, era, pool) in SubPools::<T>::iter() {
			ensure!(pool != Pool::default(), "an empty sub-pool is stored");
			ensure!(
				pool.balance <= pool.shares,
				"a share of a sub-pool is worth more than it cost"
			);
			let shares = owned.remove(&(candidate, era)).unwrap_or_default();
			ensure!(shares == pool.shares, "the shares of a sub-pool are not those exposed");
		}
		ensure!(owned.values().all(|shares| *shares == 0), "an exposure is in no sub-pool");
		Ok(())
	}

	/// Candidates, roles and operators name each other, and the totals are their sums.
	fn check_registry() -> Check {
		let mut totals = BTreeMap::<Role, RoleTotal<Balance>>::new();
		let mut candidates = 0usize;
		for (role, stash, candidate) in Candidates::<T>::iter() {
			ensure!(RoleOf::<T>::get(&stash) == Some(role), "a candidate has another role");
			ensure!(
				Operators::<T>::get(&candidate.operator) == Some(stash.clone()),
				"an operator serves somebody else"
			);
			let fit = Self::is_fit(role, &stash, &Pools::<T>::get(&stash));
			ensure!(
				fit == candidate.inactive_from.is_none(),
				"a candidate is active that should not be, or is not although it should"
			);
			let total = totals.entry(role).or_default();
			total.candidates = total.candidates.saturating_add(1);
			total.weight = sum(total.weight, Pools::<T>::get(&stash).balance)?;
			candidates = candidates.saturating_add(1);
		}
		ensure!(RoleOf::<T>::iter().count() == candidates, "a role without a candidate");
		ensure!(Operators::<T>::iter().count() == candidates, "an operator without a candidate");
		for role in Role::ALL {
			let total = totals.remove(&role).unwrap_or_default();
			ensure!(RoleTotals::<T>::get(role) == total, "a total is not that of its candidates");
		}
		Ok(())
	}

	/// The ranking is sorted and in step with the pools.
	fn check_ranking() -> Check {
		let ranking = Ranking::<T>::get();
		let sorted = ranking.windows(2).all(|pair| match pair {
			[(heavier, first), (lighter, second)] => {
				heavier > lighter || (heavier == lighter && first < second)
			},
			_ => false,
		});
		ensure!(sorted, "the ranking is not sorted");
		let mut ranked = BTreeSet::new();
		for (weight, stash) in ranking {
			ensure!(RoleOf::<T>::get(&stash) == Some(Role::Validator), "no validator, but ranked");
			ensure!(Pools::<T>::get(&stash).balance == weight, "ranked by another weight");
			ensure!(ranked.insert(stash), "ranked twice");
		}
		ensure!(
			ValidatorCount::<T>::get() <= T::MaxRanked::get(),
			"more validators are to be elected than ranked"
		);
		Ok(())
	}
}

impl<T: Config> Pallet<T> {
	/// Who earns by weight earns by the weight of its pool, and the roles know the sums.
	fn check_earnings() -> Check {
		let mut weights = BTreeMap::<Role, Balance>::new();
		for (stash, earnings) in EarningsOf::<T>::iter() {
			let pool = Pools::<T>::get(&stash);
			let role = RoleOf::<T>::get(&stash).filter(|role| *role != Role::Validator);
			let earns = role.filter(|role| Self::is_fit(*role, &stash, &pool));
			let weight = if earns.is_some() { pool.balance } else { 0 };
			ensure!(earnings.weight == weight, "rewards are shared by a weight that is not");
			if let Some(role) = role {
				let total = weights.entry(role).or_default();
				*total = sum(*total, weight)?;
			}
		}
		for role in Role::ALL {
			let flow = RoleFlows::<T>::get(role);
			let weight = weights.remove(&role).unwrap_or_default();
			ensure!(flow.weight == weight, "the weight of a role is not that of its candidates");
			ensure!(flow.flowed <= flow.budget, "more has flowed than the era gives");
		}
		Ok(())
	}

	/// The pots hold what is left and what is owed, and everything that was earned is owed.
	fn check_pots() -> Check {
		for pot in Pot::ALL {
			let state = Pots::<T>::get(pot);
			let held = T::Currency::total_balance(&Self::pot_account(pot));
			ensure!(held >= sum(state.left, state.owed)?, "a pot holds less than it should");
		}
		let earned = Self::total_earned()?;
		ensure!(Pots::<T>::get(Pot::Staking).owed >= earned, "more was earned than is owed");
		Ok(())
	}

	/// All that has been earned up to the last settlement of the roles, and not been paid.
	pub(crate) fn total_earned() -> Result<Balance, TryRuntimeError> {
		let mut total = Balance::zero();
		for (stash, earnings) in EarningsOf::<T>::iter() {
			let shares = Pools::<T>::get(&stash).shares;
			let mut earnings = earnings;
			if let Some(role) = RoleOf::<T>::get(&stash) {
				earnings.accrue(RoleFlows::<T>::get(role).per_weight.index, shares);
			}
			total = sum(total, sum(earnings.commission_due, earnings.claim.amount)?)?;
		}
		for (_, candidate, mut backing) in Positions::<T>::iter() {
			let mut earnings = EarningsOf::<T>::get(&candidate);
			let pool = Pools::<T>::get(&candidate);
			if let Some(role) = RoleOf::<T>::get(&candidate) {
				earnings.accrue(RoleFlows::<T>::get(role).per_weight.index, pool.shares);
			}
			Self::settle_claim(&candidate, &mut backing, &pool, &earnings);
			total = sum(total, backing.claim.amount)?;
		}
		Ok(total)
	}

	/// The slashes that wait are in the queue, and their candidates know how many they are.
	fn check_slashes() -> Check {
		let queue = Queue::<T>::get();
		let mut pending = BTreeMap::<T::AccountId, u32>::new();
		for (id, slash) in PendingSlashes::<T>::iter() {
			ensure!((queue.next..queue.end).contains(&id), "a slash is not in the queue");
			let count = pending.entry(slash.candidate).or_default();
			*count = count.saturating_add(1);
		}
		for (stash, offender) in Offenders::<T>::iter() {
			let count = pending.remove(&stash).unwrap_or_default();
			ensure!(offender.pending == count, "an offender waits for other slashes");
		}
		ensure!(pending.is_empty(), "a slash waits for somebody who is no offender");
		Ok(())
	}
}

fn sum(a: Balance, b: Balance) -> Result<Balance, TryRuntimeError> {
	a.checked_add(b).ok_or(TryRuntimeError::Other("a sum of balances overflows"))
}

fn add_shares(sum: &mut u128, pool: &Pool, position: &Position) -> Check {
	ensure!(position.shares > 0, "a position without shares is stored");
	if position.epoch == pool.epoch {
		*sum = sum
			.checked_add(position.shares)
			.ok_or(TryRuntimeError::Other("a sum of shares overflows"))?;
	}
	Ok(())
}
