//! Tickets of our own, one a project: what the circuit breaker holds, and what waits for a cap.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::gate::BREAKER_FLOOR;
use super::outbox::{ActionKind, Hold};
use super::perform::Recorded;
use super::reconcile::{Reconciler, Trouble, create_key};
use crate::jira::{
    Block, ByKey, ByName, Description, Document, NewFields, NewIssue, PROPERTY, Property, Stamp, StatusCategory,
    Ticket, label,
};
use crate::triage::Fingerprint;

/// Something that is told to people once.
pub(super) struct Notice {
    pub project: String,
    fingerprint: Fingerprint,
    summary: String,
    text: String,
    /// What makes it due; said once.
    occasion: String,
}

impl Notice {
    /// A project's changes are held.
    pub fn incident(hold: &Hold) -> Self {
        let Hold {
            project,
            changes,
            tickets,
            since,
            ..
        } = hold;
        Self {
            project: project.clone(),
            fingerprint: own("incident", project),
            summary: format!("[Phantom Gang] {changes} changes to tickets in {project} wait for a person"),
            text: format!(
                "A run on {} would have created, reopened and resolved {changes} tickets in {project}, where the \
                 scanner has {tickets}. That is more than `breaker_share` in [jira.lifecycle] allows (never less than \
                 {BREAKER_FLOOR}), and may mean that a check or a scan went wrong. Nothing was changed. Look at the \
                 findings with `phantom findings list`; if they are right, let the changes go with `phantom tickets \
                 release {project}`.",
                since.strftime("%Y-%m-%d %H:%M UTC")
            ),
            occasion: since.as_millisecond().to_string(),
        }
    }

    /// A project's tickets of a day are used up.
    pub fn digest(project: &str, waiting: u64, now: Timestamp) -> Self {
        let day = now.strftime("%Y-%m-%d").to_string();
        Self {
            project: project.to_owned(),
            fingerprint: own("digest", project),
            summary: format!("[Phantom Gang] Findings in {project} wait for tickets"),
            text: format!(
                "On {day}, as many tickets were created in {project} as `max_new_per_day` in [jira.lifecycle] allows. \
                 {waiting} more findings wait; the worst are filed first, on the following days. To see them: \
                 `phantom tickets list --waiting`."
            ),
            occasion: day,
        }
    }
}

/// A name of our own, of the shape of a fingerprint.
fn own(kind: &str, project: &str) -> Fingerprint {
    let hash = Sha256::digest(format!("phantom-gang {kind} {project}"));
    Fingerprint(hex::encode(&hash[..16]))
}

impl Reconciler<'_> {
    /// Tells it in the project's ticket for that: in a comment if that is open, in a new one otherwise.
    pub(super) async fn notify(&self, notice: &Notice) -> Result<(), Trouble> {
        let links = self.store.tickets_of(&notice.fingerprint).await?;
        let generation = match links.last() {
            None => 1,
            Some(link) => match self.read(link).await? {
                Ticket::Present(view) if view.category == StatusCategory::Open => {
                    return self.tell_once(notice, link.generation, &view.id).await;
                }
                _ if self.was_told(notice, link.generation).await? => return Ok(()),
                _ => link.generation + 1,
            },
        };
        let create = self.store.action(&create_key(&notice.fingerprint, generation)).await?;
        let now = self.clock.now();
        let (found, _) = self
            .search(&notice.fingerprint, &[&notice.fingerprint], generation)
            .await?;
        if let Ticket::Present(view) = found {
            self.link(&notice.fingerprint, &view).await?;
            return self.tell_once(notice, generation, &view.id).await;
        }
        if create.is_some_and(|action| self.may_still_show(&action, now)) {
            return Err(Trouble::Settling);
        }
        let record = Recorded {
            key: create_key(&notice.fingerprint, generation),
            fingerprint: notice.fingerprint.clone(),
            generation,
            kind: ActionKind::Create,
            detail: None,
        };
        if let Ok(key) = self.send_create(&record, &self.issue_of(notice, generation)).await? {
            tracing::info!(%key, project = %notice.project, "told in Jira what is held");
            let told = said(notice, generation);
            self.record(&told, super::outbox::ActionState::Sent, None).await?;
        }
        Ok(())
    }

    async fn was_told(&self, notice: &Notice, generation: u32) -> Result<bool, Trouble> {
        let action = self.store.action(&said(notice, generation).key).await?;
        Ok(action.is_some_and(|action| action.state == super::outbox::ActionState::Sent))
    }

    async fn tell_once(&self, notice: &Notice, generation: u32, issue: &str) -> Result<(), Trouble> {
        let record = said(notice, generation);
        let before = self.store.action(&record.key).await?;
        let blocks = vec![Block::paragraph(&notice.text)];
        self.comment(before.as_ref(), issue, blocks, &record).await.map(|_| ())
    }

    fn issue_of(&self, notice: &Notice, generation: u32) -> NewIssue {
        let stamp = Stamp {
            fingerprint: notice.fingerprint.clone(),
            generation,
        };
        let mut labels = vec![label(&notice.fingerprint, generation)];
        labels.extend(self.config.defaults.labels.iter().cloned());
        let document = Document {
            blocks: vec![Block::paragraph(&notice.text)],
        };
        NewIssue {
            fields: NewFields {
                project: ByKey {
                    key: notice.project.clone(),
                },
                issuetype: ByName {
                    name: self.config.defaults.issue_type.clone(),
                },
                summary: notice.summary.clone(),
                description: Description::new(&document, self.config.deployment),
                labels,
                priority: None,
                components: Vec::new(),
                assignee: None,
                security: None,
                parent: None,
                more: crate::jira::fixed_fields(&self.config.defaults),
            },
            properties: vec![Property {
                key: PROPERTY.to_owned(),
                // A struct with string keys cannot fail to become a value.
                value: serde_json::to_value(&stamp).unwrap_or_default(),
            }],
        }
    }
}

fn said(notice: &Notice, generation: u32) -> Recorded {
    Recorded {
        key: format!("{}/{generation}/notice/{}", notice.fingerprint, notice.occasion),
        fingerprint: notice.fingerprint.clone(),
        generation,
        kind: ActionKind::Comment,
        detail: None,
    }
}
