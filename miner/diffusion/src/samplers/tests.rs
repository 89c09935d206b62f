//! The schedules and plans against numbers computed here from the papers' formulas.

use super::*;

const STABLE_DIFFUSION: BetaSchedule = BetaSchedule::ScaledLinear { start: 0.00085, end: 0.012 };

fn schedule(prediction: Prediction, spacing: Option<Spacing>) -> NoiseSchedule {
	NoiseSchedule::new(STABLE_DIFFUSION, 1000, prediction, spacing, 1, false)
}

#[track_caller]
fn close(value: f64, expected: f64, tolerance: f64) {
	assert!(
		(value - expected).abs() <= tolerance * expected.abs().max(1.0),
		"{value} is not {expected}"
	);
}

/// `ᾱ(t)` of Stable Diffusion, written out anew.
fn signal(timestep: usize) -> f64 {
	(0..=timestep)
		.map(|i| {
			let root =
				0.00085_f64.sqrt() + (0.012_f64.sqrt() - 0.00085_f64.sqrt()) * (i as f64) / 999.0;
			1.0 - root * root
		})
		.product()
}

fn sigma(timestep: usize) -> f64 {
	(1.0 / signal(timestep) - 1.0).sqrt()
}

#[test]
fn names_are_those_of_a1111() {
	for sampler in Sampler::ALL {
		assert_eq!(sampler.to_string().parse(), Ok(sampler));
	}
	assert_eq!("euler A".parse(), Ok(Sampler::EulerAncestral));
	assert_eq!("dpm++ 2m".parse(), Ok(Sampler::DpmPlusPlus2M));
	for unknown in ["", "Euler b", "DPM++ 2M Karras"] {
		assert_eq!(unknown.parse::<Sampler>(), Err(UnknownSampler(unknown.into())));
	}
	assert_eq!(
		UnknownSampler("x".into()).to_string(),
		"unknown sampler \"x\": use one of Euler, Euler a, DDIM, DPM++ 2M"
	);
}

