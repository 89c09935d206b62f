//! Messages signed with a miner's operator key.
//!
//! What is signed is the BLAKE2-256 hash of
//! `"cuckoo/message/v1" ‖ genesis ‖ coordinator ‖ len(method) ‖ method ‖ len(nonce) ‖ nonce ‖
//! BLAKE2-256(body) ‖ time`
//! with 32-byte hashes and keys, lengths as one byte and the time as eight bytes, little endian. So a
//! signature serves one chain, one coordinator, one method, one body and one challenge, for
//! [`MAX_AGE_MS`]. The body travels as the exact text that was signed: a reader that does not know all
//! of its fields can still check it.

use crate::error::{Code, Refusal};
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use sp_crypto_hashing::blake2_256;
use std::marker::PhantomData;
use subxt_signer::sr25519::{self, Keypair, PublicKey, Signature};

/// How far the time of a signed message may be from the reader's clock, in milliseconds.
pub const MAX_AGE_MS: u64 = 60_000;

const DOMAIN: &[u8] = b"cuckoo/message/v1";

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience {
	/// Genesis hash of the chain.
	pub genesis: [u8; 32],
	/// Public key of the coordinator's operator.
	pub coordinator: [u8; 32],
}

/// A message of type `T` with the signature of an operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound = "")]
pub struct Signed<T> {
	/// The message as JSON text: exactly what was signed.
	body: String,
	/// Public key of the signer, 64 hexadecimal digits.
	operator: String,
	/// The challenge that it answers.
	nonce: String,
	/// When it was signed, in milliseconds since the Unix epoch.
	time: u64,
	/// sr25519 signature, 128 hexadecimal digits.
	signature: String,
	#[serde(skip)]
	message: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Signed<T> {
	/// Signs `message` for `method` of the `audience`. `nonce` is the challenge that it answers (at
	/// most 255 bytes count), `time` is in milliseconds since the Unix epoch.
	pub fn seal(
		keypair: &Keypair,
		audience: &Audience,
		method: &str,
		nonce: &str,
		time: u64,
		message: &T,
	) -> Self {
		let body = serde_json::to_string(message).expect("wire types are JSON; qed");
		let hash = signing_hash(audience, method, &body, nonce, time);
		Self {
			signature: hex::encode(keypair.sign(&hash).0),
			operator: hex::encode(keypair.public_key().0),
			nonce: nonce.to_owned(),
			time,
			body,
			message: PhantomData,
		}
	}

	/// The message and its signer's public key, if the signature holds for `method`, `nonce` and the
	/// `audience`, at the time `now` (milliseconds since the Unix epoch).
	pub fn open(
		&self,
		audience: &Audience,
		method: &str,
		nonce: &str,
		now: u64,
	) -> Result<(T, [u8; 32]), Refusal> {
		let bad = |why: &str| Refusal::new(Code::BadSignature, why);
		if self.nonce != nonce {
			return Err(bad("the message answers another challenge; ask for a new one"));
		}
		if self.time.abs_diff(now) > MAX_AGE_MS {
			return Err(bad("the message is older or newer than a minute; check the clock"));
		}
		let operator = self.operator()?;
		let signature: [u8; 64] = hex_array(&self.signature)
			.ok_or_else(|| bad("the signature is not 128 hexadecimal digits"))?;
		let hash = signing_hash(audience, method, &self.body, &self.nonce, self.time);
		if !sr25519::verify(&Signature(signature), hash, &PublicKey(operator)) {
			return Err(bad(
				"the signature does not hold: wrong key, chain, coordinator, method or body",
			));
		}
		let message = serde_json::from_str(&self.body).map_err(|error| {
			Refusal::new(Code::InvalidRequest, format!("the signed body does not parse: {error}"))
		})?;
		Ok((message, operator))
	}

	/// The key that claims to have signed, unchecked: lets a reader refuse strangers before it
	/// spends time on their signature.
	pub fn operator(&self) -> Result<[u8; 32], Refusal> {
		hex_array(&self.operator).ok_or_else(|| {
			Refusal::new(Code::BadSignature, "the operator is not 64 hexadecimal digits")
		})
	}

	/// The challenge that the message claims to answer, unchecked: for messages whose challenge is
	/// named in the body, where the reader opens with this and then compares.
	pub fn nonce(&self) -> &str {
		&self.nonce
	}
}

/// Bytes of a fixed length from their hexadecimal form.
pub fn hex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
	let mut bytes = [0; N];
	hex::decode_to_slice(text, &mut bytes).ok()?;
	Some(bytes)
}

