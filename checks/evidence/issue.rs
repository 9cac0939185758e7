use serde::{Deserialize, Serialize};

/// What the browser's auditor reported.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Issue {
    /// A secure page used, or tried to use, something insecure.
    MixedContent(MixedContentIssue),
    /// The page broke a Content-Security-Policy.
    Csp(CspIssue),
    /// Any other report, by its code alone.
    Other {
        /// The browser's code, such as `ContentSecurityPolicyIssue`.
        name: String,
    },
    /// A report of a newer version.
    #[serde(other)]
    Unknown,
}

/// A report of mixed content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MixedContentIssue {
    /// The browser's word for the resource: `Script`, `Image`, `Form`, `Frame`, `PluginResource` …
    pub resource: String,
    /// What the browser did.
    pub resolution: MixedContentResolution,
    /// The insecure URL; for forms the action.
    pub insecure_url: String,
    /// The secure document that asked for it.
    pub document_url: String,
    /// The request, where there was one.
    #[serde(default)]
    pub request: Option<String>,
    /// The frame of the resource, where the browser tells; for a blocked frame the frame itself.
    #[serde(default)]
    pub frame: Option<String>,
}

/// What the browser did about mixed content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixedContentResolution {
    /// It was not loaded.
    Blocked,
    /// The https form was loaded in its place.
    Upgraded,
    /// It was loaded, or would be when the form is sent.
    Warning,
    /// A resolution that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A report of a violation of a Content-Security-Policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct CspIssue {
    /// The directive that was violated, such as `script-src-elem`.
    pub directive: String,
    /// What kind of thing was stopped.
    pub blocked: CspBlocked,
    /// The URL that was stopped, where it was one.
    pub blocked_url: Option<String>,
    /// The policy only reports.
    pub report_only: bool,
    /// The document or script that asked for it, where the browser tells.
    pub source_url: Option<String>,
    /// The line in it, counted from 1.
    pub source_line: Option<u32>,
    /// The frame in whose process it happened; `None` for workers.
    pub frame: Option<String>,
}

/// What a policy stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CspBlocked {
    /// A resource.
    Url,
    /// A script or style in the page's own markup.
    Inline,
    /// A string made into code.
    Eval,
    /// A string where a trusted type is asked for.
    TrustedTypes,
    /// Something that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}
