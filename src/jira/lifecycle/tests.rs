//! The state table: each row and each column.

mod laws;

use serde_json::json;

use super::*;
use crate::jira::Issue;
use crate::tickets::testing::finding;
use crate::triage::Fingerprint;

const NOW: &str = "2026-11-23T05:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn ago(hours: u64) -> Timestamp {
    now() - jiff::SignedDuration::from_hours(i64::try_from(hours).unwrap())
}

fn policy() -> Policy {
    Policy {
        min_severity: Severity::Medium,
        min_confidence: Confidence::Firm,
        lifecycle: Lifecycle::default(),
    }
}

fn open() -> TicketView {
    TicketView {
        id: "1".to_owned(),
        key: "SEC-1".to_owned(),
        generation: 1,
        category: StatusCategory::Open,
        stamped: true,
        linked: true,
        created: None,
        resolution: None,
        labels: Vec::new(),
        closed: None,
        duplicate_of: None,
        linked_to: Vec::new(),
    }
}

fn closed(resolution: &str, hours_ago: u64, by_us: bool) -> TicketView {
    TicketView {
        category: StatusCategory::Done,
        resolution: Some(resolution.to_owned()),
        closed: Some(Closed {
            when: ago(hours_ago),
            by_us,
            who: "ann".to_owned(),
        }),
        ..open()
    }
}

/// Owns what a situation borrows.
#[derive(Debug, Clone)]
struct Scene {
    finding: Finding,
    pages: u64,
    ticket: Ticket,
    history: History,
    relatives: Vec<String>,
    severity_then: Option<Severity>,
    suppressed_in_ticket: bool,
    preflight_passed: bool,
    pictured: bool,
    finding_url: Option<&'static str>,
    policy: Policy,
}

impl Scene {
    fn new(state: FindingState, ticket: Ticket) -> Self {
        let mut finding = finding(1);
        finding.state = state;
        finding.last_seen = now();
        finding.past.fixed = Some(ago(1));
        finding.past.withdrawn = Some(ago(1));
        Self {
            finding,
            pages: 1,
            ticket,
            history: History {
                told_severity: Some(Severity::High),
                told_pages: Some(1),
                ..History::default()
            },
            relatives: Vec::new(),
            severity_then: None,
            suppressed_in_ticket: false,
            preflight_passed: true,
            pictured: false,
            finding_url: None,
            policy: policy(),
        }
    }

    fn decide(&self) -> Vec<Action> {
        let generation = match &self.ticket {
            Ticket::Present(view) => view.generation,
            _ => 1,
        };
        let situation = Situation {
            finding: &self.finding,
            pages: self.pages,
            max_rows: 50,
            scan_began: now(),
            severity_then: self.severity_then,
            suppressed_in_ticket: self.suppressed_in_ticket,
            suppressed_at: Some(ago(5)),
            ticket: &self.ticket,
            generation,
            relatives: &self.relatives,
            history: &self.history,
            preflight_passed: self.preflight_passed,
            pictured: self.pictured,
            finding_url: self.finding_url,
        };
        decide(&situation, &self.policy, now())
    }

    /// What is decided, as occasions.
    fn does(&self) -> Vec<String> {
        self.decide().iter().map(Action::occasion).collect()
    }
}

const SEEN: [FindingState; 3] = [FindingState::New, FindingState::Seen, FindingState::Regressed];

fn fixed() -> String {
    ago(1).as_millisecond().to_string()
}

