//! `site.toml` beside served files: what files alone cannot say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::content::Tls;

/// The rules of a folder of hosts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    /// Files that begin with `<title>` are put into their host's `_layout.html`, and `{{token}}` stands for a new
    /// random value in each reply. It is also the nonce of all scripts.
    #[serde(default)]
    pub(super) templates: bool,
    /// What holds for all replies of a host, by its name.
    #[serde(default)]
    pub(super) hosts: BTreeMap<String, HostRule>,
    /// What holds for one reply, by host and path: `shop.test/old`.
    #[serde(default)]
    pub(super) replies: BTreeMap<String, ReplyRule>,
}

/// What holds for all replies of a host.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostRule {
    #[serde(default)]
    pub(super) tls: Tls,
    #[serde(default)]
    pub(super) http: InTheClear,
    /// `Set-Cookie` values, sent with every page to a visitor who does not send a cookie of that name.
    #[serde(default)]
    pub(super) cookies: Vec<String>,
    /// Headers of all its replies, in which `{{token}}` stands for the reply's random value.
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
}

/// How a host answers over HTTP without TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum InTheClear {
    /// With a redirect to HTTPS.
    #[default]
    Redirect,
    /// As over HTTPS.
    Same,
}

/// What holds for one reply.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplyRule {
    /// The status, 100 to 999; 200 if not given.
    pub(super) status: Option<u16>,
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
    /// `Set-Cookie` values of this reply alone.
    #[serde(default)]
    pub(super) cookies: Vec<String>,
    /// Milliseconds before the status is sent.
    #[serde(default)]
    pub(super) delay_ms: u64,
    #[serde(default)]
    pub(super) ending: Ending,
}

impl ReplyRule {
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }
}

/// How a reply ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ending {
    /// With its file, or with nothing if there is no file.
    #[default]
    Whole,
    /// After its file it never ends.
    Never,
    /// After its file the connection breaks.
    Cut,
    /// It never begins.
    Silence,
    /// The connection breaks before it begins.
    Drop,
}
