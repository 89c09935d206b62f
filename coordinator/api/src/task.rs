//! A task: a request for pictures, from the offer to the end.

use crate::amount::Amount;
use crate::error::{Code, Refusal};
use crate::webhook::{WebhookEvent, WebhookSecret};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

/// Longest prompt and longest negative prompt, in bytes of UTF-8.
pub const PROMPT_BYTES: usize = 8 * 1024;
/// Width and height, in pixels; both must be multiples of [`SIDE_MULTIPLE`].
pub const SIDE: RangeInclusive<u32> = 64..=2048;
/// The latent of a picture is eight times smaller than the picture.
pub const SIDE_MULTIPLE: u32 = 8;
/// Denoising steps.
pub const STEPS: RangeInclusive<u32> = 1..=150;
/// Classifier-free guidance scale.
pub const GUIDANCE: RangeInclusive<f32> = 0.0..=30.0;
/// Pictures of one task.
pub const IMAGES: RangeInclusive<u32> = 1..=8;
/// Longest model name, in bytes.
pub const MODEL_BYTES: usize = 128;
/// Largest seed: the largest integer that every JSON reader keeps exactly.
pub const MAX_SEED: u64 = (1 << 53) - 1;
/// The samplers that a task may name, under their A1111 names.
pub const SAMPLERS: [&str; 8] =
	["Euler", "Euler a", "DDIM", "DPM++ 2M", "DPM++ 2M Karras", "UniPC", "LCM", "Heun"];

/// The name of a task: 32 lower-case hexadecimal digits that cannot be guessed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(String);

impl TaskId {
	/// From 16 random bytes.
	pub fn from_bytes(bytes: [u8; 16]) -> Self {
		Self(hex::encode(bytes))
	}

	/// From text that came from outside; `None` unless it is a well-formed task id.
	pub fn parse(text: &str) -> Option<Self> {
		let well_formed = text.len() == 32
			&& text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
		well_formed.then(|| Self(text.to_owned()))
	}

	/// The text form.
	pub fn as_str(&self) -> &str {
		&self.0
	}
}

impl fmt::Display for TaskId {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(&self.0)
	}
}

/// What an app asks for. Everything but the prompt has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskRequest {
	/// What the picture shows.
	pub prompt: String,
	/// What the picture should not show.
	#[serde(default)]
	pub negative_prompt: String,
	/// Width in pixels; default 512.
	#[serde(default = "default_side")]
	pub width: u32,
	/// Height in pixels; default 512.
	#[serde(default = "default_side")]
	pub height: u32,
	/// Denoising steps; default 20.
	#[serde(default = "default_steps")]
	pub steps: u32,
	/// Classifier-free guidance scale; default 7.5; 1 or less turns guidance off.
	#[serde(default = "default_guidance")]
	pub guidance_scale: f32,
	/// Seed of the noise; the coordinator draws one where none is given.
	#[serde(default)]
	pub seed: Option<u64>,
	/// Sampler by its A1111 name; default "Euler a".
	#[serde(default = "default_sampler")]
	pub sampler: String,
	/// How many pictures; default 1.
	#[serde(default = "default_images")]
	pub images: u32,
	/// Model name; where none is given, the one that most live stake serves.
	#[serde(default)]
	pub model: Option<String>,
	/// Most plancks that the task may cost; where none is given, any price is met.
	#[serde(default)]
	pub max_offer_price: Option<Amount>,
	/// Address at which the app is told of the task.
	#[serde(default)]
	pub webhook: Option<String>,
	/// With what the messages to it are signed.
	#[serde(default)]
	pub webhook_secret: Option<WebhookSecret>,
	/// Of what it is told; default only the end.
	#[serde(default)]
	pub webhook_events_filter: Option<Vec<WebhookEvent>>,
}

fn default_side() -> u32 {
	512
}
fn default_steps() -> u32 {
	20
}
fn default_guidance() -> f32 {
	7.5
}
fn default_sampler() -> String {
	"Euler a".into()
}
fn default_images() -> u32 {
	1
}

impl TaskRequest {
	/// A request for `prompt` with every other field at its default.
	pub fn new(prompt: impl Into<String>) -> Self {
		Self {
			prompt: prompt.into(),
			negative_prompt: String::new(),
			width: default_side(),
			height: default_side(),
			steps: default_steps(),
			guidance_scale: default_guidance(),
			seed: None,
			sampler: default_sampler(),
			images: default_images(),
			model: None,
			max_offer_price: None,
			webhook: None,
			webhook_secret: None,
			webhook_events_filter: None,
		}
	}

