//! What the samplers of the k-diffusion family (Euler, Euler a, DPM++) have in common: the sample
//! is `clean + σ · noise`, so its size grows with `σ`, and the model sees it scaled back.

use super::{NoiseSchedule, Plan, Prediction, Spacing, Step};

/// How much of each a step to a lower noise level takes into the next sample.
pub(super) struct Transition {
	pub sample: f64,
	pub clean: f64,
	pub previous_clean: f64,
	pub noise: f64,
}

/// Plans a run whose transitions are given by `transition(i, sigmas)`, from `sigmas[i]` to
/// `sigmas[i + 1]`. The last sigma is 0.
pub(super) fn plan(
	schedule: &NoiseSchedule,
	steps: usize,
	transition: impl Fn(usize, &[f64]) -> Transition,
) -> Plan {
	let spacing = schedule.spacing.unwrap_or(Spacing::Linspace);
	let timesteps = schedule.timesteps(steps, spacing);
	let mut sigmas: Vec<_> = timesteps.iter().map(|&t| schedule.sigma(t)).collect();
	let largest = sigmas[0];
	sigmas.push(0.0);

	let steps = timesteps
		.iter()
		.enumerate()
		.map(|(i, &timestep)| {
			let sigma = sigmas[i];
			let shrink = 1.0 / (1.0 + sigma * sigma).sqrt();
			let (clean_from_sample, clean_from_output) = match schedule.prediction {
				Prediction::Epsilon => (1.0, -sigma),
				Prediction::Velocity => (shrink * shrink, -sigma * shrink),
				Prediction::Sample => (0.0, 1.0),
			};
			let next = transition(i, &sigmas);
			Step {
				timestep,
				model_input: shrink,
				clean_from_sample,
				clean_from_output,
				next_from_sample: next.sample,
				next_from_clean: next.clean,
				next_from_previous_clean: next.previous_clean,
				next_from_noise: next.noise,
			}
		})
		.collect();

	// `leading` starts below the noisiest timestep, where the signal still has its unit power.
	let initial_scale = match spacing {
		Spacing::Linspace | Spacing::Trailing => largest,
		Spacing::Leading => (largest * largest + 1.0).sqrt(),
	};
	Plan { initial_scale, steps }
}
