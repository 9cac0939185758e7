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
    /// Its description, an Atlassian document, or null.
    pub description: Value,
    /// Its labels.
    pub labels: Vec<String>,
    /// The name of its priority.
    pub priority: String,
    /// It is done.
    pub done: bool,
    /// Its further fields by id.
    pub more: Map<String, Value>,
    /// Its entity properties by key.
    pub properties: BTreeMap<String, Value>,
    /// Its comments, oldest first.
    pub comments: Vec<SandboxComment>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxComment {
    /// Its id, a number.
    pub id: u64,
    /// An Atlassian document.
    pub body: Value,
    /// When it was added.
    pub created: Timestamp,
}

/// What is kept from one run to the next.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    pub issues: Vec<SandboxIssue>,
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

    /// By id or key.
    pub fn find(&self, id_or_key: &str) -> Option<usize> {
        self.issues
            .iter()
            .position(|issue| issue.key.eq_ignore_ascii_case(id_or_key) || issue.id.to_string() == id_or_key)
    }
}
