//! Files that hold the secret of an operator.
//!
//! A key file is one line: a secret URI as Substrate's tools write it, that is a phrase of 12 to 24
//! words or `0x` and a seed of 64 hexadecimal digits, with or without a derivation (`//hard/soft`)
//! and a password (`///password`) after it. Without phrase and seed (`//Alice`) it is a development
//! key that everybody knows.
//!
//! Nobody but the owner may read the file of a real secret; a file that others can read is refused.

use crate::write_new;
use rand::{rngs::OsRng, RngCore};
use schnorrkel::{
	derive::{ChainCode, Derivation},
	ExpansionMode, MiniSecretKey,
};
use std::{
	fs::File,
	io::{self, Read},
	path::{Path, PathBuf},
};
use subxt_signer::{
	bip39::Mnemonic,
	sr25519::{self, Keypair},
	DeriveJunction, ExposeSecret, SecretUri,
};

/// A key file is one line; what is longer than this many bytes is something else.
const MAX_BYTES: u64 = 4096;

/// Entropy of a new phrase: 16 bytes make 12 words.
const ENTROPY_BYTES: usize = 16;

/// Why a key file cannot be used. Each is one line that names the file and never shows what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
	/// There is no such file.
	#[error("there is no key file {}: check the path, or make one with `key generate`", path.display())]
	NotFound {
		/// Where it was sought.
		path: PathBuf,
	},
	/// The file cannot be read.
	#[error("cannot read the key file {}: {error}", path.display())]
	Read {
		/// The file.
		path: PathBuf,
		/// Why.
		error: io::Error,
	},
	/// Others can read the file.
	#[error(
		"other users can read the key file {}: if the key is not known to them already, run \
		`chmod 600` on it",
		path.display()
	)]
	Exposed {
		/// The file.
		path: PathBuf,
	},
	/// The file holds no key.
	#[error(
		"the key file {} holds no key: {reason}; it must be one line with a secret phrase of 12 to \
		24 words, or 0x and 64 hexadecimal digits",
		path.display()
	)]
	Malformed {
		/// The file.
		path: PathBuf,
		/// What is wrong.
		reason: String,
	},
	/// A key file is never overwritten.
	#[error("the file {} exists already and is left as it is: name another one", path.display())]
	Exists {
		/// The file.
		path: PathBuf,
	},
	/// The file cannot be written.
	#[error("cannot write the key file {}: {error}", path.display())]
	Write {
		/// The file.
		path: PathBuf,
		/// Why.
		error: io::Error,
	},
}

/// A new key, and the phrase of 12 words from which it can be restored.
pub fn generate() -> (Mnemonic, Keypair) {
	let mut entropy = [0; ENTROPY_BYTES];
	OsRng.fill_bytes(&mut entropy);
	let phrase = Mnemonic::from_entropy(&entropy).expect("16 bytes are a valid entropy; qed");
	let key = Keypair::from_phrase(&phrase, None).expect("a phrase of 12 words has a key; qed");
	(phrase, key)
}

/// Makes a new key and writes its phrase to a new file at `path` that only its owner can read. A file
/// that exists is left as it is.
pub fn create(path: impl AsRef<Path>) -> Result<Keypair, KeyError> {
	let path = path.as_ref();
	let (phrase, key) = generate();
	write_new(path, 0o600, &format!("{phrase}\n")).map_err(|error| match error.kind() {
		io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.into() },
		_ => KeyError::Write { path: path.into(), error },
	})?;
	Ok(key)
}

/// Reads the key in the file at `path`.
pub fn load(path: impl AsRef<Path>) -> Result<Keypair, KeyError> {
	read(path.as_ref(), parse)
}

/// Reads the key in the file at `path` in the form in which it evaluates verifiable random functions,
/// which the one of [`load`] cannot. It is the same key.
pub fn load_for_draws(path: impl AsRef<Path>) -> Result<schnorrkel::Keypair, KeyError> {
	read(path.as_ref(), for_draws)
}

