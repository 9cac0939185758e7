//! From the repository format of retire.js to [`Advisories`].

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use regex::bytes::RegexBuilder;
use regex_syntax::hir::{Hir, HirKind};
use serde::Deserialize;

use super::advisories::{Advisories, AdvisoriesError, Advisory, Component, TextPattern};
use crate::observation::Severity;

/// What stands for a version in the source's patterns, and what it means.
const VERSION_MARK: &str = "§§version§§";
const VERSION_REGEX: &str = r"[0-9][0-9.a-zA-Z_\-]+";
/// A literal shorter than this is found in most scripts and spares no search.
const SHORTEST_LITERAL: usize = 4;
/// Longer repetitions make machines too large; how far a match reaches is bounded by [`TextPattern::reach`] anyway.
const LONGEST_REPETITION: u32 = 300;
/// The reach of a pattern whose matches have no longest length, in bytes.
const OPEN_REACH: usize = 4_096;
/// The longest reach, in bytes.
const LONGEST_REACH: usize = 10_000;

/// Entries that are no libraries.
const NO_LIBRARIES: [&str; 2] = ["retire-example", "dont check"];

/// A set of advisories, and what of its source could not be used.
#[derive(Debug)]
pub struct Converted {
    /// The set.
    pub advisories: Advisories,
    /// Patterns that cannot be expressed here, with the reason, as sentences.
    pub dropped: Vec<String>,
    /// Libraries without advisories, which are left out.
    pub without_advisories: Vec<String>,
}

