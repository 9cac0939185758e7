//! An application with accounts: what lies behind its login is found, a lost session is regained, and an account is
//! never locked out.

mod application;

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use phantom_gang::crawl::PageState;
use phantom_gang::demo::{Ask, Reply};
use phantom_gang::scan::ScanId;
use phantom_gang::store;
use serde_json::Value;

use crate::support::{Bench, Ran, end_of};
use application::{Application, Ways, page};

const USER: &str = "scanner-one@shop.test";
const PASSWORD: &str = "correct-Horse-7 & \"battery\"";
/// `12345678901234567890` in Base32, as in RFC 6238.
const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// Pages behind the login.
const PRIVATE: usize = MATTERS.len();
/// What they are about.
const MATTERS: [&str; 8] = [
    "orders", "returns", "invoices", "vouchers", "cards", "wishes", "letters", "reviews",
];

const FORM: &str = r#"{ go = "https://shop.test/login" },
  { fill = "label:User name", with_env = "SHOP_USER" },
  { fill = "css:#password", with_env = "SHOP_PASSWORD" },
  { click = "text:Log in" },"#;
const OTP: &str = r#"{ fill = "label:Your code", with_totp_env = "SHOP_TOTP" }, { press = "Enter" },"#;

fn site(more: &str, steps: &str) -> String {
    format!(
        "id = \"shop\"\nstart = [\"https://shop.test/\"]\nsitemaps = []\n[limits]\npages_per_s = 100\n[login]\n{more}\naccount = \
         \"scanner-one\"\ncheck = {{ url = \"https://shop.test/account\", logged_in = \"css:#account-menu\", logged_out = \
         \"css:#please\" }}\n{steps}\n"
    )
}

fn steps(all: &[&str]) -> String {
    format!("steps = [\n{}\n{{ wait = \"css:#account-menu\" }},\n]", all.join("\n"))
}

struct Tried {
    bench: Bench,
    application: Application,
    secrets: Vec<&'static str>,
}

impl Tried {
    async fn of(ways: Ways, site: &str) -> Self {
        let application = Application {
            ways,
            ..Application::default()
        };
        let bench = Bench::of(application.clone(), "").await;
        bench.write("sitemaps/shop.toml", site);
        Self {
            bench,
            application,
            secrets: vec![USER, PASSWORD, "Horse-7", SEED],
        }
    }

    async fn run(&self, password: &str, more: &[&str]) -> Ran {
        let all = ["scan", "shop", "--report", "json=report.json", "-v"];
        let mut command = self.bench.command(&[&all, more].concat());
        command
            .env("SHOP_USER", USER)
            .env("SHOP_PASSWORD", password)
            .env("SHOP_TOTP", SEED);
        end_of(command.spawn().unwrap()).await
    }

    /// Scans; what is said and kept is looked through for secrets.
    async fn scan(&self, password: &str, more: &[&str]) -> (Ran, Value) {
        let ran = self.run(password, more).await;
        let report = self.bench.report();
        let mut kept = vec![ran.stdout.clone(), ran.stderr.clone(), report.to_string()];
        for (url, evidence) in self.evidence(&report).await {
            kept.push(format!("{url} {evidence}"));
        }
        for text in kept {
            for secret in &self.secrets {
                assert!(!text.contains(*secret), "{secret} is in {text}");
            }
        }
        (ran, report)
    }

    async fn evidence(&self, report: &Value) -> Vec<(String, Value)> {
        let path = self.bench.path("scans.db");
        let store = store::open(Some(&path.to_string_lossy())).await.unwrap();
        let scan = ScanId(report["scan"]["id"].as_str().unwrap().to_owned());
        let mut all = vec![(
            "the scan".to_owned(),
            serde_json::to_value(store.scan(&scan).await.unwrap()).unwrap(),
        )];
        for row in store.pages(&scan, PageState::Done, 1_000).await.unwrap() {
            if let Some(evidence) = store.evidence(&scan, &row.key).await.unwrap() {
                let hashes: Vec<_> = evidence
                    .scripts
                    .iter()
                    .filter_map(|script| script.hash.clone())
                    .collect();
                let bodies = store.bodies(&hashes).await.unwrap();
                all.push((row.url.clone(), serde_json::to_value(&evidence).unwrap()));
                all.push((
                    format!("scripts of {}", row.url),
                    serde_json::to_value(&bodies).unwrap(),
                ));
            }
        }
        all
    }

