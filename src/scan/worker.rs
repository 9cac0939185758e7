//! One worker: leases a page, renders it in its tab, has it inspected, records it, and takes the next.

mod marked;
mod record;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use phantom_checks::evidence::Evidence;
use url::Url;

use super::held::Held;
use super::incremental::Taken;
use super::inspect::Inspected;
use super::judge::died;
use super::login::{self, Kept};
use super::run::Run;
use super::turns::host_of;
use super::{ScanError, ScanEvent};
use crate::browser::{Captured, PageRequest, RenderError, SessionState, Shot, Slot, Visit};
use crate::crawl::reached::{Baseline, Instead};
use crate::crawl::{Lease, PageOutcome, ROBOTS};
use crate::triage::Picture;

pub(super) use marked::Marked;

/// After a stop, pages in flight get this long to end by themselves.
const GRACE: Duration = Duration::from_millis(1_500);
/// Workers look at the frontier at least this often: another process may have changed it.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// How often it is looked whether a budget that is spent is so for good.
const AT_THE_LIMIT: Duration = Duration::from_millis(300);
/// A helper that finds no page for so long goes where there are some.
const HELPERS_PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Worker {
    pub(super) run: Arc<Run>,
    number: usize,
    slot: Slot,
    /// What the last page showed of the session.
    sign: Option<login::Seen>,
}

/// How often the session of a resumed scan is begun again, if browsers die with it.
const SESSION_TRIES: u32 = 3;

/// What became of a worker's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// A page has got its record.
    Recorded,
    /// A page went back to the frontier.
    Again,
    /// No page is left, or the scan ends.
    Over,
}

/// A page that was looked at.
pub(super) struct Looked {
    captured: Box<Captured>,
    inspected: Inspected,
    /// What answered in its place.
    instead: Option<Instead>,
}

/// What a rendered page comes to.
pub(super) enum Seen {
    Page(Box<Looked>),
    /// Nothing of it has changed since it was looked at.
    Taken(Box<Taken>),
    /// It cannot be looked at, and trying again would not help.
    Not(PageOutcome),
    /// It goes back to the frontier.
    Again {
        why: String,
        crashed: bool,
        host_waits: Option<Duration>,
    },
}

impl Worker {
    pub fn new(run: Arc<Run>, number: usize) -> Self {
        let slot = run.pool.slot(number);
        Self {
            run,
            number,
            slot,
            sign: None,
        }
    }

    pub(super) fn slot(&mut self) -> &mut Slot {
        &mut self.slot
    }

    /// Looks at the start page, alone, and gives the cookies of this worker's browser to all others: they share the
    /// session that it began. With `visited`, an earlier process has looked at it; then the page is visited for its
    /// session alone.
    pub async fn begin_session(&mut self, visited: bool) -> Result<(), ScanError> {
        self.log_in().await?;
        if visited {
            self.visit_start().await;
        } else {
            while self.one_page().await? == Turn::Again {}
        }
        let run = Arc::clone(&self.run);
        run.stop.run_until_cancelled(run.pool.share_cookies(&self.slot)).await;
        Ok(())
    }

    /// Logs in, if the site's file says how, and answers its consent wall.
    async fn log_in(&mut self) -> Result<(), ScanError> {
        let run = Arc::clone(&self.run);
        if let Some(keeper) = &run.keeper {
            return keeper.begin(&run, &mut self.slot).await;
        }
        if run.consent.is_empty() {
            return Ok(());
        }
        let answered = login::consent(&run, &mut self.slot, &run.consent);
        match run.stop.run_until_cancelled(answered).await {
            None => {}
            Some(Ok(())) => {
                let session = login::merged(SessionState::default(), self.slot.session().await);
                run.pool.give_session(session).await;
            }
            Some(Err(RenderError::NoBrowser(error))) => return Err(error.into()),
            Some(Err(error)) => run.remark(format!("client.consent: {error}")),
        }
        Ok(())
    }

