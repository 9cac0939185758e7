//! What the workers of one running scan share.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::inspect::Inspector;
use super::login::{Keeper, Secrets};
use super::organisation::Organisation;
use super::pictures::Pictures;
use super::reached::Looks;
use super::worker::Worker;
use super::{Learnt, Listener, Now, ScanCounts, ScanEvent, ScanId, ScanRecord, ScanState, Scanner};
use crate::browser::{CaptureScript, Exploration, Pool, Redactor, ScriptCache, WalkStep};
use crate::crawl::{
    Alike, Experience, Guard, Lease, Limit, LinkRules, NewPage, NotFollowed, PageKey, PageState, RobotsBook,
    limit_reached, pace,
};
use crate::egress::{Egress, Fetcher};
use crate::site::{ExploreMode, ScopeRules, Site};
use crate::store::{Store, StoreError};

/// Remarks that are kept of one scan.
const MOST_REMARKS: usize = 200;
/// Files beside pages that one scan asks for.
const MOST_SIDE_FILES: usize = 200;
/// The part of the time left to a page, once it has been seen, that its exploration may take.
const EXPLORE_SHARE: f32 = 0.6;
/// Hashes of stored script texts that are remembered; beyond it some are offered to the store again, which is harmless.
const MOST_HASHES: usize = 50_000;

/// What a run is made of.
pub(super) struct Parts {
    pub record: ScanRecord,
    pub rules: ScopeRules,
    pub guard: Arc<Guard>,
    pub owner: String,
    pub egress: Egress,
    pub pool: Arc<Pool>,
    pub fetcher: Fetcher,
    pub salt: [u8; 32],
    pub counts: ScanCounts,
    /// Witness pages, which no budget of pages is for.
    pub witnesses: u64,
    /// Their keys.
    pub pinned: HashSet<PageKey>,
    pub secrets: Secrets,
}

/// A running scan.
pub(super) struct Run {
    pub scan: ScanId,
    pub record: ScanRecord,
    pub site: Site,
    pub owner: String,
    pub store: Arc<dyn Store>,
    pub pool: Arc<Pool>,
    pub egress: Egress,
    pub fetcher: Fetcher,
    pub inspector: Inspector,
    pub script: CaptureScript,
    pub scripts: Arc<ScriptCache>,
    pub redactor: Redactor,
    /// Headers for the site's own hosts.
    headers: Vec<(String, String)>,
    /// Looks after the login, if there is one.
    pub keeper: Option<Keeper>,
    /// What is done about consent walls.
    pub consent: Vec<WalkStep>,
    pub guard: Arc<Guard>,
    pub pictures: Pictures,
    pub page_deadline: Duration,
    /// Clean scans in a row that prove a finding fixed.
    pub clean_scans: u32,
    pub stop: CancellationToken,
    /// Store or browsers are lost: every worker ends.
    pub give_up: CancellationToken,
    /// All that the site lists of itself was read.
    pub seeded: CancellationToken,
    /// Pages were found, or a page ended.
    pub changed: Notify,
    pub asking: tokio::sync::Mutex<()>,
    pub own_pace: OwnPace,
    listener: Listener,
    now: Now,
    scope: Arc<ScopeRules>,
    robots: Arc<RwLock<RobotsBook>>,
    began: Instant,
    rendered: AtomicU64,
    witnesses: u64,
    /// Pages that waited when it was looked last.
    pub(super) waiting: AtomicU64,
    alike: Mutex<Alike>,
    /// Pages that sitemaps list.
    pub(super) listed: AtomicU64,
    pub(super) looks: Looks,
    pub(super) organisation: Organisation,
    pinned: HashSet<PageKey>,
    experience: Arc<Mutex<Experience>>,
    restarts_told: AtomicU64,
    remarks: Mutex<BTreeSet<String>>,
    remarks_saved: AtomicUsize,
    stored_texts: Mutex<HashSet<String>>,
    side_files: Mutex<HashSet<Url>>,
}

