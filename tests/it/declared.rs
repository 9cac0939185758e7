//! Checks of an installation's own, and advisories that it fetches.

use axum::http::StatusCode;
use phantom_gang::demo::{Ask, Reply};
use serde_json::Value;

use crate::support::Bench;

const CHECK: &str = r#"
id = "old-logo"
title = "Pages of {host} show the old logo"
severity = "high"
confidence = "firm"
cwe = 1059
[docs]
looks_for = "The old logo."
matters = "It is old."
decides = "Severity: *high*. Confidence: *firm*."
fix = "Show the new one."
limits = "None."
references = "- CWE-1059: <https://cwe.mitre.org/data/definitions/1059.html>"
[[ask]]
name = "logo"
select = "img.old"
attributes = ["alt"]
[[rule]]
find = "answer"
where = { ask = "logo", alt = "Tea" }
cause = ["host"]
"#;

const PAGE: &str =
    "<!doctype html><title>Shop</title><img class=old alt=Tea><script src=/jquery-3.4.1.min.js></script>";

fn shop(ask: &Ask<'_>) -> Reply {
    match ask.path {
        "/" => Reply::ok("text/html; charset=utf-8", PAGE),
        "/jquery-3.4.1.min.js" => Reply::ok("text/javascript", b"/*! jQuery v3.4.1 | (c) JS Foundation */".to_vec()),
        "/good.json" => Reply::ok("application/json", repository(usize::MAX, "9.9.9")),
        "/cut.json" => {
            let mut whole = repository(usize::MAX, "9.9.9");
            whole.truncate(whole.len() / 2);
            Reply::ok("application/json", whole)
        }
        "/small.json" => Reply::ok("application/json", repository(3, "9.9.9")),
        _ => Reply::status(StatusCode::NOT_FOUND),
    }
}

/// A repository in which jQuery is vulnerable up to a version, among as many other libraries.
fn repository(others: usize, below: &str) -> Vec<u8> {
    let advisory = |id: &str, below: &str| serde_json::json!([{"below": below, "severity": "critical", "cwe": ["CWE-79"], "identifiers": {"CVE": [id]}, "info": []}]);
    let mut all = serde_json::Map::new();
    let known = phantom_checks::vulnerable_library::embedded().unwrap();
    for name in known.names().filter(|name| *name != "jquery").take(others) {
        all.insert(
            name.to_owned(),
            serde_json::json!({"vulnerabilities": advisory("CVE-1", "1.0.0")}),
        );
    }
    all.insert(
        "jquery".to_owned(),
        serde_json::json!({
            "vulnerabilities": advisory("CVE-2999-1", below),
            "extractors": {"filecontent": ["/\\*! jQuery v(§§version§§)"], "filename": ["jquery-(§§version§§)(.min)?\\.js"]}
        }),
    );
    serde_json::to_vec(&all).unwrap()
}

fn case(bench: &Bench, name: &str, expect: &str) {
    let html = format!("<!--\nexpect: {expect}\nwhy: x\n-->\n<!doctype html>\n<title>x</title>\n");
    bench.write(&format!("ours/old-logo/cases/{name}.html"), &html);
}

