//! How fast a scan with everything on is, beside a bare client that only loads the same pages.
//!
//! `cargo bench --bench throughput [-- --pages N --rounds N --tabs N --processes N --least 1 --safe 1]`
//!
//! Three contestants take turns, each a process of its own, on the same generated site, which is served over HTTPS by
//! another process:
//!
//! * `bare`: opens each page in tabs that it uses again, with the domains that the scanner enables (Inspector, Page,
//!   Network, Audits, Runtime, Fetch for documents, auto-attach), and waits for its load event. It knows all pages
//!   beforehand, looks at nothing, keeps nothing. With `--least 1` it leaves out Fetch, which nobody needs who does not
//!   mind where a page goes.
//! * `egress`: the same through our proxy, so the difference to `bare` is what the proxy costs.
//! * `scan`: `phantom scan` as users run it: finds the pages by their links, all checks, evidence, egress, store, a
//!   report.
//!
//! With `--safe 1` two more, which say what using pages adds to looking at them:
//!
//! * `safe`: the same scan in the mode `safe`. There is nothing to do on these pages, and it has to see that.
//! * `use`: the same on pages that have controls.
//!
//! Times are those of whole processes, with the start of the browsers. Read the ratios; figures are those of a machine.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod bare;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{array, env};

use phantom_gang::crawl::PageState;
use phantom_gang::demo::{BenchSite, Microsite};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{Run, mib, option, watch};
use tokio::runtime::Runtime;

const HOST: &str = "https://bench.test";

/// What a contestant is told.
#[derive(Clone, Serialize, Deserialize)]
struct Task {
    pages: usize,
    tabs: usize,
    processes: usize,
    spki: String,
    resolve: Vec<(String, String)>,
    egress: bool,
    least: bool,
}

fn main() {
    let role = env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        _ if env::args().any(|argument| argument == "--help") => {
            println!("throughput [--pages N] [--rounds N] [--tabs N] [--processes N] [--least 1] [--safe 1]");
        }
        "serve" => serve(),
        "bare" => bare::run(&serde_json::from_str(&env::args().nth(2).unwrap()).unwrap()),
        _ => compare(),
    }
}

// ---- The comparison

#[derive(Clone, Copy, PartialEq)]
enum Contestant {
    Bare,
    Egress,
    Scan,
    Safe,
    Use,
}

const CONTESTANTS: [(Contestant, &str); 5] = [
    (Contestant::Bare, "bare"),
    (Contestant::Egress, "egress"),
    (Contestant::Scan, "scan"),
    (Contestant::Safe, "safe"),
    (Contestant::Use, "use"),
];

/// The figures of one run, in the order in which they are shown.
type Figures = [f64; 5];

const HEADINGS: [&str; 6] = [
    "pages/s",
    "of bare",
    "browser ms/page",
    "own ms/page",
    "own CPU %",
    "own peak MiB",
];

fn compare() {
    let (pages, rounds) = (option("--pages", 500), option("--rounds", 3).max(1));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let tabs = option("--tabs", cores * 2);
    let mut server = own(&["serve", &pages.to_string()]);
    server.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let (spki, resolve) = serde_json::from_str(&line).unwrap();
    let task = Task {
        pages,
        tabs,
        processes: option("--processes", 2),
        spki,
        resolve,
        egress: false,
        least: option("--least", 0) > 0,
    };
    println!(
        "{pages} pages with 12 subresources each, {tabs} tabs in {} browsers, {cores} cores",
        task.processes
    );
    println!(
        "{:<16}{}",
        "",
        HEADINGS.map(|heading| format!("{heading:>17}")).concat()
    );

    let contestants = if option("--safe", 0) > 0 {
        &CONTESTANTS[..]
    } else {
        &CONTESTANTS[..3]
    };
    let mut figures: Vec<Vec<Figures>> = vec![Vec::new(); contestants.len()];
    let mut actions = 0;
    for round in 0..rounds {
        // Who is first changes, so that nobody always has the machine at its best.
        for turn in 0..contestants.len() {
            let which = (round + turn) % contestants.len();
            let (contestant, name) = contestants[which];
            let (run, done) = task.run(contestant);
            actions += if contestant == Contestant::Use { done } else { 0 };
            figures[which].push(figures_of(&run, pages));
            show(&format!("round {} {name}", round + 1), &figures_of(&run, pages), None);
        }
    }
    println!();
    let medians: Vec<Figures> = figures.iter().map(|runs| median(runs)).collect();
    for ((_, name), of) in contestants.iter().zip(&medians) {
        show(&format!("median {name}"), of, Some(medians[0][0]));
    }
    if let [_, _, scan, safe, used] = &medians[..] {
        let added = [added(scan, safe, tabs), added(safe, used, tabs)];
        tell_added(&added, actions as f64 / (rounds * pages) as f64);
    }
    drop(server.stdin.take());
    server.wait().unwrap();
}

/// What a page costs more: time in a tab, CPU of the browsers and of our own, in milliseconds.
fn added(without: &Figures, with: &Figures, tabs: usize) -> [f64; 3] {
    let in_a_tab = |figures: &Figures| 1_000.0 * tabs as f64 / figures[0];
    [
        in_a_tab(with) - in_a_tab(without),
        with[1] - without[1],
        with[2] - without[2],
    ]
}

