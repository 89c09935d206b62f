//! A noise level, and what follows from it whatever the method.
//!
//! A sample at a level is `clean · (clean picture) + noise · (unit noise)`. Two scalings are in
//! use: methods of the k-diffusion family (Euler, Euler a, Heun) let the sample grow with the
//! noise (`clean` = 1, `noise` = σ), the others keep its power at 1 (`clean` = √ᾱ, `noise` =
//! √(1 − ᾱ)). In both, σ is `noise / clean`.

use super::{Combination, Prediction};

/// One level of a run: where the model is asked, and how the sample is made up there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
	/// The timestep that the model is told.
	pub timestep: f64,
	/// The weight of the clean picture in the sample.
	pub clean: f64,
	/// The weight of unit noise in the sample.
	pub noise: f64,
}

impl Level {
	/// A level at which the sample grows with the noise.
	pub fn growing(timestep: f64, sigma: f64) -> Self {
		Self { timestep, clean: 1.0, noise: sigma }
	}

	/// A level of noise-to-signal ratio `sigma` at which the sample has unit power.
	pub fn unit(timestep: f64, sigma: f64) -> Self {
		let clean = 1.0 / (1.0 + sigma * sigma).sqrt();
		Self { timestep, clean, noise: sigma * clean }
	}

	/// A level of signal share `signal` (ᾱ, 0 to 1) at which the sample has unit power.
	pub fn of_signal(timestep: f64, signal: f64) -> Self {
		Self { timestep, clean: signal.sqrt(), noise: (1.0 - signal).sqrt() }
	}

	/// The logarithm of the signal-to-noise ratio (λ in the papers of DPM-Solver and UniPC).
	pub fn log_snr(&self) -> f64 {
		(self.clean / self.noise).ln()
	}

	/// The model is trained on samples of unit power.
	pub fn model_input(&self) -> f64 {
		1.0 / self.clean.hypot(self.noise)
	}

	/// The clean picture as weights of the sample and of the model's output.
	pub fn clean_weights(&self, prediction: Prediction) -> (f64, f64) {
		let scale = self.model_input();
		match prediction {
			Prediction::Epsilon => (1.0 / self.clean, -self.noise / self.clean),
			// Of unit power, the sample and the velocity are at right angles.
			Prediction::Velocity => (self.clean * scale * scale, -self.noise * scale),
			Prediction::Sample => (0.0, 1.0),
		}
	}

	/// Moves a sample from this level to another in the direction of a clean picture, given as
	/// weights: the noise in the sample is scaled down, the picture takes its place. It is the
	/// first-order step of every method here, and exact if the picture is right.
	pub fn toward(&self, to: &Self, sample: Combination, clean: Combination) -> Combination {
		let keep = to.noise / self.noise;
		sample * keep + clean * (to.clean - keep * self.clean)
	}
}

/// The sample that the model was asked about.
pub(super) const SAMPLE: Combination =
	Combination { sample: 1.0, kept: 0.0, clean: [0.0; 3], noise: 0.0 };

/// The kept sample.
pub(super) const KEPT: Combination =
	Combination { sample: 0.0, kept: 1.0, clean: [0.0; 3], noise: 0.0 };

/// Unit noise.
pub(super) const NOISE: Combination =
	Combination { sample: 0.0, kept: 0.0, clean: [0.0; 3], noise: 1.0 };

/// The clean picture of this evaluation (0), or of one or two before.
pub(super) fn clean(age: usize) -> Combination {
	let mut weights = Combination::default();
	weights.clean[age] = 1.0;
	weights
}
