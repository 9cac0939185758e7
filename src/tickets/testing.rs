//! A store in memory that knows findings and tickets, a clock that waits for nobody, and data to test with.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use phantom_checks::{Cause, Confidence, Fact, Observation, Severity};

use super::clock::{Clock, after};
use super::{ActionKind, ActionRecord, ActionState, Held, Hold, Intent, TicketLink};
use crate::config::{Deployment, JiraAuth, JiraConfig, Lifecycle, SecretSource, TicketDefaults};
use crate::crawl::PageKey;
use crate::scan::{ScanClose, ScanId, ScanRecord};
use crate::site::SiteId;
use crate::store::{FindingStore, Result, StoreError, TicketStore};
use crate::triage::{
    Coverage, Finding, FindingEvent, FindingPage, FindingState, Fingerprint, Judgement, PageLook, Past, Picture,
    Suppression,
};

/// A configuration for the sandbox, but for the token.
pub fn config(base: &str) -> JiraConfig {
    let auth = JiraAuth::Basic {
        user: "phantom@sandbox.test".to_owned(),
        token: SecretSource::Env("PHANTOM_TEST_TOKEN_IS_NOT_SET".to_owned()),
    };
    let defaults = TicketDefaults {
        priority: [(Severity::High, "High".to_owned())].into(),
        ..TicketDefaults::of("SEC")
    };
    JiraConfig {
        requests_per_s: 100_000.0,
        timeout: Duration::from_secs(10),
        lifecycle: Lifecycle {
            max_new_per_day: 1_000,
            ..Lifecycle::default()
        },
        ..JiraConfig::new(Deployment::Cloud, base.parse().unwrap(), auth, defaults)
    }
}

pub fn finding(number: u32) -> Finding {
    let site = SiteId("shop".to_owned());
    let cause = Cause::new(1, [("number", number.to_string())]);
    Finding {
        fingerprint: Fingerprint::of(&site, "mixed-content", &cause),
        site,
        check: "mixed-content".to_owned(),
        check_version: 1,
        title: format!("Script {number} is loaded over http"),
        severity: Severity::High,
        confidence: Confidence::Certain,
        state: FindingState::New,
        cause,
        facts: vec![Fact::new("resource", "http://cdn.test/a.js")],
        third_party: false,
        first_seen: START.parse().unwrap(),
        last_seen: START.parse().unwrap(),
        first_scan: ScanId("s1".to_owned()),
        last_scan: ScanId("s1".to_owned()),
        past: Past::default(),
    }
}

const START: &str = "2026-11-23T05:00:00Z";

/// Time passes only when somebody sleeps.
pub struct ManualClock(Mutex<(Timestamp, Duration)>);

impl Default for ManualClock {
    fn default() -> Self {
        Self(Mutex::new((START.parse().unwrap(), Duration::ZERO)))
    }
}

impl ManualClock {
    pub fn time(&self) -> Timestamp {
        self.0.lock().unwrap().0
    }

    /// All that was slept so far.
    pub fn slept(&self) -> Duration {
        self.0.lock().unwrap().1
    }

    pub fn advance(&self, by: Duration) {
        let mut inner = self.0.lock().unwrap();
        inner.0 = after(inner.0, by);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.time()
    }

    async fn sleep(&self, time: Duration) {
        tokio::task::yield_now().await;
        self.advance(time);
        self.0.lock().unwrap().1 += time;
    }
}

#[derive(Default)]
struct Inner {
    findings: BTreeMap<Fingerprint, Finding>,
    intents: BTreeMap<Fingerprint, Intent>,
    tickets: BTreeMap<(Fingerprint, u32), TicketLink>,
    suppressions: Vec<Suppression>,
    holds: BTreeMap<String, Hold>,
    pages: BTreeMap<Fingerprint, u64>,
    pictures: BTreeMap<Fingerprint, Picture>,
    baseline_end: Option<Timestamp>,
    actions: BTreeMap<String, ActionRecord>,
    lease: Option<(String, Timestamp)>,
    sendings: u64,
    sending: Option<String>,
}

impl Inner {
    fn wish(&mut self, finding: Finding, due: Timestamp) {
        let fingerprint = finding.fingerprint.clone();
        let intent = self.intents.entry(fingerprint.clone()).or_insert(Intent {
            fingerprint: fingerprint.clone(),
            revision: 0,
            due,
            attempts: 0,
            held: None,
        });
        intent.due = due;
        intent.revision += 1;
        self.findings.insert(fingerprint, finding);
    }

