//! What a scan comes to: one exit code and one sentence, the same in every report and on the terminal.

use phantom_checks::Severity;
use serde::{Deserialize, Serialize};

use super::model::{FindingPart, PageCounts};
use super::words::plural;
use crate::scan::ScanState;
use crate::triage::FindingState;

/// What a scan comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Findings at or above it fail the scan.
    pub fail_on: Severity,
    /// How many there are.
    pub findings: u64,
    /// 0 nothing at or above `fail_on`, 1 findings at or above it, 3 the scan is incomplete, 130 interrupted.
    pub exit_code: u8,
    /// The result in a few words.
    pub headline: String,
    /// What was looked at, what was found and what was not looked at.
    pub sentence: String,
}

impl Verdict {
    /// Judges a scan. The worst of what holds is the verdict: interrupted, incomplete, findings, nothing.
    ///
    /// The `suppressed` findings are not among the others and do not count, nor do those in frames of other sites.
    pub fn of(
        state: ScanState,
        pages: PageCounts,
        findings: &[FindingPart],
        suppressed: u64,
        fail_on: Severity,
    ) -> Self {
        let hits = findings.iter().filter(|finding| counts(finding, fail_on)).count() as u64;
        let incomplete = state != ScanState::Complete || pages.failed > 0 || pages.left > 0;
        let found = format!("{} at or above {fail_on}", plural(hits, "finding"));
        let (exit_code, headline) = match (state, hits) {
            (ScanState::Interrupted, 0) => (130, "Interrupted".to_owned()),
            (ScanState::Interrupted, _) => (130, format!("Interrupted, with {found}")),
            (_, 0) if incomplete => (3, "Incomplete".to_owned()),
            _ if incomplete => (3, format!("Incomplete, with {found}")),
            (_, 0) => (0, format!("Nothing at or above {fail_on}")),
            _ => (1, found),
        };
        Self {
            fail_on,
            findings: hits,
            exit_code,
            headline,
            sentence: sentence(pages, findings.len() as u64, suppressed, exit_code),
        }
    }
}

fn counts(finding: &FindingPart, fail_on: Severity) -> bool {
    finding.severity >= fail_on && !finding.third_party && finding.state != FindingState::Suppressed
}

fn sentence(pages: PageCounts, findings: u64, suppressed: u64, exit_code: u8) -> String {
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
    let found = match (findings, suppressed) {
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
