//! The runtime API through which programs outside the chain read the stake registry, and the types
//! that it speaks.
//!
//! Amounts are in planck (10^-18 CAI). Eras are counted from 0 at genesis. Byte strings named
//! `name`, `contact` and `endpoints` are UTF-8: the chain checks that when it stores them.

#![cfg_attr(not(feature = "std"), no_std)]
// `decl_runtime_apis` repeats the bounds of the trait on its methods.
#![allow(clippy::multiple_bound_locations)]

extern crate alloc;

use alloc::vec::Vec;
use codec::{Codec, Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};

/// The most candidates that one page of [`StakingApi::candidates`] holds.
pub const MAX_PAGE: u32 = 256;

/// What a stash is registered to do. A stash has at most one role.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Hash,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Serialize,
	Deserialize,
)]
pub enum Role {
	/// Produces and finalizes blocks.
	#[codec(index = 0)]
	Validator,
	/// Is given tasks and renders them.
	#[codec(index = 1)]
	Miner,
	/// Takes tasks from apps and gives them to miners.
	#[codec(index = 2)]
	Coordinator,
}

impl Role {
	/// Every role, in the order of its index.
	pub const ALL: [Self; 3] = [Self::Validator, Self::Miner, Self::Coordinator];
}

/// What the registered candidates of one role have together.
#[derive(
	Clone,
	Copy,
	Debug,
	Default,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct RoleTotal<Balance> {
	/// How many candidates are registered.
	pub candidates: u32,
	/// The sum of their weights: self-stake and votes.
	pub weight: Balance,
}

/// Where rewards come from. Nothing is minted: a pot emits a part of what is left in it in every era.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Pot {
	/// Pays for work.
	#[codec(index = 0)]
	Mining,
	/// Pays for stake.
	#[codec(index = 1)]
	Staking,
}

impl Pot {
	/// Both pots, in the order of their index.
	pub const ALL: [Self; 2] = [Self::Mining, Self::Staking];
}

/// What is in a pot.
#[derive(
	Clone,
	Copy,
	Debug,
	Default,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct PotState {
	/// What has not been earned by anybody, in planck.
	pub left: u128,
	/// What has been earned and not been claimed, in planck.
	pub owed: u128,
}

/// A registered candidate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct CandidateView<AccountId, Balance> {
	/// The account whose stake answers for the candidate.
	pub stash: AccountId,
	/// The account that runs the program and signs for it.
	pub operator: AccountId,
	/// What the candidate is registered to do.
	pub role: Role,
	/// Everything that backs it: self-stake and votes.
	pub weight: Balance,
	/// The part of the weight that is the stash's own.
	pub self_stake: Balance,
	/// Whether it has its part in the role: it is given work, and rewards by weight. It loses that at
	/// the beginning of the next era when its self-stake falls below the role's minimum, or when it
	/// is jailed.
	pub active: bool,
	/// The era from which it is not active, if it is to lose that or has lost it.
	pub inactive_from: Option<u32>,
	/// The era from which it may leave the jail, if it is there.
	pub jailed_until: Option<u32>,
	/// What it keeps of the reward of those who back it, in parts of 10^9.
	pub commission: u32,
	/// The era in which it registered.
	pub registered_at: u32,
	/// The name to show, UTF-8.
	pub name: Vec<u8>,
	/// How to reach the person who runs it, UTF-8.
	pub contact: Vec<u8>,
	/// Addresses at which it listens (coordinators only), UTF-8 URLs.
	pub endpoints: Vec<Vec<u8>>,
	/// SHA-256 fingerprint of the TLS certificate at these endpoints (coordinators only).
	pub certificate: Option<[u8; 32]>,
}

/// Stake that a staker has put behind one candidate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct PositionView<AccountId, Balance> {
	/// The candidate backed; the staker itself for self-stake.
	pub candidate: AccountId,
	/// Shares of the candidate's pool.
	pub shares: Balance,
	/// What the shares are worth now.
	pub amount: Balance,
	/// What `claim` would pay for them now, without the commission of a candidate.
	pub pending_reward: Balance,
}

/// What a staker can claim through one candidate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct RewardView<AccountId, Balance> {
	/// The candidate to name in `claim`.
	pub candidate: AccountId,
	/// What it pays, commission included.
	pub amount: Balance,
}

/// What a position is, and what it may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ReturnView<Balance> {
	/// What it is worth.
	pub amount: Balance,
	/// Its part of all the stake behind the candidate, in parts of 10^9.
	pub share: u32,
	/// What it would earn in the running era if nothing changed, after commission: in planck.
	pub era_reward: Balance,
	/// The same for a year, as a part of the amount: in millionths (50,000 is 5 %).
	pub yearly_return: u64,
}

/// A slash that waits to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SlashView {
	/// Its number, by which it can be cancelled.
	pub id: u32,
	/// The part of the stake that is left then, in parts of 10^9.
	pub fraction: u32,
	/// The era of the offence.
	pub offence_era: u32,
	/// The era from which it is applied.
	pub apply_era: u32,
}

