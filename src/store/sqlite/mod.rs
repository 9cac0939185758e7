//! The store in one SQLite file, for one machine.
//!
//! Several processes may have it open. Every write begins with `BEGIN IMMEDIATE`, so that it never has to give up half
//! way because another process wrote first. The file is in WAL mode: readers and the writer do not wait for each other.
//!
//! There are two writing connections. The *relaxed* one (`synchronous = NORMAL`) records pages: after a crash of the
//! operating system the last transactions may be gone as a whole, which means that their pages are rendered again.
//! After a crash of our own process nothing is gone. The *durable* one (`synchronous = FULL`) records what must not be
//! forgotten because something outside is about to happen, or has: scans, tickets and outbox actions. It waits for the
//! disk, and what the relaxed one wrote before reaches the disk with it.

mod aliases;
mod complete;
mod evidence;
mod findings;
mod frontier;
mod logins;
mod open;
mod pictures;
#[cfg(test)]
pub(super) mod plans;
mod scans;
mod sql;
mod suppressions;
#[cfg(test)]
mod tests;
mod tickets;
mod triage;

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use phantom_checks::evidence::Evidence;
use sqlx::error::DatabaseError;
use sqlx::{Connection as _, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use super::{Result, Store, StoreError, no_such_scan};
use crate::crawl::{Completion, Lease, LeaseRequest, NewPage, PageKey, PageRow, PageState, SeenHost};
use crate::scan::{LoginEnd, LoginTurn, ScanClose, ScanCounts, ScanId, ScanRecord, ScanState};
use crate::site::SiteId;
use crate::tickets::{ActionRecord, Held, Hold, Intent, TicketLink};
use crate::triage::{
    Coverage, Finding, FindingEvent, FindingPage, Fingerprint, Judgement, PageLook, Picture, Suppression,
};

/// What the modules here are written for. Those that name no database are those of PostgreSQL, too.
type Backend = SqliteStore;
type Connection = SqliteConnection;

/// A store in one SQLite file.
pub(super) struct SqliteStore {
    readers: SqlitePool,
    /// One lock for both, so that within this process they never wait in the database for each other.
    writers: Mutex<Writers>,
}

struct Writers {
    relaxed: SqliteConnection,
    durable: SqliteConnection,
}

impl Writers {
    /// Begins a write that may be lost as a whole if the operating system crashes.
    async fn relaxed(&mut self) -> Result<Transaction<'_, Sqlite>> {
        immediate(&mut self.relaxed).await
    }

    /// Begins a write that is on the disk once it is committed.
    async fn durable(&mut self) -> Result<Transaction<'_, Sqlite>> {
        immediate(&mut self.durable).await
    }
}

impl SqliteStore {
    /// The connections that write, for one at a time.
    async fn writer(&self) -> Result<MutexGuard<'_, Writers>> {
        Ok(self.writers.lock().await)
    }

    /// A transaction whose reads all see one state.
    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.readers.begin().await?)
    }

    /// A time of the caller's clock on the clock that decides leases. On one machine there is one clock.
    #[expect(clippy::unused_self, reason = "other databases have a clock of their own")]
    fn there(&self, time: Timestamp) -> i64 {
        time.as_millisecond()
    }

    /// The reverse of [`Self::there`].
    #[expect(clippy::unused_self, reason = "other databases have a clock of their own")]
    fn here(&self, millis: i64) -> i64 {
        millis
    }
}

