//! Many processes on one scan, and the log of what people did.

use std::time::Duration;

use super::{Handle, Rendered, ask, at, counted, lease_one, page, scan_of, start};
use crate::crawl::Turn;
use crate::scan::{
    AuditEntry, Beat, Pulse, ScanClose, ScanId, ScanOwner, ScanRecord, ScanState, Standing, Trigger, WhichScans, Wish,
};
use crate::site::SiteId;
use crate::triage::Coverage;

fn pulse<'a>(scan: &'a ScanId, owner: &'a str, until: i64) -> Pulse<'a> {
    Pulse {
        scan,
        owner,
        held: &[],
        leases_until: at(until),
        scan_until: at(until),
        worked: Duration::ZERO,
    }
}

/// Who says that it lives keeps its pages and its scan; who does not loses both.
pub(crate) async fn the_living_keep_what_they_have(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/1", "https://shop.test/2"]).await;
    let fresh = two.scan_lines(WhichScans::Running, 9).await.unwrap();
    assert!(!fresh[0].is_orphan(at(300_000)), "it is about to be taken");
    assert!(fresh[0].is_orphan(at(300_001)), "who made it is gone");
    assert!(
        one.hand_over_scan(&scan, None, Some("elsewhere:1:1"), at(1000))
            .await
            .unwrap()
    );
    let lease = lease_one(&one, &scan, 0).await;
    let held = [lease.token.clone()];
    let mine = Pulse {
        held: &held,
        ..pulse(&scan, "me", 5000)
    };
    let beat = one.beat(&mine).await.unwrap();
    let helper = Beat {
        owned: false,
        state: ScanState::Running,
        wish: None,
        worked: Duration::ZERO,
    };
    assert_eq!(beat, helper, "a helper keeps its page");
    assert!(one.beat(&pulse(&scan, "elsewhere:1:1", 4000)).await.unwrap().owned);
    let others = two.lease(&ask(&scan, "you", 9, 3999)).await.unwrap();
    assert_eq!(others.len(), 1, "the other page alone");
    let line = two.scan_lines(WhichScans::Running, 9).await.unwrap().remove(0);
    assert_eq!((line.owner_until, line.counts.leased), (Some(at(4000)), 2));
    assert!(!line.is_orphan(at(3999)) && line.is_orphan(at(4000)));
    assert!(
        two.hand_over_scan(&scan, Some("elsewhere:1:1"), Some("you"), at(9000))
            .await
            .unwrap()
    );
    assert!(
        !one.beat(&pulse(&scan, "elsewhere:1:1", 8000)).await.unwrap().owned,
        "it is too late"
    );
    let back = two.lease(&ask(&scan, "you", 9, 5000)).await.unwrap();
    assert!(back.iter().any(|page| page.key == lease.key), "the helper was silent");
}

/// A lease whose answer was lost, and a page that a crash of the database has brought back, are held by nobody.
pub(crate) async fn what_nobody_holds_goes_back(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/1", "https://shop.test/2"]).await;
    let known = lease_one(&one, &scan, 0).await;
    let lost = lease_one(&one, &scan, 0).await;
    let held = [known.token.clone()];
    let mine = Pulse {
        held: &held,
        ..pulse(&scan, "me", 5000)
    };
    let others = lease_one(&two, &start(&one, "t", &["https://help.test/"]).await, 0).await;
    one.beat(&mine).await.unwrap();
    assert_eq!(counted(&one, &scan).await, [1, 1, 0, 0, 0]);
    assert_eq!(counted(&one, &others.scan).await, [0, 1, 0, 0, 0], "of this scan alone");
    let again = two.lease(&ask(&scan, "you", 9, 10)).await.unwrap();
    assert_eq!(again.iter().map(|lease| &lease.key).collect::<Vec<_>>(), [&lost.key]);
    assert!(!Rendered::done(&lost).record(&one, 1).await, "another has it");
    assert!(Rendered::done(&known).record(&one, 1).await);
    one.beat(&mine).await.unwrap();
    assert_eq!(
        counted(&one, &scan).await,
        [0, 1, 1, 0, 0],
        "what others hold stays theirs"
    );
}