impl Run {
    pub fn new(scanner: &Scanner, parts: Parts) -> Self {
        let site = parts.record.site.clone();
        let inspector = Inspector::new(&site.disabled_checks, site.facts.clone());
        let probes: Vec<_> = inspector
            .checks()
            .iter()
            .filter_map(|check| Some((check.meta().id, check.probe()?)))
            .collect();
        let check = site.login.as_ref().map(|login| &login.check);
        let logged_in = check.map(|check| &check.logged_in);
        let logged_out = check.and_then(|check| check.logged_out.as_ref());
        let consent = parts.secrets.steps(&site.client.consent);
        let redactor = Redactor::new(parts.salt).masking(&parts.secrets.all());
        let headers = parts.secrets.headers.clone();
        let keeper = site.login.clone();
        let keeper = keeper.map(|login| Keeper::new(login, parts.secrets).consenting(consent.clone()));
        Self {
            scan: parts.record.id.clone(),
            owner: parts.owner,
            store: Arc::clone(&scanner.store),
            pool: parts.pool,
            egress: parts.egress,
            fetcher: parts.fetcher,
            script: CaptureScript::with_login(&probes, logged_in, logged_out),
            inspector,
            scripts: Arc::default(),
            redactor,
            headers,
            keeper,
            consent,
            guard: parts.guard,
            pictures: Pictures::new(scanner.screenshots(&site)),
            page_deadline: scanner.config.browser.page_deadline,
            clean_scans: match &scanner.config.jira {
                Some(jira) => jira.lifecycle.resolve_after_clean_scans,
                None => crate::triage::CLEAN_SCANS,
            },
            stop: scanner.stop.clone(),
            give_up: CancellationToken::new(),
            seeded: CancellationToken::new(),
            changed: Notify::new(),
            asking: tokio::sync::Mutex::default(),
            own_pace: OwnPace::new(pace(&site.limits, None)),
            listener: Arc::clone(&scanner.listener),
            now: Arc::clone(&scanner.now),
            scope: Arc::new(parts.rules),
            robots: Arc::new(RwLock::new(RobotsBook::new(site.scope.obey_robots))),
            began: Instant::now(),
            rendered: AtomicU64::new(parts.counts.done + parts.counts.failed),
            witnesses: parts.witnesses,
            waiting: AtomicU64::new(parts.counts.waiting),
            listed: AtomicU64::new(0),
            looks: Looks::default(),
            organisation: Organisation::new(&scanner.config.organisation_domains),
            alike: Mutex::new(Alike::new(site.limits.pages_per_template)),
            pinned: parts.pinned,
            experience: Arc::default(),
            restarts_told: AtomicU64::new(0),
            remarks_saved: AtomicUsize::new(parts.record.remarks.len()),
            remarks: Mutex::new(parts.record.remarks.iter().cloned().collect()),
            stored_texts: Mutex::default(),
            side_files: Mutex::default(),
            record: parts.record,
            site,
        }
    }

    pub fn worker(self: &Arc<Self>, number: usize) -> Worker {
        Worker::new(Arc::clone(self), number)
    }

