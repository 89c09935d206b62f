//! Files that hold the secret of an operator.
//!
//! A key file is a key encrypted with a password, as wallets export it (`keystore`), or one line: a secret
//! URI as Substrate's tools write it, that is a phrase of 12 to 24 words or `0x` and a seed of 64
//! hexadecimal digits, with or without a derivation (`//hard/soft`) and a password (`///password`) after
//! it. Without phrase and seed (`//Alice`) it is a development key that everybody knows.
//!
//! Nobody but the owner may read the file of a real secret; a file that others can read is refused.

use crate::{keystore, write_new};
use clap::Args;
use rand::{rngs::OsRng, RngCore};
use schnorrkel::{
	derive::{ChainCode, Derivation},
	ExpansionMode, MiniSecretKey,
};
use std::{
	fs::File,
	io::{self, IsTerminal as _, Read},
	path::{Path, PathBuf},
};
use subxt_signer::{
	bip39::Mnemonic,
	sr25519::{self, Keypair},
	DeriveJunction, ExposeSecret, SecretUri,
};

/// Key files, and files with their passwords, are short; what is longer than this many bytes is something
/// else.
const MAX_BYTES: u64 = 4096;

/// Entropy of a new phrase: 16 bytes make 12 words.
const ENTROPY_BYTES: usize = 16;

/// Why a key file cannot be used. Each is one line that names the file and never shows what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
	/// There is no such file.
	#[error("there is no key file {}: check the path, or make one with `key new`", path.display())]
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
		"the key file {} holds no key: {reason}; it must be a key that `key new` has made or a wallet has \
		exported, or one line with a secret phrase of 12 to 24 words or 0x and 64 hexadecimal digits",
		path.display()
	)]
	Malformed {
		/// The file.
		path: PathBuf,
		/// What is wrong.
		reason: String,
	},
	/// The file is encrypted and cannot be opened.
	#[error("the key file {} is encrypted: {reason}", path.display())]
	Locked {
		/// The file.
		path: PathBuf,
		/// Why it cannot be opened.
		reason: String,
	},
	/// There is no password.
	#[error(transparent)]
	Password(#[from] PasswordError),
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

/// Why there is no password. Each is one line that does not show it.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
	/// Nobody can be asked.
	#[error(
		"a password is needed and there is no terminal to ask for it: give a file with it by \
		--password-file"
	)]
	NoTerminal,
	/// The terminal fails.
	#[error("cannot ask for the password: {0}")]
	Terminal(io::Error),
	/// The file cannot be read.
	#[error("cannot read the password in {}: {error}", path.display())]
	Read {
		/// The file.
		path: PathBuf,
		/// Why.
		error: io::Error,
	},
	/// There is a password of no length.
	#[error("the password is empty")]
	Empty,
	/// Two different passwords.
	#[error("the passwords are not the same: nothing was written")]
	Different,
}

/// How to come to the password of an encrypted key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Password {
	/// File with the password of an encrypted key (its first line) [default: ask on the terminal].
	#[arg(long, env = "CUCKOO_PASSWORD_FILE", value_name = "FILE")]
	pub password_file: Option<PathBuf>,
}

impl Password {
	/// The password of the key in the file at `key`.
	fn get(&self, key: &Path) -> Result<String, PasswordError> {
		self.read(&format!("Password of {}: ", key.display()))
	}

	/// A password for a new key, which whoever is asked for it must repeat.
	fn choose(&self) -> Result<String, PasswordError> {
		let password = self.read("Password for the new key: ")?;
		if self.password_file.is_none() && self.read("The same again: ")? != password {
			return Err(PasswordError::Different);
		}
		Ok(password)
	}

	fn read(&self, question: &str) -> Result<String, PasswordError> {
		let password = if let Some(path) = &self.password_file {
			let mut text = String::new();
			File::open(path)
				.and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
				.map_err(|error| PasswordError::Read { path: path.clone(), error })?;
			text.lines().next().unwrap_or_default().to_owned()
		} else if io::stdin().is_terminal() {
			rpassword::prompt_password(question).map_err(PasswordError::Terminal)?
		} else {
			return Err(PasswordError::NoTerminal);
		};
		if password.is_empty() {
			return Err(PasswordError::Empty);
		}
		Ok(password)
	}
}

/// A new key, and the phrase of 12 words from which it can be restored.
pub fn generate() -> (Mnemonic, Keypair) {
	let mut entropy = [0; ENTROPY_BYTES];
	OsRng.fill_bytes(&mut entropy);
	let phrase = Mnemonic::from_entropy(&entropy).expect("16 bytes are a valid entropy; qed");
	let key = Keypair::from_phrase(&phrase, None).expect("a phrase of 12 words has a key; qed");
	(phrase, key)
}

