//! What holds whatever the finding, its ticket and the policy are.

use proptest::prelude::*;

use super::*;

fn some_scene() -> impl Strategy<Value = Scene> {
    let state = prop::sample::select(vec![
        FindingState::New,
        FindingState::Seen,
        FindingState::NotObserved,
        FindingState::Fixed,
        FindingState::Regressed,
        FindingState::Suppressed,
        FindingState::Withdrawn,
    ]);
    let word = prop::sample::select(vec!["Done", "Won't Fix", "False Positive", "Duplicate"]);
    let ticket = prop_oneof![
        Just(Ticket::None),
        Just(Ticket::Gone),
        (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(linked, stamped, ignored)| {
            let labels = if ignored {
                vec!["phantom-ignore".to_owned()]
            } else {
                Vec::new()
            };
            Ticket::Present(TicketView {
                stamped,
                linked,
                labels,
                ..open()
            })
        }),
        (word, 0..5_000_u64, any::<bool>())
            .prop_map(|(word, hours, by_us)| Ticket::Present(closed(word, hours, by_us))),
    ];
    let severity = prop::sample::select(vec![
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ]);
    let mode = prop::sample::select(vec![Resolve::Comment, Resolve::Transition, Resolve::Never]);
    (state, ticket, severity, mode, 0..300_u64, any::<(bool, bool, bool)>()).prop_map(
        |(state, ticket, severity, mode, pages, (recreate, in_ticket, passed))| {
            let mut scene = Scene::new(state, ticket);
            scene.finding.severity = severity;
            scene.policy.lifecycle.resolve = mode;
            scene.pages = pages;
            scene.history.recreate = recreate;
            scene.suppressed_in_ticket = in_ticket;
            scene.severity_then = in_ticket.then_some(Severity::Medium);
            scene.preflight_passed = passed;
            scene
        },
    )
}

proptest! {
    #[test]
    fn whatever_happens(scene in some_scene()) {
        let actions = scene.decide();
        let creates: Vec<u32> = actions.iter().filter_map(|one| match one {
            Action::Create { generation } => Some(*generation),
            _ => None,
        }).collect();
        prop_assert!(creates.len() <= 1);
        if let (Ticket::Present(view), Some(generation)) = (&scene.ticket, creates.first()) {
            prop_assert_eq!(*generation, view.generation + 1, "never a second one of a generation");
            prop_assert_eq!(view.category, StatusCategory::Done);
        }
        if scene.finding.state == FindingState::NotObserved {
            prop_assert!(actions.iter().all(|one| *one == Action::Adopt));
        }
        if let Ticket::Present(view) = &scene.ticket {
            let words = ["Won't Fix", "False Positive", "Duplicate"];
            let decided = view.resolution.as_deref().is_some_and(|word| words.contains(&word)) || !view.labels.is_empty();
            let local = scene.finding.state == FindingState::Suppressed;
            let quiet = |one: &Action| match one {
                Action::Adopt | Action::Suppress(_) | Action::Unsuppress => true,
                Action::Comment(remark) => remark.says == Says::WorseThoughSuppressed,
                _ => false,
            };
            prop_assert!(!(decided || local) || actions.iter().all(quiet), "{:?}", actions);
            let moved = actions.iter().any(|one| matches!(one, Action::Reopen { .. } | Action::Resolve { .. }));
            let proved = scene.finding.state == FindingState::Fixed && scene.policy.lifecycle.resolve == Resolve::Transition;
            prop_assert!(!moved || view.category == StatusCategory::Done || proved);
        }
    }

    #[test]
    fn what_was_done_is_not_done_again(scene in some_scene()) {
        let first = scene.decide();
        let mut after = scene.clone();
        after.history.done.extend(first.iter().map(Action::occasion));
        let again = after.decide();
        for action in &first {
            let lasting = matches!(
                action,
                Action::Create { .. } | Action::Adopt | Action::SetProperty | Action::Unsuppress
            );
            prop_assert!(lasting || !again.contains(action), "{action:?}");
        }
    }
}
