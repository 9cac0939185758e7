use std::time::Duration;

use phantom_checks::{Cause, Confidence};

use super::*;
use crate::crawl::PageKey;
use crate::scan::{ScanState, Trigger};
use crate::site::{Limits, Site, SiteId};
use crate::triage::{Fingerprint, Past};

fn record(state: ScanState) -> ScanRecord {
    let site = Site {
        id: SiteId("shop".to_owned()),
        title: "Shop".to_owned(),
        limits: Limits {
            duration: Duration::from_mins(1),
            ..Limits::default()
        },
        disabled_checks: vec!["mixed-content".to_owned()],
        ..Site::adhoc(&"https://shop.test/".parse().unwrap()).unwrap()
    };
    let id = ScanId("20261123-020000-7f3a".to_owned());
    ScanRecord {
        state,
        ..ScanRecord::begun(id, site, Trigger::OnDemand, Timestamp::UNIX_EPOCH)
    }
}

fn sighting(severity: Severity, title: &str) -> Sighting {
    let scan = ScanId("s".to_owned());
    let cause = Cause::new(1, [("host", title.to_owned())]);
    let finding = Finding {
        fingerprint: Fingerprint::of(&SiteId("shop".to_owned()), "mixed-content", &cause),
        site: SiteId("shop".to_owned()),
        check: "mixed-content".to_owned(),
        check_version: 1,
        title: title.to_owned(),
        severity,
        confidence: Confidence::Firm,
        state: FindingState::New,
        cause,
        facts: Vec::new(),
        third_party: false,
        first_seen: Timestamp::UNIX_EPOCH,
        last_seen: Timestamp::UNIX_EPOCH,
        first_scan: scan.clone(),
        last_scan: scan,
        past: Past::default(),
    };
    Sighting {
        finding,
        pages: Vec::new(),
        pages_total: 1,
        way: Vec::new(),
        picture: None,
        ticket: None,
    }
}

fn row(url: &str, state: PageState, reason: Option<&str>) -> PageRow {
    PageRow {
        key: PageKey(url.to_owned()),
        url: url.to_owned(),
        state,
        reason: reason.map(str::to_owned),
        redirected_to: None,
    }
}

fn report(state: ScanState, counts: ScanCounts, findings: Vec<Sighting>) -> Report {
    assemble(gathered(state, counts, findings), &context())
}