/// The key of a secret URI, such as `//Alice`, in the form of [`load_for_draws`]. An error says what is
/// wrong without showing the secret.
pub fn for_draws(uri: &str) -> Result<schnorrkel::Keypair, String> {
	// It says what is wrong with the URI, if anything is.
	let expected = parse(uri)?.public_key();
	let parsed: SecretUri = uri.parse().map_err(|_| "it is not a secret phrase or seed")?;
	let phrase = parsed.phrase.expose_secret();
	let root = if let Some(seed) = phrase.strip_prefix("0x") {
		hex::decode(seed).ok().and_then(|seed| MiniSecretKey::from_bytes(&seed).ok())
	} else {
		let (entropy, length) =
			phrase.parse::<Mnemonic>().map_err(|error| error.to_string())?.to_entropy_array();
		let password = parsed.password.as_ref().map_or("", |password| password.expose_secret());
		substrate_bip39::mini_secret_from_entropy(&entropy[..length], password).ok()
	};
	let root = root.ok_or("the seed is not one of a key")?.expand(ExpansionMode::Ed25519);
	let secret = parsed.junctions.into_iter().fold(root, |key, junction| match junction {
		DeriveJunction::Soft(code) => key.derived_key_simple(ChainCode(code), []).0,
		DeriveJunction::Hard(code) => {
			let (seed, _) = key.hard_derive_mini_secret_key(Some(ChainCode(code)), b"");
			seed.expand(ExpansionMode::Ed25519)
		},
	});
	let key = secret.to_keypair();
	assert_eq!(key.public.to_bytes(), expected.0, "both libraries derive keys alike");
	Ok(key)
}

/// Reads the file at `path`, of which `parse` makes the key.
fn read<K>(path: &Path, parse: impl FnOnce(&str) -> Result<K, String>) -> Result<K, KeyError> {
	let malformed = |reason: &str| KeyError::Malformed { path: path.into(), reason: reason.into() };
	let unreadable = |error: io::Error| match error.kind() {
		io::ErrorKind::NotFound => KeyError::NotFound { path: path.into() },
		_ => KeyError::Read { path: path.into(), error },
	};

	let file = File::open(path).map_err(unreadable)?;
	let metadata = file.metadata().map_err(unreadable)?;
	if metadata.is_dir() {
		return Err(malformed("it is a directory"));
	}
	let mut bytes = Vec::new();
	file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
	if bytes.len() as u64 > MAX_BYTES {
		return Err(malformed("it is too long"));
	}
	let text = String::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
	let line = text.trim();
	if line.is_empty() {
		return Err(malformed("it is empty"));
	}
	if line.lines().count() > 1 {
		return Err(malformed("it has more than one line"));
	}
	if !is_well_known(line) && readable_by_others(&metadata) {
		return Err(KeyError::Exposed { path: path.into() });
	}
	parse(line).map_err(|reason| malformed(&reason))
}

/// The key of a secret URI; an error says what is wrong without showing the secret.
fn parse(uri: &str) -> Result<Keypair, String> {
	let uri: SecretUri = uri.parse().map_err(|_| "it is not a secret phrase or seed".to_owned())?;
	Keypair::from_uri(&uri).map_err(|error| match error {
		sr25519::Error::Hex(_) | sr25519::Error::InvalidSeed => {
			"a seed must have 64 hexadecimal digits".to_owned()
		},
		sr25519::Error::Phrase(error) => format!("the phrase is wrong: {error}"),
		sr25519::Error::Signature(error) => error.to_string(),
	})
}

/// Whether the secret is the development phrase, which is no secret.
fn is_well_known(uri: &str) -> bool {
	uri.starts_with('/') || uri.starts_with(subxt_signer::DEV_PHRASE)
}

