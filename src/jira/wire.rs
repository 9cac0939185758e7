//! What goes over the wire: strict in what is sent (no field that was not asked for), lenient in what is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::Document;
use crate::triage::Fingerprint;

/// The value of our entity property: whose ticket an issue is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The finding.
    pub fingerprint: Fingerprint,
    /// The ticket's generation; the first is 1.
    pub generation: u32,
}

/// An issue that is to be created.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewIssue {
    /// Its fields.
    pub fields: NewFields,
    /// Its entity properties.
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
    pub description: Value,
    /// Without white space.
    pub labels: Vec<String>,
    /// The project's default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<ByName>,
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

/// An entity property.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Value,
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchRequest {
    /// The query.
    pub jql: String,
    /// Which fields are answered.
    pub fields: Vec<String>,
    /// Which entity properties are answered, at most 5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<String>,
    /// Issues on a page at most.
    pub max_results: u32,
    /// Where the page begins; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A comment that is to be added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewComment {
    /// The rendered text.
    pub body: Value,
}

impl NewComment {
    /// A comment that says this, cut to what Jira takes.
    pub fn new(document: Document) -> Self {
        Self {
            body: super::adf::render_within(document, super::ticket::MAX_DESCRIPTION),
        }
    }
}

/// Who we are in Jira.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Myself {
    /// The account.
    #[serde(default)]
    pub account_id: String,
    /// What people call it.
    #[serde(default)]
    pub display_name: String,
}

/// The answer to a create.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CreatedIssue {
    /// Outlives moves between projects.
    pub id: String,
    /// What people call it.
    pub key: String,
}

/// A page of a search.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchPage {
    /// The issues.
    #[serde(default)]
    pub issues: Vec<Issue>,
    /// Where the next page begins; absent on the last.
    #[serde(default)]
    pub next_page_token: Option<String>,
}

/// An issue as read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Issue {
    /// Outlives moves between projects.
    pub id: String,
    /// What people call it.
    pub key: String,
    /// The fields that were asked for.
    #[serde(default)]
    pub fields: IssueFields,
    /// The entity properties that were asked for.
    #[serde(default)]
    pub properties: BTreeMap<String, Value>,
}

impl Issue {
    /// Our stamp, if the issue carries one that can be read.
    pub fn stamp(&self) -> Option<Stamp> {
        let value = self.properties.get(super::PROPERTY)?;
        serde_json::from_value(value.clone()).ok()
    }
}

/// The fields of an issue that matter to us.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct IssueFields {
    /// Where it stands.
    #[serde(default)]
    pub status: Option<Status>,
    /// How it ended.
    #[serde(default)]
    pub resolution: Option<Named>,
    /// Its labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// When it was created, as Jira writes it: `2026-11-23T05:19:43.000+0000`.
    #[serde(default)]
    pub created: Option<String>,
}

/// A status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name, which administrators choose.
    #[serde(default)]
    pub name: String,
    /// What it means.
    #[serde(default)]
    pub status_category: Option<Category>,
}

/// The category of a status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Category {
    /// `new`, `indeterminate` or `done`, in every language.
    #[serde(default)]
    pub key: String,
}

/// Something that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// The name.
    #[serde(default)]
    pub name: String,
}

/// A comment as read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Comment {
    /// Its id.
    pub id: String,
}
