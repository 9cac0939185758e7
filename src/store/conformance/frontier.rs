//! Every page once, leases that end, and hosts that are not hurried.

use std::collections::BTreeSet;
use std::time::Duration;

use phantom_checks::Severity;

use super::{Handle, Rendered, ask, at, counted, lease_one, observed, page, start};
use crate::crawl::{Lease, LeaseRequest, NewPage, PageState, Template};
use crate::scan::ScanId;

/// Pages of one host.
fn urls(host: &str, count: usize) -> Vec<NewPage> {
    (0..count)
        .map(|number| page(&format!("https://{host}/{number}"), 1))
        .collect()
}

pub(crate) async fn pages_are_known_once(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    let other = start(&one, "t", &[]).await;
    let pages = [
        page("https://shop.test/", 3),
        page("https://shop.test/a", 1),
        page("https://shop.test/a", 2),
    ];
    assert_eq!(one.add_pages(&scan, &pages).await.unwrap(), 1);
    assert_eq!(two.add_pages(&scan, &pages).await.unwrap(), 0);
    assert_eq!(two.add_pages(&scan, &[]).await.unwrap(), 0);
    assert_eq!(
        two.add_pages(&other, &pages).await.unwrap(),
        2,
        "another scan knows nothing of it"
    );
    assert_eq!(counted(&one, &scan).await, [2, 0, 0, 0, 0]);
    assert_eq!(lease_one(&one, &scan, 0).await.depth, 0, "what is known stays as it is");
}

pub(crate) async fn shallow_pages_go_first(one: Handle, _two: Handle) {
    let scan = start(&one, "s", &[]).await;
    let pages = [("/deep", 3), ("/first", 1), ("/second", 1), ("/root", 0)];
    let pages = pages.map(|(path, depth)| page(&format!("https://shop.test{path}"), depth));
    one.add_pages(&scan, &pages).await.unwrap();
    let leases = one.lease(&ask(&scan, "me", 3, 0)).await.unwrap();
    let paths: Vec<_> = leases.iter().map(|lease| lease.url.path()).collect();
    assert_eq!(paths, ["/root", "/first", "/second"]);
    assert_eq!(counted(&one, &scan).await, [1, 3, 0, 0, 0]);
}

pub(crate) async fn hosts_take_turns(one: Handle, _two: Handle) {
    let scan = start(&one, "s", &[]).await;
    for host in ["a.test", "b.test", "c.test"] {
        one.add_pages(&scan, &urls(host, 5)).await.unwrap();
    }
    let mut seen = Vec::new();
    for now in 0..6 {
        let leases = one.lease(&ask(&scan, "me", 1, now)).await.unwrap();
        seen.push(leases[0].url.host_str().unwrap().to_owned());
    }
    seen[..3].sort_unstable();
    seen[3..].sort_unstable();
    assert_eq!(seen, ["a.test", "b.test", "c.test", "a.test", "b.test", "c.test"]);
}

pub(crate) async fn pages_wait_for_their_host(one: Handle, two: Handle) {
    let scan = start(&one, "s", &[]).await;
    let other = start(&one, "t", &[]).await;
    for scan in [&scan, &other] {
        one.add_pages(scan, &urls("a.test", 5)).await.unwrap();
        one.add_pages(scan, &urls("b.test", 5)).await.unwrap();
    }
    let pace = Duration::from_millis(500);
    let paced = |scan, now| LeaseRequest {
        pace,
        max: 1,
        ..ask(scan, "me", 8, now)
    };
    let host = |lease: &Lease| lease.url.host_str().unwrap().to_owned();
    assert_eq!(one.next_lease_at(&paced(&scan, 7)).await.unwrap(), Some(at(7)));
    one.hold_host("a.test", at(7), at(2000)).await.unwrap();
    for (store, scan) in [(&one, &scan), (&two, &scan), (&two, &other)] {
        let leases = store.lease(&paced(scan, 8)).await.unwrap();
        assert_eq!(leases.iter().map(host).collect::<Vec<_>>(), ["b.test"]);
    }
    one.hold_host("b.test", at(8), at(1000)).await.unwrap();
    assert!(two.lease(&paced(&scan, 499)).await.unwrap().is_empty());
    assert_eq!(
        two.next_lease_at(&paced(&scan, 400)).await.unwrap(),
        Some(at(500)),
        "a pace before its turn"
    );
    assert_eq!(two.lease(&paced(&scan, 500)).await.unwrap().len(), 1);
}

