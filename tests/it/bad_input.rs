//! What people and servers do wrong: each ends in time, with one clear message and the right exit code, and what was
//! found before is kept.

use std::fs;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use futures::StreamExt as _;
use futures::stream;
use phantom_gang::demo::{Ask, Body, Content, Microsite, Reply, Tls};
use serde_json::Value;
use tempfile::TempDir;

use crate::garden::Garden;
use crate::support::{Bench, command, end_of, settings};

/// Runs at once: more would only wait for each other.
const AT_ONCE: usize = 3;
/// No case takes longer, however busy the machine is.
const BOUND: Duration = Duration::from_secs(100);

/// One mistake.
struct Case {
    arguments: &'static [&'static str],
    /// Files beside the settings.
    files: &'static [(&'static str, &'static str)],
    code: i32,
    /// Said on one of the two output streams.
    says: &'static [&'static str],
}

const fn case(arguments: &'static [&'static str], code: i32, says: &'static [&'static str]) -> Case {
    Case {
        arguments,
        files: &[],
        code,
        says,
    }
}

const SITE: &str = "id = \"shop\"\nstart = [\"https://shop.test/\"]\n[scope]\ninclude = [\"https://shop.test/**\"]\n";

/// What shows before any page is looked at.
const BEFORE: &[Case] = &[
    case(
        &["scan", "shpo"],
        2,
        &["`shpo`", "give a URL, the id of a site, or the path of a site's file"],
    ),
    case(&["scan", "ftp://shop.test/"], 2, &["`ftp://shop.test/`", "http"]),
    case(&["scan", "nowhere.toml"], 2, &["nowhere.toml"]),
    case(
        &["scan", "--resume", "20200101-000000-0000"],
        2,
        &["there is no scan 20200101-000000-0000 in this store"],
    ),
    case(&["scan", "--resume"], 2, &["no scan waits to be resumed"]),
    case(
        &["scan", "--tabs", "0", "https://shop.test/"],
        2,
        &["--tabs", "0 is not in 1..=256"],
    ),
    case(
        &["scan", "--tickets", "live", "https://shop.test/"],
        2,
        &["--tickets needs a [jira] section"],
    ),
    case(
        &["scan", "https://shop.test/", "--report", "pdf=x.pdf"],
        2,
        &["unknown report format `pdf`; known are: json, html"],
    ),
    case(
        &["scan", "https://shop.test/", "--report", "json=nowhere/report.json"],
        2,
        &[
            "cannot write the report nowhere/report.json",
            "check that the folder exists",
        ],
    ),
    case(
        &["scan", "https://shop.test/", "--report", "json=/proc/report.json"],
        2,
        &["cannot write the report /proc/"],
    ),
    case(
        &["scan", "https://shop.test/", "--report", "json=tmp"],
        2,
        &["cannot write the report tmp", "directory"],
    ),
    case(
        &["scan", "https://shop.test/", "--store", "sqlite:/proc/x.db"],
        2,
        &["cannot open the store sqlite:/proc/x.db"],
    ),
    case(
        &["scan", "https://shop.test/", "--store", "sqlite:phantom.toml/x.db"],
        2,
        &[
            "cannot open the store sqlite:phantom.toml/x.db",
            "check that phantom.toml is a folder",
        ],
    ),
    case(
        &["scan", "https://shop.test/", "--store", "sqlite:tmp"],
        2,
        &["cannot open the store sqlite:tmp"],
    ),
    case(
        &["scan", "https://shop.test/", "--config", "nowhere.toml"],
        2,
        &["nowhere.toml"],
    ),
    Case {
        files: &[(
            "noise.db",
            "This is no database, but it is long enough to be taken for the head of one.\n",
        )],
        ..case(
            &["scan", "https://shop.test/", "--store", "sqlite:noise.db"],
            2,
            &["noise.db", "not a database"],
        )
    },
    Case {
        files: &[("sitemaps/shop.toml", "id = \"shop\"\nstart = [\n")],
        ..case(&["scan", "shop"], 2, &["this is not TOML", "sitemaps/shop.toml:2:10"])
    },
    Case {
        files: &[(
            "sitemaps/shop.toml",
            "id = \"shop\"\nstart = [\"https://shop.test/\"]\ncolour = \"red\"\n",
        )],
        ..case(&["scan", "shop"], 2, &["sitemaps/shop.toml", "colour"])
    },
    Case {
        files: &[("sitemaps/a.toml", SITE), ("sitemaps/b.toml", SITE)],
        ..case(
            &["scan", "shop"],
            2,
            &["sitemaps/a.toml and sitemaps/b.toml both have the id `shop`"],
        )
    },
    Case {
        files: &[("bad.toml", "[browser]\ntabz = 4\n")],
        ..case(
            &["scan", "https://shop.test/", "--config", "bad.toml"],
            2,
            &["bad.toml", "tabz"],
        )
    },
    Case {
        files: &[("bad.toml", "[serve]\nlisten = \"127.0.0.1:8686\"\n")],
        ..case(
            &["scan", "https://shop.test/", "--config", "bad.toml"],
            2,
            &["bad.toml", "serve", "not supported yet"],
        )
    },
    Case {
        files: &[("bad.toml", "[browser]\nendpoints = [\"ws://127.0.0.1:1/\"]\n")],
        ..case(
            &["scan", "https://shop.test/", "--config", "bad.toml"],
            2,
            &["browser.endpoints", "ws://127.0.0.1:1 does not answer"],
        )
    },
    Case {
        files: &[("bad.toml", "[browser]\npath = \"/nowhere/chromium\"\n")],
        ..case(
            &["scan", "https://shop.test/", "--config", "bad.toml"],
            2,
            &["/nowhere/chromium"],
        )
    },
    case(&["scan", "https://127.0.0.1:9/"], 2, &["127.0.0.1"]),
];

