//! Checks over evidence that was stored: without a browser, and without changing what is known.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use phantom_checks::evidence::{Cookie, Evidence};
use phantom_checks::vulnerable_library::Catalog;
use phantom_checks::{Check, Confidence, Severity, Subject};
use serde::Serialize;

use super::advisories;
use super::inspect::{Texts, look};
use super::{ScanId, ScanRecord};
use crate::crawl::{PageKey, PageState};
use crate::store::{Store, StoreError};
use crate::triage::Fingerprint;

/// Pages that are looked at, at most.
const MOST_PAGES: u32 = 1_000_000;
/// Pages in hand at once; each may hold some megabytes of script.
const AT_ONCE: usize = 8;
/// Script texts kept in memory, in bytes.
const MOST_TEXT: usize = 256 << 20;

/// Why stored evidence could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is none at all.
    #[error("there is no scan in this store yet; begin one with `phantom scan`, or name another store with --store")]
    NoScans,
    /// There is no such scan.
    #[error("the store has no scan {0}; `last` is the newest one, and a report names its scan")]
    NoScan(String),
    /// A page could not be looked at: a fault of ours.
    #[error("looking at a page broke off: {0}; this is a bug, please report it")]
    BrokeOff(#[from] tokio::task::JoinError),
}

/// What checks say of stored evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The scan.
    pub scan: ScanId,
    /// Pages whose evidence was looked at.
    pub pages: u64,
    /// Pages of the scan whose evidence is no longer kept.
    pub without_evidence: u64,
    /// What each check made of them, in the order of reports.
    pub checks: Vec<ReplayedCheck>,
    /// What was found, worst first.
    pub findings: Vec<ReplayedFinding>,
    /// What the scan found, and is not found in its evidence now.
    pub gone: Vec<ReplayedFinding>,
}

/// What became of one check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReplayedCheck {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// Pages that it could look at.
    pub checked: u64,
    /// Pages that it could not: what it asks of a page was not asked, or was asked otherwise.
    pub not_checked: u64,
    /// Questions that only a scan can answer.
    pub unanswered: u64,
    /// Pages on which it failed.
    pub failed: u64,
}

/// One finding in stored evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayedFinding {
    /// The id of the check.
    pub check: String,
    /// What it is known by.
    pub fingerprint: Fingerprint,
    /// How bad it is.
    pub severity: Severity,
    /// How sure the check is.
    pub confidence: Confidence,
    /// What is wrong and where. Untrusted.
    pub title: String,
    /// The URLs of the pages that show it. Untrusted.
    pub pages: BTreeSet<String>,
    /// The scan found it, too.
    pub known: bool,
}

/// Runs checks over the evidence of a scan. The store is only read.
pub async fn replay(
    store: &Arc<dyn Store>,
    record: &ScanRecord,
    checks: Vec<&'static dyn Check>,
) -> Result<Replayed, ReplayError> {
    let pages = store.pages(&record.id, PageState::Done, MOST_PAGES).await?;
    let stand = Arc::new(Stand {
        store: Arc::clone(store),
        record: record.clone(),
        checks,
        sessions: store.sessions(&record.id).await?,
        libraries: advisories::current(&**store).await?,
        texts: Mutex::default(),
    });
    let mut sum = Sum::new(&stand);
    let mut looks = stream::iter(pages)
        .map(|page| {
            let stand = Arc::clone(&stand);
            async move { tokio::spawn(async move { stand.page(&page.key).await }).await }
        })
        .buffer_unordered(AT_ONCE)
        .map_err(ReplayError::from);
    while let Some(look) = looks.try_next().await? {
        sum.add(look?);
    }
    sum.end(&stand).await
}

/// What every page is looked at with.
struct Stand {
    store: Arc<dyn Store>,
    record: ScanRecord,
    checks: Vec<&'static dyn Check>,
    sessions: Vec<Cookie>,
    libraries: Option<Arc<Catalog>>,
    texts: Mutex<TextCache>,
}

#[derive(Default)]
struct TextCache {
    texts: HashMap<String, Arc<str>>,
    bytes: usize,
}

/// What was made of one page.
#[derive(Default)]
struct Look {
    had_evidence: bool,
    checks: Vec<ReplayedCheck>,
    findings: Vec<ReplayedFinding>,
}

