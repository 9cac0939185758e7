//! Two thousand findings on forty sites become tickets: how long it takes, how many requests, and that rate, caps,
//! digest, baseline and breaker hold.
//!
//! `cargo run --example queue [SECONDS]`. The findings are recorded by the store as a scan does it; nights pass by a
//! clock that jumps, the pace of requests passes in real time and is read from the sandbox's own log. The first part is
//! paced faster than anybody would; the last one sends 2 requests a second for 60 seconds, or as many as are given.
//! Ends with 1 if something is not as it should be.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use phantom_checks::evidence::{Evidence, Page};
use phantom_checks::{Cause, Confidence, Fact, Observation, Severity};
use phantom_gang::config::{Baseline, Deployment, JiraConfig, Route};
use phantom_gang::crawl::{Completion, LeaseRequest, NewPage, PageKey, PageOutcome};
use phantom_gang::sandbox::{Exchange, Sandbox, SandboxOptions};
use phantom_gang::scan::{ScanClose, ScanId, ScanRecord, ScanState, Trigger};
use phantom_gang::site::{Site, SiteId};
use phantom_gang::store::{self, Store};
use phantom_gang::tickets::{self, Clock, Event, Held, Report, Worker};
use phantom_gang::triage::Coverage;
use support::{DAY, Result, StageClock, expect};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const SITES: usize = 40;
const FINDINGS: usize = 50;
const ALL: usize = SITES * FINDINGS;
const PROJECTS: [&str; 4] = ["OPS", "PAY", "SEC", "WEB"];
const IN_PROJECT: usize = ALL / PROJECTS.len();
/// Requests a second where time is not the subject.
const FAST: f64 = 250.0;
/// A second, but for what the way through sockets may take off the time between two requests.
const SECOND: Duration = Duration::from_millis(980);

