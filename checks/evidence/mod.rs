//! All that the browser saw on one page, as plain data.
//!
//! Evidence is stored and read again by later versions, so every type tolerates what it does not know: enums have an
//! `Unknown` variant, new fields have defaults, unknown fields are ignored. Values of password fields, cookies and
//! tokens are never here; a [`ValueShape`] stands for each. Everything else is page text and therefore hostile.

mod answer;
mod cookie;
mod endpoint;
mod form;
mod frame;
mod issue;
mod link;
mod page;
mod request;
mod script;
mod step;
mod value;

use serde::{Deserialize, Serialize};

pub use answer::{Answer, FreshPlace, FreshValue, HttpsOutcome};
pub use cookie::{Cookie, SameSite};
pub use endpoint::{Endpoint, EndpointToken, Fate};
pub use form::{Field, Form, FormMethod, Submitter};
pub use frame::{Frame, FrameKind};
pub use issue::{CspBlocked, CspIssue, Issue, MixedContentIssue, MixedContentResolution};
pub use link::{Link, LinkSource};
pub use page::{Header, Hop, Look, Page};
pub use request::{Failure, Initiator, MixedContentType, Request, ResourceKind};
pub use script::{ProbeAnswer, Script};
pub use step::{Explored, Step, StepKind};
pub use value::{Charset, Meta, StorageArea, StorageEntry, ValueShape};

/// The version of the shape below. Counted up only when old evidence can no longer be read as new.
pub const VERSION: u32 = 1;

/// What the browser saw on one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// [`VERSION`] of the program that captured it.
    pub version: u32,
    /// The page itself: its URL, answer and headers.
    pub page: Page,
    /// All frames that were there when the page had settled; the main frame is first.
    #[serde(default)]
    pub frames: Vec<Frame>,
    /// All requests from before the navigation until capture, those of frames of other origins and workers included.
    #[serde(default)]
    pub requests: Vec<Request>,
    /// What the page's scripts, forms and workers speak to, or tried to.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// What the browser's own auditor reported, without repeats.
    #[serde(default)]
    pub issues: Vec<Issue>,
    /// All forms of all frames and shadow roots, as they were after scripts ran.
    #[serde(default)]
    pub forms: Vec<Form>,
    /// Ways on to other pages.
    #[serde(default)]
    pub links: Vec<Link>,
    /// The scripts of all frames.
    #[serde(default)]
    pub scripts: Vec<Script>,
    /// What the checks' own probes answered.
    #[serde(default)]
    pub probes: Vec<ProbeAnswer>,
    /// The cookies that the browser holds for the page and its frames.
    #[serde(default)]
    pub cookies: Vec<Cookie>,
    /// The `meta` elements of all frames.
    #[serde(default)]
    pub metas: Vec<Meta>,
    /// Keys in `localStorage` and `sessionStorage`.
    #[serde(default)]
    pub storage: Vec<StorageEntry>,
    /// Answers to what checks asked.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// What came of trying what can be done on the page; `None` if nothing was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explored: Option<Explored>,
    /// What could not be captured, as sentences: "frame https://… did not answer within 5 s". A check that depends on
    /// it is not to be believed when it stays silent.
    #[serde(default)]
    pub gaps: Vec<String>,
}

impl Evidence {
    /// Evidence of a page of which nothing was seen yet.
    pub fn of(page: Page) -> Self {
        Self {
            version: VERSION,
            page,
            frames: Vec::new(),
            requests: Vec::new(),
            endpoints: Vec::new(),
            issues: Vec::new(),
            forms: Vec::new(),
            links: Vec::new(),
            scripts: Vec::new(),
            probes: Vec::new(),
            cookies: Vec::new(),
            metas: Vec::new(),
            storage: Vec::new(),
            answers: Vec::new(),
            explored: None,
            gaps: Vec::new(),
        }
    }

    /// The frame with this id.
    pub fn frame(&self, id: &str) -> Option<&Frame> {
        self.frames.iter().find(|frame| frame.id == id)
    }

    /// The main frame.
    pub fn main_frame(&self) -> Option<&Frame> {
        self.frames.iter().find(|frame| frame.parent.is_none())
    }
}
