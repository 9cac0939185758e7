//! Scans, pages and evidence are kept as they were given.

use phantom_checks::Severity;
use phantom_checks::evidence::{Answer, Cookie, SameSite, ValueShape};

use super::{Handle, Rendered, at, counted, lease_one, observed, page, scan_of, start};
use crate::crawl::{NewPage, PageKey, PageMark, PageOutcome, PageState};
use crate::scan::{ReplayTurn, ScanId, ScanState, StoredAdvisories};
use crate::site::SiteId;
use crate::triage::{Fingerprint, Picture};

pub(crate) async fn scans_are_kept(one: Handle, two: Handle) {
    assert_eq!(one.salt().await.unwrap(), two.salt().await.unwrap());
    assert_ne!(one.salt().await.unwrap(), [0; 32]);

    let mut scan = scan_of("shop", "s1", 5);
    scan.remarks = vec!["the clock said “no”".to_owned()];
    one.create_scan(&scan, &[]).await.unwrap();
    let kept = two.scan(&scan.id).await.unwrap().unwrap();
    assert_eq!(
        serde_json::to_value(&kept).unwrap(),
        serde_json::to_value(&scan).unwrap()
    );

    let remarks = ["disk full".to_owned()];
    two.set_scan_state(&scan.id, ScanState::Incomplete, Some(at(9)), &remarks)
        .await
        .unwrap();
    let kept = one.scan(&scan.id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.ended), (ScanState::Incomplete, Some(at(9))));
    assert_eq!(kept.remarks, remarks);
    assert!(one.create_scan(&scan, &[]).await.is_err(), "an id is used once");
    assert!(one.scan(&ScanId("none".into())).await.unwrap().is_none());
}

pub(crate) async fn unfinished_scans_are_found(one: Handle, _two: Handle) {
    for (site, id, started) in [("shop", "a", 1), ("shop", "b", 3), ("blog", "c", 2)] {
        one.create_scan(&scan_of(site, id, started), &[]).await.unwrap();
    }
    let newest = async |site: Option<&str>| {
        let site = site.map(|site| SiteId(site.to_owned()));
        let scan = one.unfinished_scan(site.as_ref()).await.unwrap();
        scan.map(|scan| scan.id.0)
    };
    assert_eq!(newest(None).await.as_deref(), Some("b"));
    assert_eq!(newest(Some("blog")).await.as_deref(), Some("c"));
    assert_eq!(newest(Some("wiki")).await, None);
    for (id, state) in [("b", ScanState::Complete), ("a", ScanState::Interrupted)] {
        one.set_scan_state(&ScanId(id.into()), state, None, &[]).await.unwrap();
    }
    assert_eq!(newest(Some("shop")).await, None, "a later scan went over it all");
    assert_eq!(newest(None).await.as_deref(), Some("c"));
}

pub(crate) async fn scans_have_one_owner(one: Handle, two: Handle) {
    for (site, id, started) in [("shop", "a", 2), ("blog", "b", 1)] {
        one.create_scan(&scan_of(site, id, started), &[]).await.unwrap();
    }
    let (scan, blog) = (ScanId("a".into()), SiteId("blog".into()));
    assert_eq!(one.newest_scan(None).await.unwrap().unwrap().id, scan);
    assert_eq!(one.newest_scan(Some(&blog)).await.unwrap().unwrap().id.0, "b");
    assert_eq!(one.scan_owner(&scan).await.unwrap(), None);
    assert!(one.hand_over_scan(&scan, None, Some("x"), at(60_000)).await.unwrap());
    assert!(
        !two.hand_over_scan(&scan, None, Some("y"), at(60_000)).await.unwrap(),
        "x has it"
    );
    assert_eq!(
        two.scan_owner(&scan).await.unwrap().map(|owner| owner.name).as_deref(),
        Some("x")
    );
    assert!(
        two.hand_over_scan(&scan, Some("x"), Some("y"), at(60_000))
            .await
            .unwrap()
    );
    assert!(
        !one.hand_over_scan(&scan, Some("x"), None, at(60_000)).await.unwrap(),
        "y has it"
    );
    assert!(two.hand_over_scan(&scan, Some("y"), None, at(60_000)).await.unwrap());
    assert_eq!(one.scan_owner(&scan).await.unwrap(), None);
}

