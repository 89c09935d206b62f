//! Euler's method on the probability-flow equation (Karras et al. 2022, algorithm 2 without churn;
//! diffusers' EulerDiscreteScheduler).

use super::{
	level::{clean, Level, SAMPLE},
	Method, NoiseSchedule, Plan, Spacing, Start,
};

pub(super) struct Euler;

impl Method for Euler {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize, start: Start) -> Plan {
		let (initial_scale, levels) = levels(schedule, steps, schedule.final_sigma());
		let initial = start.sample(initial_scale, &levels);
		Plan::single(initial, schedule.options.prediction, &levels, start.first(), |i| {
			levels[i].toward(&levels[i + 1], SAMPLE, clean(0))
		})
	}
}

/// The scale of the starting noise and the levels of the k-diffusion family, the last one at
/// `final_sigma`.
pub(super) fn levels(
	schedule: &NoiseSchedule,
	steps: usize,
	final_sigma: f64,
) -> (f64, Vec<Level>) {
	let spacing = schedule.options.spacing.unwrap_or(Spacing::Linspace);
	let levels: Vec<_> = spacing
		.down_to_first(schedule.train_steps(), steps, schedule.options.steps_offset)
		.into_iter()
		.map(|timestep| Level::growing(timestep, schedule.sigma(timestep)))
		.chain([Level::growing(0.0, final_sigma)])
		.collect();
	let largest = levels[0].noise;
	// `leading` starts below the noisiest timestep, where the signal still has its unit power.
	let initial_scale = match spacing {
		Spacing::Linspace | Spacing::Trailing => largest,
		Spacing::Leading => largest.hypot(1.0),
	};
	(initial_scale, levels)
}
