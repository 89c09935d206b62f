//! What the stash has earned, looked up on the chain once an era and written to the history.

use crate::{context::Context, history::Event};
use cuckoo_chain_client::{format_cai, ChainClient, Registry};
use std::sync::Arc;
use tokio::sync::watch;
use tracing::{debug, info};

/// Amounts in planck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earnings {
	/// What the stash can claim for itself, commission included; `None` until the chain has told.
	pub pending: Option<u128>,
	/// What was earned since the start of this program, at least.
	pub since_start: u128,
}

impl Earnings {
	/// Takes in what can be claimed now; what was earned since the last look, at least. What was
	/// claimed in between does not show.
	fn look(&mut self, pending: u128) -> u128 {
		let earned = match self.pending {
			None => 0,
			Some(before) if pending >= before => pending - before,
			Some(_) => pending,
		};
		self.pending = Some(pending);
		self.since_start = self.since_start.saturating_add(earned);
		earned
	}
}

/// Looks at the start and at the beginning of each era, as long as the registry is followed.
pub async fn follow(
	context: Arc<Context>,
	client: ChainClient,
	mut registry: watch::Receiver<Arc<Registry>>,
) {
	let mut looked = None;
	loop {
		let era = registry.borrow_and_update().era;
		if looked != Some(era) {
			match client.pending_reward(&context.stash).await {
				Ok(pending) => {
					let earned = {
						let mut earnings = context.earnings.lock();
						earnings.look(pending)
					};
					// The first look has nothing to compare with.
					if looked.replace(era).is_some() {
						info!(
							"era {era} has begun: {} CAI earned in the last one, {} CAI can be claimed",
							format_cai(earned),
							format_cai(pending)
						);
						context.history.record(Event::Era { era, pending, earned }).await;
					}
				},
				Err(error) => debug!("the earnings are not known now: {error}"),
			}
		}
		if registry.changed().await.is_err() {
			return;
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn claims_do_not_count_as_losses() {
		let mut earnings = Earnings::default();
		assert_eq!(earnings.look(100), 0, "it was earned before");
		assert_eq!(earnings.look(130), 30);
		assert_eq!(earnings.look(20), 20, "130 were claimed, then 20 earned");
		assert_eq!(earnings, Earnings { pending: Some(20), since_start: 50 });
	}
}
