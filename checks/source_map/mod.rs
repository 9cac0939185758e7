//! # What it looks for
//!
//! Scripts of the site whose source maps, with the sources in them, anybody can fetch.
//!
//! # Why it matters
//!
//! A source map gives back the code as it was written: comments, names, routes that no page links, sometimes keys. It
//! spares an attacker days.
//!
//! # How it decides
//!
//! A script of the site's own ends with a comment that names its map (`//# sourceMappingURL=`). The map is asked for, at
//! most two of a page; it counts if it is a source map with sources in it (`sourcesContent`). There is one finding for
//! each script.
//!
//! Severity: always *info*: open sources may well be meant.
//!
//! Confidence: *certain*, since the map was fetched.
//!
//! # How to fix
//!
//! Keep maps out of what is published, or serve them only to those who develop the site.
//!
//! # Known limits
//!
//! Maps inside of the script (`data:`), those that only a header names, and those of stylesheets are not looked at. A
//! script that is longer than what is kept of it is not seen to its end.
//!
//! # References
//!
//! - ECMA-426, Source map format: <https://tc39.es/ecma426/>
//! - CWE-540, Inclusion of Sensitive Information in Source Code: <https://cwe.mitre.org/data/definitions/540.html>

use std::collections::BTreeMap;

use url::Url;

use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::Answer;
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Question, Severity};
use crate::stable::{asset, shown};

/// Sources that anybody can fetch.
pub struct SourceMap;

static META: Meta = Meta {
    id: "source-map",
    version: 1,
    title: "The sources of a script can be fetched",
    severity: Severity::Info,
    cwe: 540,
    source: include_str!("mod.rs"),
};

/// Maps of one page that are asked for.
const MOST_ASKED: usize = 2;
/// The comment is looked for in so many bytes at the end.
const TAIL: usize = 2_000;

impl Check for SourceMap {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::answer(
            "Ask for the map without being logged in: it holds the names, and often the texts, of the sources.",
            seen.address(&["map"]),
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found = BTreeMap::new();
        let mut questions = Vec::new();
        for (script, map) in maps(subject) {
            match answered(subject, &map) {
                Some(false) => {}
                None => questions.push(Question::IsSourceMap { url: map.to_string() }),
                Some(true) => {
                    let place = asset(&script);
                    let shown = shown(&script);
                    found.entry(place.clone()).or_insert_with(|| {
                        META.observe(
                            (Severity::Info, Confidence::Certain),
                            &format!("The sources of {shown} can be fetched"),
                            Cause::new(1, [("script", place)]),
                            vec![Fact::new("script", script.as_str()), Fact::new("map", map.as_str())],
                        )
                    });
                }
            }
        }
        questions.sort();
        questions.dedup();
        questions.truncate(MOST_ASKED);
        Outcome {
            observations: found.into_values().collect(),
            questions,
        }
    }
}

/// The scripts of the site's own that name a map of the site's own.
fn maps(subject: &Subject<'_>) -> Vec<(Url, Url)> {
    let own = |url: &Url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| hosts::is_own(subject, host))
    };
    subject
        .evidence
        .scripts
        .iter()
        .filter_map(|script| {
            let url = Url::parse(script.url.as_deref()?).ok().filter(|url| own(url))?;
            let text = subject.bodies.text(script.hash.as_deref()?)?;
            let map = url.join(map_of(text)?).ok().filter(|map| own(map))?;
            (!map.as_str().contains("REDACTED")).then_some((url, map))
        })
        .collect()
}

/// What the last comment says where the map is.
fn map_of(text: &str) -> Option<&str> {
    let mut start = text.len().saturating_sub(TAIL);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let tail = &text[start..];
    let at = tail.rfind("# sourceMappingURL=").filter(|at| {
        let before = &tail[..*at];
        before.ends_with("//") || before.ends_with("/*")
    })?;
    let named = tail[at..].split_once('=')?.1;
    let named = named.split(|c: char| c.is_whitespace() || c == '*').next()?;
    (!named.is_empty() && !named.starts_with("data:")).then_some(named)
}

/// Whether the map is one; `None` if it was not asked for yet.
fn answered(subject: &Subject<'_>, map: &Url) -> Option<bool> {
    subject.evidence.answers.iter().find_map(|answer| match answer {
        Answer::SourceMap { url, found } if url == map.as_str() => Some(*found),
        Answer::NotAsked {
            question: Question::IsSourceMap { url },
            ..
        } if url == map.as_str() => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Script;
    use crate::testing::Scene;

    #[test]
    fn comments_are_read() {
        let table = [
            ("x();\n//# sourceMappingURL=app.js.map\n", Some("app.js.map")),
            ("x();/*# sourceMappingURL=app.js.map */", Some("app.js.map")),
            ("x('# sourceMappingURL=app.js.map')", None),
            ("//# sourceMappingURL=data:application/json;base64,e30=", None),
            ("x()", None),
        ];
        for (text, expected) in table {
            assert_eq!(map_of(text), expected, "{text}");
        }
    }

    #[test]
    fn a_map_is_asked_for_once() {
        let mut scene = Scene::new("https://case.test/");
        scene.evidence.scripts.push(Script {
            url: Some("https://case.test/js/app.4f9ac1e2.js".into()),
            hash: Some("h".into()),
            ..Script::default()
        });
        scene
            .bodies
            .insert("h".into(), "//# sourceMappingURL=app.js.map".into());
        let url = "https://case.test/js/app.js.map".to_owned();
        assert_eq!(
            scene.run(&SourceMap).questions,
            [Question::IsSourceMap { url: url.clone() }]
        );
        scene.evidence.answers.push(Answer::SourceMap { url, found: true });
        let outcome = scene.run(&SourceMap);
        assert!(outcome.questions.is_empty());
        assert_eq!(outcome.observations[0].cause.to_string(), "script=case.test/js/app.js");
    }
}
