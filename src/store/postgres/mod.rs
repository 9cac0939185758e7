//! The store in a PostgreSQL database, which many machines share.
//!
//! Most of what SQLite's store does is said in the same words here: those modules are compiled once for each database,
//! and name theirs only as `Backend` and `Connection`. What differs is in this folder: the statements that take many
//! rows, how a transaction begins, and what it has to lock, since here writers are not alone.
//!
//! All changes to the pages of one scan go one after another (`lock_scan`), and so do all leases on one host
//! (`lock_hosts`), scans before hosts. Nothing is locked while a page is rendered.
//!
//! The database's clock decides leases and pace; see [`clock`]. If two writers stand in each other's way, or the
//! database is away for a while, an operation is tried again. So is one whose answer was lost: it is whole or nothing,
//! and doing it twice is the same as once.

mod clock;
mod open;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod server;
mod sql;
#[cfg(test)]
mod tests;

#[path = "../sqlite/aliases.rs"]
mod aliases;
#[path = "../sqlite/complete.rs"]
mod complete;
#[path = "../sqlite/evidence.rs"]
mod evidence;
#[path = "../sqlite/findings.rs"]
mod findings;
#[path = "../sqlite/frontier.rs"]
mod frontier;
#[path = "../sqlite/logins.rs"]
mod logins;
#[path = "../sqlite/pictures.rs"]
mod pictures;
#[path = "../sqlite/scans.rs"]
mod scans;
#[path = "../sqlite/suppressions.rs"]
mod suppressions;
#[path = "../sqlite/tickets.rs"]
mod tickets;
#[path = "../sqlite/triage.rs"]
mod triage;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use phantom_checks::evidence::Evidence;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};

use super::{Result, Store, StoreError, no_such_scan};
use crate::crawl::{Completion, Lease, LeaseRequest, NewPage, PageKey, PageRow, PageState, SeenHost};
use crate::scan::{LoginEnd, LoginTurn, ScanClose, ScanCounts, ScanId, ScanRecord, ScanState};
use crate::site::SiteId;
use crate::tickets::{ActionRecord, Held, Hold, Intent, TicketLink};
use crate::triage::{
    Coverage, Finding, FindingEvent, FindingPage, Fingerprint, Judgement, PageLook, Picture, Suppression,
};

/// How long an operation waits for a database that is away.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often an operation that was in another's way is tried again.
const CLASHES: u32 = 20;

const LOCK_SCAN: &str = "SELECT scan FROM scan_counts WHERE scan = (SELECT seq FROM scans WHERE id = $1) FOR UPDATE";

const LOCK_HOSTS: &str = "SELECT host FROM hosts WHERE host = ANY ($1) ORDER BY host FOR UPDATE";

const MAKE_HOSTS: &str = "INSERT INTO hosts (host, next_allowed) SELECT h, 0 FROM unnest($1) h ORDER BY h \
     ON CONFLICT DO NOTHING";

/// What stands for a NUL, which PostgreSQL cannot hold in a text: two code points that are no characters.
const NUL: &str = "\u{10ffff}\u{10fffe}";

type Backend = PostgresStore;
type Connection = PgConnection;

/// A store in a PostgreSQL database.
pub(super) struct PostgresStore {
    readers: PgPool,
    clock: clock::Clock,
}

/// A connection that writes.
struct Writers(PoolConnection<Postgres>);

impl Writers {
    /// Begins a write that may be lost as a whole if the database crashes.
    async fn relaxed(&mut self) -> Result<Transaction<'_, Postgres>> {
        Ok(self.0.begin_with("BEGIN; SET LOCAL synchronous_commit TO OFF").await?)
    }

    /// Begins a write that is on the disk once it is committed.
    async fn durable(&mut self) -> Result<Transaction<'_, Postgres>> {
        Ok(self.0.begin().await?)
    }
}

impl PostgresStore {
    async fn writer(&self) -> Result<Writers> {
        let mut connection = self.readers.acquire().await?;
        self.clock.compare(&mut connection).await?;
        Ok(Writers(connection))
    }

    /// A transaction whose reads all see one state.
    async fn snapshot(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self
            .readers
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?)
    }

    /// A time of the caller's clock on the clock that decides leases, the database's.
    fn there(&self, time: Timestamp) -> i64 {
        time.as_millisecond().saturating_add(self.clock.ahead())
    }

    /// The reverse of [`Self::there`].
    fn here(&self, millis: i64) -> i64 {
        millis.saturating_sub(self.clock.ahead())
    }
}