pub(crate) async fn pages_are_listed(one: Handle, _two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/b", "https://shop.test/a"]).await;
    let refused = NewPage {
        skip: Some("robots.txt disallows it".to_owned()),
        ..page("https://shop.test/admin", 1)
    };
    one.add_pages(&scan, &[refused]).await.unwrap();

    let waiting = one.pages(&scan, PageState::Waiting, 10).await.unwrap();
    let urls: Vec<_> = waiting.iter().map(|row| row.url.as_str()).collect();
    assert_eq!(urls, ["https://shop.test/a", "https://shop.test/b"]);
    assert_eq!(one.pages(&scan, PageState::Waiting, 1).await.unwrap().len(), 1);

    let lease = lease_one(&one, &scan, 0).await;
    let failed = Rendered {
        outcome: PageOutcome::Failed("net::ERR_CONNECTION_REFUSED".to_owned()),
        evidence: None,
        ..Rendered::done(&lease)
    };
    assert!(failed.record(&one, 1).await);
    for (state, reason) in [
        (PageState::Skipped, "robots.txt disallows it"),
        (PageState::Failed, "net::ERR_CONNECTION_REFUSED"),
    ] {
        let rows = one.pages(&scan, state, 10).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].state, rows[0].reason.as_deref()), (state, Some(reason)));
    }
    assert_eq!(counted(&one, &scan).await, [1, 0, 0, 1, 1]);
}

pub(crate) async fn evidence_and_bodies_are_kept(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/"]).await;
    let lease = lease_one(&one, &scan, 0).await;
    let rendered = Rendered::done(&lease)
        .script("h1", Some("alert(1)"))
        .script("h2", Some(""))
        .script("h3", None);
    assert!(rendered.record(&one, 1).await);
    assert_eq!(two.evidence(&scan, &lease.key).await.unwrap(), rendered.evidence);
    let asked = ["h1", "h2", "h3", "h4"].map(str::to_owned);
    assert_eq!(two.bodies(&asked).await.unwrap(), rendered.bodies);
    assert!(two.bodies(&[]).await.unwrap().is_empty());
    assert!(two.evidence(&scan, &PageKey("other".into())).await.unwrap().is_none());
}

pub(crate) async fn old_evidence_is_pruned(one: Handle, two: Handle) {
    let mut leases = Vec::new();
    for (site, id, started) in [
        ("shop", "1", 10),
        ("shop", "2", 20),
        ("shop", "3", 30),
        ("blog", "b", 5),
    ] {
        let scan = scan_of(site, id, started);
        one.create_scan(&scan, &[page("https://shop.test/", 0)]).await.unwrap();
        let lease = lease_one(&one, &scan.id, 100).await;
        let rendered = Rendered::done(&lease)
            .observing([observed("cdn.test", Severity::Low)])
            .script(&format!("only-{id}"), Some(id))
            .script("shared", Some("x"));
        assert!(rendered.record(&one, started).await);
        one.set_scan_state(&scan.id, ScanState::Complete, None, &[])
            .await
            .unwrap();
        leases.push(lease);
    }
    let left = async || {
        let mut left = Vec::new();
        for lease in &leases {
            if two.evidence(&lease.scan, &lease.key).await.unwrap().is_some() {
                left.push(lease.scan.0.clone());
            }
        }
        let hashes = ["only-1", "only-2", "only-3", "only-b", "shared"].map(str::to_owned);
        let bodies: Vec<_> = two.bodies(&hashes).await.unwrap().into_keys().collect();
        (left, bodies)
    };
    one.prune_evidence(2, at(0)).await.unwrap();
    let (scans, bodies) = left().await;
    assert_eq!(scans, ["2", "3", "b"]);
    assert_eq!(bodies, ["only-2", "only-3", "only-b", "shared"]);

    one.prune_evidence(2, at(25)).await.unwrap();
    let (scans, bodies) = left().await;
    assert_eq!(scans, ["3"]);
    assert_eq!(bodies, ["only-3", "shared"]);
    assert_eq!(one.findings(&leases[0].scan).await.unwrap().len(), 1, "findings stay");

    one.prune_evidence(0, at(0)).await.unwrap();
    assert_eq!(left().await, (vec![], vec![]));
}

pub(crate) async fn advisories_are_kept(one: Handle, two: Handle) {
    assert_eq!(one.advisories().await.unwrap(), None);
    for date in ["2026-01-02", "2026-03-04"] {
        let set = StoredAdvisories {
            date: date.to_owned(),
            origin: "https://mirror.test/a.json".to_owned(),
            text: format!("{{\"date\": \"{date}\", \"é\": \"\u{202e}\"}}"),
        };
        one.keep_advisories(&set).await.unwrap();
        assert_eq!(two.advisories().await.unwrap(), Some(set));
    }
}

