//! Where a picture is denoised: from noise, step by step, to latents that can be decoded.
//!
//! The samples stay on the CPU between the steps: they are small, the arithmetic is the same on
//! every device, and one look at them finds a model that computes nonsense.

mod guidance;
mod noise;

pub(crate) use guidance::guide;
pub(crate) use noise::{standard_normal, Noise, PictureNoise};

use crate::{
	samplers::{Combination, Evaluation, InitialSample, Plan, REMEMBERED},
	RenderError,
};
use std::ops::ControlFlow;

/// The model's output for a sample at a timestep.
pub(crate) type Predict<'a> = dyn FnMut(&[f32], f64) -> Result<Vec<f32>, RenderError> + 'a;

/// What is told after each step: its number from 1, and the sample then. It may stop the run.
pub(crate) type OnStep<'a> = dyn FnMut(usize, &[f32]) -> ControlFlow<()> + 'a;

/// Runs `plan` for `len` latents, of one picture or of several one after the other. `picture` are the
/// latents of what the plan starts from, empty where that is noise alone.
pub(crate) fn denoise(
	plan: &Plan,
	noise: &dyn Noise,
	picture: &[f32],
	len: usize,
	predict: &mut Predict,
	on_step: &mut OnStep,
) -> Result<Vec<f32>, RenderError> {
	let InitialSample { picture: share, noise: scale } = plan.initial;
	let mut start: Vec<_> = noise.start(len).into_iter().map(|unit| unit * scale as f32).collect();
	for (sample, &clean) in start.iter_mut().zip(picture) {
		*sample += clean * share as f32;
	}
	let mut state = State::new(start);
	for (i, step) in plan.steps.iter().enumerate() {
		for evaluation in step {
			let scale = evaluation.model_input as f32;
			let input: Vec<_> = state.sample.iter().map(|&x| x * scale).collect();
			let output = predict(&input, evaluation.timestep)?;
			if let Some(bad) = output.iter().find(|value| !value.is_finite()) {
				return Err(RenderError::NotFinite(format!("{bad} in step {}", i + 1)));
			}
			let fresh = if evaluation.next.noise == 0.0 { Vec::new() } else { noise.step(i, len) };
			state.advance(evaluation, &output, &fresh);
		}
		if on_step(i + 1, &state.sample).is_break() {
			return Err(RenderError::Cancelled);
		}
	}
	Ok(state.sample)
}

/// What a run carries from one evaluation to the next.
struct State {
	sample: Vec<f32>,
	kept: Vec<f32>,
	/// The clean pictures that the last evaluations implied, newest first.
	clean: [Vec<f32>; REMEMBERED],
}

impl State {
	fn new(sample: Vec<f32>) -> Self {
		let zeros = vec![0.0; sample.len()];
		Self { kept: zeros.clone(), clean: std::array::from_fn(|_| zeros.clone()), sample }
	}

	/// Takes the model's output into account. `fresh` is unit noise, empty where none is asked for.
	fn advance(&mut self, evaluation: &Evaluation, output: &[f32], fresh: &[f32]) {
		self.clean.rotate_right(1);
		for (i, &out) in output.iter().enumerate() {
			self.clean[0][i] = (evaluation.clean_from_sample * f64::from(self.sample[i])
				+ evaluation.clean_from_output * f64::from(out)) as f32;
			let next = self.combine(&evaluation.next, i, fresh);
			if let Some(keep) = &evaluation.keep {
				self.kept[i] = self.combine(keep, i, fresh);
			}
			self.sample[i] = next;
		}
	}

	/// The weighted sum at latent `i`. What has no weight is left out, so that it may be anything.
	fn combine(&self, weights: &Combination, i: usize, fresh: &[f32]) -> f32 {
		let weighted = |weight: f64, values: &[f32]| {
			if weight == 0.0 {
				0.0
			} else {
				weight * f64::from(values[i])
			}
		};
		let clean: f64 =
			weights.clean.iter().zip(&self.clean).map(|(&w, picture)| weighted(w, picture)).sum();
		(weighted(weights.sample, &self.sample)
			+ weighted(weights.kept, &self.kept)
			+ clean + weighted(weights.noise, fresh)) as f32
	}
}

#[cfg(test)]
mod tests;