/// Together, processes look at no more pages than a scan may.
pub(crate) async fn budgets_hold_over_all(one: Handle, two: Handle) {
    let scan = start(&one, "s", &[]).await;
    one.add_pages(&scan, &urls("a.test", 9)).await.unwrap();
    let few = |owner, most| LeaseRequest {
        most,
        ..ask(&scan, owner, 9, 0)
    };
    let mine = one.lease(&few("me", 3)).await.unwrap();
    assert_eq!(mine.len(), 3);
    assert!(
        two.lease(&few("you", 3)).await.unwrap().is_empty(),
        "others are at them"
    );
    assert!(Rendered::done(&mine[0]).record(&one, 1).await);
    assert!(two.lease(&few("you", 3)).await.unwrap().is_empty(), "and have been");
    one.release(&mine[1], false).await.unwrap();
    assert_eq!(two.lease(&few("you", 3)).await.unwrap().len(), 1);
    assert_eq!(two.lease(&few("you", 5)).await.unwrap().len(), 2);
}

pub(crate) async fn concurrency_holds_over_all(one: Handle, two: Handle) {
    let scan = start(&one, "s", &[]).await;
    let other = start(&one, "t", &[]).await;
    for scan in [&scan, &other] {
        one.add_pages(scan, &urls("a.test", 5)).await.unwrap();
    }
    let narrow = |scan, now| LeaseRequest {
        concurrency: 2,
        ..ask(scan, "me", 8, now)
    };
    let held = one.lease(&narrow(&scan, 0)).await.unwrap();
    assert_eq!(held.len(), 2);
    assert!(
        two.lease(&narrow(&other, 0)).await.unwrap().is_empty(),
        "another scan waits too"
    );
    assert_eq!(two.next_lease_at(&narrow(&other, 0)).await.unwrap(), Some(at(1000)));
    assert!(Rendered::done(&held[0]).record(&one, 1).await);
    assert_eq!(two.lease(&narrow(&other, 1)).await.unwrap().len(), 1);
    assert!(one.lease(&narrow(&scan, 1)).await.unwrap().is_empty());
    let after = two.lease(&narrow(&other, 1000)).await.unwrap();
    assert_eq!(after.len(), 1, "a lease that ran out holds no place");
}

pub(crate) async fn expired_leases_go_to_others(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    let mine = one.lease(&ask(&scan, "me", 5, 0)).await.unwrap().remove(0);
    assert!(two.lease(&ask(&scan, "you", 5, 999)).await.unwrap().is_empty());
    assert_eq!(
        two.next_lease_at(&ask(&scan, "you", 5, 999)).await.unwrap(),
        Some(at(1000))
    );
    let yours = two.lease(&ask(&scan, "you", 5, 1000)).await.unwrap().remove(0);
    assert_eq!(yours.key, mine.key);
    assert_ne!(yours.token, mine.token);
    assert_eq!(two.lease_owners(&scan).await.unwrap(), ["you"]);

    assert!(!one.renew(&mine, at(9000)).await.unwrap());
    one.release(&mine, true).await.unwrap();
    let late = Rendered::done(&mine)
        .observing([observed("late.test", Severity::High)])
        .finding(&["https://shop.test/x"]);
    assert!(!late.record(&one, 1001).await);
    assert_eq!(
        counted(&one, &scan).await,
        [0, 1, 0, 0, 0],
        "nothing of it was recorded"
    );
    assert!(one.findings(&scan).await.unwrap().is_empty());
    assert_eq!(one.evidence(&scan, &mine.key).await.unwrap(), None);

    assert!(Rendered::done(&yours).record(&two, 1002).await);
    assert_eq!(counted(&one, &scan).await, [0, 0, 1, 0, 0]);
    assert_eq!(one.next_lease_at(&ask(&scan, "me", 5, 1003)).await.unwrap(), None);
}

pub(crate) async fn late_results_count_until_retaken(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    let lease = lease_one(&one, &scan, 0).await;
    // Another worker finds the lease expired, but may not take the page yet.
    let full = LeaseRequest {
        concurrency: 0,
        ..ask(&scan, "you", 5, 5000)
    };
    assert!(two.lease(&full).await.unwrap().is_empty());
    assert!(Rendered::done(&lease).record(&one, 5001).await);
    assert_eq!(counted(&one, &scan).await, [0, 0, 1, 0, 0]);
    assert!(two.lease(&ask(&scan, "you", 5, 9000)).await.unwrap().is_empty());
}