pub(crate) async fn pictures_are_kept_with_the_evidence(one: Handle, two: Handle) {
    for (site, id, started) in [("shop", "1", 10), ("shop", "2", 20), ("blog", "b", 5)] {
        one.create_scan(&scan_of(site, id, started), &[]).await.unwrap();
    }
    let picture = |host: &str, scan: &str, taken: i64, png: &[u8]| Picture {
        fingerprint: Fingerprint(host.to_owned()),
        scan: ScanId(scan.to_owned()),
        taken: at(taken),
        width: 640,
        height: 48,
        png: png.to_vec(),
    };
    let kept = async || {
        let mut kept = Vec::new();
        for name in ["x", "y", "z"] {
            kept.extend(two.picture(&Fingerprint(name.to_owned())).await.unwrap());
        }
        kept
    };
    let old = picture("x", "1", 10, b"old");
    one.keep_picture(&old).await.unwrap();
    assert_eq!(kept().await, [old]);
    let all = [
        picture("x", "2", 20, b"new \0"),
        picture("y", "1", 11, b"y"),
        picture("z", "b", 5, b"z"),
    ];
    for one_of_all in &all {
        one.keep_picture(one_of_all).await.unwrap();
    }
    assert_eq!(kept().await, all, "one for each finding, the newest");
    assert!(one.keep_picture(&picture("x", "none", 1, b"")).await.is_err());
    one.prune_evidence(1, at(0)).await.unwrap();
    assert_eq!(kept().await, [all[0].clone(), all[2].clone()]);
    one.prune_evidence(1, at(6)).await.unwrap();
    assert_eq!(kept().await, [all[0].clone()]);
    two.drop_pictures(&SiteId("blog".to_owned())).await.unwrap();
    assert_eq!(kept().await.len(), 1);
    two.drop_pictures(&SiteId("shop".to_owned())).await.unwrap();
    assert!(kept().await.is_empty());
}

pub(crate) async fn hostile_text_is_kept(one: Handle, _two: Handle) {
    let hostile = "nul \0 quote ' \" \\ <b> \u{202e} \u{fffd} 🦀 \\u0000 %s";
    let scan = start(&one, "s", &["https://shop.test/'%22;DROP%20TABLE%20pages"]).await;
    let lease = lease_one(&one, &scan, 0).await;
    let mut observation = observed(hostile, Severity::High);
    observation.title = hostile.to_owned();
    let mut rendered = Rendered::done(&lease).observing([observation.clone()]);
    rendered.bodies.insert(hostile.to_owned(), hostile.to_owned());
    assert!(rendered.record(&one, 1).await);
    let finding = one.findings(&scan).await.unwrap().remove(0);
    assert_eq!((finding.title.as_str(), &finding.cause), (hostile, &observation.cause));
    assert_eq!(finding.facts, observation.facts);
    let (pages, _) = one.finding_pages(&scan, &finding.fingerprint, 9).await.unwrap();
    assert_eq!(pages[0].facts, observation.facts);
    assert_eq!(one.bodies(&[hostile.to_owned()]).await.unwrap(), rendered.bodies);
    one.skip_waiting(&scan, hostile).await.unwrap();
}

pub(crate) async fn seen_hosts_are_kept(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/a", "https://shop.test/b"]).await;
    for _ in 0..2 {
        let lease = lease_one(&one, &scan, 0).await;
        let mut seen = Rendered::done(&lease);
        seen.hosts = vec![
            "new.shop.test".to_owned(),
            format!("{}.shop.test", &lease.url.path()[1..]),
        ];
        assert!(seen.record(&one, 1).await);
    }
    let hosts = two.seen_hosts(&scan).await.unwrap();
    let told: Vec<_> = hosts
        .iter()
        .map(|seen| (seen.host.as_str(), seen.page.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("a.shop.test", "https://shop.test/a"),
            ("b.shop.test", "https://shop.test/b"),
            ("new.shop.test", "https://shop.test/a"),
        ]
    );
    assert_eq!(one.seen_hosts(&ScanId("none".to_owned())).await.unwrap(), []);
}

