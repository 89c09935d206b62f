//! Keys, limits and money, over every API.

use crate::common::*;
use base64::{prelude::BASE64_STANDARD, Engine};
use cuckoo_coordinator::{
	accounts::{Access, AppOptions, Command, Limits, Prices},
	admin::AdminSocket,
	scheduler::SchedulerOptions,
};
use cuckoo_coordinator_api::{
	amount::Amount,
	app::{AccountView, AppApiClient, Quote},
	error::Code,
	task::{TaskId, TaskRequest, TaskState},
};
use jsonrpsee::{
	http_client::HeaderMap,
	ws_client::{WsClient, WsClientBuilder},
};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;
use subxt_signer::sr25519::dev;

/// Plancks for a work unit in these tests.
const PRICE: u128 = 1_000_000;

fn priced() -> AppOptions {
	let prices = Prices::new(Amount(PRICE), BTreeMap::new());
	AppOptions { access: Access::Keys, prices, ..AppOptions::default() }
}

/// What the usual small picture costs.
fn cost() -> u128 {
	let milliunits = request("x").resolve(0, MODEL.into()).milliunits();
	u128::from(milliunits) * PRICE / 1000
}

/// A request of whoever has this key, sent as an app would send it to this path.
fn with_key(
	coordinator: &Coordinator,
	method: Method,
	path: &str,
	key: Option<&str>,
) -> RequestBuilder {
	let request = Client::new().request(method, format!("http://{}{path}", coordinator.apps));
	match key {
		None => request,
		Some(key) if path.starts_with("/sdapi") => request.basic_auth("anybody", Some(key)),
		Some(key) => request.bearer_auth(key),
	}
}

async fn ws_client(coordinator: &Coordinator, key: &str) -> WsClient {
	let address = format!("ws://{}", coordinator.apps);
	WsClientBuilder::default().set_headers(bearer(key)).build(address).await.unwrap()
}

fn bearer(key: &str) -> HeaderMap {
	HeaderMap::from_iter([(
		"authorization".parse().unwrap(),
		format!("Bearer {key}").parse().unwrap(),
	)])
}

async fn json(response: Response) -> Value {
	serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default()
}

/// The account of a key.
async fn account(coordinator: &Coordinator, key: &str) -> AccountView {
	let answer = with_key(coordinator, Method::GET, "/v1/account", Some(key)).send().await.unwrap();
	assert_eq!(answer.status(), 200);
	answer.json().await.unwrap()
}

fn task_body() -> Value {
	serde_json::to_value(request("a red bird")).unwrap()
}

/// Every way to offer the usual task: path, body, and where the code of a refusal stands in the answer.
fn offers() -> [(&'static str, Value, &'static str); 5] {
	let small = json!({ "prompt": "x", "width": 64, "height": 72, "steps": 2 });
	let openai = json!({ "prompt": "x", "size": "64x72", "num_inference_steps": 2 });
	let original = json!({ "jsonrpc": "2.0", "id": 1, "method": "offerTask", "params": [{ "id": "x",
		"coinSymbol": "SD", "payload": { "path": "/sdapi/v1/txt2img", "body": small } }] });
	[
		("/v1/tasks", task_body(), "/code"),
		("/v1/images/generations", openai, "/error/code"),
		("/sdapi/v1/txt2img", small.clone(), "/error"),
		("/task/sd/sdapi/v1/txt2img", small, "/error"),
		("/", original, "/error/data"),
	]
}

