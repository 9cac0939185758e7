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
[scope]
include = ["https://ways.test/**", "https://part.ways.test/**"]
[limits]
pages = 1000
pages_per_s = 1000
concurrency = 8
[explore]
"#;

/// Puts a link on the page that no string in the page gives away.
const SHOW: &str = r#"document.body.insertAdjacentHTML("beforeend", "<a href=" + "/reached/" + "{name}>on</a>")"#;

#[derive(Deserialize)]
struct Table {
    way: Vec<Way>,
}

#[derive(Clone, Deserialize)]
struct Way {
    name: String,
    html: String,
    /// Why a scan in the mode of the table does not get there.
    #[serde(default)]
    missed: Option<String>,
    /// What the mode of the table does not reach, `safe` does.
    #[serde(default)]
    needs_action: bool,
    /// What the mode of the table reaches, `observe` does, too.
    #[serde(default)]
    without_action: bool,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    extra: BTreeMap<String, String>,
    /// Files at the root of the host.
    #[serde(default)]
    root: BTreeMap<String, String>,
}

impl Way {
    fn filled(&self, text: &str) -> String {
        text.replace("{show}", SHOW)
            .replace("{to}", &format!("/reached/{}", self.name))
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
    fn read(text: &str) -> Self {
        let table: Table = toml::from_str(text).unwrap();
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
        let to = ask.query.strip_prefix("to=").unwrap_or_default();
        match (ask.host, ask.path) {
            ("other.test", "/frame") => {
                return Reply::html(format!("<!doctype html><a target=_top href={HOST}/reached/{to}>on</a>"));
            }
            ("other.test" | "part.ways.test", _) => {
                let shows = SHOW
                    .replace("/reached/", &format!("{HOST}/reached/"))
                    .replace("{name}", to);
                return Reply::html(format!(
                    "<!doctype html><body><button id=b>more</button><script>b.onclick = () => {{ if (self !== top) \
                     {shows} }}</script>"
                ));
            }
            _ => {}
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
        let at_root = || {
            let way = self.0.iter().find(|way| way.root.contains_key(ask.path))?;
            let kind = if ask.path.ends_with("xml") {
                "application/xml"
            } else {
                "text/plain"
            };
            Some(Reply::ok(kind, way.filled(&way.root[ask.path])))
        };
        found
            .or_else(at_root)
            .unwrap_or_else(|| Reply::status(StatusCode::NOT_FOUND))
    }
}

/// Scans in a mode, and says which ways led on.
async fn reached(table: &str, mode: &str) -> BTreeMap<String, bool> {
    let ways = Ways::read(table);
    let names: BTreeSet<String> = ways.0.iter().map(|way| way.name.clone()).collect();
    assert_eq!(names.len(), ways.0.len(), "names are unique");
    let bench = Bench::of(ways, "").await;
    bench.write("ways.toml", &format!("{SITE}mode = {mode:?}\n"));
    let (ran, _) = bench.scan(&["ways.toml", "--tickets", "off"]).await;
    assert!(!ran.stdout.contains("never finished loading"), "{}", ran.stdout);
    let store = store::open(bench.path("scans.db").to_str()).await.unwrap();
    let scan = store.newest_scan(None).await.unwrap().unwrap().id;
    let done = store.pages(&scan, PageState::Done, u32::MAX).await.unwrap();
    let failed = store.pages(&scan, PageState::Failed, u32::MAX).await.unwrap();
    let no_string = done.iter().chain(&failed).find(|row| row.url.ends_with("/g,"));
    assert!(no_string.is_none(), "a part of a pattern is no address: {no_string:?}");
    // What a form adds to an address makes no difference here.
    let done: BTreeSet<String> = done
        .into_iter()
        .map(|row| row.url.as_str().split('?').next().unwrap_or_default().to_owned())
        .collect();
    let target = |name: &String| match name.as_str() {
        "hash-route" => format!("{HOST}/app#/{name}"),
        "hash-bang-route" => format!("{HOST}/app#!/{name}"),
        _ => format!("{HOST}/reached/{name}"),
    };
    names
        .into_iter()
        .map(|name| (name.clone(), done.contains(&target(&name))))
        .collect()
}

fn assert_as_expected(table: &str, mode: &str, reached: &BTreeMap<String, bool>, expected: impl Fn(&Way) -> bool) {
    let ways = Ways::read(table).0;
    let right = reached.values().filter(|reached| **reached).count();
    eprintln!("{mode}: {right} of {} ways reached", ways.len());
    for way in ways.iter().filter(|way| !reached[&way.name]) {
        eprintln!(
            "  missed {}: {}",
            way.name,
            way.missed.as_deref().unwrap_or("it takes an action")
        );
    }
    let surprises: Vec<_> = ways
        .iter()
        .filter(|way| expected(way) != reached[&way.name])
        .map(|way| (&way.name, reached[&way.name]))
        .collect();
    assert!(surprises.is_empty(), "reached or not, unlike the table: {surprises:#?}");
}

const OBSERVE: &str = include_str!("../ways/observe.toml");
const SAFE: &str = include_str!("../ways/safe.toml");

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_only_observes_finds_the_ways_on() {
    let found = reached(OBSERVE, "observe").await;
    assert!(found.len() >= 100);
    assert_as_expected(OBSERVE, "observe", &found, |way| way.missed.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_only_observes_does_nothing() {
    let found = reached(SAFE, "observe").await;
    assert_as_expected(SAFE, "observe", &found, |way| way.without_action);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_uses_pages_finds_what_their_use_leads_to() {
    let found = reached(SAFE, "safe").await;
    assert!(found.len() >= 100);
    assert_as_expected(SAFE, "safe", &found, |way| way.missed.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_uses_pages_finds_all_that_one_that_observes_does() {
    let found = reached(OBSERVE, "safe").await;
    assert_as_expected(OBSERVE, "safe", &found, |way| way.missed.is_none() || way.needs_action);
}
