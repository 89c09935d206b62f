//! The weights of the calls and hooks.
//!
//! [`WeightInfo`] names them. A runtime measures them by the benchmarks; the estimates here serve
//! runtimes that have not, such as those of tests.

use frame::deps::frame_support::weights::{constants::ParityDbWeight, Weight};

/// The weight of each call and hook.
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
	/// Of `claim` and `claim_for`, compounding included.
	fn claim() -> Weight;
	/// Of `set_reward_destination` and `set_claim_for`.
	fn set_payout() -> Weight;
	/// Of `set_commission`.
	fn set_commission() -> Weight;
	/// Of `settle`.
	fn settle() -> Weight;
	/// Of `slash`, and of each offender that another pallet reports.
	fn slash() -> Weight;
	/// Of `cancel_slash`.
	fn cancel_slash() -> Weight;
	/// Of `unjail`.
	fn unjail() -> Weight;
	/// Of `set_emission`.
	fn set_emission() -> Weight;
	/// Of `set_reward_split`.
	fn set_reward_split() -> Weight;
	/// Of `set_keys`, the session pallet's part included.
	fn set_keys() -> Weight;
	/// Of a block in which no slash is applied.
	fn on_initialize() -> Weight;
	/// Of applying one slash to a pool and the most sub-pools.
	fn apply_slash() -> Weight;
	/// Of paying the author of a block.
	fn note_author() -> Weight;
	/// Of ending an era and beginning the next.
	fn begin_era() -> Weight;
	/// Of an election among `ranked` validators.
	fn elect(ranked: u32) -> Weight;
}

/// Time of a call that computes next to nothing, in picoseconds.
const BASE_TIME: u64 = 25_000_000;
/// Time of one signature check, in picoseconds.
const SIGNATURE_TIME: u64 = 60_000_000;
/// Time of decoding, searching and encoding the ranking, in picoseconds.
const RANKING_TIME: u64 = 30_000_000;
/// Bytes of proof for one storage item.
const ITEM_PROOF: u64 = 4_096;
/// What touching a ledger with the most exposures costs: the ledger and the era, and a sub-pool for
/// each exposure.
const LEDGER_READS: u64 = 2 + 32;
/// Writes for the same, and for burning a debt.
const LEDGER_WRITES: u64 = 4 + 32;

fn estimate(time: u64, reads: u64, writes: u64) -> Weight {
	Weight::from_parts(time, ITEM_PROOF.saturating_mul(reads))
		.saturating_add(ParityDbWeight::get().reads_writes(reads, writes))
}

/// Estimates, counted by hand.
impl WeightInfo for () {
	fn stake() -> Weight {
		// Account, holds, ledger.
		estimate(BASE_TIME, 3 + LEDGER_READS, 2 + LEDGER_WRITES)
	}

	fn unstake() -> Weight {
		estimate(BASE_TIME, LEDGER_READS, LEDGER_WRITES)
	}

	fn withdraw() -> Weight {
		// Account, holds, ledger.
		estimate(BASE_TIME, 2 + LEDGER_READS, 2 + LEDGER_WRITES)
	}

	fn register() -> Weight {
		// Genesis hash, operator, and all that a vote touches.
		estimate(BASE_TIME + SIGNATURE_TIME + RANKING_TIME, 16 + LEDGER_READS, 12 + LEDGER_WRITES)
	}

	fn deregister() -> Weight {
		estimate(BASE_TIME + RANKING_TIME, 10, 9)
	}

	fn set_operator() -> Weight {
		estimate(BASE_TIME + SIGNATURE_TIME, 5, 3)
	}

	fn set_info() -> Weight {
		estimate(BASE_TIME, 2, 1)
	}

	fn vote() -> Weight {
		// Role, era, flow, pot, earnings, position, pool, offender, candidate, totals, history, ranking.
		estimate(BASE_TIME + RANKING_TIME, 13 + LEDGER_READS, 11 + LEDGER_WRITES)
	}

	fn unvote() -> Weight {
		// As a vote, a sub-pool, and a payment.
		estimate(BASE_TIME + RANKING_TIME, 16 + LEDGER_READS, 14 + LEDGER_WRITES)
	}

	fn move_vote() -> Weight {
		// Both.
		estimate(BASE_TIME + 2 * RANKING_TIME, 26 + LEDGER_READS, 22 + LEDGER_WRITES)
	}

	fn rank() -> Weight {
		estimate(BASE_TIME + RANKING_TIME, 3, 1)
	}

	fn set_validator_count() -> Weight {
		estimate(BASE_TIME, 1, 1)
	}

	fn claim() -> Weight {
		// A payment and a vote.
		estimate(BASE_TIME + RANKING_TIME, 22 + LEDGER_READS, 18 + LEDGER_WRITES)
	}

	fn set_payout() -> Weight {
		estimate(BASE_TIME, 1, 1)
	}

	fn set_commission() -> Weight {
		estimate(BASE_TIME, 7, 4)
	}

	fn settle() -> Weight {
		// As a vote taken back.
		estimate(BASE_TIME + RANKING_TIME, 16 + LEDGER_READS, 14 + LEDGER_WRITES)
	}

	fn slash() -> Weight {
		estimate(BASE_TIME + RANKING_TIME, 12, 9)
	}

	fn cancel_slash() -> Weight {
		estimate(BASE_TIME + RANKING_TIME, 11, 8)
	}

	fn unjail() -> Weight {
		estimate(BASE_TIME + RANKING_TIME, 11, 7)
	}

	fn set_emission() -> Weight {
		estimate(BASE_TIME, 1, 1)
	}

	fn set_reward_split() -> Weight {
		estimate(BASE_TIME, 1, 1)
	}

	fn set_keys() -> Weight {
		// Role, era, last change; the keys, their old and new owners, deposit and account.
		estimate(BASE_TIME + 2 * SIGNATURE_TIME, 14, 12)
	}

	fn on_initialize() -> Weight {
		estimate(BASE_TIME, 3, 1)
	}

	fn apply_slash() -> Weight {
		estimate(BASE_TIME + RANKING_TIME, 12 + 32, 10 + 32)
	}

	fn note_author() -> Weight {
		estimate(BASE_TIME, 5, 3)
	}

	fn begin_era() -> Weight {
		estimate(BASE_TIME, 14, 10)
	}

	fn elect(ranked: u32) -> Weight {
		// The keys, the offender, the pool and the self-stake of each.
		estimate(BASE_TIME, u64::from(ranked).saturating_mul(4), 1)
	}
}
