//! Amounts of money.

use serde::{
	de::{Error, Visitor},
	Deserialize, Deserializer, Serialize, Serializer,
};
use std::fmt;
use std::str::FromStr;

/// An amount in plancks, of which 10^18 are a CAI. In JSON it is a whole number in text, because most
/// readers of JSON keep numbers exactly only up to 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Amount(pub u128);

impl Amount {
	/// Nothing.
	pub const ZERO: Self = Self(0);

	/// The sum, if it is an amount.
	pub fn checked_add(self, other: Self) -> Option<Self> {
		self.0.checked_add(other.0).map(Self)
	}

	/// The difference, if it is not negative.
	pub fn checked_sub(self, other: Self) -> Option<Self> {
		self.0.checked_sub(other.0).map(Self)
	}
}

impl fmt::Display for Amount {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		self.0.fmt(f)
	}
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number of plancks (10^-18 CAI) below 2^128")]
pub struct NoAmount;

impl FromStr for Amount {
	type Err = NoAmount;

	fn from_str(text: &str) -> Result<Self, NoAmount> {
		// `u128` would also read a sign.
		if text.bytes().all(|byte| byte.is_ascii_digit()) {
			text.parse().map(Self).map_err(|_| NoAmount)
		} else {
			Err(NoAmount)
		}
	}
}

impl Serialize for Amount {
	fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.collect_str(self)
	}
}

impl<'de> Deserialize<'de> for Amount {
	fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
		struct Digits;

		impl Visitor<'_> for Digits {
			type Value = Amount;

			fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
				f.write_str("a whole number of plancks in text")
			}

			fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
				text.parse().map_err(E::custom)
			}
		}

		deserializer.deserialize_str(Digits)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn amounts_survive_json_whatever_their_size() {
		for amount in [Amount::ZERO, Amount(1 << 60), Amount(u128::MAX)] {
			let json = serde_json::to_string(&amount).unwrap();
			assert_eq!(json, format!("\"{}\"", amount.0));
			assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
		}
	}

	#[test]
	fn what_is_no_amount_is_refused() {
		let too_large = format!("{}0", u128::MAX);
		for text in ["", "-1", "+1", "1.5", "1e3", " 1", "much", &too_large] {
			assert_eq!(text.parse::<Amount>(), Err(NoAmount), "{text:?}");
			assert!(serde_json::from_str::<Amount>(&format!("{text:?}")).is_err(), "{text:?}");
		}
		assert!(serde_json::from_str::<Amount>("1").is_err());
	}
}
