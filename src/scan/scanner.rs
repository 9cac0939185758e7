//! A scan from its start, or its resumption, to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use phantom_checks::evidence::Evidence;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::help::{all_hands, free_the_dead, keep_alive};
use super::login::{LoginSecretError, Secrets};
use super::run::{Parts, Run};
use super::shared::{SCAN_KEPT, after};
use super::worker::Worker;
use super::{
    AuditEntry, Learnt, ScanCounts, ScanEvent, ScanId, ScanOwner, ScanRecord, ScanState, Standing, Trigger, Wish,
    advisories, close, owner,
};
use crate::browser::{BrowserError, ClientRules, Pool, PoolOptions};
use crate::config::{Config, Screenshots};
use crate::crawl::{Guard, LinkRules, NewPage, RobotsBook};
use crate::egress::{Egress, EgressError, EgressRules, FetchError, MayPass};
use crate::site::{BadPattern, ScopeRules, Site, SiteId};
use crate::store::{Store, StoreError};
use crate::triage::Fingerprint;

/// How often a scan that came to its end goes on, because pages turn out to be left.
const MOST_ENDS: u32 = 5;

/// Where a scan tells what happens. Called from many tasks; it must not block.
pub type Listener = Arc<dyn Fn(ScanEvent) + Send + Sync>;

/// Where the times that a scan records come from. What it waits for passes in real time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What to scan.
#[derive(Debug, Clone)]
pub enum Start {
    /// A site, from its start pages.
    New {
        /// The site.
        site: Box<Site>,
        /// Who wants it.
        trigger: Trigger,
    },
    /// A site, because its schedule says so: unless a nightly scan of it has begun since this time.
    Nightly {
        /// The site.
        site: Box<Site>,
        /// When it should have begun.
        planned: Timestamp,
    },
    /// What a scan that did not end left.
    Resume(ScanId),
    /// Certain pages of a site and no others, after its start page, which begins the session.
    Verify {
        /// The site.
        site: Box<Site>,
        /// The pages.
        pages: Vec<NewPage>,
        /// The finding that is looked for.
        finding: Fingerprint,
    },
}

/// Why a scan could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no browser.
    #[error(transparent)]
    Browser(#[from] BrowserError),
    /// There is no egress proxy.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// Our own fetches cannot be made.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The site's scope cannot be used.
    #[error("site {site}: {why}")]
    Scope {
        /// The site.
        site: SiteId,
        /// What is wrong with its scope.
        why: BadPattern,
    },
    /// A secret that the site's file names cannot be used.
    #[error("site {site}: {why}")]
    Secret {
        /// The site.
        site: SiteId,
        /// Which one, and why.
        why: LoginSecretError,
    },
    /// A start page is not a page of the site.
    #[error("site {site}: the start page {url} cannot be scanned: {why}; correct `start` or `scope`")]
    StartPage {
        /// The site.
        site: SiteId,
        /// The start page.
        url: String,
        /// Why.
        why: String,
    },
    /// There is no such scan.
    #[error("there is no scan {0} in this store; `--store` names another one, or the id is wrong")]
    NoSuchScan(ScanId),
    /// The scan is over.
    #[error("scan {0} is complete; there is nothing left to resume")]
    Complete(ScanId),
    /// It was a look at one finding.
    #[error("scan {0} looked at one finding again, which is not resumed; run `phantom verify` once more")]
    Look(ScanId),
    /// It was stopped before there was anything to record.
    #[error("stopped before the scan began; nothing was recorded")]
    Stopped,
    /// It began, and could not be brought to its end.
    #[error("scan {scan} broke off: {why}; what was found so far is kept")]
    BrokeOff {
        /// The scan.
        scan: ScanId,
        /// Why.
        why: Box<ScanError>,
    },
    /// Another process was faster to begin it.
    #[error("another process has begun tonight's scan of {0}")]
    Begun(SiteId),
    /// Another process goes on with it, as it was wished.
    #[error("scan {0} was handed back; another worker goes on with it")]
    HandedBack(ScanId),
    /// Another process goes on with it, because this one was taken for dead.
    #[error("scan {0} was taken over by another process, because this one could not say for too long that it lives")]
    Lost(ScanId),
    /// Something was wished of it, or somebody else had it, before it went on.
    #[error(
        "scan {0} was told to stop or to wait, or was handed on, while it was about to go on here; it was left as it is \
         (phantom scans list says how)"
    )]
    Meanwhile(ScanId),
    /// Another process is at it.
    #[error("scan {scan} is still running in process {pid}; stop it first, or wait")]
    StillRunning {
        /// The scan.
        scan: ScanId,
        /// The process.
        pid: String,
    },
}

