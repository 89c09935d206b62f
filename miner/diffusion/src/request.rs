//! What to render.

use crate::{RequestError, Sampler};

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
		Ok(())
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
}
