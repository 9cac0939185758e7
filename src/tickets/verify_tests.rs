use super::*;
use crate::sandbox::Faults;
use crate::scan::{PageVerdict, ScanId};
use crate::tickets::life_tests::{Nights, cut_off};
use crate::tickets::testing::finding;
use crate::triage::FindingState;
use phantom_checks::Severity;

fn link(number: u32, generation: u32, key: &str) -> TicketLink {
    TicketLink {
        fingerprint: finding(number).fingerprint,
        generation,
        issue_id: format!("1000{generation}"),
        issue_key: key.to_owned(),
        linked: jiff::Timestamp::UNIX_EPOCH,
        closed: None,
    }
}

fn look(presence: Presence) -> Verified {
    let one = finding(1);
    Verified {
        fingerprint: one.fingerprint,
        site: one.site,
        check: one.check,
        title: one.title,
        scan: Some(ScanId("s9".to_owned())),
        at: "2026-11-24T08:00:00Z".parse().unwrap(),
        presence,
        why: (presence == Presence::CouldNotReach).then(|| "the server answered 500".to_owned()),
        pages: vec![PageVerdict {
            url: "https://shop.test/{code}[~admin]".to_owned(),
            presence,
            why: None,
        }],
    }
}

#[test]
fn a_finding_is_meant_by_key_by_fingerprint_and_by_its_first_digits() {
    let mut all = [finding(1), finding(2), finding(3)];
    let old = "0123456789abcdef0123456789abcdef".to_owned();
    all[2].past.aliases = vec![Fingerprint(old.clone())];
    let notice = TicketLink {
        fingerprint: Fingerprint("f".repeat(32)),
        ..link(1, 1, "SEC-9")
    };
    let links = [link(1, 1, "SEC-1"), link(1, 2, "SEC-5"), link(2, 1, "OPS-1"), notice];
    let means = |asked: &str| one_of(asked, &all, &links).map(|one| one.fingerprint);
    for asked in ["SEC-1", "sec-5", &all[0].fingerprint.0, all[0].fingerprint.short()] {
        assert_eq!(means(asked).unwrap(), all[0].fingerprint, "{asked}");
    }
    assert_eq!(means("OPS-1").unwrap(), all[1].fingerprint);
    assert_eq!(
        means(&old[..12]).unwrap(),
        all[2].fingerprint,
        "as a ticket may still show it"
    );

    for (asked, what_to_do) in [
        ("SEC-77", "no ticket SEC-77 is known here; `phantom tickets list`"),
        ("SEC-9", "a notice of the scanner itself"),
        ("zzz", "`phantom findings list`"),
        ("", "no finding has a fingerprint"),
    ] {
        let error = means(asked).unwrap_err().to_string();
        assert!(error.contains(what_to_do), "{asked}: {error}");
    }
}

#[test]
fn what_may_mean_several_is_asked_back() {
    let (one, mut other) = (finding(1), finding(2));
    other.fingerprint.0 = format!("{}0", &one.fingerprint.0[..31]);
    let asked = one.fingerprint.short().to_owned();
    let error = one_of(&asked, &[one.clone(), other.clone()], &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("any of 2 findings") && error.contains(&other.fingerprint.0),
        "{error}"
    );
    assert!(error.contains("write more digits"), "{error}");
    assert_eq!(one_of(&one.fingerprint.0, &[one.clone(), other], &[]).unwrap(), one);
}

#[test]
fn an_answer_is_given_again_when_it_changes() {
    let mut one = finding(1);
    let mut actions: Vec<ActionRecord> = Vec::new();
    let mut answer = |one: &Finding, presence: Presence| {
        let record = recorded(one, &look(presence), &actions, 1);
        let known = actions.iter().any(|action| action.key == record.key);
        if !known {
            actions.push(ActionRecord {
                key: record.key,
                fingerprint: record.fingerprint,
                generation: 1,
                kind: record.kind,
                state: ActionState::Sent,
                at: one.last_seen,
                error: None,
                detail: record.detail,
            });
        }
        !known
    };
    for (presence, fresh) in [
        (Presence::StillThere, true),
        (Presence::StillThere, false),
        (Presence::Gone, true),
        (Presence::Gone, false),
        (Presence::StillThere, true),
        (Presence::Gone, true),
    ] {
        assert_eq!(answer(&one, presence), fresh, "{presence}");
    }
    one.last_seen += jiff::SignedDuration::from_hours(24);
    assert!(answer(&one, Presence::Gone), "a scan has seen it since");
}

