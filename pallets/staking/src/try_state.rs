//! What must always be true of the storage. Iterates over everything: for tests and `try-runtime`
//! only.

use alloc::collections::{BTreeMap, BTreeSet};
use cuckoo_staking_math::{Balance, Pool, Position};
use frame::{deps::sp_runtime::TryRuntimeError, prelude::*, traits::fungible::InspectHold};

use crate::{
	Candidates, Config, CurrentEra, HoldReason, Ledgers, Operators, Pallet, Pools, Positions,
	Ranking, Role, RoleOf, RoleTotal, RoleTotals, SubPools, ValidatorCount,
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
		Self::check_ranking()
	}

	/// The shares of a pool are those of its positions, and no share is worth more than it cost.
	fn check_pools() -> Check {
		let mut owned = BTreeMap::<T::AccountId, u128>::new();
		for (_, candidate, position) in Positions::<T>::iter() {
			let pool = Pools::<T>::get(&candidate);
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

	/// What is held covers what is idle, unbonding and in pools; bounds and counts hold; whoever is
	/// exposed still has stake.
	fn check_ledgers() -> Check {
		let mut stakers: BTreeSet<T::AccountId> = Ledgers::<T>::iter_keys().collect();
		stakers.extend(Positions::<T>::iter_keys().map(|(staker, _)| staker));
		let era = CurrentEra::<T>::get().index;
		for staker in stakers {
			let ledger = Ledgers::<T>::get(&staker);
			let mut total = ledger.idle;
			let mut votes = 0u32;
			for (candidate, position) in Positions::<T>::iter_prefix(&staker) {
				total = sum(total, Pools::<T>::get(&candidate).value_of(&position))?;
				votes = votes.saturating_add(u32::from(candidate != staker));
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
			ensure!(held >= total, "more is staked than held");
			let exposed = ledger.exposures.iter().any(|exposure| exposure.is_live::<T>(era));
			ensure!(held > 0 || !exposed, "an exposure outlived the stake");
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
				ensure!(
					pool.value_of(&exposure.position) <= exposure.amount,
					"an exposure grew after the stake had left"
				);
				ensure!(known.insert(key.clone()), "a candidate and era are exposed twice");
				add_shares(owned.entry(key).or_default(), &pool, &exposure.position)?;
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