	/// Checks every field against the limits of this module; the refusal names the field, its value
	/// and what is allowed.
	pub fn check(&self) -> Result<(), Refusal> {
		for (field, text) in [("prompt", &self.prompt), ("negativePrompt", &self.negative_prompt)] {
			if text.len() > PROMPT_BYTES {
				return Err(invalid(format!(
					"{field} has {} bytes; at most {PROMPT_BYTES} are allowed",
					text.len()
				)));
			}
		}
		for (field, side) in [("width", self.width), ("height", self.height)] {
			if !SIDE.contains(&side) || side % SIDE_MULTIPLE != 0 {
				return Err(invalid(format!(
					"{field} is {side}; it must be a multiple of {SIDE_MULTIPLE} from {} to {}",
					SIDE.start(),
					SIDE.end()
				)));
			}
		}
		in_range("steps", self.steps, &STEPS)?;
		in_range("guidanceScale", self.guidance_scale, &GUIDANCE)?;
		in_range("images", self.images, &IMAGES)?;
		if let Some(seed) = self.seed {
			in_range("seed", seed, &(0..=MAX_SEED))?;
		}
		if !SAMPLERS.contains(&self.sampler.as_str()) {
			return Err(invalid(format!(
				"sampler {:?} is not known; known are {}",
				clip(&self.sampler),
				SAMPLERS.join(", ")
			)));
		}
		self.webhook()?;
		match &self.model {
			Some(model) if model.is_empty() || model.len() > MODEL_BYTES => {
				Err(invalid(format!("model must have 1 to {MODEL_BYTES} bytes")))
			},
			_ => Ok(()),
		}
	}

	/// The exact work, once seed and model are decided.
	pub fn resolve(self, seed: u64, model: String) -> TaskSpec {
		TaskSpec {
			prompt: self.prompt,
			negative_prompt: self.negative_prompt,
			width: self.width,
			height: self.height,
			steps: self.steps,
			guidance_scale: self.guidance_scale,
			seed,
			sampler: self.sampler,
			images: self.images,
			model,
		}
	}
}

fn invalid(message: String) -> Refusal {
	Refusal::new(Code::InvalidRequest, message)
}

fn in_range<T: PartialOrd + fmt::Display>(
	field: &str,
	value: T,
	range: &RangeInclusive<T>,
) -> Result<(), Refusal> {
	if range.contains(&value) {
		Ok(())
	} else {
		Err(invalid(format!(
			"{field} is {value}; it must be from {} to {}",
			range.start(),
			range.end()
		)))
	}
}

/// The start of a text from outside, short enough for an error message.
fn clip(text: &str) -> String {
	text.chars().take(40).collect()
}

/// The exact work of a task: a request with nothing left open. The same specification, model digest
/// and device give the same pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec {
	/// What the picture shows.
	pub prompt: String,
	/// What the picture should not show.
	pub negative_prompt: String,
	/// Width in pixels.
	pub width: u32,
	/// Height in pixels.
	pub height: u32,
	/// Denoising steps.
	pub steps: u32,
	/// Classifier-free guidance scale.
	pub guidance_scale: f32,
	/// Seed of the noise.
	pub seed: u64,
	/// Sampler by its A1111 name.
	pub sampler: String,
	/// How many pictures.
	pub images: u32,
	/// Model name.
	pub model: String,
}

impl TaskSpec {
	/// BLAKE2-256 of the JSON form, fields in the order of the struct: what a miner signs as the
	/// parameters that it rendered.
	pub fn digest(&self) -> [u8; 32] {
		let json = serde_json::to_vec(self).expect("a struct of strings and numbers is JSON; qed");
		sp_crypto_hashing::blake2_256(&json)
	}

	/// Work units in thousandths: pixels × steps × images / 2^20, rounded down, at least 1.
	pub fn milliunits(&self) -> u64 {
		let pixels = u64::from(self.width) * u64::from(self.height);
		let work = pixels * u64::from(self.steps) * u64::from(self.images);
		(work * 1000 / (1 << 20)).max(1)
	}
}

/// Where a task is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskState {
	/// Waiting for a miner that can take it.
	Queued,
	/// A miner holds it and renders.
	Leased,
	/// The pictures are here and being checked.
	Verifying,
	/// The pictures can be fetched.
	Done,
	/// Given up; the failure says why.
	Failed,
	/// The app took it back.
	Cancelled,
	/// No miner finished it in the time that a task may take.
	Expired,
}

impl TaskState {
	/// Whether nothing can happen to the task any more.
	pub fn is_final(self) -> bool {
		matches!(self, Self::Done | Self::Failed | Self::Cancelled | Self::Expired)
	}
}