async fn bench() -> Bench {
    let bench = Bench::of(shop, "").await;
    let mut settings = std::fs::read_to_string(bench.path("phantom.toml")).unwrap();
    settings.push_str("\n[checks]\nfolders = [\"ours\"]\n");
    bench.write("phantom.toml", &settings);
    bench.write("ours/old-logo/check.toml", CHECK);
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_check_is_one_like_the_others() {
    let bench = bench().await;
    for name in ["one", "two", "three"] {
        case(&bench, name, "flag");
    }
    // It is held to cases of both kinds.
    let ran = bench.run(&["checks", "list"]).await;
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    assert!(
        ran.stderr.contains("3 cases that must be flagged and 0 that must pass"),
        "{ran:#?}"
    );
    for name in ["four", "five", "six"] {
        case(&bench, name, "pass");
    }
    let ran = bench.run(&["checks", "list"]).await;
    assert!(
        ran.stdout.contains("old-logo") && ran.stdout.contains("CWE-1059"),
        "{ran:#?}"
    );
    let ran = bench.run(&["checks", "explain", "old-logo"]).await;
    assert!(ran.stdout.contains("Show the new one."), "{ran:#?}");
    bench.write(
        "sitemaps/shop.toml",
        "id = \"shop\"\nstart = [\"https://shop.test/\"]\n[scope]\nallow_private = true\n[checks]\ndisable = [\"weak-csp\", \"old-logo\"]\n",
    );
    let ran = bench.run(&["sites", "check"]).await;
    assert_eq!(ran.code, Some(0), "a site's file may name it: {ran:#?}");
    std::fs::remove_file(bench.path("sitemaps/shop.toml")).unwrap();

    let (ran, report) = bench
        .scan(&["https://shop.test/", "--report", "sarif=report.sarif"])
        .await;
    let said = findings(&report, "old-logo");
    assert_eq!(said.len(), 1, "{ran:#?}");
    assert_eq!(said[0]["title"], "Pages of shop.test show the old logo");
    assert_eq!(said[0]["severity"], "high");
    let sarif = std::fs::read_to_string(bench.path("report.sarif")).unwrap();
    assert!(sarif.contains("Show the new one."));
    let ran = bench
        .run(&["checks", "run", "--over", "last", "--check", "old-logo"])
        .await;
    assert!(ran.stdout.contains("1 finding, 1 check"), "{ran:#?}");

    // Another question is not answered by what was asked before.
    bench.write("ours/old-logo/check.toml", &CHECK.replace("img.old", "img.older"));
    let ran = bench
        .run(&["checks", "run", "--over", "last", "--check", "old-logo"])
        .await;
    assert!(ran.stdout.contains("were not asked what it asks today"), "{ran:#?}");
    bench.write("ours/old-logo/check.toml", &CHECK.replace("select = ", "selekt = "));
    let ran = bench.run(&["scan", "https://shop.test/"]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("ours/old-logo/check.toml:16:1"), "{ran:#?}");
    assert!(ran.stderr.contains("did you mean `select`?"), "{ran:#?}");
}

#[tokio::test]
async fn a_check_is_begun_and_its_schema_printed() {
    let bench = Bench::of(shop, "").await;
    let ran = bench
        .run(&["checks", "new", "our-rule", "--toml", "--in", "ours"])
        .await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(
        bench.path("ours/our-rule/check.toml").is_file() && bench.path("ours/our-rule/cases/passed.html").is_file()
    );
    let ran = bench
        .run(&["checks", "new", "our-rule", "--toml", "--in", "ours"])
        .await;
    assert_eq!(ran.code, Some(2), "nothing is written over: {ran:#?}");
    let ran = bench.run(&["checks", "schema"]).await;
    let schema: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(schema["title"], "Phantom Gang: a declared check");
}

fn findings<'r>(report: &'r Value, check: &str) -> Vec<&'r Value> {
    let all = report["findings"].as_array().unwrap();
    all.iter().filter(|finding| finding["check"] == check).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_advisories_are_taken_in_and_bad_ones_change_nothing() {
    let bench = Bench::of(shop, "").await;
    let known = async || {
        let ran = bench.run(&["advisories", "show", "--json"]).await;
        serde_json::from_str::<Value>(&ran.stdout).unwrap_or_else(|_| panic!("{ran:#?}"))
    };
    let own = known().await;
    assert_eq!(own["origin"], Value::Null);
    bench.write("broken.json", "{\"jquery\": ");
    bench.write(
        "whole.json",
        &String::from_utf8(repository(usize::MAX, "9.9.9")).unwrap(),
    );
    // As many as are known, but one of them is another.
    let whole = std::fs::read_to_string(bench.path("whole.json")).unwrap();
    bench.write("invented.json", &whole.replace("\"jquery\":", "\"invented\":"));
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
        .to_string();
    for (from, why) in [
        (vec!["broken.json"], "cannot be read"),
        (vec!["none.json"], "cannot read none.json"),
        (vec!["whole.json", "--date", "2020-01-02"], "is of 2020-01-02"),
        (vec!["https://shop.test/cut.json"], "cannot be read"),
        (
            vec!["https://shop.test/small.json"],
            "libraries that are known (angularjs, ",
        ),
        (vec!["invented.json"], "libraries that are known (jquery)"),
        (
            vec!["whole.json", "--date", "2999-01-02"],
            "is of 2999-01-02, which is still to come",
        ),
        (vec!["https://shop.test/missing.json"], "answered with the status 404"),
        (vec!["http://shop.test/good.json"], "is not an https URL"),
    ] {
        let arguments = [&["advisories", "update", "--from"][..], &from].concat();
        let ran = bench.run(&arguments).await;
        assert!(
            matches!(ran.code, Some(2 | 3)) && ran.stderr.contains(why),
            "{from:?}: {ran:#?}"
        );
        assert_eq!(known().await, own, "{from:?}");
    }
    for from in ["whole.json", "https://shop.test/good.json"] {
        let ran = bench.run(&["advisories", "update", "--from", from]).await;
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        let new = known().await;
        assert_eq!(
            (&new["origin"], &new["date"], &new["libraries"]),
            (&from.into(), &today.as_str().into(), &own["libraries"])
        );
    }
    // What follows uses them: scans, and checks over what was stored.
    let (ran, report) = bench.scan(&["https://shop.test/"]).await;
    let said = findings(&report, "vulnerable-library");
    assert_eq!((said.len(), &said[0]["severity"]), (1, &"critical".into()), "{ran:#?}");
    assert!(said[0].to_string().contains("CVE-2999-1"), "{}", said[0]);
    let ran = bench
        .run(&["checks", "run", "--over", "last", "--check", "vulnerable-library"])
        .await;
    assert!(ran.stdout.contains("critical"), "{ran:#?}");
    let ran = bench.run(&["audit"]).await;
    assert!(ran.stdout.contains("advisories updated"), "{ran:#?}");
}
