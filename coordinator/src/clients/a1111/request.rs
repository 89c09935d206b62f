//! What a `txt2img` body asks for. Fields are named and preset as A1111's are; those that change
//! nothing here are ignored, those that would change the picture and are not served are refused.

use super::super::{invalid, make_whole, unsupported};
use cuckoo_coordinator_api::{error::Refusal, task::TaskRequest};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The samplers and what else they are called.
pub const SAMPLERS: [(&str, &[&str]); 8] = [
	("Euler a", &["k_euler_a", "k_euler_ancestral"]),
	("Euler", &["k_euler"]),
	("DDIM", &["ddim"]),
	("DPM++ 2M", &["k_dpmpp_2m"]),
	("DPM++ 2M Karras", &["k_dpmpp_2m_ka"]),
	("UniPC", &["unipc"]),
	("LCM", &["k_lcm"]),
	("Heun", &["k_heun"]),
];
/// The only schedule: the one that the model's own configuration has.
pub const SCHEDULER: &str = "automatic";

/// See [`defaults`].
const DEFAULTS: &str = r#"{
	"prompt": "", "negative_prompt": "", "styles": null,
	"seed": -1, "subseed": -1, "subseed_strength": 0.0,
	"seed_resize_from_h": -1, "seed_resize_from_w": -1,
	"sampler_name": null, "sampler_index": "Euler", "scheduler": null,
	"batch_size": 1, "n_iter": 1, "steps": 50, "cfg_scale": 7.0, "width": 512, "height": 512,
	"restore_faces": null, "tiling": null, "do_not_save_samples": false, "do_not_save_grid": false,
	"eta": null, "denoising_strength": null, "s_min_uncond": null, "s_churn": null,
	"s_tmax": null, "s_tmin": null, "s_noise": null,
	"override_settings": null, "override_settings_restore_afterwards": true,
	"refiner_checkpoint": null, "refiner_switch_at": null, "disable_extra_networks": false,
	"firstpass_image": null, "comments": null, "enable_hr": false,
	"firstphase_width": 0, "firstphase_height": 0, "hr_scale": 2.0, "hr_upscaler": null,
	"hr_second_pass_steps": 0, "hr_resize_x": 0, "hr_resize_y": 0, "hr_checkpoint_name": null,
	"hr_sampler_name": null, "hr_scheduler": null, "hr_prompt": "", "hr_negative_prompt": "",
	"force_task_id": null, "script_name": null, "script_args": [],
	"send_images": true, "save_images": false, "alwayson_scripts": {}, "infotext": null
}"#;

/// Every field of a request with the value that it has when it is not sent.
pub fn defaults() -> Map<String, Value> {
	serde_json::from_str(DEFAULTS).expect("it is an object in JSON, as a test has seen; qed")
}

/// What of a body matters here.
#[derive(Debug, Deserialize)]
pub struct Txt2Img {
	prompt: Option<String>,
	negative_prompt: Option<String>,
	styles: Option<Vec<String>>,
	seed: Option<i64>,
	subseed_strength: Option<f64>,
	seed_resize_from_h: Option<i64>,
	seed_resize_from_w: Option<i64>,
	sampler_name: Option<String>,
	sampler_index: Option<String>,
	scheduler: Option<String>,
	batch_size: Option<u32>,
	n_iter: Option<u32>,
	steps: Option<u32>,
	cfg_scale: Option<f32>,
	width: Option<u32>,
	height: Option<u32>,
	restore_faces: Option<bool>,
	tiling: Option<bool>,
	eta: Option<f64>,
	s_min_uncond: Option<f64>,
	s_churn: Option<f64>,
	override_settings: Option<Map<String, Value>>,
	refiner_checkpoint: Option<String>,
	enable_hr: Option<bool>,
	script_name: Option<String>,
	alwayson_scripts: Option<Map<String, Value>>,
	send_images: Option<bool>,
	force_task_id: Option<String>,
}

impl Txt2Img {
	/// From a body.
	///
	/// # Errors
	///
	/// `INVALID_REQUEST` if a field is of the wrong type.
	pub fn read(body: &Map<String, Value>) -> Result<Self, Refusal> {
		let mut body = Value::Object(body.clone());
		make_whole(&mut body);
		serde_path_to_error::deserialize(body)
			.map_err(|error| invalid(format!("{} cannot be read: {}", error.path(), error.inner())))
	}

	/// How many pictures go into a batch.
	pub fn batch_size(&self) -> u32 {
		self.batch_size.unwrap_or(1)
	}

	/// Whether the pictures are wanted in the answer.
	pub fn wants_images(&self) -> bool {
		self.send_images.unwrap_or(true)
	}

	/// The name that the client gives the task.
	pub fn name(&self) -> Option<String> {
		self.force_task_id.clone()
	}

