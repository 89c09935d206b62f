//! Whether many draws fit their chances.
//!
//! Who is eligible, and with which weight, differs from draw to draw, so a miner's chance is p in one draw
//! and another p in the next. Over all draws it is drawn `Σ p` times on average, with the variance
//! `Σ p (1 − p)`, and two miners with the covariance `− Σ p q`. Only draws with a choice count: those in
//! which at least two had a chance.

use std::collections::HashMap;
use std::hash::Hash;

/// A miner whose observed share is so many standard deviations off, or more, does not get what it should:
/// by chance alone that happens to 7 miners in a million.
pub const MOST_DEVIATIONS: f64 = 4.5;
/// Deviations mean something from so many expected draws on: below, the normal distribution is no good
/// picture of counts.
pub const LEAST_EXPECTED: f64 = 25.0;
/// The least probability of shares that are off by chance; a smaller one is not believed.
pub const LEAST_PROBABILITY: f64 = 1e-6;
/// Cells of the chi-square test: miners beyond so many share one.
const CELLS: usize = 128;
/// Cells in which less is expected are merged, as is usual for the test.
const LEAST_IN_CELL: f64 = 5.0;

/// Observed and expected draws.
#[derive(Clone, Debug)]
pub struct Fairness<K> {
	place: HashMap<K, usize>,
	shares: Vec<Share<K>>,
	/// Sum over all draws of p q, for each two cells.
	products: Vec<[f64; CELLS]>,
	draws: u64,
	without_choice: u64,
}

/// What a miner got.
#[derive(Clone, Debug, PartialEq)]
pub struct Share<K> {
	/// The miner.
	pub miner: K,
	/// Draws with a choice in which it was eligible.
	pub eligible: u64,
	/// How often it was drawn in these.
	pub observed: u64,
	/// How often it is drawn in these on average.
	pub expected: f64,
	/// The variance of that number.
	pub variance: f64,
}

impl<K> Share<K> {
	/// How many standard deviations there are between observed and expected.
	pub fn deviations(&self) -> f64 {
		let off = self.observed as f64 - self.expected;
		// A variance that is lost in rounding errors: it was drawn always, or never, as it should be.
		if self.variance < 1e-9 {
			0.0
		} else {
			off / self.variance.sqrt()
		}
	}

	/// Whether it got what it should, as far as that can be said.
	pub fn fits(&self) -> bool {
		self.expected < LEAST_EXPECTED || self.deviations().abs() < MOST_DEVIATIONS
	}
}

/// The outcome of a chi-square test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChiSquare {
	/// The statistic.
	pub statistic: f64,
	/// Degrees of freedom.
	pub degrees: usize,
	/// Probability that chance alone makes the statistic as large or larger.
	pub probability: f64,
}

impl<K> Default for Fairness<K> {
	fn default() -> Self {
		Self {
			place: HashMap::new(),
			shares: Vec::new(),
			products: Vec::new(),
			draws: 0,
			without_choice: 0,
		}
	}
}

impl<K: Copy + Eq + Hash> Fairness<K> {
	/// Counts a draw of `drawn` among miners with these weights.
	pub fn add(&mut self, weights: &[(K, u128)], drawn: K) {
		let total = weights.iter().map(|(_, weight)| weight).sum::<u128>() as f64;
		if weights.iter().filter(|(_, weight)| *weight > 0).count() < 2 {
			self.without_choice += 1;
			return;
		}
		self.draws += 1;
		let mut in_cells: Vec<(usize, f64)> = Vec::with_capacity(weights.len().min(CELLS));
		let mut in_last = 0.0;
		for (miner, weight) in weights {
			let chance = *weight as f64 / total;
			let place = *self.place.entry(*miner).or_insert_with(|| {
				let (miner, expected, variance) = (*miner, 0.0, 0.0);
				self.shares.push(Share { miner, eligible: 0, observed: 0, expected, variance });
				self.shares.len() - 1
			});
			let share = &mut self.shares[place];
			share.eligible += 1;
			share.observed += u64::from(*miner == drawn);
			share.expected += chance;
			share.variance += chance * (1.0 - chance);
			if place < CELLS - 1 {
				in_cells.push((place, chance));
			} else {
				in_last += chance;
			}
		}
		if in_last > 0.0 {
			in_cells.push((CELLS - 1, in_last));
		}
		self.products.resize(self.shares.len().min(CELLS), [0.0; CELLS]);
		for (a, p) in &in_cells {
			for (b, q) in &in_cells {
				self.products[*a][*b] += p * q;
			}
		}
	}

