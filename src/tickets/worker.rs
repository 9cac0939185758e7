//! Works the outbox: one process at a time, one intent after the other, every outcome followed by what it asks for.
//!
//! A crash at any instant is safe: an action is recorded before it is sent, and one whose outcome is not known is
//! looked for in Jira, for as long as Jira's search may lag, before it is sent again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::clock::{Clock, SystemClock, after, between};
use super::gate::{Gate, Plan, project_of};
use super::notice::Notice;
use super::outbox::{Held, Hold, Intent};
use super::reconcile::{Outcome, Reconciler, Trouble, policy};
use super::report::{DeadLetter, Event, Report};
use crate::config::JiraConfig;
use crate::jira::{Client, Failure, SetupError};
use crate::site::SiteId;
use crate::store::{Result, StoreError, TicketStore};
use crate::triage::{DecidedIn, Decision};

/// Intents read at once.
const BATCH: u32 = 50;
/// Intents that one run plans at most.
pub(super) const PLANNED: u32 = 100_000;
/// Between two looks at what is due while waiting, so that the lease stays ours.
const NAP: Duration = Duration::from_secs(10);

/// How long the worker waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A create whose outcome is not known is looked for at least this long before it is sent again. Longer than
    /// Jira's search lags and than Jira works on a request whose connection is gone.
    pub settle: Duration,
    /// The first wait after a failure; each further one is twice as long.
    pub backoff: Duration,
    /// The longest wait after a failure.
    pub max_backoff: Duration,
    /// How long the outbox stays ours without a sign of life. Longer than one request may take.
    pub lease: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            settle: Duration::from_mins(2),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_mins(5),
            lease: Duration::from_mins(1),
        }
    }
}

impl Timing {
    /// The wait after this many failures in a row.
    fn wait(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
        self.backoff.saturating_mul(factor).min(self.max_backoff)
    }
}

type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// Works the outbox of one store into one Jira.
pub struct Worker {
    pub(super) store: Arc<dyn TicketStore>,
    pub(super) jira: Client,
    pub(super) config: JiraConfig,
    pub(super) timing: Timing,
    pub(super) clock: Arc<dyn Clock>,
    listener: Listener,
    owner: String,
    site: Option<SiteId>,
    pub(super) started: Timestamp,
}

impl Worker {
    /// A worker. Nothing is sent yet.
    pub fn new(store: Arc<dyn TicketStore>, config: &JiraConfig) -> std::result::Result<Self, SetupError> {
        let timing = Timing::default();
        Ok(Self {
            store,
            jira: Client::new(config)?,
            timing: Timing {
                lease: timing.lease.max(config.timeout + Duration::from_secs(30)),
                ..timing
            },
            config: config.clone(),
            clock: Arc::new(SystemClock),
            listener: Arc::new(|_| {}),
            owner: format!("{}:{:016x}", std::process::id(), rand::random::<u64>()),
            site: None,
            started: SystemClock.now(),
        })
    }

    /// For the findings of one site alone: what waits of others is left to who asks for it.
    #[must_use]
    pub fn for_site(mut self, site: &SiteId) -> Self {
        self.site = Some(site.clone());
        self
    }

    /// With other waits.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.started = clock.now();
        self.clock = clock;
        self
    }

    /// With somebody who is told what happens, as it happens.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.listener = Arc::new(listener);
        self
    }

    /// Works until nothing is left, or nothing can be done within `patience`, or `stop` is called.
    ///
    /// What is due now is always worked on; `patience` bounds only the waiting for what is due later. Dropping the
    /// future is safe at any point, but holds the outbox until the lease runs out; `stop` gives it back.
    ///
    /// # Errors
    /// When the store fails. Whatever Jira does is in the report.
    pub async fn run(&self, patience: Duration, stop: &CancellationToken) -> Result<Report> {
        let mut run = Run {
            worker: self,
            fence: Fence::new(self),
            deadline: after(self.clock.now(), patience),
            report: Report::default(),
            failures: 0,
            known: false,
            hold: None,
            gate: None,
            tripped: Vec::new(),
        };
        let worked = tokio::select! {
            worked = run.work() => worked,
            () = stop.cancelled() => {
                run.pause("stopped before all tickets were filed; the next run goes on".to_owned());
                Ok(())
            }
        };
        let Run { fence, mut report, .. } = run;
        let released = fence.release().await;
        worked?;
        released?;
        report.waiting = self.store.intent_count(self.site.as_ref()).await?;
        Ok(report)
    }
}

