//! # Staking
//!
//! Holders of CAI stake it, register for one of the three roles, and vote for those whom they
//! trust. The heaviest validators are elected at every era; who does well is paid, with those who
//! back it, and who cheats is slashed, with them.
//!
//! ## How stake moves
//!
//! ```text
//! free balance ── stake ──► idle ── vote, register ──► pool of a candidate
//!      ▲                    │  ▲                           │
//!      └─ withdraw ── unbonding └───────── unvote ─────────┘
//! ```
//!
//! - Everything staked is *held* on the staker's balance; the [`Ledger`] says how much of it is idle
//!   or unbonding, and [`Positions`] which share of whose [`Pools`] the rest is.
//! - A candidate's weight is the balance of its pool. The stash's own position in that pool is its
//!   self-stake.
//! - Stake that leaves a pool returns to idle at once, but stays liable for what that candidate did
//!   before: an [`Exposure`] in the ledger and its counterpart in [`SubPools`]. Leaving staking
//!   takes as long as an exposure lasts, so that no exposure outlives the stake that answers for it.
//! - No call and no hook iterates over voters or candidates.
//!
//! ## How rewards flow
//!
//! ```text
//! staking pot ─► role ─► candidate ─► commission
//!   (an era)    (a slot)     │
//!                            └─► each share of its pool
//! ```
//!
//! - The pot gives a constant part of what is left in it in every era, divided between the roles.
//!   Miners and coordinators share in theirs by weight, slot by slot: nobody gains by coming just
//!   before an era ends. Validators get theirs by the blocks that they author.
//! - Two accumulators, [`RoleFlow::per_weight`] and [`Earnings::per_share`], are settled when
//!   somebody looks ([`cuckoo_staking_math::Accumulator`] has the formula).
//! - What nobody could get stays in the pot.
//!
//! ## How slashes reach the stakers
//!
//! - A slash lowers the balance of the candidate's pool and of the sub-pools of those who left
//!   since the offence: one write each. It is decided at once, with jail, and applied
//!   [`Config::SlashDefer`] eras later.
//! - What a staker has lost shows as a gap between what is held for a position and what it is
//!   worth ([`cuckoo_staking_math::Stake`]); the tokens are burnt when the staker is next touched, or
//!   by anyone's `settle`. Nobody is ever paid more than is held for it.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
mod calls;
mod commission;
mod election;
mod eras;
mod errors;
mod events;
mod ledger;
pub mod migrations;
mod offences;
mod payouts;
mod pots;
mod rewards;
mod roles;
mod session_keys;
mod slashing;
#[cfg(any(test, feature = "try-runtime"))]
mod try_state;
mod types;
mod unbonding;
mod views;
mod votes;
pub mod weights;

#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use cuckoo_staking_math::{Balance, Perbill, Perquintill, Pool, Position};
pub use cuckoo_staking_runtime_api::{Pot, PotState, Role, RoleTotal};
pub use pallet::*;
pub use pots::MiningRewards;
pub use roles::{consent_payload, CONSENT_CONTEXT};
pub use session_keys::{KeysOf, SessionKeys};
pub use types::{
	Backing, Candidate, CandidateInfo, Chunk, Earnings, Endpoint, EraInfo, Exposure,
	GenesisCandidate, Ledger, Offender, Payout, PendingSlash, RewardDestination, RoleFlow,
	SlashQueue, WeightHistory, MAX_HISTORY,
};
pub use weights::WeightInfo;

use frame::pallet_macros::import_section;

/// The staking pallet.
// `pallet::hooks` expands to a negated condition.
#[allow(clippy::if_not_else)]
#[import_section(events::events)]
#[import_section(errors::errors)]
#[import_section(calls::calls)]
#[frame::pallet]
pub mod pallet {
	use alloc::vec::Vec;
	use cuckoo_staking_runtime_api::{
		CandidateView, PotView, ReturnView, RewardView, SlashView, StakerView,
	};
	use frame::{
		deps::frame_support::traits::{ValidatorRegistration, ValidatorSet},
		prelude::*,
		traits::{
			fungible::{Mutate, MutateHold},
			IdentifyAccount, Verify,
		},
	};

