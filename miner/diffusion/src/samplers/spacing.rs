//! Which of the training timesteps a run of fewer steps visits (Lin et al. 2023, "Common Diffusion
//! Noise Schedules and Sample Steps are Flawed", table 2).

/// The name in a scheduler configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
	/// Both ends included.
	Linspace,
	/// Multiples of the step width from 0, shifted by an offset.
	Leading,
	/// Multiples of the step width back from the last timestep.
	Trailing,
}

impl Spacing {
	/// `steps` timesteps of `train` training timesteps, from noisy to clean, the cleanest of them
	/// visited: fractional with `Linspace`. Asks for `steps` ≤ `train`; all are distinct and within
	/// the schedule.
	pub fn down_to_first(self, train: usize, steps: usize, offset: usize) -> Vec<f64> {
		let last = (train - 1) as f64;
		(0..steps)
			.map(|i| {
				let from_end = (steps - 1 - i) as f64;
				match self {
					// A single step must start from the noisy end.
					Self::Linspace if steps == 1 => last,
					Self::Linspace => last * from_end / (steps - 1) as f64,
					Self::Leading => {
						let width = (train / steps) as f64;
						let room = last - (steps - 1) as f64 * width;
						from_end * width + (offset as f64).min(room)
					},
					Self::Trailing => trailing(train, steps, i),
				}
			})
			.collect()
	}

	/// `steps` whole timesteps of `train`, from noisy to clean, for methods that see timestep 0 as
	/// the end of the run: of `steps + 1` points the last is left out. Asks for `steps` < `train`;
	/// all are distinct and within the schedule.
	pub fn above_first(self, train: usize, steps: usize, offset: usize) -> Vec<f64> {
		let last = (train - 1) as f64;
		(0..steps)
			.map(|i| {
				let from_end = (steps - i) as f64;
				match self {
					Self::Linspace => (last * from_end / steps as f64).round_ties_even(),
					Self::Leading => {
						let width = (train / (steps + 1)) as f64;
						let room = last - steps as f64 * width;
						from_end * width + (offset as f64).min(room)
					},
					Self::Trailing => trailing(train, steps, i),
				}
			})
			.collect()
	}
}

fn trailing(train: usize, steps: usize, i: usize) -> f64 {
	let train = train as f64;
	(train - i as f64 * train / steps as f64).round_ties_even() - 1.0
}
