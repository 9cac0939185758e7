//! What must be found on the demo's microsite, and the comparison with what was found.

use std::collections::{BTreeMap, BTreeSet};

use phantom_checks::{Confidence, Severity};
use serde::Deserialize;

const FILE: &str = "tests/site/manifest.toml";
const TEXT: &str = include_str!("../../tests/site/manifest.toml");

/// What must be found on the demo's microsite, and where nothing may be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Every flaw that must be found. Nothing else may be.
    pub planted: Vec<Planted>,
    /// What must become of every page that a scan comes to know.
    pub pages: Pages,
    /// Pages that tempt a naive check: nothing may be found on them.
    pub clean: BTreeSet<String>,
}

/// One flaw, planted or found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// The id of the check.
    pub check: String,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// The parts of the cause.
    pub cause: BTreeMap<String, String>,
    /// The URLs of all pages that show it.
    pub pages: BTreeSet<String>,
    /// It is in a frame of another site: recorded, not filed.
    #[serde(default)]
    pub third_party: bool,
}

impl Planted {
    /// What it is known by, whatever is said of it.
    fn key(&self) -> (&str, &BTreeMap<String, String>) {
        (&self.check, &self.cause)
    }
}

/// What became of pages, by URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// Looked at.
    pub done: BTreeSet<String>,
    /// Could not be looked at.
    pub failed: BTreeSet<String>,
    /// Not looked at, on purpose.
    pub skipped: BTreeSet<String>,
}

impl Pages {
    /// Every page that the other has elsewhere or not at all, as lines to print; empty if both are equal.
    pub fn differences(&self, found: &Self) -> Vec<String> {
        let (expected, found) = (self.states(), found.states());
        let urls: BTreeSet<_> = expected.keys().chain(found.keys()).copied().collect();
        let word = |states: &BTreeMap<_, &'static str>, url| states.get(url).copied().unwrap_or("unknown");
        urls.into_iter()
            .map(|url| (url, word(&expected, url), word(&found, url)))
            .filter(|(_, expected, found)| expected != found)
            .map(|(url, expected, found)| format!("{url}: expected {expected}, is {found}"))
            .collect()
    }

    fn states(&self) -> BTreeMap<&str, &'static str> {
        let named = [
            ("done", &self.done),
            ("failed", &self.failed),
            ("skipped", &self.skipped),
        ];
        let pairs = named
            .into_iter()
            .flat_map(|(state, urls)| urls.iter().map(move |url| (url.as_str(), state)));
        pairs.collect()
    }
}

/// Why a manifest is not valid.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not what a manifest looks like.
    #[error("{file}: {source}")]
    Syntax {
        /// The file's name.
        file: String,
        /// Line, column and what is wrong there.
        source: Box<toml::de::Error>,
    },
    /// It contradicts itself.
    #[error("{file}: {what}")]
    Contradiction {
        /// The file's name.
        file: String,
        /// The key and its rule.
        what: String,
    },
}

impl Manifest {
    /// The manifest of the demo's own microsite.
    pub fn demo() -> Result<Self, ManifestError> {
        Self::parse(FILE, TEXT)
    }

    /// Reads a manifest; `file` is the name for messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text).map_err(|source| ManifestError::Syntax {
            file: file.to_owned(),
            source: Box::new(source),
        })?;
        match manifest.contradiction() {
            None => Ok(manifest),
            Some(what) => Err(ManifestError::Contradiction {
                file: file.to_owned(),
                what,
            }),
        }
    }

    fn contradiction(&self) -> Option<String> {
        let mut keys = BTreeSet::new();
        for planted in &self.planted {
            if !keys.insert(planted.key()) {
                return Some(format!("planted: two entries of {} have one cause", planted.check));
            }
            if planted.pages.is_empty() {
                return Some(format!("planted.pages: an entry of {} names no page", planted.check));
            }
            if let Some(url) = planted.pages.iter().find(|url| self.clean.contains(*url)) {
                return Some(format!("clean: {url} is also a page of {}", planted.check));
            }
        }
        let looked_at = self
            .planted
            .iter()
            .flat_map(|planted| &planted.pages)
            .chain(&self.clean);
        looked_at
            .into_iter()
            .find(|url| !self.pages.done.contains(*url))
            .map(|url| format!("pages.done: {url} is missing, though something is said of it"))
    }
}

/// What was planted against what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Planted and found, and all that is said of both is the same.
    pub matched: Vec<Planted>,
    /// Planted and not found.
    pub missing: Vec<Planted>,
    /// Found and not planted.
    pub extra: Vec<Planted>,
    /// Planted (first) and found (second) with another severity, confidence or set of pages.
    pub different: Vec<(Planted, Planted)>,
}

impl Comparison {
    /// Everything planted was found, and nothing else.
    pub fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.different.is_empty()
    }
}

