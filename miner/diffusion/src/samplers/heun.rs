//! Heun's method on the probability-flow equation (Karras et al. 2022, algorithm 1 without churn;
//! diffusers' HeunDiscreteScheduler): an Euler step, a second look at where it ended, and the step
//! again with the mean of both slopes. Twice the work of Euler, but for the last step.

use super::{
	euler::levels,
	level::{clean, Level, KEPT, SAMPLE},
	Combination, Evaluation, Method, NoiseSchedule, Plan, Start,
};

pub(super) struct Heun;

impl Method for Heun {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize, start: Start) -> Plan {
		let prediction = schedule.options.prediction;
		let (initial_scale, levels) = levels(schedule, steps, 0.0);
		let steps = levels[start.first()..]
			.windows(2)
			.map(|pair| {
				let (from, to) = (&pair[0], &pair[1]);
				let euler = from.toward(to, SAMPLE, clean(0));
				let mut evaluations = vec![Evaluation::at(from, prediction, euler)];
				// At σ = 0 the slope is not defined.
				if to.noise > 0.0 {
					evaluations[0].keep = Some(SAMPLE);
					let width = to.noise - from.noise;
					let mean = slope(from, KEPT, clean(1)) + slope(to, SAMPLE, clean(0));
					let next = KEPT + mean * (width / 2.0);
					evaluations.push(Evaluation::at(to, prediction, next));
				}
				evaluations
			})
			.collect();
		Plan { initial: start.sample(initial_scale, &levels), steps }
	}
}

/// The change of a sample with σ: its unit noise.
fn slope(level: &Level, sample: Combination, clean: Combination) -> Combination {
	(sample + clean * -1.0) * (1.0 / level.noise)
}
