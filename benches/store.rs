//! How fast the store is: leases and completions a second with realistic evidence, and what compression costs.
//!
//! `cargo bench --bench store [PAGES]` (default 2,000). Rates are of one worker that does nothing else; CPU time is the
//! process's own. A page's evidence is about 60 kB of JSON with 12 requests, 3 observations and 40 links.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use phantom_checks::evidence::{
    Evidence, Field, Form, Frame, FrameKind, Header, Link, LinkSource, Page, Request, ResourceKind, Script,
};
use phantom_checks::{Cause, Confidence, Fact, Observation, Severity};
use phantom_gang::crawl::{Completion, LeaseRequest, NewPage, PageKey, PageOutcome};
use phantom_gang::scan::{ScanId, ScanRecord, Trigger};
use phantom_gang::site::{Site, SiteId};
use phantom_gang::store;
use url::Url;

fn main() -> Result<(), Box<dyn Error>> {
    let pages = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(2000);
    compression();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(completions(pages))?;
    runtime.block_on(leases())
}

/// Size and time of one page's evidence at several levels.
fn compression() {
    let json = serde_json::to_vec(&evidence(7)).unwrap();
    println!("evidence: {} bytes of JSON", json.len());
    for level in [1, 3, 6, 9] {
        let begin = Instant::now();
        let mut size = 0;
        for _ in 0..200 {
            size = zstd::bulk::compress(&json, level).unwrap().len();
        }
        println!(
            "  zstd level {level}: {size} bytes in {:.3} ms",
            ms(begin.elapsed()) / 200.0
        );
    }
}

/// Leases and completes pages that find each other, until `wanted` are done.
async fn completions(wanted: usize) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("phantom.db");
    let store = store::open(path.to_str()).await?;
    let scan = scan("bench");
    store.create_scan(&scan, &[page(0)]).await?;
    let script = "function f(a, b) { return a.map((x) => x * b).filter(Boolean); }\n".repeat(800);
    let (begin, cpu) = (Instant::now(), cpu_time());
    let mut done = 0;
    while done < wanted {
        for lease in store.lease(&request(&scan.id, 8)).await? {
            let number: usize = lease.url.path().trim_start_matches("/page/").parse()?;
            let found: Vec<_> = (1..=40).map(|step| page((number * 3 + step) % (wanted + 8))).collect();
            let bodies = BTreeMap::from([(hash(number % 50), script.clone())]);
            let completion = Completion {
                lease: &lease,
                now: Timestamp::now(),
                outcome: PageOutcome::Done,
                recorded_as: None,
                evidence: Some(&evidence(number)),
                bodies: &bodies,
                observations: &observations(number),
                failed_checks: &[],
                found: &found,
                obstacle: None,
                hosts: &[],
                mark: None,
            };
            assert!(store.complete(&completion).await?, "the lease is ours");
            done += 1;
        }
    }
    let (took, cpu) = (begin.elapsed(), cpu_time().saturating_sub(cpu));
    let size = std::fs::metadata(&path)?.len();
    println!(
        "completions: {:.0} pages/s, {:.2} ms of CPU and {} bytes of file a page",
        done as f64 / took.as_secs_f64(),
        ms(cpu) / done as f64,
        size / done as u64
    );
    let begin = Instant::now();
    for _ in 0..1000 {
        store.counts(&scan.id).await?;
    }
    println!("counts: {:.3} ms", ms(begin.elapsed()) / 1000.0);
    Ok(())
}

/// Leases a second as other scans fill the tables.
async fn leases() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = store::open(folder.path().join("phantom.db").to_str()).await?;
    let mut known = 0;
    for scans in [2, 20, 60] {
        let begin = Instant::now();
        let mut added = 0;
        while known < scans * 5000 {
            let scan = scan(&format!("fill-{known}"));
            let pages: Vec<_> = (0..5000).map(page).collect();
            store.create_scan(&scan, &pages).await?;
            known += 5000;
            added += 5000;
        }
        let filled = begin.elapsed();
        let scan = ScanId(format!("fill-{}", known - 5000));
        let (begin, mut leased) = (Instant::now(), 0);
        for _ in 0..200 {
            for lease in store.lease(&request(&scan, 8)).await? {
                store.release(&lease, false).await?;
                leased += 1;
            }
        }
        println!(
            "frontier of {known} pages: {:.0} leases given and taken back a second, {:.0} pages added a second",
            f64::from(leased) / begin.elapsed().as_secs_f64(),
            f64::from(added) / filled.as_secs_f64()
        );
    }
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The CPU time of this process, all threads; Linux counts it in hundredths of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn request(scan: &ScanId, max: u32) -> LeaseRequest<'_> {
    LeaseRequest {
        scan,
        owner: "bench",
        max,
        ttl: Duration::from_mins(10),
        now: Timestamp::now(),
        pace: Duration::ZERO,
        concurrency: 64,
        most: u64::MAX,
    }
}

