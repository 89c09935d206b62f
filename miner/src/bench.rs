//! `cuckoo-miner bench`: how fast this machine renders.

use crate::{cli::BenchArgs, models, sensors::Sensors};
use anyhow::Context as _;
use cuckoo_diffusion::{percentile, Device, Measurement, Workload};
use serde_json::json;
use std::{
	fs,
	io::{IsTerminal as _, Write as _},
	time::Duration,
};

/// Renders pictures one after the other and prints how long they took.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
	let pipeline = models::open(&args.models, args.model.as_deref(), &[])?;
	let info = pipeline.info();
	let workload = Workload {
		width: args.side.unwrap_or(info.width),
		height: args.side.unwrap_or(info.height),
		steps: args.steps,
		uncounted: 1,
		pictures: args.pictures,
	};
	let (sensors, device) = (Sensors::open(), pipeline.device());
	let (mut device_memory, mut energy) = (None, None);
	let shows_progress = std::io::stderr().is_terminal();
	let taken = Measurement::take(&pipeline, workload, &mut |pictures| {
		device_memory = device_memory.max(sensors.read(device).memory_used);
		// From the end of the picture that does not count.
		energy = energy.or_else(|| sensors.energy(device));
		if shows_progress {
			eprint!("\r{} of {} ", pictures - 1, args.pictures);
			let _ = std::io::stderr().flush();
		}
	})?;
	if shows_progress {
		eprint!("\r\x1b[K");
	}
	let a_second = |times: &[Duration]| {
		let sum: Duration = times.iter().sum();
		times.len() as f64 / sum.as_secs_f64()
	};
	let of_picture =
		|percent| percentile(&taken.pictures, percent).map_or(f64::NAN, |time| time.as_secs_f64());
	let measured = Measured {
		images_a_second: a_second(&taken.pictures),
		median: of_picture(50),
		p95: of_picture(95),
		steps_a_second: (!taken.steps.is_empty()).then(|| a_second(&taken.steps)),
		peak_memory_mib: peak_memory_mib(),
		device_memory_mib: device_memory.filter(|_| device != Device::Cpu).map(|bytes| bytes >> 20),
		joules_an_image: energy.zip(sensors.energy(device)).map(|(before, after)| {
			after.saturating_sub(before) as f64 / 1e3 / f64::from(args.pictures)
		}),
	};
	if args.json {
		let Measured { images_a_second, median, p95, steps_a_second, .. } = measured;
		let all = json!({
			"model": info.name,
			"digest": hex::encode(info.digest),
			"device": pipeline.device().to_string(),
			"side": workload.width,
			"steps": workload.steps,
			"pictures": args.pictures,
			"imagesPerSecond": images_a_second,
			"secondsPerImage": { "p50": median, "p95": p95 },
			"stepsPerSecond": steps_a_second,
			"peakMemoryMiB": measured.peak_memory_mib,
			"deviceMemoryMiB": measured.device_memory_mib,
			"joulesPerImage": measured.joules_an_image,
		});
		println!("{}", serde_json::to_string_pretty(&all).context("numbers are JSON")?);
		return Ok(());
	}
	println!(
		"{} on {}: {}×{}, {} steps with guidance, {} pictures after one that does not count",
		info.name,
		pipeline.device(),
		workload.width,
		workload.height,
		workload.steps,
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
	if let Some(memory) = measured.device_memory_mib {
		println!("memory     {memory} MiB of the device's, with what others have there");
	}
	if let Some(joules) = measured.joules_an_image {
		println!("J/image    {joules:.1}");
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
	/// Of a GPU that tells.
	device_memory_mib: Option<u64>,
	/// Of a GPU that tells.
	joules_an_image: Option<f64>,
}

/// The most memory that this process has had at a time, where Linux tells.
fn peak_memory_mib() -> Option<u64> {
	let status = fs::read_to_string("/proc/self/status").ok()?;
	let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
	Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}
