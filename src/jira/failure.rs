//! What became of a request that did not succeed. Each kind asks for another reaction.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing has changed in Jira: the request did not leave, or it only read. It may be sent again.
    #[error("{call}: {why}; nothing was changed, it is tried again later")]
    NotSent {
        /// Method and path.
        call: String,
        /// What happened.
        why: String,
    },
    /// Turned away for a while (429); nothing has changed.
    #[error("{call}: Jira asks for a pause of {} s{}", retry_after.as_secs(), in_brackets(reason))]
    RateLimited {
        /// Method and path.
        call: String,
        /// How long nothing may be sent.
        retry_after: Duration,
        /// Which limit was hit, as Jira names it; empty if it does not say.
        reason: String,
    },
    /// Jira does not know us (401); nothing has changed.
    #[error("{call}: Jira does not accept the credentials (401){why}; check `auth` in [jira] and the token's age")]
    Unauthorized {
        /// Method and path.
        call: String,
        /// What Jira said, with a leading `: `, or nothing.
        why: String,
    },
    /// We may not do that (403); nothing has changed.
    #[error("{call}: the account may not do that (403){why}; give it the permissions that the documentation lists")]
    Forbidden {
        /// Method and path.
        call: String,
        /// What Jira said, with a leading `: `, or nothing.
        why: String,
    },
    /// There is no such thing, or we may not see it (404); nothing has changed.
    #[error("{call}: not found, or not visible to the account (404)")]
    NotFound {
        /// Method and path.
        call: String,
    },
    /// The request was understood and refused for what it says (400, 413, 422); nothing has changed.
    #[error("{call}: {rejection}")]
    Rejected {
        /// Method and path.
        call: String,
        /// What Jira objects to.
        rejection: Rejection,
    },
    /// An answer that no Jira gives to such a request; nothing has changed.
    #[error(
        "{call}: unexpected status {status}; check that `base_url` in [jira] is the address of a Jira and that `deployment` is right"
    )]
    Misconfigured {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
    },
    /// A request that changes something left, and no proper answer came: it may have happened.
    #[error("{call}: {why}; it may or may not have happened")]
    Uncertain {
        /// Method and path.
        call: String,
        /// What happened.
        why: String,
    },
}

fn in_brackets(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    }
}

/// What Jira objects to, as it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejection {
    /// The HTTP status: 400, 413 or 422.
    pub status: u16,
    /// What is wrong with the request as a whole. At most 10 lines of 300 characters, made safe to print.
    pub messages: Vec<String>,
    /// What is wrong with single fields, by their id. At most 50, made safe to print.
    pub fields: BTreeMap<String, String>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jira refused it ({})", self.status)?;
        for message in &self.messages {
            write!(f, "; {message}")?;
        }
        for (field, message) in &self.fields {
            write!(f, "; field {field}: {message}")?;
        }
        Ok(())
    }
}
