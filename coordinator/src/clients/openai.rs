//! OpenAI's Images API: `POST /v1/images/generations`, `GET /v1/models`, `GET /v1/models/{id}`.

use super::awaited::{Awaited, Finished};
use super::{invalid, nothing_here, rename_field, unix_seconds, unsupported, JsonBody};
use crate::gate::{max_offer_price, Caller};
use crate::listener::answer_refusal;
use crate::scheduler::App;
use crate::service::Service;
use axum::{
	extract::{Path, State},
	http::{header::HOST, HeaderMap, HeaderValue},
	response::{
		sse::{Event, KeepAlive, Sse},
		IntoResponse, Response,
	},
	routing::{any, get, post},
	Json, Router,
};
use base64::{prelude::BASE64_STANDARD, Engine};
use bytes::Bytes;
use cuckoo_coordinator_api::{
	error::{Code, Refusal},
	task::{PictureRef, TaskRequest, TaskStatus},
};
use futures::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{json, Value};
use std::convert::Infallible;
use std::sync::Arc;

/// Most previews that may be asked for, as there. (Miners send none, so none ever comes.)
const MAX_PARTIAL_IMAGES: u32 = 3;
/// Our fields and the names that they have here.
const NAMES: [(&str, &str); 18] = [
	("prompt", "prompt"),
	("negativePrompt", "negative_prompt"),
	("width", "size"),
	("height", "size"),
	("size", "size"),
	("steps", "num_inference_steps"),
	("guidanceScale", "guidance_scale"),
	("seed", "seed"),
	("sampler", "sampler"),
	("images", "n"),
	("n", "n"),
	("model", "model"),
	("num_inference_steps", "num_inference_steps"),
	("response_format", "response_format"),
	("output_format", "output_format"),
	("output_compression", "output_compression"),
	("background", "background"),
	("partial_images", "partial_images"),
];

/// The routes.
pub(super) fn router(service: Arc<Service>) -> Router {
	Router::new()
		.route("/v1/images/generations", post(generate))
		.route("/v1/images/edits", any(no_editing))
		.route("/v1/images/variations", any(no_editing))
		.route("/v1/models", get(models))
		.route("/v1/models/{*id}", get(model))
		.route("/v1/{*path}", any(|| async { error(nothing_here()) }))
		.with_state(service)
}

/// What a client asks for. Fields that are not here are ignored.
#[derive(Debug, Deserialize)]
struct Generation {
	prompt: Option<String>,
	model: Option<String>,
	n: Option<u32>,
	size: Option<String>,
	response_format: Option<String>,
	output_format: Option<String>,
	output_compression: Option<u32>,
	background: Option<String>,
	stream: Option<bool>,
	partial_images: Option<u32>,
	// Not OpenAI's: they can be sent as extra fields.
	seed: Option<u64>,
	num_inference_steps: Option<u32>,
	negative_prompt: Option<String>,
	guidance_scale: Option<f32>,
	sampler: Option<String>,
}

impl Generation {
	/// Refuses what would not come out as it is meant.
	fn check(&self) -> Result<(), Refusal> {
		one_of("response_format", self.response_format.as_deref(), &["url", "b64_json"])?;
		match self.output_format.as_deref() {
			None | Some("png") => {},
			Some("jpeg" | "webp") => {
				return Err(unsupported("output_format must be png: pictures are not converted"));
			},
			other => one_of("output_format", other, &["png", "jpeg", "webp"])?,
		}
		if self.output_compression.is_some_and(|level| level != 100) {
			return Err(unsupported("output_compression must be 100: PNG loses nothing"));
		}
		one_of("background", self.background.as_deref(), &["auto", "opaque", "transparent"])?;
		if self.background.as_deref() == Some("transparent") {
			return Err(unsupported("background cannot be transparent: pictures are opaque"));
		}
		if self.partial_images.is_some_and(|images| images > MAX_PARTIAL_IMAGES) {
			return Err(invalid(format!("partial_images must be from 0 to {MAX_PARTIAL_IMAGES}")));
		}
		Ok(())
	}

