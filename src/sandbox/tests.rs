//! The sandbox from outside, over HTTP.

use std::sync::Arc;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{Faults, Sandbox, SandboxOptions};

fn client() -> Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .build()
        .unwrap()
}

async fn post(sandbox: &Sandbox, path: &str, body: &Value) -> (StatusCode, Value) {
    let options = SandboxOptions::default();
    let sent = client()
        .post(format!("{}{path}", sandbox.base_url()))
        .basic_auth(options.user, Some(options.token))
        .json(body)
        .send()
        .await
        .unwrap();
    (sent.status(), sent.json().await.unwrap_or_default())
}

async fn page(sandbox: &Sandbox, path: &str) -> String {
    let got = client()
        .get(format!("{}{path}", sandbox.base_url()))
        .send()
        .await
        .unwrap();
    assert!(
        got.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    got.text().await.unwrap()
}

fn issue(summary: &str) -> Value {
    json!({ "fields": {
        "project": { "key": "SEC" }, "issuetype": { "name": "Bug" }, "summary": summary, "labels": ["l"],
        "description": { "type": "doc", "version": 1, "content": [
            { "type": "paragraph", "content": [{ "type": "text", "text": "<img src=x onerror=alert(1)>" }] },
        ] },
    } })
}

#[tokio::test]
async fn issues_are_kept_from_one_run_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let options = SandboxOptions {
        state_file: Some(folder.path().join("queue.json")),
        ..SandboxOptions::default()
    };
    let first = Sandbox::start(options.clone()).await.unwrap();
    let (status, created) = post(&first, "/rest/api/3/issue", &issue("one")).await;
    assert_eq!((status.as_u16(), &created["key"]), (201, &json!("SEC-1")));
    let kept = first.issues();
    drop(first);
    let second = Sandbox::start(options.clone()).await.unwrap();
    assert_eq!(second.issues(), kept);
    let (_, created) = post(&second, "/rest/api/3/issue", &issue("two")).await;
    assert_eq!(created["key"], "SEC-2");

    std::fs::write(folder.path().join("queue.json"), "not JSON").unwrap();
    let error = Sandbox::start(options).await.err().unwrap().to_string();
    assert!(error.contains("queue.json") && error.contains("--state"), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_said_so() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let again = SandboxOptions {
        listen: sandbox.address(),
        ..SandboxOptions::default()
    };
    let error = Sandbox::start(again).await.err().unwrap().to_string();
    assert!(error.contains("--listen"), "{error}");
}

#[tokio::test]
async fn pages_are_inert() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    post(&sandbox, "/rest/api/3/issue", &issue("<script>alert(1)</script>")).await;
    for path in ["/sandbox", "/browse/SEC-1"] {
        let html = page(&sandbox, path).await;
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{html}");
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    }
}

#[tokio::test]
async fn faults_are_set_from_outside() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let (status, left) = post(
        &sandbox,
        "/sandbox/faults",
        &json!({ "rate_limited": 1, "retry_after_s": 3 }),
    )
    .await;
    assert_eq!((status.as_u16(), &left["rate_limited"]), (200, &json!(1)));
    let (status, answer) = post(&sandbox, "/rest/api/3/issue", &issue("one")).await;
    assert_eq!(status.as_u16(), 429);
    assert_eq!(answer["errorMessages"][0], "Rate limit exceeded.");
    let (status, _) = post(&sandbox, "/sandbox/faults", &json!({ "explode": 1 })).await;
    assert_eq!(status.as_u16(), 400);
    let plain = client()
        .post(format!("{}/sandbox/faults", sandbox.base_url()))
        .body("{\"drop_creates\": 5}")
        .send()
        .await
        .unwrap();
    assert_eq!(plain.status().as_u16(), 415);
    assert_eq!(
        sandbox.faults(),
        Faults {
            retry_after_s: 3,
            ..Faults::default()
        }
    );
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let search = "/rest/api/3/search/jql";
    for (path, body, status) in [
        (search, json!({ "jql": "project = SEC", "startAt": 0 }), 400),
        (search, json!({ "jql": "project = SEC", "nextPageToken": "x" }), 400),
        (search, json!({ "jql": "project = NO" }), 400),
        (search, json!({ "jql": "text ~ x" }), 400),
        ("/rest/api/3/search", json!({ "jql": "project = SEC" }), 410),
        ("/rest/api/3/issue/SEC-9/comment", issue("x"), 400),
        (
            "/rest/api/3/issue/SEC-9/comment",
            json!({ "body": issue("x")["fields"]["description"] }),
            404,
        ),
        ("/rest/api/3/nothing", json!({}), 404),
        ("/rest/api/3/myself", json!({}), 405),
    ] {
        let (got, answer) = post(&sandbox, path, &body).await;
        assert_eq!(got.as_u16(), status, "{path} {body} {answer}");
        assert!(
            answer["errorMessages"].is_array() && answer["errors"].is_object(),
            "{path} {answer}"
        );
    }
}
