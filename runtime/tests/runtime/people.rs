//! Proxies with limited rights.

use frame_support::{assert_ok, traits::InstanceFilter};
use sp_keyring::Sr25519Keyring;
use sp_runtime::traits::Dispatchable;

use crate::chain;
use cuckoo_runtime::{
	configs::ProxyType, currency::CAI, genesis_config_presets::DEVELOPMENT_PRESET, Balances, Hash,
	RuntimeCall, RuntimeOrigin, Staking,
};

const TYPES: [ProxyType; 4] =
	[ProxyType::Any, ProxyType::NonTransfer, ProxyType::Staking, ProxyType::CancelProxy];

fn transfer() -> RuntimeCall {
	RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive {
		dest: Sr25519Keyring::Ferdie.to_account_id().into(),
		value: CAI,
	})
}

fn stake() -> RuntimeCall {
	RuntimeCall::Staking(pallet_cuckoo_staking::Call::stake { amount: CAI })
}

fn cancel() -> RuntimeCall {
	RuntimeCall::Proxy(pallet_proxy::Call::reject_announcement {
		delegate: Sr25519Keyring::Bob.to_account_id().into(),
		call_hash: Hash::zero(),
	})
}

fn remark() -> RuntimeCall {
	RuntimeCall::System(frame_system::Call::remark { remark: vec![] })
}

#[test]
fn proxy_types_allow_what_they_say() {
	let allowed =
		|kind: ProxyType| [transfer(), stake(), cancel(), remark()].map(|call| kind.filter(&call));
	assert_eq!(allowed(ProxyType::Any), [true, true, true, true]);
	assert_eq!(allowed(ProxyType::NonTransfer), [false, true, true, true]);
	assert_eq!(allowed(ProxyType::Staking), [false, true, false, false]);
	assert_eq!(allowed(ProxyType::CancelProxy), [false, false, true, false]);
}

#[test]
fn a_superset_allows_all_that_its_subset_does() {
	for a in TYPES {
		for b in TYPES {
			let covers = [transfer(), stake(), cancel(), remark()]
				.iter()
				.all(|call| a.filter(call) || !b.filter(call));
			assert_eq!(a.is_superset(&b), covers, "{a:?} {b:?}");
		}
	}
}

#[test]
fn a_staking_proxy_stakes_but_cannot_transfer_even_in_a_batch() {
	chain(DEVELOPMENT_PRESET).execute_with(|| {
		let (owner, proxy) = (Sr25519Keyring::Eve.to_account_id(), Sr25519Keyring::Bob);
		let add = RuntimeCall::Proxy(pallet_proxy::Call::add_proxy {
			delegate: proxy.to_account_id().into(),
			proxy_type: ProxyType::Staking,
			delay: 0,
		});
		assert_ok!(add.dispatch(RuntimeOrigin::signed(owner.clone())));
		let act = |call: RuntimeCall| {
			let call = RuntimeCall::Proxy(pallet_proxy::Call::proxy {
				real: owner.clone().into(),
				force_proxy_type: None,
				call: Box::new(call),
			});
			assert_ok!(call.dispatch(RuntimeOrigin::signed(proxy.to_account_id())));
		};
		let batch = |calls| RuntimeCall::Utility(pallet_utility::Call::batch { calls });

		let ferdie = Balances::free_balance(Sr25519Keyring::Ferdie.to_account_id());
		act(transfer());
		act(batch(vec![transfer()]));
		assert_eq!(Balances::free_balance(Sr25519Keyring::Ferdie.to_account_id()), ferdie);
		act(batch(vec![stake(), stake()]));
		assert_eq!(Staking::view_staker(&owner).idle, 2 * CAI);
	});
}
