//! Observations become findings and wishes.

use phantom_checks::{Confidence, Severity};

use super::{Handle, Rendered, at, lease_one, observed, page, scan_of, start};
use crate::scan::ScanId;
use crate::triage::{FindingPage, FindingState};

const URLS: [&str; 3] = ["https://shop.test/a", "https://shop.test/b", "https://shop.test/c"];

/// Renders the next page of a scan, where `seen` is observed.
async fn render(store: &Handle, scan: &ScanId, seen: &[(&str, Severity)], now: i64) {
    let lease = lease_one(store, scan, now).await;
    let seen = seen.iter().map(|(host, severity)| observed(host, *severity));
    assert!(Rendered::done(&lease).observing(seen).record(store, now).await);
}

/// The number of intents that are due; they are finished.
async fn wishes(store: &Handle) -> usize {
    let due = store.due_intents(at(1_000_000), 100, None).await.unwrap();
    for intent in &due {
        store.finish_intent(intent).await.unwrap();
    }
    due.len()
}

pub(crate) async fn findings_live_through_scans(one: Handle, two: Handle) {
    let first = start(&one, "1", &URLS).await;
    render(&one, &first, &[("cdn.test", Severity::Medium)], 10).await;
    render(&one, &first, &[("cdn.test", Severity::High)], 20).await;
    let finding = two.findings(&first).await.unwrap().remove(0);
    assert_eq!((finding.state, finding.severity), (FindingState::New, Severity::High));
    assert_eq!((finding.confidence, finding.check_version), (Confidence::Firm, 3));
    assert_eq!((finding.first_seen, finding.last_seen), (at(10), at(20)));
    assert_eq!((&finding.first_scan, &finding.last_scan), (&first, &first));
    assert_eq!(
        two.finding(&finding.fingerprint).await.unwrap().as_ref(),
        Some(&finding)
    );

    let second = start(&one, "2", &URLS).await;
    render(&one, &second, &[("cdn.test", Severity::Low)], 30).await;
    let seen = two.findings(&second).await.unwrap().remove(0);
    assert_eq!((seen.state, seen.severity), (FindingState::Seen, Severity::Low));
    assert_eq!((seen.first_seen, seen.last_seen), (at(10), at(30)));
    assert_eq!((&seen.first_scan, &seen.last_scan), (&first, &second));
    assert_eq!(seen.fingerprint, finding.fingerprint);
}

pub(crate) async fn wishes_are_few(one: Handle, _two: Handle) {
    let first = start(&one, "1", &URLS).await;
    render(
        &one,
        &first,
        &[("cdn.test", Severity::Medium), ("img.test", Severity::Low)],
        1,
    )
    .await;
    assert_eq!(wishes(&one).await, 2, "new");
    render(
        &one,
        &first,
        &[("cdn.test", Severity::Medium), ("img.test", Severity::Low)],
        2,
    )
    .await;
    assert_eq!(wishes(&one).await, 0, "one page more");
    render(
        &one,
        &first,
        &[("cdn.test", Severity::High), ("img.test", Severity::Info)],
        3,
    )
    .await;
    assert_eq!(wishes(&one).await, 1, "worse");

    let second = start(&one, "2", &URLS).await;
    for (now, expected) in [(4, 1), (5, 0), (6, 0)] {
        render(&one, &second, &[("cdn.test", Severity::High)], now).await;
        assert_eq!(wishes(&one).await, expected, "once a scan");
    }
}

pub(crate) async fn pages_of_findings_are_counted(one: Handle, two: Handle) {
    let scan = start(&one, "1", &URLS).await;
    for now in [1, 2] {
        // Two observations with one cause on one page are one page.
        render(
            &one,
            &scan,
            &[("cdn.test", Severity::Low), ("cdn.test", Severity::Low)],
            now,
        )
        .await;
    }
    render(&one, &scan, &[], 3).await;
    let finding = two.findings(&scan).await.unwrap().remove(0);
    let facts = observed("cdn.test", Severity::Low).facts;
    let row = |url: &str| FindingPage {
        url: url.to_owned(),
        facts: facts.clone(),
    };
    let all = two.finding_pages(&scan, &finding.fingerprint, 10).await.unwrap();
    assert_eq!(all, (vec![row(URLS[0]), row(URLS[1])], 2));
    let some = two.finding_pages(&scan, &finding.fingerprint, 1).await.unwrap();
    assert_eq!(some, (vec![row(URLS[0])], 2));
    let none = two
        .finding_pages(&ScanId("other".into()), &finding.fingerprint, 1)
        .await
        .unwrap();
    assert_eq!(none, (vec![], 0));
}

pub(crate) async fn unseen_findings_are_listed(one: Handle, _two: Handle) {
    let first = start(&one, "1", &URLS).await;
    render(
        &one,
        &first,
        &[("a.test", Severity::Low), ("b.test", Severity::High)],
        1,
    )
    .await;
    let blog = scan_of("blog", "b", 0);
    one.create_scan(&blog, &[page("https://blog.test/", 0)]).await.unwrap();
    render(&one, &blog.id, &[("other.test", Severity::High)], 1).await;

    let second = start(&one, "2", &URLS).await;
    render(&one, &second, &[("a.test", Severity::Low)], 2).await;
    let unseen = one.unseen_findings(&second).await.unwrap();
    assert_eq!(unseen.len(), 1, "of this site only");
    assert_eq!(unseen[0].title, "Insecure script from b.test");
    assert!(one.unseen_findings(&first).await.unwrap().is_empty());
}

pub(crate) async fn findings_are_sorted(one: Handle, _two: Handle) {
    let scan = start(&one, "1", &URLS).await;
    let seen = [
        ("b.test", Severity::Low),
        ("c.test", Severity::Critical),
        ("a.test", Severity::Low),
    ];
    render(&one, &scan, &seen, 1).await;
    let findings = one.findings(&scan).await.unwrap();
    let hosts: Vec<_> = findings
        .iter()
        .map(|finding| finding.cause.parts["host"].as_str())
        .collect();
    assert_eq!(hosts, ["c.test", "a.test", "b.test"]);
}

pub(crate) async fn dropped_redirects_leave_no_findings(one: Handle, _two: Handle) {
    let scan = start(&one, "1", &URLS[..2]).await;
    let (from, to) = (lease_one(&one, &scan, 0).await, lease_one(&one, &scan, 0).await);
    let seen = || [observed("cdn.test", Severity::High)];
    let redirected = Rendered::done(&from).observing(seen()).redirected(URLS[1]);
    assert!(redirected.record(&one, 1).await);
    assert!(
        one.findings(&scan).await.unwrap().is_empty(),
        "the target is being looked at"
    );
    assert_eq!(one.evidence(&scan, &from.key).await.unwrap(), None);
    assert!(Rendered::done(&to).observing(seen()).record(&one, 2).await);
    let finding = one.findings(&scan).await.unwrap().remove(0);
    let (pages, count) = one.finding_pages(&scan, &finding.fingerprint, 9).await.unwrap();
    assert_eq!((pages[0].url.as_str(), count), (URLS[1], 1));
}
