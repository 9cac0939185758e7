use axum::body::Bytes;
use axum::http::StatusCode;

use super::super::content::{Body, Tls};
use super::*;

/// Long enough for a reply from this machine, short enough to wait for one that never comes.
const MOMENT: Duration = Duration::from_millis(300);

/// Says who was asked; paths name the endings, hosts the ways of TLS.
struct Echo;

impl Content for Echo {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        let head = Bytes::from_static(b"head");
        let page = Reply::html(format!("{} {}", ask.scheme, ask.host)).header("x-path", ask.path);
        match ask.path {
            "/never" => page.body(Body::Never(head)),
            "/cut" => page.body(Body::Cut(head)),
            "/stream" => page.body(Body::Stream(stream::iter([head, Bytes::from_static(b" tail")]).boxed())),
            "/silence" => page.body(Body::Silence),
            "/drop" => page.body(Body::Drop),
            "/late" => page.after(MOMENT),
            "/gone" => Reply::status(StatusCode::GONE),
            _ => page,
        }
    }

    fn tls(&self, host: &str) -> Tls {
        match host {
            "refused.test" => Tls::Refused,
            "untrusted.test" => Tls::Untrusted,
            _ => Tls::Trusted,
        }
    }
}

/// A client that trusts the microsite's authority and nobody else.
fn client(site: &Microsite) -> reqwest::Client {
    // Fails if another test was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = reqwest::Certificate::from_pem(site.ca_pem.as_bytes()).unwrap();
    let mut builder = reqwest::Client::builder().tls_certs_only([authority]).no_proxy();
    for host in ["a.test", "b.test", "refused.test", "untrusted.test"] {
        builder = builder.resolve(host, site.https);
    }
    builder.build().unwrap()
}

fn url(address: SocketAddr, scheme: &str, host: &str, path: &str) -> String {
    format!("{scheme}://{host}:{}{path}", address.port())
}

async fn text(client: &reqwest::Client, url: String) -> Result<String, reqwest::Error> {
    client.get(url).send().await?.text().await
}

#[tokio::test]
async fn hosts_are_virtual_and_their_certificates_hold() {
    let site = Microsite::serve(Echo).await.unwrap();
    let client = client(&site);
    for (scheme, address) in [("https", site.https), ("http", site.http)] {
        for host in ["a.test", "b.test"] {
            let said = text(&client, url(address, scheme, host, "/x?y=1")).await.unwrap();
            assert_eq!(said, format!("{scheme} {host}"));
        }
    }
    let logged: Vec<_> = site.log.entries().iter().map(LogEntry::url).collect();
    assert_eq!(logged[0], "https://a.test/x?y=1");
    assert_eq!(logged[3], "http://b.test/x?y=1");
    assert_eq!(logged.len(), 4);
    site.stop().await;
}

#[tokio::test]
async fn refused_and_untrusted_hosts_fail_their_handshakes() {
    let site = Microsite::serve(Echo).await.unwrap();
    let client = client(&site);
    for host in ["refused.test", "untrusted.test"] {
        let error = text(&client, url(site.https, "https", host, "/")).await.unwrap_err();
        assert!(error.is_connect(), "{host}: {error:?}");
        let said = text(&client, url(site.http, "http", host, "/")).await.unwrap();
        assert_eq!(said, format!("http {host}"));
    }
    site.stop().await;
}

#[tokio::test]
async fn every_ending_ends_as_it_says() {
    let site = Microsite::serve(Echo).await.unwrap();
    let client = client(&site);
    let get = |path: &str| client.get(url(site.https, "https", "a.test", path)).send();

    let streamed = get("/stream").await.unwrap();
    assert_eq!(streamed.headers()["x-path"], "/stream");
    assert_eq!(streamed.text().await.unwrap(), "head tail");
    assert_eq!(get("/gone").await.unwrap().status(), StatusCode::GONE);
    assert_eq!(get("/late").await.unwrap().text().await.unwrap(), "https a.test");

    let mut never = get("/never").await.unwrap();
    assert_eq!(never.chunk().await.unwrap().unwrap(), "head");
    assert!(tokio::time::timeout(MOMENT, never.chunk()).await.is_err());
    assert!(tokio::time::timeout(MOMENT, get("/silence")).await.is_err());

    assert!(get("/cut").await.unwrap().bytes().await.is_err());
    assert!(get("/drop").await.is_err());

    // The endless reply is still open; stopping does not wait for it for ever.
    tokio::time::timeout(GRACE + Duration::from_secs(5), site.stop())
        .await
        .unwrap();
    assert!(never.chunk().await.is_err());
}
