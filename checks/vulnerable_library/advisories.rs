//! What is known about vulnerable versions of libraries, and how each library is recognised.

use serde::{Deserialize, Serialize};

use super::version::Version;
use crate::observation::Severity;

/// A set of advisories with its date: facts only, without anybody's prose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advisories {
    /// What it was made from.
    pub source: String,
    /// The day the source was fetched, `YYYY-MM-DD`.
    pub date: String,
    /// The libraries that have advisories, by name.
    pub components: Vec<Component>,
}

/// One library.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// The source's name for it, which is part of fingerprints.
    pub name: String,
    /// Its names on npm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub npm: Vec<String>,
    /// The library that it is delivered with and reported as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// What is known to be wrong with which versions.
    pub advisories: Vec<Advisory>,
    /// How its text is recognised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<TextPattern>,
    /// Regular expressions for its URL without query; the first group is the version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Regular expressions for the whole of its file name; the first group is the version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// One known vulnerability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advisory {
    /// Its names: CVE first, then GHSA, else the source's own.
    pub ids: Vec<String>,
    /// The first version that has it; `None`: all from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The first version that no longer has it.
    pub below: String,
    /// Versions in between that do not have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// As the advisory says.
    pub severity: Severity,
    /// Numbers in the Common Weakness Enumeration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cwe: Vec<u32>,
    /// Where to read about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// It only says that the versions are no longer maintained.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end_of_life: bool,
}

/// How a library is recognised in the text of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextPattern {
    /// A regular expression over bytes.
    pub regex: String,
    /// How the version is put together from groups, such as `$1.$2`; without it the first group is the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A text that every match contains, so that most scripts need not be searched.
    pub literal: String,
    /// How far from the literal a match may begin or end, in bytes.
    pub reach: usize,
}

/// Why a set of advisories cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdvisoriesError {
    /// Not a set of advisories.
    #[error("the advisories cannot be read: {0}; make them again from their source")]
    Shape(#[from] serde_json::Error),
    /// The date is missing or has another form.
    #[error("the advisories have the date `{0}`; expected YYYY-MM-DD")]
    Date(String),
    /// There is nothing in it.
    #[error("the advisories name no library; the source is probably not in retire.js format")]
    Empty,
    /// A version that cannot be compared.
    #[error("{component}: `{version}` is not a version that can be compared")]
    Version {
        /// The library.
        component: String,
        /// What stands where a version should.
        version: String,
    },
}

impl Advisories {
    /// The set that is part of the program.
    pub fn embedded() -> Result<Self, AdvisoriesError> {
        Self::parse(include_str!("advisories.json"))
    }

    /// Reads a set, and refuses one that could not be used.
    pub fn parse(json: &str) -> Result<Self, AdvisoriesError> {
        let set: Self = serde_json::from_str(json)?;
        set.validate()?;
        Ok(set)
    }

    /// The set as JSON with one library a line, so that versions of it can be compared by eye.
    pub fn to_lines(&self) -> Result<String, AdvisoriesError> {
        let mut text = format!(
            "{{\"source\":{},\"date\":{},\"components\":[",
            serde_json::to_string(&self.source)?,
            serde_json::to_string(&self.date)?,
        );
        for (index, component) in self.components.iter().enumerate() {
            text.push_str(if index == 0 { "\n" } else { ",\n" });
            text.push_str(&serde_json::to_string(component)?);
        }
        text.push_str("\n]}\n");
        Ok(text)
    }