    /// The time, as it is recorded.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    pub fn tell(&self, event: ScanEvent) {
        (self.listener)(event);
    }

    pub fn robots(&self) -> RwLockReadGuard<'_, RobotsBook> {
        self.robots.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn robots_mut(&self) -> RwLockWriteGuard<'_, RobotsBook> {
        self.robots.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rules as they are known now.
    pub fn rules(&self) -> Rules<'_> {
        Rules {
            run: self,
            robots: self.robots(),
        }
    }

    pub fn scope(&self) -> &ScopeRules {
        &self.scope
    }

    /// What a navigation, or a redirect of one, asks before it leaves.
    pub fn may_visit(&self) -> Arc<dyn Fn(&str) -> bool + Send + Sync> {
        let scope = Arc::clone(&self.scope);
        let robots = Arc::clone(&self.robots);
        Arc::new(move |url| {
            let robots = robots.read().unwrap_or_else(PoisonError::into_inner);
            let links = LinkRules {
                scope: &scope,
                robots: &robots,
                depth: u32::MAX,
            };
            Url::parse(url).is_ok_and(|url| links.page(&url, 0, None).is_ok_and(|page| page.skip.is_none()))
        })
    }

    /// How far a page is explored. One that died with its browser is not: what was done with it may be why. On a
    /// witness page everything is tried, whatever came of it elsewhere, because its silence is taken for a proof.
    pub fn exploration(&self, lease: &Lease) -> Option<Exploration> {
        let explore = &self.site.explore;
        if explore.mode == ExploreMode::Observe || lease.alone || lease.crashes > 0 {
            return None;
        }
        let experience = if self.pinned.contains(&lease.key) {
            Arc::default()
        } else {
            Arc::clone(&self.experience)
        };
        Some(Exploration {
            actions: explore.actions_per_page,
            share: EXPLORE_SHARE,
            experience,
        })
    }

    /// What the steps of a login ask before they leave a page: the site's hosts, and these.
    pub fn may_log_in(&self, hosts: &[String]) -> Arc<dyn Fn(&str) -> bool + Send + Sync> {
        let scope = Arc::clone(&self.scope);
        let hosts = hosts.to_vec();
        Arc::new(move |url| {
            let host = Url::parse(url)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https"));
            let host = host.and_then(|url| url.host_str().map(str::to_owned));
            host.is_some_and(|host| scope.names_host(&host) || hosts.contains(&host))
        })
    }

    /// The headers of our own fetches.
    pub fn headers_for(&self, url: &Url) -> &[(String, String)] {
        match url.host_str() {
            Some(host) if self.scope.names_host(host) => &self.headers,
            _ => &[],
        }
    }

    /// The scan was to log in, and is not.
    pub fn login_failed(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.failed().is_some())
    }

    /// Something to know about the scan as a whole; said once.
    pub fn remark(&self, remark: String) {
        let mut remarks = lock(&self.remarks);
        if remarks.len() < MOST_REMARKS && remarks.insert(remark.clone()) {
            drop(remarks);
            self.tell(ScanEvent::Remark(remark));
        }
    }

    /// Says what the egress proxy kept pages from reaching.
    pub fn remark_refusals(&self) {
        for refusal in self.egress.refusals().iter().take(20) {
            self.remark(format!(
                "{} was not reached: {} is {}",
                refusal.host, refusal.address, refusal.why
            ));
        }
    }

    /// Says that browsers were replaced since this was asked last.
    pub fn tell_restarts(&self, reason: &str) {
        let restarts = self.pool.stats.restarts.load(Ordering::Relaxed);
        if self.restarts_told.swap(restarts, Ordering::Relaxed) < restarts {
            self.tell(ScanEvent::BrowserRestarted {
                reason: reason.to_owned(),
            });
        }
    }

    pub fn remarks(&self) -> Vec<String> {
        lock(&self.remarks).iter().cloned().collect()
    }

    /// Stores the remarks if there are new ones, so that they outlive this process.
    pub async fn save_remarks(&self) -> Result<(), StoreError> {
        let remarks = self.remarks();
        if self.remarks_saved.swap(remarks.len(), Ordering::Relaxed) == remarks.len() {
            return Ok(());
        }
        self.store
            .set_scan_state(&self.scan, ScanState::Running, None, &remarks)
            .await
    }

    /// A start page was skipped, or something answered in its place: the scan saw less than the site. Asked of the store, because an earlier process may
    /// have met it.
    pub async fn start_lost(&self) -> Result<bool, StoreError> {
        let starts: HashSet<PageKey> = {
            let rules = self.rules();
            let starts = self.site.start.iter();
            starts
                .filter_map(|start| Some(rules.page(start, 0, None).ok()?.key))
                .collect()
        };
        let skipped = self.store.pages(&self.scan, PageState::Skipped, u32::MAX).await?;
        let walled = super::close::walled(self).await?;
        Ok(skipped.iter().any(|row| starts.contains(&row.key)) || starts.iter().any(|key| walled.contains(key)))
    }

    /// The limit that ends the scan now.
    pub fn limit(&self) -> Option<Limit> {
        self.limit_at(self.rendered.load(Ordering::Relaxed))
    }

    fn limit_at(&self, rendered: u64) -> Option<Limit> {
        let counted = rendered.saturating_sub(self.witnesses);
        let spent = self.egress.budget_exhausted();
        limit_reached(&self.site.limits, counted, self.began.elapsed(), spent)
    }

    /// Takes one page from the budget. False if a limit is reached.
    pub fn take_page(&self) -> bool {
        let before = self.rendered.fetch_add(1, Ordering::Relaxed);
        let free = self.limit_at(before).is_none();
        if !free {
            self.give_page_back();
        }
        free
    }

    pub fn give_page_back(&self) {
        self.rendered.fetch_sub(1, Ordering::Relaxed);
    }

    /// What was learnt of the site beside its pages.
    pub fn learnt(&self) -> Learnt {
        let start = self.site.start.first();
        let robots = self.robots();
        let said = start.and_then(|start| robots.of(start));
        Learnt::of(said, start, self.listed.load(Ordering::Relaxed))
    }

    /// The budgets of pages that are alike.
    pub fn alike(&self) -> MutexGuard<'_, Alike> {
        lock(&self.alike)
    }

    /// Whether a file beside a page is asked for the first time.
    pub fn first_asked(&self, url: &Url) -> bool {
        let mut asked = lock(&self.side_files);
        asked.len() < MOST_SIDE_FILES && asked.insert(url.clone())
    }

    /// Those of these texts that were not stored by this run yet.
    pub fn unstored<'a>(&self, texts: impl Iterator<Item = (&'a String, &'a Arc<str>)>) -> Vec<(String, String)> {
        let stored = lock(&self.stored_texts);
        texts
            .filter(|(hash, _)| !stored.contains(*hash))
            .map(|(hash, text)| (hash.clone(), text.to_string()))
            .collect()
    }

    pub fn stored(&self, hashes: impl Iterator<Item = String>) {
        let mut stored = lock(&self.stored_texts);
        if stored.len() > MOST_HASHES {
            stored.clear();
        }
        stored.extend(hashes);
    }
}

