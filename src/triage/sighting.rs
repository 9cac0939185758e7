use std::collections::HashMap;

use jiff::Timestamp;
use phantom_checks::{Cause, Confidence, Fact, Observation, Severity};

use super::{Finding, FindingState, Fingerprint, Past};
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
    /// Fingerprints that it had under earlier definitions of its cause.
    pub aliases: Vec<Fingerprint>,
}

/// Where, when and by whom something was seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The scan.
    pub scan: &'a ScanId,
    /// The page.
    pub url: &'a str,
    /// The time.
    pub now: Timestamp,
    /// The suppression that covers it there, by its id.
    pub suppressed_by: Option<&'a str>,
}

impl Sighting {
    /// The observations of one page by fingerprint, in the order in which each was made first.
    pub fn all_of(site: &SiteId, observations: &[Observation]) -> Vec<Self> {
        let mut sightings: Vec<Self> = Vec::new();
        let mut places: HashMap<Fingerprint, usize> = HashMap::new();
        for observation in observations {
            let fingerprint = Fingerprint::of(site, &observation.check, &observation.cause);
            let place = *places.entry(fingerprint.clone()).or_insert(sightings.len());
            if let Some(known) = sightings.get_mut(place) {
                known.severity = known.severity.max(observation.severity);
                known.confidence = known.confidence.max(observation.confidence);
                known.third_party &= observation.third_party;
                known.add_aliases(site, observation);
                continue;
            }
            let mut sighting = Self {
                fingerprint,
                check: observation.check.clone(),
                check_version: observation.check_version,
                title: observation.title.clone(),
                severity: observation.severity,
                confidence: observation.confidence,
                cause: observation.cause.clone(),
                facts: observation.facts.clone(),
                third_party: observation.third_party,
                aliases: Vec::new(),
            };
            sighting.add_aliases(site, observation);
            sightings.push(sighting);
        }
        sightings
    }

    fn add_aliases(&mut self, site: &SiteId, observation: &Observation) {
        for cause in &observation.aliases {
            let alias = Fingerprint::of(site, &observation.check, cause);
            if alias != self.fingerprint && !self.aliases.contains(&alias) {
                self.aliases.push(alias);
            }
        }
    }

    /// What a suppression is asked about.
    pub fn subject<'a>(&'a self, site: &'a SiteId) -> super::Subject<'a> {
        super::Subject {
            fingerprint: &self.fingerprint,
            check: &self.check,
            check_version: self.check_version,
            confidence: self.confidence,
            site,
            cause: &self.cause,
        }
    }
}

impl Finding {
    /// A finding that nobody has seen before.
    pub fn new(site: &SiteId, sighting: Sighting, seen: &Seen<'_>) -> Self {
        let mut past = Past {
            worst: Some(sighting.severity),
            suppressed_by: seen.suppressed_by.map(str::to_owned),
            ..Past::default()
        };
        past.saw(seen.url, seen.scan);
        Self {
            fingerprint: sighting.fingerprint,
            site: site.clone(),
            check: sighting.check,
            check_version: sighting.check_version,
            title: sighting.title,
            severity: sighting.severity,
            confidence: sighting.confidence,
            state: match seen.suppressed_by {
                Some(_) => FindingState::Suppressed,
                None => FindingState::New,
            },
            cause: sighting.cause,
            facts: sighting.facts,
            third_party: sighting.third_party,
            first_seen: seen.now,
            last_seen: seen.now,
            first_scan: seen.scan.clone(),
            last_scan: seen.scan.clone(),
            past,
        }
    }

    /// Takes in one more sighting. `first_in_scan` says that the scan had not seen the finding yet; what earlier scans
    /// said of it then gives way, otherwise the worst severity and the best confidence win.
    ///
    /// It is suppressed for as long as every page on which the scan saw it is covered.
    ///
    /// True if the ticket may have to follow: once for each scan, and whenever what the ticket depends on changed.
    /// A page more is no such change, so that a night on which nothing is new stays quiet. A suppressed finding is no
    /// exception: who suppressed it in its ticket may have taken that back.
    #[must_use = "a change that no intent follows never reaches the ticket"]
    pub fn see(&mut self, sighting: Sighting, seen: &Seen<'_>, first_in_scan: bool) -> bool {
        let before = (self.state, self.severity, self.confidence, self.third_party);
        self.enter(seen, first_in_scan);
        self.past.saw(seen.url, seen.scan);
        self.check_version = sighting.check_version;
        self.last_seen = self.last_seen.max(seen.now);
        self.last_scan.clone_from(seen.scan);
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
        self.past.worst = self.past.worst.max(Some(self.severity));
        first_in_scan || before != (self.state, self.severity, self.confidence, self.third_party)
    }

    fn enter(&mut self, seen: &Seen<'_>, first_in_scan: bool) {
        let covered_so_far = first_in_scan || self.state == FindingState::Suppressed;
        let before = self.state;
        if let Some(id) = seen.suppressed_by.filter(|_| covered_so_far) {
            self.past.suppressed_by = Some(id.to_owned());
            self.state = FindingState::Suppressed;
            return;
        }
        self.past.suppressed_by = None;
        self.state = before.seen_again(&self.first_scan, seen.scan);
        if before == FindingState::Fixed {
            self.past.regressed = Some(seen.now);
        }
    }

