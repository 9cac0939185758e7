//! Which URLs belong to a site.

use std::fmt;

use regex::Regex;
use url::Url;

use super::Scope;
use crate::crawl::normal_escapes;

/// A [`Scope`] made ready: patterns are compiled once and asked for every link.
#[derive(Debug, Clone)]
pub struct ScopeRules {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    ignore_query: Vec<String>,
}

/// Why a URL does not belong to the site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutOfScope {
    /// No pattern includes it.
    #[error("not in the site's scope")]
    NotIncluded,
    /// This pattern excludes it.
    #[error("excluded by the site's pattern `{0}`")]
    Excluded(String),
}

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern `{pattern}` {is}; {advice}")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub is: &'static str,
    /// What to write instead.
    pub advice: &'static str,
}

impl ScopeRules {
    /// Compiles the patterns of a scope.
    pub fn new(scope: &Scope) -> Result<Self, BadPattern> {
        let compile = |patterns: &[String], read: fn(&str) -> Result<Pattern, BadPattern>| {
            patterns.iter().map(|pattern| read(pattern)).collect::<Result<_, _>>()
        };
        Ok(Self {
            include: compile(&scope.include, Pattern::include)?,
            exclude: compile(&scope.exclude, Pattern::exclude)?,
            ignore_query: scope.ignore_query.iter().map(|name| name.to_lowercase()).collect(),
        })
    }

    /// Whether a page of this URL belongs to the site.
    pub fn admits(&self, url: &Url) -> Result<(), OutOfScope> {
        let place = Place::of(url).ok_or(OutOfScope::NotIncluded)?;
        if !self.include.iter().any(|pattern| pattern.matches(&place)) {
            return Err(OutOfScope::NotIncluded);
        }
        match self.exclude.iter().find(|pattern| pattern.matches(&place)) {
            Some(pattern) => Err(OutOfScope::Excluded(pattern.text.clone())),
            None => Ok(()),
        }
    }

    /// Whether the scope includes any page of this host. The host is a name in lower case or an address, IPv6 ones in
    /// square brackets.
    pub fn names_host(&self, host: &str) -> bool {
        self.include
            .iter()
            .any(|pattern| pattern.host.as_deref().is_some_and(|hosts| wildcard(hosts, host)))
    }

    /// Whether a URL is on a host of the site and not excluded, whatever its path: what pages of the site speak to.
    pub fn owns(&self, url: &Url) -> bool {
        let excluded = |place: Place<'_>| self.exclude.iter().any(|pattern| pattern.matches(&place));
        url.host_str().is_some_and(|host| self.names_host(host)) && Place::of(url).is_some_and(|place| !excluded(place))
    }