    fn of(&self, fingerprint: &Fingerprint) -> Vec<TicketLink> {
        let of = self.tickets.iter().filter(|((one, _), _)| one == fingerprint);
        of.map(|(_, link)| link.clone()).collect()
    }
}

/// Every method gives way once before and once after it did its work, so that a run can be cut off on both sides.
#[derive(Default)]
pub struct FakeStore(Mutex<Inner>);

impl FakeStore {
    pub fn with(findings: impl IntoIterator<Item = Finding>) -> Self {
        let store = Self::default();
        for finding in findings {
            store.see(finding);
        }
        store
    }

    /// What a scan does when it sees a finding.
    pub fn see(&self, finding: Finding) {
        self.0.lock().unwrap().wish(finding, Timestamp::UNIX_EPOCH);
    }

    /// On how many pages a finding is.
    pub fn spread(&self, finding: &Finding, pages: u64) {
        self.0.lock().unwrap().pages.insert(finding.fingerprint.clone(), pages);
    }

    /// When the first whole scan ended.
    pub fn set_baseline_end(&self, end: Timestamp) {
        self.0.lock().unwrap().baseline_end = Some(end);
    }

    pub fn known_suppressions(&self) -> Vec<Suppression> {
        self.0.lock().unwrap().suppressions.clone()
    }

    pub fn finding_now(&self, number: u32) -> Finding {
        self.0.lock().unwrap().findings[&finding(number).fingerprint].clone()
    }

    pub fn states(&self) -> Vec<ActionState> {
        self.0
            .lock()
            .unwrap()
            .actions
            .values()
            .map(|action| action.state)
            .collect()
    }

    /// How often it was recorded that something is being sent, and the key of what is still said to be.
    pub fn sendings(&self) -> (u64, Option<String>) {
        let inner = self.0.lock().unwrap();
        (inner.sendings, inner.sending.clone())
    }

    /// What a scan does when it has taken a picture of a finding.
    pub fn depict(&self, finding: &Finding, png: &str) {
        let picture = Picture {
            fingerprint: finding.fingerprint.clone(),
            scan: finding.last_scan.clone(),
            taken: finding.last_seen,
            width: 64,
            height: 48,
            png: png.into(),
        };
        let mut inner = self.0.lock().unwrap();
        inner.pictures.insert(finding.fingerprint.clone(), picture);
    }

    pub fn links(&self) -> Vec<TicketLink> {
        self.0.lock().unwrap().tickets.values().cloned().collect()
    }

    /// Forgets all but the findings.
    pub fn forget_tickets(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.tickets.clear();
        inner.actions.clear();
    }

    async fn inside<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> Result<T> {
        tokio::task::yield_now().await;
        let value = work(&mut self.0.lock().unwrap());
        tokio::task::yield_now().await;
        Ok(value)
    }
}

fn not_here<T>() -> Result<T> {
    Err(StoreError::Database(
        "the fake store keeps findings and tickets only".to_owned(),
    ))
}

#[async_trait]
impl FindingStore for FakeStore {
    async fn baseline_end(&self, _: &SiteId) -> Result<Option<Timestamp>> {
        self.inside(|inner| inner.baseline_end).await
    }

    async fn way_to(&self, _: &ScanId, url: &str) -> Result<Vec<String>> {
        self.inside(|_| vec![url.to_owned()]).await
    }

    async fn finding(&self, fingerprint: &Fingerprint) -> Result<Option<Finding>> {
        self.inside(|inner| inner.findings.get(fingerprint).cloned()).await
    }

    async fn finding_pages(
        &self,
        _: &ScanId,
        fingerprint: &Fingerprint,
        limit: u32,
    ) -> Result<(Vec<FindingPage>, u64)> {
        self.inside(|inner| {
            let count = inner.pages.get(fingerprint).copied().unwrap_or(1);
            let page = |number: u64| FindingPage {
                url: format!(
                    "https://shop.test/{}",
                    if number == 0 { String::new() } else { number.to_string() }
                ),
                facts: vec![Fact::new("resource", "http://cdn.test/a.js")],
            };
            ((0..count.min(limit.into())).map(page).collect(), count)
        })
        .await
    }

