//! Where a picture is denoised: from noise, step by step, to latents that can be decoded.
//!
//! The samples stay on the CPU between the steps: they are small, the arithmetic is the same on
//! every device, and one look at them finds a model that computes nonsense.

mod guidance;
mod noise;

pub(crate) use guidance::guide;
pub(crate) use noise::{standard_normal, PictureNoise};

use crate::{
	samplers::{Plan, Step},
	RenderError,
};
use std::ops::ControlFlow;

/// The model's output for a sample at a timestep.
pub(crate) type Predict<'a> = dyn FnMut(&[f32], f64) -> Result<Vec<f32>, RenderError> + 'a;

/// Runs `plan` for one picture of `len` latents. `on_step(done)` is told after each step and may
/// stop the run.
pub(crate) fn denoise(
	plan: &Plan,
	noise: &PictureNoise,
	len: usize,
	predict: &mut Predict,
	on_step: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<f32>, RenderError> {
	let scale = plan.initial_scale as f32;
	let mut sample: Vec<_> = noise.start(len).into_iter().map(|unit| unit * scale).collect();
	let mut previous_clean = vec![0.0; len];
	for (i, step) in plan.steps.iter().enumerate() {
		let input: Vec<_> = sample.iter().map(|&x| x * step.model_input as f32).collect();
		let output = predict(&input, step.timestep)?;
		if let Some(bad) = output.iter().find(|value| !value.is_finite()) {
			return Err(RenderError::NotFinite(format!("{bad} in step {}", i + 1)));
		}
		let fresh = if step.next_from_noise == 0.0 { Vec::new() } else { noise.step(i, len) };
		advance(step, &mut sample, &output, &mut previous_clean, &fresh);
		if on_step(i + 1).is_break() {
			return Err(RenderError::Cancelled);
		}
	}
	Ok(sample)
}

/// Applies one step to the sample and leaves its clean picture in `previous_clean`. `fresh` may be
/// empty where the step takes no noise.
fn advance(
	step: &Step,
	sample: &mut [f32],
	output: &[f32],
	previous_clean: &mut [f32],
	fresh: &[f32],
) {
	for (i, ((x, out), previous)) in
		sample.iter_mut().zip(output).zip(previous_clean.iter_mut()).enumerate()
	{
		let (x64, out) = (f64::from(*x), f64::from(*out));
		let clean = step.clean_from_sample * x64 + step.clean_from_output * out;
		let next = step.next_from_sample * x64
			+ step.next_from_clean * clean
			+ step.next_from_previous_clean * f64::from(*previous)
			+ step.next_from_noise * fresh.get(i).copied().map_or(0.0, f64::from);
		*previous = clean as f32;
		*x = next as f32;
	}
}

#[cfg(test)]
mod tests;
