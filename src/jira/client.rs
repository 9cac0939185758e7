//! Speaks Jira, Cloud REST v3 and Data Center REST v2: one method a request, every outcome typed.
//!
//! No redirect is followed and nothing is sent again here: both could do a change twice. Who decides what happens
//! after a [`Failure`] is the caller.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::call::Call;
use super::credentials::SetupError;
use super::document::Document;
use super::failure::Failure;
use super::issue::{
    Change, Comment, CreatedIssue, Issue, Myself, Named, RawComment, Resolver, SearchPage, Status, Transition, resolver,
};
use super::meta::{FieldMeta, IssueType, LinkType, LinkTypes, Page, Permissions, Project};
use super::transport::{Permit, Transport};
use super::wire::{
    IssueEdit, IssueLinkRequest, NewComment, NewIssue, Property, RemoteLinkRequest, SearchRequest, Stamp,
    TransitionRequest, Upload,
};
use crate::config::{Deployment, JiraConfig};
use crate::triage::Fingerprint;

/// Pages of one list that are read at most.
const MAX_PAGES: usize = 20;

/// A connection to one Jira.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    deployment: Deployment,
    me: OnceCell<Myself>,
}

impl Client {
    /// Sets up a connection; nothing is sent yet.
    pub fn new(config: &JiraConfig) -> Result<Self, SetupError> {
        Ok(Self {
            transport: Transport::new(config)?,
            deployment: config.deployment,
            me: OnceCell::new(),
        })
    }

    /// Which dialect it speaks.
    pub fn deployment(&self) -> Deployment {
        self.deployment
    }

    /// Waits for the pace and gives leave to send one changing request.
    pub async fn permit(&self) -> Permit {
        self.transport.permit().await
    }

    /// Who are we?
    pub async fn myself(&self) -> Result<Myself, Failure> {
        self.read(Call::myself(self.deployment)).await
    }

    /// Creates an issue with fields, label and entity property: in one request on Cloud, in two on Data Center. There
    /// the second may fail without a word, since the label alone finds the issue and a later look sets the property.
    pub async fn create_issue(&self, permit: Permit, issue: &NewIssue) -> Result<CreatedIssue, Failure> {
        let created: CreatedIssue = self.change(permit, Call::create_issue(self.deployment, issue)).await?;
        if self.deployment == Deployment::DataCenter {
            for Property { key, value } in &issue.properties {
                let permit = self.permit().await;
                let call = Call::set_property(self.deployment, &created.id, key, value);
                if let Err(failure) = self.send(permit, call).await {
                    tracing::warn!(issue = %created.key, %failure, "the new ticket has no property yet");
                }
            }
        }
        Ok(created)
    }

    /// Reads an issue by id or key.
    pub async fn issue(&self, id: &str) -> Result<Issue, Failure> {
        self.read(Call::issue(self.deployment, id)).await
    }

    /// Reads all pages of the search for the ticket of a finding, with their entity properties.
    pub async fn find(
        &self,
        projects: &[String],
        fingerprint: &Fingerprint,
        generation: u32,
    ) -> Result<Vec<Issue>, Failure> {
        let request = SearchRequest::for_ticket(projects, fingerprint, generation);
        let mut issues = self.search(&request).await?;
        // A search on Data Center does not answer properties.
        if self.deployment == Deployment::DataCenter {
            for issue in &mut issues {
                if let Some(value) = self.property(&issue.id).await? {
                    issue.properties.insert(super::PROPERTY.to_owned(), value);
                }
            }
        }
        Ok(issues)
    }

    /// Reads the first page of a search.
    pub async fn search_once(&self, request: &SearchRequest) -> Result<Vec<Issue>, Failure> {
        let page: SearchPage = self.read(Call::search(self.deployment, request)).await?;
        Ok(page.issues)
    }

