//! Which pages are alike by their URLs: ids, numbers and the values of parameters make no difference.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use url::Url;

use super::destructive::{ACTIONS, decoded};

/// Words of hexadecimal digits of at least this length are ids.
const SHORTEST_HEX: usize = 8;
/// Words of letters and digits by turns of at least this length are ids.
const SHORTEST_ID: usize = 6;
/// A word that goes so often from letters to digits, or back, is an id.
const TURNS: usize = 3;
/// Longer words are no words.
const LONGEST_WORD: usize = 60;
/// A path in which a part comes so often is one that leads into itself.
const AGAIN: usize = 3;
/// Parameters that are looked at.
const MOST_PARAMETERS: usize = 50;

/// What a page's URL has in common with those of pages like it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Template {
    /// Host, path and the names of parameters. `{n}` stands for a number, `{id}` for an id: `shop.test/product/{n}`.
    pub pattern: String,
    /// Pages that may be alike although their URLs have different words: those of one path, whatever their parameters
    /// (`shop.test/list?*`); without parameters as `wide`. It always has a `*`, and a pattern never.
    pub family: String,
    /// Pages that may be alike although their paths have different words: host, first part of the path, and how deep it
    /// is (`shop.test/blog/*/*`).
    pub wide: String,
}

impl Template {
    /// The template of a URL.
    pub fn of(url: &Url) -> Self {
        let mut host = url.host_str().unwrap_or_default().to_owned();
        if let Some(port) = url.port() {
            let _ = write!(host, ":{port}");
        }
        let path = Path::of(url.path());
        let mut pattern = format!("{host}/{}", path.parts.join("/"));
        let mut wide = format!("{host}/{}", path.family());
        let mut family = None;
        if let Some(names) = names(url) {
            family = Some(format!("{pattern}?*"));
            pattern.push('?');
            pattern.push_str(&names);
        }
        // A fragment that is a route is a path of the page's own scripts.
        if let Some(route) = url.fragment() {
            let (route, _) = route.split_once('?').unwrap_or((route, ""));
            let route = Path::of(route);
            pattern.push_str("#/");
            pattern.push_str(&route.parts.join("/"));
            wide.push('#');
            wide.push_str(&route.family());
        }
        Self {
            pattern,
            family: family.unwrap_or_else(|| wide.clone()),
            wide,
        }
    }
}

/// A path without what makes no difference.
struct Path {
    parts: Vec<String>,
    /// It leads into itself.
    winds: bool,
}

impl Path {
    fn of(path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let raw: Vec<&str> = path.split('/').collect();
        let winds = raw
            .iter()
            .any(|part| !part.is_empty() && raw.iter().filter(|other| other == &part).count() >= AGAIN);
        let mut parts: Vec<String> = raw.iter().map(|part| without_ids(&decoded(part))).collect();
        if winds {
            let mut seen = HashSet::new();
            parts.retain(|part| seen.insert(part.clone()));
            parts.push("{again}".to_owned());
        }
        Self { parts, winds }
    }

    fn family(&self) -> String {
        match self.parts.as_slice() {
            _ if self.winds => format!("{}/**", self.parts.first().map_or("", String::as_str)),
            [] | [_] => "*".to_owned(),
            [first, rest @ ..] => format!("{first}{}", "/*".repeat(rest.len())),
        }
    }
}

/// The names of a URL's parameters, each once and sorted. The value of one that says what is to be done counts if it is
/// a word.
fn names(url: &Url) -> Option<String> {
    let mut names: Vec<String> = url
        .query_pairs()
        .take(MOST_PARAMETERS)
        .map(|(name, value)| {
            let does = ACTIONS.contains(&name.to_lowercase().as_str()) && is_word(&value);
            let name = without_ids(&name);
            if does {
                format!("{name}={}", without_ids(&value))
            } else {
                name
            }
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| names.join("&"))
}

fn is_word(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= LONGEST_WORD
        && value
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, '-' | '_' | '/' | '.'))
}

/// A part of a path, or a name, in which `{n}` stands for numbers and `{id}` for ids.
fn without_ids(part: &str) -> String {
    static UUID: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").ok());
    let part = match UUID.as_ref() {
        Some(uuid) => uuid.replace_all(part, "00000000"),
        None => part.into(),
    };
    let mut out = String::new();
    let mut word = String::new();
    for c in part.chars() {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        end_word(&mut word, &mut out);
        match c {
            '*' => out.push_str("%2A"),
            // What these stand for is ours to say.
            '{' | '}' => out.push('_'),
            c if c.is_whitespace() || c.is_control() => out.push('_'),
            c => out.push(c),
        }
    }
    end_word(&mut word, &mut out);
    out
}

