use proptest::prelude::*;

use super::*;
use crate::triage::{Decision, Suppression, SuppressionScope, Witness, testing};

const END: Timestamp = Timestamp::UNIX_EPOCH;
const A: &str = "https://shop.test/a";
const B: &str = "https://shop.test/b";

fn finding(state: FindingState, witnesses: &[&str]) -> Finding {
    let mut finding = testing::finding("cdn.test", state);
    let pinned = |&url: &&str| Witness {
        url: url.to_owned(),
        scan: finding.last_scan.clone(),
    };
    finding.past.witnesses = witnesses.iter().map(pinned).collect();
    finding
}

/// What a scan did, in owned parts.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "as in what it stands for")]
struct Did {
    whole: bool,
    complete: bool,
    logged_in: bool,
    version: Option<u32>,
    failed: bool,
    untried: bool,
    /// URL, template, reached.
    pages: Vec<(&'static str, &'static str, bool)>,
    in_scope: bool,
    retired: bool,
    suppressed: bool,
    wanted: u32,
}

impl Did {
    fn clean() -> Self {
        Self {
            whole: true,
            complete: true,
            logged_in: true,
            version: Some(3),
            failed: false,
            untried: false,
            pages: vec![(A, "t", true), (B, "t", true)],
            in_scope: true,
            retired: false,
            suppressed: false,
            wanted: 1,
        }
    }

    fn judge(&self, finding: &Finding) -> Option<Judgement> {
        let mut pages = PagesSeen::default();
        for (url, template, reached) in &self.pages {
            pages.add(url, template, *reached);
        }
        let suppression = Suppression::new(
            SuppressionScope::finding(finding.fingerprint.clone()),
            Decision::WontFix,
            "why",
            "who",
            END,
        );
        let suppressions = Suppressions::new(self.suppressed.then_some(suppression));
        let scan = ScanId("2".into());
        let in_scope = |_: &str| self.in_scope;
        let untried = self.untried.then(|| finding.fingerprint.clone()).into_iter().collect();
        let check = self.version.map(|version| {
            let ran = CheckRan {
                version,
                failed: self.failed,
            };
            ("mixed-content".to_owned(), ran)
        });
        judge_unseen(
            finding,
            &ScanFacts {
                scan: &scan,
                ended: END,
                whole: self.whole,
                complete: self.complete,
                logged_in: self.logged_in,
                checks: check.into_iter().collect(),
                pages,
                key_of: &|url| Some(url.to_owned()),
                in_scope: &in_scope,
                retired: self.retired,
                suppressions: &suppressions,
                clean_scans: self.wanted,
                untried: &untried,
            },
        )
    }

