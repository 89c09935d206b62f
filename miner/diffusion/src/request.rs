//! What to render.

use crate::{Picture, RequestError, Sampler};

/// The limits of a request; a model may be stricter about sizes.
pub mod limits {
	/// Smallest width and height, in pixels.
	pub const MIN_SIDE: u32 = 64;
	/// Largest width and height, in pixels.
	pub const MAX_SIDE: u32 = 2048;
	/// Width and height are multiples of this many pixels.
	pub const SIDE_MULTIPLE: u32 = 8;
	/// Most denoising steps of a picture.
	pub const MAX_STEPS: u32 = 150;
	/// Most pictures of one request.
	pub const MAX_IMAGES: u32 = 8;
	/// Largest guidance scale.
	pub const MAX_GUIDANCE_SCALE: f32 = 30.0;
	/// Longest prompt and longest negative prompt, in bytes of UTF-8.
	pub const MAX_PROMPT_BYTES: usize = 8 * 1024;
}

/// One text-to-image task, in the words of the A1111 parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderRequest {
	/// What to show. A prompt of more tokens than the model's text encoder takes (77 with the two
	/// marks at its ends in Stable Diffusion) is cut there, as CLIP does.
	pub prompt: String,
	/// What to avoid; empty for nothing.
	pub negative_prompt: String,
	/// Width in pixels: 64 to 2048, a multiple of 8.
	pub width: u32,
	/// Height in pixels: 64 to 2048, a multiple of 8.
	pub height: u32,
	/// Denoising steps, 1 to 150.
	pub steps: u32,
	/// How strongly the prompt steers, 0 to 30. 1 leaves the negative prompt out and halves the
	/// work.
	pub guidance_scale: f32,
	/// Seed of the first picture; picture `i` has the seed `seed + i` (wrapping), so that each can
	/// be rendered again alone.
	pub seed: u64,
	/// The sampling method.
	pub sampler: Sampler,
	/// Number of pictures, 1 to 8.
	pub images: u32,
	/// What to start from; noise alone, if none.
	pub start: Option<StartPicture>,
}

/// A picture to start from (img2img). Noise is laid over it, and the last of the steps remove it.
#[derive(Debug, Clone, PartialEq)]
pub struct StartPicture {
	/// The picture, of the size of the request.
	pub picture: Picture,
	/// How much of it may change, 0 to 1: as much noise is laid over it as there is after the share
	/// `1 - strength` of the steps, and the others are done: `steps × strength` rounded down, at least
	/// one. (As in diffusers.)
	pub strength: f64,
}

impl StartPicture {
	/// How many of `steps` are done.
	pub fn steps(&self, steps: u32) -> u32 {
		(f64::from(steps) * self.strength) as u32
	}

	fn validate(&self, request: &RenderRequest) -> Result<(), RequestError> {
		// False for NaN.
		if !(0.0..=1.0).contains(&self.strength) || self.steps(request.steps) == 0 {
			return Err(RequestError {
				field: "strength",
				value: self.strength.to_string(),
				allowed: format!(
					"must be at most 1 and leave one of {} steps at least",
					request.steps
				),
			});
		}
		let Picture { width, height, rgb } = &self.picture;
		if (*width, *height) != (request.width, request.height) {
			return Err(RequestError {
				field: "start",
				value: format!("{width}×{height} pixels"),
				allowed: format!(
					"must be of the wanted size, {}×{}",
					request.width, request.height
				),
			});
		}
		let bytes = *width as usize * *height as usize * 3;
		if rgb.len() != bytes {
			return Err(RequestError {
				field: "start",
				value: format!("{} bytes", rgb.len()),
				allowed: format!("must be {bytes}, three for each pixel"),
			});
		}
		Ok(())
	}
}

impl RenderRequest {
	/// Checks every field against [`limits`] and reports the first that breaks one.
	pub fn validate(&self) -> Result<(), RequestError> {
		let range = |field, value: u32, min: u32, max: u32| {
			if (min..=max).contains(&value) {
				Ok(())
			} else {
				Err(RequestError {
					field,
					value: value.to_string(),
					allowed: format!("must be {min} to {max}"),
				})
			}
		};
		for (field, side) in [("width", self.width), ("height", self.height)] {
			range(field, side, limits::MIN_SIDE, limits::MAX_SIDE)?;
			multiple(field, side, limits::SIDE_MULTIPLE)?;
		}
		range("steps", self.steps, 1, limits::MAX_STEPS)?;
		range("images", self.images, 1, limits::MAX_IMAGES)?;
		// The comparison is false for NaN, which is refused with the infinities.
		if !(0.0..=limits::MAX_GUIDANCE_SCALE).contains(&self.guidance_scale) {
			return Err(RequestError {
				field: "guidance_scale",
				value: self.guidance_scale.to_string(),
				allowed: format!("must be 0 to {}", limits::MAX_GUIDANCE_SCALE),
			});
		}
		for (field, text) in [("prompt", &self.prompt), ("negative_prompt", &self.negative_prompt)]
		{
			if text.len() > limits::MAX_PROMPT_BYTES {
				return Err(RequestError {
					field,
					value: format!("{} bytes long", text.len()),
					allowed: format!("must be at most {} bytes", limits::MAX_PROMPT_BYTES),
				});
			}
		}
		self.start.as_ref().map_or(Ok(()), |start| start.validate(self))
	}
}