pub(crate) async fn leases_are_renewed_and_given_back(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    let lease = lease_one(&one, &scan, 0).await;
    assert!(one.renew(&lease, at(5000)).await.unwrap());
    assert!(two.lease(&ask(&scan, "you", 5, 4999)).await.unwrap().is_empty());
    one.release(&lease, false).await.unwrap();
    assert!(!one.renew(&lease, at(9000)).await.unwrap());
    assert!(
        !Rendered::done(&lease).record(&one, 10).await,
        "given back is given back"
    );
    let again = lease_one(&two, &scan, 11).await;
    assert_eq!((again.alone, again.crashes), (false, 0));
}

pub(crate) async fn crashes_are_counted(one: Handle, _two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    for crashes in 0..3 {
        let lease = lease_one(&one, &scan, 0).await;
        assert_eq!((lease.alone, lease.crashes), (crashes > 0, crashes));
        one.release(&lease, true).await.unwrap();
        one.release(&lease, true).await.unwrap();
    }
    let lease = lease_one(&one, &scan, 0).await;
    one.release(&lease, false).await.unwrap();
    let lease = lease_one(&one, &scan, 0).await;
    assert_eq!((lease.alone, lease.crashes), (true, 3), "a quiet end forgives nothing");
}

pub(crate) async fn dead_owners_lose_their_pages(one: Handle, two: Handle) {
    let scan = start(&one, "s", &[]).await;
    one.add_pages(&scan, &urls("a.test", 5)).await.unwrap();
    let dead = one.lease(&ask(&scan, "dead", 2, 0)).await.unwrap();
    one.lease(&ask(&scan, "alive", 1, 0)).await.unwrap();
    assert_eq!(two.lease_owners(&scan).await.unwrap(), ["alive", "dead"]);
    assert_eq!(two.release_owner(&scan, "dead").await.unwrap(), 2);
    assert_eq!(two.lease_owners(&scan).await.unwrap(), ["alive"]);
    assert_eq!(counted(&one, &scan).await, [4, 1, 0, 0, 0]);
    assert!(!Rendered::done(&dead[0]).record(&one, 1).await);
}

pub(crate) async fn waiting_pages_are_skipped(one: Handle, _two: Handle) {
    let scan = start(&one, "s", &[]).await;
    one.add_pages(&scan, &urls("a.test", 5)).await.unwrap();
    let lease = lease_one(&one, &scan, 0).await;
    assert_eq!(one.skip_waiting(&scan, "limit of 1 page").await.unwrap(), 4);
    assert_eq!(counted(&one, &scan).await, [0, 1, 0, 0, 4]);
    assert!(Rendered::done(&lease).record(&one, 1).await);
    let skipped = one.pages(&scan, PageState::Skipped, 9).await.unwrap();
    assert!(
        skipped
            .iter()
            .all(|row| row.reason.as_deref() == Some("limit of 1 page"))
    );
    assert_eq!(one.skip_waiting(&scan, "again").await.unwrap(), 0);
}

pub(crate) async fn alike_pages_are_skipped(one: Handle, two: Handle) {
    let scan = start(&one, "s", &[]).await;
    let like = |url: &str, pattern: &str| NewPage {
        template: Some(Template {
            pattern: pattern.to_owned(),
            family: "a.test/*".to_owned(),
            wide: "a.test/*".to_owned(),
        }),
        ..page(url, 0)
    };
    let pages = [
        like("https://a.test/1", "a.test/{n}"),
        like("https://a.test/2", "a.test/{n}"),
        like("https://a.test/about", "a.test/about"),
        page("https://a.test/3", 0),
        like("https://b.test/2", "b.test/{n}"),
    ];
    one.add_pages(&scan, &pages).await.unwrap();
    let lease = lease_one(&two, &scan, 0).await;
    assert_eq!((&lease.url, &lease.template), (&pages[0].url, &pages[0].template));
    assert_eq!(
        one.skip_alike(&scan, "a.test/{n}", "enough").await.unwrap(),
        1,
        "not the leased one"
    );
    assert_eq!(
        two.skip_alike(&scan, "a.test/*", "more than enough").await.unwrap(),
        2,
        "the family"
    );
    assert_eq!(counted(&one, &scan).await, [1, 1, 0, 0, 3]);
    assert_eq!(two.skip_alike(&scan, "a.test/*", "again").await.unwrap(), 0);
    let skipped = one.pages(&scan, PageState::Skipped, 9).await.unwrap();
    let reasons: Vec<_> = skipped.iter().map(|row| row.reason.as_deref().unwrap()).collect();
    assert_eq!(reasons, ["enough", "more than enough", "more than enough"]);
    let left = lease_one(&one, &scan, 0).await;
    assert_eq!((left.url.as_str(), left.template), ("https://a.test/3", None));
}

