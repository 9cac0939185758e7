//! Versions as libraries write them, and their order.

use std::cmp::Ordering;

/// A version, ready to be compared.
///
/// Numbers are compared as numbers, and those that are missing are zero. A pre-release (`3.0.0-rc.1`, `1.9.0b1`,
/// `3.0.RC3`) comes before its release. Other endings (`-aem`, `.slim`) change nothing.
#[derive(Debug, Clone)]
pub struct Version {
    text: String,
    release: Vec<u64>,
    /// What follows the numbers, if that marks a pre-release.
    pre: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

/// Words that mark a version from before its release.
const PRE_RELEASE: &str = "a alpha b beta c rc cr pre preview dev snapshot canary next nightly experimental insiders m \
    milestone unstable git";

/// Endings of file names and builds that are no part of a version.
const ENDINGS: &str = "min slim prod production dev development debug esm umd cjs iife global common bundle full all \
    pack packed module legacy core lite js";

impl Version {
    /// Reads a version. It begins with a digit or a `v` and has at least two numbers; whatever follows a space, a `+`
    /// or another character that is no part of a version is left out, and so are `.min` and the like.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text, 2)
    }

    /// Reads the end of a range, for which one number is enough: `3` is `3.0.0`.
    pub fn parse_bound(text: &str) -> Option<Self> {
        Self::read(text, 1)
    }

    fn read(text: &str, fewest_numbers: usize) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let end = text
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')))
            .unwrap_or(text.len());
        let mut text = &text[..end.min(64)];
        while let Some(at) = text.rfind(['.', '-', '_']) {
            let last = &text[at + 1..];
            if last.is_empty() || ENDINGS.split_ascii_whitespace().any(|ending| ending == last) {
                text = &text[..at];
            } else {
                break;
            }
        }
        let parts = parts(text);
        let numbers = parts.iter().take_while(|part| matches!(part, Part::Number(_))).count();
        if numbers < fewest_numbers || !text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let release = parts
            .iter()
            .filter_map(|part| match part {
                Part::Number(number) => Some(*number),
                Part::Word(_) => None,
            })
            .take(numbers)
            .collect();
        let rest = &parts[numbers..];
        let is_pre = matches!(rest.first(), Some(Part::Word(word))
            if PRE_RELEASE.split_ascii_whitespace().any(|known| known == word));
        Some(Self {
            text: text.to_owned(),
            release,
            pre: if is_pre { rest.to_vec() } else { Vec::new() },
        })
    }

    /// The version as written, without what was left out.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it comes from before its release.
    pub fn is_pre_release(&self) -> bool {
        !self.pre.is_empty()
    }

    /// Whether it is the end of a line of versions that nobody ever released, as in `below 2.999.999`.
    pub fn is_invented(&self) -> bool {
        self.release.iter().any(|number| *number == 999 || *number == 9999)
    }
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = |same: fn(&char) -> bool| rest.find(|c: char| !same(&c)).unwrap_or(rest.len());
        let end = if first.is_ascii_digit() {
            let end = end(char::is_ascii_digit);
            // A number too long for 64 bits is larger than all that fit.
            parts.push(Part::Number(rest[..end].parse().unwrap_or(u64::MAX)));
            end
        } else if first.is_ascii_alphabetic() {
            let end = end(char::is_ascii_alphabetic);
            parts.push(Part::Word(rest[..end].to_ascii_lowercase()));
            end
        } else {
            first.len_utf8()
        };
        rest = &rest[end..];
    }
    parts
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.release.len().max(other.release.len());
        let number = |version: &Self, index: usize| version.release.get(index).copied().unwrap_or(0);
        (0..length)
            .map(|index| number(self, index).cmp(&number(other, index)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => self.pre.cmp(&other.pre),
            })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap_or_else(|| panic!("{text} is a version"))
    }

    #[test]
    fn order() {
        let ascending = [
            "0.9",
            "1.0-alpha",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0.beta.12",
            "1.0.0-rc.1",
            "1.0.0-rc.1.1",
            "1.0RC2",
            "1.0.0",
            "1.0.1",
            "1.9.0b1",
            "1.9",
            "1.10.0",
            "1.12.4",
            "2.999.999",
            "3.0.RC3",
            "3.0.0",
            "13.4.20-canary.13",
            "13.4.20",
            "20.0.0-next.0",
            "20.0.0-next.0.0.0",
        ];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{} < {}", pair[0], pair[1]);
        }
        for (one, other) in [
            ("1.0", "1.0.0"),
            ("1.12.4-aem", "1.12.4"),
            ("v2.1", "2.1"),
            ("3.4.1 -ajax,-ajax/jsonp", "3.4.1"),
            ("1.2.3+build.5", "1.2.3"),
            ("1.12.4.min", "1.12.4"),
            ("2.8.0r4", "2.8.0"),
        ] {
            assert_eq!(version(one), version(other), "{one} = {other}");
        }
        assert!(version("99999999999999999999999.0") > version("1.0"));
        assert!(version("2.999.999").is_invented() && !version("1.99.0").is_invented());
    }

    #[test]
    fn what_is_no_version() {
        for text in ["", "v", "3", "3.x", "2px", "latest", ".1.2", "%VERSION%", "é1.2"] {
            assert!(Version::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_order_is_total(one in "[v0-9.a-z\\PC-]{0,20}", two in "[0-9.abrc-]{0,12}") {
            if let (Some(one), Some(two)) = (Version::parse(&one), Version::parse(&two)) {
                prop_assert_eq!(one.cmp(&two), two.cmp(&one).reverse());
                prop_assert_eq!(one.cmp(&one), Ordering::Equal);
            }
        }
    }
}
