//! Where scans are kept. Nothing outside this module writes SQL.

/// The columns of `findings f` that are read, by name: a newer program may have added others.
macro_rules! columns_of_finding {
    () => {
        "f.fingerprint, f.site, f.check_id, f.check_version, f.title, f.severity, f.confidence, f.state, f.cause, f.facts, \
         f.third_party, f.first_seen, f.last_seen, f.first_scan, f.last_scan, f.past"
    };
}

mod codec;
#[cfg(test)]
mod conformance;
mod location;
mod news;
mod postgres;
mod sqlite;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use phantom_checks::Observation;
use phantom_checks::evidence::{Cookie, Evidence};

use crate::crawl::{Completion, Lease, LeaseRequest, NewPage, PageKey, PageRow, PageState, PastLook, SeenHost, Turn};
use crate::scan::{
    AuditEntry, Beat, LoginEnd, LoginTurn, Pulse, ScanClose, ScanCounts, ScanId, ScanLine, ScanOwner, ScanRecord,
    ScanState, StoredAdvisories, Wish,
};
use crate::site::SiteId;
use crate::tickets::{ActionRecord, Held, Hold, Intent, TicketLink};
use crate::triage::{
    Coverage, Finding, FindingEvent, FindingPage, Fingerprint, Judgement, PageLook, Picture, Suppression,
};

pub use news::News;

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store could not be opened.
    #[error("cannot open the store {url}: {why}; {hint}")]
    Open {
        /// The store's URL, without password.
        url: String,
        /// What the operating system or the database said.
        why: String,
        /// What to do.
        hint: String,
    },
    /// The disk is full.
    #[error("the disk that holds the store is full; free some space")]
    Full,
    /// The store cannot be written.
    #[error("the store cannot be written: {0}; check that its folder and file are writable")]
    ReadOnly(String),
    /// What was read is not what was written.
    #[error("the store holds something this version cannot read: {0}")]
    Corrupt(String),
    /// The database does not answer.
    #[error("the database cannot be reached: {0}; check that it runs and that the network to it is up")]
    Away(String),
    /// Two writers stood in each other's way, and this one gave way.
    #[error("the store was busy: {0}; try again")]
    Clash(String),
    /// A newer version works with the store in a way that this one does not know.
    #[error(
        "a newer version of this program works with the store now, in a way that this one does not know; use that version"
    )]
    Newer,
    /// Anything else the database said.
    #[error("the store failed: {0}")]
    Database(String),
}

impl StoreError {
    /// It passes by itself, with time.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Clash(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};
        match error {
            Database(database) if database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() => {
                postgres::said(database.downcast_ref())
            }
            Database(database) => sqlite::said(&*database),
            error @ (Io(_) | Tls(_) | PoolTimedOut | PoolClosed | Protocol(_) | WorkerCrashed) => {
                Self::Away(error.to_string())
            }
            other => Self::Database(other.to_string()),
        }
    }
}

/// The error of an operation on a scan that the store does not know.
fn no_such_scan(id: &ScanId) -> StoreError {
    StoreError::Database(format!("there is no scan {id} in it"))
}

/// A shorthand for what every operation returns.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Opens the store at `location`, made if there is none yet: `sqlite:PATH`, a plain path, or `None` for SQLite in the
/// platform's data folder; `postgres://…` for a database that many machines share. Several processes may have one store
/// open.
///
/// # Errors
/// [`StoreError::Open`] says what is wrong with the place and what to do about it; [`StoreError::Full`] that there is
/// no room.
pub async fn open(location: Option<&str>) -> Result<Arc<dyn Store>> {
    Ok(match location::place(location)? {
        location::Place::File(path) => Arc::new(sqlite::SqliteStore::open(&path).await?),
        location::Place::Server(url) => Arc::new(postgres::PostgresStore::open(&url).await?),
    })
}

