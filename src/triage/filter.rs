//! Which findings a person asks for.

use phantom_checks::Severity;

use super::{Finding, FindingState};

/// Which findings a person asks for. What is not set, or empty, makes no difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindingFilter {
    /// The ids of their sites, one of these; `*` stands for any run of characters.
    pub sites: Vec<String>,
    /// The ids of their checks, one of these.
    pub checks: Vec<String>,
    /// Their states, one of these.
    pub states: Vec<FindingState>,
    /// Their severity, this or worse.
    pub severity: Option<Severity>,
}

impl FindingFilter {
    /// Is this one of them?
    pub fn admits(&self, finding: &Finding) -> bool {
        let any = |patterns: &[String], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| crate::site::wildcard(pattern, text))
        };
        any(&self.sites, &finding.site.0)
            && any(&self.checks, &finding.check)
            && (self.states.is_empty() || self.states.contains(&finding.state))
            && self.severity.is_none_or(|least| finding.severity >= least)
    }
}

/// The findings whose fingerprint begins with these digits.
pub fn named<'a>(findings: &'a [Finding], digits: &str) -> Vec<&'a Finding> {
    let digits = digits.trim().to_ascii_lowercase();
    findings
        .iter()
        .filter(|finding| !digits.is_empty() && finding.fingerprint.0.starts_with(&digits))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::finding;
    use super::*;

    #[test]
    fn all_that_is_asked_for_must_hold() {
        let one = finding("cdn.test", FindingState::Fixed);
        let all = FindingFilter::default();
        assert!(all.admits(&one));
        for (filter, admitted) in [
            (
                FindingFilter {
                    sites: vec!["sh*".into()],
                    ..all.clone()
                },
                true,
            ),
            (
                FindingFilter {
                    sites: vec!["blog".into(), "shop".into()],
                    ..all.clone()
                },
                true,
            ),
            (
                FindingFilter {
                    sites: vec!["blog".into()],
                    ..all.clone()
                },
                false,
            ),
            (
                FindingFilter {
                    checks: vec!["mixed-content".into()],
                    ..all.clone()
                },
                true,
            ),
            (
                FindingFilter {
                    checks: vec!["insecure-*".into()],
                    ..all.clone()
                },
                false,
            ),
            (
                FindingFilter {
                    states: vec![FindingState::New],
                    ..all.clone()
                },
                false,
            ),
            (
                FindingFilter {
                    severity: Some(Severity::High),
                    ..all.clone()
                },
                true,
            ),
            (
                FindingFilter {
                    severity: Some(Severity::Critical),
                    ..all
                },
                false,
            ),
        ] {
            assert_eq!(filter.admits(&one), admitted, "{filter:?}");
        }
    }

    #[test]
    fn a_finding_is_named_by_its_first_digits() {
        let all = [
            finding("a.test", FindingState::New),
            finding("b.test", FindingState::New),
        ];
        let first = all[0].fingerprint.short().to_uppercase();
        assert_eq!(named(&all, &first), [&all[0]]);
        assert!(named(&all, "").is_empty() && named(&all, "xyz").is_empty());
    }
}