/// What using the pages adds.
fn tell_added([idle, used]: &[[f64; 3]; 2], actions: f64) {
    let headings = ["ms in its tab", "browser ms", "own ms"];
    println!(
        "\n{:<50}{}",
        "safe adds, beside observe,",
        headings.map(|heading| format!("{heading:>17}")).concat()
    );
    let row = |name: &str, figures: &[f64; 3]| {
        println!("{name:<50}{}", figures.map(|figure| format!("{figure:>17.1}")).concat());
    };
    row("to a page on which nothing can be done", idle);
    let controls = BenchSite::CONTROLS;
    row(
        &format!("to a page with {controls} controls, {actions:.1} actions, more"),
        used,
    );
    row(
        "to each of these actions",
        &used.map(|figure| figure / actions.max(1.0)),
    );
}

fn figures_of(run: &Run, pages: usize) -> Figures {
    let per_page = |time: Duration| time.as_secs_f64() * 1_000.0 / pages as f64;
    [
        pages as f64 / run.took.as_secs_f64(),
        per_page(run.others),
        per_page(run.own),
        run.own_share() * 100.0,
        mib(run.peak),
    ]
}

fn median(runs: &[Figures]) -> Figures {
    array::from_fn(|figure| {
        let mut values: Vec<f64> = runs.iter().map(|run| run[figure]).collect();
        values.sort_by(f64::total_cmp);
        f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
    })
}

fn show(name: &str, figures: &Figures, bare: Option<f64>) {
    let of_bare = bare.map_or_else(String::new, |bare| format!("{:.2}", figures[0] / bare));
    let mut cells: Vec<String> = figures.iter().map(|figure| format!("{figure:.1}")).collect();
    cells.insert(1, of_bare);
    let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>17}")).collect();
    println!("{name:<16}{}", cells.concat());
}

fn own(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(arguments);
    command
}

impl Task {
    /// What it came to, and the actions that it did.
    fn run(&self, contestant: Contestant) -> (Run, u64) {
        if !matches!(contestant, Contestant::Bare | Contestant::Egress) {
            return self.scan(contestant);
        }
        let task = Self {
            egress: contestant == Contestant::Egress,
            ..self.clone()
        };
        let mut command = own(&["bare", &serde_json::to_string(&task).unwrap()]);
        let began = Instant::now();
        let run = watch(command.spawn().unwrap(), began);
        assert!(run.status.success(), "the bare client failed: {}", run.status);
        (run, 0)
    }

    fn scan(&self, contestant: Contestant) -> (Run, u64) {
        let folder = tempfile::tempdir().unwrap();
        let (mode, start) = match contestant {
            Contestant::Use => ("safe", BenchSite::USED),
            Contestant::Safe => ("safe", "/"),
            _ => ("observe", "/"),
        };
        self.write_settings(folder.path(), mode, start);
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_phantom"));
        command
            .args([
                "scan",
                "site.toml",
                "-q",
                "--tickets",
                "off",
                "--report",
                "json=report.json",
            ])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let began = Instant::now();
        let run = watch(command.spawn().unwrap(), began);
        let said = fs::read_to_string(folder.path().join("log")).unwrap();
        let report = fs::read_to_string(folder.path().join("report.json"));
        let report: Value = serde_json::from_str(&report.unwrap_or_else(|_| panic!("no report: {said}"))).unwrap();
        let counts = &report["scan"]["pages"];
        assert_eq!(
            counts["done"], self.pages,
            "not every page was scanned: {counts}\n{said}"
        );
        (run, actions_in(&folder.path().join("scan.db")))
    }

    fn write_settings(&self, folder: &Path, mode: &str, start: &str) {
        let mut config = format!(
            "store = \"sqlite:scan.db\"\n[browser]\ntabs = {}\nprocesses = {}\ntrust_spki = [{:?}]\nresolve = {{ ",
            self.tabs, self.processes, self.spki
        );
        for (name, to) in &self.resolve {
            let _ = write!(config, "{name:?} = {to:?}, ");
        }
        config.truncate(config.len() - 2);
        config.push_str(" }\n");
        let site = format!(
            "id = \"bench\"\nstart = [\"{HOST}{start}\"]\n[limits]\npages = {}\npages_per_template = 1000000\ndepth = 1000\npages_per_s = 1000\n\
             concurrency = {}\n[explore]\nmode = {mode:?}\n",
            self.pages + 1,
            self.tabs
        );
        fs::write(folder.join("phantom.toml"), config).unwrap();
        fs::write(folder.join("site.toml"), site).unwrap();
    }
}

/// The actions that a scan did.
fn actions_in(store: &Path) -> u64 {
    Runtime::new().unwrap().block_on(async {
        let store = phantom_gang::store::open(store.to_str()).await.unwrap();
        let scan = store.newest_scan(None).await.unwrap().unwrap().id;
        let mut actions = 0;
        for page in store.pages(&scan, PageState::Done, u32::MAX).await.unwrap() {
            let evidence = store.evidence(&scan, &page.key).await.unwrap();
            let explored = evidence.and_then(|evidence| evidence.explored);
            actions += explored.map_or(0, |explored| u64::from(explored.actions));
        }
        actions
    })
}

/// Serves the site until the other end of the standard input is closed.
fn serve() {
    let pages = env::args().nth(2).unwrap().parse().unwrap();
    Runtime::new().unwrap().block_on(async {
        let site = Microsite::serve(BenchSite { pages }).await.unwrap();
        println!("{}", json!([site.spki, site.resolve]));
        let closed = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
        closed.await.unwrap().unwrap();
        site.stop().await;
    });
}
