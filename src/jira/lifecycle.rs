//! What happens to a ticket: (finding, ticket, policy, clock) → actions. Pure.
//!
//! A finding that is seen and has no ticket gets one; an open ticket is adopted and stamped. Whatever a person closed
//! stays as it is.

use jiff::Timestamp;
use phantom_checks::{Confidence, Severity};

use super::issue::Issue;
use crate::triage::{Finding, FindingState, Fingerprint};

/// Which findings are filed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Findings below it are not filed.
    pub min_severity: Severity,
    /// Findings below it are not filed.
    pub min_confidence: Confidence,
}

/// What was read of a finding's ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ticket {
    /// There is none.
    None,
    /// There is one.
    Present(TicketView),
    /// There was one, but Jira does not show it to us any more: deleted, or forbidden.
    Gone,
}

/// A ticket as Jira shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketView {
    /// Outlives moves between projects.
    pub id: String,
    /// What people call it.
    pub key: String,
    /// Which of a finding's tickets it is; the first is 1.
    pub generation: u32,
    /// What its status means.
    pub category: StatusCategory,
    /// Its entity property names this finding and generation.
    pub stamped: bool,
    /// The store knows it, as it is now, as the ticket of this finding.
    pub linked: bool,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// What a status means, whatever an administrator called it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusCategory {
    /// Nobody works on it, somebody does, or Jira says what this version does not know: not done.
    Open,
    /// Done.
    Done,
}

/// What is to be done. In the order in which they are returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create the ticket of this generation.
    Create {
        /// 1 for the first.
        generation: u32,
    },
    /// Remember the ticket that was found as the one of this finding. Changes nothing in Jira.
    Adopt,
    /// Set the entity property.
    SetProperty,
}

impl Policy {
    /// Is this finding filed? What is in frames of other sites never is.
    pub fn files(&self, finding: &Finding) -> bool {
        !finding.third_party && finding.severity >= self.min_severity && finding.confidence >= self.min_confidence
    }
}

/// Decides what happens to the ticket of a finding.
pub fn decide(finding: &Finding, ticket: &Ticket, policy: &Policy, _now: Timestamp) -> Vec<Action> {
    let seen = match finding.state {
        FindingState::New | FindingState::Seen | FindingState::Regressed => true,
        FindingState::NotObserved | FindingState::Fixed | FindingState::Suppressed | FindingState::Withdrawn => false,
    };
    if !seen || !policy.files(finding) {
        return Vec::new();
    }
    match ticket {
        Ticket::None => vec![Action::Create { generation: 1 }],
        Ticket::Present(view) => {
            let mut actions = Vec::new();
            if !view.linked {
                actions.push(Action::Adopt);
            }
            if !view.stamped && view.category == StatusCategory::Open {
                actions.push(Action::SetProperty);
            }
            actions
        }
        Ticket::Gone => Vec::new(),
    }
}

impl TicketView {
    /// An issue as the ticket of a finding.
    pub fn of(issue: &Issue, fingerprint: &Fingerprint, generation: u32) -> Self {
        let done = issue
            .fields
            .status
            .as_ref()
            .and_then(|status| status.status_category.as_ref())
            .is_some_and(|category| category.key == "done");
        Self {
            id: issue.id.clone(),
            key: issue.key.clone(),
            generation,
            category: if done {
                StatusCategory::Done
            } else {
                StatusCategory::Open
            },
            stamped: issue
                .stamp()
                .is_some_and(|stamp| stamp.fingerprint == *fingerprint && stamp.generation == generation),
            linked: false,
            created: issue.fields.created.as_deref().and_then(|text| text.parse().ok()),
        }
    }
}

