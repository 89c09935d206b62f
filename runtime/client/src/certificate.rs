//! The TLS certificate of a coordinator, as its registration names it: by a fingerprint.

use rustls_pki_types::{
	pem::{self, PemObject},
	CertificateDer,
};
use sp_crypto_hashing::sha2_256;
use std::path::{Path, PathBuf};

/// Why a file gives no certificate. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
	/// It cannot be read.
	#[error("cannot read the certificate in {path}: {error}")]
	Unreadable {
		/// The file.
		path: PathBuf,
		/// Why.
		error: pem::Error,
	},
	/// Nothing is in it.
	#[error(
		"there is no certificate in {path}: it must hold one as PEM (-----BEGIN CERTIFICATE-----)"
	)]
	Empty {
		/// The file.
		path: PathBuf,
	},
}

/// The certificates in a PEM file: first the server's own, then those that vouch for it.
///
/// # Errors
///
/// If the file cannot be read, is no PEM or has no certificate.
pub fn load(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
	let unreadable = |error| CertificateError::Unreadable { path: path.into(), error };
	let chain: Vec<_> =
		CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable)?;
	if chain.is_empty() {
		return Err(CertificateError::Empty { path: path.into() });
	}
	Ok(chain)
}

/// The SHA-256 fingerprint of a certificate, as it is registered: over its DER encoding.
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
	sha2_256(certificate)
}

#[cfg(test)]
mod tests {
	use super::*;

	/// Made by `openssl req -x509 -newkey ed25519 -nodes -subj /CN=test -days 36500`; the fingerprint
	/// by `openssl x509 -fingerprint -sha256`.
	const PEM: &str = "-----BEGIN CERTIFICATE-----\n\
		MIIBNDCB56ADAgECAhR2WZskSs/dkqVk2ww7sJRDc7zUWjAFBgMrZXAwDzENMAsG\n\
		A1UEAwwEdGVzdDAgFw0yNjExMjUxNzIyMTdaGA8yMTI2MTEwMTE3MjIxN1owDzEN\n\
		MAsGA1UEAwwEdGVzdDAqMAUGAytlcAMhAEfKRXhFJm6Q0WQBZtcuLG5kwlMqIc93\n\
		IuW0RpsgVZ53o1MwUTAdBgNVHQ4EFgQU8sxm36NJVwVr2q1LEwlF3js9+BMwHwYD\n\
		VR0jBBgwFoAU8sxm36NJVwVr2q1LEwlF3js9+BMwDwYDVR0TAQH/BAUwAwEB/zAF\n\
		BgMrZXADQQBmtY7IviDVmnMsM3CNZmWz+7b0wONjH8UVIVdI7BB7PY8HVaFKDwxd\n\
		aCfNshKQV4YDnYZK2IStq/jx4lwPmoEI\n\
		-----END CERTIFICATE-----\n";
	const FINGERPRINT: &str = "618bf66d678067242ffc8a3a9bd5127a4ed4cf8079af14ea302c9df5dbf818df";

	#[test]
	fn the_fingerprint_is_that_of_openssl() {
		let dir = tempfile::tempdir().unwrap();
		let path = dir.path().join("tls.crt");
		std::fs::write(&path, PEM).unwrap();
		assert_eq!(hex::encode(fingerprint(&load(&path).unwrap()[0])), FINGERPRINT);
	}

	#[test]
	fn files_without_a_certificate_are_refused_in_one_line() {
		let dir = tempfile::tempdir().unwrap();
		let path = dir.path().join("tls.crt");
		let missing = load(&path).unwrap_err().to_string();
		assert!(missing.contains("tls.crt"), "{missing}");
		for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\n@@\n-----END CERTIFICATE-----\n"]
		{
			std::fs::write(&path, text).unwrap();
			let message = load(&path).unwrap_err().to_string();
			assert!(message.contains("tls.crt") && message.lines().count() == 1, "{message}");
		}
	}
}
