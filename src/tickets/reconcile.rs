//! One intent: read the ticket, decide, and have each action done.

use jiff::Timestamp;

use super::clock::{Clock, between};
use super::gate::Gate;
use super::outbox::{ActionKind, ActionRecord, ActionState, Detail, Held, Hold, Intent, TicketLink};
use super::perform::Done;
use super::route::{defaults_for, search_projects};
use super::worker::{Fence, Timing};
use crate::config::{JiraConfig, kinds};
use crate::jira::{
    Action, Client, Failure, History, MAX_ROWS, Material, NewIssue, ORPHAN_NIGHTS, Policy, Situation, StatusCategory,
    Ticket, TicketView, decide, new_issue,
};
use crate::store::{StoreError, TicketStore};
use crate::triage::{DecidedIn, Finding, FindingState, Fingerprint};

/// Earlier fingerprints under which a ticket is looked for.
const ALIASES: usize = 5;
/// Times that a ticket is looked at again because something was just done to it.
const ROUNDS: usize = 3;

/// What came of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Created { key: String },
    Adopted { key: String },
    Changed { key: String, did: Vec<String> },
    Unchanged { key: String },
    NotFiled,
    Gone { key: String, orphan: bool },
    Dead { error: String, fresh: bool },
}

/// Why an intent could not be brought to its end now.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store failed; the run ends.
    Store(StoreError),
    /// Another process works the outbox; the run ends.
    LostLease,
    /// Nothing can be done with this configuration; the run ends.
    Configuration(String),
    /// Something may have happened, and it may not show yet.
    Settling,
    /// It must wait, and that is no failure.
    Held(Held, Timestamp, Option<Hold>),
    /// Jira.
    Jira(Failure),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Jira(failure)
    }
}

/// What one reconciliation works with.
pub(super) struct Reconciler<'a> {
    pub store: &'a dyn TicketStore,
    pub jira: &'a Client,
    pub config: &'a JiraConfig,
    pub timing: &'a Timing,
    pub clock: &'a dyn Clock,
    pub fence: &'a Fence<'a>,
    pub gate: &'a Gate,
    /// Dead letters older than this are tried again.
    pub revive_before: Timestamp,
}

/// A finding and what is known of it, while its ticket is brought into line.
pub(super) struct Case {
    pub finding: Finding,
    pub pages: u64,
    pub generation: u32,
    /// It was held by an earlier run, which counted it.
    pub counted: bool,
    pub actions: Vec<ActionRecord>,
    pub links: Vec<TicketLink>,
    /// There is a picture of it.
    pub pictured: bool,
    /// Where people see it outside of Jira.
    pub finding_url: Option<String>,
}

impl Case {
    pub fn link(&self) -> Option<&TicketLink> {
        self.links.last()
    }

    /// The answer to a create never came.
    fn may_have_been_created(&self) -> bool {
        let create = self.recorded(&create_key(&self.finding.fingerprint, self.generation));
        create.is_some_and(|action| matches!(action.state, ActionState::Sending | ActionState::Uncertain))
    }

    pub fn recorded(&self, key: &str) -> Option<&ActionRecord> {
        self.actions.iter().find(|action| action.key == key)
    }
}