#[tokio::test]
async fn a_closed_coordinator_serves_those_with_a_key_in_every_api() {
	let coordinator = Coordinator::start_for(vec![registration(&dev::alice(), 1)], priced()).await;
	TestMiner::connect(&coordinator, dev::alice()).await.work();
	let key = coordinator.add_app("shop", 1_000_000_000, Limits::default()).await;
	for (path, body, place) in offers() {
		for wrong in [None, Some("any"), Some("ck_0000")] {
			let offer = with_key(&coordinator, Method::POST, path, wrong).json(&body);
			let answer = offer.send().await.unwrap();
			let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
			let answer = json(answer).await;
			if status == 401 {
				assert!(headers.contains_key("www-authenticate"), "{path}");
			} else {
				assert_eq!((path, status, wrong), ("/", 200, None), "{answer}");
			}
			let place = if status == 401 && path == "/" { "/code" } else { place };
			assert_eq!(answer.pointer(place), Some(&json!("UNAUTHORIZED")), "{path}: {answer}");
		}
		let offer = with_key(&coordinator, Method::POST, path, Some(&key)).json(&body);
		let answer = offer.send().await.unwrap();
		assert!(answer.status().is_success(), "{path}: {answer:?}");
		let answer = json(answer).await;
		assert!(answer.get("error").is_none(), "{path}: {answer}");
	}
	// What concerns nobody's tasks is answered to everybody.
	let app = coordinator.app().await;
	assert_eq!(app.info().await.unwrap().models, [MODEL]);
	assert_eq!(app.list_miners().await.unwrap().len(), 1);
	assert_eq!(code(app.account().await), Code::Unauthorized);
	for path in ["/health", "/openapi.json"] {
		assert_eq!(coordinator.get(path).await.0, 200, "{path}");
	}
	let spent = || async { account(&coordinator, &key).await.spent };
	// The first one was not waited for.
	while spent().await != Amount(5 * cost()) {
		tokio::time::sleep(Duration::from_millis(5)).await;
	}
	let by_rpc = ws_client(&coordinator, &key).await.account().await.unwrap();
	assert_eq!((by_rpc.reserved, by_rpc.balance), (Amount(0), Amount(1_000_000_000 - 5 * cost())));
	assert_eq!((by_rpc.tasks_done, by_rpc.name.as_str()), (5, "shop"));
	assert!(key.starts_with(&by_rpc.key_prefix) && by_rpc.key_prefix.len() < 16);
}

#[tokio::test]
async fn only_the_key_that_offered_a_task_sees_it() {
	let coordinator = Coordinator::start_for(vec![registration(&dev::alice(), 1)], priced()).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let mine = coordinator.add_app("mine", 1_000_000, Limits::default()).await;
	let other = coordinator.add_app("other", 1_000_000, Limits::default()).await;
	let request = |method, path: &str, key| with_key(&coordinator, method, path, Some(key)).send();

	// One that a client of A1111 waits for.
	let small =
		json!({ "prompt": "x", "width": 64, "height": 72, "steps": 2, "force_task_id": "t" });
	let waiting =
		with_key(&coordinator, Method::POST, "/sdapi/v1/txt2img", Some(&mine)).json(&small);
	let waiting = tokio::spawn(waiting.send());
	let held = miner.take().await;
	let id = held.task_id.clone();
	let path = format!("/v1/tasks/{id}");
	for (method, path) in [
		(Method::GET, path.clone()),
		(Method::DELETE, path.clone()),
		(Method::GET, format!("{path}/events")),
		(Method::GET, format!("/pictures/{id}/0")),
	] {
		let answer = request(method.clone(), &path, &other).await.unwrap();
		assert_eq!(answer.status(), 404, "{method} {path}");
		assert_eq!(json(answer).await["code"], "UNKNOWN_TASK", "{method} {path}");
	}
	let stranger = ws_client(&coordinator, &other).await;
	assert_eq!(code(stranger.task_status(id.clone()).await), Code::UnknownTask);
	assert_eq!(code(stranger.wait_task(id.clone(), Some(1)).await), Code::UnknownTask);
	assert_eq!(code(stranger.cancel_task(id.clone()).await), Code::UnknownTask);
	let followed = stranger.subscribe_task(id.clone()).await;
	assert_eq!(code(followed.map(|_| ())), Code::UnknownTask);
	request(Method::POST, "/sdapi/v1/interrupt", &other).await.unwrap();
	let progress = json(request(Method::GET, "/sdapi/v1/progress", &other).await.unwrap()).await;
	assert_eq!(progress["state"]["job_count"], 0);
	let progress = json(request(Method::GET, "/sdapi/v1/progress", &mine).await.unwrap()).await;
	assert_eq!(progress["state"]["job"], "t");

	miner.finish(&held).await;
	assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
	let owner = ws_client(&coordinator, &mine).await;
	assert_eq!(owner.task_status(id.clone()).await.unwrap().state, TaskState::Done);
	let picture = format!("/pictures/{id}/0");
	assert_eq!(request(Method::GET, &picture, &mine).await.unwrap().status(), 200);
	assert_eq!(request(Method::GET, &picture, &other).await.unwrap().status(), 404);
	assert_eq!(coordinator.get(&picture).await.0, 401);
	assert_eq!(coordinator.get(&format!("{picture}?token=0123")).await.0, 401);
}

