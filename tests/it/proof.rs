//! Forms are sent from another origin where the site's file asks for it, and only there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use phantom_gang::demo::{Ask, Reply};
use serde_json::Value;
use url::form_urlencoded;

use crate::support::Bench;

/// Forms that differ in what the server looks at.
const FORMS: [(&str, &str); 6] = [
    ("open", "The name that others see below what you write"),
    ("guarded", "Where your parcels go, street and number"),
    ("careless", "A motto, which stands under your picture"),
    ("origin", "The colour that you like best of all"),
    ("anyone", "Our guest book, for visitors of all kinds"),
    ("account", "What is written here is taken away for good"),
];

/// A server with sessions, in which forms leave a word.
#[derive(Clone, Default)]
struct Shop(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// The words by session and form; those of nobody are everybody's.
    words: BTreeMap<(String, String), String>,
    /// The form and the `Origin` of each submission.
    sent: Vec<(String, String)>,
}

fn token_of(session: &str) -> String {
    session.chars().rev().collect()
}

impl Shop {
    fn answer(&self, ask: &Ask<'_>) -> Reply {
        let fresh = format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
        let known = ask.cookie("PHPSESSID").map(str::to_owned);
        let session = known.clone().unwrap_or(fresh);
        let name = ask.path.trim_start_matches('/');
        let reply = if ask.method == "POST" {
            self.take(ask, name, known.as_deref())
        } else if name.is_empty() {
            let links = FORMS.map(|(name, _)| format!("<a href=/{name}>{name}</a> ")).concat();
            Reply::html(format!("<!doctype html><title>Shop</title><h1>A shop</h1>{links}"))
        } else if let Some((_, text)) = FORMS.iter().find(|(form, _)| *form == name) {
            self.page(name, text, &session)
        } else {
            Reply::status(StatusCode::NOT_FOUND)
        };
        if known.is_some() || ask.method == "POST" {
            return reply;
        }
        reply.header(
            "set-cookie",
            &format!("PHPSESSID={session}; Path=/; Secure; HttpOnly; SameSite=None"),
        )
    }

    fn page(&self, name: &str, text: &str, session: &str) -> Reply {
        let owner = if name == "anyone" { "" } else { session };
        let kept = self.0.lock().unwrap();
        let key = (owner.to_owned(), name.to_owned());
        let word = kept.words.get(&key).cloned().unwrap_or_default();
        let token = if matches!(name, "guarded" | "careless") {
            format!("<input type=hidden name=csrf_token value={}>", token_of(session))
        } else {
            String::new()
        };
        let button = if name == "account" { "Delete my account" } else { "Save" };
        Reply::html(format!(
            "<!doctype html><title>{name}</title><h1>{name}</h1><p>{text}<p>{word}<form method=post action=/{name}>{token}\
             <input name=text><button>{button}</button></form>"
        ))
    }

