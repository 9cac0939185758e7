//! Certificates for `.test` names, made at start and never written to disk.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use super::DemoError;
use super::content::{Content, Tls};

/// A certificate authority of one microsite and the key of all its hosts.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    leaf: LeafKey,
    untrusted: LeafKey,
}

struct LeafKey {
    pair: KeyPair,
    signer: Arc<dyn SigningKey>,
}

impl LeafKey {
    fn generate() -> Result<Self, DemoError> {
        let pair = KeyPair::generate().map_err(|source| failed("a host", source))?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let signer = ring::sign::any_supported_type(&der)?;
        Ok(Self { pair, signer })
    }
}

fn failed(name: &str, source: rcgen::Error) -> DemoError {
    DemoError::Certificate {
        name: name.to_owned(),
        source,
    }
}

impl Authority {
    /// A new authority with new keys.
    pub(super) fn generate() -> Result<Self, DemoError> {
        let name = "the microsite's authority";
        let key = KeyPair::generate().map_err(|source| failed(name, source))?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Phantom Gang microsite");
        let certificate = params.self_signed(&key).map_err(|source| failed(name, source))?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            leaf: LeafKey::generate()?,
            untrusted: LeafKey::generate()?,
        })
    }

    /// The authority's own certificate, for clients that verify chains.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// Base64 of the SHA-256 of the hosts' public key (its `SubjectPublicKeyInfo` in DER), as Chromium's
    /// `--ignore-certificate-errors-spki-list` takes it.
    pub(super) fn spki(&self) -> String {
        STANDARD.encode(Sha256::digest(self.leaf.pair.subject_public_key_info()))
    }

    fn trusted(&self, host: &str) -> Result<CertifiedKey, DemoError> {
        let leaf = host_params(host)?
            .signed_by(&self.leaf.pair, &self.issuer)
            .map_err(|source| failed(host, source))?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        Ok(CertifiedKey::new(chain, Arc::clone(&self.leaf.signer)))
    }

    /// Signed by itself and with a key of its own, so that no list of trusted keys accepts it.
    fn untrusted(&self, host: &str) -> Result<CertifiedKey, DemoError> {
        let leaf = host_params(host)?
            .self_signed(&self.untrusted.pair)
            .map_err(|source| failed(host, source))?;
        Ok(CertifiedKey::new(
            vec![leaf.der().clone()],
            Arc::clone(&self.untrusted.signer),
        ))
    }
}

fn host_params(host: &str) -> Result<CertificateParams, DemoError> {
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(|source| failed(host, source))?;
    params.distinguished_name.push(DnType::CommonName, host);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A TLS configuration that has a certificate for every host that the content wants to be reached by HTTPS.
///
/// Each host has a certificate of its own, so that no client merges the connections of two hosts.
pub(super) fn server_config(authority: Authority, content: Arc<dyn Content>) -> Result<ServerConfig, DemoError> {
    let hosts = Hosts {
        authority,
        content,
        made: Mutex::default(),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(hosts));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

struct Hosts {
    authority: Authority,
    content: Arc<dyn Content>,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Hosts {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name()?.to_ascii_lowercase();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = made.get(&host) {
            return Some(Arc::clone(key));
        }
        let key = match self.content.tls(&host) {
            Tls::Trusted => self.authority.trusted(&host),
            Tls::Untrusted => self.authority.untrusted(&host),
            Tls::Refused => return None,
        };
        let key = Arc::new(key.inspect_err(|error| tracing::warn!(%error, "no certificate")).ok()?);
        made.insert(host, Arc::clone(&key));
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trusted_key_is_the_one_in_the_certificates_of_hosts() {
        let authority = Authority::generate().unwrap();
        let info = authority.leaf.pair.subject_public_key_info();
        let contains = |certificate: &[u8]| certificate.windows(info.len()).any(|window| window == info);
        assert!(contains(&authority.trusted("shop.test").unwrap().cert[0]));
        assert!(!contains(&authority.untrusted("shop.test").unwrap().cert[0]));
        assert_eq!(authority.spki(), STANDARD.encode(Sha256::digest(&info)));
        assert_eq!(authority.spki().len(), 44);
    }
}