#[test]
fn seen() {
    let dead = |hours| Ticket::Present(closed("Done", hours, false));
    let ours = |hours| Ticket::Present(closed("Done", hours, true));
    let named = |word: &str| Ticket::Present(closed(word, 24, false));
    let occasion = ago(24).as_millisecond();
    let ruled = format!("suppress/{occasion}");
    let labelled = Ticket::Present(TicketView {
        labels: vec!["phantom-ignore".to_owned()],
        ..open()
    });
    let day = 24;
    for (ticket, expected) in [
        (Ticket::None, vec!["create"]),
        (Ticket::Present(open()), vec![]),
        (
            Ticket::Present(TicketView {
                linked: false,
                ..open()
            }),
            vec!["adopt"],
        ),
        (
            Ticket::Present(TicketView {
                stamped: false,
                ..open()
            }),
            vec!["set-property"],
        ),
        (dead(47), vec![]),
        (ours(47), vec![]),
        (dead(48), vec!["reopen/1"]),
        (ours(89 * day), vec!["reopen/1"]),
        (dead(91 * day), vec!["create"]),
        (named("Won't Do"), vec![ruled.as_str()]),
        (named("false positive"), vec![ruled.as_str()]),
        (named("Duplicate"), vec![ruled.as_str()]),
        (labelled, vec!["suppress/label"]),
        (Ticket::Gone, vec!["missing/2026-11-23"]),
    ] {
        for state in SEEN {
            assert_eq!(Scene::new(state, ticket.clone()).does(), expected, "{state} {ticket:?}");
        }
    }
    // Nobody knows when it was closed.
    let mut unknown = closed("Done", 0, false);
    unknown.closed = None;
    assert_eq!(Scene::new(FindingState::Seen, Ticket::Present(unknown)).decide(), []);
}

#[test]
fn reopened_twice_then_told_once() {
    let mut scene = Scene::new(FindingState::Regressed, Ticket::Present(closed("Done", 100, false)));
    for expected in ["reopen/1", "reopen/2", "say-still-there/1"] {
        assert_eq!(scene.does(), [expected]);
        scene.history.done.insert(expected.to_owned());
    }
    assert_eq!(scene.decide(), []);
}

#[test]
fn past_the_window_the_next_generation_is_linked_to_the_old() {
    let mut scene = Scene::new(FindingState::Seen, Ticket::Present(closed("Done", 24 * 365, false)));
    assert_eq!(scene.decide(), [Action::Create { generation: 2 }]);
    let second = TicketView {
        id: "2".to_owned(),
        generation: 2,
        ..open()
    };
    scene.ticket = Ticket::Present(second.clone());
    scene.relatives = vec!["1".to_owned()];
    assert_eq!(scene.does(), ["link/1"]);
    scene.ticket = Ticket::Present(TicketView {
        linked_to: vec!["1".to_owned()],
        ..second
    });
    assert_eq!(scene.decide(), []);
}

#[test]
fn worse() {
    let mut scene = Scene::new(FindingState::Seen, Ticket::Present(open()));
    scene.finding.severity = Severity::Critical;
    assert_eq!(scene.does(), ["say-worse/critical-1", "edit/critical-1"]);
    scene.finding.severity = Severity::Medium;
    assert_eq!(scene.decide(), [], "better is not worse");
    scene.finding.severity = Severity::High;
    for (told, pages, expected) in [
        (1, 10, 0),
        (1, 11, 2),
        (100, 199, 0),
        (100, 200, 3),
        (5, 15, 2),
        (8, 15, 0),
    ] {
        scene.history.told_pages = Some(told);
        scene.pages = pages;
        scene.history.done = if told > 50 {
            ["attach/100".to_owned()].into()
        } else {
            BTreeSet::new()
        };
        assert_eq!(scene.decide().len(), expected, "{told} → {pages}: {:?}", scene.does());
    }
    scene.history.told_severity = None;
    scene.history.told_pages = None;
    assert_eq!(scene.does(), [] as [&str; 0], "what was told is not known");
    scene.pages = 51;
    scene.history.done.clear();
    assert_eq!(scene.does(), ["attach/51"]);
    // In the other columns: none, done, suppressed, gone.
    scene.finding.severity = Severity::Critical;
    scene.history.told_severity = Some(Severity::High);
    for (ticket, expected) in [
        (Ticket::None, vec!["create".to_owned()]),
        (Ticket::Present(closed("Done", 100, false)), vec!["reopen/1".to_owned()]),
        (
            Ticket::Present(closed("Won't Fix", 100, false)),
            vec![
                "say-worse-though-suppressed/critical".to_owned(),
                format!("suppress/{}", ago(100).as_millisecond()),
            ],
        ),
        (Ticket::Gone, vec!["missing/2026-11-23".to_owned()]),
    ] {
        scene.ticket = ticket;
        assert_eq!(scene.does(), expected);
    }
}