/// What is kept, and the transactions on it. Every method is atomic: after a crash at any instant it has happened
/// wholly or not at all.
#[async_trait]
pub trait Store: Send + Sync {
    /// The salt of this installation, 32 random bytes made when the store was.
    async fn salt(&self) -> Result<[u8; 32]>;

    /// Whether this version may still work with the store.
    ///
    /// # Errors
    /// [`StoreError::Newer`] if not: then this process has to end.
    async fn fits(&self) -> Result<()> {
        Ok(())
    }

    /// What other processes tell from now on.
    fn news(&self) -> News {
        News::none()
    }

    // Scans

    /// Records a new scan with its start pages.
    async fn create_scan(&self, scan: &ScanRecord, pages: &[NewPage]) -> Result<()>;
    /// One scan.
    async fn scan(&self, id: &ScanId) -> Result<Option<ScanRecord>>;
    /// The newest scan that is not complete, of one site or of any. One whose site was scanned to the end later is not
    /// worth going on with, nor is a look at one finding; the latter are left out below, too.
    async fn unfinished_scan(&self, site: Option<&SiteId>) -> Result<Option<ScanRecord>>;
    /// The newest scan, of one site or of any.
    async fn newest_scan(&self, site: Option<&SiteId>) -> Result<Option<ScanRecord>>;
    /// Records a new nightly scan with the process that has it, unless one of its site has begun at or after `since`. False
    /// if it has.
    async fn create_nightly(
        &self,
        scan: &ScanRecord,
        pages: &[NewPage],
        since: Timestamp,
        owner: &ScanOwner,
    ) -> Result<bool>;
    /// The newest nightly scan of a site.
    async fn last_nightly(&self, site: &SiteId) -> Result<Option<ScanLine>>;
    /// The scans that run, oldest first, or all, newest first; `limit` at most.
    async fn scan_lines(&self, running: bool, limit: u32) -> Result<Vec<ScanLine>>;
    /// The process that has a scan; `None` if it gave the scan back, or nobody took it yet.
    async fn scan_owner(&self, id: &ScanId) -> Result<Option<ScanOwner>>;
    /// Hands a scan from one process to another, which has it until then if it does not [`Store::beat`] before. False
    /// if it was not `from` who had it: then nothing has changed.
    async fn hand_over_scan(&self, id: &ScanId, from: Option<&str>, to: Option<&str>, until: Timestamp)
    -> Result<bool>;
    /// Says that a process that works on a scan still lives: the leases that it holds are extended, others in its name are
    /// given back, and if the scan is its own, that is extended too. Returns what the process has to know of the scan;
    /// [`StoreError::Newer`] if it has to end.
    async fn beat(&self, pulse: &Pulse<'_>) -> Result<Beat>;
    /// Records what a person wants of a scan. False if there is no such scan, or it does not run.
    async fn set_wish(&self, id: &ScanId, wish: Option<Wish>) -> Result<bool>;
    /// Adds to the remarks of a scan; those that it has already are said once.
    async fn add_remarks(&self, id: &ScanId, remarks: &[String]) -> Result<()>;
    /// Sets state, end and remarks of a scan.
    async fn set_scan_state(
        &self,
        id: &ScanId,
        state: ScanState,
        ended: Option<Timestamp>,
        remarks: &[String],
    ) -> Result<()>;
    /// How many of its pages are in which state.
    async fn counts(&self, id: &ScanId) -> Result<ScanCounts>;
    /// Its pages in one state, by key, `limit` at most.
    async fn pages(&self, id: &ScanId, state: PageState, limit: u32) -> Result<Vec<PageRow>>;

    /// The hosts of the organisation that a scan saw outside of its site, by name.
    async fn seen_hosts(&self, id: &ScanId) -> Result<Vec<SeenHost>>;

    /// Keeps session cookies that the browser held on some page of a scan; those that are known stay as they are.
    async fn keep_sessions(&self, scan: &ScanId, cookies: &[Cookie]) -> Result<()>;
    /// The session cookies of a scan, by name.
    async fn sessions(&self, scan: &ScanId) -> Result<Vec<Cookie>>;
    /// Records what else was observed on a page that was looked at already. False if it was not.
    async fn observe(
        &self,
        scan: &ScanId,
        page: &PageKey,
        now: Timestamp,
        observations: &[Observation],
    ) -> Result<bool>;

    // Frontier

    /// Adds pages; those whose key the scan knows already are left as they are. Returns how many were new.
    async fn add_pages(&self, scan: &ScanId, pages: &[NewPage]) -> Result<u64>;
    /// Leases waiting pages, and leased ones whose lease has run out, shallow ones first. A host gives out a lease
    /// only when its turn comes within the pace and fewer than `concurrency` unexpired leases are held on it, by
    /// anyone. A lease is no turn: see [`Store::take_turn`].
    async fn lease(&self, request: &LeaseRequest<'_>) -> Result<Vec<Lease>>;
    /// When the next page may become available, so that a worker need not poll: the earliest of the paced hosts and
    /// the running leases; `None` if no page is waiting or leased. Pages given back by others may come sooner.
    async fn next_lease_at(&self, request: &LeaseRequest<'_>) -> Result<Option<Timestamp>>;
    /// Extends a lease to `until`. False if it is no longer ours.
    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<bool>;
    /// Gives a page back unrendered. `crashed` counts a browser's death against it and marks it to be rendered alone.
    async fn release(&self, lease: &Lease, crashed: bool) -> Result<()>;
    /// Takes the turn to ask a host something, if it may be asked now, over all processes. The next turn is the pace
    /// later.
    async fn take_turn(&self, host: &str, now: Timestamp, pace: Duration) -> Result<Turn>;
    /// Leaves a host alone until then, in all scans: it asked for that. It has asked once more in a row, unless it is
    /// left alone already.
    async fn hold_host(&self, host: &str, now: Timestamp, until: Timestamp) -> Result<()>;
    /// Forgets how often a host has asked to be left alone: it answers again.
    async fn forgive_host(&self, host: &str) -> Result<()>;
    /// Gives back all pages that `owner` has leased in this scan. For owners known to be dead.
    async fn release_owner(&self, scan: &ScanId, owner: &str) -> Result<u64>;
    /// The owners of the leases of a scan, those included whose leases ran out and that nobody has taken over yet.
    async fn lease_owners(&self, scan: &ScanId) -> Result<Vec<String>>;
    /// Records a page: its state, evidence, script texts, observations with their findings and intents, and the pages
    /// found on it. A scan that only looks notes where it saw findings that are known, and changes none. False if the lease had gone to another worker, or the page was recorded already: then nothing was
    /// recorded. A finding wishes for its ticket once for each scan that sees it, and when it changes.
    async fn complete(&self, completion: &Completion<'_>) -> Result<bool>;
    /// Turns all waiting pages into skipped ones, for the reason given. Returns how many.
    async fn skip_waiting(&self, scan: &ScanId, reason: &str) -> Result<u64>;
    /// The same for the waiting pages of one template, or of one family.
    async fn skip_alike(&self, scan: &ScanId, alike: &str, reason: &str) -> Result<u64>;

    /// Puts pages that were looked at, or given up, back to the waiting ones; those that are leased stay. Returns how
    /// many. What was recorded of them stays until they are recorded again.
    async fn reopen_pages(&self, scan: &ScanId, pages: &[PageKey]) -> Result<u64>;

    // Logins

    /// Asks to log in with an account, over all scans and processes: one attempt at a time, and none after
    /// [`MOST_LOGIN_FAILURES`](crate::scan::MOST_LOGIN_FAILURES) in a row that failed. With
    /// [`LoginTurn::Go`], the attempt is recorded as failed until [`Store::end_login`] says otherwise.
    async fn begin_login(&self, account: &str, now: Timestamp) -> Result<LoginTurn>;
    /// Records how the attempt ended.
    async fn end_login(&self, account: &str, end: LoginEnd) -> Result<()>;
    /// Forgets that an account failed. False if it had not.
    async fn unlock_account(&self, account: &str) -> Result<bool>;

    // Evidence

    /// The evidence of one page.
    async fn evidence(&self, scan: &ScanId, page: &PageKey) -> Result<Option<Evidence>>;
    /// The newest look at a page by one of the last scans of a site, the scan `but` left out, from which it can be told
    /// whether the page changed.
    async fn past_look(&self, site: &SiteId, page: &PageKey, but: &ScanId) -> Result<Option<PastLook>>;
    /// The texts kept under these hashes.
    async fn bodies(&self, hashes: &[String]) -> Result<BTreeMap<String, String>>;
    /// Deletes the evidence of all but the newest `keep_scans` scans of each site (looks at one finding are not
    /// counted), all evidence older than `before`, and the texts of scripts that only scans without evidence name. Not
    /// one transaction: what a crash leaves undone the next call does.
    async fn prune_evidence(&self, keep_scans: u32, before: Timestamp) -> Result<()>;

    /// What is known about vulnerable libraries, if anything was fetched.
    async fn advisories(&self) -> Result<Option<StoredAdvisories>>;
    /// Keeps it in place of what was known.
    async fn keep_advisories(&self, set: &StoredAdvisories) -> Result<()>;

    /// Keeps the picture of a finding in place of an earlier one. It is deleted with the evidence of its scan.
    async fn keep_picture(&self, picture: &Picture) -> Result<()>;
    /// The picture of a finding.
    async fn picture(&self, fingerprint: &Fingerprint) -> Result<Option<Picture>>;
    /// Deletes the pictures that scans of a site took.
    async fn drop_pictures(&self, site: &SiteId) -> Result<()>;

    // Findings

    /// The findings that this scan saw, worst first, then by check, then by title.
    async fn findings(&self, scan: &ScanId) -> Result<Vec<Finding>>;
    /// The open findings of a site that this scan did not see.
    async fn unseen_findings(&self, scan: &ScanId) -> Result<Vec<Finding>>;
    /// One finding.
    async fn finding(&self, fingerprint: &Fingerprint) -> Result<Option<Finding>>;
    /// The pages on which a scan saw a finding, by URL, `limit` at most, and how many there are in all.
    async fn finding_pages(
        &self,
        scan: &ScanId,
        fingerprint: &Fingerprint,
        limit: u32,
    ) -> Result<(Vec<FindingPage>, u64)>;
    /// The pages that led a scan to this URL, the start page first, the page itself last; 20 at most.
    async fn way_to(&self, scan: &ScanId, url: &str) -> Result<Vec<String>>;
    /// All findings, of one site or of any, whatever their state, worst first.
    async fn all_findings(&self, site: Option<&SiteId>) -> Result<Vec<Finding>>;
    /// What became of a finding through time, oldest first.
    async fn finding_events(&self, fingerprint: &Fingerprint) -> Result<Vec<FindingEvent>>;

    // Triage

    /// The pages of a scan and how each was seen, by key.
    async fn page_looks(&self, scan: &ScanId) -> Result<Vec<PageLook>>;
    /// The coverage of the newest whole scans of a site, `limit` at most, newest first; the scan `but` is left out.
    async fn coverages(&self, site: &SiteId, but: &ScanId, limit: u32) -> Result<Vec<Coverage>>;
    /// Ends a scan: its state, its coverage, and where its findings stand; each whose state changes wishes for its
    /// ticket. A finding that is no longer as it was judged stays as it is. Returns how many changed their state; `None`
    /// if another process has the scan: then nothing was recorded.
    async fn close_scan(&self, close: &ScanClose<'_>) -> Result<Option<u64>>;

    /// Adds to the audit log, which nothing is ever taken out of.
    async fn audit(&self, entry: &AuditEntry) -> Result<()>;
    /// The audit log, newest first, `limit` at most.
    async fn audit_log(&self, limit: u32) -> Result<Vec<AuditEntry>>;

    /// Records where findings stand by a person's word; each whose state changes wishes for its ticket. A finding that
    /// is no longer as it was judged stays as it is. Returns how many changed their state.
    async fn judge(&self, judgements: &[Judgement], now: Timestamp) -> Result<u64>;
    /// Records a decision, or that it holds again, and suppresses the open findings that it covers on all pages on
    /// which they were seen last. Returns how many it suppressed.
    async fn suppress(&self, suppression: &Suppression, now: Timestamp) -> Result<u64>;
    /// The suppressions that were not lifted, expired ones too, oldest first.
    async fn suppressions(&self) -> Result<Vec<Suppression>>;
    /// Ends a suppression. What it covered is open again, unless another one covers it. False if there is none with
    /// this id, or it was lifted before.
    async fn lift_suppression(&self, id: &str, by: &str, now: Timestamp) -> Result<bool>;
    /// Makes these the suppressions that the file of a site asks for; those it asked for before and no longer does are
    /// lifted. They take hold of findings when a scan sees them, and let go of them when it ends.
    async fn set_file_suppressions(&self, site: &SiteId, all: &[Suppression], now: Timestamp) -> Result<()>;

    // Tickets

    /// Intents that are due, of one site or of all, oldest first, at most `limit`.
    async fn due_intents(&self, now: Timestamp, limit: u32, site: Option<&SiteId>) -> Result<Vec<Intent>>;
    /// All intents that wait, due or not.
    async fn intent_count(&self, site: Option<&SiteId>) -> Result<u64>;
    /// Removes an intent, unless a newer wish has arrived since it was read.
    async fn finish_intent(&self, intent: &Intent) -> Result<()>;
    /// Puts an intent off and counts the attempt.
    async fn postpone_intent(&self, intent: &Intent, due: Timestamp) -> Result<()>;
    /// Puts an intent off for a reason that is no failure.
    async fn hold_intent(&self, intent: &Intent, due: Timestamp, why: Held) -> Result<()>;
    /// Wishes for the tickets of findings. Those that are not known are left out.
    async fn wish(&self, fingerprints: &[Fingerprint], now: Timestamp) -> Result<()>;
    /// The newest ticket of a finding.
    async fn ticket(&self, fingerprint: &Fingerprint) -> Result<Option<TicketLink>>;
    /// All tickets of a finding, the oldest generation first.
    async fn tickets_of(&self, fingerprint: &Fingerprint) -> Result<Vec<TicketLink>>;
    /// The newest ticket of each finding, by key.
    async fn all_tickets(&self) -> Result<Vec<TicketLink>>;
    /// Records the ticket of a finding.
    async fn link_ticket(&self, link: &TicketLink) -> Result<()>;
    /// One recorded action.
    async fn action(&self, key: &str) -> Result<Option<ActionRecord>>;
    /// Records an action or what became of it.
    async fn record_action(&self, action: &ActionRecord) -> Result<()>;
    /// What was done to the tickets of a finding, oldest first.
    async fn actions(&self, fingerprint: &Fingerprint) -> Result<Vec<ActionRecord>>;
    /// The creations that may have happened since then, oldest first.
    async fn creations(&self, since: Timestamp) -> Result<Vec<ActionRecord>>;
    /// When the first scan of the whole site ended; `None` if there was none.
    async fn baseline_end(&self, site: &SiteId) -> Result<Option<Timestamp>>;
    /// The projects in which nothing is changed, or whose hold was released.
    async fn holds(&self) -> Result<Vec<Hold>>;
    /// Records a hold, or its release.
    async fn put_hold(&self, hold: &Hold) -> Result<()>;
    /// Forgets a hold.
    async fn remove_hold(&self, project: &str) -> Result<()>;
    /// The dead actions, oldest first.
    async fn dead_actions(&self) -> Result<Vec<ActionRecord>>;
    /// Takes or renews the lease that lets one process work the outbox. False if another holds it.
    async fn lease_outbox(&self, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool>;
    /// Gives that lease back.
    async fn release_outbox(&self, owner: &str) -> Result<()>;
}
