//! What every store must do, whatever database is behind it.
//!
//! Each case is a function of two handles on one fresh store, as two processes would have them. A backend lists them
//! all with [`suite!`]. Clocks are given, never waited for.

pub(crate) mod fates;
pub(crate) mod findings;
pub(crate) mod fleet;
pub(crate) mod frontier;
pub(crate) mod keeping;
pub(crate) mod logins;
pub(crate) mod model;
pub(crate) mod tickets;
pub(crate) mod triage;
mod upgrade;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use phantom_checks::evidence::{Evidence, Page, Script};
use phantom_checks::{Cause, Confidence, Fact, Observation, Severity};
use url::Url;

use super::Store;
use crate::crawl::{Completion, Lease, LeaseRequest, NewPage, PageKey, PageMark, PageOutcome};
use crate::scan::{ScanId, ScanRecord, Trigger};
use crate::site::{Site, SiteId};

/// Makes a test of every case. The argument is an async function that returns two handles on one fresh store and
/// something that keeps it alive.
macro_rules! suite {
    ($fresh:path) => {
        $crate::store::conformance::suite!($fresh;
            keeping: scans_are_kept, unfinished_scans_are_found, scans_have_one_owner, pages_are_listed, evidence_and_bodies_are_kept, past_looks_are_found,
                old_evidence_is_pruned, pictures_are_kept_with_the_evidence, advisories_are_kept, hostile_text_is_kept, seen_hosts_are_kept,
                sessions_count_for_pages_before, forms_are_sent_once_and_few_are;
            frontier: pages_are_known_once, shallow_pages_go_first, pages_wait_for_their_host, concurrency_holds_over_all,
                budgets_hold_over_all,
                expired_leases_go_to_others, late_results_count_until_retaken, leases_are_renewed_and_given_back,
                crashes_are_counted, dead_owners_lose_their_pages, waiting_pages_are_skipped, alike_pages_are_skipped, racing_owners_share_all,
                hosts_take_turns, completions_count_once, redirects_adopt_their_target, unknown_scans_are_told;
            findings: findings_live_through_scans, wishes_are_few, pages_of_findings_are_counted,
                unseen_findings_are_listed, findings_are_sorted, dropped_redirects_leave_no_findings;
            triage: ends_of_scans_are_recorded_at_once, judgements_of_the_past_change_nothing,
                people_withdraw_findings, pages_say_how_they_were_seen,
                coverage_is_kept_of_whole_scans, suppressions_hold_until_lifted, suppressions_of_files_follow_the_file,
                covered_findings_wish_for_nothing, suppressions_by_page_ask_for_every_page, aliases_are_adopted_once,
                witnesses_are_pinned, looks_change_nothing;
            tickets: newer_wishes_survive, intents_wait_their_time, tickets_have_generations, actions_are_recorded,
                one_process_works_the_outbox, held_wishes_keep_their_reason, what_was_done_is_listed,
                projects_are_held_until_released, all_generations_are_listed, the_way_to_a_page_is_known;
            logins: accounts_are_stopped_before_servers_do, one_logs_in_at_a_time, lost_pages_wait_again;
            fleet: the_living_keep_what_they_have, what_nobody_holds_goes_back, who_lost_a_scan_does_not_close_it, a_night_begins_once,
                wishes_reach_a_scan, paused_scans_go_on, what_is_told_meanwhile_counts, turns_are_apart, turns_of_a_wrong_clock_hold_nobody, refusals_are_counted_once, work_adds_up, the_audit_log_is_only_added_to;
            fates: findings_never_contradict_their_past;
            model: random_histories_lose_nothing;
        );
    };
    ($fresh:path; $($area:ident: $($case:ident),+;)+) => {
        $(mod $area {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (one, two, _alive) = $fresh().await;
                $crate::store::conformance::$area::$case(one, two).await;
            })+
        })+
    };
}
pub(crate) use suite;
pub(crate) use upgrade::{SHUT_OUT, an_upgrade, later};

/// A handle on a store.
pub(crate) type Handle = Arc<dyn Store>;

/// The time `ms` after a fixed beginning.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
}

/// A running scan of a site, begun at `at(started)`.
pub(crate) fn scan_of(site: &str, id: &str, started: i64) -> ScanRecord {
    let site = Site {
        id: SiteId(site.to_owned()),
        title: site.to_uppercase(),
        ..Site::adhoc(&Url::parse("https://shop.test/").unwrap()).unwrap()
    };
    ScanRecord::begun(ScanId(id.to_owned()), site, Trigger::OnDemand, at(started))
}