/// Compares what was planted with what was found. A flaw is known by its check and cause.
pub fn compare(planted: &[Planted], found: &[Planted]) -> Comparison {
    let mut comparison = Comparison::default();
    let mut rest: Vec<_> = found.to_vec();
    for planted in planted {
        let Some(index) = rest.iter().position(|found| found.key() == planted.key()) else {
            comparison.missing.push(planted.clone());
            continue;
        };
        let found = rest.swap_remove(index);
        if found == *planted {
            comparison.matched.push(found);
        } else {
            comparison.different.push((planted.clone(), found));
        }
    }
    rest.sort_unstable();
    comparison.extra = rest;
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(host: &str, severity: Severity, pages: &[&str]) -> Planted {
        Planted {
            check: "mixed-content".to_owned(),
            severity,
            confidence: Confidence::Firm,
            cause: BTreeMap::from([("host".to_owned(), host.to_owned())]),
            pages: pages.iter().map(|page| (*page).to_owned()).collect(),
            third_party: false,
        }
    }

    #[test]
    fn equal_in_any_order() {
        let (a, b) = (
            flaw("a", Severity::Low, &["/1", "/2"]),
            flaw("b", Severity::Info, &["/1"]),
        );
        let comparison = compare(&[a.clone(), b.clone()], &[b.clone(), a.clone()]);
        assert!(comparison.is_equal());
        assert_eq!(comparison.matched, [a, b]);
    }

    #[test]
    fn each_difference_is_told() {
        let planted = [
            flaw("missed", Severity::Low, &["/1"]),
            flaw("graver", Severity::Low, &["/1"]),
            flaw("wider", Severity::Low, &["/1"]),
            flaw("same", Severity::Low, &["/1"]),
        ];
        let found = [
            flaw("graver", Severity::High, &["/1"]),
            flaw("wider", Severity::Low, &["/1", "/2"]),
            flaw("same", Severity::Low, &["/1"]),
            flaw("false", Severity::Low, &["/9"]),
            flaw("same", Severity::Low, &["/1"]),
        ];
        let comparison = compare(&planted, &found);
        assert!(!comparison.is_equal());
        assert_eq!(comparison.matched, planted[3..]);
        assert_eq!(comparison.missing, planted[..1]);
        assert_eq!(comparison.extra, [found[3].clone(), found[4].clone()]);
        assert_eq!(
            comparison.different,
            [
                (planted[1].clone(), found[0].clone()),
                (planted[2].clone(), found[1].clone())
            ]
        );
    }

    #[test]
    fn pages_are_compared_by_url_and_state() {
        let pages = |done: &[&str], failed: &[&str]| Pages {
            done: done.iter().map(|url| (*url).to_owned()).collect(),
            failed: failed.iter().map(|url| (*url).to_owned()).collect(),
            skipped: BTreeSet::new(),
        };
        assert!(pages(&["/a"], &["/b"]).differences(&pages(&["/a"], &["/b"])).is_empty());
        assert_eq!(
            pages(&["/a", "/c"], &["/b"]).differences(&pages(&["/a", "/b", "/d"], &[])),
            [
                "/b: expected failed, is done",
                "/c: expected done, is unknown",
                "/d: expected unknown, is done"
            ]
        );
    }

    #[test]
    fn contradictions_are_refused() {
        let entry = "[[planted]]\ncheck = 'c'\nseverity = 'low'\nconfidence = 'firm'\ncause = { host = 'h' }\n";
        let lists = |clean: &str, done: &str| {
            format!("clean = [{clean}]\npages = {{ done = [{done}], failed = [], skipped = [] }}\n")
        };
        let cases = [
            (format!("{}{entry}pages = ['/1']", lists("", "'/1'")), ""),
            (
                format!("{}{entry}pages = ['/1']", lists("'/1'", "'/1'")),
                "clean: /1 is also a page of c",
            ),
            (
                format!("{}{entry}pages = []", lists("", "")),
                "an entry of c names no page",
            ),
            (
                format!("{}{entry}pages = ['/1']\n{entry}pages = ['/1']", lists("", "'/1'")),
                "one cause",
            ),
            (
                format!("{}{entry}pages = ['/1']", lists("", "")),
                "pages.done: /1 is missing",
            ),
            (
                format!("{}{entry}pages = ['/1']\npagse = 1", lists("", "'/1'")),
                "pagse",
            ),
        ];
        for (text, message) in cases {
            let result = Manifest::parse("m.toml", &text);
            match message {
                "" => assert!(result.is_ok(), "{result:?}"),
                message => {
                    let error = result.unwrap_err().to_string();
                    assert!(error.starts_with("m.toml: ") && error.contains(message), "{error}");
                }
            }
        }
    }
}