fn end_word(word: &mut String, out: &mut String) {
    if is_id(word) {
        out.push_str("{id}");
    } else {
        let mut in_number = false;
        for c in word.chars() {
            let digit = c.is_ascii_digit();
            match (digit, in_number) {
                (true, false) => out.push_str("{n}"),
                (true, true) => {}
                (false, _) => out.push(c),
            }
            in_number = digit;
        }
    }
    word.clear();
}

fn is_id(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits == word.len() {
        return false;
    }
    let hex = word.len() >= SHORTEST_HEX && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let kinds: Vec<bool> = word.bytes().map(|byte| byte.is_ascii_digit()).collect();
    let turns = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    hex || word.len() > LONGEST_WORD || (word.len() >= SHORTEST_ID && turns >= TURNS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(url: &str) -> Template {
        Template::of(&Url::parse(url).unwrap())
    }

    #[test]
    fn pages_that_differ_in_ids_are_alike() {
        for (url, pattern, family) in [
            ("https://shop.test/", "shop.test/", "shop.test/*"),
            ("https://shop.test/about", "shop.test/about", "shop.test/*"),
            (
                "https://shop.test/product/17",
                "shop.test/product/{n}",
                "shop.test/product/*",
            ),
            (
                "http://shop.test:8080/product/tea-17/reviews",
                "shop.test:8080/product/tea-{n}/reviews",
                "shop.test:8080/product/*/*",
            ),
            ("https://shop.test/u/deadbeefcafe", "shop.test/u/{id}", "shop.test/u/*"),
            ("https://shop.test/u/x7Kq2mW9", "shop.test/u/{id}", "shop.test/u/*"),
            (
                "https://shop.test/u/6F9619FF-8B86-D011-B42D-00CF4FC964FF.html",
                "shop.test/u/{n}.html",
                "shop.test/u/*",
            ),
            (
                "https://shop.test/about/faded",
                "shop.test/about/faded",
                "shop.test/about/*",
            ),
            ("https://shop.test/h264", "shop.test/h{n}", "shop.test/*"),
            (
                "https://shop.test/list?page=2&sort=up&page=3",
                "shop.test/list?page&sort",
                "shop.test/list?*",
            ),
            (
                "https://shop.test/i.php?do=edit&id=word",
                "shop.test/i.php?do=edit&id",
                "shop.test/i.php?*",
            ),
            ("https://shop.test/?8273645", "shop.test/?{n}", "shop.test/?*"),
            (
                "https://shop.test/blog/2009/",
                "shop.test/blog/{n}/",
                "shop.test/blog/*/*",
            ),
            (
                "https://shop.test/a/b/a/b/a/b",
                "shop.test/a/b/{again}",
                "shop.test/a/**",
            ),
            (
                "https://shop.test/app#/user/7",
                "shop.test/app#/user/{n}",
                "shop.test/*#user/*",
            ),
            ("https://shop.test/a*{b}", "shop.test/a%2A_b_", "shop.test/*"),
            ("https://shop.test/%C3%A9t%C3%A9", "shop.test/été", "shop.test/*"),
        ] {
            let template = of(url);
            assert_eq!(
                (template.pattern.as_str(), template.family.as_str()),
                (pattern, family),
                "{url}"
            );
        }
    }

    proptest! {
        #[test]
        fn numbers_make_no_difference(one in 0_u32.., other in 0_u32..) {
            let of = |id: u32| of(&format!("https://shop.test/p/{id}?page={id}"));
            prop_assert_eq!(of(one), of(other));
        }

        #[test]
        fn families_are_no_patterns(tail in r"[/a-z0-9%*{}.;()=&?+~#@:\\é -]{0,40}") {
            let Ok(url) = Url::parse(&format!("https://shop.test/{tail}")) else { return Ok(()) };
            let template = Template::of(&url);
            prop_assert!(template.family.contains('*'), "{}", template.family);
            prop_assert!(!template.pattern.contains('*'), "{}", template.pattern);
        }
    }
}
