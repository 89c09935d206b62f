//! What transactions cost.

use codec::Encode;
use frame_support::{
	dispatch::DispatchClass,
	traits::{
		fungible::{Balanced, Inspect},
		OnUnbalanced,
	},
	weights::Weight,
};
use pallet_transaction_payment::Multiplier;
use sp_keyring::Sr25519Keyring;
use sp_runtime::traits::{Convert, One};

use crate::chain;
use cuckoo_runtime::{
	configs::ToAuthor,
	currency::{CAI, MILLI_CAI},
	genesis_config_presets::DEVELOPMENT_PRESET,
	Balance, Balances, Runtime, RuntimeCall, System, TransactionPayment,
};

fn fee(call: RuntimeCall) -> Balance {
	// A signed transaction has about this much beside its call.
	let length = call.encoded_size() + 110;
	TransactionPayment::query_call_info(call, length as u32).partial_fee
}

#[test]
fn a_thousand_transfers_cost_less_than_one_cai() {
	chain(DEVELOPMENT_PRESET).execute_with(|| {
		let transfer = RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive {
			dest: Sr25519Keyring::Bob.to_account_id().into(),
			value: CAI,
		});
		let fee = fee(transfer);
		assert!(fee < MILLI_CAI, "{fee}");
		// But filling blocks is not free.
		assert!(fee > MILLI_CAI / 100, "{fee}");
	});
}

#[test]
fn every_staking_call_costs_less_than_a_hundredth_of_a_cai() {
	chain(DEVELOPMENT_PRESET).execute_with(|| {
		let stash = Sr25519Keyring::Bob.to_account_id();
		for call in [
			pallet_cuckoo_staking::Call::stake { amount: CAI },
			pallet_cuckoo_staking::Call::vote { candidate: stash.clone(), amount: CAI },
			pallet_cuckoo_staking::Call::move_vote { from: stash.clone(), to: stash, amount: CAI },
			pallet_cuckoo_staking::Call::withdraw {},
		] {
			let fee = fee(RuntimeCall::Staking(call));
			assert!((MILLI_CAI / 100..10 * MILLI_CAI).contains(&fee), "{fee}");
		}
	});
}

#[test]
fn fees_rise_with_full_blocks_and_never_fall_below_the_listed_ones() {
	chain(DEVELOPMENT_PRESET).execute_with(|| {
		type Update = <Runtime as pallet_transaction_payment::Config>::FeeMultiplierUpdate;
		let now = Multiplier::one();
		System::set_block_consumed_resources(Weight::zero(), 0);
		assert_eq!(Update::convert(now), now, "an empty block");

		let weights = <Runtime as frame_system::Config>::BlockWeights::get();
		let full = weights.get(DispatchClass::Normal).max_total.expect("is limited");
		System::set_block_consumed_resources(full, 0);
		assert!(Update::convert(now) > now, "a full block");
	});
}

#[test]
fn fees_go_to_the_author_of_the_block() {
	chain(DEVELOPMENT_PRESET).execute_with(|| {
		let author = Sr25519Keyring::Alice.to_account_id();
		let before = <Balances as Inspect<_>>::balance(&author);
		ToAuthor::on_unbalanced(<Balances as Balanced<_>>::issue(MILLI_CAI));
		assert_eq!(<Balances as Inspect<_>>::balance(&author), before + MILLI_CAI);
	});
}
