//! What `StakingApi` shows: the runtime's implementation calls these and adds nothing.

use alloc::vec::Vec;
use cuckoo_staking_runtime_api::{
	CandidateView, ConstantsView, EraView, ExposureView, PositionView, PotView, ReturnView,
	RewardView, SlashView, StakerView, UnbondingView, MAX_PAGE,
};
use frame::{deps::frame_support::traits::ValidatorSet, prelude::*, traits::fungible::InspectHold};

use cuckoo_staking_math::{commission, emission, mul_div, Rounding};

use crate::{
	Backing, Balance, Candidate, Candidates, Config, CurrentEra, Earnings, EarningsOf, Emission,
	HoldReason, Ledgers, Offenders, Operators, Pallet, PendingSlashes, Perbill, Pools, Positions,
	Pot, Pots, Role, RoleFlows, RoleOf, RoleTotal, RoleTotals, SubPools, WeightHistories,
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
			debt: ledger.debt,
			positions: Positions::<T>::iter_prefix(stash)
				.map(|(candidate, backing)| PositionView {
					amount: backing.stake.worth(&Pools::<T>::get(&candidate)),
					shares: backing.stake.position.shares,
					pending_reward: Self::pending_of(&candidate, backing),
					candidate,
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
					amount: exposure
						.stake
						.worth(&SubPools::<T>::get(&exposure.candidate, exposure.left_era)),
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

	/// What `staker` can claim now: see `StakingApi::pending_rewards`.
	pub fn view_pending_rewards(staker: &T::AccountId) -> Vec<RewardView<T::AccountId, Balance>> {
		let own = EarningsOf::<T>::contains_key(staker)
			.then(|| (staker.clone(), Self::earnings_now(staker).commission_due));
		let mut rewards: Vec<_> = Positions::<T>::iter_prefix(staker)
			.map(|(candidate, backing)| {
				let amount = Self::pending_of(&candidate, backing);
				(candidate, amount)
			})
			.collect();
		if let Some((stash, commission)) = own {
			match rewards.iter_mut().find(|(candidate, _)| *candidate == stash) {
				Some((_, amount)) => *amount = amount.saturating_add(commission),
				None => rewards.push((stash, commission)),
			}
		}
		rewards
			.into_iter()
			.filter(|(_, amount)| *amount > 0)
			.map(|(candidate, amount)| RewardView { candidate, amount })
			.collect()
	}

	/// The weight of `stash` at the beginning of `era`: see `StakingApi::weight_at`.
	pub fn view_weight_at(stash: &T::AccountId, era: u32) -> Option<Balance> {
		let now = CurrentEra::<T>::get().index;
		if era > now || era.saturating_add(T::BondingDuration::get()) < now {
			return None;
		}
		// The first change from then on tells what there was before it.
		let history = WeightHistories::<T>::get(stash);
		let known = history.iter().find(|(changed, _)| *changed >= era);
		Some(known.map_or_else(|| Pools::<T>::get(stash).balance, |(_, weight)| *weight))
	}

	/// What a position is and may bring: see `StakingApi::expected_return`.
	pub fn view_expected_return(
		staker: &T::AccountId,
		candidate: &T::AccountId,
	) -> Option<ReturnView<Balance>> {
		let backing = Positions::<T>::get(staker, candidate)?;
		let pool = Pools::<T>::get(candidate);
		let amount = backing.stake.worth(&pool);
		let earnings = EarningsOf::<T>::get(candidate);
		let (_, rest) =
			commission::split(Self::era_reward(candidate, &earnings), earnings.commission);
		let share = Perbill::from_rational(amount, pool.balance.max(1));
		let era_reward = multiply(rest, amount, pool.balance);
		let yearly = era_reward.saturating_mul(T::ErasPerYear::get().into());
		let yearly_return = multiply(yearly, 1_000_000, amount);
		Some(ReturnView {
			amount,
			share: share.deconstruct(),
			era_reward,
			yearly_return: yearly_return.try_into().unwrap_or(u64::MAX),
		})
	}

	/// What a candidate would get in the running era, commission included, if nothing changed.
	fn era_reward(candidate: &T::AccountId, earnings: &Earnings) -> Balance {
		let Some(role) = RoleOf::<T>::get(candidate) else { return 0 };
		let flow = RoleFlows::<T>::get(role);
		if role != Role::Validator {
			return multiply(flow.budget, earnings.weight, flow.weight);
		}
		let validators = T::Session::validators();
		let free = Offenders::<T>::get(candidate).jailed_until.is_none();
		if free && validators.contains(candidate) {
			// All of them author equally many blocks.
			emission::due(flow.budget, 1, validators.len() as u64)
		} else {
			0
		}
	}

	/// The slashes of `stash` that wait: see `StakingApi::pending_slashes`.
	pub fn view_pending_slashes(stash: &T::AccountId) -> Vec<SlashView> {
		let mut slashes: Vec<_> = PendingSlashes::<T>::iter()
			.filter(|(_, slash)| slash.candidate == *stash)
			.map(|(id, slash)| SlashView {
				id,
				fraction: slash.fraction.deconstruct(),
				offence_era: slash.offence_era,
				apply_era: slash.apply_era,
			})
			.collect();
		slashes.sort_by_key(|slash| slash.id);
		slashes
	}

	/// The two pots: see `StakingApi::pots`.
	pub fn view_pots() -> Vec<PotView<T::AccountId>> {
		let staking = Role::ALL
			.iter()
			.fold(Balance::zero(), |sum, role| sum.saturating_add(Self::flow_now(*role).1));
		Pot::ALL
			.into_iter()
			.map(|pot| {
				let mut state = Pots::<T>::get(pot);
				if pot == Pot::Staking {
					state.left = state.left.saturating_sub(staking);
					state.owed = state.owed.saturating_add(staking);
				}
				let account = Self::pot_account(pot);
				PotView { pot, account, state, emission: Emission::<T>::get(pot).deconstruct() }
			})
			.collect()
	}

	/// The earnings of `stash` up to now.
	pub(crate) fn earnings_now(stash: &T::AccountId) -> Earnings {
		match RoleOf::<T>::get(stash) {
			Some(role) => Self::earned(stash, &Self::flow_now(role).0),
			None => EarningsOf::<T>::get(stash),
		}
	}

	/// What a position has earned up to now and not been paid.
	pub(crate) fn pending_of(candidate: &T::AccountId, mut backing: Backing) -> Balance {
		let earnings = Self::earnings_now(candidate);
		Self::settle_claim(candidate, &mut backing, &Pools::<T>::get(candidate), &earnings);
		backing.claim.amount
	}

	fn candidate_view(
		role: Role,
		stash: T::AccountId,
		candidate: Candidate<T::AccountId>,
	) -> CandidateView<T::AccountId, Balance> {
		let pool = Pools::<T>::get(&stash);
		let era = CurrentEra::<T>::get().index;
		CandidateView {
			operator: candidate.operator,
			role,
			weight: pool.balance,
			self_stake: Self::self_stake(&stash, &pool),
			active: candidate.inactive_from.is_none_or(|from| era < from),
			inactive_from: candidate.inactive_from,
			jailed_until: Offenders::<T>::get(&stash).jailed_until,
			commission: EarningsOf::<T>::get(&stash).commission.deconstruct(),
			registered_at: candidate.registered_at,
			name: candidate.info.name.into_inner(),
			contact: candidate.info.contact.into_inner(),
			endpoints: candidate.info.endpoints.into_iter().map(BoundedVec::into_inner).collect(),
			certificate: candidate.info.certificate,
			stash,
		}
	}
}

/// `a * b / c`, rounded down; nothing of nothing.
fn multiply(a: Balance, b: Balance, c: Balance) -> Balance {
	mul_div(a, b, c, Rounding::Down).unwrap_or(0)
}