fn scan(id: &str) -> ScanRecord {
    let site = Site {
        id: SiteId("shop".to_owned()),
        title: "Shop".to_owned(),
        ..Site::adhoc(&page(0).url).expect("a site")
    };
    ScanRecord::begun(ScanId(id.to_owned()), site, Trigger::Nightly, Timestamp::now())
}

fn page(number: usize) -> NewPage {
    let url = Url::parse(&format!("https://shop.test/page/{number}")).expect("a URL");
    NewPage {
        key: PageKey(url.to_string()),
        url,
        depth: u32::try_from(number.min(12)).unwrap_or(12),
        found_on: None,
        skip: None,
        template: None,
    }
}

/// Text that repeats itself about as much as hashes and ids in real pages do.
fn hash(seed: usize) -> String {
    let mut state = seed as u64 + 0x9e37_79b9_7f4a_7c15;
    let mut text = String::new();
    for _ in 0..4 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        write!(text, "{:016x}", state ^ (state >> 29)).expect("a string takes all");
    }
    text
}

fn headers(seed: usize) -> Vec<Header> {
    [
        ("content-type", "text/javascript; charset=utf-8".to_owned()),
        ("cache-control", "public, max-age=31536000, immutable".to_owned()),
        ("etag", hash(seed)),
        (
            "content-security-policy",
            format!("default-src 'self'; script-src 'nonce-{}'", hash(seed + 1)),
        ),
        (
            "strict-transport-security",
            "max-age=63072000; includeSubDomains; preload".to_owned(),
        ),
        ("x-request-id", hash(seed + 2)),
    ]
    .map(|(name, value)| Header {
        name: name.to_owned(),
        value,
    })
    .to_vec()
}

fn evidence(number: usize) -> Evidence {
    let url = format!("https://shop.test/page/{number}");
    let mut evidence = Evidence::of(Page {
        requested_url: url.clone(),
        url: url.clone(),
        status: Some(200),
        headers: headers(number),
        elements: 1800,
        ..Page::default()
    });
    evidence.frames.push(Frame {
        id: hash(number)[..32].to_owned(),
        parent: None,
        url: url.clone(),
        origin: "https://shop.test".to_owned(),
        kind: FrameKind::Main,
        captured: true,
    });
    let frame = evidence.frames[0].id.clone();
    for index in 0..12 {
        let asset = format!("https://cdn.test/assets/{}.{index}.js", &hash(index)[..20]);
        evidence.requests.push(Request {
            id: format!("{number}.{index}"),
            url: asset.clone(),
            method: "GET".to_owned(),
            kind: ResourceKind::Script,
            frame: Some(frame.clone()),
            status: Some(200),
            headers: headers(number + index),
            ..Request::default()
        });
        evidence.scripts.push(Script {
            frame: frame.clone(),
            url: Some(asset.clone()),
            hash: Some(hash(index)),
            length: 52_000,
            snippet: format!("<script defer src=\"{asset}\" crossorigin=\"anonymous\">"),
            ..Script::default()
        });
    }
    for index in 0..130 {
        evidence.links.push(Link {
            url: format!(
                "https://shop.test/catalogue/{}/item-{}?ref=page-{number}",
                index % 9,
                index * 7 + number
            ),
            frame: frame.clone(),
            source: LinkSource::Anchor,
            ..Link::default()
        });
    }
    for index in 0..6 {
        let field = |name: &str| Field {
            name: format!("{name}_{index}"),
            kind: "text".to_owned(),
            label: format!("Your {name}"),
            visible: true,
            ..Field::default()
        };
        evidence.forms.push(Form {
            frame: frame.clone(),
            selector: format!("main > div:nth-of-type({index}) > form"),
            snippet: "<form class=\"newsletter newsletter--wide\" method=\"post\" data-track=\"footer\">".to_owned(),
            action: format!("https://shop.test/newsletter/{index}"),
            fields: [
                "name", "address", "city", "country", "phone", "comment", "consent", "source",
            ]
            .map(field)
            .to_vec(),
            ..Form::default()
        });
    }
    evidence
}

/// Three flaws; two stand on every page and one on a tenth of them.
fn observations(number: usize) -> Vec<Observation> {
    [
        "cdn.test".to_owned(),
        "fonts.test".to_owned(),
        format!("tracker-{}.test", number % 10),
    ]
    .map(|host| Observation {
        check: "mixed-content".to_owned(),
        check_version: 1,
        severity: Severity::Medium,
        confidence: Confidence::Firm,
        title: format!("A secure page loads a script from http://{host}"),
        cause: Cause::new(1, [("host", host.clone()), ("kind", "script".to_owned())]),
        aliases: Vec::new(),
        facts: vec![
            Fact::new("resource", format!("http://{host}/lib/{}.js", hash(number))),
            Fact::new("initiator", "https://shop.test/assets/main.js:1"),
            Fact::new("blocked", "yes, by the browser"),
        ],
        third_party: false,
    })
    .to_vec()
}
