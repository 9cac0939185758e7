use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::content::Scheme;

/// Requests kept at most; older ones are dropped first.
const CAP: usize = 100_000;

/// Stands in the place of a method for a message that came through a web socket.
pub const MESSAGE: &str = "MESSAGE";

/// The requests that a microsite answered, and the messages to its web sockets, oldest first. Clones share one log.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<VecDeque<LogEntry>>>);

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When its headers had arrived.
    pub at: Timestamp,
    /// How it came.
    pub scheme: Scheme,
    /// The host, in lower case, without a port.
    pub host: String,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The `User-Agent`; empty if there is none.
    pub user_agent: String,
}

impl LogEntry {
    /// The URL that was asked for, without a port.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.host, self.path)
    }
}

impl Log {
    pub(super) fn push(&self, entry: LogEntry) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= CAP {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// The requests so far, at most the last 100,000.
    pub fn entries(&self) -> Vec<LogEntry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
