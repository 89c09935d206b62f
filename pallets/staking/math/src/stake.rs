//! A position together with the money that is held for it.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

use crate::{Balance, Pool, PoolError, Position};

/// Somebody's part of a [`Pool`], and how much is held on the owner's account for it.
///
/// A loss of the pool shows as a gap between what is held and what the shares are worth;
/// [`Stake::settle`] closes it. Nobody is ever paid more than is held for him: rounding may raise the
/// value of shares by a planck over what was paid for them, and that planck belongs to nobody.
#[derive(
	Clone,
	Copy,
	Debug,
	Default,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Stake {
	/// The shares of the pool.
	pub position: Position,
	/// What is held for them, in planck.
	pub held: Balance,
}

impl Stake {
	/// What the stake is worth: the value of its shares, but no more than is held for them.
	pub fn worth(&self, pool: &Pool) -> Balance {
		pool.value_of(&self.position).min(self.held)
	}

	/// Accepts the losses of the pool and returns what is owed for them:
	/// `owed = held - worth`, and from now on `held = worth`.
	pub fn settle(&mut self, pool: &Pool) -> Balance {
		let worth = self.worth(pool);
		let owed = self.held.saturating_sub(worth);
		self.held = worth;
		owed
	}

	/// Puts `amount` into the pool: see [`Pool::deposit`]. The stake must have been settled.
	///
	/// # Errors
	///
	/// Those of [`Pool::deposit`]; nothing has changed then.
	pub fn deposit(&mut self, pool: &mut Pool, amount: Balance) -> Result<(), PoolError> {
		let held = self.held.checked_add(amount).ok_or(PoolError::Overflow)?;
		pool.deposit(&mut self.position, amount)?;
		self.held = held;
		Ok(())
	}

	/// Takes `amount` out of the pool. Taking all that the stake is worth burns all its shares. The
	/// stake must have been settled.
	///
	/// # Errors
	///
	/// [`PoolError::TooSmall`] when `amount` is zero; [`PoolError::Insufficient`] when the stake is
	/// worth less than `amount`. Nothing has changed then.
	pub fn withdraw(&mut self, pool: &mut Pool, amount: Balance) -> Result<(), PoolError> {
		if amount == self.worth(pool) && amount > 0 {
			pool.redeem(&mut self.position);
		} else if amount > self.held {
			return Err(PoolError::Insufficient);
		} else {
			pool.withdraw(&mut self.position, amount)?;
		}
		self.held = self.held.saturating_sub(amount);
		Ok(())
	}
}
