//! What the pallet stores.

use alloc::{string::String, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use cuckoo_staking_math::{Accumulator, Balance, Claim, Perbill, Stake};
use cuckoo_staking_runtime_api::Role;
use frame::{
	deps::frame_support::{
		CloneNoBound, DebugNoBound, DefaultNoBound, EqNoBound, PartialEqNoBound,
	},
	prelude::{BoundedVec, ConstU32},
};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};

use crate::Config;

/// The URL of a place where a coordinator listens, in UTF-8, at most 128 bytes.
pub type Endpoint = BoundedVec<u8, ConstU32<128>>;

/// What a candidate shows to others.
#[derive(
	Clone,
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
pub struct CandidateInfo {
	/// The name to show, in UTF-8, at most 64 bytes.
	pub name: BoundedVec<u8, ConstU32<64>>,
	/// How to reach the person who runs it, in UTF-8, at most 128 bytes.
	pub contact: BoundedVec<u8, ConstU32<128>>,
	/// Where a coordinator listens: one to four URLs. Other roles have none.
	pub endpoints: BoundedVec<Endpoint, ConstU32<4>>,
	/// SHA-256 fingerprint of the coordinator's TLS certificate, if it is not issued by a public
	/// authority. Other roles have none.
	pub certificate: Option<[u8; 32]>,
}

/// A registered stash.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Candidate<AccountId> {
	/// The account that runs the program and signs for it.
	pub operator: AccountId,
	/// What it shows to others.
	pub info: CandidateInfo,
	/// The era in which it registered.
	pub registered_at: u32,
	/// The era from which it has no part in its role, if it is in jail or its self-stake fell below
	/// the role's minimum.
	pub inactive_from: Option<u32>,
}

/// What a staker has behind one candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Backing {
	/// Its part of the candidate's pool.
	pub stake: Stake,
	/// What it has earned and not been paid.
	pub claim: Claim,
}

/// Stake that began to unbond in one era.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Chunk {
	/// How much, in planck.
	pub amount: Balance,
	/// The era from which it can be withdrawn.
	pub until_era: u32,
}

/// Stake that left a candidate in one era and answers for what the candidate did before.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Exposure<AccountId> {
	/// The candidate that was left.
	pub candidate: AccountId,
	/// The era in which the stake left.
	pub left_era: u32,
	/// Its part of the candidate's sub-pool of that era.
	pub stake: Stake,
}

/// What one staker has outside the pools. A staker without all of it has no ledger.
#[derive(
	CloneNoBound,
	DebugNoBound,
	DefaultNoBound,
	PartialEqNoBound,
	EqNoBound,
	Encode,
	Decode,
	MaxEncodedLen,
	TypeInfo,
)]
#[scale_info(skip_type_params(T))]
#[codec(mel_bound())]
pub struct Ledger<T: Config> {
	/// Stake that backs nobody, in planck.
	pub idle: Balance,
	/// What is owed for slashes of candidates that were left, in planck. It is taken as soon as
	/// stake is idle or unbonding, so it is more than zero only while all stake backs somebody.
	pub debt: Balance,
	/// How many candidates other than itself the staker backs.
	pub votes: u32,
	/// Stake on its way out, the earliest first, at most one chunk an era.
	pub unbonding: BoundedVec<Chunk, T::MaxChunks>,
	/// Liabilities for candidates that were left, the earliest first, at most one for each candidate
	/// and era.
	pub exposures: BoundedVec<Exposure<T::AccountId>, T::MaxExposures>,
}

/// The era that is running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct EraInfo {
	/// Its number, counted from 0 at genesis.
	pub index: u32,
	/// Its first session.
	pub first_session: u32,
	/// The slot in which it began; 0 until the first block of the chain.
	pub started_at: u64,
}

/// What a candidate's pool has earned. Kept as long as the pool, and until the commission is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Earnings {
	/// The weight with which it shares in the reward of its role; 0 while it earns nothing by
	/// weight: in jail, below the minimum, not registered, or a validator.
	pub weight: Balance,
	/// Its part of the reward of the role.
	pub claim: Claim,
	/// What a share of the pool has earned.
	pub per_share: Accumulator,
	/// What it keeps of the reward of those who back it.
	pub commission: Perbill,
	/// The era in which the commission was raised last.
	pub raised_at: Option<u32>,
	/// The commission that has not been paid, in planck.
	pub commission_due: Balance,
}

/// The reward of one role, which flows slot by slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct RoleFlow {
	/// What the role gets in the running era, in planck.
	pub budget: Balance,
	/// How much of that has flowed.
	pub flowed: Balance,
	/// The sum of the weights that share in it.
	pub weight: Balance,
	/// What a planck of weight has earned.
	pub per_weight: Accumulator,
}

/// What becomes of a staker's rewards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Payout {
	/// Where they go.
	pub destination: RewardDestination,
	/// Whether others may claim them for the staker.
	pub claim_for: bool,
}

/// Where rewards go when they are claimed.
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
pub enum RewardDestination {
	/// To the free balance.
	#[default]
	#[codec(index = 0)]
	Free,
	/// Behind the candidate through which they were earned.
	#[codec(index = 1)]
	Compound,
}

/// A slash that waits to be applied.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct PendingSlash<AccountId> {
	/// Who is slashed.
	pub candidate: AccountId,
	/// The part of what is left of the stake.
	pub fraction: Perbill,
	/// The era of the offence: who left in it or later is slashed, too.
	pub offence_era: u32,
	/// The era from which it is applied.
	pub apply_era: u32,
}

/// The slashes in the order in which they will be applied: the first number that waits, and the first
/// that is not given yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct SlashQueue {
	/// The number of the slash that comes next.
	pub next: u32,
	/// The number that the next slash will get.
	pub end: u32,
}

/// What is known of somebody who was reported for an offence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Offender {
	/// The era from which it may leave the jail, while it is there.
	pub jailed_until: Option<u32>,
	/// How many slashes wait.
	pub pending: u32,
	/// Whether one was applied since it went to jail.
	pub applied: bool,
	/// The part by which it is slashed for the offences of each era, the latest last.
	pub offences: BoundedVec<(u32, Perbill), ConstU32<MAX_HISTORY>>,
}

/// The most eras of which something is remembered; more than an exposure lasts.
pub const MAX_HISTORY: u32 = 32;

/// The weight of a candidate at the beginning of past eras: an entry for each era in which it
/// changed, the latest last.
pub type WeightHistory = BoundedVec<(u32, Balance), ConstU32<MAX_HISTORY>>;

/// A candidate registered from the start of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenesisCandidate<AccountId> {
	/// The account that stakes. It must own `self_stake` and the existential deposit.
	pub stash: AccountId,
	/// The account that runs the program. No proof is asked for.
	pub operator: AccountId,
	/// What it does.
	pub role: Role,
	/// What it has behind itself, in planck: at least the role's minimum.
	pub self_stake: Balance,
	/// The name to show, at most 64 bytes.
	pub name: String,
	/// Where a coordinator listens: one to four URLs of at most 128 bytes. Empty for other roles.
	#[serde(default)]
	pub endpoints: Vec<String>,
}
