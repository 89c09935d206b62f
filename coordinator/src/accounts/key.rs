//! Keys: the secrets by which apps are known.

use rand::RngCore;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sp_crypto_hashing::blake2_256;
use std::fmt;

/// How every key begins, so that people and programs that look for leaked secrets know it.
const MARK: &str = "ck_";
/// Characters of a key that may be shown: the mark and 32 bits of its 256.
const SHOWN: usize = MARK.len() + 8;

/// A key in full. Only its app has it; the coordinator shows it once and keeps its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
	/// Draws a key of 256 random bits; the generator is to be the operating system's.
	pub fn draw(rng: &mut dyn RngCore) -> Self {
		let mut bytes = [0; 32];
		rng.fill_bytes(&mut bytes);
		Self(format!("{MARK}{}", hex::encode(bytes)))
	}

	/// Whether a text is meant as a key.
	pub fn is_like(text: &str) -> bool {
		text.starts_with(MARK)
	}

	/// The secret.
	pub fn reveal(&self) -> &str {
		&self.0
	}

	/// How it begins: enough to tell keys apart, too little to guess one.
	pub fn prefix(&self) -> &str {
		&self.0[..SHOWN]
	}

	/// What is kept of it.
	pub fn hash(&self) -> KeyHash {
		KeyHash::of(&self.0)
	}
}

/// A key is not for logs.
impl fmt::Debug for ApiKey {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "ApiKey({}…)", self.prefix())
	}
}

/// BLAKE2-256 of a key. A slow hash is for passwords, which can be guessed; among 2^256 random keys
/// nobody finds one by trying, however fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
	/// Of what a client sent as its key.
	pub fn of(secret: &str) -> Self {
		Self(blake2_256(secret.as_bytes()))
	}

	/// The bytes.
	pub fn as_bytes(&self) -> &[u8] {
		&self.0
	}
}

impl Serialize for KeyHash {
	fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.serialize_str(&hex::encode(self.0))
	}
}

impl<'de> Deserialize<'de> for KeyHash {
	fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
		let text = String::deserialize(deserializer)?;
		let mut bytes = [0; 32];
		hex::decode_to_slice(text, &mut bytes).map_err(serde::de::Error::custom)?;
		Ok(Self(bytes))
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use rand::rngs::OsRng;

	#[test]
	fn keys_differ_and_are_known_by_their_hash() {
		let (one, other) = (ApiKey::draw(&mut OsRng), ApiKey::draw(&mut OsRng));
		assert!(ApiKey::is_like(one.reveal()) && one.reveal().len() == 3 + 64);
		assert_ne!((one.prefix(), one.hash()), (other.prefix(), other.hash()));
		assert_eq!(KeyHash::of(one.reveal()), one.hash());
		let json = serde_json::to_string(&one.hash()).unwrap();
		assert_eq!(serde_json::from_str::<KeyHash>(&json).unwrap(), one.hash());
	}

	#[test]
	fn a_key_is_not_printed_in_full() {
		let key = ApiKey::draw(&mut OsRng);
		assert!(!format!("{key:?}").contains(key.reveal()));
	}
}
