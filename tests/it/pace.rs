//! What checks ask of a host keeps its pace and its robots.txt, like every other request.

use axum::http::StatusCode;
use phantom_gang::demo::{Ask, Reply, Scheme};

use crate::support::Bench;

const SITE: &str = "id = \"shop\"\nstart = [\"https://shop.test/\"]\nsitemaps = []\n[limits]\npages_per_s = 0.5\n";
const MAPS: usize = 2;

fn shop(ask: &Ask<'_>) -> Reply {
    if ask.host != "shop.test" || ask.scheme != Scheme::Https {
        return Reply::status(StatusCode::NOT_FOUND);
    }
    match ask.path {
        "/" => {
            let tags = ["a", "b", "forbidden"].map(|name| format!("<script src=/js/{name}></script>"));
            Reply::html(format!("<!doctype html><title>shop</title>{}", tags.concat()))
        }
        "/robots.txt" => Reply::ok("text/plain", "User-agent: *\nDisallow: /map/forbidden\n"),
        path if path.starts_with("/js/") => {
            let name = path.rsplit('/').next().unwrap_or_default();
            let text = format!("document.title = '{name}';\n//# sourceMappingURL=/map/{name}\n");
            Reply::ok("text/javascript", text)
        }
        path if path.starts_with("/map/") => {
            let map = "{\"version\":3,\"sources\":[\"a.ts\"],\"sourcesContent\":[\"let a\"],\"mappings\":\"\"}";
            Reply::ok("application/json", map)
        }
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_checks_ask_waits_for_its_turn() {
    let bench = Bench::of(shop, "processes = 1\n").await;
    bench.write("sitemaps/shop.toml", SITE);
    let (ran, report) = bench.scan(&["shop"]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let findings = report["findings"].as_array().unwrap();
    let maps = findings.iter().filter(|one| one["check"] == "source-map").count();
    assert!(maps > 0, "{report:#}");

    let log = bench.microsite.log.entries();
    let mut asked: Vec<_> = log.iter().filter(|entry| entry.path.starts_with("/map/")).collect();
    asked.sort_by_key(|entry| entry.at);
    assert!(
        asked.iter().all(|entry| !entry.path.contains("forbidden")),
        "{asked:#?}"
    );
    assert!(asked.len() >= MAPS, "{asked:#?}");
    for two in asked.windows(2) {
        let apart = two[1].at.duration_since(two[0].at);
        // A request may be late on a busy machine, and the next one in time.
        assert!(apart.as_millis() > 700, "{asked:#?}");
    }
}
