//! A1111: the very calls that SillyTavern and Open WebUI make, in their order, and what one client may
//! see and do of another's.

use super::*;
use cuckoo_coordinator_api::task::{TaskState, SAMPLERS};
use serde_json::json;
use std::collections::BTreeSet;
use tokio::time::timeout;

const TXT2IMG: &str = "/sdapi/v1/txt2img";

/// As SillyTavern sends it with its presets, except that picture and steps are small.
fn sillytavern_body() -> Value {
	json!({
		"url": "http://localhost:7860", "auth": "user:secret",
		"prompt": "a red bird", "negative_prompt": "cats", "sampler_name": "Euler a",
		"scheduler": "automatic", "steps": 2, "cfg_scale": 7, "width": 64, "height": 72,
		"restore_faces": false, "enable_hr": false, "hr_upscaler": "Latent", "hr_scale": 1,
		"hr_additional_modules": [], "denoising_strength": 0.7, "hr_second_pass_steps": 0,
		"override_settings": { "CLIP_stop_at_last_layers": 1 },
		"override_settings_restore_afterwards": true, "clip_skip": 1,
		"save_images": true, "send_images": true, "do_not_save_grid": false,
		"do_not_save_samples": false,
	})
}

/// A request as the user of these tests.
fn as_user(coordinator: &Coordinator, method: Method, path: &str) -> RequestBuilder {
	coordinator.request(method, path).basic_auth("user", Some("secret"))
}

/// The picture that a simulated miner renders for an answer.
fn rendered(answer: &Value) -> TaskSpec {
	let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
	let mut spec = request(info["prompt"].as_str().unwrap())
		.resolve(info["seed"].as_u64().unwrap(), info["sd_model_name"].as_str().unwrap().into());
	(spec.width, spec.height) = (side(&info["width"]), side(&info["height"]));
	spec
}

fn side(value: &Value) -> u32 {
	value.as_u64().unwrap() as u32
}

#[tokio::test]
async fn sillytavern_connects_chooses_a_model_and_generates() {
	let coordinator = serving().await;
	let get = |path: &'static str| answer(as_user(&coordinator, Method::GET, path));
	// Connecting: ping, then what fills its menus.
	assert_eq!(get("/sdapi/v1/options").await.0, 200);
	let (_, models) = get("/sdapi/v1/sd-models").await;
	let title = models[0]["title"].clone();
	assert_eq!(title, MODEL);
	let (_, samplers) = get("/sdapi/v1/samplers").await;
	let names = samplers.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap());
	assert_eq!(names.collect::<BTreeSet<_>>(), SAMPLERS.into_iter().collect());
	assert_eq!(get("/sdapi/v1/schedulers").await.1[0]["name"], "automatic");
	assert_eq!(get("/sdapi/v1/upscalers").await.1[0]["name"], "None");
	assert_eq!(get("/sdapi/v1/latent-upscale-modes").await, (200, json!([])));
	// It asks for the VAEs of A1111 and of Forge at once, and takes what is found.
	assert_eq!(get("/sdapi/v1/sd-vae").await, (200, json!([])));
	assert_eq!(get("/sdapi/v1/sd-modules").await.0, 404);
	// Choosing a model: set it, then wait until nothing is loading.
	let chosen = as_user(&coordinator, Method::POST, "/sdapi/v1/options")
		.json(&json!({ "sd_model_checkpoint": title }));
	assert_eq!(answer(chosen).await.0, 200);
	let (_, progress) = get("/sdapi/v1/progress").await;
	assert_eq!((&progress["progress"], &progress["state"]["job_count"]), (&json!(0.0), &json!(0)));
	// Generating: it tells Forge by a field of the options, then sends everything that it has.
	let (_, options) = get("/sdapi/v1/options").await;
	assert_eq!(options["sd_model_checkpoint"], MODEL);
	assert!(options.get("forge_preset").is_none());
	let body = sillytavern_body();
	let (status, answer) = answer(as_user(&coordinator, Method::POST, TXT2IMG).json(&body)).await;
	assert_eq!(status, 200, "{answer}");
	assert!(is_picture(&answer["images"][0], &rendered(&answer), 0));
	assert_eq!(answer["parameters"]["negative_prompt"], "cats");
	assert_eq!(answer["parameters"]["n_iter"], 1, "what was not sent has its preset");
	assert!(answer["parameters"].get("auth").is_none(), "what is not known is not kept");
}

