//! Sites that have no end: a scan ends inside its budgets, says what it cut off, and finds what is honest beside them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use axum::http::StatusCode;
use phantom_gang::crawl::PageState;
use phantom_gang::demo::{Ask, Reply};
use phantom_gang::store;
use serde_json::Value;

use crate::support::{Bench, Ran};

const SITE: &str = r#"
id = "traps"
start = ["https://traps.test/"]
sitemaps = []
[limits]
pages = 2000
pages_per_template = 6
pages_per_s = 1000
concurrency = 8
depth = 30
"#;

/// Pages that a person would want to have looked at.
const HONEST: &[&str] = &[
    "/",
    "/about",
    "/blog/first-post",
    "/blog/second-post",
    "/calendar/how-it-works",
    "/deep/honest",
    "/events/harvest",
    "/facets",
    "/hall/of/fame",
    "/members",
    "/thousand",
];

fn page(title: &str, body: &str) -> Reply {
    Reply::html(format!(
        "<!doctype html><title>{title}</title><link rel=icon href=data:,><h1>{title}</h1>{body}"
    ))
}

fn links<T: std::fmt::Display>(to: impl IntoIterator<Item = T>) -> String {
    to.into_iter().fold(String::new(), |mut html, to| {
        let _ = write!(html, "<a href='{to}'>{to}</a> ");
        html
    })
}

/// A word without digits, for each number another.
fn word(number: u64) -> String {
    number.to_string().bytes().map(|digit| char::from(digit + 49)).collect()
}

/// Each facet can be added to those that are there.
fn facets(query: &str) -> Reply {
    let chosen: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    let facets = ["color", "size", "brand", "price", "rating", "stock", "ship", "style"];
    let to = facets.iter().enumerate().map(|(value, facet)| {
        let with = format!("{facet}={value}");
        let all: Vec<&str> = chosen.iter().copied().chain([with.as_str()]).collect();
        format!("/facets?{}", all.join("&"))
    });
    page(&format!("Facets {query}"), &format!("<ul><li>{}</ul>", links(to)))
}

