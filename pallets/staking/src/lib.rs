//! # Staking
//!
//! Holders of CAI stake it, register for one of the three roles, and vote for those whom they
//! trust. The heaviest validators are elected at every era.
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

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod election;
mod eras;
mod ledger;
mod roles;
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

pub use cuckoo_staking_math::{Balance, Pool, Position};
pub use cuckoo_staking_runtime_api::{Role, RoleTotal};
pub use pallet::*;
pub use roles::{consent_payload, CONSENT_CONTEXT};
pub use types::{
	Candidate, CandidateInfo, Chunk, Endpoint, EraInfo, Exposure, GenesisCandidate, Ledger,
};
pub use weights::WeightInfo;

/// The staking pallet.
// `pallet::hooks` expands to a negated condition.
#[allow(clippy::if_not_else)]
#[frame::pallet]
pub mod pallet {
	use alloc::vec::Vec;
	use frame::{
		deps::frame_support::traits::ValidatorRegistration,
		prelude::*,
		traits::{fungible::MutateHold, IdentifyAccount, Verify},
	};

	use super::{
		Balance, Candidate, CandidateInfo, EraInfo, GenesisCandidate, Ledger, Pool, Position, Role,
		RoleTotal, WeightInfo,
	};

	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	/// Stake, roles, votes, eras and the election of validators.
	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	/// What the runtime decides. The value in brackets is the live network's.
	#[pallet::config]
	pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// The token that is staked. \[`Balances`\]
		type Currency: MutateHold<Self::AccountId, Balance = Balance, Reason: From<HoldReason>>;

		/// Who may set the number of validators. \[`EnsureRoot`\]
		type AdminOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// The signature by which an operator agrees to serve a stash. \[`MultiSignature`\]
		type OperatorSignature: Parameter
			+ Verify<Signer: IdentifyAccount<AccountId = Self::AccountId>>;

		/// Tells whether a validator has set its session keys: without them it is not elected.
		/// \[`Session`\]
		type SessionKeys: ValidatorRegistration<Self::AccountId>;

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

		/// The weights of the calls. \[`weights::SubstrateWeight<Runtime>`\]
		type WeightInfo: WeightInfo;
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

	/// The shares of each staker (first key) in the pool of each stash (second key). A stash's
	/// position in its own pool is its self-stake.
	#[pallet::storage]
	pub type Positions<T: Config> = StorageDoubleMap<
		_,
		Blake2_128Concat,
		T::AccountId,
		Blake2_128Concat,
		T::AccountId,
		Position,
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