    async fn scan(&self, _: &ScanId) -> Result<Option<ScanRecord>> {
        self.inside(|_| None).await
    }

    async fn observe(&self, _: &ScanId, _: &PageKey, _: Timestamp, _: &[Observation]) -> Result<bool> {
        not_here()
    }

    async fn keep_picture(&self, picture: &Picture) -> Result<()> {
        self.inside(|inner| {
            inner.pictures.insert(picture.fingerprint.clone(), picture.clone());
        })
        .await
    }

    async fn picture(&self, fingerprint: &Fingerprint) -> Result<Option<Picture>> {
        self.inside(|inner| inner.pictures.get(fingerprint).cloned()).await
    }

    async fn drop_pictures(&self, _: &SiteId) -> Result<()> {
        not_here()
    }

    async fn findings(&self, _: &ScanId) -> Result<Vec<Finding>> {
        not_here()
    }

    async fn unseen_findings(&self, _: &ScanId) -> Result<Vec<Finding>> {
        not_here()
    }

    async fn all_findings(&self, _: Option<&SiteId>) -> Result<Vec<Finding>> {
        not_here()
    }

    async fn finding_events(&self, _: &Fingerprint) -> Result<Vec<FindingEvent>> {
        not_here()
    }

    async fn page_looks(&self, _: &ScanId) -> Result<Vec<PageLook>> {
        not_here()
    }

    async fn coverages(&self, _: &SiteId, _: &ScanId, _: u32) -> Result<Vec<Coverage>> {
        not_here()
    }

    async fn judge(&self, _: &[Judgement], _: Timestamp) -> Result<u64> {
        not_here()
    }

    async fn close_scan(&self, _: &ScanClose<'_>) -> Result<Option<u64>> {
        not_here()
    }

    async fn suppress(&self, suppression: &Suppression, _: Timestamp) -> Result<u64> {
        self.inside(|inner| {
            inner.suppressions.retain(|one| one.id != suppression.id);
            inner.suppressions.push(suppression.clone());
            let covered = suppression.scope.fingerprint.clone();
            if let Some(finding) = covered.and_then(|one| inner.findings.get_mut(&one)) {
                finding.state = FindingState::Suppressed;
                finding.past.suppressed_by = Some(suppression.id.clone());
            }
            1
        })
        .await
    }

    async fn suppressions(&self) -> Result<Vec<Suppression>> {
        self.inside(|inner| inner.suppressions.clone()).await
    }

    async fn lift_suppression(&self, id: &str, _: &str, now: Timestamp) -> Result<bool> {
        self.inside(|inner| {
            inner.suppressions.retain(|one| one.id != id);
            let held = |one: &&Finding| one.past.suppressed_by.as_deref() == Some(id);
            let lifted: Vec<Finding> = inner.findings.values().filter(held).cloned().collect();
            for mut finding in lifted {
                finding.state = FindingState::Seen;
                finding.past.suppressed_by = None;
                inner.wish(finding, now);
            }
            true
        })
        .await
    }

