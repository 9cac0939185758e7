//! Pages in whose place something else answers: they are said, prove nothing, and too many make a scan incomplete.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use phantom_gang::demo::{Ask, Reply};
use phantom_gang::store;
use phantom_gang::triage::reached;
use serde_json::Value;

use crate::support::{Bench, Ran};

/// Text of an ordinary page, another one for each number.
fn prose(number: usize) -> String {
    let words = [
        "tea", "cup", "leaf", "pot", "water", "steam", "milk", "sugar", "spoon", "table",
    ];
    let pick = |step: usize| words[(number * 7 + step * (number + 3)) % words.len()];
    (0..60).fold(String::new(), |mut text, step| {
        let _ = write!(text, "{}{} ", pick(step), "s".repeat(step % 3));
        text
    })
}

fn page(title: &str, body: &str) -> Reply {
    Reply::html(format!(
        "<!doctype html><title>{title}</title><link rel=icon href=data:,>{body}"
    ))
}

fn article(number: usize) -> Reply {
    page(
        &format!("Article {number}"),
        &format!("<h1>Article {number}</h1><p>{}</p><a href=/>Home</a>", prose(number)),
    )
}

fn links(count: usize) -> String {
    (1..=count).fold(String::new(), |mut html, number| {
        let _ = write!(html, "<a href=/article-{number}>{number}</a> ");
        html
    })
}

fn number(path: &str) -> Option<usize> {
    path.strip_prefix("/article-")?.parse().ok()
}

async fn scanned(bench: &Bench, site: &str) -> (Ran, Value) {
    let limits = "[limits]\npages_per_s = 1000\nconcurrency = 1\n";
    bench.write(
        "site.toml",
        &format!("id = \"site\"\nsitemaps = []\nstart = [{site:?}]\n{limits}"),
    );
    bench.scan(&["site.toml", "--tickets", "off"]).await
}