	/// As a task of ours. `preferred` is the model where the request names none, and `served` are
	/// those that there are.
	///
	/// # Errors
	///
	/// `UNSUPPORTED` for what would not come out as it is meant, `INVALID_REQUEST` for values that mean
	/// nothing.
	pub fn task(
		&self,
		preferred: Option<String>,
		served: &[String],
	) -> Result<TaskRequest, Refusal> {
		self.check()?;
		let settings = self.override_settings.as_ref();
		let named = match settings {
			Some(settings) => text(settings, "sd_model_checkpoint")?,
			None => None,
		};
		let images = self.batch_size().checked_mul(self.n_iter.unwrap_or(1));
		Ok(TaskRequest {
			prompt: self.prompt.clone().unwrap_or_default(),
			negative_prompt: self.negative_prompt.clone().unwrap_or_default(),
			width: self.width.unwrap_or(512),
			height: self.height.unwrap_or(512),
			steps: self.steps.unwrap_or(50),
			guidance_scale: self.cfg_scale.unwrap_or(7.0),
			seed: seed(self.seed.unwrap_or(-1))?,
			sampler: self.sampler(),
			images: images.unwrap_or(u32::MAX),
			model: named.map(|named| served_as(served, named)).or(preferred),
			..TaskRequest::new("")
		})
	}

	/// Under our name, if it is one that we know.
	fn sampler(&self) -> String {
		let filled = |name: &&String| !name.is_empty();
		let asked = self.sampler_name.as_ref().filter(filled);
		let asked = asked.or(self.sampler_index.as_ref().filter(filled));
		let asked = asked.map_or("Euler", String::as_str);
		let known = SAMPLERS.iter().find(|(name, aliases)| {
			name.eq_ignore_ascii_case(asked)
				|| aliases.iter().any(|a| a.eq_ignore_ascii_case(asked))
		});
		known.map_or(asked, |(name, _)| *name).to_owned()
	}

	fn check(&self) -> Result<(), Refusal> {
		let nonzero = |value: Option<f64>| value.is_some_and(|value| value != 0.0);
		let filled = |text: &Option<String>| {
			text.as_ref().is_some_and(|text| !text.is_empty() && text != "None")
		};
		let scripts = self.alwayson_scripts.as_ref();
		let resized = [self.seed_resize_from_h, self.seed_resize_from_w];
		for (asked, what) in [
			(self.enable_hr == Some(true), "enable_hr: there is no second pass"),
			(self.restore_faces == Some(true), "restore_faces: faces are left as they are"),
			(self.tiling == Some(true), "tiling: pictures do not tile"),
			(filled(&self.refiner_checkpoint), "refiner_checkpoint: there is no refiner"),
			(filled(&self.script_name), "script_name: scripts are not run"),
			(scripts.is_some_and(|s| !s.is_empty()), "alwayson_scripts: scripts are not run"),
			(self.styles.as_ref().is_some_and(|s| !s.is_empty()), "styles: there are none"),
			(nonzero(self.subseed_strength), "subseed_strength: seeds are not mixed"),
			(
				resized.iter().flatten().any(|side| *side > 0),
				"seed_resize_from: noise is not resized",
			),
			(nonzero(self.eta), "eta: each sampler has its own"),
			(nonzero(self.s_min_uncond), "s_min_uncond: guidance is never left out"),
			(nonzero(self.s_churn), "s_churn: samplers add no noise of that kind"),
		] {
			if asked {
				return Err(unsupported(format!("{what}; leave it out")));
			}
		}
		if let Some(scheduler) = self.scheduler.as_ref().filter(|name| !name.is_empty()) {
			if !scheduler.eq_ignore_ascii_case(SCHEDULER) {
				let scheduler: String = scheduler.chars().take(40).collect();
				return Err(unsupported(format!(
					"scheduler {scheduler:?} is not served; the only one is {SCHEDULER}: the schedule \
					that the model's own configuration has"
				)));
			}
		}
		self.override_settings.as_ref().map_or(Ok(()), check_settings)
	}
}

/// −1 means that one is drawn.
fn seed(asked: i64) -> Result<Option<u64>, Refusal> {
	match asked {
		-1 => Ok(None),
		_ => match u64::try_from(asked) {
			Ok(seed) => Ok(Some(seed)),
			Err(_) => {
				Err(invalid(format!("seed is {asked}; it must be -1 for any, or not negative")))
			},
		},
	}
}

/// Refuses settings that would change pictures and are not served.
pub fn check_settings(settings: &Map<String, Value>) -> Result<(), Refusal> {
	let skipped = settings.get("CLIP_stop_at_last_layers").and_then(Value::as_f64);
	if skipped.is_some_and(|layers| layers > 1.0) {
		return Err(unsupported("CLIP_stop_at_last_layers must be 1: no layer is skipped"));
	}
	let vae = text(settings, "sd_vae")?.unwrap_or_default();
	if !["", "Automatic", "None"].contains(&vae) {
		return Err(unsupported("sd_vae must be Automatic: each model has its own VAE"));
	}
	let format = text(settings, "samples_format")?.unwrap_or("png");
	if !format.eq_ignore_ascii_case("png") {
		return Err(unsupported("samples_format must be png: pictures are not converted"));
	}
	Ok(())
}