	fn task(&self) -> Result<TaskRequest, Refusal> {
		let prompt = self.prompt.clone().ok_or_else(|| invalid("prompt is missing"))?;
		let standard = TaskRequest::new(prompt);
		let (width, height) = match self.size.as_deref() {
			None | Some("auto") => (standard.width, standard.height),
			Some(size) => sides(size)?,
		};
		Ok(TaskRequest {
			negative_prompt: self.negative_prompt.clone().unwrap_or_default(),
			width,
			height,
			steps: self.num_inference_steps.unwrap_or(standard.steps),
			guidance_scale: self.guidance_scale.unwrap_or(standard.guidance_scale),
			seed: self.seed,
			sampler: self.sampler.clone().unwrap_or_else(|| standard.sampler.clone()),
			images: self.n.unwrap_or(standard.images),
			model: self.model.clone().filter(|model| !model.is_empty()),
			..standard
		})
	}
}

fn one_of(field: &str, value: Option<&str>, allowed: &[&str]) -> Result<(), Refusal> {
	match value {
		Some(value) if !allowed.contains(&value) => {
			let value: String = value.chars().take(40).collect();
			Err(invalid(format!("{field} is {value:?}; it must be one of {}", allowed.join(", "))))
		},
		_ => Ok(()),
	}
}

fn sides(size: &str) -> Result<(u32, u32), Refusal> {
	let sides = size.split_once('x');
	let sides = sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
	sides.ok_or_else(|| {
		let size: String = size.chars().take(40).collect();
		invalid(format!("size is {size:?}; it must be WIDTHxHEIGHT in pixels, or auto"))
	})
}

async fn generate(
	State(service): State<Arc<Service>>,
	Caller(app): Caller,
	headers: HeaderMap,
	JsonBody(generation): JsonBody<Generation>,
) -> Response {
	answer(&service, app, &headers, generation).await.unwrap_or_else(error)
}

async fn answer(
	service: &Arc<Service>,
	app: App,
	headers: &HeaderMap,
	generation: Result<Generation, Refusal>,
) -> Result<Response, Refusal> {
	let generation = generation?;
	generation.check()?;
	let request = TaskRequest { max_offer_price: max_offer_price(headers)?, ..generation.task()? };
	let awaited = Awaited::offer(service, app, request).await?;
	if generation.stream == Some(true) {
		return Ok(events(awaited));
	}
	let finished = awaited.finished().await?;
	let token = service.picture_token(&app, &finished.status.task_id);
	// Whoever shows the picture by its address does not send the key.
	let query = token.map(|token| format!("?token={token}")).unwrap_or_default();
	Ok(Json(images(&finished, &generation, &base_url(headers), &query)).into_response())
}

/// The answer at the end. Where the client does not say whether it wants the pictures or their
/// addresses it gets both: what it expects depends on models that are not here.
fn images(finished: &Finished, generation: &Generation, base: &str, query: &str) -> Value {
	let Finished { status, pictures } = finished;
	let format = generation.response_format.as_deref();
	let image = |(reference, png): (&PictureRef, &Bytes)| {
		let mut image = json!({});
		if format != Some("url") {
			image["b64_json"] = BASE64_STANDARD.encode(png).into();
		}
		if format != Some("b64_json") {
			image["url"] = format!("{base}{}{query}", reference.path).into();
		}
		image
	};
	json!({
		"created": status.changed_at / 1000,
		"data": status.pictures.iter().zip(pictures).map(image).collect::<Vec<_>>(),
		"background": "opaque",
		"output_format": "png",
		"size": size(status),
		"task_id": status.task_id,
		"model": status.spec.model,
		"seed": status.spec.seed,
	})
}