/// The end of a scan is recorded by who has it, and by nobody else; what helpers said of it is kept.
pub(crate) async fn who_lost_a_scan_does_not_close_it(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    let lease = lease_one(&one, &scan, 0).await;
    assert!(Rendered::done(&lease).record(&one, 1).await);
    one.hand_over_scan(&scan, None, Some("you"), at(9000)).await.unwrap();
    two.add_remarks(&scan, &["helped".to_owned(), "both".to_owned()])
        .await
        .unwrap();
    let coverage = Coverage::default();
    let remarks = ["both".to_owned(), "mine".to_owned()];
    let close = |owner| ScanClose {
        scan: &scan,
        owner,
        state: ScanState::Complete,
        ended: at(40),
        remarks: &remarks,
        coverage: &coverage,
        judgements: &[],
    };
    assert_eq!(one.close_scan(&close(Some("me"))).await.unwrap(), None);
    assert_eq!(one.scan(&scan).await.unwrap().unwrap().state, ScanState::Running);
    assert_eq!(two.close_scan(&close(Some("you"))).await.unwrap(), Some(0));
    let record = one.scan(&scan).await.unwrap().unwrap();
    assert_eq!((record.state, record.ended), (ScanState::Complete, Some(at(40))));
    assert_eq!(record.remarks, ["both", "helped", "mine"]);
    assert!(one.scan_lines(WhichScans::Running, 9).await.unwrap().is_empty());
    assert_eq!(one.scan_lines(WhichScans::All, 9).await.unwrap().len(), 1);
}

/// A night's scan of a site is begun once, however many processes find that it is due.
pub(crate) async fn a_night_begins_once(one: Handle, two: Handle) {
    let of = |id: &str, started| {
        let mut scan = scan_of("shop", id, started);
        scan.trigger = Trigger::Nightly;
        scan
    };
    let pages = [page("https://shop.test/", 0)];
    let (first, second) = (of("a", 100), of("b", 101));
    let owner = ScanOwner {
        name: "elsewhere:1:1".to_owned(),
        until: Some(at(9000)),
    };
    let told = |scan: &ScanRecord| AuditEntry {
        at: scan.started,
        who: "schedule@elsewhere".to_owned(),
        what: "scan-started".to_owned(),
        subject: scan.id.0.clone(),
        why: None,
    };
    let (one_told, other_told) = (told(&first), told(&second));
    let (begun, too) = tokio::join!(
        one.create_nightly(&first, &pages, at(50), &owner, &one_told),
        two.create_nightly(&second, &pages, at(50), &owner, &other_told)
    );
    assert_ne!(begun.unwrap(), too.unwrap(), "one of them");
    let last = one.last_nightly(&SiteId("shop".to_owned())).await.unwrap().unwrap();
    assert_eq!(counted(&one, &last.id).await, [1, 0, 0, 0, 0]);
    assert_eq!(
        two.scan_owner(&last.id).await.unwrap(),
        Some(owner.clone()),
        "never nobody's"
    );
    assert!(
        one.create_nightly(&of("c", 300), &pages, at(200), &owner, &told(&of("c", 300)))
            .await
            .unwrap(),
        "the next night"
    );
    assert!(
        one.create_nightly(&of("c", 300), &pages, at(200), &owner, &told(&of("c", 300)))
            .await
            .unwrap(),
        "asked again, because the answer was lost"
    );
    let last = two.last_nightly(&SiteId("shop".to_owned())).await.unwrap().unwrap();
    assert_eq!(last.id.0, "c");
    let log = two.audit_log(9).await.unwrap();
    assert_eq!(log.len(), 2, "each night is told once: {log:#?}");
    assert_eq!(log[0].subject, "c");
    assert!(two.last_nightly(&SiteId("other".to_owned())).await.unwrap().is_none());
}

/// What a person wants of a scan reaches the process that has it.
pub(crate) async fn wishes_reach_a_scan(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    one.hand_over_scan(&scan, None, Some("me"), at(9000)).await.unwrap();
    assert!(two.set_wish(&scan, Some(Wish::Pause)).await.unwrap());
    assert_eq!(
        one.beat(&pulse(&scan, "me", 9000)).await.unwrap().wish,
        Some(Wish::Pause)
    );
    assert!(two.set_wish(&scan, None).await.unwrap());
    assert_eq!(one.beat(&pulse(&scan, "me", 9000)).await.unwrap().wish, None);
    one.set_scan_state(&scan, ScanState::Interrupted, Some(at(8)), &[])
        .await
        .unwrap();
    assert!(two.set_wish(&scan, Some(Wish::Stop)).await.unwrap(), "it could go on");
    one.set_scan_state(&scan, ScanState::Complete, Some(at(9)), &[])
        .await
        .unwrap();
    assert!(
        !two.set_wish(&scan, Some(Wish::Stop)).await.unwrap(),
        "it has come to its end"
    );
    assert!(
        !two.set_wish(&ScanId("none".to_owned()), Some(Wish::Stop))
            .await
            .unwrap()
    );
}

