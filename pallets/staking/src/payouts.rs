//! Rewards reach their owners: claims, and where they go.

use frame::prelude::*;

use crate::{
	Backing, Balance, Config, EarningsOf, Error, Event, Ledger, Ledgers, Pallet, Payout, Payouts,
	Pools, Positions, RewardDestination, RoleOf,
};

impl<T: Config> Pallet<T> {
	pub(crate) fn do_claim(staker: &T::AccountId, candidate: &T::AccountId) -> DispatchResult {
		let mut earnings = Self::accrue(candidate);
		let backing = Positions::<T>::get(staker, candidate);
		ensure!(backing.is_some() || staker == candidate, Error::<T>::NoVote);
		let mut reward = 0;
		if let Some(mut backing) = backing {
			Self::settle_claim(candidate, &mut backing, &Pools::<T>::get(candidate), &earnings);
			reward = backing.claim.take();
			Positions::<T>::insert(staker, candidate, backing);
		}
		if staker == candidate {
			let commission = core::mem::take(&mut earnings.commission_due);
			EarningsOf::<T>::insert(candidate, earnings);
			reward = reward.checked_add(commission).ok_or(Error::<T>::Overflow)?;
		}
		ensure!(reward > 0, Error::<T>::NothingToClaim);
		let compound = Payouts::<T>::get(staker).destination == RewardDestination::Compound;
		Self::pay(staker, reward)?;
		if compound {
			Self::compound(staker, candidate, reward)?;
		}
		Self::drop_earnings(candidate);
		Self::deposit_event(Event::RewardPaid {
			staker: staker.clone(),
			candidate: candidate.clone(),
			amount: reward,
			compounded: compound,
		});
		Ok(())
	}

	/// Stakes a reward that was paid: behind the candidate, if that is registered and the position
	/// would be large enough, and else as idle stake.
	fn compound(
		staker: &T::AccountId,
		candidate: &T::AccountId,
		reward: Balance,
	) -> DispatchResult {
		Self::do_stake(staker, reward)?;
		let backed = Positions::<T>::get(staker, candidate)
			.map_or(0, |backing| backing.stake.worth(&Pools::<T>::get(candidate)));
		if RoleOf::<T>::contains_key(candidate)
			&& backed.saturating_add(reward) >= T::MinimumVote::get()
			// A debt may have taken the reward.
			&& Ledgers::<T>::get(staker).idle >= reward
		{
			Self::do_vote(staker, candidate, reward)?;
		}
		Ok(())
	}

	pub(crate) fn do_set_reward_destination(staker: &T::AccountId, destination: RewardDestination) {
		Self::change_payout(staker, |payout| payout.destination = destination);
		Self::deposit_event(Event::RewardDestinationSet { staker: staker.clone(), destination });
	}

	pub(crate) fn do_set_claim_for(staker: &T::AccountId, allowed: bool) {
		Self::change_payout(staker, |payout| payout.claim_for = allowed);
		Self::deposit_event(Event::ClaimForSet { staker: staker.clone(), allowed });
	}

	/// Changes what becomes of a staker's rewards; the default is not stored.
	fn change_payout(staker: &T::AccountId, change: impl FnOnce(&mut Payout)) {
		Payouts::<T>::mutate_exists(staker, |slot| {
			let mut payout = slot.unwrap_or_default();
			change(&mut payout);
			*slot = Some(payout).filter(|payout| *payout != Payout::default());
		});
	}

	/// Writes a position, or, when it has no shares, removes it and pays what it has earned to the
	/// free balance.
	pub(crate) fn store_backing(
		ledger: &mut Ledger<T>,
		staker: &T::AccountId,
		candidate: &T::AccountId,
		mut backing: Backing,
	) -> DispatchResult {
		if backing.stake.position.shares > 0 {
			Positions::<T>::insert(staker, candidate, backing);
			return Ok(());
		}
		Positions::<T>::remove(staker, candidate);
		if staker != candidate {
			ledger.votes = ledger.votes.saturating_sub(1);
		}
		let reward = backing.claim.take();
		if reward > 0 {
			Self::pay(staker, reward)?;
			Self::deposit_event(Event::RewardPaid {
				staker: staker.clone(),
				candidate: candidate.clone(),
				amount: reward,
				compounded: false,
			});
		}
		Ok(())
	}
}
