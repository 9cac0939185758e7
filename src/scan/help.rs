//! One of many processes on a scan: what each needs for it, that it lives, and how one helps another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::login::Secrets;
use super::run::{Parts, Run};
use super::scanner::{client, guard, scope_rules};
use super::shared::{BEAT, Beat, PAGES_KEPT, Pulse, SCAN_KEPT, after, lease_request};
use super::worker::Worker;
use super::{ScanError, ScanEvent, ScanId, ScanRecord, ScanState, Scanner, Trigger, advisories, close, owner};
use crate::egress::{Egress, Fetcher};
use crate::store::{Store, StoreError};

/// How long a scan that has come to its limit waits for the pages that others are at.
const PATIENCE: Duration = Duration::from_secs(PAGES_KEPT.as_secs() + 10);
/// … and how often it looks.
const GLANCE: Duration = Duration::from_millis(500);
/// It is looked for pages of the dead once in so many words that one lives.
const BEATS_A_LOOK: u64 = 5;

/// What a helper did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helped {
    /// The scan.
    pub scan: ScanId,
    /// Pages that it rendered.
    pub pages: u64,
}

impl Scanner {
    /// What a process needs to look at pages of a scan. All that can be wrong with it shows here.
    pub(super) async fn parts(&self, record: &ScanRecord, helps: bool) -> Result<Parts, ScanError> {
        let site = &record.site;
        let rules = scope_rules(site)?;
        let guard = guard(site, &rules)?;
        let secrets = Secrets::read(site).map_err(|why| ScanError::Secret {
            site: site.id.clone(),
            why,
        })?;
        let egress = Egress::start(self.egress_rules(site, &rules, &guard)).await?;
        let tabs = self.tabs_for(site, &rules);
        let client = client(site, &rules, &secrets);
        let pool = self.browsers(&egress, tabs, client, Arc::clone(&guard)).await?;
        let fetcher = Fetcher::new(&egress, &self.config.browser.trust_spki, pool.user_agent())?;
        let salt = self.store.salt().await?;
        let libraries = advisories::current(&*self.store).await?;
        let pinned = close::witness_pages(&*self.store, record, &rules).await?;
        Ok(Parts {
            record: record.clone(),
            rules,
            guard,
            owner: owner::this_process(),
            helps,
            tabs,
            egress,
            pool,
            fetcher,
            salt,
            libraries,
            counts: super::ScanCounts::default(),
            witnesses: 0,
            pinned,
            secrets,
        })
    }

    /// Whether a page of a scan could be looked at right now, by one more worker. A scan with a login has one session
    /// and one process.
    pub async fn wants_help(&self, scan: &ScanId) -> Result<bool, ScanError> {
        let Some(record) = self.store.scan(scan).await? else {
            return Ok(false);
        };
        let counts = self.store.counts(scan).await?;
        if record.site.login.is_some() || record.trigger.is_look() || counts.done == 0 || counts.waiting == 0 {
            return Ok(false);
        }
        let now = (self.now)();
        let owner = owner::this_process();
        let asked = lease_request(&record, &owner, 1, now);
        let next = self.store.next_lease_at(&asked).await?;
        Ok(next.is_some_and(|next| next <= after(now, BEAT / 2)))
    }

    /// Looks at pages of a scan that another process has, until it finds none for a while, or the scan ends.
    pub async fn help(&self, scan: &ScanId) -> Result<Helped, ScanError> {
        let record = self.store.scan(scan).await?;
        let record = record.ok_or_else(|| ScanError::NoSuchScan(scan.clone()))?;
        let parts = self.parts(&record, true).await?;
        let counts = self.store.counts(scan).await?;
        let run = Arc::new(Run::new(self, Parts { counts, ..parts }));
        run.remember_alike().await?;
        let beat = keep_alive(&run);
        let before = run.pages_rendered();
        let worked = self.lend_hands(&run).await;
        run.pool.end().await;
        drop(beat);
        // What a tab that ended badly still held.
        self.store.release_owner(scan, &run.owner).await?;
        worked?;
        Ok(Helped {
            scan: scan.clone(),
            pages: run.pages_rendered().saturating_sub(before),
        })
    }