/// Proof that the outbox is ours. Looked at before every request, so that a process that was frozen while another took
/// over sends nothing.
pub(super) struct Fence<'a> {
    worker: &'a Worker,
    held: Mutex<bool>,
}

impl<'a> Fence<'a> {
    pub fn new(worker: &'a Worker) -> Self {
        Self {
            worker,
            held: Mutex::new(false),
        }
    }

    /// Takes or renews the lease. False if another process holds it.
    pub async fn take(&self) -> Result<bool> {
        let Worker {
            store,
            clock,
            timing,
            owner,
            ..
        } = self.worker;
        let now = clock.now();
        let ours = store.lease_outbox(owner, now, after(now, timing.lease)).await?;
        *self.held.lock().await = ours;
        Ok(ours)
    }

    /// Renews the lease, or says that it is lost.
    pub async fn check(&self) -> std::result::Result<(), Trouble> {
        if self.take().await? {
            Ok(())
        } else {
            Err(Trouble::LostLease)
        }
    }

    pub async fn release(&self) -> Result<()> {
        if *self.held.lock().await {
            self.worker.store.release_outbox(&self.worker.owner).await?;
        }
        Ok(())
    }
}

struct Run<'a> {
    worker: &'a Worker,
    fence: Fence<'a>,
    deadline: Timestamp,
    report: Report,
    /// Requests in a row that Jira did not answer properly.
    failures: u32,
    /// Jira has told us who we are.
    known: bool,
    /// Nothing is sent before this, and why.
    hold: Option<(Timestamp, String)>,
    /// How much may be changed; set as soon as the outbox is ours.
    gate: Option<Gate>,
    /// Projects whose breaker has tripped in this run.
    tripped: Vec<Hold>,
}

/// What a run does next.
enum Next {
    Intent,
    Look,
    End,
}

