//! What is scanned as one: `sitemaps/*.toml` → [`Site`].

mod check;
mod client;
mod draft;
mod explore;
mod incremental;
mod load;
mod login;
mod private;
mod schedule;
mod schema;
mod scope;
mod sites;
mod steps;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use phantom_checks::SiteFacts;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::Screenshots;
use crate::triage::{DecidedIn, Decision, Fingerprint, Suppression, SuppressionScope};

pub use check::{Checked, check};
pub use client::{Client, Device, Profile};
pub use draft::{Draft, RobotsSay, id_of};
pub use explore::{AllowedRequest, Explore, ExploreMode, GraphqlKind};
pub use incremental::Incremental;
#[cfg(test)]
pub(crate) use load::keys_read_from;
pub use login::{HttpAuth, Login, LoginCheck, LoginCookie, SecretHeader};
pub use private::PrivateStart;
pub use schedule::{BadSchedule, Due, Hours, Past, Schedule};
pub use schema::SCHEMA;
pub(crate) use scope::wildcard;
pub use scope::{BadPattern, OutOfScope, PagePatterns, ScopeRules};
pub use sites::{SiteBook, SiteError, stamp};
pub use steps::{By, Deed, Filling, KEYS, Selector, Step};

/// The identity of a site. It outlives the name of its file and is part of every fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteId(pub String);

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is scanned as one.
///
/// A scan keeps a copy of its site, so that it can be resumed as it began whatever has become of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Site {
    /// The identity.
    pub id: SiteId,
    /// What people call it.
    pub title: String,
    /// Who repairs it.
    pub owner: Option<String>,
    /// Who allowed the scan.
    pub approved_by: Option<String>,
    /// Where the crawl starts; never empty.
    pub start: Vec<Url>,
    /// Where lists of pages come from.
    pub sitemaps: Sitemaps,
    /// What belongs to it.
    pub scope: Scope,
    /// Where a scan of it ends.
    pub limits: Limits,
    /// How its pages are explored.
    #[serde(default)]
    pub explore: Explore,
    /// Ids of checks that do not run.
    pub disabled_checks: Vec<String>,
    /// What the checks are told about it.
    #[serde(default)]
    pub facts: SiteFacts,
    /// What is not to be reported of it.
    #[serde(default)]
    pub suppress: Vec<SiteSuppression>,
    /// Of what pictures are taken; `None` leaves it to the configuration.
    #[serde(default)]
    pub screenshots: Option<Screenshots>,
    /// Who the browsers say they are.
    #[serde(default)]
    pub client: Box<Client>,
    /// Devices that a scan can be asked to use.
    #[serde(default)]
    pub profiles: Vec<Profile>,
    /// How a scan logs in.
    #[serde(default)]
    pub login: Option<Box<Login>>,
    /// The workers that may scan it; `None` means those of no certain pool.
    #[serde(default)]
    pub run_on: Option<String>,
    /// When it is scanned by itself.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// Whether its nightly scans may take pages as seen that have not changed, and for how long.
    #[serde(default)]
    pub incremental: Option<Incremental>,
}

/// What the site's file says is not to be reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteSuppression {
    /// The id of the check, if it is about one.
    pub check: Option<String>,
    /// The fingerprint of the finding, if it is about one.
    pub finding: Option<String>,
    /// Patterns of the pages that a finding must not leave, if it is about some; as in a scope's `exclude`.
    pub pages: Vec<String>,
    /// A host of its pages or its cause, if it is about one; `*` stands for any run of characters.
    pub host: Option<String>,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub by: String,
    /// When it is over; `None` means never.
    pub until: Option<Timestamp>,
}

/// The pool of sites that name none, and of workers that do not either.
pub const DEFAULT_POOL: &str = "default";

impl Site {
    /// The pool of workers that may scan it.
    pub fn pool(&self) -> &str {
        self.run_on.as_deref().unwrap_or(DEFAULT_POOL)
    }

    /// The mode that somebody asked for, in place of that of the site's file. What is then not done proves nothing.
    pub fn ask_mode(&mut self, mode: ExploreMode) {
        self.limits.narrowed |= mode < self.explore.mode;
        self.explore.mode = mode;
    }

