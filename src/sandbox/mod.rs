//! `phantom jira-sandbox`: a stateful stand-in for Jira, Cloud or Data Center, to rehearse a configuration against, and
//! for the demo and the tests.
//!
//! It keeps issues, labels, entity properties, comments, attachments, links, a workflow with a history, wants
//! credentials and required fields, refuses what Jira refuses in the words in which Jira does, and never ignores what
//! it does not understand. On demand it misbehaves; see [`Faults`]. Beside the scanner there is a person, Ann, with
//! the credentials `ann@sandbox.test` and `ann`: who asks with these acts as her.
//!
//! Beside the API under `/rest/api/3` or `/rest/api/2` it has pages for people and for control:
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /sandbox` | the queue as a page |
//! | `GET /browse/KEY` | one ticket as a page |
//! | `GET /sandbox/faults` | the faults that are still to come |
//! | `POST /sandbox/faults` | sets the faults that the JSON body names; see [`Faults`] |
//! | `POST /sandbox/move` | moves an issue to another project, as people do: `{"issue": "SEC-1", "project": "WEB"}` |
//! | `GET /sandbox/log` | the requests and their answers, oldest first, as JSON |

mod api;
mod document;
mod faults;
mod fields;
mod jql;
mod log;
mod multipart;
mod options;
mod pages;
mod people;
mod route;
mod server;
mod setup;
mod show;
mod state;
mod talk;
#[cfg(test)]
mod tests;
mod wiki;
mod workflow;

pub use faults::Faults;
pub use log::Exchange;
pub use options::{ResolutionScreen, SandboxAccount, SandboxArgs, SandboxOptions};
pub use people::SandboxPerson;
pub use server::{Sandbox, SandboxError};
pub use state::{
    SandboxAttachment, SandboxChange, SandboxComment, SandboxIssue, SandboxItem, SandboxLink, SandboxStatus,
};
