//! Intents, tickets, actions and the outbox.

use phantom_checks::Severity;

use super::{Handle, Rendered, at, lease_one, observed, page, scan_of};
use crate::crawl::{NewPage, PageKey};
use crate::tickets::{ActionKind, ActionRecord, ActionState, Detail, Held, Hold, Intent, TicketLink};
use crate::triage::Fingerprint;

/// One more scan that sees these hosts, so that each wishes.
async fn see(store: &Handle, id: &str, hosts: &[&str], now: i64) {
    let scan = scan_of("shop", id, now);
    store
        .create_scan(&scan, &[page("https://shop.test/", 0)])
        .await
        .unwrap();
    let lease = lease_one(store, &scan.id, now).await;
    let seen = hosts.iter().map(|host| observed(host, Severity::High));
    assert!(Rendered::done(&lease).observing(seen).record(store, now).await);
}

async fn due(store: &Handle, now: i64) -> Vec<Intent> {
    store.due_intents(at(now), 10, None).await.unwrap()
}

pub(crate) async fn newer_wishes_survive(one: Handle, two: Handle) {
    see(&one, "1", &["cdn.test"], 0).await;
    let old = due(&two, 0).await.remove(0);
    see(&one, "2", &["cdn.test"], 5).await;
    two.finish_intent(&old).await.unwrap();
    two.postpone_intent(&old, at(1000)).await.unwrap();
    let new = due(&two, 5).await.remove(0);
    assert!(new.revision > old.revision);
    assert_eq!(
        (new.due, new.attempts),
        (at(5), 0),
        "what is old cannot put the new off"
    );
    two.finish_intent(&new).await.unwrap();
    assert_eq!(
        (due(&one, 9999).await.len(), one.intent_count(None).await.unwrap()),
        (0, 0)
    );

    see(&one, "3", &["cdn.test"], 10).await;
    for stale in [&old, &new] {
        two.finish_intent(stale).await.unwrap();
    }
    assert!(
        due(&two, 10).await[0].revision > new.revision,
        "a revision is never used again"
    );
}

pub(crate) async fn intents_wait_their_time(one: Handle, _two: Handle) {
    see(&one, "1", &["a.test"], 0).await;
    see(&one, "2", &["b.test", "c.test"], 5).await;
    assert_eq!(due(&one, 4).await.len(), 1);
    assert_eq!(due(&one, 5).await.len(), 3);
    assert_eq!(one.due_intents(at(5), 2, None).await.unwrap().len(), 2);
    let first = due(&one, 5).await.remove(0);
    assert_eq!(first.due, at(0), "oldest first");
    one.postpone_intent(&first, at(60)).await.unwrap();
    assert_eq!(due(&one, 59).await.len(), 2);
    assert_eq!(one.intent_count(None).await.unwrap(), 3);
    let again = due(&one, 60).await.pop().unwrap();
    assert_eq!(
        again,
        Intent {
            due: at(60),
            attempts: 1,
            ..first
        }
    );
}

pub(crate) async fn tickets_have_generations(one: Handle, two: Handle) {
    let fingerprint = Fingerprint("f".repeat(32));
    assert_eq!(one.ticket(&fingerprint).await.unwrap(), None);
    let mut link = TicketLink {
        fingerprint: fingerprint.clone(),
        generation: 2,
        issue_id: "10002".to_owned(),
        issue_key: "SEC-2".to_owned(),
        linked: at(2),
        closed: None,
    };
    one.link_ticket(&link).await.unwrap();
    let first = TicketLink {
        generation: 1,
        issue_id: "10001".to_owned(),
        ..link.clone()
    };
    one.link_ticket(&first).await.unwrap();
    assert_eq!(two.ticket(&fingerprint).await.unwrap().as_ref(), Some(&link));
    link.issue_key = "OPS-7".to_owned();
    one.link_ticket(&link).await.unwrap();
    assert_eq!(two.ticket(&fingerprint).await.unwrap(), Some(link));
}

pub(crate) async fn actions_are_recorded(one: Handle, two: Handle) {
    let action = |key: &str, state, ms| ActionRecord {
        key: key.to_owned(),
        fingerprint: Fingerprint("f".repeat(32)),
        generation: 1,
        kind: ActionKind::Create,
        state,
        at: at(ms),
        error: (state == ActionState::Dead).then(|| "400: priority: not on the screen".to_owned()),
        detail: None,
    };
    assert_eq!(one.action("f/1/create").await.unwrap(), None);
    for (state, ms) in [
        (ActionState::Sending, 1),
        (ActionState::Uncertain, 2),
        (ActionState::Sent, 3),
    ] {
        let record = action("f/1/create", state, ms);
        one.record_action(&record).await.unwrap();
        assert_eq!(two.action("f/1/create").await.unwrap(), Some(record));
    }
    let (late, early) = (action("b", ActionState::Dead, 9), action("c", ActionState::Dead, 4));
    for dead in [&late, &early] {
        one.record_action(dead).await.unwrap();
    }
    assert_eq!(two.dead_actions().await.unwrap(), [early, late]);
}

pub(crate) async fn one_process_works_the_outbox(one: Handle, two: Handle) {
    assert!(one.lease_outbox("a", at(0), at(100)).await.unwrap());
    assert!(!two.lease_outbox("b", at(99), at(200)).await.unwrap());
    assert!(one.lease_outbox("a", at(50), at(150)).await.unwrap(), "renewed");
    assert!(!two.lease_outbox("b", at(149), at(250)).await.unwrap());
    assert!(two.lease_outbox("b", at(150), at(250)).await.unwrap(), "taken over");
    one.release_outbox("a").await.unwrap();
    assert!(
        !one.lease_outbox("a", at(200), at(300)).await.unwrap(),
        "only its holder gives it back"
    );
    two.release_outbox("b").await.unwrap();
    assert!(one.lease_outbox("a", at(200), at(300)).await.unwrap());
}

