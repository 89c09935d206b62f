//! How much noise a model was trained to see at which timestep (`scheduler_config.json`).
//!
//! Notation: `ᾱ(t)` is the share of signal power left at timestep `t` (diffusers'
//! `alphas_cumprod`), and `σ(t) = √((1 − ᾱ) / ᾱ)` the noise-to-signal ratio.

use super::Spacing;
use std::f64::consts::FRAC_PI_2;

/// The signal share that stands for none where σ must be finite: 2⁻²⁴, as in diffusers.
const LEAST_SIGNAL: f64 = 1.0 / 16_777_216.0;
/// Karras et al. 2022, equation 5: how strongly the levels crowd at the clean end.
const KARRAS_RHO: f64 = 7.0;

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
	/// `v_prediction`: `√ᾱ · noise − √(1 − ᾱ) · clean` (Salimans and Ho 2022).
	Velocity,
	/// `sample`: the clean picture.
	Sample,
}

/// Where the methods that take their levels as σ end (`final_sigmas_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FinalSigma {
	/// `zero`: at the clean picture.
	Zero,
	/// `sigma_min`: at the noise of timestep 0.
	Smallest,
}

/// What a scheduler configuration says besides the noise itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScheduleOptions {
	pub prediction: Prediction,
	/// `None` where the configuration is silent: each sampler has its own habit then.
	pub spacing: Option<Spacing>,
	/// Added to the timesteps of [`Spacing::Leading`], as far as there is room.
	pub steps_offset: usize,
	/// Whether DDIM's last step goes to a signal share of 1 rather than to that of timestep 0.
	pub set_alpha_to_one: bool,
	pub final_sigma: FinalSigma,
	/// Timesteps that LCM was distilled on, of which a run visits some.
	pub distilled_steps: usize,
	/// LCM's `timestep_scaling`: how quickly its answer replaces the sample as noise grows.
	pub timestep_scaling: f64,
}

impl Default for ScheduleOptions {
	/// diffusers' defaults.
	fn default() -> Self {
		Self {
			prediction: Prediction::Epsilon,
			spacing: None,
			steps_offset: 0,
			set_alpha_to_one: true,
			final_sigma: FinalSigma::Zero,
			distilled_steps: 50,
			timestep_scaling: 10.0,
		}
	}
}

/// A model's noise schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NoiseSchedule {
	/// `ᾱ` at each training timestep.
	signal: Vec<f64>,
	pub options: ScheduleOptions,
}

impl NoiseSchedule {
	/// A schedule of `train_steps` ≥ 2 training timesteps; runs have fewer steps than that.
	pub fn new(betas: BetaSchedule, train_steps: usize, options: ScheduleOptions) -> Self {
		let signal = betas
			.betas(train_steps)
			.into_iter()
			.scan(1.0, |product, beta| {
				*product *= 1.0 - beta;
				Some(*product)
			})
			.collect();
		Self { signal, options }
	}

	/// `rescale_betas_zero_snr`: shifts and scales √ᾱ so that the last timestep has no signal at
	/// all and the first is as before (Lin et al. 2023, algorithm 1).
	pub fn without_terminal_signal(mut self) -> Self {
		let first = self.signal[0].sqrt();
		let last = self.signal[self.signal.len() - 1].sqrt();
		for signal in &mut self.signal {
			*signal = ((signal.sqrt() - last) * first / (first - last)).powi(2);
		}
		self
	}

	/// Number of training timesteps.
	pub fn train_steps(&self) -> usize {
		self.signal.len()
	}

	/// The last, noisiest timestep.
	pub fn last(&self) -> usize {
		self.signal.len() - 1
	}

	/// `ᾱ` at a whole timestep.
	pub fn signal(&self, timestep: usize) -> f64 {
		self.signal[timestep]
	}

	/// `σ` at a timestep, linear between the training timesteps; large but finite where there is
	/// no signal.
	pub fn sigma(&self, timestep: f64) -> f64 {
		let below = timestep.floor() as usize;
		let part = timestep - timestep.floor();
		if part == 0.0 {
			self.sigma_at(below)
		} else {
			self.sigma_at(below) * (1.0 - part) + self.sigma_at(below + 1) * part
		}
	}

	fn sigma_at(&self, timestep: usize) -> f64 {
		let signal = match self.signal[timestep] {
			0.0 => LEAST_SIGNAL,
			signal => signal,
		};
		((1.0 - signal) / signal).sqrt()
	}

	/// `σ` at which runs end that go by σ.
	pub fn final_sigma(&self) -> f64 {
		match self.options.final_sigma {
			FinalSigma::Zero => 0.0,
			FinalSigma::Smallest => self.sigma_at(0),
		}
	}

	/// `steps` levels from the largest σ to the smallest, even in the ρ-th root (Karras et al.
	/// 2022, equation 5), with the whole timesteps that come closest: (timestep, σ).
	pub fn karras(&self, steps: usize) -> Vec<(f64, f64)> {
		let root = |timestep| self.sigma_at(timestep).powf(1.0 / KARRAS_RHO);
		let (from, to) = (root(self.last()), root(0));
		(0..steps)
			.map(|i| {
				let share = i as f64 / (steps.max(2) - 1) as f64;
				let sigma = (from + share * (to - from)).powf(KARRAS_RHO);
				(self.timestep_of(sigma).round_ties_even(), sigma)
			})
			.collect()
	}

	/// The timestep with a given σ, by the logarithm of σ between the training timesteps.
	fn timestep_of(&self, sigma: f64) -> f64 {
		let mut low = 0;
		let mut high = self.last();
		while high - low > 1 {
			let middle = usize::midpoint(low, high);
			if self.sigma_at(middle) <= sigma {
				low = middle;
			} else {
				high = middle;
			}
		}
		let (below, above) = (self.sigma_at(low).ln(), self.sigma_at(high).ln());
		low as f64 + ((sigma.ln() - below) / (above - below)).clamp(0.0, 1.0)
	}
}