	/// Draws with a choice.
	pub fn draws(&self) -> u64 {
		self.draws
	}

	/// Draws without one.
	pub fn without_choice(&self) -> u64 {
		self.without_choice
	}

	/// What each miner got, most expected first.
	pub fn shares(&self) -> Vec<&Share<K>> {
		let mut shares: Vec<_> = self.shares.iter().collect();
		shares.sort_by(|a, b| b.expected.total_cmp(&a.expected));
		shares
	}

	/// Whether all fits: every miner, and the test of all together.
	pub fn fits(&self) -> bool {
		self.shares.iter().all(Share::fits)
			&& self.chi_square().is_none_or(|test| test.probability > LEAST_PROBABILITY)
	}

	/// The statistic is `dᵀ S⁻ d`, with the differences `d` of observed and expected and their covariance
	/// `S`, whose rank is the number of degrees of freedom. Where all draws have the same chances that
	/// is Pearson's `Σ (observed − expected)² / expected`. `None` while there is nothing to compare.
	pub fn chi_square(&self) -> Option<ChiSquare> {
		let (differences, covariance) = self.cells();
		let (statistic, degrees) = quadratic_form(differences, covariance);
		(degrees > 0).then(|| ChiSquare {
			statistic,
			degrees,
			probability: chi_square_survival(statistic, degrees),
		})
	}

	/// Differences of observed and expected and their covariances, in cells in which enough is expected.
	fn cells(&self) -> (Vec<f64>, Vec<Vec<f64>>) {
		let count = self.products.len();
		let (mut off, mut expected) = (vec![0.0; count], vec![0.0; count]);
		for (place, share) in self.shares.iter().enumerate() {
			let cell = place.min(CELLS - 1);
			off[cell] += share.observed as f64 - share.expected;
			expected[cell] += share.expected;
		}
		// The smallest are merged until all are large enough: cell `a` goes to `merged[a]`.
		let mut order: Vec<usize> = (0..count).collect();
		order.sort_by(|a, b| expected[*a].total_cmp(&expected[*b]));
		let (mut merged, mut sum, mut groups) = (vec![0; count], 0.0, 0);
		for (rank, cell) in order.iter().enumerate() {
			merged[*cell] = groups;
			sum += expected[*cell];
			let rest: f64 = order[rank + 1..].iter().map(|cell| expected[*cell]).sum();
			if sum >= LEAST_IN_CELL && rest >= LEAST_IN_CELL {
				(sum, groups) = (0.0, groups + 1);
			}
		}
		groups += 1;
		let mut differences = vec![0.0; groups];
		let mut covariance = vec![vec![0.0; groups]; groups];
		for a in 0..count {
			differences[merged[a]] += off[a];
			covariance[merged[a]][merged[a]] += expected[a];
			for b in 0..count {
				covariance[merged[a]][merged[b]] -= self.products[a][b];
			}
		}
		(differences, covariance)
	}
}

/// `dᵀ S⁻ d` and the rank of `S`, a covariance matrix in the range of which `d` lies: by elimination, each
/// time with the largest variance that is left.
fn quadratic_form(mut d: Vec<f64>, mut s: Vec<Vec<f64>>) -> (f64, usize) {
	let largest = (0..d.len()).map(|i| s[i][i]).fold(0.0, f64::max);
	let mut left: Vec<usize> = (0..d.len()).collect();
	let (mut statistic, mut rank) = (0.0, 0);
	while let Some(at) =
		(0..left.len()).max_by(|a, b| s[left[*a]][left[*a]].total_cmp(&s[left[*b]][left[*b]]))
	{
		let pivot = left.swap_remove(at);
		let variance = s[pivot][pivot];
		// What is left is rounding errors.
		if variance <= 1e-9 * largest {
			break;
		}
		statistic += d[pivot] * d[pivot] / variance;
		rank += 1;
		for i in &left {
			let factor = s[*i][pivot] / variance;
			d[*i] -= factor * d[pivot];
			for j in &left {
				s[*i][*j] -= factor * s[pivot][*j];
			}
		}
	}
	(statistic, rank)
}