fn size(status: &TaskStatus) -> String {
	format!("{}x{}", status.spec.width, status.spec.height)
}

/// Where the client reached us, so that it can fetch pictures there: nothing if it does not say, and
/// addresses are relative then.
fn base_url(headers: &HeaderMap) -> String {
	let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
	let plain =
		|host: &String| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
	let Some(host) = headers.get(HOST).and_then(text).filter(plain) else { return String::new() };
	// Set by a reverse proxy that ends TLS.
	let tls = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
	format!("http{}://{host}", if tls { "s" } else { "" })
}

/// The answer as it comes: an event for each picture, or one that says why there is none.
fn events(awaited: Awaited) -> Response {
	let events = stream::once(awaited.finished()).flat_map(|ended| {
		let events: Vec<Event> = match ended {
			Ok(Finished { status, pictures }) => {
				pictures.iter().map(|png| completed(&status, png)).collect()
			},
			Err(refusal) => vec![event("error", &error_body(refusal))],
		};
		stream::iter(events.into_iter().map(Ok::<_, Infallible>))
	});
	Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

fn completed(status: &TaskStatus, png: &Bytes) -> Event {
	let name = "image_generation.completed";
	let data = json!({
		"type": name,
		"b64_json": BASE64_STANDARD.encode(png),
		"created_at": status.changed_at / 1000,
		"background": "opaque",
		"output_format": "png",
		"quality": "auto",
		"size": size(status),
		// Tokens are not counted here.
		"usage": {
			"input_tokens": 0,
			"input_tokens_details": { "image_tokens": 0, "text_tokens": 0 },
			"output_tokens": 0,
			"total_tokens": 0,
		},
		"task_id": status.task_id,
		"seed": status.spec.seed,
	});
	event(name, &data)
}

fn event(name: &str, data: &Value) -> Event {
	Event::default().event(name).data(data.to_string())
}

async fn no_editing() -> Response {
	error(unsupported("pictures are made from text only: editing and variations are not served"))
}

async fn models(State(service): State<Arc<Service>>) -> Response {
	let models: Vec<Value> = service.info().models.iter().map(|name| described(name)).collect();
	Json(json!({ "object": "list", "data": models })).into_response()
}

async fn model(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Response {
	if service.info().models.contains(&id) {
		return Json(described(&id)).into_response();
	}
	let id: String = id.chars().take(40).collect();
	error(Refusal::new(Code::UnknownModel, format!("no miner serves model {id:?} now")))
}

fn described(model: &str) -> Value {
	json!({ "id": model, "object": "model", "created": unix_seconds(), "owned_by": "cuckoo" })
}

/// A refusal as a client of OpenAI expects it.
pub(super) fn error(refusal: Refusal) -> Response {
	// Those clients try again by themselves: not where all that can be done was done.
	let in_vain =
		matches!(refusal.code, Code::FailedEverywhere | Code::DeadlinePassed | Code::Cancelled);
	let mut response = answer_refusal(&refusal, error_body(refusal.clone()));
	if in_vain {
		response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
	}
	response
}

fn error_body(mut refusal: Refusal) -> Value {
	let kind = match refusal.code.http_status() {
		401 => "authentication_error",
		402 => "insufficient_quota",
		429 => "rate_limit_error",
		500.. => "server_error",
		_ => "invalid_request_error",
	};
	let param = match refusal.code {
		Code::UnknownModel => Some("model"),
		Code::InvalidRequest | Code::Unsupported => rename_field(&mut refusal, &NAMES),
		_ => None,
	};
	json!({
		"error": {
			"message": refusal.message,
			"type": kind,
			"param": param,
			"code": refusal.code,
		}
	})
}

#[cfg(test)]
mod tests {
	use super::*;

	fn generation(body: Value) -> Generation {
		serde_json::from_value(body).unwrap()
	}

	fn refused(body: Value) -> Value {
		let generation = generation(body);
		let refusal = generation.check().and_then(|()| generation.task()?.check());
		error_body(refusal.expect_err("must be refused"))["error"].clone()
	}

	#[test]
	fn a_prompt_is_enough_and_unknown_fields_are_ignored() {
		let generation = generation(json!({ "prompt": "x", "style": "vivid", "user": "me" }));
		generation.check().unwrap();
		assert_eq!(generation.task().unwrap(), TaskRequest::new("x"));
	}

	#[test]
	fn every_field_has_its_counterpart() {
		let generation = generation(json!({
			"prompt": "x", "model": "m", "n": 2, "size": "64x72", "seed": 7,
			"num_inference_steps": 3, "negative_prompt": "y", "guidance_scale": 2, "sampler": "DDIM",
			"response_format": "url", "output_format": "png", "output_compression": 100,
			"background": "auto", "stream": true, "partial_images": 2,
		}));
		generation.check().unwrap();
		let wanted = TaskRequest {
			negative_prompt: "y".into(),
			width: 64,
			height: 72,
			steps: 3,
			guidance_scale: 2.0,
			seed: Some(7),
			sampler: "DDIM".into(),
			images: 2,
			model: Some("m".into()),
			..TaskRequest::new("x")
		};
		assert_eq!(generation.task().unwrap(), wanted);
	}

	#[test]
	fn the_parameter_at_fault_is_named() {
		for (body, param) in [
			(json!({}), "prompt"),
			(json!({ "prompt": "x", "size": "big" }), "size"),
			(json!({ "prompt": "x", "size": "65x64" }), "size"),
			(json!({ "prompt": "x", "size": "64x65" }), "size"),
			(json!({ "prompt": "x", "n": 9 }), "n"),
			(json!({ "prompt": "x", "num_inference_steps": 0 }), "num_inference_steps"),
			(json!({ "prompt": "x", "guidance_scale": -1 }), "guidance_scale"),
			(json!({ "prompt": "x", "negative_prompt": "x".repeat(9000) }), "negative_prompt"),
			(json!({ "prompt": "x", "sampler": "none" }), "sampler"),
			(json!({ "prompt": "x", "seed": u64::MAX }), "seed"),
		] {
			let error = refused(body);
			assert_eq!(error["param"], param, "{error}");
			assert!(error["message"].as_str().unwrap().starts_with(param), "{error}");
			assert_eq!(error["code"], "INVALID_REQUEST");
			assert_eq!(error["type"], "invalid_request_error");
		}
	}

	#[test]
	fn what_pictures_cannot_be_is_refused() {
		for field in [
			json!({ "output_format": "jpeg" }),
			json!({ "output_format": "webp" }),
			json!({ "output_compression": 50 }),
			json!({ "background": "transparent" }),
		] {
			let mut body = json!({ "prompt": "x" });
			body.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
			let error = refused(body);
			assert_eq!(error["code"], "UNSUPPORTED", "{field}");
			assert!(field.get(error["param"].as_str().unwrap()).is_some(), "{field}");
		}
		for field in [json!({ "response_format": "gif" }), json!({ "output_format": "gif" })] {
			let mut body = json!({ "prompt": "x" });
			body.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
			assert_eq!(refused(body)["code"], "INVALID_REQUEST", "{field}");
		}
	}

	#[test]
	fn addresses_lead_to_where_the_client_came_from() {
		let mut headers = HeaderMap::new();
		assert_eq!(base_url(&headers), "");
		headers.insert(HOST, "[::1]:9980".parse().unwrap());
		assert_eq!(base_url(&headers), "http://[::1]:9980");
		headers.insert("x-forwarded-proto", "https".parse().unwrap());
		assert_eq!(base_url(&headers), "https://[::1]:9980");
		headers.insert(HOST, "a/b\"c".parse().unwrap());
		assert_eq!(base_url(&headers), "");
	}
}
