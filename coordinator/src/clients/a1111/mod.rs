//! AUTOMATIC1111's web UI: the part of `/sdapi/v1/` with which pictures are made from text.
//!
//! - `request`: what a `txt2img` body asks for, `rendering`: what comes back;
//! - `owners`: whose tasks and preferences these are.

mod owners;
mod rendering;
mod request;

pub(super) use rendering::{Answer, Rendering};

use super::{nothing_here, rename_field, unsupported, JsonBody};
use crate::gate::{max_offer_price, Caller};
use crate::listener::{answer_refusal, Peer};
use crate::scheduler::App;
use crate::service::Service;
use axum::{
	extract::{ConnectInfo, State},
	http::HeaderMap,
	response::{IntoResponse, Response},
	routing::{any, get, post},
	Json, Router,
};
use chrono::{DateTime, Utc};
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	task::{TaskState, TaskStatus},
};
use owners::{Job, Owner, Owners};
use request::{check_settings, served_as, text, SAMPLERS, SCHEDULER};
use serde::Deserialize;
use serde_json::{json, Map, Value};
use std::sync::Arc;

/// Our fields and the names that they have here.
const NAMES: [(&str, &str); 5] = [
	("negativePrompt", "negative_prompt"),
	("guidanceScale", "cfg_scale"),
	("images", "batch_size × n_iter"),
	("sampler", "sampler_name"),
	("model", "sd_model_checkpoint"),
];

/// The routes.
pub(super) fn router(service: Arc<Service>) -> Router {
	let state = Shared { service, owners: Arc::default() };
	let mut router = Router::new()
		.route("/sdapi/v1/txt2img", post(txt2img))
		.route("/sdapi/v1/progress", get(progress))
		.route("/internal/progress", post(task_progress))
		.route("/sdapi/v1/interrupt", post(interrupt))
		.route("/sdapi/v1/options", get(options).post(set_options))
		.route("/sdapi/v1/sd-models", get(models))
		.route("/sdapi/v1/samplers", get(samplers))
		.route("/sdapi/v1/schedulers", get(schedulers))
		.route("/sdapi/v1/upscalers", get(upscalers))
		.route("/sdapi/v1/latent-upscale-modes", get(none))
		.route("/sdapi/v1/sd-vae", get(none))
		.route("/sdapi/v1/{*path}", any(|| async { error(nothing_here()) }));
	for path in ["img2img", "extra-single-image", "extra-batch-images", "interrogate", "png-info"] {
		router = router.route(&format!("/sdapi/v1/{path}"), any(text_only));
	}
	router.with_state(state)
}

#[derive(Clone)]
struct Shared {
	service: Arc<Service>,
	owners: Arc<Owners>,
}

/// A refusal as a client of A1111 expects it.
pub(super) fn error(mut refusal: Refusal) -> Response {
	if refusal.code == Code::InvalidRequest {
		rename_field(&mut refusal, &NAMES);
	}
	let body = json!({
		"error": refusal.code,
		"detail": refusal.message,
		"body": "",
		"errors": refusal.message,
	});
	answer_refusal(&refusal, body)
}

async fn text_only() -> Response {
	error(unsupported("pictures are made from text only: use /sdapi/v1/txt2img"))
}

async fn none() -> Json<Value> {
	Json(json!([]))
}

async fn txt2img(
	State(Shared { service, owners }): State<Shared>,
	Caller(app): Caller,
	ConnectInfo(peer): ConnectInfo<Peer>,
	headers: HeaderMap,
	JsonBody(body): JsonBody<Map<String, Value>>,
) -> Response {
	let owner = Owner::of(&headers, peer);
	let offered = async {
		let most = max_offer_price(&headers)?;
		Rendering::offer(&service, app, body?, owners.model(&owner), most).await
	};
	let rendering = match offered.await {
		Ok(rendering) => rendering,
		Err(refusal) => return error(refusal),
	};
	owners.add(owner, Job { task: rendering.task().clone(), name: rendering.name() });
	match rendering.answer().await {
		Ok(answer) => Json(answer).into_response(),
		Err(refusal) => error(refusal),
	}
}

