//! What is read before anything is filed: projects, fields, priorities, permissions.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::issue::{lenient, names};

/// A project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its key, which may have changed since it was configured: Jira answers to old keys too.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// It takes no new issues.
    pub archived: bool,
}

/// A type of issue that can be created in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IssueType {
    /// Its id.
    pub id: String,
    /// Its name, as it is configured.
    pub name: String,
    /// It needs a parent issue.
    pub subtask: bool,
}

/// A field that may be set when an issue is created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldMeta {
    /// Its id, such as `customfield_10010`.
    #[serde(rename = "fieldId")]
    pub id: String,
    /// What people call it.
    pub name: String,
    /// It must be there.
    pub required: bool,
    /// It is filled by Jira if it is not there.
    #[serde(rename = "hasDefaultValue")]
    pub has_default: bool,
    /// The names of the values that it takes; empty if it takes any.
    #[serde(rename = "allowedValues", deserialize_with = "names")]
    pub allowed: Vec<String>,
}

/// A type of link between issues.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LinkType {
    /// Its name: `Duplicate`.
    pub name: String,
    /// How it reads from the issue that it leads to: `is duplicated by`.
    pub inward: String,
    /// How it reads from the issue that it comes from: `duplicates`.
    pub outward: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LinkTypes {
    #[serde(default)]
    pub issue_link_types: Vec<LinkType>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Permissions {
    #[serde(default, deserialize_with = "lenient")]
    pub permissions: BTreeMap<String, Permission>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Permission {
    pub have_permission: bool,
}

/// A page of things by offset. Each resource has its own word for what is on it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(super) struct Page<T> {
    #[serde(
        default = "Vec::new",
        alias = "issueTypes",
        alias = "fields",
        alias = "comments",
        alias = "histories"
    )]
    pub values: Vec<T>,
    #[serde(default)]
    pub total: Option<u64>,
    #[serde(default)]
    pub is_last: Option<bool>,
}

impl<T> Page<T> {
    /// Nothing follows this page, which ends at the `end`th of all.
    pub fn is_last(&self, end: usize) -> bool {
        let all = self.total.is_none_or(|total| end as u64 >= total);
        self.values.is_empty() || self.is_last.unwrap_or(all)
    }
}