/// Start pages that cannot be looked at.
const STARTS: &[Case] = &[
    case(
        &["scan", "https://refusing.test/"],
        3,
        &["the start page https://refusing.test/ was not reached", "refused"],
    ),
    case(
        &["scan", "https://nowhere.invalid/"],
        3,
        &["the start page https://nowhere.invalid/ was not reached", "resolve"],
    ),
    case(
        &["scan", "https://untrusted.test/"],
        3,
        &["the start page https://untrusted.test/ was not reached", "CERT"],
    ),
    case(
        &["scan", "https://no-tls.test/"],
        3,
        &["the start page https://no-tls.test/ was not reached", "SSL"],
    ),
    case(
        &["scan", "https://odd.test/doc.pdf"],
        3,
        &["the start page https://odd.test/doc.pdf was not reached"],
    ),
    case(
        &["scan", "https://odd.test/empty"],
        3,
        &["/empty was not reached", "without content"],
    ),
    case(
        &["scan", "https://odd.test/loop"],
        3,
        &["/loop was not reached", "redirects in a circle"],
    ),
    case(
        &["scan", "https://odd.test/away"],
        3,
        &["/away was not reached", "redirects to https://elsewhere.test/"],
    ),
    case(
        &["scan", "https://odd.test/gone"],
        3,
        &["/gone was not reached", "the server answered 404"],
    ),
    case(
        &["scan", "https://odd.test/broken"],
        3,
        &["/broken was not reached", "the server answered 500"],
    ),
    case(
        &["scan", "https://odd.test/busy"],
        3,
        &["/busy was not reached", "the server answered 429"],
    ),
    case(&["scan", "https://odd.test/cut"], 3, &["/cut was not reached", "ERR_"]),
    case(
        &["scan", "https://odd.test/silent"],
        3,
        &["/silent was not reached", "did not finish within 6s"],
    ),
    case(
        &["scan", "https://odd.test/spin"],
        3,
        &["/spin was not reached", "did not finish"],
    ),
    case(
        &["scan", "https://odd.test/never", "--depth", "0"],
        3,
        &[
            "/never never finished loading",
            "/never was seen in part: the document never ended",
        ],
    ),
    case(
        &["scan", "https://odd.test/dialogs", "--depth", "0"],
        0,
        &["1 of 1 page looked at"],
    ),
    case(
        &["scan", "https://odd.test/halves", "--depth", "0"],
        0,
        &["1 of 1 page looked at"],
    ),
];

