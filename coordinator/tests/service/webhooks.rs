//! Messages to apps, with a real receiver.

use crate::common::*;
use crate::crash;
use axum::{
	body::Bytes,
	extract::State,
	http::{HeaderMap, StatusCode},
	response::{IntoResponse, Redirect, Response},
	routing::any,
	Router,
};
use cuckoo_coordinator::{
	store::{Durability, RedbStore, Retention},
	webhooks::{signature, WebhookOptions},
};
use cuckoo_coordinator_api::{
	app::AppApiClient,
	error::Code,
	task::{TaskId, TaskRequest},
	webhook::{WebhookEvent, WebhookSecret},
};
use jsonrpsee::http_client::HttpClientBuilder;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use subxt_signer::sr25519::dev;
use tokio::net::TcpListener;

const SECRET: [u8; 32] = [9; 32];

/// A message as it came in.
#[derive(Clone, Debug)]
struct Message {
	id: String,
	body: Value,
}

/// What the receiver answers next; in the end always 204.
#[derive(Clone, Copy)]
enum Answer {
	Status(u16),
	RedirectToSelf,
}

/// A server of an app.
#[derive(Clone, Default)]
struct Receiver {
	messages: Arc<Mutex<Vec<Message>>>,
	answers: Arc<Mutex<Vec<Answer>>>,
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
	let header = |name: &str| headers[name].to_str().unwrap().to_owned();
	let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
	let text = std::str::from_utf8(&body).unwrap();
	assert!(now() / 1000 - timestamp < 60, "{timestamp}");
	assert_eq!(header("content-type"), "application/json");
	assert_eq!(header("webhook-signature"), signature(&SECRET, &id, timestamp, text));
	let message = Message { id, body: serde_json::from_str(text).unwrap() };
	receiver.messages.lock().push(message);
	match receiver.answers.lock().pop() {
		None => StatusCode::NO_CONTENT.into_response(),
		Some(Answer::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
		Some(Answer::RedirectToSelf) => Redirect::temporary("/elsewhere").into_response(),
	}
}

impl Receiver {
	/// Listens, on a port that is free or on this one; its address.
	async fn listen(&self, port: u16) -> String {
		let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
		let address = listener.local_addr().unwrap();
		let router = Router::new().fallback(any(receive)).with_state(self.clone());
		tokio::spawn(async move { axum::serve(listener, router).await });
		format!("http://{address}/hook")
	}

	/// It is to answer so, in this order.
	fn answer(&self, answers: &[Answer]) {
		*self.answers.lock() = answers.iter().rev().copied().collect();
	}

	fn ids(&self) -> Vec<String> {
		self.messages.lock().iter().map(|message| message.id.clone()).collect()
	}

	/// Waits for so many messages, and a moment longer for one too many.
	async fn messages(&self, count: usize) -> Vec<Message> {
		eventually("the messages", || self.messages.lock().len() >= count).await;
		tokio::time::sleep(Duration::from_millis(300)).await;
		let messages = self.messages.lock().clone();
		assert_eq!(messages.len(), count, "{messages:?}");
		messages
	}
}

fn told(url: &str) -> TaskRequest {
	TaskRequest {
		webhook: Some(url.into()),
		webhook_secret: Some(WebhookSecret::from_bytes(&SECRET)),
		..request("a red bird")
	}
}

fn message_id(task: &TaskId, event: &str) -> String {
	format!("msg_{task}_{event}")
}

/// All messages were received or given up.
async fn none_is_pending(coordinator: &Coordinator) {
	reaches(coordinator, "cuckoo_webhooks_pending", 0.0).await;
}

/// So many tries had this outcome.
async fn tries(coordinator: &Coordinator, outcome: &str, count: f64) {
	let name = format!("cuckoo_webhook_tries_total{{outcome=\"{outcome}\"}}");
	reaches(coordinator, &name, count).await;
}

#[tokio::test]
async fn an_app_is_told_what_it_wants_to_know() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let receiver = Receiver::default();
	let url = receiver.listen(0).await;
	let app = coordinator.app().await;
	let both = Some(vec![WebhookEvent::Start, WebhookEvent::Completed]);
	let asked = TaskRequest { webhook_events_filter: both, ..told(&url) };
	let id = app.offer_task(asked).await.unwrap().task_id;
	let held = miner.take().await;
	let started = receiver.messages(1).await.remove(0);
	assert_eq!(started.id, message_id(&id, "start"));
	assert_eq!(started.body["type"], "task.start");
	assert_eq!(started.body["data"]["state"], "leased");
	miner.finish(&held).await;
	let done = receiver.messages(2).await.remove(1);
	assert_eq!(done.id, message_id(&id, "completed"));
	assert_eq!(done.body["type"], "task.completed");
	let status = app.task_status(id.clone()).await.unwrap();
	assert_eq!(done.body["data"], serde_json::to_value(&status).unwrap());
	assert!(done.body["timestamp"].as_str().unwrap().ends_with('Z'));