pub(crate) async fn racing_owners_share_all(one: Handle, two: Handle) {
    let scan = start(&one, "s", &[]).await;
    for host in ["a.test", "b.test", "c.test"] {
        one.add_pages(&scan, &urls(host, 40)).await.unwrap();
    }
    let work = async |store: Handle, scan: ScanId, owner: &'static str| {
        let mut mine = Vec::new();
        loop {
            let leases = store.lease(&ask(&scan, owner, 3, 0)).await.unwrap();
            if leases.is_empty() {
                return mine;
            }
            for lease in leases {
                let extra = format!("{}?found", lease.url);
                let found: &[&str] = if lease.url.query().is_none() { &[&extra] } else { &[] };
                assert!(Rendered::done(&lease).finding(found).record(&store, 0).await);
                mine.push(lease.key.0);
            }
        }
    };
    let workers = [(&one, "a"), (&one, "b"), (&two, "c"), (&two, "d")]
        .map(|(store, owner)| tokio::spawn(work(store.clone(), scan.clone(), owner)));
    let mut done = Vec::new();
    for worker in workers {
        done.extend(worker.await.unwrap());
    }
    let distinct: BTreeSet<_> = done.iter().collect();
    assert_eq!((done.len(), distinct.len()), (240, 240));
    assert_eq!(counted(&one, &scan).await, [0, 0, 240, 0, 0]);
}

pub(crate) async fn completions_count_once(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    let lease = lease_one(&one, &scan, 0).await;
    let rendered = Rendered::done(&lease)
        .observing([observed("cdn.test", Severity::High)])
        .finding(&["https://shop.test/a", "https://shop.test/a", "https://shop.test/"]);
    assert!(rendered.record(&one, 1).await);
    assert!(!rendered.record(&one, 2).await);
    assert!(!rendered.record(&two, 2).await);
    assert_eq!(counted(&two, &scan).await, [1, 0, 1, 0, 0]);
    let finding = two.findings(&scan).await.unwrap().remove(0);
    assert_eq!(finding.last_seen, at(1));
    assert_eq!(two.finding_pages(&scan, &finding.fingerprint, 9).await.unwrap().1, 1);
    assert_eq!(two.due_intents(at(9), 9, None).await.unwrap()[0].revision, 1);
}

pub(crate) async fn redirects_adopt_their_target(one: Handle, _two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/old"]).await;
    let target = "https://shop.test/new";
    for (known, counts) in [(false, [0, 0, 2, 0, 0]), (true, [0, 0, 4, 0, 0])] {
        let from = if known {
            "https://shop.test/older"
        } else {
            "https://shop.test/old"
        };
        let target = if known { "https://shop.test/newer" } else { target };
        if known {
            one.add_pages(&scan, &[page(from, 0), page(target, 1)]).await.unwrap();
        }
        let lease = lease_one(&one, &scan, 0).await;
        assert_eq!(lease.url.as_str(), from);
        let rendered = Rendered::done(&lease).redirected(target);
        assert!(rendered.record(&one, 1).await);
        assert_eq!(counted(&one, &scan).await, counts);
        let key = &rendered.recorded_as.as_ref().unwrap().key;
        assert_eq!(one.evidence(&scan, key).await.unwrap(), rendered.evidence);
        let rows = one.pages(&scan, PageState::Done, 9).await.unwrap();
        let row = rows.iter().find(|row| row.key == lease.key).unwrap();
        assert_eq!(row.redirected_to.as_deref(), Some(target));
    }
    assert!(
        one.lease(&ask(&scan, "me", 9, 2)).await.unwrap().is_empty(),
        "the targets are done"
    );

    one.add_pages(&scan, &[page("https://shop.test/out", 0)]).await.unwrap();
    let lease = lease_one(&one, &scan, 3).await;
    let mut rendered = Rendered::done(&lease).redirected("https://shop.test/secret");
    rendered.recorded_as.as_mut().unwrap().skip = Some("excluded".to_owned());
    assert!(rendered.record(&one, 4).await);
    assert_eq!(
        counted(&one, &scan).await,
        [0, 0, 5, 0, 1],
        "a target that must not be looked at stays so"
    );
}

pub(crate) async fn unknown_scans_are_told(one: Handle, _two: Handle) {
    let scan = ScanId("nothing".to_owned());
    let told = |error: String| assert!(error.contains("nothing"), "{error}");
    told(one.counts(&scan).await.unwrap_err().to_string());
    told(one.add_pages(&scan, &urls("a.test", 1)).await.unwrap_err().to_string());
    told(one.lease(&ask(&scan, "me", 1, 0)).await.unwrap_err().to_string());
}
