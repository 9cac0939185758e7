//! Ways from page to page: a page for each, and whether a scan gets to where it leads.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use phantom_gang::crawl::PageState;
use phantom_gang::demo::{Ask, Content, Reply};
use phantom_gang::store;
use serde::Deserialize;

use crate::support::Bench;

const HOST: &str = "https://ways.test";

const SITE: &str = r#"
id = "ways"
start = ["https://ways.test/"]
[limits]
pages = 1000
pages_per_s = 1000
concurrency = 8
"#;

#[derive(Deserialize)]
struct Table {
    way: Vec<Way>,
}

#[derive(Clone, Deserialize)]
struct Way {
    name: String,
    html: String,
    /// Why a scan does not get there.
    #[serde(default)]
    missed: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    extra: BTreeMap<String, String>,
}

impl Way {
    fn filled(&self, text: &str) -> String {
        text.replace("{to}", &format!("/reached/{}", self.name))
            .replace("{name}", &self.name)
            .replace("{host}", HOST)
    }

    fn page(&self) -> Reply {
        let typed = self
            .headers
            .get("content-type")
            .map_or("text/html; charset=utf-8", String::as_str);
        let body = if typed.contains("xhtml") {
            self.filled(&self.html)
        } else {
            format!("<!doctype html><title>{}</title>{}", self.name, self.filled(&self.html))
        };
        let mut reply = Reply::ok(typed, body);
        if let Some(status) = self.status {
            reply = Reply::status(StatusCode::from_u16(status).unwrap());
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != "content-type") {
            reply = reply.header(name, &self.filled(value));
        }
        reply
    }

    fn file(&self, name: &str) -> Option<Reply> {
        let kind = match name.rsplit_once('.')?.1 {
            "html" => "text/html",
            "js" => "text/javascript",
            "events" => "text/event-stream",
            _ => "text/plain",
        };
        Some(Reply::ok(kind, self.filled(self.extra.get(name)?)))
    }
}

/// An index of all ways, their pages, and what they lead to.
struct Ways(Vec<Way>);

impl Ways {
    fn read() -> Self {
        let table: Table = toml::from_str(include_str!("../ways/observe.toml")).unwrap();
        Self(table.way)
    }

    fn index(&self) -> String {
        let links: Vec<_> = self
            .0
            .iter()
            .map(|way| format!("<a href=/ways/{0}/>{0}</a>", way.name))
            .collect();
        format!("<!doctype html><title>Ways</title>{}", links.join("\n"))
    }
}

impl Content for Ways {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        if ask.host == "other.test" {
            let to = ask.query.strip_prefix("to=").unwrap_or_default();
            return Reply::html(format!("<!doctype html><a target=_top href={HOST}/reached/{to}>on</a>"));
        }
        let found = match ask.path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
            [""] => Some(Reply::html(self.index())),
            ["app"] => Some(Reply::html(
                "<!doctype html><script>document.title = location.hash</script>",
            )),
            ["reached", name] => Some(Reply::html(format!("<!doctype html><title>{name}</title>reached"))),
            ["ways", name, file] => self.0.iter().find(|way| way.name == name).and_then(|way| match file {
                "" => Some(way.page()),
                file => way.file(file),
            }),
            _ => None,
        };
        found.unwrap_or_else(|| Reply::status(StatusCode::NOT_FOUND))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_only_observes_finds_the_ways_on() {
    let ways = Ways::read();
    let expected: BTreeMap<String, bool> = ways
        .0
        .iter()
        .map(|way| (way.name.clone(), way.missed.is_none()))
        .collect();
    assert!(
        expected.len() >= 100 && expected.len() == ways.0.len(),
        "names are unique"
    );
    let bench = Bench::of(ways, "").await;
    bench.write("ways.toml", SITE);
    let (ran, _) = bench.scan(&["ways.toml", "--tickets", "off"]).await;
    let store = store::open(bench.path("scans.db").to_str()).await.unwrap();
    let scan = store.newest_scan(None).await.unwrap().unwrap().id;
    let done = store.pages(&scan, PageState::Done, u32::MAX).await.unwrap();
    let done: BTreeSet<String> = done.into_iter().map(|row| row.url.clone()).collect();
    let target = |name: &String| match name.as_str() {
        "hash-route" => format!("{HOST}/app#/{name}"),
        "hash-bang-route" => format!("{HOST}/app#!/{name}"),
        _ => format!("{HOST}/reached/{name}"),
    };
    let reached: BTreeMap<String, bool> = expected
        .keys()
        .map(|name| (name.clone(), done.contains(&target(name))))
        .collect();
    let surprises: Vec<_> = reached
        .iter()
        .filter(|(name, reached)| expected[*name] != **reached)
        .collect();
    assert!(
        surprises.is_empty(),
        "reached or not, unlike the table: {surprises:?}\n{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("never finished loading"), "{}", ran.stdout);
}