    /// Reads all pages of a search, 20 at most.
    pub async fn search(&self, request: &SearchRequest) -> Result<Vec<Issue>, Failure> {
        let mut issues = Vec::new();
        let mut call = Call::search(self.deployment, request);
        for _ in 0..MAX_PAGES {
            let page: SearchPage = self.read(call.clone()).await?;
            let empty = page.issues.is_empty();
            issues.extend(page.issues);
            let more = match self.deployment {
                Deployment::Cloud => page.next_page_token.is_some(),
                Deployment::DataCenter => !empty && page.total.is_some_and(|total| (issues.len() as u64) < total),
            };
            if !more {
                break;
            }
            call = call.next_page(page.next_page_token.as_deref(), issues.len());
        }
        Ok(issues)
    }

    /// Changes what is set in `edit`, nothing else.
    pub async fn edit_issue(&self, permit: Permit, id: &str, edit: &IssueEdit) -> Result<(), Failure> {
        self.send(permit, Call::edit_issue(self.deployment, id, edit)).await
    }

    /// Sets our entity property.
    pub async fn set_stamp(&self, permit: Permit, id: &str, stamp: &Stamp) -> Result<(), Failure> {
        self.send(permit, Call::set_stamp(self.deployment, id, stamp)).await
    }

    /// Reads our entity property; `None` if the issue has none, or one that is not ours.
    pub async fn stamp(&self, id: &str) -> Result<Option<Stamp>, Failure> {
        let value = self.property(id).await?;
        Ok(value.and_then(|value| serde_json::from_value(value).ok()))
    }

