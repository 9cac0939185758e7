//! What both databases say in the same words, compiled once for each.
//!
//! Rust has no type that stands for either database without saying so in every signature, so this module is a part of
//! each of the two, and names theirs as `Backend` and `Connection`. Where they differ, their own module has a function
//! of one name, or a statement in `dialect`.

pub(super) mod advisories;
pub(super) mod aliases;
pub(super) mod complete;
pub(super) mod evidence;
pub(super) mod findings;
pub(super) mod fleet;
pub(super) mod frontier;
pub(super) mod logins;
pub(super) mod pictures;
pub(super) mod replays;
pub(super) mod scans;
pub(super) mod sessions;
pub(super) mod suppressions;
pub(super) mod tickets;
pub(super) mod triage;
pub(super) mod turns;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use phantom_checks::Observation;
use phantom_checks::evidence::{Answer, Cookie, Evidence};

use super::super::{FindingStore, News, Result, Store, StoreError, TicketStore, codec, no_such_scan, versions};
use super::{
    Backend, Connection, Tries, Writers, dialect, inward, lock_hosts, lock_name, lock_scan, migrations, outward, rows,
    tell_of_pages, tell_of_scans,
};
use crate::crawl::{Completion, Lease, LeaseRequest, NewPage, PageKey, PageRow, PageState, PastLook, SeenHost, Turn};
use crate::scan::{
    AuditEntry, Beat, LoginEnd, LoginTurn, Pulse, ReplayTurn, ScanClose, ScanCounts, ScanId, ScanLine, ScanOwner,
    ScanRecord, ScanState, StoredAdvisories, WhichScans, Wish,
};
use crate::site::SiteId;
use crate::tickets::{ActionRecord, Held, Hold, Intent, TicketLink};
use crate::triage::{
    Coverage, Finding, FindingEvent, FindingPage, Fingerprint, Judgement, PageLook, Picture, Suppression,
};

/// Tries an operation again as long as that makes sense.
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
impl Store for Backend {
    fn news(&self) -> News {
        self.ear()
    }

    async fn salt(&self) -> Result<[u8; 32]> {
        again!(scans::salt(self))
    }

    async fn fits(&self) -> Result<()> {
        again!(scans::fits(self))
    }

    async fn create_scan(&self, scan: &ScanRecord, pages: &[NewPage]) -> Result<()> {
        again!(scans::create(self, scan, pages))
    }

    async fn unfinished_scan(&self, site: Option<&SiteId>) -> Result<Option<ScanRecord>> {
        again!(scans::unfinished(self, site))
    }

    async fn newest_scan(&self, site: Option<&SiteId>) -> Result<Option<ScanRecord>> {
        again!(scans::newest(self, site))
    }

    async fn scan_owner(&self, id: &ScanId) -> Result<Option<ScanOwner>> {
        again!(fleet::owner(self, id))
    }

    async fn hand_over_scan(
        &self,
        id: &ScanId,
        from: Option<&str>,
        to: Option<&str>,
        until: Timestamp,
    ) -> Result<bool> {
        again!(fleet::hand_over(self, id, from, to, until))
    }

    async fn resume_scan(
        &self,
        id: &ScanId,
        from: Option<&str>,
        wish: Option<Wish>,
        to: &str,
        until: Timestamp,
    ) -> Result<bool> {
        again!(fleet::resume(self, id, from, wish, to, until))
    }

    async fn create_nightly(
        &self,
        scan: &ScanRecord,
        pages: &[NewPage],
        since: Timestamp,
        owner: &ScanOwner,
        told: &AuditEntry,
    ) -> Result<bool> {
        again!(fleet::create_nightly(self, scan, pages, since, owner, told))
    }

    async fn last_nightly(&self, site: &SiteId) -> Result<Option<ScanLine>> {
        again!(fleet::last_nightly(self, site))
    }

