//! A scan of a site that nobody here wrote: a Debian package's documentation, served by nginx over HTTPS.
//!
//! `scripts/real-site [PAGES]` installs what is needed and runs it. By hand:
//! `cargo bench --bench real_site [-- --pages N] [--root FOLDER]`
//!
//! It fails if a page is lost or asked for twice, if our own memory grows, or if our own share of the CPU is not small.
//! The findings are listed for a person to judge.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertifiedKey, PublicKeyData as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use support::{Run, mib, option, watch};
use url::{Position, Url};

const HOST: &str = "docs.test";
const START: &str = "https://docs.test/";
/// Where Debian's package python3-doc puts its pages, whichever version it has.
const ROOTS: [&str; 4] = [
    "/usr/share/doc/python3.11/html",
    "/usr/share/doc/python3.12/html",
    "/usr/share/doc/python3.13/html",
    "/usr/share/doc/python3/html",
];
/// The largest share of all CPU time that may be our own, in percent.
const OWN_SHARE: f64 = 5.0;
/// Our memory may grow by this much from the second quarter of a run to the last, in MiB, for caches that have a bound.
const GROWTH: f64 = 16.0;

fn main() -> ExitCode {
    let pages = option("--pages", 600);
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &root());
    server.write_settings(folder.path(), pages);
    let run = scan(folder.path(), pages);
    let stopped = server.stop();

    let report = read_report(folder.path());
    let mut judge = Judge { failed: 0 };
    judge.pages(&report, pages);
    let done = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(judge.store(&folder.path().join("scan.db"), &report));
    judge.requests(&stopped, &done);
    judge.costs(&run, &report);
    list_findings(&report);
    if judge.failed > 0 {
        println!("\n{} of the above is wrong", judge.failed);
        return ExitCode::FAILURE;
    }
    println!("\nall as it should be");
    ExitCode::SUCCESS
}

fn root() -> PathBuf {
    let named = std::env::args().skip_while(|argument| argument != "--root").nth(1);
    named
        .into_iter()
        .map(PathBuf::from)
        .chain(ROOTS.map(PathBuf::from))
        .find(|root| root.join("index.html").is_file())
        .expect("no documentation here; scripts/real-site installs it")
}

