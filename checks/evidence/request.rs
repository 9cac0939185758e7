use serde::{Deserialize, Serialize};

use super::{Header, Hop};

/// One request that a page made, or tried to make.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The browser's id, unique on the page.
    pub id: String,
    /// The URL first asked for, before redirects; secrets in it are redacted.
    pub url: String,
    /// The HTTP method, in upper case.
    pub method: String,
    /// What the response is used as.
    #[serde(default)]
    pub kind: ResourceKind,
    /// The frame that asked; `None` for workers and for the browser itself.
    #[serde(default)]
    pub frame: Option<String>,
    /// The URL of the worker that asked.
    #[serde(default)]
    pub worker: Option<String>,
    /// Who or what started it.
    #[serde(default)]
    pub initiator: Initiator,
    /// The browser's own verdict on mixed content.
    #[serde(default)]
    pub mixed_content: MixedContentType,
    /// The redirects that were followed, in order.
    #[serde(default)]
    pub redirects: Vec<Hop>,
    /// The HTTP status of the final response; `None` if none came.
    #[serde(default)]
    pub status: Option<u16>,
    /// The final response's MIME type, in lower case.
    #[serde(default)]
    pub mime: Option<String>,
    /// Response headers, kept for documents, scripts and stylesheets only.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// The response came from a cache or a service worker.
    #[serde(default)]
    pub from_cache: bool,
    /// Why it failed, if it did.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// A keyed hash of the body, by which it is told later whether it changed; for scripts, and where it was asked for,
    /// for documents, styles and what scripts fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// What a response is used as; the browser's own distinction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ResourceKind {
    Document,
    Stylesheet,
    Image,
    Media,
    Font,
    Script,
    TextTrack,
    Xhr,
    Fetch,
    Prefetch,
    EventSource,
    WebSocket,
    Manifest,
    Ping,
    CspViolationReport,
    Preflight,
    Other,
    /// A kind that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Who or what started a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initiator {
    /// The browser's word: `parser`, `script`, `preload`, `preflight`, `other`.
    #[serde(default)]
    pub kind: String,
    /// The document or the script, for a script the innermost one with a URL.
    #[serde(default)]
    pub url: Option<String>,
    /// The line in it, counted from 1.
    #[serde(default)]
    pub line: Option<u32>,
}

/// The browser's own classes of mixed content, as in the W3C's Mixed Content specification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixedContentType {
    /// Not mixed.
    #[default]
    None,
    /// Active content: blocked unless the user or a flag allows it.
    Blockable,
    /// Passive content that the browser loads with a warning.
    OptionallyBlockable,
    /// A class that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The browser's error, such as `net::ERR_CONNECTION_REFUSED`.
    pub error: String,
    /// Why the browser refused it, such as `mixed-content`, `csp`, `inspector`.
    #[serde(default)]
    pub blocked: Option<String>,
    /// The page or the browser took it back.
    #[serde(default)]
    pub canceled: bool,
}
