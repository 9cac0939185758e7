//! A night that takes pages as seen misses no flaw that is new: whatever of a page changed, it is looked at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use phantom_checks::Severity;
use phantom_gang::config::Config;
use phantom_gang::demo::{Ask, Reply, Scheme};
use phantom_gang::report::{self, Context, Report};
use phantom_gang::scan::{ScanState, Scanner, Start, Trigger};
use phantom_gang::site::Site;
use phantom_gang::store::{self, Store};
use tokio_util::sync::CancellationToken;

use crate::support::Bench;

const SITE: &str = r#"
id = "shop"
start = ["https://shop.test/"]
sitemaps = []
[limits]
pages_per_s = 1000
[incremental]
full_look = "90d"
third_party = "10d"
[checks]
disable = ["missing-csrf-token", "script-without-integrity", "framing-allowed", "missing-nosniff", "weak-hsts"]
"#;

/// Pages whose part of that name changes in the second night, and then has a flaw.
const CHANGING: [&str; 8] = [
    "document", "script", "made", "header", "cookie", "data", "style", "frame",
];
/// Pages that stay; the last one has a token and a nonce that are new in each answer.
const STAYING: [&str; 4] = ["quiet", "calm", "still", "token"];
/// Pages that come first, because they lead to the others: what is wrong with the whole host is looked for there.
const FIRST: [&str; 3] = ["first", "front", "fore"];
/// Pages with one flaw, the same on all.
const FLAWED: u32 = 6;

fn form(host: &str) -> String {
    format!("<form method=post action='http://{host}.login.test/in'><input type=password name=p></form>")
}

fn shop(ask: &Ask<'_>, night: u32) -> Reply {
    let changed = night > 1;
    let js = |text: String| Reply::ok("text/javascript", text);
    let put = |host: &str| format!("document.body.insertAdjacentHTML('beforeend', {:?})", form(host));
    match (ask.host, ask.scheme, ask.path) {
        ("cdn.test", _, "/third.js") if changed => return js(put("third")),
        ("cdn.test", ..) => return js("0".to_owned()),
        ("shop.test", Scheme::Https, _) => {}
        _ => return Reply::status(StatusCode::NOT_FOUND),
    }
    match ask.path {
        "/" => linked("shop", FIRST.iter().map(|name| (*name).to_owned())),
        "/first" => {
            let names = CHANGING.iter().chain(&STAYING).map(|name| (*name).to_owned());
            let flawed = (1..=FLAWED).map(|number| format!("flawed/{number}"));
            linked("first", names.chain(flawed).chain(["third".to_owned()]))
        }
        "/script.js" if changed => js(put("script")),
        // The same script makes another page of another answer.
        "/made.js" => {
            js("fetch('/made.json').then(a => a.text()).then(t => { document.body.innerHTML += t })".to_owned())
        }
        "/made.json" if changed => Reply::ok("application/json", form("made")),
        "/data.js" => {
            js("fetch('/data.json').then(a => a.text()).then(t => { document.body.innerHTML += t })".to_owned())
        }
        "/data.json" => Reply::ok("application/json", if changed { form("data") } else { "{}".to_owned() }),
        "/made.js.map" | "/made.json" | "/script.js" => js("0".to_owned()),
        "/style.css" if changed => Reply::ok("text/css", "body { background: url(http://pictures.test/a.png) }"),
        "/style.css" => Reply::ok("text/css", "body { background: #fff }"),
        "/inner" if changed => Reply::html(format!("<!doctype html><title>inner</title>{}", form("frame"))),
        "/inner" => Reply::html("<!doctype html><title>inner</title><p>frame".to_owned()),
        path => named(path.trim_start_matches('/'), changed),
    }
}

fn linked(title: &str, names: impl Iterator<Item = String>) -> Reply {
    let links: Vec<_> = names.map(|name| format!("<a href='/{name}'>{name}</a> ")).collect();
    Reply::html(format!("<!doctype html><title>{title}</title>{}", links.concat()))
}

fn named(name: &str, changed: bool) -> Reply {
    let page = |body: &str| Reply::html(format!("<!doctype html><title>{name}</title><p>{name} {body}"));
    let random = || format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
    match name {
        "document" if changed => page(&form("document")),
        "header" if changed => page("").header("server", "Apache/2.2.3 (CentOS)"),
        "cookie" if changed => page("").header(
            "set-cookie",
            "JSESSIONID=0A1B2C3D4E5F60718293A4B5C6D7E8F9; Path=/cookie",
        ),
        "script" | "made" | "data" => page(&format!("<script src=/{name}.js></script>")),
        "style" => page("<link rel=stylesheet href=/style.css>"),
        "frame" => page("<iframe src=/inner></iframe>"),
        "third" => page("<script src=https://cdn.test/third.js></script>"),
        "token" => page(&format!(
            "<form><input type=hidden name=csrf value='{}'></form>",
            random()
        ))
        .header("x-request-id", &random()),
        name if name.starts_with("flawed/") => page(&form("old")),
        _ => page(""),
    }
}

