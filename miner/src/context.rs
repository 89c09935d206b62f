//! What all parts of a running miner share.

use crate::{report::Totals, worker::Worker};
use cuckoo_chain_client::Keypair;
use cuckoo_coordinator_api::miner::{ModelOffer, MAX_POLL_SECONDS};
use std::sync::{
	atomic::{AtomicUsize, Ordering},
	Arc,
};
use tokio::sync::Semaphore;

/// With fewer slots than coordinators the miner goes round them, and comes back to each after so
/// many seconds, so that a task that one of them holds ready for it is picked up soon.
const ROUND_SECONDS: u64 = 4;

/// What all parts of a running miner share.
pub struct Context {
	/// The operator's key.
	pub keypair: Keypair,
	/// Genesis hash of the chain.
	pub genesis: [u8; 32],
	/// What it serves.
	pub models: Vec<ModelOffer>,
	/// Tasks that it may hold at once.
	pub slot_count: u32,
	/// The slots that are free.
	pub slots: Arc<Semaphore>,
	/// Coordinators that it is connected to now.
	pub connected: AtomicUsize,
	/// The render thread.
	pub worker: Worker,
	/// What it has done so far.
	pub totals: Totals,
}

impl Context {
	/// With all slots free and nothing done.
	pub fn new(
		keypair: Keypair,
		genesis: [u8; 32],
		models: Vec<ModelOffer>,
		slot_count: u32,
		worker: Worker,
	) -> Self {
		Self {
			keypair,
			genesis,
			models,
			slot_count,
			slots: Arc::new(Semaphore::new(slot_count as usize)),
			connected: AtomicUsize::new(0),
			worker,
			totals: Totals::default(),
		}
	}

	/// How long one poll should wait for work, in seconds.
	pub fn poll_seconds(&self) -> u64 {
		let coordinators = self.connected.load(Ordering::Relaxed) as u64;
		poll_seconds(u64::from(self.slot_count), coordinators)
	}
}

fn poll_seconds(slots: u64, coordinators: u64) -> u64 {
	if slots >= coordinators {
		MAX_POLL_SECONDS
	} else {
		(ROUND_SECONDS * slots / coordinators).max(1)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn few_slots_go_round_many_coordinators() {
		assert_eq!(poll_seconds(1, 0), MAX_POLL_SECONDS);
		assert_eq!(poll_seconds(1, 1), MAX_POLL_SECONDS);
		assert_eq!(poll_seconds(4, 3), MAX_POLL_SECONDS);
		assert_eq!(poll_seconds(1, 2), 2);
		assert_eq!(poll_seconds(1, 3), 1);
		assert_eq!(poll_seconds(1, 30), 1);
	}
}
