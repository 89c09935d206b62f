//! The samplers: how a picture moves from noise to content.
//!
//! Every method here is, at each step, one linear combination of four latents: the current sample,
//! the clean picture that the model's output implies, the clean picture of the step before, and
//! fresh noise. A [`Method`] therefore only computes coefficients, once, in double precision; the
//! [`denoising`](crate::denoising) loop applies them.

mod ddim;
mod dpmpp_2m;
mod euler;
mod euler_ancestral;
mod noise_schedule;
mod sigma_space;

pub(crate) use noise_schedule::{BetaSchedule, NoiseSchedule, Prediction, Spacing};

use std::{fmt, str::FromStr};

/// A sampling method, by its A1111 name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sampler {
	/// "Euler": first-order, deterministic.
	Euler,
	/// "Euler a": Euler with fresh noise at every step (ancestral).
	EulerAncestral,
	/// "DDIM": deterministic (η = 0).
	Ddim,
	/// "DPM++ 2M": second-order multistep, deterministic.
	DpmPlusPlus2M,
}

impl Sampler {
	/// All methods, in the order in which they are offered to people.
	pub const ALL: [Self; 4] = [Self::Euler, Self::EulerAncestral, Self::Ddim, Self::DpmPlusPlus2M];

	/// The A1111 name.
	pub const fn name(self) -> &'static str {
		match self {
			Self::Euler => "Euler",
			Self::EulerAncestral => "Euler a",
			Self::Ddim => "DDIM",
			Self::DpmPlusPlus2M => "DPM++ 2M",
		}
	}

	fn method(self) -> &'static dyn Method {
		match self {
			Self::Euler => &euler::Euler,
			Self::EulerAncestral => &euler_ancestral::EulerAncestral,
			Self::Ddim => &ddim::Ddim,
			Self::DpmPlusPlus2M => &dpmpp_2m::DpmPlusPlus2M,
		}
	}

	/// The plan of `steps` steps over a model's noise schedule.
	pub(crate) fn plan(self, schedule: &NoiseSchedule, steps: usize) -> Plan {
		self.method().plan(schedule, steps)
	}
}

impl fmt::Display for Sampler {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(self.name())
	}
}

/// A text that names no sampler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown sampler {0:?}: use one of Euler, Euler a, DDIM, DPM++ 2M")]
pub struct UnknownSampler(pub String);

impl FromStr for Sampler {
	type Err = UnknownSampler;

	/// Ignores the case of letters, as A1111's clients do not agree on it.
	fn from_str(text: &str) -> Result<Self, Self::Err> {
		Self::ALL
			.into_iter()
			.find(|sampler| sampler.name().eq_ignore_ascii_case(text.trim()))
			.ok_or_else(|| UnknownSampler(text.to_owned()))
	}
}

/// A sampling method: plans the coefficients of every step.
trait Method {
	/// The plan of `steps` steps, 1 up to the schedule's training steps.
	fn plan(&self, schedule: &NoiseSchedule, steps: usize) -> Plan;
}

/// All the numbers of one denoising run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
	/// The starting sample is unit noise times this.
	pub initial_scale: f64,
	/// The steps, from noisy to clean.
	pub steps: Vec<Step>,
}

/// The numbers of one step, for a sample `x` and the model's output `out`:
///
/// - the model is asked about `model_input · x` at `timestep`;
/// - it implies the clean picture `clean = clean_from_sample · x + clean_from_output · out`;
/// - the next sample is `next_from_sample · x + next_from_clean · clean +
///   next_from_previous_clean · (clean of the step before) + next_from_noise · (unit noise)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
	pub timestep: f64,
	pub model_input: f64,
	pub clean_from_sample: f64,
	pub clean_from_output: f64,
	pub next_from_sample: f64,
	pub next_from_clean: f64,
	pub next_from_previous_clean: f64,
	pub next_from_noise: f64,
}

#[cfg(test)]
mod tests;
