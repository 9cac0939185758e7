use serde::{Deserialize, Serialize};

/// A way on to another page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where to: absolute, without fragment.
    pub url: String,
    /// The frame it was found in.
    pub frame: String,
    /// How it was found.
    #[serde(default)]
    pub source: LinkSource,
    /// The `rel` attribute, in lower case.
    #[serde(default)]
    pub rel: String,
}

/// How a link was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkSource {
    /// An `a` element, of HTML or SVG.
    Anchor,
    /// An `area` element.
    Area,
    /// The document of a frame.
    Frame,
    /// A `meta` refresh or a `Refresh` header.
    Refresh,
    /// A `link` element that leads to another page (`next`, `alternate`, `canonical` …).
    LinkElement,
    /// The action of a GET form.
    Form,
    /// A window that the page opened.
    Popup,
    /// A navigation that the page tried.
    Navigation,
    /// A source that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}
