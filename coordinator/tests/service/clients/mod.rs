//! The clients that apps already have, over real connections.

mod a1111;
mod documentation;
mod openai;
mod openapi;
mod original;
pub mod packages;
mod schemathesis;
mod tasks;

use crate::common::*;
use base64::{prelude::BASE64_STANDARD, Engine};
use cuckoo_coordinator_api::task::{TaskId, TaskSpec};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use std::time::Duration;
use subxt_signer::sr25519::dev;

/// A coordinator with one registered miner, and that miner.
async fn coordinator_and_miner() -> (Coordinator, TestMiner) {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	(coordinator, miner)
}

/// A coordinator whose one miner renders whatever comes.
async fn serving() -> Coordinator {
	let (coordinator, miner) = coordinator_and_miner().await;
	miner.work();
	coordinator
}

impl Coordinator {
	/// The beginning of a request to the app listener.
	fn request(&self, method: Method, path: &str) -> RequestBuilder {
		Client::new().request(method, format!("http://{}{path}", self.apps))
	}

	/// Sends JSON; status and answer.
	async fn post_json(&self, path: &str, body: &Value) -> (u16, Value) {
		answer(self.request(Method::POST, path).json(body)).await
	}

	/// Gets JSON; status and answer.
	async fn get_json(&self, path: &str) -> (u16, Value) {
		answer(self.request(Method::GET, path)).await
	}

	/// Offers a task for a small picture.
	async fn offer(&self, prompt: &str) {
		let body = serde_json::to_value(request(prompt)).unwrap();
		assert_eq!(self.post_json("/v1/tasks", &body).await.0, 202);
	}

	/// Takes a task back.
	async fn cancel(&self, id: &TaskId) {
		let request = self.request(Method::DELETE, &format!("/v1/tasks/{id}"));
		assert_eq!(answer(request).await.0, 200);
	}
}

/// Sends a request; status and answer, `null` if that is no JSON.
async fn answer(request: RequestBuilder) -> (u16, Value) {
	let answer = request.send().await.unwrap();
	let status = answer.status().as_u16();
	(status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
}

/// The data of the events of a stream that has ended.
fn events(body: &str) -> Vec<(String, Value)> {
	let field = |event: &str, name: &str| {
		event.lines().find_map(|line| line.strip_prefix(name).map(|text| text.trim().to_owned()))
	};
	body.split("\n\n")
		.filter_map(|event| Some((field(event, "event:")?, field(event, "data:")?)))
		.map(|(name, data)| (name, serde_json::from_str(&data).unwrap()))
		.collect()
}

/// Whether Base64 holds the picture that a simulated miner renders.
fn is_picture(base64: &Value, spec: &TaskSpec, index: u32) -> bool {
	let file = BASE64_STANDARD.decode(base64.as_str().unwrap()).unwrap();
	file == png(spec.width, spec.height, &pixels(spec, index))
}

/// Begins a request whose client goes away while it waits; answers once it has arrived.
async fn go_away(coordinator: &Coordinator, request: RequestBuilder) {
	let before = coordinator.service.info();
	let request = tokio::spawn(request.send());
	let arrived = || {
		let now = coordinator.service.info();
		now.queued + now.running > before.queued + before.running
	};
	eventually("the task is offered", arrived).await;
	request.abort();
}

/// Long enough for what takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