#[test]
fn fixed_with_proof() {
    let (say, verified) = (format!("say-fixed/{}", fixed()), format!("say-verified/{}", fixed()));
    let resolve = format!("resolve/{}", fixed());
    for (mode, ticket, expected) in [
        (Resolve::Comment, Ticket::None, vec![]),
        (Resolve::Comment, Ticket::Present(open()), vec![say.clone()]),
        (Resolve::Transition, Ticket::Present(open()), vec![say, resolve]),
        (Resolve::Never, Ticket::Present(open()), vec![]),
        (
            Resolve::Comment,
            Ticket::Present(closed("Done", 1, false)),
            vec![verified.clone()],
        ),
        (
            Resolve::Transition,
            Ticket::Present(closed("Done", 9_999, false)),
            vec![verified],
        ),
        (Resolve::Never, Ticket::Present(closed("Done", 1, false)), vec![]),
        (Resolve::Comment, Ticket::Present(closed("Done", 1, true)), vec![]),
        (
            Resolve::Transition,
            Ticket::Present(closed("Won't Do", 1, false)),
            vec![],
        ),
        (Resolve::Transition, Ticket::Gone, vec![]),
    ] {
        let mut scene = Scene::new(FindingState::Fixed, ticket);
        scene.policy.lifecycle.resolve = mode;
        assert_eq!(scene.does(), expected, "{mode:?} {:?}", scene.ticket);
        scene.history.done.extend(expected);
        assert_eq!(scene.decide(), [], "said once");
    }
}

#[test]
fn not_observed_withdrawn_and_suppressed() {
    let columns = [
        Ticket::None,
        Ticket::Present(open()),
        Ticket::Present(closed("Done", 100, false)),
        Ticket::Present(closed("Won't Do", 100, false)),
        Ticket::Gone,
    ];
    let withdrawn = format!("say-withdrawn/{}", fixed());
    for (column, ticket) in columns.iter().enumerate() {
        assert_eq!(Scene::new(FindingState::NotObserved, ticket.clone()).decide(), []);
        assert_eq!(Scene::new(FindingState::Suppressed, ticket.clone()).decide(), []);
        let expected: &[&String] = if column == 1 { &[&withdrawn] } else { &[] };
        let mut scene = Scene::new(FindingState::Withdrawn, ticket.clone());
        assert_eq!(
            scene.does(),
            expected.iter().map(|one| (*one).clone()).collect::<Vec<_>>()
        );
        scene.history.done.insert(withdrawn.clone());
        assert_eq!(scene.decide(), []);
    }
}

#[test]
fn a_suppressed_finding_that_gets_worse_says_so_once() {
    for ticket in [Ticket::Present(closed("Won't Do", 100, false)), Ticket::Present(open())] {
        let mut scene = Scene::new(FindingState::Suppressed, ticket);
        scene.severity_then = Some(Severity::Medium);
        assert_eq!(scene.does(), ["say-worse-though-suppressed/high"]);
        scene.history.done.insert("say-worse-though-suppressed/high".to_owned());
        assert_eq!(scene.decide(), []);
    }
}

#[test]
fn a_decision_that_was_taken_back_ends() {
    let mut scene = Scene::new(FindingState::Suppressed, Ticket::Present(open()));
    scene.suppressed_in_ticket = true;
    assert_eq!(scene.decide(), [Action::Unsuppress]);
    scene.ticket = Ticket::Present(closed("Won't Do", 100, false));
    assert_eq!(scene.decide(), []);
}

