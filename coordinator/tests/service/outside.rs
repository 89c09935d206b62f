//! What the machinery around a coordinator sees of it.

use crate::common::*;
use cuckoo_coordinator::scheduler::SchedulerOptions;
use cuckoo_coordinator_api::{
	app::AppApiClient,
	error::Code,
	miner::{FailureReason, MinerApiClient},
	task::TaskRequest,
};
use serde_json::Value;
use std::time::Duration;
use subxt_signer::sr25519::dev;

/// A task's way is counted and timed, stage by stage.
#[tokio::test]
async fn metrics_tell_of_each_stage() {
	let coordinator =
		Coordinator::start(vec![registration(&dev::alice(), 1), registration(&dev::bob(), 1)])
			.await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let app = coordinator.app().await;
	for name in ["first", "second"] {
		app.offer_task(request(name)).await.unwrap();
	}
	let held = miner.take().await;
	let shows = async |name: &str, wanted: u32| {
		let value = metric(&coordinator, name).await;
		assert!((value - f64::from(wanted)).abs() < f64::EPSILON, "{name} is {value}");
	};
	shows("cuckoo_tasks{state=\"queued\"}", 1).await;
	shows("cuckoo_tasks{state=\"running\"}", 1).await;
	shows("cuckoo_miners{state=\"registered\"}", 2).await;
	shows("cuckoo_miners{state=\"live\"}", 1).await;
	miner.finish(&held).await;
	let held = miner.take().await;
	miner.fail(&held, FailureReason::Internal).await.unwrap();
	assert_eq!(
		code(app.offer_task(TaskRequest { width: 1, ..request("x") }).await),
		Code::InvalidRequest
	);
	assert_eq!(coordinator.get("/pictures/nothing/0").await.0, 404);
	for (name, wanted) in [
		("cuckoo_tasks_offered_total", 2),
		("cuckoo_tasks_ended_total{state=\"done\"}", 1),
		("cuckoo_attempts_total{event=\"leased\"}", 2),
		("cuckoo_attempts_total{event=\"accepted\"}", 1),
		("cuckoo_attempts_total{event=\"failed\"}", 1),
		("cuckoo_task_stage_seconds_count{stage=\"queued\"}", 2),
		("cuckoo_task_stage_seconds_count{stage=\"pickup\"}", 2),
		("cuckoo_task_stage_seconds_count{stage=\"render\"}", 1),
		("cuckoo_task_stage_seconds_count{stage=\"total\"}", 1),
		("cuckoo_uploads_total{outcome=\"kept\"}", 1),
		("cuckoo_picture_check_seconds_count", 1),
		("cuckoo_refusals_total{listener=\"apps\",code=\"INVALID_REQUEST\"}", 1),
		("cuckoo_refusals_total{listener=\"apps\",code=\"UNKNOWN_TASK\"}", 1),
		("cuckoo_registry_block", 1),
		("cuckoo_accepting", 1),
		("cuckoo_connections{listener=\"miners\"}", 1),
	] {
		shows(name, wanted).await;
	}
	for least in [
		"cuckoo_upload_bytes_total",
		"cuckoo_store_commit_seconds_count",
		"cuckoo_store_group_entries_sum",
		"cuckoo_http_answers_total{listener=\"apps\",route=\"/pictures/{task}/{index}\",status=\"404\"}",
		"cuckoo_http_answers_total{listener=\"miners\",route=\"/pictures/{task}/{attempt}/{index}\",status=\"204\"}",
		"process_start_time_seconds",
		"process_resident_memory_bytes",
	] {
		assert!(metric(&coordinator, least).await >= 1.0, "{least}");
	}
}

/// Whatever apps and miners send, no series is made of it.
#[tokio::test]
async fn no_metric_grows_with_what_is_sent() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	TestMiner::connect(&coordinator, dev::alice()).await.work();
	let text = |coordinator: &Coordinator| {
		let url = format!("http://{}/metrics", coordinator.metrics);
		async move { reqwest::get(url).await.unwrap().text().await.unwrap() }
	};
	let app = coordinator.app().await;
	let round = async |n: u32| {
		let model = format!("model {n}");
		let _ = app.offer_task(TaskRequest { model: Some(model), ..request("x") }).await;
		let id = app.offer_task(request(&format!("bird {n}"))).await.unwrap().task_id;
		app.wait_task(id, None).await.unwrap();
		coordinator.get(&format!("/nothing/{n}")).await;
		coordinator.get(&format!("/v1/models/{n}")).await;
		coordinator.get(&format!("/v1/tasks/{n}")).await;
	};
	round(0).await;
	let _ = text(&coordinator).await;
	let series = text(&coordinator).await.lines().count();
	for n in 1..5 {
		round(n).await;
	}
	let after = text(&coordinator).await;
	assert_eq!(after.lines().count(), series, "{after}");
	assert!(after.ends_with("# EOF\n"));
}

#[tokio::test]
async fn metrics_are_not_for_apps() {
	let coordinator = Coordinator::start(vec![]).await;
	assert_eq!(coordinator.get("/metrics").await.0, 404);
}

#[tokio::test]
async fn a_coordinator_is_ready_until_it_goes_down() {
	let coordinator = Coordinator::start(vec![]).await;
	let ready = async || {
		let (status, _, body) = coordinator.get("/ready").await;
		(status, serde_json::from_slice::<Value>(&body).unwrap())
	};
	let (status, body) = ready().await;
	assert_eq!((status, &body["ready"]), (200, &true.into()), "{body}");
	let stream = format!("http://{}/v1/tasks", coordinator.apps);
	let id = coordinator.app().await.offer_task(request("x")).await.unwrap().task_id;
	let events = reqwest::get(format!("{stream}/{id}/events")).await.unwrap();
	coordinator.service.drain(Duration::ZERO).await;
	let (status, body) = ready().await;
	assert_eq!(status, 503);
	assert!(body["reasons"][0].as_str().unwrap().contains("going down"), "{body}");
	assert_eq!(coordinator.get("/health").await.0, 200);
	// Those who follow a task do not hold it up.
	let text = tokio::time::timeout(Duration::from_secs(10), events.text()).await.unwrap().unwrap();
	assert!(text.contains("queued"), "{text}");
}

/// A task that a miner is at work on may be finished while the coordinator goes down, by whatever client
/// it came.
#[tokio::test]
async fn going_down_waits_for_what_is_rendered() {
	let options = SchedulerOptions::default();
	let coordinator = Coordinator::start_with(vec![registration(&dev::alice(), 1)], options).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let app = coordinator.app().await;
	let id = app.offer_task(request("x")).await.unwrap().task_id;
	let held = miner.take().await;
	let drained = {
		let service = coordinator.service.clone();
		tokio::spawn(async move { service.drain(Duration::from_mins(1)).await })
	};
	eventually("it takes no more", || !coordinator.service.health().accepting).await;
	assert_eq!(code(app.offer_task(request("y")).await), Code::ShuttingDown);
	miner.heartbeat(&held, 1).await.unwrap();
	miner.finish(&held).await;
	drained.await.unwrap();
	assert_eq!(app.task_status(id.clone()).await.unwrap().pictures.len(), 1);
	assert!(miner.client.poll(miner.session.clone(), 1).await.is_err(), "the session is over");
}
