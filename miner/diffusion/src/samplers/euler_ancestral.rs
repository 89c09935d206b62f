//! Euler steps that go below the next noise level and add fresh noise up to it (k-diffusion's
//! `sample_euler_ancestral`; diffusers' EulerAncestralDiscreteScheduler).

use super::{
	euler::levels,
	level::{clean, Level, NOISE, SAMPLE},
	Method, NoiseSchedule, Plan, Start,
};

pub(super) struct EulerAncestral;

impl Method for EulerAncestral {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize, start: Start) -> Plan {
		let (initial_scale, levels) = levels(schedule, steps, 0.0);
		let initial = start.sample(initial_scale, &levels);
		Plan::single(initial, schedule.options.prediction, &levels, start.first(), |i| {
			let (sigma, next) = (levels[i].noise, levels[i + 1].noise);
			// Down and up together have the variance of the next level.
			let down = Level::growing(0.0, next * next / sigma);
			let up = next * (1.0 - (next / sigma).powi(2)).sqrt();
			levels[i].toward(&down, SAMPLE, clean(0)) + NOISE * up
		})
	}
}
