//! # What it looks for
//!
//! Headers that tell everybody which software a host runs, and in which version.
//!
//! # Why it matters
//!
//! When a flaw in a version becomes known, those who run it are found within hours by what they say of themselves.
//!
//! # How it decides
//!
//! The headers `Server`, `X-Powered-By`, `X-AspNet-Version`, `X-AspNetMvc-Version` and `X-Generator` of the site's own
//! answers, if a version stands in them: a number with at least one point, after a name or alone where the header is for
//! nothing else. A name without a version does not count. There is one finding for each host and header.
//!
//! Severity: always *info*: it is no flaw by itself.
//!
//! Confidence: *firm*.
//!
//! # How to fix
//!
//! `ServerTokens Prod` (Apache), `server_tokens off` (nginx), `expose_php = Off` (PHP), `enableVersionHeader="false"`
//! (ASP.NET). Keep the software up to date all the same.
//!
//! # Known limits
//!
//! Whether the version has known flaws is not looked up; distributions mend flaws without changing the number.
//!
//! # References
//!
//! - CWE-200, Exposure of Sensitive Information to an Unauthorized Actor:
//!   <https://cwe.mitre.org/data/definitions/200.html>
//! - OWASP, HTTP Headers Cheat Sheet:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html>

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::answers;
use crate::check::{Check, Meta, Outcome, Subject};
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};

/// Versions that headers tell.
pub struct ServerVersion;

static META: Meta = Meta {
    id: "server-version",
    version: 1,
    title: "A header tells the version of the server's software",
    severity: Severity::Info,
    cwe: 200,
    source: include_str!("mod.rs"),
};

const HEADERS: [&str; 5] = [
    "server",
    "x-powered-by",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-generator",
];

impl Check for ServerVersion {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::header(
            format!(
                "Look at the headers of the answer: {} names a version.",
                seen.part("header")
            ),
            seen.page,
            seen.part("header"),
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found: BTreeMap<(String, &str), String> = BTreeMap::new();
        for answer in answers::own(subject) {
            for name in HEADERS {
                let Some(value) = answer.header(name).filter(|value| tells(name, value)) else {
                    continue;
                };
                found.entry((answer.host(), name)).or_insert_with(|| value.to_owned());
            }
        }
        let observations = found.into_iter().map(|((host, header), value)| {
            META.observe(
                (Severity::Info, Confidence::Firm),
                &format!("{host} tells the version of its software in {header}"),
                Cause::new(1, [("host", host.clone()), ("header", header.to_owned())]),
                vec![Fact::new(header, value)],
            )
        });
        Outcome {
            observations: observations.collect(),
            questions: Vec::new(),
        }
    }
}

fn tells(header: &str, value: &str) -> bool {
    static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[A-Za-z][/ ]v?\d+\.\d").ok());
    static ALONE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\s*\d+\.\d").ok());
    let pattern = if header.starts_with("x-aspnet") { &ALONE } else { &NAMED };
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    #[test]
    fn only_versions_count() {
        let table = [
            ("server", "Apache/2.4.41 (Ubuntu)", true),
            ("server", "nginx/1.18.0", true),
            ("server", "Microsoft-IIS/10.0", true),
            ("server", "nginx", false),
            ("server", "cloudflare", false),
            ("x-powered-by", "PHP/7.4.3", true),
            ("x-powered-by", "Express", false),
            ("x-aspnet-version", "4.0.30319", true),
            ("x-generator", "Drupal 10", false),
            ("x-other", "a/1.2.3", false),
        ];
        for (name, value, expected) in table {
            let mut scene = Scene::document("https://case.test/");
            scene.header(name, value);
            assert_eq!(
                !scene.run(&ServerVersion).observations.is_empty(),
                expected,
                "{name}: {value}"
            );
        }
    }
}
