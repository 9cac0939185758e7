//! A site that hands out secrets in every way it can. None of them may be anywhere in what is kept, shown or sent.

use std::fs;

use axum::http::StatusCode;
use phantom_gang::crawl::PageState;
use phantom_gang::demo::{Ask, Reply};
use phantom_gang::sandbox::{Sandbox, SandboxOptions};
use phantom_gang::scan::ScanId;
use phantom_gang::store;
use serde_json::Value;

use crate::support::Bench;

/// Where a secret is handed out, and the secret.
const SECRETS: &[(&str, &str)] = &[
    ("start", "k7Qw1rT5yU7iO3pA6sD4fG2hJ9kL0z01"),
    ("cookie", "b8Xv2nM4cZ6aS8dF0gH1jK3lQ5wE7r02"),
    ("script-cookie", "n3Bv5cX7zA9sD1fG3hJ5kL7qW9eR1t03"),
    ("header", "t5Yh7uJ9iK1oL3pQ5wE7rT9yU1iO3p04"),
    ("authorization", "z1Xc3vB5nM7aS9dF1gH3jK5lQ7wE9r05"),
    ("hidden", "u7Ij9kO1lP3aS5dF7gH9jK1lZ3xC5v06"),
    ("field-name", "0f1e2d3c4b5a69788796a5b4c3d2e107"),
    ("password", "correct-Horse-7-battery-08"),
    ("meta", "e5Rt7yU9iO1pA3sD5fG7hJ9kL1zX3c09"),
    ("odd-meta", "v9Bn1mQ3wE5rT7yU9iO1pA3sD5fG7h10"),
    ("link", "g1Hj3kL5zX7cV9bN1mQ3wE5rT7yU9i11"),
    ("short-link", "hunter2-12"),
    ("fragment", "o5Pa7sD9fG1hJ3kL5zX7cV9bN1mQ3w13"),
    ("action", "r9Ty1uI3oP5aS7dF9gH1jK3lZ5xC7v14"),
    ("redirect", "c1Vb3nM5qW7eR9tY1uI3oP5aS7dF9g15"),
    ("landing", "j5Kl7zX9cV1bN3mQ5wE7rT9yU1iO3p16"),
    ("leaving", "w9Er1tY3uI5oP7aS9dF1gH3jK5lZ7x17"),
    ("frame", "d3Fg5hJ7kL9zX1cV3bN5mQ7wE9rT1y18"),
    ("frame-fragment", "q7We9rT1yU3iO5pA7sD9fG1hJ3kL5z19"),
    ("image", "x1Cv3bN5mQ7wE9rT1yU3iO5pA7sD9f20"),
    ("path", "A1B2C3D4E5F60718293A4B5C6D7E8F21"),
    ("path-ticket", "lit3py24fkp1qqcv1ujd4r22"),
    ("literal", "s5Df7gH9jK1lZ3xC5vB7nM9qW1eR3t23"),
    ("short-literal", "k9f3-24"),
    ("json", "f7Gh9jK1lZ3xC5vB7nM9qW1eR3tY5u25"),
    ("external", "h9Jk1lZ3xC5vB7nM9qW1eR3tY5uI7o26"),
    ("script-url", "l3Zx5cV7bN9mQ1wE3rT5yU7iO9pA1s27"),
    ("attribute", "m5Qw7eR9tY1uI3oP5aS7dF9gH1jK3l28"),
    ("handler", "y7Ui9oP1aS3dF5gH7jK9lZ1xC3vB5n29"),
    ("local-storage", "i9Op1aS3dF5gH7jK9lZ1xC3vB5nM7q30"),
    ("session-storage", "p3As5dF7gH9jK1lZ3xC5vB7nM9qW1e31"),
    ("userinfo", "a5Sd7fG9hJ1kL3zX5cV7bN9mQ1wE3r32"),
    (
        "fetch",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlMzM",
    ),
    ("socket", "b1Nm3qW5eR7tY9uI1oP3aS5dF7gH9j34"),
    ("nested", "n5Mq7wE9rT1yU3iO5pA7sD9fG1hJ3k35"),
    ("missing", "z9Xc1vB3nM5qW7eR9tY1uI3oP5aS7d36"),
    ("sitemap", "t1Yu3iO5pA7sD9fG1hJ3kL5zX7cV9b37"),
    ("refresh", "e9Rt1yU3iO5pA7sD9fG1hJ3kL5zX7c38"),
    ("popup", "u3Io5pA7sD9fG1hJ3kL5zX7cV9bN1m39"),
    ("javascript-url", "o7Pa9sD1fG3hJ5kL7zX9cV1bN3mQ5w40"),
    ("nonce", "r1Ty3uI5oP7aS9dF1gH3jK5lZ7xC9v41"),
    ("sourced", "g5Hj7kL9zX1cV3bN5mQ7wE9rT1yU3i42"),
];