	use super::{
		Backing, Balance, Candidate, CandidateInfo, Earnings, EraInfo, GenesisCandidate, KeysOf,
		Ledger, MiningRewards, Offender, Payout, PendingSlash, Pool, Pot, PotState,
		RewardDestination, Role, RoleFlow, RoleTotal, SessionKeys, SlashQueue, WeightHistory,
		WeightInfo,
	};

	const STORAGE_VERSION: StorageVersion = StorageVersion::new(2);

	/// Stake, roles, votes, eras, rewards, slashes and the election of validators.
	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	/// What the runtime decides. The value in brackets is the live network's.
	#[pallet::config]
	pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// The token that is staked. \[`Balances`\]
		type Currency: Mutate<Self::AccountId, Balance = Balance>
			+ MutateHold<Self::AccountId, Balance = Balance, Reason: From<HoldReason>>;

		/// Who may set the number of validators, the emission and its split, and cancel slashes.
		/// \[`EnsureRoot`\]
		type AdminOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// Who may slash. \[`EnsureRoot`\]
		type SlashOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// The signature by which an operator agrees to serve a stash. \[`MultiSignature`\]
		type OperatorSignature: Parameter
			+ Verify<Signer: IdentifyAccount<AccountId = Self::AccountId>>;

		/// Keeps the session keys, without which a validator is not elected, and knows who validates
		/// now. \[`Session`\]
		type Session: ValidatorRegistration<Self::AccountId>
			+ ValidatorSet<Self::AccountId, ValidatorId = Self::AccountId>
			+ SessionKeys<Self::AccountId>;

		/// The slot of the block that is made. It grows with time. \[`Babe::current_slot`\]
		type Slot: Get<u64>;

		/// Who divides the mining pot's emission between miners. \[`()`: nobody, so it stays in the
		/// pot\]
		type MiningRewards: MiningRewards<Self::AccountId>;

		/// From which the accounts of the two pots are derived.
		#[pallet::constant]
		type PalletId: Get<PalletId>;

		/// The least self-stake of a validator, in planck. \[100,000 CAI\]
		#[pallet::constant]
		type MinimumValidatorStake: Get<Balance>;

		/// The least self-stake of a miner, in planck. \[20,000 CAI\]
		#[pallet::constant]
		type MinimumMinerStake: Get<Balance>;

		/// The least self-stake of a coordinator, in planck. \[2,000,000 CAI\]
		#[pallet::constant]
		type MinimumCoordinatorStake: Get<Balance>;

		/// The least stake that a staker may have behind a candidate, in planck. \[1 CAI\]
		#[pallet::constant]
		type MinimumVote: Get<Balance>;

		/// How many sessions an era lasts. Zero counts as one. \[6\]
		#[pallet::constant]
		type SessionsPerEra: Get<u32>;

		/// How many slots an era lasts when no session is late. Zero counts as one. \[3,600\]
		#[pallet::constant]
		type EraLength: Get<u64>;

		/// How many eras there are in a year, for the expected yearly return. \[1,461\]
		#[pallet::constant]
		type ErasPerYear: Get<u32>;

		/// The largest part of a pot that may be emitted in an era. \[0.1 %\]
		#[pallet::constant]
		type MaxEmission: Get<Perquintill>;

		/// By how much a commission may rise at a time. \[5 points\]
		#[pallet::constant]
		type MaxCommissionRise: Get<Perbill>;

		/// How many eras after its report a slash is applied. \[4\]
		#[pallet::constant]
		type SlashDefer: Get<u32>;

		/// The most slashes that are applied in one block. \[4\]
		#[pallet::constant]
		type MaxSlashesPerBlock: Get<u32>;

