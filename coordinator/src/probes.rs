//! What the machinery around a coordinator asks for: `/health`, whether it is up; `/ready`, whether to send
//! it work; and, on a listener of its own, `/metrics`.

use crate::listener::Port;
use crate::metrics::{self, count_answer};
use crate::service::Service;
use axum::{
	extract::State,
	http::{header::CONTENT_TYPE, StatusCode},
	middleware::from_fn_with_state,
	response::{IntoResponse, Response},
	routing::get,
	Json, Router,
};
use jsonrpsee::server::StopHandle;
use std::io;
use std::sync::Arc;

/// Most connections at once to the listener for metrics.
const MAX_CONNECTIONS: usize = 64;

/// `/health` and `/ready`.
pub fn router(service: Arc<Service>) -> Router {
	Router::new().route("/health", get(health)).route("/ready", get(ready)).with_state(service)
}

/// Serves `/metrics`, `/health` and `/ready` on `port` until `stop`.
///
/// # Errors
///
/// If the port fails.
pub async fn serve_metrics(port: Port, service: Arc<Service>, stop: StopHandle) -> io::Result<()> {
	let counted = service.metrics().listener("metrics");
	let router = Router::new()
		.route("/metrics", get(metrics))
		.with_state(service.clone())
		.merge(self::router(service))
		.layer(from_fn_with_state(counted.clone(), count_answer));
	port.serve(MAX_CONNECTIONS.into(), counted, router, stop).await
}

async fn health(State(service): State<Arc<Service>>) -> Response {
	Json(service.health()).into_response()
}

async fn ready(State(service): State<Arc<Service>>) -> Response {
	let readiness = service.readiness().await;
	let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
	(status, Json(readiness)).into_response()
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
	([(CONTENT_TYPE, metrics::CONTENT_TYPE)], service.encode_metrics()).into_response()
}
