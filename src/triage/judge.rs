//! Where findings stand after a scan: (finding, what the scan did) → state and reasons. Pure.
//!
//! A finding that was seen got its state when its page was recorded. Here silence is judged: `fixed` needs every proof
//! there is, and whatever falls short of one is `not observed`, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use super::suppression::{Subject, Suppressions};
use super::{Finding, FindingState, Fingerprint};
use crate::crawl::PageState;
use crate::scan::ScanId;

/// What a scan did, as far as its findings care.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a proof of its own, present or not; no two make a state"
)]
pub struct ScanFacts<'a> {
    /// The scan.
    pub scan: &'a ScanId,
    /// When it ended.
    pub ended: Timestamp,
    /// It was meant to see the whole site: no budget of the command line was narrower than the site's file.
    pub whole: bool,
    /// It was complete, and no budget ended it.
    pub complete: bool,
    /// The session it began with held. True for sites without login.
    pub logged_in: bool,
    /// The checks that ran, by id.
    pub checks: BTreeMap<String, CheckRan>,
    /// The pages it knew, by key.
    pub pages: PagesSeen,
    /// The key of a page in this scan; `None` if it is no page of the site.
    pub key_of: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// Whether a page belongs to the site's scope now.
    pub in_scope: &'a (dyn Fn(&str) -> bool + Sync),
    /// The site is no longer scanned: its findings are withdrawn.
    pub retired: bool,
    /// Suppressions of the site.
    pub suppressions: &'a Suppressions,
    /// Clean scans in a row that prove a finding fixed; at least 1.
    pub clean_scans: u32,
    /// Findings that were proved by something done, which this scan has not done.
    pub untried: &'a BTreeSet<Fingerprint>,
}

/// How a check ran over a scan's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckRan {
    /// Its version.
    pub version: u32,
    /// It failed on some page.
    pub failed: bool,
}

/// The pages of a scan, by key.
#[derive(Debug, Clone, Default)]
pub struct PagesSeen {
    reached: BTreeSet<String>,
    /// Template to its known pages.
    known: BTreeMap<String, Vec<String>>,
    template: BTreeMap<String, String>,
    unchanged: BTreeSet<String>,
}

impl PagesSeen {
    /// Adds a page.
    pub fn add(&mut self, key: &str, template: &str, reached: bool) {
        if reached {
            self.reached.insert(key.to_owned());
        }
        self.known.entry(template.to_owned()).or_default().push(key.to_owned());
        self.template.insert(key.to_owned(), template.to_owned());
    }

    /// A page that was taken as unchanged: it proves nothing.
    pub fn add_unchanged(&mut self, key: &str) {
        self.unchanged.insert(key.to_owned());
    }

    /// A page, or one like it, was taken as unchanged.
    fn rests_on_unchanged(&self, key: &str) -> bool {
        let alike = self.template.get(key).and_then(|template| self.known.get(template));
        self.unchanged.contains(key)
            || alike.is_some_and(|pages| pages.iter().any(|page| self.unchanged.contains(page)))
    }

    /// How many templates have a page that was reached.
    pub fn templates(&self) -> u64 {
        let seen = |page: &String| self.reached.contains(page) || self.unchanged.contains(page);
        let reached = |pages: &&Vec<String>| pages.iter().any(seen);
        self.known.values().filter(reached).count() as u64
    }

    /// Beside the witnesses a page of the same template was reached, or the scan knows no other.
    fn sampled(&self, key: &str, witnesses: &[String]) -> bool {
        let Some(alike) = self.template.get(key).and_then(|template| self.known.get(template)) else {
            return false;
        };
        let mut others = alike.iter().filter(|page| !witnesses.contains(page)).peekable();
        others.peek().is_none() || others.any(|page| self.reached.contains(page))
    }
}

/// How a page of a scan ended, for [`reached`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLook {
    /// Its URL, as it was visited.
    pub url: String,
    /// Where it stands.
    pub state: PageState,
    /// It led to another page.
    pub redirected: bool,
    /// The status of its document; `None` if it did not come over HTTP, or was not looked at.
    pub status: Option<u16>,
    /// All of it was seen: its evidence has no gaps, and it had become quiet.
    pub full: bool,
    /// Why it was not looked at.
    pub reason: Option<String>,
    /// The ids of the checks that failed on it.
    pub failed_checks: Vec<String>,
    /// The forms on it.
    pub forms: u64,
    /// What answered in its place, in words: a challenge, a login. `None` if the page itself did.
    pub obstacle: Option<String>,
    /// It was seen logged in, or out; `None` if it does not show it.
    pub logged_in: Option<bool>,
    /// It was not looked at, but taken as unchanged since then.
    pub unchanged: Option<Timestamp>,
}

