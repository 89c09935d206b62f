//! How much noise a model was trained to see at which timestep (`scheduler_config.json`).
//!
//! Notation: `ᾱ(t)` is the share of signal power left at timestep `t` (diffusers'
//! `alphas_cumprod`), and `σ(t) = √((1 − ᾱ) / ᾱ)` the noise-to-signal ratio.

use std::f64::consts::FRAC_PI_2;

/// How the noise grows over the training steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum BetaSchedule {
	/// `linear`: β between the two ends, evenly.
	Linear { start: f64, end: f64 },
	/// `scaled_linear`: √β between the roots of the two ends, evenly.
	ScaledLinear { start: f64, end: f64 },
	/// `squaredcos_cap_v2`: ᾱ follows a squared cosine, β at most 0.999.
	SquaredCosine,
}

impl BetaSchedule {
	fn betas(self, steps: usize) -> Vec<f64> {
		let even = |start: f64, end: f64, i: usize| {
			start + (end - start) * i as f64 / (steps.max(2) - 1) as f64
		};
		let signal = |share: f64| ((share + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
		(0..steps)
			.map(|i| match self {
				Self::Linear { start, end } => even(start, end, i),
				Self::ScaledLinear { start, end } => even(start.sqrt(), end.sqrt(), i).powi(2),
				Self::SquaredCosine => {
					let (from, to) = (i as f64 / steps as f64, (i + 1) as f64 / steps as f64);
					(1.0 - signal(to) / signal(from)).min(0.999)
				},
			})
			.collect()
	}
}

/// What the model's output means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prediction {
	/// `epsilon`: the noise.
	Epsilon,
	/// `v_prediction`: `√ᾱ · noise − √(1 − ᾱ) · clean`.
	Velocity,
	/// `sample`: the clean picture.
	Sample,
}

/// Which of the training timesteps a run of fewer steps visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
	/// Both ends included; fractional in between.
	Linspace,
	/// Multiples of the step width from 0, shifted by `steps_offset`.
	Leading,
	/// Multiples of the step width back from the last timestep.
	Trailing,
}

/// A model's noise schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NoiseSchedule {
	/// `ᾱ` at each training timestep.
	signal: Vec<f64>,
	pub prediction: Prediction,
	/// `None` where the configuration is silent: each sampler has its own habit then.
	pub spacing: Option<Spacing>,
	pub steps_offset: usize,
	/// Whether DDIM's last step goes to a signal share of 1 rather than to that of timestep 0.
	pub set_alpha_to_one: bool,
}

impl NoiseSchedule {
	/// A schedule of `train_steps` ≥ 1 training timesteps; no run may have more steps than that.
	pub fn new(
		betas: BetaSchedule,
		train_steps: usize,
		prediction: Prediction,
		spacing: Option<Spacing>,
		steps_offset: usize,
		set_alpha_to_one: bool,
	) -> Self {
		let signal = betas
			.betas(train_steps)
			.into_iter()
			.scan(1.0, |product, beta| {
				*product *= 1.0 - beta;
				Some(*product)
			})
			.collect();
		Self { signal, prediction, spacing, steps_offset, set_alpha_to_one }
	}

	/// The timesteps of a run, from noisy to clean: distinct, and within the schedule.
	pub fn timesteps(&self, steps: usize, spacing: Spacing) -> Vec<f64> {
		let last = (self.signal.len() - 1) as f64;
		let train_steps = self.signal.len() as f64;
		(0..steps)
			.map(|i| {
				let from_end = (steps - 1 - i) as f64;
				match spacing {
					// A single step must start from the noisy end.
					Spacing::Linspace if steps == 1 => last,
					Spacing::Linspace => last * from_end / (steps - 1) as f64,
					Spacing::Leading => {
						let width = (self.signal.len() / steps) as f64;
						let room = last - (steps - 1) as f64 * width;
						from_end * width + (self.steps_offset as f64).min(room)
					},
					Spacing::Trailing => {
						(train_steps - i as f64 * train_steps / steps as f64).round_ties_even()
							- 1.0
					},
				}
			})
			.collect()
	}

	/// `σ` at the noisiest timestep.
	pub fn largest_sigma(&self) -> f64 {
		self.sigma((self.signal.len() - 1) as f64)
	}

	/// `σ` at a timestep, linear between the training timesteps.
	pub fn sigma(&self, timestep: f64) -> f64 {
		let at = |i: usize| {
			let signal = self.signal[i];
			((1.0 - signal) / signal).sqrt()
		};
		let below = timestep.floor() as usize;
		let part = timestep - timestep.floor();
		if part == 0.0 {
			at(below)
		} else {
			at(below) * (1.0 - part) + at(below + 1) * part
		}
	}

	/// `ᾱ` at a whole timestep.
	pub fn signal(&self, timestep: usize) -> f64 {
		self.signal[timestep]
	}
}