/// A setting that is text, if it is there and not empty.
pub fn text<'a>(settings: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
	match settings.get(name) {
		None | Some(Value::Null) => Ok(None),
		Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
		Some(_) => Err(invalid(format!("{name} must be text"))),
	}
}

/// The served model that is meant by a checkpoint's name, which may have a file's ending and a hash
/// behind it; otherwise the name as it is.
pub fn served_as(served: &[String], asked: &str) -> String {
	let is_served = |name: &str| served.iter().any(|model| model == name);
	if is_served(asked) {
		return asked.to_owned();
	}
	let name = asked.split(" [").next().unwrap_or(asked);
	let stem = name.strip_suffix(".safetensors").or_else(|| name.strip_suffix(".ckpt"));
	[Some(name), stem]
		.into_iter()
		.flatten()
		.find(|name| is_served(name))
		.unwrap_or(asked)
		.to_owned()
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_coordinator_api::error::Code;
	use serde_json::json;

	fn read(body: Value) -> Result<Txt2Img, Refusal> {
		Txt2Img::read(body.as_object().unwrap())
	}

	fn task(body: Value) -> Result<TaskRequest, Refusal> {
		read(body)?.task(Some("preferred".into()), &["served".into()])
	}

	#[test]
	fn the_defaults_are_those_of_a1111() {
		let wanted = TaskRequest {
			steps: 50,
			guidance_scale: 7.0,
			sampler: "Euler".into(),
			model: Some("preferred".into()),
			..TaskRequest::new("")
		};
		assert_eq!(task(json!({ "no_such_field": 1 })).unwrap(), wanted);
		assert_eq!(task(Value::Object(defaults())).unwrap(), wanted);
	}

	#[test]
	fn every_field_has_its_counterpart() {
		let body = json!({
			"prompt": "x", "negative_prompt": "y", "width": 64, "height": 72, "steps": 3, "cfg_scale": 2,
			"seed": 7, "sampler_name": "k_euler_a", "scheduler": "Automatic", "batch_size": 2,
			"n_iter": 3, "override_settings": {
				"sd_model_checkpoint": "served.safetensors [0123456789]",
				"CLIP_stop_at_last_layers": 1, "sd_vae": "Automatic", "webp_lossless": true,
			},
		});
		let wanted = TaskRequest {
			negative_prompt: "y".into(),
			width: 64,
			height: 72,
			steps: 3,
			guidance_scale: 2.0,
			seed: Some(7),
			sampler: "Euler a".into(),
			images: 6,
			model: Some("served".into()),
			..TaskRequest::new("x")
		};
		assert_eq!(task(body).unwrap(), wanted);
	}

	#[test]
	fn what_is_not_served_is_refused() {
		for body in [
			json!({ "enable_hr": true }),
			json!({ "restore_faces": true }),
			json!({ "tiling": true }),
			json!({ "refiner_checkpoint": "x" }),
			json!({ "script_name": "x" }),
			json!({ "alwayson_scripts": { "ADetailer": { "args": [true] } } }),
			json!({ "styles": ["x"] }),
			json!({ "subseed_strength": 0.5 }),
			json!({ "seed_resize_from_w": 512 }),
			json!({ "eta": 0.5 }),
			json!({ "s_min_uncond": 1 }),
			json!({ "s_churn": 1 }),
			json!({ "scheduler": "Karras" }),
			json!({ "override_settings": { "CLIP_stop_at_last_layers": 2 } }),
			json!({ "override_settings": { "sd_vae": "x" } }),
			json!({ "override_settings": { "samples_format": "webp" } }),
		] {
			assert_eq!(task(body.clone()).unwrap_err().code, Code::Unsupported, "{body}");
		}
	}

	#[test]
	fn values_that_mean_nothing_are_refused_by_name() {
		let many = task(json!({ "batch_size": u32::MAX, "n_iter": 2 })).unwrap();
		assert!(many.check().unwrap_err().message.starts_with("images"));
		for (body, named) in [
			(json!({ "seed": -2 }), "seed"),
			(json!({ "steps": -1 }), "steps"),
			(json!({ "width": "wide" }), "width"),
			(json!({ "override_settings": { "sd_model_checkpoint": 1 } }), "sd_model_checkpoint"),
		] {
			let refusal = task(body).unwrap_err();
			assert_eq!(refusal.code, Code::InvalidRequest);
			assert!(refusal.message.starts_with(named), "{refusal}");
		}
		assert_eq!(task(json!({ "sampler_name": "Brush" })).unwrap().sampler, "Brush");
		assert_eq!(task(json!({ "sampler_name": "k_heun" })).unwrap().sampler, "Heun");
	}
}