#[tokio::test]
async fn the_address_of_a_picture_needs_no_key_and_lasts_as_long_as_that() {
	let coordinator = Coordinator::start_for(vec![registration(&dev::alice(), 1)], priced()).await;
	TestMiner::connect(&coordinator, dev::alice()).await.work();
	let key = coordinator.add_app("shop", 1_000_000, Limits::default()).await;
	let (path, body, _) = offers()[1].clone();
	let made = with_key(&coordinator, Method::POST, path, Some(&key)).json(&body);
	let made = json(made.send().await.unwrap()).await;
	let url = made["data"][0]["url"].as_str().unwrap();
	let fetched = reqwest::get(url).await.unwrap();
	assert_eq!(
		(fetched.status().as_u16(), &fetched.headers()["content-type"] == "image/png"),
		(200, true)
	);
	coordinator.service.administer(Command::NewKey { name: "shop".into() }).await.unwrap();
	assert_eq!(reqwest::get(url).await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_task_costs_what_was_quoted_and_only_if_it_is_done() {
	let coordinator = Coordinator::start_for(vec![registration(&dev::alice(), 1)], priced()).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let key = coordinator.add_app("shop", 2 * cost(), Limits::default()).await;
	let offer = |query: &str| {
		let path = format!("/v1/tasks{query}");
		with_key(&coordinator, Method::POST, &path, Some(&key)).json(&task_body())
	};
	let quote: Quote = offer("?dry_run=true").send().await.unwrap().json().await.unwrap();
	assert_eq!(quote.price, Amount(cost()));

	let (mut ids, mut balance) = (Vec::new(), 2 * cost());
	for _ in 0..2 {
		let status = json(offer("").send().await.unwrap()).await;
		assert_eq!(status["price"], cost().to_string());
		ids.push(TaskId::parse(status["taskId"].as_str().unwrap()).unwrap());
		balance -= cost();
		let view = account(&coordinator, &key).await;
		assert_eq!((view.balance, view.in_flight), (Amount(balance), ids.len() as u32));
	}
	let refused = offer("").send().await.unwrap();
	assert_eq!(refused.status(), 402);
	assert_eq!(json(refused).await["code"], "INSUFFICIENT_BALANCE");

	let held = miner.take().await;
	miner.finish(&held).await;
	let waiting = ids.iter().find(|id| **id != held.task_id).unwrap();
	let cancel =
		with_key(&coordinator, Method::DELETE, &format!("/v1/tasks/{waiting}"), Some(&key));
	assert_eq!(cancel.send().await.unwrap().status(), 200);
	let view = account(&coordinator, &key).await;
	assert_eq!(
		(view.balance, view.reserved, view.spent, view.in_flight),
		(Amount(cost()), Amount(0), Amount(cost()), 0)
	);
}

#[tokio::test]
async fn the_most_that_a_task_may_cost_is_kept_to_in_every_api() {
	let coordinator = Coordinator::start_for(vec![registration(&dev::alice(), 1)], priced()).await;
	TestMiner::connect(&coordinator, dev::alice()).await.work();
	let key = coordinator.add_app("shop", 1_000_000_000, Limits::default()).await;
	for (path, body, place) in offers() {
		for (most, refused) in [(cost() - 1, true), (cost(), false)] {
			let mut body = body.clone();
			let mut offer = with_key(&coordinator, Method::POST, path, Some(&key));
			if path == "/" {
				body["params"][0]["maxOfferPrice"] = json!(most.to_string());
			} else {
				offer = offer.header("x-max-offer-price", most.to_string());
			}
			let answer = offer.json(&body).send().await.unwrap();
			let status = answer.status().as_u16();
			let answer = json(answer).await;
			if refused {
				assert_eq!(status, if path == "/" { 200 } else { 402 });
				assert_eq!(answer.pointer(place), Some(&json!("PRICE_TOO_HIGH")), "{path}");
			} else {
				assert!(answer.get("error").is_none() && status < 300, "{path}: {answer}");
			}
		}
	}
	let client = ws_client(&coordinator, &key).await;
	let bid = TaskRequest { max_offer_price: Some(Amount(cost() - 1)), ..request("x") };
	assert_eq!(code(client.offer_task(bid.clone()).await), Code::PriceTooHigh);
	assert_eq!(client.quote_task(bid).await.unwrap().price, Amount(cost()), "a quote says it");
}

#[tokio::test]
async fn a_key_has_a_rate_and_so_many_tasks_under_way() {
	let coordinator = Coordinator::start_for(vec![], priced()).await;
	let limits = |requests_per_second, in_flight| Limits {
		requests_per_second: NonZeroU32::new(requests_per_second),
		in_flight: NonZeroU32::new(in_flight),
	};
	let one = coordinator.add_app("one", 1_000_000, limits(0, 1)).await;
	let offer = || with_key(&coordinator, Method::POST, "/v1/tasks", Some(&one)).json(&task_body());
	let first = json(offer().send().await.unwrap()).await;
	let refused = offer().send().await.unwrap();
	assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"] == "5"), (429, true));
	assert_eq!(json(refused).await["code"], "TOO_MANY_TASKS");
	let path = format!("/v1/tasks/{}", first["taskId"].as_str().unwrap());
	with_key(&coordinator, Method::DELETE, &path, Some(&one)).send().await.unwrap();
	assert_eq!(offer().send().await.unwrap().status(), 202);

	// Calls in a batch count one by one, so a burst of 5 is over within it however long it takes: it
	// has more calls than come in within minutes.
	let slow = coordinator.add_app("slow", 1_000_000, limits(1, 0)).await;
	let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "cuckoo_account" });
	let mut answers = Vec::new();
	for _ in 0..8 {
		let batch = with_key(&coordinator, Method::POST, "/", Some(&slow));
		let answer = json(batch.json(&vec![call.clone(); 32]).send().await.unwrap()).await;
		answers.extend(answer.as_array().unwrap().clone());
	}
	let refused = |answer: &Value| answer["error"]["data"] == "RATE_LIMITED";
	assert!(answers.iter().any(refused) && !answers.iter().all(refused));
	for _ in 0..256 {
		let asked = with_key(&coordinator, Method::GET, "/v1/account", Some(&slow)).send().await;
		let asked = asked.unwrap();
		if asked.status() == 429 {
			assert_eq!(asked.headers()["retry-after"], "1");
			assert_eq!(json(asked).await["code"], "RATE_LIMITED");
			return;
		}
	}
	panic!("never too fast");
}