#[derive(Deserialize)]
struct RetireComponent {
    #[serde(default)]
    npmname: Names,
    #[serde(default)]
    vulnerabilities: Vec<RetireVulnerability>,
    #[serde(default)]
    extractors: RetireExtractors,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Names {
    One(String),
    Many(Vec<String>),
    #[default]
    None,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetireVulnerability {
    below: String,
    at_or_above: Option<String>,
    #[serde(default)]
    excludes: Vec<String>,
    severity: Severity,
    #[serde(default)]
    cwe: Vec<String>,
    #[serde(default)]
    identifiers: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    info: Vec<String>,
}

#[derive(Deserialize, Default)]
struct RetireExtractors {
    #[serde(default)]
    uri: Vec<String>,
    #[serde(default)]
    filename: Vec<String>,
    #[serde(default)]
    filecontent: Vec<String>,
    #[serde(default)]
    filecontentreplace: Vec<String>,
}

/// Converts a repository of retire.js. `date` is the day it was fetched, `YYYY-MM-DD`. The same input gives the same
/// output.
pub fn from_retire(json: &str, date: &str) -> Result<Converted, AdvisoriesError> {
    let repository: BTreeMap<String, RetireComponent> = serde_json::from_str(json)?;
    let mut dropped = Vec::new();
    let mut without_advisories = Vec::new();
    let mut components = Vec::new();
    for (name, retire) in repository {
        if NO_LIBRARIES.contains(&name.as_str()) {
            continue;
        }
        if retire.vulnerabilities.is_empty() {
            without_advisories.push(name);
            continue;
        }
        components.push(component(name, retire, &mut dropped));
    }
    let advisories = Advisories {
        source: "retire.js repository, format 5".to_owned(),
        date: date.to_owned(),
        components,
    };
    advisories.validate()?;
    Ok(Converted {
        advisories,
        dropped,
        without_advisories,
    })
}

fn component(name: String, retire: RetireComponent, dropped: &mut Vec<String>) -> Component {
    let mut drop = |pattern: &str, why: String| dropped.push(format!("{name}: {pattern}: {why}"));
    let mut text = Vec::new();
    for pattern in &retire.extractors.filecontent {
        match text_pattern(pattern, None) {
            Ok(pattern) => text.push(pattern),
            Err(why) => drop(pattern, why),
        }
    }
    for rule in &retire.extractors.filecontentreplace {
        match replacement(rule).and_then(|(pattern, version)| text_pattern(pattern, Some(version))) {
            Ok(pattern) => text.push(pattern),
            Err(why) => drop(rule, why),
        }
    }
    let mut path_patterns = |patterns: &[String], whole: bool| -> Vec<String> {
        let mut kept = Vec::new();
        for pattern in patterns {
            match path_pattern(pattern, whole) {
                Ok(regex) => kept.push(regex),
                Err(why) => drop(pattern, why),
            }
        }
        kept
    };
    let urls = path_patterns(&retire.extractors.uri, false);
    let files = path_patterns(&retire.extractors.filename, true);
    let mut advisories: Vec<Advisory> = retire.vulnerabilities.into_iter().map(advisory).collect();
    advisories.dedup();
    text.dedup();
    Component {
        npm: match retire.npmname {
            Names::One(name) => vec![name],
            Names::Many(names) => names,
            Names::None => Vec::new(),
        },
        part_of: name.starts_with("jquery-ui-").then(|| "jquery-ui".to_owned()),
        name,
        advisories,
        text,
        urls,
        files,
    }
}

fn advisory(retire: RetireVulnerability) -> Advisory {
    let mut ids: Vec<String> = Vec::new();
    let words = |value: &serde_json::Value| -> Vec<String> {
        match value {
            serde_json::Value::String(text) => vec![text.clone()],
            serde_json::Value::Array(list) => list
                .iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect(),
            other => vec![other.to_string()],
        }
    };
    for kind in ["CVE", "githubID"] {
        ids.extend(retire.identifiers.get(kind).into_iter().flat_map(words));
    }
    if ids.is_empty() {
        // The summary is prose; the other identifiers are numbers in trackers, which need their kind to mean anything.
        for (kind, value) in retire.identifiers.iter().filter(|(kind, _)| *kind != "summary") {
            let kind = if kind == "retid" { "retire" } else { kind };
            ids.extend(words(value).into_iter().map(|id| format!("{kind}-{id}")));
        }
    }
    if ids.is_empty() {
        ids.push(format!("unnamed, fixed in {}", retire.below));
    }
    let cwe: Vec<u32> = retire
        .cwe
        .iter()
        .filter_map(|cwe| cwe.strip_prefix("CWE-").and_then(|number| number.parse().ok()))
        .collect();
    Advisory {
        ids,
        from: retire.at_or_above,
        below: retire.below,
        except: retire.excludes,
        severity: retire.severity,
        // CWE-1104: use of unmaintained components.
        end_of_life: cwe.contains(&1104),
        cwe,
        links: retire.info,
    }
}

/// Splits `/pattern/replacement/`.
fn replacement(rule: &str) -> Result<(&str, &str), String> {
    let inner = rule
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'))
        .ok_or("not of the form /pattern/version/")?;
    inner
        .rsplit_once('/')
        .ok_or_else(|| "not of the form /pattern/version/".to_owned())
}

fn text_pattern(pattern: &str, version: Option<&str>) -> Result<TextPattern, String> {
    let exact = adapt(pattern)?;
    let hir = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(&exact)
        .map_err(|error| reason(&error))?;
    let literal = required_literal(&hir).unwrap_or_default();
    if literal.len() < SHORTEST_LITERAL {
        return Err("no text that every match contains".to_owned());
    }
    let reach = hir
        .properties()
        .maximum_len()
        .unwrap_or(OPEN_REACH)
        .clamp(64, LONGEST_REACH);
    let regex = open_long_repetitions(&exact);
    RegexBuilder::new(&regex)
        .unicode(false)
        .build()
        .map_err(|error| reason(&error))?;
    Ok(TextPattern {
        regex,
        version: version.map(str::to_owned),
        literal,
        reach,
    })
}

fn path_pattern(pattern: &str, whole: bool) -> Result<String, String> {
    let adapted = adapt(pattern)?;
    let regex = if whole {
        format!("^(?:{})$", adapted.trim_start_matches('/'))
    } else {
        adapted
    };
    Regex::new(&regex).map_err(|error| reason(&error))?;
    Ok(regex)
}

fn reason(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim().to_owned()
}

static LOOK_BEHIND_VERSION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\(§§version§§\)\(\?<=([^()]*)\)").ok());
static SINGLE_CHARACTER_GROUP: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\((\.|\[[^\]]+\])\)").ok());
static BACK_REFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\\[1-9]").ok());
static REPETITION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{(\d+),(\d+)\}").ok());

/// A pattern of JavaScript in the words of the regex crate.
///
/// A version that is looked back at is matched by what it is looked back with. A reference back to a group of one
/// character becomes that character's pattern: a little wider, in the midst of much that is fixed.
fn adapt(pattern: &str) -> Result<String, String> {
    let mut adapted = match LOOK_BEHIND_VERSION.as_ref() {
        Some(regex) => regex.replace_all(pattern, "($1)").into_owned(),
        None => pattern.to_owned(),
    };
    adapted = adapted.replace(VERSION_MARK, VERSION_REGEX);
    let (Some(references), Some(groups)) = (BACK_REFERENCE.as_ref(), SINGLE_CHARACTER_GROUP.as_ref()) else {
        return Ok(adapted);
    };
    if !references.is_match(&adapted) {
        return Ok(adapted);
    }
    let single = groups
        .captures(&adapted)
        .map(|group| group[1].to_owned())
        .ok_or("refers back to more than one character")?;
    Ok(references.replace_all(&adapted, regex::NoExpand(&single)).into_owned())
}

fn open_long_repetitions(pattern: &str) -> String {
    let Some(repetition) = REPETITION.as_ref() else {
        return pattern.to_owned();
    };
    repetition
        .replace_all(pattern, |found: &regex::Captures<'_>| {
            let most: u32 = found[2].parse().unwrap_or(u32::MAX);
            if most > LONGEST_REPETITION {
                format!("{{{},}}", &found[1])
            } else {
                found[0].to_owned()
            }
        })
        .into_owned()
}