/// What PostgreSQL said.
pub(super) fn said(database: &PgDatabaseError) -> StoreError {
    let said = database.message().to_owned();
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    match database.code() {
        // Serialization failure, deadlock, lock timeout.
        "40001" | "40P01" | "55P03" => StoreError::Clash(said),
        "53100" => StoreError::Full,
        "25006" | "42501" => StoreError::ReadOnly(said),
        // Connections that failed or are too many; a server that stops or starts.
        code if code.starts_with("08") || matches!(code, "53300" | "57P01" | "57P02" | "57P03" | "25P03") => {
            StoreError::Away(said)
        }
        code if code.starts_with("XX") => StoreError::Corrupt(said),
        _ => StoreError::Database(said),
    }
}

/// Makes other writers of a scan wait until this transaction ends.
async fn lock_scan(connection: &mut Connection, scan: &ScanId) -> Result<()> {
    sqlx::query(LOCK_SCAN).bind(&scan.0).fetch_optional(connection).await?;
    Ok(())
}

/// The same, for whoever leases pages of these hosts. True if what was read of them may be old.
async fn lock_hosts(connection: &mut Connection, hosts: &[&str]) -> Result<bool> {
    if hosts.is_empty() {
        return Ok(false);
    }
    let locked = sqlx::query(LOCK_HOSTS).bind(hosts).fetch_all(&mut *connection).await?;
    if locked.len() < hosts.len() {
        sqlx::query(MAKE_HOSTS).bind(hosts).execute(&mut *connection).await?;
        sqlx::query(LOCK_HOSTS).bind(hosts).fetch_all(connection).await?;
    }
    Ok(true)
}

/// The same, for whoever changes what goes by a name.
async fn lock_name(connection: &mut Connection, name: &str) -> Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

