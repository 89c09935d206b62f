//! Encrypted connections to coordinators: whose certificate is accepted.

use cuckoo_chain_client::certificate::fingerprint;
use rustls::{
	client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
	crypto::{ring, verify_tls12_signature, verify_tls13_signature, CryptoProvider},
	pki_types::{CertificateDer, ServerName, UnixTime},
	ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::sync::Arc;

/// How to connect to a coordinator: with exactly the certificate of this SHA-256 `fingerprint` if its
/// registration names one, otherwise with one that an authority which this system trusts has issued for
/// its host.
///
/// # Errors
///
/// If the encryption cannot be set up.
pub fn client_config(fingerprint: Option<[u8; 32]>) -> Result<ClientConfig, Error> {
	let provider = Arc::new(ring::default_provider());
	let builder = ClientConfig::builder_with_provider(provider.clone())
		.with_safe_default_protocol_versions()?;
	let builder = match fingerprint {
		Some(fingerprint) => builder
			.dangerous()
			.with_custom_certificate_verifier(Arc::new(Pinned { fingerprint, provider })),
		None => builder.with_platform_verifier(),
	};
	Ok(builder.with_no_client_auth())
}

/// Accepts one certificate, whoever issued it, for whatever host, and whether it has expired or not:
/// the chain vouches for it.
#[derive(Debug)]
struct Pinned {
	fingerprint: [u8; 32],
	provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
	fn verify_server_cert(
		&self,
		end_entity: &CertificateDer,
		_: &[CertificateDer],
		_: &ServerName,
		_: &[u8],
		_: UnixTime,
	) -> Result<ServerCertVerified, Error> {
		let found = fingerprint(end_entity);
		if found == self.fingerprint {
			return Ok(ServerCertVerified::assertion());
		}
		// In full they would not fit into a line.
		let short = |fingerprint: [u8; 32]| hex::encode(&fingerprint[..8]);
		Err(Error::General(format!(
			"its certificate has the fingerprint 0x{}…, registered is 0x{}…",
			short(found),
			short(self.fingerprint)
		)))
	}

	fn verify_tls12_signature(
		&self,
		message: &[u8],
		certificate: &CertificateDer,
		signature: &DigitallySignedStruct,
	) -> Result<HandshakeSignatureValid, Error> {
		let algorithms = &self.provider.signature_verification_algorithms;
		verify_tls12_signature(message, certificate, signature, algorithms)
	}

	fn verify_tls13_signature(
		&self,
		message: &[u8],
		certificate: &CertificateDer,
		signature: &DigitallySignedStruct,
	) -> Result<HandshakeSignatureValid, Error> {
		let algorithms = &self.provider.signature_verification_algorithms;
		verify_tls13_signature(message, certificate, signature, algorithms)
	}

	fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
		self.provider.signature_verification_algorithms.supported_schemes()
	}
}
