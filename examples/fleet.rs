//! Many processes on one PostgreSQL, and what may happen to them: `cargo run --example fleet -- [WORKERS [ROUNDS [SEED]]]`
//!
//! Each round is a night of several sites, scanned by so many processes of the real program (`phantom serve`). At random
//! moments one is killed with SIGKILL and another begun, or the database is shut down at once and started again. Then it
//! is asked: has each site one scan, has each page one record, are the findings those of an undisturbed night, and was
//! no host asked more often than its site allows?
//!
//! It needs PostgreSQL's programs and the program itself, built before: `cargo build --bin phantom --example fleet`.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use phantom_gang::crawl::PageState;
use phantom_gang::demo::{Ask, Microsite, Reply};
use phantom_gang::scan::ScanState;
use phantom_gang::store::{self, Store};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SITES: u32 = 3;
const PAGES: u32 = 40;
/// Navigations and own fetches a second that each site allows.
const PACE: u32 = 4;
/// A round that lasts longer hangs.
const LONGEST: Duration = Duration::from_secs(400);

/// A server of our own, in a folder that is removed with it.
struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Server {
    fn start() -> Result<Self> {
        let newest = fs::read_dir("/usr/lib/postgresql")?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|folder| folder.join("initdb").exists())
            .max();
        let server = Self {
            folder: tempfile::Builder::new().prefix("fleet-").tempdir()?,
            programs: newest.ok_or("PostgreSQL is not installed; run scripts/setup")?,
        };
        let data = server.data();
        if rustix::process::geteuid().is_root() {
            Self::sh("chown postgres \"$1\"", &[server.folder.path()])?;
        }
        server.run(
            "initdb",
            &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
        )?;
        server.control("start")?;
        Ok(server)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn sh(script: &str, arguments: &[&Path]) -> Result<()> {
        let done = Command::new("sh").args(["-c", script, "sh"]).args(arguments).status()?;
        if done.success() {
            Ok(())
        } else {
            Err(format!("{script}: {done}").into())
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let program = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        let done = command
            .args(arguments)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if done.success() {
            Ok(())
        } else {
            Err(format!("{}: {done}", program.display()).into())
        }
    }

    /// `start`, or `stop` and `restart` as if the power had gone.
    fn control(&self, what: &str) -> Result<()> {
        let folder = self.folder.path().display().to_string();
        let log = format!("{folder}/log");
        let options = format!("-k {folder} -c listen_addresses= -c max_connections=200");
        let mut arguments = vec![what, "-w", "-D"];
        let data = self.data();
        arguments.push(&data);
        if what != "start" {
            arguments.extend(["-m", "immediate"]);
        }
        if what != "stop" {
            arguments.extend(["-l", &log, "-o", &options]);
        }
        self.run("pg_ctl", &arguments)
    }

    fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@localhost/{database}?host={}",
            self.folder.path().display()
        )
    }

    fn make(&self, database: &str) -> Result<String> {
        let folder = self.folder.path().display().to_string();
        self.run("createdb", &["-h", &folder, "-U", "postgres", database])?;
        Ok(self.url(database))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.control("stop");
    }
}

fn answer(ask: &Ask<'_>) -> Reply {
    let number: Option<u32> = match ask.path {
        "/" => Some(0),
        path => path.strip_prefix("/p/").and_then(|number| number.parse().ok()),
    };
    let Some(number) = number.filter(|number| *number < PAGES) else {
        return Reply::status(axum::http::StatusCode::NOT_FOUND);
    };
    let mut html = format!("<!doctype html><title>{number}</title><link rel=icon href=data:,><h1>Page {number}</h1>");
    if number % 4 == 1 {
        let _ = write!(
            html,
            "<form method=post action=http://{}/in{number}><input type=password></form>",
            ask.host
        );
    }
    for child in (number * 3 + 1..=number * 3 + 3).filter(|child| *child < PAGES) {
        let _ = write!(html, "<a href=/p/{child}>{child}</a> ");
    }
    Reply::html(html).after(Duration::from_millis(u64::from(30 + number * 37 % 90)))
}

