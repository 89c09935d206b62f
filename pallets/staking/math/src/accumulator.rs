//! Rewards that many share, settled when somebody looks.
//!
//! The method of Batog, Boca and Johnson, *Scalable Reward Distribution on the Ethereum Blockchain*
//! (2018): an ever growing index of reward a share, and for each owner the index up to which it
//! has been paid. A distribution is one write, whatever the number of owners.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use primitive_types::U256;
use scale_info::TypeInfo;

use crate::Balance;

/// Binary digits behind the point of an index and of a remainder: their unit is 2^-96 planck, so that
/// a remainder is less than a planck while there are fewer than 2^96 (8 * 10^28) shares. An index
/// has room for 2^32 planck a share: 43 times what both pots could give to the least stake that
/// anybody may have, one CAI.
const FRACTION_BITS: usize = 96;

/// Why nothing was distributed. The accumulator is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistributeError {
	/// There are no shares among which to distribute.
	NoShares,
	/// The index would not fit in 128 bits.
	Overflow,
}

/// How much each share has earned since the beginning.
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
pub struct Accumulator {
	/// What a share has earned, in 2^-96 planck. Never falls.
	pub index: u128,
	/// What was too little to divide, in 2^-96 planck; it goes into the next distribution.
	pub remainder: u128,
}

impl Accumulator {
	/// Divides `amount` equally among `shares`:
	/// `index += (amount * 2^96 + remainder) / shares`, rounded down, the rest being carried.
	///
	/// # Errors
	///
	/// [`DistributeError`]: nothing has changed then, and the amount is still the caller's.
	pub fn distribute(&mut self, amount: Balance, shares: u128) -> Result<(), DistributeError> {
		if shares == 0 {
			return Err(DistributeError::NoShares);
		}
		// At most 2^224 + 2^128: fits.
		let scaled = (U256::from(amount) << FRACTION_BITS) + U256::from(self.remainder);
		let (each, rest) = scaled.div_mod(U256::from(shares));
		let each = u128::try_from(each).map_err(|_| DistributeError::Overflow)?;
		self.index = self.index.checked_add(each).ok_or(DistributeError::Overflow)?;
		// Less than `shares`.
		self.remainder = rest.low_u128();
		Ok(())
	}

	/// The whole planck that have been distributed and not divided yet.
	pub fn carried(&self) -> Balance {
		self.remainder >> FRACTION_BITS
	}
}

/// What one owner of shares has earned and not been paid yet.
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
pub struct Claim {
	/// The index up to which the shares have been settled, in 2^-96 planck a share.
	pub index: u128,
	/// The part of a planck that has been earned beyond `amount`, in 2^-96 planck.
	pub fraction: u128,
	/// What can be paid, in planck.
	pub amount: Balance,
}

impl Claim {
	/// The claim of somebody who gets shares now, when the accumulator is at `index`.
	pub fn starting_at(index: u128) -> Self {
		Self { index, fraction: 0, amount: 0 }
	}

	/// Adds what `shares` have earned up to `index`, rounded down with the rest carried:
	/// `amount += (shares * (index - self.index) + fraction) / 2^96`.
	///
	/// `shares` are those owned since the last settlement: settle before every change of them.
	pub fn settle(&mut self, index: u128, shares: u128) {
		let each = index.saturating_sub(self.index);
		// At most (2^128 - 1)^2 + 2^96: fits.
		let earned = U256::from(shares) * U256::from(each) + U256::from(self.fraction);
		// All claims together earn no more than was distributed, which fits.
		let whole = earned >> FRACTION_BITS;
		self.fraction = (earned - (whole << FRACTION_BITS)).low_u128();
		self.amount = self.amount.saturating_add(whole.try_into().unwrap_or(u128::MAX));
		self.index = self.index.max(index);
	}

	/// Takes all that can be paid.
	pub fn take(&mut self) -> Balance {
		core::mem::take(&mut self.amount)
	}
}
