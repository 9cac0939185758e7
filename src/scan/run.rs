//! What the workers of one running scan share.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use phantom_checks::vulnerable_library::Catalog;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::alike::InFlight;
use super::held::Holding;
use super::incremental::Incremental;
use super::inspect::Inspector;
use super::judge::SecondTries;
use super::login::{Keeper, Secrets};
use super::organisation::Organisation;
use super::pictures::Pictures;
use super::reached::Looks;
use super::sessions::CookieKey;
use super::shared::lease_request;
use super::turns::Turns;
use super::worker::Worker;
use super::{Learnt, Listener, Now, ScanCounts, ScanEvent, ScanId, ScanRecord, Scanner, Wish};
use crate::browser::{CaptureScript, Exploration, Pool, Redactor, ScriptCache, WalkStep};
use crate::crawl::{
    Alike, Experience, Guard, Lease, LeaseRequest, Limit, LinkRules, NewPage, NotFollowed, PageKey, PageState,
    RobotsBook, limit_reached,
};
use crate::egress::{Egress, Fetcher};
use crate::site::{ExploreMode, ScopeRules, Site};
use crate::store::{Store, StoreError};
use crate::triage::Fingerprint;

/// Remarks that are kept of one scan.
pub const MOST_REMARKS: usize = 200;
/// Files beside pages that one scan asks for.
const MOST_SIDE_FILES: usize = 200;
/// The part of the time left to a page, once it has been seen, that its exploration may take.
const EXPLORE_SHARE: f32 = 0.6;
/// What is remembered of the store, of stored script texts and of findings each; beyond it, it is asked again.
const MOST_REMEMBERED: usize = 50_000;

/// What a run is made of.
pub(super) struct Parts {
    pub record: ScanRecord,
    pub rules: ScopeRules,
    pub guard: Arc<Guard>,
    pub owner: String,
    /// Another process has the scan; this one only looks at pages.
    pub helps: bool,
    pub tabs: usize,
    pub egress: Egress,
    pub pool: Arc<Pool>,
    pub fetcher: Fetcher,
    pub salt: [u8; 32],
    /// What is known about vulnerable libraries, if it is newer than what is part of the program.
    pub libraries: Option<Arc<Catalog>>,
    pub counts: ScanCounts,
    /// Witness pages, which no budget of pages is for.
    pub witnesses: u64,
    /// They themselves.
    pub pinned: Vec<NewPage>,
    pub secrets: Secrets,
}

/// A running scan.
pub(super) struct Run {
    pub scan: ScanId,
    pub record: ScanRecord,
    pub site: Site,
    pub owner: String,
    /// Another process has the scan; this one only looks at pages.
    pub helps: bool,
    pub tabs: usize,
    pub store: Arc<dyn Store>,
    pub pool: Arc<Pool>,
    pub egress: Egress,
    pub fetcher: Fetcher,
    pub inspector: Inspector,
    /// How pages are taken as seen that have not changed, if they may be.
    pub(super) incremental: Option<Incremental>,
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
    pub marked: super::worker::Marked,
    pub page_deadline: Duration,
    /// Clean scans in a row that prove a finding fixed.
    pub clean_scans: u32,
    pub stop: CancellationToken,
    /// What a person wanted of it that ended it here.
    pub wish: OnceLock<Wish>,
    /// Store or browsers are lost: every worker ends.
    pub give_up: CancellationToken,
    /// Another process has taken the scan over.
    pub lost: CancellationToken,
    /// All that the site lists of itself was read.
    pub seeded: CancellationToken,
    /// Pages were found, or a page ended.
    pub changed: Notify,
    pub asking: tokio::sync::Mutex<()>,
    pub turns: Turns,
    /// The pages that this process is at, as the store knows them.
    pub holding: Holding,
    listener: Listener,
    now: Now,
    scope: Arc<ScopeRules>,
    robots: Arc<RwLock<RobotsBook>>,
    /// When it was said last how long the scan has been worked on, and how long that was.
    worked: Mutex<(Instant, Duration)>,
    rendered: AtomicU64,
    /// Those of them that this process is at.
    looking: AtomicU64,
    /// Pages that had been rendered before this process came, in rows of the store; those that it added; and those
    /// that others have added since.
    before: u64,
    added: AtomicU64,
    others: AtomicU64,
    witnesses: u64,
    /// Pages that waited when it was looked last.
    pub(super) waiting: AtomicU64,
    alike: Mutex<Alike>,
    pub(super) second_tries: SecondTries,
    /// Pages that are being looked at.
    pub(super) in_flight: InFlight,
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
    /// The session cookies that the store was told of.
    sessions_told: Mutex<HashSet<CookieKey>>,
    /// Which findings of this scan are new, as far as they were asked for.
    new: Mutex<HashMap<Fingerprint, bool>>,
    side_files: Mutex<HashSet<Url>>,
}

