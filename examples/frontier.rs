//! The frontier alone as it grows: `cargo run --example frontier -- [STORE [SCANS [URLS]]]`
//!
//! 300 scans with 5,000 URLs each, known at once. At each size it is measured how many leases a second four workers get
//! that render nothing: lease, record, lease. STORE is a SQLite file or a `postgres://` URL of an empty database.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use phantom_gang::crawl::{Completion, LeaseRequest, NewPage, PageKey, PageOutcome};
use phantom_gang::scan::{ScanId, ScanRecord, ScanState, Trigger};
use phantom_gang::site::Site;
use phantom_gang::store::{self, Store};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Rows of the table of pages at which it is measured.
const SIZES: [u64; 6] = [10_000, 50_000, 150_000, 500_000, 1_000_000, 1_500_000];
const WORKERS: usize = 4;
/// Each measurement is the middle one of three of so long.
const SPELL: Duration = Duration::from_secs(4);

fn record(number: u64) -> Result<ScanRecord> {
    let text = format!("id = \"site-{number}\"\nstart = [\"https://site-{number}.test/\"]\n");
    Ok(ScanRecord {
        id: ScanId(format!("scan-{number}")),
        site: Site::from_str(&text, Path::new("site.toml"))?,
        trigger: Trigger::Nightly,
        state: ScanState::Running,
        started: Timestamp::now(),
        ended: None,
        remarks: Vec::new(),
    })
}

fn page(site: u64, number: u64) -> Result<NewPage> {
    let url = format!("https://site-{site}.test/area/{}/page/{number}", number % 40);
    Ok(NewPage {
        key: PageKey(url.clone()),
        url: url.parse()?,
        depth: u32::try_from(number % 9)?,
        found_on: None,
        skip: None,
        template: None,
    })
}

/// Leases and records with all workers for one spell. Returns how many a second.
async fn rate(store: &Arc<dyn Store>, scans: u64) -> Result<f64> {
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (store, done) = (Arc::clone(store), Arc::clone(&done));
        workers.spawn(async move {
            let mut number = worker as u64 * scans / WORKERS as u64;
            while began.elapsed() < SPELL {
                number = (number + 1) % scans;
                let scan = ScanId(format!("scan-{number}"));
                let request = LeaseRequest {
                    scan: &scan,
                    owner: "frontier:1:1",
                    max: 1,
                    ttl: Duration::from_mins(10),
                    now: Timestamp::now(),
                    pace: Duration::ZERO,
                    concurrency: 8,
                };
                for lease in store.lease(&request).await? {
                    let completion = Completion {
                        lease: &lease,
                        now: Timestamp::now(),
                        outcome: PageOutcome::Done,
                        recorded_as: None,
                        evidence: None,
                        bodies: &BTreeMap::new(),
                        observations: &[],
                        failed_checks: &[],
                        found: &[],
                        obstacle: None,
                        hosts: &[],
                        mark: None,
                    };
                    if store.complete(&completion).await? {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next();
    let scans: u64 = arguments.next().map_or(Ok(300), |text| text.parse())?;
    let urls: u64 = arguments.next().map_or(Ok(5_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("frontier.db");
    let file = file.to_string_lossy().into_owned();
    let store = store::open(Some(place.as_deref().unwrap_or(&file))).await?;
    for number in 0..scans {
        store.create_scan(&record(number)?, &[]).await?;
    }
    println!("     rows  leases/s (least, middle, most of 3)  filled at rows/s");
    let mut known = 0;
    for size in SIZES.into_iter().filter(|size| *size <= scans * urls) {
        let each = size / scans;
        let began = Instant::now();
        for number in 0..scans {
            let new: Vec<NewPage> = (known / scans..each)
                .map(|at| page(number, at))
                .collect::<Result<_>>()?;
            store.add_pages(&ScanId(format!("scan-{number}")), &new).await?;
        }
        let filled = (size - known) as f64 / began.elapsed().as_secs_f64();
        known = size;
        let mut rates = Vec::new();
        for _ in 0..3 {
            rates.push(rate(&store, scans).await?);
        }
        rates.sort_by(f64::total_cmp);
        println!(
            "{size:>9}  {:>7.0} {:>7.0} {:>7.0}  {filled:>16.0}",
            rates[0], rates[1], rates[2]
        );
    }
    Ok(())
}
