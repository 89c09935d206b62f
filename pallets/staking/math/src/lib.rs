//! The arithmetic of stake, rewards and slashes: pure, and free of everything that a chain is.
//!
//! - [`Pool`] and [`Position`]: a balance that many share. A loss lowers the balance and leaves the
//!   shares alone, so it reaches every position in one write.
//! - [`Stake`]: a position, and the money held for it, which settles the losses of the pool.
//! - [`Accumulator`] and [`Claim`]: a reward that many share, settled when somebody looks.
//! - [`emission`]: what a pot gives in an era, and how far it has given it.
//! - [`commission`]: what a candidate keeps of the reward of those who back it.
//! - [`slashing`]: how slashes for several offences add up.
//!
//! Rounding always favours those who stay: shares are issued rounding down, redeemed rounding down,
//! burned for a requested amount rounding up and slashed rounding up; rewards are paid rounding
//! down, and what is cut off is carried. Nobody can gain by going in small steps.
//!
//! Balances and shares are plain integers (planck, 10^-18 CAI). Nothing here panics.

#![cfg_attr(not(feature = "std"), no_std)]

mod accumulator;
pub mod commission;
pub mod emission;
mod pool;
pub mod slashing;
mod stake;

pub use accumulator::{Accumulator, Claim, DistributeError};
pub use pool::{Pool, PoolError, Position, MAX_SHARES_A_PLANCK, MAX_SHARES_BOUGHT};
pub use sp_arithmetic::{Perbill, Perquintill, Rounding};
pub use stake::Stake;

use sp_arithmetic::helpers_128bit::multiply_by_rational_with_rounding;

/// An amount of money in planck (10^-18 CAI).
pub type Balance = u128;

/// `a * b / c` without overflow in between; `None` when `c` is zero or the result does not fit.
pub fn mul_div(a: u128, b: u128, c: u128, rounding: Rounding) -> Option<u128> {
	multiply_by_rational_with_rounding(a, b, c, rounding)
}
