//! How rewards flow from the staking pot to roles, candidates and their pools.

use cuckoo_staking_math::{commission, emission};
use frame::prelude::*;

use crate::{
	Backing, Balance, ClosedEpochs, Config, CurrentEra, Earnings, EarningsOf, KeyChanges,
	Offenders, Pallet, Pool, Pools, Position, Role, RoleFlow, RoleFlows, RoleOf, WeightInfo,
};

impl Earnings {
	/// Gives `reward` to the candidate and the `shares` of its pool. Returns whether it could be
	/// given; if not, nothing has changed.
	fn receive(&mut self, reward: Balance, shares: u128) -> bool {
		let (commission, rest) = commission::split(reward, self.commission);
		let given = self.per_share.distribute(rest, shares).is_ok();
		if given {
			self.commission_due = self.commission_due.saturating_add(commission);
		}
		given
	}

	/// Passes on what the candidate has earned up to `per_weight`, the index of its role.
	pub(crate) fn accrue(&mut self, per_weight: u128, shares: u128) {
		self.claim.settle(per_weight, self.weight);
		let reward = self.claim.amount;
		if reward > 0 && self.receive(reward, shares) {
			self.claim.amount = 0;
		}
	}
}

impl<T: Config> Pallet<T> {
	/// How many slots an era lasts, at least one.
	pub(crate) fn era_length() -> u64 {
		T::EraLength::get().max(1)
	}

	/// Sets the beginning of the first era, which is not known at genesis.
	pub(crate) fn start_clock() {
		let mut era = CurrentEra::<T>::get();
		if era.started_at == 0 {
			era.started_at = T::Slot::get();
			CurrentEra::<T>::put(era);
		}
	}

	/// How many slots of the running era have passed.
	fn elapsed() -> u64 {
		match CurrentEra::<T>::get().started_at {
			0 => 0,
			started_at => T::Slot::get().saturating_sub(started_at),
		}
	}

	/// The flow of `role` up to now, and how much of the pot has been earned by that. The validators'
	/// flows by the blocks that they author, and not here.
	pub(crate) fn flow_now(role: Role) -> (RoleFlow, Balance) {
		let mut flow = RoleFlows::<T>::get(role);
		if role == Role::Validator {
			return (flow, 0);
		}
		let due = emission::due(flow.budget, Self::elapsed(), Self::era_length());
		let fresh = due.saturating_sub(flow.flowed);
		if fresh == 0 {
			return (flow, 0);
		}
		flow.flowed = due;
		// What nobody can earn stays in the pot.
		let earned = if flow.per_weight.distribute(fresh, flow.weight).is_ok() { fresh } else { 0 };
		(flow, earned)
	}

	/// Brings the flow of `role` up to now.
	pub(crate) fn advance(role: Role) -> RoleFlow {
		let (flow, earned) = Self::flow_now(role);
		RoleFlows::<T>::insert(role, flow);
		Self::owe(earned);
		flow
	}

	/// What the pool of `stash` has earned up to now, where `flow` is that of its role.
	pub(crate) fn earned(stash: &T::AccountId, flow: &RoleFlow) -> Earnings {
		let mut earnings = EarningsOf::<T>::get(stash);
		earnings.accrue(flow.per_weight.index, Pools::<T>::get(stash).shares);
		earnings
	}

	/// Brings the earnings of `stash` up to now. To be called before its pool, its weight or its
	/// commission changes.
	pub(crate) fn accrue(stash: &T::AccountId) -> Earnings {
		match RoleOf::<T>::get(stash) {
			Some(role) if role != Role::Validator => {
				let earnings = Self::earned(stash, &Self::advance(role));
				EarningsOf::<T>::insert(stash, earnings);
				earnings
			},
			_ => EarningsOf::<T>::get(stash),
		}
	}

	/// Sets the weight with which `stash` shares in the reward of `role`. It must have been accrued.
	pub(crate) fn set_earning_weight(stash: &T::AccountId, role: Role, weight: Balance) {
		let old = EarningsOf::<T>::mutate(stash, |earnings| {
			core::mem::replace(&mut earnings.weight, weight)
		});
		if old != weight {
			RoleFlows::<T>::mutate(role, |flow| {
				flow.weight = flow.weight.saturating_sub(old).saturating_add(weight);
			});
		}
	}

	/// Pays the author of a block its part of the validators' reward: that of one slot, so a slot
	/// without a block leaves its part in the pot. In jail nothing is earned.
	pub(crate) fn reward_author(author: &T::AccountId) {
		let mut flow = RoleFlows::<T>::get(Role::Validator);
		let a_slot = emission::due(flow.budget, 1, Self::era_length());
		let reward = a_slot.min(flow.budget.saturating_sub(flow.flowed));
		let pool = Pools::<T>::get(author);
		if reward == 0 || pool.balance == 0 || Offenders::<T>::get(author).jailed_until.is_some() {
			return;
		}
		let mut earnings = EarningsOf::<T>::get(author);
		if earnings.receive(reward, pool.shares) {
			EarningsOf::<T>::insert(author, earnings);
			flow.flowed = flow.flowed.saturating_add(reward);
			RoleFlows::<T>::insert(Role::Validator, flow);
			Self::owe(reward);
		}
	}

	/// What a share had earned up to now, or until the pool lost everything and began anew.
	fn index_of(
		candidate: &T::AccountId,
		position: &Position,
		pool: &Pool,
		earnings: &Earnings,
	) -> u128 {
		let now = earnings.per_share.index;
		if position.epoch == pool.epoch {
			return now;
		}
		ClosedEpochs::<T>::get(candidate, position.epoch).unwrap_or(now)
	}

	/// Brings the claim of a position up to now.
	pub(crate) fn settle_claim(
		candidate: &T::AccountId,
		backing: &mut Backing,
		pool: &Pool,
		earnings: &Earnings,
	) {
		let position = backing.stake.position;
		let index = Self::index_of(candidate, &position, pool, earnings);
		backing.claim.settle(index, position.shares);
		// Shares of a later epoch earn from now on only.
		backing.claim.settle(earnings.per_share.index, 0);
	}

	/// Forgets the earnings of a stash that nobody backs, that is not registered and has been paid.
	/// The planck that the accumulator had not divided go back into the pot.
	pub(crate) fn drop_earnings(stash: &T::AccountId) {
		let gone = !Pools::<T>::contains_key(stash) && !RoleOf::<T>::contains_key(stash);
		let earnings = EarningsOf::<T>::get(stash);
		if gone && earnings.commission_due == 0 && earnings.claim.amount == 0 {
			EarningsOf::<T>::remove(stash);
			KeyChanges::<T>::remove(stash);
			Self::forgive(earnings.per_share.carried());
		}
	}
}

impl<T> pallet_authorship::EventHandler<T::AccountId, BlockNumberFor<T>> for Pallet<T>
where
	T: Config,
{
	fn note_author(author: T::AccountId) {
		Self::reward_author(&author);
		// The authorship pallet does not account for it.
		frame_system::Pallet::<T>::register_extra_weight_unchecked(
			T::WeightInfo::note_author(),
			DispatchClass::Mandatory,
		);
	}
}
