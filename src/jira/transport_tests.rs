//! The client on its way: through a proxy, and to a server whose authority only `ca_file` knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Client, Failure, Myself, TransitionRequest};
use crate::config::{JiraAuth, JiraConfig, SecretSource};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\nConnection: close\r\n\r\n{\"name\":\"robot\"}";

/// A configuration for this address, and the file that holds its token for as long as it is kept.
fn config(base: &str) -> (JiraConfig, tempfile::NamedTempFile) {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "s3cret").unwrap();
    let mut config = crate::tickets::testing::config(base);
    config.auth = JiraAuth::Pat {
        token: SecretSource::File(token.path().to_owned()),
    };
    (config, token)
}

/// Reads the head of one request.
async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn a_proxy_is_spoken_through() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut config, _token) = config("http://jira.localhost:1");
    config.proxy = Some(format!("http://{}", proxy.local_addr().unwrap()).parse().unwrap());
    let client = Client::new(&config).unwrap();
    let serve = async {
        let (mut stream, _) = proxy.accept().await.unwrap();
        let head = head(&mut stream).await;
        stream.write_all(ANSWER).await.unwrap();
        head
    };
    let (head, answer) = tokio::join!(serve, client.myself());
    assert!(
        head.starts_with("GET http://jira.localhost:1/rest/api/3/myself "),
        "{head}"
    );
    assert!(head.contains("Bearer s3cret"), "{head}");
    assert_eq!(answer.unwrap().id(), "robot");
}

/// Serves one connection with a certificate of its own making, and asks who we are; with or without knowing it.
async fn over_tls(trusted: bool) -> Result<Myself, Failure> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), made.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut config, _token) = config(&format!("https://localhost:{port}"));
    config.ca_file = trusted.then(|| ca.path().to_owned());
    let client = Client::new(&config).unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(tls)).accept(stream).await {
            head(&mut stream).await;
            stream.write_all(ANSWER).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    };
    tokio::join!(serve, client.myself()).1
}

#[tokio::test]
async fn an_extra_authority_is_trusted_and_nothing_else_is() {
    assert_eq!(over_tls(true).await.unwrap().id(), "robot");
    let refused = over_tls(false).await.unwrap_err();
    assert!(
        matches!(&refused, Failure::NotSent { why, .. } if why.contains("certificate")),
        "{refused:?}"
    );
}

/// What was to be recorded first took most of the time until the next turn.
#[tokio::test]
async fn a_request_that_was_late_puts_off_the_next_one() {
    let (mut config, _token) = config("http://127.0.0.1:1");
    config.requests_per_s = 4.0;
    let client = Client::new(&config).unwrap();
    let permit = client.permit().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let sent = Instant::now();
    let request = TransitionRequest {
        id: "31".to_owned(),
        resolution: None,
    };
    client.transition(permit, "1", &request).await.unwrap_err();
    let _next = client.permit().await;
    assert!(sent.elapsed() >= Duration::from_millis(250), "{:?}", sent.elapsed());
}
