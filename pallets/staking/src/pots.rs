//! The two pots from which all rewards come. Nothing is minted.

use cuckoo_staking_math::emission;
use frame::{
	prelude::*,
	traits::{
		fungible::{Inspect, Mutate},
		tokens::Preservation,
	},
};

use crate::{
	Balance, Config, Emission, Error, Event, Pallet, Perbill, Perquintill, Pot, PotState, Pots,
	RewardSplit, Role, RoleFlow, RoleFlows,
};

/// The part of a pot that is emitted in an era of six hours so that half of it is left after four
/// years, 5,844 eras: `1 - 2^(-1/5844)`.
pub(crate) const DEFAULT_EMISSION: Perquintill = Perquintill::from_parts(118_601_313_426_487);

/// The parts of validators, miners and coordinators in the staking pot.
pub(crate) const DEFAULT_SPLIT: [Perbill; 3] =
	[Perbill::from_percent(40), Perbill::from_percent(30), Perbill::from_percent(30)];

/// Who divides the mining pot between those who worked.
pub trait MiningRewards<AccountId> {
	/// Called when `era` has ended: `budget` planck are emitted for it. Returns the account to which
	/// they are to go, from which they are then paid; `None` leaves them in the pot.
	fn recipient(era: u32, budget: Balance) -> Option<AccountId>;
}

/// Nobody: all stays in the pot.
impl<AccountId> MiningRewards<AccountId> for () {
	fn recipient(_era: u32, _budget: Balance) -> Option<AccountId> {
		None
	}
}

impl<T: Config> Pallet<T> {
	/// The account that holds `pot`.
	pub fn pot_account(pot: Pot) -> T::AccountId {
		T::PalletId::get().into_sub_account_truncating(pot)
	}

	/// Takes over what the accounts of the pots hold at genesis, and sets how it flows.
	///
	/// # Panics
	///
	/// When the parameters are not valid: a chain must not start from a wrong genesis.
	pub(crate) fn fill_pots(fraction: Perquintill, split: [Perbill; 3]) {
		for pot in Pot::ALL {
			let left = T::Currency::total_balance(&Self::pot_account(pot));
			Pots::<T>::insert(pot, PotState { left, owed: 0 });
			assert!(fraction <= T::MaxEmission::get(), "genesis: emission is above MaxEmission");
			Emission::<T>::insert(pot, fraction);
		}
		assert!(is_whole(split), "genesis: the parts of rewardSplit must be 100 % together");
		RewardSplit::<T>::put(split);
		Self::open_flows();
	}

	/// What `pot` emits in an era, as it stands.
	pub(crate) fn pot_budget(pot: Pot) -> Balance {
		emission::budget(Pots::<T>::get(pot).left, Emission::<T>::get(pot))
	}

	/// Begins the flow of a new era and returns the budgets of the roles. What has not flowed in the
	/// last one has stayed in the pot.
	pub(crate) fn open_flows() -> [Balance; 3] {
		let budgets = emission::split(Self::pot_budget(Pot::Staking), RewardSplit::<T>::get());
		for (role, budget) in Role::ALL.into_iter().zip(budgets) {
			RoleFlows::<T>::mutate(role, |flow| *flow = RoleFlow { budget, flowed: 0, ..*flow });
		}
		budgets
	}

	/// Emits what the mining pot gives for `era`, which has ended, if anybody takes it.
	pub(crate) fn emit_mining(era: u32) {
		let amount = Self::pot_budget(Pot::Mining);
		let Some(recipient) = T::MiningRewards::recipient(era, amount) else { return };
		let pot = Self::pot_account(Pot::Mining);
		let paid = T::Currency::transfer(&pot, &recipient, amount, Preservation::Expendable);
		// An account that cannot take it leaves it in the pot.
		if paid.is_ok() {
			let left = Pots::<T>::mutate(Pot::Mining, |state| {
				state.left = state.left.saturating_sub(amount);
				state.left
			});
			Self::deposit_event(Event::MiningEmitted { era, amount, left });
		}
	}

	/// Notes that `amount` of the staking pot has been earned by somebody.
	pub(crate) fn owe(amount: Balance) {
		if amount > 0 {
			Pots::<T>::mutate(Pot::Staking, |state| {
				state.left = state.left.saturating_sub(amount);
				state.owed = state.owed.saturating_add(amount);
			});
		}
	}

	/// Notes that `amount` that was owed can be earned by nobody any more.
	pub(crate) fn forgive(amount: Balance) {
		if amount > 0 {
			Pots::<T>::mutate(Pot::Staking, |state| {
				state.owed = state.owed.saturating_sub(amount);
				state.left = state.left.saturating_add(amount);
			});
		}
	}

	/// Pays `amount` that was earned from the staking pot to the free balance of `staker`.
	pub(crate) fn pay(staker: &T::AccountId, amount: Balance) -> DispatchResult {
		let pot = Self::pot_account(Pot::Staking);
		T::Currency::transfer(&pot, staker, amount, Preservation::Expendable)?;
		Pots::<T>::mutate(Pot::Staking, |state| state.owed = state.owed.saturating_sub(amount));
		Ok(())
	}

	pub(crate) fn do_set_emission(pot: Pot, fraction: Perquintill) -> DispatchResult {
		ensure!(fraction <= T::MaxEmission::get(), Error::<T>::InvalidEmission);
		let old = Emission::<T>::mutate(pot, |current| core::mem::replace(current, fraction));
		Self::deposit_event(Event::EmissionSet { pot, old, new: fraction });
		Ok(())
	}

	pub(crate) fn do_set_reward_split(new: [Perbill; 3]) -> DispatchResult {
		ensure!(is_whole(new), Error::<T>::InvalidSplit);
		let old = RewardSplit::<T>::mutate(|current| core::mem::replace(current, new));
		Self::deposit_event(Event::RewardSplitSet { old, new });
		Ok(())
	}
}

/// Whether the parts are 100 % together.
fn is_whole(parts: [Perbill; 3]) -> bool {
	let sum: u64 = parts.iter().map(|part| u64::from(part.deconstruct())).sum();
	sum == u64::from(Perbill::one().deconstruct())
}
