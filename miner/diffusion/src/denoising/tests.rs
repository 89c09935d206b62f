//! The loop with models whose answers are known.

use super::*;
use crate::samplers::{BetaSchedule, NoiseSchedule, Prediction, Sampler, Spacing};

const LEN: usize = 64;

fn schedule(prediction: Prediction) -> NoiseSchedule {
	let betas = BetaSchedule::ScaledLinear { start: 0.00085, end: 0.012 };
	NoiseSchedule::new(betas, 1000, prediction, Some(Spacing::Leading), 1, true)
}

fn clean_picture() -> Vec<f32> {
	(0..LEN).map(|i| (i as f32 * 0.37).sin()).collect()
}

/// A model that knows the clean picture: whatever noise it is shown, it names all of it.
fn oracle(
	schedule: &NoiseSchedule,
) -> impl FnMut(&[f32], f64) -> Result<Vec<f32>, RenderError> + '_ {
	move |seen, timestep| {
		let share = schedule.signal(timestep as usize);
		let (signal, noise) = (share.sqrt(), (1.0 - share).sqrt());
		Ok(seen
			.iter()
			.zip(clean_picture())
			.map(|(&seen, clean)| {
				let clean = f64::from(clean);
				let epsilon = (f64::from(seen) - signal * clean) / noise;
				(match schedule.prediction {
					Prediction::Epsilon => epsilon,
					Prediction::Velocity => signal * epsilon - noise * clean,
					Prediction::Sample => clean,
				}) as f32
			})
			.collect())
	}
}

fn go_on(_: usize) -> ControlFlow<()> {
	ControlFlow::Continue(())
}

#[test]
fn every_sampler_recovers_what_a_perfect_model_knows() {
	for prediction in [Prediction::Epsilon, Prediction::Velocity, Prediction::Sample] {
		let schedule = schedule(prediction);
		for sampler in Sampler::ALL {
			for steps in [1, 2, 20, 150] {
				let plan = sampler.plan(&schedule, steps);
				let noise = PictureNoise::new(3);
				let found =
					denoise(&plan, &noise, LEN, &mut oracle(&schedule), &mut go_on).unwrap();
				for (found, clean) in found.iter().zip(clean_picture()) {
					assert!(
						(found - clean).abs() < 1e-3,
						"{sampler}, {prediction:?}, {steps} steps: {found} is not {clean}"
					);
				}
			}
		}
	}
}

#[test]
fn the_first_question_is_unit_noise_of_the_seed() {
	let schedule = schedule(Prediction::Epsilon);
	for sampler in Sampler::ALL {
		let plan = sampler.plan(&schedule, 3);
		let noise = PictureNoise::new(11);
		let mut first = Vec::new();
		let mut predict = |seen: &[f32], _: f64| {
			if first.is_empty() {
				first = seen.to_vec();
			}
			Ok(vec![0.0; LEN])
		};
		denoise(&plan, &noise, LEN, &mut predict, &mut go_on).unwrap();
		for (seen, unit) in first.iter().zip(noise.start(LEN)) {
			assert!((seen - unit).abs() < 1e-5, "{sampler}: {seen} is not {unit}");
		}
	}
}

#[test]
fn only_the_ancestral_sampler_takes_fresh_noise() {
	let schedule = schedule(Prediction::Epsilon);
	for sampler in Sampler::ALL {
		let plan = sampler.plan(&schedule, 5);
		let fresh = plan.steps.iter().filter(|step| step.next_from_noise > 0.0).count();
		assert_eq!(fresh, if sampler == Sampler::EulerAncestral { 4 } else { 0 }, "{sampler}");
	}
}

#[test]
fn the_callback_counts_steps_and_can_stop() {
	let schedule = schedule(Prediction::Epsilon);
	let plan = Sampler::Euler.plan(&schedule, 10);
	let noise = PictureNoise::new(1);
	let mut seen = Vec::new();
	let mut stop_at_three = |step| {
		seen.push(step);
		if step == 3 {
			ControlFlow::Break(())
		} else {
			ControlFlow::Continue(())
		}
	};
	let result = denoise(&plan, &noise, LEN, &mut oracle(&schedule), &mut stop_at_three);
	assert!(matches!(result, Err(RenderError::Cancelled)));
	assert_eq!(seen, [1, 2, 3]);
}

#[test]
fn nonsense_is_found_in_the_step_that_made_it() {
	let schedule = schedule(Prediction::Epsilon);
	let plan = Sampler::Ddim.plan(&schedule, 4);
	for bad in [f32::NAN, f32::INFINITY] {
		let mut calls = 0;
		let mut predict = |_: &[f32], _: f64| {
			calls += 1;
			Ok(vec![if calls == 2 { bad } else { 0.0 }; LEN])
		};
		let noise = PictureNoise::new(1);
		let error = denoise(&plan, &noise, LEN, &mut predict, &mut go_on).unwrap_err();
		assert!(error.to_string().contains("in step 2"), "{error}");
	}
}
