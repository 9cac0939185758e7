//! robots.txt, as RFC 9309 has it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use url::{Position, Url};

use super::normal_escapes;

/// The name that robots.txt files know us by.
pub const AGENT: &str = "phantom-gang";

/// What is read of a file; the RFC asks for at least as much.
pub const LONGEST_ROBOTS: usize = 500 * 1024;

const MOST_RULES: usize = 10_000;
const MOST_SITEMAPS: usize = 100;

/// What the robots.txt of one origin says to us.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Robots {
    rules: Vec<Rule>,
    crawl_delay: Option<Duration>,
    sitemaps: Vec<Url>,
    remark: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    allow: bool,
    /// The pattern with normal escapes, without the `$`.
    pattern: String,
    to_the_end: bool,
}

/// What came of asking for robots.txt.
#[derive(Debug, Clone, Copy)]
pub enum RobotsAnswer<'a> {
    /// An answer, after redirects.
    Status(u16, &'a [u8]),
    /// None, or not a whole one, and why.
    Unreachable(&'a str),
}

impl Robots {
    /// What an origin says. `at` is the URL of its robots.txt.
    ///
    /// A file that does not exist (4xx) allows everything. An origin that cannot answer (5xx, 429, unreachable) is not
    /// crawled, and [`Robots::remark`] says so.
    pub fn of(at: &Url, answer: RobotsAnswer<'_>) -> Self {
        match answer {
            RobotsAnswer::Status(200..=299, body) => Self::parse(at, body),
            RobotsAnswer::Status(429 | 500..=599, _) | RobotsAnswer::Unreachable(_) => {
                let (what, why) = match answer {
                    RobotsAnswer::Status(status, _) => (format!("answered with status {status}"), String::new()),
                    RobotsAnswer::Unreachable(why) => ("could not be read".to_owned(), format!(": {why}")),
                };
                Self {
                    rules: vec![Rule {
                        allow: false,
                        pattern: "/".to_owned(),
                        to_the_end: false,
                    }],
                    remark: Some(format!(
                        "{at} {what}, so nothing there was visited (RFC 9309; set `scope.obey_robots = false` to visit it){why}"
                    )),
                    ..Self::default()
                }
            }
            RobotsAnswer::Status(..) => Self::default(),
        }
    }

    fn parse(at: &Url, body: &[u8]) -> Self {
        let mut remark = None;
        let mut read = body;
        if body.len() > LONGEST_ROBOTS {
            read = &body[..LONGEST_ROBOTS];
            remark = Some(format!(
                "{at} is longer than {LONGEST_ROBOTS} bytes; the rest was not read"
            ));
        }
        let text = decoded(read);
        let text = text.trim_start_matches('\u{feff}');
        let groups = Groups::read(at, text);
        let ours = if groups.named { groups.ours } else { groups.everyones };
        Self {
            rules: ours.rules,
            crawl_delay: ours.delay,
            sitemaps: groups.sitemaps,
            remark,
        }
    }

    /// Whether we may visit a URL of this origin. The longest rule that matches decides; of equals, the allowing one.
    pub fn allows(&self, url: &Url) -> bool {
        if url.path() == "/robots.txt" {
            return true;
        }
        let place = normal_escapes(&url[Position::BeforePath..Position::AfterQuery]);
        self.rules
            .iter()
            .filter(|rule| rule.matches(&place))
            .max_by_key(|rule| (rule.pattern.len() + usize::from(rule.to_the_end), rule.allow))
            .is_none_or(|rule| rule.allow)
    }

    /// The sitemaps that the file names, on whatever host.
    pub fn sitemaps(&self) -> &[Url] {
        &self.sitemaps
    }

    /// The time between two visits that the file asks for; not capped.
    pub fn crawl_delay(&self) -> Option<Duration> {
        self.crawl_delay
    }

    /// What a report should say of the file itself.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }
}

/// The text of a file: UTF-8, or UTF-16 if its first bytes say so.
fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    let read: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return String::from_utf8_lossy(bytes),
    };
    let units: Vec<u16> = bytes.chunks_exact(2).map(|two| read([two[0], two[1]])).collect();
    Cow::Owned(String::from_utf16_lossy(&units))
}

impl Rule {
    fn read(allow: bool, text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > 2_000 {
            return None;
        }
        let (pattern, to_the_end) = match text.strip_suffix('$') {
            Some(pattern) => (pattern, true),
            None => (text, false),
        };
        let encoded: String = pattern
            .chars()
            .map(|c| match c {
                c if c.is_ascii_graphic() => c.to_string(),
                ' ' => "%20".to_owned(),
                c => url::form_urlencoded::byte_serialize(c.to_string().as_bytes()).collect(),
            })
            .collect();
        Some(Self {
            allow,
            pattern: normal_escapes(&encoded).into_owned(),
            to_the_end,
        })
    }

