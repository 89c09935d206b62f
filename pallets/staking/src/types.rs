//! What the pallet stores.

use alloc::{string::String, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use cuckoo_staking_math::{Balance, Position};
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
	/// How much left, in planck. What the position is worth less is owed.
	pub amount: Balance,
	/// The shares of the candidate's sub-pool of that era.
	pub position: Position,
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
}

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