/// The tasks of a client that have not ended, in the order in which it offered them.
fn running(service: &Service, app: &App, owners: &Owners, owner: &Owner) -> Vec<(Job, TaskStatus)> {
	let jobs = owners.jobs(owner).into_iter();
	jobs.filter_map(|job| service.status(app, &job.task).ok().map(|status| (job, status)))
		.filter(|(_, status)| !status.state.is_final())
		.collect()
}

async fn progress(
	State(Shared { service, owners }): State<Shared>,
	Caller(app): Caller,
	ConnectInfo(peer): ConnectInfo<Peer>,
	headers: HeaderMap,
) -> Json<Value> {
	let running = running(&service, &app, &owners, &Owner::of(&headers, peer));
	let Some((job, status)) = running.first() else {
		return Json(json!({
			"progress": 0.0,
			"eta_relative": 0.0,
			"state": state("", "0", 0, 0, 0, 0),
			"current_image": null,
			"textinfo": null,
		}));
	};
	let steps = status.spec.steps.max(1);
	let name = job.name.clone().unwrap_or_else(|| status.task_id.to_string());
	Json(json!({
		"progress": part_done(status),
		"eta_relative": seconds_left(status),
		"state": state(
			&name,
			&timestamp(status.changed_at),
			status.spec.images,
			(status.step / steps).min(status.spec.images - 1),
			status.step % steps,
			steps,
		),
		"current_image": null,
		"textinfo": status.state.to_string(),
	}))
}

fn state(job: &str, since: &str, jobs: u32, job_no: u32, step: u32, steps: u32) -> Value {
	json!({
		"skipped": false,
		"interrupted": false,
		"stopping_generation": false,
		"job": job,
		"job_count": jobs,
		"job_timestamp": since,
		"job_no": job_no,
		"sampling_step": step,
		"sampling_steps": steps,
	})
}

/// A time in milliseconds since the Unix epoch as A1111 writes it, but in UTC.
fn timestamp(time: u64) -> String {
	let time = i64::try_from(time).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
	time.unwrap_or_default().format("%Y%m%d%H%M%S").to_string()
}

/// From 0 to 1; at least 0.01 once a miner is at work, as there.
fn part_done(status: &TaskStatus) -> f64 {
	match status.state {
		TaskState::Queued => 0.0,
		_ => (0.01 + f64::from(status.step) / f64::from(status.steps.max(1))).min(1.0),
	}
}

/// By the speed so far; 0 while no miner is at work.
fn seconds_left(status: &TaskStatus) -> f64 {
	if status.state != TaskState::Leased {
		return 0.0;
	}
	let began = status.changed_at as f64 / 1000.0;
	let spent = (Utc::now().timestamp_millis() as f64 / 1000.0 - began).max(0.0);
	spent / part_done(status) - spent
}

/// What is asked of `/internal/progress`.
#[derive(Deserialize)]
struct TaskQuestion {
	id_task: String,
}

/// How far the task is that was offered with this `force_task_id`.
async fn task_progress(
	State(Shared { service, owners }): State<Shared>,
	Caller(app): Caller,
	ConnectInfo(peer): ConnectInfo<Peer>,
	headers: HeaderMap,
	JsonBody(question): JsonBody<TaskQuestion>,
) -> Response {
	let question = match question {
		Ok(question) => question,
		Err(refusal) => return error(refusal),
	};
	let jobs = owners.jobs(&Owner::of(&headers, peer));
	// The last one, where a name was used again.
	let job = jobs.into_iter().rev().find(|job| job.name.as_ref() == Some(&question.id_task));
	let status = job.and_then(|job| service.status(&app, &job.task).ok());
	let is = |wanted: fn(TaskState) -> bool| status.as_ref().is_some_and(|s| wanted(s.state));
	let active = is(|state| matches!(state, TaskState::Leased | TaskState::Verifying));
	let at_work = status.as_ref().filter(|_| active);
	let answer = json!({
		"active": active,
		"queued": is(|state| state == TaskState::Queued),
		"completed": is(TaskState::is_final),
		"progress": at_work.map(part_done),
		"eta": at_work.map(seconds_left),
		"live_preview": null,
		"id_live_preview": -1,
		"textinfo": status.as_ref().map_or("Waiting...".to_owned(), |s| s.state.to_string()),
	});
	Json(answer).into_response()
}

