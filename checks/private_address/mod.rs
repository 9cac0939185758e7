//! # What it looks for
//!
//! Public pages that load from, or send to, an address of a private network.
//!
//! # Why it matters
//!
//! For visitors it does not work: the address is in a network that they are not in, or, worse, belongs to somebody else's
//! machine in theirs. To others it tells how the network behind the site is laid out.
//!
//! # How it decides
//!
//! A request or a form of a document of the site's own goes to an IPv4 address of a private network (10/8, 172.16/12,
//! 192.168/16) or a unique local IPv6 address (`fc00::/7`), and the page itself is not on such an address. Loopback does
//! not count: developers' tools listen there, and it tells nothing. Links and text do not count: people write about such
//! addresses. There is one finding for each host of the site and address.
//!
//! Severity: always *low*.
//!
//! Confidence: *firm*: the browser would go there.
//!
//! # How to fix
//!
//! Use the public name of the service, or a path on the site itself. Look for where a setting of a test system was put
//! into production.
//!
//! # Known limits
//!
//! Names that only a private network knows (`intranet`, `*.local`) are not told from others.
//!
//! # References
//!
//! - IETF, Address Allocation for Private Internets (RFC 1918): <https://www.rfc-editor.org/rfc/rfc1918>
//! - CWE-200, Exposure of Sensitive Information to an Unauthorized Actor:
//!   <https://cwe.mitre.org/data/definitions/200.html>

use std::collections::BTreeMap;

use url::{Host, Url};

use crate::answers;
use crate::check::{Check, Meta, Outcome, Subject};
use crate::fields;
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};

/// Addresses that only a private network knows.
pub struct PrivateAddress;

static META: Meta = Meta {
    id: "private-address",
    version: 1,
    title: "A public page uses an address of a private network",
    severity: Severity::Low,
    cwe: 200,
    source: include_str!("mod.rs"),
};

impl Check for PrivateAddress {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::at(format!(
            "Look for {} in the source of the page and in the network panel of the developer tools (F12).",
            seen.part("address")
        )))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let evidence = subject.evidence;
        let mut outcome = Outcome::default();
        let Ok(page) = Url::parse(&evidence.page.url) else {
            return outcome;
        };
        if private(&page).is_some() || hosts::is_loopback(&page) {
            return outcome;
        }
        let requests = evidence
            .requests
            .iter()
            .filter(|request| {
                let frame = request.frame.as_deref();
                frame.is_none_or(|frame| !hosts::is_third_party(subject, frame))
            })
            .map(|request| (request.url.as_str(), "is loaded"));
        let forms = evidence
            .forms
            .iter()
            .filter(|form| !hosts::is_third_party(subject, &form.frame))
            .flat_map(|form| {
                fields::targets(form)
                    .into_iter()
                    .map(|(action, _)| (action, "is sent to"))
            });
        let mut found: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        for (url, what) in requests.chain(forms) {
            if let Some(address) = Url::parse(url).ok().as_ref().and_then(private) {
                found.entry(address).or_insert((url, what));
            }
        }
        let host = answers::host(&page);
        outcome
            .observations
            .extend(found.into_iter().map(|(address, (url, what))| {
                META.observe(
                    (Severity::Low, Confidence::Firm),
                    &format!("Pages of {host} use {address}, an address of a private network"),
                    Cause::new(1, [("host", host.clone()), ("address", address)]),
                    vec![Fact::new(what, url)],
                )
            }));
        outcome
    }
}

/// The address of a URL, if it is one of a private network.
fn private(url: &Url) -> Option<String> {
    match url.host()? {
        Host::Ipv4(address) => address.is_private().then(|| address.to_string()),
        Host::Ipv6(address) => address.is_unique_local().then(|| address.to_string()),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::ResourceKind;
    use crate::testing::Scene;

    #[test]
    fn what_a_page_uses_counts() {
        let table = [
            ("https://case.test/", "http://192.168.1.20/logo.png", true),
            ("https://case.test/", "https://10.0.0.5:8443/api", true),
            ("https://case.test/", "https://[fd00::1]/a", true),
            ("https://case.test/", "https://172.32.0.1/a", false),
            ("https://case.test/", "http://127.0.0.1:9229/", false),
            ("https://case.test/", "https://cdn.test/10.0.0.5/a", false),
            ("http://192.168.1.1/", "http://192.168.1.20/logo.png", false),
        ];
        for (page, url, expected) in table {
            let mut scene = Scene::new(page);
            scene.request(url, ResourceKind::Image);
            assert_eq!(!scene.run(&PrivateAddress).observations.is_empty(), expected, "{url}");
        }
    }
}
