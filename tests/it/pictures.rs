//! Pictures of flaws: what they show, what they never show, and where they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use phantom_gang::demo::{Ask, Reply};
use serde_json::Value;

use crate::support::{Bench, Ran};

const SITE: &str =
    "id = \"shown\"\nstart = [\"https://shown.test/\"]\nsitemaps = []\n[limits]\npages_per_s = 1000\nconcurrency = 1\n";

/// What differs from one version of the page to the next: around the form, in it, its label.
const VERSIONS: [[&str; 3]; 6] = [
    ["Hello Anna", "name=note value=alpha1", "Sign in"],
    // The same number of characters, so that nothing moves.
    ["Hello Egon", "name=note value=alpha1", "Sign in"],
    ["Hello Anna", "name=note value=tango2", "Sign in"],
    ["Hello Anna", "name=note value=alpha1", "Log on!"],
    ["Hello Anna", "name=note value=alpha1", "1234-5678-9012"],
    ["Hello Anna", "name=note value=alpha1", "9876-5432-1098"],
];

/// The page guards itself against what a careless mask would do, and counts what it notices of the picture.
fn page([around, field, label]: [&str; 3]) -> String {
    format!(
        "<!doctype html><title>in</title><link rel=icon href=data:,>\
         <meta http-equiv=Content-Security-Policy content=\"style-src 'unsafe-inline'\">\
         <style>* {{ font-family: monospace }} p {{ -webkit-text-security: none !important }} \
         p::before {{ content: \"{around}\" }}</style>\
         <p style='color: red; margin: 2px'>{around}</p>\
         <form method=post action=http://shown.test/in id=f>\
         <b>{label}</b><input {field}><select><option>{field}</option></select><textarea>{field}</textarea>\
         <input type=password name=p value='{field}'><span contenteditable>{around}</span><button>In</button>\
         <input type=hidden name=setAttribute><input type=hidden name=getBoundingClientRect></form>\
         <p style='margin: 2px'>{around}</p>\
         <form name=querySelector></form><form name=adoptedStyleSheets></form>\
         <script>const tell = what => fetch('/noticed?' + what, {{ method: 'POST', keepalive: true }});\
         new MutationObserver(() => tell('mutation')).observe(document, {{ subtree: true, childList: true, attributes: true }});\
         for (const what of ['scroll', 'resize', 'input', 'change']) \
         addEventListener(what, () => tell(what), true);</script>"
    )
}

struct Shown {
    bench: Bench,
    version: Arc<AtomicUsize>,
}

impl Shown {
    async fn new(more: &str) -> Self {
        let version = Arc::new(AtomicUsize::new(0));
        let now = Arc::clone(&version);
        let content = move |ask: &Ask<'_>| match ask.path {
            "/" => Reply::html(page(VERSIONS[now.load(Ordering::Relaxed)])),
            _ => Reply::status(StatusCode::NOT_FOUND),
        };
        let bench = Bench::of(content, &format!("processes = 1\n{more}")).await;
        bench.write("sitemaps/shown.toml", SITE);
        Self { bench, version }
    }

    async fn scan(&self, version: usize) -> (Ran, Value) {
        self.version.store(version, Ordering::Relaxed);
        self.bench
            .scan(&["shown", "--tickets", "off", "--report", "html=report.html"])
            .await
    }

    /// The picture of the form, as a PNG file.
    async fn picture(&self, version: usize) -> Vec<u8> {
        let (ran, report) = self.scan(version).await;
        let findings = report["findings"].as_array().unwrap();
        let form = findings.iter().find(|one| one["check"] == "insecure-form").unwrap();
        let picture = &form["picture"];
        assert!(
            picture["width"].as_u64().is_some_and(|width| width > 100),
            "{form:#} {ran:#?}"
        );
        let png = BASE64_STANDARD.decode(picture["png"].as_str().unwrap()).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        png
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_shows_the_flaw_and_masks_what_is_around_it_and_in_its_fields() {
    let shown = Shown::new("").await;
    let mut pictures = Vec::new();
    for version in 0..VERSIONS.len() {
        pictures.push(shown.picture(version).await);
    }
    if let Ok(folder) = std::env::var("PHANTOM_KEEP_PICTURES") {
        std::fs::write(format!("{folder}/flaw.png"), &pictures[0]).unwrap();
        std::fs::copy(shown.bench.path("report.html"), format!("{folder}/report.html")).unwrap();
    }
    assert!(pictures[0] == pictures[1], "text around the form shows");
    assert!(pictures[0] == pictures[2], "a value shows");
    assert!(pictures[0] != pictures[3], "the label does not show");
    assert!(pictures[4] == pictures[5], "a long number shows");

    let log = shown.bench.microsite.log.entries();
    let noticed: Vec<_> = log.iter().filter(|one| one.path.starts_with("/noticed")).collect();
    assert!(noticed.is_empty(), "the page noticed {noticed:#?}");

    let html = std::fs::read_to_string(shown.bench.path("report.html")).unwrap();
    assert!(
        html.contains("<img src=\"data:image/png;base64,iVBOR"),
        "it is in the report"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_picture_is_taken_where_none_is_wanted_and_earlier_ones_go() {
    let shown = Shown::new("[evidence]\nscreenshots = \"findings\"").await;
    shown.picture(0).await;
    shown.bench.write(
        "sitemaps/shown.toml",
        &format!("{SITE}[evidence]\nscreenshots = \"none\"\n"),
    );
    let (_, report) = shown.scan(0).await;
    let findings = report["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    assert!(findings.iter().all(|one| one["picture"].is_null()), "{report:#}");
}
