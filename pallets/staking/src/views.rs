//! What `StakingApi` shows: the runtime's implementation calls these and adds nothing.

use alloc::vec::Vec;
use cuckoo_staking_runtime_api::{
	CandidateView, ConstantsView, EraView, ExposureView, PositionView, StakerView, UnbondingView,
	MAX_PAGE,
};
use frame::{prelude::*, traits::fungible::InspectHold};

use crate::{
	Balance, Candidate, Candidates, Config, CurrentEra, HoldReason, Ledgers, Operators, Pallet,
	Pools, Positions, Role, RoleOf, RoleTotal, RoleTotals, SubPools,
};

impl<T: Config> Pallet<T> {
	/// One page of the registered candidates of `role`: see `StakingApi::candidates`.
	pub fn view_candidates(
		role: Role,
		start_after: Option<T::AccountId>,
		limit: u32,
	) -> Vec<CandidateView<T::AccountId, Balance>> {
		let candidates = match start_after {
			Some(stash) => Candidates::<T>::iter_prefix_from(
				role,
				Candidates::<T>::hashed_key_for(role, stash),
			),
			None => Candidates::<T>::iter_prefix(role),
		};
		candidates
			.take(limit.min(MAX_PAGE) as usize)
			.map(|(stash, candidate)| Self::candidate_view(role, stash, candidate))
			.collect()
	}

	/// The candidate that `stash` is registered as: see `StakingApi::candidate`.
	pub fn view_candidate(stash: T::AccountId) -> Option<CandidateView<T::AccountId, Balance>> {
		let role = RoleOf::<T>::get(&stash)?;
		let candidate = Candidates::<T>::get(role, &stash)?;
		Some(Self::candidate_view(role, stash, candidate))
	}

	/// The candidate that `operator` serves: see `StakingApi::candidate_by_operator`.
	pub fn view_candidate_by_operator(
		operator: &T::AccountId,
	) -> Option<CandidateView<T::AccountId, Balance>> {
		Self::view_candidate(Operators::<T>::get(operator)?)
	}

	/// What `stash` has staked, and where: see `StakingApi::staker`.
	pub fn view_staker(stash: &T::AccountId) -> StakerView<T::AccountId, Balance> {
		let ledger = Ledgers::<T>::get(stash);
		let era = CurrentEra::<T>::get().index;
		StakerView {
			held: T::Currency::balance_on_hold(&HoldReason::Stake.into(), stash),
			idle: ledger.idle,
			positions: Positions::<T>::iter_prefix(stash)
				.map(|(candidate, position)| PositionView {
					amount: Pools::<T>::get(&candidate).value_of(&position),
					candidate,
					shares: position.shares,
				})
				.collect(),
			withdrawable: ledger.matured(era),
			unbonding: ledger
				.unbonding
				.iter()
				.map(|chunk| UnbondingView { amount: chunk.amount, until_era: chunk.until_era })
				.collect(),
			exposures: ledger
				.exposures
				.into_iter()
				.filter(|exposure| exposure.is_live::<T>(era))
				.map(|exposure| ExposureView {
					amount: SubPools::<T>::get(&exposure.candidate, exposure.left_era)
						.value_of(&exposure.position),
					until_era: exposure.until_era::<T>(),
					candidate: exposure.candidate,
					left_era: exposure.left_era,
				})
				.collect(),
		}
	}

	/// Number and weight of the registered candidates of `role`: see `StakingApi::role_total`.
	pub fn view_role_total(role: Role) -> RoleTotal<Balance> {
		RoleTotals::<T>::get(role)
	}

	/// The era that is running: see `StakingApi::era`.
	pub fn view_era() -> EraView {
		let era = CurrentEra::<T>::get();
		EraView {
			index: era.index,
			first_session: era.first_session,
			sessions_per_era: Self::sessions_per_era(),
		}
	}

	/// The rules of staking: see `StakingApi::constants`.
	pub fn view_constants() -> ConstantsView<Balance> {
		ConstantsView {
			validator_minimum: T::MinimumValidatorStake::get(),
			miner_minimum: T::MinimumMinerStake::get(),
			coordinator_minimum: T::MinimumCoordinatorStake::get(),
			minimum_vote: T::MinimumVote::get(),
			bonding_eras: T::BondingDuration::get(),
			max_votes: T::MaxVotes::get(),
			max_unbonding_chunks: T::MaxChunks::get(),
		}
	}

	fn candidate_view(
		role: Role,
		stash: T::AccountId,
		candidate: Candidate<T::AccountId>,
	) -> CandidateView<T::AccountId, Balance> {
		let pool = Pools::<T>::get(&stash);
		let self_stake = Self::self_stake(&stash, &pool);
		CandidateView {
			operator: candidate.operator,
			role,
			weight: pool.balance,
			self_stake,
			active: self_stake >= Self::minimum_stake(role),
			registered_at: candidate.registered_at,
			name: candidate.info.name.into_inner(),
			contact: candidate.info.contact.into_inner(),
			endpoints: candidate.info.endpoints.into_iter().map(BoundedVec::into_inner).collect(),
			certificate: candidate.info.certificate,
			stash,
		}
	}
}
