//! Activation functions, written so that the compiler makes vectors of them.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// Adding this to a small number rounds it to a whole one, which is then in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts: a multiple of the first is exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// e^x where x is out of this range would be 0 or infinite.
const RANGE: [f32; 2] = [-87.0, 88.0];

/// e^x, to some 2 units in the last place: 2^n times a polynomial (Cephes' `expf`). Below and above
/// [`RANGE`], its value at the end.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
	// Keeps what is not a number.
	let x = x.clamp(RANGE[0], RANGE[1]);
	let shifted = x * LOG2_E + ROUND;
	let n = shifted - ROUND;
	let r = x - n * LN_2[0] - n * LN_2[1];
	let mut p = 1.987_569_1e-4;
	for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
		p = p * r + coefficient;
	}
	let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
	(p * r * r + r + 1.0) * f32::from_bits(power)
}

/// x · σ(x).
#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
	x / (1.0 + exp(-x))
}

/// x · Φ(x), the exact GELU, with the error function to 1.5e-7 (Abramowitz and Stegun 7.1.26).
#[inline(always)]
fn gelu(x: f32) -> f32 {
	let z = x.abs() * FRAC_1_SQRT_2;
	let t = 1.0 / (1.0 + 0.327_591_1 * z);
	let mut p = 1.061_405_4;
	for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
		p = p * t + coefficient;
	}
	let tail = 0.5 * p * t * exp(-z * z);
	x * if x < 0.0 { tail } else { 1.0 - tail }
}

/// GEGLU (Shazeer 2020): of each row of `2 * width` numbers, the first half times the GELU of the
/// second. `rows` holds whole rows.
pub(crate) fn geglu(rows: &[f32], width: usize) -> Vec<f32> {
	/// Rows for a thread at once: enough that handing them out costs nothing.
	const TOGETHER: usize = 1 << 14;

	struct Rows<'a>(&'a [f32], &'a mut [f32], usize);
	impl WithSimd for Rows<'_> {
		type Output = ();

		#[inline(always)]
		fn with_simd<S: Simd>(self, _: S) {
			let Self(rows, gated, width) = self;
			for (row, gated) in rows.chunks(2 * width).zip(gated.chunks_mut(width)) {
				let (values, gates) = row.split_at(width);
				for ((gated, &value), &gate) in gated.iter_mut().zip(values).zip(gates) {
					*gated = value * gelu(gate);
				}
			}
		}
	}

	let mut gated = vec![0.0; rows.len() / 2];
	let together = TOGETHER.div_ceil(width) * width;
	let arch = Arch::new();
	gated
		.par_chunks_mut(together)
		.zip(rows.par_chunks(2 * together))
		.for_each(|(gated, rows)| arch.dispatch(Rows(rows, gated, width)));
	gated
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn exponentials_are_accurate() {
		for i in -870_000..=880_000 {
			let x = i as f32 * 1e-4;
			let exact = f64::from(x).exp();
			let error = (f64::from(exp(x)) / exact - 1.0).abs();
			assert!(error < 3e-7, "e^{x}: {error:.1e}");
		}
		assert_eq!(exp(0.0).to_bits(), 1.0_f32.to_bits());
		assert!(exp(-1e9) < 1e-37 && exp(1e9).is_finite() && exp(f32::NAN).is_nan());
		assert_eq!(exp(f32::NEG_INFINITY).to_bits(), exp(-1e9).to_bits());
	}

	#[test]
	fn activations_are_accurate() {
		for i in -20_000..=20_000 {
			let x = i as f32 * 1e-3;
			let wide = f64::from(x);
			let exact = wide / (1.0 + (-wide).exp());
			assert!((f64::from(silu(x)) - exact).abs() < 1e-6 * (1.0 + wide.abs()), "silu({x})");
			let exact = wide * 0.5 * libm::erfc(-wide / 2.0_f64.sqrt());
			assert!((f64::from(gelu(x)) - exact).abs() < 4e-7 * (1.0 + wide.abs()), "gelu({x})");
		}
		assert!(silu(f32::NAN).is_nan() && gelu(f32::NAN).is_nan());
	}

	#[test]
	fn half_of_a_row_gates_the_other() {
		let rows = [1.0, 2.0, 0.0, 30.0, 3.0, 4.0, -30.0, 1.0];
		let gated = geglu(&rows, 2);
		assert_eq!(gated[..2], [0.0, 60.0]);
		assert!(gated[2].abs() < 1e-30 && (gated[3] - 4.0 * 0.841_344_7).abs() < 1e-5);
		// More than one thread takes.
		let rows: Vec<f32> = (0..400_000).map(|i| (i % 97) as f32 / 9.0 - 5.0).collect();
		let gated = geglu(&rows, 100);
		assert!(gated
			.chunks(100)
			.zip(rows.chunks(200))
			.all(|(gated, row)| (0..100)
				.all(|i| (gated[i] - row[i] * gelu(row[100 + i])).abs() < 1e-5)));
	}
}
