//! How fast a model renders.

use crate::{Pipeline, RenderError, RenderRequest, Sampler};
use std::{
	ops::ControlFlow,
	time::{Duration, Instant},
};

/// What is rendered: any words take the same time.
const PROMPT: &str = "a red bird on a roof";

/// Pictures to measure with. They are rendered one after the other, with guidance, so that a step is one
/// of two prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
	/// Width in pixels, as in a [`RenderRequest`].
	pub width: u32,
	/// Height in pixels, as in a [`RenderRequest`].
	pub height: u32,
	/// Denoising steps of each picture.
	pub steps: u32,
	/// Pictures that come first and are not counted: a first one takes longer.
	pub uncounted: u32,
	/// Pictures that are counted.
	pub pictures: u32,
}

/// How long things took, the shortest times first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measurement {
	/// Of each picture, from the prompt to the pixels.
	pub pictures: Vec<Duration>,
	/// Of each denoising step but the first of each picture, whose beginning is not seen; so none where
	/// pictures have one step.
	pub steps: Vec<Duration>,
	/// From the last step of each picture to its pixels.
	pub decodes: Vec<Duration>,
}

impl Measurement {
	/// Measures a model. `rendered` is told after each picture how many there are so far, those that do
	/// not count among them.
	///
	/// # Errors
	///
	/// As of [`Pipeline::render`].
	pub fn take(
		pipeline: &Pipeline,
		workload: Workload,
		rendered: &mut dyn FnMut(u32),
	) -> Result<Self, RenderError> {
		let mut taken = Self::default();
		for picture in 0..workload.uncounted + workload.pictures {
			let request = RenderRequest {
				prompt: PROMPT.into(),
				negative_prompt: String::new(),
				width: workload.width,
				height: workload.height,
				steps: workload.steps,
				guidance_scale: 7.5,
				seed: picture.into(),
				sampler: Sampler::Euler,
				images: 1,
				start: None,
			};
			let mut ends = Vec::new();
			let start = Instant::now();
			pipeline.render(&request, &mut |_| {
				ends.push(Instant::now());
				ControlFlow::Continue(())
			})?;
			if picture >= workload.uncounted {
				taken.pictures.push(start.elapsed());
				taken.steps.extend(ends.windows(2).map(|pair| pair[1] - pair[0]));
				taken.decodes.extend(ends.last().map(Instant::elapsed));
			}
			rendered(picture + 1);
		}
		for times in [&mut taken.pictures, &mut taken.steps, &mut taken.decodes] {
			times.sort_unstable();
		}
		Ok(taken)
	}
}

/// The time of one denoising step with guidance, at the model's own size: the shortest of two.
///
/// # Errors
///
/// As of [`Pipeline::render`].
pub fn step_time(pipeline: &Pipeline) -> Result<Duration, RenderError> {
	let (width, height) = (pipeline.info().width, pipeline.info().height);
	let workload = Workload { width, height, steps: 3, uncounted: 0, pictures: 1 };
	let taken = Measurement::take(pipeline, workload, &mut |_| ())?;
	Ok(taken.steps.first().copied().unwrap_or_default())
}

/// Of times with the shortest first, the one that `percent` of them do not exceed; none of none.
pub fn percentile(times: &[Duration], percent: usize) -> Option<Duration> {
	times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{untrained, Device};

	#[test]
	fn percentiles_are_values_that_were_seen() {
		let times = |count: u64| (1..=count).map(Duration::from_secs).collect::<Vec<_>>();
		let of = |count, percent| percentile(&times(count), percent).map(|time| time.as_secs());
		assert_eq!([50, 95].map(|percent| of(0, percent)), [None, None]);
		assert_eq!([50, 95].map(|percent| of(1, percent)), [Some(1), Some(1)]);
		assert_eq!([50, 95].map(|percent| of(10, percent)), [Some(5), Some(10)]);
		assert_eq!([50, 95].map(|percent| of(100, percent)), [Some(50), Some(95)]);
	}

	#[test]
	fn what_counts_is_counted_and_the_parts_fit_in_the_whole() {
		let dir = tempfile::tempdir().unwrap();
		untrained::write(dir.path(), 1).unwrap();
		let pipeline = Pipeline::load(dir.path(), &Device::Cpu).unwrap();
		let workload = Workload { width: 64, height: 64, steps: 3, uncounted: 1, pictures: 2 };
		let mut seen = Vec::new();
		let taken =
			Measurement::take(&pipeline, workload, &mut |pictures| seen.push(pictures)).unwrap();
		assert_eq!(seen, [1, 2, 3]);
		let counts = [taken.pictures.len(), taken.steps.len(), taken.decodes.len()];
		assert_eq!(counts, [2, 4, 2]);
		let sum = |times: &[Duration]| times.iter().sum::<Duration>();
		assert!(sum(&taken.steps) + sum(&taken.decodes) < sum(&taken.pictures));
		assert!(taken.steps.is_sorted() && taken.steps[0] > Duration::ZERO);
		let wrong = Workload { width: 65, ..workload };
		assert!(Measurement::take(&pipeline, wrong, &mut |_| ()).is_err());
	}
}