		/// How many eras pass between `unstake` and `withdraw`; as long, stake that left a candidate
		/// answers for what the candidate did before. \[28\]
		#[pallet::constant]
		type BondingDuration: Get<u32>;

		/// The most eras from which one staker may have stake unbonding. \[16\]
		#[pallet::constant]
		type MaxChunks: Get<u32>;

		/// The most candidates, itself not counted, that one staker may back. \[32\]
		#[pallet::constant]
		type MaxVotes: Get<u32>;

		/// The most exposures (pairs of a candidate left and the era of leaving) that one staker
		/// may have. \[32\]
		#[pallet::constant]
		type MaxExposures: Get<u32>;

		/// The most validators that the ranking holds, and so the most that can be elected. \[256\]
		#[pallet::constant]
		type MaxRanked: Get<u32>;

		/// The weights of the calls and hooks. \[`()`: estimates\]
		type WeightInfo: WeightInfo;

		/// What benchmarks cannot do themselves.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: super::benchmarking::BenchmarkHelper<Self>;
	}

	/// Why funds are held.
	#[pallet::composite_enum]
	pub enum HoldReason {
		/// The funds are staked: idle, behind a candidate, or unbonding.
		#[codec(index = 0)]
		Stake,
	}

	/// What each staker has idle and unbonding, and its liabilities for candidates that it left.
	#[pallet::storage]
	pub type Ledgers<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, Ledger<T>, ValueQuery>;

	/// The shared stake behind each stash: self-stake and votes. Stays after the stash has left the
	/// registry, until the last staker has left the pool.
	#[pallet::storage]
	pub type Pools<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Pool, ValueQuery>;

	/// What each staker (first key) has behind each stash (second key): its shares of the pool, what
	/// is held for them, and what they have earned. A stash's position in its own pool is its
	/// self-stake.
	#[pallet::storage]
	pub type Positions<T: Config> = StorageDoubleMap<
		_,
		Blake2_128Concat,
		T::AccountId,
		Blake2_128Concat,
		T::AccountId,
		Backing,
		OptionQuery,
	>;

	/// What left the pool of a stash (first key) in an era (second key) and is still liable for what
	/// the stash did before. The shares belong to the exposures in the stakers' ledgers.
	#[pallet::storage]
	pub type SubPools<T: Config> =
		StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Twox64Concat, u32, Pool, ValueQuery>;

	/// The registered candidates of each role, by stash.
	#[pallet::storage]
	pub type Candidates<T: Config> = StorageDoubleMap<
		_,
		Twox64Concat,
		Role,
		Blake2_128Concat,
		T::AccountId,
		Candidate<T::AccountId>,
		OptionQuery,
	>;

	/// The era in which each validator last set its session keys by `set_keys`. Stays after the stash
	/// has left the registry, as long as its earnings do.
	#[pallet::storage]
	pub type KeyChanges<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, u32, OptionQuery>;

	/// The role that each stash is registered for.
	#[pallet::storage]
	pub type RoleOf<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Role, OptionQuery>;

	/// The stash that each operator serves.
	#[pallet::storage]
	pub type Operators<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, T::AccountId, OptionQuery>;

	/// Number and weight of the registered candidates of each role.
	#[pallet::storage]
	pub type RoleTotals<T: Config> =
		StorageMap<_, Twox64Concat, Role, RoleTotal<Balance>, ValueQuery>;

	/// The era that is running.
	#[pallet::storage]
	pub type CurrentEra<T: Config> = StorageValue<_, EraInfo, ValueQuery>;

	/// The heaviest registered validators and their weights, the heaviest first, equals by account.
	/// One that heavier validators pushed out comes back when its weight changes, or by `rank`.
	#[pallet::storage]
	pub type Ranking<T: Config> =
		StorageValue<_, BoundedVec<(Balance, T::AccountId), T::MaxRanked>, ValueQuery>;

	/// What the pool of each stash has earned, and its commission.
	#[pallet::storage]
	pub type EarningsOf<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, Earnings, ValueQuery>;

	/// The reward of each role in the running era.
	#[pallet::storage]
	pub type RoleFlows<T: Config> = StorageMap<_, Twox64Concat, Role, RoleFlow, ValueQuery>;

	/// What a share of the pool of a stash (first key) had earned when the pool had lost everything
	/// for the time (second key, from 0) and began anew.
	#[pallet::storage]
	pub type ClosedEpochs<T: Config> =
		StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Twox64Concat, u32, u128, OptionQuery>;

	/// What is in each pot.
	#[pallet::storage]
	pub type Pots<T: Config> = StorageMap<_, Twox64Concat, Pot, PotState, ValueQuery>;

	/// Which part of each pot is emitted in an era.
	#[pallet::storage]
	pub type Emission<T: Config> = StorageMap<_, Twox64Concat, Pot, Perquintill, ValueQuery>;

	/// How the staking pot is divided between validators, miners and coordinators.
	#[pallet::storage]
	pub type RewardSplit<T: Config> = StorageValue<_, [Perbill; 3], ValueQuery>;

	/// What becomes of each staker's rewards, where it is not the default: to the free balance,
	/// claimed by the staker alone.
	#[pallet::storage]
	pub type Payouts<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Payout, ValueQuery>;

	/// The weight of each stash at the beginning of past eras in which it changed.
	#[pallet::storage]
	pub type WeightHistories<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, WeightHistory, ValueQuery>;

	/// The slashes that wait, by number.
	#[pallet::storage]
	pub type PendingSlashes<T: Config> =
		StorageMap<_, Twox64Concat, u32, PendingSlash<T::AccountId>, OptionQuery>;

	/// Which slash comes next.
	#[pallet::storage]
	pub type Queue<T: Config> = StorageValue<_, SlashQueue, ValueQuery>;

	/// Who was reported for offences, and who is in jail.
	#[pallet::storage]
	pub type Offenders<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, Offender, ValueQuery>;

	/// How many validators are elected.
	#[pallet::storage]
	pub type ValidatorCount<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// Who is registered at genesis, how many validators are elected, and how rewards flow.
	///
	/// Balances must be built before and the session pallet after this one: candidates stake what
	/// they own, the pots have what is on their accounts, and the first validators are elected from
	/// the candidates.
	#[pallet::genesis_config]
	pub struct GenesisConfig<T: Config> {
		/// The candidates registered from the start. Their operators are taken at their word.
		pub candidates: Vec<GenesisCandidate<T::AccountId>>,
		/// How many validators are elected, from 1 to `MaxRanked`; 0 stands for 1.
		pub validator_count: u32,
		/// Which part of each pot is emitted in an era.
		pub emission: Perquintill,
		/// How the staking pot is divided between validators, miners and coordinators.
		pub reward_split: [Perbill; 3],
	}

	impl<T: Config> Default for GenesisConfig<T> {
		fn default() -> Self {
			Self {
				candidates: Vec::new(),
				validator_count: 1,
				emission: super::pots::DEFAULT_EMISSION,
				reward_split: super::pots::DEFAULT_SPLIT,
			}
		}
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		/// # Panics
		///
		/// When a candidate cannot be registered: a chain must not start from a wrong genesis.
		fn build(&self) {
			let count = self.validator_count.max(1);
			assert!(
				count <= T::MaxRanked::get(),
				"genesis: validatorCount {count} is more than the ranking holds"
			);
			ValidatorCount::<T>::put(count);
			Pallet::<T>::fill_pots(self.emission, self.reward_split);
			for candidate in &self.candidates {
				if let Err(error) = Pallet::<T>::register_at_genesis(candidate) {
					panic!("genesis: cannot register {:?}: {error:?}", candidate.stash);
				}
			}
		}
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn integrity_test() {
			let vote = T::MinimumVote::get();
			assert!(vote > 0, "MinimumVote must not be zero");
			for role in Role::ALL {
				assert!(
					Self::minimum_stake(role) >= vote,
					"the minimum of {role:?} must not be below MinimumVote"
				);
			}
			let bonding = T::BondingDuration::get();
			assert!(bonding > 0, "BondingDuration must not be zero");
			assert!(bonding < super::MAX_HISTORY, "BondingDuration must be below MAX_HISTORY");
			assert!(
				T::SlashDefer::get() < bonding,
				"SlashDefer must be below BondingDuration, or stake leaves before it is slashed"
			);
			assert!(T::MaxSlashesPerBlock::get() > 0, "MaxSlashesPerBlock must not be zero");
			assert!(T::MaxRanked::get() > 0, "MaxRanked must not be zero");
			assert!(
				T::MaxExposures::get() >= T::MaxVotes::get(),
				"MaxExposures must not be below MaxVotes, or not all votes can be taken back"
			);
			// An author's part of an era is a whole number of planck a slot.
			assert!(T::EraLength::get() < u64::from(u32::MAX), "EraLength is too long");
			assert!(
				!T::MaxEmission::get().is_zero() && T::MaxEmission::get() < Perquintill::one(),
				"MaxEmission must be above zero and must not empty a pot in one era"
			);
			// What flows through accumulators must fit: see `Accumulator`.
			assert!(
				T::MinimumVote::get() >= 1_000_000_000,
				"MinimumVote must be large enough for the accumulators' precision"
			);
		}

		/// Notes the first slot of the chain, and applies slashes that are due.
		fn on_initialize(_now: BlockNumberFor<T>) -> Weight {
			Self::start_clock();
			let applied = Self::apply_due_slashes();
			T::WeightInfo::on_initialize()
				.saturating_add(T::WeightInfo::apply_slash().saturating_mul(applied.into()))
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(
			_now: BlockNumberFor<T>,
		) -> Result<(), frame::deps::sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	// What `StakingApi` shows, for those who read the pallet itself.
	#[pallet::view_functions]
	impl<T: Config> Pallet<T> {
		/// The candidate that `stash` is registered as.
		pub fn candidate(stash: T::AccountId) -> Option<CandidateView<T::AccountId, Balance>> {
			Self::view_candidate(stash)
		}

		/// The candidate that `operator` serves.
		pub fn candidate_by_operator(
			operator: T::AccountId,
		) -> Option<CandidateView<T::AccountId, Balance>> {
			Self::view_candidate_by_operator(&operator)
		}

		/// What `stash` has staked, where it is, and what it has earned there.
		pub fn staker(stash: T::AccountId) -> StakerView<T::AccountId, Balance> {
			Self::view_staker(&stash)
		}

		/// What `staker` can claim now, by candidate.
		pub fn pending_rewards(staker: T::AccountId) -> Vec<RewardView<T::AccountId, Balance>> {
			Self::view_pending_rewards(&staker)
		}

		/// The weight of `stash` at the beginning of `era`, as far back as stake is bonded.
		pub fn weight_at(stash: T::AccountId, era: u32) -> Option<Balance> {
			Self::view_weight_at(&stash, era)
		}

		/// What the stake of `staker` behind `candidate` is and may bring.
		pub fn expected_return(
			staker: T::AccountId,
			candidate: T::AccountId,
		) -> Option<ReturnView<Balance>> {
			Self::view_expected_return(&staker, &candidate)
		}

		/// The slashes of `stash` that wait to be applied.
		pub fn pending_slashes_of(stash: T::AccountId) -> Vec<SlashView> {
			Self::view_pending_slashes(&stash)
		}

		/// The two pots.
		pub fn pots() -> Vec<PotView<T::AccountId>> {
			Self::view_pots()
		}
	}
}