#[test]
fn a_decision_ends_with_its_time_or_with_the_check_that_was_wrong() {
    let mut scene = Scene::new(
        FindingState::Seen,
        Ticket::Present(closed("Won't Fix", 24 * 100, false)),
    );
    let expiry = |days: u64| Some(Duration::from_hours(24 * days));
    scene.policy.lifecycle.suppress_expiry = [("won't fix".to_owned(), expiry(180))].into();
    assert!(matches!(&scene.decide()[..], [Action::Suppress(ruling)] if ruling.until.is_some() && ruling.who == "ann"));
    scene.policy.lifecycle.suppress_expiry = [("won't fix".to_owned(), expiry(99))].into();
    assert_eq!(scene.decide(), [Action::Create { generation: 2 }], "past the window");

    let occasion = format!("suppress/{}", ago(100).as_millisecond());
    let mut scene = Scene::new(
        FindingState::Seen,
        Ticket::Present(closed("False Positive", 100, false)),
    );
    scene.history.ruled = [(occasion, scene.finding.check_version + 1)].into();
    assert_eq!(scene.does(), ["reopen/1"], "another version of the check says it again");
}

#[test]
fn a_duplicate_follows_its_link() {
    let mut view = closed("Duplicate", 100, false);
    view.duplicate_of = Some(("SEC-9".to_owned(), false));
    let mut scene = Scene::new(FindingState::Suppressed, Ticket::Present(view.clone()));
    assert_eq!(scene.decide(), [], "the other is open");
    view.duplicate_of = Some(("SEC-9".to_owned(), true));
    scene.ticket = Ticket::Present(view);
    assert_eq!(scene.does(), ["say-duplicate-done/SEC-9"]);
    scene.finding.last_seen = ago(6);
    assert_eq!(scene.decide(), [], "it was not seen since");
    scene.finding.state = FindingState::Seen;
    assert_eq!(scene.does()[0], "say-duplicate-done/SEC-9");
}

#[test]
fn an_orphan_needs_nights_and_a_preflight_and_a_new_ticket_a_command() {
    let mut scene = Scene::new(FindingState::Seen, Ticket::Gone);
    scene.history.done = ["missing/2026-11-21".to_owned(), "missing/2026-11-22".to_owned()].into();
    assert_eq!(scene.does(), ["missing/2026-11-23", "orphan"]);
    scene.preflight_passed = false;
    assert_eq!(scene.does(), ["missing/2026-11-23"]);
    scene.history.recreate = true;
    assert_eq!(scene.decide(), [Action::Create { generation: 2 }]);
}

#[test]
fn what_is_not_worth_a_ticket_is_not_filed() {
    let change: [fn(&mut Finding); 3] = [
        |one| one.severity = Severity::Low,
        |one| one.confidence = Confidence::Tentative,
        |one| one.third_party = true,
    ];
    for change in change {
        let mut scene = Scene::new(FindingState::New, Ticket::None);
        change(&mut scene.finding);
        assert_eq!(scene.decide(), []);
        scene.ticket = Ticket::Present(closed("Done", 100, false));
        assert_eq!(scene.decide(), []);
    }
    let mut scene = Scene::new(FindingState::New, Ticket::None);
    scene.finding.confidence = Confidence::Tentative;
    scene.policy.lifecycle.min_confidence_for = [("mixed-content".to_owned(), Confidence::Tentative)].into();
    assert_eq!(scene.does(), ["create"]);
}

fn issue(id: &str, category: &str, created: &str, stamp: Option<(&str, u32)>) -> Issue {
    let properties = stamp.map_or(json!({}), |(fingerprint, generation)| {
        json!({ crate::jira::PROPERTY: { "fingerprint": fingerprint, "generation": generation } })
    });
    serde_json::from_value(json!({
        "id": id, "key": format!("SEC-{id}"), "properties": properties,
        "fields": {
            "status": { "name": "Erledigt", "statusCategory": { "key": category } },
            "created": format!("2026-11-{created}T00:00:00.000+0000"),
        },
    }))
    .unwrap()
}