impl Ticket {
    /// The ticket of a finding among the issues that carry its label.
    ///
    /// An issue whose property names another finding is not ours: somebody copied the label. One without property
    /// counts only if none has the right one. Open before done, then newest.
    pub fn among(issues: &[Issue], fingerprint: &Fingerprint, generation: u32) -> Self {
        issues
            .iter()
            .filter_map(|issue| {
                let view = TicketView::of(issue, fingerprint, generation);
                let foreign = issue.stamp().is_some() && !view.stamped;
                (!foreign).then_some(view)
            })
            .min_by(|a, b| {
                (!a.stamped, a.category)
                    .cmp(&(!b.stamped, b.category))
                    .then_with(|| b.created.cmp(&a.created))
                    .then_with(|| (b.id.len(), &b.id).cmp(&(a.id.len(), &a.id)))
            })
            .map_or(Self::None, Self::Present)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tickets::testing::finding;

    const POLICY: Policy = Policy {
        min_severity: Severity::Medium,
        min_confidence: Confidence::Firm,
    };

    fn view(category: StatusCategory, linked: bool, stamped: bool) -> Ticket {
        Ticket::Present(TicketView {
            id: "1".to_owned(),
            key: "SEC-1".to_owned(),
            generation: 1,
            category,
            stamped,
            linked,
            created: None,
        })
    }

    #[test]
    fn the_state_table() {
        use StatusCategory::{Done, Open};
        let create = vec![Action::Create { generation: 1 }];
        for (ticket, expected) in [
            (Ticket::None, create),
            (view(Open, false, true), vec![Action::Adopt]),
            (view(Open, false, false), vec![Action::Adopt, Action::SetProperty]),
            (view(Open, true, true), vec![]),
            (view(Open, true, false), vec![Action::SetProperty]),
            (view(Done, true, true), vec![]),
            (view(Done, false, false), vec![Action::Adopt]),
            (Ticket::Gone, vec![]),
        ] {
            for state in [FindingState::New, FindingState::Seen, FindingState::Regressed] {
                let mut finding = finding(1);
                finding.state = state;
                assert_eq!(
                    decide(&finding, &ticket, &POLICY, Timestamp::UNIX_EPOCH),
                    expected,
                    "{ticket:?}"
                );
            }
            for state in [
                FindingState::NotObserved,
                FindingState::Fixed,
                FindingState::Suppressed,
                FindingState::Withdrawn,
            ] {
                let mut finding = finding(1);
                finding.state = state;
                assert_eq!(
                    decide(&finding, &ticket, &POLICY, Timestamp::UNIX_EPOCH),
                    [],
                    "{state:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_worth_a_ticket_is_not_filed() {
        let mut low = finding(1);
        low.severity = Severity::Low;
        let mut unsure = finding(1);
        unsure.confidence = Confidence::Tentative;
        let mut foreign = finding(1);
        foreign.third_party = true;
        for finding in [low, unsure, foreign] {
            assert_eq!(decide(&finding, &Ticket::None, &POLICY, Timestamp::UNIX_EPOCH), []);
        }
    }

    fn issue(id: &str, category: &str, created: &str, stamp: Option<(&str, u32)>) -> Issue {
        let properties = stamp.map_or(json!({}), |(fingerprint, generation)| {
            json!({ super::super::PROPERTY: { "fingerprint": fingerprint, "generation": generation } })
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
    fn one_of_several_matches_is_chosen() {
        let ours = Some(("f", 1));
        for (issues, expected) in [
            (vec![], None),
            (vec![issue("1", "new", "01", ours)], Some("1")),
            (
                vec![issue("1", "done", "02", ours), issue("2", "new", "01", ours)],
                Some("2"),
            ),
            (
                vec![issue("1", "new", "01", ours), issue("2", "indeterminate", "02", ours)],
                Some("2"),
            ),
            (
                vec![issue("1", "done", "01", ours), issue("2", "done", "02", ours)],
                Some("2"),
            ),
            (
                vec![issue("9", "new", "01", ours), issue("10", "new", "01", ours)],
                Some("10"),
            ),
            (
                vec![issue("1", "done", "01", ours), issue("2", "new", "02", None)],
                Some("1"),
            ),
            (vec![issue("1", "new", "01", None)], Some("1")),
            (vec![issue("1", "new", "01", Some(("other", 1)))], None),
            (vec![issue("1", "new", "01", Some(("f", 2)))], None),
        ] {
            let chosen = match Ticket::among(&issues, &Fingerprint("f".to_owned()), 1) {
                Ticket::Present(view) => Some(view.id),
                _ => None,
            };
            assert_eq!(chosen.as_deref(), expected, "{issues:?}");
        }
    }
}