/// Start pages that are much work for the browser.
const HEAVY: &[Case] = &[
    case(&["scan", "https://odd.test/jump", "--depth", "0"], 0, &["looked at"]),
    case(
        &["scan", "https://odd.test/huge", "--depth", "0"],
        0,
        &["1 of 1 page looked at"],
    ),
    case(
        &["scan", "https://odd.test/many", "--max-pages", "3"],
        0,
        &[
            "the limit of 3 pages was reached",
            "has more than 2000 links; only the first ones are followed",
            "15000 forms, links, scripts or meta tags beyond the bounds were not looked at",
        ],
    ),
];

/// Hosts and pages that misbehave.
struct Odd;

impl Content for Odd {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        match ask.path {
            "/" => {
                let names = "doc.pdf doc empty loop away gone broken cut silent never spin script mail dialogs calm";
                let links = names.split(' ').map(|name| format!("<a href=/{name}>x</a> "));
                Reply::html(format!(
                    "<script src=http://img.test/old.js></script>{}",
                    links.collect::<String>()
                ))
            }
            "/doc.pdf" | "/doc" => Reply::ok("application/pdf", "%PDF-1.4\n"),
            "/empty" => Reply::status(StatusCode::NO_CONTENT),
            "/loop" => Reply::redirect(StatusCode::FOUND, "/loop"),
            "/away" => Reply::redirect(StatusCode::FOUND, "https://elsewhere.test/"),
            "/script" => Reply::redirect(StatusCode::FOUND, "javascript:alert(1)"),
            "/mail" => Reply::redirect(StatusCode::FOUND, "mailto:ann@shop.test"),
            "/broken" => Reply::status(StatusCode::INTERNAL_SERVER_ERROR),
            "/busy" => Reply::status(StatusCode::TOO_MANY_REQUESTS).header("retry-after", "1"),
            "/cut" => Reply::html("").body(Body::Drop),
            "/silent" => Reply::html("").body(Body::Silence),
            "/never" => Reply::html("").body(Body::Never("<p>half a page".into())),
            "/spin" => Reply::html("<p>x<script>for(;;);</script>"),
            "/dialogs" => Reply::html(
                "<script>onbeforeunload = event => { event.preventDefault(); return 'stay'; };\
                 for (let i = 0; i < 100; i++) { alert(i); confirm(i); prompt(i); }</script><p>calm now",
            ),
            // Halves of UTF-16 surrogate pairs wherever a script can put them.
            "/halves" => Reply::html(
                "<body><script>const add = (name, words) => {\
                 const element = document.createElement(name); element.textContent = words + '\\udc00';\
                 element.setAttribute('name', '\\ud800'); document.body.append('\\ud800', element); };\
                 document.title = '\\ud800 t'; add('form', 'f'); add('button', 'b'); add('script', '//'); add('a', 'x');\
                 localStorage['\\udfff'] = '\\ud800'; console.error('\\ud800'); alert('\\ud800');\
                 fetch('/calm?\\ud800', { method: 'POST', body: '{\"\\ud800\":1}' });\
                 Promise.reject(new Error('\\ud800'));</script>",
            ),
            "/jump" => {
                Reply::html("<script>location.href = '/jump?' + (Number(location.search.slice(1)) + 1);</script>")
            }
            "/frames" => Reply::html(
                "<script>const i = document.createElement('iframe');\
                 i.src = '/frames?' + (Number(location.search.slice(1)) + 1);\
                 document.documentElement.append(i, i.cloneNode());</script>",
            ),
            "/huge" => Reply::html(format!("<div>{}", "<p><b>x</b>".repeat(25_000))),
            "/many" => Reply::html(
                (0..20_000)
                    .map(|n| format!("<a href=/n/{n}>x</a><br>"))
                    .collect::<Vec<_>>()
                    .concat(),
            ),
            "/calm" => Reply::html("<p>calm"),
            path if path.starts_with("/n/") => Reply::html("<p>leaf"),
            _ => Reply::status(StatusCode::NOT_FOUND),
        }
    }

    fn tls(&self, host: &str) -> Tls {
        match host {
            "untrusted.test" => Tls::Untrusted,
            "no-tls.test" => Tls::Refused,
            _ => Tls::Trusted,
        }
    }
}

