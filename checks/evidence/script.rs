use serde::{Deserialize, Serialize};

/// A script element or a script that the page loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The frame it runs in.
    pub frame: String,
    /// Where it was loaded from, after redirects; `None` for an inline script.
    #[serde(default)]
    pub url: Option<String>,
    /// The SHA-256 of its text in hexadecimal, by which the text is kept; `None` if the text was not captured. For an
    /// inline script the text is redacted before it is hashed.
    #[serde(default)]
    pub hash: Option<String>,
    /// The length of the whole text in bytes.
    #[serde(default)]
    pub length: u64,
    /// The opening tag, at most 500 characters; empty for a script that has no element.
    #[serde(default)]
    pub snippet: String,
    /// The `type` attribute, in lower case.
    #[serde(default)]
    pub kind: String,
    /// The `integrity` attribute.
    #[serde(default)]
    pub integrity: Option<String>,
}

/// What a check's probe answered in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    /// The id of the check.
    pub check: String,
    /// The probe's version.
    pub version: u32,
    /// The frame.
    pub frame: String,
    /// The answer, which the page may have forged.
    pub value: serde_json::Value,
}