#[tokio::main]
async fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(60);
    println!(
        "{:<34} {:>8} {:>9} {:>9} {:>11}  outcome",
        "run", "seconds", "requests", "a second", "worst 1 s"
    );
    let shown = async {
        all_in_one_run().await?;
        cap_and_digest().await?;
        baseline().await?;
        real_pace(Duration::from_secs(seconds)).await
    };
    match Box::pin(shown).await {
        Ok(()) => {
            println!("everything is as it should be");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("WRONG: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A store with findings, and a Jira.
struct Queue {
    store: Arc<dyn Store>,
    clock: Arc<StageClock>,
    sandbox: Sandbox,
    jira: JiraConfig,
    seen: usize,
    _folder: TempDir,
}

impl Queue {
    async fn new(change: impl FnOnce(&mut JiraConfig)) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let clock = StageClock::new();
        let time = Arc::clone(&clock);
        let options = SandboxOptions {
            projects: PROJECTS.map(str::to_owned).to_vec(),
            now: Arc::new(move || time.time()),
            ..SandboxOptions::default()
        };
        let (user, token) = (options.user.clone(), folder.path().join("token"));
        std::fs::write(&token, &options.token)?;
        let sandbox = Sandbox::start(options).await?;
        let mut jira = support::jira(Deployment::Cloud, sandbox.base_url(), &user, &token)?;
        jira.requests_per_s = FAST;
        jira.defaults.search_projects = PROJECTS.map(str::to_owned).to_vec();
        jira.lifecycle.max_new_per_day = 10_000;
        jira.routes = PROJECTS
            .iter()
            .enumerate()
            .map(|(number, project)| Route {
                sites: vec![format!("{number}-site-*")],
                project: Some((*project).to_owned()),
                ..Route::default()
            })
            .collect();
        change(&mut jira);
        let store = store::open(folder.path().join("queue.db").to_str()).await?;
        Ok(Self {
            store,
            clock,
            sandbox,
            jira,
            seen: 0,
            _folder: folder,
        })
    }

    /// A whole scan of every site, each of which has this many findings, those of `worse` project so many.
    async fn scan_all(&self, count: usize, worse: Option<(&str, usize)>) -> Result<()> {
        for number in 0..SITES {
            let project = number % PROJECTS.len();
            let here = worse
                .filter(|(name, _)| *name == PROJECTS[project])
                .map_or(count, |(_, more)| more);
            self.scan(&format!("{project}-site-{number:02}"), here).await?;
        }
        Ok(())
    }

    async fn scan(&self, site: &str, count: usize) -> Result<()> {
        let started = self.clock.time();
        let id = ScanId(format!("{}-{site}", started.as_millisecond()));
        let url: url::Url = format!("https://{site}.test/").parse()?;
        let page = NewPage {
            key: PageKey(url.to_string()),
            url: url.clone(),
            depth: 0,
            found_on: None,
            skip: None,
            template: None,
        };
        let record = record(&id, site, &url, started)?;
        self.store.create_scan(&record, &[page]).await?;
        let request = LeaseRequest {
            scan: &id,
            owner: "show",
            max: 1,
            ttl: Duration::from_mins(10),
            now: started,
            pace: Duration::ZERO,
            concurrency: 1,
            most: u64::MAX,
        };
        let lease = self.store.lease(&request).await?.pop().ok_or("no page can be leased")?;
        let evidence = Evidence::of(Page {
            requested_url: url.to_string(),
            url: url.to_string(),
            status: Some(200),
            ..Page::default()
        });
        let observations: Vec<Observation> = (0..count).map(observation).collect();
        let completion = Completion {
            lease: &lease,
            now: started,
            outcome: PageOutcome::Done,
            recorded_as: None,
            evidence: Some(&evidence),
            bodies: &BTreeMap::new(),
            observations: &observations,
            failed_checks: &[],
            found: &[],
            obstacle: None,
            hosts: &[],
            mark: None,
        };
        expect(self.store.complete(&completion).await?, || {
            "a lease was lost".to_owned()
        })?;
        let coverage = Coverage {
            whole: true,
            pages: 1,
            ..Coverage::default()
        };
        let close = ScanClose {
            owner: None,
            scan: &id,
            state: ScanState::Complete,
            ended: self.clock.time(),
            remarks: &[],
            coverage: &coverage,
            judgements: &[],
        };
        self.store.close_scan(&close).await?;
        Ok(())
    }

    /// Works the outbox to its end, and shows what it took.
    async fn run(&mut self, what: &str) -> Result<(Report, Vec<Event>)> {
        let began = Instant::now();
        let (report, events) = support::file(&self.store, &self.jira, &self.clock).await?;
        let outcome = format!(
            "{} created, {} unchanged, {} held",
            report.created, report.unchanged, report.held
        );
        self.show(what, began.elapsed(), &outcome)?;
        expect(report.dead.is_empty() && report.paused.is_none(), || {
            format!("{what}: {report:?}")
        })?;
        Ok((report, events))
    }

    /// A line of the table, for the requests since the last one. They must obey the configured rate.
    fn show(&mut self, what: &str, took: Duration, outcome: &str) -> Result<()> {
        let log = self.sandbox.log();
        let new = &log[self.seen.min(log.len())..];
        self.seen = log.len();
        let worst = worst_second(new);
        println!(
            "{what:<34} {:>8.1} {:>9} {:>9.1} {:>4} of {:>3.0}  {outcome}",
            took.as_secs_f64(),
            new.len(),
            new.len() as f64 / took.as_secs_f64(),
            worst,
            self.jira.requests_per_s
        );
        expect(worst as f64 <= self.jira.requests_per_s, || {
            format!("{what}: {worst} requests in one second")
        })
    }

    fn filed(&self, project: &str) -> usize {
        let issues = self.sandbox.issues();
        let ours = issues.iter().filter(|one| one.project == project);
        ours.filter(|one| !one.summary.starts_with("[Phantom Gang]")).count()
    }

    fn notices(&self) -> usize {
        let issues = self.sandbox.issues();
        issues
            .iter()
            .filter(|one| one.summary.starts_with("[Phantom Gang]"))
            .count()
    }

    async fn held(&self, why: Held) -> Result<usize> {
        let waiting = tickets::waiting(&*self.store, None).await?;
        Ok(waiting.iter().filter(|one| one.held == Some(why)).count())
    }
}

/// The most requests that came within any second, wherever it begins.
fn worst_second(log: &[Exchange]) -> usize {
    let width = SECOND.as_micros();
    let times: Vec<u128> = log.iter().map(|one| one.came_us.into()).collect();
    let within = |(index, from): (usize, &u128)| times[index..].iter().take_while(|one| **one < from + width).count();
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

fn record(id: &ScanId, site: &str, url: &url::Url, started: jiff::Timestamp) -> Result<ScanRecord> {
    let site = Site {
        id: SiteId(site.to_owned()),
        title: site.to_owned(),
        ..Site::adhoc(url)?
    };
    Ok(ScanRecord::begun(id.clone(), site, Trigger::Nightly, started))
}

/// A tenth are high.
fn observation(number: usize) -> Observation {
    let host = format!("cdn-{number}.test");
    Observation {
        check: "mixed-content".to_owned(),
        check_version: 1,
        severity: if number.is_multiple_of(10) {
            Severity::High
        } else {
            Severity::Medium
        },
        confidence: Confidence::Certain,
        title: format!("A secure page loads a script from http://{host}"),
        cause: Cause::new(1, [("host", host.clone()), ("kind", "script".to_owned())]),
        aliases: Vec::new(),
        facts: vec![Fact::new("resource", format!("http://{host}/a.js"))],
        third_party: false,
    }
}

/// Two thousand in one run; nothing the next night; then one project goes wrong, and its breaker holds it.
async fn all_in_one_run() -> Result<()> {
    let mut queue = Queue::new(|_| {}).await?;
    queue.scan_all(FINDINGS, None).await?;
    let (report, _) = queue.run("2,000 findings of 40 sites").await?;
    expect(report.created == ALL as u64, || format!("{report:?}"))?;
    for project in PROJECTS {
        expect(queue.filed(project) == IN_PROJECT, || {
            format!("{project}: {}", queue.filed(project))
        })?;
    }
    queue.clock.skip(DAY);
    queue.scan_all(FINDINGS, None).await?;
    let (report, _) = queue.run("the same, the next night").await?;
    expect((report.created, report.unchanged) == (0, ALL as u64), || {
        format!("{report:?}")
    })?;

    queue.clock.skip(DAY);
    queue.scan_all(FINDINGS + 1, Some(("PAY", FINDINGS + 20))).await?;
    let (report, events) = queue.run("a check goes wrong in PAY").await?;
    let tripped = events
        .iter()
        .filter(|one| matches!(one, Event::Tripped(hold) if hold.project == "PAY"))
        .count();
    // Ten sites each: ten new ones in the other projects, two hundred of the 500 in this one.
    expect((report.created, tripped, queue.notices()) == (30, 1, 1), || {
        format!("{report:?}, {tripped} tripped, {} notices", queue.notices())
    })?;
    expect(queue.filed("PAY") == IN_PROJECT, || {
        "something was filed in spite of the breaker".to_owned()
    })?;
    let held = queue.held(Held::Breaker).await?;
    expect(held == IN_PROJECT + 200, || format!("{held} held"))?;
    tickets::release(&*queue.store, "PAY", queue.clock.time()).await?;
    let (report, _) = queue.run("a person releases PAY").await?;
    expect((report.created, queue.filed("PAY")) == (200, IN_PROJECT + 200), || {
        format!("{report:?}")
    })
}

/// Twenty a day and project, the worst first, and one digest a project.
async fn cap_and_digest() -> Result<()> {
    const CAP: usize = 20;
    let mut queue = Queue::new(|jira| jira.lifecycle.max_new_per_day = 20).await?;
    queue.scan_all(FINDINGS, None).await?;
    for (day, name) in ["cap of 20 a day: first day", "second day", "third day"]
        .iter()
        .enumerate()
    {
        let (report, _) = queue.run(name).await?;
        let left = ALL - (day + 1) * CAP * PROJECTS.len();
        for project in PROJECTS {
            let filed = queue.filed(project);
            expect(filed == (day + 1) * CAP, || {
                format!("{project}: {filed} on day {}", day + 1)
            })?;
        }
        let held = queue.held(Held::Cap).await?;
        expect((held, queue.notices()) == (left, PROJECTS.len()), || {
            format!("{held} held, {} digests, {report:?}", queue.notices())
        })?;
        let (again, _) = support::file(&queue.store, &queue.jira, &queue.clock).await?;
        expect(again.created == 0, || format!("more than the cap: {again:?}"))?;
        queue.seen = queue.sandbox.log().len();
        let high = queue
            .sandbox
            .issues()
            .iter()
            .filter(|one| one.summary.starts_with("[High]"))
            .count();
        // Fifty high ones in each project.
        let expected = ((day + 1) * CAP).min(50) * PROJECTS.len();
        expect(high == expected, || format!("{high} high ones, not {expected}"))?;
        queue.clock.skip(DAY);
    }
    let digest = queue
        .sandbox
        .issues()
        .into_iter()
        .find(|one| one.summary.contains("wait for tickets"));
    let said = digest.map_or(0, |one| one.comments.len());
    expect(said == 2, || {
        format!("{said} comments in a digest, not one for each further day")
    })
}

/// The first scans are recorded, then released at a pace; what is new is filed at once.
async fn baseline() -> Result<()> {
    const PACE: u32 = 100;
    let mut queue = Queue::new(|jira| jira.lifecycle.baseline = Baseline::Release { per_week: PACE }).await?;
    queue.scan_all(FINDINGS, None).await?;
    let (report, _) = queue.run("baseline: first night").await?;
    expect((report.created, report.held) == (0, ALL as u64), || {
        format!("{report:?}")
    })?;
    queue.clock.skip(DAY + Duration::from_hours(1));
    queue.scan_all(FINDINGS + 1, None).await?;
    let (report, _) = queue.run("100 a week, and 40 new ones").await?;
    expect(report.created == u64::from(PACE) + 40, || format!("{report:?}"))?;
    for _ in 0..5 {
        queue.clock.skip(DAY);
        let (report, _) = support::file(&queue.store, &queue.jira, &queue.clock).await?;
        expect(report.created == 0, || format!("faster than its pace: {report:?}"))?;
    }
    queue.seen = queue.sandbox.log().len();
    queue.clock.skip(DAY * 3);
    let (report, _) = queue.run("a week later").await?;
    expect(report.created == u64::from(PACE), || format!("{report:?}"))
}

/// As slow as it is configured by default, in real time.
async fn real_pace(time: Duration) -> Result<()> {
    let mut queue = Queue::new(|jira| jira.requests_per_s = 2.0).await?;
    queue.scan_all(FINDINGS, None).await?;
    let stop = CancellationToken::new();
    let end = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        end.cancel();
    });
    let began = Instant::now();
    let clock: Arc<dyn Clock> = Arc::clone(&queue.clock) as Arc<dyn Clock>;
    let report = Worker::new(queue.store.clone(), &queue.jira)?
        .with_clock(clock)
        .run(Duration::from_hours(1), &stop)
        .await?;
    let took = began.elapsed();
    let sent = queue.sandbox.log().len();
    queue.show(
        "2 requests a second, real time",
        took,
        &format!("{} created", report.created),
    )?;
    let most = 2.0 * took.as_secs_f64() + 1.0;
    expect(sent as f64 <= most && sent as f64 >= most * 0.9, || {
        format!("{sent} requests in {took:?}")
    })
}
