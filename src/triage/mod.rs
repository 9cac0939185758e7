//! Observations become findings: one root cause on one site, under one fingerprint, with a state through time.
//!
//! Pure: no clock, no store, no Jira.

mod coverage;
mod event;
pub mod exchange;
mod filter;
mod judge;
mod past;
mod picture;
mod reproduce;
mod sighting;
mod suppression;
mod template;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;

use jiff::Timestamp;
use phantom_checks::{Cause, Confidence, Fact, Severity};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::scan::ScanId;
use crate::site::SiteId;

pub use coverage::{Coverage, is_blocked};
pub use event::FindingEvent;
pub use filter::{FindingFilter, named};
pub use judge::{CheckRan, Judgement, PageLook, PagesSeen, ScanFacts, Why, judge_unseen, reached, retired};
pub use past::{CLEAN_SCANS, Past, WITNESSES, Witness};
pub use picture::{PICTURE_PREFIX, Picture};
pub use reproduce::{Instruction, Trail, is_step, reproduce};
pub use sighting::{Seen, Sighting};
pub use suppression::{BadSuppression, DecidedIn, Decision, Subject, Suppression, SuppressionScope, Suppressions};
pub use template::template_of;

/// What a finding is known by: 32 hexadecimal digits made of site id, check id and cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// The fingerprint of a cause. Length prefixes keep parts from running into each other.
    pub fn of(site: &SiteId, check: &str, cause: &Cause) -> Self {
        let mut hash = Sha256::new();
        let mut feed = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        feed(&site.0);
        feed(check);
        feed(&cause.version.to_string());
        for (name, value) in &cause.parts {
            feed(name);
            feed(value);
        }
        Self(hex::encode(&hash.finalize()[..16]))
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where a finding stands after a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    /// Seen for the first time.
    New,
    /// Seen, as before.
    Seen,
    /// Not seen, which proves nothing.
    NotObserved,
    /// Not seen, with proof that it is gone.
    Fixed,
    /// Seen again after it was fixed.
    Regressed,
    /// A person decided that it is not to be reported.
    Suppressed,
    /// Its site, scope or check is no more.
    Withdrawn,
}

impl FindingState {
    /// The flaw is taken to be there, as far as anyone knows.
    pub fn is_open(self) -> bool {
        match self {
            Self::New | Self::Seen | Self::NotObserved | Self::Regressed => true,
            Self::Fixed | Self::Suppressed | Self::Withdrawn => false,
        }
    }

    /// The word used in reports and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Seen => "seen",
            Self::NotObserved => "not-observed",
            Self::Fixed => "fixed",
            Self::Regressed => "regressed",
            Self::Suppressed => "suppressed",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state after one more sighting by `scan`, if no suppression covers it.
    ///
    /// A finding stays new for as long as the scan that found it runs.
    #[must_use]
    pub fn seen_again(self, first_seen_in: &ScanId, scan: &ScanId) -> Self {
        match self {
            Self::Fixed | Self::Regressed => Self::Regressed,
            Self::New | Self::Suppressed if first_seen_in == scan => Self::New,
            _ => Self::Seen,
        }
    }
}

impl fmt::Display for FindingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Observations with one root cause on one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is known by.
    pub fingerprint: Fingerprint,
    /// The site.
    pub site: SiteId,
    /// The id of the check.
    pub check: String,
    /// The version of the check that saw it last.
    pub check_version: u32,
    /// What is wrong and where, in one sentence. Untrusted.
    pub title: String,
    /// The worst severity among its observations in the last scan that saw it.
    pub severity: Severity,
    /// The best confidence among its observations in the last scan that saw it.
    pub confidence: Confidence,
    /// Where it stands.
    pub state: FindingState,
    /// The root cause.
    pub cause: Cause,
    /// What was seen on the first page of the last scan that saw it. Untrusted, redacted.
    pub facts: Vec<Fact>,
    /// It is in frames of other sites only.
    pub third_party: bool,
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// The scan that saw it first.
    pub first_scan: ScanId,
    /// The scan that saw it last.
    pub last_scan: ScanId,
    /// What time has made of it.
    #[serde(default)]
    pub past: Past,
}

/// A page on which a finding was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingPage {
    /// The page's URL.
    pub url: String,
    /// What was seen there. Untrusted, redacted.
    pub facts: Vec<Fact>,
}
