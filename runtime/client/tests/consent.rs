//! What an operator signs here is what the chain checks.

use cuckoo_chain_client::{consent, AccountId32, Role};
use subxt_signer::sr25519::{dev, verify, Signature};

/// The role as the pallet names it.
fn on_chain(role: Role) -> pallet_cuckoo_staking::Role {
	match role {
		Role::Validator => pallet_cuckoo_staking::Role::Validator,
		Role::Miner => pallet_cuckoo_staking::Role::Miner,
		Role::Coordinator => pallet_cuckoo_staking::Role::Coordinator,
	}
}

#[test]
fn the_payload_is_the_pallets() {
	let (genesis, stash) = ([7; 32], [9; 32]);
	for role in Role::ALL {
		let pallets = pallet_cuckoo_staking::consent_payload(
			&sp_core::H256(genesis),
			&sp_core::crypto::AccountId32::new(stash),
			on_chain(role),
		);
		assert_eq!(consent::payload(genesis, &AccountId32(stash), role), pallets);
	}
}

#[test]
fn a_proof_is_the_operators_signature_over_the_payload() {
	let (operator, stash) = (dev::bob(), AccountId32([9; 32]));
	let proof = Signature(consent::prove(&operator, [7; 32], &stash, Role::Miner));
	let holds = |payload: Vec<u8>| verify(&proof, payload, &operator.public_key());
	assert!(holds(consent::payload([7; 32], &stash, Role::Miner)));
	assert!(!holds(consent::payload([8; 32], &stash, Role::Miner)));
	assert!(!holds(consent::payload([7; 32], &AccountId32([8; 32]), Role::Miner)));
	assert!(!holds(consent::payload([7; 32], &stash, Role::Coordinator)));
}