/// Runs the cases, some at once, each in a folder of its own. Tells of all that failed.
async fn run_cases(settings: &str, cases: &[Case]) {
    let failures: Vec<String> = stream::iter(cases)
        .map(|case| run_case(settings, case))
        .buffer_unordered(AT_ONCE)
        .filter_map(async |failure| failure)
        .collect()
        .await;
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

async fn run_case(settings: &str, case: &Case) -> Option<String> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("phantom.toml"), settings).unwrap();
    for (name, text) in case.files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let began = Instant::now();
    let ran = end_of(command(folder.path(), case.arguments).spawn().unwrap()).await;
    let said = format!("{}{}", ran.stdout, ran.stderr);
    let mut wrong: Vec<String> = case
        .says
        .iter()
        .filter(|words| !said.contains(*words))
        .map(|words| format!("it does not say {words:?}"))
        .collect();
    if ran.code != Some(case.code) {
        wrong.push(format!("its exit is not {}", case.code));
    }
    if began.elapsed() > BOUND {
        wrong.push(format!("it took {:?}", began.elapsed()));
    }
    // One message, not a heap of them, and none of our own faults.
    if said.matches("error:").count() != usize::from(case.code == 2) || said.contains("panicked") {
        wrong.push("its errors are not exactly one".to_owned());
    }
    (!wrong.is_empty()).then(|| format!("{:?}: {}\n{ran:#?}", case.arguments, wrong.join("; ")))
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_show_before_any_page_is_looked_at() {
    let microsite = Microsite::serve(Odd).await.unwrap();
    run_cases(&settings(&microsite, ""), BEFORE).await;
    assert_eq!(microsite.log.entries(), Vec::new(), "nothing was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn start_pages_that_cannot_be_looked_at_are_told() {
    let microsite = Microsite::serve(Odd).await.unwrap();
    run_cases(&settings(&microsite, "processes = 1\npage_deadline = \"6s\""), STARTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_pages_are_looked_at() {
    let microsite = Microsite::serve(Odd).await.unwrap();
    run_cases(&settings(&microsite, "processes = 1"), HEAVY).await;
}

/// Frames in frames without end: the page may be looked at in part or not at all, but its time is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_endless_frames_ends() {
    let bench = Bench::of(Odd, "processes = 1\npage_deadline = \"6s\"").await;
    let (ran, report) = bench.scan(&["https://odd.test/frames", "--depth", "0"]).await;
    let pages = &report["scan"]["pages"];
    let looked_at = (ran.code, pages["done"].as_u64(), pages["failed"].as_u64());
    assert!(
        matches!(looked_at, (Some(0), Some(1), Some(0)) | (Some(3), Some(0), Some(1))),
        "{ran:#?}"
    );
    let took = report["scan"]["remarks"].to_string();
    assert!(
        took.contains("/frames never finished loading") || took.contains("it did not finish within 6s"),
        "{ran:#?}"
    );
}

/// Every page of a bad site has its own reason, and what was found on the good ones is kept.
#[tokio::test(flavor = "multi_thread")]
async fn odd_pages_do_not_spoil_a_scan() {
    let bench = Bench::of(Odd, "page_deadline = \"8s\"").await;
    let (ran, report) = bench.scan(&["https://odd.test/", "--tabs", "4"]).await;
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    let pages = &report["scan"]["pages"];
    let counts = ["done", "failed", "skipped", "left", "known"].map(|name| pages[name].as_u64().unwrap());
    assert_eq!(counts, [3, 5, 8, 0, 16], "{ran:#?}");
    let reasons = report["not_checked"].to_string();
    for (page, reason) in [
        ("/doc.pdf", "not a page by its extension"),
        ("/doc", "download"),
        ("/empty", "without content"),
        ("/loop", "redirects in a circle"),
        ("/away", "redirects to … which is not to be visited"),
        ("/gone", "the server answered 404"),
        ("/broken", "the server answered 500"),
        ("/cut", "ERR_"),
        ("/silent", "did not finish within 8s"),
        ("/spin", "did not finish"),
        ("/script", "redirects to a `javascript:` address, which is no page"),
        ("/mail", "redirects to a `mailto:` address, which is no page"),
        ("/never", "the document never ended"),
    ] {
        assert!(reasons.contains(page) && reasons.contains(reason), "{page}: {reasons}");
    }
    assert!(
        report["scan"]["remarks"]
            .to_string()
            .contains("/never never finished loading"),
        "{report:#}"
    );
    let asked = bench.microsite.log.entries();
    for path in ["/script", "/mail"] {
        assert_eq!(asked.iter().filter(|one| one.path == path).count(), 1, "{path}");
    }
    let findings = report["findings"].as_array().unwrap();
    let (mixed, others): (Vec<&Value>, Vec<&Value>) = findings.iter().partition(|one| one["check"] == "mixed-content");
    assert_eq!(mixed.len(), 1, "{findings:#?}");
    assert!(
        others.iter().all(|one| one["cause"]["parts"]["header"].is_string()),
        "only what all pages of the host lack: {findings:#?}"
    );
}

/// Pages whose document does not come whole, and one whose image does not.
struct BrokenOff;

/// Half a page, with a flaw in it.
const HALF: &str = "<script src=http://img.test/old.js></script><p>half a page";

impl Content for BrokenOff {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        match ask.path {
            "/" => Reply::html(
                "<a href=/cut>x</a><a href=/hangs>x</a><a href=/gzip>x</a><a href=/brotli>x</a><a href=/image>x</a>",
            ),
            "/cut" => Reply::html("").body(Body::Cut(HALF.into())),
            "/hangs" | "/image.png" => Reply::html("").body(Body::Never(HALF.into())),
            "/gzip" => Reply::html(HALF).header("content-encoding", "gzip"),
            "/brotli" => Reply::html(HALF).header("content-encoding", "br"),
            "/image" => Reply::html("<p>whole<img src=/image.png>"),
            _ => Reply::status(StatusCode::NOT_FOUND),
        }
    }
}

/// A document that was broken off is seen in part: what was found on it is kept, and the scan is incomplete.
#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_broken_off_are_no_whole_pages() {
    let bench = Bench::of(BrokenOff, "").await;
    let (ran, report) = bench.scan(&["https://odd.test/", "--tabs", "3"]).await;
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    assert_eq!(report["scan"]["state"], "incomplete", "{ran:#?}");
    let pages = &report["scan"]["pages"];
    let counts = ["done", "failed", "known"].map(|name| pages[name].as_u64().unwrap());
    assert_eq!(counts, [2, 4, 6], "{ran:#?}");
    let reasons = report["not_checked"].to_string();
    for (page, reason) in [
        ("/cut", "the document broke off (net::ERR_"),
        ("/hangs", "the document never ended; it was looked at as far as it came"),
        ("/gzip", "net::ERR_CONTENT_DECODING_FAILED"),
        ("/brotli", "net::ERR_CONTENT_DECODING_FAILED"),
    ] {
        assert!(reasons.contains(page) && reasons.contains(reason), "{page}: {reasons}");
    }
    let findings = report["findings"].as_array().unwrap();
    let mixed = findings.iter().find(|one| one["check"] == "mixed-content");
    assert!(mixed.is_some(), "{findings:#?}");
    let asked = bench.microsite.log.entries();
    let tries = |path: &str| asked.iter().filter(|one| one.path == path).count();
    assert_eq!((tries("/cut"), tries("/hangs")), (2, 2), "each has a second try");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_runs_is_not_resumed() {
    let garden = Garden::plant().await;
    let child = garden.bench.command(&["scan", "garden"]).spawn().unwrap();
    let pid = child.id().unwrap();
    while garden.visits() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ran = garden.bench.run(&["scan", "--resume"]).await;
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    assert!(
        ran.stderr
            .contains(&format!("is still running in process {pid}; stop it first, or wait")),
        "{ran:#?}"
    );
    assert_eq!(end_of(child).await.code, Some(1));
}