/// Did a page answer as expected, and was it seen in full? The one place where this is decided.
pub fn reached(page: &PageLook) -> bool {
    page.state == PageState::Done
        && !page.redirected
        && page.full
        && page.obstacle.is_none()
        && page.unchanged.is_none()
        && page.status.is_none_or(|status| (200..300).contains(&status))
}

/// Why a finding stands where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// All proofs are there.
    Proved {
        /// Clean scans in a row.
        clean: u32,
    },
    /// This scan was clean; more are needed.
    CleanSoFar {
        /// Clean scans in a row.
        clean: u32,
        /// Clean scans that prove it.
        wanted: u32,
    },
    /// The scan was not meant to see the whole site.
    NotWhole,
    /// The scan is incomplete, or a budget ended it.
    NotComplete,
    /// The session was lost.
    LoggedOut,
    /// The check did not run.
    CheckDidNotRun,
    /// The check is another version than the one that saw it.
    CheckChanged {
        /// The version that saw it.
        then: u32,
        /// The version that ran.
        now: u32,
    },
    /// The check failed on some page.
    CheckFailed,
    /// The scan did not do what showed it: it explored less, or sent no form.
    NotTried,
    /// No page is known on which it could be looked for.
    NoWitness,
    /// A witness page did not answer as expected.
    WitnessLost(String),
    /// No other page of a witness's template was reached.
    NoFreshSample(String),
    /// A witness page, or those like it, were taken as unchanged.
    Unchanged(String),
    /// A person decided so.
    Suppressed(String),
    /// The suppression is over.
    SuppressionOver,
    /// The site is no longer scanned.
    SiteRetired,
    /// None of its pages belongs to the site's scope any more.
    OutOfScope,
    /// The check is disabled for the site, or is no more.
    CheckDisabled,
    /// It was seen, on other pages than before.
    Moved,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved { clean: 1 } => f.write_str("1 clean scan did not see it"),
            Self::Proved { clean } => write!(f, "{clean} clean scans in a row did not see it"),
            Self::CleanSoFar { clean, wanted } => write!(f, "clean scan {clean} of {wanted} that prove it fixed"),
            Self::NotWhole => f.write_str("the scan did not look at the whole site"),
            Self::NotComplete => f.write_str("the scan did not come to its end"),
            Self::LoggedOut => f.write_str("the login was lost"),
            Self::CheckDidNotRun => f.write_str("the check did not run"),
            Self::CheckChanged { then, now } => {
                write!(f, "the check changed: version {then} saw it, version {now} ran")
            }
            Self::CheckFailed => f.write_str("the check failed on a page, or could not try there what it has to"),
            Self::NotTried => f.write_str("the scan did not do what showed it"),
            Self::NoWitness => f.write_str("no page is known on which to look for it"),
            Self::WitnessLost(url) => write!(f, "{url} did not answer as expected"),
            Self::NoFreshSample(url) => write!(f, "no other page like {url} was reached"),
            Self::Unchanged(url) => write!(f, "{url} or what is like it was taken as unchanged"),
            Self::Suppressed(id) => write!(f, "suppressed by {id}"),
            Self::SuppressionOver => f.write_str("its suppression is over"),
            Self::SiteRetired => f.write_str("the site is no longer scanned"),
            Self::OutOfScope => f.write_str("its pages are no longer in the site's scope"),
            Self::CheckDisabled => f.write_str("the check is disabled"),
            Self::Moved => f.write_str("it is on other pages than before"),
        }
    }
}

/// Where a finding stands after a scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The finding as it was judged.
    pub before: Finding,
    /// The finding as it stands now.
    pub after: Finding,
    /// Why.
    pub why: Why,
}

/// Judges a finding that a scan did not see. `None` if nothing changes.
pub fn judge_unseen(finding: &Finding, facts: &ScanFacts<'_>) -> Option<Judgement> {
    let mut after = finding.clone();
    let why = if finding.state == FindingState::Suppressed {
        still_suppressed(&mut after, facts)
    } else if finding.state.is_open() {
        silence(&mut after, facts)
    } else {
        return None;
    };
    (after != *finding).then(|| Judgement {
        before: finding.clone(),
        after,
        why,
    })
}

/// Withdraws a finding whose site is no longer scanned. `None` if it is not open: what is decided or proved stays so.
pub fn retired(finding: &Finding, now: Timestamp) -> Option<Judgement> {
    if !finding.state.is_open() {
        return None;
    }
    let mut after = finding.clone();
    Some(Judgement {
        why: withdraw(&mut after, Why::SiteRetired, now),
        before: finding.clone(),
        after,
    })
}