fn context() -> Context<'static> {
    Context {
        fail_on: Severity::High,
        browse_url: None,
        sites: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

fn gathered(state: ScanState, counts: ScanCounts, findings: Vec<Sighting>) -> Gathered {
    Gathered {
        standing: Standing::of(state, None, Trigger::OnDemand, false),
        record: record(state),
        counts,
        findings,
        unseen: Vec::new(),
        suppressions: Vec::new(),
        gone: Vec::new(),
        failed: (0..counts.failed)
            .map(|_| row("https://shop.test/f", PageState::Failed, None))
            .collect(),
        skipped: (0..counts.skipped)
            .map(|_| row("https://shop.test/s", PageState::Skipped, Some("robots.txt")))
            .collect(),
        done: Vec::new(),
        looks: Vec::new(),
        hosts: vec![SeenHost {
            host: "new.shop.test".to_owned(),
            page: "https://shop.test/".to_owned(),
        }],
        endpoints: Vec::new(),
        gaps: vec![("frame lost".to_owned(), "https://shop.test/g".to_owned())],
    }
}

fn counts(done: u64, failed: u64, skipped: u64, waiting: u64) -> ScanCounts {
    ScanCounts {
        waiting,
        leased: 0,
        done,
        failed,
        skipped,
    }
}

#[test]
fn the_worst_of_what_holds_is_the_verdict() {
    use ScanState::{Complete, Incomplete, Interrupted, Running};
    for (state, counts, severity, exit_code, headline) in [
        (Complete, counts(9, 0, 2, 0), None, 0, "Nothing at or above high"),
        (
            Complete,
            counts(9, 0, 0, 0),
            Some(Severity::Medium),
            0,
            "Nothing at or above high",
        ),
        (
            Complete,
            counts(9, 0, 0, 0),
            Some(Severity::Critical),
            1,
            "1 finding at or above high",
        ),
        (
            Complete,
            counts(9, 1, 0, 0),
            Some(Severity::Critical),
            3,
            "Incomplete, with 1 finding at or above high",
        ),
        (Complete, counts(9, 0, 0, 1), None, 3, "Incomplete"),
        (Running, counts(9, 0, 0, 0), None, 3, "Incomplete"),
        (Incomplete, counts(0, 0, 0, 0), None, 3, "Incomplete"),
        (
            Interrupted,
            counts(9, 1, 0, 4),
            Some(Severity::High),
            130,
            "Interrupted, with 1 finding at or above high",
        ),
    ] {
        let findings = severity.map(|severity| sighting(severity, "x")).into_iter().collect();
        let verdict = report(state, counts, findings).verdict;
        assert_eq!((verdict.exit_code, verdict.headline.as_str()), (exit_code, headline));
    }
}

#[test]
fn suppressed_and_third_party_findings_do_not_fail_a_scan() {
    let mut suppressed = sighting(Severity::High, "a");
    suppressed.finding.state = FindingState::Suppressed;
    let mut foreign = sighting(Severity::High, "b");
    foreign.finding.third_party = true;
    let report = report(ScanState::Complete, counts(9, 0, 0, 0), vec![suppressed, foreign]);
    assert_eq!((report.verdict.exit_code, report.verdict.findings), (0, 0));
    assert_eq!((report.findings.len(), report.suppressed.len()), (1, 1));
    assert_eq!(report.suppressed[0].finding.title, "a");
    assert_eq!(report.counts, BTreeMap::from([(Severity::High, 1)]), "counted apart");
}

#[test]
fn the_sentence_says_what_was_not_looked_at() {
    let report = report(
        ScanState::Interrupted,
        counts(9, 1, 2, 4),
        vec![sighting(Severity::High, "x")],
    );
    assert_eq!(
        report.verdict.sentence,
        "9 of 16 pages looked at, 1 failed, 4 not reached, 2 skipped on purpose; 1 finding in all. \
         What was not looked at may hold more."
    );
    let groups: Vec<_> = report
        .not_checked
        .iter()
        .map(|group| (group.what, group.reason.as_str(), group.count))
        .collect();
    assert_eq!(
        groups,
        [
            (NotCheckedKind::FailedPages, "no reason was recorded", 1),
            (NotCheckedKind::WaitingPages, "the scan was interrupted", 4),
            (NotCheckedKind::PartsOfPages, "frame lost", 1),
            (NotCheckedKind::Checks, "disabled in the site's file", 1),
            (NotCheckedKind::Checks, UNEXPLORED, 1),
            (NotCheckedKind::SkippedPages, "robots.txt", 2),
        ]
    );
}

#[test]
fn what_a_limit_hides_is_said() {
    let limit = "the limit of 2 pages was reached";
    let narrow = "Nothing at or above high on the 2 of 5 pages that were looked at";
    let again = "1 open finding at or above high was not looked at again: SEC-1.";
    let (all, none) = ("Nothing at or above high", "");
    for (reason, severity, witness, headline, said) in [
        (limit, Severity::High, "https://shop.test/s", narrow, again),
        (limit, Severity::High, "https://shop.test/unheard-of", narrow, again),
        (limit, Severity::High, "https://shop.test/", narrow, none),
        (limit, Severity::Medium, "https://shop.test/s", narrow, none),
        (
            "disallowed by robots.txt",
            Severity::High,
            "https://shop.test/s",
            narrow,
            again,
        ),
        (
            "the server answered 404",
            Severity::High,
            "https://shop.test/s",
            all,
            none,
        ),
        ("looks destructive", Severity::High, "https://shop.test/", all, none),
    ] {
        let mut gathered = gathered(ScanState::Complete, counts(2, 0, 3, 0), Vec::new());
        let mut finding = sighting(severity, "a").finding;
        finding.past.saw(witness, &ScanId("before".to_owned()));
        gathered.unseen = vec![missed(finding, ExploreMode::Observe)];
        gathered.done = vec![row("https://shop.test/", PageState::Done, None)];
        for row in &mut gathered.skipped {
            row.reason = Some(reason.to_owned());
        }
        let verdict = assemble(gathered, &context()).verdict;
        assert_eq!(
            (verdict.exit_code, verdict.headline.as_str()),
            (0, headline),
            "{reason}"
        );
        assert!(verdict.sentence.ends_with(said), "{}", verdict.sentence);
        assert_eq!(verdict.is_good(), said.is_empty(), "{reason} {witness}");
        assert_eq!(verdict.sentence.contains("not looked at again"), !said.is_empty());
    }
}

fn missed(finding: Finding, mode: ExploreMode) -> Missed {
    Missed {
        finding,
        ticket: Some(link("SEC-1")),
        mode,
    }
}

#[test]
fn what_a_mode_cannot_see_is_said() {
    use ExploreMode::{Full, Observe, Safe};
    let (all, beyond) = (
        "Nothing at or above high",
        "Nothing at or above high that mode observe can see",
    );
    let said = |needed: &str, ran: &str| {
        format!(
            " 1 open finding at or above high was not looked for (it needs mode {needed}, this scan ran in mode {ran}): \
             SEC-1."
        )
    };
    for (saw, ran, severity, headline, said) in [
        (Safe, Observe, Severity::High, beyond, said("safe", "observe")),
        (Full, Observe, Severity::Critical, beyond, said("full", "observe")),
        (
            Full,
            Safe,
            Severity::High,
            "Nothing at or above high that mode safe can see",
            said("full", "safe"),
        ),
        (Safe, Observe, Severity::Medium, all, String::new()),
        (Safe, Safe, Severity::High, all, String::new()),
        (Observe, Safe, Severity::High, all, String::new()),
    ] {
        let mut gathered = gathered(ScanState::Complete, counts(1, 0, 0, 0), Vec::new());
        gathered.record.site.explore.mode = ran;
        let mut finding = sighting(severity, "a").finding;
        finding.past.saw("https://shop.test/", &ScanId("before".to_owned()));
        gathered.unseen = vec![missed(finding, saw)];
        gathered.done = vec![row("https://shop.test/", PageState::Done, None)];
        let verdict = assemble(gathered, &context()).verdict;
        // What was found decides the exit code, whatever was not looked for.
        assert_eq!(
            (verdict.exit_code, verdict.headline.as_str()),
            (0, headline),
            "{saw:?} {ran:?}"
        );
        assert_eq!(verdict.sentence.contains("not looked for"), !said.is_empty());
        assert!(verdict.sentence.ends_with(&said), "{}", verdict.sentence);
        assert_eq!(verdict.is_good(), said.is_empty());
    }
}

#[test]
fn findings_are_listed_worst_first() {
    let findings = vec![
        sighting(Severity::Low, "c"),
        sighting(Severity::High, "b"),
        sighting(Severity::High, "a"),
    ];
    let report = report(ScanState::Complete, counts(1, 0, 0, 0), findings);
    let titles: Vec<_> = report.findings.iter().map(|finding| finding.title.as_str()).collect();
    assert_eq!(titles, ["a", "b", "c"]);
    assert_eq!(report.counts, BTreeMap::from([(Severity::Low, 1), (Severity::High, 2)]));
}

fn link(key: &str) -> TicketLink {
    TicketLink {
        fingerprint: Fingerprint("f".to_owned()),
        generation: 1,
        issue_id: "10001".to_owned(),
        issue_key: key.to_owned(),
        linked: Timestamp::UNIX_EPOCH,
        closed: None,
    }
}

#[test]
fn a_ticket_opens_below_the_path_of_its_jira() {
    for (base, url) in [
        ("https://shop.atlassian.net", "https://shop.atlassian.net/browse/SEC-1"),
        ("https://shop.test/jira/", "https://shop.test/jira/browse/SEC-1"),
    ] {
        let ticket = ticket_part(link("SEC-1"), Some(&base.parse().unwrap()));
        assert_eq!(ticket.url.as_deref(), Some(url));
    }
}
