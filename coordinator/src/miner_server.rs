//! The listener for miners: JSON-RPC over WebSocket on `/`, and `PUT /pictures/{task}/{attempt}/{index}`
//! for the pictures as raw PNG bytes, on one port.

use crate::connections::ConnectionLimits;
use crate::listener::{refuse, JsonRpc, Port};
use crate::metrics::count_answer;
use crate::picture::max_png_bytes;
use crate::service::{random_token, Service};
use crate::sessions::Connection;
use axum::{
	body::Body,
	extract::{Path, Request, State},
	http::{
		header::{AUTHORIZATION, CONTENT_LENGTH},
		HeaderMap, StatusCode,
	},
	middleware::from_fn_with_state,
	response::{IntoResponse, Response},
	routing::{any, put},
	Router,
};
use bytes::{Bytes, BytesMut};
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	miner::{
		Assignment, Challenge, FailureReport, Heartbeat, Login, MinerApiServer, MinerStanding,
		Session, TaskResult,
	},
	signing::Signed,
	task::{TaskId, TaskState},
};
use futures::StreamExt;
use jsonrpsee::{
	core::async_trait,
	server::{ConnectionId, Methods, StopHandle},
	types::ErrorObjectOwned,
	Extensions,
};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Longest time that one upload may take.
const UPLOAD_TIME: Duration = Duration::from_mins(1);

/// Serves miners on `port`, within these limits, until `stop`.
///
/// # Errors
///
/// If the port fails.
pub async fn serve_miners(
	port: Port,
	service: Arc<Service>,
	limits: impl Into<ConnectionLimits>,
	stop: StopHandle,
) -> io::Result<()> {
	let limits = limits.into();
	let challenges = Challenges::default();
	let methods = methods(&service, &challenges);
	let counted = service.metrics().listener("miners");
	let rpc = JsonRpc::new(methods, limits.total, true, counted.clone(), stop.clone());
	let answer = {
		let service = service.clone();
		move |request: Request| {
			let (service, challenges) = (service.clone(), challenges.clone());
			rpc.clone().answer(request, move |connection| {
				challenges.lock().remove(&connection);
				service.connection_closed(connection);
			})
		}
	};
	let router = plain(service)
		.route("/", any(answer))
		.layer(from_fn_with_state(counted.clone(), count_answer));
	port.serve(limits, counted, router, stop).await
}

/// By connection: what was last given to be signed and has not been answered.
pub type Challenges = Arc<Mutex<HashMap<Connection, String>>>;

/// The JSON-RPC methods for miners.
pub fn methods(service: &Arc<Service>, challenges: &Challenges) -> Methods {
	MinerMethods { service: service.clone(), challenges: challenges.clone() }.into_rpc().into()
}

/// What is served by plain HTTP.
pub fn plain(service: Arc<Service>) -> Router {
	Router::new()
		.route("/pictures/{task}/{attempt}/{index}", put(upload))
		.fallback(nothing_here)
		.with_state(Uploads { service, running: Arc::default() })
}

async fn nothing_here() -> Response {
	let what = "there is nothing here; miners connect to / by WebSocket";
	refuse(Refusal::new(Code::UnknownTask, what))
}

/// What uploads share.
#[derive(Clone)]
struct Uploads {
	service: Arc<Service>,
	/// Lease and index of the pictures that are being received.
	running: Arc<Mutex<HashSet<(String, u32)>>>,
}

/// Keeps others from uploading the same picture until it is dropped, so that nobody makes the
/// coordinator hold many copies of it.
struct Receiving<'a> {
	uploads: &'a Uploads,
	picture: (String, u32),
}

impl<'a> Receiving<'a> {
	fn begin(uploads: &'a Uploads, lease: &str, index: u32) -> Result<Self, Refusal> {
		let picture = (lease.to_owned(), index);
		if uploads.running.lock().insert(picture.clone()) {
			Ok(Self { uploads, picture })
		} else {
			Err(Refusal::new(Code::Busy, "this picture is being uploaded already; try again later"))
		}
	}
}

impl Drop for Receiving<'_> {
	fn drop(&mut self) {
		self.uploads.running.lock().remove(&self.picture);
	}
}

async fn upload(
	State(uploads): State<Uploads>,
	Path((task, attempt, index)): Path<(String, String, String)>,
	headers: HeaderMap,
	body: Body,
) -> Response {
	let begin = Instant::now();
	let received = receive(&uploads, &task, &attempt, &index, &headers, body).await;
	uploads.service.metrics().uploads.answered(received.is_ok(), begin.elapsed());
	match received {
		Ok(()) => StatusCode::NO_CONTENT.into_response(),
		Err(refusal) => {
			let task: String = task.chars().take(32).collect();
			tracing::warn!(?task, code = ?refusal.code, %refusal, "picture refused");
			refuse(refusal)
		},
	}
}