    async fn set_file_suppressions(&self, _: &SiteId, _: &[Suppression], _: Timestamp) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl TicketStore for FakeStore {
    async fn due_intents(&self, now: Timestamp, limit: u32, site: Option<&SiteId>) -> Result<Vec<Intent>> {
        self.inside(|inner| {
            let of_site = |one: &&Intent| site.is_none_or(|site| inner.findings[&one.fingerprint].site == *site);
            let due = inner.intents.values().filter(|one| one.due <= now).filter(of_site);
            let mut due: Vec<Intent> = due.cloned().collect();
            due.sort_by_key(|intent| intent.due);
            due.truncate(limit as usize);
            due
        })
        .await
    }

    async fn intent_count(&self, site: Option<&SiteId>) -> Result<u64> {
        self.inside(|inner| {
            let of_site = |one: &&Fingerprint| site.is_none_or(|site| inner.findings[one].site == *site);
            inner.intents.keys().filter(of_site).count() as u64
        })
        .await
    }

    async fn finish_intent(&self, intent: &Intent) -> Result<()> {
        self.inside(|inner| {
            if inner
                .intents
                .get(&intent.fingerprint)
                .is_some_and(|one| one.revision == intent.revision)
            {
                inner.intents.remove(&intent.fingerprint);
            }
        })
        .await
    }

    async fn postpone_intent(&self, intent: &Intent, due: Timestamp) -> Result<()> {
        self.inside(|inner| {
            if let Some(one) = inner.intents.get_mut(&intent.fingerprint) {
                one.due = due;
                one.attempts += 1;
            }
        })
        .await
    }

    async fn ticket(&self, fingerprint: &Fingerprint) -> Result<Option<TicketLink>> {
        self.inside(|inner| inner.of(fingerprint).pop()).await
    }

    async fn tickets_of(&self, fingerprint: &Fingerprint) -> Result<Vec<TicketLink>> {
        self.inside(|inner| inner.of(fingerprint)).await
    }

    async fn all_tickets(&self) -> Result<Vec<TicketLink>> {
        self.inside(|inner| {
            let newest: BTreeMap<_, _> = inner
                .tickets
                .iter()
                .map(|((one, _), link)| (one.clone(), link.clone()))
                .collect();
            newest.into_values().collect()
        })
        .await
    }

    async fn hold_intent(&self, intent: &Intent, due: Timestamp, why: Held) -> Result<()> {
        self.inside(|inner| {
            if let Some(one) = inner.intents.get_mut(&intent.fingerprint) {
                one.due = due;
                one.held = Some(why);
            }
        })
        .await
    }

    async fn wish(&self, fingerprints: &[Fingerprint], now: Timestamp) -> Result<()> {
        self.inside(|inner| {
            for fingerprint in fingerprints {
                if let Some(finding) = inner.findings.get(fingerprint).cloned() {
                    inner.wish(finding, now);
                }
            }
        })
        .await
    }

    async fn actions(&self, fingerprint: &Fingerprint) -> Result<Vec<ActionRecord>> {
        self.inside(|inner| {
            let of = inner.actions.values().filter(|one| one.fingerprint == *fingerprint);
            of.cloned().collect()
        })
        .await
    }

    async fn creations(&self, since: Timestamp) -> Result<Vec<ActionRecord>> {
        self.inside(|inner| {
            let made = |one: &&ActionRecord| {
                one.kind == ActionKind::Create
                    && one.at >= since
                    && !matches!(one.state, ActionState::Dead | ActionState::NotSent)
            };
            inner.actions.values().filter(made).cloned().collect()
        })
        .await
    }

    async fn holds(&self) -> Result<Vec<Hold>> {
        self.inside(|inner| inner.holds.values().cloned().collect()).await
    }

    async fn put_hold(&self, hold: &Hold) -> Result<()> {
        self.inside(|inner| {
            inner.holds.insert(hold.project.clone(), hold.clone());
        })
        .await
    }

    async fn remove_hold(&self, project: &str) -> Result<()> {
        self.inside(|inner| {
            inner.holds.remove(project);
        })
        .await
    }

    async fn link_ticket(&self, link: &TicketLink) -> Result<()> {
        self.inside(|inner| {
            inner
                .tickets
                .insert((link.fingerprint.clone(), link.generation), link.clone());
        })
        .await
    }

    async fn action(&self, key: &str) -> Result<Option<ActionRecord>> {
        self.inside(|inner| inner.actions.get(key).cloned()).await
    }

    async fn record_action(&self, action: &ActionRecord) -> Result<()> {
        self.inside(|inner| {
            if action.state == ActionState::Sending {
                inner.sendings += 1;
                inner.sending = Some(action.key.clone());
            } else if inner.sending.as_ref() == Some(&action.key) {
                inner.sending = None;
            }
            inner.actions.insert(action.key.clone(), action.clone());
        })
        .await
    }

    async fn dead_actions(&self) -> Result<Vec<ActionRecord>> {
        self.inside(|inner| {
            let dead = |action: &&ActionRecord| action.state == ActionState::Dead;
            inner.actions.values().filter(dead).cloned().collect()
        })
        .await
    }

    async fn lease_outbox(&self, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
        self.inside(|inner| {
            let free = inner
                .lease
                .as_ref()
                .is_none_or(|(holder, end)| holder == owner || *end <= now);
            if free {
                inner.lease = Some((owner.to_owned(), until));
            }
            free
        })
        .await
    }

    async fn release_outbox(&self, owner: &str) -> Result<()> {
        self.inside(|inner| inner.lease = inner.lease.take().filter(|(holder, _)| holder != owner))
            .await
    }
}
