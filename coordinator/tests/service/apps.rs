//! What apps see, over real connections.

use crate::common::*;
use cuckoo_coordinator_api::{
	app::AppApiClient,
	error::Code,
	miner::FailureReason,
	task::{TaskId, TaskRequest, TaskState, TaskStatus},
};
use jsonrpsee::http_client::HttpClientBuilder;
use serde_json::json;
use sp_crypto_hashing::blake2_256;
use std::time::{Duration, Instant};
use subxt_signer::sr25519::dev;

#[tokio::test]
async fn a_prompt_becomes_pictures() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let http = HttpClientBuilder::default().build(format!("http://{}", coordinator.apps)).unwrap();
	let offered =
		http.offer_task(TaskRequest { images: 2, ..request("a red bird") }).await.unwrap();
	assert_eq!((offered.sequence, offered.steps), (0, 4));
	assert!(!offered.state.is_final());

	let held = miner.take().await;
	assert_eq!(held.task_id, offered.task_id);
	assert_eq!(held.spec, offered.spec);
	miner.heartbeat(&held, 3).await.unwrap();
	coordinator.shows(&held, 3).await;
	let status = http.task_status(held.task_id.clone()).await.unwrap();
	assert_eq!((status.state, status.step, status.attempt), (TaskState::Leased, 3, 1));
	miner.upload_all(&held).await;
	assert_eq!(miner.submit(&TestMiner::result(&held)).await.unwrap(), TaskState::Done);

	let done = http.wait_task(held.task_id.clone(), None).await.unwrap();
	assert_eq!((done.state, done.pictures.len()), (TaskState::Done, 2));
	assert_eq!(done.miner, Some(registration(&dev::alice(), 1).stash));
	for (index, picture) in (0..).zip(&done.pictures) {
		let (status, content, body) = coordinator.get(&picture.path).await;
		assert_eq!((status, content.as_str()), (200, "image/png"));
		assert_eq!(body.len() as u64, picture.bytes);
		let mut reader = png::Decoder::new(std::io::Cursor::new(&body[..])).read_info().unwrap();
		let mut decoded = vec![0; reader.output_buffer_size().unwrap()];
		reader.next_frame(&mut decoded).unwrap();
		assert_eq!(decoded, pixels(&held.spec, index));
		assert_eq!(picture.digest, hex::encode(blake2_256(&decoded)));
	}
}

#[tokio::test]
async fn progress_arrives_as_events_until_the_end() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let app = coordinator.app().await;
	let offered = app.offer_task(request("x")).await.unwrap();
	let mut events = app.subscribe_task(offered.task_id.clone()).await.unwrap();
	let first = events.next().await.unwrap().unwrap();
	assert_eq!(first.state, TaskState::Queued);
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let held = miner.take().await;
	let next = |mut events: jsonrpsee::core::client::Subscription<TaskStatus>,
	            wanted: TaskState,
	            step: u32| async move {
		loop {
			let status = events.next().await.unwrap().unwrap();
			if (status.state, status.step) == (wanted, step) {
				return events;
			}
		}
	};
	let events = next(events, TaskState::Leased, 0).await;
	miner.heartbeat(&held, 1).await.unwrap();
	let events = next(events, TaskState::Leased, 1).await;
	miner.upload_all(&held).await;
	miner.submit(&TestMiner::result(&held)).await.unwrap();
	next(events, TaskState::Done, 2).await;

	// One that has ended already is told once; one that never was is refused.
	let mut late = app.subscribe_task(offered.task_id).await.unwrap();
	assert_eq!(late.next().await.unwrap().unwrap().state, TaskState::Done);
	let unknown = app.subscribe_task(TaskId::from_bytes([1; 16])).await;
	assert_eq!(code(unknown.map(|_| ())), Code::UnknownTask);
}

