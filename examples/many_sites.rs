//! One night of many small sites on one machine: `cargo run --example many_sites -- [SITES [TABS [ALONE]]]`
//!
//! 200 sites on `.test` names, served by one TLS server, are scanned by one `phantom nightly` on SQLite. One of them
//! hangs, one is endless, one answers 503. All others must be complete, no host may be asked more often than its site
//! allows (by the server's log), and the program's memory must not grow with the sites. Then ALONE of the sites are
//! scanned one by one, for comparison.
//!
//! It needs the program itself, built before: `cargo build --bin phantom --example many_sites`.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]

#[path = "support/polite.rs"]
mod polite;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use phantom_gang::crawl::PageState;
use phantom_gang::demo::{Ask, Microsite, Reply};
use phantom_gang::scan::{ScanState, WhichScans};
use phantom_gang::store;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PAGES: u32 = 4;
const PACE: u32 = 4;
/// The endless site ends here.
const MOST_PAGES: u32 = 100;
const HANGS: &str = "site-007";
const ENDLESS: &str = "site-042";
const REFUSES: &str = "site-111";
/// Between two looks at the program's memory.
const GLANCE: Duration = Duration::from_millis(500);

fn answer(ask: &Ask<'_>) -> Reply {
    let number: Option<u32> = match ask.path {
        "/" => Some(0),
        path => path.strip_prefix("/p/").and_then(|number| number.parse().ok()),
    };
    let site = ask.host.trim_end_matches(".test");
    let last = if site == ENDLESS { u32::MAX } else { PAGES - 1 };
    let Some(number) = number.filter(|number| *number <= last) else {
        return Reply::status(axum::http::StatusCode::NOT_FOUND);
    };
    if site == REFUSES {
        return Reply::status(axum::http::StatusCode::SERVICE_UNAVAILABLE);
    }
    let mut html = format!("<!doctype html><title>{site} {number}</title><link rel=icon href=data:,><h1>{number}</h1>");
    let children = if number == 0 { 1..=3 } else { number + 1..=number + 1 };
    for child in children.filter(|child| *child <= last) {
        let _ = write!(html, "<a href=/p/{child}>{child}</a> ");
    }
    let wait = if site == HANGS {
        Duration::from_hours(1)
    } else {
        Duration::from_millis(40)
    };
    Reply::html(html).after(wait)
}

fn name(site: u32) -> String {
    format!("site-{site:03}")
}

/// A folder with settings and sites.
fn bench(microsite: &Microsite, sites: u32) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let resolve = microsite.resolve.iter();
    let resolve: Vec<_> = resolve.map(|(name, to)| format!("{name:?} = {to:?}")).collect();
    let settings = format!(
        "store = {:?}\n[browser]\nprocesses = 1\nresolve = {{ {} }}\ntrust_spki = [{:?}]\n",
        format!("sqlite:{}", folder.path().join("scans.db").display()),
        resolve.join(", "),
        microsite.spki
    );
    fs::write(folder.path().join("phantom.toml"), settings)?;
    fs::create_dir(folder.path().join("sitemaps"))?;
    fs::create_dir(folder.path().join("tmp"))?;
    for site in (0..sites).map(name) {
        let text = format!(
            "id = \"{site}\"\nstart = [\"https://{site}.test/\"]\nsitemaps = []\n\
             schedule = {{ cron = \"0 0 1 1 *\" }}\n\
             [limits]\npages = {MOST_PAGES}\npages_per_template = 1000\ndepth = 1000\npages_per_s = {PACE}\nconcurrency = 2\n"
        );
        fs::write(folder.path().join(format!("sitemaps/{site}.toml")), text)?;
    }
    Ok(folder)
}

fn phantom(folder: &Path, arguments: &[&str]) -> Result<Child> {
    let program: PathBuf = std::env::current_exe()?
        .parent()
        .and_then(Path::parent)
        .map(|target| target.join("phantom"))
        .filter(|program| program.exists())
        .ok_or("build the program first: cargo build --bin phantom")?;
    let log = fs::File::options().create(true).append(true).open(folder.join("log"))?;
    Ok(Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("TMPDIR", folder.join("tmp"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?)
}

/// What a process holds in memory for itself, in MiB.
fn memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024)
}

/// The highest of each quarter of what was measured.
fn quarters(measured: &[u64]) -> Vec<u64> {
    let each = measured.len().div_ceil(4).max(1);
    measured
        .chunks(each)
        .filter_map(|part| part.iter().max().copied())
        .collect()
}

