//! `scheduler/scheduler_config.json`: the noise schedule that the model was trained with. Its
//! sampler is only a default of other programs; here the request names one.

use super::ConfigFile;
use crate::{
	directory::ModelDirectory,
	request::limits::MAX_STEPS,
	samplers::{BetaSchedule, NoiseSchedule, Prediction, Spacing},
	LoadError,
};
use serde_json::json;

/// Schedulers of models whose output means what [`Prediction`] says. Others (flow matching,
/// consistency models, EDM) would make noise here.
const CLASSES: [&str; 15] = [
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
	// The noisiest timestep would have no signal: σ is infinite there.
	config.only("rescale_betas_zero_snr", json!(false))?;
	config.only("thresholding", json!(false))?;

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
	let betas = match text("beta_schedule", "linear")?.as_str() {
		"linear" => BetaSchedule::Linear { start, end },
		"scaled_linear" => BetaSchedule::ScaledLinear { start, end },
		"squaredcos_cap_v2" => BetaSchedule::SquaredCosine,
		other => {
			return Err(config.unsupported(
				"beta_schedule",
				other,
				"it must be linear, scaled_linear or squaredcos_cap_v2",
			))
		},
	};
	let prediction = match text("prediction_type", "epsilon")?.as_str() {
		"epsilon" => Prediction::Epsilon,
		"v_prediction" => Prediction::Velocity,
		"sample" => Prediction::Sample,
		other => {
			return Err(config.unsupported(
				"prediction_type",
				other,
				"it must be epsilon, v_prediction or sample",
			))
		},
	};
	let spacing = match config.optional::<String>("timestep_spacing")?.as_deref() {
		None => None,
		Some("linspace") => Some(Spacing::Linspace),
		Some("leading") => Some(Spacing::Leading),
		Some("trailing") => Some(Spacing::Trailing),
		Some(other) => {
			return Err(config.unsupported(
				"timestep_spacing",
				other,
				"it must be linspace, leading or trailing",
			))
		},
	};
	// Every request's steps must fit.
	let train_steps =
		config.whole("num_train_timesteps", Some(1000), MAX_STEPS as usize..=100_000)?;
	let schedule = NoiseSchedule::new(
		betas,
		train_steps,
		prediction,
		spacing,
		config.whole("steps_offset", Some(0), 0..=train_steps)?,
		config.optional("set_alpha_to_one")?.unwrap_or(true),
	);
	let largest = schedule.largest_sigma();
	if largest > MAX_SIGMA {
		return Err(config.error(format!(
			"beta_end leaves too little signal at the last timestep: its noise is {largest:.1e} times larger"
		)));
	}
	Ok(schedule)
}
