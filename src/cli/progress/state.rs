//! What the events so far come to, without a terminal and without a clock: every call is told the time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use phantom_checks::Severity;

use crate::report::plural;
use crate::scan::{ScanCounts, ScanEvent};
use crate::triage::Fingerprint;

/// The time over which the rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// A page that takes longer is named.
const SLOW: Duration = Duration::from_secs(10);

/// Where a scan stands.
#[derive(Debug)]
pub struct State {
    /// Where its pages stand.
    pub counts: ScanCounts,
    /// Tabs used at most.
    pub tabs: usize,
    started: Instant,
    busy: BTreeMap<usize, (String, Instant)>,
    recent: VecDeque<Instant>,
    findings: HashMap<Fingerprint, (Severity, bool)>,
    tickets_left: u64,
    tickets_created: u64,
}

impl State {
    /// A scan that begins now.
    pub fn new(now: Instant) -> Self {
        Self {
            counts: ScanCounts::default(),
            tabs: 0,
            started: now,
            busy: BTreeMap::new(),
            recent: VecDeque::new(),
            findings: HashMap::new(),
            tickets_left: 0,
            tickets_created: 0,
        }
    }

    /// Takes an event in. True if it is worth a line of its own: a finding that was told already is not.
    pub fn apply(&mut self, event: &ScanEvent, now: Instant) -> bool {
        match event {
            ScanEvent::Started { tabs, .. } => self.tabs = *tabs,
            ScanEvent::PageStarted { tab, url } => {
                self.busy.insert(*tab, (url.clone(), now));
            }
            ScanEvent::PageDone { tab, .. } | ScanEvent::PageFailed { tab, .. } => {
                self.busy.remove(tab);
                self.recent.push_back(now);
            }
            ScanEvent::PageLeft { tab, .. } => {
                self.busy.remove(tab);
            }
            ScanEvent::Finding {
                fingerprint,
                severity,
                new,
                ..
            } => return self.note_finding(fingerprint, *severity, *new),
            ScanEvent::Counts(counts) => self.counts = *counts,
            ScanEvent::TicketCreated { .. } => self.tickets_created += 1,
            ScanEvent::TicketsLeft(left) => self.tickets_left = *left,
            ScanEvent::HostWaits { .. }
            | ScanEvent::Remark(_)
            | ScanEvent::Wished(_)
            | ScanEvent::BrowserRestarted { .. }
            | ScanEvent::TicketAdopted { .. }
            | ScanEvent::TicketProblem(_)
            | ScanEvent::Finished { .. } => {}
        }
        true
    }

    /// True if the finding was not told yet, or is worse than it was told.
    fn note_finding(&mut self, fingerprint: &Fingerprint, severity: Severity, new: bool) -> bool {
        match self.findings.get_mut(fingerprint) {
            None => {
                self.findings.insert(fingerprint.clone(), (severity, new));
                true
            }
            Some((known, _)) if *known < severity => {
                *known = severity;
                true
            }
            Some(_) => false,
        }
    }

    /// Pages ended each second, over the last ten or since the start.
    pub fn rate(&mut self, now: Instant) -> f64 {
        while self
            .recent
            .front()
            .is_some_and(|&at| now.duration_since(at) > RATE_WINDOW)
        {
            self.recent.pop_front();
        }
        let window = now.duration_since(self.started).min(RATE_WINDOW).as_secs_f64();
        self.recent.len() as f64 / window.max(1.0)
    }

    /// Pages that ended, well or badly.
    pub fn ended(&self) -> u64 {
        self.counts.done + self.counts.failed
    }

    /// Pages that are to be looked at, all in all: the known ones but for those skipped on purpose.
    pub fn wanted(&self) -> u64 {
        self.counts.known() - self.counts.skipped
    }

    /// Tabs that render a page.
    pub fn busy(&self) -> usize {
        self.busy.len()
    }