    /// The names of the libraries.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.components.iter().map(|component| component.name.as_str())
    }

    /// How many libraries and advisories there are.
    pub fn counts(&self) -> (usize, usize) {
        let advisories = self.components.iter().map(|component| component.advisories.len());
        (self.components.len(), advisories.sum())
    }

    /// Whether the set can be used: it has a date, libraries, and versions that can be compared.
    pub fn validate(&self) -> Result<(), AdvisoriesError> {
        let date = self.date.as_bytes();
        let well_formed = date.len() == 10
            && date.iter().enumerate().all(|(at, byte)| {
                if at == 4 || at == 7 {
                    *byte == b'-'
                } else {
                    byte.is_ascii_digit()
                }
            });
        if !well_formed {
            return Err(AdvisoriesError::Date(self.date.clone()));
        }
        if self.components.is_empty() {
            return Err(AdvisoriesError::Empty);
        }
        for component in &self.components {
            for advisory in &component.advisories {
                for version in advisory.from.iter().chain([&advisory.below]) {
                    if Version::parse_bound(version).is_none() {
                        return Err(AdvisoriesError::Version {
                            component: component.name.clone(),
                            version: version.clone(),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

impl Advisory {
    /// Whether a version has the vulnerability.
    pub fn affects(&self, version: &Version) -> bool {
        let after_start = self
            .from
            .as_deref()
            .and_then(Version::parse_bound)
            .is_none_or(|from| *version >= from);
        let before_end = Version::parse_bound(&self.below).is_some_and(|below| *version < below);
        let excepted = self.except.iter().any(|except| except == version.as_str());
        after_start && before_end && !excepted
    }

    /// How bad it is in a browser: as the advisory says, but low if all it does is to slow the visitor's own browser
    /// down, or if it takes a server or its files, and the library does not run on servers as well.
    pub fn severity_in_browser(&self, component: &str) -> Severity {
        /// Weaknesses that exhaust or stop what they run in, and no more.
        const DENIAL_OF_SERVICE: [u32; 12] = [248, 400, 407, 409, 674, 730, 754, 770, 834, 835, 1050, 1333];
        /// Paths out of a folder, commands of a shell, requests that a server is made to send or that are smuggled past
        /// one: in a browser there is nothing of the kind.
        const OF_SERVERS: [u32; 17] = [22, 23, 24, 27, 29, 35, 36, 41, 73, 77, 78, 88, 98, 113, 441, 444, 918];
        let harmless = |cwe: &u32| DENIAL_OF_SERVICE.contains(cwe) || OF_SERVERS.contains(cwe);
        let only_harmless = !self.cwe.is_empty() && self.cwe.iter().all(harmless);
        if only_harmless && component != "nextjs" {
            self.severity.min(Severity::Low)
        } else {
            self.severity
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advisory(from: Option<&str>, below: &str) -> Advisory {
        Advisory {
            ids: vec!["CVE-1".into()],
            from: from.map(str::to_owned),
            below: below.into(),
            except: vec!["1.12.4-aem".into()],
            severity: Severity::High,
            cwe: vec![79],
            links: Vec::new(),
            end_of_life: false,
        }
    }

    #[test]
    fn the_embedded_set_can_be_used_and_has_a_date() {
        let set = Advisories::embedded().unwrap();
        assert!(set.date.as_str() > "2020-01-01", "{}", set.date);
        assert!(set.components.len() > 50);
        let names: Vec<&str> = set.components.iter().map(|component| component.name.as_str()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted, "names are sorted and unique");
        for component in &set.components {
            assert!(
                component.advisories.iter().all(|advisory| !advisory.ids.is_empty()),
                "{}",
                component.name
            );
        }
    }

    #[test]
    fn ranges_have_two_ends_and_exceptions() {
        let table = [
            (Some("1.4.0"), "1.12.0", "1.3.9", false),
            (Some("1.4.0"), "1.12.0", "1.4.0", true),
            (Some("1.4.0"), "1.12.0", "1.11.3", true),
            (Some("1.4.0"), "1.12.0", "1.12.0", false),
            (Some("1.4.0"), "1.12.0", "1.12.0-rc1", true),
            (None, "3.0.0-beta1", "0.1.0", true),
            (None, "3.0.0-beta1", "3.0.0-alpha2", true),
            (None, "3.0.0-beta1", "3.0.0", false),
            (Some("0"), "3.4.11", "3.4.10", true),
            (None, "2.999.999", "1.12.4-aem", false),
            (None, "2.999.999", "1.12.4", true),
        ];
        for (from, below, version, expected) in table {
            let got = advisory(from, below).affects(&Version::parse(version).unwrap());
            assert_eq!(got, expected, "{from:?}..{below} {version}");
        }
    }

    #[test]
    fn denial_of_service_is_low_in_a_browser() {
        let mut slow = advisory(None, "2.0.0");
        slow.cwe = vec![400, 1333];
        assert_eq!(slow.severity_in_browser("moment.js"), Severity::Low);
        assert_eq!(slow.severity_in_browser("nextjs"), Severity::High);
        slow.cwe = vec![22, 27];
        assert_eq!(slow.severity_in_browser("moment.js"), Severity::Low, "CVE-2022-24785");
        slow.cwe.push(79);
        assert_eq!(slow.severity_in_browser("moment.js"), Severity::High);
    }

    #[test]
    fn a_bad_set_is_refused() {
        let table = [
            ("[]", "cannot be read"),
            (
                r#"{"source":"x","date":"today","components":[]}"#,
                "expected YYYY-MM-DD",
            ),
            (
                r#"{"source":"x","date":"2024-01-01","components":[]}"#,
                "name no library",
            ),
            (
                r#"{"source":"x","date":"2024-01-01","components":[{"name":"a","advisories":[{"ids":["b"],"below":"soon","severity":"low"}]}]}"#,
                "a: `soon`",
            ),
        ];
        for (json, expected) in table {
            let error = Advisories::parse(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
