//! What came of a navigation: a page to be looked at, or what is to be done instead.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use url::Url;

use super::run::Run;
use super::turns::host_of;
use super::worker::Seen;
use crate::browser::{Captured, Visit};
use crate::crawl::reached::{Instead, is_challenge_host};
use crate::crawl::{Lease, PageKey, PageOutcome, wait_after};

/// A page that could not be looked at this often, with a browser of its own, is not tried again.
const MOST_CRASHES: u32 = 3;
/// A host that asks to be left alone this often in a row is taken at its word.
const MOST_WAITS: u32 = 4;
/// Pages of a scan that are tried a second time, because they were not seen. Beyond it, it is the way of the site.
const MOST_SECOND_TRIES: usize = 20;

/// Pages that have had their second try, or are having it.
#[derive(Debug, Default)]
pub(super) struct SecondTries(Mutex<HashSet<PageKey>>);

impl SecondTries {
    fn grants_one(&self, page: &PageKey) -> bool {
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tried.len() < MOST_SECOND_TRIES && tried.insert(page.clone())
    }
}

/// What to do about a certificate that the browser does not accept.
pub(super) const MEND_CERTIFICATE: &str =
    "repair the server's certificate, or name its key under `browser.trust_spki` (see examples/phantom.toml)";

impl Run {
    /// What becomes of a page that was not seen, for a reason that may have passed: a network that stumbled, a machine that
    /// was busy.
    pub(super) fn not_seen(&self, lease: &Lease, why: String) -> Seen {
        if !self.second_tries.grants_one(&lease.key) {
            return Seen::Not(PageOutcome::Failed(why));
        }
        Seen::Again {
            why,
            crashed: false,
            host_waits: None,
        }
    }

    /// The page, with what answered in its place; or what is to be done instead of looking at it.
    pub(super) fn judge(&self, lease: &Lease, visit: Visit) -> Result<(Box<Captured>, Option<Instead>), Seen> {
        let skipped = |why: String| Err(Seen::Not(PageOutcome::Skipped(self.redactor.text(&why))));
        let failed = |why: String| Err(Seen::Not(PageOutcome::Failed(self.redactor.text(&why))));
        let captured = match visit {
            Visit::Page(captured) => captured,
            Visit::NotAPage { what } => return skipped(what),
            Visit::BrokenOff { status } => return Err(broken_off(lease, status)),
            Visit::LeftScope { to } => {
                if let Some(host) = Url::parse(&to).ok().and_then(|to| to.host_str().map(str::to_owned))
                    && is_challenge_host(&host)
                {
                    return skipped(format!("redirects to a challenge at {host}"));
                }
                let to = crate::browser::url_without_secrets(&to);
                return skipped(format!("redirects to {to}, which is not to be visited"));
            }
            Visit::Unreachable { error } if error == "net::ERR_TOO_MANY_REDIRECTS" => {
                return skipped("redirects in a circle".to_owned());
            }
            Visit::Unreachable { error } if may_pass(&error) => {
                return Err(self.not_seen(lease, self.explain(&lease.url, error)));
            }
            Visit::Unreachable { error } => return failed(self.explain(&lease.url, error)),
        };
        let page = &captured.evidence.page;
        let status = page.status.unwrap_or(200);
        let instead = self.looks.judge(&captured.evidence, lease.depth == 0);
        if instead.as_ref().is_some_and(|instead| instead.what.is_foreign()) {
            // It says with its status what it likes, and does not pass by waiting.
            return Ok((captured, instead));
        }
        let refusals = self.turns.refusals(host_of(&lease.url));
        if let Some(wait) = wait_after(status, page.header("retry-after"), refusals, Timestamp::now())
            && refusals < MOST_WAITS
        {
            let why = format!(
                "the server answered {status} and is left alone for {} s",
                wait.as_secs()
            );
            return Err(Seen::Again {
                why,
                crashed: false,
                host_waits: Some(wait),
            });
        }
        match status {
            429 | 500.. => failed(format!("the server answered {status}")),
            400.. => skipped(format!("the server answered {status}")),
            _ => match page.mime.as_deref().filter(|mime| !is_page(mime)) {
                Some(mime) => skipped(format!("not a page: {mime}")),
                None if page.broken_off.is_some() && self.second_tries.grants_one(&lease.key) => Err(Seen::Again {
                    why: page.broken_off.clone().unwrap_or_default(),
                    crashed: false,
                    host_waits: None,
                }),
                None => Ok((captured, instead)),
            },
        }
    }

