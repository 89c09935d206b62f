//! The pots, and what comes out of them.

use cuckoo_staking_runtime_api::Role;
use frame_support::traits::{Get, Hooks};
use pallet_cuckoo_staking::{Pot, RoleFlows};
use sp_keyring::Sr25519Keyring;

use crate::{begin_block, chain};
use cuckoo_runtime::{
	configs::{BONDING_ERAS, SLASH_DEFER_ERAS},
	currency::CAI,
	genesis_config_presets::{preset_names, DEVELOPMENT_PRESET, QUICK_DEVELOPMENT_PRESET},
	Authorship, Babe, Balance, BlockNumber, Runtime, Session, Staking,
};

type Staked = <Runtime as frame_system::Config>::AccountId;

/// What `staker` can claim in all.
fn pending(staker: &Staked) -> Balance {
	Staking::view_pending_rewards(staker).iter().map(|reward| reward.amount).sum()
}

/// Makes a block.
fn make_block(number: BlockNumber, slot: u64) {
	begin_block(number, slot);
	Babe::on_initialize(number);
	Authorship::on_initialize(number);
	Staking::on_initialize(number);
	Session::on_initialize(number);
	Authorship::on_finalize(number);
	Babe::on_finalize(number);
}

#[test]
fn every_preset_fills_the_pots() {
	for preset in preset_names() {
		chain(preset.as_ref()).execute_with(|| {
			let [mining, staking] = &Staking::view_pots()[..] else { panic!("not two pots") };
			assert_eq!((mining.pot, mining.state.left), (Pot::Mining, 300_000_000 * CAI));
			assert_eq!((staking.pot, staking.state.left), (Pot::Staking, 110_000_000 * CAI));
		});
	}
}

#[test]
fn an_era_of_the_live_network_has_the_length_for_which_the_emission_is_made() {
	chain(DEVELOPMENT_PRESET).execute_with(|| {
		assert_eq!(<Runtime as pallet_cuckoo_staking::Config>::EraLength::get(), 3_600);
		assert_eq!(<Runtime as pallet_cuckoo_staking::Config>::ErasPerYear::get(), 1_461);
		// Half a pot in four years.
		let emission = Staking::view_pots()[0].emission as f64 / 1e18;
		let left = (1.0 - emission).powi(4 * 1_461);
		assert!((left - 0.5).abs() < 1e-9, "{left}");
		// 40, 30 and 30 %.
		let budgets = Role::ALL.map(|role| RoleFlows::<Runtime>::get(role).budget);
		let sum: Balance = budgets.iter().sum();
		for (budget, percent) in budgets.into_iter().zip([40, 30, 30]) {
			assert!((sum * percent / 100).abs_diff(budget) < 10);
		}
	});
}

#[test]
fn authors_are_paid_by_the_block_and_miners_by_the_slot() {
	chain(QUICK_DEVELOPMENT_PRESET).execute_with(|| {
		let author = Sr25519Keyring::Alice.to_account_id();
		let [validators, miners, _] = Role::ALL.map(|role| RoleFlows::<Runtime>::get(role).budget);
		// The genesis helper has begun the first block; half of the slots of an era have no block.
		for block in 0..5 {
			make_block(block + 2, 1 + 2 * u64::from(block));
		}
		let a_slot = validators / 20;
		assert!(pending(&author).abs_diff(5 * a_slot) <= 5);
		let all: Balance = Staking::view_candidates(Role::Miner, None, 256)
			.iter()
			.map(|miner| pending(&miner.stash))
			.sum();
		assert!(all.abs_diff(miners / 20 * 8) <= 100, "{all} of {miners}");
	});
}

#[test]
fn slashes_are_applied_while_the_stake_is_bonded() {
	const { assert!(SLASH_DEFER_ERAS < BONDING_ERAS) }
	chain(DEVELOPMENT_PRESET).execute_with(<Staking as Hooks<BlockNumber>>::integrity_test);
}