/// Reads, checks and keeps an uploaded picture. Nothing of the body is read before the lease has been
/// found good.
async fn receive(
	uploads: &Uploads,
	task: &str,
	attempt: &str,
	index: &str,
	headers: &HeaderMap,
	body: Body,
) -> Result<(), Refusal> {
	let invalid = |message: &str| Refusal::new(Code::InvalidRequest, message);
	let id = TaskId::parse(task).ok_or_else(|| invalid("the path names no well-formed task"))?;
	let attempt = attempt.parse().map_err(|_| invalid("the path names no attempt"))?;
	let index = index.parse().map_err(|_| invalid("the path names no picture"))?;
	let lease = headers
		.get(AUTHORIZATION)
		.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
		.ok_or_else(|| {
			Refusal::new(Code::NoLease, "the header `Authorization: Bearer LEASE` is missing")
		})?;
	let spec = uploads.service.begin_upload(&id, attempt, index, lease)?;
	let _receiving = Receiving::begin(uploads, lease, index)?;
	let limit = max_png_bytes(&spec);
	let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
	if announced.is_some_and(|bytes: usize| bytes > limit) {
		return Err(too_large(limit));
	}
	let png = timeout(UPLOAD_TIME, read(body, limit))
		.await
		.map_err(|_| invalid("the upload took longer than a minute; it is cut off"))??;
	let picture = uploads.service.decode_upload(png, spec).await?;
	uploads.service.keep_upload(&id, attempt, index, lease, picture).await
}

/// All of a body, which may have at most `limit` bytes.
async fn read(body: Body, limit: usize) -> Result<Bytes, Refusal> {
	let mut stream = body.into_data_stream();
	let mut bytes = BytesMut::new();
	while let Some(chunk) = stream.next().await {
		let chunk = chunk.map_err(|error| {
			Refusal::new(Code::InvalidRequest, format!("the upload broke off: {error}"))
		})?;
		if bytes.len() + chunk.len() > limit {
			return Err(too_large(limit));
		}
		bytes.extend_from_slice(&chunk);
	}
	Ok(bytes.freeze())
}

fn too_large(limit: usize) -> Refusal {
	Refusal::new(Code::TooLarge, format!("a picture of this size may have at most {limit} bytes"))
}

struct MinerMethods {
	service: Arc<Service>,
	challenges: Challenges,
}

/// Every call comes over a connection that has a number.
fn connection(extensions: &Extensions) -> Result<Connection, Refusal> {
	let id = extensions.get::<ConnectionId>();
	id.map(|id| id.0).ok_or_else(|| {
		Refusal::new(Code::Internal, "the connection has no number; report this as a fault")
	})
}

#[async_trait]
impl MinerApiServer for MinerMethods {
	async fn challenge(&self, extensions: &Extensions) -> Result<Challenge, ErrorObjectOwned> {
		let connection = connection(extensions)?;
		let nonce = random_token(&mut rand::rngs::OsRng);
		self.challenges.lock().insert(connection, nonce.clone());
		let identity = self.service.identity();
		Ok(Challenge {
			genesis: hex::encode(identity.genesis),
			coordinator: hex::encode(identity.operator),
			nonce,
		})
	}

	async fn login(
		&self,
		extensions: &Extensions,
		login: Signed<Login>,
	) -> Result<Session, ErrorObjectOwned> {
		let connection = connection(extensions)?;
		let challenge = || self.challenges.lock().remove(&connection);
		Ok(self.service.log_in(&login, challenge, connection)?)
	}

	async fn poll(
		&self,
		session: String,
		wait_seconds: u64,
	) -> Result<Option<Assignment>, ErrorObjectOwned> {
		Ok(self.service.poll(&session, Duration::from_secs(wait_seconds)).await?)
	}

	async fn heartbeat(&self, session: String, beat: Heartbeat) -> Result<(), ErrorObjectOwned> {
		Ok(self.service.heartbeat(&session, &beat)?)
	}

	async fn submit(
		&self,
		session: String,
		result: Signed<TaskResult>,
	) -> Result<TaskState, ErrorObjectOwned> {
		Ok(self.service.submit(&session, &result).await?)
	}

	async fn fail(&self, session: String, report: FailureReport) -> Result<(), ErrorObjectOwned> {
		Ok(self.service.fail(&session, &report).await?)
	}

	async fn standing(&self, session: String) -> Result<MinerStanding, ErrorObjectOwned> {
		Ok(self.service.standing(&session)?)
	}

	async fn logout(&self, session: String) -> Result<(), ErrorObjectOwned> {
		Ok(self.service.log_out(&session).await?)
	}
}
