//! Batches, and what happens when there is not enough memory for them.

use super::*;
use crate::{untrained, Sampler};
use std::cell::RefCell;

fn pipeline() -> Pipeline {
	let dir = tempfile::tempdir().unwrap();
	untrained::write(dir.path(), 3).unwrap();
	Pipeline::load(dir.path(), &Device::Cpu).unwrap()
}

fn request(guidance_scale: f32) -> RenderRequest {
	RenderRequest {
		prompt: "a red bird".into(),
		negative_prompt: "blurry".into(),
		width: 64,
		height: 72,
		steps: 3,
		guidance_scale,
		seed: u64::MAX,
		sampler: Sampler::EulerAncestral,
		images: 3,
		start: None,
	}
}

fn go_on(_: Progress) -> ControlFlow<()> {
	ControlFlow::Continue(())
}

/// The largest difference of two values.
fn difference(some: &[Picture], others: &[Picture]) -> u8 {
	assert_eq!(some.len(), others.len());
	let pairs = some.iter().zip(others).flat_map(|(a, b)| a.rgb.iter().zip(&b.rgb));
	pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn pictures_denoised_together_are_those_denoised_alone() {
	let pipeline = pipeline();
	for guidance_scale in [1.0, 5.0] {
		let request = request(guidance_scale);
		let alone = pipeline.render(&request, &mut go_on).unwrap();
		assert!(difference(&alone[..1], &alone[1..2]) > 20, "each has its own noise");
		let mut seen = Vec::new();
		let mut progress = |now: Progress| {
			seen.push((now.image, now.step));
			ControlFlow::Continue(())
		};
		let predict = |batch: &Batch, sample: &[f32], timestep| {
			assert_eq!(sample.len(), batch.pictures * 4 * 8 * 9);
			pipeline.predict(batch, sample, timestep)
		};
		let together = pipeline.render_by(&predict, &request, 2, &mut progress).unwrap();
		// Not always the same to the last bit: sums may be added up in another order.
		assert!(difference(&alone, &together) <= 1, "guidance {guidance_scale}");
		assert_eq!(seen, [(0, 2), (1, 1), (1, 3), (2, 1), (2, 2), (2, 3)]);
	}
}

#[test]
fn a_full_device_is_asked_for_less_and_then_refuses_in_words() {
	let pipeline = pipeline();
	let request = request(5.0);
	let expected = pipeline.render(&request, &mut go_on).unwrap();
	let asked = RefCell::new(Vec::new());
	// A device that holds one picture with attention in slices, if anything.
	let device = |holds: usize| {
		let (pipeline, asked) = (&pipeline, &asked);
		move |batch: &Batch, sample: &[f32], timestep: f64| {
			asked.borrow_mut().push((batch.pictures, batch.slice.is_some()));
			if batch.pictures > if batch.slice.is_some() { holds } else { 0 } {
				return Err(RenderError::OutOfMemory("CUDA_ERROR_OUT_OF_MEMORY".into()));
			}
			pipeline.predict(batch, sample, timestep)
		}
	};
	let found = pipeline.render_by(&device(1), &request, 3, &mut go_on).unwrap();
	assert_eq!(found, expected);
	assert_eq!(asked.borrow()[..3], [(3, false), (1, false), (1, true)]);
	assert_eq!(asked.take().len(), 2 + 3 * 3, "what was found out is not tried again");

	let error = pipeline.render_by(&device(0), &request, 3, &mut go_on).unwrap_err();
	assert!(matches!(error, RenderError::OutOfMemory(_)), "{error:?}");
	assert_eq!(pipeline.render(&request, &mut go_on).unwrap(), expected, "the next one works");
}
