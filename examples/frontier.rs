//! The frontier alone as it grows: `cargo run --release --example frontier -- [sqlite | postgres [SCANS [URLS]]]`
//!
//! 300 scans with up to 5,000 URLs each, known at once, in one store for each size. What is measured is how many leases a
//! second four workers get that render nothing: lease, record, lease; and, as other programs may be busy, how many for
//! each second of processor time that this program and the database took. The stores take turns, a short spell each, so
//! that whatever else the machine does falls on all sizes alike. At the end it says how large tables and indexes are.
//! PostgreSQL is started for it, in a folder that is removed.

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

/// Rows of the tables of pages at which it is measured.
const SIZES: [u64; 6] = [10_000, 50_000, 150_000, 500_000, 1_000_000, 1_500_000];
const WORKERS: usize = 4;
/// Of each round in turn, every store gives out so many leases. All rounds together leave more than half of the smallest.
const SPELL: u64 = 400;
const ROUNDS: usize = 11;

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

/// A store with pages of all scans.
struct Stage {
    rows: u64,
    place: String,
    store: Arc<dyn Store>,
    /// Of the scans, the next one that a worker looks at.
    turn: Arc<AtomicU64>,
    /// Rows that it took a second when it was filled.
    filled: f64,
    /// Of each spell, leases a second, and a second of processor time.
    rates: Vec<[f64; 2]>,
}

impl Stage {
    async fn filled(place: String, scans: u64, rows: u64) -> Result<Self> {
        let store = store::open(Some(&place)).await?;
        for number in 0..scans {
            store.create_scan(&record(number)?, &[]).await?;
        }
        let began = Instant::now();
        for number in 0..scans {
            let new: Vec<NewPage> = (0..rows / scans).map(|at| page(number, at)).collect::<Result<_>>()?;
            store.add_pages(&ScanId(format!("scan-{number}")), &new).await?;
        }
        let filled = rows as f64 / began.elapsed().as_secs_f64();
        if place.starts_with("postgres") {
            // Its own daemon does that within a minute.
            let mut connection = sqlx::PgConnection::connect(&place).await?;
            sqlx::query("VACUUM ANALYZE").execute(&mut connection).await?;
        }
        Ok(Self {
            rows,
            place,
            store,
            turn: Arc::default(),
            filled,
            rates: Vec::new(),
        })
    }

    /// Leases and records with all workers for one spell.
    async fn spell(&mut self, scans: u64, server: Option<u32>) -> Result<()> {
        let done = Arc::new(AtomicU64::new(0));
        let (began, before) = (Instant::now(), spent(server)?);
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let (store, done, turn) = (Arc::clone(&self.store), Arc::clone(&done), Arc::clone(&self.turn));
            workers.spawn(async move {
                while done.load(Ordering::Relaxed) < SPELL {
                    let scan = ScanId(format!("scan-{}", turn.fetch_add(1, Ordering::Relaxed) % scans));
                    done.fetch_add(one(&*store, &scan).await?, Ordering::Relaxed);
                }
                Ok::<_, Box<dyn Error + Send + Sync>>(())
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended??;
        }
        let took = [began.elapsed().as_secs_f64(), spent(server)? - before];
        self.rates
            .push(took.map(|took| done.load(Ordering::Relaxed) as f64 / took));
        Ok(())
    }

    /// The middle one of its rates, and of the shares that they are of another store's in the same round.
    fn middle(&self, which: usize, of: &Self) -> [f64; 2] {
        let rates = self.rates.iter().map(|rate| rate[which]);
        let shares = self
            .rates
            .iter()
            .zip(&of.rates)
            .map(|(rate, of)| rate[which] / of[which]);
        [middle(rates), middle(shares)]
    }
}

fn middle(of: impl Iterator<Item = f64>) -> f64 {
    let mut of: Vec<f64> = of.collect();
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
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
    let mut stages = Vec::new();
    for rows in SIZES.into_iter().filter(|rows| *rows <= scans * urls) {
        let place = match &server {
            Some(server) => server.make(&format!("frontier_{rows}"))?,
            None => folder.path().join(format!("{rows}.db")).display().to_string(),
        };
        eprintln!("filling {rows} rows");
        stages.push(Stage::filled(place, scans, rows).await?);
    }
    for round in 0..ROUNDS {
        for at in 0..stages.len() {
            // Not always after the same one.
            let at = (at + round) % stages.len();
            stages[at].spell(scans, postmaster).await?;
        }
    }
    println!("     rows  leases/s, of the first  … of processor time, of the first  filled at rows/s");
    for stage in &stages {
        let ([rate, share], [of_cpu, share_of_cpu]) = (stage.middle(0, &stages[0]), stage.middle(1, &stages[0]));
        println!(
            "{:>9}  {rate:>8.0} {share:>14.2}  {of_cpu:>19.0} {share_of_cpu:>14.2}  {:>16.0}",
            stage.rows, stage.filled
        );
    }
    if let Some(largest) = stages.last() {
        println!("of the largest, table or index, KiB");
        for (name, size) in sizes(&largest.place).await? {
            println!("{size:>9}  {name}");
        }
    }
    Ok(())
}
