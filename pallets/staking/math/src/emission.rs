//! What a pot gives, era by era.
//!
//! A pot emits the same fraction `f` of what is left in it every era, so it shrinks like a radioactive
//! element and never runs dry: after `n` eras `(1 - f)^n` of it is left. A half-life of `n` eras
//! is `f = 1 - 2^(-1/n)`.

use sp_arithmetic::{Perbill, Perquintill, Rounding};

use crate::{mul_div, Balance};

/// What a pot with `left` planck in it emits in one era: `left * fraction`, rounded down.
pub fn budget(left: Balance, fraction: Perquintill) -> Balance {
	fraction.mul_floor(left)
}

/// How much of `budget` is due when `elapsed` of the `length` slots of an era have passed:
/// `budget * elapsed / length`, rounded down; all of it from the end on. Differences of this
/// function sum up to the budget exactly.
pub fn due(budget: Balance, elapsed: u64, length: u64) -> Balance {
	if elapsed >= length {
		return budget;
	}
	mul_div(budget, elapsed.into(), length.into(), Rounding::Down).unwrap_or(budget)
}

/// The part of `budget` for each of several recipients, rounded down. What is cut off is given to
/// nobody. The parts must not be more than 100 % together; what exceeds it is not given.
pub fn split<const N: usize>(budget: Balance, parts: [Perbill; N]) -> [Balance; N] {
	let mut left = budget;
	parts.map(|part| {
		let given = part.mul_floor(budget).min(left);
		left = left.saturating_sub(given);
		given
	})
}