impl Stand {
    async fn page(&self, key: &PageKey) -> Result<Look, StoreError> {
        let Some(evidence) = self.store.evidence(&self.record.id, key).await? else {
            return Ok(Look::default());
        };
        let texts = self.texts(&evidence).await?;
        let (able, unable): (Vec<_>, Vec<_>) = self
            .checks
            .iter()
            .copied()
            .partition(|check| is_answered(*check, &evidence));
        let subject = Subject {
            evidence: &evidence,
            elsewhere: &self.sessions,
            bodies: &Texts(&texts),
            site: &self.record.site.facts,
            libraries: self.libraries.as_deref(),
        };
        let mut look_ = Look {
            had_evidence: true,
            ..Look::default()
        };
        look_.checks.extend(unable.iter().map(|check| ReplayedCheck {
            not_checked: 1,
            ..ReplayedCheck::of(*check)
        }));
        for (meta, outcome) in look(&able, &subject) {
            let mut check = ReplayedCheck {
                id: meta.id.to_owned(),
                version: meta.version,
                ..ReplayedCheck::default()
            };
            let Some(outcome) = outcome else {
                check.failed = 1;
                look_.checks.push(check);
                continue;
            };
            check.checked = 1;
            check.unanswered = outcome.questions.len() as u64;
            look_.checks.push(check);
            look_
                .findings
                .extend(outcome.observations.into_iter().map(|seen| ReplayedFinding {
                    fingerprint: Fingerprint::of(&self.record.site.id, &seen.check, &seen.cause),
                    check: seen.check,
                    severity: seen.severity,
                    confidence: seen.confidence,
                    title: seen.title,
                    pages: [evidence.page.url.clone()].into(),
                    known: false,
                }));
        }
        Ok(look_)
    }

    /// The script texts of a page. Those that many pages share are read once.
    async fn texts(&self, evidence: &Evidence) -> Result<BTreeMap<String, Arc<str>>, StoreError> {
        let mut found = BTreeMap::new();
        let mut missing = BTreeSet::new();
        {
            let kept = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            for hash in evidence.scripts.iter().filter_map(|script| script.hash.as_ref()) {
                match kept.texts.get(hash) {
                    Some(text) => drop(found.insert(hash.clone(), Arc::clone(text))),
                    None => drop(missing.insert(hash.clone())),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let missing: Vec<String> = missing.into_iter().collect();
        for (hash, text) in self.store.bodies(&missing).await? {
            let text: Arc<str> = Arc::from(text);
            let mut kept = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.bytes + text.len() <= MOST_TEXT {
                kept.bytes += text.len();
                kept.texts.insert(hash.clone(), Arc::clone(&text));
            }
            found.insert(hash, text);
        }
        Ok(found)
    }
}

/// Whether the page was asked what the check asks today. A frame that could not be looked into has no answers at all.
fn is_answered(check: &dyn Check, evidence: &Evidence) -> bool {
    let Some(probe) = check.probe() else { return true };
    evidence
        .probes
        .iter()
        .any(|answer| answer.check == check.meta().id && answer.version == probe.version)
}

impl ReplayedCheck {
    fn of(check: &dyn Check) -> Self {
        Self {
            id: check.meta().id.to_owned(),
            version: check.meta().version,
            ..Self::default()
        }
    }
}

/// What was made of all pages.
struct Sum {
    pages: u64,
    without_evidence: u64,
    checks: Vec<ReplayedCheck>,
    findings: BTreeMap<Fingerprint, ReplayedFinding>,
}

impl Sum {
    fn new(stand: &Stand) -> Self {
        Self {
            pages: 0,
            without_evidence: 0,
            checks: stand.checks.iter().map(|check| ReplayedCheck::of(*check)).collect(),
            findings: BTreeMap::new(),
        }
    }

    fn add(&mut self, look: Look) {
        if !look.had_evidence {
            self.without_evidence += 1;
            return;
        }
        self.pages += 1;
        for one in look.checks {
            if let Some(all) = self.checks.iter_mut().find(|check| check.id == one.id) {
                all.checked += one.checked;
                all.not_checked += one.not_checked;
                all.unanswered += one.unanswered;
                all.failed += one.failed;
            }
        }
        for one in look.findings {
            let all = self
                .findings
                .entry(one.fingerprint.clone())
                .or_insert_with(|| one.clone());
            if (one.severity, one.confidence, &all.title) > (all.severity, all.confidence, &one.title) {
                all.title = one.title;
            }
            all.severity = all.severity.max(one.severity);
            all.confidence = all.confidence.max(one.confidence);
            all.pages.extend(one.pages);
        }
    }

    async fn end(mut self, stand: &Stand) -> Result<Replayed, ReplayError> {
        let mut gone = Vec::new();
        for known in stand.store.findings(&stand.record.id).await? {
            if let Some(found) = self.findings.get_mut(&known.fingerprint) {
                found.known = true;
            } else if self
                .checks
                .iter()
                .any(|check| check.id == known.check && check.checked > 0)
            {
                gone.push(ReplayedFinding {
                    check: known.check,
                    fingerprint: known.fingerprint,
                    severity: known.severity,
                    confidence: known.confidence,
                    title: known.title,
                    pages: BTreeSet::new(),
                    known: true,
                });
            }
        }
        let mut findings: Vec<_> = self.findings.into_values().collect();
        findings.sort_by(|one, other| {
            let key = |finding: &ReplayedFinding| {
                (
                    std::cmp::Reverse(finding.severity),
                    finding.check.clone(),
                    finding.title.clone(),
                )
            };
            key(one).cmp(&key(other))
        });
        Ok(Replayed {
            scan: stand.record.id.clone(),
            pages: self.pages,
            without_evidence: self.without_evidence,
            checks: self.checks,
            findings,
            gone,
        })
    }
}