    /// The pages behind the login that were seen, each of them logged in.
    async fn private_pages(&self, report: &Value) -> usize {
        let seen = self.evidence(report).await;
        let private = seen
            .iter()
            .filter(|(url, _)| url.starts_with("https://shop.test/private/"));
        let private: Vec<_> = private.collect();
        for (url, evidence) in &private {
            assert_eq!(evidence["page"]["logged_in"], true, "{url}");
            assert_eq!(evidence["page"]["title"], "Shop", "{url}");
        }
        private.len()
    }

    fn asked(&self, host: &str, path: &str) -> usize {
        let entries = self.bench.microsite.log.entries();
        entries
            .iter()
            .filter(|entry| entry.host == host && entry.path.starts_with(path))
            .count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_behind_a_login_in_two_steps_is_found() {
    let ways = Ways {
        otp: true,
        ..Ways::default()
    };
    let tried = Tried::of(ways, &site("", &steps(&[FORM, OTP]))).await;
    let (ran, report) = tried.scan(PASSWORD, &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(tried.private_pages(&report).await, PRIVATE, "{ran:#?}");
    let accounts = tried.application.accounts();
    assert_eq!((accounts.logins, accounts.failures), (1, 0));
    drop(accounts);
    assert_eq!(tried.asked("shop.test", "/logout"), 0, "logout is never asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_of_a_login_is_visited_for_it_alone() {
    let ways = Ways {
        sso: true,
        ..Ways::default()
    };
    let tried = Tried::of(ways, &site("hosts = [\"sso.test\"]", &steps(&[FORM]))).await;
    let (ran, report) = tried.scan(PASSWORD, &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(tried.private_pages(&report).await, PRIVATE, "{ran:#?}");
    assert_eq!(tried.asked("sso.test", "/"), 2, "the form, and what was sent with it");

    let without = Tried::of(ways, &site("", &steps(&[FORM]))).await;
    let (ran, _) = without.scan(PASSWORD, &[]).await;
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    assert!(ran.stdout.contains("leads to sso.test, which is neither"), "{ran:#?}");
    assert_eq!(without.asked("sso.test", "/"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_regained() {
    for quiet in [false, true] {
        let ways = Ways {
            quiet,
            pages_per_session: Some(6),
            ..Ways::default()
        };
        let tried = Tried::of(ways, &site("", &steps(&[FORM]))).await;
        let (ran, report) = tried.scan(PASSWORD, &[]).await;
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        assert_eq!(tried.private_pages(&report).await, PRIVATE, "{ran:#?}");
        let accounts = tried.application.accounts();
        assert!((2..=8).contains(&accounts.logins), "{} logins", accounts.logins);
        assert_eq!(accounts.failures, 0);
        // The steps end on the account page, and may change something. Asking it who is logged in may not.
        assert!(tried.asked("shop.test", "/tick") <= accounts.logins);
        drop(accounts);
        assert_eq!(tried.asked("shop.test", "/logout"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_never_locked_out() {
    let tried = Tried::of(Ways::default(), &site("", &steps(&[FORM]))).await;
    let mut said = Vec::new();
    for _ in 0..4 {
        let (ran, report) = tried.scan("wrong-Horse-8", &[]).await;
        assert_eq!(ran.code, Some(3), "{ran:#?}");
        assert_eq!(report["scan"]["state"], "incomplete");
        assert!(ran.stdout.contains("not logged in as scanner-one"), "{ran:#?}");
        said.push(ran.stdout);
    }
    assert_eq!(tried.application.accounts().failures, 2);
    assert!(said[3].contains("--unlock-account scanner-one"), "{}", said[3]);

    let (ran, _) = tried.scan(PASSWORD, &[]).await;
    assert_eq!(ran.code, Some(3), "the right password does not release it: {ran:#?}");
    let (ran, report) = tried.scan(PASSWORD, &["--unlock-account", "scanner-one"]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(tried.private_pages(&report).await, PRIVATE);
    assert_eq!(tried.application.accounts().failures, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_is_named_before_anything_happens() {
    let tried = Tried::of(Ways::default(), &site("", &steps(&[FORM, OTP]))).await;
    for (name, value, says) in [
        (
            "SHOP_PASSWORD",
            None,
            "`login.steps[2]`: the environment variable SHOP_PASSWORD is not set",
        ),
        (
            "SHOP_TOTP",
            Some("hunter2!"),
            "`login.steps[4]`: the secret of the codes is not Base32",
        ),
    ] {
        let mut command = tried.bench.command(&["scan", "shop"]);
        command
            .env("SHOP_USER", USER)
            .env("SHOP_PASSWORD", PASSWORD)
            .env("SHOP_TOTP", SEED);
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
        let ran = end_of(command.spawn().unwrap()).await;
        assert_eq!(ran.code, Some(2), "{ran:#?}");
        assert!(ran.stderr.contains(says), "{ran:#?}");
        assert!(!ran.stderr.contains("hunter2"), "{ran:#?}");
    }
    assert!(tried.bench.microsite.log.entries().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_begun_elsewhere_is_taken_over() {
    let application = Application::default();
    application.accounts().sessions.insert("saved-session-1".to_owned());
    let bench = Bench::of(application.clone(), "").await;
    let cookie = |value: &str| {
        format!(
            "{{\"cookies\":[{{\"name\":\"sid\",\"value\":\"{value}\",\"domain\":\"shop.test\",\"path\":\"/\",\"secure\":true}}],\
             \"origins\":[{{\"origin\":\"https://shop.test\",\"localStorage\":[{{\"name\":\"theme\",\"value\":\"dark\"}}]}}]}}"
        )
    };
    bench.write("sitemaps/state.json", &cookie("saved-session-1"));
    bench.write("sid", "saved-session-1\n");
    let tried = Tried {
        bench,
        application,
        secrets: vec!["saved-session-1"],
    };
    for way in [
        "storage_state = \"state.json\"",
        "command = [\"cat\", \"state.json\"]",
        "cookies = [{ name = \"sid\", with_file = \"../sid\" }]",
    ] {
        tried.bench.write("sitemaps/shop.toml", &site("", way));
        let (ran, report) = tried.scan(PASSWORD, &[]).await;
        assert_eq!(ran.code, Some(0), "{way}: {ran:#?}");
        assert_eq!(tried.private_pages(&report).await, PRIVATE, "{way}");
        let stored = tried.evidence(&report).await;
        let kept = stored.iter().any(|(_, evidence)| {
            evidence["storage"]
                .as_array()
                .is_some_and(|kept| kept.iter().any(|kept| kept["key"] == "theme"))
        });
        assert_eq!(kept, !way.starts_with("cookies"), "{way}");
    }
    tried
        .bench
        .write("sitemaps/shop.toml", &site("", "command = [\"false\"]"));
    let (ran, _) = tried.scan(PASSWORD, &[]).await;
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    assert!(
        ran.stdout.contains("the program false of `login.command` ended with"),
        "{ran:#?}"
    );
    assert_eq!(tried.application.accounts().logins, 0);
}

/// Asks by HTTP for all it has.
fn guarded(ask: &Ask<'_>) -> Reply {
    let basic = "Basic c2Nhbm5lcjpjb3JyZWN0LUhvcnNlLTc="; // scanner:correct-Horse-7
    let given = ask.headers.get("authorization").and_then(|value| value.to_str().ok());
    match (ask.host, ask.path) {
        ("shop.test", "/robots.txt") => Reply::status(StatusCode::NOT_FOUND),
        ("shop.test", _) if given != Some(basic) => {
            Reply::status(StatusCode::UNAUTHORIZED).header("www-authenticate", "Basic realm=\"shop\"")
        }
        ("shop.test", "/app.js") => Reply::ok("text/javascript", "document.body.append('ran')"),
        ("shop.test", "/" | "/account") => page(
            true,
            "<a href=/private/1>1</a><script src=/app.js></script><img src=https://other.test/p.png>",
        ),
        ("shop.test", path) if path.starts_with("/private/") => page(false, "For scanner"),
        ("other.test", _) => {
            assert_eq!(given, None, "nobody else is told");
            Reply::status(StatusCode::UNAUTHORIZED).header("www-authenticate", "Basic realm=\"other\"")
        }
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_by_http_is_answered_and_not_too_often() {
    let wrong = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&wrong);
    let content = move |ask: &Ask<'_>| {
        let reply = guarded(ask);
        if reply.status == StatusCode::UNAUTHORIZED && ask.headers.contains_key("authorization") {
            *counted.lock().unwrap() += 1;
        }
        reply
    };
    let bench = Bench::of(content, "").await;
    let auth = "http_auth = { user = \"scanner\", password_env = \"SHOP_PASSWORD\" }";
    bench.write("sitemaps/shop.toml", &site("", auth));
    let tried = Tried {
        bench,
        application: Application::default(),
        secrets: vec!["correct-Horse-7", "c2Nhbm5lcjpjb3JyZWN0LUhvcnNlLTc"],
    };
    let (ran, report) = tried.scan("correct-Horse-7", &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(tried.private_pages(&report).await, 1, "{ran:#?}");
    assert_eq!(*wrong.lock().unwrap(), 0);
    for _ in 0..3 {
        let (ran, _) = tried.scan("wrong-Horse-8", &[]).await;
        assert_eq!(ran.code, Some(3), "{ran:#?}");
    }
    assert!(*wrong.lock().unwrap() <= 2, "{} wrong answers", wrong.lock().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_site_alone_is_told_who_scans_it_and_how() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listening = Arc::clone(&heard);
    let content = move |ask: &Ask<'_>| {
        let header = |name: &str| {
            let value = ask.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let told = (
            format!("{}{}", ask.host, ask.path),
            header("x-scanner"),
            header("x-pass"),
            header("accept-language"),
        );
        listening.lock().unwrap().push(told);
        match (ask.host, ask.path) {
            ("shop.test", "/") => Reply::html(
                "<!doctype html><title>x</title><meta name=viewport content='width=device-width'><img src=/away>\
                 <img src=https://other.test/p.png><button id=ok style='display:none'>OK</button>\
                 <script>const wall = !document.cookie.includes('consent=1'); ok.style.display = wall ? 'block' : 'none'; \
                 ok.onclick = () => { document.cookie = 'consent=1; path=/'; ok.style.display = 'none'; }; \
                 document.title = [innerWidth, navigator.language, Intl.DateTimeFormat().resolvedOptions().locale, \
                 'ontouchstart' in window, matchMedia('(pointer: coarse)').matches, wall].join(' ');</script>",
            ),
            ("shop.test", "/away") => Reply::redirect(StatusCode::FOUND, "https://other.test/landed.png"),
            _ => Reply::status(StatusCode::NOT_FOUND),
        }
    };
    let bench = Bench::of(content, "").await;
    bench.write(
        "sitemaps/shop.toml",
        "id = \"shop\"\nstart = [\"https://shop.test/\"]\n[client]\nheaders = { X-Scanner = \"phantom\" }\nheaders_env = { \
         X-Pass = \"SHOP_PASSWORD\" }\nlocale = \"de-DE\"\nviewport = \"1000x700\"\nconsent = [{ click = \"css:#ok\" }]\n\
         [[profile]]\nname = \"phone\"\nviewport = \"390x844\"\nscale = 3\ntouch = true\nlocale = \"fr-FR\"\n",
    );
    let tried = Tried {
        bench,
        application: Application::default(),
        secrets: vec![PASSWORD, "Horse-7"],
    };
    for (more, shown) in [
        (&[][..], "1000 de-DE de-DE false false false"),
        (&["--profile", "phone"], "390 fr-FR fr-FR true true false"),
    ] {
        let (ran, report) = tried.scan(PASSWORD, more).await;
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        let evidence = tried.evidence(&report).await;
        assert_eq!(evidence[1].1["page"]["title"], shown, "{ran:#?}");
    }
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    for (place, scanner, pass, language) in &heard {
        let own = place.starts_with("shop.test");
        assert_eq!(scanner == "phantom", own, "{place}: {scanner}");
        assert_eq!(pass == PASSWORD, own, "{place}");
        // Files that are asked for by ourselves, not by a browser.
        let ours = [".txt", "/sitemap.xml"].iter().any(|end| place.ends_with(end));
        assert!(
            ours || language.starts_with("de-DE") || language.starts_with("fr-FR"),
            "{place}: {language}"
        );
    }
    assert!(heard.iter().any(|(place, ..)| place == "other.test/landed.png"));
    let ran = tried.run(PASSWORD, &["--profile", "fone"]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("no profile `fone`; it has phone"), "{ran:#?}");
}
