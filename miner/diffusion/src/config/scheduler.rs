//! `scheduler/scheduler_config.json`: the noise schedule that the model was trained with. Its
//! sampler is only a default of other programs; here the request names one.

use super::ConfigFile;
use crate::{
	directory::ModelDirectory,
	request::limits::MAX_STEPS,
	samplers::{BetaSchedule, FinalSigma, NoiseSchedule, Prediction, ScheduleOptions, Spacing},
	LoadError,
};
use serde_json::json;

/// Schedulers of models whose output means what [`Prediction`] says. Others (flow matching,
/// consistency models, EDM) would make noise here.
const CLASSES: [&str; 16] = [
	"DDIMScheduler",
	"DDPMScheduler",
	"DEISMultistepScheduler",
	"DPMSolverMultistepScheduler",
	"DPMSolverSDEScheduler",
	"DPMSolverSinglestepScheduler",
	"EulerAncestralDiscreteScheduler",
	"EulerDiscreteScheduler",
	"HeunDiscreteScheduler",
	"KDPM2AncestralDiscreteScheduler",
	"KDPM2DiscreteScheduler",
	"LCMScheduler",
	"LMSDiscreteScheduler",
	"PNDMScheduler",
	"SASolverScheduler",
	"UniPCMultistepScheduler",
];

/// The noisiest schedules in use (squared cosine) end at 2e4; single precision ends not far above.
const MAX_SIGMA: f64 = 1e6;

pub(crate) fn read_noise_schedule(model: &ModelDirectory) -> Result<NoiseSchedule, LoadError> {
	noise_schedule(&ConfigFile::read(model, "scheduler", "scheduler_config.json")?)
}

pub(super) fn noise_schedule(config: &ConfigFile) -> Result<NoiseSchedule, LoadError> {
	let class: String = config.required("_class_name")?;
	if !CLASSES.contains(&class.as_str()) {
		return Err(config.unsupported(
			"_class_name",
			class,
			"the model must be trained for DDPM-style noise",
		));
	}
	config.only("trained_betas", json!(null))?;
	config.only("thresholding", json!(false))?;
	config.only("timestep_type", json!("discrete"))?;
	config.only("interpolation_type", json!("linear"))?;

	let beta = |field, default| -> Result<f64, LoadError> {
		let beta = config.positive(field, default)?;
		if beta < 1.0 {
			Ok(beta)
		} else {
			Err(config.error(format!("{field} is {beta}: must be below 1")))
		}
	};
	let (start, end) = (beta("beta_start", 0.0001)?, beta("beta_end", 0.02)?);
	let text = |field, default: &str| -> Result<String, LoadError> {
		Ok(config.optional(field)?.unwrap_or_else(|| default.to_owned()))
	};
	let one_of = |field, found: &str, choices| config.unsupported(field, found, choices);
	let betas = match text("beta_schedule", "linear")?.as_str() {
		"linear" => BetaSchedule::Linear { start, end },
		"scaled_linear" => BetaSchedule::ScaledLinear { start, end },
		"squaredcos_cap_v2" => BetaSchedule::SquaredCosine,
		other => {
			let choices = "it must be linear, scaled_linear or squaredcos_cap_v2";
			return Err(one_of("beta_schedule", other, choices));
		},
	};
	let prediction = match text("prediction_type", "epsilon")?.as_str() {
		"epsilon" => Prediction::Epsilon,
		"v_prediction" => Prediction::Velocity,
		"sample" => Prediction::Sample,
		other => {
			let choices = "it must be epsilon, v_prediction or sample";
			return Err(one_of("prediction_type", other, choices));
		},
	};
	let spacing = match config.optional::<String>("timestep_spacing")?.as_deref() {
		None => None,
		Some("linspace") => Some(Spacing::Linspace),
		Some("leading") => Some(Spacing::Leading),
		Some("trailing") => Some(Spacing::Trailing),
		Some(other) => {
			let choices = "it must be linspace, leading or trailing";
			return Err(one_of("timestep_spacing", other, choices));
		},
	};
	let final_sigma = match text("final_sigmas_type", "zero")?.as_str() {
		"zero" => FinalSigma::Zero,
		"sigma_min" => FinalSigma::Smallest,
		other => {
			return Err(one_of("final_sigmas_type", other, "it must be zero or sigma_min"));
		},
	};
	// Every request's steps must fit, with one timestep to spare for the end.
	let train_steps =
		config.whole("num_train_timesteps", Some(1000), MAX_STEPS as usize + 1..=100_000)?;
	let mut schedule = NoiseSchedule::new(
		betas,
		train_steps,
		ScheduleOptions {
			prediction,
			spacing,
			steps_offset: config.whole("steps_offset", Some(0), 0..=train_steps)?,
			set_alpha_to_one: config.optional("set_alpha_to_one")?.unwrap_or(true),
			final_sigma,
			distilled_steps: config.whole("original_inference_steps", Some(50), 1..=train_steps)?,
			timestep_scaling: config.positive("timestep_scaling", 10.0)?,
		},
	);
	let largest = schedule.sigma(schedule.last() as f64);
	if largest > MAX_SIGMA {
		return Err(config.error(format!(
			"beta_end leaves too little signal at the last timestep: its noise is {largest:.1e} times larger"
		)));
	}
	if config.optional("rescale_betas_zero_snr")?.unwrap_or(false) {
		// From noise alone, the noise in it says nothing about the picture.
		if prediction == Prediction::Epsilon {
			return Err(config.unsupported(
				"rescale_betas_zero_snr",
				true,
				"without signal at the end, prediction_type must be v_prediction or sample",
			));
		}
		schedule = schedule.without_terminal_signal();
	}
	Ok(schedule)
}
