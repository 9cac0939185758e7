//! The end of a scan, suppressions, aliases and what is remembered of findings.

use jiff::Timestamp;
use phantom_checks::{Cause, Severity};

use super::{Handle, Rendered, at, lease_one, observed, page, scan_of, start};
use crate::crawl::PageState;
use crate::scan::{ScanClose, ScanId, ScanState, Trigger};
use crate::site::SiteId;
use crate::tickets::{ActionKind, ActionRecord, ActionState, TicketLink};
use crate::triage::{
    Coverage, DecidedIn, Decision, Finding, FindingState, Fingerprint, Judgement, Suppression, SuppressionScope, Why,
    reached, retired,
};

const URLS: [&str; 4] = [
    "https://shop.test/a",
    "https://shop.test/b",
    "https://shop.test/blog/2009/c",
    "https://shop.test/blog/2009/d",
];

/// A scan that sees these hosts on these pages, and its findings.
async fn scan(store: &Handle, id: &str, urls: &[&str], hosts: &[&str], now: i64) -> (ScanId, Vec<Finding>) {
    let pages: Vec<_> = urls.iter().map(|url| page(url, 0)).collect();
    let scan = scan_of("shop", id, now).id;
    store.create_scan(&scan_of("shop", id, now), &pages).await.unwrap();
    for _ in urls {
        let lease = lease_one(store, &scan, now).await;
        let seen = hosts.iter().map(|host| observed(host, Severity::High));
        assert!(Rendered::done(&lease).observing(seen).record(store, now).await);
    }
    let findings = store.findings(&scan).await.unwrap();
    (scan, findings)
}

async fn close(store: &Handle, scan: &ScanId, judgements: &[Judgement], now: i64) -> u64 {
    let close = ScanClose {
        scan,
        owner: None,
        state: ScanState::Complete,
        ended: at(now),
        remarks: &["said".to_owned()],
        coverage: &Coverage {
            whole: true,
            pages: u64::try_from(now).unwrap(),
            ..Coverage::default()
        },
        judgements,
    };
    store.close_scan(&close).await.unwrap().unwrap()
}

fn judged(finding: &Finding, state: FindingState) -> Judgement {
    let mut after = finding.clone();
    after.state = state;
    after.past.clean_scans = 2;
    Judgement {
        before: finding.clone(),
        after,
        why: Why::Proved { clean: 2 },
    }
}

async fn due(store: &Handle) -> Vec<Fingerprint> {
    let due = store.due_intents(at(1_000_000), 100, None).await.unwrap();
    for intent in &due {
        store.finish_intent(intent).await.unwrap();
    }
    due.into_iter().map(|intent| intent.fingerprint).collect()
}

async fn state(store: &Handle, fingerprint: &Fingerprint) -> FindingState {
    store.finding(fingerprint).await.unwrap().unwrap().state
}

pub(crate) async fn ends_of_scans_are_recorded_at_once(one: Handle, two: Handle) {
    let (_, findings) = scan(&one, "1", &URLS[..1], &["a.test", "b.test"], 10).await;
    let (second, _) = scan(&one, "2", &URLS[..1], &[], 20).await;
    assert_eq!(due(&one).await.len(), 2);
    let fixed = judged(&findings[0], FindingState::Fixed);
    let mut counted = judged(&findings[1], FindingState::New);
    counted.after.past.clean_scans = 1;
    assert_eq!(close(&one, &second, &[fixed.clone(), counted.clone()], 30).await, 1);

    let record = two.scan(&second).await.unwrap().unwrap();
    assert_eq!((record.state, record.ended), (ScanState::Complete, Some(at(30))));
    assert_eq!(record.remarks, ["said"]);
    for judgement in [&fixed, &counted] {
        let kept = two.finding(&judgement.after.fingerprint).await.unwrap();
        assert_eq!(kept.as_ref(), Some(&judgement.after));
    }
    assert_eq!(
        due(&two).await,
        std::slice::from_ref(&fixed.after.fingerprint),
        "only what changed wishes"
    );
    let events = two.finding_events(&fixed.after.fingerprint).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.from,
                event.to,
                event.at,
                event.scan.as_ref().map(|scan| scan.0.as_str()),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (None, FindingState::New, at(10), Some("1")),
            (Some(FindingState::New), FindingState::Fixed, at(30), Some("2"))
        ]
    );
    assert_eq!(events[1].why, "2 clean scans in a row did not see it");

    let (_, again) = scan(&one, "3", &URLS[..1], &["a.test", "b.test"], 40).await;
    let back = again
        .iter()
        .find(|one| one.fingerprint == fixed.after.fingerprint)
        .unwrap();
    assert_eq!((back.state, back.past.clean_scans), (FindingState::Regressed, 0));
    assert_eq!(back.past.regressed, Some(at(40)));
}

