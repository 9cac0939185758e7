//! Tokens that are everybody's are told from those that live.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use phantom_gang::demo::{Ask, Reply};

use crate::support::Bench;

/// Three pages with one kind of form and a token that never changes, one with a token that does.
fn page(path: &str, token: &str) -> Option<String> {
    let form = |action: &str, token: &str| {
        format!(
            "<form method=post action={action}><input type=hidden name=csrf_token value={token}><input name=nick><button>Save</button></form>"
        )
    };
    let (title, form) = match path {
        "/" => ("Start", String::new()),
        "/a" => ("Teas", form("/save/1", "m8Qw1rT5yU7iO3pA6sD4")),
        "/b" => ("Shops", form("/save/2", "m8Qw1rT5yU7iO3pA6sD4")),
        "/c" => ("Jobs", form("/save/3", "m8Qw1rT5yU7iO3pA6sD4")),
        "/live" => ("Alive", form("/order", token)),
        _ => return None,
    };
    let links = "<a href=/a>a</a> <a href=/b>b</a> <a href=/c>c</a> <a href=/live>live</a>";
    Some(format!(
        "<!doctype html><title>{title}</title><h1>{title}</h1>{links}{form}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_everybodys_is_found_with_one_request_for_each_kind_of_form() {
    let strangers: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let asked = Arc::clone(&strangers);
    let bench = Bench::of(
        move |ask: &Ask<'_>| {
            let token = format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
            let known = ask.headers.contains_key("cookie");
            // Who is a browser says so; our own requests do not.
            if !ask.headers.contains_key("sec-fetch-mode") && page(ask.path, "").is_some() {
                assert!(!known, "a stranger has no cookies");
                asked
                    .lock()
                    .unwrap()
                    .push((ask.method.to_string(), ask.path.to_owned()));
            }
            let Some(html) = page(ask.path, &token) else {
                return Reply::status(StatusCode::NOT_FOUND);
            };
            let reply = Reply::ok("text/html; charset=utf-8", html.into_bytes());
            if known {
                reply
            } else {
                reply.header(
                    "set-cookie",
                    &format!("PHPSESSID={token}; Path=/; Secure; HttpOnly; SameSite=None"),
                )
            }
        },
        "",
    )
    .await;
    let (ran, report) = bench.scan(&["https://shop.test/"]).await;
    let findings: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["check"] == "missing-csrf-token")
        .collect();
    assert_eq!(findings.len(), 1, "{ran:#?}");
    let said = findings[0];
    assert_eq!(
        (&said["severity"], &said["confidence"]),
        (&"medium".into(), &"firm".into())
    );
    let title = "The CSRF token csrf_token of the form for shop.test/save/{id} is the same for everybody";
    assert_eq!(said["title"], title);
    assert_eq!(
        said["pages"].as_array().unwrap().len(),
        3,
        "on each page that has the form: {said}"
    );
    let strangers = strangers.lock().unwrap();
    assert!(strangers.iter().all(|(method, _)| method == "GET"), "{strangers:?}");
    assert_eq!(strangers.len(), 2, "once for each kind of form: {strangers:?}");
}

/// The form is seen before the page that begins the session, whatever the order of the browsers.
fn late(ask: &Ask<'_>) -> Reply {
    let form = "<form method=post action=/transfer><input name=to><input name=card autocomplete=cc-number><button>Send</button></form>";
    match ask.path {
        "/" => Reply::html(format!(
            "<!doctype html><title>Bank</title><a href=/next>next</a>{form}"
        )),
        "/next" => Reply::html("<!doctype html><title>Next</title><a href=/account>account</a>"),
        "/account" => Reply::html("<!doctype html><title>Account</title>yours").header(
            "set-cookie",
            "sessionid=8c1f5a2be07d4396b1d2f4a7c3e5d6f8; Path=/; Secure; HttpOnly; SameSite=None",
        ),
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_begins_late_counts_for_the_pages_before() {
    let bench = Bench::of(late, "").await;
    let (ran, report) = bench.scan(&["https://shop.test/"]).await;
    let found = |check: &str| {
        let all = report["findings"].as_array().unwrap().iter();
        let of: Vec<_> = all.filter(|finding| finding["check"] == check).cloned().collect();
        assert_eq!(of.len(), 1, "{check} in {ran:#?}");
        of[0].clone()
    };
    let said = found("missing-csrf-token");
    assert_eq!(
        (&said["severity"], &said["confidence"]),
        (&"high".into(), &"tentative".into())
    );
    assert_eq!(found("framing-allowed")["severity"], "medium");
    // A look at the page alone has no session of its own, and knows that there is one.
    let looked = bench.run(&["verify", said["fingerprint"].as_str().unwrap()]).await;
    assert_eq!(looked.code, Some(1), "{looked:#?}");
    let replayed = bench.run(&["checks", "run", "--over", "last", "--json"]).await;
    assert!(replayed.stdout.contains("no CSRF token"), "{replayed:#?}");
}