#[tokio::test]
async fn waiting_ends_with_the_task_or_the_time() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let app = coordinator.app().await;
	let id = app.offer_task(request("x")).await.unwrap().task_id;
	let begin = Instant::now();
	let status = app.wait_task(id.clone(), Some(1)).await.unwrap();
	assert_eq!(status.state, TaskState::Queued);
	assert!((1..5).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());

	let canceller = coordinator.app().await;
	let (waited, cancelled) = tokio::join!(app.wait_task(id.clone(), Some(60)), async {
		tokio::time::sleep(Duration::from_millis(200)).await;
		canceller.cancel_task(id.clone()).await
	});
	assert_eq!(waited.unwrap().state, TaskState::Cancelled);
	assert_eq!(cancelled.unwrap().state, TaskState::Cancelled);
	assert_eq!(code(app.cancel_task(id.clone()).await), Code::TaskEnded);
	let unknown = TaskId::from_bytes([1; 16]);
	assert_eq!(code(app.cancel_task(unknown.clone()).await), Code::UnknownTask);
	assert_eq!(code(app.task_status(unknown.clone()).await), Code::UnknownTask);
	assert_eq!(code(app.wait_task(unknown, Some(1)).await), Code::UnknownTask);
}

#[tokio::test]
async fn a_miner_hears_of_a_cancelled_task() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let app = coordinator.app().await;
	let id = app.offer_task(request("x")).await.unwrap().task_id;
	let held = miner.take().await;
	app.cancel_task(id).await.unwrap();
	assert_eq!(code(miner.heartbeat(&held, 1).await), Code::NoLease);
	assert_eq!(code(miner.submit(&TestMiner::result(&held)).await), Code::NoLease);
}

#[tokio::test]
async fn impossible_requests_are_refused_by_name() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let app = coordinator.app().await;
	let no_miners = TaskRequest { model: None, ..request("x") };
	assert_eq!(code(app.offer_task(no_miners).await), Code::NoMiners);
	let _miner = TestMiner::connect(&coordinator, dev::alice()).await;
	for bad in [
		TaskRequest { width: 0, ..request("x") },
		TaskRequest { width: 65_537, ..request("x") },
		TaskRequest { sampler: "none".into(), ..request("x") },
		request(&"x".repeat(100_000)),
	] {
		assert_eq!(code(app.offer_task(bad).await), Code::InvalidRequest);
	}
	let other = TaskRequest { model: Some("other".into()), ..request("x") };
	assert_eq!(code(app.offer_task(other).await), Code::UnknownModel);
	assert_eq!(coordinator.service.health().running, 0);
}

#[tokio::test]
async fn malformed_bodies_get_json_rpc_errors() {
	let coordinator = Coordinator::start(vec![]).await;
	for (body, wanted) in [
		("{".to_owned(), -32700),
		("not json".to_owned(), -32700),
		("\u{0}".to_owned(), -32700),
		(json!({"jsonrpc": "2.0", "id": 1, "method": "nothing"}).to_string(), -32601),
		(json!({"jsonrpc": "2.0", "id": 1, "method": "cuckoo_offerTask"}).to_string(), -32602),
		(
			json!({"jsonrpc": "2.0", "id": 1, "method": "cuckoo_offerTask",
				"params": {"request": {"prompt": "x", "width": -1}}})
			.to_string(),
			-32602,
		),
		(format!("{{\"jsonrpc\": \"2.0\", \"a\": {}1", "[".repeat(100_000)), -32700),
	] {
		let short: String = body.chars().take(80).collect();
		let (_, answer) = coordinator.post(body).await;
		assert_eq!(answer["error"]["code"], wanted, "{short}: {answer}");
		if wanted == Code::InvalidRequest.number() {
			assert_eq!(answer["error"]["data"], "INVALID_REQUEST", "{short}: {answer}");
		}
	}
	let negative = json!({"jsonrpc": "2.0", "id": 1, "method": "cuckoo_offerTask",
		"params": [{"prompt": "x", "width": -1}]});
	let (_, answer) = coordinator.post(negative.to_string()).await;
	let message = answer["error"]["message"].as_str().unwrap();
	assert!(message.contains("-1") && message.contains("u32"), "{message}");
	// A batch above the limit, and a body above the limit.
	let call = json!({"jsonrpc": "2.0", "id": 1, "method": "cuckoo_info"});
	let (_, answer) = coordinator.post(json!(vec![call.clone(); 32]).to_string()).await;
	assert_eq!(answer.as_array().map(Vec::len), Some(32));
	let (_, answer) = coordinator.post(json!(vec![call; 33]).to_string()).await;
	assert!(answer["error"]["code"].is_i64(), "{answer}");
	let (status, answer) = coordinator.post(" ".repeat(1024 * 1024 + 1)).await;
	assert!(status == 413 || answer["error"]["code"].is_i64(), "{status} {answer}");
	// A prompt of 100 kB fits into the body, and is refused by name.
	let long = json!({"jsonrpc": "2.0", "id": 1, "method": "cuckoo_offerTask",
		"params": {"request": {"prompt": "x".repeat(100_000)}}});
	let (_, answer) = coordinator.post(long.to_string()).await;
	assert_eq!(answer["error"]["data"], "INVALID_REQUEST");
	assert_eq!(answer["error"]["code"], -32602);
}