pub(crate) async fn judgements_of_the_past_change_nothing(one: Handle, two: Handle) {
    let (_, findings) = scan(&one, "1", &URLS[..1], &["a.test"], 10).await;
    let stale = judged(&findings[0], FindingState::Fixed);
    let (second, _) = scan(&two, "2", &URLS[..1], &["a.test"], 20).await;
    assert_eq!(close(&one, &second, &[stale], 30).await, 0);
    assert_eq!(state(&one, &findings[0].fingerprint).await, FindingState::Seen);
}

pub(crate) async fn pages_say_how_they_were_seen(one: Handle, two: Handle) {
    let id = scan_of("shop", "1", 0);
    let pages: Vec<_> = URLS.iter().map(|url| page(url, 0)).collect();
    one.create_scan(&id, &pages).await.unwrap();
    let (a, b, c) = (
        lease_one(&one, &id.id, 0).await,
        lease_one(&one, &id.id, 0).await,
        lease_one(&one, &id.id, 0).await,
    );
    let mut good = Rendered::done(&a);
    good.evidence.as_mut().unwrap().page.status = Some(200);
    good.evidence.as_mut().unwrap().forms = vec![phantom_checks::evidence::Form::default()];
    assert!(good.record(&one, 1).await);
    let mut partial = Rendered::done(&b);
    partial.evidence.as_mut().unwrap().gaps = vec!["a frame was lost".to_owned()];
    partial.failed_checks = vec!["mixed-content".to_owned()];
    partial.obstacle = Some("a challenge".to_owned());
    assert!(partial.record(&one, 1).await);
    assert!(
        Rendered::done(&c)
            .redirected("https://shop.test/login")
            .record(&one, 1)
            .await
    );

    let looks = two.page_looks(&id.id).await.unwrap();
    let look = |url: &str| looks.iter().find(|look| look.url == url).unwrap();
    let (a, b) = (look(URLS[0]), look(URLS[1]));
    assert_eq!(
        (a.state, a.full, a.status, a.forms),
        (PageState::Done, true, Some(200), 1)
    );
    assert_eq!(
        (b.full, b.failed_checks.as_slice()),
        (false, ["mixed-content".to_owned()].as_slice())
    );
    assert_eq!((&a.obstacle, b.obstacle.as_deref()), (&None, Some("a challenge")));
    assert!(look(URLS[2]).redirected);
    assert_eq!(look(URLS[3]).state, PageState::Waiting);
    let target = look("https://shop.test/login");
    assert!(reached(target));
}

pub(crate) async fn coverage_is_kept_of_whole_scans(one: Handle, two: Handle) {
    for (id, now) in [("1", 10), ("2", 20), ("3", 30)] {
        let (scan, _) = scan(&one, id, &[], &[], now).await;
        close(&one, &scan, &[], now).await;
    }
    let pages = async |but: &str, limit| {
        let site = SiteId("shop".into());
        let all = two.coverages(&site, &ScanId(but.into()), limit).await.unwrap();
        all.into_iter().map(|one| one.pages).collect::<Vec<_>>()
    };
    assert_eq!(pages("none", 9).await, [30, 20, 10]);
    assert_eq!(pages("3", 1).await, [20]);
    let (part, _) = scan(&one, "4", &[], &[], 40).await;
    let coverage = Coverage::default();
    let close = ScanClose {
        scan: &part,
        owner: None,
        state: ScanState::Complete,
        ended: at(40),
        remarks: &[],
        coverage: &coverage,
        judgements: &[],
    };
    one.close_scan(&close).await.unwrap();
    assert_eq!(
        pages("none", 1).await,
        [30],
        "a part of the site is nothing to compare with"
    );
}

fn decision(scope: SuppressionScope) -> Suppression {
    Suppression::new(scope, Decision::WontFix, "accepted", "me@shop.test", at(0))
}