fn scan(folder: &Path, pages: usize) -> Run {
    let pages = pages.to_string();
    println!("scanning …");
    let log = File::create(folder.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_phantom"));
    command
        .args(["scan", "site.toml", "--tickets", "off", "--report", "json=report.json"])
        .args(["--max-pages", &pages])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let began = Instant::now();
    watch(command.spawn().unwrap(), began)
}

fn read_report(folder: &Path) -> Value {
    let said = fs::read_to_string(folder.join("log")).unwrap();
    let text = fs::read_to_string(folder.join("report.json")).unwrap_or_else(|_| panic!("no report: {said}"));
    serde_json::from_str(&text).unwrap()
}

/// An nginx of our own.
struct Server {
    nginx: Child,
    port: u16,
    spki: String,
    log: PathBuf,
}

impl Server {
    fn start(folder: &Path, root: &Path) -> Self {
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
        fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
        let spki = BASE64_STANDARD.encode(Sha256::digest(signing_key.subject_public_key_info()));
        // The port is free again when nginx takes it; whoever else takes it first makes the run fail, not lie.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let log = folder.join("access.log");
        let shown = folder.display();
        let user = if rustix::process::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let config = format!(
            "{user} daemon off; worker_processes 1; pid {shown}/nginx.pid; error_log {shown}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ include /etc/nginx/mime.types; log_format asked '$request_method $status $request_uri';\n\
             access_log {log} asked; client_body_temp_path {shown}/body; proxy_temp_path {shown}/proxy;\n\
             fastcgi_temp_path {shown}/fastcgi; uwsgi_temp_path {shown}/uwsgi; scgi_temp_path {shown}/scgi;\n\
             server {{ listen 127.0.0.1:{port} ssl http2; server_name {HOST}; root {root}; index index.html;\n\
             ssl_certificate {shown}/cert.pem; ssl_certificate_key {shown}/key.pem; }} }}\n",
            log = log.display(),
            root = root.display()
        );
        fs::write(folder.join("nginx.conf"), config).unwrap();
        let nginx = Command::new("nginx")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx, which scripts/real-site installs");
        let server = Self { nginx, port, spki, log };
        server.wait_until_it_listens(folder);
        println!("{} on https://127.0.0.1:{port} as {HOST}", root.display());
        server
    }

    fn wait_until_it_listens(&self, folder: &Path) {
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(
                Instant::now() < until,
                "nginx does not listen: {}",
                fs::read_to_string(folder.join("error.log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn write_settings(&self, folder: &Path, pages: usize) {
        let config = format!(
            "store = \"sqlite:scan.db\"\n[browser]\ntrust_spki = [{:?}]\nresolve = {{ \"{HOST}:443\" = \
             \"127.0.0.1:{}\" }}\n",
            self.spki, self.port
        );
        let site = format!(
            "id = \"docs\"\nstart = [\"{START}\"]\n[limits]\npages = {pages}\npages_per_template = 1000000\npages_per_s = 1000\nconcurrency = 64\n"
        );
        fs::write(folder.join("phantom.toml"), config).unwrap();
        fs::write(folder.join("site.toml"), site).unwrap();
    }

    /// Ends nginx, so that its log is whole, and returns what was asked for: method, status and path of each request.
    fn stop(mut self) -> Vec<String> {
        end(&mut self.nginx);
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.nginx);
    }
}

/// Asks nginx to end, which ends its workers too.
fn end(nginx: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process};
    if let Ok(None) = nginx.try_wait()
        && let Some(pid) = i32::try_from(nginx.id()).ok().and_then(Pid::from_raw)
    {
        let _ = kill_process(pid, Signal::TERM);
        let _ = nginx.wait();
    }
}

struct Judge {
    failed: usize,
}

impl Judge {
    fn say(&mut self, good: bool, text: &str) {
        println!("{}  {text}", if good { "ok   " } else { "WRONG" });
        self.failed += usize::from(!good);
    }

    fn pages(&mut self, report: &Value, wanted: usize) {
        let counts = &report["scan"]["pages"];
        let count = |name: &str| counts[name].as_u64().unwrap();
        let sum = count("done") + count("failed") + count("skipped");
        self.say(
            sum == count("known") && count("failed") == 0,
            &format!("{} is {}: pages {counts}", START, report["scan"]["state"]),
        );
        let enough = wanted.min(500) as u64;
        self.say(
            count("done") >= enough,
            &format!("at least {enough} pages were looked at"),
        );
        for group in report["not_checked"].as_array().unwrap() {
            println!("       {} {}: {}", group["count"], group["what"], group["reason"]);
        }
        for remark in report["scan"]["remarks"].as_array().unwrap() {
            println!("       {remark}");
        }
    }

    /// What the store holds, not what the report makes of it. Returns the URLs of the pages that were looked at.
    async fn store(&mut self, file: &Path, report: &Value) -> Vec<Url> {
        let mut store = SqliteConnection::connect(&format!("sqlite:{}", file.display()))
            .await
            .unwrap();
        let row = sqlx::query(
            "SELECT count(*), count(DISTINCT key), count(DISTINCT url), \
             sum(state IN ('done', 'failed', 'skipped')), \
             (SELECT count(*) FROM evidence) + sum(redirected_to IS NOT NULL) FROM pages",
        )
        .fetch_one(&mut store)
        .await
        .unwrap();
        let [all, keys, urls, ended, evidence]: [i64; 5] = std::array::from_fn(|column| row.get(column));
        let done = report["scan"]["pages"]["done"].as_i64().unwrap();
        self.say(
            all == keys && all == urls && all == ended && evidence == done,
            &format!("the store has {all} pages, {keys} keys, {urls} URLs, {ended} ended; {evidence} have evidence or redirect"),
        );
        let rows = sqlx::query_scalar("SELECT url FROM pages WHERE state = 'done'")
            .fetch_all(&mut store)
            .await;
        rows.unwrap().iter().map(|url: &String| url.parse().unwrap()).collect()
    }

    /// nginx saw each page once.
    fn requests(&mut self, asked: &[String], done: &[Url]) {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for line in asked {
            *times.entry(line.split(' ').nth(2).unwrap_or_default()).or_default() += 1;
        }
        let not_once: Vec<_> = done
            .iter()
            .map(|url| &url[Position::BeforePath..Position::AfterQuery])
            .filter(|path| times.get(path) != Some(&1))
            .collect();
        self.say(
            not_once.is_empty(),
            &format!("{} pages, all but {not_once:?} asked for exactly once", done.len()),
        );
        let reads = asked
            .iter()
            .filter(|line| line.starts_with("GET ") || line.starts_with("HEAD "))
            .count();
        self.say(
            reads == asked.len(),
            &format!("{} requests, {reads} of them GET or HEAD", asked.len()),
        );
    }

    fn costs(&mut self, run: &Run, report: &Value) {
        let done = report["scan"]["pages"]["done"].as_f64().unwrap();
        println!(
            "       {:.1} s, {:.1} pages/s; browsers {:.0} ms/page, we {:.1} ms/page",
            run.took.as_secs_f64(),
            done / run.took.as_secs_f64(),
            run.others.as_secs_f64() * 1_000.0 / done,
            run.own.as_secs_f64() * 1_000.0 / done
        );
        let share = run.own_share() * 100.0;
        self.say(share < OWN_SHARE, &format!("our own CPU is {share:.1} % of all"));
        let quarters: Vec<f64> = (0..4)
            .map(|quarter| {
                let part = run.took * quarter / 4..run.took * (quarter + 1) / 4;
                let sizes: Vec<f64> = run
                    .memory
                    .iter()
                    .filter(|(at, _)| part.contains(at))
                    .map(|(_, size)| mib(*size))
                    .collect();
                sizes.iter().sum::<f64>() / sizes.len().max(1) as f64
            })
            .collect();
        let shown: Vec<_> = quarters.iter().map(|size| format!("{size:.0}")).collect();
        self.say(
            quarters[3] - quarters[1] <= GROWTH,
            &format!(
                "our own memory, MiB: {} on average in each quarter of the run, {:.0} at most, {:+.2} per 100 pages",
                shown.join(", "),
                mib(run.peak),
                slope(&run.memory, run.took) / done * 100.0
            ),
        );
    }
}

/// Growth over the second half of a run by least squares, in MiB a whole run.
fn slope(memory: &[(Duration, u64)], took: Duration) -> f64 {
    let points: Vec<(f64, f64)> = memory
        .iter()
        .filter(|(at, _)| *at > took / 2)
        .map(|(at, size)| (at.as_secs_f64() / took.as_secs_f64(), mib(*size)))
        .collect();
    let many = points.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / many;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let rise: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let run: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    rise / run.max(f64::MIN_POSITIVE)
}

fn list_findings(report: &Value) {
    let findings = report["findings"].as_array().unwrap();
    println!("\n{} findings, for a person to judge", findings.len());
    for finding in findings {
        println!(
            "{} {} {}, on {} pages, such as {}\n  {}",
            finding["severity"],
            finding["confidence"],
            finding["check"],
            finding["pages_total"],
            finding["pages"][0]["url"],
            finding["title"]
        );
        for fact in finding["facts"].as_array().unwrap() {
            println!("    {}: {}", fact["label"], fact["value"]);
        }
    }
}