#[tokio::test]
async fn pictures_that_are_not_there_are_not_found() {
	let coordinator = Coordinator::start(vec![]).await;
	let id = coordinator.service.offer(nobody(), request("x")).await.unwrap().task_id;
	for path in [
		format!("/pictures/{id}/0"),
		format!("/pictures/{id}/x"),
		format!("/pictures/{}/0", "0".repeat(32)),
		"/pictures/..%2F..%2Fetc/passwd".to_owned(),
		"/pictures".to_owned(),
		"/nothing".to_owned(),
	] {
		let (status, content, body) = coordinator.get(&path).await;
		assert_eq!((status, content.as_str()), (404, "application/json"), "{path}");
		let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
		assert_eq!(body["code"], "UNKNOWN_TASK", "{path}");
	}
}

#[tokio::test]
async fn the_market_can_be_seen() {
	let miners = vec![registration(&dev::alice(), 30), registration(&dev::bob(), 10)];
	let coordinator = Coordinator::start(miners).await;
	let miner = TestMiner::connect(&coordinator, dev::bob()).await;
	let app = coordinator.app().await;
	let miners = app.list_miners().await.unwrap();
	let seen: Vec<_> = miners.iter().map(|m| (m.stake.as_str(), m.live, m.slots)).collect();
	assert_eq!(seen, [("30", false, 0), ("10", true, 1)]);
	assert!((miners[0].share - 0.75).abs() < 1e-12);
	assert_eq!(miners[1].models, [MODEL]);
	let info = app.info().await.unwrap();
	assert_eq!((info.finalized_block, info.models), (1, vec![MODEL.to_owned()]));
	assert_eq!(info.genesis, format!("0x{}", hex::encode(GENESIS)));

	let id = app.offer_task(request("x")).await.unwrap().task_id;
	let held = miner.take().await;
	miner.fail(&held, FailureReason::OutOfMemory).await.unwrap();
	let (_, _, health) = coordinator.get("/health").await;
	let health: serde_json::Value = serde_json::from_slice(&health).unwrap();
	assert_eq!(
		health,
		json!({"accepting": true, "finalizedBlock": 1, "liveMiners": 1, "queued": 1, "running": 0})
	);
	assert_eq!(app.list_miners().await.unwrap()[1].tasks_failed, 1);
	app.cancel_task(id).await.unwrap();
}

#[tokio::test]
async fn going_down_answers_those_who_wait_and_keeps_their_tasks() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let app = coordinator.app().await;
	let id = app.offer_task(request("x")).await.unwrap().task_id;
	let (status, ()) = tokio::join!(app.wait_task(id, Some(60)), async {
		tokio::time::sleep(Duration::from_millis(100)).await;
		coordinator.service.drain(Duration::from_secs(10)).await;
	});
	assert_eq!(status.unwrap().state, TaskState::Queued);
	assert_eq!(code(app.offer_task(request("y")).await), Code::ShuttingDown);
}
