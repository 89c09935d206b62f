//! Webhooks: how an app is told of its task without asking. Messages are signed as in
//! [Standard Webhooks](https://www.standardwebhooks.com).

use crate::error::{Code, Refusal};
use crate::task::TaskRequest;
use base64::{prelude::BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

/// Longest address, in bytes.
pub const URL_BYTES: usize = 2048;
/// Length of a secret, in bytes.
pub const SECRET_BYTES: RangeInclusive<usize> = 24..=64;
/// Stands before a secret.
const PREFIX: &str = "whsec_";

/// What an app can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WebhookEvent {
	/// A miner was drawn for the task for the first time.
	Start,
	/// The task has ended, however.
	Completed,
}

/// With what messages are signed: `whsec_` and 24 to 64 bytes in Base64. Never shown in a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WebhookSecret(String);

impl WebhookSecret {
	/// From bytes.
	pub fn from_bytes(bytes: &[u8]) -> Self {
		Self(format!("{PREFIX}{}", BASE64_STANDARD.encode(bytes)))
	}

	/// The bytes; `None` if it is not well-formed.
	pub fn bytes(&self) -> Option<Vec<u8>> {
		let bytes = BASE64_STANDARD.decode(self.0.strip_prefix(PREFIX)?).ok()?;
		SECRET_BYTES.contains(&bytes.len()).then_some(bytes)
	}
}

impl fmt::Debug for WebhookSecret {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("WebhookSecret(…)")
	}
}

/// Where and of what an app is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
	/// Where messages are sent.
	pub url: String,
	/// With what they are signed.
	pub secret: WebhookSecret,
	/// Of what.
	pub events: Vec<WebhookEvent>,
}

impl TaskRequest {
	/// The webhook that the request names.
	///
	/// # Errors
	///
	/// `INVALID_REQUEST` if the address is too long, or there is no secret or a malformed one. Whether
	/// the address may be called is up to the coordinator.
	pub fn webhook(&self) -> Result<Option<Webhook>, Refusal> {
		let invalid = |what: String| Err(Refusal::new(Code::InvalidRequest, what));
		let Some(url) = &self.webhook else { return Ok(None) };
		if url.len() > URL_BYTES {
			let bytes = url.len();
			return invalid(format!("webhook has {bytes} bytes; at most {URL_BYTES} are allowed"));
		}
		let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
		let form = format!("{PREFIX} and {least} to {most} bytes in Base64");
		let Some(secret) = &self.webhook_secret else {
			return invalid(format!(
				"webhookSecret is missing; a webhook needs one, with which its messages are signed: {form}"
			));
		};
		if secret.bytes().is_none() {
			return invalid(format!("webhookSecret is malformed; it must be {form}"));
		}
		let events = self.webhook_events_filter.clone();
		Ok(Some(Webhook {
			url: url.clone(),
			secret: secret.clone(),
			events: events.unwrap_or_else(|| vec![WebhookEvent::Completed]),
		}))
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn request() -> TaskRequest {
		TaskRequest {
			webhook: Some("https://example.com".into()),
			webhook_secret: Some(WebhookSecret::from_bytes(&[7; 24])),
			..TaskRequest::new("x")
		}
	}

	#[test]
	fn a_webhook_has_an_address_and_a_secret() {
		assert_eq!(TaskRequest::new("x").webhook(), Ok(None));
		let webhook = request().webhook().unwrap().unwrap();
		assert_eq!(webhook.events, [WebhookEvent::Completed]);
		assert_eq!(webhook.secret.bytes().unwrap(), [7; 24]);
		let refused = |request: TaskRequest| request.webhook().unwrap_err().message;
		assert!(refused(TaskRequest { webhook_secret: None, ..request() }).contains("is missing"));
		let long = Some(format!("https://{}", "x".repeat(URL_BYTES)));
		assert!(refused(TaskRequest { webhook: long, ..request() }).contains("2056 bytes"));
		for bad in ["", "whsec_", "whsec_!", "secret"] {
			let webhook_secret = Some(WebhookSecret(bad.into()));
			let refused = refused(TaskRequest { webhook_secret, ..request() });
			assert!(refused.contains("is malformed"), "{bad}");
		}
		for length in [23, 65] {
			assert_eq!(WebhookSecret::from_bytes(&vec![1; length]).bytes(), None);
		}
	}

	#[test]
	fn a_secret_is_not_shown() {
		assert!(!format!("{:?}", request()).contains("whsec_"));
	}
}
