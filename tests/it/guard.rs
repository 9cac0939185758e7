//! Sites that fight back: whatever a page, a frame or a worker does, no request that may change state is sent and no
//! web socket is written to, unless the site's file says that they may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::http::StatusCode;
use phantom_checks::evidence::{Endpoint, Fate, ResourceKind, StepKind};
use phantom_gang::crawl::PageState;
use phantom_gang::demo::{Ask, LogEntry, MESSAGE, Reply};
use phantom_gang::store;

use crate::remote::{Remote, use_remote};
use crate::support::Bench;

const SITE: &str = r#"
id = "hostile"
start = ["https://hostile.test/"]
[scope]
include = ["https://hostile.test/**", "https://part.hostile.test/**", "https://other.test/**"]
exclude = ["/early?**", "/frame", "/frame?**", "/nest?**", "/ok", "/popup?**", "/service.js", "/socket", "/socket?**", "/through?**"]
[limits]
pages = 100
pages_per_s = 1000
concurrency = 8
[explore]
"#;

const PAGES: [(&str, &str); 8] = [
    ("/beacons", include_str!("../guard/beacons.html")),
    ("/frames", include_str!("../guard/frames.html")),
    ("/workers", include_str!("../guard/workers.html")),
    ("/sockets", include_str!("../guard/sockets.html")),
    ("/forms", include_str!("../guard/forms.html")),
    ("/popups", include_str!("../guard/popups.html")),
    ("/quiet", include_str!("../guard/quiet.html")),
    ("/speculate", include_str!("../guard/speculate.html")),
];

const WORKER: &str = "const kind = location.search ? 'module-worker' : 'worker'; fetch('/api/' + kind, { method: 'POST' }); setTimeout(() => fetch('/api/worker-late', { method: \
                      'POST' }), 100);";

const SHARED: &str = r"
let times = 0;
const more = () => { times += 1; fetch('/api/shared-' + times, { method: 'POST' }).catch(() => {}); };
if (location.search) { const x = new WebSocket('wss://' + location.host + '/socket?shared'); x.onopen = () => x.send('a'); }
else { more(); setInterval(more, 100); }
";

const SERVICE: &str = r"
const post = (name) => fetch('/api/service-' + name, { method: 'POST' }).catch(() => {});
addEventListener('install', (event) => event.waitUntil(post('install')));
addEventListener('activate', (event) => event.waitUntil(clients.claim().then(() => post('active'))));
addEventListener('sync', (event) => event.waitUntil(post('sync')));
addEventListener('message', (event) => event.waitUntil((async () => {
  const x = new WebSocket('wss://' + location.host + '/socket?service');
  x.onopen = () => x.send('a');
  for (let times = 0; times < 50; times += 1) { await post('message'); await new Promise((go) => setTimeout(go, 100)); }
})()));
addEventListener('fetch', (event) => { if (event.request.url.includes('/through')) event.respondWith(post('fetch').then(() => new Response('x'))); });
";

