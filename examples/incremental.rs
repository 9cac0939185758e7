//! A night that takes pages as seen beside one that looks at all of them: wall time, and the processor time of the
//! browsers and of our process.
//!
//! `cargo run --release --example incremental [PAGES [CHANGED]]`, 500 and 10 by default. Real browsers scan a generated
//! site on loopback, whose pages load twelve things each; the second night is a day later by a clock that jumps. Ends
//! with 1 if a page that changed was not looked at, or its flaw not found.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use phantom_checks::Severity;
use phantom_gang::browser::default_tabs;
use phantom_gang::config::{BrowserConfig, Config};
use phantom_gang::demo::{Ask, BenchSite, Body, Content, Microsite, Reply};
use phantom_gang::report::{self, Context, Report};
use phantom_gang::scan::{Scanner, Start, Trigger};
use phantom_gang::site::Site;
use phantom_gang::store::{self, Store};
use tokio_util::sync::CancellationToken;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const FLAW: &str = "<form method=post action=http://new.login.test/in><input type=password name=p></form>";

/// The site, with a flaw on some pages from the second night on.
struct Nights {
    site: BenchSite,
    changed: u32,
    night: Arc<AtomicU32>,
}

impl Content for Nights {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        let mut reply = self.site.get(ask);
        let number = ask
            .path
            .strip_prefix("/page/")
            .and_then(|number| number.parse::<u32>().ok());
        if number.is_some_and(|number| self.is_changed(number))
            && self.night.load(Ordering::Relaxed) > 1
            && let Body::Full(body) = &mut reply.body
        {
            *body = [body.as_ref(), FLAW.as_bytes()].concat().into();
        }
        reply
    }
}

impl Nights {
    /// Spread over the site.
    fn is_changed(&self, number: u32) -> bool {
        let apart = (self.site.pages / self.changed.max(1)).max(1);
        number > 0 && number.is_multiple_of(apart) && number / apart <= self.changed
    }
}

/// What a night cost.
struct Cost {
    wall: Duration,
    browsers: f64,
    ours: f64,
    requests: usize,
    report: Report,
}

/// Seconds of processor time: ours, and that of processes that have ended.
fn processor() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let seconds = |at: usize| (fields.get(at).unwrap_or(&0.0) + fields.get(at + 1).unwrap_or(&0.0)) / 100.0;
    (seconds(11), seconds(13))
}

async fn night(store: &Arc<dyn Store>, microsite: &Microsite, site: &str, day: i64) -> Result<Cost> {
    let midnight: Timestamp = "2026-03-02T00:00:00Z".parse()?;
    let began = Instant::now();
    let now =
        move || midnight + SignedDuration::from_hours(24 * day) + SignedDuration::try_from(began.elapsed()).unwrap();
    let scanner = Scanner {
        store: Arc::clone(store),
        config: Arc::new(Config {
            browser: BrowserConfig {
                resolve: microsite.resolve.clone(),
                trust_spki: vec![microsite.spki.clone()],
                ..BrowserConfig::default()
            },
            ..Config::default()
        }),
        tabs: default_tabs(),
        listener: Arc::new(|_| {}),
        by: "test".to_owned(),
        stop: CancellationToken::new(),
        now: Arc::new(now),
    };
    let start = Start::New {
        site: Box::new(Site::from_str(site, std::path::Path::new("sitemaps/show.toml"))?),
        trigger: Trigger::Nightly,
    };
    let (before, requests) = (processor(), microsite.log.entries().len());
    let ended = scanner.scan(start).await?;
    let wall = began.elapsed();
    let after = processor();
    let context = Context {
        fail_on: Severity::Info,
        browse_url: None,
        sites: None,
        now: now(),
    };
    Ok(Cost {
        wall,
        ours: after.0 - before.0,
        browsers: after.1 - before.1,
        requests: microsite.log.entries().len() - requests,
        report: report::build(&**store, &ended.record.id, &context).await?,
    })
}

async fn show() -> Result<bool> {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<u32>().ok());
    let pages = arguments.next().unwrap_or(500);
    let changed = arguments.next().unwrap_or(10);
    let tonight = Arc::new(AtomicU32::new(1));
    let content = Nights {
        site: BenchSite { pages },
        changed,
        night: Arc::clone(&tonight),
    };
    let expected: Vec<String> = (0..pages)
        .filter(|number| content.is_changed(*number))
        .map(|number| format!("https://bench.test/page/{number}"))
        .collect();
    let microsite = Microsite::serve(content).await?;
    let folder = tempfile::tempdir()?;
    let store = store::open(folder.path().join("scans.db").to_str()).await?;
    let site = "id = \"show\"\nstart = [\"https://bench.test/\"]\nsitemaps = []\n[limits]\npages_per_s = 1000\n\
                pages_per_template = 100000\nconcurrency = 16\n[incremental]\n";
    let full = Box::pin(night(&store, &microsite, site, 0)).await?;
    tonight.store(2, Ordering::Relaxed);
    let short = Box::pin(night(&store, &microsite, site, 1)).await?;
    println!("{:<28} {:>10} {:>12} {:>8}", "", "full night", "incremental", "share");
    let row = |what: &str, full: f64, short: f64| {
        println!(
            "{what:<28} {full:>10.1} {short:>12.1} {:>7.0}%",
            short / full.max(0.01) * 100.0
        );
    };
    row("wall time, s", full.wall.as_secs_f64(), short.wall.as_secs_f64());
    row("browsers' processor time, s", full.browsers, short.browsers);
    row("our processor time, s", full.ours, short.ours);
    row("requests", full.requests as f64, short.requests as f64);
    let counts = |cost: &Cost| (cost.report.scan.pages.done, cost.report.scan.pages.unchanged);
    let ((all, none), (done, taken)) = (counts(&full), counts(&short));
    row("pages looked at", (all - none) as f64, (done - taken) as f64);
    println!(
        "{taken} of {done} pages taken as unchanged; {} had changed",
        expected.len()
    );
    let missed = short
        .report
        .unchanged_pages
        .iter()
        .filter(|page| expected.contains(&page.url))
        .count();
    let mut findings = short.report.findings.iter();
    let found = findings.find(|finding| finding.cause.parts.values().any(|part| part.contains("new.login.test")));
    let found = found.map_or(0, |finding| finding.pages_total);
    println!("the new flaw was found on {found} pages, {missed} that changed were not looked at");
    Ok(missed == 0 && found == expected.len() as u64 && all == u64::from(pages))
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(show()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("WRONG: {error}");
            ExitCode::FAILURE
        }
    }
}
