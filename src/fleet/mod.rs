//! Scans that run by themselves: what the schedule says is begun, what others began is helped with, what was left is
//! taken over.
//!
//! A process of this kind keeps nothing: all that it decides from is in the store and in the files of the sites. Any
//! number may run at once, and each may be killed at any time.

mod pick;
mod status;
mod turn;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Config, JiraConfig};
use crate::scan::{Ended, Helped, Now, ScanError, ScanEvent, ScanId, ScanState, Scanner};
use crate::site::{Site, SiteId};
use crate::store::{Store, StoreError};
use crate::tickets;

use pick::Job;
pub use pick::Outlook;
pub use status::Status;

/// How often it is asked what is to be done.
const GLANCE: Duration = Duration::from_secs(2);
/// What failed, or had nothing to do, is left alone for so long.
const REST: Duration = Duration::from_secs(30);
/// Tabs for one scan at most, and at least while several want some.
const MOST_TABS: usize = 4;
const FEW_TABS: usize = 2;
/// How long the tickets of one scan may take, if Jira cannot be reached at once.
const TICKETS_PATIENCE: Duration = Duration::from_mins(3);

/// What waits after that, for Jira or for a person's word, is tried again this often.
const FILE_AGAIN: Duration = Duration::from_mins(1);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Begins what the schedules of sites say.
    pub schedule: bool,
    /// Helps with scans of others, and takes over what was left.
    pub work: bool,
    /// Ends when nothing is due.
    pub once: bool,
}

/// What it tells.
#[derive(Debug)]
pub enum GangEvent {
    /// A scan begins, or goes on.
    Began(SiteId),
    /// It helps with a scan.
    Helps(ScanId, SiteId),
    /// It has helped.
    Helped(Helped),
    /// A scan ended.
    Ended(Box<Ended>),
    /// A scan could not be begun, or brought to its end.
    Failed(SiteId, ScanError),
    /// The tickets of a site were brought into line, as far as possible.
    Filed(SiteId, Box<tickets::Report>),
    /// The tickets of a site could not all be brought into line.
    Tickets(SiteId, String),
}

/// Why a process cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum GangError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be told whether a scan can be helped with.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A site's schedule cannot be used.
    #[error("site {site}: {why}; correct `schedule` in its file")]
    Schedule {
        /// The site.
        site: SiteId,
        /// What is wrong with it.
        why: String,
    },
}

/// Where it is told.
pub type GangListener = Arc<dyn Fn(GangEvent) + Send + Sync>;

/// One of the processes.
pub struct Gang {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The installation's settings.
    pub config: Arc<Config>,
    /// The sites of the files, which may change.
    pub sites: watch::Receiver<Arc<[Site]>>,
    /// The pool that it works for.
    pub pool: String,
    /// Tabs at most, of all its scans.
    pub tabs: usize,
    /// Where tickets are filed; `None` if they are not.
    pub jira: Option<JiraConfig>,
    /// What it counts.
    pub status: Arc<Status>,
    /// Who is told.
    pub listener: GangListener,
    /// Who begins its scans, for the audit log.
    pub by: String,
    /// Ends it: what it has goes back.
    pub stop: CancellationToken,
    /// The time.
    pub now: Now,
}

/// A job that runs.
struct Running {
    tabs: usize,
}

/// What came of a job.
struct Done {
    name: String,
    site: SiteId,
    came: Result<Came, ScanError>,
}

enum Came {
    Ended(Box<Ended>),
    Helped(Helped),
}

/// What is known for as long as the process runs.
#[derive(Default)]
struct Memory {
    running: HashMap<String, Running>,
    resting: HashMap<String, Instant>,
}

impl Memory {
    fn rests(&self, name: &str) -> bool {
        self.resting.get(name).is_some_and(|since| since.elapsed() < REST)
    }

    fn is_free(&self, name: &str) -> bool {
        !self.running.contains_key(name) && !self.rests(name)
    }