/// The least part of the traps that scanners walk into.
fn traps(ask: &Ask<'_>) -> Reply {
    let parts: Vec<&str> = ask.path.trim_start_matches('/').split('/').collect();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    match parts.as_slice() {
        [""] => page(
            "Home",
            &links([
                "/about",
                "/calendar/2026/11",
                "/facets",
                "/item/6f9619ff-8b86-d011-b42d-00cf4fc964ff",
                "/hop/1",
                "/thousand",
                "/visit/s7f3a9c2e41b8/members",
                "/members",
                "/deep/a",
                "/tags/word-b",
                "/fresh?r=1",
                "/loop/0",
                "/hall/of/fame",
                "/mirror/x/y",
            ]),
        ),
        ["facets"] => facets(ask.query),
        ["about"] => page("About", &links(["/blog/first-post", "/blog/second-post"])),
        ["blog", post] => page(post, "<article><p>A post of its own.</p></article>"),
        ["hall", "of", "fame"] => page("Fame", "<ol><li>Ada</ol>"),
        ["events", name] => page(name, "<section><p>An event of its own.</p></section>"),
        // Each month leads to the next and the one before, for ever.
        ["calendar", "how-it-works"] => page("How it works", "<p>Click on a month."),
        ["calendar", year, month] => {
            let at = number(year) * 12 + number(month) - 1;
            let to = [at - 1, at + 1].map(|at| format!("/calendar/{}/{}", at / 12, at % 12 + 1));
            let more = links(["/calendar/how-it-works", "/events/harvest"]);
            page(
                &format!("{year}, {month}"),
                &format!("<table><tr><td>1</table>{}{more}", links(to)),
            )
        }
        // An id leads to two others.
        ["item", id] => {
            let seed = id
                .bytes()
                .fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
            let uuid = |seed: u64| format!("/item/{seed:08x}-8b86-d011-b42d-{:012x}", seed.wrapping_mul(77) >> 20);
            let to = [1, 2].map(|step| uuid(seed.wrapping_mul(step).wrapping_add(step) & 0xffff_ffff));
            page(&format!("Item {id}"), &format!("<dl><dt>Id<dd>{id}</dl>{}", links(to)))
        }
        // A redirect that leads to another, until the browser has enough of it.
        ["hop", at] => Reply::redirect(StatusCode::FOUND, &format!("/hop/{}", number(at) + 1)),
        // A page that goes on by itself.
        ["loop", at] => page(
            &format!("Loop {at}"),
            &format!("<script>location.href = '/loop/{}'</script>", number(at) + 1),
        ),
        ["thousand"] => page("Thousand", &links((0..1_000).map(|to| format!("/leaf/{}", word(to))))),
        ["leaf", leaf] => page(
            leaf,
            &format!(
                "<p>{leaf}</p>{}",
                links((0..1_000).map(|to| format!("/leaf/{}{leaf}", word(to))))
            ),
        ),
        // A session in the path: the same pages again for each visit, and a new visit with each page.
        ["visit", session, "members"] => page(
            "Members",
            &format!(
                "<p>Our members.</p><a href=/visit/{}/members>Again</a>",
                next_session(session)
            ),
        ),
        ["members"] => page("Members", "<p>Our members.</p>"),
        // Ever deeper.
        ["deep", "honest"] => page("Honest", "<p>An honest page beside it."),
        ["deep", ..] => page(
            ask.path,
            &format!(
                "<pre>{}</pre>{}",
                ask.path,
                links([format!("{}/a", ask.path), "/deep/honest".to_owned()])
            ),
        ),
        // Words, one after the other.
        ["tags", tag] => {
            let seed = tag
                .bytes()
                .fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
            let to = [1, 2].map(|step| format!("/tags/word-{}", word(seed.wrapping_add(step) % 1_000_000)));
            page(tag, &format!("<nav>{tag}</nav>{}", links(to)))
        }
        // The same page under another address each time.
        ["fresh"] => page(
            "Fresh",
            &format!("<a href=/fresh?r={}>Again</a>", number(&ask.query[2..]) + 1),
        ),
        // A path that leads into itself.
        ["mirror", ..] => page(
            ask.path,
            &format!(
                "<aside>{}</aside>{}",
                ask.path,
                links(["x/y/", "y/x/"].map(|to| format!("{}/{to}", ask.path.trim_end_matches('/'))))
            ),
        ),
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

fn next_session(session: &str) -> String {
    let sum = session
        .bytes()
        .fold(99_u64, |sum, byte| sum.wrapping_mul(33).wrapping_add(u64::from(byte)));
    format!("s7f3a{:06x}b8", sum & 0xff_ffff)
}

/// How many pages a scan looked at below this path.
fn below(done: &BTreeSet<String>, path: &str) -> usize {
    let start = format!("https://traps.test{path}");
    done.iter().filter(|url| url.starts_with(&start)).count()
}

async fn done(bench: &Bench) -> BTreeSet<String> {
    let store = store::open(bench.path("scans.db").to_str()).await.unwrap();
    let scan = store.newest_scan(None).await.unwrap().unwrap().id;
    let rows = store.pages(&scan, PageState::Done, u32::MAX).await.unwrap();
    rows.into_iter().map(|row| row.url).collect()
}

fn said(report: &Value, reason: &str) -> u64 {
    let groups = report["not_checked"].as_array().unwrap();
    let group = groups
        .iter()
        .find(|group| group["reason"].as_str().unwrap().contains(reason))
        .unwrap_or_else(|| panic!("{reason:?} is not said in {groups:#?}"));
    assert!(
        group["examples"][0]
            .as_str()
            .unwrap()
            .starts_with("https://traps.test/"),
        "{group}"
    );
    group["count"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_of_traps_ends_and_says_what_it_cut_off() {
    let bench = Bench::of(traps, "").await;
    bench.write("traps.toml", SITE);
    let (ran, report): (Ran, Value) = bench.scan(&["traps.toml", "--tickets", "off"]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let done = done(&bench).await;

    let missed: Vec<_> = HONEST
        .iter()
        .filter(|path| !done.contains(&format!("https://traps.test{path}")))
        .collect();
    assert!(
        missed.is_empty(),
        "honest pages that were missed: {missed:?} of {done:#?}"
    );

    // Six of a template, ten times as many of a family, five of one page under many addresses.
    for (path, expected) in [
        ("/calendar/2", 6),
        ("/item/", 6),
        ("/visit/", 5),
        ("/loop/", 6),
        ("/fresh", 5),
        ("/leaf/", 60),
        ("/tags/", 60),
        ("/facets?", 60),
    ] {
        assert_eq!(below(&done, path), expected, "{path}: {done:#?}");
    }
    // One page of each depth before it repeats itself, then the budget of what does.
    assert!(
        below(&done, "/deep/a") <= 10 && below(&done, "/mirror/") <= 12,
        "{done:#?}"
    );
    assert!(done.len() < 300, "{} pages", done.len());

    for reason in [
        "6 pages like traps.test/calendar/{n}/{n} were looked at, which is enough",
        "6 pages like traps.test/item/",
        "pages like traps.test/visit/{id}/members are one page under many addresses",
        "6 pages like traps.test/loop/{n} were looked at, which is enough",
        "pages like traps.test/fresh?r are one page under many addresses",
        "60 pages like traps.test/leaf/* were looked at, which is enough",
        "60 pages like traps.test/tags/* were looked at, which is enough",
        "60 pages like traps.test/facets?* were looked at, which is enough",
        "redirects in a circle",
    ] {
        assert!(said(&report, reason) >= 1, "{reason}");
    }
    // As many wait as could have their turn; of what is found when they are used up, a thousand are kept.
    let leaves = said(&report, "60 pages like traps.test/leaf/*");
    assert!((900..=3_100).contains(&leaves), "{leaves} leaves are kept");
    assert!(
        ran.stdout
            .contains("more links to pages like traps.test/leaf/* were found and not kept"),
        "{}",
        ran.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_ends_when_its_bytes_are_spent() {
    let site = |ask: &Ask<'_>| match ask.path {
        "/big.js" => {
            Reply::ok("text/javascript", format!("//{}", "x".repeat(600_000))).header("cache-control", "no-store")
        }
        "/robots.txt" | "/favicon.ico" => Reply::status(StatusCode::NOT_FOUND),
        path if path != "/" && !path.starts_with("/page-") => Reply::status(StatusCode::NOT_FOUND),
        path => {
            let next = path.trim_start_matches("/page-").trim_start_matches('/').len();
            page(
                path,
                &format!(
                    "<script src=/big.js></script>{}",
                    links([format!("/page-{}", "a".repeat(next + 1))])
                ),
            )
        }
    };
    let bench = Bench::of(site, "").await;
    let text =
        "id = \"big\"\nstart = [\"https://big.test/\"]\nsitemaps = []\n[limits]\nbytes = \"2MB\"\npages_per_s = 1000\n";
    bench.write("big.toml", text);
    let (ran, report) = bench.scan(&["big.toml", "--tickets", "off"]).await;
    assert_eq!(ran.code, Some(0), "a budget that ended the crawl is no loss: {ran:#?}");
    let pages = &report["scan"]["pages"];
    assert_eq!(
        (&pages["done"], &pages["failed"], &pages["left"]),
        (&3.into(), &0.into(), &0.into()),
        "{ran:#?}"
    );
    assert!(
        ran.stdout.contains("the traffic limit of 2MB was reached"),
        "{}",
        ran.stdout
    );
}
