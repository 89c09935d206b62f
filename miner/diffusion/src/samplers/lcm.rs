//! Multistep consistency sampling for latent consistency models (Luo et al. 2023, algorithm 3;
//! diffusers' LCMScheduler): each answer is taken for the clean picture, and fresh noise brings it
//! to the next level.

use super::{
	level::{clean, Level, NOISE, SAMPLE},
	Method, NoiseSchedule, Plan, Start,
};

/// The standard deviation of the data in the boundary condition.
const DATA_DEVIATION: f64 = 0.5;

pub(super) struct Lcm;

impl Method for Lcm {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize, start: Start) -> Plan {
		let levels: Vec<_> = timesteps(schedule, steps)
			.into_iter()
			.map(|timestep| Level::of_signal(timestep as f64, schedule.signal(timestep)))
			.chain([Level::of_signal(0.0, 1.0)])
			.collect();
		let initial = start.sample(1.0, &levels);
		Plan::single(initial, schedule.options.prediction, &levels, start.first(), |i| {
			// At timestep 0 the answer must be the sample itself (equation 9).
			let scaled = levels[i].timestep * schedule.options.timestep_scaling;
			let skip = DATA_DEVIATION.powi(2) / (scaled.powi(2) + DATA_DEVIATION.powi(2));
			let out = scaled / scaled.hypot(DATA_DEVIATION);
			let answer = SAMPLE * skip + clean(0) * out;
			let next = &levels[i + 1];
			answer * next.clean + NOISE * next.noise
		})
	}
}

/// The timesteps of a run: some of those that the model was distilled on, evenly by their index.
/// A run of more steps than those visits as many in between.
fn timesteps(schedule: &NoiseSchedule, steps: usize) -> Vec<usize> {
	let distilled = schedule.options.distilled_steps.clamp(steps, schedule.train_steps());
	let width = schedule.train_steps() / distilled;
	(0..steps).map(|i| (distilled - i * distilled / steps) * width - 1).collect()
}
