//! Each action: recorded as being sent before it is, and recorded as what came of it.

use super::attach;
use super::gate::{Change, project_of};
use super::outbox::{ActionKind, ActionRecord, ActionState, Detail, Held, TicketLink};
use super::reconcile::{Case, Reconciler, Trouble, create_key, draft};
use crate::jira::{
    Action, Block, Description, Failure, IssueEdit, IssueLinkRequest, NewIssue, Remark, RemoteLinkRequest, Ruling,
    Says, Stamp, Ticket, TicketView, Transition, TransitionRequest, marked, marker, remark,
};
use crate::triage::{DecidedIn, Fingerprint, PICTURE_PREFIX, Suppression, SuppressionScope};

/// The type of link between tickets of one finding.
pub(super) const LINK_TYPE: &str = "Relates";

/// What came of an action.
pub(super) enum Done {
    Created { key: String, look_again: bool },
    Adopted { key: String, look_again: bool },
    Changed,
    Silent,
    Dead { error: String, fresh: bool },
}

/// An action as it is recorded.
pub(super) struct Recorded {
    pub key: String,
    pub fingerprint: Fingerprint,
    pub generation: u32,
    pub kind: ActionKind,
    pub detail: Option<Detail>,
}

impl Recorded {
    fn of(case: &Case, action: &Action) -> Self {
        let kind = match action {
            Action::Create { .. } => ActionKind::Create,
            Action::Adopt => ActionKind::Adopt,
            Action::SetProperty => ActionKind::SetProperty,
            Action::LinkTo { .. } | Action::LinkFinding { .. } => ActionKind::Link,
            Action::Attach { .. } | Action::AttachPicture => ActionKind::Attach,
            Action::Comment(_) => ActionKind::Comment,
            Action::EditBlock { .. } => ActionKind::Edit,
            Action::Reopen { .. } => ActionKind::Reopen,
            Action::Resolve { .. } => ActionKind::Resolve,
            Action::Suppress(_) | Action::Unsuppress => ActionKind::Suppress,
            Action::Missing { .. } => ActionKind::Missing,
            Action::Orphan => ActionKind::Orphan,
        };
        let generation = match action {
            Action::Create { generation } => *generation,
            _ => case.generation,
        };
        Self {
            key: format!("{}/{generation}/{}", case.finding.fingerprint, action.occasion()),
            fingerprint: case.finding.fingerprint.clone(),
            generation,
            kind,
            detail: Some(Detail {
                severity: Some(case.finding.severity),
                pages: Some(case.pages),
                check_version: Some(case.finding.check_version),
                confidence: Some(case.finding.confidence),
                ..Detail::default()
            }),
        }
    }
}

