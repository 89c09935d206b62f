//! The listener for apps: JSON-RPC over HTTP and WebSocket on `/`, where browsers find the
//! [page](crate::status_page), finished pictures on
//! `/pictures/{task}/{index}`, the [probes](crate::probes), and what the [clients](crate::clients) that
//! apps already have ask for, all on one port.

use crate::clients::{
	self,
	original::{OriginalApiServer, OriginalMethods},
};
use crate::listener::{refuse, JsonRpc, Port};
use crate::metrics::count_answer;
use crate::probes;
use crate::service::{unknown_task, Service};
use crate::status_page;
use axum::{
	extract::{Path, Request, State},
	http::header::CONTENT_TYPE,
	middleware::from_fn_with_state,
	response::{IntoResponse, Response},
	routing::{any, get},
	Router,
};
use cuckoo_coordinator_api::{
	app::{AppApiServer, CoordinatorInfo, MinerView, Quote, MAX_WAIT_SECONDS},
	assignment::AssignmentProof,
	error::{Code, Refusal},
	task::{TaskId, TaskRequest, TaskStatus},
};
use jsonrpsee::{
	core::{async_trait, SubscriptionResult},
	server::{Methods, PendingSubscriptionSink, StopHandle, SubscriptionMessage},
	types::ErrorObjectOwned,
};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Serves apps on `port` until `stop`.
///
/// # Errors
///
/// If the port fails.
pub async fn serve_apps(
	port: Port,
	service: Arc<Service>,
	max_connections: usize,
	stop: StopHandle,
) -> io::Result<()> {
	let counted = service.metrics().listener("apps");
	let rpc =
		JsonRpc::new(methods(&service), max_connections, false, counted.clone(), stop.clone());
	let root = move |request: Request| {
		let rpc = rpc.clone();
		async move {
			if status_page::is_wanted(&request) {
				status_page::page()
			} else {
				rpc.answer(request, |_| ()).await
			}
		}
	};
	let router = plain(service)
		.route("/", any(root))
		.layer(from_fn_with_state(counted.clone(), count_answer));
	port.serve(max_connections, counted, router, stop).await
}

/// The JSON-RPC methods for apps.
pub fn methods(service: &Arc<Service>) -> Methods {
	let mut methods: Methods = AppMethods { service: service.clone() }.into_rpc().into();
	let original = OriginalMethods { service: service.clone() }.into_rpc();
	methods.merge(original).expect("no two methods have one name; qed");
	methods
}

/// What is served by plain HTTP.
pub fn plain(service: Arc<Service>) -> Router {
	Router::new()
		.route("/pictures/{task}/{index}", get(picture))
		.with_state(service.clone())
		.merge(probes::router(service.clone()))
		.merge(status_page::router(service.clone()))
		.merge(clients::router(service))
		.fallback(nothing_here)
}

async fn picture(
	State(service): State<Arc<Service>>,
	Path((task, index)): Path<(String, String)>,
) -> Response {
	let found = match (TaskId::parse(&task), index.parse()) {
		(Some(id), Ok(index)) => service.picture(&id, index).await,
		_ => Err(unknown_task(&task)),
	};
	match found {
		Ok(png) => ([(CONTENT_TYPE, "image/png")], png).into_response(),
		Err(refusal) => refuse(refusal),
	}
}

async fn nothing_here() -> Response {
	let what = "there is nothing here; JSON-RPC is on /, pictures on /pictures/TASK/INDEX, and \
		/openapi.json says what else is served";
	refuse(Refusal::new(Code::UnknownTask, what))
}

struct AppMethods {
	service: Arc<Service>,
}

#[async_trait]
impl AppApiServer for AppMethods {
	async fn info(&self) -> Result<CoordinatorInfo, ErrorObjectOwned> {
		Ok(self.service.info())
	}

	async fn list_miners(&self) -> Result<Vec<MinerView>, ErrorObjectOwned> {
		Ok(self.service.miners())
	}

	async fn offer_task(&self, request: TaskRequest) -> Result<TaskStatus, ErrorObjectOwned> {
		Ok(self.service.offer(request).await?)
	}

	async fn quote_task(&self, request: TaskRequest) -> Result<Quote, ErrorObjectOwned> {
		Ok(self.service.quote(request)?)
	}

	async fn wait_task(
		&self,
		task_id: TaskId,
		timeout_seconds: Option<u64>,
	) -> Result<TaskStatus, ErrorObjectOwned> {
		let limit = timeout_seconds.unwrap_or(MAX_WAIT_SECONDS).min(MAX_WAIT_SECONDS);
		Ok(self.service.wait(&task_id, Duration::from_secs(limit)).await?)
	}

	async fn task_status(&self, task_id: TaskId) -> Result<TaskStatus, ErrorObjectOwned> {
		Ok(self.service.status(&task_id)?)
	}

	async fn assignment_proof(&self, task_id: TaskId) -> Result<AssignmentProof, ErrorObjectOwned> {
		Ok(self.service.assignment_proof(&task_id)?)
	}

	async fn cancel_task(&self, task_id: TaskId) -> Result<TaskStatus, ErrorObjectOwned> {
		Ok(self.service.cancel(&task_id).await?)
	}

	async fn subscribe_task(
		&self,
		pending: PendingSubscriptionSink,
		task_id: TaskId,
	) -> SubscriptionResult {
		let mut changes = match self.service.follow(&task_id) {
			Ok(changes) => changes,
			Err(refusal) => {
				pending.reject(refusal).await;
				return Ok(());
			},
		};
		let sink = pending.accept().await?;
		loop {
			let status = changes.borrow_and_update().status();
			// A slow reader is waited for; it then gets the latest status, not all in between.
			sink.send(SubscriptionMessage::from_json(&status)?).await?;
			if status.state.is_final() {
				return Ok(());
			}
			tokio::select! {
				changed = changes.changed() => changed?,
				() = sink.closed() => return Ok(()),
			}
		}
	}
}
