//! Times the parts of rendering and prints them as JSON, in milliseconds:
//! `cargo run --release --example step_times -- MODEL_DIR SIDE STEPS [DEVICE]`.
//!
//! `step` is the median time of a denoising step with guidance, so of two prompts; `decode` is the median
//! time from the last step to the picture. The first picture, and the first step of each, are not
//! counted. scripts/speed compares both with diffusers.

use cuckoo_diffusion::{Device, Pipeline, RenderRequest, Sampler};
use std::{error::Error, ops::ControlFlow, path::Path, process::ExitCode, time::Instant};

/// Pictures that are counted.
const PICTURES: usize = 3;

fn main() -> ExitCode {
	let arguments: Vec<_> = std::env::args().skip(1).collect();
	match run(&arguments) {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			eprintln!("{error}");
			ExitCode::FAILURE
		},
	}
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
	let request = RenderRequest {
		prompt: "the red bird".into(),
		negative_prompt: String::new(),
		width: side,
		height: side,
		steps,
		guidance_scale: 7.5,
		seed: 1,
		sampler: Sampler::Euler,
		images: 1,
		start: None,
	};
	let milliseconds = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
	let (mut between, mut decodes) = (Vec::new(), Vec::new());
	for picture in 0..=PICTURES {
		let mut ends = Vec::new();
		pipeline.render(&request, &mut |_| {
			ends.push(Instant::now());
			ControlFlow::Continue(())
		})?;
		if picture > 0 {
			decodes.push(milliseconds(ends[ends.len() - 1], Instant::now()));
			between.extend(ends.windows(2).map(|ends| milliseconds(ends[0], ends[1])));
		}
	}
	let median = |mut values: Vec<f64>| {
		values.sort_by(f64::total_cmp);
		values[values.len() / 2]
	};
	println!("{{\"step\": {:.3}, \"decode\": {:.3}}}", median(between), median(decodes));
	Ok(())
}
