//! The network before this one, byte for byte where its clients look.

use super::*;
use serde_json::json;

/// As its documentation has it, except that picture and steps are small and named fields are right.
fn offer(more: Value) -> Value {
	let mut parameter = json!({
		"id": "VHn9nAvmHastotANYdJ8kiF6VBR2",
		"payload": {
			"path": "/sdapi/v1/txt2img",
			"body": {
				"prompt": "a red bird", "steps": 2, "sendImages": true, "saveImages": false,
				"width": 64, "height": 72, "seed": 7,
			},
		},
		"coinSymbol": "SD",
		"maxOfferPrice": "1000000000000000000",
	});
	parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
	json!({ "jsonrpc": "2.0", "method": "offerTask", "params": [parameter], "id": "1" })
}

/// The text of the answer to a call.
async fn call(coordinator: &Coordinator, body: &Value) -> String {
	let answer = coordinator.request(Method::POST, "/").json(body).send().await.unwrap();
	answer.text().await.unwrap()
}

fn spec() -> TaskSpec {
	request("a red bird").resolve(7, MODEL.into())
}

#[tokio::test]
async fn health_is_as_it_was() {
	let coordinator = Coordinator::start(vec![]).await;
	let answer =
		call(&coordinator, &json!({ "jsonrpc": "2.0", "method": "getHealth", "id": 1 })).await;
	assert_eq!(answer, r#"{"jsonrpc":"2.0","id":1,"result":{"status":"healthy"}}"#);
}

#[tokio::test]
async fn providers_are_the_live_miners() {
	let miners = vec![registration(&dev::alice(), 30), registration(&dev::bob(), 10)];
	let coordinator = Coordinator::start(miners).await;
	let _miner = TestMiner::connect(&coordinator, dev::bob()).await;
	let body = json!({ "jsonrpc": "2.0", "method": "listGPUProviders", "id": 1 });
	let text = call(&coordinator, &body).await;
	let start = format!(
		r#"{{"jsonrpc":"2.0","id":1,"result":[{{"walletAddress":"{}","votes":"10","platform":"""#,
		registration(&dev::bob(), 10).stash
	);
	assert!(text.starts_with(&start), "{text}");
	let answer: Value = serde_json::from_str(&text).unwrap();
	let [provider] = &answer["result"].as_array().unwrap()[..] else { panic!("{text}") };
	for field in ["python", "version", "commit", "checksum", "os", "createdAt", "updatedAt", "ip"] {
		assert!(provider[field].is_string(), "{field}");
	}
	assert!(provider["nvidia_gpu_models"].is_array());
	assert_eq!(provider["CPU"]["count logical"], 0);
	assert_eq!(provider["RAM"]["total"], "");
}

#[tokio::test]
async fn an_offer_blocks_until_its_pictures_are_there() {
	let coordinator = serving().await;
	let text = call(&coordinator, &offer(json!({}))).await;
	let start = r#"{"jsonrpc":"2.0","id":"1","result":{"status":"Completed","id":"VHn9nAvmHastotANYdJ8kiF6VBR2","payload":{"images":[""#;
	assert!(text.starts_with(start), "{}", &text[..text.len().min(300)]);
	let answer: Value = serde_json::from_str(&text).unwrap();
	let payload = &answer["result"]["payload"];
	assert!(is_picture(&payload["images"][0], &spec(), 0));
	assert!(payload["info"].is_string() && payload["parameters"].is_object());
}

#[tokio::test]
async fn offers_that_mean_something_else_are_refused_by_name() {
	let coordinator = serving().await;
	let payload = |path: &str| json!({ "payload": { "path": path, "body": {} } });
	for (more, code) in [
		(json!({ "coinSymbol": "LLM" }), "UNSUPPORTED"),
		(payload("/sdapi/v1/img2img"), "UNSUPPORTED"),
		(payload("/controlnet/detect"), "UNSUPPORTED"),
		(json!({ "maxOfferPrice": "much" }), "INVALID_REQUEST"),
		(json!({ "payload": 1 }), "INVALID_REQUEST"),
	] {
		let text = call(&coordinator, &offer(more.clone())).await;
		let answer: Value = serde_json::from_str(&text).unwrap();
		assert_eq!(answer["error"]["data"], code, "{more}: {text}");
	}
	let capitals = json!({ "payload": { "Method": "POST", "Path": "/sdapi/v1/txt2img", "Body": {
		"prompt": "x", "steps": 1, "width": 64, "height": 64 } } });
	let text = call(&coordinator, &offer(capitals)).await;
	assert!(text.contains(r#""status":"Completed""#), "{text}");
}

#[tokio::test]
async fn the_relay_answers_as_a1111_does() {
	let coordinator = serving().await;
	let path = "/task/sd/sdapi/v1/txt2img";
	let body = json!({ "prompt": "a red bird", "steps": 2, "width": 64, "height": 72, "seed": 7 });
	let relayed = |workers: &'static str| {
		coordinator
			.request(Method::POST, path)
			.header("x-id", "mine")
			.header("x-max-offer-price", "1000000000000000000")
			.header("x-assigned-workers", workers)
			.json(&body)
	};
	let answer = relayed("").send().await.unwrap();
	assert_eq!(answer.headers()["content-type"], "application/json");
	let text = answer.text().await.unwrap();
	assert!(text.starts_with(r#"{"images":[""#) && text.ends_with("}\n"));
	let answer: Value = serde_json::from_str(&text).unwrap();
	assert!(is_picture(&answer["images"][0], &spec(), 0));

	let (status, answer) =
		self::answer(relayed("0x2E665A4fb314a5d6F1d23fb5bed68a888c829650")).await;
	assert_eq!((status, &answer["error"]), (400, &json!("UNSUPPORTED")));
	for path in ["/task/llm/sdapi/v1/txt2img", "/task/sd/sdapi/v1/img2img"] {
		let (status, answer) = coordinator.post_json(path, &body).await;
		assert_eq!((status, &answer["error"]), (400, &json!("UNSUPPORTED")), "{path}");
	}
	assert_eq!(coordinator.post_json("/task/SD/sdapi/v1/txt2img", &body).await.0, 200);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_in_the_queue() {
	// The one miner is busy.
	let (coordinator, miner) = coordinator_and_miner().await;
	coordinator.offer("x").await;
	let held = miner.take().await;
	let relayed = coordinator
		.request(Method::POST, "/task/sd/sdapi/v1/txt2img")
		.json(&json!({ "prompt": "x", "width": 64, "height": 64 }));
	let offered = coordinator.request(Method::POST, "/").json(&offer(json!({})));
	for request in [relayed, offered] {
		go_away(&coordinator, request).await;
		eventually("it is cancelled", || coordinator.service.info().queued == 0).await;
	}
	miner.finish(&held).await;
}
