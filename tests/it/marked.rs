//! Pages are loaded once more with a mark in their address, of which no server is told, and what it shows is kept as
//! other findings are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use phantom_gang::demo::{Ask, Reply};

use crate::support::Bench;

/// A site whose script makes markup of the query, until it is mended.
fn site(mended: Arc<AtomicBool>) -> impl Fn(&Ask<'_>) -> Reply + Send + Sync + 'static {
    move |ask: &Ask<'_>| match ask.path {
        "/" => Reply::html(
            "<!doctype html><title>Teas</title><h1>Teas</h1><a href='/list?sort=name'>by name</a><a href=/plain>plain</a>",
        ),
        "/plain" => Reply::html("<!doctype html><title>Plain</title><h1>Plain</h1>"),
        "/list" => Reply::html("<!doctype html><title>List</title><p id=out></p><script src=/list.js></script>"),
        "/list.js" => {
            let how = if mended.load(Ordering::SeqCst) {
                "textContent"
            } else {
                "innerHTML"
            };
            let script = format!(
                "const sort = new URLSearchParams(location.search).get('sort') || '';\n\
                 fetch('/seen?sort=' + encodeURIComponent(sort)).catch(() => {{}});\n\
                 new Image().src = '/seen.gif?at=' + encodeURIComponent(location.href);\n\
                 document.getElementById('out').{how} = sort;"
            );
            Reply::ok("text/javascript", script.into_bytes())
        }
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

/// Scans, and says how the one finding stands; `None` if there never was one.
async fn state(bench: &Bench, mode: &str) -> Option<String> {
    let ran = bench
        .run(&["scan", "shop", "--explore", mode, "--report", "json=report.json"])
        .await;
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:#?}");
    assert!(
        !bench.report().to_string().contains("phmk"),
        "marks are for the browser alone"
    );
    let log = bench.microsite.log.entries();
    assert!(log.iter().all(|one| !one.path.contains("phmk")), "{log:#?}");
    let listed = bench.run(&["findings", "list", "--json"]).await;
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout).unwrap();
    let all: Vec<_> = listed.iter().filter(|one| one["check"] == "dom-xss").collect();
    assert!(all.len() <= 1, "{all:#?}");
    Some(all.first()?["state"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mark_shows_is_found_and_is_fixed_only_where_it_was_tried() {
    let mended = Arc::new(AtomicBool::new(false));
    let bench = Bench::of(site(Arc::clone(&mended)), "").await;
    bench.write(
        "sitemaps/shop.toml",
        "id = \"shop\"\nstart = [\"https://shop.test/\"]\n[limits]\npages_per_s = 100\n",
    );
    assert_eq!(state(&bench, "observe").await, None, "nothing is tried");
    assert_eq!(state(&bench, "safe").await.as_deref(), Some("new"));
    let lists = || {
        let log = bench.microsite.log.entries();
        let pages = log.iter().filter(|one| one.path.starts_with("/list?"));
        pages.map(|one| one.path.clone()).collect::<Vec<_>>()
    };
    let asked = lists();
    assert_eq!(asked.len(), 3, "once, then once as it is and once marked: {asked:?}");
    assert!(asked.iter().all(|path| path == "/list?sort=name"), "{asked:?}");

    mended.store(true, Ordering::SeqCst);
    for _ in 0..4 {
        let state = state(&bench, "observe").await.unwrap();
        assert_ne!(state, "fixed", "it was not tried");
    }
    let mut states = Vec::new();
    for _ in 0..4 {
        states.push(state(&bench, "safe").await.unwrap());
    }
    assert_eq!(states.last().map(String::as_str), Some("fixed"), "{states:?}");
}