pub(crate) async fn past_looks_are_found(one: Handle, two: Handle) {
    let start = page("https://shop.test/", 0);
    let (site, key) = (SiteId("shop".into()), start.key.clone());
    let mark = |minute: i64, unchanged| PageMark {
        basis: "basis".to_owned(),
        looked_at: at(minute),
        unchanged,
    };
    for (id, started, mark) in [
        ("a", 1, Some(mark(1, false))),
        ("b", 20, Some(mark(1, true))),
        // From this one it cannot be told.
        ("c", 40, None),
    ] {
        let scan = scan_of("shop", id, started);
        one.create_scan(&scan, std::slice::from_ref(&start)).await.unwrap();
        let lease = lease_one(&one, &scan.id, started).await;
        let rendered = Rendered {
            mark,
            ..Rendered::done(&lease)
        };
        assert!(rendered.record(&one, started + 1).await);
    }
    let past = async |but: &str| two.past_look(&site, &key, &ScanId(but.into())).await.unwrap();
    let newest = past("d").await.unwrap();
    assert_eq!(newest.mark, mark(1, true));
    assert_eq!(newest.evidence.page.url, start.url.to_string());
    assert_eq!(past("b").await.unwrap().mark, mark(1, false));
    let unchanged = async |id: &str| two.page_looks(&ScanId(id.into())).await.unwrap()[0].unchanged;
    assert_eq!(unchanged("a").await, None);
    assert_eq!(unchanged("b").await, Some(at(1)));
    let other = SiteId("blog".into());
    assert!(
        two.past_look(&other, &key, &ScanId("d".into()))
            .await
            .unwrap()
            .is_none()
    );
}

pub(crate) async fn forms_are_sent_once_and_few_are(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/a"]).await;
    let claim =
        async |store: &Handle, scan: &ScanId, form, token| store.claim_replay(scan, form, token, 3).await.unwrap();
    let answer = Answer::Replayed {
        form: "/comment".to_owned(),
        token: None,
        honest: true,
        from_anybody: false,
        without_token: true,
        wrong_token: false,
    };
    assert_eq!(claim(&one, &scan, "/comment", None).await, ReplayTurn::Go);
    assert_eq!(claim(&two, &scan, "/comment", None).await, ReplayTurn::Tried);
    one.keep_replay(&scan, "/comment", None, &answer).await.unwrap();
    assert_eq!(
        claim(&two, &scan, "/comment", None).await,
        ReplayTurn::Known(answer.clone())
    );
    assert_eq!(claim(&two, &scan, "/comment", Some("odd\0")).await, ReplayTurn::Go);
    assert_eq!(claim(&one, &scan, "/comment", Some("odd\0")).await, ReplayTurn::Tried);
    let both = tokio::join!(claim(&one, &scan, "/raced", None), claim(&two, &scan, "/raced", None));
    let mut turns = [both.0, both.1];
    turns.sort_by_key(|turn| *turn == ReplayTurn::Tried);
    assert_eq!(turns, [ReplayTurn::Go, ReplayTurn::Tried]);
    assert_eq!(claim(&one, &scan, "/more", None).await, ReplayTurn::Enough);
    assert_eq!(
        claim(&two, &scan, "/comment", None).await,
        ReplayTurn::Known(answer),
        "what is known stays so"
    );
    let other = start(&two, "t", &["https://shop.test/a"]).await;
    assert_eq!(
        claim(&one, &other, "/comment", None).await,
        ReplayTurn::Go,
        "each scan counts its own"
    );
    let unknown = one.claim_replay(&ScanId("none".to_owned()), "/comment", None, 3).await;
    assert!(unknown.is_err(), "{unknown:?}");
}

pub(crate) async fn sessions_count_for_pages_before(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/a", "https://shop.test/b"]).await;
    let cookie = |name: &str, secure| Cookie {
        name: name.to_owned(),
        domain: "shop.test".to_owned(),
        path: "/".to_owned(),
        secure,
        http_only: true,
        same_site: SameSite::Lax,
        session: true,
        value: ValueShape::default(),
    };
    one.keep_sessions(&scan, &[cookie("sid", true), cookie("odd\0", true)])
        .await
        .unwrap();
    two.keep_sessions(&scan, &[cookie("sid", false)]).await.unwrap();
    let kept = two.sessions(&scan).await.unwrap();
    assert_eq!(
        kept,
        [cookie("odd\0", true), cookie("sid", true)],
        "the first of a name stays"
    );
    assert_eq!(one.sessions(&ScanId("none".to_owned())).await.unwrap(), []);

    let lease = lease_one(&one, &scan, 0).await;
    let late = [observed("cdn.test", Severity::High)];
    let before = one.observe(&scan, &lease.key, at(1), &late).await.unwrap();
    assert!(!before, "nobody has looked at it");
    assert!(Rendered::done(&lease).record(&one, 1).await);
    for _ in 0..2 {
        assert!(two.observe(&scan, &lease.key, at(2), &late).await.unwrap());
    }
    let finding = one.findings(&scan).await.unwrap().remove(0);
    assert_eq!((finding.severity, finding.last_seen), (Severity::High, at(2)));
    let (pages, count) = one.finding_pages(&scan, &finding.fingerprint, 9).await.unwrap();
    assert_eq!((pages[0].url.as_str(), count), (lease.url.as_str(), 1));
}