struct Nights {
    bench: Bench,
    store: Arc<dyn Store>,
    night: Arc<AtomicU32>,
    began: Instant,
}

impl Nights {
    async fn new() -> Self {
        let night = Arc::new(AtomicU32::new(1));
        let now = Arc::clone(&night);
        let bench = Bench::of(
            move |ask: &Ask<'_>| shop(ask, now.load(Ordering::Relaxed)),
            "processes = 1",
        )
        .await;
        let store = store::open(bench.path("scans.db").to_str()).await.unwrap();
        Self {
            bench,
            store,
            night,
            began: Instant::now(),
        }
    }

    /// Scans in the night of that day, in which the site is as in its first or second night.
    async fn scan(&self, day: i64, night: u32, site: &str) -> Report {
        self.night.store(night, Ordering::Relaxed);
        // Which pages have their turn follows from the day alone.
        let midnight: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let began = self.began;
        let now = move || {
            midnight + SignedDuration::from_hours(24 * day) + SignedDuration::try_from(began.elapsed()).unwrap()
        };
        let scanner = Scanner {
            store: Arc::clone(&self.store),
            config: Arc::new(Config::load(&self.bench.path("phantom.toml")).unwrap()),
            tabs: 1,
            listener: Arc::new(|_| {}),
            by: "test".to_owned(),
            stop: CancellationToken::new(),
            now: Arc::new(now),
        };
        let start = Start::New {
            site: Box::new(Site::from_str(site, std::path::Path::new("sitemaps/shop.toml")).unwrap()),
            trigger: Trigger::Nightly,
        };
        let ended = tokio::time::timeout(Duration::from_mins(3), scanner.scan(start))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(ended.record.state, ScanState::Complete, "{:?}", ended.record.remarks);
        let context = Context {
            fail_on: Severity::Info,
            browse_url: None,
            sites: None,
            now: now(),
        };
        report::build(&*self.store, &ended.record.id, &context).await.unwrap()
    }
}

fn unchanged(report: &Report) -> BTreeSet<String> {
    let path = |url: &String| url.trim_start_matches("https://shop.test/").to_owned();
    report.unchanged_pages.iter().map(|page| path(&page.url)).collect()
}

/// Where flaws are: the names in their causes, or the pages.
fn has_flaw_of(report: &Report, name: &str) -> bool {
    let cause = format!("{name}.login.test");
    report.findings.iter().any(|finding| {
        let parts = finding.cause.parts.values();
        let mut pages = finding.pages.iter();
        parts.into_iter().any(|part| part.contains(&cause)) || pages.any(|page| page.url.ends_with(&format!("/{name}")))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_changed_flaw_is_missed() {
    let nights = Nights::new().await;
    let first = nights.scan(0, 1, SITE).await;
    assert!(first.unchanged_pages.is_empty(), "nothing is known yet");
    let old = |report: &Report| {
        let mut all = report.findings.iter();
        let old = all.find(|finding| finding.cause.parts.values().any(|part| part.contains("old.login.test")));
        old.map(|finding| (finding.state.is_open(), finding.pages_total))
    };
    assert_eq!(old(&first), Some((true, u64::from(FLAWED))));

    let second = nights.scan(1, 1, SITE).await;
    let taken = unchanged(&second);
    for name in CHANGING.iter().chain(&STAYING).chain(&["third"]) {
        assert!(taken.contains(*name), "{name} has not changed: {taken:?}");
    }
    let flawed = taken.iter().filter(|name| name.starts_with("flawed/")).count();
    assert_eq!(flawed, FLAWED as usize - 3, "all but the witnesses: {taken:?}");
    assert_eq!(old(&second), Some((true, u64::from(FLAWED))), "known findings stay");
    assert!(
        second.not_observed.is_empty() && second.gone.is_empty(),
        "{:?}",
        second.not_observed
    );
    assert_eq!(second.scan.pages.known, first.scan.pages.known, "known ways on stay");
    assert_eq!(second.scan.pages.unchanged, taken.len() as u64);
    assert!(
        second.verdict.sentence.contains("taken as unchanged"),
        "{}",
        second.verdict.sentence
    );

    let third = nights.scan(2, 2, SITE).await;
    let taken = unchanged(&third);
    for name in CHANGING.iter().chain(&["third"]) {
        assert!(!taken.contains(*name), "{name} has changed: {taken:?}");
        assert!(
            has_flaw_of(&third, name),
            "the flaw of {name} is missed: {:#?}",
            third.findings
        );
    }
    for name in STAYING {
        assert!(taken.contains(name), "{name} has not changed: {taken:?}");
    }

    let other = SITE.replace("\"weak-hsts\"", "\"weak-hsts\", \"source-map\"");
    let fourth = nights.scan(3, 2, &other).await;
    assert!(
        fourth.unchanged_pages.is_empty(),
        "other checks look: {:?}",
        fourth.unchanged_pages
    );
}