/// A scan that is about to begin, or to go on.
struct Begun {
    record: ScanRecord,
    pages: Vec<NewPage>,
    /// The dead process that had it.
    before: Option<String>,
    /// What was wished of it when it was decided that it goes on.
    wish: Option<Wish>,
    /// It begins only if none of its site has begun since.
    since: Option<Timestamp>,
    told: AuditEntry,
}

/// How a scan ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The scan, with its state and remarks.
    pub record: ScanRecord,
    /// Where it stands, in one word.
    pub standing: Standing,
    /// Its pages.
    pub counts: ScanCounts,
    /// The version of the browser that was used.
    pub browser: String,
    /// What was learnt of the site beside its pages, by this process.
    pub learnt: Learnt,
}

/// Scans sites, one after the other.
#[derive(Clone)]
pub struct Scanner {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The installation's settings.
    pub config: Arc<Config>,
    /// Tabs at most.
    pub tabs: usize,
    /// Who is told what happens.
    pub listener: Listener,
    /// Who begins scans with it, for the audit log.
    pub by: String,
    /// Ends the scan: pages in flight get a moment, then everything is saved.
    pub stop: CancellationToken,
    /// The time.
    pub now: Now,
}

impl Scanner {
    /// Scans until no page is left, a limit is reached, or it is stopped. Whatever the end, what was found is stored.
    pub async fn scan(&self, start: Start) -> Result<Ended, ScanError> {
        Box::pin(self.scan_or_hand_back(start, false)).await
    }

    /// The same, for one of many workers: when it is stopped, the scan goes on in another one.
    pub async fn scan_as_worker(&self, start: Start) -> Result<Ended, ScanError> {
        Box::pin(self.scan_or_hand_back(start, true)).await
    }

    async fn scan_or_hand_back(&self, start: Start, hands_back: bool) -> Result<Ended, ScanError> {
        let resumed = matches!(start, Start::Resume(_));
        let owner = owner::this_process();
        // Everything that can be wrong with the wish or the machine shows before anything is recorded.
        let Begun {
            record,
            pages,
            before,
            wish,
            since,
            told,
        } = self.begun(start, hands_back).await?;
        let site = record.site.clone();
        let parts = self.parts(&record, false).await?;
        let witnesses = if resumed { 0 } else { parts.pinned.len() as u64 };
        if !resumed {
            self.record(&record, &[pages, parts.pinned.clone()].concat(), since, told)
                .await?;
        }
        if resumed {
            self.go_on(&record.id, before.as_deref(), wish, &owner).await?;
        } else {
            self.take(&record.id, &owner).await?;
        }
        let tabs = parts.tabs;
        (self.listener)(ScanEvent::Started {
            scan: record.id.clone(),
            site: site.id.clone(),
            tabs,
            resumed,
        });
        let counts = self.store.counts(&record.id).await?;
        let run = Arc::new(Run::new(
            self,
            Parts {
                counts,
                witnesses,
                ..parts
            },
        ));
        let beat = keep_alive(&run);
        run.remark_browsers();
        let known = advisories::in_use(&*self.store, (self.now)()).await?;
        if known.old {
            run.remark(format!(
                "what is known about vulnerable libraries is of {}; run `phantom advisories update`",
                known.date
            ));
        }
        if resumed {
            run.remember_alike().await?;
        }
        if run.record.trigger.is_look() {
            run.remember_logins().await?;
        }
        let worked = self.work(&run, counts.done > 0).await;
        run.pool.end().await;
        let worked = worked.and(self.settle(&run).await);
        drop(beat);
        if run.lost.is_cancelled() {
            return Err(ScanError::Lost(run.scan.clone()));
        }
        let passes = match &worked {
            Err(ScanError::Store(error)) => error.passes(),
            Err(ScanError::Browser(error)) => error.passes(),
            _ => false,
        };
        let goes_on = self.stop.is_cancelled() || passes;
        let fits = self.store.fits().await;
        if hands_back && (goes_on || matches!(fits, Err(StoreError::Newer))) {
            self.store.release_owner(&run.scan, &run.owner).await?;
            let now = (self.now)();
            self.store
                .hand_over_scan(&run.scan, Some(&run.owner), None, now)
                .await?;
            return Err(match fits {
                Err(newer @ StoreError::Newer) => newer.into(),
                _ => worked.err().unwrap_or(ScanError::HandedBack(run.scan.clone())),
            });
        }
        let ended = self.end(&run, worked.is_err()).await;
        worked.and(ended).map_err(|why| ScanError::BrokeOff {
            scan: run.scan.clone(),
            why: Box::new(why),
        })
    }

