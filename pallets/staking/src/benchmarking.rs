//! Measures every call and hook in its worst case: a ledger with the most chunks and exposures, and a
//! full ranking through which the candidate moves from end to end.

use alloc::vec::Vec;
use frame::{
	benchmarking::prelude::*,
	traits::fungible::{Inspect, Mutate},
};

use crate::*;

const SEED: u32 = 0;

/// What lets benchmarks sign as an operator, which a pallet cannot.
pub trait BenchmarkHelper<T: Config> {
	/// A new operator, and its signature over `payload`.
	fn sign(payload: &[u8]) -> (T::AccountId, T::OperatorSignature);
	/// New session keys, and the proof that they are the stash's.
	fn session_keys(stash: &T::AccountId) -> (KeysOf<T>, Vec<u8>);
}

/// An account with as much as all minimums together.
fn funded<T: Config>(name: &'static str, index: u32) -> T::AccountId {
	let who: T::AccountId = account(name, index, SEED);
	let much = Pallet::<T>::minimum_stake(Role::Coordinator).saturating_mul(10);
	T::Currency::set_balance(&who, much.max(T::Currency::minimum_balance()));
	who
}

/// Stakes all but a part for fees, and puts `self_stake` behind a registration in `role`.
fn registered<T: Config>(
	name: &'static str,
	index: u32,
	role: Role,
) -> Result<T::AccountId, BenchmarkError> {
	let stash = funded::<T>(name, index);
	let self_stake = Pallet::<T>::minimum_stake(role).saturating_add(index.into());
	Pallet::<T>::do_stake(&stash, self_stake.saturating_mul(3))?;
	let operator = account(name, index, SEED + 1);
	let endpoint = Endpoint::truncate_from(b"wss://coordinator.example.org".to_vec());
	let mut info =
		CandidateInfo { name: BoundedVec::truncate_from(name.into()), ..Default::default() };
	if role == Role::Coordinator {
		info.endpoints = BoundedVec::truncate_from(alloc::vec![endpoint]);
	}
	Pallet::<T>::enrol(&stash, role, self_stake, operator, info)?;
	Ok(stash)
}

/// Registers as many validators as the ranking holds.
fn fill_ranking<T: Config>() -> Result<(), BenchmarkError> {
	for index in 0..T::MaxRanked::get() {
		registered::<T>("ranked", index, Role::Validator)?;
	}
	Ok(())
}

/// A staker whose ledger is as large as it can be: votes, chunks and exposures, to different
/// candidates, which are slashed, so that a debt is collected from it.
fn busy_staker<T: Config>() -> Result<T::AccountId, BenchmarkError> {
	let staker = funded::<T>("staker", 0);
	let vote = T::MinimumVote::get();
	Pallet::<T>::do_stake(&staker, vote.saturating_mul(1_000_000))?;
	let era = CurrentEra::<T>::get().index;
	for index in 0..T::MaxExposures::get() {
		let candidate = registered::<T>("left", index, Role::Miner)?;
		Pallet::<T>::do_vote(&staker, &candidate, vote.saturating_mul(2))?;
		Pallet::<T>::do_unvote(&staker, &candidate, vote.saturating_mul(2))?;
		SubPools::<T>::mutate(&candidate, era, |pool| {
			pool.slash(Perbill::from_percent(50));
		});
	}
	// One more can be voted for, and one exposure be added, where all votes may be taken back.
	Ledgers::<T>::mutate(&staker, |ledger| {
		ledger.exposures.pop();
		for chunk in 1..T::MaxChunks::get() {
			let amount = vote;
			ledger.idle = ledger.idle.saturating_sub(amount);
			let until_era = era.saturating_add(chunk);
			let _ = ledger.unbonding.try_push(Chunk { amount, until_era });
		}
	});
	Ok(staker)
}

/// A validator at the end of a full ranking.
fn last_ranked<T: Config>() -> Result<T::AccountId, BenchmarkError> {
	fill_ranking::<T>()?;
	let (_, stash) = Ranking::<T>::get().last().cloned().ok_or("the ranking is empty")?;
	Ok(stash)
}

/// A busy staker, and a candidate that it backs.
fn busy_voter<T: Config>() -> Result<(T::AccountId, T::AccountId), BenchmarkError> {
	let candidate = last_ranked::<T>()?;
	let voter = busy_staker::<T>()?;
	Pallet::<T>::do_vote(&voter, &candidate, T::MinimumVote::get().saturating_mul(10))?;
	Ok((voter, candidate))
}