	/// How many validators are elected.
	#[pallet::storage]
	pub type ValidatorCount<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// Who is registered at genesis, and how many validators are elected.
	///
	/// Balances must be built before and the session pallet after this one: candidates stake what
	/// they own, and the first validators are elected from them.
	#[pallet::genesis_config]
	#[derive(DefaultNoBound)]
	pub struct GenesisConfig<T: Config> {
		/// The candidates registered from the start. Their operators are taken at their word.
		pub candidates: Vec<GenesisCandidate<T::AccountId>>,
		/// How many validators are elected, from 1 to `MaxRanked`; 0 stands for 1.
		pub validator_count: u32,
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
			for candidate in &self.candidates {
				if let Err(error) = Pallet::<T>::register_at_genesis(candidate) {
					panic!("genesis: cannot register {:?}: {error:?}", candidate.stash);
				}
			}
		}
	}

	/// What happened.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// Funds were staked. They back nobody yet.
		Staked {
			/// Who staked.
			stash: T::AccountId,
			/// How much was added.
			amount: Balance,
			/// The idle stake after it.
			idle: Balance,
		},
		/// Idle stake began to unbond.
		Unstaked {
			/// Whose stake.
			stash: T::AccountId,
			/// How much.
			amount: Balance,
			/// The era from which it can be withdrawn.
			until_era: u32,
			/// The idle stake after it.
			idle: Balance,
		},
		/// Unbonded stake was released to the free balance.
		Withdrawn {
			/// Whose stake.
			stash: T::AccountId,
			/// How much was released.
			amount: Balance,
			/// What is still held.
			held: Balance,
		},
		/// A stash registered for a role.
		Registered {
			/// The stash.
			stash: T::AccountId,
			/// The account that runs the program.
			operator: T::AccountId,
			/// The role.
			role: Role,
			/// The stash's own stake behind itself.
			self_stake: Balance,
			/// All the stake behind it.
			weight: Balance,
		},
		/// A stash left the registry. Those who back it can take their votes back.
		Deregistered {
			/// The stash.
			stash: T::AccountId,
			/// The operator that is free again.
			operator: T::AccountId,
			/// The role that it had.
			role: Role,
			/// The stake that is still in its pool.
			weight: Balance,
		},
		/// A stash changed its operator.
		OperatorSet {
			/// The stash.
			stash: T::AccountId,
			/// The operator until now.
			old: T::AccountId,
			/// The operator from now on.
			new: T::AccountId,
		},
		/// A stash changed what it says about itself.
		InfoSet {
			/// The stash.
			stash: T::AccountId,
		},
		/// Stake was put behind a candidate.
		Voted {
			/// Who voted.
			voter: T::AccountId,
			/// For whom.
			candidate: T::AccountId,
			/// How much was added.
			amount: Balance,
			/// What the voter has behind the candidate after it.
			position: Balance,
			/// All the stake behind the candidate after it.
			weight: Balance,
		},
		/// Stake was taken back from a candidate.
		Unvoted {
			/// Who took it back.
			voter: T::AccountId,
			/// From whom.
			candidate: T::AccountId,
			/// How much.
			amount: Balance,
			/// What the voter still has behind the candidate.
			position: Balance,
			/// All the stake behind the candidate after it.
			weight: Balance,
		},
		/// Stake was moved from one candidate to another.
		VoteMoved {
			/// Who moved it.
			voter: T::AccountId,
			/// The candidate that lost it.
			from: T::AccountId,
			/// The candidate that got it.
			to: T::AccountId,
			/// How much.
			amount: Balance,
			/// All the stake behind `from` after it.
			from_weight: Balance,
			/// All the stake behind `to` after it.
			to_weight: Balance,
		},
		/// A validator entered the ranking from which validators are elected.
		Ranked {
			/// The validator.
			stash: T::AccountId,
			/// All the stake behind it.
			weight: Balance,
		},
		/// A validator was pushed out of the full ranking by a heavier one.
		Displaced {
			/// The validator.
			stash: T::AccountId,
			/// All the stake behind it.
			weight: Balance,
		},
		/// An era began.
		EraStarted {
			/// Its number.
			index: u32,
			/// Its first session.
			first_session: u32,
		},
		/// The validators of a coming session were elected.
		ValidatorsElected {
			/// The session from which they serve.
			session: u32,
			/// How many they are.
			count: u32,
		},
		/// No registered validator could be elected, so the present ones go on.
		ElectionFailed {
			/// The session for which the election was held.
			session: u32,
		},
		/// The number of validators to elect was changed.
		ValidatorCountSet {
			/// The number until now.
			old: u32,
			/// The number from the next election on.
			new: u32,
		},
	}

	/// Why a call was refused.
	#[pallet::error]
	pub enum Error<T> {
		/// The amount is zero: give the amount that you mean.
		ZeroAmount,
		/// Your free balance is too small for this stake: stake less. The existential deposit must
		/// stay free.
		InsufficientBalance,
		/// Your idle stake is too small: stake more, or take votes back first.
		InsufficientIdle,
		/// Your stake is unbonding from too many eras: withdraw what is ready, or wait.
		TooManyChunks,
		/// None of your stake is ready to be withdrawn: wait until the era that `Unstaked` named.
		NothingToWithdraw,
		/// You are registered already: deregister first to take another role.
		AlreadyRegistered,
		/// You are not registered: register first.
		NotRegistered,
		/// The operator serves a stash already: use another account as operator.
		OperatorTaken,
		/// The proof is not this operator's signature over this chain, stash and role: print it
		/// again with the operator's key.
		InvalidProof,
		/// The self-stake is below the role's minimum: stake more and register with more.
		BelowRoleMinimum,
		/// Your self-stake must not fall below your role's minimum: take less, or deregister first.
		SelfStakeNeeded,
		/// The name, the contact or an endpoint is not UTF-8 or holds control characters.
		InvalidText,
		/// An endpoint must be a URL that begins with ws://, wss://, http:// or https:// and names a
		/// host.
		InvalidEndpoint,
		/// Only coordinators have endpoints and a certificate: leave both out.
		EndpointNotAllowed,
		/// A coordinator needs at least one endpoint, so that apps and miners find it.
		EndpointRequired,
		/// The candidate is not registered, so it cannot be voted for.
		NotACandidate,
		/// The vote cannot be moved to the candidate where it is.
		SameCandidate,
		/// What you would have behind this candidate is below `MinimumVote`: use more, or, when you
		/// take a vote back, take all of it.
		BelowMinimumVote,
		/// You back as many candidates as you may: leave one of them first.
		TooManyVotes,
		/// You have no stake behind this candidate.
		NoVote,
		/// You have less than this amount behind the candidate: take at most what `StakingApi`
		/// shows.
		InsufficientVote,
		/// You have left too many candidates lately: wait until the oldest exposure has expired.
		TooManyExposures,
		/// The stash is not registered as a validator, so it cannot be ranked.
		NotAValidator,
		/// The validator is in the ranking already.
		AlreadyRanked,
		/// The ranking is full of heavier validators: get more stake behind this one.
		NotHeavyEnough,
		/// The number of validators must be from 1 to `MaxRanked`.
		InvalidValidatorCount,
		/// A sum does not fit in 128 bits: use a smaller amount.
		Overflow,
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
			assert!(T::BondingDuration::get() > 0, "BondingDuration must not be zero");
			assert!(T::MaxRanked::get() > 0, "MaxRanked must not be zero");
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(
			_now: BlockNumberFor<T>,
		) -> Result<(), frame::deps::sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Stakes `amount` (planck) of your free balance. It stays on your account, held, and backs
		/// nobody until you vote or register with it.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::stake())]
		pub fn stake(origin: OriginFor<T>, #[pallet::compact] amount: Balance) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_stake(&stash, amount)
		}

		/// Begins to unbond `amount` (planck) of your idle stake. After `BondingDuration` eras
		/// `withdraw` releases it.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::unstake())]
		pub fn unstake(origin: OriginFor<T>, #[pallet::compact] amount: Balance) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_unstake(&stash, amount)
		}

		/// Releases all of your stake that has finished unbonding to your free balance.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::withdraw())]
		pub fn withdraw(origin: OriginFor<T>) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_withdraw(&stash)
		}

		/// Registers you for `role` with `operator` running the program, and puts `self_stake`
		/// (planck) of your idle stake behind yourself. Together with what you have behind yourself
		/// already it must reach the role's minimum; exactly the minimum is enough.
		///
		/// `proof` is the operator's signature over this chain's genesis hash, your account and the
		/// role: the operator's program prints it. `info` is what you show to others; a coordinator
		/// must list an endpoint.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn register(
			origin: OriginFor<T>,
			role: Role,
			#[pallet::compact] self_stake: Balance,
			operator: T::AccountId,
			proof: T::OperatorSignature,
			info: CandidateInfo,
		) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_register(&stash, role, self_stake, operator, &proof, info)
		}

		/// Leaves the registry at once. Your operator is free, nobody can vote for you any more, and
		/// you and your voters can take the stake back with `unvote`.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::deregister())]
		pub fn deregister(origin: OriginFor<T>) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_deregister(&stash)
		}

		/// Replaces your operator. `proof` is the new operator's signature, as in `register`, for the
		/// role that you have.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::set_operator())]
		pub fn set_operator(
			origin: OriginFor<T>,
			operator: T::AccountId,
			proof: T::OperatorSignature,
		) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_set_operator(&stash, operator, &proof)
		}

		/// Replaces what you show to others: name, contact and, for coordinators, endpoints and
		/// certificate.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::set_info())]
		pub fn set_info(origin: OriginFor<T>, info: CandidateInfo) -> DispatchResult {
			let stash = ensure_signed(origin)?;
			Self::do_set_info(&stash, info)
		}

		/// Puts `amount` (planck) of your idle stake behind `candidate`. A registered stash raises
		/// its self-stake by voting for itself.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::vote())]
		pub fn vote(
			origin: OriginFor<T>,
			candidate: T::AccountId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let voter = ensure_signed(origin)?;
			Self::do_vote(&voter, &candidate, amount)
		}

		/// Takes `amount` (planck) back from `candidate`. It is idle at once, and for
		/// `BondingDuration` eras it answers for what the candidate did before. Take all of it, or
		/// leave at least `MinimumVote`.
		#[pallet::call_index(8)]
		#[pallet::weight(T::WeightInfo::unvote())]
		pub fn unvote(
			origin: OriginFor<T>,
			candidate: T::AccountId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let voter = ensure_signed(origin)?;
			Self::do_unvote(&voter, &candidate, amount)
		}

		/// Moves `amount` (planck) from one candidate to another. It goes on answering for what the
		/// first one did before.
		#[pallet::call_index(9)]
		#[pallet::weight(T::WeightInfo::move_vote())]
		pub fn move_vote(
			origin: OriginFor<T>,
			from: T::AccountId,
			to: T::AccountId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let voter = ensure_signed(origin)?;
			Self::do_move_vote(&voter, &from, &to, amount)
		}

		/// Puts a registered validator back into the ranking from which validators are elected,
		/// after heavier ones had pushed it out. Anyone may call it for anyone.
		#[pallet::call_index(10)]
		#[pallet::weight(T::WeightInfo::rank())]
		pub fn rank(origin: OriginFor<T>, candidate: T::AccountId) -> DispatchResult {
			ensure_signed(origin)?;
			Self::do_rank(&candidate)
		}

		/// Sets how many validators are elected from the next election on: from 1 to `MaxRanked`.
		/// Only the admin origin may.
		#[pallet::call_index(11)]
		#[pallet::weight(T::WeightInfo::set_validator_count())]
		pub fn set_validator_count(
			origin: OriginFor<T>,
			#[pallet::compact] count: u32,
		) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Self::do_set_validator_count(count)
		}
	}
}
