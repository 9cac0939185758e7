//! What happens to a ticket: (finding, ticket, what was done before, policy, clock) → actions. Pure.
//!
//! What a person decided stays: a status is never moved between open ones, and what was closed stays closed until a
//! scan that began well after it speaks against it. Each action names its occasion, so that it happens once however
//! often it is decided: [`History`] holds the occasions that are over.

#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use phantom_checks::{Confidence, Severity};

use crate::config::{Lifecycle, Resolve};
use crate::triage::{Decision, Finding, FindingState};

use super::remark::short_hash;
pub use view::{Closed, StatusCategory, Ticket, TicketView};

/// Times that one ticket is reopened at most.
pub const MAX_REOPENS: u32 = 2;
/// Nights on which a ticket must be gone before it is called an orphan.
pub const ORPHAN_NIGHTS: u32 = 3;
/// A finding is worse when it is on at least this many times the pages that its ticket names …
const MORE_PAGES_FACTOR: u64 = 2;
/// … and on at least this many more.
const MORE_PAGES: u64 = 10;

/// Which findings are filed at all, and what happens to their tickets.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Findings below it are not filed.
    pub min_severity: Severity,
    /// Findings below it are not filed, unless their check has a confidence of its own.
    pub min_confidence: Confidence,
    /// What happens through time.
    pub lifecycle: Lifecycle,
}

/// All that a decision is made of.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// Pages on which its last scan saw it.
    pub pages: u64,
    /// Pages that a ticket lists; beyond these they are attached.
    pub max_rows: u64,
    /// When the last scan that saw it began.
    pub scan_began: Timestamp,
    /// How bad it was when it was suppressed, if it is.
    pub severity_then: Option<Severity>,
    /// It is suppressed because its ticket says so.
    pub suppressed_in_ticket: bool,
    /// When it was suppressed, if it is.
    pub suppressed_at: Option<Timestamp>,
    /// Its ticket.
    pub ticket: &'a Ticket,
    /// Which generation that is, or would be; the first is 1.
    pub generation: u32,
    /// Ids of other issues that are its tickets: further matches, or the generation before.
    pub relatives: &'a [String],
    /// What was done to this generation before.
    pub history: &'a History,
    /// Jira lets us do all that we need, as far as was asked.
    pub preflight_passed: bool,
    /// There is a picture of it.
    pub pictured: bool,
    /// Where people see it outside of Jira.
    pub finding_url: Option<&'a str>,
}

/// What was done before to one generation of a ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The occasions that are over, as [`Action::occasion`] names them.
    pub done: BTreeSet<String>,
    /// The worst severity that its text was given.
    pub told_severity: Option<Severity>,
    /// The most pages that its text was given.
    pub told_pages: Option<u64>,
    /// The version of the check when a decision was taken over from the ticket, by its occasion.
    pub ruled: BTreeMap<String, u32>,
    /// How sure the check was then, likewise.
    pub ruled_confidence: BTreeMap<String, Confidence>,
    /// When a decision without a time of its own was taken over first.
    pub ruled_at: BTreeMap<String, Timestamp>,
    /// A person asked for a new ticket in place of one that is gone.
    pub recreate: bool,
}

impl History {
    fn has(&self, occasion: &str) -> bool {
        self.done.contains(occasion)
    }

    fn count(&self, kind: &str) -> u32 {
        let count = self
            .done
            .iter()
            .filter(|one| one.split('/').next() == Some(kind))
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
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
    /// Link it to another ticket of this finding.
    LinkTo {
        /// The other issue's id.
        issue: String,
    },
    /// Attach the list of all pages.
    Attach {
        /// How many they are.
        pages: u64,
    },
    /// Attach the picture of the flaw.
    AttachPicture,
    /// Link it to where people see the finding outside of Jira.
    LinkFinding {
        /// Where that is.
        url: String,
    },
    /// Say something.
    Comment(Remark),
    /// Bring our own block of the description up to date.
    EditBlock {
        /// What makes it due.
        occasion: String,
    },
    /// Say why, and move it out of done.
    Reopen {
        /// 1 for the first time.
        time: u32,
    },
    /// Move it to done.
    Resolve {
        /// What makes it due.
        occasion: String,
    },
    /// Take over the decision of a person. Changes nothing in Jira.
    Suppress(Ruling),
    /// The person has taken that decision back. Changes nothing in Jira.
    Unsuppress,
    /// Tell that the ticket is gone. Changes nothing in Jira.
    Missing {
        /// The night, as a date in UTC.
        night: String,
    },
    /// Note that the finding has lost its ticket for good. Changes nothing in Jira.
    Orphan,
}

/// Something that is said once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What.
    pub says: Says,
    /// What makes it due.
    pub occasion: String,
}

