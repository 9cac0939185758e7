//! What a case says of itself: the comment at the top of an HTML file that a check must flag, or must pass.
//!
//! The form is documented in `checks/README.md`. This module only reads it; the harness that serves the case and
//! scans it is a test of the whole program.

use std::fmt;

use crate::observation::{Confidence, Severity};

/// What a case expects, and how it wants to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What the check must say of the page. Empty: it must say nothing.
    pub flags: Vec<Flag>,
    /// The page is served over http instead of https.
    pub plain_http: bool,
    /// Response headers of the page, names in lower case, in the order given; `set-cookie` may repeat.
    pub headers: Vec<(String, String)>,
    /// Lines of TOML for the `[checks]` table of the site's file.
    pub site: Vec<String>,
    /// How the page is used; `None` if it is only looked at.
    pub explore: Option<Explored>,
    /// The query of the page's address.
    pub query: String,
    /// What other paths answer instead of a file.
    pub answers: Vec<Given>,
    /// What the case is about.
    pub why: String,
}

/// How a case's page is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explored {
    /// As far as nothing changes.
    Safe,
    /// Forms are filled and sent.
    Full,
}

/// What a path answers, over http and https.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The path, beginning with `/`.
    pub path: String,
    /// The status.
    pub status: u16,
    /// A header, its name in lower case.
    pub header: (String, String),
}

/// Observations that a case expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// Their severity, if the case minds.
    pub severity: Option<Severity>,
    /// Their confidence, if the case minds.
    pub confidence: Option<Confidence>,
    /// How many there are, at least 1.
    pub count: usize,
}

/// What is wrong with a case's comment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// The file does not begin with a comment, or the comment never ends.
    #[error("the file must begin with a comment: <!-- expect: pass --> or <!-- expect: flag -->")]
    NoComment,
    /// No line says what is expected.
    #[error("the comment must have a line `expect: pass`, or one or more `expect: flag …`")]
    NoExpectation,
    /// Both `pass` and `flag` are expected.
    #[error("line {line}: a case expects either `pass` or `flag`, not both")]
    Contradiction {
        /// Counted from 1.
        line: usize,
    },
    /// A line that means nothing.
    #[error("line {line}: `{text}` is not understood; expected {expected}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line, or the part of it.
        text: String,
        /// What would have been right.
        expected: &'static str,
    },
}

impl Case {
    /// Reads the comment at the top of a case.
    pub fn parse(html: &str) -> Result<Self, CaseError> {
        let html = html.strip_prefix('\u{feff}').unwrap_or(html);
        let before = html.len() - html.trim_start().len();
        let comment = html[before..]
            .strip_prefix("<!--")
            .and_then(|rest| rest.split_once("-->"))
            .map(|(comment, _)| comment)
            .ok_or(CaseError::NoComment)?;
        let first_line = html[..before].matches('\n').count() + 1;
        let mut case = Self {
            flags: Vec::new(),
            plain_http: false,
            headers: Vec::new(),
            site: Vec::new(),
            explore: None,
            query: String::new(),
            answers: Vec::new(),
            why: String::new(),
        };
        let mut passes = false;
        for (index, text) in comment.lines().enumerate() {
            let line = first_line + index;
            let text = text.trim();
            if !text.is_empty() {
                case.read(line, text, &mut passes)?;
            }
            if passes && !case.flags.is_empty() {
                return Err(CaseError::Contradiction { line });
            }
        }
        if passes || !case.flags.is_empty() {
            Ok(case)
        } else {
            Err(CaseError::NoExpectation)
        }
    }

    /// How many observations the case expects in all.
    pub fn count(&self) -> usize {
        self.flags.iter().map(|flag| flag.count).sum()
    }