    fn take(&self, ask: &Ask<'_>, name: &str, session: Option<&str>) -> Reply {
        let fields: BTreeMap<String, String> = form_urlencoded::parse(ask.body).into_owned().collect();
        let header = |name: &str| {
            ask.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let origin = header("origin").to_owned();
        let mut kept = self.0.lock().unwrap();
        kept.sent.push((name.to_owned(), origin.clone()));
        let owner = match (name, session) {
            ("anyone", _) => "",
            (_, Some(session)) => session,
            (_, None) => return Reply::status(StatusCode::UNAUTHORIZED),
        };
        let refused = match name {
            "guarded" => fields.get("csrf_token") != Some(&token_of(owner)),
            "origin" => origin != "https://shop.test",
            _ => false,
        };
        if refused {
            return Reply::status(StatusCode::FORBIDDEN);
        }
        let word = fields.get("text").cloned().unwrap_or_default();
        kept.words.insert((owner.to_owned(), name.to_owned()), word);
        Reply::redirect(StatusCode::SEE_OTHER, &format!("/{name}"))
    }
}

async fn serve() -> (Bench, Shop) {
    let shop = Shop::default();
    let served = shop.clone();
    (Bench::of(move |ask: &Ask<'_>| served.answer(ask), "").await, shop)
}

fn site(more: &str) -> String {
    format!(
        "id = \"shop\"\nstart = [\"https://shop.test/\"]\nsitemaps = []\n[limits]\npages_per_s = 100\n[explore]\nmode = \
         \"full\"\nallow_state_change = true\n{more}\n"
    )
}

/// What was found of each form, and what was sent to the server.
async fn scanned(more: &str) -> (BTreeMap<String, Value>, Vec<(String, String)>) {
    let (bench, shop) = serve().await;
    bench.write("sitemaps/shop.toml", &site(more));
    let (ran, report) = bench.scan(&["shop"]).await;
    let all = report["findings"].as_array().unwrap().iter();
    let found: BTreeMap<String, Value> = all
        .filter(|one| one["check"] == "missing-csrf-token")
        .map(|one| {
            let action = one["cause"]["parts"]["action"].as_str().unwrap();
            (action.trim_start_matches("shop.test/").to_owned(), one.clone())
        })
        .collect();
    assert!(found.contains_key("open"), "{ran:#?}");
    let sent = std::mem::take(&mut shop.0.lock().unwrap().sent);
    (found, sent)
}

fn said(finding: &Value) -> (&str, &str) {
    (
        finding["severity"].as_str().unwrap(),
        finding["confidence"].as_str().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_takes_from_another_origin_is_proved() {
    let (found, sent) = scanned("csrf_proof = true").await;
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["account", "anyone", "careless", "open", "origin"]);
    assert_eq!(said(&found["open"]), ("medium", "certain"));
    assert_eq!(said(&found["careless"]), ("medium", "certain"));
    let title = "The CSRF token csrf_token of the form for shop.test/careless is present, but not verified";
    assert_eq!(found["careless"]["title"], title);
    assert!(
        found["careless"]
            .to_string()
            .contains("without the token, and with a wrong one"),
        "{}",
        found["careless"]
    );
    assert_eq!(
        said(&found["origin"]),
        ("medium", "tentative"),
        "it verifies something else"
    );
    assert_eq!(said(&found["anyone"]), ("medium", "firm"), "no session is needed");
    assert_eq!(said(&found["account"]), ("medium", "firm"));
    let times = |form: &str, origin: &str| {
        let all = sent.iter().filter(|(to, from)| to == form && from == origin);
        all.count()
    };
    assert_eq!(
        times("open", "null"),
        2,
        "without cookies, and from elsewhere: {sent:?}"
    );
    assert_eq!(times("guarded", "null"), 3, "… and with a wrong token: {sent:?}");
    assert_eq!(sent.iter().filter(|(to, _)| to == "account").count(), 0, "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_site_files_word_nothing_is_sent_from_elsewhere() {
    let (found, sent) = scanned("").await;
    assert!(sent.iter().all(|(_, origin)| origin != "null"), "{sent:?}");
    assert!(!found.contains_key("careless") && !found.contains_key("guarded"));
    assert_eq!(said(&found["open"]), ("medium", "firm"));
}

/// Silence of scans that do not try it proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_proved_is_not_fixed_by_looking_away() {
    let (bench, _shop) = serve().await;
    for more in ["csrf_proof = true", "", "", ""] {
        bench.write("sitemaps/shop.toml", &site(more));
        let (ran, _) = bench.scan(&["shop"]).await;
        let listed = bench.run(&["findings", "list", "--json"]).await;
        let listed: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
        let proved = listed.iter().find(|one| one.to_string().contains("unverified-token"));
        let state = proved.map(|one| one["state"].as_str().unwrap());
        let expected = if more.is_empty() { "not-observed" } else { "new" };
        assert_eq!(state, Some(expected), "{ran:#?}");
    }
}