    /// What is to be done, of what is wanted.
    async fn begun(&self, start: Start, as_worker: bool) -> Result<Begun, ScanError> {
        let now = (self.now)();
        let new = |(record, pages): (ScanRecord, Vec<NewPage>), why: &[String]| Begun {
            told: self.told(&record, why),
            record,
            pages,
            before: None,
            wish: None,
            since: None,
        };
        Ok(match start {
            Start::New { site, trigger } => {
                let approved = site.approved_by.as_ref().map(|who| format!("approved by {who}"));
                new(begin(*site, trigger, now)?, approved.as_slice())
            }
            Start::Nightly { site, planned } => {
                let due = format!("due {}", planned.strftime("%Y-%m-%d %H:%M UTC"));
                let mut begun = new(begin(*site, Trigger::Nightly, now)?, &[due]);
                begun.since = Some(planned);
                begun
            }
            Start::Resume(id) => {
                // A worker goes on with what nobody wished to end or to wait; who names a scan overrules that.
                let line = self.store.scan_line(&id).await?;
                let wish = line.and_then(|line| line.wish).filter(|_| !as_worker);
                let before = self.free(&id).await?;
                let record = self.left_over(&id).await?;
                Begun {
                    before,
                    wish,
                    ..new((record, Vec::new()), &[])
                }
            }
            Start::Verify { site, pages, finding } => {
                let (record, start) = begin(*site, Trigger::Verify, now)?;
                let finding = format!("finding {}", finding.short());
                new((record, [start, pages].concat()), &[finding])
            }
        })
    }

    /// What the audit log says of a scan that begins.
    fn told(&self, record: &ScanRecord, why: &[String]) -> AuditEntry {
        let site = record.site.id.0.clone();
        AuditEntry {
            at: record.started,
            who: self.by.clone(),
            what: if record.trigger.is_look() {
                "verify-started".to_owned()
            } else {
                "scan-started".to_owned()
            },
            subject: record.id.0.clone(),
            why: Some([&[site][..], why].concat().join(", ")),
        }
    }

    /// As many tabs as the site's hosts may be asked by at once.
    pub(super) fn tabs_for(&self, site: &Site, rules: &ScopeRules) -> usize {
        let at_once = usize::try_from(site.limits.concurrency).unwrap_or(1) * rules.own_hosts().len().max(1);
        self.tabs.min(at_once).max(1)
    }

    /// Of what pictures are taken on a site.
    pub(super) fn screenshots(&self, site: &Site) -> Screenshots {
        site.screenshots.unwrap_or(self.config.evidence.screenshots)
    }

    pub(super) async fn browsers(
        &self,
        egress: &Egress,
        tabs: usize,
        client: ClientRules,
        guard: Arc<Guard>,
    ) -> Result<Arc<Pool>, ScanError> {
        let pool = Pool::start(PoolOptions {
            config: self.config.browser.clone(),
            user_agent: self.config.network.user_agent.clone(),
            egress: egress.address(),
            upstream: self.config.network.proxy.clone(),
            tabs,
            client,
            guard,
        });
        let pool = self.stop.run_until_cancelled(pool).await.ok_or(ScanError::Stopped)??;
        Ok(Arc::new(pool))
    }

    /// Records a new scan with its start pages and the witnesses that it looks at.
    async fn record(
        &self,
        record: &ScanRecord,
        pages: &[NewPage],
        unless_since: Option<Timestamp>,
        told: AuditEntry,
    ) -> Result<(), ScanError> {
        if !record.trigger.is_look() {
            let now = (self.now)();
            let said = record.site.suppressions(now);
            self.store.set_file_suppressions(&record.site.id, &said, now).await?;
            if self.screenshots(&record.site) == Screenshots::None {
                self.store.drop_pictures(&record.site.id).await?;
            }
        }
        match unless_since {
            None => {
                // Whatever is in the store was told.
                self.store.audit(&told).await?;
                self.store.create_scan(record, pages).await?;
            }
            Some(since) => {
                // It is never nobody's: who dies now is missed as soon as any other.
                let owner = ScanOwner {
                    name: owner::this_process(),
                    until: Some(after((self.now)(), SCAN_KEPT)),
                };
                if !self.store.create_nightly(record, pages, since, &owner, &told).await? {
                    return Err(ScanError::Begun(record.site.id.clone()));
                }
            }
        }
        Ok(())
    }

