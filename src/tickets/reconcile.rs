//! One intent: read the ticket, decide, record each action, send it, record what came of it.

use jiff::Timestamp;

use super::clock::{Clock, between};
use super::outbox::{ActionKind, ActionRecord, ActionState, TicketLink};
use super::worker::{Fence, Timing};
use crate::config::JiraConfig;
use crate::jira::{
    Action, Client, Failure, MAX_ROWS, Material, NewIssue, Policy, Stamp, Ticket, TicketView, decide, new_issue,
};
use crate::store::{Store, StoreError};
use crate::triage::{Finding, Fingerprint};

/// What came of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Created { key: String },
    Adopted { key: String },
    Unchanged { key: String },
    NotFiled,
    Gone { key: String },
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
    /// A create may have happened, and its ticket may not be searchable yet.
    Settling,
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
    pub store: &'a dyn Store,
    pub jira: &'a Client,
    pub config: &'a JiraConfig,
    pub timing: &'a Timing,
    pub clock: &'a dyn Clock,
    pub fence: &'a Fence<'a>,
    /// Dead letters older than this are tried again.
    pub revive_before: Timestamp,
}

impl Reconciler<'_> {
    pub async fn reconcile(&self, fingerprint: &Fingerprint) -> Result<Outcome, Trouble> {
        let policy = policy(self.config);
        let Some(finding) = self.store.finding(fingerprint).await? else {
            return Ok(Outcome::NotFiled);
        };
        if !policy.files(&finding) {
            return Ok(Outcome::NotFiled);
        }
        let link = self.store.ticket(fingerprint).await?;
        let generation = link.as_ref().map_or(1, |link| link.generation);
        let create = self
            .store
            .action(&key(fingerprint, generation, ActionKind::Create))
            .await?;
        if let Some(dead) = create.as_ref().filter(|action| self.stays_dead(action)) {
            return Ok(Outcome::Dead {
                error: dead.error.clone().unwrap_or_default(),
                fresh: false,
            });
        }
        // Read before the search: what was searchable by then is found by it.
        let now = self.clock.now();
        let ticket = match &link {
            Some(link) => self.read(link).await?,
            None => self.recover(fingerprint, generation).await?,
        };
        if ticket == Ticket::None && create.as_ref().is_some_and(|action| self.may_still_appear(action, now)) {
            return Err(Trouble::Settling);
        }
        let known_key = link.map(|link| link.issue_key);
        self.act(&finding, generation, &ticket, known_key, &policy).await
    }

    fn stays_dead(&self, create: &ActionRecord) -> bool {
        create.state == ActionState::Dead && create.at >= self.revive_before
    }

    fn may_still_appear(&self, create: &ActionRecord, now: Timestamp) -> bool {
        matches!(create.state, ActionState::Sending | ActionState::Uncertain)
            && between(create.at, now) < self.timing.settle
    }

    /// The stored ticket wins, wherever it was moved.
    async fn read(&self, link: &TicketLink) -> Result<Ticket, Trouble> {
        self.fence.check().await?;
        match self.jira.issue(&link.issue_id).await {
            Ok(issue) => {
                let mut view = TicketView::of(&issue, &link.fingerprint, link.generation);
                view.linked = view.id == link.issue_id && view.key == link.issue_key;
                Ok(Ticket::Present(view))
            }
            Err(Failure::NotFound { .. }) => Ok(Ticket::Gone),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Looks for a ticket that the store does not know. A search that Jira refuses would be refused for every finding.
    async fn recover(&self, fingerprint: &Fingerprint, generation: u32) -> Result<Ticket, Trouble> {
        self.fence.check().await?;
        let projects = search_projects(self.config);
        match self.jira.find(&projects, fingerprint, generation).await {
            Ok(issues) => Ok(Ticket::among(&issues, fingerprint, generation)),
            Err(failure @ (Failure::Rejected { .. } | Failure::NotFound { .. })) => Err(Trouble::Configuration(
                format!("{failure}; check `base_url`, `project` and `search_projects` in [jira]"),
            )),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn act(
        &self,
        finding: &Finding,
        generation: u32,
        ticket: &Ticket,
        known_key: Option<String>,
        policy: &Policy,
    ) -> Result<Outcome, Trouble> {
        let actions = decide(finding, ticket, policy, self.clock.now());
        let mut outcome = match ticket {
            Ticket::Present(view) => Outcome::Unchanged { key: view.key.clone() },
            Ticket::Gone => Outcome::Gone {
                key: known_key.clone().unwrap_or_default(),
            },
            Ticket::None => Outcome::NotFiled,
        };
        for action in actions {
            match (action, ticket) {
                (Action::Create { generation }, _) => outcome = self.create(finding, generation).await?,
                (Action::Adopt, Ticket::Present(view)) => {
                    self.link(finding, view).await?;
                    if known_key.is_none() {
                        outcome = Outcome::Adopted { key: view.key.clone() };
                    }
                }
                (Action::SetProperty, Ticket::Present(view)) => self.stamp(finding, view).await?,
                (Action::Adopt | Action::SetProperty, _) => {}
            }
        }
        if matches!(ticket, Ticket::Present(_)) {
            self.confirm_create(finding, generation).await?;
        }
        Ok(outcome)
    }

    async fn create(&self, finding: &Finding, generation: u32) -> Result<Outcome, Trouble> {
        let record = Recorded {
            fingerprint: &finding.fingerprint,
            generation,
            kind: ActionKind::Create,
        };
        let issue = match build(self.store, self.config, finding, generation).await? {
            Ok(issue) => issue,
            Err(error) => {
                self.record(&record, ActionState::Dead, Some(error.clone())).await?;
                return Ok(Outcome::Dead { error, fresh: true });
            }
        };
        let permit = self.jira.permit().await;
        self.fence.check().await?;
        self.record(&record, ActionState::Sending, None).await?;
        let created = match self.jira.create_issue(permit, &issue).await {
            Ok(created) => created,
            Err(failure) => return self.failed(&record, failure).await,
        };
        // Linked before it is recorded as sent: a crash between the two leaves a link, which wins.
        self.store
            .link_ticket(&TicketLink {
                fingerprint: finding.fingerprint.clone(),
                generation,
                issue_id: created.id,
                issue_key: created.key.clone(),
                linked: self.clock.now(),
            })
            .await?;
        self.record(&record, ActionState::Sent, None).await?;
        Ok(Outcome::Created { key: created.key })
    }

    async fn link(&self, finding: &Finding, view: &TicketView) -> Result<(), Trouble> {
        self.store
            .link_ticket(&TicketLink {
                fingerprint: finding.fingerprint.clone(),
                generation: view.generation,
                issue_id: view.id.clone(),
                issue_key: view.key.clone(),
                linked: self.clock.now(),
            })
            .await?;
        Ok(())
    }

    /// Setting a property twice is setting it once, so that an uncertain outcome needs no search.
    async fn stamp(&self, finding: &Finding, view: &TicketView) -> Result<(), Trouble> {
        let record = Recorded {
            fingerprint: &finding.fingerprint,
            generation: view.generation,
            kind: ActionKind::SetProperty,
        };
        let stamp = Stamp {
            fingerprint: finding.fingerprint.clone(),
            generation: view.generation,
        };
        let permit = self.jira.permit().await;
        self.fence.check().await?;
        self.record(&record, ActionState::Sending, None).await?;
        match self.jira.set_stamp(permit, &view.id, &stamp).await {
            Ok(()) => self.record(&record, ActionState::Sent, None).await,
            // The ticket is found by its label without it.
            Err(failure) => self.failed(&record, failure).await.map(|_| ()),
        }
    }

    /// The ticket is there, so whatever was recorded of its creation, it has happened.
    async fn confirm_create(&self, finding: &Finding, generation: u32) -> Result<(), Trouble> {
        let record = Recorded {
            fingerprint: &finding.fingerprint,
            generation,
            kind: ActionKind::Create,
        };
        match self.store.action(&record.key()).await? {
            Some(action) if action.state != ActionState::Sent => self.record(&record, ActionState::Sent, None).await,
            _ => Ok(()),
        }
    }

    /// Records what became of an action that did not succeed.
    async fn failed(&self, record: &Recorded<'_>, failure: Failure) -> Result<Outcome, Trouble> {
        let error = failure.to_string();
        match failure {
            Failure::Rejected { .. } | Failure::NotFound { .. } if record.kind != ActionKind::Create => {
                self.record(record, ActionState::Dead, Some(error.clone())).await?;
                Ok(Outcome::Dead { error, fresh: true })
            }
            Failure::Rejected { .. } => {
                self.record(record, ActionState::Dead, Some(error.clone())).await?;
                Ok(Outcome::Dead { error, fresh: true })
            }
            Failure::Uncertain { .. } => {
                self.record(record, ActionState::Uncertain, Some(error)).await?;
                Err(failure.into())
            }
            Failure::NotFound { .. } => {
                self.record(record, ActionState::NotSent, Some(error.clone())).await?;
                Err(Trouble::Configuration(format!(
                    "{error}; check `base_url` and `project` in [jira]"
                )))
            }
            _ => {
                self.record(record, ActionState::NotSent, Some(error)).await?;
                Err(failure.into())
            }
        }
    }

    async fn record(&self, record: &Recorded<'_>, state: ActionState, error: Option<String>) -> Result<(), Trouble> {
        self.store
            .record_action(&ActionRecord {
                key: record.key(),
                fingerprint: record.fingerprint.clone(),
                generation: record.generation,
                kind: record.kind,
                state,
                at: self.clock.now(),
                error,
            })
            .await?;
        Ok(())
    }
}

struct Recorded<'a> {
    fingerprint: &'a Fingerprint,
    generation: u32,
    kind: ActionKind,
}

impl Recorded<'_> {
    fn key(&self) -> String {
        key(self.fingerprint, self.generation, self.kind)
    }
}

/// The idempotency key of an action: `fingerprint/generation/kind`.
fn key(fingerprint: &Fingerprint, generation: u32, kind: ActionKind) -> String {
    let kind = match kind {
        ActionKind::Create => "create",
        ActionKind::SetProperty => "set-property",
    };
    format!("{fingerprint}/{generation}/{kind}")
}

pub(super) fn policy(config: &JiraConfig) -> Policy {
    Policy {
        min_severity: config.defaults.min_severity,
        min_confidence: config.defaults.min_confidence,
    }
}

/// Where tickets are searched: also where they are filed, whatever the list says.
pub(super) fn search_projects(config: &JiraConfig) -> Vec<String> {
    let mut projects = config.defaults.search_projects.clone();
    if !projects.contains(&config.defaults.project) {
        projects.push(config.defaults.project.clone());
    }
    projects
}

/// The issue that is created for a finding. The inner error says which configured field cannot be filled.
pub(super) async fn build(
    store: &dyn Store,
    config: &JiraConfig,
    finding: &Finding,
    generation: u32,
) -> Result<Result<NewIssue, String>, StoreError> {
    let scan = store.scan(&finding.last_scan).await?;
    let (pages, page_count) = store
        .finding_pages(&finding.last_scan, &finding.fingerprint, MAX_ROWS)
        .await?;
    let docs = phantom_checks::by_id(&finding.check).map(|check| check.meta().docs());
    Ok(new_issue(
        &config.defaults,
        &Material {
            finding,
            generation,
            pages: &pages,
            page_count,
            site: scan.as_ref().map(|scan| &scan.site),
            docs: docs.as_ref(),
        },
        config.deployment,
    ))
}
