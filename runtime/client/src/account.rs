//! Accounts and hashes as people write them.

use std::str::FromStr;
use subxt::utils::AccountId32;

type Ss58Error = <AccountId32 as FromStr>::Err;

/// No address has more characters.
const MAX_ADDRESS: usize = 64;

/// Text that is no account or no hash.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
	/// Not an SS58 address.
	#[error("{text:?} is not an account: {reason}; give an SS58 address such as 5GrwvaEF5zXb…")]
	Address {
		/// The start of the text.
		text: String,
		/// What is wrong with it.
		reason: &'static str,
	},
	/// Not a hash.
	#[error("{text:?} is not a hash: give 0x and 64 hexadecimal digits")]
	Hash {
		/// The start of the text.
		text: String,
	},
}

/// Reads an account from its SS58 address. The same account has an address on every network; all of
/// them are understood.
pub fn parse_account(text: &str) -> Result<AccountId32, AccountError> {
	let text = text.trim();
	// The decoder of base58 0.2 panics at texts that begin with more than a hundred ones.
	let account = if text.len() > MAX_ADDRESS { Err(Ss58Error::BadLength) } else { text.parse() };
	account.map_err(|error| {
		let reason = match error {
			Ss58Error::BadBase58 => "it has characters that no address has",
			Ss58Error::BadLength => "it is too short or too long",
			Ss58Error::InvalidChecksum => "its checksum is wrong, look for a typing error",
			Ss58Error::InvalidPrefix => "it belongs to no known kind of network",
		};
		AccountError::Address { text: clip(text), reason }
	})
}

/// Reads a 32-byte hash from hexadecimal digits, with or without `0x` before them.
pub fn parse_hash(text: &str) -> Result<[u8; 32], AccountError> {
	let text = text.trim();
	let mut hash = [0; 32];
	hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut hash)
		.map_err(|_| AccountError::Hash { text: clip(text) })?;
	Ok(hash)
}

/// The start of a text from outside, short enough for an error message.
fn clip(text: &str) -> String {
	text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
	use super::*;

	const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

	#[test]
	fn an_address_survives_a_round_trip() {
		let alice = parse_account(&format!(" {ALICE}\n")).unwrap();
		assert_eq!(alice, subxt_signer::sr25519::dev::alice().public_key().to_account_id());
		assert_eq!(alice.to_string(), ALICE);
	}

	#[test]
	fn each_way_to_write_a_wrong_address_is_told_apart() {
		let message = |text: &str| parse_account(text).unwrap_err().to_string();
		assert!(message("").contains("too short"));
		assert!(message("Alice0").contains("characters"));
		assert!(message(&ALICE[..40]).contains("too short"));
		assert!(message(&ALICE.replace('G', "H")).contains("checksum"));
		assert!(message(&"é".repeat(100_000)).len() < 400);
		assert!(message(&"1".repeat(MAX_ADDRESS)).contains("an account"));
		assert!(message(&"1".repeat(200)).contains("too short or too long"));
	}

	#[test]
	fn hashes_are_read_with_and_without_prefix() {
		let digits = "0f".repeat(32);
		assert_eq!(parse_hash(&digits), Ok([15; 32]));
		assert_eq!(parse_hash(&format!("0x{digits}")), Ok([15; 32]));
		for bad in ["", "0x", "0x12", &format!("0x{digits}00"), &"g".repeat(64)] {
			assert_eq!(parse_hash(bad), Err(AccountError::Hash { text: clip(bad) }));
		}
	}
}