/// What a comment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It was seen again, so the ticket is reopened.
    Reopened,
    /// It is still there; the ticket is not reopened any more.
    StillThere,
    /// It became worse.
    Worse,
    /// It became worse, although it is suppressed.
    WorseThoughSuppressed,
    /// It is proved fixed.
    Fixed,
    /// The fix of a person is verified.
    Verified,
    /// It is not looked for any more.
    Withdrawn,
    /// The ticket that it duplicates is done, and it is still there.
    DuplicateDone,
}

impl Says {
    /// The word in the idempotency key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reopened => "say-reopened",
            Self::StillThere => "say-still-there",
            Self::Worse => "say-worse",
            Self::WorseThoughSuppressed => "say-worse-though-suppressed",
            Self::Fixed => "say-fixed",
            Self::Verified => "say-verified",
            Self::Withdrawn => "say-withdrawn",
            Self::DuplicateDone => "say-duplicate-done",
        }
    }
}

/// The decision of a person in a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// What was decided.
    pub decision: Decision,
    /// The resolution or label that says so.
    pub word: String,
    /// Who; empty if Jira does not say.
    pub who: String,
    /// It holds until then; `None` means for ever.
    pub until: Option<Timestamp>,
    /// When it was made, or what it stands in, so that a later one is told from it.
    pub occasion: String,
}

impl Action {
    /// What it is done for, within one generation: `kind/n`. Never done twice.
    pub fn occasion(&self) -> String {
        match self {
            Self::Create { .. } => "create".to_owned(),
            Self::Adopt => "adopt".to_owned(),
            Self::SetProperty => "set-property".to_owned(),
            Self::LinkTo { issue } => format!("link/{issue}"),
            Self::Attach { pages } => format!("attach/{pages}"),
            Self::AttachPicture => "picture".to_owned(),
            Self::LinkFinding { url } => format!("finding-link/{}", short_hash(url.as_bytes())),
            Self::Comment(remark) => format!("{}/{}", remark.says.as_str(), remark.occasion),
            Self::EditBlock { occasion } => format!("edit/{occasion}"),
            Self::Reopen { time } => format!("reopen/{time}"),
            Self::Resolve { occasion } => format!("resolve/{occasion}"),
            Self::Suppress(ruling) => format!("suppress/{}", ruling.occasion),
            Self::Unsuppress => "unsuppress".to_owned(),
            Self::Missing { night } => format!("missing/{night}"),
            Self::Orphan => "orphan".to_owned(),
        }
    }
}

impl Policy {
    /// Is this finding filed? What is in frames of other sites never is.
    pub fn files(&self, finding: &Finding) -> bool {
        let least = self.lifecycle.min_confidence_for.get(&finding.check);
        !finding.third_party
            && finding.severity >= self.min_severity
            && finding.confidence >= least.copied().unwrap_or(self.min_confidence)
    }
}

/// Decides what happens to the ticket of a finding.
pub fn decide(situation: &Situation<'_>, policy: &Policy, now: Timestamp) -> Vec<Action> {
    let actions = match situation.ticket {
        Ticket::None => without_ticket(situation, policy),
        Ticket::Gone => gone(situation, policy, now),
        Ticket::Present(view) => Table {
            situation,
            policy,
            view,
            now,
        }
        .row(),
    };
    let over = |action: &Action| match action {
        // What is true or false now, and not an occasion.
        Action::Create { .. } | Action::Adopt | Action::SetProperty | Action::Unsuppress => false,
        other => situation.history.has(&other.occasion()),
    };
    actions.into_iter().filter(|action| !over(action)).collect()
}

fn is_seen(state: FindingState) -> bool {
    match state {
        FindingState::New | FindingState::Seen | FindingState::Regressed => true,
        FindingState::NotObserved | FindingState::Fixed | FindingState::Suppressed | FindingState::Withdrawn => false,
    }
}

fn without_ticket(situation: &Situation<'_>, policy: &Policy) -> Vec<Action> {
    if is_seen(situation.finding.state) && policy.files(situation.finding) {
        let generation = situation.generation;
        vec![Action::Create { generation }]
    } else {
        Vec::new()
    }
}

