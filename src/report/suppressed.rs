//! What is not to be reported is told apart from what is.

use jiff::Timestamp;

use super::build::{Sighting, worst_first};
use super::model::{DecisionPart, FindingPart, IdleSuppression, SuppressedPart};
use crate::site::SiteId;
use crate::triage::{FindingState, Suppression};

/// Findings by whether they are to be reported.
pub(super) struct Apart {
    pub findings: Vec<FindingPart>,
    pub suppressed: Vec<SuppressedPart>,
}

/// Parts suppressed findings, with the decision about each, from the others.
pub(super) fn apart(
    sightings: Vec<Sighting>,
    suppressions: &[Suppression],
    part: impl Fn(Sighting) -> FindingPart,
) -> Apart {
    let mut apart = Apart {
        findings: Vec::new(),
        suppressed: Vec::new(),
    };
    for sighting in sightings {
        if sighting.finding.state != FindingState::Suppressed {
            apart.findings.push(part(sighting));
            continue;
        }
        let id = sighting.finding.past.suppressed_by.as_deref();
        let decision = suppressions.iter().find(|one| id == Some(one.id.as_str()));
        apart.suppressed.push(SuppressedPart {
            decision: decision.map(decision_part),
            finding: part(sighting),
        });
    }
    apart.suppressed.sort_by(|a, b| worst_first(&a.finding, &b.finding));
    apart
}

/// The suppressions of a site, or of all sites, that do nothing. Those about one finding whose time is over were
/// reported when the finding was open again, but they stay listed until somebody lifts them.
pub(super) fn idle(suppressions: &[Suppression], site: &SiteId, now: Timestamp) -> Vec<IdleSuppression> {
    suppressions
        .iter()
        .filter(|one| one.scope.site.as_ref().is_none_or(|named| named == site))
        // One about a finding alone says nothing of its site.
        .filter(|one| one.scope.fingerprint.is_none() || one.scope.site.is_some())
        .filter_map(|one| {
            Some(IdleSuppression {
                trouble: one.trouble(now)?,
                scope: one.scope.to_string(),
                decision: decision_part(one),
            })
        })
        .collect()
}

pub(super) fn decision_part(one: &Suppression) -> DecisionPart {
    DecisionPart {
        id: one.id.clone(),
        words: one.decision.words().to_owned(),
        reason: one.reason.clone(),
        author: one.author.clone(),
        created: one.created,
        until: one.until,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::triage::{Decision, SuppressionScope};

    #[test]
    fn only_what_does_nothing_here_is_idle() {
        let now = Timestamp::UNIX_EPOCH;
        let of = |site: Option<&str>| {
            let scope = SuppressionScope {
                check: Some("mixed-content".into()),
                site: site.map(|id| SiteId(id.into())),
                ..SuppressionScope::default()
            };
            Suppression::new(scope, Decision::WontFix, "why", "who", now)
        };
        let at_work = Suppression {
            matched: Some(now),
            ..of(None)
        };
        let over = Suppression {
            until: Some(now),
            ..at_work.clone()
        };
        let all = [at_work, over, of(Some("shop")), of(Some("blog"))];
        let idle = idle(&all, &SiteId("shop".into()), now);
        let troubles: Vec<_> = idle.iter().map(|one| one.trouble.as_str()).collect();
        assert_eq!(troubles, ["it expired on 1970-01-01", "it has never covered a finding"]);
    }
}
