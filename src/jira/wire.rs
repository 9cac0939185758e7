//! What is sent: strict, no field that was not asked for. What is read is in `issue` and `meta`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::document::Document;
use super::splice::splice;
use super::ticket::MAX_DESCRIPTION;
use crate::config::Deployment;
use crate::triage::Fingerprint;

/// The value of our entity property: whose ticket an issue is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// The ticket's generation; the first is 1.
    pub generation: u32,
}

/// A description as it is sent: an Atlassian document on Cloud, wiki markup on Data Center.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Description(Value);

impl Description {
    /// A description that holds our block alone, between its marks.
    pub fn new(document: &Document, deployment: Deployment) -> Self {
        Self::spliced(None, document, deployment)
    }

    /// The description that stands there, with our block in it brought up to date; see [`splice`].
    pub fn spliced(existing: Option<&Value>, document: &Document, deployment: Deployment) -> Self {
        Self(splice(existing, document, deployment))
    }

    /// What is sent.
    pub fn as_value(&self) -> &Value {
        &self.0
    }
}

impl From<Value> for Description {
    /// A description that was rendered before, by [`splice`].
    fn from(value: Value) -> Self {
        Self(value)
    }
}

/// An issue that is to be created.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewIssue {
    /// Its fields.
    pub fields: NewFields,
    /// Its entity properties. Data Center does not take them with a create; there they are set right after it.
    pub properties: Vec<Property>,
}

/// The fields of an issue that is to be created.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewFields {
    /// Where it is filed.
    pub project: ByKey,
    /// Its type.
    pub issuetype: ByName,
    /// At most 255 UTF-16 units on one line.
    pub summary: String,
    /// The rendered description.
    pub description: Description,
    /// Without white space.
    pub labels: Vec<String>,
    /// The project's default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<ByName>,
    /// Parts of the project.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ByName>,
    /// Who is to work on it; the project's default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<UserRef>,
    /// Who may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<ByName>,
    /// What it is a part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ByKey>,
    /// Further fields by id, from the configuration.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// A reference by key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ByKey {
    /// The key.
    pub key: String,
}

/// A reference by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ByName {
    /// The name.
    pub name: String,
}

/// A reference to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum UserRef {
    /// On Cloud.
    Cloud {
        /// The account.
        #[serde(rename = "accountId")]
        account_id: String,
    },
    /// On Data Center.
    DataCenter {
        /// The user name.
        name: String,
    },
}

impl UserRef {
    /// A user by account id (Cloud) or name (Data Center).
    pub fn new(id: impl Into<String>, deployment: Deployment) -> Self {
        match deployment {
            Deployment::Cloud => Self::Cloud { account_id: id.into() },
            Deployment::DataCenter => Self::DataCenter { name: id.into() },
        }
    }
}

/// An entity property.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Value,
}

/// A change of an issue. Only what is set is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IssueEdit {
    /// At most 255 UTF-16 units on one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The whole description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
}

/// A change of an issue's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitionRequest {
    /// The transition, by an id that was read of this issue.
    pub id: String,
    /// The name of the resolution, for transitions whose screen asks for one.
    pub resolution: Option<String>,
}

impl TransitionRequest {
    pub(super) fn body(&self) -> Value {
        let mut body = json!({ "transition": { "id": self.id } });
        if let Some(name) = &self.resolution {
            body["fields"] = json!({ "resolution": { "name": name } });
        }
        body
    }
}

/// A link between two issues. On the inward issue it reads as the outward one's description of it: with the type
/// `Duplicate`, `inward` duplicates `outward`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueLinkRequest {
    /// The name of the link's type, such as `Relates`.
    pub kind: String,
    /// The id or key of the issue that the link comes from.
    pub inward: String,
    /// The id or key of the issue that the link leads to.
    pub outward: String,
}

impl IssueLinkRequest {
    pub(super) fn body(&self) -> Value {
        json!({
            "type": { "name": self.kind },
            "inwardIssue": issue_ref(&self.inward),
            "outwardIssue": issue_ref(&self.outward),
        })
    }
}

/// A link from an issue to a place outside of Jira.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteLinkRequest {
    /// What it is known by: Jira keeps one link of an id at an issue, however often it is sent.
    pub id: String,
    /// Where it leads.
    pub url: String,
    /// What stands on it.
    pub title: String,
}

impl RemoteLinkRequest {
    pub(super) fn body(&self) -> Value {
        json!({ "globalId": self.id, "object": { "url": self.url, "title": self.title } })
    }
}

fn issue_ref(id_or_key: &str) -> Value {
    if id_or_key.bytes().all(|byte| byte.is_ascii_digit()) {
        json!({ "id": id_or_key })
    } else {
        json!({ "key": id_or_key })
    }
}

/// A file that is attached to an issue.
#[derive(Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name.
    pub name: String,
    /// Its media type, such as `image/png`.
    pub mime: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({:?}, {}, {} bytes)", self.name, self.mime, self.bytes.len())
    }
}

/// A search. Which fields are answered is the same for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRequest {
    /// The query.
    pub jql: String,
    /// Issues on a page at most.
    pub max_results: u32,
}

/// A comment that is to be added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewComment {
    /// The rendered text.
    pub body: Value,
}

impl NewComment {
    /// A comment that says this, cut to what Jira takes.
    pub fn new(document: &Document, deployment: Deployment) -> Self {
        Self {
            body: match deployment {
                Deployment::Cloud => super::adf::render_within(document.clone(), MAX_DESCRIPTION),
                Deployment::DataCenter => Value::from(super::wiki::render_within(document.clone(), MAX_DESCRIPTION)),
            },
        }
    }
}
