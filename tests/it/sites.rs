//! `phantom sites`: files are checked all at once, and written after asking the site.

use axum::http::StatusCode;
use phantom_gang::demo::{Ask, Reply};
use serde_json::Value;

use crate::support::Bench;

fn shop(ask: &Ask<'_>) -> Reply {
    match (ask.host, ask.path) {
        ("shop.test", "/") => Reply::redirect(StatusCode::MOVED_PERMANENTLY, "https://www.shop.test/"),
        ("www.shop.test", "/") => Reply::html(
            "<!doctype html><title>Tea \"&amp; more\"\u{202e}</title><link rel=icon href=data:,>\
             <form action=/in method=post><input name=user><input type=password name=pass></form>",
        ),
        ("www.shop.test", "/robots.txt") => Reply::ok(
            "text/plain",
            "User-agent: *\nCrawl-delay: 1\nSitemap: https://www.shop.test/pages.xml\n",
        ),
        ("www.shop.test", "/pages.xml") => Reply::ok(
            "application/xml",
            "<urlset><url><loc>https://www.shop.test/a</loc></url><url><loc>https://www.shop.test/b</loc></url></urlset>",
        ),
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_asked_and_its_file_written_once() {
    let bench = Bench::of(shop, "").await;
    let ran = bench
        .run(&["sites", "add", "https://www.shop.test/", "--id", "tea"])
        .await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    for part in [
        "sitemaps/tea.toml is written.",
        "2 pages in sitemaps, a robots.txt, a login form",
        "phantom sites check",
        "phantom scan tea ",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\u{202e}'), "page text is made safe");
    let text = std::fs::read_to_string(bench.path("sitemaps/tea.toml")).unwrap();
    for part in [
        "id = \"tea\"",
        "start = [\"https://www.shop.test/\"]",
        "Its sitemaps list 2 pages",
        "asks for 1 s between two visits",
        "A form that asks for a password was seen on https://www.shop.test/",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\u{202e}'), "{text}");
    let visits = bench.microsite.log.entries();
    let visits = visits
        .iter()
        .filter(|one| one.path == "/" && one.host == "www.shop.test");
    assert_eq!(visits.count(), 1, "one page is rendered, once");

    let again = bench
        .run(&["sites", "add", "https://www.shop.test/", "--id", "tea"])
        .await;
    assert_eq!(again.code, Some(2));
    assert!(
        again.stderr.contains("sitemaps/tea.toml claims www.shop.test already"),
        "{again:#?}"
    );
    assert_eq!(std::fs::read_to_string(bench.path("sitemaps/tea.toml")).unwrap(), text);

    let checked = bench.run(&["sites", "check"]).await;
    assert_eq!(
        (checked.code, checked.stdout.trim()),
        (Some(0), "1 site, nothing wrong"),
        "{checked:#?}"
    );
    let listed = bench.run(&["sites", "list", "--json"]).await;
    let rows: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(
        (&rows[0]["id"], &rows[0]["file"]),
        (&"tea".into(), &"sitemaps/tea.toml".into()),
        "{rows}"
    );
    // Nothing of it is in the store.
    let none = bench.run(&["scan", "--resume"]).await;
    assert!(none.stderr.contains("waits to be resumed"), "{none:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_moved_starts_where_it_is() {
    let bench = Bench::of(shop, "").await;
    let ran = bench.run(&["sites", "add", "https://shop.test/"]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let text = std::fs::read_to_string(bench.path("sitemaps/shop-test.toml")).unwrap();
    assert!(text.contains("start = [\"https://www.shop.test/\"]"), "{text}");
    assert!(
        text.contains("include = [\"https://www.shop.test/**\", \"https://shop.test/**\"]"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_does_not_answer_gets_no_file() {
    let bench = Bench::of(shop, "").await;
    let ran = bench.run(&["sites", "add", "https://refusing.test/"]).await;
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    assert!(
        ran.stderr.contains("https://refusing.test/ was not reached"),
        "{}",
        ran.stderr
    );
    assert!(!bench.path("sitemaps/refusing-test.toml").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_all_files_is_said_at_once() {
    let bench = Bench::of(shop, "").await;
    bench.write(
        "sitemaps/a.toml",
        "id = \"one\"\nstart = [\"https://a.test/\"]\ntitel = \"A\"\n[limits]\npages = 0\n",
    );
    bench.write("sitemaps/b.toml", "id = \"two\"\nstart = [\"https://b.test/\"]\n");
    bench.write("sitemaps/c.toml", "id = \"two\"\nstart = [\"https://c.test/\"]\n");
    bench.write("sitemaps/d.toml", "id = \"four\"\nstart = [\"https://b.test/x\"]\n");
    let ran = bench.run(&["sites", "check"]).await;
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    for part in [
        "`titel` is not a known key (sitemaps/a.toml:3:1); did you mean `title`?",
        "`limits.pages` is 0 (sitemaps/a.toml:5:9); write a whole number from 1",
        "sitemaps/b.toml and sitemaps/c.toml both have the id `two`",
        "sitemaps/b.toml and sitemaps/d.toml both claim https://b.test/",
        "3 sites can be read; what is wrong is said above",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let one = bench.run(&["sites", "check", "sitemaps/d.toml"]).await;
    assert_eq!(one.code, Some(2));
    assert!(
        one.stdout.contains("sitemaps/b.toml and sitemaps/d.toml both claim"),
        "{}",
        one.stdout
    );
    assert!(!one.stdout.contains("titel"), "not asked: {}", one.stdout);
}

#[tokio::test]
async fn the_schema_is_printed() {
    let bench = Bench::of(shop, "").await;
    let ran = bench.run(&["sites", "schema"]).await;
    let schema: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
}