fn hostile(ask: &Ask<'_>) -> Reply {
    if let Some((_, page)) = PAGES.iter().find(|(path, _)| *path == ask.path) {
        let rules = if ask.path == "/speculate" {
            "\"/rules.json\""
        } else {
            ""
        };
        return Reply::html(*page).header("speculation-rules", rules);
    }
    match ask.path {
        "/" => {
            let links = PAGES.iter().map(|(path, _)| format!("<a href={path}>{path}</a>"));
            let links: String = links.chain(["<a href=/reports>r</a>".to_owned()]).collect();
            Reply::html(format!("<!doctype html><title>Hostile</title>{links}"))
        }
        "/reports" => {
            Reply::html("<!doctype html><title>Reports</title><script>1</script><img src=https://other.test/x>")
                .header(
                    "content-security-policy-report-only",
                    "script-src 'none'; report-uri /api/csp",
                )
                .header(
                    "reporting-endpoints",
                    "all=\"https://hostile.test/api/report\", default=\"https://hostile.test/api/default\"",
                )
                .header(
                    "report-to",
                    r#"{"group":"all","max_age":100,"endpoints":[{"url":"https://hostile.test/api/report-to"}]}"#,
                )
                .header("nel", r#"{"report_to":"all","max_age":100,"success_fraction":1.0}"#)
        }
        "/hang" => Reply::html(include_str!("../guard/hang.html")),
        "/frame" => Reply::html(include_str!("../guard/frame.html")),
        "/nest" => Reply::html(format!(
            "<!doctype html><iframe src='https://hostile.test/frame?{0}'></iframe><iframe srcdoc=\"<iframe \
             src='https://part.hostile.test/frame?{0}-deep'></iframe>\"></iframe>",
            ask.query
        )),
        "/socket-frame" => Reply::html(
            "<!doctype html><script>const x = new WebSocket('wss://hostile.test/socket?other-frame'); x.onopen = () => \
             x.send('a')</script>",
        ),
        "/popup" => Reply::html(format!(
            "<!doctype html><script>fetch('/api/in-popup-{}', {{ method: 'POST' }})</script>",
            ask.query
        )),
        "/worker.js" => Reply::ok("text/javascript", WORKER),
        "/shared.js" => Reply::ok("text/javascript", SHARED),
        "/service.js" => Reply::ok("text/javascript", SERVICE),
        "/rules.json" => Reply::ok("application/speculationrules+json", RULES),
        // Sockets are opened one after the other: the page is given the time.
        "/slow" => Reply::status(StatusCode::NO_CONTENT).after(Duration::from_secs(2)),
        "/socket" => Reply::status(StatusCode::SWITCHING_PROTOCOLS),
        path if path.starts_with("/api/") => Reply::html("<!doctype html><title>Done</title>done"),
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

/// What browsers may load before anyone asks for it.
const RULES: &str =
    r#"{"prefetch": [{"urls": ["/account/logout?header", "/early?header"], "eagerness": "immediate"}]}"#;

struct Seen {
    /// What came with an unsafe method: the names below `/api/`.
    unsafe_methods: BTreeSet<String>,
    /// Which sockets were written to.
    messages: BTreeSet<String>,
    /// Which were opened.
    sockets: BTreeSet<String>,
    endpoints: Vec<Endpoint>,
    /// Calls of the page that does not wait for its end, by the page that they were seen on.
    quiet_on: BTreeMap<String, Vec<Endpoint>>,
    pages: usize,
}

async fn explore(site: &str, mode: &str, config: &str) -> Seen {
    explore_in(&Bench::of(hostile, config).await, site, mode).await
}

async fn explore_in(bench: &Bench, site: &str, mode: &str) -> Seen {
    bench.write("hostile.toml", &format!("{site}{mode}\n"));
    let (ran, _) = bench.scan(&["hostile.toml", "--tickets", "off"]).await;
    eprintln!("{}", ran.stdout);
    // Whoever was to send something when all is over has done so by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let log = bench.microsite.log.entries();
    let of = |is: &dyn Fn(&str) -> bool, before: &str| -> BTreeSet<String> {
        let found = log.iter().filter(|entry| is(&entry.method));
        found
            .filter_map(|entry| Some(entry.path.strip_prefix(before)?.to_owned()))
            .collect()
    };
    let other = |method: &str| !matches!(method, "GET" | "HEAD" | "OPTIONS" | MESSAGE);
    assert!(
        log.iter()
            .all(|entry| !other(&entry.method) || entry.path.starts_with("/api/"))
    );
    let early = |path: &str| path.starts_with("/account/logout") || path.starts_with("/early");
    let early = log.iter().filter(|entry| early(&entry.path));
    assert_eq!(early.map(LogEntry::url).collect::<Vec<_>>(), [""; 0]);
    let store = store::open(bench.path("scans.db").to_str()).await.unwrap();
    let scan = store.newest_scan(None).await.unwrap().unwrap().id;
    let (mut endpoints, mut quiet_on) = (Vec::new(), BTreeMap::new());
    let pages = store.pages(&scan, PageState::Done, u32::MAX).await.unwrap();
    for page in &pages {
        let of_page = store.evidence(&scan, &page.key).await.unwrap().unwrap().endpoints;
        let quiet = of_page.iter().filter(|endpoint| endpoint.url.contains("/api/quiet"));
        let quiet: Vec<_> = quiet.cloned().collect();
        if !quiet.is_empty() {
            quiet_on.insert(page.url.clone(), quiet);
        }
        endpoints.extend(of_page);
    }
    Seen {
        unsafe_methods: of(&other, "/api/"),
        messages: of(&|method| method == MESSAGE, "/socket?"),
        sockets: of(&|method| method == "GET", "/socket?"),
        endpoints,
        quiet_on,
        pages: pages.len(),
    }
}

/// What is stopped by itself, without anything being done on the pages.
const STOPPED: &[&str] = &[
    "fetch",
    "keepalive",
    "put",
    "patch",
    "delete",
    "beacon",
    "xhr",
    "sync-xhr",
    "timer",
    "interval",
    "pagehide",
    "pagehide-keepalive",
    "visibilitychange",
    "frame-same",
    "frame-same-beacon",
    "frame-same-worker",
    "frame-part",
    "frame-part-beacon",
    "frame-part-worker",
    "frame-other",
    "frame-other-beacon",
    "frame-other-worker",
    "frame-nested",
    "frame-nested-deep",
    "frame-sandboxed",
    "frame-object",
    "frame-removed",
    "srcdoc",
    "javascript-url",
    "data-url",
    "blank",
    "blank-beacon",
    "written",
    "blob-url",
    "worker",
    "worker-late",
    "blob-worker",
    "blob-module-worker",
    "nested-worker",
    "data-worker",
    "module-worker",
    "shared-1",
    "service-install",
    "service-active",
    "service-message",
    "service-fetch",
    "form-frame",
    "form-page",
    "csp",
    "quiet",
    "quiet-beacon",
    "quiet-frame",
];

/// Sockets that are opened and written to.
const SOCKETS: &[&str] = &[
    "page",
    "subclass",
    "blank-frame",
    "borrowed",
    "worker",
    "nested-worker",
    "shared",
    "other-frame",
    "service",
];

fn names(seen: &Seen) -> BTreeSet<&str> {
    let stopped = seen.endpoints.iter().filter(|endpoint| endpoint.fate == Fate::Stopped);
    stopped
        .filter_map(|endpoint| endpoint.url.split("/api/").nth(1))
        .collect()
}

fn missing<'a>(found: &BTreeSet<&str>, expected: &[&'a str]) -> Vec<&'a str> {
    expected
        .iter()
        .filter(|name| !found.contains(**name))
        .copied()
        .collect()
}

