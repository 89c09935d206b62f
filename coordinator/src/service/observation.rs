//! What can be seen of the coordinator from outside.

use super::{Service, State};
use crate::metrics::{Metrics, Snapshot};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How old the registry may be: finality mostly takes some 20 seconds, and a node may restart.
const FRESH: Duration = Duration::from_mins(1);
/// How long the store may take for what it has to write.
const WRITE_TIME: Duration = Duration::from_secs(2);

/// How the coordinator is, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
	/// Whether it takes offers.
	pub accepting: bool,
	/// Number of the finalized block to which its registry belongs.
	pub finalized_block: u64,
	/// Miners that are connected and were heard of lately.
	pub live_miners: usize,
	/// Tasks that wait for a miner.
	pub queued: usize,
	/// Tasks that a miner holds.
	pub running: usize,
}

/// Whether to send work to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
	/// Whether.
	pub ready: bool,
	/// Why not.
	pub reasons: Vec<String>,
}

impl Service {
	/// How it is, in short.
	pub fn health(&self) -> Health {
		self.with(|state, _| Health {
			accepting: !state.scheduler.is_draining(),
			finalized_block: state.block,
			live_miners: state.scheduler.live_miners(),
			queued: state.scheduler.queued(),
			running: state.scheduler.running(),
		})
	}

	/// Whether it takes offers, knows who is registered, and can keep what it is told.
	pub async fn readiness(&self) -> Readiness {
		let (draining, age) =
			self.with(|state, _| (state.scheduler.is_draining(), state.registry_age()));
		let mut reasons = Vec::new();
		if draining {
			reasons.push("the coordinator is going down".to_owned());
		}
		if age.is_none_or(|age| age > FRESH) {
			reasons.push(match age {
				None => "the registry has not been read yet".to_owned(),
				Some(age) => format!(
					"the registry was read {} seconds ago: the node is away, or nothing is finalized",
					age.as_secs()
				),
			});
		}
		match timeout(WRITE_TIME, self.journal.written(self.journal.append(Vec::new()))).await {
			Ok(Ok(())) => {},
			Ok(Err(refusal)) => reasons.push(format!("the store has failed: {refusal}")),
			Err(_) => reasons.push("the store takes longer than two seconds to write".to_owned()),
		}
		Readiness { ready: reasons.is_empty(), reasons }
	}

	/// What is counted.
	pub fn metrics(&self) -> &Arc<Metrics> {
		&self.metrics
	}

	/// What is counted, in the text form of OpenMetrics.
	pub(crate) fn encode_metrics(&self) -> String {
		let now = self.with(|state, _| Snapshot {
			queued: state.scheduler.queued(),
			running: state.scheduler.running(),
			registered: state.scheduler.registered_miners(),
			live: state.scheduler.live_miners(),
			block: state.block,
			registry_age: state.registry_age().unwrap_or_default(),
			accepting: !state.scheduler.is_draining(),
		});
		self.metrics.encode(&now)
	}
}

impl State {
	/// Since when the registry is known, if it is.
	fn registry_age(&self) -> Option<Duration> {
		self.registry_read.map(|read| read.elapsed())
	}
}