impl Reconciler<'_> {
    pub async fn reconcile(&self, intent: &Intent) -> Result<Outcome, Trouble> {
        let policy = policy(self.config);
        let mut result = Outcome::NotFiled;
        for _ in 0..ROUNDS {
            let Some(case) = self.case(intent).await? else {
                return Ok(result);
            };
            let filed = is_seen(&case.finding) && policy.files(&case.finding);
            // A ticket that may have been created is looked for, whatever has become of its finding.
            if case.links.is_empty() && !filed && !case.may_have_been_created() {
                return Ok(result);
            }
            let (outcome, again) = self.round(&case, &policy).await?;
            result = merged(result, outcome);
            if !again {
                break;
            }
        }
        Ok(result)
    }

    async fn case(&self, intent: &Intent) -> Result<Option<Case>, Trouble> {
        let Some(finding) = self.store.finding(&intent.fingerprint).await? else {
            return Ok(None);
        };
        let links = self.store.tickets_of(&intent.fingerprint).await?;
        let actions = self.store.actions(&intent.fingerprint).await?;
        let (_, pages) = self
            .store
            .finding_pages(&finding.last_scan, &finding.fingerprint, 1)
            .await?;
        Ok(Some(Case {
            pictured: self.store.picture(&finding.fingerprint).await?.is_some(),
            finding_url: finding_url(self.config, &finding.fingerprint),
            pages,
            generation: links.last().map_or(1, |link| link.generation),
            counted: intent.held.is_some(),
            finding,
            actions,
            links,
        }))
    }

    /// Looks once and does what is decided. Says whether the ticket should be looked at again.
    async fn round(&self, case: &Case, policy: &Policy) -> Result<(Outcome, bool), Trouble> {
        let create = create_key(&case.finding.fingerprint, case.generation);
        if case.links.is_empty()
            && let Some(dead) = case.recorded(&create).filter(|action| self.stays_dead(action))
        {
            let error = dead.error.clone().unwrap_or_default();
            return Ok((Outcome::Dead { error, fresh: false }, false));
        }
        // Read before the search: what was searchable by then is found by it.
        let now = self.clock.now();
        let (ticket, others) = match case.link() {
            Some(link) => (self.read(link).await?, Vec::new()),
            None => self.recover(&case.finding, case.generation).await?,
        };
        if ticket == Ticket::None
            && case
                .recorded(&create)
                .is_some_and(|action| self.may_still_show(action, now))
        {
            return Err(Trouble::Settling);
        }
        if let Ticket::Present(view) = &ticket {
            self.confirm(case, view).await?;
        }
        let decided = self.decide(case, &ticket, &others, policy).await?;
        self.perform_all(case, &ticket, decided).await
    }

    pub(super) fn stays_dead(&self, action: &ActionRecord) -> bool {
        action.state == ActionState::Dead && action.at >= self.revive_before
    }

    pub(super) fn may_still_show(&self, action: &ActionRecord, now: Timestamp) -> bool {
        matches!(action.state, ActionState::Sending | ActionState::Uncertain)
            && between(action.at, now) < self.timing.settle
    }

    /// The stored ticket wins, wherever it was moved.
    pub(super) async fn read(&self, link: &TicketLink) -> Result<Ticket, Trouble> {
        self.fence.check().await?;
        match self.jira.issue(&link.issue_id).await {
            Ok(issue) => {
                let view = TicketView::of(&issue, &link.fingerprint, link.generation);
                let mut view = self.with_end(view).await?;
                view.linked = view.id == link.issue_id && view.key == link.issue_key;
                Ok(Ticket::Present(view))
            }
            Err(Failure::NotFound { .. }) => Ok(Ticket::Gone),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Who closed it decides what may be done with it.
    async fn with_end(&self, view: TicketView) -> Result<TicketView, Trouble> {
        if view.category == StatusCategory::Open {
            return Ok(view);
        }
        match self.jira.resolved_by(&view.id).await {
            Ok(resolver) => Ok(view.closed_by(resolver)),
            Err(Failure::NotFound { .. }) => Ok(view),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Looks for a ticket that the store does not know, under the finding's fingerprint, then under earlier ones.
    pub(super) async fn recover(
        &self,
        finding: &Finding,
        generation: u32,
    ) -> Result<(Ticket, Vec<TicketView>), Trouble> {
        let mut known = vec![&finding.fingerprint];
        known.extend(finding.past.aliases.iter().rev().take(ALIASES));
        for fingerprint in &known {
            let (ticket, others) = self.search(fingerprint, &known, generation).await?;
            if let Ticket::Present(view) = ticket {
                return Ok((Ticket::Present(self.with_end(view).await?), others));
            }
        }
        Ok((Ticket::None, Vec::new()))
    }

    /// A search that Jira refuses would be refused for every finding.
    pub(super) async fn search(
        &self,
        fingerprint: &Fingerprint,
        known: &[&Fingerprint],
        generation: u32,
    ) -> Result<(Ticket, Vec<TicketView>), Trouble> {
        self.fence.check().await?;
        let projects = search_projects(self.config);
        match self.jira.find(&projects, fingerprint, generation).await {
            Ok(issues) => Ok(Ticket::among(&issues, known, generation)),
            Err(failure @ (Failure::Rejected { .. } | Failure::NotFound { .. })) => Err(Trouble::Configuration(
                format!("{failure}; check `base_url`, `project` and `search_projects` in [jira]"),
            )),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn decide(
        &self,
        case: &Case,
        ticket: &Ticket,
        others: &[TicketView],
        policy: &Policy,
    ) -> Result<Vec<Action>, Trouble> {
        let finding = &case.finding;
        let history = history(&case.actions, case.generation);
        let scan = self.store.scan(&finding.last_scan).await?;
        let suppression = match &finding.past.suppressed_by {
            Some(id) if finding.state == FindingState::Suppressed => {
                let all = self.store.suppressions().await?;
                all.into_iter().find(|one| one.id == *id)
            }
            _ => None,
        };
        let mut relatives: Vec<String> = others.iter().map(|view| view.id.clone()).collect();
        let before = case.links.iter().rev().nth(1);
        relatives.extend(before.map(|link| link.issue_id.clone()));
        let gone_long = history.done.iter().filter(|one| one.starts_with("missing/")).count() + 1
            >= usize::try_from(ORPHAN_NIGHTS).unwrap_or(usize::MAX);
        let preflight_passed = *ticket == Ticket::Gone && gone_long && self.may_all(case).await?;
        let situation = Situation {
            finding,
            pages: case.pages,
            max_rows: u64::from(MAX_ROWS),
            scan_began: scan.map_or(finding.last_seen, |scan| scan.started),
            severity_then: suppression.as_ref().and_then(|one| one.severity_then),
            suppressed_in_ticket: suppression
                .as_ref()
                .is_some_and(|one| one.decided_in == DecidedIn::Ticket),
            suppressed_at: suppression.as_ref().map(|one| one.created),
            ticket,
            generation: case.generation,
            relatives: &relatives,
            history: &history,
            preflight_passed,
            pictured: case.pictured,
            finding_url: case.finding_url.as_deref(),
        };
        Ok(decide(&situation, policy, self.clock.now()))
    }

    /// Do we have all permissions in the project of a ticket? If not, it may only be hidden from us.
    async fn may_all(&self, case: &Case) -> Result<bool, Trouble> {
        let project = case.link().map_or("", TicketLink::project);
        match self.jira.permissions(project).await {
            Ok(held) => Ok(held.values().all(|held| *held)),
            Err(Failure::NotFound { .. } | Failure::Forbidden { .. } | Failure::Rejected { .. }) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn perform_all(
        &self,
        case: &Case,
        ticket: &Ticket,
        decided: Vec<Action>,
    ) -> Result<(Outcome, bool), Trouble> {
        let mut outcome = match ticket {
            Ticket::Present(view) => Outcome::Unchanged { key: view.key.clone() },
            Ticket::Gone => Outcome::Gone {
                key: case.link().map_or(String::new(), |link| link.issue_key.clone()),
                orphan: decided.contains(&Action::Orphan),
            },
            Ticket::None => Outcome::NotFiled,
        };
        let mut again = false;
        for action in decided {
            let shown = action.occasion();
            match self.perform(case, ticket, action).await? {
                Done::Created { key, look_again } => {
                    outcome = Outcome::Created { key };
                    again = look_again;
                }
                Done::Adopted { key, look_again } => {
                    outcome = Outcome::Adopted { key };
                    again = look_again;
                }
                Done::Changed => match (&mut outcome, ticket) {
                    (Outcome::Changed { did, .. }, _) => did.push(shown),
                    (Outcome::Unchanged { key }, _) => {
                        let key = key.clone();
                        outcome = Outcome::Changed { key, did: vec![shown] };
                    }
                    _ => {}
                },
                Done::Silent => {}
                Done::Dead { error, fresh } => outcome = merged(outcome, Outcome::Dead { error, fresh }),
            }
        }
        if let Ticket::Present(view) = ticket {
            Box::pin(self.say_what_waits(case, view)).await?;
            self.remember_end(case, view).await?;
        }
        Ok((outcome, again))
    }

    /// Keeps in mind whether the ticket is closed, by which runs are planned.
    async fn remember_end(&self, case: &Case, view: &TicketView) -> Result<(), Trouble> {
        let closed = view.closed.as_ref().map(|closed| closed.when);
        let newest = self.store.ticket(&case.finding.fingerprint).await?;
        if let Some(link) = newest.filter(|link| link.issue_id == view.id && link.closed != closed) {
            self.store.link_ticket(&TicketLink { closed, ..link }).await?;
        }
        Ok(())
    }

    /// The ticket is there, so whatever was recorded of its creation, it has happened. Likewise of a change of status.
    async fn confirm(&self, case: &Case, view: &TicketView) -> Result<(), Trouble> {
        let reached = |action: &ActionRecord| match action.kind {
            ActionKind::Create => true,
            ActionKind::SetProperty => view.stamped,
            ActionKind::Link => view.linked_to.iter().any(|id| action.key.ends_with(&format!("/{id}"))),
            ActionKind::Reopen => view.category == StatusCategory::Open,
            ActionKind::Resolve => view.category == StatusCategory::Done,
            _ => false,
        };
        for action in &case.actions {
            let open = matches!(action.state, ActionState::Sending | ActionState::Uncertain);
            let dead_create = action.kind == ActionKind::Create && action.state != ActionState::Sent;
            if action.generation == case.generation && reached(action) && (open || dead_create) {
                self.store
                    .record_action(&ActionRecord {
                        state: ActionState::Sent,
                        at: self.clock.now(),
                        error: None,
                        ..action.clone()
                    })
                    .await?;
            }
        }
        Ok(())
    }
}

/// Where people see a finding outside of Jira.
fn finding_url(config: &JiraConfig, fingerprint: &Fingerprint) -> Option<String> {
    let template = config.finding_url.as_ref()?;
    Some(template.replace(kinds::FINGERPRINT, &fingerprint.0))
}

/// What is said of an intent to which two things happened.
fn merged(before: Outcome, after: Outcome) -> Outcome {
    match (before, after) {
        (dead @ Outcome::Dead { .. }, _) | (_, dead @ Outcome::Dead { .. }) => dead,
        (Outcome::NotFiled | Outcome::Unchanged { .. }, after) => after,
        (before, _) => before,
    }
}

pub(super) fn is_seen(finding: &Finding) -> bool {
    matches!(
        finding.state,
        FindingState::New | FindingState::Seen | FindingState::Regressed
    )
}

/// The idempotency key of the creation of a ticket.
pub(super) fn create_key(fingerprint: &Fingerprint, generation: u32) -> String {
    format!("{fingerprint}/{generation}/create")
}

/// What was done to one generation.
fn history(actions: &[ActionRecord], generation: u32) -> History {
    let mut history = History::default();
    for action in actions.iter().filter(|action| action.generation == generation) {
        let occasion = action.key.splitn(3, '/').nth(2).unwrap_or_default();
        let detail = action.detail.clone().unwrap_or_default();
        if action.state != ActionState::Sent {
            continue;
        }
        match action.kind {
            ActionKind::Create | ActionKind::Edit | ActionKind::Adopt => {
                history.told_severity = history.told_severity.max(detail.severity);
                history.told_pages = history.told_pages.max(detail.pages);
            }
            ActionKind::Suppress => {
                history.ruled_at.insert(occasion.to_owned(), action.at);
                if let Some(confidence) = detail.confidence {
                    history.ruled_confidence.insert(occasion.to_owned(), confidence);
                }
                if let Some(version) = detail.check_version {
                    history.ruled.insert(occasion.to_owned(), version);
                }
            }
            ActionKind::Recreate => history.recreate = true,
            _ => {}
        }
        history.done.insert(occasion.to_owned());
    }
    history
}

pub(super) fn policy(config: &JiraConfig) -> Policy {
    Policy {
        min_severity: config.defaults.min_severity,
        min_confidence: config.defaults.min_confidence,
        lifecycle: config.lifecycle.clone(),
    }
}

/// What a ticket says of a finding, and with what it is created. The inner error says which configured field cannot be
/// filled.
pub(super) struct Draft {
    pub issue: Result<NewIssue, String>,
    pub description: crate::jira::Document,
    pub detail: Detail,
}

/// Writes the ticket of a finding.
pub(super) async fn draft(
    store: &dyn TicketStore,
    config: &JiraConfig,
    finding: &Finding,
    generation: u32,
    issue_key: Option<&str>,
) -> Result<Draft, StoreError> {
    let scan = store.scan(&finding.last_scan).await?;
    let (pages, page_count) = store
        .finding_pages(&finding.last_scan, &finding.fingerprint, super::attach::MAX_LISTED)
        .await?;
    let urls: Vec<&str> = pages.iter().map(|page| page.url.as_str()).collect();
    let defaults = defaults_for(config, finding, &urls);
    let docs = phantom_checks::by_id(&finding.check).map(|check| check.meta().docs());
    let way = match pages.first() {
        Some(page) => store.way_to(&finding.last_scan, &page.url).await?,
        None => Vec::new(),
    };
    let material = Material {
        finding,
        generation,
        pages: &pages,
        page_count,
        site: scan.as_ref().map(|scan| &scan.site),
        docs: docs.as_ref(),
        way: &way,
        issue_key,
    };
    Ok(Draft {
        issue: new_issue(&defaults, &material, config.deployment),
        description: crate::jira::compose(&material).description,
        detail: Detail {
            severity: Some(finding.severity),
            pages: Some(page_count),
            check_version: Some(finding.check_version),
            confidence: Some(finding.confidence),
            project: Some(defaults.project),
            baseline: false,
            verified: None,
        },
    })
}