fn assert_nothing_was_sent(seen: &Seen) {
    assert_eq!(seen.unsafe_methods, BTreeSet::new());
    assert_eq!(seen.messages, BTreeSet::new());
    assert_eq!(
        missing(&seen.sockets.iter().map(String::as_str).collect(), SOCKETS),
        [""; 0]
    );
    assert_eq!(missing(&names(seen), STOPPED), [""; 0]);
    let mut elsewhere = seen.quiet_on.clone();
    assert!(elsewhere.remove("https://hostile.test/quiet").is_some());
    assert_eq!(elsewhere, BTreeMap::new());
}

fn endpoint<'a>(seen: &'a Seen, name: &str) -> &'a Endpoint {
    let url = format!("https://hostile.test/{name}");
    seen.endpoints.iter().find(|endpoint| endpoint.url == url).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_observes_sends_nothing() {
    let seen = explore(SITE, "mode = \"observe\"", "").await;
    assert_nothing_was_sent(&seen);
    assert!(seen.pages >= 8, "{}", seen.pages);
    let fetch = endpoint(&seen, "api/fetch");
    assert_eq!((fetch.method.as_str(), fetch.kind), ("POST", ResourceKind::Fetch));
    assert_eq!(fetch.fields, ["csrf_token", "note"]);
    let tokens: Vec<_> = fetch
        .tokens
        .iter()
        .map(|token| (token.name.as_str(), token.header))
        .collect();
    assert_eq!(tokens, [("csrf_token", false), ("x-csrf-token", true)]);
    assert_eq!(fetch.initiator.url.as_deref(), Some("https://hostile.test/beacons"));
    assert!(fetch.why.contains("method"), "{}", fetch.why);
    let shared = endpoint(&seen, "api/shared-1");
    assert_eq!(shared.worker.as_deref(), Some("https://hostile.test/shared.js"));
    let form = endpoint(&seen, "api/form-page");
    assert_eq!(
        (form.kind, form.fields.as_slice()),
        (ResourceKind::Document, &["user".to_owned()][..])
    );
    let held: u32 = seen.endpoints.iter().map(|endpoint| endpoint.held).sum();
    assert!(held >= 10, "{held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_uses_pages_sends_nothing() {
    let seen = explore(SITE, "mode = \"safe\"", "").await;
    assert_nothing_was_sent(&seen);
    assert_eq!(missing(&names(&seen), &["click"]), [""; 0]);
    let click = endpoint(&seen, "api/click");
    assert_eq!(click.fields, ["colour"]);
    assert_eq!(
        click.path.iter().map(|step| step.kind).collect::<Vec<_>>(),
        [StepKind::Click]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_scans_in_one_browser_of_others_send_nothing() {
    let benches = tokio::join!(Bench::of(hostile, ""), Bench::of(hostile, ""));
    let remote = Remote::start(&[&benches.0.microsite.spki, &benches.1.microsite.spki]).await;
    for bench in [&benches.0, &benches.1] {
        use_remote(bench, &format!("{:?}", remote.url()));
    }
    let (observing, using) = tokio::join!(
        explore_in(&benches.0, SITE, "mode = \"observe\""),
        explore_in(&benches.1, SITE, "mode = \"safe\""),
    );
    assert_nothing_was_sent(&observing);
    assert_nothing_was_sent(&using);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_may_change_state_does() {
    let seen = explore(SITE, "mode = \"full\"\nallow_state_change = true", "").await;
    let sent: BTreeSet<&str> = seen.unsafe_methods.iter().map(String::as_str).collect();
    let expected: Vec<_> = STOPPED
        .iter()
        .filter(|name| !matches!(**name, "form-page" | "delete" | "frame-removed"))
        .chain(&["click", "form-click"])
        .copied()
        .collect();
    assert_eq!(missing(&sent, &expected), [""; 0]);
    assert!(!sent.contains("delete-account") && !sent.contains("delete"), "{sent:?}");
    assert_eq!(
        missing(&seen.messages.iter().map(String::as_str).collect(), SOCKETS),
        [""; 0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_hang_keep_their_last_words() {
    for mode in ["observe", "safe"] {
        let start = SITE.replace(
            "hostile.test/\"]",
            "hostile.test/hang\", \"https://hostile.test/hang?end\"]",
        );
        let seen = explore(&start, &format!("mode = {mode:?}"), "page_deadline = \"5s\"").await;
        assert_eq!(seen.unsafe_methods, BTreeSet::new());
    }
}