/// Refuses a side that is no multiple of `of` pixels.
pub(crate) fn multiple(field: &'static str, side: u32, of: u32) -> Result<(), RequestError> {
	if side.is_multiple_of(of) {
		Ok(())
	} else {
		Err(RequestError {
			field,
			value: side.to_string(),
			allowed: format!("must be a multiple of {of}"),
		})
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn request() -> RenderRequest {
		RenderRequest {
			prompt: "a red bird".into(),
			negative_prompt: String::new(),
			width: 512,
			height: 768,
			steps: 20,
			guidance_scale: 7.5,
			seed: 1,
			sampler: Sampler::Euler,
			images: 1,
			start: None,
		}
	}

	fn refused(change: impl FnOnce(&mut RenderRequest)) -> String {
		let mut request = request();
		change(&mut request);
		request.validate().unwrap_err().to_string()
	}

	#[test]
	fn bounds_are_inclusive() {
		assert_eq!(request().validate(), Ok(()));
		for side in [64, 2048] {
			let request = RenderRequest { width: side, height: side, ..request() };
			assert_eq!(request.validate(), Ok(()));
		}
		for (steps, guidance_scale, images) in [(1, 0.0, 1), (150, 30.0, 8)] {
			let request = RenderRequest { steps, guidance_scale, images, ..request() };
			assert_eq!(request.validate(), Ok(()));
		}
		let request = RenderRequest { prompt: "x".repeat(8192), ..request() };
		assert_eq!(request.validate(), Ok(()));
	}

	#[test]
	fn errors_name_field_value_and_range() {
		assert_eq!(refused(|r| r.width = 0), "width is 0: must be 64 to 2048");
		assert_eq!(refused(|r| r.width = 65_537), "width is 65537: must be 64 to 2048");
		assert_eq!(refused(|r| r.height = 2056), "height is 2056: must be 64 to 2048");
		assert_eq!(refused(|r| r.height = 100), "height is 100: must be a multiple of 8");
		assert_eq!(refused(|r| r.steps = 0), "steps is 0: must be 1 to 150");
		assert_eq!(refused(|r| r.steps = 151), "steps is 151: must be 1 to 150");
		assert_eq!(refused(|r| r.images = 0), "images is 0: must be 1 to 8");
		assert_eq!(refused(|r| r.images = 9), "images is 9: must be 1 to 8");
		assert_eq!(
			refused(|r| r.guidance_scale = f32::NAN),
			"guidance_scale is NaN: must be 0 to 30"
		);
		assert_eq!(refused(|r| r.guidance_scale = -1.0), "guidance_scale is -1: must be 0 to 30");
		assert_eq!(
			refused(|r| r.guidance_scale = f32::INFINITY),
			"guidance_scale is inf: must be 0 to 30"
		);
		assert_eq!(
			refused(|r| r.prompt = "x".repeat(100_000)),
			"prompt is 100000 bytes long: must be at most 8192 bytes"
		);
		assert_eq!(
			refused(|r| r.negative_prompt = "é".repeat(4097)),
			"negative_prompt is 8194 bytes long: must be at most 8192 bytes"
		);
	}

	fn grey(width: u32, height: u32) -> Picture {
		Picture { width, height, rgb: vec![127; (width * height * 3) as usize] }
	}

	#[test]
	fn the_start_has_the_size_of_the_request_and_leaves_a_step() {
		let start = |strength| StartPicture { picture: grey(512, 768), strength };
		for strength in [0.05, 0.6, 1.0] {
			let request = RenderRequest { start: Some(start(strength)), ..request() };
			assert_eq!(request.validate(), Ok(()));
		}
		for strength in [0.0, 0.049, -1.0, 1.01, f64::NAN] {
			assert_eq!(
				refused(|r| r.start = Some(start(strength))),
				format!(
					"strength is {strength}: must be at most 1 and leave one of 20 steps at least"
				)
			);
		}
		assert_eq!(
			refused(|r| r.start = Some(StartPicture { picture: grey(64, 768), strength: 0.5 })),
			"start is 64×768 pixels: must be of the wanted size, 512×768"
		);
		let picture = Picture { rgb: vec![0; 5], ..grey(512, 768) };
		assert_eq!(
			refused(|r| r.start = Some(StartPicture { picture, strength: 0.5 })),
			"start is 5 bytes: must be 1179648, three for each pixel"
		);
	}

	/// As Python computes `int(steps * strength)`.
	#[test]
	fn strength_is_the_share_of_the_steps_that_are_done() {
		for (steps, strength, done) in [(20, 0.6, 12), (20, 0.7, 14), (100, 0.29, 28), (3, 1.0, 3)]
		{
			let start = StartPicture { picture: grey(8, 8), strength };
			assert_eq!(start.steps(steps), done, "{steps} × {strength}");
		}
	}
}
