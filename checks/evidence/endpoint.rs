use serde::{Deserialize, Serialize};

use super::{Initiator, ResourceKind, Step, ValueShape};

/// What a page speaks to by itself, or tried to: requests of its scripts, forms that it sent, sockets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The HTTP method, in upper case.
    pub method: String,
    /// The URL; secrets in it are redacted.
    pub url: String,
    /// What the answer is used as.
    #[serde(default)]
    pub kind: ResourceKind,
    /// Whether it was sent.
    #[serde(default)]
    pub fate: Fate,
    /// Why it was stopped; empty if it was sent.
    #[serde(default)]
    pub why: String,
    /// How often the page asked.
    #[serde(default)]
    pub times: u32,
    /// The type of the body, in lower case and without parameters; empty without one.
    #[serde(default)]
    pub content_type: String,
    /// The names of what is sent, in body and query, each once. Of JSON, those of its outermost objects.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Those of objects in objects of JSON, each once, as far as they were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inner: Vec<String>,
    /// It had a body whose fields could not be read, or not all of them.
    #[serde(default)]
    pub unread: bool,
    /// The names of the headers that the page has set itself, in lower case, beside the type of the body; `None` if they
    /// were not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<String>>,
    /// Fields and headers whose value looks like a token.
    #[serde(default)]
    pub tokens: Vec<EndpointToken>,
    /// Who or what asked.
    #[serde(default)]
    pub initiator: Initiator,
    /// The frame that asked.
    #[serde(default)]
    pub frame: Option<String>,
    /// The URL of the worker that asked.
    #[serde(default)]
    pub worker: Option<String>,
    /// The browser holds cookies for its URL. Whether they go along depends on the request, too.
    #[serde(default)]
    pub cookies: bool,
    /// The names of the cookies that went along, or would have, had it been sent; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_cookies: Option<Vec<String>>,
    /// Messages to a WebSocket that were not sent.
    #[serde(default)]
    pub held: u32,
    /// The steps that led to it; empty if the page did it by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Step>,
}

/// Whether a request was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It left the browser.
    Sent,
    /// It did not.
    Stopped,
    /// A fate that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A field or a header whose value looks like a token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointToken {
    /// Its name, in lower case if it is a header's.
    pub name: String,
    /// It is a header.
    #[serde(default)]
    pub header: bool,
    /// It is in an object in an object of JSON.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inner: bool,
    /// What its value looks like.
    #[serde(default)]
    pub value: ValueShape,
}