pub(crate) async fn held_wishes_keep_their_reason(one: Handle, two: Handle) {
    see(&one, "1", &["cdn.test"], 0).await;
    let intent = due(&one, 0).await.remove(0);
    one.hold_intent(&intent, at(500), Held::Cap).await.unwrap();
    assert!(due(&two, 499).await.is_empty());
    let held = due(&two, 500).await.remove(0);
    assert_eq!((held.held, held.attempts), (Some(Held::Cap), 0));
    let unknown = Fingerprint("0".repeat(32));
    one.wish(&[intent.fingerprint.clone(), unknown], at(20)).await.unwrap();
    let wished = due(&two, 20).await;
    assert_eq!(wished.len(), 1, "nobody wishes for what is not known");
    assert_eq!(wished[0].held, Some(Held::Cap), "until it is fulfilled");
    one.hold_intent(&intent, at(900), Held::Breaker).await.unwrap();
    assert_eq!(due(&two, 20).await.len(), 1, "what is old cannot hold the new");
    two.finish_intent(&wished[0]).await.unwrap();
    see(&one, "2", &["cdn.test"], 30).await;
    assert_eq!(due(&two, 30).await[0].held, None);
}

pub(crate) async fn what_was_done_is_listed(one: Handle, two: Handle) {
    let action = |fingerprint: &str, kind, state, ms| ActionRecord {
        key: format!("{fingerprint}/1/{ms}"),
        fingerprint: Fingerprint(fingerprint.to_owned()),
        generation: 1,
        kind,
        state,
        at: at(ms),
        error: None,
        detail: Some(Detail {
            pages: Some(7),
            project: Some("SEC".to_owned()),
            baseline: true,
            ..Detail::default()
        }),
    };
    let all = [
        action("a", ActionKind::Create, ActionState::Sent, 1),
        action("a", ActionKind::Comment, ActionState::Sent, 2),
        action("b", ActionKind::Create, ActionState::Uncertain, 3),
        action("c", ActionKind::Create, ActionState::Dead, 4),
    ];
    for record in &all {
        one.record_action(record).await.unwrap();
    }
    assert_eq!(two.actions(&Fingerprint("a".to_owned())).await.unwrap(), all[..2]);
    assert_eq!(two.creations(at(1)).await.unwrap(), [all[0].clone(), all[2].clone()]);
    assert_eq!(two.creations(at(2)).await.unwrap(), [all[2].clone()]);
    // What became of it does not take away what it was about.
    let detail = None;
    one.record_action(&ActionRecord {
        detail,
        ..all[2].clone()
    })
    .await
    .unwrap();
    assert_eq!(two.creations(at(2)).await.unwrap(), [all[2].clone()]);
}

pub(crate) async fn projects_are_held_until_released(one: Handle, two: Handle) {
    let mut hold = Hold {
        project: "SEC".to_owned(),
        since: at(1),
        changes: 50,
        tickets: 100,
        released: None,
    };
    one.put_hold(&hold).await.unwrap();
    assert_eq!(two.holds().await.unwrap(), [hold.clone()]);
    hold.released = Some(at(9));
    two.put_hold(&hold).await.unwrap();
    assert_eq!(one.holds().await.unwrap(), [hold]);
    one.remove_hold("SEC").await.unwrap();
    assert!(two.holds().await.unwrap().is_empty());
}

pub(crate) async fn all_generations_are_listed(one: Handle, two: Handle) {
    let link = |fingerprint: &str, generation, key: &str| TicketLink {
        fingerprint: Fingerprint(fingerprint.to_owned()),
        generation,
        issue_id: format!("1000{generation}"),
        issue_key: key.to_owned(),
        linked: at(1),
        closed: (generation == 1).then(|| at(5)),
    };
    let (old, new, other) = (link("a", 1, "SEC-1"), link("a", 2, "SEC-3"), link("b", 1, "SEC-2"));
    for link in [&new, &old, &other] {
        one.link_ticket(link).await.unwrap();
    }
    assert_eq!(
        two.tickets_of(&old.fingerprint).await.unwrap(),
        [old.clone(), new.clone()]
    );
    assert_eq!(two.all_tickets().await.unwrap(), [other, new]);
}

pub(crate) async fn the_way_to_a_page_is_known(one: Handle, two: Handle) {
    let linked = |url: &str, from: Option<&str>| NewPage {
        found_on: from.map(|from| PageKey(from.to_owned())),
        ..page(url, 0)
    };
    let (home, shop, cart) = ("https://shop.test/", "https://shop.test/shop", "https://shop.test/cart");
    let scan = scan_of("shop", "1", 0);
    let pages = [linked(home, None), linked(shop, Some(home)), linked(cart, Some(shop))];
    one.create_scan(&scan, &pages).await.unwrap();
    assert_eq!(two.way_to(&scan.id, cart).await.unwrap(), [home, shop, cart]);
    assert_eq!(two.way_to(&scan.id, home).await.unwrap(), [home]);
    assert!(two.way_to(&scan.id, "https://shop.test/x").await.unwrap().is_empty());
    assert_eq!(two.baseline_end(&scan.site.id).await.unwrap(), None);
}