    /// Which pages belong to the site and may be visited.
    pub fn rules(&self) -> Result<ScopeRules, BadPattern> {
        let mut scope = self.scope.clone();
        scope.exclude.extend(self.explore.never.iter().cloned());
        ScopeRules::new(&scope)
    }

    /// Uses one of the site's devices. What a scan does not see on it proves nothing of the others. The names of the
    /// devices there are, if it is none of them.
    pub fn use_profile(&mut self, name: &str) -> Result<(), Vec<String>> {
        let Some(profile) = self.profiles.iter().find(|profile| profile.name == name) else {
            return Err(self.profiles.iter().map(|profile| profile.name.clone()).collect());
        };
        self.client.device = profile.device.clone().or(&self.client.device);
        self.limits.narrowed = true;
        Ok(())
    }

    /// What the site's file says is not to be reported, as suppressions decided `now`.
    pub fn suppressions(&self, now: Timestamp) -> Vec<Suppression> {
        let decided = |said: &SiteSuppression| {
            let scope = SuppressionScope {
                fingerprint: said.finding.clone().map(Fingerprint),
                check: said.check.clone(),
                site: Some(self.id.clone()),
                pages: said.pages.clone(),
                host: said.host.clone(),
            };
            Suppression {
                decided_in: DecidedIn::SiteFile,
                until: said.until,
                ..Suppression::new(scope, Decision::Ignored, &said.reason, &said.by, now)
            }
            .identified()
        };
        self.suppress.iter().map(decided).collect()
    }
}

/// Where lists of pages come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sitemaps {
    /// Those that robots.txt names, and `/sitemap.xml`.
    Auto,
    /// These.
    List(Vec<Url>),
}

/// What belongs to a site. Patterns are URLs in which `*` stands for any run of characters but `/`, and `**` for any
/// run. In a host `*` stands for any run, and `*://` for both schemes; without a port, the scheme's own is meant. A
/// pattern that begins with `/` or `**` holds for every host. The query is compared only if the pattern has a `?`, and
/// `/**` at the end holds for the folder itself, too. Case counts, except in hosts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scope {
    /// A page is in scope if one of these matches; never empty.
    pub include: Vec<String>,
    /// … and none of these.
    pub exclude: Vec<String>,
    /// Query parameters that make no difference, with `*`.
    pub ignore_query: Vec<String>,
    /// robots.txt is obeyed; what it disallows is listed as not checked.
    pub obey_robots: bool,
    /// Private addresses may be reached, if the configuration allows them too.
    pub allow_private: bool,
}

/// Where a scan ends, and how gently it goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Limits {
    /// Pages rendered at most.
    pub pages: u64,
    /// Links followed from a start page at most; a start page has depth 0.
    pub depth: u32,
    /// Time at most.
    pub duration: Duration,
    /// Navigations and own fetches a second, for each host, over all workers.
    pub pages_per_s: f64,
    /// Pages open at once, for each host, over all workers.
    pub concurrency: u32,
    /// Pages that are alike, rendered at most: of one template and one kind of document.
    #[serde(default = "pages_per_template")]
    pub pages_per_template: u64,
    /// Bytes at most, both ways, of pages and our own fetches; `None` means no limit.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Somebody asked for fewer pages, or less deep ones, than the site's file: what is not seen then proves nothing.
    #[serde(default)]
    pub narrowed: bool,
}

/// What the limits of older scans did not say.
fn pages_per_template() -> u64 {
    30
}

impl Limits {
    /// The limits that somebody asked for, in place of those of the site's file.
    pub fn ask(&mut self, pages: Option<u64>, depth: Option<u32>) {
        let fewer = pages.is_some_and(|pages| pages < self.pages);
        let shallower = depth.is_some_and(|depth| depth < self.depth);
        self.narrowed |= fewer || shallower;
        self.pages = pages.unwrap_or(self.pages);
        self.depth = depth.unwrap_or(self.depth);
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pages: 5_000,
            depth: 12,
            duration: Duration::from_hours(3),
            pages_per_s: 2.0,
            concurrency: 4,
            pages_per_template: pages_per_template(),
            bytes: None,
            narrowed: false,
        }
    }
}