    /// The patterns of the hosts that the scope includes, in lower case, each once.
    pub fn own_hosts(&self) -> Vec<String> {
        let mut hosts: Vec<_> = self.include.iter().filter_map(|pattern| pattern.host.clone()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// Whether a query parameter of this name, decoded, makes no difference to a page.
    pub fn ignores_query(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.ignore_query.iter().any(|pattern| wildcard(pattern, &name))
    }
}

/// Patterns of pages, such as those of a suppression: as in a scope's `exclude`.
#[derive(Debug, Clone, Default)]
pub struct PagePatterns(Vec<Pattern>);

impl PagePatterns {
    /// Compiles the patterns.
    pub fn new(patterns: &[String]) -> Result<Self, BadPattern> {
        let all = patterns.iter().map(|pattern| Pattern::exclude(pattern));
        Ok(Self(all.collect::<Result<_, _>>()?))
    }

    /// Whether one of them holds for a page of this URL.
    pub fn matches(&self, url: &Url) -> bool {
        Place::of(url).is_some_and(|place| self.0.iter().any(|pattern| pattern.matches(&place)))
    }
}

/// The parts of a URL that patterns look at, escapes in their normal form.
struct Place<'a> {
    scheme: &'a str,
    host: &'a str,
    port: u16,
    path: std::borrow::Cow<'a, str>,
    query: Option<std::borrow::Cow<'a, str>>,
}

impl<'a> Place<'a> {
    fn of(url: &'a Url) -> Option<Self> {
        matches!(url.scheme(), "http" | "https").then_some(())?;
        Some(Self {
            scheme: url.scheme(),
            host: url.host_str()?,
            port: url.port_or_known_default()?,
            path: normal_escapes(url.path()),
            query: url.query().map(normal_escapes),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Default,
    Any,
    Number(u16),
}

/// One pattern of a scope, taken apart so that no path or query can pass for a host.
#[derive(Clone)]
struct Pattern {
    text: String,
    scheme: Option<&'static str>,
    host: Option<String>,
    port: Port,
    path: Regex,
    /// The pattern has a `?`. If not, the query makes no difference: `**/logout*` holds for `/logout?next=/a`.
    with_query: bool,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// A pattern of hosts that a person can own, so that no slip of the pen puts the whole web in scope.
    fn include(text: &str) -> Result<Self, BadPattern> {
        let pattern = Self::exclude(text)?;
        match &pattern.host {
            None => Err(bad(
                text,
                "names no host, so every site of the web would be in scope",
                "begin it with a host, such as \"https://www.shop.example/**\"",
            )),
            Some(host) if !is_ownable(host) => Err(bad(
                text,
                "includes more than one organisation's hosts",
                "name at least the registered domain in full, such as \"https://*.shop.example/**\"",
            )),
            Some(_) => Ok(pattern),
        }
    }

    /// Any pattern.
    fn exclude(text: &str) -> Result<Self, BadPattern> {
        if text.len() > 1_000 {
            return Err(bad(text, "is longer than 1,000 characters", "write several short ones"));
        }
        if text.starts_with('/') || text.starts_with("**") {
            return Self::of(text, None, None, Port::Any, text);
        }
        let expected = "begin it with \"https://\", \"http://\", \"*://\", \"/\" or \"**\"";
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| bad(text, "is no pattern of URLs", expected))?;
        let scheme = match scheme {
            "https" => Some("https"),
            "http" => Some("http"),
            "*" => None,
            _ => return Err(bad(text, "is neither http nor https", expected)),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = split_port(authority).ok_or_else(|| {
            bad(
                text,
                "has a port that is no number",
                "write a port from 1 to 65535, or `*`",
            )
        })?;
        let host = url::Host::parse(&host.replace('*', "x"))
            .ok()
            .and(host_pattern(host))
            .ok_or_else(|| {
                bad(
                    text,
                    "has no valid host",
                    "write a host such as \"shop.example\" or \"*.shop.example\"",
                )
            })?;
        let path = if path.is_empty() { "/" } else { path };
        Self::of(text, scheme, Some(host), port, path)
    }

    fn of(
        text: &str,
        scheme: Option<&'static str>,
        host: Option<String>,
        port: Port,
        path: &str,
    ) -> Result<Self, BadPattern> {
        let too_large = |_| bad(text, "is too complicated", "write several short ones");
        Ok(Self {
            text: text.to_owned(),
            scheme,
            host,
            port,
            path: Regex::new(&glob(path)).map_err(too_large)?,
            with_query: path.contains('?'),
        })
    }

    fn matches(&self, place: &Place<'_>) -> bool {
        let default = matches!((place.scheme, place.port), ("http", 80) | ("https", 443));
        let port = match self.port {
            Port::Default => default,
            Port::Any => true,
            Port::Number(number) => number == place.port,
        };
        port && self.scheme.is_none_or(|scheme| scheme == place.scheme)
            && self.host.as_deref().is_none_or(|host| wildcard(host, place.host))
            && match &place.query {
                Some(query) if self.with_query => self.path.is_match(&format!("{}?{query}", place.path)),
                _ => self.path.is_match(&place.path),
            }
    }
}

fn bad(pattern: &str, is: &'static str, advice: &'static str) -> BadPattern {
    let pattern = pattern.chars().take(100).collect();
    BadPattern { pattern, is, advice }
}

fn split_port(authority: &str) -> Option<(&str, Port)> {
    // The colons of an IPv6 address stand in brackets.
    let colon = authority
        .rfind(':')
        .filter(|colon| *colon > authority.rfind(']').unwrap_or(0));
    let Some(colon) = colon else {
        return Some((authority, Port::Default));
    };
    let port = match &authority[colon + 1..] {
        "*" => Port::Any,
        number => Port::Number(number.parse().ok().filter(|port| *port > 0)?),
    };
    Some((&authority[..colon], port))
}

/// A host in the form that [`Url`] gives it; a pattern is only lowered.
fn host_pattern(host: &str) -> Option<String> {
    if host.contains('*') {
        let valid = host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'.' | b'-' | b'_'));
        return valid.then(|| host.to_ascii_lowercase());
    }
    url::Host::parse(host).ok().map(|host| host.to_string())
}

/// Whether everything that a host pattern names belongs to one registered domain.
fn is_ownable(host: &str) -> bool {
    let Some(star) = host.rfind('*') else { return true };
    let fixed = &host[star + 1..];
    fixed
        .split_once('.')
        .is_some_and(|(_, domain)| psl::domain_str(domain).is_some())
}

/// A regular expression for the path and query of a pattern. `/**` at the end holds for the folder itself, too.
fn glob(path: &str) -> String {
    let path: String = path
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() {
                c.to_string()
            } else {
                url::form_urlencoded::byte_serialize(c.to_string().as_bytes())
                    .collect::<String>()
                    .replace('+', "%20")
            }
        })
        .collect();
    let path = normal_escapes(&path);
    let (path, tail) = match path.strip_suffix("/**") {
        Some(folder) if !folder.contains('?') => (folder, "(?:/.*)?"),
        _ => (path.as_ref(), ""),
    };
    // A query has no folders: there a star stands for any run.
    let (folders, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let folders = regex::escape(folders).replace(r"\*\*", ".*").replace(r"\*", "[^/]*");
    let query = regex::escape(query).replace(r"\*", ".*");
    format!("^(?s:{folders}{query}{tail})$")
}

/// Whether a text matches a pattern in which `*` stands for any run of characters.
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(include: &[&str], exclude: &[&str]) -> Result<ScopeRules, BadPattern> {
        let owned = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        ScopeRules::new(&Scope {
            include: owned(include),
            exclude: owned(exclude),
            ignore_query: vec!["utm_*".to_owned()],
            obey_robots: true,
            allow_private: false,
        })
    }