/// The longest text that stands in every match.
fn required_literal(hir: &Hir) -> Option<String> {
    let mut best = Vec::new();
    let mut run = Vec::new();
    collect(hir, &mut run, &mut best);
    keep_longer(&mut run, &mut best);
    String::from_utf8(best).ok().filter(|literal| !literal.is_empty())
}

fn collect(hir: &Hir, run: &mut Vec<u8>, best: &mut Vec<u8>) {
    match hir.kind() {
        HirKind::Literal(literal) => run.extend_from_slice(&literal.0),
        HirKind::Concat(parts) => parts.iter().for_each(|part| collect(part, run, best)),
        HirKind::Capture(capture) => collect(&capture.sub, run, best),
        HirKind::Repetition(repetition) => {
            keep_longer(run, best);
            if repetition.min > 0 {
                collect(&repetition.sub, run, best);
                keep_longer(run, best);
            }
        }
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Class(_) | HirKind::Alternation(_) => keep_longer(run, best),
    }
}

fn keep_longer(run: &mut Vec<u8>, best: &mut Vec<u8>) {
    if run.len() > best.len() {
        std::mem::swap(run, best);
    }
    run.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = include_str!("testdata/retire.json");

    #[test]
    fn facts_are_kept_and_prose_is_not() {
        let converted = from_retire(SOURCE, "2024-05-06").unwrap();
        let set = &converted.advisories;
        assert_eq!(set.date, "2024-05-06");
        assert_eq!(converted.without_advisories, ["quiet"]);
        let [ui, tiny] = set.components.as_slice() else {
            panic!("{set:?}");
        };
        assert_eq!((tiny.name.as_str(), ui.name.as_str()), ("tiny", "jquery-ui-dialog"));
        assert_eq!(ui.part_of.as_deref(), Some("jquery-ui"));
        assert_eq!(tiny.npm, ["tiny", "@tiny/core"]);
        let first = &tiny.advisories[0];
        assert_eq!(first.ids, ["CVE-2020-1", "GHSA-a"]);
        assert_eq!((first.from.as_deref(), first.below.as_str()), (Some("1.0.0"), "1.2.0"));
        assert_eq!(
            (first.cwe.as_slice(), first.severity),
            ([79].as_slice(), Severity::High)
        );
        assert_eq!(tiny.advisories[1].ids, ["retire-73"]);
        assert!(tiny.advisories[1].end_of_life);
        assert!(!serde_json::to_string(set).unwrap().contains("prose"));
    }

    #[test]
    fn patterns_are_adapted_or_dropped_with_the_reason() {
        let converted = from_retire(SOURCE, "2024-05-06").unwrap();
        let tiny = &converted.advisories.components[1];
        let text: Vec<_> = tiny.text.iter().map(|pattern| pattern.literal.as_str()).collect();
        assert_eq!(text, ["/*! Tiny v", "__tiny_hash__", ".prototype={tiny:", "tinyMajor:"]);
        assert_eq!(tiny.text[3].version.as_deref(), Some("$1.$2"));
        assert!(tiny.text[1].regex.contains("{1,}"), "{}", tiny.text[1].regex);
        assert_eq!(tiny.files, [r"^(?:tiny-([0-9][0-9.a-zA-Z_\-]+)(\.min)?\.js)$"]);
        assert_eq!(converted.dropped.len(), 2, "{:?}", converted.dropped);
    }

    #[test]
    fn the_same_input_gives_the_same_output() {
        let once = from_retire(SOURCE, "2024-05-06").unwrap().advisories;
        assert_eq!(once, from_retire(SOURCE, "2024-05-06").unwrap().advisories);
    }

    #[test]
    fn what_is_not_a_repository_is_refused() {
        for json in ["", "[]", "{}", r#"{"a": 1}"#] {
            assert!(from_retire(json, "2024-05-06").is_err(), "{json}");
        }
        assert!(from_retire(SOURCE, "yesterday").is_err());
    }
}
