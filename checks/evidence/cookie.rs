use serde::{Deserialize, Serialize};

use super::ValueShape;

/// A cookie that the browser holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its domain; a leading dot means that subdomains get it too.
    pub domain: String,
    /// Its path.
    pub path: String,
    /// Sent over https only.
    pub secure: bool,
    /// Hidden from scripts.
    pub http_only: bool,
    /// Its `SameSite` attribute.
    #[serde(default)]
    pub same_site: SameSite,
    /// Ends with the browser session.
    pub session: bool,
    /// What its value looks like.
    pub value: ValueShape,
}

/// The `SameSite` attribute of a cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// Never sent with requests from other sites.
    Strict,
    /// Sent from other sites with top-level navigations by safe methods.
    Lax,
    /// Always sent.
    None,
    /// Not given: browsers differ.
    #[default]
    Unset,
    /// A value that this version does not know.
    #[serde(other)]
    Unknown,
}
