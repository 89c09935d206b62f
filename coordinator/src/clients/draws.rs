//! `GET /v1/draws`: how miners were drawn for all tasks, as JSON Lines, for audits. It tells nothing of
//! the tasks themselves.

use super::invalid;
use crate::listener::refuse;
use crate::service::Service;
use axum::{
	body::Body,
	extract::{rejection::QueryRejection, Query, State},
	http::header::CONTENT_TYPE,
	response::{IntoResponse, Response},
	routing::get,
	Router,
};
use cuckoo_coordinator_api::{assignment::DRAWS_PATH, error::Refusal};
use futures::stream;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;

/// Tasks that are read from the store at once.
const CHUNK: usize = 256;

/// The route.
pub(super) fn router(service: Arc<Service>) -> Router {
	Router::new().route(DRAWS_PATH, get(log)).with_state(service)
}

/// What may stand behind the question mark.
#[derive(Debug, Deserialize)]
struct LogOptions {
	/// The first sequence number.
	#[serde(default)]
	from: u64,
	/// One more than the last one.
	end: Option<u64>,
}

async fn log(
	State(service): State<Arc<Service>>,
	options: Result<Query<LogOptions>, QueryRejection>,
) -> Response {
	answer(service, options).unwrap_or_else(refuse)
}

fn answer(
	service: Arc<Service>,
	options: Result<Query<LogOptions>, QueryRejection>,
) -> Result<Response, Refusal> {
	let Query(LogOptions { from, end }) =
		options.map_err(|_| invalid("from and end must be sequence numbers"))?;
	let header = service.draw_log(from, end.unwrap_or(u64::MAX))?;
	let (next, end) = (header.first, header.end);
	let begin = line(&header);
	let lines = stream::unfold((Some(begin), next), move |(begin, next)| {
		let service = service.clone();
		async move {
			if let Some(begin) = begin {
				return Some((Ok(begin), (None, next)));
			}
			let most = usize::try_from(end - next).unwrap_or(CHUNK).min(CHUNK);
			if most == 0 {
				return None;
			}
			match service.draws(next, most) {
				// What is left has been removed in the meantime: whoever reads it sees that it is missing.
				Ok(records) if records.is_empty() => None,
				Ok(records) => {
					let next = records.last().map_or(end, |last| last.sequence + 1).min(end);
					let wanted = records.iter().filter(|record| record.sequence < end);
					Some((Ok(wanted.map(line).collect()), (None, next)))
				},
				Err(refusal) => Some((Err(io::Error::other(refusal)), (None, end))),
			}
		}
	});
	Ok(([(CONTENT_TYPE, "application/jsonl")], Body::from_stream(lines)).into_response())
}

fn line(value: &impl Serialize) -> String {
	serde_json::to_string(value).expect("structs of strings and numbers are JSON; qed") + "\n"
}
