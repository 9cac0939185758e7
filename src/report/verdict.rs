//! What a scan comes to: one exit code and one sentence, the same in every report and on the terminal.

use phantom_checks::Severity;
use serde::{Deserialize, Serialize};

use super::model::{FindingPart, PageCounts, Unseen};
use super::safe::fit;
use super::words::plural;
use crate::scan::{ScanState, Standing};
use crate::site::ExploreMode;
use crate::triage::FindingState;

/// Findings that are named; the rest is counted.
const MOST_NAMED: usize = 5;
/// Columns of a name.
const NAME: usize = 80;

/// What a scan comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Findings at or above it fail the scan.
    pub fail_on: Severity,
    /// How many there are.
    pub findings: u64,
    /// How many more are open that it did not look at again.
    #[serde(default)]
    pub not_looked_at: u64,
    /// How many more are open whose pages it looked at, but that were seen by doing more on them than it does.
    #[serde(default)]
    pub not_looked_for: u64,
    /// 0 nothing at or above `fail_on`, 1 findings at or above it, 3 the scan is incomplete, 130 interrupted.
    pub exit_code: u8,
    /// The result in a few words.
    pub headline: String,
    /// What was looked at, what was found and what was not looked at.
    pub sentence: String,
}

/// What a verdict goes by.
pub(super) struct Basis<'a> {
    pub state: ScanState,
    /// How it is called, if it did not come to its end.
    pub standing: Standing,
    pub pages: PageCounts,
    /// A limit left pages out.
    pub cut_off: bool,
    pub findings: &'a [FindingPart],
    /// Findings that are open and whose pages were not looked at, of whatever severity.
    pub not_looked_at: &'a [&'a Unseen],
    /// Findings that are open and that were seen in a mode that does more on pages, of whatever severity, and that mode.
    pub not_looked_for: &'a [(&'a Unseen, ExploreMode)],
    /// What the scan did on pages.
    pub mode: ExploreMode,
    /// They are not among the others and do not count.
    pub suppressed: u64,
    pub fail_on: Severity,
}

impl Verdict {
    /// Judges a scan. The worst of what holds is the verdict: interrupted, incomplete, findings, nothing. Findings in
    /// frames of other sites do not count. A limit is what was asked for and no fault, but what it hides is said.
    pub(super) fn of(basis: &Basis<'_>) -> Self {
        let Basis {
            state, pages, fail_on, ..
        } = *basis;
        let findings = basis.findings;
        let hits = findings.iter().filter(|finding| counts(finding, fail_on)).count() as u64;
        let open: Vec<&&Unseen> = basis
            .not_looked_at
            .iter()
            .filter(|one| one.severity >= fail_on)
            .collect();
        let mut beyond = basis.not_looked_for.to_vec();
        beyond.retain(|(one, _)| one.severity >= fail_on);
        let incomplete = state != ScanState::Complete || pages.failed > 0 || pages.left > 0;
        let found = format!("{} at or above {fail_on}", plural(hits, "finding"));
        let (exit_code, headline) = match (state, hits) {
            (ScanState::Interrupted, 0) => (130, unended(basis.standing).to_owned()),
            (ScanState::Interrupted, _) => (130, format!("{}, with {found}", unended(basis.standing))),
            (_, 0) if incomplete => (3, "Incomplete".to_owned()),
            _ if incomplete => (3, format!("Incomplete, with {found}")),
            (_, 0) if basis.cut_off || !open.is_empty() => {
                let pages = format!("{} of {}", pages.done, plural(pages.known, "page"));
                let headline = format!("Nothing at or above {fail_on} on the {pages} that were looked at");
                (0, headline)
            }
            (_, 0) if !beyond.is_empty() => {
                let mode = basis.mode.as_str();
                (0, format!("Nothing at or above {fail_on} that mode {mode} can see"))
            }
            (_, 0) => (0, format!("Nothing at or above {fail_on}")),
            _ => (1, found),
        };
        Self {
            fail_on,
            findings: hits,
            not_looked_at: open.len() as u64,
            not_looked_for: beyond.len() as u64,
            exit_code,
            headline,
            sentence: sentence(basis, exit_code) + &still_open(&open, fail_on) + &out_of_sight(&beyond, basis),
        }
    }

    /// Whether a finding is one of those that fail the scan.
    pub fn counts(&self, finding: &FindingPart) -> bool {
        counts(finding, self.fail_on)
    }

    /// Nothing was found, and nothing is known that was not looked at again, or not looked for.
    pub fn is_good(&self) -> bool {
        self.exit_code == 0 && self.not_looked_at == 0 && self.not_looked_for == 0
    }
}

/// What a scan is called that did not come to its end.
fn unended(standing: Standing) -> &'static str {
    match standing {
        Standing::Paused => "Paused",
        Standing::Stopped => "Stopped",
        Standing::Waiting => "Waiting for its hours",
        _ => "Interrupted",
    }
}

/// Names of findings for a sentence, some of many.
pub fn named(names: &[String]) -> String {
    let shown = names.get(..MOST_NAMED).unwrap_or(names);
    let more = match names.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown: Vec<String> = shown.iter().map(|name| fit(name, NAME)).collect();
    shown.join(", ") + &more
}

fn still_open(open: &[&&Unseen], fail_on: Severity) -> String {
    let were = match open.len() {
        0 => return String::new(),
        1 => "was",
        _ => "were",
    };
    let names: Vec<String> = open.iter().map(|one| one.name().to_owned()).collect();
    let findings = plural(open.len() as u64, "open finding");
    format!(
        " {findings} at or above {fail_on} {were} not looked at again: {}.",
        named(&names)
    )
}

/// Findings that a scan like this one does not come to see. Its silence about them says nothing.
fn out_of_sight(beyond: &[(&Unseen, ExploreMode)], basis: &Basis<'_>) -> String {
    let Some(needed) = beyond.iter().map(|(_, mode)| *mode).max() else {
        return String::new();
    };
    let (were, they) = if beyond.len() == 1 {
        ("was", "it needs")
    } else {
        ("were", "they need")
    };
    let names: Vec<String> = beyond.iter().map(|(one, _)| one.name().to_owned()).collect();
    format!(
        " {} at or above {} {were} not looked for ({they} mode {}, this scan ran in mode {}): {}.",
        plural(beyond.len() as u64, "open finding"),
        basis.fail_on,
        needed.as_str(),
        basis.mode.as_str(),
        named(&names)
    )
}

fn counts(finding: &FindingPart, fail_on: Severity) -> bool {
    finding.severity >= fail_on && !finding.third_party && finding.state != FindingState::Suppressed
}

fn sentence(basis: &Basis<'_>, exit_code: u8) -> String {
    let (pages, suppressed) = (basis.pages, basis.suppressed);
    let mut parts = vec![format!("{} of {} looked at", pages.done, plural(pages.known, "page"))];
    for (count, what) in [
        (pages.failed, "failed"),
        (pages.left, "not reached"),
        (pages.blocked, "blocked by something that answered in their place"),
        (pages.unchanged, "of them taken as unchanged"),
        (pages.skipped, "skipped on purpose"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let found = match (basis.findings.len() as u64, suppressed) {
        (0, 0) => "nothing found".to_owned(),
        (all, 0) => format!("{} in all", plural(all, "finding")),
        (all, _) => format!("{} in all, {suppressed} more suppressed", plural(all, "finding")),
    };
    let more = if exit_code > 1 {
        " What was not looked at may hold more."
    } else {
        ""
    };
    format!("{}; {found}.{more}", parts.join(", "))
}