/// Rows that a statement takes in one parameter.
fn rows<T: serde::Serialize + ?Sized>(rows: &T) -> Result<String> {
    let json = super::codec::json(rows)?;
    if !json.contains("\\u0000") {
        return Ok(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = escape.strip_prefix("\\u0000") {
            out.push_str(NUL);
            rest = after;
        } else {
            // An escape is at least two characters of ASCII; what follows them is no escape.
            let (escape, after) = escape.split_at(2.min(escape.len()));
            out.push_str(escape);
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// A text as the database can hold it.
fn inward(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', NUL))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text that was made fit with [`inward`].
fn outward(text: String) -> String {
    if text.contains(NUL) {
        text.replace(NUL, "\0")
    } else {
        text
    }
}

/// How often an operation was tried, and since when.
struct Tries {
    clashes: u32,
    since: Instant,
    wait: Duration,
}

impl Tries {
    fn new() -> Self {
        Self {
            clashes: 0,
            since: Instant::now(),
            wait: Duration::from_millis(100),
        }
    }

    /// Waits, if the operation is worth trying once more.
    async fn once_more(&mut self, error: &StoreError) -> bool {
        match error {
            StoreError::Clash(_) if self.clashes < CLASHES => {
                self.clashes += 1;
                let most = u64::from(self.clashes) * 10;
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..most))).await;
                true
            }
            StoreError::Away(why) if self.since.elapsed() < PATIENCE => {
                tracing::warn!(why, "the database is away; trying again");
                tokio::time::sleep(self.wait).await;
                self.wait = (self.wait * 2).min(Duration::from_secs(3));
                true
            }
            _ => false,
        }
    }
}

macro_rules! again {
    ($call:expr) => {{
        let mut tries = Tries::new();
        loop {
            match $call.await {
                Err(error) if tries.once_more(&error).await => {}
                result => break result,
            }
        }
    }};
}

#[async_trait]
impl Store for PostgresStore {
    async fn salt(&self) -> Result<[u8; 32]> {
        again!(scans::salt(self))
    }

    async fn create_scan(&self, scan: &ScanRecord, pages: &[NewPage]) -> Result<()> {
        again!(scans::create(self, scan, pages))
    }

    async fn scan(&self, id: &ScanId) -> Result<Option<ScanRecord>> {
        again!(scans::one(self, id))
    }

    async fn unfinished_scan(&self, site: Option<&SiteId>) -> Result<Option<ScanRecord>> {
        again!(scans::unfinished(self, site))
    }

    async fn newest_scan(&self, site: Option<&SiteId>) -> Result<Option<ScanRecord>> {
        again!(scans::newest(self, site))
    }

    async fn scan_owner(&self, id: &ScanId) -> Result<Option<String>> {
        again!(scans::owner(self, id))
    }

    async fn hand_over_scan(&self, id: &ScanId, from: Option<&str>, to: Option<&str>) -> Result<bool> {
        again!(scans::hand_over(self, id, from, to))
    }

    async fn set_scan_state(
        &self,
        id: &ScanId,
        state: ScanState,
        ended: Option<Timestamp>,
        remarks: &[String],
    ) -> Result<()> {
        again!(scans::set_state(self, id, state, ended, remarks))
    }

    async fn counts(&self, id: &ScanId) -> Result<ScanCounts> {
        again!(scans::counts(self, id))
    }

    async fn pages(&self, id: &ScanId, state: PageState, limit: u32) -> Result<Vec<PageRow>> {
        again!(scans::pages(self, id, state, limit))
    }

    async fn seen_hosts(&self, id: &ScanId) -> Result<Vec<SeenHost>> {
        again!(scans::hosts(self, id))
    }

    async fn add_pages(&self, scan: &ScanId, pages: &[NewPage]) -> Result<u64> {
        again!(frontier::add_pages(self, scan, pages))
    }

    async fn lease(&self, request: &LeaseRequest<'_>) -> Result<Vec<Lease>> {
        again!(frontier::lease(self, request))
    }

    async fn next_lease_at(&self, request: &LeaseRequest<'_>) -> Result<Option<Timestamp>> {
        again!(frontier::next_lease_at(self, request))
    }

    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<bool> {
        again!(frontier::renew(self, lease, until))
    }

    async fn release(&self, lease: &Lease, crashed: bool) -> Result<()> {
        again!(frontier::release(self, lease, crashed))
    }

    async fn hold_host(&self, host: &str, until: Timestamp) -> Result<()> {
        again!(frontier::hold_host(self, host, until))
    }

    async fn release_owner(&self, scan: &ScanId, owner: &str) -> Result<u64> {
        again!(frontier::release_owner(self, scan, owner))
    }

    async fn lease_owners(&self, scan: &ScanId) -> Result<Vec<String>> {
        again!(frontier::lease_owners(self, scan))
    }

    async fn complete(&self, completion: &Completion<'_>) -> Result<bool> {
        again!(complete::complete(self, completion))
    }

    async fn skip_waiting(&self, scan: &ScanId, reason: &str) -> Result<u64> {
        again!(frontier::skip_waiting(self, scan, reason))
    }

    async fn skip_alike(&self, scan: &ScanId, alike: &str, reason: &str) -> Result<u64> {
        again!(frontier::skip_alike(self, scan, alike, reason))
    }

    async fn reopen_pages(&self, scan: &ScanId, pages: &[PageKey]) -> Result<u64> {
        again!(logins::reopen(self, scan, pages))
    }

    async fn begin_login(&self, account: &str, now: Timestamp) -> Result<LoginTurn> {
        again!(logins::begin(self, account, now))
    }

    async fn end_login(&self, account: &str, end: LoginEnd) -> Result<()> {
        again!(logins::end(self, account, end))
    }

    async fn unlock_account(&self, account: &str) -> Result<bool> {
        again!(logins::unlock(self, account))
    }

    async fn evidence(&self, scan: &ScanId, page: &PageKey) -> Result<Option<Evidence>> {
        again!(evidence::one(self, scan, page))
    }

    async fn bodies(&self, hashes: &[String]) -> Result<BTreeMap<String, String>> {
        again!(evidence::bodies(self, hashes))
    }

    async fn prune_evidence(&self, keep_scans: u32, before: Timestamp) -> Result<()> {
        again!(evidence::prune(self, keep_scans, before))
    }

    async fn keep_picture(&self, picture: &Picture) -> Result<()> {
        again!(pictures::keep(self, picture))
    }

    async fn picture(&self, fingerprint: &Fingerprint) -> Result<Option<Picture>> {
        again!(pictures::one(self, fingerprint))
    }

    async fn drop_pictures(&self, site: &SiteId) -> Result<()> {
        again!(pictures::drop_of_site(self, site))
    }

    async fn findings(&self, scan: &ScanId) -> Result<Vec<Finding>> {
        again!(findings::of_scan(self, scan))
    }

    async fn unseen_findings(&self, scan: &ScanId) -> Result<Vec<Finding>> {
        again!(findings::unseen(self, scan))
    }

    async fn finding(&self, fingerprint: &Fingerprint) -> Result<Option<Finding>> {
        again!(findings::one(self, fingerprint))
    }

    async fn finding_pages(
        &self,
        scan: &ScanId,
        fingerprint: &Fingerprint,
        limit: u32,
    ) -> Result<(Vec<FindingPage>, u64)> {
        again!(findings::pages(self, scan, fingerprint, limit))
    }

    async fn way_to(&self, scan: &ScanId, url: &str) -> Result<Vec<String>> {
        again!(tickets::way_to(self, scan, url))
    }

    async fn all_findings(&self, site: Option<&SiteId>) -> Result<Vec<Finding>> {
        again!(findings::all(self, site))
    }

    async fn finding_events(&self, fingerprint: &Fingerprint) -> Result<Vec<FindingEvent>> {
        again!(triage::events(self, fingerprint))
    }

    async fn page_looks(&self, scan: &ScanId) -> Result<Vec<PageLook>> {
        again!(triage::looks(self, scan))
    }

    async fn coverages(&self, site: &SiteId, but: &ScanId, limit: u32) -> Result<Vec<Coverage>> {
        again!(triage::coverages(self, site, but, limit))
    }

    async fn close_scan(&self, close: &ScanClose<'_>) -> Result<u64> {
        again!(triage::close_scan(self, close))
    }

    async fn judge(&self, judgements: &[Judgement], now: Timestamp) -> Result<u64> {
        again!(triage::judge(self, judgements, now))
    }

    async fn suppress(&self, suppression: &Suppression, now: Timestamp) -> Result<u64> {
        again!(suppressions::suppress(self, suppression, now))
    }

    async fn suppressions(&self) -> Result<Vec<Suppression>> {
        again!(suppressions::all(self))
    }

    async fn lift_suppression(&self, id: &str, by: &str, now: Timestamp) -> Result<bool> {
        again!(suppressions::lift(self, id, by, now))
    }

    async fn set_file_suppressions(&self, site: &SiteId, all: &[Suppression], now: Timestamp) -> Result<()> {
        again!(suppressions::set_of_file(self, site, all, now))
    }

    async fn due_intents(&self, now: Timestamp, limit: u32, site: Option<&SiteId>) -> Result<Vec<Intent>> {
        again!(tickets::due_intents(self, now, limit, site))
    }

    async fn intent_count(&self, site: Option<&SiteId>) -> Result<u64> {
        again!(tickets::intent_count(self, site))
    }

    async fn finish_intent(&self, intent: &Intent) -> Result<()> {
        again!(tickets::finish_intent(self, intent))
    }

    async fn postpone_intent(&self, intent: &Intent, due: Timestamp) -> Result<()> {
        again!(tickets::postpone_intent(self, intent, due))
    }

    async fn hold_intent(&self, intent: &Intent, due: Timestamp, why: Held) -> Result<()> {
        again!(tickets::hold_intent(self, intent, due, why))
    }

    async fn wish(&self, fingerprints: &[Fingerprint], now: Timestamp) -> Result<()> {
        again!(tickets::wish(self, fingerprints, now))
    }

    async fn tickets_of(&self, fingerprint: &Fingerprint) -> Result<Vec<TicketLink>> {
        again!(tickets::tickets_of(self, fingerprint))
    }

    async fn all_tickets(&self) -> Result<Vec<TicketLink>> {
        again!(tickets::all_tickets(self))
    }

    async fn actions(&self, fingerprint: &Fingerprint) -> Result<Vec<ActionRecord>> {
        again!(tickets::actions(self, fingerprint))
    }

    async fn creations(&self, since: Timestamp) -> Result<Vec<ActionRecord>> {
        again!(tickets::creations(self, since))
    }

    async fn baseline_end(&self, site: &SiteId) -> Result<Option<Timestamp>> {
        again!(tickets::baseline_end(self, site))
    }

    async fn holds(&self) -> Result<Vec<Hold>> {
        again!(tickets::holds(self))
    }

    async fn put_hold(&self, hold: &Hold) -> Result<()> {
        again!(tickets::put_hold(self, hold))
    }

    async fn remove_hold(&self, project: &str) -> Result<()> {
        again!(tickets::remove_hold(self, project))
    }

    async fn ticket(&self, fingerprint: &Fingerprint) -> Result<Option<TicketLink>> {
        again!(tickets::ticket(self, fingerprint))
    }

    async fn link_ticket(&self, link: &TicketLink) -> Result<()> {
        again!(tickets::link(self, link))
    }

    async fn action(&self, key: &str) -> Result<Option<ActionRecord>> {
        again!(tickets::action(self, key))
    }

    async fn record_action(&self, action: &ActionRecord) -> Result<()> {
        again!(tickets::record_action(self, action))
    }

    async fn dead_actions(&self) -> Result<Vec<ActionRecord>> {
        again!(tickets::dead_actions(self))
    }

    async fn lease_outbox(&self, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
        again!(tickets::lease_outbox(self, owner, now, until))
    }

    async fn release_outbox(&self, owner: &str) -> Result<()> {
        again!(tickets::release_outbox(self, owner))
    }
}