    /// Makes a new scan ours.
    async fn take(&self, id: &ScanId, owner: &str) -> Result<(), ScanError> {
        let until = after((self.now)(), SCAN_KEPT);
        if !self.store.hand_over_scan(id, None, Some(owner), until).await? {
            // Somebody was faster.
            self.free(id).await?;
        }
        Ok(())
    }

    /// Makes a scan ours that goes on, if it is still as it was found.
    async fn go_on(&self, id: &ScanId, before: Option<&str>, wish: Option<Wish>, owner: &str) -> Result<(), ScanError> {
        let until = after((self.now)(), SCAN_KEPT);
        if self.store.resume_scan(id, before, wish, owner, until).await? {
            return Ok(());
        }
        // Somebody was faster, or said that it is not to go on.
        self.free(id).await?;
        Err(ScanError::Meanwhile(id.clone()))
    }

    /// Makes sure that no living process has a scan. Returns the dead one that had it.
    async fn free(&self, id: &ScanId) -> Result<Option<String>, ScanError> {
        match self.store.scan_owner(id).await? {
            Some(other) if !other.is_gone((self.now)()) => Err(still_running(id, &other.name)),
            before => Ok(before.map(|before| before.name)),
        }
    }

    /// A scan that did not end, freed from the workers that died with it.
    async fn left_over(&self, id: &ScanId) -> Result<ScanRecord, ScanError> {
        let record = self
            .store
            .scan(id)
            .await?
            .ok_or_else(|| ScanError::NoSuchScan(id.clone()))?;
        if record.state == ScanState::Complete {
            return Err(ScanError::Complete(id.clone()));
        }
        if record.trigger.is_look() {
            return Err(ScanError::Look(id.clone()));
        }
        free_the_dead(&*self.store, id).await?;
        Ok(ScanRecord {
            state: ScanState::Running,
            ended: None,
            ..record
        })
    }

    pub(super) fn egress_rules(&self, site: &Site, rules: &ScopeRules, guard: &Guard) -> EgressRules {
        // What the steps of a login send passes at any time here; the browser knows when they are done.
        let guard = match &site.login {
            Some(login) => guard.logging_in(&login.hosts),
            None => guard.clone(),
        };
        EgressRules {
            resolve: self.config.browser.resolve.clone(),
            allow_private: self.config.network.allow_private.clone(),
            private_hosts: if site.scope.allow_private {
                let login = site.login.iter().flat_map(|login| login.hosts.clone());
                rules.own_hosts().into_iter().chain(login).collect()
            } else {
                Vec::new()
            },
            may_pass: Some(MayPass(Arc::new(move |method, url| guard.may_pass(method, url)))),
            upstream: self.config.network.proxy.clone(),
            byte_budget: site.limits.bytes,
        }
    }

    /// Looks at the start page, then at everything else with all tabs. With `visited`, an earlier process has looked
    /// at the start page.
    async fn work(&self, run: &Arc<Run>, visited: bool) -> Result<(), ScanError> {
        for start in &run.site.start {
            run.learn_robots(start).await;
        }
        let mut first = run.worker(0);
        Box::pin(first.begin_session(visited)).await?;
        if let Some(listed) = run.read_sitemaps().await {
            run.listed.store(listed.len() as u64, Ordering::Relaxed);
            run.store.add_pages(&run.scan, &listed).await?;
            if let Some(named) = run.read_well_known().await {
                run.store.add_pages(&run.scan, &named).await?;
                run.seeded.cancel();
            }
        }
        self.to_the_end(run, first).await
    }

    /// Looks at pages until none is left, even if the database forgets at last what was recorded, because it crashes.
    async fn to_the_end(&self, run: &Arc<Run>, mut first: Worker) -> Result<(), ScanError> {
        for _ in 0..MOST_ENDS {
            all_hands(run, first).await?;
            // Once this is on the disk, so is all that was said before.
            let until = after(run.now(), SCAN_KEPT);
            let owner = Some(&*run.owner);
            if !self.store.hand_over_scan(&run.scan, owner, owner, until).await? {
                break;
            }
            let counts = self.store.counts(&run.scan).await?;
            let ends = run.stop.is_cancelled() || run.give_up.is_cancelled() || run.limit().is_some();
            if ends || counts.waiting + counts.leased == 0 {
                break;
            }
            first = run.worker(0);
        }
        Ok(())
    }