const START: &str = r#"<!doctype html><title>Secrets</title>
<meta name="csrf-token" content="{meta}"><meta name="odd" content="{odd-meta}">
<form id="in" action="http://u:{userinfo}@shop.test/in?csrf_token={action}" method="post" data-anything="{attribute}"
  onsubmit="go('{handler}')">
  <input type="hidden" name="csrf" value="{hidden}"><input type="hidden" name="{field-name}" value="1">
  <input name="user"><input type="password" name="password" value="{password}"><button>In</button></form>
<form id="bare" action="/save" method="post" data-state="{attribute}"><input name="comment"><button>Save</button></form>
<form action="javascript:go('{javascript-url}')"><input name="q"></form>
<a href="/a?token={link}&page=2">a</a> <a href="/b?password={short-link}">b</a> <a href="/c#access_token={fragment}">c</a>
<a href="/d;jsessionid={path}">d</a> <a href="/(S({path-ticket}))/e">e</a> <a href="https://u:{userinfo}@shop.test/f">f</a>
<a href="/redirect?code={redirect}">g</a> <a href="/leaving?code={redirect}">h</a> <a href="/missing?sid={missing}">i</a>
<a href="/next?next=%2Fcb%3Ftoken%3D{nested}">j</a> <a href="/refresh">k</a> <a href="/drop?key={missing}">l</a>
<iframe src="/frame?auth_token={frame}#id_token={frame-fragment}"></iframe>
<iframe srcdoc="<a href='/a?session_token={sourced}'>a</a><script>token = '{sourced}'</script>"></iframe>
<img src="http://cdn.test/p.png?signature={image}" alt="">
<script src="/app.js?api_key={script-url}"></script>
<script src="http://cdn.test/insecure.js?api_key={script-url}"></script>
<script nonce="{nonce}" data-key="{attribute}">
  var csrfToken = "{literal}", apiKey = '{short-literal}';
  var state = "{\"session\":{\"accessToken\":\"{json}\"}}";
  document.cookie = "visit={script-cookie}; path=/";
  localStorage.setItem("a", "{local-storage}");
  sessionStorage.setItem("b", "{session-storage}");
  fetch("/api?jwt={fetch}", { headers: { Authorization: "Bearer {authorization}" } });
  new WebSocket("wss://shop.test/ws?token={socket}");
  window.open("/popup?ticket={popup}");
</script>
<script type="application/json">{"props":{"password":"{password}","token":"{json}"}}</script>"#;

const EXTERNAL: &str = r#"window.config = { apiKey: "{external}", secret: '{short-literal}' };"#;

fn with_secrets(text: &str) -> String {
    SECRETS.iter().fold(text.to_owned(), |text, (name, secret)| {
        text.replace(&format!("{{{name}}}"), secret)
    })
}

