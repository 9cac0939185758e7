//! The sandbox from outside, over HTTP.

use std::sync::Arc;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{Faults, ResolutionScreen, Sandbox, SandboxOptions};
use crate::config::Deployment;

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

async fn data_center() -> Sandbox {
    Sandbox::start(SandboxOptions {
        deployment: Deployment::DataCenter,
        projects: vec!["SEC".to_owned(), "WEB".to_owned()],
        required_fields: vec!["WEB:customfield_1".to_owned()],
        denied: vec!["LINK_ISSUES".to_owned()],
        ..SandboxOptions::default()
    })
    .await
    .unwrap()
}

fn wiki_issue(project: &str, description: &Value) -> Value {
    json!({ "fields": {
        "project": { "key": project }, "issuetype": { "name": "Bug" }, "summary": "s", "description": description,
    } })
}

#[tokio::test]
async fn data_center_has_its_own_dialect() {
    let sandbox = data_center().await;
    let create = "/rest/api/2/issue";
    let document = &issue("x")["fields"]["description"];
    let mut with_property = wiki_issue("SEC", &json!("x"));
    with_property["properties"] = json!([{ "key": "k", "value": 1 }]);
    let transition = |fields: Value| json!({ "transition": { "id": "31" }, "fields": fields });
    for (path, body, status) in [
        (create, wiki_issue("SEC", &json!("h1. [~admin] <b>")), 201),
        (create, wiki_issue("SEC", document), 400),
        (create, wiki_issue("SEC", &json!("x".repeat(32_768))), 400),
        (create, wiki_issue("WEB", &json!("x")), 400),
        (create, with_property, 400),
        ("/rest/api/3/issue", wiki_issue("SEC", &json!("x")), 404),
        (
            "/rest/api/2/search",
            json!({ "jql": "project = SEC", "startAt": 0 }),
            200,
        ),
        (
            "/rest/api/2/search",
            json!({ "jql": "project = SEC", "nextPageToken": "x" }),
            400,
        ),
        ("/rest/api/2/search/jql", json!({ "jql": "project = SEC" }), 404),
        ("/rest/api/2/issue/SEC-1/comment", json!({ "body": "" }), 400),
        ("/rest/api/2/issue/SEC-1/transitions", transition(json!({})), 400),
        (
            "/rest/api/2/issue/SEC-1/transitions",
            transition(json!({ "summary": "x" })),
            400,
        ),
        (
            "/rest/api/2/issue/SEC-1/transitions",
            transition(json!({ "resolution": { "name": "No such" } })),
            400,
        ),
        (
            "/rest/api/2/issue/SEC-1/transitions",
            transition(json!({ "resolution": { "name": "Fixed" } })),
            204,
        ),
        ("/rest/api/2/issueLink", json!({ "type": { "name": "Relates" } }), 403),
    ] {
        let (got, answer) = post(&sandbox, path, &body).await;
        assert_eq!(got.as_u16(), status, "{path} {answer}");
    }
    let html = page(&sandbox, "/browse/SEC-1").await;
    assert!(
        html.contains("<h2>") && html.contains("mention") && html.contains("&lt;b&gt;"),
        "{html}"
    );
    assert!(html.contains("Done, Fixed"), "{html}");
}

#[tokio::test]
async fn an_attachment_needs_its_header_and_a_bearer_is_let_in() {
    let sandbox = data_center().await;
    post(&sandbox, "/rest/api/2/issue", &wiki_issue("SEC", &json!("x"))).await;
    let address = format!("{}/rest/api/2/issue/SEC-1/attachments", sandbox.base_url());
    for (header, token, status) in [
        ("check", "sandbox", 403),
        ("no-check", "stranger", 401),
        ("no-check", "sandbox", 200),
        ("no-check", "ann", 200),
    ] {
        let part = reqwest::multipart::Part::bytes(b"PNG".to_vec()).file_name("a.png");
        let sent = client()
            .post(&address)
            .header("X-Atlassian-Token", header)
            .bearer_auth(token)
            .multipart(reqwest::multipart::Form::new().part("file", part))
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status().as_u16(), status, "{header} {token}");
    }
    let kept = sandbox.issue("SEC-1").unwrap().attachments;
    let seen: Vec<_> = kept
        .iter()
        .map(|one| (one.author.as_str(), one.name.as_str(), one.size))
        .collect();
    assert_eq!(seen, [("sandbox", "a.png", 3), ("ann", "a.png", 3)]);
}

#[tokio::test]
async fn a_person_works_in_the_queue() {
    let sandbox = Sandbox::start(SandboxOptions {
        projects: vec!["SEC".to_owned(), "WEB".to_owned()],
        resolution: Some(ResolutionScreen::None),
        ..SandboxOptions::default()
    })
    .await
    .unwrap();
    for summary in ["one", "two"] {
        post(&sandbox, "/rest/api/3/issue", &issue(summary)).await;
    }
    let ann = sandbox.person();
    assert!(ann.start("SEC-1") && ann.comment("SEC-1", "mine") && ann.label("SEC-1", "phantom-ignore"));
    assert!(ann.duplicate("SEC-1", "SEC-2") && ann.duplicate("SEC-1", "SEC-2"));
    // The screen asks for no resolution, so that it may not be given.
    assert!(!ann.close("SEC-1", Some("Duplicate")));
    assert!(ann.close("SEC-1", None) && !ann.start("SEC-1"));
    assert!(ann.edit("SEC-1", &json!({ "summary": "hers" })) && !ann.edit("SEC-1", &json!({ "colour": 1 })));
    let issue = sandbox.issue("SEC-1").unwrap();
    assert!(issue.status.is_done() && issue.resolved.is_some());
    assert_eq!(
        (issue.resolution.as_deref(), issue.summary.as_str()),
        (Some("Done"), "hers")
    );
    assert_eq!(issue.labels, ["l", "phantom-ignore"]);
    assert_eq!(sandbox.links().len(), 1);
    assert!(issue.history.iter().all(|change| change.author == "ann"));

    let (status, moved) = post(
        &sandbox,
        "/sandbox/move",
        &json!({ "issue": "SEC-1", "project": "WEB" }),
    )
    .await;
    assert_eq!((status.as_u16(), &moved["key"]), (200, &json!("WEB-1")));
    assert_eq!(
        sandbox.issue("SEC-1").map(|found| (found.id, found.key)),
        Some((issue.id, "WEB-1".to_owned()))
    );
    assert!(ann.reopen("WEB-1") && ann.delete("WEB-1"));
    assert!(sandbox.issue("SEC-1").is_none() && sandbox.links().is_empty());
    assert!(ann.relocate("SEC-2", "NO").is_none() && !ann.comment("SEC-9", "x"));
}

#[tokio::test]
async fn any_change_may_lose_its_answer() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    post(&sandbox, "/rest/api/3/issue", &issue("one")).await;
    let (_, left) = post(&sandbox, "/sandbox/faults", &json!({ "drop_changes": 1 })).await;
    assert_eq!(left["drop_changes"], 1);
    let comment = json!({ "body": issue("x")["fields"]["description"] });
    let sent = client()
        .post(format!("{}/rest/api/3/issue/SEC-1/comment", sandbox.base_url()))
        .basic_auth("phantom@sandbox.test", Some("sandbox"))
        .json(&comment)
        .send()
        .await;
    assert!(sent.is_err());
    assert_eq!(sandbox.issues()[0].comments.len(), 1);
}