    async fn visit_start(&mut self) {
        let run = Arc::clone(&self.run);
        let Some(start) = run.site.start.first().filter(|start| run.robots().allows(start)) else {
            return;
        };
        for _ in 0..SESSION_TRIES {
            let request = self.request(start);
            let visited = run.stop.run_until_cancelled(self.slot.render(&request, false)).await;
            // Whatever else is wrong with the page is in its record already.
            if !matches!(visited, Some(Err(RenderError::Died(_)))) {
                return;
            }
        }
    }

    pub(super) fn request(&self, url: &Url) -> PageRequest {
        let run = &self.run;
        PageRequest {
            url: url.to_string(),
            may_go: run.may_go(url),
            deadline: run.page_deadline,
            may_visit: run.may_visit(),
            guard: Arc::clone(&run.guard),
            script: run.script.clone(),
            redactor: run.redactor.clone(),
            scripts: Arc::clone(&run.scripts),
            explore: None,
            marks: run.incremental.is_some(),
            held_word: None,
        }
    }

    /// Looks at pages until none is left.
    pub async fn all_pages(&mut self) -> Result<(), ScanError> {
        let run = Arc::clone(&self.run);
        loop {
            while self.one_page().await? != Turn::Over {}
            let Some(keeper) = &run.keeper else { break };
            if run.stop.is_cancelled() || !keeper.last_look(&run, &mut self.slot).await? {
                break;
            }
        }
        self.slot.close().await;
        Ok(())
    }

    /// Looks at the next page.
    async fn one_page(&mut self) -> Result<Turn, ScanError> {
        let Some(lease) = self.lease().await? else {
            return Ok(Turn::Over);
        };
        let began = Instant::now();
        let url = lease.url.to_string();
        self.run.tell(ScanEvent::PageStarted {
            tab: self.number,
            url: url.clone(),
        });
        let run = Arc::clone(&self.run);
        let seen = tokio::select! {
            seen = self.look_logged_in(&lease) => seen?,
            () = grace_over(&run) => Seen::Again {
                why: "the scan was stopped".to_owned(),
                crashed: false,
                host_waits: None,
            },
        };
        let mut turn = Turn::Recorded;
        if let Seen::Page(_) | Seen::Taken(_) | Seen::Not(_) = &seen {
            run.turns.answered(host_of(&lease.url)).await?;
        }
        match seen {
            Seen::Page(looked) => self.record(&lease, *looked, began).await?,
            Seen::Taken(taken) => self.record_taken(&lease, *taken, began).await?,
            Seen::Not(outcome) => self.record_loss(&lease, outcome).await?,
            Seen::Again {
                why,
                crashed,
                host_waits,
            } => {
                turn = Turn::Again;
                if let Some(wait) = host_waits {
                    let host = host_of(&lease.url);
                    self.run.turns.refused(host, wait).await?;
                    self.run.tell(ScanEvent::HostWaits {
                        host: host.to_owned(),
                        wait,
                    });
                }
                self.run.store.release(&lease, crashed).await?;
                self.run.give_page_back();
                self.run.give_alike_back(&lease);
                self.run.tell(ScanEvent::PageLeft {
                    tab: self.number,
                    url,
                    reason: why,
                });
            }
        }
        run.in_flight.ended(lease.depth);
        run.changed.notify_waiters();
        run.save_remarks().await?;
        let counts = run.store.counts(&run.scan).await?;
        run.heard_counts(counts);
        run.waiting.store(counts.waiting, Ordering::Relaxed);
        run.tell(ScanEvent::Counts(counts));
        Ok(turn)
    }

