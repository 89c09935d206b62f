//! Euler's method on the probability-flow equation (Karras et al. 2022, algorithm 2 without churn).

use super::{
	sigma_space::{plan, Transition},
	Method, NoiseSchedule, Plan,
};

pub(super) struct Euler;

impl Method for Euler {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize) -> Plan {
		plan(schedule, steps, |i, sigmas| {
			// The slope is (x − clean) / σ, followed for σ' − σ.
			let keep = sigmas[i + 1] / sigmas[i];
			Transition { sample: keep, clean: 1.0 - keep, previous_clean: 0.0, noise: 0.0 }
		})
	}
}
