//! What all parts of a running miner share.

use crate::{
	earnings::Earnings,
	history::History,
	report::{Standing, Totals},
	sensors::{Reading, Sensors},
	turns::Turns,
	worker::{Activity, Workers},
};
use cuckoo_chain_client::{AccountId32, Keypair};
use cuckoo_coordinator_api::miner::{
	DeviceReport, ModelOffer, SpeedReport, DEVICE_NAME_BYTES, MAX_DEVICES, MAX_POLL_SECONDS,
};
use parking_lot::Mutex;
use std::sync::{
	atomic::{AtomicUsize, Ordering},
	Arc,
};
use tokio::sync::watch;
use tracing::warn;

/// With fewer slots than coordinators the miner goes round them, and comes back to each after so
/// many seconds, so that a task that one of them holds ready for it is picked up soon.
const ROUND_SECONDS: u64 = 4;

/// Who the miner is.
pub struct Identity {
	/// The operator's key.
	pub keypair: Keypair,
	/// The account for whose stake it works.
	pub stash: AccountId32,
	/// Genesis hash of the chain.
	pub genesis: [u8; 32],
}

/// What all parts of a running miner share.
pub struct Context {
	/// The operator's key.
	pub keypair: Keypair,
	/// The account for whose stake it works.
	pub stash: AccountId32,
	/// Genesis hash of the chain.
	pub genesis: [u8; 32],
	/// What it serves now.
	pub offers: watch::Sender<Vec<ModelOffer>>,
	/// How fast it is with its models, as measured at the start.
	pub speeds: Vec<SpeedReport>,
	/// Tasks that it may hold at once.
	pub slot_count: u32,
	/// The slots that are free, and whose turn it is.
	pub turns: Arc<Turns>,
	/// Coordinators that it is connected to now.
	pub connected: AtomicUsize,
	/// The render threads.
	pub workers: Workers,
	/// What it has done so far.
	pub totals: Totals,
	/// What it has done, on the disk.
	pub history: History,
	/// What it has earned.
	pub earnings: Mutex<Earnings>,
	/// How it stands among the miners, and with its coordinators.
	pub standing: Mutex<Standing>,
	/// Readings of its devices.
	pub sensors: Sensors,
}

impl Context {
	/// With all slots free and nothing done.
	pub fn new(
		Identity { keypair, stash, genesis }: Identity,
		offers: Vec<ModelOffer>,
		speeds: Vec<SpeedReport>,
		slot_count: u32,
		workers: Workers,
		history: History,
		sensors: Sensors,
	) -> Self {
		Self {
			keypair,
			stash,
			genesis,
			offers: watch::Sender::new(offers),
			speeds,
			slot_count,
			turns: Turns::new(slot_count as usize),
			connected: AtomicUsize::new(0),
			workers,
			totals: Totals::default(),
			history,
			earnings: Mutex::default(),
			standing: Mutex::default(),
			sensors,
		}
	}

	/// How long one poll should wait for work, in seconds.
	pub fn poll_seconds(&self) -> u64 {
		let coordinators = self.connected.load(Ordering::Relaxed) as u64;
		poll_seconds(u64::from(self.slot_count), coordinators)
	}

	/// The digest of a model that it serves, 64 hexadecimal digits.
	pub fn digest(&self, model: &str) -> Option<String> {
		let offers = self.offers.borrow();
		offers.iter().find(|offer| offer.name == model).map(|offer| offer.digest.clone())
	}

	/// Offers a model no longer.
	pub fn withdraw(&self, model: &str) {
		self.offers.send_if_modified(|offers| {
			let before = offers.len();
			offers.retain(|offer| offer.name != model);
			before != offers.len()
		});
		warn!("the model {model} is not offered any more: repair it, then start again");
	}

	/// Its devices, as coordinators are told.
	pub fn devices(&self) -> Vec<DeviceReport> {
		let report = |activity: &Arc<Activity>| {
			let Reading { name, memory_total, .. } = self.sensors.read(activity.device);
			let mut name = name.unwrap_or_else(|| activity.device.to_string());
			name.truncate(name.floor_char_boundary(DEVICE_NAME_BYTES));
			DeviceReport { name, memory_mib: memory_total.unwrap_or_default() >> 20 }
		};
		self.workers.activities().iter().take(MAX_DEVICES).map(report).collect()
	}

	/// How fast it is with the models that it serves now.
	pub fn speeds(&self) -> Vec<SpeedReport> {
		let offers = self.offers.borrow();
		let served = |speed: &&SpeedReport| offers.iter().any(|offer| offer.name == speed.model);
		self.speeds.iter().filter(served).cloned().collect()
	}

	/// What it has earned.
	pub fn earnings(&self) -> Earnings {
		*self.earnings.lock()
	}

	/// How it stands.
	pub fn standing(&self) -> Standing {
		self.standing.lock().clone()
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
