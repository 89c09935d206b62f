//! Rendering with the plumbing model: what a picture depends on, and on nothing else.

use cuckoo_diffusion::{
	untrained, Device, Picture, Pipeline, Progress, RenderError, RenderRequest, Sampler,
	StartPicture,
};
use std::{ops::ControlFlow, sync::OnceLock};

const SEED: u64 = 20_260_901;

fn pipeline() -> &'static Pipeline {
	static PIPELINE: OnceLock<Pipeline> = OnceLock::new();
	PIPELINE.get_or_init(load)
}

fn load() -> Pipeline {
	let dir = tempfile::tempdir().unwrap();
	untrained::write(dir.path(), SEED).unwrap();
	Pipeline::load(dir.path(), &Device::Cpu).unwrap()
}

fn request() -> RenderRequest {
	RenderRequest {
		prompt: "a red bird".into(),
		negative_prompt: "blurry".into(),
		width: 64,
		height: 64,
		steps: 4,
		guidance_scale: 7.5,
		seed: 42,
		sampler: Sampler::Euler,
		images: 1,
		start: None,
	}
}

fn go_on(_: Progress) -> ControlFlow<()> {
	ControlFlow::Continue(())
}

fn render_all(request: &RenderRequest) -> Vec<Picture> {
	pipeline().render(request, &mut go_on).unwrap()
}

fn render(request: &RenderRequest) -> Picture {
	let mut pictures = render_all(request);
	assert_eq!(pictures.len(), 1);
	pictures.remove(0)
}

/// Root mean square difference of two pictures, in levels of 0 to 255.
fn difference(a: &Picture, b: &Picture) -> f64 {
	assert_eq!(a.rgb.len(), b.rgb.len());
	let sum: f64 =
		a.rgb.iter().zip(&b.rgb).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
	(sum / a.rgb.len() as f64).sqrt()
}

fn deviation(picture: &Picture) -> f64 {
	let count = picture.rgb.len() as f64;
	let mean = picture.rgb.iter().copied().map(f64::from).sum::<f64>() / count;
	let square = |&value: &u8| (f64::from(value) - mean).powi(2);
	(picture.rgb.iter().map(square).sum::<f64>() / count).sqrt()
}

#[test]
fn the_same_request_gives_the_same_pixels() {
	for sampler in Sampler::ALL {
		let request = RenderRequest { sampler, ..request() };
		let first = render(&request);
		assert_eq!(first, render(&request), "{sampler}");
		// Nor does it depend on what was loaded or rendered before.
		let fresh = load().render(&request, &mut go_on).unwrap().remove(0);
		assert_eq!(first.digest(), fresh.digest(), "{sampler}");
	}
}

#[test]
fn every_parameter_changes_the_picture() {
	let base = render(&request());
	for (name, changed) in [
		("seed", RenderRequest { seed: 43, ..request() }),
		("prompt", RenderRequest { prompt: "a blue fish".into(), ..request() }),
		("one letter", RenderRequest { prompt: "a red bard".into(), ..request() }),
		("no prompt", RenderRequest { prompt: String::new(), ..request() }),
		("negative", RenderRequest { negative_prompt: "sharp".into(), ..request() }),
		("steps", RenderRequest { steps: 5, ..request() }),
		("guidance", RenderRequest { guidance_scale: 2.0, ..request() }),
		("sampler", RenderRequest { sampler: Sampler::EulerAncestral, ..request() }),
	] {
		let difference = difference(&base, &render(&changed));
		assert!(difference > 4.0, "{name} changes the picture by {difference}");
	}
}

#[test]
fn pictures_have_content() {
	for prompt in ["", "a red bird", "🦜"] {
		for seed in [0, 1, u64::MAX] {
			let picture = render(&RenderRequest { prompt: prompt.into(), seed, ..request() });
			let spread = deviation(&picture);
			assert!(spread > 20.0, "prompt {prompt:?}, seed {seed}: deviation {spread}");
			let clipped = picture.rgb.iter().filter(|&&value| value == 0 || value == 255).count();
			assert!(clipped * 5 < picture.rgb.len(), "seed {seed}: {clipped} values are clipped");
		}
	}
}

#[test]
fn a_picture_does_not_depend_on_its_batch() {
	let request = RenderRequest { images: 3, seed: u64::MAX, ..request() };
	let batch = render_all(&request);
	assert_eq!(batch.len(), 3);
	// Seeds count up, and around the end.
	for (picture, seed) in batch.iter().zip([u64::MAX, 0, 1]) {
		assert_eq!(*picture, render(&RenderRequest { images: 1, seed, ..request.clone() }));
	}
}

/// A request that starts from a picture with a bright and a dark half.
fn from_picture(strength: f64) -> RenderRequest {
	let rgb = (0..64 * 64).flat_map(|i| [if i % 64 < 32 { 230 } else { 20 }; 3]).collect();
	let picture = Picture { width: 64, height: 64, rgb };
	RenderRequest { start: Some(StartPicture { picture, strength }), steps: 8, ..request() }
}

