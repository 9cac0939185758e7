//! What was read of a finding's ticket.

use jiff::Timestamp;

use crate::jira::issue::{Issue, LinkDirection, Resolver, Status, time};
use crate::triage::Fingerprint;

/// What was read of a finding's ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // one at a time is held
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
    /// The name of its resolution.
    pub resolution: Option<String>,
    /// Its labels.
    pub labels: Vec<String>,
    /// How it came to its end; `None` if it is open, or if nobody knows.
    pub closed: Option<Closed>,
    /// The issue that it says it is a duplicate of, and whether that one is done.
    pub duplicate_of: Option<(String, bool)>,
    /// Ids of the issues that it is linked to, whatever the link says.
    pub linked_to: Vec<String>,
}

/// How a ticket came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// When.
    pub when: Timestamp,
    /// It was us.
    pub by_us: bool,
    /// Who it was; empty if Jira does not say.
    pub who: String,
}

/// What a status means, whatever an administrator called it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusCategory {
    /// Nobody works on it, somebody does, or Jira says what this version does not know: not done.
    Open,
    /// Done.
    Done,
}

impl TicketView {
    /// An issue as the ticket of a finding.
    pub fn of(issue: &Issue, fingerprint: &Fingerprint, generation: u32) -> Self {
        let fields = &issue.fields;
        let done = fields.status.as_ref().is_some_and(Status::is_done);
        let duplicates = fields
            .links
            .iter()
            .find(|link| link.direction == LinkDirection::Outward && link.kind.to_lowercase().contains("duplicate"));
        let resolved = fields.resolution_date.as_deref().and_then(time);
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
            created: fields.created.as_deref().and_then(time),
            resolution: fields.resolution.as_ref().map(|one| one.name.clone()),
            labels: fields.labels.clone(),
            closed: resolved.filter(|_| done).map(|when| Closed {
                when,
                by_us: false,
                who: String::new(),
            }),
            duplicate_of: duplicates.map(|link| {
                let done = link.status.as_ref().is_some_and(Status::is_done);
                (link.key.clone(), done)
            }),
            linked_to: fields.links.iter().map(|link| link.id.clone()).collect(),
        }
    }

    /// With what the issue's history says of its end.
    #[must_use]
    pub fn closed_by(mut self, resolver: Option<Resolver>) -> Self {
        if let Some(resolver) = resolver.filter(|_| self.category == StatusCategory::Done) {
            self.closed = Some(Closed {
                when: resolver.when,
                by_us: resolver.mine,
                who: resolver.who.name,
            });
        }
        self
    }
}

impl Ticket {
    /// The ticket of a finding among the issues that carry its label, and the others that are its tickets too.
    ///
    /// `known` are the fingerprints that the property may name: the finding's own and its earlier ones. An issue whose
    /// property names another finding is not ours: somebody copied the label. One without property counts only if
    /// none has the right one. Open before done, then newest.
    pub fn among(issues: &[Issue], known: &[&Fingerprint], generation: u32) -> (Self, Vec<TicketView>) {
        let mut views: Vec<(bool, TicketView)> = issues
            .iter()
            .filter_map(|issue| {
                let own = known.first()?;
                let view = TicketView::of(issue, own, generation);
                let stamp = issue.stamp();
                let ours = stamp
                    .as_ref()
                    .is_some_and(|stamp| stamp.generation == generation && known.contains(&&stamp.fingerprint));
                (ours || stamp.is_none()).then_some((ours, view))
            })
            .collect();
        views.sort_by(|(a_ours, a), (b_ours, b)| {
            (!a_ours, a.category)
                .cmp(&(!b_ours, b.category))
                .then_with(|| b.created.cmp(&a.created))
                .then_with(|| (b.id.len(), &b.id).cmp(&(a.id.len(), &a.id)))
        });
        let mut views = views.into_iter();
        let Some((_, chosen)) = views.next() else {
            return (Self::None, Vec::new());
        };
        let others = views.filter(|(ours, _)| *ours).map(|(_, view)| view).collect();
        (Self::Present(chosen), others)
    }
}
