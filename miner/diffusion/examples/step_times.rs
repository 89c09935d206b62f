//! Times the parts of rendering and prints them as JSON, in milliseconds:
//! `cargo run --release --example step_times -- MODEL_DIR SIDE STEPS [DEVICE]`.
//!
//! `step` is the median time of a denoising step with guidance, so of two prompts; `decode` is the median
//! time from the last step to the picture. The first picture, and the first step of each, are not
//! counted. scripts/speed compares both with diffusers.

mod common;

use cuckoo_diffusion::{percentile, Device, Measurement, Pipeline, Workload};
use std::{error::Error, path::Path, process::ExitCode, time::Duration};

/// Pictures that are counted.
const PICTURES: u32 = 3;

fn main() -> ExitCode {
	common::with_arguments(run)
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
	let [model, side, steps, device @ ..] = arguments else {
		return Err("usage: step_times MODEL_DIR SIDE STEPS [DEVICE]".into());
	};
	let (side, steps) = (side.parse()?, steps.parse::<u32>()?);
	if steps < 2 {
		return Err("STEPS must be at least 2: the first is not counted".into());
	}
	let device = device.first().map_or(Ok(Device::best()), |device| device.parse())?;
	let pipeline = Pipeline::load(Path::new(model), &device)?;
	let workload = Workload { width: side, height: side, steps, uncounted: 1, pictures: PICTURES };
	let taken = Measurement::take(&pipeline, workload, &mut |_| ())?;
	let median = |times: &[Duration]| {
		percentile(times, 50).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
	};
	let (step, decode) = (median(&taken.steps), median(&taken.decodes));
	println!("{{\"step\": {step:.3}, \"decode\": {decode:.3}}}");
	Ok(())
}
