//! Keys encrypted with a password, in the JSON files that polkadot.js and other wallets of Substrate
//! chains export and import (version 3: scrypt and XSalsa20-Poly1305 around a PKCS #8 document).

use crate::AccountId32;
use base64::{engine::general_purpose::STANDARD as BASE64, Engine as _};
use crypto_secretbox::{
	aead::{Aead as _, KeyInit as _},
	Key, Nonce, XSalsa20Poly1305,
};
use rand::{rngs::OsRng, RngCore as _};
use schnorrkel::SecretKey;
use serde_json::{json, Value};
use std::ops::Range;
use subxt_signer::{
	polkadot_js_compat::{decrypt_json, Error},
	sr25519::Keypair,
};

/// scrypt's cost: 2^15 rounds over 32 MiB, the wallets' own choice.
const LOG_N: u8 = 15;
/// scrypt's block size.
const R: u32 = 8;
/// scrypt's lanes.
const P: u32 = 1;

/// What comes before the encrypted document: the salt, the cost, lanes and block size as numbers of four
/// bytes (little-endian), and the nonce.
const SALT: Range<usize> = 0..32;
const COST: Range<usize> = 32..36;
const LANES: Range<usize> = 36..40;
const BLOCK_SIZE: Range<usize> = 40..44;
const NONCE: Range<usize> = 44..68;

/// The document: marks of PKCS #8 before the secret key of 64 bytes and the public one of 32.
const BEFORE_SECRET: [u8; 16] = [48, 83, 2, 1, 1, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
const BEFORE_PUBLIC: [u8; 5] = [161, 35, 3, 33, 0];
const SECRET: Range<usize> = 16..80;
/// Its length together with the tag that vouches for it.
const SEALED: usize = 117 + 16;

/// Encrypts a key: the text of a file.
pub(crate) fn encrypt(key: &schnorrkel::Keypair, password: &str) -> String {
	let (mut salt, mut nonce) = ([0; 32], [0; 24]);
	OsRng.fill_bytes(&mut salt);
	OsRng.fill_bytes(&mut nonce);
	let public = key.public.to_bytes();
	let secret = key.secret.to_ed25519_bytes();
	let document = [&BEFORE_SECRET[..], &secret, &BEFORE_PUBLIC, &public].concat();
	let sealed = cipher(password, &salt, LOG_N, R, P)
		.encrypt(Nonce::from_slice(&nonce), &*document)
		.expect("so short a document can be encrypted; qed");
	let [cost, lanes, block_size] = [1 << LOG_N, P, R].map(u32::to_le_bytes);
	let encoded = [&salt[..], &cost, &lanes, &block_size, &nonce, &sealed].concat();
	let file = json!({
		"encoded": BASE64.encode(encoded),
		"encoding": {
			"content": ["pkcs8", "sr25519"],
			"type": ["scrypt", "xsalsa20-poly1305"],
			"version": "3",
		},
		"address": AccountId32(public).to_string(),
		"meta": { "name": "cuckoo operator" },
	});
	format!("{file:#}\n")
}

/// The key in the text of a file, to sign with.
///
/// # Errors
///
/// What is wrong with the text or the password, in words that show neither.
pub(crate) fn signer(file: &str, password: &str) -> Result<Keypair, String> {
	// What is shorter would make the library panic.
	encoded(file)?;
	decrypt_json(file, password).map_err(|error| match error {
		Error::Secretbox(_) => "the password is not the right one".into(),
		Error::Json(_) => "it is no key that a wallet has exported".into(),
		error => error.to_string(),
	})
}

/// The same key in the form in which it evaluates verifiable random functions.
///
/// # Errors
///
/// As [`signer`].
pub(crate) fn for_draws(file: &str, password: &str) -> Result<schnorrkel::Keypair, String> {
	// This checks everything, the demands on scrypt too.
	let expected = signer(file, password)?.public_key().0;
	let encoded = encoded(file)?;
	let number = |place: Range<usize>| {
		let bytes = encoded[place].try_into().expect("the ranges are of four bytes; qed");
		u32::from_le_bytes(bytes)
	};
	let log_n = number(COST).ilog2() as u8;
	let document = cipher(password, &encoded[SALT], log_n, number(BLOCK_SIZE), number(LANES))
		.decrypt(Nonce::from_slice(&encoded[NONCE]), &encoded[NONCE.end..])
		.map_err(|_| "the password is not the right one")?;
	let key = SecretKey::from_ed25519_bytes(&document[SECRET])
		.map_err(|error| error.to_string())?
		.to_keypair();
	assert_eq!(key.public.to_bytes(), expected, "both libraries read keys alike");
	Ok(key)
}

/// What is encoded in a file; it has the right length.
fn encoded(file: &str) -> Result<Vec<u8>, String> {
	let file: Value = serde_json::from_str(file).map_err(|_| "it is not sound JSON")?;
	let encoded = file["encoded"].as_str().ok_or("it has no field `encoded`")?;
	let encoded = BASE64.decode(encoded).map_err(|_| "its field `encoded` is no base64")?;
	if encoded.len() == NONCE.end + SEALED {
		Ok(encoded)
	} else {
		Err("its field `encoded` is not that of a key with a password".into())
	}
}

fn cipher(password: &str, salt: &[u8], log_n: u8, r: u32, p: u32) -> XSalsa20Poly1305 {
	let mut key = Key::default();
	let parameters = scrypt::Params::new(log_n, r, p, 32).expect("the caller has sound ones; qed");
	scrypt::scrypt(password.as_bytes(), salt, &parameters, &mut key)
		.expect("a key of 32 bytes can be made; qed");
	XSalsa20Poly1305::new(&key)
}

#[cfg(test)]
mod tests {
	use super::*;

	fn key() -> schnorrkel::Keypair {
		crate::keys::for_draws("//Alice").unwrap()
	}

	#[test]
	fn what_is_encrypted_is_read_back_in_both_forms() {
		let file = encrypt(&key(), "correct horse");
		let public = key().public.to_bytes();
		assert_eq!(signer(&file, "correct horse").unwrap().public_key().0, public);
		let back = for_draws(&file, "correct horse").unwrap();
		assert_eq!(back.secret.to_ed25519_bytes(), key().secret.to_ed25519_bytes());
		assert_ne!(file, encrypt(&key(), "correct horse"), "salt and nonce are fresh");
		for wrong in ["", "Correct horse"] {
			assert!(signer(&file, wrong).unwrap_err().contains("password"));
			assert!(for_draws(&file, wrong).unwrap_err().contains("password"));
		}
	}

	#[test]
	fn damaged_files_are_refused() {
		let file = encrypt(&key(), "p");
		let mut value: Value = serde_json::from_str(&file).unwrap();
		let refused = |value: &Value| signer(&value.to_string(), "p").unwrap_err();
		let good = value["encoded"].as_str().unwrap().to_owned();
		for (bad, words) in [
			("", "not that of a key"),
			("AAAA", "not that of a key"),
			("??", "no base64"),
			(&BASE64.encode([0; 201]), "Scrypt"),
		] {
			value["encoded"] = bad.into();
			assert!(refused(&value).contains(words), "{bad}: {}", refused(&value));
		}
		value["encoded"] = good.into();
		value["address"] = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ".into();
		assert!(refused(&value).contains("no key that a wallet"));
		value.as_object_mut().unwrap().remove("encoded");
		assert!(refused(&value).contains("no field"));
		assert!(signer("{", "p").unwrap_err().contains("not sound JSON"));
	}
}