#[tokio::test]
async fn who_would_wait_for_too_long_is_told_when_to_come_back() {
	let apps = AppOptions { max_wait: Some(1), ..AppOptions::default() };
	let coordinator = Coordinator::start_for(vec![registration(&dev::alice(), 1)], apps).await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let offer = |request: TaskRequest| {
		with_key(&coordinator, Method::POST, "/v1/tasks", None)
			.json(&serde_json::to_value(request).unwrap())
			.send()
	};
	// So fast a miner that can be: 8 thousandths of a unit in 20 ms.
	offer(request("x")).await.unwrap();
	let held = miner.take().await;
	tokio::time::sleep(Duration::from_millis(20)).await;
	miner.finish(&held).await;
	offer(request("x")).await.unwrap();
	let held = miner.take().await;
	let large = TaskRequest { width: 512, height: 512, steps: 20, ..request("x") };
	let taken = offer(large.clone()).await.unwrap().status();
	assert!(taken == 202 || taken == 429, "{taken}");
	// Behind the large one, or behind a slow miner, it would wait for more than a second.
	let refused = offer(large).await.unwrap();
	assert_eq!(refused.status(), 429);
	assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
	assert_eq!(json(refused).await["code"], "BUSY");
	miner.finish(&held).await;
}

/// Runs the program on a data directory; whether it succeeded, and what it wrote.
async fn program(dir: &Path, args: &[&str]) -> (bool, String) {
	let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_cuckoo-coordinator"));
	let output = command.arg("app").args(args).env("CUCKOO_DATA", dir).output().await.unwrap();
	let text = if output.status.success() { output.stdout } else { output.stderr };
	(output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_has_the_same_commands_whether_the_coordinator_runs_or_not() {
	let dir = tempfile::tempdir().unwrap();
	let (made, early) = program(dir.path(), &["add", "early", "--budget", "0.5"]).await;
	assert!(made, "{early}");
	let launch = || async {
		let store = open_store(dir.path());
		let miners = vec![registration(&dev::alice(), 1)];
		let options = SchedulerOptions::default();
		let coordinator = Coordinator::launch_for(store, miners, options, priced(), [0, 0]).await;
		let admin = AdminSocket::open(dir.path(), coordinator.service.clone()).unwrap();
		(coordinator, admin)
	};
	let (coordinator, admin) = launch().await;
	assert_eq!(account(&coordinator, early.trim()).await.balance, Amount(5 * 10_u128.pow(17)));
	let (_, late) = program(dir.path(), &["add", "late", "--rate", "0", "--in-flight", "2"]).await;
	let late = late.trim();
	program(dir.path(), &["deposit", "late", "1"]).await;
	program(dir.path(), &["limit", "late", "--in-flight", "3"]).await;
	let view = account(&coordinator, late).await;
	assert_eq!((view.balance, view.max_in_flight), (Amount(10_u128.pow(18)), Some(3)));
	let (ok, refused) = program(dir.path(), &["deposit", "nobody", "1"]).await;
	assert!(!ok && refused.contains("nobody") && refused.lines().count() == 1, "{refused}");

	// What is under way and set aside goes on after a restart.
	let offer = with_key(&coordinator, Method::POST, "/v1/tasks", Some(late)).json(&task_body());
	assert_eq!(offer.send().await.unwrap().status(), 202);
	let (_, list) = program(dir.path(), &["list"]).await;
	let row: Vec<&str> = list.lines().nth(2).unwrap().split_whitespace().collect();
	assert_eq!((row[0], row[6]), ("late", "1/3"), "{list}");
	drop(admin);
	coordinator.stop().await;
	let (_, stopped) = program(dir.path(), &["list"]).await;
	assert_eq!(stopped, list);
	assert!(program(dir.path(), &["revoke", "early"]).await.0);
	let (coordinator, _admin) = launch().await;
	let miner = TestMiner::connect(&coordinator, dev::alice()).await;
	let held = miner.take().await;
	miner.finish(&held).await;
	assert_eq!(account(&coordinator, late).await.spent, Amount(cost()));
	let revoked = with_key(&coordinator, Method::GET, "/v1/account", Some(early.trim()));
	assert_eq!(revoked.send().await.unwrap().status(), 401);

	// A key that is revoked is refused on connections that are open, too.
	let open = ws_client(&coordinator, late).await;
	open.account().await.unwrap();
	assert!(program(dir.path(), &["revoke", "late"]).await.0);
	assert_eq!(code(open.account().await), Code::Unauthorized);
}

#[tokio::test]
async fn a_password_is_a_key_for_clients_of_a1111_only_where_it_is_one() {
	// As those clients come, with a password of their own, to a coordinator that is open.
	let coordinator = Coordinator::start(vec![]).await;
	let options =
		|| with_key(&coordinator, Method::GET, "/sdapi/v1/options", Some("secret")).send();
	assert_eq!(options().await.unwrap().status(), 200);
	let key = coordinator.add_app("shop", 0, Limits::default()).await;
	assert_eq!(options().await.unwrap().status(), 401);
	let as_name = format!("Basic {}", BASE64_STANDARD.encode(format!("{key}:")));
	let request = with_key(&coordinator, Method::GET, "/sdapi/v1/options", None);
	assert_eq!(request.header("authorization", as_name).send().await.unwrap().status(), 200);
}
