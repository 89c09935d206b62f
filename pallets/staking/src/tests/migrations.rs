//! Storage of earlier versions becomes that of today.

use frame::{
	deps::frame_support::{storage::unhashed, traits::OnRuntimeUpgrade},
	prelude::{GetStorageVersion, StorageVersion},
	testing_prelude::StateVersion,
};

use crate::{
	migrations::v2::{self, v1},
	mock::*,
	Call, Candidates, CurrentEra, EarningsOf, Emission, Ledgers, Pallet, Positions, Pots,
	RewardSplit, Role, RoleFlows,
};

/// Writes what is stored as version 1 would have.
fn go_back_to_version_1() {
	for (staker, candidate, backing) in Positions::<Test>::iter() {
		let key = Positions::<Test>::hashed_key_for(staker, candidate);
		unhashed::put(&key, &backing.stake.position);
	}
	for (staker, ledger) in Ledgers::<Test>::iter() {
		let exposures = ledger.exposures.into_iter().map(|exposure| v1::Exposure {
			candidate: exposure.candidate,
			left_era: exposure.left_era,
			amount: exposure.stake.held,
			position: exposure.stake.position,
		});
		let old = v1::Ledger {
			idle: ledger.idle,
			votes: ledger.votes,
			unbonding: ledger.unbonding.into_inner(),
			exposures: exposures.collect(),
		};
		unhashed::put(&Ledgers::<Test>::hashed_key_for(staker), &old);
	}
	for (role, stash, candidate) in Candidates::<Test>::iter() {
		let crate::Candidate { operator, info, registered_at, .. } = candidate;
		let old = v1::Candidate { operator, info, registered_at };
		unhashed::put(&Candidates::<Test>::hashed_key_for(role, stash), &old);
	}
	let crate::EraInfo { index, first_session, .. } = CurrentEra::<Test>::get();
	unhashed::put(&CurrentEra::<Test>::hashed_key(), &v1::EraInfo { index, first_session });
	let _ = EarningsOf::<Test>::clear(u32::MAX, None);
	let _ = RoleFlows::<Test>::clear(u32::MAX, None);
	let _ = Pots::<Test>::clear(u32::MAX, None);
	let _ = Emission::<Test>::clear(u32::MAX, None);
	RewardSplit::<Test>::kill();
	StorageVersion::new(1).put::<Pallet<Test>>();
}

#[test]
fn version_1_becomes_version_2() {
	run(|| {
		let miner = registered(1, Role::Miner, 20_000 * CAI);
		registered(2, Role::Coordinator, 2_000_000 * CAI);
		registered(3, Role::Validator, 100_000 * CAI);
		let voter = account(10);
		done(&voter, stake(100 * CAI));
		done(&voter, vote(&miner, 60 * CAI));
		done(&voter, unvote(&miner, 20 * CAI));
		done(&voter, Call::unstake { amount: 10 * CAI });
		let before = Staking::view_staker(&voter);
		let flows = Role::ALL.map(RoleFlows::<Test>::get);

		go_back_to_version_1();
		v2::Migration::<Test>::on_runtime_upgrade();
		assert_eq!(Pallet::<Test>::on_chain_storage_version(), 2);
		pass_slots(0);
		check();
		assert_eq!(Staking::view_staker(&voter), before);
		assert_eq!(Role::ALL.map(RoleFlows::<Test>::get), flows);
		// It goes on as if nothing had been.
		pass_slots(ERA_SLOTS);
		assert!(Staking::view_pending_rewards(&voter)[0].amount > 0);
		done(&voter, unvote(&miner, 40 * CAI));

		// A second time it does nothing.
		let root = || frame::deps::sp_io::storage::root(StateVersion::V1);
		let before = root();
		v2::Migration::<Test>::on_runtime_upgrade();
		assert_eq!(root(), before);
	});
}
