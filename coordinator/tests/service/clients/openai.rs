//! OpenAI's Images, byte by byte where clients look; the real packages are in `packages`.

use super::*;
use cuckoo_coordinator::scheduler::SchedulerOptions;
use cuckoo_coordinator_api::{miner::FailureReason, task::TaskState};
use serde_json::json;

fn generation(more: Value) -> Value {
	let mut body = json!({
		"prompt": "a red bird", "model": MODEL, "size": "64x72", "num_inference_steps": 2, "seed": 7,
	});
	body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
	body
}

fn spec() -> TaskSpec {
	request("a red bird").resolve(7, MODEL.into())
}

const PATH: &str = "/v1/images/generations";

#[tokio::test]
async fn pictures_come_as_the_client_asks_for_them() {
	let coordinator = serving().await;
	let (status, both) = coordinator.post_json(PATH, &generation(json!({ "n": 2 }))).await;
	assert_eq!(status, 200, "{both}");
	assert_eq!((&both["size"], &both["output_format"]), (&json!("64x72"), &json!("png")));
	let data = both["data"].as_array().unwrap();
	assert_eq!(data.len(), 2);
	for (index, image) in (0..).zip(data) {
		assert!(is_picture(&image["b64_json"], &spec(), index));
		let file =
			reqwest::get(image["url"].as_str().unwrap()).await.unwrap().bytes().await.unwrap();
		assert_eq!(file, png(64, 72, &pixels(&spec(), index)));
	}
	for (asked, there, absent) in [("url", "url", "b64_json"), ("b64_json", "b64_json", "url")] {
		let body = generation(json!({ "response_format": asked }));
		let (_, answer) = coordinator.post_json(PATH, &body).await;
		let image = &answer["data"][0];
		assert!(image[there].is_string() && image.get(absent).is_none(), "{asked}");
	}
}

#[tokio::test]
async fn a_stream_ends_with_the_picture() {
	let coordinator = serving().await;
	for partial_images in [json!(null), json!(0), json!(3)] {
		let body = generation(json!({ "stream": true, "partial_images": partial_images }));
		let answer = coordinator.request(Method::POST, PATH).json(&body).send().await.unwrap();
		assert_eq!(answer.headers()["content-type"], "text/event-stream");
		let events = events(&answer.text().await.unwrap());
		let [(name, event)] = &events[..] else { panic!("{events:?}") };
		assert_eq!((name.as_str(), &event["type"]), ("image_generation.completed", &json!(name)));
		assert!(is_picture(&event["b64_json"], &spec(), 0));
		assert_eq!(event["usage"]["total_tokens"], 0);
	}
}

#[tokio::test]
async fn a_failure_in_a_stream_is_an_event() {
	let (coordinator, miner) = coordinator_and_miner().await;
	let body = generation(json!({ "stream": true }));
	let request = coordinator.request(Method::POST, PATH).json(&body);
	let (answer, ()) = tokio::join!(request.send(), async {
		let held = miner.take().await;
		coordinator.cancel(&held.task_id).await;
	});
	let events = events(&answer.unwrap().text().await.unwrap());
	assert_eq!(events[0].0, "error");
	assert_eq!(events[0].1["error"]["code"], "CANCELLED");
}