    async fn lend_hands(&self, run: &Arc<Run>) -> Result<(), ScanError> {
        for start in &run.site.start {
            run.learn_robots(start).await;
        }
        let mut first = run.worker(0);
        first.begin_session(true).await?;
        all_hands(run, first).await
    }

    /// Waits for the pages that other processes are at after a limit has ended the crawl.
    pub(super) async fn settle(&self, run: &Run) -> Result<(), ScanError> {
        let began = Instant::now();
        while run.limit().is_some() && !run.stop.is_cancelled() && began.elapsed() < PATIENCE {
            // To ask for none gives back what the dead held.
            self.store.lease(&run.lease_request(0)).await?;
            if self.store.counts(&run.scan).await?.leased == 0 {
                break;
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    }
}

/// Looks at pages with all tabs of a run until none is left. The first worker has begun the session already.
pub(super) async fn all_hands(run: &Arc<Run>, first: Worker) -> Result<(), ScanError> {
    let mut workers = JoinSet::new();
    let others = (1..run.tabs).map(|number| run.worker(number));
    for mut worker in std::iter::once(first).chain(others) {
        workers.spawn(async move { worker.all_pages().await });
    }
    let mut result = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = ended.unwrap_or_else(|panic| {
            Err(StoreError::Database(format!("a worker failed: {panic}; please report it")).into())
        });
        if ended.is_err() {
            // One worker's trouble with store or browser is everyone's: the others stop at their next page.
            run.give_up.cancel();
            result = result.and(ended);
        }
    }
    result
}

/// Says that this process lives, as long as the handle is held, and hears what is wanted of the scan.
pub(super) fn keep_alive(run: &Arc<Run>) -> AbortOnDropHandle<()> {
    let run = Arc::clone(run);
    AbortOnDropHandle::new(tokio::spawn(async move {
        for count in 0_u64.. {
            if !run.helps
                && count.is_multiple_of(BEATS_A_LOOK)
                && let Err(error) = free_the_dead(&*run.store, &run.scan).await
            {
                tracing::warn!(scan = %run.scan, %error, "pages of killed processes were not given back");
            }
            let (gate, held) = run.holding.all().await;
            let now = run.now();
            let (then, worked) = run.unsaid();
            let pulse = Pulse {
                scan: &run.scan,
                owner: &run.owner,
                held: &held,
                leases_until: after(now, PAGES_KEPT),
                scan_until: after(now, SCAN_KEPT),
                worked,
            };
            match run.store.beat(&pulse).await {
                Ok(beat) => {
                    run.said(then, beat.worked);
                    heard(&run, beat);
                }
                Err(error @ StoreError::Newer) => {
                    run.remark(error.to_string());
                    run.stop.cancel();
                }
                Err(error) => {
                    tracing::warn!(scan = %run.scan, %error, "the store was not told that this process lives");
                }
            }
            drop(gate);
            tokio::time::sleep(BEAT).await;
        }
    }))
}

/// Gives back the pages of processes of this machine that were killed. Those that live help; of those on other machines
/// only their silence tells.
pub(super) async fn free_the_dead(store: &dyn Store, scan: &ScanId) -> Result<(), StoreError> {
    for other in store.lease_owners(scan).await? {
        if owner::is_dead(&other) {
            store.release_owner(scan, &other).await?;
        }
    }
    Ok(())
}

fn heard(run: &Run, beat: Beat) {
    if let Some(wish) = beat.wish
        && !run.stop.is_cancelled()
    {
        run.tell(ScanEvent::Wished(wish));
        // Only the first one is heard.
        let _ = run.wish.set(wish);
        run.stop.cancel();
    }
    if let Some(schedule) = run
        .site
        .schedule
        .as_ref()
        .filter(|_| run.record.trigger == Trigger::Nightly)
        && schedule.allows(run.now()) == Ok(false)
        && !run.stop.is_cancelled()
    {
        if !run.helps {
            run.remark("its hours were over; it goes on in the next ones".to_owned());
        }
        run.stop.cancel();
    }
    if run.helps && beat.state != ScanState::Running {
        run.stop.cancel();
    } else if !run.helps && !beat.owned {
        // It said nothing for too long, and another one has the scan now.
        run.lost.cancel();
        run.give_up.cancel();
    }
}