    /// Time since the scan began or went on.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.duration_since(self.started)
    }

    /// Pages that take long, the slowest first.
    pub fn slow(&self, now: Instant) -> Vec<(&str, Duration)> {
        let mut slow: Vec<_> = self
            .busy
            .values()
            .map(|(url, since)| (url.as_str(), now.duration_since(*since)))
            .filter(|(_, took)| *took > SLOW)
            .collect();
        slow.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        slow
    }

    /// How many findings there are of each severity, worst first.
    pub fn severities(&self) -> Vec<(Severity, u64)> {
        let of = |wanted| {
            self.findings
                .values()
                .filter(|(severity, _)| *severity == wanted)
                .count() as u64
        };
        Severity::WORST_FIRST
            .into_iter()
            .map(|severity| (severity, of(severity)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// What else there is to say of pages and tickets, in words.
    pub fn asides(&self) -> Vec<String> {
        let new = self.findings.values().filter(|(_, new)| *new).count();
        [
            (new as u64, format!("{new} new")),
            (
                self.counts.failed,
                format!("{} failed", plural(self.counts.failed, "page")),
            ),
            (self.counts.skipped, format!("{} skipped", self.counts.skipped)),
            (
                self.tickets_created,
                format!("{} created", plural(self.tickets_created, "ticket")),
            ),
            (self.tickets_left, format!("{} to file", self.tickets_left)),
        ]
        .into_iter()
        .filter_map(|(count, words)| (count > 0).then_some(words))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phantom_checks::Confidence;

    fn finding(fingerprint: &str, severity: Severity, new: bool) -> ScanEvent {
        ScanEvent::Finding {
            fingerprint: Fingerprint(fingerprint.to_owned()),
            check: "c".to_owned(),
            severity,
            confidence: Confidence::Firm,
            title: "t".to_owned(),
            new,
        }
    }

    fn started(tab: usize, url: &str) -> ScanEvent {
        ScanEvent::PageStarted {
            tab,
            url: url.to_owned(),
        }
    }

    fn done(tab: usize) -> ScanEvent {
        ScanEvent::PageDone {
            tab,
            url: String::new(),
            took: Duration::ZERO,
            findings_new: 0,
        }
    }

    #[test]
    fn a_finding_is_told_once_and_again_when_worse() {
        let now = Instant::now();
        let mut state = State::new(now);
        for (fingerprint, severity, told) in [
            ("a", Severity::Low, true),
            ("a", Severity::Low, false),
            ("b", Severity::High, true),
            ("a", Severity::Medium, true),
            ("a", Severity::Low, false),
        ] {
            assert_eq!(
                state.apply(&finding(fingerprint, severity, fingerprint == "a"), now),
                told
            );
        }
        assert_eq!(state.severities(), [(Severity::High, 1), (Severity::Medium, 1)]);
        assert_eq!(state.asides(), ["1 new"]);
    }

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let start = Instant::now();
        let mut state = State::new(start);
        let at = |second| start + Duration::from_secs(second);
        for second in 0..20 {
            state.apply(&done(0), at(second));
        }
        assert!((state.rate(at(20)) - 1.0).abs() < 0.2);
        assert!(state.rate(at(60)).abs() < f64::EPSILON);
    }

    #[test]
    fn slow_pages_are_named_until_they_end() {
        let start = Instant::now();
        let mut state = State::new(start);
        let at = |second| start + Duration::from_secs(second);
        state.apply(&started(0, "https://a.test/"), at(0));
        state.apply(&started(1, "https://b.test/"), at(5));
        state.apply(&started(2, "https://c.test/"), at(19));
        assert_eq!(state.busy(), 3);
        assert_eq!(
            state.slow(at(20)),
            [
                ("https://a.test/", Duration::from_secs(20)),
                ("https://b.test/", Duration::from_secs(15))
            ]
        );
        state.apply(&done(0), at(21));
        assert_eq!(state.slow(at(21)).len(), 1);
    }
}
