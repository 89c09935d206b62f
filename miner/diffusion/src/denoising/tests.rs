//! The loop with models whose answers are known.

use super::*;
use crate::{
	samplers::{
		BetaSchedule, FinalSigma, NoiseSchedule, Prediction, ScheduleOptions, Spacing, Start,
	},
	Sampler,
};
use std::cmp::Ordering;

const LEN: usize = 64;

fn schedule(prediction: Prediction) -> NoiseSchedule {
	let betas = BetaSchedule::ScaledLinear { start: 0.00085, end: 0.012 };
	let spacing = Some(Spacing::Leading);
	let options = ScheduleOptions { prediction, spacing, steps_offset: 1, ..Default::default() };
	NoiseSchedule::new(betas, 1000, options)
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
				(match schedule.options.prediction {
					Prediction::Epsilon => epsilon,
					Prediction::Velocity => signal * epsilon - noise * clean,
					Prediction::Sample => clean,
				}) as f32
			})
			.collect())
	}
}

fn go_on(_: usize, _: &[f32]) -> ControlFlow<()> {
	ControlFlow::Continue(())
}

#[test]
fn every_sampler_recovers_what_a_perfect_model_knows() {
	for prediction in [Prediction::Epsilon, Prediction::Velocity, Prediction::Sample] {
		let schedule = schedule(prediction);
		for sampler in Sampler::ALL {
			for steps in [1, 2, 20, 150] {
				let plan = sampler.plan(&schedule, steps, Start::Noise);
				let noise = PictureNoise::new(3);
				let found =
					denoise(&plan, &noise, &[], LEN, &mut oracle(&schedule), &mut go_on).unwrap();
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
		let plan = sampler.plan(&schedule, 3, Start::Noise);
		let noise = PictureNoise::new(11);
		let mut first = Vec::new();
		let mut predict = |seen: &[f32], _: f64| {
			if first.is_empty() {
				first = seen.to_vec();
			}
			Ok(vec![0.0; LEN])
		};
		denoise(&plan, &noise, &[], LEN, &mut predict, &mut go_on).unwrap();
		for (seen, unit) in first.iter().zip(noise.start(LEN)) {
			assert!((seen - unit).abs() < 1e-5, "{sampler}: {seen} is not {unit}");
		}
	}
}

#[test]
fn from_a_picture_the_first_question_is_the_picture_under_noise() {
	let schedule = schedule(Prediction::Epsilon);
	for sampler in Sampler::ALL {
		for left_out in [0, 2, 4] {
			let plan = sampler.plan(&schedule, 5, Start::Picture { left_out });
			assert_eq!(plan.steps.len(), 5 - left_out);
			let noise = PictureNoise::new(11);
			let mut first = None;
			let mut predict = |seen: &[f32], timestep: f64| {
				first.get_or_insert((seen.to_vec(), timestep));
				Ok(vec![0.0; LEN])
			};
			denoise(&plan, &noise, &clean_picture(), LEN, &mut predict, &mut go_on).unwrap();
			let (seen, timestep) = first.unwrap();
			let whole = sampler.plan(&schedule, 5, Start::Noise);
			assert_eq!(timestep.total_cmp(&whole.steps[left_out][0].timestep), Ordering::Equal);
			let share = schedule.signal(timestep as usize);
			// Timesteps are rounded there, noise levels are not.
			let limit = if sampler == Sampler::DpmPlusPlus2MKarras { 0.01 } else { 1e-5 };
			for ((seen, clean), unit) in seen.iter().zip(clean_picture()).zip(noise.start(LEN)) {
				let expected =
					share.sqrt() * f64::from(clean) + (1.0 - share).sqrt() * f64::from(unit);
				let error = (f64::from(*seen) - expected).abs();
				assert!(error < limit, "{sampler} without {left_out}: {seen} is not {expected}");
			}
		}
	}
}

#[test]
fn from_a_picture_every_sampler_recovers_what_a_perfect_model_knows() {
	let schedule = schedule(Prediction::Velocity);
	let picture: Vec<_> = clean_picture().iter().map(|x| -x).collect();
	for sampler in Sampler::ALL {
		for (steps, left_out) in [(1, 0), (2, 1), (20, 8), (20, 19), (40, 3)] {
			let plan = sampler.plan(&schedule, steps, Start::Picture { left_out });
			let noise = PictureNoise::new(3);
			let mut predict = oracle(&schedule);
			let found = denoise(&plan, &noise, &picture, LEN, &mut predict, &mut go_on).unwrap();
			for (found, clean) in found.iter().zip(clean_picture()) {
				assert!(
					(found - clean).abs() < 1e-3,
					"{sampler}, {steps} steps without {left_out}: {found} is not {clean}"
				);
			}
		}
	}
}

#[test]
fn two_samplers_take_fresh_noise() {
	let schedule = schedule(Prediction::Epsilon);
	for sampler in Sampler::ALL {
		let plan = sampler.plan(&schedule, 5, Start::Noise);
		let fresh = plan.steps.iter().flatten().filter(|step| step.next.noise > 0.0).count();
		let expected = match sampler {
			Sampler::EulerAncestral | Sampler::Lcm => 4,
			_ => 0,
		};
		assert_eq!(fresh, expected, "{sampler}");
	}
}

#[test]
fn the_callback_counts_steps_and_can_stop() {
	let schedule = schedule(Prediction::Epsilon);
	let plan = Sampler::Euler.plan(&schedule, 10, Start::Noise);
	let noise = PictureNoise::new(1);
	let mut seen = Vec::new();
	let mut stop_at_three = |step, _: &[f32]| {
		seen.push(step);
		if step == 3 {
			ControlFlow::Break(())
		} else {
			ControlFlow::Continue(())
		}
	};
	let result = denoise(&plan, &noise, &[], LEN, &mut oracle(&schedule), &mut stop_at_three);
	assert!(matches!(result, Err(RenderError::Cancelled)));
	assert_eq!(seen, [1, 2, 3]);
}

/// For pictures whose latents are normally distributed, the best model and the path of every sample
/// are known: how many deviations it is from the middle never changes. The deterministic methods
/// must come closer to that with more steps, at the rate of their order. (The multistep ones, of
/// order 2, are still on their way there: steps even in time are uneven in log σ at the clean end.)
#[test]
fn methods_converge_at_their_order() {
	const MIDDLE: f64 = 0.7;
	const DEVIATION: f64 = 0.6;
	let betas = BetaSchedule::ScaledLinear { start: 0.00085, end: 0.012 };
	let schedule = NoiseSchedule::new(
		betas,
		1000,
		ScheduleOptions {
			spacing: Some(Spacing::Linspace),
			set_alpha_to_one: false,
			final_sigma: FinalSigma::Smallest,
			..Default::default()
		},
	);
	// The weights of picture and noise in what the model sees, and the deviation of that.
	let made_of = |timestep: f64| {
		let sigma = schedule.sigma(timestep);
		let clean = 1.0 / sigma.hypot(1.0);
		(clean, sigma * clean, (clean * DEVIATION).hypot(sigma * clean))
	};
	let error = |sampler: Sampler, steps: usize| {
		let plan = sampler.plan(&schedule, steps, Start::Noise);
		let mut predict = |seen: &[f32], timestep: f64| {
			let (clean, noise, deviation) = made_of(timestep);
			let epsilon = |&seen: &f32| {
				// The noise that is most likely in it.
				((f64::from(seen) - clean * MIDDLE) * noise / deviation.powi(2)) as f32
			};
			Ok(seen.iter().map(epsilon).collect())
		};
		// All end at timestep 0, Heun before its last step.
		let mut end = Vec::new();
		let mut keep = |step: usize, sample: &[f32]| {
			if step + usize::from(sampler == Sampler::Heun) <= steps {
				end = sample.to_vec();
			}
			ControlFlow::Continue(())
		};
		let noise = PictureNoise::new(5);
		denoise(&plan, &noise, &[], LEN, &mut predict, &mut keep).unwrap();
		let first = &plan.steps[0][0];
		let (clean, _, deviation) = made_of(first.timestep);
		let (end_clean, _, end_deviation) = made_of(0.0);
		// Samples that grow with the noise are that much larger than what the model sees.
		let grows = matches!(sampler, Sampler::Euler | Sampler::Heun);
		let size = if grows { 1.0 / end_clean } else { 1.0 };
		let square = |(start, end): (f32, f32)| {
			let seen = f64::from(start) * plan.initial.noise * first.model_input;
			let deviations = (seen - clean * MIDDLE) / deviation;
			let expected = size * (end_clean * MIDDLE + deviations * end_deviation);
			(f64::from(end) - expected).powi(2)
		};
		(noise.start(LEN).into_iter().zip(end).map(square).sum::<f64>() / LEN as f64).sqrt()
	};
	for (sampler, rates) in [
		(Sampler::Euler, 0.9..1.1),
		(Sampler::Ddim, 0.9..1.1),
		(Sampler::DpmPlusPlus2M, 1.4..2.1),
		(Sampler::UniPc, 1.4..2.1),
		(Sampler::Heun, 1.9..2.1),
	] {
		let errors = [60, 120].map(|steps| error(sampler, steps));
		let rate = (errors[0] / errors[1]).log2();
		assert!(rates.contains(&rate), "{sampler}: errors {errors:?}, order {rate}");
	}
}

#[test]
fn nonsense_is_found_in_the_step_that_made_it() {
	let schedule = schedule(Prediction::Epsilon);
	let plan = Sampler::Ddim.plan(&schedule, 4, Start::Noise);
	for bad in [f32::NAN, f32::INFINITY] {
		let mut calls = 0;
		let mut predict = |_: &[f32], _: f64| {
			calls += 1;
			Ok(vec![if calls == 2 { bad } else { 0.0 }; LEN])
		};
		let noise = PictureNoise::new(1);
		let error = denoise(&plan, &noise, &[], LEN, &mut predict, &mut go_on).unwrap_err();
		assert!(error.to_string().contains("in step 2"), "{error}");
	}
}
