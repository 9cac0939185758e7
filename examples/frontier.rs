//! The frontier alone as it grows: `cargo run --release --example frontier -- [sqlite | postgres [SCANS [URLS]]]`
//!
//! 300 scans with 5,000 URLs each, known at once. At each size it is measured how many leases a second four workers get
//! that render nothing: lease, record, lease; and, as other programs may be busy, how many for each second of processor
//! time that this program and the database took. At the end it says how large tables and indexes are. PostgreSQL is started
//! for it, in a folder that is removed.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]

#[path = "support/database.rs"]
mod database;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use phantom_gang::crawl::{Completion, LeaseRequest, NewPage, PageKey, PageOutcome};
use phantom_gang::scan::{ScanId, ScanRecord, Trigger};
use phantom_gang::site::Site;
use phantom_gang::store::{self, Store};
use sqlx::Connection as _;
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Rows of the table of pages at which it is measured.
const SIZES: [u64; 6] = [10_000, 50_000, 150_000, 500_000, 1_000_000, 1_500_000];
const WORKERS: usize = 4;
/// Each measurement is the middle one of three of so many leases.
const SPELL: u64 = 2_500;

const SIZES_OF_SQLITE: &str = "SELECT name, sum(pgsize) / 1024 FROM dbstat WHERE name LIKE '%pages%' OR name LIKE 'scan_counts' \
     OR name LIKE 'hosts' GROUP BY name ORDER BY 2 DESC";
const SIZES_OF_POSTGRES: &str = "SELECT c.relname::text, pg_relation_size(c.oid) / 1024 FROM pg_class c \
     WHERE c.relkind IN ('r', 'i') AND (c.relname LIKE '%pages%' OR c.relname IN ('scan_counts', 'hosts')) ORDER BY 2 DESC";

fn record(number: u64) -> Result<ScanRecord> {
    let text = format!("id = \"site-{number}\"\nstart = [\"https://site-{number}.test/\"]\n");
    let site = Site::from_str(&text, Path::new("site.toml"))?;
    let id = ScanId(format!("scan-{number}"));
    Ok(ScanRecord::begun(id, site, Trigger::Nightly, Timestamp::now()))
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

/// Seconds of processor time that this program and the processes of a server have taken.
fn spent(server: Option<u32>) -> Result<f64> {
    const TICKS: f64 = 100.0;
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // After the name, which may hold anything: state, parent, …, and as the 12th and 13th what it took.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let number = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<u64>().ok())
                .unwrap_or(0)
        };
        if pid == std::process::id() || server.is_some_and(|server| number(1) == u64::from(server)) {
            ticks += number(11) + number(12);
        }
    }
    Ok(ticks as f64 / TICKS)
}

/// Leases and records with all workers for one spell. Returns how many a second, and a second of processor time.
async fn rate(store: &Arc<dyn Store>, scans: u64, server: Option<u32>) -> Result<[f64; 2]> {
    let done = Arc::new(AtomicU64::new(0));
    let (began, before) = (Instant::now(), spent(server)?);
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (store, done) = (Arc::clone(store), Arc::clone(&done));
        workers.spawn(async move {
            let mut number = worker as u64 * scans / WORKERS as u64;
            while done.load(Ordering::Relaxed) < SPELL {
                number = (number + 1) % scans;
                done.fetch_add(
                    one(&*store, &ScanId(format!("scan-{number}"))).await?,
                    Ordering::Relaxed,
                );
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    let took = [began.elapsed().as_secs_f64(), spent(server)? - before];
    Ok(took.map(|took| done.load(Ordering::Relaxed) as f64 / took))
}

/// Leases a page of a scan and records it.
async fn one(store: &dyn Store, scan: &ScanId) -> Result<u64> {
    let request = LeaseRequest {
        scan,
        owner: "frontier:1:1",
        max: 1,
        ttl: Duration::from_mins(10),
        now: Timestamp::now(),
        pace: Duration::ZERO,
        concurrency: 8,
        most: u64::MAX,
    };
    let mut done = 0;
    for lease in store.lease(&request).await? {
        let recorded = store
            .complete(&Completion::of(&lease, request.now, PageOutcome::Done))
            .await?;
        done += u64::from(recorded);
    }
    Ok(done)
}

/// How large tables and indexes are, in KiB.
async fn sizes(place: &str) -> Result<Vec<(String, i64)>> {
    if place.starts_with("postgres") {
        let mut connection = sqlx::PgConnection::connect(place).await?;
        Ok(sqlx::query_as(SIZES_OF_POSTGRES).fetch_all(&mut connection).await?)
    } else {
        let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{place}")).await?;
        Ok(sqlx::query_as(SIZES_OF_SQLITE).fetch_all(&mut connection).await?)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next();
    let scans: u64 = arguments.next().map_or(Ok(300), |text| text.parse())?;
    let urls: u64 = arguments.next().map_or(Ok(5_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let server = kind
        .is_some_and(|kind| kind == "postgres")
        .then(database::Database::start)
        .transpose()?;
    let postmaster = server.as_ref().map(database::Database::pid).transpose()?;
    let place = match &server {
        Some(server) => server.make("frontier")?,
        None => folder.path().join("frontier.db").display().to_string(),
    };
    let store = store::open(Some(&place)).await?;
    for number in 0..scans {
        store.create_scan(&record(number)?, &[]).await?;
    }
    println!("     rows  leases/s (least, middle, most of 3)  … of processor time  filled at rows/s");
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
        if postmaster.is_some() {
            // Its own daemon does that within a minute.
            let mut connection = sqlx::PgConnection::connect(&place).await?;
            sqlx::query("ANALYZE").execute(&mut connection).await?;
        }
        let mut rates = Vec::new();
        for _ in 0..3 {
            rates.push(rate(&store, scans, postmaster).await?);
        }
        let [rates, of_cpu] = [0, 1].map(|which| {
            let mut rates: Vec<f64> = rates.iter().map(|rate| rate[which]).collect();
            rates.sort_by(f64::total_cmp);
            rates
        });
        println!(
            "{size:>9}  {:>11.0} {:>10.0} {:>10.0}  {:>6.0} {:>6.0} {:>6.0}  {filled:>16.0}",
            rates[0], rates[1], rates[2], of_cpu[0], of_cpu[1], of_cpu[2]
        );
    }
    println!("table or index, KiB");
    for (name, size) in sizes(&place).await? {
        println!("{size:>9}  {name}");
    }
    Ok(())
}
