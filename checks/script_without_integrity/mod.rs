//! # What it looks for
//!
//! Script elements that load a fixed version of a library from another site without saying, by `integrity`, what it must
//! be.
//!
//! # Why it matters
//!
//! A script runs with all rights of the page. If the host that serves it is broken into, or changes hands, every page
//! that loads it runs what the new owner wants. With a hash the browser refuses what has changed.
//!
//! # How it decides
//!
//! A script element in a document of the site's own, with a source on another registrable domain whose path names a
//! version with at least two numbers (`jquery-3.7.1.min.js`, `vue@3.4.21`), and without `integrity`. A source without a
//! version may change at any time, so that a hash would break the page: it does not count. There is one finding for each
//! script, whatever its version.
//!
//! Severity: always *low*: it takes the fall of somebody else.
//!
//! Confidence: *firm*.
//!
//! # How to fix
//!
//! Serve the file from the site itself; or add `integrity="sha384-…"` and `crossorigin="anonymous"`. Public hosts for
//! libraries show the hash beside each file.
//!
//! # Known limits
//!
//! Scripts that scripts load without an element, modules' imports and stylesheets are not looked at.
//!
//! # References
//!
//! - W3C, Subresource Integrity: <https://www.w3.org/TR/SRI/>
//! - CWE-353, Missing Support for Integrity Check: <https://cwe.mitre.org/data/definitions/353.html>

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use url::Url;

use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::Script;
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};
use crate::stable::{asset, shown};

/// Scripts of others that may change unseen.
pub struct ScriptWithoutIntegrity;

static META: Meta = Meta {
    id: "script-without-integrity",
    version: 1,
    title: "A script of another site may change unseen",
    severity: Severity::Low,
    cwe: 353,
    source: include_str!("mod.rs"),
};

impl Check for ScriptWithoutIntegrity {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::at(format!(
            "Look at the source of the page: the script element with src {} has no integrity attribute.",
            seen.fact("script")
        )))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found: BTreeMap<Cause, Observation> = BTreeMap::new();
        for script in &subject.evidence.scripts {
            let Some(url) = loaded_from_elsewhere(subject, script).filter(names_a_version) else {
                continue;
            };
            if script.integrity.as_deref().is_some_and(|hash| !hash.trim().is_empty()) {
                continue;
            }
            let (place, shown) = (asset(&url), shown(&url));
            let observation = META.observe(
                (Severity::Low, Confidence::Firm),
                &format!("The script {shown} is loaded from another site without integrity"),
                Cause::new(1, [("script", place)]),
                vec![
                    Fact::new("script", url.as_str()),
                    Fact::new("element", script.snippet.as_str()),
                ],
            );
            found.entry(observation.cause.clone()).or_insert(observation);
        }
        Outcome {
            observations: found.into_values().collect(),
            questions: Vec::new(),
        }
    }
}

/// The source of a script element of the site's own, if it is another site's.
pub(crate) fn loaded_from_elsewhere(subject: &Subject<'_>, script: &Script) -> Option<Url> {
    if script.snippet.is_empty() || hosts::is_third_party(subject, &script.frame) {
        return None;
    }
    let url = Url::parse(script.url.as_deref()?).ok()?;
    let host = url.host_str()?;
    let elsewhere = matches!(url.scheme(), "http" | "https") && !hosts::is_own(subject, host);
    elsewhere.then_some(url)
}

fn names_a_version(url: &Url) -> bool {
    static VERSION: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?:^|[/@_.\-]v?)\d+\.\d+(?:[./\-]|$)").ok());
    VERSION.as_ref().is_some_and(|version| version.is_match(url.path()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scene;

    #[test]
    fn only_what_cannot_change_needs_a_hash() {
        let table = [
            ("https://cdn.test/jquery-3.7.1.min.js", true),
            ("https://cdn.test/npm/vue@3.4.21/dist/vue.js", true),
            ("https://cdn.test/ajax/libs/jquery/3.5.1/jquery.js", true),
            ("https://cdn.test/v1.2/a.js", true),
            ("https://cdn.test/npm/vue@3/dist/vue.js", false),
            ("https://cdn.test/tag.js?v=1.2.3", false),
            ("https://cdn.test/v3/", false),
            ("https://static.case.test/jquery-3.7.1.min.js", false),
        ];
        for (url, expected) in table {
            let mut scene = Scene::new("https://case.test/");
            scene.evidence.scripts.push(Script {
                frame: "main".into(),
                url: Some(url.into()),
                snippet: "<script src>".into(),
                ..Script::default()
            });
            assert_eq!(
                !scene.run(&ScriptWithoutIntegrity).observations.is_empty(),
                expected,
                "{url}"
            );
            scene.evidence.scripts[0].integrity = Some("sha384-x".into());
            assert!(scene.run(&ScriptWithoutIntegrity).observations.is_empty(), "{url}");
        }
    }
}