    #[test]
    fn a_pattern_holds_for_what_it_says() {
        let all = "https://shop.example/**";
        let cases = [
            (all, "https://shop.example/", true),
            (all, "https://shop.example/a/b?c=/d", true),
            (all, "https://shop.example:443/", true),
            (all, "http://shop.example/", false),
            (all, "https://shop.example:8443/", false),
            (all, "https://shop.example.evil.example/", false),
            (all, "https://shop.example@evil.example/", false),
            (all, "https://evil.example/https://shop.example/", false),
            (all, "ftp://shop.example/", false),
            ("*://Shop.example/**", "http://shop.example/", true),
            ("*://shop.example:*/**", "http://shop.example:8080/", true),
            ("https://shop.example:8443/**", "https://shop.example:8443/a", true),
            ("https://[::1]:8443/**", "https://[0:0::1]:8443/a", true),
            ("https://*.shop.example/**", "https://a.b.shop.example/", true),
            ("https://*.shop.example/**", "https://shop.example/", false),
            (
                "https://*.shop.example/**",
                "https://evil.example/?.shop.example/",
                false,
            ),
            ("https://bücher.example/**", "https://xn--bcher-kva.example/", true),
            ("https://shop.example", "https://shop.example/", true),
            ("https://shop.example", "https://shop.example/a", false),
            ("https://shop.example/docs/**", "https://shop.example/docs", true),
            ("https://shop.example/docs/**", "https://shop.example/docs/", true),
            ("https://shop.example/docs/**", "https://shop.example/docs-old", false),
            ("https://shop.example/*/b", "https://shop.example/a/b", true),
            ("https://shop.example/*/b", "https://shop.example/a/a/b", false),
            ("https://shop.example/é/**", "https://shop.example/%c3%a9/a", true),
            ("https://shop.example/a", "https://shop.example/a?b=1", true),
            ("https://shop.example/a?b=*", "https://shop.example/a?b=1", true),
            ("https://shop.example/a?b=*", "https://shop.example/a", false),
            (
                "https://shop.example/a?*b=1*",
                "https://shop.example/a?to=/x/y&b=1",
                true,
            ),
            (
                "https://shop.example/a?**b=1",
                "https://shop.example/a?to=https://x/&b=1",
                true,
            ),
            ("https://shop.example/*?b=*", "https://shop.example/a/c?b=1", false),
            ("https://shop.example/a.b", "https://shop.example/axb", false),
        ];
        for (pattern, url, inside) in cases {
            let url = Url::parse(url).unwrap();
            let admitted = rules(&[pattern], &[]).is_ok_and(|rules| rules.admits(&url).is_ok());
            assert_eq!(admitted, inside, "{pattern} {url}");
        }
    }