#[test]
fn beta_schedules_by_hand() {
	let of = |betas, steps| NoiseSchedule::new(betas, steps, Prediction::Epsilon, None, 0, true);
	let linear = of(BetaSchedule::Linear { start: 0.1, end: 0.3 }, 3);
	close(linear.signal(0), 0.9, 1e-12);
	close(linear.signal(1), 0.9 * 0.8, 1e-12);
	close(linear.signal(2), 0.9 * 0.8 * 0.7, 1e-12);
	// The roots 0.1, 0.2, 0.3 have the squares 0.01, 0.04, 0.09.
	let scaled = of(BetaSchedule::ScaledLinear { start: 0.01, end: 0.09 }, 3);
	close(scaled.signal(2), 0.99 * 0.96 * 0.91, 1e-12);
	// ᾱ follows the cosine exactly as long as β is not capped.
	let cosine = of(BetaSchedule::SquaredCosine, 4);
	let wave = |share: f64| ((share + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
	for i in 0..3 {
		close(cosine.signal(i), wave((i + 1) as f64 / 4.0) / wave(0.0), 1e-12);
	}
	close(cosine.signal(3), cosine.signal(2) * 0.001, 1e-12);
}

#[test]
fn stable_diffusion_has_its_known_sigmas() {
	let schedule = schedule(Prediction::Epsilon, None);
	// The ends that every implementation of Stable Diffusion 1.5 prints.
	close(schedule.largest_sigma(), 14.6146, 1e-5);
	close(schedule.sigma(0.0), 0.0292, 1e-3);
	for timestep in [0, 1, 500, 999] {
		close(schedule.signal(timestep), signal(timestep), 1e-12);
	}
	close(schedule.sigma(10.25), 0.75 * sigma(10) + 0.25 * sigma(11), 1e-12);
}

#[test]
fn spacings_by_hand() {
	let schedule = schedule(Prediction::Epsilon, None);
	assert_eq!(schedule.timesteps(5, Spacing::Leading), [801.0, 601.0, 401.0, 201.0, 1.0]);
	assert_eq!(schedule.timesteps(4, Spacing::Trailing), [999.0, 749.0, 499.0, 249.0]);
	assert_eq!(schedule.timesteps(4, Spacing::Linspace), [999.0, 666.0, 333.0, 0.0]);
	assert_eq!(schedule.timesteps(3, Spacing::Linspace), [999.0, 499.5, 0.0]);
	// A third of 1000 is no whole number: leading rounds the width, trailing the timesteps.
	assert_eq!(schedule.timesteps(3, Spacing::Leading), [667.0, 334.0, 1.0]);
	assert_eq!(schedule.timesteps(3, Spacing::Trailing), [999.0, 666.0, 332.0]);
	assert_eq!(schedule.timesteps(1, Spacing::Linspace), [999.0]);
	assert_eq!(schedule.timesteps(1, Spacing::Trailing), [999.0]);
}

#[test]
fn timesteps_fall_and_stay_inside_for_every_count() {
	let short = NoiseSchedule::new(STABLE_DIFFUSION, 150, Prediction::Epsilon, None, 7, true);
	for schedule in [schedule(Prediction::Epsilon, None), short] {
		for steps in 1..=150 {
			for spacing in [Spacing::Leading, Spacing::Trailing, Spacing::Linspace] {
				let timesteps = schedule.timesteps(steps, spacing);
				assert_eq!(timesteps.len(), steps);
				assert!(timesteps.windows(2).all(|pair| pair[0] > pair[1]), "{timesteps:?}");
				assert!(timesteps[steps - 1] >= 0.0, "{timesteps:?}");
				assert!(schedule.sigma(timesteps[0]).is_finite(), "{timesteps:?}");
			}
		}
	}
}

#[test]
fn euler_coefficients() {
	let plan = Sampler::Euler.plan(&schedule(Prediction::Epsilon, Some(Spacing::Leading)), 5);
	let timesteps = [801, 601, 401, 201, 1];
	close(plan.initial_scale, (sigma(801).powi(2) + 1.0).sqrt(), 1e-12);
	for (i, step) in plan.steps.iter().enumerate() {
		let from = sigma(timesteps[i]);
		let to = timesteps.get(i + 1).map_or(0.0, |&t| sigma(t));
		close(step.timestep, timesteps[i] as f64, 0.0);
		close(step.model_input, 1.0 / (from * from + 1.0).sqrt(), 1e-12);
		// x + (σ' − σ) · noise, for any x and noise.
		let (x, noise) = (1.7, -0.4);
		let clean = step.clean_from_sample * x + step.clean_from_output * noise;
		close(clean, x - from * noise, 1e-12);
		let next = step.next_from_sample * x + step.next_from_clean * clean;
		close(next, x + (to - from) * noise, 1e-12);
		assert_eq!((step.next_from_previous_clean, step.next_from_noise), (0.0, 0.0));
	}
	let spaced = Sampler::Euler.plan(&schedule(Prediction::Epsilon, None), 5);
	close(spaced.initial_scale, sigma(999), 1e-12);
}

#[test]
fn euler_ancestral_keeps_the_noise_level() {
	let plan = Sampler::EulerAncestral.plan(&schedule(Prediction::Epsilon, None), 4);
	let timesteps = [999, 666, 333, 0];
	for (i, step) in plan.steps.iter().enumerate() {
		let from = sigma(timesteps[i]);
		let to = timesteps.get(i + 1).map_or(0.0, |&t| sigma(t));
		// A sample clean + σ · noise has next variance (σ_down² + σ_up²) = σ'² around the clean.
		let down = step.next_from_sample * from;
		close(down.powi(2) + step.next_from_noise.powi(2), to * to, 1e-12);
		close(step.next_from_sample + step.next_from_clean, 1.0, 1e-12);
		let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
		close(step.next_from_noise, up, 1e-12);
	}
	assert!(plan.steps[0].next_from_noise > 1.0);
	close(plan.steps[3].next_from_noise, 0.0, 0.0);
}

#[test]
fn ddim_closed_form() {
	for (to_one, end) in [(false, signal(0)), (true, 1.0)] {
		let schedule =
			NoiseSchedule::new(STABLE_DIFFUSION, 1000, Prediction::Epsilon, None, 1, to_one);
		let plan = Sampler::Ddim.plan(&schedule, 4);
		close(plan.initial_scale, 1.0, 0.0);
		let timesteps = [751, 501, 251, 1];
		for (i, step) in plan.steps.iter().enumerate() {
			let from = signal(timesteps[i]);
			let to = timesteps.get(i + 1).map_or(end, |&t| signal(t));
			close(step.timestep, timesteps[i] as f64, 0.0);
			close(step.model_input, 1.0, 0.0);
			let (x, noise) = (0.9, 0.3);
			let clean = step.clean_from_sample * x + step.clean_from_output * noise;
			close(clean, (x - (1.0 - from).sqrt() * noise) / from.sqrt(), 1e-12);
			let next = step.next_from_sample * x + step.next_from_clean * clean;
			close(next, to.sqrt() * clean + (1.0 - to).sqrt() * noise, 1e-12);
		}
	}
}

#[test]
fn dpmpp_2m_closed_form() {
	let plan = Sampler::DpmPlusPlus2M.plan(&schedule(Prediction::Epsilon, None), 4);
	let sigmas = [sigma(999), sigma(666), sigma(333), sigma(0), 0.0];
	let (x, clean, before) = (1.1, 0.7, -0.2);
	for (i, step) in plan.steps.iter().enumerate() {
		let next = step.next_from_sample * x
			+ step.next_from_clean * clean
			+ step.next_from_previous_clean * before;
		// In log-σ: h = λ' − λ with λ = −ln σ, r = h_before / h.
		let expected = if i == 0 || i == 3 {
			let ratio = sigmas[i + 1] / sigmas[i];
			ratio * x + (1.0 - ratio) * clean
		} else {
			let h = sigmas[i].ln() - sigmas[i + 1].ln();
			let r = (sigmas[i - 1].ln() - sigmas[i].ln()) / h;
			let extrapolated = (1.0 + 0.5 / r) * clean - 0.5 / r * before;
			sigmas[i + 1] / sigmas[i] * x - (-h).exp_m1() * extrapolated
		};
		close(next, expected, 1e-12);
	}
}

/// The three ways to say the same thing lead to the same clean picture.
#[test]
fn predictions_agree() {
	let (clean, noise) = (0.8, -1.3);
	for sampler in Sampler::ALL {
		for prediction in [Prediction::Epsilon, Prediction::Velocity, Prediction::Sample] {
			let schedule = schedule(prediction, Some(Spacing::Leading));
			for step in sampler.plan(&schedule, 7).steps {
				let share = signal(step.timestep as usize);
				let (signal_part, noise_part) = (share.sqrt(), (1.0 - share).sqrt());
				let seen = signal_part * clean + noise_part * noise;
				let output = match prediction {
					Prediction::Epsilon => noise,
					Prediction::Velocity => signal_part * noise - noise_part * clean,
					Prediction::Sample => clean,
				};
				// The model sees model_input · sample.
				let sample = seen / step.model_input;
				let implied = step.clean_from_sample * sample + step.clean_from_output * output;
				close(implied, clean, 1e-9);
			}
		}
	}
}