    fn proves(&self, witnesses: &[&str]) -> bool {
        let reached = |url: &str| self.pages.iter().any(|(known, _, reached)| *known == url && *reached);
        self.whole
            && self.complete
            && self.logged_in
            && self.version == Some(3)
            && !self.failed
            && !self.untried
            && !witnesses.is_empty()
            && witnesses.iter().all(|url| reached(url))
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table: a row for each proof")]
fn fixed_needs_every_proof() {
    let clean = Did::clean;
    let cases: Vec<(Did, FindingState, &str)> = vec![
        (clean(), FindingState::Fixed, "1 clean scan did not see it"),
        (
            Did {
                whole: false,
                ..clean()
            },
            FindingState::NotObserved,
            "the scan did not look at the whole site",
        ),
        (
            Did {
                complete: false,
                ..clean()
            },
            FindingState::NotObserved,
            "the scan did not come to its end",
        ),
        (
            Did {
                logged_in: false,
                ..clean()
            },
            FindingState::NotObserved,
            "the login was lost",
        ),
        (
            Did {
                version: Some(4),
                ..clean()
            },
            FindingState::NotObserved,
            "the check changed: version 3 saw it, version 4 ran",
        ),
        (
            Did {
                failed: true,
                ..clean()
            },
            FindingState::NotObserved,
            "the check failed on a page, or could not try there what it has to",
        ),
        (
            Did {
                untried: true,
                ..clean()
            },
            FindingState::NotObserved,
            "the scan did not do what showed it",
        ),
        (
            Did {
                pages: vec![(A, "t", false), (B, "t", true)],
                ..clean()
            },
            FindingState::NotObserved,
            "https://shop.test/a did not answer as expected",
        ),
        (
            Did {
                pages: vec![(A, "t", true), (B, "t", false)],
                ..clean()
            },
            FindingState::NotObserved,
            "no other page like https://shop.test/a was reached",
        ),
        (
            Did {
                pages: vec![(A, "t", true), (B, "other", false)],
                ..clean()
            },
            FindingState::Fixed,
            "1 clean scan did not see it",
        ),
        (
            Did {
                pages: vec![],
                ..clean()
            },
            FindingState::NotObserved,
            "https://shop.test/a did not answer as expected",
        ),
        (
            Did {
                version: None,
                ..clean()
            },
            FindingState::Withdrawn,
            "the check is disabled",
        ),
        (
            Did {
                in_scope: false,
                ..clean()
            },
            FindingState::Withdrawn,
            "its pages are no longer in the site's scope",
        ),
        (
            Did {
                retired: true,
                ..clean()
            },
            FindingState::Withdrawn,
            "the site is no longer scanned",
        ),
    ];
    for (did, state, why) in cases {
        let judged = did.judge(&finding(FindingState::Seen, &[A])).unwrap();
        assert_eq!(
            (judged.after.state, judged.why.to_string().as_str()),
            (state, why),
            "{did:?}"
        );
    }
    let blind = Did::clean().judge(&finding(FindingState::Seen, &[])).unwrap();
    assert_eq!(
        (blind.after.state, blind.why),
        (FindingState::NotObserved, Why::NoWitness)
    );
}

#[test]
fn so_many_clean_scans_in_a_row() {
    let night = |finding: &Finding, did: Did| did.judge(finding).map_or(finding.clone(), |judged| judged.after);
    let two = || Did {
        wanted: 2,
        ..Did::clean()
    };
    let first = night(&finding(FindingState::New, &[A]), two());
    assert_eq!((first.state, first.past.clean_scans), (FindingState::NotObserved, 1));
    let part = night(&first, Did { whole: false, ..two() });
    assert_eq!(part.past.clean_scans, 1, "a look at a part is no break in the row");
    let lost = night(
        &first,
        Did {
            complete: false,
            ..two()
        },
    );
    assert_eq!(lost.past.clean_scans, 0);
    let second = night(&part, two());
    assert_eq!((second.state, second.past.fixed), (FindingState::Fixed, Some(END)));
    assert_eq!(two().judge(&second), None, "fixed stays fixed");
}

#[test]
fn a_suppressed_finding_stays_so_until_its_suppression_is_over() {
    let mut suppressed = finding(FindingState::Suppressed, &[A]);
    let covered = Did {
        suppressed: true,
        ..Did::clean()
    };
    let judged = covered.judge(&suppressed).unwrap();
    assert_eq!(judged.after.state, FindingState::Suppressed);
    suppressed
        .past
        .suppressed_by
        .clone_from(&judged.after.past.suppressed_by);
    assert!(suppressed.past.suppressed_by.is_some());
    assert_eq!(covered.judge(&suppressed), None);
    let over = Did::clean().judge(&suppressed).unwrap();
    assert_eq!(
        (over.after.state, over.after.past.suppressed_by, over.why),
        (FindingState::NotObserved, None, Why::SuppressionOver)
    );
}

#[test]
fn what_is_no_longer_open_is_left_alone() {
    for state in [FindingState::Fixed, FindingState::Withdrawn] {
        assert_eq!(Did::clean().judge(&finding(state, &[A])), None);
    }
}

#[test]
fn a_page_is_reached_if_it_answers_as_expected_and_is_seen_in_full() {
    let page = PageLook {
        url: A.into(),
        state: PageState::Done,
        redirected: false,
        status: Some(200),
        full: true,
        reason: None,
        failed_checks: Vec::new(),
        forms: 0,
        obstacle: None,
        logged_in: None,
        unchanged: None,
    };
    assert!(reached(&page));
    assert!(reached(&PageLook {
        status: None,
        ..page.clone()
    }));
    for other in [
        PageLook {
            state: PageState::Failed,
            ..page.clone()
        },
        PageLook {
            redirected: true,
            ..page.clone()
        },
        PageLook {
            obstacle: Some("a challenge".into()),
            ..page.clone()
        },
        PageLook {
            full: false,
            ..page.clone()
        },
        PageLook {
            status: Some(304),
            ..page.clone()
        },
        PageLook {
            status: Some(404),
            ..page
        },
    ] {
        assert!(!reached(&other), "{other:?}");
    }
}

prop_compose! {
    fn anything()(
        flags in proptest::array::uniform7(any::<bool>()),
        version in proptest::option::of(3_u32..5),
        pages in proptest::collection::vec((prop_oneof![Just(A), Just(B)], prop_oneof![Just("t"), Just("u")], any::<bool>()), 0..4),
        wanted in 0_u32..4,
    ) -> Did {
        let [whole, complete, logged_in, failed, in_scope, retired, suppressed] = flags;
        Did { whole, complete, logged_in, version, failed, untried: false, pages, in_scope, retired, suppressed, wanted }
    }
}

fn any_state() -> impl Strategy<Value = FindingState> {
    prop_oneof![
        Just(FindingState::New),
        Just(FindingState::Seen),
        Just(FindingState::NotObserved),
        Just(FindingState::Regressed),
        Just(FindingState::Suppressed),
        Just(FindingState::Fixed),
        Just(FindingState::Withdrawn),
    ]
}

proptest! {
    #[test]
    fn nothing_is_fixed_without_all_proofs(
        nights in proptest::collection::vec(anything(), 1..8),
        state in any_state(),
        both in any::<bool>(),
    ) {
        let witnesses: &[&str] = if both { &[A, B] } else { &[A] };
        let mut now = finding(state, witnesses);
        let mut proofs = 0;
        for night in nights {
            let before = now.state;
            proofs = if night.proves(witnesses) { proofs + 1 } else if night.whole { 0 } else { proofs };
            if let Some(judged) = night.judge(&now) {
                now = judged.after;
            }
            if now.state == FindingState::Fixed && before != FindingState::Fixed {
                prop_assert!(proofs >= night.wanted.max(1), "{night:?}");
                prop_assert!(before.is_open());
                prop_assert!(night.proves(witnesses) && !night.retired && night.in_scope && !night.suppressed);
            }
            // What was not seen is never called seen.
            prop_assert!(
                now.state == before
                    || !matches!(now.state, FindingState::New | FindingState::Seen | FindingState::Regressed)
            );
            prop_assert!(now.state != FindingState::Suppressed || night.suppressed || before == FindingState::Suppressed);
        }
    }
}