#[tokio::test]
async fn a_ticket_says_it_once_and_stays_as_it_is() {
    for deployment in [crate::config::Deployment::Cloud, crate::config::Deployment::DataCenter] {
        let nights = Nights::new(deployment).await;
        let one = finding(1);
        let gone = look(Presence::Gone);
        assert_eq!(
            nights.worker().say_verified(&one, &gone).await.unwrap(),
            Commented::NoTicket
        );
        nights.night(FindingState::New).await;
        let one = nights.store.finding_now(1);
        let before = nights.issue("SEC-1");

        let key = || "SEC-1".to_owned();
        let said = nights.worker().say_verified(&one, &gone).await.unwrap();
        assert_eq!(said, Commented::Said { key: key() });
        let said = nights.worker().say_verified(&one, &gone).await.unwrap();
        assert_eq!(said, Commented::SaidBefore { key: key() });
        let comments = nights.comments("SEC-1");
        assert_eq!(comments.len(), 1, "{comments:?}");
        assert!(comments[0].starts_with("Gone on 2026-11-24 08:00 UTC"), "{comments:?}");
        assert!(
            comments[0].contains("https://shop.test/{code}[~admin]"),
            "text stays text: {comments:?}"
        );
        assert!(comments[0].contains("phantom verify SEC-1"), "{comments:?}");
        let after = nights.issue("SEC-1");
        assert_eq!((after.status, after.description), (before.status, before.description));
        assert_eq!(nights.store.finding_now(1), one);
        assert_eq!(nights.store.intent_count(None).await.unwrap(), 0, "no wish is left");
    }
}

#[tokio::test]
async fn what_could_not_be_said_waits_and_is_said_once() {
    let lost = Faults {
        drop_changes: 1,
        ..Faults::default()
    };
    let down = Faults {
        server_errors: 1,
        ..Faults::default()
    };
    for faults in [down, lost] {
        let nights = Nights::new(crate::config::Deployment::Cloud).await;
        nights.night(FindingState::New).await;
        let one = nights.store.finding_now(1);
        nights.sandbox.set_faults(faults);
        let said = nights.worker().say_verified(&one, &look(Presence::StillThere)).await;
        let Commented::Waits { why, .. } = said.unwrap() else {
            panic!("Jira did not answer: {faults:?}");
        };
        assert!(!why.is_empty());
        nights.run().await;
        let comments = nights.comments("SEC-1");
        assert_eq!(comments.len(), 1, "{faults:?}: {comments:?}");
        assert!(comments[0].starts_with("Still there on"), "{comments:?}");
        let said = nights.worker().say_verified(&one, &look(Presence::StillThere)).await;
        assert_eq!(
            said.unwrap(),
            Commented::SaidBefore {
                key: "SEC-1".to_owned()
            }
        );
    }
}

#[tokio::test]
async fn a_ticket_that_is_gone_is_told() {
    let nights = Nights::new(crate::config::Deployment::Cloud).await;
    nights.put(1, FindingState::New, Severity::High);
    nights.run().await;
    let one = nights.store.finding_now(1);
    assert!(nights.sandbox.person().delete("SEC-1"));
    let said = nights.worker().say_verified(&one, &look(Presence::Gone)).await.unwrap();
    assert_eq!(
        said,
        Commented::Gone {
            key: "SEC-1".to_owned()
        }
    );
    let words = Verified {
        pages: Vec::new(),
        ..look(Presence::CouldNotReach)
    };
    let blocks = super::said(&words, "SEC-1");
    assert_eq!(blocks.len(), 2);
    assert!(matches!(&blocks[0], Block::Paragraph(run) if run[0].as_text().contains("the server answered 500")));
}

#[tokio::test]
async fn while_another_process_files_it_waits() {
    let nights = Nights::new(crate::config::Deployment::Cloud).await;
    nights.night(FindingState::New).await;
    let one = nights.store.finding_now(1);
    let now = crate::tickets::Clock::now(&*nights.clock);
    let until = now + jiff::SignedDuration::from_secs(30);
    assert!(nights.store.lease_outbox("another", now, until).await.unwrap());
    let said = nights.worker().say_verified(&one, &look(Presence::Gone)).await.unwrap();
    assert!(
        matches!(&said, Commented::Waits { why, .. } if why.contains("another process")),
        "{said:?}"
    );
    assert!(nights.comments("SEC-1").is_empty());
    nights.store.release_outbox("another").await.unwrap();
    nights.run().await;
    assert_eq!(nights.comments("SEC-1").len(), 1);
    assert_eq!(nights.store.intent_count(None).await.unwrap(), 0);
}

/// A process that ends at any moment loses no comment, and doubles none.
#[tokio::test]
async fn a_comment_survives_the_end_of_its_process() {
    let answer = look(Presence::Gone);
    for cut in 1..400 {
        let nights = Nights::new(crate::config::Deployment::Cloud).await;
        nights.night(FindingState::New).await;
        let one = nights.store.finding_now(1);
        let worker = nights.worker();
        let whole = cut_off(worker.say_verified(&one, &answer), cut).await;
        drop(worker);
        nights.sandbox.quiet().await;
        // The lease of the one that ended runs out meanwhile.
        nights.run().await;
        let (comments, begun) = (
            nights.comments("SEC-1").len(),
            nights.store.actions(&one.fingerprint).await.unwrap(),
        );
        let begun = begun.iter().any(|action| action.key.contains(OCCASION));
        assert_eq!(comments, usize::from(begun), "cut after {cut} polls");
        assert_eq!(nights.store.intent_count(None).await.unwrap(), 0, "{cut}");
        nights.worker().say_verified(&one, &answer).await.unwrap();
        assert_eq!(nights.comments("SEC-1").len(), 1, "cut after {cut} polls");
        if whole {
            assert!(cut > 20, "{cut}");
            return;
        }
    }
    panic!("it never ended by itself");
}