/// A pot, and how it flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct PotView<AccountId> {
	/// Which one.
	pub pot: Pot,
	/// The account that holds it.
	pub account: AccountId,
	/// What is in it.
	pub state: PotState,
	/// Which part of what is left is emitted in an era, in parts of 10^18.
	pub emission: u64,
}

/// Stake that is on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct UnbondingView<Balance> {
	/// How much.
	pub amount: Balance,
	/// The era from which it can be withdrawn.
	pub until_era: u32,
}

/// Stake that left a candidate and still answers for what that candidate did before.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ExposureView<AccountId, Balance> {
	/// The candidate that was left.
	pub candidate: AccountId,
	/// How much is still liable.
	pub amount: Balance,
	/// The era in which the stake left.
	pub left_era: u32,
	/// The era from which it is free of this liability.
	pub until_era: u32,
}

/// Everything that one staker has in the staking pallet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct StakerView<AccountId, Balance> {
	/// What is held on the staker's balance: idle, voted and unbonding together.
	pub held: Balance,
	/// Staked, but backing nobody.
	pub idle: Balance,
	/// Owed for slashes of candidates that were left; it is taken from what becomes idle next.
	pub debt: Balance,
	/// Stake behind candidates, self-stake included.
	pub positions: Vec<PositionView<AccountId, Balance>>,
	/// Stake on its way out, the earliest first.
	pub unbonding: Vec<UnbondingView<Balance>>,
	/// Liabilities for candidates that were left.
	pub exposures: Vec<ExposureView<AccountId, Balance>>,
	/// What `withdraw` would release now.
	pub withdrawable: Balance,
}

/// The era that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct EraView {
	/// Its number.
	pub index: u32,
	/// Its first session.
	pub first_session: u32,
	/// How many sessions it lasts.
	pub sessions_per_era: u32,
}

/// The rules of staking that do not change from block to block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ConstantsView<Balance> {
	/// Least self-stake of a validator.
	pub validator_minimum: Balance,
	/// Least self-stake of a miner.
	pub miner_minimum: Balance,
	/// Least self-stake of a coordinator.
	pub coordinator_minimum: Balance,
	/// Least stake that a staker may have behind a candidate.
	pub minimum_vote: Balance,
	/// Eras between `unstake` and `withdraw`.
	pub bonding_eras: u32,
	/// The most candidates, itself not counted, that one staker may back.
	pub max_votes: u32,
	/// The most eras from which one staker may have stake unbonding.
	pub max_unbonding_chunks: u32,
}

impl<Balance: Copy> ConstantsView<Balance> {
	/// The least self-stake of `role`.
	pub fn minimum(&self, role: Role) -> Balance {
		match role {
			Role::Validator => self.validator_minimum,
			Role::Miner => self.miner_minimum,
			Role::Coordinator => self.coordinator_minimum,
		}
	}
}

sp_api::decl_runtime_apis! {
	/// Reads the stake registry.
	#[api_version(2)]
	pub trait StakingApi<AccountId: Codec, Balance: Codec> {
		/// One page of the registered candidates of `role`, in the order of storage.
		///
		/// Pass the last `stash` of a page as `start_after` for the next one; an empty page is the
		/// end. The cursor stays good when its candidate has left the registry meanwhile. `limit`
		/// is capped at [`MAX_PAGE`].
		fn candidates(
			role: Role,
			start_after: Option<AccountId>,
			limit: u32,
		) -> Vec<CandidateView<AccountId, Balance>>;

		/// The candidate that `stash` is registered as.
		fn candidate(stash: AccountId) -> Option<CandidateView<AccountId, Balance>>;

		/// The candidate that `operator` serves.
		fn candidate_by_operator(operator: AccountId) -> Option<CandidateView<AccountId, Balance>>;

		/// What `stash` has staked, and where; all zero for an account that never staked.
		fn staker(stash: AccountId) -> StakerView<AccountId, Balance>;

		/// Number and weight of the registered candidates of `role`.
		fn role_total(role: Role) -> RoleTotal<Balance>;

		/// The era that is running.
		fn era() -> EraView;

		/// The rules of staking.
		fn constants() -> ConstantsView<Balance>;

		/// What `staker` can claim now, by candidate.
		fn pending_rewards(staker: AccountId) -> Vec<RewardView<AccountId, Balance>>;

		/// The weight of `stash` at the beginning of `era`; `None` for eras to come and for those
		/// longer ago than the bonding duration.
		fn weight_at(stash: AccountId, era: u32) -> Option<Balance>;

		/// What the stake of `staker` behind `candidate` is and may bring; `None` if there is none.
		fn expected_return(staker: AccountId, candidate: AccountId) -> Option<ReturnView<Balance>>;

		/// The slashes of `stash` that wait to be applied.
		fn pending_slashes(stash: AccountId) -> Vec<SlashView>;

		/// The two pots.
		fn pots() -> Vec<PotView<AccountId>>;
	}
}
