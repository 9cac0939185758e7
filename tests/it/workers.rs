//! Workers that outlive their pages: each runs and is heard, however those before it ended, and its end is nobody else's.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::StatusCode;
use phantom_gang::crawl::PageState;
use phantom_gang::demo::{Ask, Reply};
use phantom_gang::store;

use crate::support::Bench;

/// Pages that begin workers, one after the other. Each is given the time to do what it does.
const PAGES: [(&str, &str); 4] = [
    (
        "/broken",
        "navigator.serviceWorker.register('/broken.js', { scope: '/broken' }).then((kept) => { kept.installing.onstatechange = () => fetch('/told?broken', { method: 'POST' }).catch(() => {}); });",
    ),
    ("/first", "new SharedWorker('/shared.js?first');"),
    ("/second", "new SharedWorker('/shared.js?second');"),
    (
        "/third",
        "navigator.serviceWorker.register('/service.js', { scope: '/third' });",
    ),
];

const TELL: &str = "fetch('/told?' + NAME, { method: 'POST' }).catch(() => {});";

fn workers(ask: &Ask<'_>) -> Reply {
    if let Some((path, script)) = PAGES.iter().find(|(path, _)| *path == ask.path) {
        return Reply::html(format!(
            "<!doctype html><title>{path}</title><h1>{path}</h1><img src=/slow><script>{script}</script>"
        ));
    }
    match ask.path {
        "/" => {
            let links = PAGES.iter().map(|(path, _)| format!("<a href={path}>{path}</a> "));
            Reply::html(format!(
                "<!doctype html><title>Workers</title>{}",
                links.collect::<String>()
            ))
        }
        "/marked" => Reply::html(
            "<!doctype html><title>Marked</title><img src=/slow><a href=/kept>kept</a><a href=/no>no</a><a href=/none>none</a><a href=/nowhere>nowhere</a><a href=/lost>lost</a><script>const worker = new \
             SharedWorker('/shared.js?asked'); if (location.hash) worker.port.postMessage('go');</script>",
        ),
        "/kept" => Reply::html("<!doctype html><title>Kept</title><h1>Kept</h1>"),
        "/shared.js" if ask.query == "asked" => Reply::ok(
            "text/javascript",
            format!(
                "onconnect = (event) => {{ event.ports[0].onmessage = () => {} }};",
                TELL.replace("NAME", "'asked'")
            ),
        ),
        "/shared.js" => Reply::ok("text/javascript", TELL.replace("NAME", "location.search.slice(1)")),
        "/service.js" => Reply::ok("text/javascript", TELL.replace("NAME", "'service'")),
        "/broken.js" => Reply::ok(
            "text/javascript",
            "addEventListener('install', (event) => event.waitUntil(Promise.reject(new Error('no'))));",
        ),
        "/slow" => Reply::status(StatusCode::NO_CONTENT).after(Duration::from_secs(1)),
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

/// Scans a site, a page at a time, and says which words were to be told to it; how often each page was asked for.
async fn told(start: &str, mode: &str) -> (BTreeSet<String>, Vec<String>) {
    let bench = Bench::of(workers, "").await;
    bench.write(
        "workers.toml",
        &format!(
            "id = \"workers\"\nstart = [\"https://workers.test{start}\"]\n[limits]\nconcurrency = 1\npages_per_s = \
             100\n[explore]\nmode = \"{mode}\"\n"
        ),
    );
    let (ran, _) = bench.scan(&["workers.toml"]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let store = store::open(bench.path("scans.db").to_str()).await.unwrap();
    let scan = store.newest_scan(None).await.unwrap().unwrap().id;
    let mut told = BTreeSet::new();
    for page in store.pages(&scan, PageState::Done, u32::MAX).await.unwrap() {
        let evidence = store.evidence(&scan, &page.key).await.unwrap().unwrap();
        let words = evidence
            .endpoints
            .iter()
            .filter_map(|call| call.url.split("/told?").nth(1));
        told.extend(words.map(str::to_owned));
    }
    let log = bench.microsite.log.entries();
    let asked = log.into_iter().map(|entry| entry.path);
    (
        told,
        asked.filter(|path| !path.contains(".js") && path != "/slow").collect(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_run_after_others_have_ended() {
    let (told, asked) = told("/", "observe").await;
    let expected = ["broken", "first", "second", "service"].map(str::to_owned);
    assert_eq!(told, BTreeSet::from(expected), "{asked:?}");
    for (path, _) in PAGES {
        let times = asked.iter().filter(|asked| *asked == path).count();
        assert_eq!(times, 1, "{path} was not taken for a page that crashed: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_they_do_while_a_page_is_marked_or_missing_is_not_lost() {
    let (told, asked) = told("/marked", "safe").await;
    let errors = ["/no", "/none", "/nowhere", "/lost"];
    let before = asked.iter().take_while(|path| *path != "/kept");
    assert!(before.clone().any(|path| errors.contains(&&**path)), "{asked:?}");
    assert!(told.contains("asked"), "{told:?}, {asked:?}");
}
