//! Pools and positions in them.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_arithmetic::Rounding;

use crate::{mul_div, Balance, Perbill};

/// The most shares that a planck may be worth. A pool that a loss would leave with a lower price loses
/// everything instead, so that shares always fit: at most 10^9 of them a planck of all CAI.
pub const MAX_SHARES_A_PLANCK: u128 = 1_000_000_000;

/// The most shares that a planck may buy. A pool with a lower price has lost practically everything,
/// and the next deposit begins a new epoch: nobody buys into a pool that a small further loss would
/// empty by the rule of [`MAX_SHARES_A_PLANCK`].
pub const MAX_SHARES_BOUGHT: u128 = 1_000_000;

/// Why a pool could not do what was asked. The pool and the position are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolError {
	/// A sum or a product does not fit in 128 bits.
	Overflow,
	/// The amount is worth no whole share.
	TooSmall,
	/// The position is worth less than the amount.
	Insufficient,
}

/// A balance that belongs to its shares in equal parts.
///
/// Always `balance <= shares`: a share starts at a price of 1, rounding never raises that price
/// above 1, and losses lower it.
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
pub struct Pool {
	/// What all the shares are worth together.
	pub balance: Balance,
	/// How many shares there are.
	pub shares: u128,
	/// How often the pool lost everything. Shares of an earlier epoch are worth nothing.
	pub epoch: u32,
}

/// Somebody's shares of a [`Pool`].
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
pub struct Position {
	/// How many shares.
	pub shares: u128,
	/// The epoch of the pool in which they were issued.
	pub epoch: u32,
}

impl Pool {
	/// Whether nothing is left in the pool, shares included.
	pub fn is_empty(&self) -> bool {
		self.balance == 0 && self.shares == 0
	}

	/// What `position` is worth, rounded down.
	pub fn value_of(&self, position: &Position) -> Balance {
		if position.epoch != self.epoch || self.shares == 0 {
			return 0;
		}
		// At most `balance`, because a position has at most all the shares: this cannot overflow.
		mul_div(self.balance, position.shares, self.shares, Rounding::Down).unwrap_or(self.balance)
	}

	/// Puts `amount` into the pool for `position` and returns the shares issued for it, rounded
	/// down.
	///
	/// The first amount buys one share a planck. A pool that lost everything, or so much that a planck
	/// would buy more than [`MAX_SHARES_BOUGHT`] shares, begins a new epoch, and so does a position
	/// that was left with worthless shares.
	///
	/// # Errors
	///
	/// [`PoolError::TooSmall`] when `amount` is zero; [`PoolError::Overflow`] when the pool cannot
	/// take so much.
	pub fn deposit(&mut self, position: &mut Position, amount: Balance) -> Result<u128, PoolError> {
		let mut pool = *self;
		if pool.balance < pool.shares.div_ceil(MAX_SHARES_BOUGHT) {
			pool.epoch = pool.epoch.checked_add(1).ok_or(PoolError::Overflow)?;
			pool.shares = 0;
			pool.balance = 0;
		}
		let issued = if pool.shares == 0 {
			amount
		} else {
			mul_div(amount, pool.shares, pool.balance, Rounding::Down).ok_or(PoolError::Overflow)?
		};
		if issued == 0 {
			return Err(PoolError::TooSmall);
		}
		pool.balance = pool.balance.checked_add(amount).ok_or(PoolError::Overflow)?;
		pool.shares = pool.shares.checked_add(issued).ok_or(PoolError::Overflow)?;
		let owned = if position.epoch == pool.epoch { position.shares } else { 0 };
		let shares = owned.checked_add(issued).ok_or(PoolError::Overflow)?;
		*position = Position { shares, epoch: pool.epoch };
		*self = pool;
		Ok(issued)
	}

	/// Takes `amount` out of the pool from `position` and returns the shares burned for it, rounded
	/// up. Taking all that the position is worth burns all its shares.
	///
	/// # Errors
	///
	/// [`PoolError::TooSmall`] when `amount` is zero; [`PoolError::Insufficient`] when the position
	/// is worth less than `amount`.
	pub fn withdraw(
		&mut self,
		position: &mut Position,
		amount: Balance,
	) -> Result<u128, PoolError> {
		if amount == 0 {
			return Err(PoolError::TooSmall);
		}
		let value = self.value_of(position);
		if amount > value {
			return Err(PoolError::Insufficient);
		}
		if amount == value {
			let burned = position.shares;
			self.redeem(position);
			return Ok(burned);
		}
		let burned =
			mul_div(amount, self.shares, self.balance, Rounding::Up).ok_or(PoolError::Overflow)?;
		// Less than the value costs at most the position's shares, and these are in the pool.
		position.shares = position.shares.checked_sub(burned).ok_or(PoolError::Insufficient)?;
		self.shares = self.shares.saturating_sub(burned);
		self.balance = self.balance.saturating_sub(amount);
		Ok(burned)
	}

	/// Burns all the shares of `position` and returns what they were worth, rounded down. The last
	/// shares of a pool take all that is left in it.
	pub fn redeem(&mut self, position: &mut Position) -> Balance {
		let value = self.value_of(position);
		if position.epoch == self.epoch {
			self.balance = self.balance.saturating_sub(value);
			self.shares = self.shares.saturating_sub(position.shares);
		}
		position.shares = 0;
		value
	}

	/// Takes `fraction` of the balance, rounded up, and returns how much that was. Everything goes
	/// when what is left would be less than a planck for [`MAX_SHARES_A_PLANCK`] shares.
	///
	/// The shares stay, so each position loses the same fraction.
	pub fn slash(&mut self, fraction: Perbill) -> Balance {
		if fraction.is_zero() {
			return 0;
		}
		let before = self.balance;
		let left = before.saturating_sub(fraction.mul_ceil(before));
		self.balance = if left < self.shares.div_ceil(MAX_SHARES_A_PLANCK) { 0 } else { left };
		before.saturating_sub(self.balance)
	}
}