	// Every end is one, and without a filter only the end is told.
	let id = app.offer_task(told(&url)).await.unwrap().task_id;
	app.cancel_task(id.clone()).await.unwrap();
	let cancelled = receiver.messages(3).await.remove(2);
	assert_eq!(cancelled.id, message_id(&id, "completed"));
	assert_eq!(cancelled.body["data"]["state"], "cancelled");
	assert!(!cancelled.body.to_string().contains("whsec_"), "{}", cancelled.body);
	none_is_pending(&coordinator).await;
}

#[tokio::test]
async fn a_message_is_sent_again_until_it_is_received() {
	let coordinator = Coordinator::start(vec![]).await;
	let receiver = Receiver::default();
	let url = receiver.listen(0).await;
	receiver.answer(&[Answer::Status(500), Answer::RedirectToSelf, Answer::Status(429)]);
	let app = coordinator.app().await;
	let id = app.offer_task(told(&url)).await.unwrap().task_id;
	app.cancel_task(id.clone()).await.unwrap();
	let messages = receiver.messages(4).await;
	// A redirect was not followed: all came to the address that was named, with one name and body.
	for message in &messages {
		assert_eq!(message.id, message_id(&id, "completed"));
		assert_eq!(message.body, messages[0].body);
	}
	none_is_pending(&coordinator).await;
	tries(&coordinator, "failed", 3.0).await;
	tries(&coordinator, "received", 1.0).await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone() {
	let coordinator = Coordinator::start(vec![]).await;
	let receiver = Receiver::default();
	let url = receiver.listen(0).await;
	receiver.answer(&[Answer::Status(410)]);
	let app = coordinator.app().await;
	let id = app.offer_task(told(&url)).await.unwrap().task_id;
	app.cancel_task(id).await.unwrap();
	receiver.messages(1).await;
	none_is_pending(&coordinator).await;
	tries(&coordinator, "given_up", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_received_is_sent_after_a_kill() {
	let dir = tempfile::tempdir().unwrap();
	let receiver = Receiver::default();
	// Ports that are free, so nobody listens at the address of the receiver yet.
	let free = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
	let [apps, miners, port] = free.each_ref().map(|free| free.local_addr().unwrap().port());
	drop(free);
	let url = format!("http://127.0.0.1:{port}/hook");
	let mut child = tokio::task::block_in_place(|| crash::start(dir.path(), [apps, miners]));
	let app = HttpClientBuilder::default().build(format!("http://127.0.0.1:{apps}")).unwrap();
	let mut wanted = Vec::new();
	for _ in 0..20 {
		let id = app.offer_task(told(&url)).await.unwrap().task_id;
		app.cancel_task(id.clone()).await.unwrap();
		wanted.push(message_id(&id, "completed"));
	}
	child.kill().unwrap();
	child.wait().unwrap();
	assert!(receiver.ids().is_empty());
	receiver.listen(port).await;
	let coordinator = Coordinator::start_in(dir.path(), vec![]).await;
	eventually("all are received", || {
		let ids = receiver.ids();
		wanted.iter().all(|id| ids.contains(id))
	})
	.await;
	none_is_pending(&coordinator).await;
	coordinator.stop().await;
	// What was received is not there for the next run.
	let (path, durability) = (dir.path().join("tasks.redb"), Durability::Commit);
	let store = RedbStore::open(&path, durability, Retention::default()).unwrap();
	assert_eq!(store.unfinished().unwrap().deliveries, []);
}

#[tokio::test]
async fn what_must_not_be_called_is_refused_at_the_offer() {
	let coordinator = Coordinator::start_with_webhooks(WebhookOptions::default()).await;
	let app = coordinator.app().await;
	for url in [
		"http://example.com/",
		"https://127.0.0.1/",
		"https://[::1]/",
		"https://[::ffff:192.168.0.1]/",
		"https://169.254.169.254/latest/meta-data",
		"https://localhost:9980/",
		"nonsense",
	] {
		assert_eq!(code(app.offer_task(told(url)).await), Code::InvalidRequest, "{url}");
		assert_eq!(code(app.quote_task(told(url)).await), Code::InvalidRequest, "{url}");
	}
	let unsigned = TaskRequest { webhook_secret: None, ..told("https://example.com/") };
	assert_eq!(code(app.offer_task(unsigned).await), Code::InvalidRequest);
	assert_eq!(coordinator.service.health().queued, 0);
}