impl Reconciler<'_> {
    pub(super) async fn perform(&self, case: &Case, ticket: &Ticket, action: Action) -> Result<Done, Trouble> {
        let record = Recorded::of(case, &action);
        if let Some(dead) = case.recorded(&record.key).filter(|one| self.stays_dead(one)) {
            let error = dead.error.clone().unwrap_or_default();
            return Ok(Done::Dead { error, fresh: false });
        }
        match (action, ticket) {
            (Action::Create { generation }, _) => self.create(case, generation, record).await,
            (Action::Missing { .. } | Action::Orphan, _) => {
                self.record(&record, ActionState::Sent, None).await?;
                Ok(Done::Silent)
            }
            (action, Ticket::Present(view)) => self.change(case, view, action, record).await,
            (_, Ticket::None | Ticket::Gone) => Ok(Done::Silent),
        }
    }

    async fn change(&self, case: &Case, view: &TicketView, action: Action, record: Recorded) -> Result<Done, Trouble> {
        match action {
            Action::Adopt => {
                let fresh = case.links.is_empty();
                self.link(&record.fingerprint, view).await?;
                if !fresh {
                    return Ok(Done::Silent);
                }
                self.record(&record, ActionState::Sent, None).await?;
                let key = view.key.clone();
                Ok(Done::Adopted { key, look_again: false })
            }
            Action::SetProperty => self.stamp(view, &record).await,
            Action::LinkTo { issue } => {
                let request = IssueLinkRequest {
                    kind: LINK_TYPE.to_owned(),
                    inward: view.id.clone(),
                    outward: issue,
                };
                let permit = self.ready(&record).await?;
                let sent = self.jira.link_issues(permit, &request).await;
                let not_found = matches!(sent, Err(Failure::NotFound { .. }));
                if not_found && self.is_gone(&request.outward).await? {
                    // The ticket before was deleted; there is nothing to link to any more.
                    self.record(&record, ActionState::Sent, None).await?;
                    return Ok(Done::Silent);
                }
                self.settle(&record, sent).await
            }
            Action::Attach { .. } => {
                let sheet = self.sheet(case).await?;
                let name = sheet.name.clone();
                self.attach(case, view, record, sheet, &name).await
            }
            Action::AttachPicture => match self.store.picture(&record.fingerprint).await? {
                // Another picture may have been taken since one was sent whose answer was lost.
                Some(picture) => {
                    self.attach(case, view, record, attach::upload(picture), PICTURE_PREFIX)
                        .await
                }
                None => Ok(Done::Silent),
            },
            Action::LinkFinding { url } => {
                let request = RemoteLinkRequest {
                    id: format!("phantom-gang={}", record.fingerprint),
                    url,
                    title: format!("Finding {} in Phantom Gang", record.fingerprint.short()),
                };
                let permit = self.ready(&record).await?;
                let sent = self.jira.link_remotely(permit, &view.id, &request).await;
                self.settle_extra(&record, sent).await
            }
            Action::Comment(remark) => self.say(case, view, &remark, &record).await,
            Action::EditBlock { .. } => self.edit(case, view, record).await,
            Action::Reopen { time } => {
                let reason = Remark {
                    says: Says::Reopened,
                    occasion: time.to_string(),
                };
                self.move_out(case, view, &reason, &record, false).await
            }
            Action::Resolve { occasion } => {
                let reason = Remark {
                    says: Says::Fixed,
                    occasion,
                };
                self.move_out(case, view, &reason, &record, true).await
            }
            Action::Suppress(ruling) => self.suppress(case, view, &ruling, &record).await,
            Action::Unsuppress => self.unsuppress(case).await,
            Action::Create { .. } | Action::Missing { .. } | Action::Orphan => Ok(Done::Silent),
        }
    }

    async fn is_gone(&self, issue: &str) -> Result<bool, Trouble> {
        match self.jira.issue(issue).await {
            Ok(_) => Ok(false),
            Err(Failure::NotFound { .. }) => Ok(true),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn create(&self, case: &Case, generation: u32, mut record: Recorded) -> Result<Done, Trouble> {
        let finding = &case.finding;
        // Of a first generation it was looked for before it was decided.
        if generation > 1
            && let Some(found) = self.created_before(case, generation).await?
        {
            self.link(&finding.fingerprint, &found).await?;
            self.record(&record, ActionState::Sent, None).await?;
            let key = found.key;
            return Ok(Done::Adopted { key, look_again: true });
        }
        let draft = draft(self.store, self.config, finding, generation, None).await?;
        let mut detail = draft.detail;
        detail.baseline = self.gate.is_baseline(self.store, finding).await?;
        let many = detail
            .pages
            .is_some_and(|pages| pages > u64::from(crate::jira::MAX_ROWS));
        let change = Change::Create {
            baseline: detail.baseline,
            counted: case.counted,
        };
        record.detail = Some(detail);
        let issue = match draft.issue {
            Ok(issue) => issue,
            Err(error) => {
                self.record(&record, ActionState::Dead, Some(error.clone())).await?;
                return Ok(Done::Dead { error, fresh: true });
            }
        };
        self.admit(&project_of(self.store, self.config, finding).await?, case, change)?;
        let created = self.send_create(&record, &issue).await?;
        Ok(match created {
            Ok(key) => Done::Created {
                key,
                look_again: many || case.pictured || case.finding_url.is_some() || generation > 1,
            },
            Err(done) => done,
        })
    }

    /// Creates an issue and links it. The inner error is what is told if Jira refused it.
    pub(super) async fn send_create(
        &self,
        record: &Recorded,
        issue: &NewIssue,
    ) -> Result<Result<String, Done>, Trouble> {
        let permit = self.ready(record).await?;
        let created = match self.jira.create_issue(permit, issue).await {
            Ok(created) => created,
            Err(failure) => return self.failed(record, failure).await.map(Err),
        };
        // Linked before it is recorded as sent: a crash between the two leaves a link, which wins.
        self.store
            .link_ticket(&TicketLink {
                fingerprint: record.fingerprint.clone(),
                generation: record.generation,
                issue_id: created.id,
                issue_key: created.key.clone(),
                linked: self.clock.now(),
                closed: None,
            })
            .await?;
        self.record(record, ActionState::Sent, None).await?;
        Ok(Ok(created.key))
    }

    /// The ticket of a later generation, if a create whose answer was lost has made it.
    async fn created_before(&self, case: &Case, generation: u32) -> Result<Option<TicketView>, Trouble> {
        let now = self.clock.now();
        let key = create_key(&case.finding.fingerprint, generation);
        if let (Ticket::Present(view), _) = self.recover(&case.finding, generation).await? {
            return Ok(Some(view));
        }
        match case.recorded(&key) {
            Some(action) if self.may_still_show(action, now) => Err(Trouble::Settling),
            _ => Ok(None),
        }
    }

    fn admit(&self, project: &str, case: &Case, change: Change) -> Result<(), Trouble> {
        let site = &case.finding.site;
        self.gate
            .admit(project, site, change, self.clock.now())
            .map_err(|(why, until)| {
                let hold = (why == Held::Breaker).then(|| self.gate.hold_of(project)).flatten();
                Trouble::Held(why, until, hold)
            })
    }

    pub(super) async fn link(&self, fingerprint: &Fingerprint, view: &TicketView) -> Result<(), Trouble> {
        self.store
            .link_ticket(&TicketLink {
                fingerprint: fingerprint.clone(),
                generation: view.generation,
                issue_id: view.id.clone(),
                issue_key: view.key.clone(),
                linked: self.clock.now(),
                closed: view.closed.as_ref().map(|closed| closed.when),
            })
            .await?;
        Ok(())
    }

    /// Setting a property twice is setting it once, so that an uncertain outcome needs no search.
    async fn stamp(&self, view: &TicketView, record: &Recorded) -> Result<Done, Trouble> {
        let stamp = Stamp {
            fingerprint: record.fingerprint.clone(),
            generation: view.generation,
        };
        let permit = self.ready(record).await?;
        let sent = self.jira.set_stamp(permit, &view.id, &stamp).await;
        // The ticket is found by its label without it.
        self.settle(record, sent).await.map(|_| Done::Silent)
    }

    async fn say(&self, case: &Case, view: &TicketView, what: &Remark, record: &Recorded) -> Result<Done, Trouble> {
        let blocks = remark(what.says, &case.finding, case.pages, &view.key);
        self.comment(case.recorded(&record.key), &view.id, blocks, record).await
    }

    /// Comments once: looked for before it is sent, and waited for if it may still be on its way.
    pub(super) async fn comment(
        &self,
        before: Option<&ActionRecord>,
        issue: &str,
        blocks: Vec<Block>,
        record: &Recorded,
    ) -> Result<Done, Trouble> {
        if before.is_some_and(|action| action.state == ActionState::Sent) {
            return Ok(Done::Silent);
        }
        let now = self.clock.now();
        self.fence.check().await?;
        let mark = marker(&record.key);
        if self
            .jira
            .comments(issue)
            .await?
            .iter()
            .any(|one| one.text.contains(&mark))
        {
            self.record(record, ActionState::Sent, None).await?;
            return Ok(Done::Changed);
        }
        if before.is_some_and(|action| self.may_still_show(action, now)) {
            return Err(Trouble::Settling);
        }
        let permit = self.ready(record).await?;
        let sent = self.jira.add_comment(permit, issue, &marked(blocks, &record.key)).await;
        self.settle(record, sent.map(|_| ())).await
    }

    /// The same text put twice is the same text, so that an uncertain outcome needs no search.
    async fn edit(&self, case: &Case, view: &TicketView, record: Recorded) -> Result<Done, Trouble> {
        let draft = draft(self.store, self.config, &case.finding, view.generation, Some(&view.key)).await?;
        self.fence.check().await?;
        let issue = self.jira.issue(&view.id).await?;
        let existing = issue.fields.description.as_ref();
        let description = Description::spliced(existing, &draft.description, self.config.deployment);
        let edit = IssueEdit {
            summary: None,
            description: Some(description),
        };
        let permit = self.ready(&record).await?;
        let sent = self.jira.edit_issue(permit, &view.id, &edit).await;
        self.settle(&record, sent).await
    }

    /// Says why, then moves the ticket into done or out of it. First it is seen whether it can be moved at all.
    async fn move_out(
        &self,
        case: &Case,
        view: &TicketView,
        reason: &Remark,
        record: &Recorded,
        into_done: bool,
    ) -> Result<Done, Trouble> {
        let change = if into_done { Change::Resolve } else { Change::Reopen };
        let project = case.link().map_or("", TicketLink::project);
        if case.recorded(&record.key).is_none() {
            self.admit(project, case, change)?;
        }
        self.fence.check().await?;
        let all = self.jira.transitions(&view.id).await?;
        let lifecycle = &self.config.lifecycle;
        let (names, resolution) = if into_done {
            (&lifecycle.resolve_transitions, lifecycle.resolve_resolution.as_deref())
        } else {
            (&lifecycle.reopen_transitions, None)
        };
        let request = match choose(&all, names, resolution, into_done) {
            Ok(request) => request,
            Err(error) => {
                let error = format!("{}: {error}", view.key);
                self.record(record, ActionState::Dead, Some(error.clone())).await?;
                return Ok(Done::Dead { error, fresh: true });
            }
        };
        let said = Recorded::of(case, &Action::Comment(reason.clone()));
        self.say(case, view, reason, &said).await?;
        let permit = self.ready(record).await?;
        let sent = self.jira.transition(permit, &view.id, &request).await;
        self.settle(record, sent).await
    }

    async fn suppress(
        &self,
        case: &Case,
        view: &TicketView,
        ruling: &Ruling,
        record: &Recorded,
    ) -> Result<Done, Trouble> {
        let now = self.clock.now();
        let who = if ruling.who.is_empty() { "Jira" } else { &ruling.who };
        let mut suppression = Suppression::new(
            SuppressionScope::finding(case.finding.fingerprint.clone()),
            ruling.decision,
            format!("\"{}\" in {}", ruling.word, view.key),
            who,
            now,
        )
        .about(&case.finding);
        suppression.decided_in = DecidedIn::Ticket;
        suppression.until = ruling.until;
        suppression.ticket = Some(view.key.clone());
        self.store.suppress(&suppression.identified(), now).await?;
        self.record(record, ActionState::Sent, None).await?;
        Ok(Done::Changed)
    }

    /// The decision may be made again later, so it is no longer one that was taken over.
    async fn unsuppress(&self, case: &Case) -> Result<Done, Trouble> {
        for action in case.actions.iter().filter(|one| one.kind == ActionKind::Suppress) {
            let state = ActionState::NotSent;
            self.store
                .record_action(&ActionRecord {
                    state,
                    ..action.clone()
                })
                .await?;
        }
        if let Some(id) = &case.finding.past.suppressed_by {
            self.store.lift_suppression(id, "Jira", self.clock.now()).await?;
        }
        Ok(Done::Changed)
    }

    /// Waits for the pace and records that the request is about to leave. Between the two, that the outbox is ours.
    pub(super) async fn ready(&self, record: &Recorded) -> Result<crate::jira::Permit, Trouble> {
        let permit = self.jira.permit().await;
        self.fence.check().await?;
        self.record(record, ActionState::Sending, None).await?;
        Ok(permit)
    }

    async fn settle(&self, record: &Recorded, sent: Result<(), Failure>) -> Result<Done, Trouble> {
        match sent {
            Ok(()) => {
                self.record(record, ActionState::Sent, None).await?;
                Ok(Done::Changed)
            }
            Err(failure) => self.failed(record, failure).await,
        }
    }

    /// The same of what a ticket can do without: who may not do it may do all else.
    pub(super) async fn settle_extra(&self, record: &Recorded, sent: Result<(), Failure>) -> Result<Done, Trouble> {
        match sent {
            Err(failure @ Failure::Forbidden { .. }) => {
                let error = failure.to_string();
                self.record(record, ActionState::Dead, Some(error.clone())).await?;
                Ok(Done::Dead { error, fresh: true })
            }
            sent => self.settle(record, sent).await,
        }
    }

    /// Records what became of an action that did not succeed.
    async fn failed(&self, record: &Recorded, failure: Failure) -> Result<Done, Trouble> {
        let error = failure.to_string();
        match failure {
            Failure::NotFound { .. } if record.kind == ActionKind::Create => {
                self.record(record, ActionState::NotSent, Some(error.clone())).await?;
                Err(Trouble::Configuration(format!(
                    "{error}; check `base_url` and `project` in [jira]"
                )))
            }
            Failure::Rejected { .. } | Failure::NotFound { .. } => {
                self.record(record, ActionState::Dead, Some(error.clone())).await?;
                Ok(Done::Dead { error, fresh: true })
            }
            Failure::Uncertain { .. } => {
                self.record(record, ActionState::Uncertain, Some(error)).await?;
                Err(failure.into())
            }
            _ => {
                self.record(record, ActionState::NotSent, Some(error)).await?;
                Err(failure.into())
            }
        }
    }

    pub(super) async fn record(
        &self,
        record: &Recorded,
        state: ActionState,
        error: Option<String>,
    ) -> Result<(), Trouble> {
        self.store
            .record_action(&ActionRecord {
                key: record.key.clone(),
                fingerprint: record.fingerprint.clone(),
                generation: record.generation,
                kind: record.kind,
                state,
                at: self.clock.now(),
                error,
                detail: record.detail.clone(),
            })
            .await?;
        Ok(())
    }
}

/// The fields that a transition's screen asks for and that are not set here.
fn asked_in_vain(transition: &Transition) -> Vec<&str> {
    let asked = transition.fields.iter();
    asked
        .filter(|(id, field)| field.required && !field.has_default && *id != "resolution")
        .map(|(id, _)| id.as_str())
        .collect()
}

/// The transition that leads into done or out of it: the first name that does, else any that does. One whose screen
/// asks for more than a resolution would be refused.
pub(super) fn choose(
    all: &[Transition],
    names: &[String],
    resolution: Option<&str>,
    into_done: bool,
) -> Result<TransitionRequest, String> {
    let (where_to, key) = if into_done {
        ("into done", "resolve_transitions")
    } else {
        ("out of done", "reopen_transitions")
    };
    let goes = |one: &&Transition| one.to.is_done() == into_done;
    let leads = |one: &&Transition| goes(one) && asked_in_vain(one).is_empty();
    let preferred = names
        .iter()
        .find_map(|name| all.iter().filter(leads).find(|one| one.name.eq_ignore_ascii_case(name)));
    let chosen = preferred.or_else(|| all.iter().find(leads));
    let chosen = chosen.ok_or_else(|| match all.iter().find(goes) {
        Some(one) => format!(
            "the transition \"{}\" asks for {}, which nobody can know here; take it off its screen, or make another \
             that leads {where_to}",
            one.name,
            asked_in_vain(one).join(", ")
        ),
        None => {
            format!("no transition leads {where_to}; change the workflow or the account's permissions, and see `{key}`")
        }
    })?;
    let field = chosen.fields.get("resolution");
    let resolution = match (field, resolution) {
        (Some(field), Some(name)) if field.allowed.is_empty() || field.allowed.iter().any(|one| one == name) => {
            Some(name.to_owned())
        }
        (Some(field), Some(name)) if field.required => {
            return Err(format!(
                "the transition \"{}\" does not take the resolution \"{name}\"; it takes {}",
                chosen.name,
                field.allowed.join(", ")
            ));
        }
        (Some(field), None) if field.required => {
            let fitting = field
                .allowed
                .iter()
                .find(|one| one.eq_ignore_ascii_case("done") || one.eq_ignore_ascii_case("fixed"));
            let name = fitting.or(field.allowed.first()).ok_or_else(|| {
                format!(
                    "the transition \"{}\" asks for a resolution; set `resolve_resolution`",
                    chosen.name
                )
            })?;
            Some(name.clone())
        }
        _ => None,
    };
    Ok(TransitionRequest {
        id: chosen.id.clone(),
        resolution,
    })
}