impl Run<'_> {
    async fn work(&mut self) -> Result<()> {
        let Worker { store, site, .. } = self.worker;
        if store.intent_count(site.as_ref()).await? == 0 || !self.take_lease().await? {
            return Ok(());
        }
        let planned = self.plan().await?;
        let ended = self.drain(planned).await?;
        if !ended {
            self.notices().await?;
        }
        Ok(())
    }

    /// Says, before anything is sent, in which order what is due is worked on, and what of it has to wait.
    async fn plan(&mut self) -> Result<Vec<Intent>> {
        let Worker {
            store, clock, config, ..
        } = self.worker;
        let now = clock.now();
        self.wish_for_duplicates().await?;
        let gate = Gate::open(store.as_ref(), config, now).await?;
        let due = store.due_intents(now, PLANNED, self.worker.site.as_ref()).await?;
        let policy = policy(config);
        let Plan { order, held, tripped } = gate.plan(store.as_ref(), config, &policy, due, now).await?;
        for hold in tripped {
            self.trip(hold).await?;
        }
        for (intent, why, until) in held {
            store.hold_intent(&intent, until, why).await?;
            self.report.held += 1;
        }
        self.gate = Some(gate);
        Ok(order)
    }

    /// A duplicate is looked at again: the ticket that it follows may be done by now.
    async fn wish_for_duplicates(&self) -> Result<()> {
        let Worker { store, clock, .. } = self.worker;
        let duplicates: Vec<_> = store
            .suppressions()
            .await?
            .into_iter()
            .filter(|one| one.decision == Decision::Duplicate && one.decided_in == DecidedIn::Ticket)
            .filter_map(|one| one.scope.fingerprint)
            .collect();
        if duplicates.is_empty() {
            return Ok(());
        }
        store.wish(&duplicates, clock.now()).await
    }

    async fn trip(&mut self, hold: Hold) -> Result<()> {
        self.worker.store.put_hold(&hold).await?;
        self.tell(&Event::Tripped(hold.clone()));
        self.tripped.push(hold);
        Ok(())
    }

    /// Tells in Jira, once each, what is held. If that fails, the next run tells.
    async fn notices(&mut self) -> Result<()> {
        let Worker { store, clock, .. } = self.worker;
        let mut notices = Vec::new();
        for hold in store.holds().await?.into_iter().filter(|hold| hold.released.is_none()) {
            notices.push(Notice::incident(&hold));
        }
        for (project, waiting) in self.waiting_for_caps().await? {
            let event = Event::Digest {
                project: project.clone(),
                waiting,
            };
            self.tell(&event);
            notices.push(Notice::digest(&project, waiting, clock.now()));
        }
        for notice in notices {
            let told = match self.reconciler() {
                Some(reconciler) => reconciler.notify(&notice).await,
                None => Ok(()),
            };
            match told {
                Ok(()) => {}
                Err(Trouble::Store(error)) => return Err(error),
                Err(trouble) => {
                    tracing::warn!(project = %notice.project, ?trouble, "what is held could not be told in Jira yet");
                }
            }
        }
        Ok(())
    }

    /// How many findings wait for the cap of a project.
    async fn waiting_for_caps(&self) -> Result<BTreeMap<String, u64>> {
        let Worker { store, config, .. } = self.worker;
        let mut waiting = BTreeMap::new();
        for intent in store.due_intents(Timestamp::MAX, PLANNED, None).await? {
            if intent.held != Some(Held::Cap) {
                continue;
            }
            if let Some(finding) = store.finding(&intent.fingerprint).await? {
                *waiting
                    .entry(project_of(store.as_ref(), config, &finding).await?)
                    .or_default() += 1;
            }
        }
        Ok(waiting)
    }

    /// Works on what is due, as planned first. True if the run is at its end whatever is left.
    async fn drain(&mut self, planned: Vec<Intent>) -> Result<bool> {
        for intent in planned {
            match self.one(&intent).await? {
                Next::Intent => {}
                Next::Look => break,
                Next::End => return Ok(true),
            }
        }
        let Worker { store, clock, .. } = self.worker;
        loop {
            if let Some((until, why)) = self.hold.take()
                && !self.wait(until).await?
            {
                self.pause(why);
                return Ok(true);
            }
            let due = store.due_intents(clock.now(), BATCH, self.worker.site.as_ref()).await?;
            if due.is_empty() {
                let later = store
                    .due_intents(self.deadline, BATCH, self.worker.site.as_ref())
                    .await?;
                // What is held waits for another run.
                let later = later.iter().filter(|intent| intent.held.is_none());
                let Some(next) = later.map(|intent| intent.due).min() else {
                    return Ok(false);
                };
                self.wait(next).await?;
                continue;
            }
            for intent in due {
                match self.one(&intent).await? {
                    Next::Intent => {}
                    Next::Look => break,
                    Next::End => return Ok(true),
                }
            }
        }
    }

    /// The process that held the outbox may have died without giving it back, so its lease is waited for.
    async fn take_lease(&mut self) -> Result<bool> {
        let Worker { clock, timing, .. } = self.worker;
        let patience = after(clock.now(), timing.lease + timing.backoff).max(self.deadline);
        let mut told = false;
        while !self.fence.take().await? {
            if clock.now() >= patience {
                self.pause("another process is filing tickets from this store; what is left is filed there".to_owned());
                return Ok(false);
            }
            if !told {
                told = true;
                self.tell(&Event::Holding {
                    wait: timing.lease,
                    why: "another process is filing tickets from this store, or died while it did".to_owned(),
                });
            }
            clock.sleep(timing.backoff).await;
        }
        Ok(true)
    }

    /// Waits, keeping the lease. False, at once, if that would take longer than the run may wait.
    async fn wait(&self, until: Timestamp) -> Result<bool> {
        let clock = &self.worker.clock;
        if until > self.deadline && until > clock.now() {
            return Ok(false);
        }
        while clock.now() < until {
            clock.sleep(between(clock.now(), until).min(NAP)).await;
            // A lost lease shows at the next intent.
            self.fence.take().await?;
        }
        Ok(true)
    }

    async fn one(&mut self, intent: &Intent) -> Result<Next> {
        match self.reconcile(intent).await {
            Ok(outcome) => {
                self.failures = 0;
                self.worker.store.finish_intent(intent).await?;
                self.count(intent, outcome);
                Ok(Next::Intent)
            }
            Err(trouble) => self.troubled(intent, trouble).await,
        }
    }

    async fn reconcile(&mut self, intent: &Intent) -> std::result::Result<Outcome, Trouble> {
        let worker = self.worker;
        self.fence.check().await?;
        if !self.known {
            // A search that Jira answers as to a stranger finds nothing, and would be followed by a second ticket.
            let me = worker.jira.myself().await?;
            tracing::debug!(account = %me.display_name, "Jira knows us");
            self.known = true;
        }
        match self.reconciler() {
            Some(reconciler) => reconciler.reconcile(intent).await,
            None => Ok(Outcome::NotFiled),
        }
    }

    fn reconciler(&self) -> Option<Reconciler<'_>> {
        let worker = self.worker;
        Some(Reconciler {
            store: worker.store.as_ref(),
            jira: &worker.jira,
            config: &worker.config,
            timing: &worker.timing,
            clock: worker.clock.as_ref(),
            fence: &self.fence,
            gate: self.gate.as_ref()?,
            revive_before: worker.started,
        })
    }

    fn count(&mut self, intent: &Intent, outcome: Outcome) {
        let fingerprint = intent.fingerprint.clone();
        let report = &mut self.report;
        let event = match outcome {
            Outcome::Created { key } => {
                report.created += 1;
                Event::Created { fingerprint, key }
            }
            Outcome::Adopted { key } => {
                report.adopted += 1;
                Event::Adopted { fingerprint, key }
            }
            Outcome::Unchanged { key } => {
                report.unchanged += 1;
                Event::Unchanged { fingerprint, key }
            }
            Outcome::Changed { key, did } => {
                report.changed += 1;
                Event::Changed { fingerprint, key, did }
            }
            Outcome::Gone { key, orphan } => {
                report.gone += 1;
                if orphan {
                    Event::Orphan { fingerprint, key }
                } else {
                    Event::Gone { fingerprint, key }
                }
            }
            Outcome::NotFiled => {
                report.not_filed += 1;
                return;
            }
            Outcome::Dead { fresh: false, .. } => return,
            Outcome::Dead { error, fresh: true } => {
                let letter = DeadLetter { fingerprint, error };
                report.dead.push(letter.clone());
                Event::Dead(letter)
            }
        };
        self.tell(&event);
    }

    async fn troubled(&mut self, intent: &Intent, trouble: Trouble) -> Result<Next> {
        let timing = &self.worker.timing;
        let failure = match trouble {
            Trouble::Store(error) => return Err(error),
            Trouble::LostLease => {
                self.pause("another process has taken over the filing of tickets".to_owned());
                return Ok(Next::End);
            }
            Trouble::Configuration(why) => {
                self.pause(why);
                return Ok(Next::End);
            }
            Trouble::Settling => {
                let why = "its ticket may have been created; Jira is asked again before another one is";
                let wait = timing.wait(intent.attempts + 1);
                return self.postpone(intent, wait, why.to_owned()).await.map(|()| Next::Intent);
            }
            Trouble::Held(why, until, hold) => {
                if let Some(hold) = hold.filter(|hold| !self.tripped.contains(hold)) {
                    self.trip(hold).await?;
                }
                self.worker.store.hold_intent(intent, until, why).await?;
                self.report.held += 1;
                return Ok(Next::Intent);
            }
            Trouble::Jira(failure) => failure,
        };
        let why = failure.to_string();
        let (own, all) = match failure {
            Failure::RateLimited { retry_after, .. } => (retry_after, retry_after),
            Failure::NotSent { .. } | Failure::Uncertain { .. } => {
                self.failures += 1;
                (timing.wait(intent.attempts + 1), timing.wait(self.failures))
            }
            Failure::Unauthorized { .. }
            | Failure::Forbidden { .. }
            | Failure::NotFound { .. }
            | Failure::Rejected { .. }
            | Failure::Misconfigured { .. } => {
                self.pause(why);
                return Ok(Next::End);
            }
        };
        self.postpone(intent, own, why.clone()).await?;
        self.hold = Some((after(self.worker.clock.now(), all), why.clone()));
        self.tell(&Event::Holding { wait: all, why });
        Ok(Next::Look)
    }

    async fn postpone(&self, intent: &Intent, wait: Duration, why: String) -> std::result::Result<(), StoreError> {
        let due = after(self.worker.clock.now(), wait);
        self.worker.store.postpone_intent(intent, due).await?;
        self.tell(&Event::Postponed {
            fingerprint: intent.fingerprint.clone(),
            wait,
            why,
        });
        Ok(())
    }

    fn pause(&mut self, why: String) {
        self.tell(&Event::Paused { why: why.clone() });
        self.report.paused = Some(why);
    }

    fn tell(&self, event: &Event) {
        (self.worker.listener)(event);
    }
}