fn gone(situation: &Situation<'_>, policy: &Policy, now: Timestamp) -> Vec<Action> {
    if !is_seen(situation.finding.state) || !policy.files(situation.finding) {
        return Vec::new();
    }
    if situation.history.recreate {
        let generation = situation.generation + 1;
        return vec![Action::Create { generation }];
    }
    let missing = Action::Missing {
        night: now.strftime("%Y-%m-%d").to_string(),
    };
    let tonight = u32::from(!situation.history.has(&missing.occasion()));
    let mut actions = vec![missing];
    if situation.preflight_passed && situation.history.count("missing") + tonight >= ORPHAN_NIGHTS {
        actions.push(Action::Orphan);
    }
    actions
}

/// A time later, or the last time there is.
fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

fn said(says: Says, occasion: impl Into<String>) -> Action {
    let occasion = occasion.into();
    Action::Comment(Remark { says, occasion })
}

/// The columns of the state table that have a ticket.
struct Table<'a> {
    situation: &'a Situation<'a>,
    policy: &'a Policy,
    view: &'a TicketView,
    now: Timestamp,
}

impl Table<'_> {
    fn row(&self) -> Vec<Action> {
        let finding = self.situation.finding;
        let ruling = self.ruling();
        let done = self.view.category == StatusCategory::Done;
        let mut actions = Vec::new();
        if !self.view.linked {
            actions.push(Action::Adopt);
        }
        match finding.state {
            FindingState::New | FindingState::Seen | FindingState::Regressed => {
                actions.extend(self.links());
                match ruling {
                    Some(ruling) => actions.extend(self.seen_though_suppressed(ruling)),
                    None if !self.policy.files(finding) => {}
                    None if done => actions.extend(self.seen_though_done()),
                    None => actions.extend(self.seen_while_open()),
                }
            }
            FindingState::Suppressed => actions.extend(self.suppressed(ruling.as_ref())),
            FindingState::Fixed if ruling.is_none() => actions.extend(self.fixed()),
            FindingState::Withdrawn if ruling.is_none() && !done => {
                actions.push(said(Says::Withdrawn, moment(finding.past.withdrawn)));
            }
            FindingState::NotObserved | FindingState::Fixed | FindingState::Withdrawn => {}
        }
        actions
    }

    fn links(&self) -> Vec<Action> {
        let missing = self.situation.relatives.iter();
        missing
            .filter(|id| **id != self.view.id && !self.view.linked_to.contains(id))
            .map(|id| Action::LinkTo { issue: id.clone() })
            .collect()
    }

    fn seen_while_open(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.view.stamped {
            actions.push(Action::SetProperty);
        }
        let (finding, history, pages) = (self.situation.finding, self.situation.history, self.situation.pages);
        let worse = history.told_severity.is_some_and(|told| finding.severity > told);
        let more = history
            .told_pages
            .is_some_and(|told| pages >= told.saturating_mul(MORE_PAGES_FACTOR) && pages >= told + MORE_PAGES);
        if worse || more {
            let occasion = format!("{}-{pages}", finding.severity.as_str());
            // The comment first: the edit is what ends the occasion.
            actions.push(said(Says::Worse, occasion.clone()));
            actions.push(Action::EditBlock { occasion });
        }
        if pages > self.situation.max_rows && (more || history.count("attach") == 0) {
            actions.push(Action::Attach { pages });
        }
        if self.situation.pictured {
            // Once, whatever later pictures show.
            actions.push(Action::AttachPicture);
        }
        if let Some(url) = self.situation.finding_url {
            actions.push(Action::LinkFinding { url: url.to_owned() });
        }
        actions
    }

    fn seen_though_done(&self) -> Vec<Action> {
        let Some(closed) = &self.view.closed else {
            return Vec::new();
        };
        let (began, lifecycle) = (self.situation.scan_began, &self.policy.lifecycle);
        if began < after(closed.when, lifecycle.reopen_grace) {
            return Vec::new();
        }
        if began > after(closed.when, lifecycle.reopen_window.max(lifecycle.reopen_grace)) {
            let generation = self.view.generation + 1;
            return vec![Action::Create { generation }];
        }
        let reopened = self.situation.history.count("reopen");
        if reopened < MAX_REOPENS {
            vec![Action::Reopen { time: reopened + 1 }]
        } else {
            vec![said(Says::StillThere, "1")]
        }
    }

    fn seen_though_suppressed(&self, ruling: Ruling) -> Vec<Action> {
        let mut actions = Vec::new();
        actions.extend(self.worse_though_suppressed());
        if ruling.decision == Decision::Duplicate {
            actions.extend(self.duplicate());
        }
        actions.push(Action::Suppress(ruling));
        actions
    }

    fn suppressed(&self, ruling: Option<&Ruling>) -> Vec<Action> {
        let mut actions = Vec::new();
        if ruling.is_none() && self.situation.suppressed_in_ticket {
            return vec![Action::Unsuppress];
        }
        actions.extend(self.worse_though_suppressed());
        let seen_since = self
            .situation
            .suppressed_at
            .is_some_and(|at| self.situation.finding.last_seen > at);
        if ruling.is_some_and(|one| one.decision == Decision::Duplicate) && seen_since {
            actions.extend(self.duplicate());
        }
        actions
    }

    fn worse_though_suppressed(&self) -> Option<Action> {
        let severity = self.situation.finding.severity;
        let then = self.situation.severity_then.or(self.situation.history.told_severity)?;
        (severity > then).then(|| said(Says::WorseThoughSuppressed, severity.as_str()))
    }

    /// A duplicate follows its link.
    fn duplicate(&self) -> Option<Action> {
        let (key, done) = self.view.duplicate_of.as_ref()?;
        done.then(|| said(Says::DuplicateDone, key.clone()))
    }

    fn fixed(&self) -> Vec<Action> {
        let occasion = moment(self.situation.finding.past.fixed);
        match (self.view.category, &self.view.closed, self.policy.lifecycle.resolve) {
            (StatusCategory::Open, _, Resolve::Comment) => vec![said(Says::Fixed, occasion)],
            (StatusCategory::Open, _, Resolve::Transition) => {
                vec![said(Says::Fixed, occasion.clone()), Action::Resolve { occasion }]
            }
            (StatusCategory::Done, Some(closed), Resolve::Comment | Resolve::Transition) if !closed.by_us => {
                vec![said(Says::Verified, occasion)]
            }
            _ => Vec::new(),
        }
    }

    /// The decision that stands in the ticket, if it still holds.
    fn ruling(&self) -> Option<Ruling> {
        self.resolution_ruling().or_else(|| self.label_ruling())
    }

    fn resolution_ruling(&self) -> Option<Ruling> {
        let word = self.view.resolution.as_ref()?;
        let lifecycle = &self.policy.lifecycle;
        let named = lifecycle.suppress_resolutions.iter();
        if self.view.category != StatusCategory::Done || !named.into_iter().any(|one| one.eq_ignore_ascii_case(word)) {
            return None;
        }
        let when = self.view.closed.as_ref().map(|closed| closed.when);
        let occasion = moment(when);
        let decision = decision(word);
        let until = match (lifecycle.expiry(word), when) {
            (Some(expiry), Some(when)) => Some(after(when, expiry)),
            (Some(expiry), None) => Some(after(self.first_ruled(&occasion), expiry)),
            (None, _) => None,
        };
        // A false positive is looked at again when the check has changed since, or is surer now.
        let (finding, history) = (self.situation.finding, self.situation.history);
        let ruled = format!("suppress/{occasion}");
        let other_check = history
            .ruled
            .get(&ruled)
            .is_some_and(|then| *then != finding.check_version);
        let surer = history
            .ruled_confidence
            .get(&ruled)
            .is_some_and(|then| finding.confidence > *then);
        let look_again = decision == Decision::FalsePositive && (other_check || surer);
        if until.is_some_and(|until| until <= self.now) || look_again {
            return None;
        }
        Some(Ruling {
            decision,
            word: word.clone(),
            who: self
                .view
                .closed
                .as_ref()
                .map_or(String::new(), |closed| closed.who.clone()),
            until,
            occasion,
        })
    }

    fn label_ruling(&self) -> Option<Ruling> {
        let word = &self.policy.lifecycle.suppress_label;
        if !self.view.labels.iter().any(|label| label.eq_ignore_ascii_case(word)) {
            return None;
        }
        let occasion = "label".to_owned();
        let expiry = self.policy.lifecycle.suppress_expiry_default;
        let until = expiry.map(|expiry| after(self.first_ruled(&occasion), expiry));
        if until.is_some_and(|until| until <= self.now) {
            return None;
        }
        Some(Ruling {
            decision: Decision::Ignored,
            word: word.clone(),
            who: String::new(),
            until,
            occasion,
        })
    }

    fn first_ruled(&self, occasion: &str) -> Timestamp {
        let first = self.situation.history.ruled_at.get(&format!("suppress/{occasion}"));
        first.copied().unwrap_or(self.now)
    }
}

/// A time as an occasion.
fn moment(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "unknown".to_owned(), |time| time.as_millisecond().to_string())
}

/// What a resolution means, by its name: administrators choose it.
fn decision(resolution: &str) -> Decision {
    let name = resolution.to_lowercase();
    if name.contains("duplicate") {
        Decision::Duplicate
    } else if name.contains("false") || name.contains("invalid") || name.contains("not a bug") {
        Decision::FalsePositive
    } else {
        Decision::WontFix
    }
}