    fn read(&mut self, line: usize, text: &str, passes: &mut bool) -> Result<(), CaseError> {
        let wrong = |expected| CaseError::Line {
            line,
            text: text.to_owned(),
            expected,
        };
        let (key, value) = text
            .split_once(':')
            .map(|(key, value)| (key.trim_end(), value.trim()))
            .ok_or_else(|| wrong("`key: value`"))?;
        match key {
            "expect" => match value.split_once(char::is_whitespace).unwrap_or((value, "")) {
                ("pass", "") => *passes = true,
                ("flag", details) => self.flags.push(Flag::parse(line, details)?),
                _ => {
                    return Err(wrong(
                        "`expect: pass` or `expect: flag severity=… confidence=… count=…`",
                    ));
                }
            },
            "served" => match value {
                "http" => self.plain_http = true,
                "https" => self.plain_http = false,
                _ => return Err(wrong("`served: http` or `served: https`")),
            },
            "explore" => match value {
                "safe" => self.explore = Some(Explored::Safe),
                "full" => self.explore = Some(Explored::Full),
                _ => return Err(wrong("`explore: safe` or `explore: full`")),
            },
            "query" => value.clone_into(&mut self.query),
            "answer" => {
                let given = Given::parse(value).ok_or_else(|| wrong("`answer: /path STATUS Name: value`"))?;
                self.answers.push(given);
            }
            "set-cookie" => self.headers.push(("set-cookie".to_owned(), value.to_owned())),
            "header" => {
                let (name, value) = value.split_once(':').ok_or_else(|| wrong("`header: Name: value`"))?;
                self.headers
                    .push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
            "site" => self.site.push(value.to_owned()),
            "why" if self.why.is_empty() => value.clone_into(&mut self.why),
            "why" => {
                self.why.push(' ');
                self.why.push_str(value);
            }
            _ => {
                return Err(wrong(
                    "one of expect, served, explore, query, answer, set-cookie, header, site, why",
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Flag {
    /// As a case writes it: `flag severity=high count=2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flag")?;
        if let Some(severity) = self.severity {
            write!(f, " severity={severity}")?;
        }
        if let Some(confidence) = self.confidence {
            write!(f, " confidence={confidence}")?;
        }
        if self.count > 1 {
            write!(f, " count={}", self.count)?;
        }
        Ok(())
    }
}

impl Given {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, char::is_whitespace);
        let (path, status, header) = (parts.next()?, parts.next()?, parts.next()?);
        let (name, value) = header.split_once(':')?;
        Some(Self {
            path: path.starts_with('/').then(|| path.to_owned())?,
            status: status.parse().ok().filter(|status| (200..600).contains(status))?,
            header: (name.trim().to_ascii_lowercase(), value.trim().to_owned()),
        })
    }
}

impl Flag {
    fn parse(line: usize, details: &str) -> Result<Self, CaseError> {
        let mut flag = Self {
            severity: None,
            confidence: None,
            count: 1,
        };
        for part in details.split_whitespace() {
            let wrong = |expected| CaseError::Line {
                line,
                text: part.to_owned(),
                expected,
            };
            match part.split_once('=') {
                Some(("severity", word)) => {
                    flag.severity = Some(word.parse().map_err(|_| wrong("critical, high, medium, low or info"))?);
                }
                Some(("confidence", word)) => {
                    flag.confidence = Some(word.parse().map_err(|_| wrong("certain, firm or tentative"))?);
                }
                Some(("count", number)) => {
                    flag.count = number
                        .parse()
                        .ok()
                        .filter(|count| *count > 0)
                        .ok_or_else(|| wrong("a number of at least 1"))?;
                }
                _ => return Err(wrong("severity=…, confidence=… or count=…")),
            }
        }
        Ok(flag)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_comment_is_enough() {
        let case = Case::parse("<!-- expect: pass -->\n<!doctype html>").unwrap();
        assert_eq!((case.count(), case.plain_http), (0, false));
    }

    #[test]
    fn a_long_comment_says_more() {
        let case = Case::parse(concat!(
            "\u{feff}\n<!--\n  expect: flag severity=high confidence=firm count=2\n  expect: flag\n",
            "  served: http\n  set-cookie: PHPSESSID=0a; HttpOnly\n  header: X-Test: a: b\n",
            "explore: full\n answer: /save 307 Location: http://case.test/\n",
            "  site: csrf_defence = \"origin\"\n  why: one\n  why: two\n-->\n<p>",
        ))
        .unwrap();
        assert_eq!(case.count(), 3);
        assert_eq!(case.flags[0].severity, Some(Severity::High));
        assert_eq!(case.flags[1].confidence, None);
        assert!(case.plain_http);
        assert_eq!(case.headers[0], ("set-cookie".into(), "PHPSESSID=0a; HttpOnly".into()));
        assert_eq!(case.headers[1], ("x-test".into(), "a: b".into()));
        assert_eq!(case.site, ["csrf_defence = \"origin\""]);
        assert_eq!(case.explore, Some(Explored::Full));
        let given = Given {
            path: "/save".into(),
            status: 307,
            header: ("location".into(), "http://case.test/".into()),
        };
        assert_eq!(case.answers, [given]);
        assert_eq!(case.why, "one two");
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let table = [
            ("<p>", "begin with a comment"),
            ("<!-- expect: pass", "begin with a comment"),
            ("<!-- why: x -->", "must have a line"),
            ("<!-- expect: pass\nexpect: flag -->", "line 2"),
            ("\n<!--\nexpect: flag severity=bad -->", "line 3: `severity=bad`"),
            ("<!-- expect: flag count=0 -->", "at least 1"),
            ("<!-- expects: pass -->", "one of expect"),
            ("<!-- pass -->", "key: value"),
        ];
        for (html, expected) in table {
            let error = Case::parse(html).unwrap_err().to_string();
            assert!(error.contains(expected), "{html}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(html in "(<!--)?[a-z:= \\n\\PC]{0,60}(-->)?") {
            let _ = Case::parse(&html);
        }
    }

    /// The pages of a check's cases: files in `cases/`, and `index.html` in folders below it.
    fn pages(folder: &Path) -> Vec<PathBuf> {
        let mut pages = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pages.push(path.join("index.html"));
            } else if path.extension().is_some_and(|extension| extension == "html") {
                pages.push(path);
            }
        }
        pages
    }

    #[test]
    fn every_check_has_cases_of_both_kinds_that_can_be_read() {
        for check in crate::all() {
            let name = check.meta().id.replace('-', "_");
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("cases");
            let (mut flagged, mut passed) = (0, 0);
            for page in pages(&folder) {
                let html = std::fs::read_to_string(&page).unwrap();
                let case = Case::parse(&html).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
                assert!(!case.why.is_empty(), "{} does not say why", page.display());
                if case.flags.is_empty() {
                    passed += 1;
                } else {
                    flagged += 1;
                }
            }
            assert!(
                flagged >= 3 && passed >= 3,
                "{}: {flagged} flag, {passed} pass",
                folder.display()
            );
        }
    }
}
