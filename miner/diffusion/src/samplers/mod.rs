//! The samplers: how a picture moves from noise to content.
//!
//! Every method here asks the model once or twice a step, and what it does with an answer is
//! linear: the next sample is a weighted sum of the current one, of the clean pictures that the
//! model's last outputs imply, of a sample kept from before, and of fresh noise. A [`Method`]
//! therefore only computes weights, once, in double precision; the
//! [`denoising`](crate::denoising) loop applies them.
//!
//! Each follows the scheduler of diffusers that computes the same, in its timesteps and in its
//! samples after every step; `docs/decisions/0006-diffusion.md` has the measured differences.

mod ddim;
mod dpmpp_2m;
mod euler;
mod euler_ancestral;
mod heun;
mod lcm;
mod level;
mod noise_schedule;
mod plan;
mod spacing;
mod unipc;

pub(crate) use noise_schedule::{
	BetaSchedule, FinalSigma, NoiseSchedule, Prediction, ScheduleOptions,
};
pub(crate) use plan::{Combination, Evaluation, InitialSample, Plan, Start, REMEMBERED};
pub(crate) use spacing::Spacing;

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
	/// "DPM++ 2M Karras": the same on the noise levels of Karras et al.
	DpmPlusPlus2MKarras,
	/// "UniPC": second-order predictor and corrector, deterministic.
	UniPc,
	/// "LCM": for models distilled to answer in a few steps; fresh noise between them.
	Lcm,
	/// "Heun": second-order, deterministic; asks the model twice a step.
	Heun,
}

impl Sampler {
	/// All methods, in the order in which they are offered to people.
	pub const ALL: [Self; 8] = [
		Self::Euler,
		Self::EulerAncestral,
		Self::Ddim,
		Self::DpmPlusPlus2M,
		Self::DpmPlusPlus2MKarras,
		Self::UniPc,
		Self::Lcm,
		Self::Heun,
	];

	/// The A1111 name.
	pub const fn name(self) -> &'static str {
		match self {
			Self::Euler => "Euler",
			Self::EulerAncestral => "Euler a",
			Self::Ddim => "DDIM",
			Self::DpmPlusPlus2M => "DPM++ 2M",
			Self::DpmPlusPlus2MKarras => "DPM++ 2M Karras",
			Self::UniPc => "UniPC",
			Self::Lcm => "LCM",
			Self::Heun => "Heun",
		}
	}

	fn method(self) -> &'static dyn Method {
		match self {
			Self::Euler => &euler::Euler,
			Self::EulerAncestral => &euler_ancestral::EulerAncestral,
			Self::Ddim => &ddim::Ddim,
			Self::DpmPlusPlus2M => &dpmpp_2m::DpmPlusPlus2M { karras: false },
			Self::DpmPlusPlus2MKarras => &dpmpp_2m::DpmPlusPlus2M { karras: true },
			Self::UniPc => &unipc::UniPc,
			Self::Lcm => &lcm::Lcm,
			Self::Heun => &heun::Heun,
		}
	}

	/// The plan of `steps` steps over a model's noise schedule, fewer where the start leaves some out.
	pub(crate) fn plan(self, schedule: &NoiseSchedule, steps: usize, start: Start) -> Plan {
		self.method().plan(schedule, steps, start)
	}
}

impl fmt::Display for Sampler {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(self.name())
	}
}

/// A text that names no sampler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown sampler {0:?}: use one of {names}", names = Sampler::ALL.map(Sampler::name).join(", "))]
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

/// A sampling method: plans the weights of every step.
trait Method {
	/// The plan of `steps` steps, 1 up to one less than the schedule's training steps, of which the
	/// start leaves out fewer than all. The steps that are left know nothing of those before.
	fn plan(&self, schedule: &NoiseSchedule, steps: usize, start: Start) -> Plan;
}

#[cfg(test)]
mod tests;