impl Run {
    pub fn new(scanner: &Scanner, parts: Parts) -> Self {
        let site = parts.record.site.clone();
        let inspector = Inspector::new(&site.disabled_checks, site.facts.clone(), parts.libraries);
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
        let script = CaptureScript::with_login(&probes, logged_in, logged_out);
        Self {
            scan: parts.record.id.clone(),
            owner: parts.owner,
            helps: parts.helps,
            tabs: parts.tabs,
            store: Arc::clone(&scanner.store),
            pool: parts.pool,
            egress: parts.egress,
            fetcher: parts.fetcher,
            incremental: Incremental::of(&site, parts.record.trigger, &inspector, &script),
            script,
            inspector,
            scripts: Arc::default(),
            redactor,
            headers,
            keeper,
            consent,
            guard: parts.guard,
            marked: super::worker::Marked::default(),
            pictures: Pictures::new(scanner.screenshots(&site)),
            page_deadline: scanner.config.browser.page_deadline,
            clean_scans: match &scanner.config.jira {
                Some(jira) => jira.lifecycle.resolve_after_clean_scans,
                None => crate::triage::CLEAN_SCANS,
            },
            stop: scanner.stop.child_token(),
            wish: OnceLock::new(),
            give_up: CancellationToken::new(),
            lost: CancellationToken::new(),
            seeded: CancellationToken::new(),
            changed: Notify::new(),
            asking: tokio::sync::Mutex::default(),
            turns: Turns::new(Arc::clone(&scanner.store), Arc::clone(&scanner.now)),
            holding: Holding::default(),
            listener: Arc::clone(&scanner.listener),
            now: Arc::clone(&scanner.now),
            scope: Arc::new(parts.rules),
            robots: Arc::new(RwLock::new(RobotsBook::new(site.scope.obey_robots))),
            worked: Mutex::new((Instant::now(), Duration::ZERO)),
            rendered: AtomicU64::new(parts.counts.done + parts.counts.failed),
            looking: AtomicU64::new(0),
            before: parts.counts.done + parts.counts.failed,
            added: AtomicU64::new(0),
            others: AtomicU64::new(0),
            witnesses: parts.witnesses,
            waiting: AtomicU64::new(parts.counts.waiting),
            listed: AtomicU64::new(0),
            looks: Looks::default(),
            organisation: Organisation::new(&scanner.config.organisation_domains),
            alike: Mutex::new(Alike::new(site.limits.pages_per_template)),
            second_tries: SecondTries::default(),
            in_flight: InFlight::default(),
            pinned: parts.pinned.into_iter().map(|page| page.key).collect(),
            experience: Arc::default(),
            restarts_told: AtomicU64::new(0),
            remarks_saved: AtomicUsize::new(parts.record.remarks.len()),
            remarks: Mutex::new(parts.record.remarks.iter().cloned().collect()),
            stored_texts: Mutex::default(),
            sessions_told: Mutex::default(),
            new: Mutex::default(),
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

    /// A page that is looked at because open findings were seen on it.
    pub fn is_pinned(&self, key: &PageKey) -> bool {
        self.pinned.contains(key)
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
        let remark = if self.redactor.holds(&remark) {
            self.redactor.text(&remark)
        } else {
            remark
        };
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

    /// Says what people should know of the browsers; what was said is not said again.
    pub fn remark_browsers(&self) {
        self.pool
            .warnings()
            .into_iter()
            .for_each(|warning| self.remark(warning));
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
        self.store.add_remarks(&self.scan, &remarks).await
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
        self.limit_at(self.pages_rendered())
    }

    fn limit_at(&self, rendered: u64) -> Option<Limit> {
        let counted = (rendered + self.others.load(Ordering::Relaxed)).saturating_sub(self.witnesses);
        let spent = self.egress.budget_exhausted();
        limit_reached(&self.site.limits, counted, self.worked(), spent)
    }

    /// Takes one page from the budget. False if a limit is reached.
    pub fn take_page(&self) -> bool {
        let before = self.rendered.fetch_add(1, Ordering::Relaxed);
        self.looking.fetch_add(1, Ordering::Relaxed);
        let free = self.limit_at(before).is_none();
        if !free {
            self.give_page_back();
        }
        free
    }

    /// Pages that this process has rendered or is at, and those from before it came.
    pub fn pages_rendered(&self) -> u64 {
        self.rendered.load(Ordering::Relaxed)
    }

    /// A page of ours has its record, or two: itself, and the one that it led to.
    pub fn added(&self, rows: u64) {
        self.added.fetch_add(rows, Ordering::Relaxed);
    }

    /// How many pages of the scan may be leased, done or failed in all, by everybody. What others are at is only known
    /// to the store, so it holds them to this.
    pub fn most_pages(&self) -> u64 {
        let rows = self.before + self.added.load(Ordering::Relaxed);
        let looking = self.looking.load(Ordering::Relaxed);
        let looked_at = self.pages_rendered().saturating_sub(looking);
        // A page that led to another one is one page, and two rows.
        (self
            .site
            .limits
            .pages
            .saturating_add(self.witnesses)
            .saturating_add(rows))
        .saturating_sub(looked_at)
    }

    /// What this process asks the frontier for. It says every few seconds that it lives, so its leases last.
    pub fn lease_request(&self, max: u32) -> LeaseRequest<'_> {
        LeaseRequest {
            most: self.most_pages(),
            pace: self
                .site
                .start
                .first()
                .map_or(Duration::ZERO, |start| self.pace_at(start)),
            ..lease_request(&self.record, &self.owner, max, self.now())
        }
    }

    /// How long the scan has been worked on, by one process after another.
    pub fn worked(&self) -> Duration {
        let (since, before) = *lock(&self.worked);
        before + since.elapsed()
    }

    /// What has not been said of that time yet.
    pub fn unsaid(&self) -> (Instant, Duration) {
        let now = Instant::now();
        (now, now.saturating_duration_since(lock(&self.worked).0))
    }

    /// It was said, as of then; in all it is so long.
    pub fn said(&self, then: Instant, in_all: Duration) {
        *lock(&self.worked) = (then, in_all);
    }

    /// What others have rendered counts against the budget, too.
    pub fn heard_counts(&self, counts: ScanCounts) {
        let own = self.before + self.added.load(Ordering::Relaxed);
        let others = (counts.done + counts.failed).saturating_sub(own);
        self.others.store(others, Ordering::Relaxed);
    }

    pub fn give_page_back(&self) {
        self.rendered.fetch_sub(1, Ordering::Relaxed);
        self.looking.fetch_sub(1, Ordering::Relaxed);
    }

    /// A page that was taken has been looked at.
    pub fn looked(&self) {
        self.looking.fetch_sub(1, Ordering::Relaxed);
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
        if stored.len() > MOST_REMEMBERED {
            stored.clear();
        }
        stored.extend(hashes);
    }

    pub fn sessions_told(&self) -> MutexGuard<'_, HashSet<CookieKey>> {
        lock(&self.sessions_told)
    }

    /// Whether a finding was first seen in this scan, which does not change while it runs.
    pub async fn is_new(&self, fingerprint: &Fingerprint) -> Result<bool, StoreError> {
        if let Some(new) = lock(&self.new).get(fingerprint) {
            return Ok(*new);
        }
        let finding = self.store.finding(fingerprint).await?;
        let new = finding.is_some_and(|finding| finding.first_scan == self.scan);
        let mut known = lock(&self.new);
        if known.len() > MOST_REMEMBERED {
            known.clear();
        }
        known.insert(fingerprint.clone(), new);
        Ok(new)
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
