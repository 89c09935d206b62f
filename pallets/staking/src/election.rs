//! The ranking of validators by weight, and the election of the first of them.

use alloc::vec::Vec;
use frame::{deps::frame_support::traits::ValidatorRegistration, prelude::*};

use crate::{
	Balance, Config, Error, Event, Pallet, Pools, Ranking, Role, RoleOf, ValidatorCount, WeightInfo,
};

type RankingOf<T> =
	BoundedVec<(Balance, <T as frame_system::Config>::AccountId), <T as Config>::MaxRanked>;

/// Where `stash` with `weight` is in the ranking, or where it would be.
fn search<AccountId: Ord>(
	ranking: &[(Balance, AccountId)],
	weight: Balance,
	stash: &AccountId,
) -> Result<usize, usize> {
	ranking.binary_search_by(|(other_weight, other)| {
		weight.cmp(other_weight).then_with(|| other.cmp(stash))
	})
}

impl<T: Config> Pallet<T> {
	/// Ranks a validator that is not in the ranking, if there is room or it is heavier than the
	/// last, which then leaves. Returns whether it is in.
	pub(crate) fn enter_ranking(stash: &T::AccountId, weight: Balance) -> bool {
		let (entered, displaced) =
			Ranking::<T>::mutate(|ranking| Self::insert_ranked(ranking, stash, weight));
		if let Some((weight, stash)) = displaced {
			Self::deposit_event(Event::Displaced { stash, weight });
		}
		if entered {
			Self::deposit_event(Event::Ranked { stash: stash.clone(), weight });
		}
		entered
	}

	/// Takes a validator with `weight` out of the ranking, if it is there.
	pub(crate) fn leave_ranking(stash: &T::AccountId, weight: Balance) {
		Ranking::<T>::mutate(|ranking| {
			if let Ok(index) = search(ranking, weight, stash) {
				ranking.remove(index);
			}
		});
	}

	/// Moves a validator to its new place in the ranking. One that was displaced comes back when it
	/// is heavy enough.
	pub(crate) fn rerank(stash: &T::AccountId, before: Balance, after: Balance) {
		let moved = Ranking::<T>::mutate(|ranking| match search(ranking, before, stash) {
			Ok(index) => {
				ranking.remove(index);
				Self::insert_ranked(ranking, stash, after);
				true
			},
			Err(_) => false,
		});
		if !moved {
			Self::enter_ranking(stash, after);
		}
	}

	/// Whether the validator could be inserted, and who had to leave for it.
	fn insert_ranked(
		ranking: &mut RankingOf<T>,
		stash: &T::AccountId,
		weight: Balance,
	) -> (bool, Option<(Balance, T::AccountId)>) {
		let (Ok(index) | Err(index)) = search(ranking, weight, stash);
		if index >= T::MaxRanked::get() as usize {
			return (false, None);
		}
		let displaced = if ranking.is_full() { ranking.pop() } else { None };
		let inserted = ranking.try_insert(index, (weight, stash.clone())).is_ok();
		(inserted, displaced)
	}

	pub(crate) fn do_rank(candidate: &T::AccountId) -> DispatchResult {
		let role = RoleOf::<T>::get(candidate);
		ensure!(role == Some(Role::Validator), Error::<T>::NotAValidator);
		let weight = Pools::<T>::get(candidate).balance;
		let ranked = search(&Ranking::<T>::get(), weight, candidate).is_ok();
		ensure!(!ranked, Error::<T>::AlreadyRanked);
		ensure!(Self::enter_ranking(candidate, weight), Error::<T>::NotHeavyEnough);
		Ok(())
	}

	pub(crate) fn do_set_validator_count(count: u32) -> DispatchResult {
		let valid = (1..=T::MaxRanked::get()).contains(&count);
		ensure!(valid, Error::<T>::InvalidValidatorCount);
		let old = ValidatorCount::<T>::mutate(|current| core::mem::replace(current, count));
		Self::deposit_event(Event::ValidatorCountSet { old, new: count });
		Ok(())
	}

	/// The validators for `session`: the heaviest that have session keys and enough self-stake and
	/// are not in jail.
	/// Nobody at all means that the present ones go on.
	pub(crate) fn elect(session: u32) -> Option<Vec<T::AccountId>> {
		let ranking = Ranking::<T>::get();
		frame_system::Pallet::<T>::register_extra_weight_unchecked(
			T::WeightInfo::elect(ranking.len() as u32),
			DispatchClass::Mandatory,
		);
		let elected: Vec<_> = ranking
			.into_iter()
			.map(|(_, stash)| stash)
			.filter(|stash| {
				T::Session::is_registered(stash)
					&& Self::is_fit(Role::Validator, stash, &Pools::<T>::get(stash))
			})
			.take(ValidatorCount::<T>::get() as usize)
			.collect();
		if elected.is_empty() {
			Self::deposit_event(Event::ElectionFailed { session });
			return None;
		}
		let count = elected.len() as u32;
		Self::deposit_event(Event::ValidatorsElected { session, count });
		Some(elected)
	}
}
