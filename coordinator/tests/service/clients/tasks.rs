//! The REST twin of the `cuckoo_*` methods.

use super::*;
use cuckoo_coordinator_api::{
	amount::Amount,
	app::{AppApiClient, Quote},
};
use serde_json::json;

fn body() -> Value {
	serde_json::to_value(request("a red bird")).unwrap()
}

#[tokio::test]
async fn a_task_is_offered_watched_and_fetched() {
	let (coordinator, miner) = coordinator_and_miner().await;
	let offered =
		coordinator.request(Method::POST, "/v1/tasks").json(&body()).send().await.unwrap();
	assert_eq!(offered.status(), 202);
	let location = offered.headers()["location"].to_str().unwrap().to_owned();
	let status: Value = offered.json().await.unwrap();
	assert_eq!(location, format!("/v1/tasks/{}", status["taskId"].as_str().unwrap()));

	let events =
		coordinator.request(Method::GET, &format!("{location}/events")).send().await.unwrap();
	assert_eq!(events.headers()["content-type"], "text/event-stream");
	let held = miner.take().await;
	miner.heartbeat(&held, 1).await.unwrap();
	coordinator.shows(&held, 1).await;
	let (_, status) = coordinator.get_json(&location).await;
	assert_eq!((&status["state"], &status["step"]), (&json!("leased"), &json!(1)));
	miner.finish(&held).await;
	let events = self::events(&events.text().await.unwrap());
	assert!(events.iter().all(|(name, _)| name == "task"));
	let last = &events.last().unwrap().1;
	assert_eq!(last["state"], "done");
	let path = last["pictures"][0]["path"].as_str().unwrap();
	assert_eq!(coordinator.get(path).await.0, 200);

	// One that has ended is told once.
	let (status, _, text) = coordinator.get(&format!("{location}/events")).await;
	assert_eq!((status, self::events(std::str::from_utf8(&text).unwrap()).len()), (200, 1));
}

#[tokio::test]
async fn an_offer_may_wait_for_the_end() {
	let (coordinator, miner) = coordinator_and_miner().await;
	let waiting = |seconds: &'static str| {
		let prefer = format!("wait={seconds}");
		coordinator.request(Method::POST, "/v1/tasks").header("prefer", prefer).json(&body())
	};
	let (answer, ()) = tokio::join!(waiting("60").send(), async {
		let held = miner.take().await;
		miner.finish(&held).await;
	});
	let answer = answer.unwrap();
	assert_eq!(
		(answer.status().as_u16(), &answer.headers()["preference-applied"] == "wait=60"),
		(200, true)
	);
	assert_eq!(answer.json::<Value>().await.unwrap()["state"], "done");
	let unfinished = waiting("1").send().await.unwrap();
	assert_eq!(unfinished.status(), 202);
}

#[tokio::test]
async fn a_task_is_cancelled_by_hand_or_after_a_time() {
	let coordinator = Coordinator::start(vec![]).await;
	let (status, offered) = coordinator.post_json("/v1/tasks", &body()).await;
	assert_eq!(status, 202);
	let path = format!("/v1/tasks/{}", offered["taskId"].as_str().unwrap());
	let delete = || answer(coordinator.request(Method::DELETE, &path));
	let (status, cancelled) = delete().await;
	assert_eq!((status, &cancelled["state"]), (200, &json!("cancelled")));
	let (status, again) = delete().await;
	assert_eq!((status, &again["code"]), (409, &json!("TASK_ENDED")));

	let limited = coordinator.request(Method::POST, "/v1/tasks").header("cancel-after", "1");
	let (_, offered) = answer(limited.header("prefer", "wait=60").json(&body())).await;
	assert_eq!(offered["state"], "cancelled");
}

#[tokio::test]
async fn a_quote_offers_nothing() {
	let (coordinator, miner) = coordinator_and_miner().await;
	let quote = || async {
		let (status, quote) = coordinator.post_json("/v1/tasks?dry_run=true", &body()).await;
		assert_eq!(status, 200, "{quote}");
		serde_json::from_value::<Quote>(quote).unwrap()
	};
	let milliunits = request("x").resolve(1, MODEL.into()).milliunits();
	let idle = Quote {
		model: MODEL.into(),
		milliunits,
		price: Amount::ZERO,
		queued: 0,
		slots: 1,
		free_slots: 1,
		wait_seconds: Some(0.0),
		render_seconds: None,
	};
	assert_eq!(quote().await, idle);
	assert_eq!(coordinator.service.info().queued + coordinator.service.info().running, 0);

	// Once something was rendered there are times, and who is busy makes others wait.
	coordinator.offer("x").await;
	let held = miner.take().await;
	tokio::time::sleep(Duration::from_millis(20)).await;
	let busy = Quote { free_slots: 0, wait_seconds: None, ..idle };
	assert_eq!(quote().await, busy);
	miner.finish(&held).await;
	coordinator.offer("x").await;
	coordinator.offer("y").await;
	let waiting = coordinator.app().await.quote_task(request("z")).await.unwrap();
	assert_eq!((waiting.queued, waiting.free_slots), (1, 0));
	let render = waiting.render_seconds.unwrap();
	assert!(
		render > 0.0 && (waiting.wait_seconds.unwrap() - 1.5 * render).abs() < 1e-9,
		"{waiting:?}"
	);

	let other = json!({ "prompt": "x", "model": "other" });
	let (status, refused) = coordinator.post_json("/v1/tasks?dry_run=true", &other).await;
	assert_eq!((status, &refused["code"]), (404, &json!("UNKNOWN_MODEL")));
}

#[tokio::test]
async fn refusals_have_a_code_and_a_sentence() {
	let coordinator = Coordinator::start(vec![]).await;
	let unknown = format!("/v1/tasks/{}", "0".repeat(32));
	let post = |path: &str| coordinator.request(Method::POST, path).json(&body());
	let get = |path: &str| coordinator.request(Method::GET, path);
	for (request, status, code) in [
		(get(&unknown), 404, "UNKNOWN_TASK"),
		(get("/v1/tasks/x"), 404, "UNKNOWN_TASK"),
		(get(&format!("{unknown}/events")), 404, "UNKNOWN_TASK"),
		(coordinator.request(Method::DELETE, &unknown), 404, "UNKNOWN_TASK"),
		(post("/v1/tasks?dry_run=perhaps"), 400, "INVALID_REQUEST"),
		(post("/v1/tasks").header("cancel-after", "soon"), 400, "INVALID_REQUEST"),
		(coordinator.request(Method::POST, "/v1/tasks").json(&json!({})), 400, "INVALID_REQUEST"),
		(
			coordinator.request(Method::POST, "/v1/tasks").json(&json!({ "prompt": "x" })),
			503,
			"NO_MINERS",
		),
	] {
		let (got, answer) = answer(request).await;
		assert_eq!((got, &answer["code"]), (status, &json!(code)), "{answer}");
		assert!(answer["message"].is_string());
	}
	assert_eq!(coordinator.service.info().queued, 0);
}