pub(crate) async fn suppressions_hold_until_lifted(one: Handle, two: Handle) {
    let (_, findings) = scan(&one, "1", &URLS[..2], &["a.test", "b.test"], 10).await;
    due(&one).await;
    let (a, b) = (&findings[0].fingerprint, &findings[1].fingerprint);
    let suppression = decision(SuppressionScope::finding(a.clone())).about(&findings[0]);
    assert_eq!(one.suppress(&suppression, at(15)).await.unwrap(), 1);
    assert_eq!(one.suppress(&suppression, at(16)).await.unwrap(), 0, "once is enough");
    assert_eq!(
        (state(&two, a).await, state(&two, b).await),
        (FindingState::Suppressed, FindingState::New)
    );
    let kept = two.suppressions().await.unwrap();
    assert_eq!(
        kept,
        [Suppression {
            matched: Some(at(15)),
            ..suppression.clone()
        }]
    );
    due(&one).await;

    scan(&one, "2", &URLS[..2], &["a.test", "b.test"], 20).await;
    assert_eq!(state(&two, a).await, FindingState::Suppressed);
    let mut wished = due(&one).await;
    wished.sort();
    let mut both = vec![a.clone(), b.clone()];
    both.sort();
    assert_eq!(wished, both, "a decision in a ticket may have been taken back");

    assert!(two.lift_suppression(&suppression.id, "you", at(25)).await.unwrap());
    assert!(!two.lift_suppression(&suppression.id, "you", at(26)).await.unwrap());
    assert_eq!(state(&one, a).await, FindingState::Seen);
    assert_eq!(due(&one).await, std::slice::from_ref(a));
    assert!(one.suppressions().await.unwrap().is_empty());
    let why: Vec<_> = one
        .finding_events(a)
        .await
        .unwrap()
        .into_iter()
        .map(|event| event.why)
        .collect();
    assert_eq!(why[1], "won't fix by me@shop.test: accepted");
    assert_eq!(why[2], format!("you lifted the suppression {}", suppression.id));

    assert_eq!(two.suppress(&suppression, at(30)).await.unwrap(), 1, "decided again");
    scan(&one, "3", &[], &[], 40).await;
    two.lift_suppression(&suppression.id, "you", at(45)).await.unwrap();
    assert_eq!(
        state(&one, a).await,
        FindingState::NotObserved,
        "the last scan did not see it"
    );
}

pub(crate) async fn suppressions_of_files_follow_the_file(one: Handle, two: Handle) {
    let site = SiteId("shop".into());
    let said = Suppression {
        decided_in: DecidedIn::SiteFile,
        ..decision(SuppressionScope {
            check: Some("mixed-content".into()),
            site: Some(site.clone()),
            ..SuppressionScope::default()
        })
    }
    .identified();
    one.set_file_suppressions(&site, std::slice::from_ref(&said), at(0))
        .await
        .unwrap();
    let later = Suppression {
        created: at(5),
        ..said.clone()
    };
    two.set_file_suppressions(&site, &[later], at(5)).await.unwrap();
    assert_eq!(
        two.suppressions().await.unwrap()[0].created,
        at(0),
        "it was decided once"
    );
    let (_, findings) = scan(&one, "1", &URLS[..1], &["a.test"], 10).await;
    assert_eq!(findings[0].state, FindingState::Suppressed);
    assert_eq!(findings[0].past.suppressed_by.as_ref(), Some(&said.id));
    one.set_file_suppressions(&SiteId("blog".into()), &[], at(15))
        .await
        .unwrap();
    assert_eq!(
        one.suppressions().await.unwrap().len(),
        1,
        "other sites' files are left alone"
    );
    one.set_file_suppressions(&site, &[], at(15)).await.unwrap();
    assert!(two.suppressions().await.unwrap().is_empty());
    let (_, findings) = scan(&one, "2", &URLS[..1], &["a.test"], 20).await;
    assert_eq!(
        (findings[0].state, findings[0].past.suppressed_by.as_ref()),
        (FindingState::Seen, None)
    );
}

pub(crate) async fn covered_findings_wish_for_nothing(one: Handle, _two: Handle) {
    let host = SuppressionScope {
        host: Some("a.*".into()),
        ..SuppressionScope::default()
    };
    one.suppress(&decision(host), at(0)).await.unwrap();
    let (_, findings) = scan(&one, "1", &URLS[..2], &["a.test", "b.test"], 10).await;
    let states: Vec<_> = findings.iter().map(|finding| finding.state).collect();
    assert_eq!(states, [FindingState::Suppressed, FindingState::New]);
    assert_eq!(due(&one).await, std::slice::from_ref(&findings[1].fingerprint));
    assert_eq!(one.suppressions().await.unwrap()[0].matched, Some(at(10)));
}