impl fmt::Display for TaskState {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Queued => "queued",
			Self::Leased => "leased",
			Self::Verifying => "verifying",
			Self::Done => "done",
			Self::Failed => "failed",
			Self::Cancelled => "cancelled",
			Self::Expired => "expired",
		})
	}
}

/// A finished picture and where it is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PictureRef {
	/// Place among the pictures of the task, from 0.
	pub index: u32,
	/// Path on the app listener from which `GET` returns the PNG.
	pub path: String,
	/// Width in pixels.
	pub width: u32,
	/// Height in pixels.
	pub height: u32,
	/// Size of the PNG in bytes.
	pub bytes: u64,
	/// BLAKE2-256 of the raw RGB pixels, in hexadecimal.
	pub digest: String,
}

/// A task as its app sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
	/// Name of the task.
	pub task_id: TaskId,
	/// Place in the order of all offers to this coordinator, from 0.
	pub sequence: u64,
	/// Where the task is.
	pub state: TaskState,
	/// Which try this is, from 1; 0 before the first.
	pub attempt: u32,
	/// Denoising steps done in this attempt, over all its pictures.
	pub step: u32,
	/// Denoising steps of an attempt, over all its pictures.
	pub steps: u32,
	/// Stash (SS58) of the miner that holds the task or finished it.
	pub miner: Option<String>,
	/// The exact work.
	pub spec: TaskSpec,
	/// The pictures of a task that is done; otherwise empty.
	pub pictures: Vec<PictureRef>,
	/// What it costs its app if it is done, in plancks; otherwise it costs nothing.
	#[serde(default)]
	pub price: Amount,
	/// Why the task failed or expired.
	pub failure: Option<Refusal>,
	/// When it was offered, in milliseconds since the Unix epoch.
	pub offered_at: u64,
	/// When its state changed last, in milliseconds since the Unix epoch.
	pub changed_at: u64,
}

#[cfg(test)]
mod tests {
	use super::*;

	fn refused(change: impl FnOnce(&mut TaskRequest)) -> String {
		let mut request = TaskRequest::new("a red bird");
		change(&mut request);
		let refusal = request.check().expect_err("must be refused");
		assert_eq!(refusal.code, Code::InvalidRequest);
		refusal.message
	}

	#[test]
	fn the_defaults_pass() {
		let request: TaskRequest = serde_json::from_str(r#"{"prompt":"x","unknown":1}"#).unwrap();
		assert_eq!(request, TaskRequest::new("x"));
		request.check().unwrap();
	}

	#[test]
	fn each_field_out_of_range_is_named() {
		assert!(refused(|r| r.prompt = "x".repeat(100_000)).contains("prompt has 100000 bytes"));
		assert!(refused(|r| r.negative_prompt = "x".repeat(8193)).contains("negativePrompt"));
		assert!(refused(|r| r.width = 0).contains("width is 0"));
		assert!(refused(|r| r.width = 65_537).contains("width is 65537"));
		assert!(refused(|r| r.height = 100).contains("multiple of 8"));
		assert!(refused(|r| r.steps = 0).contains("steps is 0"));
		assert!(refused(|r| r.guidance_scale = f32::NAN).contains("guidanceScale"));
		assert!(refused(|r| r.images = 9).contains("images is 9"));
		assert!(refused(|r| r.seed = Some(1 << 53)).contains("seed"));
		assert!(refused(|r| r.sampler = "Eule".into()).contains("known are Euler"));
		assert!(refused(|r| r.model = Some(String::new())).contains("model"));
	}

	#[test]
	fn the_digest_tells_specifications_apart() {
		let spec = TaskRequest::new("x").resolve(7, "m".into());
		assert_eq!(spec.digest(), spec.clone().digest());
		assert_ne!(spec.digest(), TaskRequest::new("x").resolve(8, "m".into()).digest());
	}

	#[test]
	fn work_units_follow_the_formula() {
		let mut spec = TaskRequest::new("x").resolve(7, "m".into());
		assert_eq!(spec.milliunits(), 512 * 512 * 20 * 1000 / 1_048_576);
		(spec.width, spec.height, spec.steps) = (64, 64, 1);
		assert_eq!(spec.milliunits(), 3);
	}

	#[test]
	fn task_ids_from_outside_are_checked() {
		let id = TaskId::from_bytes([0xab; 16]);
		assert_eq!(TaskId::parse(id.as_str()), Some(id));
		for bad in ["", "AB", "../../etc/passwd", &"g".repeat(32), &"A".repeat(32)] {
			assert_eq!(TaskId::parse(bad), None, "{bad}");
		}
	}
}
