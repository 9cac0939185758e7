//! What stays the same in a URL from page to page and from deploy to deploy, and what site a host belongs to.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;
use url::Url;

/// The longest text that becomes part of a cause, in characters.
const LONGEST: usize = 300;
/// The longest text that a title shows of a URL, in characters.
const LONGEST_SHOWN: usize = 110;

/// The template of a page or an action: host and path with ids, hashes and dates replaced by `{id}`, without the
/// query's values: `https://shop.example/user/17?tab=2` becomes `shop.example/user/{id}?tab`.
///
/// The scheme is left out, so that a page keeps its template when it moves to https. At most 300 characters.
pub fn template(url: &Url) -> String {
    let mut text = place(url, |segment, _| Some(segment_template(segment)));
    let mut names: Vec<_> = url
        .query_pairs()
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, _)| segment_template(&name))
        .collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        text.push('?');
        text.push_str(&names.join("&"));
    }
    cut(text)
}

/// The place of a script, stylesheet or library, without what a deploy changes: query, content hashes and version
/// numbers. `https://shop.example/js/app.3f2a9c1b.js?v=3` becomes `shop.example/js/app.js`.
///
/// At most 300 characters. A `data:` or `blob:` URL has no place; its scheme stands for it.
pub fn asset(url: &Url) -> String {
    if url.host_str().is_none() {
        return url.scheme().to_owned();
    }
    cut(place(url, |segment, is_file| {
        if is_file {
            Some(file_without_version(segment))
        } else {
            folder_without_version(segment)
        }
    }))
}

/// Host and path of a URL as they are, for people to read: a script's own file name, not that of its [`asset`].
///
/// At most 110 characters, of which the last ones stay. Of a `data:` or `blob:` URL, the scheme.
pub fn shown(url: &Url) -> String {
    if url.host_str().is_none() {
        return url.scheme().to_owned();
    }
    let text = place(url, |segment, _| Some(without_parameters(segment).to_owned()));
    let over = text.chars().count().saturating_sub(LONGEST_SHOWN);
    if over == 0 {
        return text;
    }
    let rest: String = text.chars().skip(over + 1).collect();
    format!("…{rest}")
}

/// The domain that a host was registered under, by the Public Suffix List: `www.shop.co.uk` → `shop.co.uk`.
///
/// An address, a single label and a public suffix itself are their own domain. Below a top-level domain that the list
/// does not know, such as `.test`, it is the last two labels.
pub fn registrable_domain(host: &str) -> String {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if is_address(&host) {
        return host;
    }
    match psl::domain_str(&host) {
        Some(domain) => domain.to_owned(),
        None => host,
    }
}

/// Whether two hosts belong to one site, schemes aside: their registrable domains are equal.
pub fn same_site(one: &str, other: &str) -> bool {
    registrable_domain(one) == registrable_domain(other)
}

fn is_address(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse::<IpAddr>().is_ok()
}

/// Host, port and what `segment` keeps of each segment of the path; its second argument says that it is the last.
fn place(url: &Url, segment: impl Fn(&str, bool) -> Option<String>) -> String {
    let mut text = url.host_str().unwrap_or_default().to_owned();
    if let Some(port) = url.port() {
        text.push(':');
        text.push_str(&port.to_string());
    }
    let mut parts = url.path().split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        if let Some(part) = segment(part, parts.peek().is_none()) {
            text.push('/');
            text.push_str(&part);
        }
    }
    text
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
    }
    text
}

/// A pattern that is part of this program. Should it be wrong, it matches nothing, and a test says so.
fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

/// Dates, UUIDs and runs of at least four digits inside a segment, longest forms first.
static VARYING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        r"|\d{4}[-_.]\d{1,2}[-_.]\d{1,2}",
        r"|\d{4,}",
    ))
});

/// `;jsessionid=…` and other parameters of a path segment name no resource.
fn without_parameters(segment: &str) -> &str {
    segment.split_once(';').map_or(segment, |(before, _)| before)
}

fn segment_template(segment: &str) -> String {
    let segment = without_parameters(segment);
    if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
        return "{id}".to_owned();
    }
    let replaced = match VARYING.as_ref() {
        Some(varying) => varying.replace_all(segment, "{id}"),
        None => segment.into(),
    };
    if replaced != segment && looks_like_hash(segment) {
        return "{id}".to_owned();
    }
    // Hashes are looked for word by word, because a segment may be `report-3f2a9c1b77aa.html`.
    let mut text = String::with_capacity(replaced.len());
    let mut word_start = 0;
    let finish = |text: &mut String, word: &str| {
        text.push_str(if looks_like_hash(word) { "{id}" } else { word });
    };
    for (at, separator) in replaced.match_indices(['-', '_', '.', '~', ',', ':', '=', '{', '}']) {
        finish(&mut text, &replaced[word_start..at]);
        text.push_str(separator);
        word_start = at + separator.len();
    }
    finish(&mut text, &replaced[word_start..]);
    text
}