fn signing_hash(audience: &Audience, method: &str, body: &str, nonce: &str, time: u64) -> [u8; 32] {
	let mut bytes = DOMAIN.to_vec();
	bytes.extend(audience.genesis);
	bytes.extend(audience.coordinator);
	for text in [method, nonce] {
		let text = &text.as_bytes()[..text.len().min(255)];
		bytes.push(text.len() as u8);
		bytes.extend(text);
	}
	bytes.extend(blake2_256(body.as_bytes()));
	bytes.extend(time.to_le_bytes());
	blake2_256(&bytes)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::miner::Login;
	use subxt_signer::sr25519::dev;

	const AUDIENCE: Audience = Audience { genesis: [1; 32], coordinator: [2; 32] };
	const NOW: u64 = 1_700_000_000_000;

	fn login() -> Login {
		Login { slots: 1, software: "test".into(), ..Login::default() }
	}

	fn sealed() -> Signed<Login> {
		Signed::seal(&dev::alice(), &AUDIENCE, "miner_login", "n", NOW, &login())
	}

	fn open(message: &Signed<Login>) -> Result<(Login, [u8; 32]), Refusal> {
		message.open(&AUDIENCE, "miner_login", "n", NOW)
	}

	#[test]
	fn a_signed_message_opens_after_a_trip_through_json() {
		let json = serde_json::to_string(&sealed()).unwrap();
		let (message, operator) = open(&serde_json::from_str(&json).unwrap()).unwrap();
		assert_eq!(message, login());
		assert_eq!(operator, dev::alice().public_key().0);
	}

	#[test]
	fn every_part_is_bound_by_the_signature() {
		let good = sealed();
		let other = |genesis, coordinator| Audience { genesis, coordinator };
		for (audience, method, nonce, now) in [
			(other([9; 32], [2; 32]), "miner_login", "n", NOW),
			(other([1; 32], [9; 32]), "miner_login", "n", NOW),
			(AUDIENCE, "miner_submit", "n", NOW),
			(AUDIENCE, "miner_login", "m", NOW),
			(AUDIENCE, "miner_login", "n", NOW + MAX_AGE_MS + 1),
		] {
			let refusal = good.open(&audience, method, nonce, now).unwrap_err();
			assert_eq!(refusal.code, Code::BadSignature, "{refusal}");
		}
		let change: [fn(&mut Signed<Login>); 4] = [
			|m| m.body.push(' '),
			|m| m.operator = hex::encode(dev::bob().public_key().0),
			|m| m.time += 1,
			|m| m.signature = "00".repeat(64),
		];
		for change in change {
			let mut message = sealed();
			change(&mut message);
			assert_eq!(open(&message).unwrap_err().code, Code::BadSignature);
		}
	}

	#[test]
	fn malformed_keys_and_signatures_are_refused() {
		for text in ["", "zz", "0xab", &"é".repeat(32)] {
			let mut message = sealed();
			message.operator = text.to_owned();
			assert_eq!(open(&message).unwrap_err().code, Code::BadSignature);
			let mut message = sealed();
			message.signature = text.to_owned();
			assert_eq!(open(&message).unwrap_err().code, Code::BadSignature);
		}
	}
}