pub(crate) async fn suppressions_by_page_ask_for_every_page(one: Handle, _two: Handle) {
    let old = decision(SuppressionScope {
        pages: vec!["/blog/2009/**".into()],
        ..SuppressionScope::default()
    });
    one.suppress(&old, at(0)).await.unwrap();
    let (_, findings) = scan(&one, "1", &URLS[2..], &["a.test"], 10).await;
    assert_eq!(findings[0].state, FindingState::Suppressed);
    let (_, findings) = scan(&one, "2", &URLS, &["a.test"], 20).await;
    assert_eq!(findings[0].state, FindingState::Seen);
    assert_eq!(one.suppress(&old, at(25)).await.unwrap(), 0, "it is elsewhere, too");
    scan(&one, "3", &URLS[2..], &["b.test"], 30).await;
    let other = decision(SuppressionScope {
        pages: vec!["/blog/**".into()],
        ..SuppressionScope::default()
    });
    one.lift_suppression(&old.id, "me", at(31)).await.unwrap();
    assert_eq!(one.suppress(&other, at(35)).await.unwrap(), 1, "where it was seen last");
}

pub(crate) async fn aliases_are_adopted_once(one: Handle, two: Handle) {
    let (first, findings) = scan(&one, "1", &URLS[..1], &["a.test"], 10).await;
    let old = findings[0].fingerprint.clone();
    let link = TicketLink {
        fingerprint: old.clone(),
        generation: 1,
        issue_id: "1".into(),
        issue_key: "SEC-1".into(),
        linked: at(11),
        closed: None,
    };
    one.link_ticket(&link).await.unwrap();
    let action = ActionRecord {
        key: format!("{old}/1/create"),
        fingerprint: old.clone(),
        generation: 1,
        kind: ActionKind::Create,
        state: ActionState::Sent,
        at: at(11),
        error: None,
        detail: None,
    };
    one.record_action(&action).await.unwrap();
    one.suppress(&decision(SuppressionScope::finding(old.clone())), at(12))
        .await
        .unwrap();

    let anew = |host: &str| {
        let mut seen = observed(host, Severity::High);
        seen.aliases = vec![Cause::new(1, [("host", "a.test".to_owned())])];
        seen.cause = Cause::new(2, [("host", host.to_owned())]);
        seen
    };
    let renamed = scan_of("shop", "1b", 15);
    one.create_scan(&renamed, &[page(URLS[0], 0)]).await.unwrap();
    let lease = lease_one(&one, &renamed.id, 15).await;
    assert!(
        Rendered::done(&lease)
            .observing([anew("a.test")])
            .record(&one, 15)
            .await
    );
    let kept = one.findings(&renamed.id).await.unwrap();
    assert_eq!(
        (kept.len(), kept[0].state),
        (1, FindingState::Suppressed),
        "what was decided of it holds"
    );

    let second = scan_of("shop", "2", 20).id;
    one.create_scan(&scan_of("shop", "2", 20), &[page(URLS[0], 0), page(URLS[1], 0)])
        .await
        .unwrap();
    for _ in 0..2 {
        let lease = lease_one(&one, &second, 20).await;
        let seen = [anew("a.test"), anew("b.test")];
        assert!(Rendered::done(&lease).observing(seen).record(&one, 20).await);
    }
    let all = two.all_findings(Some(&SiteId("shop".into()))).await.unwrap();
    assert_eq!(all.len(), 2, "{all:#?}");
    let adopted = all.iter().find(|finding| !finding.past.aliases.is_empty()).unwrap();
    let new = all.iter().find(|finding| finding.past.aliases.is_empty()).unwrap();
    assert_eq!(adopted.past.aliases, std::slice::from_ref(&old));
    assert_eq!((&adopted.first_scan, adopted.first_seen), (&first, at(10)));
    assert_eq!(
        (adopted.state, new.state),
        (FindingState::Seen, FindingState::New),
        "not of its parts"
    );
    assert_eq!(
        (&new.past.parent, &adopted.past.parent),
        (&Some(adopted.fingerprint.clone()), &None)
    );
    assert!(two.suppressions().await.unwrap().is_empty());
    assert!(two.finding(&old).await.unwrap().is_none());
    let moved = two.ticket(&adopted.fingerprint).await.unwrap().unwrap();
    assert_eq!(moved.issue_key, "SEC-1");
    assert!(two.ticket(&new.fingerprint).await.unwrap().is_none());
    let key = format!("{}/1/create", adopted.fingerprint);
    assert_eq!(
        two.action(&key).await.unwrap().unwrap().fingerprint,
        adopted.fingerprint
    );
    let (pages, _) = two.finding_pages(&first, &adopted.fingerprint, 9).await.unwrap();
    assert_eq!(pages.len(), 1, "earlier scans know it under its new name");
    let events = two.finding_events(&adopted.fingerprint).await.unwrap();
    assert!(events.iter().any(|event| event.why.contains(&old.0)), "{events:#?}");
}

