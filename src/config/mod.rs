//! The settings of one installation: `phantom.toml`, read raw and made valid in one place.
//!
//! The types here cannot be wrong: URLs are parsed, durations are durations, names are known. Whoever holds a
//! [`Config`] needs to check nothing again.

mod cidr;
mod endpoint;
pub(crate) mod kinds;
mod lifecycle;
mod load;
mod problem;
pub(crate) mod raw;
mod secret;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use phantom_checks::{Confidence, Severity};
use serde::{Deserialize, Serialize};
use url::Url;

pub use cidr::NotANetwork;
pub use endpoint::Endpoint;
pub use kinds::{parse_duration, parse_end_of_day, parse_size, show_duration, show_size};
pub use lifecycle::{Baseline, Lifecycle, Resolve, Route};
pub(crate) use load::read_file;
pub(crate) use problem::named;
pub use problem::{ConfigError, Problem};
pub use secret::{Secret, SecretError};

/// All settings of one installation.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where scans are kept; `None` means SQLite in the platform's data folder.
    pub store: Option<String>,
    /// The browsers.
    pub browser: BrowserConfig,
    /// What browsers and our own fetches may reach.
    pub network: NetworkConfig,
    /// What is kept of a page.
    pub evidence: EvidenceConfig,
    /// Domains of the organisation, in lower case: hosts below them that no site's file claims are listed in reports.
    pub organisation_domains: Vec<String>,
    /// Folders of declared checks.
    pub check_folders: Vec<PathBuf>,
    /// The ticket queue; `None` if the file has no `[jira]`.
    pub jira: Option<JiraConfig>,
}

/// The browsers.
#[derive(Debug, Clone)]
pub struct BrowserConfig {
    /// Which build is used.
    pub kind: BrowserKind,
    /// The binary; `None` means it is searched for.
    pub path: Option<PathBuf>,
    /// Browser processes, at least 1.
    pub processes: usize,
    /// Tabs over all processes, at least 1; `None` means by cores and memory.
    pub tabs: Option<usize>,
    /// Browsers of others, which are used instead of local ones if there are any.
    pub endpoints: Vec<Endpoint>,
    /// Chromium's own sandbox is wanted. Where it cannot run (root in a container) it is off, with a warning.
    pub sandbox: bool,
    /// `host:port` patterns (`*.test:443`) to the `address:port` that is dialled instead. The first match wins.
    pub resolve: Vec<(String, String)>,
    /// Base64 of the SHA-256 of public keys whose certificates are accepted.
    pub trust_spki: Vec<String>,
    /// The longest time one page may take, all in all.
    pub page_deadline: Duration,
}

impl Default for BrowserConfig {
    fn default() -> Self {
        Self {
            kind: BrowserKind::HeadlessShell,
            path: None,
            processes: 2,
            tabs: None,
            endpoints: Vec::new(),
            sandbox: true,
            resolve: Vec::new(),
            trust_spki: Vec::new(),
            page_deadline: Duration::from_secs(45),
        }
    }
}

/// The builds of Chromium that are driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrowserKind {
    /// `chromium-headless-shell`: faster and smaller.
    HeadlessShell,
    /// Full Chromium in its headless mode.
    Chromium,
}

/// What browsers and our own fetches may reach.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Private, loopback and link-local networks that may be reached if a site's scope also names such a host.
    pub allow_private: Vec<Cidr>,
    /// The company's own proxy, which our egress proxy speaks through.
    pub proxy: Option<Url>,
    /// The User-Agent; `{{ browser }}` stands for the browser's own.
    pub user_agent: String,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            allow_private: Vec::new(),
            proxy: None,
            user_agent: concat!("{{ browser }} phantom-gang/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A network: an address and the length of its prefix in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The network's address.
    pub address: IpAddr,
    /// The prefix length, 0 to 32 or 128.
    pub prefix: u8,
}

/// What is kept of a page.
#[derive(Debug, Clone)]
pub struct EvidenceConfig {
    /// Evidence is kept for this many last scans of each site.
    pub keep_scans: u32,
    /// Evidence older than this is deleted.
    pub keep: Duration,
    /// Of what pictures are taken, where a site does not say.
    pub screenshots: Screenshots,
}

/// Of what pictures are taken. What stands around a flaw is masked in any case, and so is what a visitor typed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Screenshots {
    /// Of elements with findings: a form, for instance.
    #[default]
    Findings,
    /// Of these; and of the window, all text in it masked, for findings without an element of their own.
    All,
    /// Of nothing.
    None,
}

impl Default for EvidenceConfig {
    fn default() -> Self {
        Self {
            keep_scans: 3,
            keep: Duration::from_hours(30 * 24),
            screenshots: Screenshots::default(),
        }
    }
}

