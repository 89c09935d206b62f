//! Times a whole request, from the prompt to the pixels, and prints the median in milliseconds as JSON:
//! `cargo run --release --example request_times -- MODEL_DIR SIDE STEPS IMAGES [DEVICE]`.
//!
//! The first two requests are not counted: they load kernels and record steps. `parity/gpu.py` compares
//! this with diffusers.

mod common;

use cuckoo_diffusion::{Device, Pipeline, RenderRequest, Sampler};
use std::{error::Error, ops::ControlFlow, path::Path, process::ExitCode, time::Instant};

/// Requests that are not counted, and those that are.
const UNCOUNTED: usize = 2;
const COUNTED: usize = 3;

fn main() -> ExitCode {
	common::with_arguments(run)
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
	let [model, side, steps, images, device @ ..] = arguments else {
		return Err("usage: request_times MODEL_DIR SIDE STEPS IMAGES [DEVICE]".into());
	};
	let device = device.first().map_or(Ok(Device::best()), |device| device.parse())?;
	let pipeline = Pipeline::load(Path::new(model), &device)?;
	let side = side.parse()?;
	let request = RenderRequest {
		prompt: "the red bird".into(),
		negative_prompt: String::new(),
		width: side,
		height: side,
		steps: steps.parse()?,
		guidance_scale: 7.5,
		seed: 1,
		sampler: Sampler::Euler,
		images: images.parse()?,
		start: None,
	};
	let mut taken = Vec::new();
	for _ in 0..UNCOUNTED + COUNTED {
		let begin = Instant::now();
		pipeline.render(&request, &mut |_| ControlFlow::Continue(()))?;
		taken.push(begin.elapsed().as_secs_f64() * 1e3);
	}
	let counted = &mut taken[UNCOUNTED..];
	counted.sort_by(f64::total_cmp);
	println!("{{\"request\": {:.3}}}", counted[COUNTED / 2]);
	Ok(())
}