/// A folder with settings and sites.
fn bench(microsite: &Microsite, store: &str) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let resolve: Vec<_> = microsite
        .resolve
        .iter()
        .map(|(name, to)| format!("{name:?} = {to:?}"))
        .collect();
    let settings = format!(
        "store = {store:?}\n[browser]\nprocesses = 1\nresolve = {{ {} }}\ntrust_spki = [{:?}]\n",
        resolve.join(", "),
        microsite.spki
    );
    fs::write(folder.path().join("phantom.toml"), settings)?;
    fs::create_dir(folder.path().join("sitemaps"))?;
    for site in 0..SITES {
        let text = format!(
            "id = \"site-{site}\"\nstart = [\"https://site-{site}.test/\"]\n\
             schedule = {{ cron = \"0 0 1 1 *\" }}\n[limits]\npages_per_template = 1000\npages_per_s = {PACE}\nconcurrency = 2\n"
        );
        fs::write(folder.path().join(format!("sitemaps/site-{site}.toml")), text)?;
    }
    Ok(folder)
}

fn worker(folder: &Path, number: usize) -> Result<Child> {
    let program = std::env::current_exe()?
        .parent()
        .and_then(Path::parent)
        .map(|target| target.join("phantom"))
        .filter(|program| program.exists())
        .ok_or("build the program first: cargo build --bin phantom")?;
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join(format!("worker-{number}.log")))?;
    let temp = folder.join("tmp");
    fs::create_dir_all(&temp)?;
    Ok(Command::new(program)
        .args(["serve", "--tabs", "3"])
        .current_dir(folder)
        .env("TMPDIR", temp)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?)
}

/// What a night came to.
#[derive(Debug, PartialEq, Eq)]
struct Harvest {
    pages: BTreeMap<String, Vec<String>>,
    findings: BTreeSet<String>,
    wishes: u64,
}

async fn harvest(store: &dyn Store) -> Result<Harvest> {
    let mut pages = BTreeMap::new();
    let mut findings = BTreeSet::new();
    let lines = store.scan_lines(false, 1000).await?;
    if lines.len() != SITES as usize {
        return Err(format!("{} scans of {SITES} sites", lines.len()).into());
    }
    for line in lines {
        if line.state != ScanState::Complete {
            return Err(format!("scan {} of {} is {:?}", line.id, line.site, line.state).into());
        }
        let done = store.pages(&line.id, PageState::Done, u32::MAX).await?;
        for row in &done {
            if store.evidence(&line.id, &row.key).await?.is_none() {
                return Err(format!("no evidence of {}", row.url).into());
            }
        }
        for finding in store.findings(&line.id).await? {
            let (seen, count) = store.finding_pages(&line.id, &finding.fingerprint, 1000).await?;
            let seen: Vec<_> = seen.into_iter().map(|page| page.url).collect();
            findings.insert(format!("{} {} {count} {seen:?}", finding.fingerprint, finding.check));
        }
        pages.insert(line.site.0, done.into_iter().map(|row| row.url).collect());
    }
    Ok(Harvest {
        pages,
        findings,
        wishes: store.intent_count(None).await?,
    })
}

/// The most requests for pages that one host got within a second, and the shortest time between two.
fn politeness(microsite: &Microsite) -> (usize, i64) {
    let mut times: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for entry in microsite.log.entries() {
        if entry.method == "GET" {
            times.entry(entry.host).or_default().push(entry.at);
        }
    }
    let (mut most, mut nearest) = (0, i64::MAX);
    for times in times.values_mut() {
        times.sort_unstable();
        for (index, from) in times.iter().enumerate() {
            let within = times[index..]
                .iter()
                .take_while(|at| at.duration_since(*from).as_millis() < 1000)
                .count();
            most = most.max(within);
        }
        for pair in times.windows(2) {
            nearest = nearest.min(i64::try_from(pair[1].duration_since(pair[0]).as_millis()).unwrap_or(i64::MAX));
        }
    }
    (most, nearest)
}