    async fn property(&self, id: &str) -> Result<Option<serde_json::Value>, Failure> {
        match self.read::<Property>(Call::stamp(self.deployment, id)).await {
            Ok(property) => Ok(Some(property.value)),
            Err(Failure::NotFound { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Reads the comments, oldest first, 2,000 at most.
    pub async fn comments(&self, id: &str) -> Result<Vec<Comment>, Failure> {
        let raw: Vec<RawComment> = self.pages(&Call::comments(self.deployment, id)).await?;
        Ok(raw.into_iter().map(Comment::from).collect())
    }

    /// Adds a comment, cut to what Jira takes.
    pub async fn add_comment(&self, permit: Permit, id: &str, document: &Document) -> Result<Comment, Failure> {
        let comment = NewComment::new(document, self.deployment);
        let call = Call::add_comment(self.deployment, id, &comment);
        self.change::<RawComment>(permit, call).await.map(Comment::from)
    }

    /// Reads what can be done with an issue now, and what the screens ask for.
    pub async fn transitions(&self, id: &str) -> Result<Vec<Transition>, Failure> {
        #[derive(serde::Deserialize)]
        struct Answer {
            #[serde(default)]
            transitions: Vec<Transition>,
        }
        let answer: Answer = self.read(Call::transitions(self.deployment, id)).await?;
        Ok(answer.transitions)
    }

    /// Moves an issue to another status.
    pub async fn transition(&self, permit: Permit, id: &str, request: &TransitionRequest) -> Result<(), Failure> {
        self.send(permit, Call::transition(self.deployment, id, request)).await
    }

    /// Attaches a file. Jira keeps several files of one name, so who must not send it twice looks first.
    pub async fn attach(&self, permit: Permit, id: &str, upload: &Upload) -> Result<(), Failure> {
        self.send(permit, Call::attach(self.deployment, id, upload)).await
    }

    /// Links two issues. Jira keeps one link of a type between two issues, however often it is asked.
    pub async fn link_issues(&self, permit: Permit, request: &IssueLinkRequest) -> Result<(), Failure> {
        self.send(permit, Call::link_issues(self.deployment, request)).await
    }

    /// Links an issue to a place outside of Jira. The same link sent again replaces itself.
    pub async fn link_remotely(&self, permit: Permit, id: &str, request: &RemoteLinkRequest) -> Result<(), Failure> {
        self.send(permit, Call::link_remotely(self.deployment, id, request))
            .await
    }

    /// Who made the last change into done, and when; `None` if the history does not say.
    pub async fn resolved_by(&self, id: &str) -> Result<Option<Resolver>, Failure> {
        let changes = self.changes(id).await?;
        if changes.is_empty() {
            return Ok(None);
        }
        let statuses = self.statuses().await?;
        let me = self.me.get_or_try_init(|| self.myself()).await?;
        let done = |id: &str| statuses.iter().any(|status| status.id == id && status.is_done());
        Ok(resolver(&changes, me.id(), done))
    }

    async fn changes(&self, id: &str) -> Result<Vec<Change>, Failure> {
        #[derive(serde::Deserialize)]
        struct WithHistory {
            changelog: Page<Change>,
        }
        let call = Call::changelog(self.deployment, id);
        match self.deployment {
            Deployment::Cloud => self.pages(&call).await,
            Deployment::DataCenter => Ok(self.read::<WithHistory>(call).await?.changelog.values),
        }
    }

    /// What may we do in a project? By the permission's key; those in [`super::PERMISSIONS`] at least.
    pub async fn permissions(&self, project: &str) -> Result<BTreeMap<String, bool>, Failure> {
        let answer: Permissions = self.read(Call::permissions(self.deployment, project)).await?;
        let held = answer.permissions.into_iter();
        Ok(held.map(|(key, one)| (key, one.have_permission)).collect())
    }

    /// Reads a project by its key.
    pub async fn project(&self, key: &str) -> Result<Project, Failure> {
        self.read(Call::project(self.deployment, key)).await
    }

    /// Reads which types of issue can be created in a project.
    pub async fn issue_types(&self, project: &str) -> Result<Vec<IssueType>, Failure> {
        self.pages(&Call::issue_types(self.deployment, project)).await
    }

    /// Reads which fields a new issue has. [`Failure::NotFound`] if the project has no such type.
    pub async fn create_fields(&self, project: &str, issue_type: &str) -> Result<Vec<FieldMeta>, Failure> {
        let types = self.issue_types(project).await?;
        let Some(found) = types.iter().find(|one| one.name == issue_type) else {
            return Err(Failure::NotFound {
                call: format!("the issue type \"{issue_type}\" in project {project}"),
            });
        };
        self.pages(&Call::create_fields(self.deployment, project, &found.id))
            .await
    }

    /// Reads all statuses, of all projects.
    pub async fn statuses(&self) -> Result<Vec<Status>, Failure> {
        self.read(Call::statuses(self.deployment)).await
    }

    /// Reads the names of all priorities.
    pub async fn priorities(&self) -> Result<Vec<Named>, Failure> {
        self.named(Call::priorities(self.deployment)).await
    }

    /// Reads the names of all resolutions.
    pub async fn resolutions(&self) -> Result<Vec<Named>, Failure> {
        self.named(Call::resolutions(self.deployment)).await
    }

    /// Reads the types of links between issues.
    pub async fn link_types(&self) -> Result<Vec<LinkType>, Failure> {
        let types: LinkTypes = self.read(Call::link_types(self.deployment)).await?;
        Ok(types.issue_link_types)
    }

    async fn named(&self, call: Call) -> Result<Vec<Named>, Failure> {
        match self.deployment {
            Deployment::Cloud => self.pages(&call).await,
            Deployment::DataCenter => self.read(call).await,
        }
    }

    async fn pages<T: DeserializeOwned>(&self, call: &Call) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let page: Page<T> = self.read(call.clone().from(all.len())).await?;
            let last = page.is_last(all.len() + page.values.len());
            all.extend(page.values);
            if last {
                break;
            }
        }
        Ok(all)
    }

    async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        self.transport.read(&call).await
    }

    async fn change<T: DeserializeOwned>(&self, permit: Permit, call: Call) -> Result<T, Failure> {
        self.transport.change(permit, &call).await
    }

    async fn send(&self, permit: Permit, call: Call) -> Result<(), Failure> {
        self.transport.send(permit, &call).await
    }
}
