use serde::{Deserialize, Serialize};

use super::Step;

/// A way on to another page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where to: absolute, without fragment unless that is a route of the page's own (`#/cart`, `#!/cart`).
    pub url: String,
    /// The frame it was found in.
    pub frame: String,
    /// How it was found.
    #[serde(default)]
    pub source: LinkSource,
    /// The `rel` attribute, in lower case.
    #[serde(default)]
    pub rel: String,
    /// The URL had a session id in its path, which capture took away.
    #[serde(default)]
    pub session_in_path: bool,
    /// What was done on the page before it was there; empty if it was there by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Step>,
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
    /// The page changed its own address: History API or fragment.
    History,
    /// A `Link` header.
    Header,
    /// A string in a script, a handler or a data island that looks like a page's address. A weak hint.
    Script,
    /// What is written on the page, but not shown as a link: comments, `noscript`, `template`, data attributes, storage.
    /// A weak hint.
    Hint,
    /// A source that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl LinkSource {
    /// The page does not offer it to anyone; it may lead nowhere.
    pub fn is_weak(self) -> bool {
        matches!(self, Self::Script | Self::Hint)
    }
}