struct Round {
    took: Duration,
    kills: u32,
    restarts: u32,
    most: usize,
    nearest: i64,
    visits: usize,
    harvest: Harvest,
}

async fn round(
    server: &Server,
    microsite: &Microsite,
    name: &str,
    workers: usize,
    chaos: Option<&mut StdRng>,
) -> Result<Round> {
    let url = server.make(name)?;
    let folder = bench(microsite, &url)?;
    microsite.log.clear();
    let began = Instant::now();
    let store = store::open(Some(&url)).await?;
    let mut gang: Vec<Child> = (0..workers)
        .map(|number| worker(folder.path(), number))
        .collect::<Result<_>>()?;
    let (mut kills, mut restarts) = (0, 0);
    let mut dice = chaos;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let lines = store.scan_lines(false, 1000).await?;
        let open = lines.iter().any(|line| line.state == ScanState::Running);
        if lines.len() >= SITES as usize && !open {
            break;
        }
        if began.elapsed() > LONGEST {
            for line in &lines {
                eprintln!("{line:?}");
            }
            let kept = folder.keep();
            return Err(format!("it hangs; see {}", kept.display()).into());
        }
        let Some(dice) = dice.as_deref_mut() else { continue };
        match dice.random_range(0..40) {
            0 | 1 => {
                let victim = dice.random_range(0..gang.len());
                gang[victim].kill()?;
                gang[victim].wait()?;
                kills += 1;
                tokio::time::sleep(Duration::from_millis(dice.random_range(0..1500))).await;
                gang[victim] = worker(folder.path(), victim)?;
            }
            2 if dice.random_range(0..3) == 0 => {
                server.control("restart")?;
                restarts += 1;
            }
            _ => {}
        }
    }
    let took = began.elapsed();
    for mut child in gang {
        let pid = i32::try_from(child.id())?;
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        child.wait()?;
    }
    let (most, nearest) = politeness(microsite);
    let harvest = harvest(&*store).await?;
    Ok(Round {
        took,
        kills,
        restarts,
        most,
        nearest,
        visits: microsite.log.entries().len(),
        harvest,
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| -> Result<u64> {
        Ok(arguments
            .next()
            .map(|text| text.parse())
            .transpose()?
            .unwrap_or(default))
    };
    let workers = usize::try_from(number(2)?)?;
    let rounds = number(5)?;
    let seed = number(rand::random())?;
    let server = Server::start()?;
    let microsite = Microsite::serve(|ask: &Ask<'_>| answer(ask)).await?;
    let calm = round(&server, &microsite, "calm", workers, None).await?;
    println!(
        "seed {seed}, {workers} workers, {SITES} sites of {PAGES} pages, at most {PACE} requests a second and host"
    );
    println!("round  seconds  kills  restarts  requests  most in 1 s  nearest ms  same result");
    let show = |name: &str, round: &Round| {
        println!(
            "{name:>5}  {:>7.1}  {:>5}  {:>8}  {:>8}  {:>11}  {:>10}  {}",
            round.took.as_secs_f64(),
            round.kills,
            round.restarts,
            round.visits,
            round.most,
            round.nearest,
            round.harvest == calm.harvest,
        );
    };
    show("calm", &calm);
    let pages: usize = calm.harvest.pages.values().map(Vec::len).sum();
    if pages != (SITES * PAGES) as usize {
        return Err(format!("{pages} pages in an undisturbed night").into());
    }
    let mut dice = StdRng::seed_from_u64(seed);
    let mut bad = 0;
    for number in 1..=rounds {
        let round = round(
            &server,
            &microsite,
            &format!("night_{number}"),
            workers,
            Some(&mut dice),
        )
        .await?;
        show(&number.to_string(), &round);
        bad += u32::from(round.harvest != calm.harvest);
    }
    if bad > 0 {
        Err(format!("{bad} nights came to something else").into())
    } else {
        Ok(())
    }
}