/// A hexadecimal hash of at least eight digits, or a random name of at least sixteen letters and digits.
fn looks_like_hash(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let alphanumeric = word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (hex && word.len() >= 8 && digits > 0)
        || (alphanumeric && word.len() >= 16 && digits >= 2)
        || (alphanumeric && (20..=64).contains(&word.len()) && case_changes(word) >= 6)
}

fn case_changes(word: &str) -> usize {
    word.as_bytes()
        .windows(2)
        .filter(|pair| pair[0].is_ascii_uppercase() != pair[1].is_ascii_uppercase())
        .count()
}

/// A version number: at least two numbers, or one behind a `v`; a pre-release may follow.
const VERSION: &str = concat!(
    r"(?:v?\d+(?:\.\d+)+|v\d+)",
    r"(?:[-.]?(?:alpha|beta|rc|pre|preview|canary|next|dev)(?:[-.]?\d+)*)?",
);

static VERSION_FOLDER: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(&format!(r"(?i)^(?:{VERSION}|\d+(?:\.x)*|latest)$")));

/// A version at the end of a word, as in `jquery@3.5.1`, `jquery-3.5.1` or `jquery_3.5.1`.
static VERSION_SUFFIX: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(&format!(
        r"(?i)(?:@(?:{VERSION}|[\^~]?\d+(?:\.\d+)*|latest|next)|[-_.~]{VERSION})(?:$|(?P<rest>[-_.~]))"
    ))
});

fn folder_without_version(segment: &str) -> Option<String> {
    let segment = without_parameters(segment);
    let is_version = VERSION_FOLDER.as_ref().is_some_and(|version| version.is_match(segment));
    if is_version || looks_like_build(segment) {
        return None;
    }
    Some(without_version(segment))
}

fn without_version(word: &str) -> String {
    match VERSION_SUFFIX.as_ref() {
        Some(suffix) => suffix.replace_all(word, "$rest").into_owned(),
        None => word.to_owned(),
    }
}

fn file_without_version(name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    let name = without_version(without_parameters(name));
    let mut kept = String::with_capacity(name.len());
    let mut start = 0;
    // The separator before a word goes with the word, so that `app.3f2a9c1b.js` leaves `app.js`.
    for end in name
        .match_indices(['.', '-', '_', '~'])
        .map(|(at, _)| at)
        .chain([name.len()])
    {
        let word = &name[start..end];
        let bare = word.trim_start_matches(['.', '-', '_', '~']);
        if !looks_like_build(bare) {
            kept.push_str(word);
        }
        start = end;
    }
    if kept.is_empty() || kept.starts_with('.') {
        format!("{{hash}}{kept}")
    } else {
        kept
    }
}

