//! Renders the same picture again and again on GPU 0, and different ones on the CPU too, and prints how alike
//! they are: `cargo run --release --example compare_devices -- MODEL_DIR SIDE STEPS RUNS PICTURES`.
//!
//! Fails if not all runs give the same pixels. Of the pictures, it prints the structural similarity (SSIM,
//! Wang et al. 2004, of the brightness in windows of 8 × 8 pixels, 1 is the same) and the bits of 64 in which
//! their difference hashes differ (whether each of 9 × 8 fields is brighter than the one to its right).

mod common;

use cuckoo_diffusion::{Device, Picture, Pipeline, RenderRequest, Sampler};
use std::{error::Error, ops::ControlFlow, path::Path, process::ExitCode};

/// Side of SSIM's windows in pixels.
const WINDOW: usize = 8;

fn main() -> ExitCode {
	common::with_arguments(run)
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
	let [model, side, steps, runs, pictures] = arguments else {
		return Err("usage: compare_devices MODEL_DIR SIDE STEPS RUNS PICTURES".into());
	};
	let (side, steps): (u32, u32) = (side.parse()?, steps.parse()?);
	let (runs, pictures): (usize, u64) = (runs.parse()?, pictures.parse()?);
	let render = |pipeline: &Pipeline, seed| -> Result<Picture, Box<dyn Error>> {
		let request = RenderRequest {
			prompt: "the red bird".into(),
			negative_prompt: String::new(),
			width: side,
			height: side,
			steps,
			guidance_scale: 7.5,
			seed,
			sampler: Sampler::Euler,
			images: 1,
			start: None,
		};
		let rendered = pipeline.render(&request, &mut |_| ControlFlow::Continue(()))?;
		rendered.into_iter().next().ok_or_else(|| "no picture came".into())
	};
	let gpu = Pipeline::load(Path::new(model), &Device::Cuda(0))?;
	let first = render(&gpu, 1)?;
	for run in 1..runs {
		if render(&gpu, 1)? != first {
			return Err(format!("run {} gave other pixels than the first", run + 1).into());
		}
	}
	println!("{runs} runs on the GPU: the same pixels");
	if pictures == 0 {
		return Ok(());
	}

	let cpu = Pipeline::load(Path::new(model), &Device::Cpu)?;
	let (mut similarities, mut distances) = (Vec::new(), Vec::new());
	for seed in 1..=pictures {
		let pair =
			[render(&cpu, seed)?, render(&gpu, seed)?].map(|picture| Brightness::of(&picture));
		similarities.push(pair[0].similarity(&pair[1]));
		distances.push((pair[0].hash() ^ pair[1].hash()).count_ones());
	}
	similarities.sort_by(f64::total_cmp);
	distances.sort_unstable();
	println!(
		"{pictures} pictures, CPU against GPU: SSIM median {:.5}, least {:.5}; hash bits apart: median {}, \
		 most {}",
		similarities[similarities.len() / 2],
		similarities[0],
		distances[distances.len() / 2],
		distances[distances.len() - 1]
	);
	Ok(())
}

/// The brightness of a picture's pixels, 0 to 255, row by row.
struct Brightness {
	width: usize,
	height: usize,
	pixels: Vec<f64>,
}

impl Brightness {
	fn of(picture: &Picture) -> Self {
		let (pixels, _) = picture.rgb.as_chunks::<3>();
		// ITU-R BT.601.
		let brightness = |&[r, g, b]: &[u8; 3]| {
			0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)
		};
		Self {
			width: picture.width as usize,
			height: picture.height as usize,
			pixels: pixels.iter().map(brightness).collect(),
		}
	}

	/// The pixels of a part of the picture.
	fn part(
		&self,
		(left, right): (usize, usize),
		(top, bottom): (usize, usize),
	) -> impl Iterator<Item = f64> + Clone + '_ {
		(top..bottom).flat_map(move |y| self.pixels[y * self.width..][left..right].iter().copied())
	}

	fn similarity(&self, other: &Self) -> f64 {
		let (c1, c2) = ((0.01_f64 * 255.0).powi(2), (0.03_f64 * 255.0).powi(2));
		let count = (WINDOW * WINDOW) as f64;
		let mut similarities = Vec::new();
		for top in (0..=self.height - WINDOW).step_by(WINDOW / 2) {
			for left in (0..=self.width - WINDOW).step_by(WINDOW / 2) {
				let window = ((left, left + WINDOW), (top, top + WINDOW));
				let parts = || self.part(window.0, window.1).zip(other.part(window.0, window.1));
				let mean = |of: &dyn Fn((f64, f64)) -> f64| parts().map(of).sum::<f64>() / count;
				let (a, b) = (mean(&|(a, _)| a), mean(&|(_, b)| b));
				let variances = mean(&|(x, y)| (x - a).powi(2) + (y - b).powi(2));
				let covariance = mean(&|(x, y)| (x - a) * (y - b));
				similarities.push(
					(2.0 * a * b + c1) * (2.0 * covariance + c2)
						/ ((a * a + b * b + c1) * (variances + c2)),
				);
			}
		}
		similarities.iter().sum::<f64>() / similarities.len() as f64
	}

	fn hash(&self) -> u64 {
		let field = |column: usize, row: usize| {
			let x = (column * self.width / 9, (column + 1) * self.width / 9);
			let y = (row * self.height / 8, (row + 1) * self.height / 8);
			let count = ((x.1 - x.0) * (y.1 - y.0)) as f64;
			self.part(x, y).sum::<f64>() / count
		};
		(0..64).fold(0, |hash, bit| {
			let (row, column) = (bit / 8, bit % 8);
			hash << 1 | u64::from(field(column, row) > field(column + 1, row))
		})
	}
}