/// Fills the pots and opens their flow.
fn open_pots<T: Config>() {
	for pot in Pot::ALL {
		let account = Pallet::<T>::pot_account(pot);
		let much = T::MinimumCoordinatorStake::get();
		T::Currency::set_balance(&account, much);
		Pots::<T>::insert(pot, PotState { left: much, owed: 0 });
		Emission::<T>::insert(pot, T::MaxEmission::get());
	}
	RewardSplit::<T>::put(pots::DEFAULT_SPLIT);
	Pallet::<T>::open_flows();
}

/// Pays `candidate` as the author of a block.
fn earn<T: Config>(candidate: &T::AccountId) {
	open_pots::<T>();
	<Pallet<T> as pallet_authorship::EventHandler<_, BlockNumberFor<T>>>::note_author(
		candidate.clone(),
	);
}

/// A slash of `candidate` that waits.
fn waiting_slash<T: Config>(candidate: &T::AccountId) -> Result<u32, BenchmarkError> {
	let id = Queue::<T>::get().end;
	let era = CurrentEra::<T>::get().index;
	Pallet::<T>::report_slash(candidate, Perbill::from_percent(10), era)?;
	Ok(id)
}

#[benchmarks]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn stake() -> Result<(), BenchmarkError> {
		let staker = busy_staker::<T>()?;
		#[extrinsic_call]
		_(RawOrigin::Signed(staker.clone()), T::MinimumVote::get());
		assert!(Ledgers::<T>::get(staker).idle > 0);
		Ok(())
	}

	#[benchmark]
	fn unstake() -> Result<(), BenchmarkError> {
		let staker = busy_staker::<T>()?;
		#[extrinsic_call]
		_(RawOrigin::Signed(staker.clone()), T::MinimumVote::get());
		assert!(!Ledgers::<T>::get(staker).unbonding.is_empty());
		Ok(())
	}

	#[benchmark]
	fn withdraw() -> Result<(), BenchmarkError> {
		let staker = busy_staker::<T>()?;
		let era = CurrentEra::<T>::get();
		let index = era.index.saturating_add(T::BondingDuration::get());
		CurrentEra::<T>::put(EraInfo { index, ..era });
		#[extrinsic_call]
		_(RawOrigin::Signed(staker.clone()));
		assert!(Ledgers::<T>::get(staker).exposures.is_empty());
		Ok(())
	}

	#[benchmark]
	fn register() -> Result<(), BenchmarkError> {
		fill_ranking::<T>()?;
		let stash = busy_staker::<T>()?;
		let role = Role::Validator;
		let self_stake = Pallet::<T>::minimum_stake(role).saturating_mul(2);
		Pallet::<T>::do_stake(&stash, self_stake)?;
		let genesis = frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero());
		let (operator, proof) = T::BenchmarkHelper::sign(&consent_payload(&genesis, &stash, role));
		let info = CandidateInfo {
			name: BoundedVec::truncate_from(alloc::vec![b'n'; 64]),
			contact: BoundedVec::truncate_from(alloc::vec![b'c'; 128]),
			..Default::default()
		};
		#[extrinsic_call]
		_(RawOrigin::Signed(stash.clone()), role, self_stake, operator, proof, info);
		assert_eq!(RoleOf::<T>::get(stash), Some(role));
		Ok(())
	}

	#[benchmark]
	fn deregister() -> Result<(), BenchmarkError> {
		let stash = last_ranked::<T>()?;
		#[extrinsic_call]
		_(RawOrigin::Signed(stash.clone()));
		assert_eq!(RoleOf::<T>::get(stash), None);
		Ok(())
	}

	#[benchmark]
	fn set_operator() -> Result<(), BenchmarkError> {
		let stash = registered::<T>("stash", 0, Role::Miner)?;
		let genesis = frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero());
		let payload = consent_payload(&genesis, &stash, Role::Miner);
		let (operator, proof) = T::BenchmarkHelper::sign(&payload);
		#[extrinsic_call]
		_(RawOrigin::Signed(stash.clone()), operator.clone(), proof);
		assert_eq!(Operators::<T>::get(operator), Some(stash));
		Ok(())
	}

	#[benchmark]
	fn set_info() -> Result<(), BenchmarkError> {
		let stash = registered::<T>("stash", 0, Role::Coordinator)?;
		let endpoint =
			Endpoint::truncate_from([b"wss://".to_vec(), alloc::vec![b'e'; 122]].concat());
		let info = CandidateInfo {
			name: BoundedVec::truncate_from(alloc::vec![b'n'; 64]),
			contact: BoundedVec::truncate_from(alloc::vec![b'c'; 128]),
			endpoints: BoundedVec::truncate_from(alloc::vec![endpoint; 4]),
			certificate: Some([1; 32]),
		};
		#[extrinsic_call]
		_(RawOrigin::Signed(stash.clone()), info.clone());
		assert_eq!(Candidates::<T>::get(Role::Coordinator, stash).map(|c| c.info), Some(info));
		Ok(())
	}

	#[benchmark]
	fn vote() -> Result<(), BenchmarkError> {
		let (voter, candidate) = busy_voter::<T>()?;
		let amount = T::MinimumVote::get().saturating_mul(100_000);
		#[extrinsic_call]
		_(RawOrigin::Signed(voter), candidate.clone(), amount);
		assert_eq!(Ranking::<T>::get().first().map(|(_, stash)| stash.clone()), Some(candidate));
		Ok(())
	}

	#[benchmark]
	fn unvote() -> Result<(), BenchmarkError> {
		let (voter, candidate) = busy_voter::<T>()?;
		earn::<T>(&candidate);
		let amount = T::MinimumVote::get().saturating_mul(10);
		#[extrinsic_call]
		_(RawOrigin::Signed(voter.clone()), candidate.clone(), amount);
		assert!(!Positions::<T>::contains_key(voter, candidate));
		Ok(())
	}

	#[benchmark]
	fn move_vote() -> Result<(), BenchmarkError> {
		let (voter, from) = busy_voter::<T>()?;
		earn::<T>(&from);
		let to = Ranking::<T>::get().get(1).map(|(_, stash)| stash.clone());
		let to = to.ok_or("the ranking has one entry")?;
		let amount = T::MinimumVote::get().saturating_mul(10);
		#[extrinsic_call]
		_(RawOrigin::Signed(voter.clone()), from, to.clone(), amount);
		assert!(Positions::<T>::contains_key(voter, to));
		Ok(())
	}

	#[benchmark]
	fn rank() -> Result<(), BenchmarkError> {
		let stash = last_ranked::<T>()?;
		Ranking::<T>::mutate(BoundedVec::pop);
		#[extrinsic_call]
		_(RawOrigin::Signed(stash.clone()), stash.clone());
		assert_eq!(Ranking::<T>::get().last().map(|(_, last)| last.clone()), Some(stash));
		Ok(())
	}

	#[benchmark]
	fn set_validator_count() -> Result<(), BenchmarkError> {
		let origin = T::AdminOrigin::try_successful_origin().map_err(|()| "no admin")?;
		let count = T::MaxRanked::get();
		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, count);
		assert_eq!(ValidatorCount::<T>::get(), count);
		Ok(())
	}

	#[benchmark]
	fn claim() -> Result<(), BenchmarkError> {
		let (voter, candidate) = busy_voter::<T>()?;
		earn::<T>(&candidate);
		Pallet::<T>::do_set_reward_destination(&voter, RewardDestination::Compound);
		#[extrinsic_call]
		_(RawOrigin::Signed(voter.clone()), candidate.clone());
		assert!(Pallet::<T>::view_pending_rewards(&voter).is_empty());
		Ok(())
	}

	#[benchmark]
	fn set_payout() {
		let staker: T::AccountId = whitelisted_caller();
		#[extrinsic_call]
		set_reward_destination(RawOrigin::Signed(staker.clone()), RewardDestination::Compound);
		assert!(Payouts::<T>::contains_key(staker));
	}

	#[benchmark]
	fn set_commission() -> Result<(), BenchmarkError> {
		let stash = registered::<T>("stash", 0, Role::Miner)?;
		let commission = T::MaxCommissionRise::get();
		#[extrinsic_call]
		_(RawOrigin::Signed(stash.clone()), commission);
		assert_eq!(EarningsOf::<T>::get(stash).commission, commission);
		Ok(())
	}

	#[benchmark]
	fn settle() -> Result<(), BenchmarkError> {
		let (voter, candidate) = busy_voter::<T>()?;
		earn::<T>(&candidate);
		Pools::<T>::mutate(&candidate, |pool| pool.slash(Perbill::from_percent(50)));
		#[extrinsic_call]
		_(RawOrigin::Signed(candidate.clone()), voter.clone(), candidate.clone());
		let backing = Positions::<T>::get(voter, candidate).ok_or("the position is gone")?;
		assert!(backing.stake.held < T::MinimumVote::get().saturating_mul(10));
		Ok(())
	}

	#[benchmark]
	fn slash() -> Result<(), BenchmarkError> {
		let candidate = last_ranked::<T>()?;
		let origin = T::SlashOrigin::try_successful_origin().map_err(|()| "nobody may slash")?;
		let fraction = Perbill::from_percent(10);
		let era = CurrentEra::<T>::get().index;
		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, candidate.clone(), fraction, era);
		assert_eq!(Offenders::<T>::get(candidate).pending, 1);
		Ok(())
	}

	#[benchmark]
	fn cancel_slash() -> Result<(), BenchmarkError> {
		let candidate = last_ranked::<T>()?;
		let id = waiting_slash::<T>(&candidate)?;
		let origin = T::AdminOrigin::try_successful_origin().map_err(|()| "no admin")?;
		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, id);
		assert!(!PendingSlashes::<T>::contains_key(id));
		Ok(())
	}

	#[benchmark]
	fn unjail() -> Result<(), BenchmarkError> {
		let stash = last_ranked::<T>()?;
		waiting_slash::<T>(&stash)?;
		let era = CurrentEra::<T>::get();
		let index = era.index.saturating_add(T::SlashDefer::get());
		CurrentEra::<T>::put(EraInfo { index, ..era });
		#[extrinsic_call]
		_(RawOrigin::Signed(stash.clone()));
		assert_eq!(Offenders::<T>::get(stash).jailed_until, None);
		Ok(())
	}

	#[benchmark]
	fn set_emission() -> Result<(), BenchmarkError> {
		let origin = T::AdminOrigin::try_successful_origin().map_err(|()| "no admin")?;
		let fraction = T::MaxEmission::get();
		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, Pot::Mining, fraction);
		assert_eq!(Emission::<T>::get(Pot::Mining), fraction);
		Ok(())
	}

	#[benchmark]
	fn set_reward_split() -> Result<(), BenchmarkError> {
		let origin = T::AdminOrigin::try_successful_origin().map_err(|()| "no admin")?;
		let [none, all] = [Perbill::zero(), Perbill::one()];
		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, none, all, none);
		assert_eq!(RewardSplit::<T>::get(), [none, all, none]);
		Ok(())
	}

	#[benchmark]
	fn set_keys() -> Result<(), BenchmarkError> {
		let stash = registered::<T>("stash", 0, Role::Validator)?;
		// Replacing keys costs more than the first ones.
		let (keys, proof) = T::BenchmarkHelper::session_keys(&stash);
		T::Session::set_keys(&stash, keys, proof)?;
		let (keys, proof) = T::BenchmarkHelper::session_keys(&stash);
		#[extrinsic_call]
		_(RawOrigin::Signed(stash.clone()), keys, proof);
		assert!(KeyChanges::<T>::contains_key(stash));
		Ok(())
	}

	#[benchmark]
	fn on_initialize() {
		#[block]
		{
			Pallet::<T>::start_clock();
			Pallet::<T>::apply_due_slashes();
		}
	}

	#[benchmark]
	fn apply_slash() -> Result<(), BenchmarkError> {
		let candidate = last_ranked::<T>()?;
		let id = waiting_slash::<T>(&candidate)?;
		let reach = T::BondingDuration::get();
		for era in 0..=reach {
			let amount = T::MinimumVote::get();
			SubPools::<T>::insert(
				&candidate,
				era,
				Pool { balance: amount, shares: amount, epoch: 0 },
			);
		}
		CurrentEra::<T>::mutate(|era| era.index = reach);
		#[block]
		{
			Pallet::<T>::apply_due_slashes();
		}
		assert!(!PendingSlashes::<T>::contains_key(id));
		Ok(())
	}

	#[benchmark]
	fn note_author() -> Result<(), BenchmarkError> {
		let candidate = registered::<T>("author", 0, Role::Validator)?;
		open_pots::<T>();
		#[block]
		{
			Pallet::<T>::reward_author(&candidate);
		}
		assert!(EarningsOf::<T>::get(candidate).per_share.index > 0);
		Ok(())
	}

	#[benchmark]
	fn begin_era() -> Result<(), BenchmarkError> {
		registered::<T>("miner", 0, Role::Miner)?;
		registered::<T>("coordinator", 1, Role::Coordinator)?;
		open_pots::<T>();
		let before = CurrentEra::<T>::get().index;
		#[block]
		{
			Pallet::<T>::begin_era(1);
		}
		assert_eq!(CurrentEra::<T>::get().index, before.saturating_add(1));
		Ok(())
	}

	#[benchmark]
	fn elect(n: Linear<1, { T::MaxRanked::get() }>) -> Result<(), BenchmarkError> {
		for index in 0..n {
			let stash = registered::<T>("ranked", index, Role::Validator)?;
			let (keys, proof) = T::BenchmarkHelper::session_keys(&stash);
			T::Session::set_keys(&stash, keys, proof)?;
		}
		ValidatorCount::<T>::put(n);
		let elected;
		#[block]
		{
			elected = Pallet::<T>::elect(1);
		}
		assert_eq!(elected.map(|elected| elected.len() as u32), Some(n));
		Ok(())
	}

	impl_benchmark_test_suite!(Pallet, crate::mock::chain(alloc::vec![], 1), crate::mock::Test);
}