/// The ticket queue.
#[derive(Debug, Clone)]
pub struct JiraConfig {
    /// Which dialect of the API is spoken.
    pub deployment: Deployment,
    /// Where the API is: `https://shop.atlassian.net`, or `https://api.atlassian.com/ex/jira/<cloud id>` for tokens with
    /// scopes.
    pub base_url: Url,
    /// Where people open tickets; the same unless a gateway is between.
    pub browse_url: Url,
    /// Where people see a finding outside of Jira: a URL with `{{ fingerprint }}` in it. Each ticket links there.
    pub finding_url: Option<String>,
    /// Who we are there.
    pub auth: JiraAuth,
    /// What is done when a scan does not say.
    pub mode: TicketMode,
    /// The pace of our requests.
    pub requests_per_s: f64,
    /// The longest time one request may take.
    pub timeout: Duration,
    /// The proxy through which Jira is reached.
    pub proxy: Option<Url>,
    /// Certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How tickets are made.
    pub defaults: TicketDefaults,
    /// What happens to them through time.
    pub lifecycle: Lifecycle,
    /// Where the tickets of some findings go instead; the first that matches.
    pub routes: Vec<Route>,
}

impl JiraConfig {
    /// Settings in which only what must be said is said.
    pub fn new(deployment: Deployment, base_url: Url, auth: JiraAuth, defaults: TicketDefaults) -> Self {
        Self {
            deployment,
            browse_url: base_url.clone(),
            base_url,
            finding_url: None,
            auth,
            mode: TicketMode::Live,
            requests_per_s: 2.0,
            timeout: Duration::from_secs(30),
            proxy: None,
            ca_file: None,
            defaults,
            lifecycle: Lifecycle::default(),
            routes: Vec::new(),
        }
    }
}

/// The deployments of Jira.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Deployment {
    /// REST v3 and the Atlassian Document Format.
    Cloud,
    /// REST v2 and wiki markup.
    #[value(name = "datacenter")]
    DataCenter,
}

/// Who we are in Jira. Secrets come from the environment or from files, never from the configuration itself.
#[derive(Debug, Clone)]
pub enum JiraAuth {
    /// A name and a secret.
    Basic {
        /// The account's e-mail address on Cloud, its user name on Data Center.
        user: String,
        /// Where its API token (Cloud) or password (Data Center) is.
        token: SecretSource,
    },
    /// A personal access token, on Data Center.
    Pat {
        /// Where the token is.
        token: SecretSource,
    },
    /// An access token of OAuth 2.0, which somebody else keeps fresh.
    OAuth2 {
        /// Where the token is.
        token: SecretSource,
    },
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// In this environment variable.
    Env(String),
    /// In this file, surrounding white space removed.
    File(PathBuf),
}

/// Whether tickets are filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TicketMode {
    /// Tickets are filed and updated.
    Live,
    /// The requests are printed, nothing is sent.
    DryRun,
    /// Nothing is filed.
    Off,
}

/// How tickets are made.
#[derive(Debug, Clone)]
pub struct TicketDefaults {
    /// The key of the project they are filed in.
    pub project: String,
    /// The projects in which ours are searched for; never empty.
    pub search_projects: Vec<String>,
    /// The name of the issue type.
    pub issue_type: String,
    /// Findings below it are not filed.
    pub min_severity: Severity,
    /// Findings below it are not filed.
    pub min_confidence: Confidence,
    /// Labels of every ticket.
    pub labels: Vec<String>,
    /// Severity to the name of a priority; a severity without one leaves the project's default.
    pub priority: BTreeMap<Severity, String>,
    /// Names of components.
    pub components: Vec<String>,
    /// An account id (Cloud) or user name (Data Center); `None` leaves it to the project.
    pub assignee: Option<String>,
    /// The name of a security level.
    pub security_level: Option<String>,
    /// The key of the issue that the tickets are part of.
    pub parent: Option<String>,
    /// Further fields by their id, as JSON that the API takes; strings are templates (`{{ site.owner }}`).
    pub fields: BTreeMap<String, serde_json::Value>,
}

impl TicketDefaults {
    /// Tickets of this project, all else as it is if nobody says otherwise.
    pub fn of(project: impl Into<String>) -> Self {
        let project = project.into();
        Self {
            search_projects: vec![project.clone()],
            project,
            issue_type: "Bug".to_owned(),
            min_severity: Severity::Medium,
            min_confidence: Confidence::Firm,
            labels: vec!["phantom-gang".to_owned()],
            priority: BTreeMap::new(),
            components: Vec::new(),
            assignee: None,
            security_level: None,
            parent: None,
            fields: BTreeMap::new(),
        }
    }
}