#[tokio::test]
async fn sillytavern_stops_what_it_has_begun() {
	let (coordinator, miner) = coordinator_and_miner().await;
	let request = as_user(&coordinator, Method::POST, TXT2IMG).json(&sillytavern_body());
	// It sends the interrupt and closes the connection, in either order.
	go_away(&coordinator, request).await;
	let held = miner.take().await;
	let interrupt = as_user(&coordinator, Method::POST, "/sdapi/v1/interrupt");
	assert_eq!(answer(interrupt).await, (200, json!({})));
	let status = coordinator.service.status(&nobody(), &held.task_id).unwrap();
	assert_eq!(status.state, TaskState::Cancelled);
}

#[tokio::test]
async fn open_webui_verifies_chooses_a_model_and_generates() {
	let coordinator = serving().await;
	// Without credentials it sends the header with nothing in it.
	let get = |path: &'static str| {
		answer(coordinator.request(Method::GET, path).header("authorization", ""))
	};
	let post = |path: &'static str, body: Value| {
		answer(coordinator.request(Method::POST, path).header("authorization", "").json(&body))
	};
	assert_eq!(get("/sdapi/v1/options").await.0, 200);
	let (_, models) = get("/sdapi/v1/sd-models").await;
	assert_eq!((&models[0]["title"], &models[0]["model_name"]), (&json!(MODEL), &json!(MODEL)));
	// Another model: it sends back all the options that it got.
	let (_, mut options) = get("/sdapi/v1/options").await;
	options["sd_model_checkpoint"] = models[0]["title"].clone();
	assert_eq!(post("/sdapi/v1/options", options).await.0, 200);
	assert_eq!(get("/sdapi/v1/options").await.1["sd_model_checkpoint"], MODEL);
	let body = json!({
		"prompt": "a red bird", "batch_size": 2, "width": 64, "height": 72, "steps": 2,
		"negative_prompt": "cats",
	});
	let (status, answer) = post(TXT2IMG, body).await;
	assert_eq!(status, 200, "{answer}");
	let images = answer["images"].as_array().unwrap();
	assert_eq!(images.len(), 2);
	for (index, image) in (0..).zip(images) {
		assert!(is_picture(image, &rendered(&answer), index));
	}
	let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
	let seed = info["seed"].as_u64().unwrap();
	assert_eq!(info["all_seeds"], json!([seed, seed + 1]));
	let text = info["infotexts"][1].as_str().unwrap();
	assert!(text.contains(&format!("Seed: {}, Size: 64x72, Model: {MODEL}", seed + 1)), "{text}");
}

