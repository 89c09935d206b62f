//! The way of a message to its receiver.

use super::address::{self, AddressError, PublicOnly};
use super::{signature, Delivery, WebhookOptions};
use anyhow::Context;
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	webhook::Webhook,
};
use reqwest::{
	header::{CONTENT_TYPE, USER_AGENT},
	redirect::Policy,
	Client, StatusCode,
};
use rustls::crypto::ring::default_provider;
use rustls_platform_verifier::BuilderVerifierExt;
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time until the receiver has answered.
const ANSWER: Duration = Duration::from_secs(15);

/// How a try ended.
#[derive(Debug)]
pub(crate) enum Outcome {
	/// It was received.
	Received,
	/// It was not, for this reason; another try may go better.
	Failed(String),
	/// It never will be.
	Hopeless(String),
}

/// Sends messages.
pub(crate) struct Sender {
	options: WebhookOptions,
	/// Made when the first message is sent.
	client: OnceLock<Result<Client, String>>,
}

impl Sender {
	pub(crate) fn new(options: WebhookOptions) -> Self {
		Self { options, client: OnceLock::new() }
	}

	pub(crate) fn options(&self) -> &WebhookOptions {
		&self.options
	}

	/// Whether a webhook may be called, as far as that can be said before it is.
	///
	/// # Errors
	///
	/// `INVALID_REQUEST`, with the reason.
	pub(crate) fn admit(&self, webhook: &Webhook) -> Result<(), Refusal> {
		address::check(&webhook.url, self.options.allow_private).map(drop).map_err(|error| {
			Refusal::new(Code::InvalidRequest, format!("webhook cannot be called: {error}"))
		})
	}

	/// Sends a message once.
	pub(crate) async fn send(&self, delivery: &Delivery) -> Outcome {
		// The options may be others than when the task was offered.
		let url = match address::check(&delivery.url, self.options.allow_private) {
			Ok(url) => url,
			Err(error) => return Outcome::Hopeless(error.to_string()),
		};
		let client = match self.client.get_or_init(|| client(&self.options)) {
			Ok(client) => client,
			Err(error) => return Outcome::Failed(error.clone()),
		};
		let Some(secret) = delivery.secret.bytes() else {
			return Outcome::Hopeless("its secret is malformed".into());
		};
		let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
		let answer = client
			.post(url)
			.header(CONTENT_TYPE, "application/json")
			.header(USER_AGENT, concat!("cuckoo-coordinator/", env!("CARGO_PKG_VERSION")))
			.header("webhook-id", &delivery.id)
			.header("webhook-timestamp", now)
			.header("webhook-signature", signature(&secret, &delivery.id, now, &delivery.body))
			.body(delivery.body.clone())
			.send()
			.await;
		// Of the answer only the status matters; its body is not read.
		match answer.map(|answer| answer.status()) {
			Ok(status) if status.is_success() => Outcome::Received,
			Ok(StatusCode::GONE) => Outcome::Hopeless("the receiver says that it is gone".into()),
			Ok(status) => Outcome::Failed(format!("the receiver answered {status}")),
			Err(error) => failed(&error),
		}
	}
}

fn failed(error: &reqwest::Error) -> Outcome {
	let mut cause: Option<&(dyn Error + 'static)> = Some(error);
	let mut text = String::new();
	while let Some(current) = cause {
		if let Some(refused) = current.downcast_ref::<AddressError>() {
			return Outcome::Hopeless(refused.to_string());
		}
		text = current.to_string();
		cause = current.source();
	}
	// The innermost cause: the outer ones repeat the URL.
	Outcome::Failed(if error.is_timeout() { "it took too long".into() } else { text })
}

fn client(options: &WebhookOptions) -> Result<Client, String> {
	build(options).map_err(|error| format!("cannot make an HTTP client: {error:#}"))
}

fn build(options: &WebhookOptions) -> anyhow::Result<Client> {
	let tls = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
		.with_safe_default_protocol_versions()?
		.with_platform_verifier()
		.with_no_client_auth();
	let builder = Client::builder()
		.use_preconfigured_tls(tls)
		.redirect(Policy::none())
		.no_proxy()
		.connect_timeout(CONNECT)
		.timeout(ANSWER);
	let builder =
		if options.allow_private { builder } else { builder.dns_resolver(Arc::new(PublicOnly)) };
	builder.build().context("TLS or DNS")
}

#[cfg(test)]
mod tests {
	use super::*;
	use tokio::net::TcpListener;

	/// A name is resolved by the client itself, so what it may resolve to must be checked there.
	#[tokio::test]
	async fn a_name_that_leads_to_this_machine_is_not_called() {
		let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
		let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
		let client = client(&WebhookOptions::default()).unwrap();
		let error = client.post(&url).send().await.unwrap_err();
		let Outcome::Hopeless(why) = failed(&error) else { panic!("{error:?}") };
		assert!(why.contains("not a public address"), "{why}");
		let called = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
		assert!(called.is_err(), "nobody has called");
		// Where it may, the same client goes there.
		let options = WebhookOptions { allow_private: true, ..WebhookOptions::default() };
		let client = self::client(&options).unwrap();
		let request = tokio::spawn(client.post(&url).send());
		listener.accept().await.unwrap();
		request.abort();
	}
}