#[cfg(unix)]
fn readable_by_others(metadata: &std::fs::Metadata) -> bool {
	std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn readable_by_others(_: &std::fs::Metadata) -> bool {
	false
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::fs;
	use subxt_signer::sr25519::dev;

	/// A file with this content that only its owner can read.
	fn file(content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
		let dir = tempfile::tempdir().unwrap();
		let path = dir.path().join("key");
		fs::write(&path, content).unwrap();
		set_mode(&path, 0o600);
		(dir, path)
	}

	fn set_mode(path: &Path, mode: u32) {
		use std::os::unix::fs::PermissionsExt;
		fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
	}

	/// The one line that is shown for a file with this content.
	fn refusal(content: impl AsRef<[u8]>) -> String {
		let (_dir, path) = file(content);
		let message = load(&path).unwrap_err().to_string();
		assert!(message.contains(path.to_str().unwrap()), "{message}");
		assert_eq!(message.lines().count(), 1, "{message}");
		message
	}

	#[test]
	fn every_form_of_a_key_is_read() {
		let seed = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
		for content in [
			"//Alice".to_owned(),
			"//Alice\n".to_owned(),
			format!(" {}//Alice\r\n", subxt_signer::DEV_PHRASE),
			seed.to_owned(),
		] {
			let (_dir, path) = file(&content);
			let alice = dev::alice().public_key().0;
			assert_eq!(load(&path).unwrap().public_key().0, alice, "{content}");
			assert_eq!(load_for_draws(path).unwrap().public.to_bytes(), alice, "{content}");
		}
	}

	/// Phrases, passwords and both kinds of derivation.
	#[test]
	fn a_key_for_draws_is_the_key_that_signs() {
		let phrase = generate().0;
		for uri in ["", "//1", "/soft", "//hard/soft///password", "///password"] {
			let uri = format!("{phrase}{uri}");
			let key = for_draws(&uri).unwrap();
			assert_eq!(key.public.to_bytes(), parse(&uri).unwrap().public_key().0);
		}
		assert!(for_draws("0x12").unwrap_err().contains("64 hexadecimal digits"));
	}

	#[test]
	fn a_new_key_file_is_private_and_read_back() {
		use std::os::unix::fs::PermissionsExt;
		let dir = tempfile::tempdir().unwrap();
		let path = dir.path().join("key");
		let key = create(&path).unwrap();
		assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
		assert_eq!(load(&path).unwrap().public_key().0, key.public_key().0);
	}

	#[test]
	fn two_new_keys_differ() {
		assert_ne!(generate().1.public_key().0, generate().1.public_key().0);
		assert_eq!(generate().0.word_count(), 12);
	}

	#[test]
	fn a_key_file_is_not_overwritten() {
		let (_dir, path) = file("//Alice");
		assert!(matches!(create(&path), Err(KeyError::Exists { .. })));
		assert_eq!(fs::read(&path).unwrap(), b"//Alice");
	}

	#[test]
	fn a_file_that_cannot_be_opened_is_named() {
		let dir = tempfile::tempdir().unwrap();
		let missing = dir.path().join("missing");
		assert!(matches!(load(&missing), Err(KeyError::NotFound { .. })));
		assert!(matches!(create(missing.join("key")), Err(KeyError::Write { .. })));
		assert!(load(dir.path()).unwrap_err().to_string().contains("directory"));
	}

	#[test]
	fn a_file_without_a_key_is_refused() {
		assert!(refusal("").contains("empty"));
		assert!(refusal(" \n\n").contains("empty"));
		assert!(refusal("//Alice\n//Bob\n").contains("more than one line"));
		assert!(refusal("x".repeat(10_000)).contains("too long"));
		assert!(refusal([0xff, 0xfe]).contains("not text"));
		assert!(refusal("0x1234").contains("64 hexadecimal digits"));
		assert!(refusal(format!("0x{}", "zz".repeat(32))).contains("64 hexadecimal digits"));
		assert!(refusal("{\"json\": true}").contains("not a secret phrase"));
	}

	#[test]
	fn a_wrong_phrase_is_refused_and_not_shown() {
		let phrase = "legal winner thank year wave sausage worth useful legal winner thank cuckoo";
		let message = refusal(phrase);
		assert!(message.contains("the phrase is wrong"), "{message}");
		for word in phrase.split(' ') {
			assert!(!message.contains(word), "{message} shows {word}");
		}
	}

	#[test]
	fn a_secret_that_others_can_read_is_refused() {
		let (phrase, key) = generate();
		let (_dir, path) = file(phrase.to_string());
		for mode in [0o640, 0o604, 0o660] {
			set_mode(&path, mode);
			assert!(matches!(load(&path), Err(KeyError::Exposed { .. })), "{mode:o}");
		}
		set_mode(&path, 0o400);
		assert_eq!(load(&path).unwrap().public_key().0, key.public_key().0);
	}

	#[test]
	fn everybody_may_read_a_development_key() {
		let (_dir, path) = file("//Alice");
		set_mode(&path, 0o644);
		assert!(load(&path).is_ok());
	}
}