fn instead<'a>(report: &'a Value, what: &str) -> Vec<&'a str> {
    let groups = report["not_checked"].as_array().unwrap();
    let mut pages: Vec<&str> = groups
        .iter()
        .filter(|group| group["what"] == "answered-instead" && group["reason"].as_str().unwrap().starts_with(what))
        .flat_map(|group| group["examples"].as_array().unwrap())
        .map(|url| url.as_str().unwrap())
        .collect();
    pages.sort_unstable();
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_turns_to_challenges_half_way_is_incomplete() {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let site = |ask: &Ask<'_>| match (ask.path, number(ask.path)) {
        ("/", _) => page("Shop", &format!("<h1>Shop</h1>{}", links(20))),
        (_, Some(_)) if ASKED.fetch_add(1, Ordering::Relaxed) >= 10 => Reply::html(
            "<!doctype html><title>Just a moment...</title><script src=/cdn-cgi/challenge-platform/x.js></script>\
             <form method=post action=/verify><input name=address></form><a href=http://evil.test/>x</a>",
        )
        .header("cf-mitigated", "challenge"),
        (_, Some(number)) => article(number),
        _ => Reply::status(StatusCode::NOT_FOUND),
    };
    let bench = Bench::of(site, "").await;
    let (ran, report) = scanned(&bench, "https://shop.test/").await;
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    assert_eq!(report["scan"]["state"], "incomplete");
    assert_eq!(report["verdict"]["exit_code"], 3);
    let pages = &report["scan"]["pages"];
    assert_eq!(
        (&pages["done"], &pages["blocked"], &pages["failed"]),
        (&21.into(), &10.into(), &0.into()),
        "{pages}"
    );
    let share = report["blocked_share"].as_f64().unwrap();
    assert!((share - 10.0 / 21.0).abs() < 1e-9, "{share}");
    assert_eq!(
        instead(&report, "a challenge: the header cf-mitigated of Cloudflare says so").len(),
        5,
        "examples"
    );
    let loud = "BLOCKED: 10 of 21 pages (48 %) were answered by a challenge";
    assert!(ran.stdout.contains(loud), "{}", ran.stdout);
    assert!(
        ran.stdout
            .contains("10 blocked by something that answered in their place"),
        "{}",
        ran.stdout
    );
    let findings = report["findings"].as_array().unwrap();
    let of_its_form = findings.iter().find(|finding| finding["check"] == "missing-csrf-token");
    assert_eq!(of_its_form, None, "a challenge is not the site's page");

    let store = store::open(bench.path("scans.db").to_str()).await.unwrap();
    let scan = store.newest_scan(None).await.unwrap().unwrap().id;
    let looks = store.page_looks(&scan).await.unwrap();
    assert_eq!(
        looks.iter().filter(|look| reached(look)).count(),
        11,
        "what was not reached proves nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_walls_are_said_and_harm_nothing() {
    let site = |ask: &Ask<'_>| match (ask.path, number(ask.path)) {
        ("/", _) => page(
            "Shop",
            &format!(
                "<h1>Shop</h1>{}<a href=/old/help>Help</a> <a href=/oops/x>X</a> <a href=/login>Log in</a>",
                links(40)
            ),
        ),
        ("/old/help", _) => page("Wartungsarbeiten", "<p>Wir sind bald wieder da.</p>"),
        ("/login", _) => page(
            "Our shop",
            "<form action=/session method=post><input name=user><input type=password name=pass>\
             <input type=hidden name=csrf_token value=0123456789abcdef0123456789abcdef></form><p>Tell us who you are.",
        ),
        (_, Some(1)) => page("Wait", "<a href=/orders/mine>Orders</a>"),
        ("/orders/mine", _) => page(
            "Our shop",
            "<form action=/session method=post><input name=user><input type=password name=pass>\
             <input type=hidden name=csrf_token value=0123456789abcdef0123456789abcdea></form><p>Tell us who you are.",
        ),
        (_, Some(number)) => article(number),
        ("/robots.txt" | "/favicon.ico", _) => Reply::status(StatusCode::NOT_FOUND),
        (path, _) => page(
            "Oops",
            &format!("<h1>Oops</h1><p>We looked for {path} and could not find it anywhere.</p>"),
        ),
    };
    let bench = Bench::of(site, "").await;
    let (ran, report) = scanned(&bench, "https://shop.test/").await;
    assert_eq!(report["scan"]["state"], "complete", "{ran:#?}");
    let pages = &report["scan"]["pages"];
    assert_eq!((&pages["blocked"], &pages["failed"]), (&1.into(), &0.into()), "{pages}");
    assert_eq!(instead(&report, "a maintenance page"), ["https://shop.test/old/help"]);
    assert_eq!(
        instead(&report, "a login page: it looks like the login page at /login"),
        ["https://shop.test/orders/mine"]
    );
    assert_eq!(
        instead(&report, "a page that says there is none: the server answers the same"),
        ["https://shop.test/oops/x"]
    );
    let asked = bench.microsite.log.entries();
    let nothing: Vec<_> = asked
        .iter()
        .filter(|one| one.path.starts_with("/phantom-gang-asks-for-nothing-"))
        .collect();
    assert_eq!(
        nothing.len(),
        2,
        "once by ourselves, once with a browser, because it seemed to be there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_wall_at_the_start_is_incomplete() {
    let site = |ask: &Ask<'_>| match ask.path {
        "/" if !ask.has_cookie("consent") => Reply::redirect(StatusCode::FOUND, "/consent?to=/"),
        "/" => page("Shop", &links(3)),
        "/consent" => page(
            "Before you continue to the shop",
            "<p>We and our partners use cookies.</p><form action=/ok><button>Accept all</button></form><a href=/privacy>Privacy</a>",
        ),
        "/privacy" => page("Privacy", &format!("<p>{}", prose(3))),
        _ => Reply::status(StatusCode::NOT_FOUND),
    };
    let bench = Bench::of(site, "").await;
    let (ran, report) = scanned(&bench, "https://shop.test/").await;
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    assert_eq!(instead(&report, "a consent wall"), ["https://shop.test/consent?to=/"]);
    assert!(ran.stdout.contains("BLOCKED: 2 of 3 pages"), "{}", ran.stdout);
    assert!(
        ran.stdout
            .contains("the start page https://shop.test/ was not reached: a consent wall: it asks for consent"),
        "{}",
        ran.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_are_seen_never_visited_and_listed_if_nobody_claims_them() {
    let site = |ask: &Ask<'_>| match (ask.host, ask.path) {
        ("www.shop.test", "/") => page(
            "Shop",
            "<a href=https://promo.shop.test/summer>Summer</a> <a href=https://help.shop.test/>Help</a> \
             <a href=https://other.test/>Other</a> <a href=/tea?print=1>Print</a> <a href=/tea?cup=1>Cup</a>\
             <a href=/private/x>P</a> <img src=https://img.shop.test/a.png><a href=https://www.shop.test:8443/>Port</a>",
        ),
        ("www.shop.test", "/tea") => page("Tea", "<p>Tea"),
        ("img.shop.test", _) => Reply::ok("image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("help.shop.test" | "promo.shop.test" | "other.test", _) => page("Not yours", "x"),
        _ => Reply::status(StatusCode::NOT_FOUND),
    };
    let bench = Bench::of(site, "").await;
    let settings = std::fs::read_to_string(bench.path("phantom.toml")).unwrap();
    bench.write(
        "phantom.toml",
        &format!("organisation_domains = [\"shop.test\"]\n{settings}"),
    );
    bench.write(
        "sitemaps/shop.toml",
        "id = \"shop\"\nstart = [\"https://www.shop.test/\"]\nsitemaps = []\n[scope]\ninclude = [\"https://www.shop.test/**\"]\n\
         exclude = [\"**/tea?*print=*\", \"/private/**\"]\n[limits]\npages_per_s = 1000\n",
    );
    bench.write(
        "sitemaps/help.toml",
        "id = \"help\"\nstart = [\"https://help.shop.test/\"]\n",
    );
    let (ran, report) = bench
        .scan(&["shop", "--tickets", "off", "--report", "html=report.html"])
        .await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let hosts: Vec<_> = report["unclaimed_hosts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["host"].as_str().unwrap(), one["seen_on"].as_str().unwrap()))
        .collect();
    let at = "https://www.shop.test/";
    assert_eq!(
        hosts,
        [("img.shop.test", at), ("promo.shop.test", at)],
        "help.shop.test has a file"
    );
    assert!(
        ran.stdout.contains("Unclaimed hosts") && ran.stdout.contains("promo.shop.test (seen on"),
        "{}",
        ran.stdout
    );
    let html = std::fs::read_to_string(bench.path("report.html")).unwrap();
    assert!(html.contains("Unclaimed hosts") && html.contains("promo.shop.test"));

    let asked = bench.microsite.log.entries();
    let visited: Vec<_> = asked
        .iter()
        .filter(|one| one.host != "www.shop.test" && one.host != "img.shop.test")
        .collect();
    assert!(visited.is_empty(), "{visited:#?}");
    let paths: Vec<&str> = asked.iter().map(|one| one.path.as_str()).collect();
    assert!(
        paths.contains(&"/tea?cup=1")
            && !paths
                .iter()
                .any(|path| path.contains("print") || path.contains("private"))
    );
    let skipped = report["not_checked"].to_string();
    assert!(
        skipped.contains("excluded by the site's pattern `**/tea?*print=*`"),
        "{skipped}"
    );
}