pub(crate) async fn witnesses_are_pinned(one: Handle, two: Handle) {
    let (first, findings) = scan(&one, "1", &URLS, &["a.test"], 10).await;
    let pinned: Vec<_> = findings[0].past.witnesses.iter().map(|one| one.url.as_str()).collect();
    assert_eq!(pinned, &URLS[..3]);
    let (second, _) = scan(&one, "2", &URLS[1..], &["a.test"], 20).await;
    let past = two.finding(&findings[0].fingerprint).await.unwrap().unwrap().past;
    let pinned: Vec<_> = past.witnesses.iter().map(|one| (one.url.as_str(), &one.scan)).collect();
    assert_eq!(pinned, [(URLS[0], &first), (URLS[1], &second), (URLS[2], &second)]);
    assert_eq!(past.worst, Some(Severity::High));
}

pub(crate) async fn looks_change_nothing(one: Handle, two: Handle) {
    let (first, findings) = scan(&one, "1", &URLS[..1], &["a.test"], 10).await;
    close(&one, &first, &[], 15).await;
    assert_eq!(due(&one).await.len(), 1);
    let (before, known) = (findings[0].clone(), findings[0].fingerprint.clone());
    let events = two.finding_events(&known).await.unwrap();

    let mut look = scan_of("shop", "2", 20);
    look.trigger = Trigger::Verify;
    one.create_scan(&look, &[page(URLS[0], 0), page(URLS[1], 0)])
        .await
        .unwrap();
    for _ in 0..2 {
        let lease = lease_one(&one, &look.id, 20).await;
        let mut anew = observed("a.test", Severity::Low);
        let parts = ["x", "y"].map(|part| {
            anew.aliases = vec![observed("a.test", Severity::Low).cause];
            anew.cause = Cause::new(2, [("part", part.to_owned())]);
            anew.clone()
        });
        let seen = parts.into_iter().chain([observed("b.test", Severity::High)]);
        assert!(Rendered::done(&lease).observing(seen).record(&one, 20).await);
    }
    let (pages, count) = two.finding_pages(&look.id, &known, 9).await.unwrap();
    let urls: Vec<_> = pages.iter().map(|page| page.url.as_str()).collect();
    assert_eq!((urls.as_slice(), count), (&URLS[..2], 2), "where it was seen");
    assert_eq!(two.all_findings(None).await.unwrap(), std::slice::from_ref(&before));
    assert_eq!(two.finding_events(&known).await.unwrap(), events);
    assert!(due(&two).await.is_empty());
    assert!(two.unfinished_scan(None).await.unwrap().is_none());
    let newest = two.newest_scan(Some(&before.site)).await.unwrap();
    assert_eq!(newest.map(|record| record.id), Some(first.clone()));
    one.prune_evidence(1, at(0)).await.unwrap();
    let key = page(URLS[0], 0).key;
    assert!(
        two.evidence(&first, &key).await.unwrap().is_some(),
        "a look pushes no scan out"
    );
}

pub(crate) async fn people_withdraw_findings(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    let lease = lease_one(&one, &scan, 0).await;
    let seen = [observed("a.test", Severity::High), observed("b.test", Severity::Low)];
    assert!(Rendered::done(&lease).observing(seen).record(&one, 1).await);
    for intent in one.due_intents(Timestamp::MAX, 10, None).await.unwrap() {
        one.finish_intent(&intent).await.unwrap();
    }
    let findings = one.findings(&scan).await.unwrap();
    let mut judgements: Vec<_> = findings.iter().filter_map(|finding| retired(finding, at(5))).collect();
    assert_eq!(judgements.len(), 2);
    // Somebody knew more of the second one.
    judgements[1].before.past.clean_scans += 1;
    assert_eq!(two.judge(&judgements, at(5)).await.unwrap(), 1);
    let withdrawn = one.finding(&findings[0].fingerprint).await.unwrap().unwrap();
    assert_eq!(
        (withdrawn.state, withdrawn.past.withdrawn),
        (FindingState::Withdrawn, Some(at(5)))
    );
    assert!(retired(&withdrawn, at(6)).is_none());
    let told = one.finding_events(&withdrawn.fingerprint).await.unwrap();
    let last = told.last().unwrap();
    assert_eq!((last.to, last.scan.as_ref()), (FindingState::Withdrawn, None));
    assert_eq!(last.why, "the site is no longer scanned");
    let other = one.finding(&findings[1].fingerprint).await.unwrap().unwrap();
    assert_eq!(other, findings[1]);
    let wishes = one.due_intents(Timestamp::MAX, 10, None).await.unwrap();
    assert_eq!(wishes.len(), 1);
    assert_eq!(wishes[0].fingerprint, withdrawn.fingerprint);
}
