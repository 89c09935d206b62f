//! The listener for apps: JSON-RPC over HTTP and WebSocket on `/`, where browsers find the
//! [page](crate::status_page), finished pictures on
//! `/pictures/{task}/{index}`, the [probes](crate::probes), and what the [clients](crate::clients) that
//! apps already have ask for, all on one port.

use crate::clients::{
	self,
	original::{OriginalApiServer, OriginalMethods},
};
use crate::connections::ConnectionLimits;
use crate::gate::{identify, Caller};
use crate::listener::{refuse, JsonRpc, Port};
use crate::metrics::count_answer;
use crate::probes;
use crate::scheduler::App;
use crate::service::{unknown_task, Service};
use crate::status_page;
use axum::{
	body::HttpBody,
	extract::{rejection::QueryRejection, Path, Query, Request, State},
	http::{
		header::{ALLOW, CONTENT_TYPE},
		HeaderValue, StatusCode,
	},
	middleware::from_fn_with_state,
	response::{IntoResponse, Response},
	routing::{any, get},
	Router,
};
use cuckoo_coordinator_api::{
	app::{AccountView, AppApiServer, CoordinatorInfo, MinerView, Quote, MAX_WAIT_SECONDS},
	assignment::AssignmentProof,
	error::{Code, Refusal},
	task::{TaskId, TaskRequest, TaskStatus},
};
use jsonrpsee::{
	core::{async_trait, SubscriptionResult},
	server::{Methods, PendingSubscriptionSink, StopHandle, SubscriptionMessage},
	types::ErrorObjectOwned,
	Extensions,
};
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Serves apps on `port`, within these limits, until `stop`.
///
/// # Errors
///
/// If the port fails.
pub async fn serve_apps(
	port: Port,
	service: Arc<Service>,
	limits: impl Into<ConnectionLimits>,
	stop: StopHandle,
) -> io::Result<()> {
	let limits = limits.into();
	let counted = service.metrics().listener("apps");
	let methods = methods(&service);
	let rpc = JsonRpc::new(methods, limits.total, false, counted.clone(), stop.clone());
	let root = {
		let service = service.clone();
		move |mut request: Request| async move {
			if status_page::is_wanted(&request) {
				return status_page::page();
			}
			match identify(&service, &mut request) {
				Ok(_) => complete(rpc.answer(request, |_| ()).await),
				Err(refusal) => refuse(refusal),
			}
		}
	};
	let router = plain(service)
		.route("/", any(root))
		.layer(from_fn_with_state(counted.clone(), count_answer));
	port.serve(limits, counted, router, stop).await
}

/// Puts right what the JSON-RPC library leaves out of HTTP: the methods that are allowed, and that there is
/// no content where a notification has no answer.
fn complete(mut answer: Response) -> Response {
	if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
		answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
	} else if answer.status() == StatusCode::OK && answer.body().is_end_stream() {
		return StatusCode::NO_CONTENT.into_response();
	}
	answer
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

/// What may stand behind the question mark of a picture's address.
#[derive(Deserialize)]
struct PictureQuery {
	/// In place of a key.
	token: Option<String>,
}

async fn picture(
	State(service): State<Arc<Service>>,
	Path((task, index)): Path<(String, String)>,
	query: Result<Query<PictureQuery>, QueryRejection>,
	mut request: Request,
) -> Response {
	let token = query.ok().and_then(|Query(query)| query.token);
	let found = async {
		let (Some(id), Ok(index)) = (TaskId::parse(&task), index.parse()) else {
			return Err(unknown_task(&task));
		};
		let app = match token.and_then(|token| service.picture_owner(&token, &id)) {
			Some(owner) => owner,
			None => identify(&service, &mut request)?,
		};
		service.allow(&app)?;
		service.picture(&app, &id, index).await
	};
	match found.await {
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

/// Who makes a call, if it may be made now.
///
/// # Errors
///
/// `UNAUTHORIZED`, `RATE_LIMITED`.
pub(crate) fn caller(service: &Service, extensions: &Extensions) -> Result<App, Refusal> {
	// Over either listener it is known who calls.
	let app = extensions.get().map_or(App::default(), |Caller(app)| *app);
	service.allow(&app)?;
	Ok(app)
}

#[async_trait]
impl AppApiServer for AppMethods {
	async fn info(&self) -> Result<CoordinatorInfo, ErrorObjectOwned> {
		Ok(self.service.info())
	}

	async fn list_miners(&self) -> Result<Vec<MinerView>, ErrorObjectOwned> {
		Ok(self.service.miners())
	}

	async fn offer_task(
		&self,
		extensions: &Extensions,
		request: TaskRequest,
	) -> Result<TaskStatus, ErrorObjectOwned> {
		let app = caller(&self.service, extensions)?;
		Ok(self.service.offer(app, request).await?)
	}

	async fn quote_task(
		&self,
		extensions: &Extensions,
		request: TaskRequest,
	) -> Result<Quote, ErrorObjectOwned> {
		let app = caller(&self.service, extensions)?;
		Ok(self.service.quote(&app, &request)?)
	}

	async fn account(&self, extensions: &Extensions) -> Result<AccountView, ErrorObjectOwned> {
		let app = caller(&self.service, extensions)?;
		Ok(self.service.account(&app)?)
	}

	async fn wait_task(
		&self,
		extensions: &Extensions,
		task_id: TaskId,
		timeout_seconds: Option<u64>,
	) -> Result<TaskStatus, ErrorObjectOwned> {
		let app = caller(&self.service, extensions)?;
		let limit = timeout_seconds.unwrap_or(MAX_WAIT_SECONDS).min(MAX_WAIT_SECONDS);
		Ok(self.service.wait(&app, &task_id, Duration::from_secs(limit)).await?)
	}

	async fn task_status(
		&self,
		extensions: &Extensions,
		task_id: TaskId,
	) -> Result<TaskStatus, ErrorObjectOwned> {
		let app = caller(&self.service, extensions)?;
		Ok(self.service.status(&app, &task_id)?)
	}

	async fn assignment_proof(&self, task_id: TaskId) -> Result<AssignmentProof, ErrorObjectOwned> {
		Ok(self.service.assignment_proof(&task_id)?)
	}

	async fn cancel_task(
		&self,
		extensions: &Extensions,
		task_id: TaskId,
	) -> Result<TaskStatus, ErrorObjectOwned> {
		let app = caller(&self.service, extensions)?;
		Ok(self.service.cancel(&app, &task_id).await?)
	}

	async fn subscribe_task(
		&self,
		pending: PendingSubscriptionSink,
		extensions: &Extensions,
		task_id: TaskId,
	) -> SubscriptionResult {
		let followed =
			caller(&self.service, extensions).and_then(|app| self.service.follow(&app, &task_id));
		let mut changes = match followed {
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
