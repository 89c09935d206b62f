//! DDIM, Song et al. 2021, with η = 0: the sample keeps unit power, `√ᾱ · clean + √(1 − ᾱ) · noise`.

use super::{Method, NoiseSchedule, Plan, Prediction, Spacing, Step};

pub(super) struct Ddim;

impl Method for Ddim {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize) -> Plan {
		let timesteps: Vec<_> = schedule
			.timesteps(steps, schedule.spacing.unwrap_or(Spacing::Leading))
			.into_iter()
			.map(|timestep| timestep.round_ties_even() as usize)
			.collect();
		let end = if schedule.set_alpha_to_one { 1.0 } else { schedule.signal(0) };
		let steps = timesteps
			.iter()
			.enumerate()
			.map(|(i, &timestep)| {
				let signal = schedule.signal(timestep);
				let next = timesteps.get(i + 1).map_or(end, |&next| schedule.signal(next));
				let (clean_part, noise_part) = (signal.sqrt(), (1.0 - signal).sqrt());
				let (next_clean_part, next_noise_part) = (next.sqrt(), (1.0 - next).sqrt());
				let (clean_from_sample, clean_from_output) = match schedule.prediction {
					Prediction::Epsilon => (1.0 / clean_part, -noise_part / clean_part),
					Prediction::Velocity => (clean_part, -noise_part),
					Prediction::Sample => (0.0, 1.0),
				};
				// The noise in the sample is (x − √ᾱ · clean) / √(1 − ᾱ).
				let keep = next_noise_part / noise_part;
				Step {
					timestep: timestep as f64,
					model_input: 1.0,
					clean_from_sample,
					clean_from_output,
					next_from_sample: keep,
					next_from_clean: next_clean_part - keep * clean_part,
					next_from_previous_clean: 0.0,
					next_from_noise: 0.0,
				}
			})
			.collect();
		Plan { initial_scale: 1.0, steps }
	}
}
