//! Renders one picture and prints how long it took:
//! `cargo run --release --example render -- MODEL_DIR "a red bird" out.png`.
//!
//! The size, the steps, the device and the sampler can be given after that: `out.png 512 20 cuda "Euler a"`.

mod common;

use cuckoo_diffusion::{Device, Pipeline, RenderRequest, Sampler};
use std::{error::Error, ops::ControlFlow, path::Path, process::ExitCode, time::Instant};

fn main() -> ExitCode {
	common::with_arguments(run)
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
	let [model, prompt, file, options @ ..] = arguments else {
		return Err(
			"usage: render MODEL_DIR PROMPT FILE.png [SIDE [STEPS [DEVICE [SAMPLER]]]]".into()
		);
	};
	let side = options.first().map(|side| side.parse()).transpose()?;
	let steps = options.get(1).map_or(Ok(20), |steps| steps.parse())?;
	let device = options.get(2).map(|device| device.parse()).transpose()?;
	let device = device.unwrap_or_else(Device::best);
	let sampler = options.get(3).map_or(Ok(Sampler::Euler), |sampler| sampler.parse())?;

	let start = Instant::now();
	let pipeline = Pipeline::load(Path::new(model), &device)?;
	let info = pipeline.info();
	println!(
		"{} on {device}: {} weights, loaded in {:?}",
		info.name,
		info.parameters,
		start.elapsed()
	);
	if let Some(notice) = &info.notice {
		println!("note: {notice}");
	}
	let request = RenderRequest {
		prompt: prompt.clone(),
		negative_prompt: String::new(),
		width: side.unwrap_or(info.width),
		height: side.unwrap_or(info.height),
		steps,
		guidance_scale: 7.5,
		seed: 1,
		sampler,
		images: 1,
		start: None,
	};
	let start = Instant::now();
	let pictures = pipeline.render(&request, &mut |_| ControlFlow::Continue(()))?;
	let took = start.elapsed();
	for picture in pictures {
		std::fs::write(file, picture.png())?;
		println!("{file}: {}×{}, {steps} steps, {took:?}", picture.width, picture.height);
	}
	Ok(())
}
