//! The network that both pallets run: the same validators, voters and amounts.
//!
//! All voters are behind one validator, and behind no other: nothing is easier for an election that
//! looks at every voter, and nothing harder for whatever touches a validator's voters.

use cuckoo_staking_math::{Balance, Perbill};
use frame::deps::sp_runtime::AccountId32;

use crate::count::REPEATS;

pub type AccountId = AccountId32;

/// One CAI in planck.
pub const CAI: Balance = 1_000_000_000_000_000_000;
/// How many validators stand for election: as many as our ranking holds.
pub const VALIDATORS: u32 = 256;
/// How many of them are elected.
pub const ELECTED: u32 = 64;
/// Sessions in an era.
pub const SESSIONS: u32 = 6;
/// Eras in which stake that leaves answers for what was done before.
pub const BONDING: u32 = 28;
/// Eras from the report of a slash to its application.
pub const DEFER: u32 = 4;
/// What a validator owns.
pub const VALIDATOR_FUNDS: Balance = 1_000_000 * CAI;
/// What a voter owns, and how much of it is at stake.
pub const VOTER_FUNDS: Balance = 1_000 * CAI;
pub const VOTER_STAKE: Balance = 100 * CAI;
/// The part that a slash takes.
pub const SLASH: Perbill = Perbill::from_percent(10);

/// The `n`th validator.
pub fn validator(n: u32) -> AccountId {
	account(1, n)
}

/// The account that runs the `n`th validator.
pub fn operator(n: u32) -> AccountId {
	account(2, n)
}

/// The `n`th voter.
pub fn voter(n: u32) -> AccountId {
	account(3, n)
}

/// What the `n`th validator has at stake itself. The first has the most.
pub fn self_stake(n: u32) -> Balance {
	(200_000 + Balance::from(VALIDATORS - n)) * CAI
}

/// The validator that all voters are behind.
pub fn favourite() -> AccountId {
	validator(0)
}

/// The voter that the `run`th measurement of an operation is made with, of `voters` in all: another
/// one each time.
pub fn chosen(run: u32, voters: u32) -> AccountId {
	voter(run * (voters / (REPEATS + 1)))
}

fn account(kind: u8, n: u32) -> AccountId {
	let mut bytes = [kind; 32];
	bytes[..4].copy_from_slice(&n.to_be_bytes());
	AccountId::new(bytes)
}
