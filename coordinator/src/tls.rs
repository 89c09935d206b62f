//! Encryption of the listeners: certificates from files, made anew or by a public authority, and read
//! again when they are renewed.

use anyhow::{bail, Context};
use cuckoo_chain_client::{certificate, write_new};
use parking_lot::RwLock;
use rustls::{
	crypto::ring,
	server::{ClientHello, ResolvesServerCert},
	sign::CertifiedKey,
	ServerConfig,
};
use rustls_pki_types::{pem::PemObject, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_rustls::TlsAcceptor;

/// How often it is looked whether the files have changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// A certificate and its private key, as they lie in two PEM files. Clones share what was read.
#[derive(Clone, Debug)]
pub struct Certificate {
	files: Arc<Files>,
}

#[derive(Debug)]
struct Files {
	certificate: PathBuf,
	key: PathBuf,
	current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
	/// Reads the files.
	///
	/// # Errors
	///
	/// If one cannot be read, or the key is not that of the certificate.
	pub fn load(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
		let current = RwLock::new(Arc::new(read(certificate, key)?));
		let files = Files { certificate: certificate.into(), key: key.into(), current };
		Ok(Self { files: Arc::new(files) })
	}

	/// The SHA-256 fingerprint by which a registration names it.
	pub fn fingerprint(&self) -> [u8; 32] {
		certificate::fingerprint(&self.files.current.read().cert[0])
	}

	/// What encrypts connections with it, always as it was read last.
	pub fn acceptor(&self) -> TlsAcceptor {
		let provider = Arc::new(ring::default_provider());
		let mut config = ServerConfig::builder_with_provider(provider)
			.with_safe_default_protocol_versions()
			.expect("ring has all that the default versions need; qed")
			.with_no_client_auth()
			.with_cert_resolver(self.files.clone());
		// WebSocket connections begin with HTTP/1.1.
		config.alpn_protocols = vec![b"http/1.1".to_vec()];
		TlsAcceptor::from(Arc::new(config))
	}

	/// Reads the files again whenever they have changed. What is wrong with them is logged, and the
	/// certificate that was read before stays.
	pub async fn follow(self) {
		let mut seen = self.files.modified();
		loop {
			tokio::time::sleep(LOOK_INTERVAL).await;
			let now = self.files.modified();
			if now == seen {
				continue;
			}
			seen = now;
			match self.reload() {
				Ok(()) => tracing::info!(
					"the certificate in {} is new: fingerprint 0x{}",
					self.files.certificate.display(),
					hex::encode(self.fingerprint())
				),
				Err(error) => tracing::error!("the former certificate stays: {error:#}"),
			}
		}
	}

	fn reload(&self) -> anyhow::Result<()> {
		let read = read(&self.files.certificate, &self.files.key)?;
		*self.files.current.write() = Arc::new(read);
		Ok(())
	}
}

impl Files {
	fn modified(&self) -> [Option<SystemTime>; 2] {
		[&self.certificate, &self.key]
			.map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok())
	}
}

impl ResolvesServerCert for Files {
	fn resolve(&self, _: ClientHello) -> Option<Arc<CertifiedKey>> {
		Some(self.current.read().clone())
	}
}

fn read(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
	let chain = certificate::load(certificate)?;
	let private = PrivateKeyDer::from_pem_file(key)
		.with_context(|| format!("cannot read the private key in {}", key.display()))?;
	CertifiedKey::from_der(chain, private, &ring::default_provider()).with_context(|| {
		format!("{} and {} do not fit together", certificate.display(), key.display())
	})
}

/// Makes a certificate for these host names and addresses that vouches for itself, and writes it and
/// its private key, which only its owner can read, to two new files. Its fingerprint.
///
/// # Errors
///
/// If a name is none, or a file exists or cannot be written.
pub fn make(hosts: Vec<String>, certificate: &Path, key: &Path) -> anyhow::Result<[u8; 32]> {
	let made = rcgen::generate_simple_self_signed(hosts).context("no certificate can be made")?;
	let pem = made.serialize_pem().context("no certificate can be made")?;
	// Both must be new before one is written.
	for path in [certificate, key] {
		if path.exists() {
			bail!("{} exists: it is left as it is; name another file", path.display());
		}
	}
	let private = made.serialize_private_key_pem();
	for (path, mode, text) in [(key, 0o600, &private), (certificate, 0o644, &pem)] {
		write_new(path, mode, text).with_context(|| format!("cannot write {}", path.display()))?;
	}
	Ok(certificate::fingerprint(&certificate::load(certificate)?[0]))
}

#[cfg(test)]
mod tests {
	use super::*;

	fn made(dir: &Path, name: &str) -> (PathBuf, PathBuf, [u8; 32]) {
		let files = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
		let fingerprint = make(vec!["localhost".into()], &files.0, &files.1).unwrap();
		(files.0, files.1, fingerprint)
	}

	#[test]
	fn a_made_certificate_is_read_with_the_same_fingerprint() {
		let dir = tempfile::tempdir().unwrap();
		let (certificate, key, fingerprint) = made(dir.path(), "tls");
		assert_eq!(Certificate::load(&certificate, &key).unwrap().fingerprint(), fingerprint);
	}

	#[cfg(unix)]
	#[test]
	fn the_key_is_only_for_its_owner_and_nothing_is_overwritten() {
		use std::os::unix::fs::PermissionsExt;
		let dir = tempfile::tempdir().unwrap();
		let (certificate, key, _) = made(dir.path(), "tls");
		assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
		let before = std::fs::read(&key).unwrap();
		let other = dir.path().join("other.crt");
		let error = make(vec!["localhost".into()], &other, &key).unwrap_err().to_string();
		assert!(error.contains("exists") && !other.exists(), "{error}");
		assert_eq!(std::fs::read(&key).unwrap(), before);
		assert!(certificate.exists());
	}

	#[test]
	fn a_key_of_another_certificate_is_refused_with_both_files_named() {
		let dir = tempfile::tempdir().unwrap();
		let (certificate, _, _) = made(dir.path(), "one");
		let (_, key, _) = made(dir.path(), "two");
		let error = format!("{:#}", Certificate::load(&certificate, &key).unwrap_err());
		assert!(error.contains("one.crt") && error.contains("two.key"), "{error}");
	}

	#[test]
	fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
		let dir = tempfile::tempdir().unwrap();
		let (certificate, key, first) = made(dir.path(), "one");
		let (renewed, renewed_key, second) = made(dir.path(), "two");
		let loaded = Certificate::load(&certificate, &key).unwrap();
		std::fs::write(&certificate, "nonsense").unwrap();
		assert!(loaded.reload().is_err());
		assert_eq!(loaded.fingerprint(), first);
		std::fs::copy(renewed, &certificate).unwrap();
		std::fs::copy(renewed_key, &key).unwrap();
		loaded.reload().unwrap();
		assert_eq!(loaded.fingerprint(), second);
	}
}
