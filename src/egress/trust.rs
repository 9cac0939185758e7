//! Which certificates our own fetches accept.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};

/// The SHA-256 of a public key as it stands in a certificate (SPKI).
type Pin = [u8; 32];

/// Why the certificates that are to be trusted make no sense.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustError {
    #[error("browser.trust_spki: `{0}` is not the base64 of 32 bytes")]
    Pin(String),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The system's roots, and the keys in `spki` (base64 of SHA-256) whatever else their certificates say.
pub(super) fn client_config(spki: &[String]) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pins = spki.iter().map(|text| pin(text)).collect::<Result<_, _>>()?;
    let verifier = Verifier {
        pins,
        system: System::load(&provider),
        provider: Arc::clone(&provider),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn pin(text: &str) -> Result<Pin, TrustError> {
    let bytes = BASE64.decode(text.trim()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| TrustError::Pin(text.to_owned()))
}

/// Accepts a pinned key, else asks the system.
#[derive(Debug)]
struct Verifier {
    pins: BTreeSet<Pin>,
    system: System,
    provider: Arc<CryptoProvider>,
}

/// The system's verifier, or why there is none: a machine without root certificates can still scan pinned hosts.
#[derive(Debug)]
enum System {
    Roots(rustls_platform_verifier::Verifier),
    None(String),
}

impl System {
    fn load(provider: &Arc<CryptoProvider>) -> Self {
        match rustls_platform_verifier::Verifier::new(Arc::clone(provider)) {
            Ok(verifier) => Self::Roots(verifier),
            Err(error) => Self::None(format!("{error}; install the package ca-certificates")),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.pins.is_empty() {
            let spki = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
            if self.pins.contains::<Pin>(&Sha256::digest(&*spki).into()) {
                return Ok(ServerCertVerified::assertion());
            }
        }
        match &self.system {
            System::Roots(roots) => {
                roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            System::None(reason) => Err(rustls::Error::General(reason.clone())),
        }
    }

    // That the server holds the key is proved here, for pinned keys as for others.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