#[test]
fn one_of_several_matches_is_chosen_and_the_others_are_linked() {
    let ours = Some(("f", 1));
    let alias = Some(("old", 1));
    for (issues, expected, linked) in [
        (vec![], None, vec![]),
        (vec![issue("1", "new", "01", ours)], Some("1"), vec![]),
        (vec![issue("1", "new", "01", alias)], Some("1"), vec![]),
        (
            vec![issue("1", "done", "02", ours), issue("2", "new", "01", ours)],
            Some("2"),
            vec!["1"],
        ),
        (
            vec![issue("1", "new", "01", ours), issue("2", "indeterminate", "02", ours)],
            Some("2"),
            vec!["1"],
        ),
        (
            vec![issue("9", "new", "01", ours), issue("10", "new", "01", ours)],
            Some("10"),
            vec!["9"],
        ),
        (
            vec![issue("1", "done", "01", ours), issue("2", "new", "02", None)],
            Some("1"),
            vec![],
        ),
        (vec![issue("1", "new", "01", None)], Some("1"), vec![]),
        (vec![issue("1", "new", "01", Some(("other", 1)))], None, vec![]),
        (vec![issue("1", "new", "01", Some(("f", 2)))], None, vec![]),
    ] {
        let (own, old) = (Fingerprint("f".to_owned()), Fingerprint("old".to_owned()));
        let (ticket, others) = Ticket::among(&issues, &[&own, &old], 1);
        let chosen = match ticket {
            Ticket::Present(view) => Some(view.id),
            _ => None,
        };
        assert_eq!(chosen.as_deref(), expected, "{issues:?}");
        assert_eq!(others.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), linked);
    }
}

#[test]
fn a_picture_is_attached_to_an_open_ticket_once() {
    let mut scene = Scene::new(FindingState::Seen, Ticket::Present(open()));
    assert!(scene.does().is_empty());
    scene.pictured = true;
    assert_eq!(scene.does(), ["picture"]);
    scene.finding.state = FindingState::Fixed;
    assert!(!scene.does().contains(&"picture".to_owned()));
    scene.finding.state = FindingState::Seen;
    scene.history.done.insert("picture".to_owned());
    assert!(scene.does().is_empty());
    scene.history.done.clear();
    scene.ticket = Ticket::Present(closed("Won't Do", 24, false));
    assert!(!scene.does().contains(&"picture".to_owned()));
    scene.ticket = Ticket::None;
    assert_eq!(scene.does(), ["create"]);
}

#[test]
fn a_ticket_is_linked_to_its_finding_once_for_each_address() {
    let mut scene = Scene::new(FindingState::Seen, Ticket::Present(open()));
    scene.finding_url = Some("https://phantom.test/a");
    let link = scene.does();
    assert!(link.len() == 1 && link[0].starts_with("finding-link/"), "{link:?}");
    scene.history.done.insert(link[0].clone());
    assert!(scene.does().is_empty());
    scene.finding_url = Some("https://phantom.test/b");
    assert_eq!(scene.does().len(), 1, "it has moved");
}

#[test]
fn a_false_positive_is_looked_at_again_when_the_check_is_surer() {
    let ticket = Ticket::Present(closed("False Positive", 24 * 10, false));
    let mut scene = Scene::new(FindingState::Seen, ticket);
    let suppress = scene.does();
    assert!(suppress[0].starts_with("suppress/"), "{suppress:?}");
    scene.finding.confidence = Confidence::Firm;
    scene
        .history
        .ruled_confidence
        .insert(suppress[0].clone(), Confidence::Firm);
    assert_eq!(scene.does(), suppress);
    scene.finding.confidence = Confidence::Certain;
    assert!(!scene.does().contains(&suppress[0]), "{:?}", scene.does());
}
