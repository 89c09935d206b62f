//! DDIM, Song et al. 2021, equation 12 with η = 0 (diffusers' DDIMScheduler).
//!
//! Each step goes to the level of the next timestep that is visited. diffusers always goes
//! `training steps / steps` down, which is the same with `leading` and, where the division is even,
//! with `trailing`; with `linspace` it asks the model at other levels than the sample has.

use super::{
	level::{clean, Level, SAMPLE},
	Method, NoiseSchedule, Plan, Spacing, Start,
};

pub(super) struct Ddim;

impl Method for Ddim {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize, start: Start) -> Plan {
		let options = &schedule.options;
		let end = if options.set_alpha_to_one { 1.0 } else { schedule.signal(0) };
		let levels: Vec<_> = options
			.spacing
			.unwrap_or(Spacing::Leading)
			.down_to_first(schedule.train_steps(), steps, options.steps_offset)
			.into_iter()
			.map(|timestep| timestep.round_ties_even() as usize)
			.map(|timestep| Level::of_signal(timestep as f64, schedule.signal(timestep)))
			.chain([Level::of_signal(0.0, end)])
			.collect();
		let initial = start.sample(1.0, &levels);
		Plan::single(initial, options.prediction, &levels, start.first(), |i| {
			levels[i].toward(&levels[i + 1], SAMPLE, clean(0))
		})
	}
}
