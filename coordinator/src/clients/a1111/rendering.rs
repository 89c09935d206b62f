//! A `txt2img` request under way, and its answer.

use super::super::awaited::{Awaited, Finished};
use super::request::{defaults, Txt2Img};
use super::timestamp;
use crate::scheduler::App;
use crate::service::Service;
use base64::{prelude::BASE64_STANDARD, Engine};
use cuckoo_coordinator_api::{
	amount::Amount,
	error::Refusal,
	task::{TaskId, TaskRequest, TaskSpec, TaskStatus},
};
use serde::Serialize;
use serde_json::{json, Map, Value};
use std::sync::Arc;

/// The program, as it stands in the description of a picture.
const VERSION: &str = concat!("cuckoo ", env!("CARGO_PKG_VERSION"));

/// A request whose task was offered.
pub struct Rendering {
	request: Txt2Img,
	parameters: Map<String, Value>,
	awaited: Awaited,
}

/// What a client is sent.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
	/// PNG files in Base64.
	images: Vec<String>,
	/// Every field of the request, those that were not sent with their presets.
	parameters: Map<String, Value>,
	/// JSON in a string: what was rendered.
	info: String,
}

impl Rendering {
	/// Offers what a body of this app asks for; `preferred` is the model where it names none, and
	/// `max_offer_price` the most that it may cost.
	///
	/// # Errors
	///
	/// `UNSUPPORTED`, and those of [`Service::offer`].
	pub async fn offer(
		service: &Arc<Service>,
		app: App,
		body: Map<String, Value>,
		preferred: Option<String>,
		max_offer_price: Option<Amount>,
	) -> Result<Self, Refusal> {
		let request = Txt2Img::read(&body)?;
		let task = request.task(preferred, &service.info().models)?;
		let task = TaskRequest { max_offer_price, ..task };
		let mut parameters = defaults();
		for (name, value) in body {
			if let Some(parameter) = parameters.get_mut(&name) {
				*parameter = value;
			}
		}
		Ok(Self { request, parameters, awaited: Awaited::offer(service, app, task).await? })
	}

	/// Name of the task.
	pub fn task(&self) -> &TaskId {
		self.awaited.id()
	}

	/// The name that the client gave it.
	pub fn name(&self) -> Option<String> {
		self.request.name()
	}

	/// Waits until the pictures are there.
	///
	/// # Errors
	///
	/// Those of [`Awaited::finished`].
	pub async fn answer(self) -> Result<Answer, Refusal> {
		let Self { request, parameters, awaited } = self;
		let Finished { status, pictures } = awaited.finished().await?;
		let pictures = if request.wants_images() { pictures } else { Vec::new() };
		Ok(Answer {
			images: pictures.iter().map(|png| BASE64_STANDARD.encode(png)).collect(),
			parameters,
			info: info(&status, request.batch_size()).to_string(),
		})
	}
}

fn info(status: &TaskStatus, batch_size: u32) -> Value {
	let spec = &status.spec;
	let images = spec.images as usize;
	// Picture `i` has the seed `seed + i`.
	let seeds: Vec<u64> = (0..u64::from(spec.images)).map(|i| spec.seed.wrapping_add(i)).collect();
	let texts: Vec<String> = seeds.iter().map(|seed| infotext(spec, *seed)).collect();
	json!({
		"prompt": spec.prompt,
		"all_prompts": vec![&spec.prompt; images],
		"negative_prompt": spec.negative_prompt,
		"all_negative_prompts": vec![&spec.negative_prompt; images],
		"seed": spec.seed,
		"all_seeds": seeds,
		"subseed": -1,
		"all_subseeds": vec![-1; images],
		"subseed_strength": 0,
		"width": spec.width,
		"height": spec.height,
		"sampler_name": spec.sampler,
		"cfg_scale": spec.guidance_scale,
		"steps": spec.steps,
		"batch_size": batch_size,
		"restore_faces": false,
		"face_restoration_model": null,
		"sd_model_name": spec.model,
		"sd_model_hash": null,
		"sd_vae_name": null,
		"sd_vae_hash": null,
		"seed_resize_from_w": -1,
		"seed_resize_from_h": -1,
		"denoising_strength": null,
		"extra_generation_params": { "Task": status.task_id, "Miner": status.miner },
		"index_of_first_image": 0,
		"infotexts": texts,
		"styles": [],
		"job_timestamp": timestamp(status.changed_at),
		"clip_skip": 1,
		"is_using_inpainting_conditioning": false,
		"version": VERSION,
	})
}

/// A picture in words, as A1111 writes it into files.
fn infotext(spec: &TaskSpec, seed: u64) -> String {
	let negative = match spec.negative_prompt.as_str() {
		"" => String::new(),
		prompt => format!("\nNegative prompt: {prompt}"),
	};
	format!(
		"{}{negative}\nSteps: {}, Sampler: {}, Schedule type: Automatic, CFG scale: {}, Seed: {seed}, \
		Size: {}x{}, Model: {}, Version: {VERSION}",
		spec.prompt, spec.steps, spec.sampler, spec.guidance_scale, spec.width, spec.height, spec.model,
	)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_picture_in_words() {
		let request = TaskRequest { negative_prompt: "cats".into(), ..TaskRequest::new("a bird") };
		let spec = request.resolve(7, "m".into());
		let wanted = "a bird\nNegative prompt: cats\nSteps: 20, Sampler: Euler a, Schedule type: \
			Automatic, CFG scale: 7.5, Seed: 9, Size: 512x512, Model: m, Version: cuckoo ";
		assert!(infotext(&spec, 9).starts_with(wanted), "{}", infotext(&spec, 9));
		let spec = TaskRequest::new("a bird").resolve(7, "m".into());
		assert!(infotext(&spec, 7).starts_with("a bird\nSteps: 20"));
	}
}