/// The rules of the crawl with what is known of robots.txt.
pub(super) struct Rules<'a> {
    run: &'a Run,
    robots: RwLockReadGuard<'a, RobotsBook>,
}

impl Rules<'_> {
    pub fn links(&self) -> LinkRules<'_> {
        LinkRules {
            scope: &self.run.scope,
            robots: &self.robots,
            depth: self.run.site.limits.depth,
        }
    }

    pub fn page(&self, url: &Url, depth: u32, found_on: Option<&PageKey>) -> Result<NewPage, NotFollowed> {
        self.links().page(url, depth, found_on)
    }
}

/// Keeps our own fetches to one host apart; pages have the frontier for that.
pub(super) struct OwnPace {
    apart: Duration,
    next: Mutex<HashMap<String, Instant>>,
}

impl OwnPace {
    fn new(apart: Duration) -> Self {
        Self {
            apart,
            next: Mutex::default(),
        }
    }

    pub async fn wait(&self, url: &Url) {
        if let Some(turn) = self.turn(url, None) {
            tokio::time::sleep_until(turn.into()).await;
        }
    }

    /// False, and at once, if it would be our turn only later than that.
    pub async fn wait_until(&self, url: &Url, latest: Instant) -> bool {
        let Some(turn) = self.turn(url, Some(latest)) else {
            return false;
        };
        tokio::time::sleep_until(turn.into()).await;
        true
    }

    /// Takes the next turn at a host, if it does not come too late.
    fn turn(&self, url: &Url, latest: Option<Instant>) -> Option<Instant> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let now = Instant::now();
        let mut next = lock(&self.next);
        let turn = next.get(&host).copied().unwrap_or(now).max(now);
        if latest.is_some_and(|latest| turn > latest) {
            return None;
        }
        next.insert(host, turn + self.apart);
        Some(turn)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_at_one_host_are_apart_and_none_is_taken_that_comes_too_late() {
        let apart = Duration::from_secs(5);
        let pace = OwnPace::new(apart);
        let (a, b): (Url, Url) = ("https://a.test/1".parse().unwrap(), "https://b.test/".parse().unwrap());
        let latest = Some(Instant::now() + Duration::from_secs(12));
        let first = pace.turn(&a, latest).unwrap();
        assert_eq!(pace.turn(&a, latest).unwrap().duration_since(first), apart);
        assert!(
            pace.turn(&b, latest).unwrap() < first + apart,
            "hosts wait for themselves alone"
        );
        assert_eq!(pace.turn(&a, latest).unwrap().duration_since(first), apart * 2);
        assert_eq!(pace.turn(&a, latest), None);
        assert_eq!(
            pace.turn(&a, None).unwrap().duration_since(first),
            apart * 3,
            "it was not taken"
        );
    }
}
