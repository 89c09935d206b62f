//! Following the registry from finalized block to finalized block.

use crate::{
	client::{ChainClient, ANSWER_TIMEOUT},
	error::{describe, ChainError},
	registry::Registry,
};
use futures::FutureExt as _;
use std::{sync::Arc, time::Duration};
use tokio::{
	sync::watch,
	time::{sleep, timeout, Instant},
};

/// Pause before the first new try after a failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A connection on which no block was finalized for this long is looked at, for it may be dead.
const SILENCE: Duration = Duration::from_mins(1);

/// Reads the registry, and goes on reading it at each finalized block in a background task, until
/// every receiver is gone.
///
/// When the node cannot be reached, the task tries again and again with growing pauses, and the last
/// registry stays in place. It does so as well when the node has come back with another genesis, or
/// with a runtime that this program does not understand, and logs that as an error.
///
/// Needs to be called within a Tokio runtime. Fails when the registry cannot be read now.
pub async fn watch_registry(
	client: ChainClient,
) -> Result<watch::Receiver<Arc<Registry>>, ChainError> {
	let first = client.registry().await?;
	let (sender, receiver) = watch::channel(Arc::new(first));
	tokio::spawn(async move {
		tokio::select! {
			() = sender.closed() => {},
			() = follow(&client, &sender) => {},
		}
	});
	Ok(receiver)
}

/// Never ends.
async fn follow(client: &ChainClient, sender: &watch::Sender<Arc<Registry>>) {
	let mut pause = FIRST_PAUSE;
	loop {
		let begin = Instant::now();
		let error = follow_connection(client, sender).await;
		if begin.elapsed() > LONGEST_PAUSE {
			pause = FIRST_PAUSE;
		}
		let block = sender.borrow().block;
		let wait = pause.as_secs_f32();
		match error {
			error @ (ChainError::WrongChain { .. } | ChainError::Incompatible { .. }) => {
				tracing::error!(
					"{error}; the registry stays at block {block}, next try in {wait} s"
				);
			},
			error => {
				tracing::warn!(
					"{error}; the registry stays at block {block}, next try in {wait} s"
				);
			},
		}
		sleep(pause).await;
		pause = (pause * 2).min(LONGEST_PAUSE);
	}
}

/// Reads the registry at each finalized block as long as that works.
async fn follow_connection(
	client: &ChainClient,
	sender: &watch::Sender<Arc<Registry>>,
) -> ChainError {
	match follow_blocks(client, sender).await {
		Ok(never) => match never {},
		Err(error) => error,
	}
}

async fn follow_blocks(
	client: &ChainClient,
	sender: &watch::Sender<Arc<Registry>>,
) -> Result<std::convert::Infallible, ChainError> {
	let request = |reason: String| ChainError::Request { what: "the finalized blocks", reason };

	// Reading first makes sure that there is a connection.
	update(client, sender).await?;
	let online = client.api().await;
	let mut blocks = timeout(ANSWER_TIMEOUT, online.stream_blocks())
		.await
		.map_err(|_| request("no answer".into()))?
		.map_err(|error| request(describe(&error)))?;
	loop {
		match timeout(SILENCE, blocks.next()).await {
			Ok(Some(Ok(_))) => {},
			Ok(Some(Err(error))) => return Err(request(describe(&error))),
			Ok(None) => return Err(request("the connection was closed".into())),
			// If the connection is dead this fails, or opens another one, which has its own blocks.
			Err(_) => {
				update(client, sender).await?;
				return Err(request(format!("none for {} seconds", SILENCE.as_secs())));
			},
		}
		// Several blocks are finalized at once: only the last one counts.
		while let Some(Some(Ok(_))) = blocks.next().now_or_never() {}
		update(client, sender).await?;
	}
}

async fn update(
	client: &ChainClient,
	sender: &watch::Sender<Arc<Registry>>,
) -> Result<(), ChainError> {
	let registry = client.registry().await?;
	sender.send_if_modified(|last| {
		let changed = registry.block != last.block;
		if changed {
			*last = Arc::new(registry);
		}
		changed
	});
	Ok(())
}