/// Makes a new key and writes it to a new file at `path` that only its owner can read: encrypted, or
/// without a password as its phrase. A file that exists is left as it is.
pub fn create(path: impl AsRef<Path>, password: Option<&Password>) -> Result<Keypair, KeyError> {
	let path = path.as_ref();
	// Before anybody is asked for a password.
	if path.exists() {
		return Err(KeyError::Exists { path: path.into() });
	}
	let (phrase, key) = generate();
	let text = match password {
		Some(password) => {
			let secret =
				for_draws(&phrase.to_string()).expect("a phrase of 12 words has a key; qed");
			keystore::encrypt(&secret, &password.choose()?)
		},
		None => format!("{phrase}\n"),
	};
	write_new(path, 0o600, &text).map_err(|error| match error.kind() {
		io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.into() },
		_ => KeyError::Write { path: path.into(), error },
	})?;
	Ok(key)
}

/// Reads the key in the file at `path`; `password` is asked for it if it is encrypted.
pub fn load(path: impl AsRef<Path>, password: &Password) -> Result<Keypair, KeyError> {
	read(path.as_ref(), password, parse, keystore::signer)
}

/// Reads the key in the file at `path` in the form in which it evaluates verifiable random functions,
/// which the one of [`load`] cannot. It is the same key.
pub fn load_for_draws(
	path: impl AsRef<Path>,
	password: &Password,
) -> Result<schnorrkel::Keypair, KeyError> {
	read(path.as_ref(), password, for_draws, keystore::for_draws)
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

/// Reads the file at `path`, of which `parse` makes the key, or `open` if it is encrypted.
fn read<K>(
	path: &Path,
	password: &Password,
	parse: impl FnOnce(&str) -> Result<K, String>,
	open: impl FnOnce(&str, &str) -> Result<K, String>,
) -> Result<K, KeyError> {
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
	if line.starts_with('{') {
		return open(line, &password.get(path)?)
			.map_err(|reason| KeyError::Locked { path: path.into(), reason });
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

	/// Nobody is asked in tests, as their input is no terminal.
	fn no_password() -> Password {
		Password { password_file: Some("/nonexistent".into()) }
	}

	fn set_mode(path: &Path, mode: u32) {
		use std::os::unix::fs::PermissionsExt;
		fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
	}

	/// The one line that is shown for a file with this content.
	fn refusal(content: impl AsRef<[u8]>) -> String {
		let (_dir, path) = file(content);
		let message = load(&path, &no_password()).unwrap_err().to_string();
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
			assert_eq!(load(&path, &no_password()).unwrap().public_key().0, alice, "{content}");
			assert_eq!(
				load_for_draws(path, &no_password()).unwrap().public.to_bytes(),
				alice,
				"{content}"
			);
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
		let key = create(&path, None).unwrap();
		assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
		assert_eq!(load(&path, &no_password()).unwrap().public_key().0, key.public_key().0);
	}

	#[test]
	fn an_encrypted_key_opens_with_its_password_alone() {
		let dir = tempfile::tempdir().unwrap();
		let (path, secret) = (dir.path().join("key.json"), dir.path().join("password"));
		fs::write(&secret, "correct horse\n").unwrap();
		let password = Password { password_file: Some(secret.clone()) };
		let key = create(&path, Some(&password)).unwrap();
		assert_eq!(load(&path, &password).unwrap().public_key().0, key.public_key().0);
		let for_draws = load_for_draws(&path, &password).unwrap();
		assert_eq!(for_draws.public.to_bytes(), key.public_key().0);
		assert!(matches!(create(&path, Some(&password)), Err(KeyError::Exists { .. })));

		let refused = || load(&path, &password).unwrap_err().to_string();
		fs::write(&secret, "wrong\n").unwrap();
		assert!(refused().contains("password is not the right one"), "{}", refused());
		fs::write(&secret, "\n").unwrap();
		assert!(refused().contains("password is empty"), "{}", refused());
		fs::remove_file(&secret).unwrap();
		assert!(refused().contains("cannot read the password"), "{}", refused());
	}

	#[test]
	fn two_new_keys_differ() {
		assert_ne!(generate().1.public_key().0, generate().1.public_key().0);
		assert_eq!(generate().0.word_count(), 12);
	}

	#[test]
	fn a_key_file_is_not_overwritten() {
		let (_dir, path) = file("//Alice");
		assert!(matches!(create(&path, None), Err(KeyError::Exists { .. })));
		assert_eq!(fs::read(&path).unwrap(), b"//Alice");
	}

	#[test]
	fn a_file_that_cannot_be_opened_is_named() {
		let dir = tempfile::tempdir().unwrap();
		let missing = dir.path().join("missing");
		assert!(matches!(load(&missing, &no_password()), Err(KeyError::NotFound { .. })));
		assert!(matches!(create(missing.join("key"), None), Err(KeyError::Write { .. })));
		assert!(load(dir.path(), &no_password()).unwrap_err().to_string().contains("directory"));
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
			assert!(
				matches!(load(&path, &no_password()), Err(KeyError::Exposed { .. })),
				"{mode:o}"
			);
		}
		set_mode(&path, 0o400);
		assert_eq!(load(&path, &no_password()).unwrap().public_key().0, key.public_key().0);
	}

	#[test]
	fn everybody_may_read_a_development_key() {
		let (_dir, path) = file("//Alice");
		set_mode(&path, 0o644);
		assert!(load(&path, &no_password()).is_ok());
	}
}
