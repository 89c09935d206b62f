//! The network before this one, as its clients know it: `getHealth`, `listGPUProviders` and `offerTask`
//! by JSON-RPC, and the relay `POST /task/sd/sdapi/v1/txt2img`. Names, order of fields and even the
//! line break at the end are as they were.

use super::a1111::{error, Answer, Rendering};
use super::{unsupported, JsonBody};
use crate::app_server::caller;
use crate::gate::{amount, max_offer_price, Caller};
use crate::service::Service;
use axum::{
	body::Body,
	extract::{Path, State},
	http::{header::CONTENT_TYPE, HeaderMap},
	response::{IntoResponse, Response},
	routing::post,
	Router,
};
use chrono::{DateTime, SecondsFormat, Utc};
use cuckoo_coordinator_api::{
	app::MinerView,
	error::{Code, Refusal},
};
use jsonrpsee::{core::async_trait, proc_macros::rpc, types::ErrorObjectOwned, Extensions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The only kind of work that there was, and is.
const COIN: &str = "SD";
/// The only path to which that work can be sent.
const TXT2IMG: &str = "/sdapi/v1/txt2img";
/// Names the miners that may have the task.
const ASSIGNED_WORKERS: &str = "x-assigned-workers";

/// Answer to `getHealth`.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
	/// Always "healthy".
	status: &'static str,
}

/// A miner in the answer to `listGPUProviders`. What is not known here is empty or 0.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GpuProvider {
	/// Its stash.
	#[serde(rename = "walletAddress")]
	wallet_address: String,
	/// The stake behind it, in plancks.
	votes: String,
	platform: String,
	python: String,
	version: String,
	commit: String,
	checksum: String,
	os: String,
	nvidia_gpu_models: Vec<String>,
	#[serde(rename = "CPU")]
	cpu: Cpu,
	#[serde(rename = "RAM")]
	ram: Ram,
	#[serde(rename = "createdAt")]
	created_at: String,
	#[serde(rename = "updatedAt")]
	updated_at: String,
	ip: String,
}

/// A miner's processors.
#[derive(Clone, Debug, Default, Serialize)]
struct Cpu {
	model: String,
	#[serde(rename = "count logical")]
	count_logical: u32,
	#[serde(rename = "count physical")]
	count_physical: u32,
}

/// A miner's memory.
#[derive(Clone, Debug, Default, Serialize)]
struct Ram {
	total: String,
	used: String,
	free: String,
	active: String,
	inactive: String,
	buffers: String,
	cached: String,
	shared: String,
}

/// The parameter of `offerTask`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
	/// The client's own name for the task.
	id: String,
	payload: Payload,
	coin_symbol: String,
	/// Most plancks that the task may cost: a whole number, in text; where it is empty, any price is
	/// met.
	#[serde(default)]
	max_offer_price: String,
}

/// A request to the miner's A1111. Its names may begin with capitals.
#[derive(Clone, Debug, Deserialize)]
struct Payload {
	#[serde(alias = "Path")]
	path: String,
	#[serde(alias = "Body")]
	body: Map<String, Value>,
}

/// Answer to `offerTask`.
#[derive(Clone, Debug, Serialize)]
pub struct TaskResult {
	/// Always "Completed".
	status: &'static str,
	/// As in the offer.
	id: String,
	/// What A1111 answers.
	payload: Answer,
}

/// The JSON-RPC methods, which have no prefix.
#[rpc(server)]
pub trait OriginalApi {
	/// Whether it is up.
	#[method(name = "getHealth")]
	async fn get_health(&self) -> Result<Health, ErrorObjectOwned>;

	/// The miners that are connected, most stake first.
	#[method(name = "listGPUProviders")]
	async fn list_gpu_providers(&self) -> Result<Vec<GpuProvider>, ErrorObjectOwned>;

	/// Offers a task and waits for its pictures.
	#[method(name = "offerTask", with_extensions)]
	async fn offer_task(&self, offer: Offer) -> Result<TaskResult, ErrorObjectOwned>;
}

/// The methods at work.
pub struct OriginalMethods {
	/// What they act on.
	pub service: Arc<Service>,
}

#[async_trait]
impl OriginalApiServer for OriginalMethods {
	async fn get_health(&self) -> Result<Health, ErrorObjectOwned> {
		Ok(Health { status: "healthy" })
	}

	async fn list_gpu_providers(&self) -> Result<Vec<GpuProvider>, ErrorObjectOwned> {
		let now = Utc::now();
		let live = self.service.miners().into_iter().filter(|miner| miner.live);
		Ok(live.map(|miner| provider(miner, now)).collect())
	}

	async fn offer_task(
		&self,
		extensions: &Extensions,
		offer: Offer,
	) -> Result<TaskResult, ErrorObjectOwned> {
		let app = caller(&self.service, extensions)?;
		let Offer { id, payload, coin_symbol, max_offer_price } = offer;
		check(&coin_symbol, &payload.path)?;
		let most = amount(&max_offer_price, "maxOfferPrice")?;
		let rendering = Rendering::offer(&self.service, app, payload.body, None, most).await?;
		Ok(TaskResult { status: "Completed", id, payload: rendering.answer().await? })
	}
}

/// A live miner: it was heard of within seconds, so now.
fn provider(miner: MinerView, now: DateTime<Utc>) -> GpuProvider {
	let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
	GpuProvider {
		wallet_address: miner.stash,
		votes: miner.stake,
		created_at: time(DateTime::UNIX_EPOCH),
		updated_at: time(now),
		..GpuProvider::default()
	}
}

fn check(coin: &str, path: &str) -> Result<(), Refusal> {
	if coin != COIN {
		let coin: String = coin.chars().take(40).collect();
		return Err(unsupported(format!(
			"coinSymbol {coin:?} is not served; the only one is {COIN}"
		)));
	}
	if path != TXT2IMG {
		let path: String = path.chars().take(80).collect();
		return Err(unsupported(format!("path {path:?} is not served; the only one is {TXT2IMG}")));
	}
	Ok(())
}

/// The route of the relay.
pub(super) fn relay(service: Arc<Service>) -> Router {
	Router::new().route("/task/{coin}/{*path}", post(relayed)).with_state(service)
}

async fn relayed(
	State(service): State<Arc<Service>>,
	Caller(app): Caller,
	Path((coin, path)): Path<(String, String)>,
	headers: HeaderMap,
	JsonBody(body): JsonBody<Map<String, Value>>,
) -> Response {
	let answer = async {
		check(&coin.to_uppercase(), &format!("/{path}"))?;
		let assigned = headers.get(ASSIGNED_WORKERS).map_or(&b""[..], |value| value.as_bytes());
		if assigned.iter().any(|byte| !b", ".contains(byte)) {
			return Err(unsupported(
				"X-Assigned-Workers is not served: miners are drawn by stake, so that nobody can choose \
				them; leave it out",
			));
		}
		let most = max_offer_price(&headers)?;
		let rendering = Rendering::offer(&service, app, body?, None, most).await?;
		let answer = rendering.answer().await?;
		serde_json::to_string(&answer).map_err(|error| {
			tracing::error!(%error, "an answer cannot be written");
			Refusal::new(Code::Internal, "the answer cannot be written; report this as a fault")
		})
	};
	match answer.await {
		Ok(json) => ([(CONTENT_TYPE, "application/json")], Body::from(json + "\n")).into_response(),
		Err(refusal) => error(refusal),
	}
}