#[tokio::test]
async fn errors_have_its_shape() {
	let coordinator = Coordinator::start(vec![registration(&dev::alice(), 1)]).await;
	let (status, answer) = coordinator.post_json(PATH, &json!({ "prompt": "x" })).await;
	assert_eq!((status, &answer["error"]["code"]), (503, &json!("NO_MINERS")));
	assert_eq!(answer["error"]["type"], "server_error");
	let _miner = TestMiner::connect(&coordinator, dev::alice()).await;

	let unknown = generation(json!({ "model": "dall-e-2" }));
	for (body, status, code, param) in [
		(json!({}), 400, "INVALID_REQUEST", json!("prompt")),
		(generation(json!({ "size": "65x64" })), 400, "INVALID_REQUEST", json!("size")),
		(generation(json!({ "n": "two" })), 400, "INVALID_REQUEST", json!("n")),
		(
			generation(json!({ "output_format": "webp" })),
			400,
			"UNSUPPORTED",
			json!("output_format"),
		),
		(unknown, 404, "UNKNOWN_MODEL", json!("model")),
	] {
		let (got, answer) = coordinator.post_json(PATH, &body).await;
		let error = &answer["error"];
		assert_eq!(
			(got, &error["code"], &error["param"]),
			(status, &json!(code), &param),
			"{body}"
		);
		assert_eq!(error["type"], "invalid_request_error");
		assert!(error["message"].is_string());
	}
	let served = coordinator.post_json(PATH, &generation(json!({ "model": "dall-e-2" }))).await.1;
	assert!(served["error"]["message"].as_str().unwrap().contains(MODEL), "{served}");

	let post = || coordinator.request(Method::POST, PATH);
	let json_type = |request: RequestBuilder| request.header("content-type", "application/json");
	for (request, status, code) in [
		(json_type(post()).body("{"), 400, "INVALID_REQUEST"),
		(json_type(post()).body("{} {}"), 400, "INVALID_REQUEST"),
		(post().body(r#"{"prompt":"x"}"#), 400, "INVALID_REQUEST"),
		(json_type(post()).body(" ".repeat(1024 * 1024 + 1)), 413, "TOO_LARGE"),
		(coordinator.request(Method::POST, "/v1/images/edits"), 400, "UNSUPPORTED"),
		(coordinator.request(Method::GET, "/v1/nothing"), 404, "UNKNOWN_TASK"),
	] {
		let (got, answer) = self::answer(request).await;
		assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{answer}");
	}
}

#[tokio::test]
async fn models_are_those_that_live_miners_serve() {
	let (coordinator, _miner) = coordinator_and_miner().await;
	let (_, list) = coordinator.get_json("/v1/models").await;
	assert_eq!((&list["object"], &list["data"][0]["id"]), (&json!("list"), &json!(MODEL)));
	let (status, model) = coordinator.get_json(&format!("/v1/models/{MODEL}")).await;
	assert_eq!((status, &model["object"]), (200, &json!("model")));
	let (status, answer) = coordinator.get_json("/v1/models/someone/else").await;
	assert_eq!((status, &answer["error"]["code"]), (404, &json!("UNKNOWN_MODEL")));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_in_the_queue() {
	let (coordinator, miner) = coordinator_and_miner().await;
	for stream in [false, true] {
		let body = generation(json!({ "stream": stream }));
		// One that a miner has begun is finished, and can be fetched.
		let begun = coordinator.request(Method::POST, PATH).json(&body);
		go_away(&coordinator, begun).await;
		let held = miner.take().await;
		let waiting = coordinator.request(Method::POST, PATH).json(&body);
		go_away(&coordinator, waiting).await;
		eventually("it is cancelled", || coordinator.service.info().queued == 0).await;
		miner.finish(&held).await;
		let status = coordinator.service.status(&nobody(), &held.task_id).unwrap();
		assert_eq!(status.state, TaskState::Done);
		assert_eq!(coordinator.get(&status.pictures[0].path).await.0, 200);
		assert_eq!(coordinator.service.info().running, 0);
	}
}

#[tokio::test]
async fn a_task_that_fails_says_why() {
	let options = SchedulerOptions { max_faults: 1, ..SchedulerOptions::default() };
	let coordinator = Coordinator::start_with(vec![registration(&dev::alice(), 1)], options).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let request = coordinator.request(Method::POST, PATH).json(&generation(json!({})));
	let (answer, ()) = tokio::join!(request.send(), async {
		let held = miner.take().await;
		miner.fail(&held, FailureReason::Internal).await.unwrap();
	});
	let answer = answer.unwrap();
	// What has failed everywhere is not to be tried again by the package's own doing.
	assert_eq!(answer.headers()["x-should-retry"], "false");
	assert_eq!(answer.status(), 503);
	let answer: Value = answer.json().await.unwrap();
	assert_eq!(answer["error"]["code"], "FAILED_EVERYWHERE");
}

#[tokio::test]
async fn going_down_answers_those_who_wait() {
	let coordinator = Coordinator::start(vec![]).await;
	let request = coordinator.request(Method::POST, PATH).json(&generation(json!({})));
	let ((status, answer), ()) = tokio::join!(answer(request), async {
		eventually("it waits", || coordinator.service.info().queued == 1).await;
		coordinator.service.drain(Duration::ZERO).await;
	});
	assert_eq!((status, &answer["error"]["code"]), (503, &json!("SHUTTING_DOWN")), "{answer}");
}
