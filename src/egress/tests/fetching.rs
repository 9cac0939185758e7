//! Our own requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::*;
use crate::egress::{DialError, FetchError, Fetched, Fetcher};

const SHORT: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// An https server with a certificate of its own making; returns its address and the pin of the certificate's key.
/// With `stolen`, it shows the certificate but holds another key.
async fn https(stolen: bool) -> (SocketAddr, String) {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["shop.test".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let pin = BASE64.encode(Sha256::digest(key.subject_public_key_info()));
    let held = if stolen { KeyPair::generate().unwrap() } else { key };
    let held = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(held.serialize_der()));
    let signing = rustls::crypto::ring::sign::any_supported_type(&held).unwrap();
    let certified = Arc::new(CertifiedKey::new(vec![cert.der().clone()], signing));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(certified)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&response("secure")).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, pin)
}

async fn fetch(egress: &Egress, pins: &[String], url: &str, max_bytes: usize) -> Result<Fetched, FetchError> {
    let fetcher = Fetcher::new(egress, pins, "phantom-test/1").unwrap();
    let headers = [("X-Ours".to_owned(), "yes".to_owned())];
    within(fetcher.get(&url.parse().unwrap(), &headers, max_bytes, SHORT)).await
}

#[tokio::test]
async fn a_page_is_fetched_with_our_headers() {
    let server = Server::echo().await;
    let egress = proxy(mapped(server.address), &[]).await;
    let fetched = fetch(&egress, &[], "http://shop.test/robots.txt", 10_000)
        .await
        .unwrap();
    let head = String::from_utf8(fetched.body).unwrap().to_ascii_lowercase();
    assert_eq!((fetched.status, fetched.truncated), (200, false));
    assert!(head.starts_with("get /robots.txt http/1.1"), "{head}");
    for line in ["host: shop.test", "user-agent: phantom-test/1", "x-ours: yes"] {
        assert!(head.lines().any(|have| have == line), "{line} in {head}");
    }
    assert_eq!(egress.counters().connections, 1);
}

#[tokio::test]
async fn a_redirect_is_returned() {
    let server =
        Server::start(|_| b"HTTP/1.1 301 Moved\r\nLocation: http://other.test/\r\nContent-Length: 0\r\n\r\n".to_vec())
            .await;
    let egress = proxy(mapped(server.address), &[]).await;
    let fetched = fetch(&egress, &[], "http://shop.test/", 10).await.unwrap();
    assert_eq!(
        (fetched.status, fetched.header("location")),
        (301, Some("http://other.test/"))
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn only_a_trusted_key_that_is_held_is_accepted() {
    let url = "https://shop.test/";
    for stolen in [false, true] {
        let (address, pin) = https(stolen).await;
        let other = BASE64.encode([0; 32]);
        for (pins, trusted) in [(vec![], false), (vec![other.clone()], false), (vec![other, pin], true)] {
            let egress = proxy(mapped(address), &[]).await;
            match fetch(&egress, &pins, url, 100).await {
                Ok(fetched) => assert!(trusted && !stolen && fetched.body == b"secure", "{pins:?} {stolen}"),
                Err(FetchError::Tls { reason, .. }) => assert!(!trusted || stolen, "{reason}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn bodies_are_cut_at_the_limit() {
    let server = Server::start(|_| response("0123456789")).await;
    let egress = proxy(mapped(server.address), &[]).await;
    for (limit, body, truncated) in [(4, "0123", true), (10, "0123456789", false), (0, "", true)] {
        let fetched = fetch(&egress, &[], "http://shop.test/", limit).await.unwrap();
        assert_eq!(
            (fetched.body.as_slice(), fetched.truncated),
            (body.as_bytes(), truncated)
        );
    }
}

/// A server that takes whoever comes for one who speaks plain HTTP.
async fn speaks_first() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    address
}

#[tokio::test]
async fn why_nothing_came_is_told() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nX: Connection: close\r\n\r\nshort";
    let server = Server::start(|head| {
        if head.contains("/short") {
            short.into()
        } else {
            b"junk\r\n\r\n".into()
        }
    })
    .await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let resolve = [
        ("closed.test", closed),
        ("plain.test", speaks_first().await),
        ("*.test", server.address),
    ];
    let resolve = resolve
        .map(|(pattern, to)| (pattern.to_owned(), to.to_string()))
        .to_vec();
    let egress = proxy(
        EgressRules {
            resolve,
            ..EgressRules::default()
        },
        &[],
    )
    .await;
    let table = [
        ("http://nobody.example/", "resolve"),
        ("https://nobody.example/", "resolve"),
        ("http://127.0.0.1/", "refused"),
        ("https://10.0.0.1/", "refused"),
        ("http://closed.test/", "connect"),
        ("https://closed.test/", "connect"),
        ("http://shop.test/junk", "protocol"),
        ("https://plain.test/", "tls"),
        ("http://shop.test/short", "body"),
        ("file:///etc/passwd", "request"),
    ];
    for (url, expected) in table {
        let error = fetch(&egress, &[], url, 1000).await.expect_err(url);
        let stage = match &error {
            FetchError::Reach { source, .. } => source.code(),
            FetchError::Tls { .. } => "tls",
            FetchError::Broken { stage, .. } => stage,
            FetchError::Request { .. } => "request",
            _ => "other",
        };
        assert_eq!(stage, expected, "{url}: {error:?}");
        assert!(error.to_string().starts_with(url), "{error}");
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let egress = proxy(mapped(silent.local_addr().unwrap()), &[]).await;
    let fetcher = Fetcher::new(&egress, &[], "test").unwrap();
    let limit = Duration::from_millis(100);
    let url: Url = "http://user:secret@shop.test/".parse().unwrap();
    let error = within(fetcher.get(&url, &[], 10, limit)).await.unwrap_err();
    assert!(
        matches!(error, FetchError::TimedOut { stage: "response", .. }),
        "{error:?}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn after_a_cut_nothing_is_fetched() {
    let server = Server::echo().await;
    let egress = proxy(mapped(server.address), &[]).await;
    let fetcher = Fetcher::new(&egress, &[], "test").unwrap();
    egress.cut();
    let error = within(fetcher.get(&"http://shop.test/".parse().unwrap(), &[], 10, SHORT))
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            FetchError::Reach {
                source: DialError::Cut,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let egress = proxy(EgressRules::default(), &[]).await;
    for (pins, user_agent) in [
        (vec!["x".to_owned()], "ok"),
        (vec![BASE64.encode([0; 31])], "ok"),
        (vec![], "a\nb"),
    ] {
        let error = Fetcher::new(&egress, &pins, user_agent).unwrap_err();
        assert!(matches!(error, FetchError::Setup(_)), "{error}");
    }
}