    #[test]
    fn what_is_excluded_names_its_pattern() {
        let exclude = [
            "**/logout*",
            "/cart/checkout/**",
            "/a?do=*",
            "http://old.shop.example/**",
        ];
        let rules = rules(&["*://*.shop.example/**"], &exclude).unwrap();
        let cases = [
            ("https://www.shop.example/logout", Some("**/logout*")),
            ("https://www.shop.example/logout.php?next=/a/b", Some("**/logout*")),
            ("https://www.shop.example/a/logout", Some("**/logout*")),
            ("https://www.shop.example/%6cogout", Some("**/logout*")),
            ("https://www.shop.example/logout/x", None),
            ("https://www.shop.example/cart/checkout", Some("/cart/checkout/**")),
            ("https://www.shop.example/cart/checkout/x/y", Some("/cart/checkout/**")),
            ("https://www.shop.example/x/cart/checkout/", None),
            ("https://www.shop.example/a?do=1", Some("/a?do=*")),
            ("https://www.shop.example/a", None),
            ("http://old.shop.example/a", Some("http://old.shop.example/**")),
            ("https://old.shop.example/a", None),
        ];
        for (url, pattern) in cases {
            let expected = pattern.map_or(Ok(()), |pattern| Err(OutOfScope::Excluded(pattern.to_owned())));
            assert_eq!(rules.admits(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn patterns_that_include_too_much_or_nothing_are_refused() {
        let cases = [
            ("/docs/**", "names no host"),
            ("**", "names no host"),
            ("https://**", "more than one organisation"),
            ("https://*/**", "more than one organisation"),
            ("https://*.com/**", "more than one organisation"),
            ("https://*.co.uk/**", "more than one organisation"),
            ("https://*shop.example/**", "more than one organisation"),
            ("https://shop.*/**", "more than one organisation"),
            ("shop.example/**", "is no pattern of URLs"),
            ("ftp://shop.example/**", "neither http nor https"),
            ("https:///**", "has no valid host"),
            ("https://sh op/**", "has no valid host"),
            ("https://me@shop.example/**", "has no valid host"),
            ("https://shop.example:0/**", "has a port"),
            ("https://shop.example:port/**", "has a port"),
        ];
        for (pattern, says) in cases {
            let error = rules(&[pattern], &[]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the pattern `{pattern}` ")), "{error}");
            assert!(error.contains(says), "{pattern}: {error}");
        }
        for pattern in [
            "https://*.shop.example/**",
            "https://www-*.shop.example/**",
            "https://*.dev.test/**",
        ] {
            assert!(rules(&[pattern], &[]).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn hosts_are_known() {
        let rules = rules(
            &["https://www.shop.example/**", "*://*.help.example/a", "http://[::1]/**"],
            &[],
        )
        .unwrap();
        assert_eq!(rules.own_hosts(), ["*.help.example", "[::1]", "www.shop.example"]);
        for (host, named) in [
            ("www.shop.example", true),
            ("a.help.example", true),
            ("shop.example", false),
            ("[::1]", true),
        ] {
            assert_eq!(rules.names_host(host), named, "{host}");
        }
        assert!(rules.ignores_query("UTM_source") && !rules.ignores_query("utm"));
    }

    proptest! {
        #[test]
        fn no_pattern_is_too_strange(pattern in "(https://|/|\\*\\*)?[a-z*/.?:%\\[\\]()+é]{0,30}", url in "https://[a-z.]{1,9}/[a-z%/?.]{0,20}") {
            if let (Ok(rules), Ok(url)) = (rules(&["https://*.shop.example/**"], &[&pattern]), Url::parse(&url)) {
                let _ = rules.admits(&url);
            }
        }

        #[test]
        fn a_wildcard_holds_for_itself_and_for_what_it_stands_for(a in "[a-z]{0,4}", b in "[a-z]{0,4}", run in "[a-z]{0,4}") {
            let (pattern, text) = (format!("{a}*{b}"), format!("{a}{run}{b}"));
            prop_assert!(wildcard(&pattern, &text));
            prop_assert!(wildcard("*", &text));
            prop_assert_eq!(wildcard(&a, &text), a == text);
        }
    }
}
