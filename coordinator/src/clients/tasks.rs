//! The REST twin of the `cuckoo_*` methods: `POST /v1/tasks`, `GET` and `DELETE /v1/tasks/{id}`,
//! `GET /v1/tasks/{id}/events`, `GET /v1/tasks/{id}/assignment`, `GET /v1/account`. Bodies are the same
//! as there.

use super::{invalid, JsonBody};
use crate::gate::{max_offer_price, Caller};
use crate::listener::refuse;
use crate::scheduler::App;
use crate::service::{unknown_task, Service};
use axum::{
	extract::{rejection::QueryRejection, Path, Query, State},
	http::{header::LOCATION, HeaderMap, StatusCode},
	response::{
		sse::{Event, KeepAlive, Sse},
		IntoResponse, Response,
	},
	routing::{get, post},
	Json, Router,
};
use cuckoo_coordinator_api::{
	app::MAX_WAIT_SECONDS,
	error::Refusal,
	task::{TaskId, TaskRequest},
};
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// How long the answer waits where the client prefers to wait and does not say how long.
const USUAL_WAIT: Duration = Duration::from_mins(1);
/// After how many seconds a task may be asked to be cancelled.
const CANCEL_AFTER: RangeInclusive<u64> = 1..=86_400;

/// The routes.
pub(super) fn router(service: Arc<Service>) -> Router {
	Router::new()
		.route("/v1/tasks", post(offer))
		.route("/v1/tasks/{id}", get(status).delete(cancel))
		.route("/v1/tasks/{id}/events", get(events))
		.route("/v1/tasks/{id}/assignment", get(assignment))
		.route("/v1/account", get(account))
		.with_state(service)
}

/// What may stand behind the question mark of an offer.
#[derive(Debug, Deserialize)]
struct OfferOptions {
	/// Only say what the task would take.
	#[serde(default)]
	dry_run: bool,
}

async fn offer(
	State(service): State<Arc<Service>>,
	Caller(app): Caller,
	options: Result<Query<OfferOptions>, QueryRejection>,
	headers: HeaderMap,
	JsonBody(request): JsonBody<TaskRequest>,
) -> Response {
	answer_offer(&service, app, options, &headers, request).await.unwrap_or_else(refuse)
}

async fn answer_offer(
	service: &Arc<Service>,
	app: App,
	options: Result<Query<OfferOptions>, QueryRejection>,
	headers: &HeaderMap,
	request: Result<TaskRequest, Refusal>,
) -> Result<Response, Refusal> {
	let Query(options) = options.map_err(|_| invalid("dry_run must be true or false"))?;
	let mut request = request?;
	request.max_offer_price = max_offer_price(headers)?.or(request.max_offer_price);
	let cancel_after = cancel_after(headers)?;
	if options.dry_run {
		return Ok(Json(service.quote(&app, &request)?).into_response());
	}
	let mut status = service.offer(app, request).await?;
	let id = status.task_id.clone();
	if let Some(limit) = cancel_after {
		tokio::spawn(cancel_late(service.clone(), app, id.clone(), limit));
	}
	let wait = preferred_wait(headers);
	if let Some(wait) = wait {
		status = service.wait(&app, &id, wait).await?;
	}
	let code = if status.state.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
	let mut response = (code, [(LOCATION, path(&id))], Json(status)).into_response();
	if let Some(applied) = wait.and_then(|w| format!("wait={}", w.as_secs()).parse().ok()) {
		response.headers_mut().insert("preference-applied", applied);
	}
	Ok(response)
}

fn path(id: &TaskId) -> String {
	format!("/v1/tasks/{id}")
}

/// How long the answer is to wait for the end of the task, by the header `Prefer: wait=SECONDS`. That
/// is a preference: what is not understood or cannot be had is no error.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
	let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
	preferences.flat_map(|value| value.split(',')).find_map(|preference| {
		let mut parts = preference.trim().splitn(2, '=');
		if !parts.next()?.trim().eq_ignore_ascii_case("wait") {
			return None;
		}
		match parts.next() {
			None => Some(USUAL_WAIT),
			Some(seconds) => {
				let seconds: u64 = seconds.trim().trim_matches('"').parse().ok()?;
				Some(Duration::from_secs(seconds.min(MAX_WAIT_SECONDS)))
			},
		}
	})
}

