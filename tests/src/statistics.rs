//! Whether counts fit the probabilities that they should come from.

/// Pearson's statistic of counts in three classes: the sum of (observed − expected)² / expected.
///
/// With three classes it has two degrees of freedom, and [`p_value`] tells what it means.
pub fn chi_square(observed: [u64; 3], weights: [u128; 3]) -> f64 {
	let total = observed.iter().sum::<u64>() as f64;
	let weight = weights.iter().sum::<u128>() as f64;
	observed
		.iter()
		.zip(weights)
		.map(|(&observed, part)| {
			let expected = total * part as f64 / weight;
			(observed as f64 - expected).powi(2) / expected
		})
		.sum()
}

/// The probability that chance alone makes the statistic of three classes this large or larger. The
/// chi-square distribution with two degrees of freedom is exponential with the mean 2.
pub fn p_value(chi_square: f64) -> f64 {
	(-chi_square / 2.0).exp()
}

#[cfg(test)]
mod tests {
	use super::*;

	const WEIGHTS: [u128; 3] = [20, 40, 140];

	#[test]
	fn a_perfect_fit_is_certain() {
		assert!(chi_square([20, 40, 140], WEIGHTS).abs() < 1e-12);
		assert!((p_value(0.0) - 1.0).abs() < 1e-12);
	}

	#[test]
	fn the_statistic_is_pearsons() {
		// (10-20)²/20 + (50-40)²/40 + 0 = 7.5
		assert!((chi_square([10, 50, 140], WEIGHTS) - 7.5).abs() < 1e-12);
	}

	#[test]
	fn the_table_of_critical_values_is_met() {
		// Two degrees of freedom: 5.991 at 0.05, 13.816 at 0.001.
		assert!((p_value(5.991) - 0.05).abs() < 1e-4);
		assert!((p_value(13.816) - 0.001).abs() < 1e-5);
	}

	#[test]
	fn equal_shares_do_not_fit_unequal_stakes() {
		assert!(p_value(chi_square([67, 67, 66], WEIGHTS)) < 1e-12);
	}
}
