//! Who asks: what an app sends as its key, and the gate before everything that is not public.

use crate::listener::Peer;
use crate::scheduler::App;
use crate::service::Service;
use axum::{
	extract::{ConnectInfo, FromRequestParts, Request, State},
	http::{
		header::{HeaderMap, AUTHORIZATION},
		request::Parts,
	},
	middleware::{from_fn_with_state, Next},
	response::Response,
	Router,
};
use base64::{prelude::BASE64_STANDARD, Engine};
use cuckoo_coordinator_api::{
	amount::{Amount, NoAmount},
	error::{Code, Refusal},
};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The header with the most plancks that a task may cost.
const MAX_OFFER_PRICE: &str = "x-max-offer-price";

/// Who asks, as [`identify`] or [`gated`] have found it.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub App);

impl<S: Sync> FromRequestParts<S> for Caller {
	type Rejection = Infallible;

	async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
		// Every route that asks for it is behind the gate.
		Ok(parts.extensions.get().copied().unwrap_or(Self(App::default())))
	}
}

/// What a client sends as its key: after `Bearer`, or as the password of HTTP Basic (as the name where
/// there is no password). Anything else, such as the empty header of some clients, is nothing.
fn secret(headers: &HeaderMap) -> Option<String> {
	let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
	if scheme.eq_ignore_ascii_case("bearer") {
		return Some(rest.trim().to_owned());
	}
	if !scheme.eq_ignore_ascii_case("basic") {
		return None;
	}
	let decoded = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
	let (name, password) = decoded.split_once(':')?;
	Some(if password.is_empty() { name } else { password }.to_owned())
}

/// Finds out who sends a request, and notes that in it for whoever answers.
///
/// # Errors
///
/// `UNAUTHORIZED` for a key that is not good.
pub fn identify(service: &Service, request: &mut Request) -> Result<App, Refusal> {
	let peer = request.extensions().get::<ConnectInfo<Peer>>();
	let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.0.ip());
	let app = service.identify(secret(request.headers()).as_deref(), address)?;
	request.extensions_mut().insert(Caller(app));
	Ok(app)
}

/// The same routes, for those only who may ask now; others are refused by `refuse`.
pub fn gated(router: Router, service: Arc<Service>, refuse: fn(Refusal) -> Response) -> Router {
	router.layer(from_fn_with_state(Gate { service, refuse }, pass))
}

#[derive(Clone)]
struct Gate {
	service: Arc<Service>,
	refuse: fn(Refusal) -> Response,
}

async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
	let Gate { service, refuse } = gate;
	match identify(&service, &mut request).and_then(|app| service.allow(&app)) {
		Ok(()) => next.run(request).await,
		Err(refusal) => refuse(refusal),
	}
}

/// Most plancks that the task may cost, where a header says it.
///
/// # Errors
///
/// `INVALID_REQUEST` if the header is no amount.
pub fn max_offer_price(headers: &HeaderMap) -> Result<Option<Amount>, Refusal> {
	match headers.get(MAX_OFFER_PRICE) {
		Some(value) => amount(value.to_str().unwrap_or("?"), "X-Max-Offer-Price"),
		None => Ok(None),
	}
}

/// An amount in a field of this name, if there is one.
///
/// # Errors
///
/// `INVALID_REQUEST` if it is none.
pub fn amount(text: &str, field: &str) -> Result<Option<Amount>, Refusal> {
	match text.trim() {
		"" => Ok(None),
		text => text.parse().map(Some).map_err(|error: NoAmount| {
			Refusal::new(Code::InvalidRequest, format!("{field} {error}"))
		}),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn headers(name: &'static str, value: &str) -> HeaderMap {
		HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
	}

	#[test]
	fn a_key_is_sent_as_bearer_or_as_a_password() {
		let sent = |value: &str| secret(&headers("authorization", value));
		let basic = |text: &str| sent(&format!("Basic {}", BASE64_STANDARD.encode(text)));
		assert_eq!(sent("Bearer ck_1").as_deref(), Some("ck_1"));
		assert_eq!(sent("bearer  ck_1 ").as_deref(), Some("ck_1"));
		assert_eq!(basic("anybody:ck_1").as_deref(), Some("ck_1"));
		assert_eq!(basic("ck_1:").as_deref(), Some("ck_1"));
		assert_eq!(basic("a:b:c").as_deref(), Some("b:c"));
		for nothing in ["", "Bearer", "Basic ", "Basic x", "Digest x"] {
			assert_eq!(sent(nothing), None, "{nothing:?}");
		}
		assert_eq!(secret(&HeaderMap::new()), None);
	}

	#[test]
	fn the_most_that_a_task_may_cost_is_read() {
		let read = |value: &str| max_offer_price(&headers(MAX_OFFER_PRICE, value));
		assert_eq!(read("1000000000000000000000"), Ok(Some(Amount(10_u128.pow(21)))));
		assert_eq!(read(""), Ok(None));
		for wrong in ["-1", "1.5", "much"] {
			assert!(read(wrong).unwrap_err().message.starts_with("X-Max-Offer-Price"), "{wrong}");
		}
	}
}