#[test]
fn a_start_picture_shows_the_more_the_weaker_the_noise() {
	let inverted = |request: RenderRequest| {
		let mut start = request.start.unwrap();
		start.picture.rgb.iter_mut().for_each(|value| *value = 255 - *value);
		RenderRequest { start: Some(start), ..request }
	};
	let of_start = |strength| {
		difference(&render(&from_picture(strength)), &render(&inverted(from_picture(strength))))
	};
	for sampler in Sampler::ALL {
		let request = RenderRequest { sampler, ..from_picture(0.5) };
		let picture = render(&request);
		assert_eq!(picture, render(&request), "{sampler}");
		assert!(difference(&picture, &render(&inverted(request))) > 4.0, "{sampler}");
	}
	let (weak, strong) = (of_start(0.125), of_start(1.0));
	assert!(weak > 2.0 * strong, "{weak}, {strong}");
}

#[test]
fn only_the_steps_that_are_done_are_counted() {
	let mut seen = Vec::new();
	let request = RenderRequest { images: 2, ..from_picture(0.3) };
	let mut progress = |progress: Progress| {
		seen.push((progress.image, progress.step, progress.steps));
		ControlFlow::Continue(())
	};
	let pictures = pipeline().render(&request, &mut progress).unwrap();
	assert_eq!(seen, [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]);
	// Each has its own noise, and does not depend on its batch.
	assert_ne!(pictures[0], pictures[1]);
	assert_eq!(pictures[1], render(&RenderRequest { images: 1, seed: 43, ..request }));
}

#[test]
fn sizes_are_those_asked_for() {
	// 72 and 136 pixels are 9 and 17 latents: odd on the way down.
	for (width, height) in [(64, 64), (128, 64), (64, 128), (72, 136), (200, 64)] {
		let picture = render(&RenderRequest { width, height, steps: 2, ..request() });
		assert_eq!((picture.width, picture.height), (width, height));
		assert_eq!(picture.rgb.len(), (width * height * 3) as usize);
		let png = picture.png();
		let reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
		assert_eq!((reader.info().width, reader.info().height), (width, height));
	}
}

#[test]
fn guidance_of_one_ignores_the_negative_prompt() {
	let one = RenderRequest { guidance_scale: 1.0, ..request() };
	let other = RenderRequest { negative_prompt: "something else".into(), ..one.clone() };
	assert_eq!(render(&one), render(&other));
	// With a scale of 0 nothing is left of the prompt.
	let zero = RenderRequest { guidance_scale: 0.0, ..request() };
	let other = RenderRequest { prompt: "something else".into(), ..zero.clone() };
	assert_eq!(render(&zero), render(&other));
	// A scale close to 1 takes the long way to about the same picture.
	let close = RenderRequest { guidance_scale: 1.0001, ..request() };
	assert!(difference(&render(&one), &render(&close)) < 1.0);
}

#[test]
fn what_is_beyond_the_text_encoder_is_cut() {
	let long = "x".repeat(94);
	let base = render(&RenderRequest { prompt: long.clone(), ..request() });
	let longer = RenderRequest { prompt: format!("{long} and more"), ..request() };
	assert_eq!(base, render(&longer));
}

#[test]
fn progress_counts_every_step_of_every_picture() {
	let mut seen = Vec::new();
	let request = RenderRequest { images: 2, steps: 3, ..request() };
	let mut progress = |progress: Progress| {
		assert_eq!((progress.images, progress.steps), (2, 3));
		seen.push((progress.image, progress.step));
		ControlFlow::Continue(())
	};
	pipeline().render(&request, &mut progress).unwrap();
	assert_eq!(seen, [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]);
}

#[test]
fn rendering_can_be_stopped_and_the_pipeline_used_again() {
	let mut calls = 0;
	let mut stop = |progress: Progress| {
		calls += 1;
		if progress.step == 2 {
			ControlFlow::Break(())
		} else {
			ControlFlow::Continue(())
		}
	};
	let request = RenderRequest { steps: 100, images: 8, ..request() };
	let result = pipeline().render(&request, &mut stop);
	assert!(matches!(result, Err(RenderError::Cancelled)));
	assert_eq!(calls, 2);
	render(&self::request());
}

#[test]
fn impossible_requests_are_refused_before_any_work() {
	let mut progress = |_: Progress| -> ControlFlow<()> { panic!("no step may run") };
	for (request, expected) in [
		(RenderRequest { width: 0, ..request() }, "width is 0: must be 64 to 2048"),
		(RenderRequest { width: 65_537, ..request() }, "width is 65537: must be 64 to 2048"),
		(RenderRequest { height: 65, ..request() }, "height is 65: must be a multiple of 8"),
		(
			RenderRequest { prompt: "x".repeat(100_000), ..request() },
			"prompt is 100000 bytes long: must be at most 8192 bytes",
		),
		(
			RenderRequest { width: 128, ..from_picture(0.5) },
			"start is 64×64 pixels: must be of the wanted size, 128×64",
		),
	] {
		let error = pipeline().render(&request, &mut progress).unwrap_err();
		assert!(matches!(error, RenderError::Request(_)));
		assert_eq!(error.to_string(), expected);
	}
}

#[test]
fn pipelines_can_be_shared_between_threads() {
	fn shared<T: Send + Sync>(_: &T) {}
	shared(pipeline());
	let alone = render(&request());
	std::thread::scope(|scope| {
		let renders: Vec<_> = (0..3).map(|_| scope.spawn(|| render(&request()))).collect();
		for picture in renders {
			assert_eq!(picture.join().unwrap(), alone);
		}
	});
}
