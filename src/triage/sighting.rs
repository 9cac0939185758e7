use std::collections::HashMap;

use jiff::Timestamp;
use phantom_checks::{Cause, Confidence, Fact, Observation, Severity};

use super::{Finding, FindingState, Fingerprint};
use crate::scan::ScanId;
use crate::site::SiteId;

/// What one page says of one finding: its observations with one fingerprint, as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// The id of the check.
    pub check: String,
    /// The version of the check.
    pub check_version: u32,
    /// The title of the first observation. Untrusted.
    pub title: String,
    /// The worst severity.
    pub severity: Severity,
    /// The best confidence.
    pub confidence: Confidence,
    /// The root cause.
    pub cause: Cause,
    /// The facts of the first observation. Untrusted, redacted.
    pub facts: Vec<Fact>,
    /// All observations are in frames of other sites.
    pub third_party: bool,
}

impl Sighting {
    /// The observations of one page by fingerprint, in the order in which each was made first.
    pub fn all_of(site: &SiteId, observations: &[Observation]) -> Vec<Self> {
        let mut sightings: Vec<Self> = Vec::new();
        let mut places: HashMap<Fingerprint, usize> = HashMap::new();
        for observation in observations {
            let fingerprint = Fingerprint::of(site, &observation.check, &observation.cause);
            let place = *places.entry(fingerprint.clone()).or_insert(sightings.len());
            match sightings.get_mut(place) {
                Some(known) => {
                    known.severity = known.severity.max(observation.severity);
                    known.confidence = known.confidence.max(observation.confidence);
                    known.third_party &= observation.third_party;
                }
                None => sightings.push(Self {
                    fingerprint,
                    check: observation.check.clone(),
                    check_version: observation.check_version,
                    title: observation.title.clone(),
                    severity: observation.severity,
                    confidence: observation.confidence,
                    cause: observation.cause.clone(),
                    facts: observation.facts.clone(),
                    third_party: observation.third_party,
                }),
            }
        }
        sightings
    }
}

impl Finding {
    /// A finding that nobody has seen before.
    pub fn new(site: &SiteId, scan: &ScanId, sighting: Sighting, now: Timestamp) -> Self {
        Self {
            fingerprint: sighting.fingerprint,
            site: site.clone(),
            check: sighting.check,
            check_version: sighting.check_version,
            title: sighting.title,
            severity: sighting.severity,
            confidence: sighting.confidence,
            state: FindingState::New,
            cause: sighting.cause,
            facts: sighting.facts,
            third_party: sighting.third_party,
            first_seen: now,
            last_seen: now,
            first_scan: scan.clone(),
            last_scan: scan.clone(),
        }
    }

    /// Takes in one more sighting. `first_in_scan` says that `scan` had not seen the finding yet; what earlier scans
    /// said of it then gives way, otherwise the worst severity and the best confidence win.
    ///
    /// True if the ticket may have to follow: once for each scan, and whenever what the ticket depends on changed.
    /// A page more is no such change, so that a night on which nothing is new stays quiet.
    #[must_use = "a change that no intent follows never reaches the ticket"]
    pub fn see(&mut self, scan: &ScanId, sighting: Sighting, first_in_scan: bool, now: Timestamp) -> bool {
        let before = (self.state, self.severity, self.confidence, self.third_party);
        self.state = self.state.seen_again(&self.first_scan, scan);
        self.check_version = sighting.check_version;
        self.last_seen = self.last_seen.max(now);
        self.last_scan.clone_from(scan);
        if first_in_scan {
            self.title = sighting.title;
            self.severity = sighting.severity;
            self.confidence = sighting.confidence;
            self.cause = sighting.cause;
            self.facts = sighting.facts;
            self.third_party = sighting.third_party;
        } else {
            self.severity = self.severity.max(sighting.severity);
            self.confidence = self.confidence.max(sighting.confidence);
            self.third_party &= sighting.third_party;
        }
        first_in_scan || before != (self.state, self.severity, self.confidence, self.third_party)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(severity: Severity, confidence: Confidence, host: &str) -> Observation {
        Observation {
            check: "mixed-content".into(),
            check_version: 1,
            severity,
            confidence,
            title: format!("{severity} at {host}"),
            cause: Cause::new(1, [("host", host.to_owned())]),
            aliases: Vec::new(),
            facts: vec![Fact::new("severity", severity.as_str())],
            third_party: false,
        }
    }

    fn site() -> SiteId {
        SiteId("shop".into())
    }

    fn one(severity: Severity, confidence: Confidence) -> Sighting {
        Sighting::all_of(&site(), &[observation(severity, confidence, "cdn.test")]).remove(0)
    }

    #[test]
    fn observations_with_one_cause_are_one_sighting() {
        let mut framed = observation(Severity::Low, Confidence::Certain, "cdn.test");
        framed.third_party = true;
        let seen = Sighting::all_of(
            &site(),
            &[
                framed,
                observation(Severity::High, Confidence::Tentative, "cdn.test"),
                observation(Severity::Info, Confidence::Firm, "img.test"),
            ],
        );
        assert_eq!(seen.len(), 2);
        assert_eq!(
            (seen[0].severity, seen[0].confidence),
            (Severity::High, Confidence::Certain)
        );
        assert_eq!(
            seen[0].title, "low at cdn.test",
            "title and facts are the first observation's"
        );
        assert!(
            !seen[0].third_party,
            "one observation in the site's own frame is enough"
        );
        assert_ne!(seen[0].fingerprint, seen[1].fingerprint);
    }

    #[test]
    fn within_a_scan_the_worst_wins_and_only_changes_wish() {
        let (scan, now) = (ScanId("1".into()), Timestamp::UNIX_EPOCH);
        let mut finding = Finding::new(&site(), &scan, one(Severity::Medium, Confidence::Firm), now);
        assert!(!finding.see(&scan, one(Severity::Medium, Confidence::Firm), false, now));
        assert!(!finding.see(&scan, one(Severity::Low, Confidence::Tentative), false, now));
        assert!(finding.see(&scan, one(Severity::High, Confidence::Firm), false, now));
        assert_eq!((finding.severity, finding.state), (Severity::High, FindingState::New));
        assert_eq!(finding.title, "medium at cdn.test");
    }

    #[test]
    fn a_new_scan_replaces_what_the_last_one_said_and_wishes_once() {
        let (first, second, now) = (ScanId("1".into()), ScanId("2".into()), Timestamp::UNIX_EPOCH);
        let mut finding = Finding::new(&site(), &first, one(Severity::High, Confidence::Certain), now);
        assert!(finding.see(&second, one(Severity::Low, Confidence::Firm), true, now));
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Low, Confidence::Firm)
        );
        assert_eq!(
            (finding.state, finding.title.as_str()),
            (FindingState::Seen, "low at cdn.test")
        );
        assert_eq!((&finding.first_scan, &finding.last_scan), (&first, &second));
        assert!(!finding.see(&second, one(Severity::Low, Confidence::Firm), false, now));
    }

    #[test]
    fn states_after_one_more_sighting() {
        use FindingState::{Fixed, New, NotObserved, Regressed, Seen, Suppressed, Withdrawn};
        let (first, later) = (ScanId("1".into()), ScanId("2".into()));
        for (before, after) in [
            (New, Seen),
            (Seen, Seen),
            (NotObserved, Seen),
            (Fixed, Regressed),
            (Regressed, Regressed),
            (Suppressed, Suppressed),
            (Withdrawn, Seen),
        ] {
            assert_eq!(before.seen_again(&first, &later), after, "{before:?}");
        }
        assert_eq!(New.seen_again(&first, &first), New);
    }
}
