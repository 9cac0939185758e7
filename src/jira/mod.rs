//! Jira: what it is asked ([`Call`]), who asks ([`Client`]), what a ticket says ([`compose`]) and what happens to it
//! ([`decide`]).
//!
//! Nothing outside this module knows Jira's documents or its requests. [`decide`] and [`compose`] are pure; a [`Call`]
//! is data, so that a dry run prints exactly what a live run would send.

mod adf;
mod call;
mod client;
mod credentials;
mod document;
mod failure;
mod fields;
mod issue;
mod lifecycle;
mod markdown;
mod meta;
mod remark;
mod splice;
mod text;
mod ticket;
mod transport;
#[cfg(test)]
mod transport_tests;
mod wiki;
mod wire;

pub use adf::{plain as plain_adf, render as render_adf, render_within as render_adf_within};
pub use call::{Call, PERMISSIONS};
pub use client::Client;
pub use credentials::{Credentials, SetupError};
pub use document::{Block, Document, Inline, WebLink};
pub use failure::{Failure, Rejection};
pub use fields::{fixed_fields, new_issue};
pub use issue::{
    Category, Comment, CreatedIssue, Issue, IssueFields, IssueLink, LinkDirection, Myself, Named, Person, Resolver,
    SearchPage, Status, Transition, TransitionField,
};
pub use lifecycle::{
    Action, Closed, History, MAX_REOPENS, ORPHAN_NIGHTS, Policy, Remark, Ruling, Says, Situation, StatusCategory,
    Ticket, TicketView, decide,
};
pub use meta::{FieldMeta, IssueType, LinkType, Project};
pub use remark::{marked, marker, remark, short_hash};
pub use splice::splice;
pub(crate) use text::{cut, line};
pub use ticket::{Composed, MAX_DESCRIPTION, MAX_ROWS, MAX_SUMMARY, Material, compose};
pub use transport::Permit;
pub use wiki::{plain as plain_wiki, render as render_wiki, render_within as render_wiki_within};
pub use wire::{
    ByKey, ByName, Description, IssueEdit, IssueLinkRequest, NewComment, NewFields, NewIssue, Property,
    RemoteLinkRequest, SearchRequest, Stamp, TransitionRequest, Upload, UserRef,
};

use url::Url;

use crate::config::JiraConfig;
use crate::triage::Fingerprint;

/// The key of the entity property that confirms whose ticket an issue is.
pub const PROPERTY: &str = "phantom-gang-finding";

/// The label by which the ticket of a finding is found again: `phantom-<fingerprint>-g<generation>`.
pub fn label(fingerprint: &Fingerprint, generation: u32) -> String {
    format!("phantom-{fingerprint}-g{generation}")
}

/// Where a person opens a ticket.
pub fn browse_url(config: &JiraConfig, issue_key: &str) -> Url {
    let mut url = config.browse_url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push("browse").push(issue_key);
    }
    url
}