    async fn scan_lines(&self, which: WhichScans, limit: u32) -> Result<Vec<ScanLine>> {
        again!(fleet::scan_lines(self, which, limit))
    }

    async fn scan_line(&self, id: &ScanId) -> Result<Option<ScanLine>> {
        again!(fleet::scan_line(self, id))
    }

    async fn beat(&self, pulse: &Pulse<'_>) -> Result<Beat> {
        again!(fleet::beat(self, pulse))
    }

    async fn set_wish(&self, id: &ScanId, wish: Option<Wish>) -> Result<bool> {
        again!(fleet::set_wish(self, id, wish))
    }

    async fn let_go_on(&self, id: &ScanId, owner: Option<&str>, now: Timestamp) -> Result<bool> {
        again!(fleet::let_go_on(self, id, owner, now))
    }

    async fn add_remarks(&self, id: &ScanId, remarks: &[String]) -> Result<()> {
        again!(fleet::add_remarks(self, id, remarks))
    }

    async fn take_turn(&self, host: &str, now: Timestamp, pace: Duration) -> Result<Turn> {
        again!(turns::take(self, host, now, pace))
    }

    async fn audit(&self, entry: &AuditEntry) -> Result<()> {
        again!(fleet::audit(self, entry))
    }

    async fn audit_log(&self, limit: u32) -> Result<Vec<AuditEntry>> {
        again!(fleet::audit_log(self, limit))
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

    async fn keep_sessions(&self, scan: &ScanId, cookies: &[Cookie]) -> Result<()> {
        again!(sessions::keep(self, scan, cookies))
    }

    async fn sessions(&self, scan: &ScanId) -> Result<Vec<Cookie>> {
        again!(sessions::all(self, scan))
    }

    async fn claim_replay(&self, scan: &ScanId, form: &str, token: Option<&str>, most: u32) -> Result<ReplayTurn> {
        again!(replays::claim(self, scan, (form, token), most))
    }

    async fn keep_replay(&self, scan: &ScanId, form: &str, token: Option<&str>, answer: &Answer) -> Result<()> {
        again!(replays::keep(self, scan, (form, token), answer))
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

    async fn hold_host(&self, host: &str, now: Timestamp, until: Timestamp) -> Result<()> {
        again!(turns::hold(self, host, now, until))
    }

    async fn forgive_host(&self, host: &str) -> Result<()> {
        again!(turns::forgive(self, host))
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

    async fn past_look(&self, site: &SiteId, page: &PageKey, but: &ScanId) -> Result<Option<PastLook>> {
        again!(evidence::past(self, site, page, but))
    }

    async fn bodies(&self, hashes: &[String]) -> Result<BTreeMap<String, String>> {
        again!(evidence::bodies(self, hashes))
    }

    async fn prune_evidence(&self, keep_scans: u32, before: Timestamp) -> Result<()> {
        again!(evidence::prune(self, keep_scans, before))
    }

    async fn advisories(&self) -> Result<Option<StoredAdvisories>> {
        again!(advisories::one(self))
    }

    async fn keep_advisories(&self, set: &StoredAdvisories) -> Result<()> {
        again!(advisories::keep(self, set))
    }
}

#[async_trait]
impl FindingStore for Backend {
    async fn scan(&self, id: &ScanId) -> Result<Option<ScanRecord>> {
        again!(scans::one(self, id))
    }

    async fn observe(
        &self,
        scan: &ScanId,
        page: &PageKey,
        now: Timestamp,
        observations: &[Observation],
    ) -> Result<bool> {
        again!(sessions::observe(self, scan, page, now, observations))
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

    async fn close_scan(&self, close: &ScanClose<'_>) -> Result<Option<u64>> {
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

    async fn baseline_end(&self, site: &SiteId) -> Result<Option<Timestamp>> {
        again!(tickets::baseline_end(self, site))
    }
}

#[async_trait]
impl TicketStore for Backend {
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