fn site(ask: &Ask<'_>) -> Reply {
    let page = |body: &str| Reply::html(with_secrets(&format!("<!doctype html><title>Page</title>{body}")));
    let to = |location: &str| Reply::redirect(StatusCode::FOUND, &with_secrets(location));
    let reply = match (ask.host, ask.path) {
        ("shop.test", "/") => Reply::html(with_secrets(START))
            .header(
                "set-cookie",
                &with_secrets("PHPSESSID={cookie}; Path=/; Secure; SameSite=None"),
            )
            .header(
                "content-security-policy-report-only",
                &with_secrets("script-src 'nonce-{nonce}'"),
            ),
        ("shop.test", "/app.js") => Reply::ok("text/javascript", with_secrets(EXTERNAL)),
        ("shop.test", "/redirect") => to("/landed?state={landing}#access_token={landing}"),
        ("shop.test", "/leaving") => to("https://other.test/cb?code={leaving}"),
        ("shop.test", "/drop") => Reply::html("").body(phantom_gang::demo::Body::Drop),
        ("shop.test", "/refresh") => page(r#"<meta http-equiv="refresh" content="60; url=/r?token={refresh}">"#),
        ("shop.test", "/sitemap.xml") => Reply::ok(
            "application/xml",
            with_secrets(
                "<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\"><url>\
                 <loc>https://shop.test/listed?token={sitemap}</loc></url></urlset>",
            ),
        ),
        ("shop.test", "/missing" | "/robots.txt" | "/api" | "/ws") | ("cdn.test" | "other.test", _) => {
            Reply::status(StatusCode::NOT_FOUND)
        }
        ("shop.test", _) => page(r#"<a href="/a?token={link}">a</a>"#),
        _ => Reply::status(StatusCode::NOT_FOUND),
    };
    reply
        .header("x-auth-token", &with_secrets("{header}"))
        .header("x-echo", &with_secrets("Bearer {authorization}"))
}

/// Texts, and which of the secrets are in them.
#[derive(Default)]
struct Search {
    leaks: Vec<String>,
}

impl Search {
    fn look(&mut self, place: &str, text: &str) {
        for (name, secret) in SECRETS {
            if let Some(at) = text.find(secret) {
                let before: Vec<char> = text[..at].chars().rev().take(120).collect();
                let before: String = before.into_iter().rev().collect();
                self.leaks.push(format!("{name} in {place}, after …{before}"));
            }
        }
    }
}

/// All that the store gives out about a scan.
async fn all_kept(bench: &Bench, scan: &ScanId) -> Vec<(String, String)> {
    let store = store::open(Some(&bench.path("scans.db").to_string_lossy()))
        .await
        .unwrap();
    let mut kept = vec![("scan".to_owned(), format!("{:?}", store.scan(scan).await.unwrap()))];
    let mut hashes = Vec::new();
    for state in [PageState::Done, PageState::Failed, PageState::Skipped] {
        for row in store.pages(scan, state, 1_000).await.unwrap() {
            kept.push((format!("row of {}", row.key), format!("{row:?}")));
            if let Some(evidence) = store.evidence(scan, &row.key).await.unwrap() {
                hashes.extend(evidence.scripts.iter().filter_map(|script| script.hash.clone()));
                kept.push((
                    format!("evidence of {}", row.key),
                    serde_json::to_string(&evidence).unwrap(),
                ));
            }
        }
    }
    let bodies = store.bodies(&hashes).await.unwrap();
    assert!(bodies.len() >= 3, "only {} script texts were kept", bodies.len());
    kept.extend(bodies.into_iter().map(|(hash, text)| (format!("script {hash}"), text)));
    for finding in store.findings(scan).await.unwrap() {
        let (pages, _) = store.finding_pages(scan, &finding.fingerprint, 1_000).await.unwrap();
        kept.push((
            format!("finding {}", finding.title),
            serde_json::to_string(&(&finding, pages)).unwrap(),
        ));
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_site_are_nowhere_in_what_is_kept_shown_or_sent() {
    let options = SandboxOptions::default();
    let (user, token) = (options.user.clone(), options.token.clone());
    let sandbox = Sandbox::start(options).await.unwrap();
    let jira = format!(
        "[jira]\ndeployment = \"cloud\"\nbase_url = {:?}\nauth = {{ kind = \"basic\", email = {user:?}, token_file = \
         \"token\" }}\nrequests_per_s = 100\n[jira.defaults]\nproject = \"SEC\"\nissue_type = \"Bug\"\nmin_severity = \
         \"low\"\nmin_confidence = \"tentative\"\n",
        sandbox.base_url(),
    );
    let bench = Bench::of(site, &jira).await;
    bench.write("token", &token);
    let start = with_secrets("https://shop.test/?reset_token={start}");
    let (ran, report) = bench
        .scan(&["-vv", "--tickets", "live", "--report", "html=report.html", &start])
        .await;
    assert!(sandbox.issues().len() >= 3, "too few tickets to tell: {ran:#?}");

    let mut search = Search::default();
    search.look("standard output", &ran.stdout);
    search.look("standard error", &ran.stderr);
    search.look("report.json", &report.to_string());
    search.look("report.html", &fs::read_to_string(bench.path("report.html")).unwrap());
    for issue in sandbox.issues() {
        search.look(
            &format!("ticket {}", issue.key),
            &serde_json::to_string(&issue).unwrap(),
        );
    }
    for exchange in sandbox.log() {
        let place = format!("{} {}", exchange.method, exchange.path);
        search.look(&place, &serde_json::to_string(&exchange).unwrap());
    }
    let scan = ScanId(report["scan"]["id"].as_str().unwrap().to_owned());
    let kept = all_kept(&bench, &scan).await;
    for (place, text) in &kept {
        search.look(place, text);
    }
    for entry in fs::read_dir(bench.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            search.look(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
        }
    }
    assert!(search.leaks.is_empty(), "{}", search.leaks.join("\n"));
    saw_it_all(&report, &kept);
}

/// What stands for the secrets is there: nothing above would fail for a scan that saw nothing.
fn saw_it_all(report: &Value, kept: &[(String, String)]) {
    let start = kept.iter().find(|(place, _)| place == "evidence of https://shop.test/");
    let (_, start) = start.expect("the start page was looked at");
    let evidence: Value = serde_json::from_str(start).unwrap();
    let count = |key: &str| evidence[key].as_array().unwrap().len();
    assert!(
        count("forms") == 3 && count("storage") >= 2 && count("cookies") >= 2,
        "{start}"
    );
    assert!(
        count("frames") == 3 && count("issues") >= 2 && count("metas") >= 2,
        "{start}"
    );
    assert!(start.matches("REDACTED").count() > 15, "{start}");
    let rows = kept.iter().filter(|(place, _)| place.starts_with("row of")).count();
    assert!(rows >= 14, "only {rows} pages");
    assert!(report["findings"].as_array().unwrap().len() >= 3, "{report:#}");
}