/// A scan that a person let wait stays open, and goes on with the next worker once the person says so.
pub(crate) async fn paused_scans_go_on(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    one.hand_over_scan(&scan, None, Some("elsewhere:7:7"), at(9000))
        .await
        .unwrap();
    let standing = async |now| two.scan_line(&scan).await.unwrap().unwrap().standing(at(now));
    assert_eq!(standing(1).await, Standing::Running);
    one.set_wish(&scan, Some(Wish::Pause)).await.unwrap();
    assert_eq!(standing(1).await, Standing::Pausing);
    assert_eq!(standing(9000).await, Standing::Paused, "its process is gone");
    assert!(
        !two.let_go_on(&scan, Some("another:7:7"), at(9000)).await.unwrap(),
        "somebody else has it"
    );
    one.set_scan_state(&scan, ScanState::Interrupted, Some(at(8)), &[])
        .await
        .unwrap();
    let open = two.scan_lines(WhichScans::Open, 9).await.unwrap();
    assert_eq!(open.len(), 1, "it runs not and is not over");
    assert_eq!(two.scan_lines(WhichScans::Running, 9).await.unwrap(), []);
    for time in 0..2 {
        let went = two.let_go_on(&scan, Some("elsewhere:7:7"), at(20)).await.unwrap();
        assert!(went, "said {time} times before, because the answer was lost");
        assert_eq!(standing(20).await, Standing::Waiting);
    }
    assert_eq!(one.scan_lines(WhichScans::Running, 9).await.unwrap().len(), 1);
    one.set_scan_state(&scan, ScanState::Complete, Some(at(30)), &[])
        .await
        .unwrap();
    assert!(!two.let_go_on(&scan, None, at(31)).await.unwrap(), "it is complete");
    assert_eq!(two.scan_lines(WhichScans::Open, 9).await.unwrap(), []);
    assert!(two.scan_line(&ScanId("none".to_owned())).await.unwrap().is_none());
}

/// A scan goes on only as it was found: what a person says until then is not lost, and it has one owner.
pub(crate) async fn what_is_told_meanwhile_counts(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    let (dead, me) = (Some("elsewhere:7:7"), "elsewhere:8:8");
    one.hand_over_scan(&scan, None, dead, at(10)).await.unwrap();
    for wish in [Wish::Pause, Wish::Stop] {
        two.set_wish(&scan, Some(wish)).await.unwrap();
        let before = one.scan_line(&scan).await.unwrap();
        assert!(
            !one.resume_scan(&scan, dead, None, me, at(9000)).await.unwrap(),
            "nothing was wished when it was found"
        );
        assert_eq!(one.scan_line(&scan).await.unwrap(), before, "it is as it was");
    }
    one.set_scan_state(&scan, ScanState::Interrupted, Some(at(20)), &["said".to_owned()])
        .await
        .unwrap();
    let stop = Some(Wish::Stop);
    assert!(
        !one.resume_scan(&scan, None, stop, me, at(9000)).await.unwrap(),
        "another had it"
    );
    for time in 0..2 {
        let went = one.resume_scan(&scan, dead, stop, me, at(9000)).await.unwrap();
        assert!(went, "said {time} times before, because the answer was lost");
        let line = two.scan_line(&scan).await.unwrap().unwrap();
        assert_eq!((line.state, line.ended, line.wish), (ScanState::Running, None, None));
        assert_eq!((line.owner.as_deref(), line.owner_until), (Some(me), Some(at(9000))));
    }
    assert_eq!(two.scan(&scan).await.unwrap().unwrap().remarks, ["said"]);
    let late = two.resume_scan(&scan, dead, stop, "another:9:9", at(9000)).await;
    assert!(!late.unwrap(), "somebody was faster");
    one.set_scan_state(&scan, ScanState::Complete, Some(at(30)), &[])
        .await
        .unwrap();
    let late = two.resume_scan(&scan, Some(me), None, "another:9:9", at(9000)).await;
    assert!(!late.unwrap(), "it is complete");
}

/// Turns at a host are a pace apart, whoever asks.
pub(crate) async fn turns_are_apart(one: Handle, two: Handle) {
    let pace = Duration::from_millis(500);
    let now = Turn::Now { refusals: 0 };
    assert_eq!(one.take_turn("shop.test", at(0), pace).await.unwrap(), now);
    for asked in [0, 100, 499] {
        let turn = two.take_turn("shop.test", at(asked), pace).await.unwrap();
        assert_eq!(turn, Turn::Later(at(500)), "nothing is taken at {asked}");
    }
    assert_eq!(two.take_turn("help.test", at(100), pace).await.unwrap(), now);
    // Who comes late moves the next turn on.
    assert_eq!(two.take_turn("shop.test", at(700), pace).await.unwrap(), now);
    let turn = one.take_turn("shop.test", at(1000), pace).await.unwrap();
    assert_eq!(turn, Turn::Later(at(1200)));
}

