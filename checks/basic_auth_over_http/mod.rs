//! # What it looks for
//!
//! Answers over http that ask for a user name and a password by Basic authentication.
//!
//! # Why it matters
//!
//! With Basic authentication the browser sends the password itself with every request, and over http everybody on the
//! way reads it. It stays good until somebody changes it.
//!
//! # How it decides
//!
//! A document, script or style sheet of the site's own hosts came over http with the status 401 and a
//! `WWW-Authenticate` header that offers Basic. An answer that offers something else as well counts, since the browser
//! may choose Basic. This machine itself (loopback) does not count. There is one finding for each host.
//!
//! Severity: always *high*: whoever logs in there shows the password.
//!
//! Confidence: *firm*, since the browser itself was asked.
//!
//! # How to fix
//!
//! Serve the host over https alone and redirect http to it before anything asks for a password. Then change the
//! passwords that were used.
//!
//! # Known limits
//!
//! A page that asks for a password itself is no page to a scan; what is seen are parts of pages: frames, scripts, style
//! sheets. Headers of images and of what scripts fetch are not kept.
//!
//! # References
//!
//! - CWE-523, Unprotected Transport of Credentials: <https://cwe.mitre.org/data/definitions/523.html>
//! - IETF, The 'Basic' HTTP Authentication Scheme (RFC 7617): <https://www.rfc-editor.org/rfc/rfc7617>

use std::collections::BTreeMap;

use url::Url;

use crate::answers;
use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::Request;
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};

/// Passwords that the browser sends with every request, readable by all.
pub struct BasicAuthOverHttp;

static META: Meta = Meta {
    id: "basic-auth-over-http",
    version: 1,
    title: "Passwords of Basic authentication are sent without encryption",
    severity: Severity::High,
    cwe: 523,
    source: include_str!("mod.rs"),
};

impl Check for BasicAuthOverHttp {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::header(
            "Ask for the address without a password: the answer wants one by WWW-Authenticate: Basic, and no https protects it.",
            seen.address(&["address"]),
            "www-authenticate",
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found = BTreeMap::new();
        for request in &subject.evidence.requests {
            let Some(url) = asking(subject, request) else {
                continue;
            };
            let host = answers::host(&url);
            found.entry(host.clone()).or_insert_with(|| {
                META.observe(
                    (Severity::High, Confidence::Firm),
                    &format!("{host} asks for passwords over http (Basic authentication)"),
                    Cause::new(1, [("host", host)]),
                    vec![Fact::new("address", url.as_str())],
                )
            });
        }
        Outcome {
            observations: found.into_values().collect(),
            questions: Vec::new(),
        }
    }
}

/// Where a request came to, if that asks for a password in the clear.
fn asking(subject: &Subject<'_>, request: &Request) -> Option<Url> {
    let last = request.redirects.last().map_or(&request.url, |hop| &hop.to);
    let url = Url::parse(last).ok()?;
    let own = url.host_str().is_some_and(|host| hosts::is_own(subject, host));
    let offered = answers::value(&request.headers, "www-authenticate")?;
    let clear = url.scheme() == "http" && !hosts::is_loopback(&url);
    (request.status == Some(401) && clear && own && offers_basic(offered)).then_some(url)
}

/// Whether a `WWW-Authenticate` header, or one of several in lines, offers Basic.
fn offers_basic(header: &str) -> bool {
    header.split([',', '\n']).any(|part| {
        let scheme = part.split_whitespace().next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("basic")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Header, ResourceKind};
    use crate::testing::Scene;

    #[test]
    fn what_is_offered_over_http_counts() {
        let table = [
            ("http://case.test/in", 401, "Basic realm=\"x\"", true),
            (
                "http://case.test/in",
                401,
                "Digest realm=\"x\"\nbasic realm=\"x\"",
                true,
            ),
            ("http://case.test/in", 401, "Negotiate, Basic realm=\"x\"", true),
            ("http://case.test/in", 401, "Bearer realm=\"basic things\"", false),
            ("http://case.test/in", 200, "Basic realm=\"x\"", false),
            ("https://case.test/in", 401, "Basic realm=\"x\"", false),
            ("http://127.0.0.1/in", 401, "Basic realm=\"x\"", false),
            ("http://ads.example/in", 401, "Basic realm=\"x\"", false),
        ];
        for (url, status, offered, expected) in table {
            let mut scene = Scene::new("http://case.test/");
            let request = scene.request(url, ResourceKind::Document);
            request.status = Some(status);
            request.headers.push(Header {
                name: "www-authenticate".into(),
                value: offered.into(),
            });
            let said = scene.run(&BasicAuthOverHttp).observations;
            assert_eq!(!said.is_empty(), expected, "{url} {status} {offered}");
        }
    }
}
