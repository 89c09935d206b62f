//! The schedules and plans against numbers computed here from the papers' formulas. Whole runs are
//! compared with diffusers' in `pipeline/parity.rs`.

use super::{
	level::{clean, Level, KEPT, NOISE, SAMPLE},
	*,
};

const STABLE_DIFFUSION: BetaSchedule = BetaSchedule::ScaledLinear { start: 0.00085, end: 0.012 };

fn schedule(prediction: Prediction, spacing: Option<Spacing>) -> NoiseSchedule {
	with_options(ScheduleOptions {
		prediction,
		spacing,
		steps_offset: 1,
		set_alpha_to_one: false,
		..ScheduleOptions::default()
	})
}

fn with_options(options: ScheduleOptions) -> NoiseSchedule {
	NoiseSchedule::new(STABLE_DIFFUSION, 1000, options)
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

/// The evaluations of a plan that has one for each step.
fn evaluations(plan: &Plan) -> Vec<Evaluation> {
	plan.steps
		.iter()
		.map(|step| match step[..] {
			[evaluation] => evaluation,
			_ => panic!("{} evaluations in a step", step.len()),
		})
		.collect()
}

#[test]
fn names_are_those_of_a1111() {
	for sampler in Sampler::ALL {
		assert_eq!(sampler.to_string().parse(), Ok(sampler));
	}
	assert_eq!("euler A".parse(), Ok(Sampler::EulerAncestral));
	assert_eq!("dpm++ 2m karras".parse(), Ok(Sampler::DpmPlusPlus2MKarras));
	for unknown in ["", "Euler b", "DPM++ 2M SDE"] {
		assert_eq!(unknown.parse::<Sampler>(), Err(UnknownSampler(unknown.into())));
	}
	assert_eq!(
		UnknownSampler("x".into()).to_string(),
		"unknown sampler \"x\": use one of Euler, Euler a, DDIM, DPM++ 2M, DPM++ 2M Karras, UniPC, \
		 LCM, Heun"
	);
}

#[test]
fn beta_schedules_by_hand() {
	let of = |betas, steps| NoiseSchedule::new(betas, steps, ScheduleOptions::default());
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
	close(schedule.sigma(999.0), 14.6146, 1e-5);
	close(schedule.sigma(0.0), 0.0292, 1e-3);
	for timestep in [0, 1, 500, 999] {
		close(schedule.signal(timestep), signal(timestep), 1e-12);
	}
	close(schedule.sigma(10.25), 0.75 * sigma(10) + 0.25 * sigma(11), 1e-12);
}

#[test]
fn a_schedule_can_end_without_signal() {
	let schedule = schedule(Prediction::Velocity, None).without_terminal_signal();
	assert!(schedule.signal(999) == 0.0);
	close(schedule.signal(0), signal(0), 1e-12);
	// √ᾱ is shifted by its last value and stretched to keep its first.
	let (first, last) = (signal(0).sqrt(), signal(999).sqrt());
	let root = (signal(500).sqrt() - last) * first / (first - last);
	close(schedule.signal(500), root * root, 1e-12);
	// Where σ must be finite, 2⁻²⁴ stands for no signal.
	close(schedule.sigma(999.0), 4096.0, 1e-6);

	// DDIM needs no σ: its first sample is noise alone, of which nothing is left in the picture.
	let options = ScheduleOptions { spacing: Some(Spacing::Trailing), ..schedule.options };
	let plan =
		Sampler::Ddim.plan(&with_options(options).without_terminal_signal(), 2, Start::Noise);
	let first = evaluations(&plan)[0];
	close(first.timestep, 999.0, 0.0);
	close(first.clean_from_sample, 0.0, 0.0);
	close(first.clean_from_output, -1.0, 1e-12);
	close(first.next.sample, (1.0 - schedule.signal(499)).sqrt(), 1e-12);
	close(first.next.clean[0], schedule.signal(499).sqrt(), 1e-12);
}

#[test]
fn spacings_by_hand() {
	let all = |spacing: Spacing, steps| spacing.down_to_first(1000, steps, 1);
	assert_eq!(all(Spacing::Leading, 5), [801.0, 601.0, 401.0, 201.0, 1.0]);
	assert_eq!(all(Spacing::Trailing, 4), [999.0, 749.0, 499.0, 249.0]);
	assert_eq!(all(Spacing::Linspace, 4), [999.0, 666.0, 333.0, 0.0]);
	assert_eq!(all(Spacing::Linspace, 3), [999.0, 499.5, 0.0]);
	// A third of 1000 is no whole number: leading rounds the width, trailing the timesteps.
	assert_eq!(all(Spacing::Leading, 3), [667.0, 334.0, 1.0]);
	assert_eq!(all(Spacing::Trailing, 3), [999.0, 666.0, 332.0]);
	assert_eq!(all(Spacing::Linspace, 1), [999.0]);
	assert_eq!(all(Spacing::Trailing, 1), [999.0]);

	let but_first = |spacing: Spacing, steps| spacing.above_first(1000, steps, 1);
	assert_eq!(but_first(Spacing::Linspace, 4), [999.0, 749.0, 500.0, 250.0]);
	assert_eq!(but_first(Spacing::Leading, 4), [801.0, 601.0, 401.0, 201.0]);
	assert_eq!(but_first(Spacing::Trailing, 4), [999.0, 749.0, 499.0, 249.0]);
	assert_eq!(but_first(Spacing::Leading, 1), [501.0]);
}

#[test]
fn timesteps_fall_and_stay_inside_for_every_count() {
	for (train, offset) in [(1000, 1), (151, 7)] {
		for steps in 1..=150 {
			for spacing in [Spacing::Leading, Spacing::Trailing, Spacing::Linspace] {
				for timesteps in [
					spacing.down_to_first(train, steps, offset),
					spacing.above_first(train, steps, offset),
				] {
					assert_eq!(timesteps.len(), steps);
					assert!(timesteps.windows(2).all(|pair| pair[0] > pair[1]), "{timesteps:?}");
					assert!(timesteps[steps - 1] >= 0.0, "{timesteps:?}");
					assert!(timesteps[0] < train as f64, "{timesteps:?}");
				}
			}
			for plan in Sampler::ALL.map(|sampler| {
				let options = ScheduleOptions { steps_offset: offset, ..Default::default() };
				sampler.plan(
					&NoiseSchedule::new(STABLE_DIFFUSION, train, options),
					steps,
					Start::Noise,
				)
			}) {
				assert_eq!(plan.steps.len(), steps);
				for evaluation in plan.steps.iter().flatten() {
					assert!((0.0..train as f64).contains(&evaluation.timestep), "{evaluation:?}");
					assert!(evaluation.next.sample.is_finite(), "{evaluation:?}");
					assert!(evaluation.next.clean[0].is_finite(), "{evaluation:?}");
				}
			}
		}
	}
}

#[test]
fn euler_coefficients() {
	let plan = Sampler::Euler.plan(
		&schedule(Prediction::Epsilon, Some(Spacing::Leading)),
		5,
		Start::Noise,
	);
	let timesteps = [801, 601, 401, 201, 1];
	close(plan.initial.noise, (sigma(801).powi(2) + 1.0).sqrt(), 1e-12);
	for (i, step) in evaluations(&plan).iter().enumerate() {
		let from = sigma(timesteps[i]);
		let to = timesteps.get(i + 1).map_or(0.0, |&t| sigma(t));
		close(step.timestep, timesteps[i] as f64, 0.0);
		close(step.model_input, 1.0 / (from * from + 1.0).sqrt(), 1e-12);
		// x + (σ' − σ) · noise, for any x and noise.
		let (x, noise) = (1.7, -0.4);
		let picture = step.clean_from_sample * x + step.clean_from_output * noise;
		close(picture, x - from * noise, 1e-12);
		let next = step.next.sample * x + step.next.clean[0] * picture;
		close(next, x + (to - from) * noise, 1e-12);
		assert_eq!((step.next.kept, step.next.noise, step.keep), (0.0, 0.0, None));
		assert_eq!(step.next.clean[1..], [0.0, 0.0]);
	}
	let spaced = Sampler::Euler.plan(&schedule(Prediction::Epsilon, None), 5, Start::Noise);
	close(spaced.initial.noise, sigma(999), 1e-12);
}

#[test]
fn euler_ancestral_keeps_the_noise_level() {
	let plan = Sampler::EulerAncestral.plan(&schedule(Prediction::Epsilon, None), 4, Start::Noise);
	let timesteps = [999, 666, 333, 0];
	let steps = evaluations(&plan);
	for (i, step) in steps.iter().enumerate() {
		let from = sigma(timesteps[i]);
		let to = timesteps.get(i + 1).map_or(0.0, |&t| sigma(t));
		// A sample clean + σ · noise has next variance (σ_down² + σ_up²) = σ'² around the clean.
		let down = step.next.sample * from;
		close(down.powi(2) + step.next.noise.powi(2), to * to, 1e-12);
		close(step.next.sample + step.next.clean[0], 1.0, 1e-12);
		let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
		close(step.next.noise, up, 1e-12);
	}
	assert!(steps[0].next.noise > 1.0);
	close(steps[3].next.noise, 0.0, 0.0);
}

#[test]
fn ddim_closed_form() {
	for (set_alpha_to_one, end) in [(false, signal(0)), (true, 1.0)] {
		let plan = Sampler::Ddim.plan(
			&with_options(ScheduleOptions {
				steps_offset: 1,
				set_alpha_to_one,
				..ScheduleOptions::default()
			}),
			4,
			Start::Noise,
		);
		close(plan.initial.noise, 1.0, 0.0);
		let timesteps = [751, 501, 251, 1];
		for (i, step) in evaluations(&plan).iter().enumerate() {
			let from = signal(timesteps[i]);
			let to = timesteps.get(i + 1).map_or(end, |&t| signal(t));
			close(step.timestep, timesteps[i] as f64, 0.0);
			close(step.model_input, 1.0, 1e-12);
			let (x, noise) = (0.9, 0.3);
			let picture = step.clean_from_sample * x + step.clean_from_output * noise;
			close(picture, (x - (1.0 - from).sqrt() * noise) / from.sqrt(), 1e-12);
			let next = step.next.sample * x + step.next.clean[0] * picture;
			close(next, to.sqrt() * picture + (1.0 - to).sqrt() * noise, 1e-12);
		}
	}
}

/// The paper's update of a sample of unit power, from σ to σ'.
fn dpm_solver(from: f64, to: f64, x: f64, picture: f64) -> f64 {
	let alpha = |sigma: f64| 1.0 / (1.0 + sigma * sigma).sqrt();
	let h = from.ln() - to.ln();
	(to * alpha(to)) / (from * alpha(from)) * x - alpha(to) * (-h).exp_m1() * picture
}

#[test]
fn dpmpp_2m_closed_form() {
	let plan = Sampler::DpmPlusPlus2M.plan(&schedule(Prediction::Epsilon, None), 4, Start::Noise);
	close(plan.initial.noise, 1.0, 0.0);
	let sigmas = [sigma(999), sigma(749), sigma(500), sigma(250)];
	let (x, picture, before) = (1.1, 0.7, -0.2);
	for (i, step) in evaluations(&plan).iter().enumerate() {
		let next =
			step.next.sample * x + step.next.clean[0] * picture + step.next.clean[1] * before;
		let expected = match i {
			0 => dpm_solver(sigmas[0], sigmas[1], x, picture),
			3 => picture,
			_ => {
				let h = sigmas[i].ln() - sigmas[i + 1].ln();
				let r = (sigmas[i - 1].ln() - sigmas[i].ln()) / h;
				let extrapolated = (1.0 + 0.5 / r) * picture - 0.5 / r * before;
				dpm_solver(sigmas[i], sigmas[i + 1], x, extrapolated)
			},
		};
		close(next, expected, 1e-12);
	}
	// Ending at the noise of timestep 0, the last step is of second order in long runs.
	let options =
		ScheduleOptions { final_sigma: FinalSigma::Smallest, ..ScheduleOptions::default() };
	for (steps, second_order) in [(14, false), (15, true)] {
		let plan = Sampler::DpmPlusPlus2M.plan(&with_options(options), steps, Start::Noise);
		let last = evaluations(&plan)[steps - 1];
		assert_eq!(last.next.clean[1] != 0.0, second_order, "{steps} steps");
		assert!(last.next.sample > 0.0);
	}
}

#[test]
fn karras_levels_by_hand() {
	let schedule = schedule(Prediction::Epsilon, None);
	let levels = schedule.karras(3);
	let root = |timestep| sigma(timestep).powf(1.0 / 7.0);
	let middle = f64::midpoint(root(999), root(0)).powi(7);
	for ((_, found), expected) in levels.iter().zip([sigma(999), middle, sigma(0)]) {
		close(*found, expected, 1e-9);
	}
	assert_eq!((levels[0].0, levels[2].0), (999.0, 0.0));
	// No other timestep comes closer in log σ.
	let found = levels[1].0 as usize;
	let distance = |timestep| (sigma(timestep).ln() - middle.ln()).abs();
	assert!(distance(found) < distance(found - 1) && distance(found) < distance(found + 1));
	assert_eq!(schedule.karras(1), [(999.0, levels[0].1)]);
}

#[test]
fn heun_closed_form() {
	let plan = Sampler::Heun.plan(&schedule(Prediction::Epsilon, None), 3, Start::Noise);
	let counts: Vec<_> = plan.steps.iter().map(Vec::len).collect();
	assert_eq!(counts, [2, 2, 1]);
	let (from, to) = (sigma(999), schedule(Prediction::Epsilon, None).sigma(499.5));
	let [first, second] = plan.steps[0][..] else { panic!("two evaluations") };
	assert_eq!((first.timestep, second.timestep), (999.0, 499.5));
	assert_eq!(first.keep, Some(SAMPLE));
	// With noise of slope a at the start and b at the end: x + (σ' − σ) (a + b) / 2.
	let (x, a, b) = (2.0, 0.6, -0.3);
	let clean_a = x - from * a;
	let predicted = first.next.sample * x + first.next.clean[0] * clean_a;
	close(predicted, x + (to - from) * a, 1e-12);
	let clean_b = second.clean_from_sample * predicted + second.clean_from_output * b;
	close(clean_b, predicted - to * b, 1e-12);
	let next = second.next.sample * predicted
		+ second.next.kept * x
		+ second.next.clean[0] * clean_b
		+ second.next.clean[1] * clean_a;
	close(next, x + (to - from) * (a + b) / 2.0, 1e-12);
}

#[test]
fn lcm_closed_form() {
	let plan = Sampler::Lcm.plan(&schedule(Prediction::Epsilon, None), 4, Start::Noise);
	// Of the timesteps 19, 39 … 999 that the model was distilled on, every 12th or 13th.
	let timesteps = [999, 759, 499, 259];
	let steps = evaluations(&plan);
	for (i, step) in steps.iter().enumerate() {
		close(step.timestep, timesteps[i] as f64, 0.0);
		let scaled = timesteps[i] as f64 * 10.0;
		let (skip, out) =
			(0.25 / (scaled * scaled + 0.25), scaled / (scaled * scaled + 0.25).sqrt());
		let next = timesteps.get(i + 1).map_or(1.0, |&t| signal(t));
		close(step.next.sample, next.sqrt() * skip, 1e-12);
		close(step.next.clean[0], next.sqrt() * out, 1e-12);
		close(step.next.noise, (1.0 - next).sqrt(), 1e-12);
	}
	// More steps than the model was distilled on: as many in between.
	let plan = Sampler::Lcm.plan(&schedule(Prediction::Epsilon, None), 100, Start::Noise);
	let timesteps: Vec<_> = evaluations(&plan).iter().map(|step| step.timestep).collect();
	assert_eq!((timesteps[0], timesteps[1], timesteps[99]), (999.0, 989.0, 9.0));
}

#[test]
fn unipc_closed_form() {
	let schedule = schedule(Prediction::Epsilon, None);
	let steps = evaluations(&Sampler::UniPc.plan(&schedule, 4, Start::Noise));
	let sigmas = [sigma(999), sigma(749), sigma(500), sigma(250)];
	let (x, kept, clean) = (0.4, 1.1, [0.7, -0.2, 0.5]);
	let sum = |weights: &Combination| {
		weights.sample * x
			+ weights.kept * kept
			+ weights.clean.iter().zip(clean).map(|(weight, value)| weight * value).sum::<f64>()
	};
	// Nothing to correct at first, then by the mean of two pictures, then by three.
	assert_eq!(steps[0].keep, Some(SAMPLE));
	let corrected =
		[x, dpm_solver(sigmas[0], sigmas[1], kept, f64::midpoint(clean[0], clean[1])), {
			let h = sigmas[1].ln() - sigmas[2].ln();
			let r = (sigmas[1].ln() - sigmas[0].ln()) / h;
			// ∫ e^(λ − h) λᵏ⁻¹ over the step, over h^(k−1) and 1 − e^(−h), by a fine sum.
			let moment = |k: i32| {
				let count = 100_000;
				let at = |i: usize| (i as f64 + 0.5) / f64::from(count) * h;
				let terms = (0..count as usize).map(|i| (at(i) - h).exp() * (at(i) / h).powi(k));
				terms.sum::<f64>() * h / f64::from(count) / -(-h).exp_m1()
			};
			// The parabola through the three pictures at r, 0 and 1, integrated.
			let (at_r, at_0, at_1) = (clean[2], clean[1], clean[0]);
			let curve = ((at_r - at_0) / r - (at_1 - at_0)) / (r - 1.0);
			let line = (at_1 - at_0) - curve;
			let mean = at_0 + line * moment(1) + curve * moment(2);
			dpm_solver(sigmas[1], sigmas[2], kept, mean)
		}];
	for (i, expected) in corrected.into_iter().enumerate() {
		close(sum(&steps[i].keep.unwrap()), expected, 1e-8);
		// Predicted from there as DPM-Solver++ does.
		let mut picture = clean[0];
		if i > 0 {
			let h = sigmas[i].ln() - sigmas[i + 1].ln();
			let r = (sigmas[i - 1].ln() - sigmas[i].ln()) / h;
			picture += 0.5 / r * (clean[0] - clean[1]);
		}
		let next = dpm_solver(sigmas[i], sigmas[i + 1], expected, picture);
		close(sum(&steps[i].next), next, 1e-8);
	}
	// The last step ends at the clean picture.
	close(sum(&steps[3].next), clean[0], 1e-12);
}

#[test]
fn levels_are_made_of_what_they_say() {
	for level in [Level::growing(3.0, 2.0), Level::unit(3.0, 2.0), Level::of_signal(3.0, 0.2)] {
		close(level.noise / level.clean, 2.0, 1e-12);
		close(level.log_snr(), -(2.0_f64.ln()), 1e-12);
		close(level.model_input() * level.noise, 0.8_f64.sqrt(), 1e-12);
		let there = level.toward(&Level::unit(0.0, 0.5), SAMPLE, clean(0));
		// A sample made of a picture and noise keeps both.
		close(there.sample * level.noise, 0.2_f64.sqrt(), 1e-12);
		close(there.sample * level.clean + there.clean[0], 0.8_f64.sqrt(), 1e-12);
		assert_eq!(level.toward(&Level::unit(0.0, 0.0), SAMPLE, clean(0)), clean(0));
	}
	let sum = (SAMPLE + KEPT * 2.0 + clean(2) * -1.0 + NOISE) * 3.0;
	assert_eq!((sum.sample, sum.kept, sum.clean, sum.noise), (3.0, 6.0, [0.0, 0.0, -3.0], 3.0));
}

/// The three ways to say the same thing lead to the same clean picture.
#[test]
fn predictions_agree() {
	let (clean, noise) = (0.8, -1.3);
	for sampler in Sampler::ALL {
		if sampler == Sampler::DpmPlusPlus2MKarras {
			// Its levels lie between the timesteps that the model is told.
			continue;
		}
		for prediction in [Prediction::Epsilon, Prediction::Velocity, Prediction::Sample] {
			let schedule = schedule(prediction, Some(Spacing::Leading));
			for step in sampler.plan(&schedule, 7, Start::Noise).steps.into_iter().flatten() {
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