/// Takes back all that this client waits for, begun or not.
async fn interrupt(
	State(Shared { service, owners }): State<Shared>,
	Caller(app): Caller,
	ConnectInfo(peer): ConnectInfo<Peer>,
	headers: HeaderMap,
) -> Json<Value> {
	for (job, _) in running(&service, &app, &owners, &Owner::of(&headers, peer)) {
		// Fails only if it has ended in the meantime.
		let _ = service.cancel(&app, &job.task).await;
	}
	Json(json!({}))
}

async fn options(
	State(Shared { service, owners }): State<Shared>,
	ConnectInfo(peer): ConnectInfo<Peer>,
	headers: HeaderMap,
) -> Json<Value> {
	let preferred = owners.model(&Owner::of(&headers, peer));
	let model = preferred.or_else(|| service.info().models.into_iter().next());
	Json(json!({
		"sd_model_checkpoint": model,
		"sd_checkpoint_hash": null,
		"sd_vae": "Automatic",
		"CLIP_stop_at_last_layers": 1,
		"samples_format": "png",
		"live_previews_enable": false,
	}))
}

/// Notes the model that this client wants where a request names none.
async fn set_options(
	State(Shared { service, owners }): State<Shared>,
	ConnectInfo(peer): ConnectInfo<Peer>,
	headers: HeaderMap,
	JsonBody(settings): JsonBody<Map<String, Value>>,
) -> Response {
	let preference = settings.and_then(|settings| {
		check_settings(&settings)?;
		let Some(asked) = text(&settings, "sd_model_checkpoint")? else { return Ok(None) };
		let served = service.info().models;
		let model = served_as(&served, asked);
		if served.is_empty() || served.contains(&model) {
			Ok(Some(model))
		} else {
			let (model, served) = (model.chars().take(40).collect::<String>(), served.join(", "));
			let what = format!("no miner serves model {model:?} now; served are: {served}");
			Err(Refusal::new(Code::UnknownModel, what))
		}
	});
	match preference {
		Ok(model) => {
			if let Some(model) = model {
				owners.prefer(Owner::of(&headers, peer), model);
			}
			Json(Value::Null).into_response()
		},
		Err(refusal) => error(refusal),
	}
}

async fn models(State(Shared { service, .. }): State<Shared>) -> Json<Value> {
	let models = service.info().models;
	let described = models.iter().map(|name| {
		json!({
			"title": name,
			"model_name": name,
			"hash": null,
			"sha256": null,
			"filename": name,
			"config": null,
		})
	});
	Json(described.collect())
}

async fn samplers() -> Json<Value> {
	let described = SAMPLERS
		.iter()
		.map(|(name, aliases)| json!({ "name": name, "aliases": aliases, "options": {} }));
	Json(described.collect())
}

async fn schedulers() -> Json<Value> {
	Json(json!([{
		"name": SCHEDULER,
		"label": "Automatic",
		"aliases": null,
		"default_rho": -1.0,
		"need_inner_model": false,
	}]))
}

async fn upscalers() -> Json<Value> {
	Json(json!([{
		"name": "None",
		"model_name": null,
		"model_path": null,
		"model_url": null,
		"scale": 4.0,
	}]))
}