/// What a clock that has gone back since has written days ahead holds nobody.
pub(crate) async fn turns_of_a_wrong_clock_hold_nobody(one: Handle, two: Handle) {
    let (pace, day) = (Duration::from_millis(500), 86_400_000);
    let now = Turn::Now { refusals: 0 };
    assert_eq!(one.take_turn("shop.test", at(3 * day), pace).await.unwrap(), now);
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    let next = two.next_lease_at(&ask(&scan, "me", 1, 0)).await.unwrap();
    assert!(next.is_some_and(|next| next <= at(0)), "{next:?}");
    assert_eq!(two.take_turn("shop.test", at(0), pace).await.unwrap(), now);
    let turn = one.take_turn("shop.test", at(100), pace).await.unwrap();
    assert_eq!(turn, Turn::Later(at(500)), "from then on as always");

    one.hold_host("help.test", at(3 * day), at(3 * day + 1000))
        .await
        .unwrap();
    two.hold_host("help.test", at(0), at(2000)).await.unwrap();
    let turn = one.take_turn("help.test", at(10), pace).await.unwrap();
    assert_eq!(turn, Turn::Later(at(2000)));
    let turn = one.take_turn("help.test", at(2000), pace).await.unwrap();
    assert_eq!(turn, Turn::Now { refusals: 2 });
}

/// A host that asks to be left alone is, by all; what was under way when it did is no second time.
pub(crate) async fn refusals_are_counted_once(one: Handle, two: Handle) {
    let pace = Duration::from_millis(500);
    one.hold_host("shop.test", at(0), at(2000)).await.unwrap();
    two.hold_host("shop.test", at(10), at(1500)).await.unwrap();
    let turn = one.take_turn("shop.test", at(1999), pace).await.unwrap();
    assert_eq!(turn, Turn::Later(at(2000)), "the longer one counts");
    let turn = two.take_turn("shop.test", at(2000), pace).await.unwrap();
    assert_eq!(turn, Turn::Now { refusals: 1 });
    two.hold_host("shop.test", at(2100), at(6000)).await.unwrap();
    let turn = one.take_turn("shop.test", at(6000), pace).await.unwrap();
    assert_eq!(turn, Turn::Now { refusals: 2 });
    one.forgive_host("shop.test").await.unwrap();
    let turn = two.take_turn("shop.test", at(6500), pace).await.unwrap();
    assert_eq!(turn, Turn::Now { refusals: 0 });
}

/// The time that a scan took is that of all who had it, one after another.
pub(crate) async fn work_adds_up(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    one.hand_over_scan(&scan, None, Some("me"), at(9000)).await.unwrap();
    let worked = |owner, seconds| Pulse {
        worked: Duration::from_secs(seconds),
        ..pulse(&scan, owner, 9000)
    };
    let said = async |store: &Handle, owner, seconds| {
        let beat = store.beat(&worked(owner, seconds)).await.unwrap();
        beat.worked.as_secs()
    };
    assert_eq!(said(&one, "me", 0).await, 0);
    assert_eq!(said(&one, "me", 2).await, 2);
    assert_eq!(said(&two, "you", 7).await, 2, "who helps adds nothing");
    one.hand_over_scan(&scan, Some("me"), Some("you"), at(9000))
        .await
        .unwrap();
    assert_eq!(said(&two, "you", 3).await, 5);
}

/// The audit log keeps what was said, in its order.
pub(crate) async fn the_audit_log_is_only_added_to(one: Handle, two: Handle) {
    let entry = |second: i64, what: &str, why: Option<&str>| AuditEntry {
        at: at(second * 1000),
        who: "ann@desk \0".to_owned(),
        what: what.to_owned(),
        subject: "shop".to_owned(),
        why: why.map(str::to_owned),
    };
    let entries = [
        entry(5, "scan-started", Some("approved by web-owner")),
        entry(3, "scan-stopped", None),
    ];
    one.audit(&entries[0]).await.unwrap();
    two.audit(&entries[1]).await.unwrap();
    let log = one.audit_log(9).await.unwrap();
    assert_eq!(
        log,
        [entries[1].clone(), entries[0].clone()],
        "newest first, as they came"
    );
    assert_eq!(two.audit_log(1).await.unwrap().len(), 1);
}
