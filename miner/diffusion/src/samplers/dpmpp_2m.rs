//! DPM-Solver++(2M), Lu et al. 2022: second-order multistep in the clean picture.

use super::{
	sigma_space::{plan, Transition},
	Method, NoiseSchedule, Plan,
};

pub(super) struct DpmPlusPlus2M;

impl Method for DpmPlusPlus2M {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize) -> Plan {
		plan(schedule, steps, |i, sigmas| {
			let keep = sigmas[i + 1] / sigmas[i];
			// Extrapolates from the last two clean pictures; the first step has but one, and the
			// last, to σ = 0 where log-σ has no end, is of first order.
			let extrapolation = if i == 0 || sigmas[i + 1] == 0.0 {
				0.0
			} else {
				let width = (sigmas[i] / sigmas[i + 1]).ln();
				let width_before = (sigmas[i - 1] / sigmas[i]).ln();
				width / (2.0 * width_before)
			};
			Transition {
				sample: keep,
				clean: (1.0 - keep) * (1.0 + extrapolation),
				previous_clean: -(1.0 - keep) * extrapolation,
				noise: 0.0,
			}
		})
	}
}