/// When the task is to be cancelled, by the header `Cancel-After: SECONDS`.
fn cancel_after(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
	let Some(value) = headers.get("cancel-after") else { return Ok(None) };
	let seconds = value.to_str().ok().and_then(|value| value.trim().parse().ok());
	match seconds {
		Some(seconds) if CANCEL_AFTER.contains(&seconds) => Ok(Some(Duration::from_secs(seconds))),
		_ => Err(invalid(format!(
			"Cancel-After must be a number of seconds from {} to {}",
			CANCEL_AFTER.start(),
			CANCEL_AFTER.end()
		))),
	}
}

async fn cancel_late(service: Arc<Service>, app: App, id: TaskId, limit: Duration) {
	let ended = service.wait(&app, &id, limit).await.is_ok_and(|status| status.state.is_final());
	if !ended {
		// Fails only if it has ended in the meantime.
		let _ = service.cancel(&app, &id).await;
	}
}

fn parse(id: &str) -> Result<TaskId, Refusal> {
	TaskId::parse(id).ok_or_else(|| unknown_task(id))
}

async fn account(State(service): State<Arc<Service>>, Caller(app): Caller) -> Response {
	answer(service.account(&app))
}

async fn status(
	State(service): State<Arc<Service>>,
	Caller(app): Caller,
	Path(id): Path<String>,
) -> Response {
	answer(parse(&id).and_then(|id| service.status(&app, &id)))
}

async fn cancel(
	State(service): State<Arc<Service>>,
	Caller(app): Caller,
	Path(id): Path<String>,
) -> Response {
	match parse(&id) {
		Ok(id) => answer(service.cancel(&app, &id).await),
		Err(refusal) => refuse(refusal),
	}
}

/// How miners were drawn for it.
async fn assignment(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Response {
	answer(parse(&id).and_then(|id| service.assignment_proof(&id)))
}

fn answer(found: Result<impl Serialize, Refusal>) -> Response {
	found.map_or_else(refuse, |found| Json(found).into_response())
}

/// The status now and after each change, until the end or until the coordinator goes down.
async fn events(
	State(service): State<Arc<Service>>,
	Caller(app): Caller,
	Path(id): Path<String>,
) -> Response {
	let changes = match parse(&id).and_then(|id| service.follow(&app, &id)) {
		Ok(changes) => changes,
		Err(refusal) => return refuse(refusal),
	};
	let down = async move { service.down().await };
	let events = stream::unfold(Some((changes, true)), |state| async move {
		let (mut changes, first) = state?;
		if !first {
			changes.changed().await.ok()?;
		}
		let status = changes.borrow_and_update().status();
		let event = Event::default().event("task").json_data(&status).ok()?;
		let next = (!status.state.is_final()).then_some((changes, false));
		Some((Ok::<_, Infallible>(event), next))
	});
	Sse::new(events.take_until(Box::pin(down))).keep_alive(KeepAlive::default()).into_response()
}

#[cfg(test)]
mod tests {
	use super::*;

	fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
		let mut headers = HeaderMap::new();
		for value in values {
			headers.append(name, value.parse().unwrap());
		}
		headers
	}

	#[test]
	fn a_preferred_wait_is_read_and_bounded() {
		let wait =
			|values: &[&str]| preferred_wait(&headers("prefer", values)).map(|w| w.as_secs());
		assert_eq!(wait(&[]), None);
		assert_eq!(wait(&["respond-async"]), None);
		assert_eq!(wait(&["wait=5"]), Some(5));
		assert_eq!(wait(&["respond-async, Wait = 5"]), Some(5));
		assert_eq!(wait(&["respond-async", "wait=7"]), Some(7));
		assert_eq!(wait(&["wait"]), Some(60));
		assert_eq!(wait(&["wait=9999"]), Some(MAX_WAIT_SECONDS));
		assert_eq!(wait(&["wait=soon"]), None);
	}

	#[test]
	fn a_limit_is_read_and_checked() {
		let after = |values: &[&str]| cancel_after(&headers("cancel-after", values));
		assert_eq!(after(&[]), Ok(None));
		assert_eq!(after(&["60"]), Ok(Some(Duration::from_mins(1))));
		for bad in ["0", "86401", "-1", "soon", ""] {
			assert!(after(&[bad]).unwrap_err().message.contains("1 to 86400"), "{bad}");
		}
	}
}
