//! Numbers as waves of falling frequency, the form in which the UNet is told timesteps and sizes
//! (Vaswani et al. 2017). Computed in f64: half precision has no room for timesteps.

/// Sines and cosines of `number` at `channels / 2` frequencies from 1 down to 1/10000.
pub(super) fn waves(number: f64, channels: usize, shift: f64, cosine_first: bool) -> Vec<f32> {
	let half = channels / 2;
	let angles = (0..half).map(|i| {
		let exponent = i as f64 / (half as f64 - shift);
		number * libm::pow(10_000.0, -exponent)
	});
	let (sines, cosines): (Vec<_>, Vec<_>) =
		angles.map(|angle| (libm::sin(angle) as f32, libm::cos(angle) as f32)).unzip();
	if cosine_first {
		[cosines, sines].concat()
	} else {
		[sines, cosines].concat()
	}
}

#[cfg(test)]
mod tests {
	use super::waves;

	#[test]
	fn waves_by_hand() {
		// Frequencies 1 and 10000^(-1/2) = 0.01.
		let (t, slow) = (981.0_f64, 9.81_f64);
		let expected = [t.cos(), slow.cos(), t.sin(), slow.sin()];
		for (wave, expected) in waves(t, 4, 0.0, true).into_iter().zip(expected) {
			assert!((f64::from(wave) - expected).abs() < 1e-6, "{wave} is not {expected}");
		}
		// A shift of 1 makes the last frequency 1/10000; sines come first.
		let expected = [t.sin(), (t / 10_000.0).sin(), t.cos(), (t / 10_000.0).cos()];
		for (wave, expected) in waves(t, 4, 1.0, false).into_iter().zip(expected) {
			assert!((f64::from(wave) - expected).abs() < 1e-6, "{wave} is not {expected}");
		}
	}
}
