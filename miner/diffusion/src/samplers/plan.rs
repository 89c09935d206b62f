//! What a sampling method plans: all the numbers of a run.

use super::{level::Level, Prediction};
use std::ops::{Add, Mul};

/// What a run starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
	/// Noise alone, at the first step.
	Noise,
	/// A picture under noise, at the step after those that are left out.
	Picture { left_out: usize },
}

impl Start {
	/// The number of the first step, from 0.
	pub(super) fn first(self) -> usize {
		match self {
			Self::Noise => 0,
			Self::Picture { left_out } => left_out,
		}
	}

	/// The sample that a run over `levels` starts from; noise alone has the given scale.
	pub(super) fn sample(self, scale: f64, levels: &[Level]) -> InitialSample {
		match self {
			Self::Noise => InitialSample { picture: 0.0, noise: scale },
			Self::Picture { left_out } => {
				let Level { clean, noise, .. } = levels[left_out];
				InitialSample { picture: clean, noise }
			},
		}
	}
}

/// The weights of the sample that a run starts from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct InitialSample {
	/// Of the latents of a picture.
	pub picture: f64,
	/// Of unit noise.
	pub noise: f64,
}

/// All the numbers of one denoising run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
	pub initial: InitialSample,
	/// The steps, from noisy to clean; each has one evaluation of the model or two.
	pub steps: Vec<Vec<Evaluation>>,
}

impl Plan {
	/// A plan of one evaluation a step: at `levels[i]`, after which `next(i)` is the sample at
	/// `levels[i + 1]`.
	pub(super) fn single(
		initial: InitialSample,
		prediction: Prediction,
		levels: &[Level],
		first: usize,
		next: impl Fn(usize) -> Combination,
	) -> Self {
		let steps = (first..levels.len() - 1)
			.map(|i| vec![Evaluation::at(&levels[i], prediction, next(i))])
			.collect();
		Self { initial, steps }
	}
}

/// One question to the model and what becomes of the answer, for a sample `x` and the model's
/// output `out`:
///
/// - the model is asked about `model_input · x` at `timestep`;
/// - it implies the clean picture `clean_from_sample · x + clean_from_output · out`, which becomes
///   the newest of the remembered ones;
/// - the next sample and, if it changes, the kept one are weighted sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Evaluation {
	pub timestep: f64,
	pub model_input: f64,
	pub clean_from_sample: f64,
	pub clean_from_output: f64,
	pub next: Combination,
	/// What is kept for later evaluations; `None` leaves what was kept before.
	pub keep: Option<Combination>,
}

impl Evaluation {
	/// The question at a noise level.
	pub(super) fn at(level: &Level, prediction: Prediction, next: Combination) -> Self {
		let (clean_from_sample, clean_from_output) = level.clean_weights(prediction);
		Self {
			timestep: level.timestep,
			model_input: level.model_input(),
			clean_from_sample,
			clean_from_output,
			next,
			keep: None,
		}
	}
}

/// The clean pictures that are remembered: that of this evaluation and of the two before.
pub(crate) const REMEMBERED: usize = 3;

/// The weights of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Combination {
	/// Of the sample that the model was asked about.
	pub sample: f64,
	/// Of the kept sample.
	pub kept: f64,
	/// Of the clean pictures, newest first.
	pub clean: [f64; REMEMBERED],
	/// Of fresh unit noise.
	pub noise: f64,
}

impl Add for Combination {
	type Output = Self;

	fn add(self, other: Self) -> Self {
		Self {
			sample: self.sample + other.sample,
			kept: self.kept + other.kept,
			clean: std::array::from_fn(|i| self.clean[i] + other.clean[i]),
			noise: self.noise + other.noise,
		}
	}
}

impl Mul<f64> for Combination {
	type Output = Self;

	fn mul(self, factor: f64) -> Self {
		Self {
			sample: self.sample * factor,
			kept: self.kept * factor,
			clean: self.clean.map(|weight| weight * factor),
			noise: self.noise * factor,
		}
	}
}