/// A word that a build made: a content hash of a bundler, a commit, a time stamp.
fn looks_like_build(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let alphanumeric = word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let upper = word.bytes().filter(u8::is_ascii_uppercase).count();
    let lower = word.bytes().filter(u8::is_ascii_lowercase).count();
    // Vite and esbuild name files by eight characters of Base64 or Base32.
    let bundler = alphanumeric
        && word.len() == 8
        && ((digits > 0 && upper > 0) || (upper >= 2 && lower >= 2 && case_changes(word) >= 3));
    looks_like_hash(word) || bundler || (word.len() >= 6 && digits == word.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn patterns_are_valid() {
        for pattern in [&VARYING, &VERSION_FOLDER, &VERSION_SUFFIX] {
            assert!(pattern.is_some());
        }
    }

    #[test]
    fn templates() {
        let table = [
            ("https://shop.example/user/17?tab=2", "shop.example/user/{id}?tab"),
            ("https://shop.example/", "shop.example/"),
            ("https://shop.example:8443/a?b=1&a=2&b=3", "shop.example:8443/a?a&b"),
            (
                "https://shop.example/o/1f0c9a52-6d4e-4f8e-9f43-2f3f1a7f0b11",
                "shop.example/o/{id}",
            ),
            (
                "https://shop.example/c/da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "shop.example/c/{id}",
            ),
            (
                "https://shop.example/blog/2024-01-31/hello",
                "shop.example/blog/{id}/hello",
            ),
            (
                "https://shop.example/article-123456.html",
                "shop.example/article-{id}.html",
            ),
            ("https://shop.example/iphone-15", "shop.example/iphone-15"),
            ("https://shop.example/v2/feedback", "shop.example/v2/feedback"),
            ("https://shop.example/login;jsessionid=0A1B2C", "shop.example/login"),
            ("https://shop.example/s?1699999999", "shop.example/s?{id}"),
            (
                "https://shop.example/report-3f2a9c1b77aa.html",
                "shop.example/report-{id}.html",
            ),
            ("https://shop.example/facade/decade", "shop.example/facade/decade"),
            ("https://user:secret@shop.example/x", "shop.example/x"),
        ];
        for (input, expected) in table {
            assert_eq!(template(&url(input)), expected, "{input}");
        }
    }

    #[test]
    fn assets() {
        let table = [
            ("https://shop.example/js/app.3f2a9c1b.js", "shop.example/js/app.js"),
            (
                "https://cdn.example/ajax/libs/jquery/1.12.4/jquery.min.js",
                "cdn.example/ajax/libs/jquery/jquery.min.js",
            ),
            (
                "https://shop.example/jquery-1.12.4.min.js?v=9",
                "shop.example/jquery.min.js",
            ),
            ("https://shop.example/jquery-ui-1.12.1.js", "shop.example/jquery-ui.js"),
            (
                "https://cdn.example/npm/jquery@3.5.1/dist/jquery.slim.js",
                "cdn.example/npm/jquery/dist/jquery.slim.js",
            ),
            (
                "https://cdn.example/npm/@angular/core@17/index.js",
                "cdn.example/npm/@angular/core/index.js",
            ),
            (
                "https://shop.example/assets/index-BkX3fZ9a.js",
                "shop.example/assets/index.js",
            ),
            (
                "https://shop.example/assets/index-DiwrgTda.js",
                "shop.example/assets/index.js",
            ),
            ("https://shop.example/chunk-4XZ7QKJ2.js", "shop.example/chunk.js"),
            ("https://shop.example/js/", "shop.example/js/"),
            ("https://shop.example/3f2a9c1b77.js", "shop.example/{hash}.js"),
            (
                "https://shop.example/static/1699999999/app.js",
                "shop.example/static/app.js",
            ),
            ("https://shop.example/js/dataTables.js", "shop.example/js/dataTables.js"),
            (
                "https://shop.example/bootstrap-3.0.0-rc1.js",
                "shop.example/bootstrap.js",
            ),
            ("https://shop.example/es6/es5-shim.js", "shop.example/es6/es5-shim.js"),
            ("data:text/javascript,alert(1)", "data"),
        ];
        for (input, expected) in table {
            assert_eq!(asset(&url(input)), expected, "{input}");
        }
    }

    #[test]
    fn people_read_the_name_that_a_file_has() {
        let long = format!("https://shop.example/{}/jquery-1.8.0.js", "a".repeat(200));
        let table = [
            (
                "https://shop.example:8443/js/jquery-1.8.0.min.js?v=3#x",
                "shop.example:8443/js/jquery-1.8.0.min.js",
            ),
            ("https://shop.example/app.js;jsessionid=0A1B2C", "shop.example/app.js"),
            ("data:text/javascript,alert(1)", "data"),
        ];
        for (input, expected) in table {
            assert_eq!(shown(&url(input)), expected, "{input}");
        }
        let shown = shown(&url(&long));
        assert!(
            shown.chars().count() == LONGEST_SHOWN && shown.starts_with('…') && shown.ends_with("/jquery-1.8.0.js")
        );
    }

    #[test]
    fn domains() {
        let table = [
            ("www.shop.co.uk", "shop.co.uk"),
            ("WWW.Shop.Example.", "shop.example"),
            ("a.b.case.test", "case.test"),
            ("case.test", "case.test"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("co.uk", "co.uk"),
            ("alice.github.io", "alice.github.io"),
            ("", ""),
        ];
        for (input, expected) in table {
            assert_eq!(registrable_domain(input), expected, "{input}");
        }
        assert!(same_site("cdn.shop.co.uk", "www.shop.co.uk"));
        assert!(!same_site("a.co.uk", "b.co.uk"));
        assert!(!same_site("10.0.0.1", "11.0.0.1"));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_grows_without_bound(path in "\\PC{0,80}", host in "\\PC{0,40}") {
            registrable_domain(&host);
            if let Ok(url) = Url::parse(&format!("https://shop.example/{path}")) {
                prop_assert!(template(&url).chars().count() <= LONGEST);
                prop_assert!(asset(&url).chars().count() <= LONGEST);
                prop_assert!(shown(&url).chars().count() <= LONGEST_SHOWN);
            }
        }

        #[test]
        fn a_new_content_hash_is_the_same_asset(one in "[0-9a-f]{12}", two in "[0-9a-f]{12}") {
            // A hash without any digit (1 in 280 of eight characters) is a word to us.
            prop_assume!(one.bytes().any(|b| b.is_ascii_digit()) && two.bytes().any(|b| b.is_ascii_digit()));
            let at = |hash: &str| asset(&url(&format!("https://shop.example/js/app.{hash}.js")));
            prop_assert_eq!(at(&one), at(&two));
        }
    }
}
