//! The clients that apps already have: other people's APIs, served from the same tasks as our own.
//!
//! - [`openai`]: OpenAI's Images;
//! - [`a1111`]: AUTOMATIC1111's web UI;
//! - [`original`]: the JSON-RPC and the relay of the network before this one;
//! - [`tasks`]: the REST twin of the `cuckoo_*` methods;
//! - [`draws`]: the log of all draws, for audits;
//! - `awaited`: a task for a client that waits for its pictures.
//!
//! Each speaks its client's language in errors too; the names of the codes are the same in all.

mod a1111;
mod awaited;
mod draws;
mod openai;
pub mod original;
mod tasks;

use crate::gate::gated;
use crate::listener::{refuse, MAX_REQUEST_BYTES};
use crate::service::Service;
use axum::{
	body::Bytes,
	extract::{DefaultBodyLimit, FromRequest, Request},
	http::{
		header::{HeaderMap, CONTENT_TYPE},
		StatusCode,
	},
	routing::get,
	Router,
};
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	task::MAX_SEED,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The description of every route, for programs and people.
const OPENAPI: &str = include_str!("openapi.json");

/// Everything that is served by plain HTTP, except pictures and health.
pub fn router(service: Arc<Service>) -> Router {
	let described = || async { ([(CONTENT_TYPE, "application/json")], OPENAPI) };
	Router::new()
		.merge(gated(openai::router(service.clone()), service.clone(), openai::error))
		.merge(gated(a1111::router(service.clone()), service.clone(), a1111::error))
		.merge(gated(original::relay(service.clone()), service.clone(), a1111::error))
		.merge(gated(tasks::router(service.clone()), service.clone(), refuse))
		// Whoever wants to may check the draws.
		.merge(draws::router(service))
		.route("/openapi.json", get(described))
		.layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES as usize))
}

/// A body of JSON, or what is wrong with it: each API says that in its own form. It must say that it
/// is JSON, which a web page cannot do towards another site without asking.
struct JsonBody<T>(Result<T, Refusal>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
	type Rejection = Infallible;

	async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
		Ok(Self(read_json(request, state).await))
	}
}

async fn read_json<S, T>(request: Request, state: &S) -> Result<T, Refusal>
where
	S: Send + Sync,
	T: DeserializeOwned,
{
	if !says_json(request.headers()) {
		return Err(invalid("send the body with the header `Content-Type: application/json`"));
	}
	let body = Bytes::from_request(request, state).await.map_err(|rejection| {
		if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
			let what = format!("the body may have at most {MAX_REQUEST_BYTES} bytes");
			Refusal::new(Code::TooLarge, what)
		} else {
			invalid(format!("the body cannot be read: {}", rejection.body_text()))
		}
	})?;
	let mut reader = serde_json::Deserializer::from_slice(&body);
	let value: T = match serde_path_to_error::deserialize(&mut reader) {
		Ok(value) => value,
		Err(error) => {
			return whole_numbers_of(&body).and_then(|body| T::deserialize(body).ok()).ok_or_else(
				|| {
					let path = error.path().to_string();
					let what = if path == "." { "the body".to_owned() } else { path };
					invalid(format!("{what} cannot be read: {}", error.inner()))
				},
			);
		},
	};
	reader.end().map_err(|error| invalid(format!("the body cannot be read: {error}")))?;
	Ok(value)
}

/// A body in which numbers are what they are in JSON: 64.0 is the whole number 64, as some clients write
/// it. `None` if it is no JSON.
fn whole_numbers_of(body: &[u8]) -> Option<Value> {
	let mut body = serde_json::from_slice(body).ok()?;
	make_whole(&mut body);
	Some(body)
}

/// Largest number up to which every whole one can be told from the next.
const MAX_WHOLE: f64 = MAX_SEED as f64;

/// Writes all whole numbers as such.
fn make_whole(value: &mut Value) {
	match value {
		Value::Number(number) => {
			let whole = number.as_f64().filter(|float| {
				number.is_f64() && float.fract() == 0.0 && float.abs() <= MAX_WHOLE
			});
			if let Some(whole) = whole {
				*number = (whole as i64).into();
			}
		},
		Value::Array(values) => values.iter_mut().for_each(make_whole),
		Value::Object(fields) => fields.values_mut().for_each(make_whole),
		_ => {},
	}
}

fn says_json(headers: &HeaderMap) -> bool {
	let content = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
	let essence = content.split(';').next().unwrap_or("").trim();
	essence.eq_ignore_ascii_case("application/json")
}

fn invalid(message: impl Into<String>) -> Refusal {
	Refusal::new(Code::InvalidRequest, message)
}

fn unsupported(message: impl Into<String>) -> Refusal {
	Refusal::new(Code::Unsupported, message)
}

/// Puts the name that a client knows in place of ours for the field that a refusal names first, as all
/// those about fields do; that name, if there is one.
fn rename_field<'a>(refusal: &mut Refusal, names: &[(&str, &'a str)]) -> Option<&'a str> {
	let (field, rest) = refusal.message.split_once(' ')?;
	let (_, theirs) = names.iter().find(|(ours, _)| *ours == field)?;
	refusal.message = format!("{theirs} {rest}");
	Some(*theirs)
}

/// Seconds since the Unix epoch.
fn unix_seconds() -> u64 {
	SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The answer for a path below which nothing else is served.
fn nothing_here() -> Refusal {
	Refusal::new(Code::UnknownTask, "there is nothing here; /openapi.json says what is served")
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde_json::json;

	#[test]
	fn the_description_is_json() {
		let document: Value = serde_json::from_str(OPENAPI).unwrap();
		assert!(document["openapi"].as_str().unwrap().starts_with("3."));
	}

	#[test]
	fn fields_are_called_as_the_client_calls_them() {
		let names = [("images", "n")];
		let mut refusal = invalid("images is 9; it must be from 1 to 8");
		assert_eq!(rename_field(&mut refusal, &names), Some("n"));
		assert_eq!(refusal.message, "n is 9; it must be from 1 to 8");
		let mut other = invalid("no miner is connected");
		assert_eq!(rename_field(&mut other, &names), None);
		assert_eq!(other.message, "no miner is connected");
	}

	#[test]
	fn a_number_is_whole_however_it_is_written() {
		let read = whole_numbers_of(br#"{"a":[64.0,-1.0,7.5,1e3],"b":9e15,"c":1e16}"#);
		let whole = json!({ "a": [64, -1, 7.5, 1000], "b": 9_000_000_000_000_000_u64, "c": 1e16 });
		assert_eq!(read, Some(whole));
		assert_eq!(whole_numbers_of(b"{} {}"), None);
	}

	#[test]
	fn only_json_is_read() {
		let says = |content: &str| {
			let mut headers = HeaderMap::new();
			headers.insert(CONTENT_TYPE, content.parse().unwrap());
			says_json(&headers)
		};
		assert!(says("application/json") && says("Application/JSON; charset=utf-8"));
		assert!(!says("text/plain") && !says("application/jsonx") && !says_json(&HeaderMap::new()));
	}
}
