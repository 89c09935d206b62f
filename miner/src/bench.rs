//! `cuckoo-miner bench`: how fast this machine renders.

use crate::{cli::BenchArgs, models};
use anyhow::Context as _;
use cuckoo_diffusion::{RenderRequest, Sampler};
use serde_json::json;
use std::{
	fs,
	io::{IsTerminal as _, Write as _},
	ops::ControlFlow,
	time::{Duration, Instant},
};

/// What is rendered: any words take the same time.
const PROMPT: &str = "a red bird on a roof";

/// Renders pictures one after the other and prints how long they took.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
	let pipeline = models::open(&args.models, args.model.as_deref())?;
	let info = pipeline.info();
	let mut request = RenderRequest {
		prompt: PROMPT.into(),
		negative_prompt: String::new(),
		width: args.side.unwrap_or(info.width),
		height: args.side.unwrap_or(info.height),
		steps: args.steps,
		guidance_scale: 7.5,
		seed: 0,
		sampler: Sampler::Euler,
		images: 1,
		start: None,
	};
	let mut taken = Vec::new();
	// From step to step, so without the text before and the decoding after them.
	let mut steps = Vec::new();
	let shows_progress = std::io::stderr().is_terminal();
	for picture in 0..=args.pictures {
		request.seed = picture.into();
		let started = Instant::now();
		let mut last = None;
		pipeline.render(&request, &mut |_| {
			let now = Instant::now();
			if let (true, Some(last)) = (picture > 0, last.replace(now)) {
				steps.push(now - last);
			}
			ControlFlow::Continue(())
		})?;
		if picture > 0 {
			taken.push(started.elapsed());
		}
		if shows_progress {
			eprint!("\r{picture} of {} ", args.pictures);
			let _ = std::io::stderr().flush();
		}
	}
	if shows_progress {
		eprint!("\r\x1b[K");
	}
	taken.sort();
	let all: Duration = taken.iter().sum();
	let steps_took: Duration = steps.iter().sum();
	let seconds = |duration: Duration| duration.as_secs_f64();
	let of_picture = |percent| seconds(taken[percentile(taken.len(), percent)]);
	let measured = Measured {
		images_a_second: f64::from(args.pictures) / seconds(all),
		median: of_picture(50),
		p95: of_picture(95),
		steps_a_second: (!steps.is_empty()).then(|| steps.len() as f64 / seconds(steps_took)),
		peak_memory_mib: peak_memory_mib(),
	};
	if args.json {
		let Measured { images_a_second, median, p95, steps_a_second, peak_memory_mib } = measured;
		let all = json!({
			"model": info.name,
			"digest": hex::encode(info.digest),
			"device": pipeline.device().to_string(),
			"side": request.width,
			"steps": request.steps,
			"pictures": args.pictures,
			"imagesPerSecond": images_a_second,
			"secondsPerImage": { "p50": median, "p95": p95 },
			"stepsPerSecond": steps_a_second,
			"peakMemoryMiB": peak_memory_mib,
		});
		println!("{}", serde_json::to_string_pretty(&all).context("numbers are JSON")?);
		return Ok(());
	}
	println!(
		"{} on {}: {}×{}, {} steps with guidance, {} pictures after one that does not count",
		info.name,
		pipeline.device(),
		request.width,
		request.height,
		request.steps,
		args.pictures
	);
	println!("images/s   {:.3}", measured.images_a_second);
	println!(
		"s/image    {:.3} in the median, {:.3} at the 95th percentile",
		measured.median, measured.p95
	);
	if let Some(steps) = measured.steps_a_second {
		println!("steps/s    {steps:.2}");
	}
	if let Some(memory) = measured.peak_memory_mib {
		println!("memory     {memory} MiB at most, of the processor's");
	}
	Ok(())
}

struct Measured {
	images_a_second: f64,
	/// Seconds an image.
	median: f64,
	/// Seconds an image.
	p95: f64,
	/// `None` where pictures have one step only.
	steps_a_second: Option<f64>,
	/// `None` where the system does not tell.
	peak_memory_mib: Option<u64>,
}

/// The place in `count` sorted values below which `percent` of them lie.
fn percentile(count: usize, percent: usize) -> usize {
	(count * percent).div_ceil(100).saturating_sub(1)
}

/// The most memory that this process has had at a time, where Linux tells.
fn peak_memory_mib() -> Option<u64> {
	let status = fs::read_to_string("/proc/self/status").ok()?;
	let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
	Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn percentiles_are_values_that_were_seen() {
		assert_eq!([50, 95].map(|percent| percentile(1, percent)), [0, 0]);
		assert_eq!([50, 95].map(|percent| percentile(10, percent)), [4, 9]);
		assert_eq!([50, 95].map(|percent| percentile(100, percent)), [49, 94]);
	}
}
