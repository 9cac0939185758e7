//! Pages that put functions of their own in the place of the browser's. What is on them is seen all the same.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use phantom_gang::demo::{Ask, Content, Reply};

use crate::support::Bench;

const SITE: &str = r#"
id = "tamper"
start = ["https://tamper.test/"]
[limits]
pages_per_s = 1000
concurrency = 4
"#;

const TAMPERED: &[(&str, &str)] = &[
    ("untouched", ""),
    ("push", "Array.prototype.push = () => 0"),
    ("map", "Array.prototype.map = () => []"),
    ("filter", "Array.prototype.filter = () => []"),
    ("iterator", "Array.prototype[Symbol.iterator] = function* () {}"),
    ("from", "Array.from = () => []"),
    ("call", "Function.prototype.call = () => undefined"),
    ("query", "Document.prototype.querySelectorAll = () => []"),
    (
        "query-throws",
        "Document.prototype.querySelectorAll = () => { throw 1 }",
    ),
    ("slice", "String.prototype.slice = () => ''"),
    (
        "elements",
        "Object.defineProperty(HTMLFormElement.prototype, 'elements', { get: () => [] })",
    ),
    (
        "action",
        "Object.defineProperty(HTMLFormElement.prototype, 'action', { get: () => 'https://tamper.test/in' })",
    ),
    (
        "kind",
        "Object.defineProperty(HTMLInputElement.prototype, 'type', { get: () => 'text' })",
    ),
    ("stringify", "JSON.stringify = () => '{}'"),
    ("stringify-throws", "JSON.stringify = () => { throw 1 }"),
    ("to-json", "Object.prototype.toJSON = () => 1"),
    (
        "descriptors",
        "Object.defineProperty(Object.prototype, 'get', { value: () => [] })",
    ),
    ("trim", "String.prototype.trim = () => { throw 1 }"),
];

struct Pages;

impl Content for Pages {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        if ask.path == "/" {
            let links = TAMPERED.iter().map(|(name, _)| format!("<a href=/{name}>{name}</a>"));
            return Reply::html(format!("<!doctype html>{}", links.collect::<Vec<_>>().join(" ")));
        }
        match TAMPERED.iter().find(|(name, _)| ask.path[1..] == **name) {
            Some((name, script)) => Reply::html(format!(
                "<!doctype html><title>{name}</title><script>{script}</script>\
                 <form method=post action=http://tamper.test/in><input type=password name=secret><button>In</button></form>"
            )),
            None => Reply::status(StatusCode::NOT_FOUND),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_replace_built_in_functions_hide_nothing() {
    let bench = Bench::of(Pages, "").await;
    bench.write("tamper.toml", SITE);
    let (ran, report) = bench.scan(&["tamper.toml", "--tickets", "off"]).await;
    let findings = report["findings"].as_array().unwrap();
    let pages = findings
        .iter()
        .filter(|finding| finding["check"] == "insecure-form")
        .flat_map(|finding| finding["pages"].as_array().unwrap());
    let seen: BTreeSet<&str> = pages
        .filter_map(|page| page["url"].as_str()?.rsplit('/').next())
        .collect();
    let missed: Vec<_> = TAMPERED
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !seen.contains(name))
        .collect();
    assert!(missed.is_empty(), "not seen on {missed:?}: {}", ran.stdout);
    assert_eq!(report["scan"]["pages"]["failed"], 0, "{}", ran.stdout);
}
