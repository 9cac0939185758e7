//! What a sandbox keeps.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::faults::Faults;
use super::log::Exchange;

/// An issue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxIssue {
    /// Its id, a number.
    pub id: u64,
    /// Its key: `SEC-1`.
    pub key: String,
    /// The key of its project.
    pub project: String,
    /// The name of its type.
    pub issue_type: String,
    /// Its summary.
    pub summary: String,
    /// Its description: an Atlassian document (Cloud), wiki markup (Data Center), or null.
    pub description: Value,
    /// Its labels.
    pub labels: Vec<String>,
    /// The name of its priority.
    pub priority: String,
    /// Where it stands.
    #[serde(default)]
    pub status: SandboxStatus,
    /// The name of its resolution.
    #[serde(default)]
    pub resolution: Option<String>,
    /// When it got it.
    #[serde(default)]
    pub resolved: Option<Timestamp>,
    /// Its further fields by id.
    pub more: Map<String, Value>,
    /// Its entity properties by key.
    pub properties: BTreeMap<String, Value>,
    /// Its comments, oldest first.
    pub comments: Vec<SandboxComment>,
    /// The files that were attached, oldest first.
    #[serde(default)]
    pub attachments: Vec<SandboxAttachment>,
    /// Its links to what is outside Jira: id, and what was sent.
    #[serde(default)]
    pub remote_links: Vec<(u64, Value)>,
    /// What was changed, oldest first.
    #[serde(default)]
    pub history: Vec<SandboxChange>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// Where an issue stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxStatus {
    /// Nobody works on it.
    #[default]
    ToDo,
    /// Somebody does.
    InProgress,
    /// Done.
    Done,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxComment {
    /// Its id, a number.
    pub id: u64,
    /// An Atlassian document (Cloud) or wiki markup (Data Center).
    pub body: Value,
    /// Who wrote it: an account's id.
    #[serde(default)]
    pub author: String,
    /// When it was added.
    pub created: Timestamp,
}

/// A file that was attached. What was in it is not kept, only what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxAttachment {
    /// Its id, a number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub mime: String,
    /// Its size in bytes.
    pub size: usize,
    /// The SHA-256 of what was in it, in hexadecimal.
    pub sha256: String,
    /// Who attached it: an account's id.
    pub author: String,
    /// When.
    pub created: Timestamp,
}

/// One entry of an issue's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxChange {
    /// Its id, a number.
    pub id: u64,
    /// Who made it: an account's id.
    pub author: String,
    /// When.
    pub created: Timestamp,
    /// What was changed.
    pub items: Vec<SandboxItem>,
}

/// One field that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxItem {
    /// The field.
    pub field: String,
    /// Its value before: an id, for fields whose values have one, and what people see.
    pub from: (Option<String>, Option<String>),
    /// Its value now.
    pub to: (Option<String>, Option<String>),
}

/// A link between two issues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxLink {
    /// Its id, a number.
    pub id: u64,
    /// The name of its type.
    pub kind: String,
    /// The id of the issue that it comes from.
    pub from: u64,
    /// The id of the issue that it leads to.
    pub to: u64,
}

/// What is kept from one run to the next.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    pub issues: Vec<SandboxIssue>,
    pub links: Vec<SandboxLink>,
    /// Keys that issues had before they were moved, to the issue's id.
    pub old_keys: BTreeMap<String, u64>,
    /// The last id given to anything.
    pub last_id: u64,
    /// The last number given in each project.
    pub last_number: BTreeMap<String, u64>,
}

/// All that a sandbox knows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub kept: Kept,
    pub faults: Faults,
    pub log: VecDeque<Exchange>,
    /// Requests since the start, also those that the log has forgotten.
    pub requests: u64,
    pub changes: u64,
}

impl Kept {
    pub fn load(path: &Path) -> std::io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(std::io::Error::other),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file as a whole, so that a crash leaves the old one or the new one.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
        serde_json::to_writer(&mut file, self)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    pub fn next_id(&mut self) -> u64 {
        self.last_id = self.last_id.max(10_000) + 1;
        self.last_id
    }

    pub fn next_key(&mut self, project: &str) -> String {
        let number = self.last_number.entry(project.to_owned()).or_default();
        *number += 1;
        format!("{project}-{number}")
    }

    /// By id or key, also a key that it had before it was moved.
    pub fn find(&self, id_or_key: &str) -> Option<usize> {
        let upper = id_or_key.to_ascii_uppercase();
        let moved = self.old_keys.get(&upper);
        self.issues.iter().position(|issue| {
            issue.key == upper || issue.id.to_string() == id_or_key || moved.is_some_and(|id| *id == issue.id)
        })
    }

    pub fn by_id(&self, id: u64) -> Option<&SandboxIssue> {
        self.issues.iter().find(|issue| issue.id == id)
    }

    /// Takes an issue away, with its links.
    pub fn remove(&mut self, index: usize) {
        let id = self.issues.remove(index).id;
        self.links.retain(|link| link.from != id && link.to != id);
    }
}