    async fn lease(&self) -> Result<Option<Held>, ScanError> {
        let run = &self.run;
        let began = Instant::now();
        loop {
            let mut news = run.store.news();
            let changed = run.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if run.stop.is_cancelled() || run.give_up.is_cancelled() || !run.take_page() {
                return Ok(None);
            }
            let request = run.lease_request(1);
            if let Some(lease) = run.holding.lease(&*run.store, &request).await? {
                if run.is_early(&lease) {
                    run.store.release(&lease, false).await?;
                    run.give_page_back();
                    run.shallower_done(&lease).await;
                    continue;
                }
                let Some(reason) = run.take_alike(&lease).await? else {
                    run.in_flight.begins(lease.depth);
                    return Ok(Some(lease));
                };
                self.lose(&lease, PageOutcome::Skipped(reason)).await?;
                run.give_page_back();
                continue;
            }
            run.give_page_back();
            if run.helps && began.elapsed() > HELPERS_PATIENCE {
                return Ok(None);
            }
            let Some(next) = run.store.next_lease_at(&request).await? else {
                return Ok(None);
            };
            let mut shortest = Duration::from_millis(1);
            let counts = run.store.counts(&run.scan).await?;
            if counts.leased + counts.done + counts.failed >= request.most {
                // The budget is spent, unless a page that somebody is at turns out to be none.
                run.heard_counts(counts);
                shortest = AT_THE_LIMIT;
            }
            let wait = Duration::try_from(next.duration_since(run.now())).unwrap_or_default();
            tokio::select! {
                () = changed => {}
                () = news.of_pages(&run.scan, wait.clamp(shortest, LONGEST_SLEEP)) => {}
                () = run.stop.cancelled() => {}
                () = run.give_up.cancelled() => {}
            }
        }
    }

    /// Looks at a page and after the login.
    async fn look_logged_in(&mut self, lease: &Lease) -> Result<Seen, ScanError> {
        self.sign = None;
        let mut seen = self.look_at(lease).await?;
        let run = Arc::clone(&self.run);
        let (Some(keeper), Some(sign)) = (&run.keeper, self.sign) else {
            return Ok(seen);
        };
        let kept = keeper.after(&run, &mut self.slot, &lease.key, sign).await?;
        if let Seen::Page(looked) = &mut seen {
            looked.captured.evidence.page.logged_in = Some(kept == Kept::In);
        }
        Ok(match kept {
            Kept::In | Kept::Out => seen,
            Kept::LeftAlone => {
                let why = "looking at it ends the session, so it is left alone".to_owned();
                Seen::Not(PageOutcome::Skipped(why))
            }
            Kept::Again => Seen::Again {
                why: "the login was lost".to_owned(),
                crashed: false,
                host_waits: None,
            },
        })
    }

    async fn look_at(&mut self, lease: &Lease) -> Result<Seen, ScanError> {
        let run = Arc::clone(&self.run);
        run.learn_robots(&lease.url).await;
        if run.stop.is_cancelled() && run.robots().lacks(&lease.url) {
            return Ok(Seen::Again {
                why: "robots.txt is not known".to_owned(),
                crashed: false,
                host_waits: None,
            });
        }
        if !run.robots().allows(&lease.url) {
            return Ok(Seen::Not(PageOutcome::Skipped(ROBOTS.to_owned())));
        }
        if let Some(taken) = run.take_as_seen(lease).await? {
            return Ok(Seen::Taken(Box::new(taken)));
        }
        self.learn_missing(lease).await;
        let mut request = self.request(&lease.url);
        request.explore = run.exploration(lease);
        let asked = Instant::now();
        let rendered = self.slot.render(&request, lease.alone).await;
        run.tell_restarts("it died or hung, and was replaced");
        run.remark_browsers();
        if run.egress.budget_exhausted() && !matches!(rendered, Err(RenderError::NoBrowser(_))) {
            // Whatever was seen was cut off.
            return Ok(Seen::Again {
                why: "the limit of bytes was reached".to_owned(),
                crashed: false,
                host_waits: None,
            });
        }
        if let (Some(keeper), Ok(visit)) = (&run.keeper, &rendered) {
            self.sign = keeper.sign(&lease.url, visit).map(|sign| login::Seen { sign, asked });
        }
        match rendered {
            Ok(visit) => match run.judge(lease, visit) {
                Ok((captured, instead)) => {
                    let (mut captured, mut inspected) = self.examine(captured, instead.as_ref()).await;
                    inspected.pictures = self.picture(&request, &captured, &inspected).await;
                    self.slot.leave(&request, &mut captured).await;
                    if instead.is_none() {
                        self.look_marked(lease, &request, &mut captured, &mut inspected).await;
                    }
                    self.prove(&mut captured, &mut inspected).await;
                    Ok(Seen::Page(Box::new(Looked {
                        captured,
                        inspected,
                        instead,
                    })))
                }
                Err(seen) => Ok(seen),
            },
            Err(RenderError::Died(why)) => Ok(died(lease, why)),
            Err(RenderError::NoBrowser(error)) => {
                run.store.release(lease, false).await?;
                Err(error.into())
            }
            Err(error @ RenderError::NotNow) => Ok(Seen::Again {
                why: error.to_string(),
                crashed: false,
                host_waits: None,
            }),
            Err(error @ RenderError::Deadline(_)) => Ok(run.not_seen(lease, error.to_string())),
        }
    }

