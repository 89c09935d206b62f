//! Euler steps that go below the next noise level and add fresh noise up to it.

use super::{
	sigma_space::{plan, Transition},
	Method, NoiseSchedule, Plan,
};

pub(super) struct EulerAncestral;

impl Method for EulerAncestral {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize) -> Plan {
		plan(schedule, steps, |i, sigmas| {
			let (sigma, next) = (sigmas[i], sigmas[i + 1]);
			let up = next * (1.0 - (next / sigma).powi(2)).sqrt();
			let down = next * next / sigma;
			let keep = down / sigma;
			Transition { sample: keep, clean: 1.0 - keep, previous_clean: 0.0, noise: up }
		})
	}
}
