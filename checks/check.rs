//! What a check is, and what it may look at.

use serde::{Deserialize, Serialize};

use crate::Docs;
use crate::evidence::{Cookie, Evidence};
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Question, Severity};
use crate::vulnerable_library::Catalog;

/// A rule: the evidence of one page in, observations or questions out.
///
/// A check does no I/O and keeps no state between pages. Given the same subject it returns the same outcome.
pub trait Check: Send + Sync {
    /// What the check is called and how it is described.
    fn meta(&self) -> &'static Meta;

    /// What the check wants to ask the page itself, in every frame, while the page is open.
    fn probe(&self) -> Option<Probe> {
        None
    }

    /// Whether the check needs pages that are explored to be loaded once more, with marks in their address, to see in its
    /// probe where these come to.
    fn marks_address(&self) -> bool {
        false
    }

    /// Whether the check decides differently if a session is there. A scan whose session began late has such checks look
    /// again, with [`Subject::elsewhere`], at pages that were seen before.
    fn needs_session(&self) -> bool {
        false
    }

    /// How a person sees on a page what was found there; `None` if what was seen says it as well as can be.
    fn look(&self, _seen: &Seen<'_>) -> Option<Look> {
        None
    }

    /// Looks at one page.
    fn run(&self, subject: &Subject<'_>) -> Outcome;
}

/// What is the same for every page: identity and documentation of a check.
#[derive(Debug)]
pub struct Meta {
    /// The stable id, in kebab case: `mixed-content`. Part of every fingerprint, so it never changes.
    pub id: &'static str,
    /// Counted up whenever the check decides differently than before on some evidence.
    pub version: u32,
    /// What is wrong, as a short sentence without a full stop.
    pub title: &'static str,
    /// The severity of the usual case; an observation may differ by the rule that its docs state.
    pub severity: Severity,
    /// The number of the weakness in the Common Weakness Enumeration.
    pub cwe: u32,
    /// The source of the check's `mod.rs`, whose `//!` header is its documentation: `include_str!("mod.rs")`.
    pub source: &'static str,
}

impl Meta {
    /// The documentation, read from the header of the check's own source.
    pub fn docs(&self) -> Docs {
        Docs::parse(self.source)
    }
}

/// The longest title, in characters.
const LONGEST_TITLE: usize = 200;

impl Meta {
    /// An observation of this check. The title is cut to its bound, and facts without a value are left out.
    pub(crate) fn observe(
        &self,
        (severity, confidence): (Severity, Confidence),
        title: &str,
        cause: Cause,
        mut facts: Vec<Fact>,
    ) -> Observation {
        facts.retain(|fact| !fact.value.is_empty());
        Observation {
            check: self.id.to_owned(),
            check_version: self.version,
            severity,
            confidence,
            title: title.chars().take(LONGEST_TITLE).collect(),
            cause,
            aliases: Vec::new(),
            facts,
            third_party: false,
        }
    }
}

/// A script that a check runs in each frame of a page while it is open.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Counted up when the script's answer changes its meaning. Evidence keeps it beside the answer.
    pub version: u32,
    /// A JavaScript function expression without arguments, which only reads and returns a JSON value.
    /// The page is hostile: the answer is untrusted and is capped before it becomes evidence.
    pub source: &'static str,
}

/// What a check may look at.
pub struct Subject<'a> {
    /// What the browser saw.
    pub evidence: &'a Evidence,
    /// Cookies that the browser held on other pages of the scan, and would have sent from this one had it come later.
    pub elsewhere: &'a [Cookie],
    /// The texts of the scripts that the evidence names by hash.
    pub bodies: &'a dyn Bodies,
    /// What the site's file says about the site.
    pub site: &'a SiteFacts,
    /// What is known about vulnerable libraries; `None` for what is part of the program.
    pub libraries: Option<&'a Catalog>,
}

/// Script texts by the hash that [`crate::evidence::Script::hash`] names.
pub trait Bodies: Sync {
    /// The text, cut at the capture's cap; `None` if it was not kept.
    fn text(&self, hash: &str) -> Option<&str>;
}

impl<S: std::hash::BuildHasher + Sync> Bodies for std::collections::HashMap<String, String, S> {
    fn text(&self, hash: &str) -> Option<&str> {
        self.get(hash).map(String::as_str)
    }
}

/// What the site's file tells the checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteFacts {
    /// Host patterns of the site's scope, in lower case; `*` stands for any run of characters. A frame of any other
    /// registrable domain is a third party's.
    pub hosts: Vec<String>,
    /// Names of fields that carry an authenticity token, beside those every check knows.
    pub csrf_token_fields: Vec<String>,
    /// What the server is known to verify instead of tokens.
    pub csrf_defence: CsrfDefence,
    /// Forms may be sent from another origin, to see whether the server takes them.
    pub csrf_proof: bool,
    /// Libraries that carry backported fixes, as `name@version`.
    pub patched: Vec<String>,
    /// How bad it is that a library's line of versions is no longer maintained.
    pub end_of_life: EndOfLife,
}

/// How bad it is that a library's line of versions is no longer maintained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum EndOfLife {
    /// It is mentioned where something else is wrong, and no more.
    Off,
    Info,
    Low,
    #[default]
    Medium,
    High,
}

impl EndOfLife {
    /// The severity; `None` if it is no reason to report.
    pub fn severity(self) -> Option<Severity> {
        match self {
            Self::Off => None,
            Self::Info => Some(Severity::Info),
            Self::Low => Some(Severity::Low),
            Self::Medium => Some(Severity::Medium),
            Self::High => Some(Severity::High),
        }
    }
}

/// What a server verifies instead of authenticity tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CsrfDefence {
    /// Nothing is known.
    #[default]
    None,
    /// The server rejects by the `Sec-Fetch-*` request headers.
    FetchMetadata,
    /// The server compares `Origin` or `Referer` with its own.
    Origin,
}

/// What a check makes of one page.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is wrong.
    pub observations: Vec<Observation>,
    /// What the check needs to know to decide further. The check is run again once the answers are in the evidence;
    /// a question that was answered with "unknown" is not asked again.
    pub questions: Vec<Question>,
}