    fn matches(&self, place: &str) -> bool {
        let mut parts = self.pattern.split('*');
        let Some(mut rest) = place.strip_prefix(parts.next().unwrap_or_default()) else {
            return false;
        };
        let last = if self.to_the_end {
            match parts.next_back() {
                Some(last) => last,
                None => return rest.is_empty(),
            }
        } else {
            ""
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

#[derive(Default)]
struct Group {
    rules: Vec<Rule>,
    delay: Option<Duration>,
}

/// The groups of a file that may be about us. Groups for one agent count as one.
#[derive(Default)]
struct Groups {
    /// A group names us, even if it is empty.
    named: bool,
    ours: Group,
    everyones: Group,
    sitemaps: Vec<Url>,
}

impl Groups {
    fn read(at: &Url, text: &str) -> Self {
        let mut groups = Self::default();
        let (mut for_us, mut for_all, mut in_names) = (false, false, false);
        for line in text.split(['\n', '\r', '\0']) {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            match key.as_str() {
                "user-agent" => {
                    if !in_names {
                        (for_us, for_all) = (false, false);
                    }
                    in_names = true;
                    for_all |= value.starts_with('*');
                    let token = |c: char| !(c.is_ascii_alphabetic() || c == '-' || c == '_');
                    for_us |= value
                        .split(token)
                        .next()
                        .is_some_and(|name| name.eq_ignore_ascii_case(AGENT));
                    groups.named |= for_us;
                }
                "sitemap" if groups.sitemaps.len() < MOST_SITEMAPS => groups.sitemaps.extend(at.join(value)),
                "allow" | "disallow" | "crawl-delay" => {
                    in_names = false;
                    let both = [(for_us, &mut groups.ours), (for_all, &mut groups.everyones)];
                    for (_, group) in both.into_iter().filter(|(wanted, _)| *wanted) {
                        group.add(&key, value);
                    }
                }
                _ => {}
            }
        }
        groups
    }
}

impl Group {
    fn add(&mut self, key: &str, value: &str) {
        if key == "crawl-delay" {
            let seconds: Option<f64> = value.parse().ok();
            let delay = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            self.delay = self.delay.or(delay);
        } else if self.rules.len() < MOST_RULES {
            self.rules.extend(Rule::read(key == "allow", value));
        }
    }
}

/// The robots.txt of the origins that a scan has met.
#[derive(Debug, Clone, Default)]
pub struct RobotsBook {
    by_origin: HashMap<String, Robots>,
    /// robots.txt is not obeyed on this site.
    ignored: bool,
}

impl RobotsBook {
    /// A book without entries. With `obey` false everything in it is allowed.
    pub fn new(obey: bool) -> Self {
        Self {
            by_origin: HashMap::new(),
            ignored: !obey,
        }
    }

    /// Whether robots.txt is obeyed.
    pub fn obeys(&self) -> bool {
        !self.ignored
    }

    /// Whether the origin's robots.txt is yet to be asked for.
    pub fn lacks(&self, url: &Url) -> bool {
        !self.by_origin.contains_key(&url.origin().ascii_serialization())
    }

    /// Notes what the origin of `url` says.
    pub fn insert(&mut self, url: &Url, robots: Robots) {
        self.by_origin.insert(url.origin().ascii_serialization(), robots);
    }

    /// Whether a URL may be visited, as far as is known: an origin that was not asked allows everything.
    pub fn allows(&self, url: &Url) -> bool {
        self.ignored || self.of(url).is_none_or(|robots| robots.allows(url))
    }

    /// What the origin of a URL says, if it was asked.
    pub fn of(&self, url: &Url) -> Option<&Robots> {
        self.by_origin.get(&url.origin().ascii_serialization())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at() -> Url {
        Url::parse("https://shop.example/robots.txt").unwrap()
    }

    fn robots(text: &str) -> Robots {
        Robots::of(&at(), RobotsAnswer::Status(200, text.as_bytes()))
    }

    fn allowed(text: &str, path: &str) -> bool {
        robots(text).allows(&Url::parse(&format!("https://shop.example{path}")).unwrap())
    }

    #[test]
    fn the_longest_rule_decides() {
        let cases = [
            ("", "/a", true),
            ("User-agent: *\nDisallow:", "/a", true),
            ("User-agent: *\nDisallow: /", "/a", false),
            ("User-agent: *\nDisallow: /", "/robots.txt", true),
            ("user-agent:*\r\ndisallow:/a # why\r\n", "/a/b", false),
            ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", true),
            ("User-agent: *\nAllow: /a\nDisallow: /a", "/a", true),
            ("User-agent: *\nDisallow: /*.php$", "/a/b.php", false),
            ("User-agent: *\nDisallow: /*.php$", "/a/b.php?c", true),
            ("User-agent: *\nDisallow: /a$", "/a", false),
            ("User-agent: *\nDisallow: /a$", "/ab", true),
            ("User-agent: *\nDisallow: *b*d", "/abcd", false),
            ("User-agent: *\nDisallow: /a?b=", "/a?b=1", false),
            ("User-agent: *\nDisallow: /%7Ea/é", "/~a/%c3%a9", false),
            ("User-agent: *\nDisallow: /a%2fb", "/a/b", true),
            ("Disallow: /", "/a", true),
        ];
        for (text, path, expected) in cases {
            assert_eq!(allowed(text, path), expected, "{text:?} {path}");
        }
    }

    #[test]
    fn our_own_group_wins_over_the_one_for_all() {
        let text = "User-agent: *\nDisallow: /\n\nUser-agent: other\nUser-agent: Phantom-Gang/2.0\nDisallow: /x\n\n\
                    User-agent: third\nDisallow: /y\n\nUser-agent: phantom-gang\nDisallow: /z";
        for (path, expected) in [("/a", true), ("/x", false), ("/y", true), ("/z", false)] {
            assert_eq!(allowed(text, path), expected, "{path}");
        }
        assert!(allowed("User-agent: *\nDisallow: /\nUser-agent: phantom-gang", "/a"));
        assert!(!allowed(
            "User-agent: *\nDisallow: /\nUser-agent: phantom-gangster\nAllow: /",
            "/a"
        ));
    }

    #[test]
    fn an_answer_that_is_no_file_decides_as_the_rfc_says() {
        for (answer, expected) in [
            (RobotsAnswer::Status(404, b"User-agent: *\nDisallow: /"), true),
            (RobotsAnswer::Status(403, b""), true),
            (RobotsAnswer::Status(204, b""), true),
            (RobotsAnswer::Status(429, b""), false),
            (RobotsAnswer::Status(503, b""), false),
            (RobotsAnswer::Unreachable("it broke off"), false),
        ] {
            let robots = Robots::of(&at(), answer);
            assert_eq!(robots.allows(&at().join("/a").unwrap()), expected, "{answer:?}");
            assert_eq!(robots.remark().is_none(), expected, "{answer:?}");
        }
        let remark = Robots::of(&at(), RobotsAnswer::Unreachable("it broke off"))
            .remark()
            .unwrap()
            .to_owned();
        assert!(
            remark.starts_with("https://shop.example/robots.txt could not be read, so nothing"),
            "{remark}"
        );
    }

    #[test]
    fn sitemaps_and_delays_are_found() {
        let robots = robots("Sitemap: /a.xml\nUser-agent: *\nCrawl-delay: 2.5\nsitemap: https://cdn.example/b.xml");
        let sitemaps: Vec<_> = robots.sitemaps().iter().map(Url::as_str).collect();
        assert_eq!(sitemaps, ["https://shop.example/a.xml", "https://cdn.example/b.xml"]);
        assert_eq!(robots.crawl_delay(), Some(Duration::from_millis(2_500)));
        for strange in ["-1", "nan", "inf", "1e300", "soon"] {
            let robots = self::robots(&format!("User-agent: *\nCrawl-delay: {strange}"));
            assert_eq!(robots.crawl_delay(), None, "{strange}");
        }
    }

    #[test]
    fn a_book_knows_origins_apart() {
        let mut book = RobotsBook::new(true);
        let other = Url::parse("https://help.shop.example/a").unwrap();
        assert!(book.lacks(&at()));
        book.insert(&at(), robots("User-agent: *\nDisallow: /"));
        assert!(!book.lacks(&at()) && book.lacks(&other));
        let page = at().join("/a").unwrap();
        assert!(!book.allows(&page) && book.allows(&other));
        let mut deaf = RobotsBook::new(false);
        deaf.insert(&at(), robots("User-agent: *\nDisallow: /"));
        assert!(deaf.allows(&page));
    }

    #[test]
    fn utf_16_is_read() {
        let text = "\u{feff}User-agent: *\nDisallow: /ä";
        for bytes_of in [u16::to_le_bytes, u16::to_be_bytes] {
            let body: Vec<u8> = text.encode_utf16().flat_map(bytes_of).chain([7]).collect();
            let robots = Robots::of(&at(), RobotsAnswer::Status(200, &body));
            assert!(!robots.allows(&at().join("/ä/b").unwrap()) && robots.allows(&at().join("/b").unwrap()));
        }
    }

    #[test]
    fn a_huge_file_is_cut() {
        let body = "User-agent: *\nDisallow: /a*b$\n".repeat(40_000);
        let robots = robots(&body);
        assert!(robots.rules.len() == MOST_RULES && robots.remark().is_some());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(body in prop::collection::vec(any::<u8>(), 0..200), path in "/[a-z%*$]{0,20}") {
            let start = b"User-agent: *\nDisallow: ";
            let body = [&start[..], &body].concat();
            let robots = Robots::of(&at(), RobotsAnswer::Status(200, &body));
            let _ = robots.allows(&at().join(&path).unwrap());
        }

        #[test]
        fn a_path_is_matched_by_itself(path in "/[a-z0-9/._~-]{0,20}") {
            let text = format!("User-agent: *\nDisallow: {path}$");
            prop_assert!(!allowed(&text, &path) || path.contains("/."));
        }
    }
}
