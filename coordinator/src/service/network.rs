//! The coordinator and its network in one piece of data, for a page that shows them.

use super::{Service, State};
use crate::scheduler::{App, Load, Millis};
use bytes::Bytes;
use cuckoo_coordinator_api::app::{CoordinatorInfo, MinerView};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer serves everybody who asks: it takes time in the number of miners.
const FRESH: Duration = Duration::from_secs(1);
/// Miners that are told one by one, those with the most stake.
const MINERS: usize = 30;
/// Thousandths of a work unit of a picture of 512×512 in 20 steps: for such a one, of an app with nothing
/// else to do, waiting times are told.
const USUAL_WORK: u64 = 5_000;
/// Models whose load is told, those with the most stake.
const MODELS: usize = 10;

/// The last answer, and when it was made.
pub(super) type Answer = Option<(Instant, Bytes)>;

/// How the coordinator and its network are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NetworkStatus {
	/// Who it is, and how busy.
	coordinator: CoordinatorInfo,
	/// Whether it takes offers.
	accepting: bool,
	/// When it started, in milliseconds since the Unix epoch: counts of tasks begin there.
	started_at: Millis,
	/// How busy the miners of each model are.
	load: Vec<ModelLoad>,
	/// The miners with the most stake.
	miners: Vec<MinerView>,
	/// The other ones together.
	others: Others,
}

/// How busy the miners of a model are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelLoad {
	/// Name of the model.
	model: String,
	/// Tasks that wait for it.
	queued: usize,
	/// Tasks that its live miners can hold at once.
	slots: usize,
	/// How many more they could take now.
	free_slots: usize,
	/// Expected time until a miner begins a task that is offered now, in seconds; none if that is not
	/// known.
	wait_seconds: Option<f64>,
}

/// Several miners together.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Others {
	/// How many they are.
	miners: usize,
	/// How many of them are live.
	live: usize,
	/// Their part of the stake, from 0 to 1.
	share: f64,
	/// Tasks that they have finished.
	tasks_done: u64,
	/// Leases that they lost or gave back with a fault.
	tasks_failed: u64,
}

impl Service {
	/// How the coordinator and its network are, as JSON; at most a second old.
	pub(crate) fn network_status(&self) -> Bytes {
		let mut answer = self.network.lock();
		match &*answer {
			Some((made, json)) if made.elapsed() < FRESH => json.clone(),
			_ => {
				let status = self.with(|state, _| self.look(state));
				let json = serde_json::to_vec(&status).expect("numbers and names are JSON; qed");
				let json = Bytes::from(json);
				*answer = Some((Instant::now(), json.clone()));
				json
			},
		}
	}

	fn look(&self, state: &State) -> NetworkStatus {
		let coordinator = self.describe(state);
		let load = coordinator.models.iter().take(MODELS).map(|model| {
			let load = state.scheduler.load(model);
			let Load { queued, slots, free } = load;
			let wait_seconds = state.wait_seconds(&App::default(), model, USUAL_WORK, load);
			ModelLoad { model: model.clone(), queued, slots, free_slots: free, wait_seconds }
		});
		let load = load.collect();
		let mut miners = state.scheduler.miners();
		let mut others = Others::default();
		for miner in miners.drain(MINERS.min(miners.len())..) {
			others.miners += 1;
			others.live += usize::from(miner.live);
			others.share += miner.share;
			others.tasks_done += miner.tasks_done;
			others.tasks_failed += miner.tasks_failed;
		}
		NetworkStatus {
			coordinator,
			accepting: !state.scheduler.is_draining(),
			started_at: self.started_at,
			load,
			miners,
			others,
		}
	}
}