    /// The checks look at a page; robots.txt of the origins it links to is learnt. What is not of the site's own making
    /// says nothing of the site, so they do not look at that.
    async fn examine(&self, mut captured: Box<Captured>, instead: Option<&Instead>) -> (Box<Captured>, Inspected) {
        let run = &self.run;
        let mut inspected = Inspected::default();
        if !instead.is_some_and(|instead| instead.what.is_foreign()) {
            run.read_side_files(&mut captured).await;
            let took = Duration::from_millis(captured.evidence.page.took_ms);
            run.inspector.count(took, captured.probing);
            let inspecting = run.inspector.inspect(run, &mut captured.evidence, &captured.scripts);
            inspected = inspecting.await;
            if !run.record.trigger.is_look() {
                self.learn_linked_robots(&captured.evidence).await;
            }
        }
        (captured, inspected)
    }

    /// Pictures of what the checks saw, while the page is still open.
    async fn picture(&mut self, request: &PageRequest, captured: &Captured, inspected: &Inspected) -> Vec<Picture> {
        let run = Arc::clone(&self.run);
        if run.record.trigger.is_look() {
            return Vec::new();
        }
        let wanted = run
            .pictures
            .wanted(&run.site.id, &captured.evidence, &inspected.observations);
        if wanted.is_empty() {
            return Vec::new();
        }
        let (fingerprints, spots): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let pictures = self.slot.pictures(request, &spots).await;
        let taken = fingerprints.into_iter().zip(pictures);
        taken
            .filter_map(|(fingerprint, shot)| {
                let Shot { width, height, png } = shot?;
                run.pictures.taken(&fingerprint);
                Some(Picture {
                    fingerprint,
                    scan: run.scan.clone(),
                    taken: run.now(),
                    width,
                    height,
                    png,
                })
            })
            .collect()
    }

    /// Once for each origin, before its first page but for a start page, which begins the session: what it shows for an
    /// address that cannot exist, if it does not say by its status that there is none.
    async fn learn_missing(&mut self, lease: &Lease) {
        let run = Arc::clone(&self.run);
        let Some(nothing) = run.address_of_nothing(&lease.url).filter(|_| lease.depth > 0) else {
            return;
        };
        let _asking = run.asking.lock().await;
        if !run.looks.lacks(&nothing) {
            return;
        }
        let Some(exists) = run.seems_to_exist(&nothing).await else {
            return;
        };
        let mut shown = None;
        if exists {
            let request = self.request(&nothing);
            let rendered = run.stop.run_until_cancelled(self.slot.render(&request, false)).await;
            if let Some(Ok(Visit::Page(captured))) = rendered
                && captured.evidence.page.redirects.is_empty()
            {
                shown = Baseline::of(&captured.evidence);
            }
        }
        run.looks.keep_missing(&nothing, shown);
    }

    pub(super) async fn learn_linked_robots(&self, evidence: &Evidence) {
        for link in &evidence.links {
            if let Ok(url) = Url::parse(&link.url)
                && self.run.robots().lacks(&url)
                && self.run.scope().admits(&url).is_ok()
            {
                self.run.learn_robots(&url).await;
            }
        }
    }
}

async fn grace_over(run: &Run) {
    run.stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}