    async fn end(&self, run: &Run, failed: bool) -> Result<Ended, ScanError> {
        run.inspector.tell_cost();
        let mut counts = self.store.counts(&run.scan).await?;
        let start_lost = run.start_lost().await?;
        if let Some(limit) = run.limit()
            && counts.waiting > 0
        {
            run.remark(limit.remark(counts.waiting));
            self.store.skip_waiting(&run.scan, &limit.reason()).await?;
            counts = self.store.counts(&run.scan).await?;
        }
        let state = if run.stop.is_cancelled() && (counts.waiting > 0 || !run.seeded.is_cancelled()) {
            ScanState::Interrupted
        } else if failed
            || counts.failed > 0
            || counts.waiting > 0
            || counts.leased > 0
            || start_lost
            || run.login_failed()
        {
            ScanState::Incomplete
        } else {
            ScanState::Complete
        };
        // As the store keeps it, so that what happened then can be found again.
        let now = (self.now)();
        let ended = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        run.remark_refusals();
        run.remark_browsers();
        run.remark_alike();
        let state = close::close(run, &close::Worked { state, ended }).await?;
        let mut record = run.record.clone();
        record.state = state;
        record.ended = Some(ended);
        record.remarks = run.remarks();
        self.store
            .hand_over_scan(&run.scan, Some(&run.owner), None, now)
            .await?;
        if !run.stop.is_cancelled() && !record.trigger.is_look() {
            self.forget_old_evidence(ended).await?;
        }
        (self.listener)(ScanEvent::Counts(counts));
        let standing = Standing::of(state, run.wish.get().copied(), record.trigger, false);
        (self.listener)(ScanEvent::Finished { state: standing });
        Ok(Ended {
            standing,
            record,
            counts,
            browser: run.pool.version().to_owned(),
            learnt: run.learnt(),
        })
    }

    async fn forget_old_evidence(&self, ended: Timestamp) -> Result<(), ScanError> {
        let keep = &self.config.evidence;
        if let Ok(age) = jiff::SignedDuration::try_from(keep.keep)
            && let Ok(before) = ended.checked_sub(age)
        {
            self.store.prune_evidence(keep.keep_scans, before).await?;
        }
        Ok(())
    }
}

fn still_running(scan: &ScanId, owner: &str) -> ScanError {
    ScanError::StillRunning {
        scan: scan.clone(),
        pid: owner::pid(owner).unwrap_or("unknown").to_owned(),
    }
}

/// Who the browsers of a scan say they are.
pub(super) fn client(site: &Site, rules: &ScopeRules, secrets: &Secrets) -> ClientRules {
    let rules = rules.clone();
    ClientRules {
        headers: secrets.headers.clone(),
        auth: secrets.http_auth.clone(),
        is_own: Arc::new(move |url| {
            let url = Url::parse(url).ok();
            url.is_some_and(|url| url.host_str().is_some_and(|host| rules.names_host(host)))
        }),
        device: site.client.device.clone(),
    }
}

/// A scan that is yet to be recorded, with its start pages.
fn begin(site: Site, trigger: Trigger, now: Timestamp) -> Result<(ScanRecord, Vec<NewPage>), ScanError> {
    let rules = scope_rules(&site)?;
    // Robots are asked later: the start pages are what the person named.
    let robots = RobotsBook::new(false);
    let links = LinkRules {
        scope: &rules,
        robots: &robots,
        depth: site.limits.depth,
    };
    let mut pages: Vec<NewPage> = Vec::new();
    for url in &site.start {
        let refused = |why: String| ScanError::StartPage {
            site: site.id.clone(),
            url: url.to_string(),
            why,
        };
        rules.admits(url).map_err(|why| refused(why.to_string()))?;
        let page = links.page(url, 0, None).map_err(|why| refused(why.to_string()))?;
        // Whatever a start page looks like, a person asked for it.
        pages.push(NewPage {
            skip: None,
            template: None,
            ..page
        });
    }
    Ok((ScanRecord::begun(ScanId::new(now), site, trigger, now), pages))
}

pub(super) fn scope_rules(site: &Site) -> Result<ScopeRules, ScanError> {
    site.rules().map_err(|why| ScanError::Scope {
        site: site.id.clone(),
        why,
    })
}

/// What all requests of a scan are asked.
pub(super) fn guard(site: &Site, rules: &ScopeRules) -> Result<Arc<Guard>, ScanError> {
    let guard = Guard::new(&site.explore, Arc::new(rules.clone()));
    guard.map(Arc::new).map_err(|why| ScanError::Scope {
        site: site.id.clone(),
        why,
    })
}

/// The URL that a page's document came from, after redirects.
pub(super) fn document_url(evidence: &Evidence) -> &str {
    evidence
        .page
        .redirects
        .last()
        .map_or(evidence.page.requested_url.as_str(), |hop| hop.to.as_str())
}
