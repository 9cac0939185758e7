//! What checks say of a page.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::evidence::Step;

/// How bad a flaw is, if it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing to repair.
    Info,
    /// A small weakness, or something broken.
    Low,
    /// A weakness that needs another one to be used.
    Medium,
    /// Directly usable against a visitor.
    High,
    /// Directly usable against all visitors or the service.
    Critical,
}

impl Severity {
    /// All severities, worst first.
    pub const WORST_FIRST: [Severity; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info];

    /// The word used in configuration, reports and tickets.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::WORST_FIRST
            .into_iter()
            .find(|severity| severity.as_str() == word)
            .ok_or(UnknownWord {
                expected: "critical, high, medium, low or info",
            })
    }
}

/// How sure a check is that the flaw is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Worth a look.
    Tentative,
    /// The browser itself said so, or no other reading is plausible.
    Firm,
    /// Proved.
    Certain,
}

impl Confidence {
    /// The word used in configuration, reports and tickets.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tentative => "tentative",
            Self::Firm => "firm",
            Self::Certain => "certain",
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Confidence {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [Self::Tentative, Self::Firm, Self::Certain]
            .into_iter()
            .find(|confidence| confidence.as_str() == word)
            .ok_or(UnknownWord {
                expected: "certain, firm or tentative",
            })
    }
}

/// A word that is none of those expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct UnknownWord {
    /// The words that would have been right.
    pub expected: &'static str,
}

/// What one check says of one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The id of the check.
    pub check: String,
    /// The version of the check that said so.
    pub check_version: u32,
    /// How bad it is.
    pub severity: Severity,
    /// How sure the check is.
    pub confidence: Confidence,
    /// What is wrong and where, as a sentence that holds for every page with this cause: it never names the page,
    /// unless the page is the cause. At most 200 characters; page text in it is untrusted.
    pub title: String,
    /// What the fingerprint is made of.
    pub cause: Cause,
    /// Causes under which earlier versions of the check would have reported the same flaw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Cause>,
    /// What was seen on this page, in the order in which a person wants to read it. Untrusted and already redacted.
    pub facts: Vec<Fact>,
    /// The flaw is in a frame of another site: recorded, never filed by default.
    #[serde(default)]
    pub third_party: bool,
}

/// One labelled line of an observation's evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What the value is: `resource`, `action`, `version`, in lower case.
    pub label: String,
    /// The value as seen, at most 500 characters.
    pub value: String,
}

impl Fact {
    /// The label of something that a person does on the page to see the flaw; several are done in their order.
    pub const STEP: &str = "step";

    /// What was done on a page, as facts.
    pub fn steps(path: &[Step]) -> impl Iterator<Item = Self> {
        path.iter().map(|step| Self::new(Self::STEP, step.words()))
    }

    /// A fact whose value is cut at 500 characters.
    pub fn new(label: &str, value: impl Into<String>) -> Self {
        let value: String = value.into();
        let value = match value.char_indices().nth(500) {
            Some((end, _)) => format!("{}…", &value[..end]),
            None => value,
        };
        Self {
            label: label.to_owned(),
            value,
        }
    }
}

/// The root cause of an observation: what stays the same from page to page and from deploy to deploy.
///
/// A cause holds no page URL, title, severity, order, content hash or version number in a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cause {
    /// Counted up when the check changes what its causes are made of.
    pub version: u32,
    /// Named parts, such as `host` and `kind`.
    pub parts: BTreeMap<String, String>,
}

impl Cause {
    /// A cause of the given version with these parts.
    pub fn new<'a>(version: u32, parts: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        Self {
            version,
            parts: parts
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }
}

impl fmt::Display for Cause {
    /// `host=cdn.example kind=script`, in the order of the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.parts.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}

/// What a check needs to know beyond the evidence. The answer becomes evidence and the check runs again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Question {
    /// Does the https form of this URL answer with a success?
    HttpsAnswers {
        /// An absolute http or https URL; the https form of it is asked.
        url: String,
    },
    /// Does the answer allow an origin that nobody has, with credentials?
    AnyOriginMayRead {
        /// An absolute https URL, which the page has asked for by GET.
        url: String,
    },
    /// Is there a source map with sources in it?
    IsSourceMap {
        /// An absolute http or https URL.
        url: String,
    },
    /// What would a new visitor get from this page in the place of a form's token?
    FreshLook {
        /// The URL of the form's document, absolute, http or https.
        url: String,
        /// The template of the form's action: forms that are alike are looked at once.
        form: String,
    },
    /// Does the server take this form from another origin, without its token or with a wrong one? Asked only where the
    /// site's file says that forms may be sent for that.
    Replay {
        /// The URL of the form's document, absolute, http or https.
        url: String,
        /// The template of the form's action: forms that are alike are sent once.
        form: String,
        /// A CSS selector that finds the form.
        selector: String,
        /// The field that holds its token, if it has one.
        token: Option<String>,
    },
    /// A question of a newer version, found in old evidence or asked of an old scanner.
    #[serde(other)]
    Unknown,
}
