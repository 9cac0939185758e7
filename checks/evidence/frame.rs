use serde::{Deserialize, Serialize};

/// One frame of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The browser's id of the frame, unique on the page.
    pub id: String,
    /// The frame it stands in; `None` for the main frame.
    #[serde(default)]
    pub parent: Option<String>,
    /// The URL of its document; `about:srcdoc` and `about:blank` have none of their own.
    pub url: String,
    /// The serialised origin that the document runs as; `null` for opaque ones. A srcdoc frame has its parent's.
    #[serde(default)]
    pub origin: String,
    /// What kind of frame it is.
    #[serde(default)]
    pub kind: FrameKind,
    /// The capture script ran in it. If not, silence about its forms, links and scripts means nothing.
    #[serde(default)]
    pub captured: bool,
}

/// The kinds of frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameKind {
    /// The page's own.
    Main,
    /// A frame of the same process.
    Child,
    /// A frame of another site, in a process of its own.
    OutOfProcess,
    /// A kind that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}
