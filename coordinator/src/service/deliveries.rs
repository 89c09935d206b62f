//! Tells apps of their tasks: sends what is in the outbox when it is due.

use super::Service;
use crate::scheduler::Millis;
use crate::store::Entry;
use crate::webhooks::{Backoff, Delivery, Due, Outcome};
use futures::stream::{FuturesUnordered, StreamExt};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;
use tokio::time::{sleep, Instant};
use url::Url;

/// Most messages that are on their way at once.
const MAX_RUNNING: usize = 64;
/// How many of them may be on their way to one host: a slow one must not hold up the others.
const MAX_RUNNING_TO_HOST: usize = 4;
/// Longest sleep when nothing is due.
const IDLE: Duration = Duration::from_hours(1);

/// What waits for its time, and who is being called.
#[derive(Default)]
struct Agenda {
	due: BinaryHeap<Reverse<Due>>,
	/// By host: how many are on their way, and which messages wait until one of them has arrived.
	hosts: HashMap<String, (usize, VecDeque<u64>)>,
}

/// A message that is due, with its number.
type Ready = (u64, Delivery);

impl Service {
	/// Sends messages for as long as the coordinator lasts.
	pub(super) async fn deliver(&self) {
		let mut arriving = self.deliveries.lock().await;
		let mut agenda = Agenda::default();
		agenda.due.extend(self.left_deliveries.lock().drain(..).map(Reverse));
		let mut running = FuturesUnordered::new();
		loop {
			let now = self.clock.now();
			while running.len() < MAX_RUNNING {
				let Some(Reverse(due)) =
					agenda.due.peek().copied().filter(|first| first.0.at <= now)
				else {
					break;
				};
				agenda.due.pop();
				let Some(delivery) = self.read_delivery(due.number) else { continue };
				if let Some(ready) = agenda.begin((due.number, delivery)) {
					running.push(self.attempt(ready));
				}
			}
			let wait = agenda.due.peek().map_or(IDLE, |Reverse(first)| {
				Duration::from_millis(first.at.saturating_sub(now)).min(IDLE)
			});
			let full = running.len() >= MAX_RUNNING;
			tokio::select! {
				Some((host, again)) = running.next() => {
					agenda.due.extend(again.map(Reverse));
					if let Some(number) = agenda.end(&host) {
						// It goes first: its time has come before.
						agenda.due.push(Reverse(Due { at: 0, number }));
					}
				},
				Some(due) = arriving.recv() => agenda.due.push(Reverse(due)),
				() = sleep(wait), if !full => {},
			}
			self.metrics.webhooks.pending(agenda.waiting() + running.len());
		}
	}

	fn read_delivery(&self, number: u64) -> Option<Delivery> {
		self.journal.delivery(number).unwrap_or_else(|error| {
			tracing::error!(%error, number, "a message cannot be read");
			None
		})
	}

	/// Sends a message once and notes how that went; its host, and when to send it again.
	async fn attempt(&self, (number, delivery): Ready) -> (String, Option<Due>) {
		let begin = Instant::now();
		let outcome = self.webhooks.send(&delivery).await;
		let (took, tries, now) = (begin.elapsed(), delivery.tries + 1, self.clock.now());
		let Delivery { id, task, created_at, .. } = &delivery;
		let next = match &outcome {
			Outcome::Failed(_) => self.next_try(tries, *created_at, now),
			Outcome::Received | Outcome::Hopeless(_) => None,
		};
		let result = match (&outcome, next) {
			(Outcome::Received, _) => {
				tracing::debug!(%task, message = %id, tries, "the app is told");
				"received"
			},
			(Outcome::Failed(why), Some(at)) => {
				let seconds = at.saturating_sub(now) / 1000;
				tracing::info!(%task, message = %id, tries, seconds, %why, "the app cannot be told yet");
				"failed"
			},
			(Outcome::Failed(why) | Outcome::Hopeless(why), _) => {
				tracing::warn!(%task, message = %id, tries, %why, "the app is not told any more");
				"given_up"
			},
		};
		self.metrics.webhooks.sent(result, took);
		let due = next.map(|at| Due { at, number });
		self.journal.append(vec![match due {
			Some(due) => Entry::Postpone { due, tries },
			None => Entry::Delivered { number },
		}]);
		(host(&delivery), due)
	}

	fn next_try(&self, tries: u32, created: Millis, now: Millis) -> Option<Millis> {
		let backoff = Backoff { first: self.webhooks.options().first_retry };
		backoff.next(tries, created, now, &mut rand::thread_rng())
	}
}

impl Agenda {
	/// Notes that a message is on its way, and hands it back; unless too many are on their way to its
	/// host: then it waits.
	fn begin(&mut self, ready: Ready) -> Option<Ready> {
		let (running, waiting) = self.hosts.entry(host(&ready.1)).or_default();
		if *running < MAX_RUNNING_TO_HOST {
			*running += 1;
			Some(ready)
		} else {
			waiting.push_back(ready.0);
			None
		}
	}

	/// Notes that a message to a host has arrived, or has not; the number of one that waited for that.
	fn end(&mut self, host: &str) -> Option<u64> {
		let (running, waiting) = self.hosts.get_mut(host)?;
		*running -= 1;
		let next = waiting.pop_front();
		if *running == 0 && next.is_none() {
			self.hosts.remove(host);
		}
		next
	}

	/// How many messages are not on their way.
	fn waiting(&self) -> usize {
		let held_up = self.hosts.values().map(|(_, waiting)| waiting.len());
		self.due.len() + held_up.sum::<usize>()
	}
}

/// The host to which a message goes.
fn host(delivery: &Delivery) -> String {
	let url = Url::parse(&delivery.url).ok();
	url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}
