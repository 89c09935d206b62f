//! UniPC, Zhao et al. 2023, of order 2 with B(h) = e^h − 1 ("bh2") on the clean picture
//! (diffusers' UniPCMultistepScheduler with its defaults).
//!
//! Each evaluation serves twice: it first corrects the sample that led to it (UniC), then, from the
//! corrected sample, the next one is predicted (UniP). The corrected sample is what is kept.

use super::{
	dpmpp_2m::levels,
	level::{clean, Level, KEPT, SAMPLE},
	Combination, Evaluation, Method, NoiseSchedule, Plan, Start,
};

pub(super) struct UniPc;

impl Method for UniPc {
	fn plan(&self, schedule: &NoiseSchedule, steps: usize, start: Start) -> Plan {
		let levels = levels(schedule, steps);
		let first = start.first();
		// A step is of second order where there is a level before and the end is not next.
		let before = |i: usize| (i > first && i + 1 < steps).then(|| &levels[i - 1]);
		let evaluation = |i: usize| {
			let corrected = if i == first {
				SAMPLE
			} else {
				correct(before(i - 1), &levels[i - 1], &levels[i])
			};
			let next = predict(before(i), &levels[i], &levels[i + 1], corrected);
			let evaluation = Evaluation::at(&levels[i], schedule.options.prediction, next);
			Evaluation { keep: Some(corrected), ..evaluation }
		};
		let steps = (first..steps).map(|i| vec![evaluation(i)]).collect();
		Plan { initial: start.sample(1.0, &levels), steps }
	}
}

/// UniP: the sample at `to`, with the newest clean picture being that at `from`.
fn predict(before: Option<&Level>, from: &Level, to: &Level, sample: Combination) -> Combination {
	let trend = before.map_or(Combination::default(), |before| {
		(clean(1) + clean(0) * -1.0) * (0.5 / place(before, from, to))
	});
	from.toward(to, sample, clean(0) + trend)
}

/// UniC: the sample at `to`, from the one kept at `from`, with the newest clean picture being that
/// which the model saw at `to`.
fn correct(before: Option<&Level>, from: &Level, to: &Level) -> Combination {
	let seen = clean(0) + clean(1) * -1.0;
	let picture = match before {
		None => clean(1) + seen * 0.5,
		// The weights of the changes solve Σ ρ = b₁, Σ ρ r = b₂, with r the places of the pictures.
		Some(before) => {
			let place = place(before, from, to);
			let (b1, b2) = moments(to.log_snr() - from.log_snr());
			let earlier = (b1 - b2) / (1.0 - place);
			let change = (clean(2) + clean(1) * -1.0) * (1.0 / place);
			clean(1) + change * earlier + seen * (b1 - earlier)
		},
	};
	from.toward(to, KEPT, picture)
}

/// Where `before` lies in log-SNR if `from` is at 0 and `to` at 1: negative.
fn place(before: &Level, from: &Level, to: &Level) -> f64 {
	(before.log_snr() - from.log_snr()) / (to.log_snr() - from.log_snr())
}

/// The first two moments of the exponential integral over a step of log-SNR, by B(h).
fn moments(step: f64) -> (f64, f64) {
	let h = -step;
	let b = h.exp_m1();
	let phi2 = b / h - 1.0;
	let phi3 = phi2 / h - 0.5;
	(phi2 / b, phi3 * 2.0 / b)
}
