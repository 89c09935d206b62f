//! The weights of the calls.
//!
//! Estimated by hand: the storage items that a call reads and writes in its worst case, the proof
//! size that these items have at most, and a generous time for the computation itself (a
//! signature check, where there is one).

use core::marker::PhantomData;

use frame::{
	deps::frame_support::weights::{constants::ParityDbWeight, Weight},
	prelude::{frame_system, Get},
};

/// The weight of each call.
pub trait WeightInfo {
	/// Of `stake`.
	fn stake() -> Weight;
	/// Of `unstake`.
	fn unstake() -> Weight;
	/// Of `withdraw`.
	fn withdraw() -> Weight;
	/// Of `register`.
	fn register() -> Weight;
	/// Of `deregister`.
	fn deregister() -> Weight;
	/// Of `set_operator`.
	fn set_operator() -> Weight;
	/// Of `set_info`.
	fn set_info() -> Weight;
	/// Of `vote`.
	fn vote() -> Weight;
	/// Of `unvote`.
	fn unvote() -> Weight;
	/// Of `move_vote`.
	fn move_vote() -> Weight;
	/// Of `rank`.
	fn rank() -> Weight;
	/// Of `set_validator_count`.
	fn set_validator_count() -> Weight;
}

/// Time of a call that computes next to nothing, in picoseconds.
const BASE_TIME: u64 = 25_000_000;
/// Time of one signature check, in picoseconds.
const SIGNATURE_TIME: u64 = 60_000_000;
/// Time of decoding, searching and encoding the ranking, in picoseconds.
const RANKING_TIME: u64 = 30_000_000;
/// Bytes of proof for one small storage item.
const ITEM_PROOF: u64 = 4_096;
/// Bytes of proof for the ranking.
const RANKING_PROOF: u64 = 16_384;

/// What touching a ledger with its exposures costs: the ledger itself, and one sub-pool for each
/// exposure that has expired since the last touch.
const LEDGER_READS: u64 = 2 + 32;
/// Writes for the same.
const LEDGER_WRITES: u64 = 1 + 32;

fn items(time: u64, count: u64) -> Weight {
	Weight::from_parts(time, ITEM_PROOF * count)
}

fn with_ranking(weight: Weight) -> Weight {
	weight.saturating_add(Weight::from_parts(RANKING_TIME, RANKING_PROOF))
}

macro_rules! impl_weights {
	($type:ty, $($generic:ident)?, $db:expr) => {
		impl $(<$generic: frame_system::Config>)? WeightInfo for $type {
			fn stake() -> Weight {
				// Account, holds, ledger.
				items(BASE_TIME, 2 + LEDGER_READS)
					.saturating_add($db.reads_writes(2 + LEDGER_READS, 2 + LEDGER_WRITES))
			}

			fn unstake() -> Weight {
				items(BASE_TIME, LEDGER_READS)
					.saturating_add($db.reads_writes(LEDGER_READS, LEDGER_WRITES))
			}

			fn withdraw() -> Weight {
				// Account, holds, ledger.
				items(BASE_TIME, 2 + LEDGER_READS)
					.saturating_add($db.reads_writes(2 + LEDGER_READS, 2 + LEDGER_WRITES))
			}

			fn register() -> Weight {
				// Role, operator, genesis hash, pool, position, candidate, totals, ranking, ledger.
				with_ranking(items(BASE_TIME + SIGNATURE_TIME, 8 + LEDGER_READS))
					.saturating_add($db.reads_writes(8 + LEDGER_READS, 7 + LEDGER_WRITES))
			}

			fn deregister() -> Weight {
				// Role, candidate, operator, pool, totals, ranking.
				with_ranking(items(BASE_TIME, 6)).saturating_add($db.reads_writes(6, 5))
			}

			fn set_operator() -> Weight {
				// Role, candidate, genesis hash, two operators.
				items(BASE_TIME + SIGNATURE_TIME, 5).saturating_add($db.reads_writes(5, 3))
			}

			fn set_info() -> Weight {
				items(BASE_TIME, 2).saturating_add($db.reads_writes(2, 1))
			}

			fn vote() -> Weight {
				// Role, pool, position, totals, ranking, ledger.
				with_ranking(items(BASE_TIME, 5 + LEDGER_READS))
					.saturating_add($db.reads_writes(5 + LEDGER_READS, 4 + LEDGER_WRITES))
			}

			fn unvote() -> Weight {
				// Role, pool, position, sub-pool, totals, ranking, ledger.
				with_ranking(items(BASE_TIME, 6 + LEDGER_READS))
					.saturating_add($db.reads_writes(6 + LEDGER_READS, 5 + LEDGER_WRITES))
			}

			fn move_vote() -> Weight {
				// Two pools, positions, roles and totals, a sub-pool, the ranking, the ledger.
				with_ranking(items(BASE_TIME, 10 + LEDGER_READS))
					.saturating_add($db.reads_writes(10 + LEDGER_READS, 8 + LEDGER_WRITES))
			}

			fn rank() -> Weight {
				// Role, pool, ranking.
				with_ranking(items(BASE_TIME, 3)).saturating_add($db.reads_writes(3, 1))
			}

			fn set_validator_count() -> Weight {
				items(BASE_TIME, 1).saturating_add($db.reads_writes(1, 1))
			}
		}
	};
}

/// The weights for a runtime, with the runtime's own costs of the database.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl_weights!(SubstrateWeight<T>, T, T::DbWeight::get());
impl_weights!((), , ParityDbWeight::get());
