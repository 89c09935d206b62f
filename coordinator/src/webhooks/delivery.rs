//! A message for an app, and its place in the store.

use crate::scheduler::{Change, Millis, What};
use chrono::{DateTime, SecondsFormat};
use cuckoo_coordinator_api::{
	task::{TaskId, TaskStatus},
	webhook::{Webhook, WebhookEvent, WebhookSecret},
};
use serde::{Deserialize, Serialize};

/// A message that has not been received yet. Body and name are the same in every try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
	/// Name of the message, by which receivers know it again.
	pub id: String,
	/// About which task.
	pub task: TaskId,
	/// Where it is sent.
	pub url: String,
	/// With what it is signed.
	pub secret: WebhookSecret,
	/// JSON.
	pub body: String,
	/// When that happened of which it tells.
	pub created_at: Millis,
	/// How often it was sent in vain.
	pub tries: u32,
	/// When it is sent next.
	pub due_at: Millis,
}

/// When a message is to be sent. Ordered by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
	/// When.
	pub at: Millis,
	/// Its number in the store.
	pub number: u64,
}

#[derive(Serialize)]
struct Body<'a> {
	r#type: &'a str,
	timestamp: String,
	data: TaskStatus,
}

impl Delivery {
	/// The message that a change makes, if its app wants to be told.
	pub(crate) fn about(change: &Change) -> Option<Self> {
		let (event, record) = (change.event.as_ref()?, &change.record);
		let Webhook { url, secret, events } = record.webhook.as_ref()?;
		let told = match &event.what {
			What::Leased(lease) if lease.attempt == 1 => WebhookEvent::Start,
			_ if record.state.is_final() => WebhookEvent::Completed,
			_ => return None,
		};
		if !events.contains(&told) {
			return None;
		}
		let (kind, name) = match told {
			WebhookEvent::Start => ("task.start", "start"),
			WebhookEvent::Completed => ("task.completed", "completed"),
		};
		let time = DateTime::from_timestamp_millis(event.at.cast_signed()).unwrap_or_default();
		let timestamp = time.to_rfc3339_opts(SecondsFormat::Millis, true);
		let body = Body { r#type: kind, timestamp, data: record.status() };
		Some(Self {
			id: format!("msg_{}_{name}", record.id),
			task: record.id.clone(),
			url: url.clone(),
			secret: secret.clone(),
			body: serde_json::to_string(&body).expect("strings and numbers are JSON; qed"),
			created_at: event.at,
			tries: 0,
			due_at: event.at,
		})
	}
}
