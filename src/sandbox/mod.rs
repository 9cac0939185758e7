//! `phantom jira-sandbox`: a stateful stand-in for Jira Cloud, to rehearse a configuration against, and for the demo
//! and the tests.
//!
//! It keeps issues, labels, entity properties, comments and statuses, wants credentials and required fields, refuses
//! what Jira refuses in the words in which Jira does, and never ignores what it does not understand. On demand it
//! misbehaves; see [`Faults`].
//!
//! Beside the API under `/rest/api/3` it has pages for people and for control:
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /sandbox` | the queue as a page |
//! | `GET /browse/KEY` | one ticket as a page |
//! | `GET /sandbox/faults` | the faults that are still to come |
//! | `POST /sandbox/faults` | sets the faults that the JSON body names; see [`Faults`] |
//! | `GET /sandbox/log` | the requests and their answers, oldest first, as JSON |

mod api;
mod document;
mod faults;
mod fields;
mod jql;
mod log;
mod options;
mod pages;
mod server;
mod state;
#[cfg(test)]
mod tests;

pub use faults::Faults;
pub use log::Exchange;
pub use options::{SandboxArgs, SandboxOptions};
pub use server::{Sandbox, SandboxError};
pub use state::{SandboxComment, SandboxIssue};
