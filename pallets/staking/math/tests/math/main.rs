//! The arithmetic of staking against exact arithmetic in 256 bits.

mod accumulator;
mod commission;
mod emission;
mod pool;
mod slash;
mod stake;

use cuckoo_staking_math::{Balance, Perbill, Pool, Position};
use proptest::prelude::*;
use sp_core::U256;

/// The parts of a whole in which a [`Perbill`] is counted.
const BILLION: u128 = 1_000_000_000;

/// The exact `a * b / c`.
struct Fraction {
	numerator: U256,
	denominator: U256,
}

impl Fraction {
	fn new(a: u128, b: u128, c: u128) -> Self {
		Self { numerator: U256::from(a) * U256::from(b), denominator: U256::from(c) }
	}

	/// The exact `rate` of `amount`.
	fn part(amount: Balance, rate: Perbill) -> Self {
		Self::new(amount, rate.deconstruct().into(), BILLION)
	}

	fn floor(&self) -> u128 {
		(self.numerator / self.denominator).as_u128()
	}

	fn ceil(&self) -> u128 {
		let up = self.numerator % self.denominator > U256::zero();
		self.floor() + u128::from(up)
	}
}

prop_compose! {
	/// A pool that may have had losses, and somebody's position in it.
	fn pool_and_position()(
		shares in 1..=1u128 << 100,
	)(
		balance in prop_oneof![Just(shares), 1..=shares],
		owned in prop_oneof![Just(shares), 0..=shares, 0..=shares.min(1_000)],
		shares in Just(shares),
		epoch in 0..3u32,
	) -> (Pool, Position) {
		(Pool { balance, shares, epoch }, Position { shares: owned, epoch })
	}
}

fn amount() -> impl Strategy<Value = Balance> {
	prop_oneof![0..=1_000u128, 0..=1u128 << 100]
}

/// Any amount that there is.
fn any_amount() -> impl Strategy<Value = Balance> {
	prop_oneof![amount(), any::<Balance>(), Just(Balance::MAX)]
}

fn rate() -> impl Strategy<Value = Perbill> {
	prop_oneof![Just(0), Just(1), Just(999_999_999), Just(1_000_000_000), 0..=1_000_000_000u32]
		.prop_map(Perbill::from_parts)
}

/// Everybody else's shares.
fn rest(pool: &Pool, position: &Position) -> Position {
	Position { shares: pool.shares - position.shares, epoch: pool.epoch }
}
