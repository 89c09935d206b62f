//! The registry as the chain has it at its last finalized block.

use super::{MinerRegistration, Operator, RegistrySnapshot};
use cuckoo_chain_client::{AccountId32, Candidate, Registry};
use std::sync::Arc;
use tokio::sync::watch;

/// The active miners of each registry that `registries` brings. Goes on in a background task until
/// nobody listens or nothing more comes. Says in the log when `coordinator`, the operator of this
/// coordinator, is no longer (or again) registered as active.
///
/// Needs to be called within a Tokio runtime.
pub fn snapshots(
	mut registries: watch::Receiver<Arc<Registry>>,
	coordinator: AccountId32,
) -> watch::Receiver<Arc<RegistrySnapshot>> {
	let first = registries.borrow_and_update().clone();
	let mut active = serves(&first, &coordinator);
	let (sender, receiver) = watch::channel(Arc::new(snapshot(&first)));
	tokio::spawn(async move {
		while registries.changed().await.is_ok() {
			let registry = registries.borrow_and_update().clone();
			let still_active = serves(&registry, &coordinator);
			if active != still_active {
				log_standing(&registry, still_active);
				active = still_active;
			}
			if sender.send(Arc::new(snapshot(&registry))).is_err() {
				break;
			}
		}
	});
	receiver
}

fn log_standing(registry: &Registry, active: bool) {
	let block = registry.block;
	if active {
		tracing::info!("registered as an active coordinator again at finalized block {block}");
	} else {
		tracing::error!(
			"not registered as an active coordinator any more at finalized block {block}: miners \
			will leave; register or stake again"
		);
	}
}

/// Whether an operator is that of an active coordinator.
pub(crate) fn serves(registry: &Registry, coordinator: &AccountId32) -> bool {
	registry.coordinators.iter().any(|other| other.active && other.operator == *coordinator)
}

/// The active miners of a registry.
pub(crate) fn snapshot(registry: &Registry) -> RegistrySnapshot {
	RegistrySnapshot {
		block: registry.block.number,
		block_hash: registry.block.hash,
		era: registry.era,
		miners: registry.miners.iter().filter(|miner| miner.active).map(registration).collect(),
	}
}

fn registration(candidate: &Candidate) -> MinerRegistration {
	MinerRegistration {
		operator: Operator(candidate.operator.0),
		operator_address: candidate.operator.to_string(),
		stash: candidate.stash.to_string(),
		name: candidate.name.clone(),
		weight: candidate.weight,
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_chain_client::{BlockRef, Role};

	fn candidate(role: Role, n: u8, active: bool) -> Candidate {
		Candidate {
			stash: AccountId32([n; 32]),
			operator: AccountId32([n + 100; 32]),
			role,
			weight: u128::from(n),
			self_stake: 1,
			active,
			registered_at: 0,
			name: format!("miner {n}"),
			contact: String::new(),
			endpoints: Vec::new(),
			certificate: None,
		}
	}

	fn registry(number: u64, coordinator_active: bool) -> Arc<Registry> {
		Arc::new(Registry {
			block: BlockRef { number, hash: [number as u8; 32] },
			era: 4,
			miners: vec![candidate(Role::Miner, 1, true), candidate(Role::Miner, 2, false)],
			coordinators: vec![candidate(Role::Coordinator, 9, coordinator_active)],
		})
	}

	#[tokio::test]
	async fn only_active_miners_count_and_every_block_arrives() {
		let (sender, registries) = watch::channel(registry(1, true));
		let mut snapshots = snapshots(registries, AccountId32([109; 32]));
		let first = snapshots.borrow_and_update().clone();
		assert_eq!((first.block, first.block_hash, first.era), (1, [1; 32], 4));
		assert_eq!(first.miners.len(), 1);
		assert_eq!(first.miners[0].operator, Operator([101; 32]));
		assert_eq!(first.miners[0].stash, AccountId32([1; 32]).to_string());
		sender.send(registry(2, false)).unwrap();
		snapshots.changed().await.unwrap();
		assert_eq!(snapshots.borrow().block, 2);
	}

	#[test]
	fn a_coordinator_serves_while_it_is_active() {
		let operator = AccountId32([109; 32]);
		assert!(serves(&registry(1, true), &operator));
		assert!(!serves(&registry(1, false), &operator));
		assert!(!serves(&registry(1, true), &AccountId32([1; 32])));
	}
}