    /// Chromium only says that the proxy did not connect; the proxy knows why.
    fn explain(&self, url: &Url, error: String) -> String {
        let port = url.port_or_known_default().unwrap_or(443);
        match self.egress.last_error(url.host_str().unwrap_or_default(), port) {
            Some(why) => why.to_string(),
            None if error.starts_with("net::ERR_CERT_") => format!("{error}; {MEND_CERTIFICATE}"),
            None => error,
        }
    }
}

/// What becomes of a page whose browser died with it.
pub(super) fn died(lease: &Lease, why: String) -> Seen {
    if lease.alone && lease.crashes >= MOST_CRASHES {
        let reason = format!("it could not be looked at in {MOST_CRASHES} tries with a browser of its own: {why}");
        return Seen::Not(PageOutcome::Failed(reason));
    }
    Seen::Again {
        why,
        crashed: true,
        host_waits: None,
    }
}

/// What becomes of a page whose navigation the browser broke off. The first time it may be a renderer's death, which
/// cannot be told from an answer that is not shown.
fn broken_off(lease: &Lease, status: Option<u16>) -> Seen {
    match status {
        Some(status) if lease.alone => Seen::Not(PageOutcome::Skipped(format!(
            "the browser shows no page for it (status {status})"
        ))),
        _ => died(lease, "it broke the navigation off".to_owned()),
    }
}

/// Whether a connection that was not had, or broke, may be had at the next try.
fn may_pass(error: &str) -> bool {
    const PASSING: [&str; 10] = [
        "CONNECTION_RESET",
        "CONNECTION_CLOSED",
        "CONNECTION_ABORTED",
        "CONNECTION_TIMED_OUT",
        "TIMED_OUT",
        "EMPTY_RESPONSE",
        "NETWORK_CHANGED",
        "SOCKET_NOT_CONNECTED",
        "TUNNEL_CONNECTION_FAILED",
        "PROXY_CONNECTION_FAILED",
    ];
    let name = error.strip_prefix("net::ERR_");
    name.is_some_and(|name| PASSING.contains(&name) || name.starts_with("HTTP2_"))
}

fn is_page(mime: &str) -> bool {
    mime.starts_with("text/")
        || mime.ends_with("/xhtml+xml")
        || mime.ends_with("/xml")
        || mime.ends_with("/json")
        || mime == "image/svg+xml"
        || mime.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_second_try_and_a_site_some() {
        let tries = SecondTries::default();
        let page = |number: usize| PageKey(format!("https://shop.test/{number}"));
        assert!(tries.grants_one(&page(0)));
        assert!(!tries.grants_one(&page(0)));
        let granted = (1..100).filter(|number| tries.grants_one(&page(*number))).count();
        assert_eq!(granted, MOST_SECOND_TRIES - 1);
    }

    #[test]
    fn what_is_wrong_with_a_server_does_not_pass() {
        for (error, passes) in [
            ("net::ERR_CONNECTION_RESET", true),
            ("net::ERR_HTTP2_PROTOCOL_ERROR", true),
            ("net::ERR_CERT_DATE_INVALID", false),
            ("net::ERR_NAME_NOT_RESOLVED", false),
            ("status 500 with an empty page", false),
        ] {
            assert_eq!(may_pass(error), passes, "{error}");
        }
    }
}