/// Begins a write on one of the two connections. Dropped without a commit, it is rolled back.
async fn immediate(connection: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>> {
    Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
}

/// Makes other writers of a scan wait. Here each write is alone from its beginning.
async fn lock_scan(_: &mut Connection, _: &ScanId) -> Result<()> {
    Ok(())
}

/// The same, for whoever leases pages of these hosts. True if what was read of them may be old.
async fn lock_hosts(_: &mut Connection, _: &[&str]) -> Result<bool> {
    Ok(false)
}

/// The same, for whoever changes what goes by a name.
async fn lock_name(_: &mut Connection, _: &str) -> Result<()> {
    Ok(())
}

/// Rows that a statement takes in one parameter.
fn rows<T: serde::Serialize + ?Sized>(rows: &T) -> Result<String> {
    super::codec::json(rows)
}

/// A text as the database can hold it.
fn inward(text: &str) -> &str {
    text
}

/// The text that was made fit with [`inward`].
fn outward(text: String) -> String {
    text
}

/// What SQLite said.
pub(super) fn said(database: &dyn DatabaseError) -> StoreError {
    const SHM_DOES_NOT_FIT: i32 = 4874;
    let said = database.message().to_owned();
    let code = database.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
    // The low byte is the primary result code: https://www.sqlite.org/rescode.html
    match (code, code & 0xff) {
        (_, 13) | (SHM_DOES_NOT_FIT, _) => StoreError::Full,
        (_, 3 | 8 | 14) => StoreError::ReadOnly(said),
        (_, 11 | 26) => StoreError::Corrupt(said),
        (_, 5 | 6) => StoreError::Database(format!(
            "{said}: another process kept it for longer than {} s; end that process or try again",
            open::BUSY_TIMEOUT.as_secs()
        )),
        _ => StoreError::Database(said),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn salt(&self) -> Result<[u8; 32]> {
        scans::salt(self).await
    }

    async fn create_scan(&self, scan: &ScanRecord, pages: &[NewPage]) -> Result<()> {
        scans::create(self, scan, pages).await
    }

    async fn scan(&self, id: &ScanId) -> Result<Option<ScanRecord>> {
        scans::one(self, id).await
    }

    async fn unfinished_scan(&self, site: Option<&SiteId>) -> Result<Option<ScanRecord>> {
        scans::unfinished(self, site).await
    }

    async fn newest_scan(&self, site: Option<&SiteId>) -> Result<Option<ScanRecord>> {
        scans::newest(self, site).await
    }

    async fn scan_owner(&self, id: &ScanId) -> Result<Option<String>> {
        scans::owner(self, id).await
    }

    async fn hand_over_scan(&self, id: &ScanId, from: Option<&str>, to: Option<&str>) -> Result<bool> {
        scans::hand_over(self, id, from, to).await
    }

    async fn set_scan_state(
        &self,
        id: &ScanId,
        state: ScanState,
        ended: Option<Timestamp>,
        remarks: &[String],
    ) -> Result<()> {
        scans::set_state(self, id, state, ended, remarks).await
    }

    async fn counts(&self, id: &ScanId) -> Result<ScanCounts> {
        scans::counts(self, id).await
    }

    async fn pages(&self, id: &ScanId, state: PageState, limit: u32) -> Result<Vec<PageRow>> {
        scans::pages(self, id, state, limit).await
    }

    async fn seen_hosts(&self, id: &ScanId) -> Result<Vec<SeenHost>> {
        scans::hosts(self, id).await
    }

    async fn add_pages(&self, scan: &ScanId, pages: &[NewPage]) -> Result<u64> {
        frontier::add_pages(self, scan, pages).await
    }

    async fn lease(&self, request: &LeaseRequest<'_>) -> Result<Vec<Lease>> {
        frontier::lease(self, request).await
    }

    async fn next_lease_at(&self, request: &LeaseRequest<'_>) -> Result<Option<Timestamp>> {
        frontier::next_lease_at(self, request).await
    }

    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<bool> {
        frontier::renew(self, lease, until).await
    }

    async fn release(&self, lease: &Lease, crashed: bool) -> Result<()> {
        frontier::release(self, lease, crashed).await
    }

    async fn hold_host(&self, host: &str, until: Timestamp) -> Result<()> {
        frontier::hold_host(self, host, until).await
    }

    async fn release_owner(&self, scan: &ScanId, owner: &str) -> Result<u64> {
        frontier::release_owner(self, scan, owner).await
    }

    async fn lease_owners(&self, scan: &ScanId) -> Result<Vec<String>> {
        frontier::lease_owners(self, scan).await
    }

    async fn complete(&self, completion: &Completion<'_>) -> Result<bool> {
        complete::complete(self, completion).await
    }

    async fn skip_waiting(&self, scan: &ScanId, reason: &str) -> Result<u64> {
        frontier::skip_waiting(self, scan, reason).await
    }

    async fn skip_alike(&self, scan: &ScanId, alike: &str, reason: &str) -> Result<u64> {
        frontier::skip_alike(self, scan, alike, reason).await
    }

    async fn reopen_pages(&self, scan: &ScanId, pages: &[PageKey]) -> Result<u64> {
        logins::reopen(self, scan, pages).await
    }

    async fn begin_login(&self, account: &str, now: Timestamp) -> Result<LoginTurn> {
        logins::begin(self, account, now).await
    }

    async fn end_login(&self, account: &str, end: LoginEnd) -> Result<()> {
        logins::end(self, account, end).await
    }

    async fn unlock_account(&self, account: &str) -> Result<bool> {
        logins::unlock(self, account).await
    }

    async fn evidence(&self, scan: &ScanId, page: &PageKey) -> Result<Option<Evidence>> {
        evidence::one(self, scan, page).await
    }

    async fn bodies(&self, hashes: &[String]) -> Result<BTreeMap<String, String>> {
        evidence::bodies(self, hashes).await
    }

    async fn prune_evidence(&self, keep_scans: u32, before: Timestamp) -> Result<()> {
        evidence::prune(self, keep_scans, before).await
    }

    async fn keep_picture(&self, picture: &Picture) -> Result<()> {
        pictures::keep(self, picture).await
    }

    async fn picture(&self, fingerprint: &Fingerprint) -> Result<Option<Picture>> {
        pictures::one(self, fingerprint).await
    }

    async fn drop_pictures(&self, site: &SiteId) -> Result<()> {
        pictures::drop_of_site(self, site).await
    }

    async fn findings(&self, scan: &ScanId) -> Result<Vec<Finding>> {
        findings::of_scan(self, scan).await
    }

    async fn unseen_findings(&self, scan: &ScanId) -> Result<Vec<Finding>> {
        findings::unseen(self, scan).await
    }

    async fn finding(&self, fingerprint: &Fingerprint) -> Result<Option<Finding>> {
        findings::one(self, fingerprint).await
    }

    async fn finding_pages(
        &self,
        scan: &ScanId,
        fingerprint: &Fingerprint,
        limit: u32,
    ) -> Result<(Vec<FindingPage>, u64)> {
        findings::pages(self, scan, fingerprint, limit).await
    }

    async fn way_to(&self, scan: &ScanId, url: &str) -> Result<Vec<String>> {
        tickets::way_to(self, scan, url).await
    }

    async fn all_findings(&self, site: Option<&SiteId>) -> Result<Vec<Finding>> {
        findings::all(self, site).await
    }

    async fn finding_events(&self, fingerprint: &Fingerprint) -> Result<Vec<FindingEvent>> {
        triage::events(self, fingerprint).await
    }

    async fn page_looks(&self, scan: &ScanId) -> Result<Vec<PageLook>> {
        triage::looks(self, scan).await
    }

    async fn coverages(&self, site: &SiteId, but: &ScanId, limit: u32) -> Result<Vec<Coverage>> {
        triage::coverages(self, site, but, limit).await
    }

    async fn close_scan(&self, close: &ScanClose<'_>) -> Result<u64> {
        triage::close_scan(self, close).await
    }

    async fn judge(&self, judgements: &[Judgement], now: Timestamp) -> Result<u64> {
        triage::judge(self, judgements, now).await
    }

    async fn suppress(&self, suppression: &Suppression, now: Timestamp) -> Result<u64> {
        suppressions::suppress(self, suppression, now).await
    }

    async fn suppressions(&self) -> Result<Vec<Suppression>> {
        suppressions::all(self).await
    }

    async fn lift_suppression(&self, id: &str, by: &str, now: Timestamp) -> Result<bool> {
        suppressions::lift(self, id, by, now).await
    }

    async fn set_file_suppressions(&self, site: &SiteId, all: &[Suppression], now: Timestamp) -> Result<()> {
        suppressions::set_of_file(self, site, all, now).await
    }

    async fn due_intents(&self, now: Timestamp, limit: u32, site: Option<&SiteId>) -> Result<Vec<Intent>> {
        tickets::due_intents(self, now, limit, site).await
    }

    async fn intent_count(&self, site: Option<&SiteId>) -> Result<u64> {
        tickets::intent_count(self, site).await
    }

    async fn finish_intent(&self, intent: &Intent) -> Result<()> {
        tickets::finish_intent(self, intent).await
    }

    async fn postpone_intent(&self, intent: &Intent, due: Timestamp) -> Result<()> {
        tickets::postpone_intent(self, intent, due).await
    }

    async fn hold_intent(&self, intent: &Intent, due: Timestamp, why: Held) -> Result<()> {
        tickets::hold_intent(self, intent, due, why).await
    }

    async fn wish(&self, fingerprints: &[Fingerprint], now: Timestamp) -> Result<()> {
        tickets::wish(self, fingerprints, now).await
    }

    async fn tickets_of(&self, fingerprint: &Fingerprint) -> Result<Vec<TicketLink>> {
        tickets::tickets_of(self, fingerprint).await
    }

    async fn all_tickets(&self) -> Result<Vec<TicketLink>> {
        tickets::all_tickets(self).await
    }

    async fn actions(&self, fingerprint: &Fingerprint) -> Result<Vec<ActionRecord>> {
        tickets::actions(self, fingerprint).await
    }

    async fn creations(&self, since: Timestamp) -> Result<Vec<ActionRecord>> {
        tickets::creations(self, since).await
    }

    async fn baseline_end(&self, site: &SiteId) -> Result<Option<Timestamp>> {
        tickets::baseline_end(self, site).await
    }

    async fn holds(&self) -> Result<Vec<Hold>> {
        tickets::holds(self).await
    }

    async fn put_hold(&self, hold: &Hold) -> Result<()> {
        tickets::put_hold(self, hold).await
    }

    async fn remove_hold(&self, project: &str) -> Result<()> {
        tickets::remove_hold(self, project).await
    }

    async fn ticket(&self, fingerprint: &Fingerprint) -> Result<Option<TicketLink>> {
        tickets::ticket(self, fingerprint).await
    }

    async fn link_ticket(&self, link: &TicketLink) -> Result<()> {
        tickets::link(self, link).await
    }

    async fn action(&self, key: &str) -> Result<Option<ActionRecord>> {
        tickets::action(self, key).await
    }

    async fn record_action(&self, action: &ActionRecord) -> Result<()> {
        tickets::record_action(self, action).await
    }

    async fn dead_actions(&self) -> Result<Vec<ActionRecord>> {
        tickets::dead_actions(self).await
    }

    async fn lease_outbox(&self, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
        tickets::lease_outbox(self, owner, now, until).await
    }

    async fn release_outbox(&self, owner: &str) -> Result<()> {
        tickets::release_outbox(self, owner).await
    }
}