#[tokio::test]
async fn progress_and_interrupt_concern_ones_own_tasks_only() {
	let (coordinator, miner) = coordinator_and_miner().await;
	let mut body = sillytavern_body();
	body["force_task_id"] = json!("task(mine)");
	let request = as_user(&coordinator, Method::POST, TXT2IMG).json(&body);
	let rendering = tokio::spawn(answer(request));
	let held = miner.take().await;
	miner.heartbeat(&held, 1).await.unwrap();
	coordinator.shows(&held, 1).await;

	let question = json!({ "id_task": "task(mine)", "id_live_preview": -1 });
	let by_name = |request: RequestBuilder| answer(request.json(&question));
	let mine = as_user(&coordinator, Method::GET, "/sdapi/v1/progress");
	let (_, progress) = answer(mine).await;
	assert!((progress["progress"].as_f64().unwrap() - 0.51).abs() < 1e-9, "{progress}");
	assert!(progress["eta_relative"].as_f64().unwrap() >= 0.0);
	assert_eq!(progress["current_image"], Value::Null);
	let state = &progress["state"];
	assert_eq!((&state["job"], &state["job_count"]), (&json!("task(mine)"), &json!(1)));
	assert_eq!((&state["sampling_step"], &state["sampling_steps"]), (&json!(1), &json!(2)));
	let (_, named) = by_name(as_user(&coordinator, Method::POST, "/internal/progress")).await;
	assert_eq!((&named["active"], &named["completed"]), (&json!(true), &json!(false)));

	// Somebody else, by address and by another password.
	for other in [None, Some("guessed")] {
		let other = |method, path| match other {
			None => coordinator.request(method, path),
			password => coordinator.request(method, path).basic_auth("user", password),
		};
		let (_, progress) = answer(other(Method::GET, "/sdapi/v1/progress")).await;
		assert_eq!(progress["state"]["job_count"], 0);
		let (_, named) = by_name(other(Method::POST, "/internal/progress")).await;
		assert_eq!((&named["active"], &named["queued"]), (&json!(false), &json!(false)));
		answer(other(Method::POST, "/sdapi/v1/interrupt")).await;
		let set = other(Method::POST, "/sdapi/v1/options");
		assert_eq!(answer(set.json(&json!({ "sd_model_checkpoint": MODEL }))).await.0, 200);
	}
	let status = coordinator.service.status(&nobody(), &held.task_id).unwrap();
	assert_eq!(status.state, TaskState::Leased, "others cannot stop it");
	miner.finish(&held).await;
	assert_eq!(timeout(PATIENCE, rendering).await.unwrap().unwrap().0, 200);
	let (_, named) = by_name(as_user(&coordinator, Method::POST, "/internal/progress")).await;
	assert_eq!((&named["active"], &named["completed"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn an_interrupted_request_is_answered() {
	let (coordinator, miner) = coordinator_and_miner().await;
	let body = sillytavern_body();
	let request = as_user(&coordinator, Method::POST, TXT2IMG).json(&body);
	let ((status, answer), ()) = tokio::join!(answer(request), async {
		miner.take().await;
		answer(as_user(&coordinator, Method::POST, "/sdapi/v1/interrupt")).await;
	});
	assert_eq!((status, &answer["error"]), (409, &json!("CANCELLED")));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_in_the_queue() {
	let coordinator = Coordinator::start(vec![]).await;
	let mut body = sillytavern_body();
	body["override_settings"]["sd_model_checkpoint"] = json!(MODEL);
	go_away(&coordinator, coordinator.request(Method::POST, TXT2IMG).json(&body)).await;
	eventually("it is cancelled", || coordinator.service.info().queued == 0).await;
}

#[tokio::test]
async fn errors_have_its_shape() {
	let (coordinator, _miner) = coordinator_and_miner().await;
	let model = json!({ "override_settings": { "sd_model_checkpoint": "other" } });
	for (path, body, status, code, named) in [
		(TXT2IMG, json!({ "enable_hr": true }), 400, "UNSUPPORTED", "enable_hr"),
		(TXT2IMG, json!({ "cfg_scale": 31 }), 400, "INVALID_REQUEST", "cfg_scale is 31"),
		(TXT2IMG, json!({ "batch_size": 9 }), 400, "INVALID_REQUEST", "batch_size × n_iter is 9"),
		(TXT2IMG, json!({ "sampler_name": "Brush" }), 400, "INVALID_REQUEST", "sampler_name"),
		(TXT2IMG, json!({ "steps": "many" }), 400, "INVALID_REQUEST", "steps cannot be read"),
		(TXT2IMG, json!([]), 400, "INVALID_REQUEST", "the body cannot be read"),
		(TXT2IMG, model, 404, "UNKNOWN_MODEL", MODEL),
		(
			"/sdapi/v1/options",
			json!({ "sd_model_checkpoint": "other" }),
			404,
			"UNKNOWN_MODEL",
			MODEL,
		),
		("/sdapi/v1/options", json!({ "sd_vae": "other" }), 400, "UNSUPPORTED", "sd_vae"),
		("/sdapi/v1/img2img", json!({ "init_images": [] }), 400, "UNSUPPORTED", "txt2img"),
		("/sdapi/v1/nothing", json!({}), 404, "UNKNOWN_TASK", "nothing here"),
		("/internal/progress", json!({}), 400, "INVALID_REQUEST", "id_task"),
	] {
		let (got, answer) = coordinator.post_json(path, &body).await;
		assert_eq!((got, &answer["error"]), (status, &json!(code)), "{body}: {answer}");
		let detail = answer["detail"].as_str().unwrap();
		assert!(detail.contains(named), "{body}: {detail}");
		assert_eq!(answer["errors"], detail);
	}
	assert_eq!(coordinator.service.info().running, 0);
}