    /// Takes over what an earlier definition of its cause was known as: its past, its state, and its first sighting.
    #[must_use]
    pub fn adopt(mut self, fingerprint: &Fingerprint) -> Self {
        let alias = std::mem::replace(&mut self.fingerprint, fingerprint.clone());
        self.past.aliases.push(alias);
        self
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

    fn seen<'a>(scan: &'a ScanId, suppressed_by: Option<&'a str>) -> Seen<'a> {
        Seen {
            scan,
            url: "https://shop.test/",
            now: Timestamp::UNIX_EPOCH,
            suppressed_by,
        }
    }

    #[test]
    fn within_a_scan_the_worst_wins_and_only_changes_wish() {
        let scan = ScanId("1".into());
        let seen = seen(&scan, None);
        let mut finding = Finding::new(&site(), one(Severity::Medium, Confidence::Firm), &seen);
        assert!(!finding.see(one(Severity::Medium, Confidence::Firm), &seen, false));
        assert!(!finding.see(one(Severity::Low, Confidence::Tentative), &seen, false));
        assert!(finding.see(one(Severity::High, Confidence::Firm), &seen, false));
        assert_eq!((finding.severity, finding.state), (Severity::High, FindingState::New));
        assert_eq!(finding.title, "medium at cdn.test");
    }

    #[test]
    fn a_new_scan_replaces_what_the_last_one_said_and_wishes_once() {
        let (first, second) = (ScanId("1".into()), ScanId("2".into()));
        let mut finding = Finding::new(&site(), one(Severity::High, Confidence::Certain), &seen(&first, None));
        assert!(finding.see(one(Severity::Low, Confidence::Firm), &seen(&second, None), true));
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Low, Confidence::Firm)
        );
        assert_eq!(
            (finding.state, finding.title.as_str()),
            (FindingState::Seen, "low at cdn.test")
        );
        assert_eq!((&finding.first_scan, &finding.last_scan), (&first, &second));
        assert!(!finding.see(one(Severity::Low, Confidence::Firm), &seen(&second, None), false));
        assert_eq!(
            finding.past.worst,
            Some(Severity::High),
            "what it once was is not forgotten"
        );
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
            (Suppressed, Seen),
            (Withdrawn, Seen),
        ] {
            assert_eq!(before.seen_again(&first, &later), after, "{before:?}");
        }
        assert_eq!(New.seen_again(&first, &first), New);
    }

    #[test]
    fn a_finding_is_suppressed_while_all_its_pages_are() {
        let (first, second, third) = (ScanId("1".into()), ScanId("2".into()), ScanId("3".into()));
        let mild = || one(Severity::Low, Confidence::Firm);
        let mut finding = Finding::new(&site(), mild(), &seen(&first, Some("s")));
        assert_eq!(finding.state, FindingState::Suppressed);
        assert!(!finding.see(mild(), &seen(&first, Some("s")), false));
        assert!(
            finding.see(mild(), &seen(&first, None), false),
            "one page that is not covered is enough"
        );
        assert_eq!(
            (finding.state, finding.past.suppressed_by.as_ref()),
            (FindingState::New, None)
        );
        assert!(!finding.see(mild(), &seen(&first, Some("s")), false));
        assert_eq!(finding.state, FindingState::New);
        assert!(finding.see(mild(), &seen(&second, Some("s")), true), "it became one");
        assert_eq!(finding.state, FindingState::Suppressed);
        assert!(finding.see(mild(), &seen(&third, Some("s")), true), "once a scan");
        assert!(!finding.see(mild(), &seen(&third, Some("s")), false), "as before");
        assert!(
            finding.see(one(Severity::High, Confidence::Firm), &seen(&third, Some("s")), false),
            "worse"
        );
        assert_eq!(finding.state, FindingState::Suppressed);
    }

    #[test]
    fn what_comes_back_is_remembered() {
        let (first, second) = (ScanId("1".into()), ScanId("2".into()));
        let mut finding = Finding::new(&site(), one(Severity::Low, Confidence::Firm), &seen(&first, None));
        finding.state = FindingState::Fixed;
        assert!(finding.see(one(Severity::Low, Confidence::Firm), &seen(&second, None), true));
        assert_eq!(finding.state, FindingState::Regressed);
        assert_eq!(finding.past.regressed, Some(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn earlier_causes_are_aliases() {
        let mut newer = observation(Severity::Low, Confidence::Firm, "cdn.test");
        let older = Cause::new(0, [("host", "cdn.test".to_owned())]);
        newer.aliases = vec![older.clone(), older.clone(), newer.cause.clone()];
        let seen = Sighting::all_of(&site(), &[newer]);
        assert_eq!(seen[0].aliases, [Fingerprint::of(&site(), "mixed-content", &older)]);
    }
}