fn main() -> Result<()> {
    let arguments: Vec<u32> = std::env::args()
        .skip(1)
        .map(|text| text.parse())
        .collect::<std::result::Result<_, _>>()?;
    let sites = arguments.first().copied().unwrap_or(200);
    let tabs = arguments.get(1).copied().unwrap_or(8);
    let alone = arguments.get(2).copied().unwrap_or(20);
    tokio::runtime::Runtime::new()?.block_on(show(sites, tabs, alone))
}

async fn show(sites: u32, tabs: u32, alone: u32) -> Result<()> {
    let microsite = Microsite::serve(|ask: &Ask<'_>| answer(ask)).await?;
    let folder = bench(&microsite, sites)?;
    let began = Instant::now();
    let mut night = phantom(folder.path(), &["nightly", "--tabs", &tabs.to_string()])?;
    let mut held = Vec::new();
    let ended = loop {
        if let Some(ended) = night.try_wait()? {
            break ended;
        }
        held.extend(memory(night.id()));
        tokio::time::sleep(GLANCE).await;
    };
    let took = began.elapsed();
    let place = folder.path().join("scans.db").display().to_string();
    let store = store::open(Some(&place)).await?;
    let lines = store.scan_lines(WhichScans::All, 1000).await?;
    let states: BTreeMap<String, ScanState> = lines.iter().map(|line| (line.site.0.clone(), line.state)).collect();
    let complete = states.values().filter(|state| **state == ScanState::Complete).count();
    let pages: u64 = lines.iter().map(|line| line.counts.done).sum();
    println!(
        "{sites} sites, {tabs} tabs: {:.0} s, {pages} pages, {complete} complete, {ended}",
        took.as_secs_f64()
    );
    for odd in [HANGS, ENDLESS, REFUSES] {
        let line = lines.iter().find(|line| line.site.0 == odd);
        println!(
            "  {odd}: {:?}, {:?}",
            line.map(|line| line.state),
            line.map(|line| line.counts)
        );
    }
    let hosts = polite::hurry(&microsite.log.entries());
    let worst = polite::worst(&hosts);
    println!(
        "most requests to one host within 1 s: {} of {PACE}, within 10 s: {} of {}",
        worst.second,
        worst.ten,
        10 * PACE
    );
    let quarters = quarters(&held);
    println!("memory of the program, highest in each quarter of the night: {quarters:?} MiB");
    one_by_one(folder.path(), alone, took, sites)?;
    let mut trouble = Vec::new();
    if lines.is_empty() {
        return Err(fs::read_to_string(folder.path().join("log"))?.into());
    }
    let lost = (0..sites).map(name).filter(|site| {
        let odd = [HANGS, REFUSES].contains(&&**site);
        !odd && states.get(site) != Some(&ScanState::Complete)
    });
    for site in lost {
        trouble.push(format!("{site} is not complete"));
        for line in lines.iter().filter(|line| line.site.0 == site) {
            let failed = store.pages(&line.id, PageState::Failed, 9).await?;
            trouble.extend(failed.into_iter().map(|row| format!("{}: {:?}", row.url, row.reason)));
            let record = store.scan(&line.id).await?;
            trouble.extend(record.map(|record| format!("{:?} {:?}", line.counts, record.remarks)));
        }
    }
    let hurried = hosts.iter().filter(|(_, hurry)| !hurry.is_polite(PACE as usize));
    trouble.extend(hurried.map(|(host, hurry)| format!("{host} was hurried: {hurry:?}")));
    if let [_, second, .., last] = &*quarters
        && *last > second + second / 4 + 8
    {
        trouble.push("memory grows".to_owned());
    }
    if trouble.is_empty() {
        Ok(())
    } else {
        Err(trouble.join("; ").into())
    }
}

/// Scans the first of the sites one after another, and says how long all would take.
fn one_by_one(folder: &Path, alone: u32, together: Duration, sites: u32) -> Result<()> {
    let odd = [HANGS, ENDLESS, REFUSES];
    let usual: Vec<String> = (0..sites).map(name).filter(|site| !odd.contains(&&**site)).collect();
    let few: Vec<_> = usual.iter().take(alone as usize).collect();
    let began = Instant::now();
    for site in &few {
        phantom(folder, &["scan", site, "--tickets", "off", "-q"])?.wait()?;
    }
    let each = began.elapsed().as_secs_f64() / few.len().max(1) as f64;
    println!(
        "one by one: {each:.1} s a site (of {}), so {:.0} s for all but the odd ones: together {:.1} times as fast",
        few.len(),
        each * usual.len() as f64,
        each * usual.len() as f64 / together.as_secs_f64()
    );
    Ok(())
}