/// Records a running scan with these pages.
pub(crate) async fn start(store: &Handle, id: &str, urls: &[&str]) -> ScanId {
    let pages: Vec<_> = urls.iter().map(|url| page(url, 0)).collect();
    let scan = scan_of("shop", id, 0);
    store.create_scan(&scan, &pages).await.unwrap();
    scan.id
}

/// A page that is to be rendered.
pub(crate) fn page(url: &str, depth: u32) -> NewPage {
    let url = Url::parse(url).unwrap();
    NewPage {
        key: PageKey(url.as_str().to_owned()),
        url,
        depth,
        found_on: None,
        skip: None,
        template: None,
    }
}

/// Asks for leases that hold a second, with neither pace nor a bound on concurrency.
pub(crate) fn ask<'a>(scan: &'a ScanId, owner: &'a str, max: u32, now: i64) -> LeaseRequest<'a> {
    LeaseRequest {
        scan,
        owner,
        max,
        ttl: Duration::from_secs(1),
        now: at(now),
        pace: Duration::ZERO,
        concurrency: 1000,
        most: u64::MAX,
    }
}

/// Leases the one page that can be had.
pub(crate) async fn lease_one(store: &Handle, scan: &ScanId, now: i64) -> Lease {
    let mut leases = store.lease(&ask(scan, "me", 1, now)).await.unwrap();
    leases.pop().expect("a page waits")
}

/// What came of a page, with all that a completion borrows.
pub(crate) struct Rendered {
    pub lease: Lease,
    pub outcome: PageOutcome,
    pub recorded_as: Option<NewPage>,
    pub evidence: Option<Evidence>,
    pub bodies: BTreeMap<String, String>,
    pub observations: Vec<Observation>,
    pub failed_checks: Vec<String>,
    pub found: Vec<NewPage>,
    pub obstacle: Option<String>,
    pub hosts: Vec<String>,
    pub mark: Option<PageMark>,
}

impl Rendered {
    /// A page that was looked at and had nothing to say.
    pub fn done(lease: &Lease) -> Self {
        Self {
            evidence: Some(Evidence::of(Page {
                url: lease.url.to_string(),
                ..Page::default()
            })),
            lease: lease.clone(),
            outcome: PageOutcome::Done,
            recorded_as: None,
            bodies: BTreeMap::new(),
            observations: Vec::new(),
            failed_checks: Vec::new(),
            found: Vec::new(),
            obstacle: None,
            hosts: Vec::new(),
            mark: None,
        }
    }

    pub fn observing(mut self, observations: impl IntoIterator<Item = Observation>) -> Self {
        self.observations.extend(observations);
        self
    }

    pub fn finding(mut self, urls: &[&str]) -> Self {
        self.found
            .extend(urls.iter().map(|url| page(url, self.lease.depth + 1)));
        self
    }

    pub fn redirected(mut self, target: &str) -> Self {
        self.outcome = PageOutcome::Redirected;
        self.recorded_as = Some(page(target, self.lease.depth));
        self
    }

    pub fn script(mut self, hash: &str, text: Option<&str>) -> Self {
        let evidence = self.evidence.as_mut().expect("the page was looked at");
        evidence.scripts.push(Script {
            hash: Some(hash.to_owned()),
            ..Script::default()
        });
        self.bodies.extend(text.map(|text| (hash.to_owned(), text.to_owned())));
        self
    }

    /// Records it; see [`Store::complete`].
    pub async fn record(&self, store: &Handle, now: i64) -> bool {
        let completion = Completion {
            lease: &self.lease,
            now: at(now),
            outcome: self.outcome.clone(),
            recorded_as: self.recorded_as.clone(),
            evidence: self.evidence.as_ref(),
            bodies: &self.bodies,
            observations: &self.observations,
            failed_checks: &self.failed_checks,
            found: &self.found,
            obstacle: self.obstacle.as_deref(),
            hosts: &self.hosts,
            mark: self.mark.as_ref(),
        };
        store.complete(&completion).await.unwrap()
    }
}

/// An observation whose cause is a host.
pub(crate) fn observed(host: &str, severity: Severity) -> Observation {
    Observation {
        check: "mixed-content".to_owned(),
        check_version: 3,
        severity,
        confidence: Confidence::Firm,
        title: format!("Insecure script from {host}"),
        cause: Cause::new(1, [("host", host.to_owned())]),
        aliases: Vec::new(),
        facts: vec![Fact::new("resource", format!("http://{host}/a.js"))],
        third_party: false,
    }
}

/// `waiting`, `leased`, `done`, `failed`, `skipped`.
pub(crate) async fn counted(store: &Handle, scan: &ScanId) -> [u64; 5] {
    let counts = store.counts(scan).await.unwrap();
    [
        counts.waiting,
        counts.leased,
        counts.done,
        counts.failed,
        counts.skipped,
    ]
}
