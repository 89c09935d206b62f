//! DPM-Solver++(2M), Lu et al. 2022, algorithm 2: second-order multistep in the clean picture
//! (diffusers' DPMSolverMultistepScheduler with its defaults, or with `use_karras_sigmas`).

use super::{
	level::{clean, Level, SAMPLE},
	Method, NoiseSchedule, Plan, Spacing, Start,
};

/// Runs of fewer steps end with a step of first order, which is stable.
const STABLE_END_BELOW: usize = 15;

pub(super) struct DpmPlusPlus2M {
	/// Whether the levels are those of Karras et al. rather than the configuration's.
	pub karras: bool,
}

impl Method for DpmPlusPlus2M {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize, start: Start) -> Plan {
		let levels = if self.karras {
			with_end(schedule, schedule.karras(steps))
		} else {
			levels(schedule, steps)
		};
		let (initial, first) = (start.sample(1.0, &levels), start.first());
		Plan::single(initial, schedule.options.prediction, &levels, first, |i| {
			let (from, to) = (&levels[i], &levels[i + 1]);
			// The logarithm has no end at σ = 0.
			let first_order =
				i == first || (i + 1 == steps && (to.noise == 0.0 || steps < STABLE_END_BELOW));
			let picture = if first_order {
				clean(0)
			} else {
				let width = to.log_snr() - from.log_snr();
				let width_before = from.log_snr() - levels[i - 1].log_snr();
				// Extrapolates from the last two clean pictures to the middle of the step.
				let weight = width / (2.0 * width_before);
				clean(0) * (1.0 + weight) + clean(1) * -weight
			};
			from.toward(to, SAMPLE, picture)
		})
	}
}

/// The levels of the DPM-Solver family for the configuration's spacing.
pub(super) fn levels(schedule: &NoiseSchedule, steps: usize) -> Vec<Level> {
	let spacing = schedule.options.spacing.unwrap_or(Spacing::Linspace);
	let visited = spacing
		.above_first(schedule.train_steps(), steps, schedule.options.steps_offset)
		.into_iter()
		.map(|timestep| (timestep, schedule.sigma(timestep)));
	with_end(schedule, visited)
}

fn with_end(schedule: &NoiseSchedule, visited: impl IntoIterator<Item = (f64, f64)>) -> Vec<Level> {
	visited
		.into_iter()
		.chain([(0.0, schedule.final_sigma())])
		.map(|(timestep, sigma)| Level::unit(timestep, sigma))
		.collect()
}
