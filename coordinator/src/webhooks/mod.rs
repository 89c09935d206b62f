//! Webhooks: apps are told of their tasks at addresses that they name.
//!
//! A message is written to the store together with what it tells of, and is sent until it is received, for
//! up to a day, over restarts: at least once each, in any order.
//!
//! - `delivery`: a message and its place in the store; `signature`: how it is signed;
//! - `address`: which addresses may be called; `sender`: the way to the receiver;
//! - `backoff`: when it is tried again.

mod address;
mod backoff;
mod delivery;
mod sender;
mod signature;

pub(crate) use backoff::Backoff;
pub use delivery::{Delivery, Due};
pub(crate) use sender::{Outcome, Sender};
pub use signature::signature;

use std::time::Duration;

/// How messages are sent.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
	/// Whether private and loopback addresses, and HTTP without TLS, may be used: for tests and
	/// development.
	pub allow_private: bool,
	/// After about this time a message that did not arrive is sent again; after each further try the
	/// time doubles.
	pub first_retry: Duration,
}

impl Default for WebhookOptions {
	fn default() -> Self {
		Self { allow_private: false, first_retry: Duration::from_secs(5) }
	}
}