fn withdraw(finding: &mut Finding, why: Why, now: Timestamp) -> Why {
    finding.state = FindingState::Withdrawn;
    finding.past.withdrawn = Some(now);
    finding.past.clean_scans = 0;
    why
}

/// A suppressed finding stays so until its suppression is over; then it is one that was not observed.
fn still_suppressed(finding: &mut Finding, facts: &ScanFacts<'_>) -> Why {
    finding.past.suppressed_by = suppression(finding, facts);
    if let Some(id) = &finding.past.suppressed_by {
        return Why::Suppressed(id.clone());
    }
    finding.state = FindingState::NotObserved;
    Why::SuppressionOver
}

fn suppression(finding: &Finding, facts: &ScanFacts<'_>) -> Option<String> {
    let urls: Vec<&str> = finding
        .past
        .witnesses
        .iter()
        .map(|witness| witness.url.as_str())
        .collect();
    facts
        .suppressions
        .everywhere(&Subject::of(finding), &urls, facts.ended)
        .map(|suppression| suppression.id.clone())
}

fn silence(finding: &mut Finding, facts: &ScanFacts<'_>) -> Why {
    if let Some(id) = suppression(finding, facts) {
        finding.state = FindingState::Suppressed;
        finding.past.suppressed_by = Some(id.clone());
        return Why::Suppressed(id);
    }
    if let Some(why) = gone(finding, facts) {
        return withdraw(finding, why, facts.ended);
    }
    let why = match shortfall(finding, facts) {
        None => {
            finding.past.clean_scans = finding.past.clean_scans.saturating_add(1);
            let (clean, wanted) = (finding.past.clean_scans, facts.clean_scans.max(1));
            if clean >= wanted {
                finding.state = FindingState::Fixed;
                finding.past.fixed = Some(facts.ended);
                return Why::Proved { clean };
            }
            Why::CleanSoFar { clean, wanted }
        }
        Some(why) => {
            // A look at a part of the site is no break in the row: it could not have been one of it. Nor is a night that
            // took as unchanged what would have to be looked at.
            if facts.whole && !matches!(why, Why::Unchanged(_)) {
                finding.past.clean_scans = 0;
            }
            why
        }
    };
    finding.state = FindingState::NotObserved;
    why
}

/// Why the finding is nobody's concern any more, if so.
fn gone(finding: &Finding, facts: &ScanFacts<'_>) -> Option<Why> {
    if facts.retired {
        return Some(Why::SiteRetired);
    }
    if !facts.checks.contains_key(&finding.check) {
        return Some(Why::CheckDisabled);
    }
    let witnesses = &finding.past.witnesses;
    let outside = !witnesses.is_empty() && !witnesses.iter().any(|witness| (facts.in_scope)(&witness.url));
    outside.then_some(Why::OutOfScope)
}

/// The first proof that is missing; `None` if all are there.
fn shortfall(finding: &Finding, facts: &ScanFacts<'_>) -> Option<Why> {
    if !facts.whole {
        return Some(Why::NotWhole);
    }
    if !facts.complete {
        return Some(Why::NotComplete);
    }
    if !facts.logged_in {
        return Some(Why::LoggedOut);
    }
    match facts.checks.get(&finding.check) {
        None => return Some(Why::CheckDidNotRun),
        Some(ran) if ran.version != finding.check_version => {
            return Some(Why::CheckChanged {
                then: finding.check_version,
                now: ran.version,
            });
        }
        Some(ran) if ran.failed => return Some(Why::CheckFailed),
        Some(_) => {}
    }
    if facts.untried.contains(&finding.fingerprint) {
        return Some(Why::NotTried);
    }
    let witnesses = &finding.past.witnesses;
    let keys: Vec<String> = witnesses
        .iter()
        .filter_map(|witness| (facts.key_of)(&witness.url))
        .collect();
    if witnesses.is_empty() {
        return Some(Why::NoWitness);
    }
    let which = |fails: &dyn Fn(&String) -> bool| {
        witnesses
            .iter()
            .find(|witness| (facts.key_of)(&witness.url).is_none_or(|key| fails(&key)))
            .map(|witness| witness.url.clone())
    };
    if let Some(url) = which(&|key| facts.pages.unchanged.contains(key)) {
        return Some(Why::Unchanged(url));
    }
    if let Some(url) = which(&|key| !facts.pages.reached.contains(key)) {
        return Some(Why::WitnessLost(url));
    }
    if let Some(url) = which(&|key| !facts.pages.sampled(key, &keys) && facts.pages.rests_on_unchanged(key)) {
        return Some(Why::Unchanged(url));
    }
    which(&|key| !facts.pages.sampled(key, &keys)).map(Why::NoFreshSample)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