    fn tabs(&self) -> usize {
        self.running.values().map(|job| job.tabs).sum()
    }
}

impl Gang {
    /// Works until it is stopped, or nothing is due, as planned.
    ///
    /// # Errors
    /// When the store fails for long; what was begun goes on elsewhere. When a newer version works with the store in a
    /// way that this one does not know; then what it has goes back first.
    pub async fn run(&self, plan: Plan) -> Result<(), GangError> {
        let mut jobs: JoinSet<Done> = JoinSet::new();
        let mut memory = Memory::default();
        let filing = Arc::new(tokio::sync::Mutex::new(()));
        let desk = self.desk(&filing);
        let clerk = (!plan.once).then(|| AbortOnDropHandle::new(tokio::spawn(desk.stay())));
        let mut ended = Ok(());
        loop {
            let mut news = self.store.news();
            let free = self.tabs.saturating_sub(memory.tabs());
            let found = if self.stop.is_cancelled() || free == 0 {
                Vec::new()
            } else {
                match self.found(plan, &memory).await {
                    Err(newer @ GangError::Store(StoreError::Newer)) => {
                        ended = Err(newer);
                        self.stop.cancel();
                        Vec::new()
                    }
                    found => found?,
                }
            };
            let each = (free / found.len().max(1)).clamp(FEW_TABS, MOST_TABS);
            let mut left = free;
            for job in found {
                let tabs = each.min(left);
                if tabs == 0 {
                    break;
                }
                left -= tabs;
                memory.running.insert(job.name(), Running { tabs });
                self.begin(job, tabs, &mut jobs, &filing);
            }
            self.status.glance(memory.running.len(), memory.tabs());
            if jobs.is_empty() && (self.stop.is_cancelled() || plan.once) {
                break;
            }
            tokio::select! {
                Some(ended) = jobs.join_next(), if !jobs.is_empty() => {
                    match ended {
                        Ok(done) => self.tell(done, &mut memory),
                        // Which one it was is not known; what it held goes to others when its time is over.
                        Err(panic) => tracing::error!(%panic, "a scan failed; please report it"),
                    }
                }
                () = news.of_scans(GLANCE) => {}
                () = self.stop.cancelled(), if !self.stop.is_cancelled() => {}
            }
        }
        if let Some(clerk) = clerk {
            // It was told to stop, too, and gives the outbox back.
            let _ = clerk.await;
        }
        ended
    }

    /// What could be done now, if this version may still do it.
    async fn found(&self, plan: Plan, memory: &Memory) -> Result<Vec<Job>, GangError> {
        self.store.fits().await?;
        let found = self.find(plan, memory).await;
        if found.is_err() {
            // The tables may have become others meanwhile.
            self.store.fits().await?;
        }
        found
    }

    fn desk(&self, filing: &Arc<tokio::sync::Mutex<()>>) -> Desk {
        Desk {
            store: Arc::clone(&self.store),
            jira: self.jira.clone(),
            filing: Arc::clone(filing),
            listener: Arc::clone(&self.listener),
            stop: self.stop.clone(),
            now: Arc::clone(&self.now),
        }
    }

    fn scanner(&self, tabs: usize) -> Scanner {
        let (status, scan) = (Arc::clone(&self.status), OnceLock::new());
        Scanner {
            store: Arc::clone(&self.store),
            config: Arc::clone(&self.config),
            tabs,
            listener: Arc::new(move |event| {
                if let ScanEvent::Started { scan: began, .. } = &event {
                    let _ = scan.set(began.clone());
                }
                status.hear(scan.get(), &event);
            }),
            by: self.by.clone(),
            stop: self.stop.child_token(),
            now: Arc::clone(&self.now),
        }
    }

