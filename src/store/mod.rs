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
mod findings;
mod location;
mod news;
mod postgres;
mod sqlite;
mod tickets;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use phantom_checks::evidence::{Answer, Cookie, Evidence};

use crate::crawl::{Completion, Lease, LeaseRequest, NewPage, PageKey, PageRow, PageState, PastLook, SeenHost, Turn};
use crate::scan::{
    AuditEntry, Beat, LoginEnd, LoginTurn, Pulse, ReplayTurn, ScanCounts, ScanId, ScanLine, ScanOwner, ScanRecord,
    ScanState, StoredAdvisories, WhichScans, Wish,
};
use crate::site::SiteId;

pub use findings::FindingStore;
pub use location::stripped_of_password;
pub use news::News;
pub use tickets::TicketStore;

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

/// What is kept, and the transactions on it: scans with their pages, and what [`TicketStore`] and [`FindingStore`] keep.
/// Every method is atomic: after a crash at any instant it has happened wholly or not at all.
#[async_trait]
pub trait Store: TicketStore {
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
    /// The newest scan that is not complete, of one site or of any. One whose site was scanned to the end later is not
    /// worth going on with, nor is a look at one finding; the latter are left out below, too.
    async fn unfinished_scan(&self, site: Option<&SiteId>) -> Result<Option<ScanRecord>>;
    /// The newest scan, of one site or of any.
    async fn newest_scan(&self, site: Option<&SiteId>) -> Result<Option<ScanRecord>>;
    /// Records a new nightly scan with the process that has it, and that it was begun in the audit log, unless one of its
    /// site has begun at or after `since`. False if it has.
    async fn create_nightly(
        &self,
        scan: &ScanRecord,
        pages: &[NewPage],
        since: Timestamp,
        owner: &ScanOwner,
        told: &AuditEntry,
    ) -> Result<bool>;
    /// The newest nightly scan of a site.
    async fn last_nightly(&self, site: &SiteId) -> Result<Option<ScanLine>>;
    /// Some scans, `limit` at most.
    async fn scan_lines(&self, which: WhichScans, limit: u32) -> Result<Vec<ScanLine>>;
    /// One scan.
    async fn scan_line(&self, id: &ScanId) -> Result<Option<ScanLine>>;
    /// The process that has a scan; `None` if it gave the scan back, or nobody took it yet.
    async fn scan_owner(&self, id: &ScanId) -> Result<Option<ScanOwner>>;
    /// Hands a scan from one process to another, which has it until then if it does not [`Store::beat`] before. False
    /// if it was not `from` who had it: then nothing has changed.
    async fn hand_over_scan(&self, id: &ScanId, from: Option<&str>, to: Option<&str>, until: Timestamp)
    -> Result<bool>;
    /// Hands a scan from one process to another as [`Store::hand_over_scan`] does, and makes it run, with nothing wished of
    /// it. False if it was not `from` who had it, something else than `wish` is wished of it by now, or it is complete:
    /// then nothing has changed.
    async fn resume_scan(
        &self,
        id: &ScanId,
        from: Option<&str>,
        wish: Option<Wish>,
        to: &str,
        until: Timestamp,
    ) -> Result<bool>;
    /// Says that a process that works on a scan still lives: the leases that it holds are extended, others in its name are
    /// given back, and if the scan is its own, that is extended too. Returns what the process has to know of the scan;
    /// [`StoreError::Newer`] if it has to end.
    async fn beat(&self, pulse: &Pulse<'_>) -> Result<Beat>;
    /// Records what a person wants of a scan. False if there is no such scan, or it has come to its end.
    async fn set_wish(&self, id: &ScanId, wish: Option<Wish>) -> Result<bool>;
    /// Lets a scan that nobody works on go on with the next worker that looks. False if it was not `owner` who had it
    /// last, or it has come to its end: then nothing has changed.
    async fn let_go_on(&self, id: &ScanId, owner: Option<&str>, now: Timestamp) -> Result<bool>;
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
    /// The right to send a form from another origin in a scan. Those with one action and one name of their token are one,
    /// which is sent once, and `most` are sent in all, however many processes work on the scan.
    async fn claim_replay(&self, scan: &ScanId, form: &str, token: Option<&str>, most: u32) -> Result<ReplayTurn>;
    /// What came of a form that was claimed.
    async fn keep_replay(&self, scan: &ScanId, form: &str, token: Option<&str>, answer: &Answer) -> Result<()>;

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

    // Triage

    /// Adds to the audit log, which nothing is ever taken out of.
    async fn audit(&self, entry: &AuditEntry) -> Result<()>;
    /// The audit log, newest first, `limit` at most.
    async fn audit_log(&self, limit: u32) -> Result<Vec<AuditEntry>>;
}