/// The probability that a chi-square variable with so many degrees of freedom is `x` or more: the
/// regularized upper incomplete gamma function `Q(degrees / 2, x / 2)`, by
/// `Q(a + 1, y) = Q(a, y) + y^a e^−y / Γ(a + 1)` from `Q(1/2, y) = erfc(√y)` or `Q(1, y) = e^−y`
/// (Abramowitz and Stegun, 6.5.21 and 26.4).
fn chi_square_survival(x: f64, degrees: usize) -> f64 {
	let y = x.max(0.0) / 2.0;
	let (mut a, mut q) =
		if degrees % 2 == 1 { (0.5, libm::erfc(y.sqrt())) } else { (1.0, (-y).exp()) };
	while a < degrees as f64 / 2.0 {
		// In logarithms, as powers and factorials are large.
		if y > 0.0 {
			q += (a * y.ln() - y - libm::lgamma(a + 1.0)).exp();
		}
		a += 1.0;
	}
	q.min(1.0)
}

#[cfg(test)]
mod tests {
	use super::*;

	/// Draws with the same chances, of which so many fell on each.
	fn drawn(counts: &[u64], weights: &[u128]) -> Fairness<usize> {
		let weights: Vec<(usize, u128)> = weights.iter().copied().enumerate().collect();
		let mut fairness = Fairness::default();
		for (miner, count) in counts.iter().enumerate() {
			(0..*count).for_each(|_| fairness.add(&weights, miner));
		}
		fairness
	}

	fn close(a: f64, b: f64) -> bool {
		(a - b).abs() < 1e-6 * b.abs().max(1.0)
	}

	#[test]
	fn with_equal_chances_the_statistic_is_pearsons() {
		let test = drawn(&[10, 50, 140], &[20, 40, 140]).chi_square().unwrap();
		// (10 − 20)² / 20 + (50 − 40)² / 40 + 0 = 7.5
		assert!(close(test.statistic, 7.5) && test.degrees == 2, "{test:?}");
		assert!(close(test.probability, (-3.75_f64).exp()), "{test:?}");
		let perfect = drawn(&[20, 40, 140], &[20, 40, 140]);
		assert!(perfect.chi_square().unwrap().probability > 0.999_999 && perfect.fits());
		assert!(!drawn(&[67, 67, 66], &[20, 40, 140]).fits(), "equal shares, unequal stakes");
	}

	#[test]
	fn the_tables_of_the_distribution_are_met() {
		for (degrees, x) in [(1, 10.828), (2, 13.816), (3, 16.266), (7, 24.322), (30, 59.703)] {
			let probability = chi_square_survival(x, degrees);
			assert!((probability - 0.001).abs() < 1e-6, "{degrees}: {probability}");
		}
		assert!((chi_square_survival(100.0, 127) - 0.963).abs() < 1e-3);
		assert!(close(chi_square_survival(0.0, 5), 1.0) && chi_square_survival(1e9, 5) < 1e-300);
	}

	#[test]
	fn a_deviation_is_in_standard_deviations() {
		// 100 draws with the chance 1/5: variance 16.
		let fairness = drawn(&[28, 72], &[1, 4]);
		let shares = fairness.shares();
		assert_eq!((shares[1].miner, shares[1].eligible, shares[1].observed), (0, 100, 28));
		assert!(close(shares[1].deviations(), 2.0) && close(shares[0].deviations(), -2.0));
		assert!(close(shares[1].expected, 20.0));
	}

	#[test]
	fn draws_without_a_choice_do_not_count() {
		let mut fairness = Fairness::default();
		fairness.add(&[('a', 1)], 'a');
		fairness.add(&[('a', 1), ('b', 0)], 'a');
		assert_eq!((fairness.draws(), fairness.without_choice()), (0, 2));
		assert!(fairness.chi_square().is_none() && fairness.fits() && fairness.shares().is_empty());
	}

	/// Two pairs that never compete: one degree of freedom each.
	#[test]
	fn the_degrees_of_freedom_follow_from_who_competed_with_whom() {
		let mut fairness = Fairness::default();
		for round in 0..100 {
			fairness.add(&[('a', 1), ('b', 1)], if round % 2 == 0 { 'a' } else { 'b' });
			fairness.add(&[('c', 1), ('d', 3)], if round < 33 { 'c' } else { 'd' });
		}
		let test = fairness.chi_square().unwrap();
		// (33 − 25)² / 25 + (67 − 75)² / 75
		assert!(test.degrees == 2 && close(test.statistic, 64.0 / 25.0 + 64.0 / 75.0), "{test:?}");
	}

	#[test]
	fn of_many_small_miners_some_are_taken_together() {
		let weights: Vec<u128> = (0..300).map(|n| 1 + n % 7).collect();
		let counts: Vec<u64> = weights.iter().map(|weight| *weight as u64).collect();
		let test = drawn(&counts, &weights).chi_square().unwrap();
		assert!(test.statistic < 1e-6 && (20..CELLS).contains(&test.degrees), "{test:?}");
	}
}
