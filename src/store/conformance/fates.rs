//! Random fates of findings: what is kept of them never contradicts itself.

use phantom_checks::Severity;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Handle, Rendered, at, lease_one, observed, page, scan_of};
use crate::scan::{ScanClose, ScanState};
use crate::site::SiteId;
use crate::triage::{Coverage, Decision, FindingState, Judgement, Suppression, SuppressionScope, Suppressions, Why};

const PAGES: [&str; 2] = ["https://shop.test/a", "https://shop.test/blog/b"];
const HOSTS: [&str; 3] = ["a.test", "b.test", "c.test"];

/// Something that happens to findings.
#[derive(Debug, Clone)]
enum Fate {
    /// A scan sees these hosts on each of the pages, and proves those fixed that it did not see, if it may.
    Scan { seen: Vec<Vec<usize>>, proves: bool },
    /// A person decides about a host, a part of the site, or all of the check.
    Suppress { what: u8, hours: Option<u8> },
    /// A person lifts one of the decisions.
    Lift { which: usize },
}

fn fate() -> impl Strategy<Value = Fate> {
    let seen = prop::collection::vec(prop::collection::vec(0..HOSTS.len(), 0..3), PAGES.len());
    prop_oneof![
        3 => (seen, any::<bool>()).prop_map(|(seen, proves)| Fate::Scan { seen, proves }),
        2 => (0_u8..5, prop::option::of(1_u8..6)).prop_map(|(what, hours)| Fate::Suppress { what, hours }),
        1 => (0_usize..4).prop_map(|which| Fate::Lift { which }),
    ]
}

const HOUR: i64 = 3_600_000;

struct World {
    store: Handle,
    site: SiteId,
    now: i64,
}

impl World {
    async fn suffer(&mut self, fate: &Fate) {
        self.now += HOUR;
        match fate {
            Fate::Scan { seen, proves } => self.scan(seen, *proves).await,
            Fate::Suppress { what, hours } => {
                let none = SuppressionScope {
                    site: Some(self.site.clone()),
                    ..SuppressionScope::default()
                };
                let scope = match what {
                    0 => SuppressionScope {
                        check: Some("mixed-content".into()),
                        ..none
                    },
                    1 => SuppressionScope {
                        pages: vec!["/blog/**".into()],
                        ..none
                    },
                    host => SuppressionScope {
                        host: Some(HOSTS[usize::from(host - 2)].into()),
                        ..none
                    },
                };
                let decided = Suppression {
                    until: hours.map(|hours| at(self.now + i64::from(hours) * HOUR)),
                    ..Suppression::new(scope, Decision::WontFix, "why", "who", at(self.now))
                };
                self.store.suppress(&decided, at(self.now)).await.unwrap();
            }
            Fate::Lift { which } => {
                let mut all = self.store.suppressions().await.unwrap();
                all.retain(|one| one.scope.site.as_ref() == Some(&self.site));
                if let Some(one) = all.get(*which) {
                    assert!(self.store.lift_suppression(&one.id, "me", at(self.now)).await.unwrap());
                }
            }
        }
    }

    async fn scan(&self, seen: &[Vec<usize>], proves: bool) {
        let pages: Vec<_> = PAGES.iter().map(|url| page(url, 0)).collect();
        let scan = scan_of(&self.site.0, &format!("{}-{}", self.site, self.now), self.now);
        self.store.create_scan(&scan, &pages).await.unwrap();
        for hosts in seen {
            let lease = lease_one(&self.store, &scan.id, self.now).await;
            let observations = hosts.iter().map(|host| observed(HOSTS[*host], Severity::High));
            let rendered = Rendered::done(&lease).observing(observations);
            assert!(rendered.record(&self.store, self.now).await);
        }
        let before = self.store.unseen_findings(&scan.id).await.unwrap();
        let judgements: Vec<_> = before
            .into_iter()
            .map(|before| {
                let mut after = before.clone();
                after.state = if proves {
                    FindingState::Fixed
                } else {
                    FindingState::NotObserved
                };
                let why = Why::NotComplete;
                Judgement { before, after, why }
            })
            .collect();
        let close = ScanClose {
            scan: &scan.id,
            owner: None,
            state: ScanState::Complete,
            ended: at(self.now + 1),
            remarks: &[],
            coverage: &Coverage::default(),
            judgements: &judgements,
        };
        self.store.close_scan(&close).await.unwrap();
    }

    /// What must hold at any time.
    async fn check(&self) {
        let suppressions = Suppressions::new(self.store.suppressions().await.unwrap());
        let live: Vec<String> = self
            .store
            .suppressions()
            .await
            .unwrap()
            .into_iter()
            .map(|one| one.id)
            .collect();
        for finding in self.store.all_findings(Some(&self.site)).await.unwrap() {
            let suppressed = finding.state == FindingState::Suppressed;
            assert_eq!(suppressed, finding.past.suppressed_by.is_some(), "{finding:#?}");
            if let Some(id) = &finding.past.suppressed_by {
                assert!(live.contains(id), "a lifted suppression holds nothing: {finding:#?}");
            }
            let (pages, _) = self
                .store
                .finding_pages(&finding.last_scan, &finding.fingerprint, 9)
                .await
                .unwrap();
            let urls: Vec<&str> = pages.iter().map(|page| page.url.as_str()).collect();
            let subject = crate::triage::Subject::of(&finding);
            let covered = suppressions.everywhere(&subject, &urls, at(self.now)).is_some();
            // What covers every page suppresses; only the next scan notices that a time is over.
            assert!(!covered || !finding.state.is_open() || suppressed, "{finding:#?}");
            let history = self.store.finding_events(&finding.fingerprint).await.unwrap();
            assert_eq!(history.first().unwrap().from, None);
            assert_eq!(history.last().unwrap().to, finding.state);
            for pair in history.windows(2) {
                assert_eq!(pair[1].from, Some(pair[0].to), "{history:#?}");
                assert!(pair[0].at <= pair[1].at);
            }
        }
    }
}

pub(crate) async fn findings_never_contradict_their_past(one: Handle, two: Handle) {
    let runtime = tokio::runtime::Handle::current();
    let check = move || {
        let case = std::cell::Cell::new(0_u32);
        let mut runner = TestRunner::new(Config {
            cases: 40,
            failure_persistence: None,
            ..Config::default()
        });
        runner.run(&prop::collection::vec(fate(), 1..14), |fates| {
            case.set(case.get() + 1);
            runtime.block_on(async {
                let mut world = World {
                    store: one.clone(),
                    site: SiteId(format!("shop{}", case.get())),
                    // The pace of a host holds over all cases.
                    now: i64::from(case.get()) * 100 * HOUR,
                };
                for (index, fate) in fates.iter().enumerate() {
                    world.store = if index % 2 == 0 { &one } else { &two }.clone();
                    world.suffer(fate).await;
                    world.check().await;
                }
            });
            Ok(())
        })
    };
    tokio::task::spawn_blocking(check).await.unwrap().unwrap();
}