    fn begin(&self, job: Job, tabs: usize, jobs: &mut JoinSet<Done>, filing: &Arc<tokio::sync::Mutex<()>>) {
        (self.listener)(match &job {
            Job::Help(scan, site) => GangEvent::Helps(scan.clone(), site.clone()),
            job => GangEvent::Began(job.site().clone()),
        });
        let scanner = self.scanner(tabs);
        let (name, site) = (job.name(), job.site().clone());
        let desk = self.desk(filing);
        let status = Arc::clone(&self.status);
        jobs.spawn(async move {
            let came = Box::pin(turn::take(&scanner, job)).await;
            if let Ok(Came::Ended(ended)) = &came {
                status
                    .scan_ended(&site, &ended.record.id, ended.standing.as_str())
                    .await;
            }
            // What waits to go on has not seen all of its findings' pages yet.
            if let Ok(Came::Ended(ended)) = &came
                && ended.record.state != ScanState::Interrupted
            {
                desk.file(&site).await;
            }
            Done { name, site, came }
        });
    }

    fn tell(&self, done: Done, memory: &mut Memory) {
        memory.running.remove(&done.name);
        let event = match done.came {
            Ok(Came::Ended(ended)) => GangEvent::Ended(ended),
            Ok(Came::Helped(helped)) => {
                if helped.pages == 0 {
                    memory.resting.insert(done.name, Instant::now());
                }
                GangEvent::Helped(helped)
            }
            // Somebody else has it, which is what was wanted; or it is said once, at the end of all.
            Err(
                ScanError::Begun(_)
                | ScanError::HandedBack(_)
                | ScanError::StillRunning { .. }
                | ScanError::Meanwhile(_)
                | ScanError::Store(StoreError::Newer),
            ) => return,
            Err(ScanError::Stopped) if self.stop.is_cancelled() => return,
            Err(error) => {
                memory.resting.insert(done.name, Instant::now());
                GangEvent::Failed(done.site, error)
            }
        };
        (self.listener)(event);
    }
}

/// Files the tickets of scans that ended, of one after the other.
struct Desk {
    store: Arc<dyn Store>,
    jira: Option<JiraConfig>,
    filing: Arc<tokio::sync::Mutex<()>>,
    listener: GangListener,
    stop: CancellationToken,
    now: Now,
}

impl Desk {
    /// Files what waited when its scan ended, as soon as it may be tried again, until it is stopped.
    async fn stay(self) {
        let Some(jira) = &self.jira else { return };
        while self
            .stop
            .run_until_cancelled(tokio::time::sleep(FILE_AGAIN))
            .await
            .is_some()
        {
            let due = self.store.due_intents((self.now)(), 1, None).await;
            // Whoever scans will meet what is wrong with the store, and say so.
            if due.map_or(true, |due| due.is_empty()) {
                continue;
            }
            let _turn = self.filing.lock().await;
            let filed = match tickets::Worker::new(self.store.clone(), jira) {
                Err(error) => Err(error.to_string()),
                Ok(worker) => worker
                    .run(TICKETS_PATIENCE, &self.stop)
                    .await
                    .map_err(|error| error.to_string()),
            };
            if let Err(error) = filed {
                tracing::warn!(error, "tickets that wait could not be filed; they are tried again");
            }
        }
    }

    async fn file(&self, site: &SiteId) {
        let Some(jira) = &self.jira else { return };
        let _turn = self.filing.lock().await;
        let trouble = match tickets::Worker::new(self.store.clone(), jira) {
            Err(error) => Some(error.to_string()),
            Ok(worker) => match worker.for_site(site).run(TICKETS_PATIENCE, &self.stop).await {
                Err(error) => Some(error.to_string()),
                Ok(report) => {
                    let why = report
                        .paused
                        .as_ref()
                        .map_or_else(String::new, |why| format!(": {why}"));
                    let waiting = report.waiting;
                    (self.listener)(GangEvent::Filed(site.clone(), Box::new(report)));
                    (waiting > 0).then(|| format!("{waiting} not brought into line with Jira yet{why}"))
                }
            },
        };
        if let Some(trouble) = trouble {
            (self.listener)(GangEvent::Tickets(site.clone(), trouble));
        }
    }
}
