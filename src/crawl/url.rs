//! Which URLs are one page.

use std::borrow::Cow;

use url::Url;

use super::PageKey;
use super::secret::{holds_secret_parameter, is_secret, without_session_segments};
use crate::site::ScopeRules;

/// The longest URL that is visited, in characters.
pub const LONGEST_URL: usize = 2_000;

/// Why a URL is no page that could be visited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPage {
    /// `mailto:`, `javascript:` and the like.
    #[error("{0}: is neither http nor https")]
    Scheme(String),
    /// Longer than [`LONGEST_URL`].
    #[error("the URL is longer than {LONGEST_URL} characters")]
    TooLong,
}

/// What a page is known by, and what is navigated to.
///
/// The URL keeps its scheme, host, path and query, and a fragment that is a route (`#/cart`, `#!/cart`); it loses any
/// other fragment, credentials, an empty query, parameters that the site ignores, and whatever looks like a session id or a token, since those must not reach the store.
/// Escapes are in their normal form (RFC 3986, section 6.2.2). In the key the parameters are sorted by name as well, and
/// what a form would have escaped in them is not; a space is a `+`, as a form writes it.
/// Doing it again changes nothing.
pub fn page_key(url: &Url, scope: &ScopeRules) -> Result<(PageKey, Url), NotAPage> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NotAPage::Scheme(url.scheme().chars().take(20).collect()));
    }
    // What is cut off below may be long, but not without end: the rest of the work is linear in this.
    if url.as_str().len() > 16 * LONGEST_URL {
        return Err(NotAPage::TooLong);
    }
    let mut page = url.clone();
    if !page.fragment().is_some_and(is_route) {
        page.set_fragment(None);
    }
    // Neither can fail: a URL with one of these schemes has a host.
    let _ = page.set_username("");
    let _ = page.set_password(None);
    let path = normal_path(page.path());
    if path != page.path() {
        page.set_path(&path);
    }
    let query = normal_escapes(page.query().unwrap_or_default()).into_owned();
    let parameters: Vec<&str> = query
        .split('&')
        .filter(|parameter| !parameter.is_empty() && makes_a_difference(parameter, scope))
        .collect();
    set_parameters(&mut page, &parameters);
    if page.as_str().len() > LONGEST_URL {
        return Err(NotAPage::TooLong);
    }
    let parameters: Vec<Cow<'_, str>> = parameters
        .into_iter()
        .map(|parameter| one_space(unescaped(parameter, SAME_IN_QUERIES)))
        .collect();
    let mut parameters: Vec<&str> = parameters.iter().map(Cow::as_ref).collect();
    parameters.sort_by_key(|parameter| name_of(parameter));
    let mut key = page.clone();
    set_parameters(&mut key, &parameters);
    Ok((PageKey(key.into()), page))
}

/// Whether a fragment names a page that the document's own scripts make. One with a secret in it is not kept.
fn is_route(fragment: &str) -> bool {
    let path = fragment.strip_prefix('!').unwrap_or(fragment);
    path.len() > 1 && path.starts_with('/') && !holds_secret_parameter(path)
}

/// A path with normal escapes and without session ids. Taking one out can join what becomes an escape, or another
/// session id, so it goes on until nothing changes; each round but the first shortens the path.
fn normal_path(path: &str) -> String {
    let mut path = path.to_owned();
    loop {
        let escaped = normal_escapes(&path);
        let next = without_session_segments(&escaped);
        if next == path {
            return path;
        }
        path = next.into_owned();
    }
}

fn set_parameters(url: &mut Url, parameters: &[&str]) {
    let query = (!parameters.is_empty()).then(|| parameters.join("&"));
    url.set_query(query.as_deref());
}

fn name_of(parameter: &str) -> &str {
    parameter.split_once('=').map_or(parameter, |(name, _)| name)
}

fn makes_a_difference(parameter: &str, scope: &ScopeRules) -> bool {
    url::form_urlencoded::parse(parameter.as_bytes())
        .next()
        .is_none_or(|(name, value)| !scope.ignores_query(&name) && !is_secret(&name, &value))
}

/// What needs no escape anywhere in a URL.
const UNRESERVED: &[u8] = b"-._~";
/// What is the same with and without an escape where names and values of parameters are read: a form escapes them, and
/// those who write links by hand do not.
const SAME_IN_QUERIES: &[u8] = b"-._~/:,@!$()*[]";

/// A parameter in which a space is written as forms do, not as those do who write links by hand or in scripts.
fn one_space(parameter: Cow<'_, str>) -> Cow<'_, str> {
    if parameter.contains("%20") {
        Cow::Owned(parameter.replace("%20", "+"))
    } else {
        parameter
    }
}

/// The path of a URL or its query with normal escapes: hexadecimal digits in upper case, and no escapes for letters,
/// digits, `-`, `.`, `_` and `~`. A `%` that begins no escape stays as it is, with what follows it.
pub fn normal_escapes(text: &str) -> Cow<'_, str> {
    unescaped(text, UNRESERVED)
}

/// The same, with no escapes for letters, digits and `also`.
fn unescaped<'a>(text: &'a str, also: &[u8]) -> Cow<'a, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        normal.push_str(&rest[..percent]);
        rest = &rest[percent..];
        let mut end = rest.len().min(3);
        match rest.get(1..3).and_then(|digits| escape(digits.as_bytes())) {
            Some(byte) if byte.is_ascii_alphanumeric() || also.contains(&byte) => normal.push(char::from(byte)),
            Some(_) => normal.push_str(&rest[..end].to_ascii_uppercase()),
            None => {
                while !rest.is_char_boundary(end) {
                    end += 1;
                }
                normal.push_str(&rest[..end]);
            }
        }
        rest = &rest[end..];
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

/// The byte that two hexadecimal digits stand for.
fn escape(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*digits.first()?)? * 16 + digit(*digits.get(1)?)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::site::Scope;

    fn scope() -> ScopeRules {
        let scope = Scope {
            include: vec!["https://shop.example/**".to_owned()],
            exclude: Vec::new(),
            ignore_query: vec!["utm_*".to_owned(), "ref".to_owned()],
            obey_robots: true,
            allow_private: false,
        };
        ScopeRules::new(&scope).unwrap()
    }

    fn key(url: &str) -> Result<(String, String), NotAPage> {
        page_key(&Url::parse(url).unwrap(), &scope()).map(|(key, url)| (key.0, url.into()))
    }

    #[test]
    fn urls_of_one_page_have_one_key() {
        let cases = [
            ("https://shop.example", "https://shop.example/"),
            ("HTTPS://Shop.Example:443/A", "https://shop.example/A"),
            ("http://shop.example:80/", "http://shop.example/"),
            ("https://shop.example:8443/", "https://shop.example:8443/"),
            ("https://shop.example/a/../b/./c#top", "https://shop.example/b/c"),
            ("https://shop.example/a?", "https://shop.example/a"),
            ("https://shop.example/a?&&", "https://shop.example/a"),
            (
                "https://shop.example/%7euser/%c3%a9%2f",
                "https://shop.example/~user/%C3%A9%2F",
            ),
            ("https://shop.example/é", "https://shop.example/%C3%A9"),
            ("https://shop.example/%zz%%32e", "https://shop.example/%zz%%32e"),
            ("https://me:pw@shop.example/", "https://shop.example/"),
            ("https://shop.example/?b=2&a=1&b=1", "https://shop.example/?a=1&b=2&b=1"),
            (
                "https://shop.example/?utm_source=x&%75tm_id=1&q=1&ref=z",
                "https://shop.example/?q=1",
            ),
            ("https://shop.example/?q=%2B+%26", "https://shop.example/?q=%2B+%26"),
            (
                "https://shop.example/a+b%20c?q=a%20b+c%2520",
                "https://shop.example/a+b%20c?q=a+b+c%2520",
            ),
            (
                "https://shop.example/?route=%2Fsql&f%5Ba%5D=1%3a2&r=%2526%3B",
                "https://shop.example/?f[a]=1:2&r=%2526%3B&route=/sql",
            ),
            ("https://shop.example/a/index.html", "https://shop.example/a/index.html"),
            (
                "https://shop.example/a;jsessionid=1A2B.node1/b;v=2?PHPSESSID=ab",
                "https://shop.example/a/b;v=2",
            ),
            ("https://shop.example/(S(abc0123))/a", "https://shop.example/a"),
            (
                "https://shop.example/app#/cart?x=1",
                "https://shop.example/app#/cart?x=1",
            ),
            (
                "https://shop.example/app?b=1&a=2#!/cart",
                "https://shop.example/app?a=2&b=1#!/cart",
            ),
            ("https://shop.example/app#/", "https://shop.example/app"),
            (
                "https://shop.example/app#/cb?access_token=x",
                "https://shop.example/app",
            ),
            (
                "https://shop.example/?csrf_token=x&access_token=y&page=2",
                "https://shop.example/?page=2",
            ),
        ];
        for (url, expected) in cases {
            assert_eq!(key(url).unwrap().0, expected, "{url}");
        }
    }

    #[test]
    fn what_is_navigated_to_keeps_the_order_of_the_query() {
        let (key, url) = key("https://shop.example/?b=2&utm_id=1&a=1").unwrap();
        assert_eq!(key, "https://shop.example/?a=1&b=2");
        assert_eq!(url, "https://shop.example/?b=2&a=1");
    }

    #[test]
    fn a_space_in_a_query_is_written_in_two_ways() {
        let [(one, asked), (other, _)] = ["q=green%20tea&page=2", "q=green+tea&page=2"]
            .map(|query| key(&format!("https://shop.example/?{query}")).unwrap());
        assert_eq!(one, other);
        assert_eq!(
            asked, "https://shop.example/?q=green%20tea&page=2",
            "asked for as it was written"
        );
        let paths = ["/green+tea", "/green%20tea"].map(|path| key(&format!("https://shop.example{path}")).unwrap().0);
        assert_ne!(paths[0], paths[1], "in a path a plus is a plus");
    }

    #[test]
    fn what_is_no_page_is_refused() {
        assert_eq!(key("mailto:a@b.example"), Err(NotAPage::Scheme("mailto".to_owned())));
        assert_eq!(
            key("javascript:alert(1)"),
            Err(NotAPage::Scheme("javascript".to_owned()))
        );
        assert_eq!(key("data:text/html,x"), Err(NotAPage::Scheme("data".to_owned())));
        let long = format!("https://shop.example/{}", "a".repeat(LONGEST_URL));
        assert_eq!(key(&long), Err(NotAPage::TooLong));
        let endless = format!("https://shop.example/?utm_x={}", "a".repeat(40 * LONGEST_URL));
        assert_eq!(key(&endless), Err(NotAPage::TooLong));
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(tail in r"([/a-z0-9%.;()=&?+~#@:\\é ]|%[0-9a-fA-F]{2}|;jsessionid=|\(S\(a\)\)){0,30}") {
            let Ok(url) = Url::parse(&format!("https://shop.example/{tail}")) else { return Ok(()) };
            let Ok((key, page)) = page_key(&url, &scope()) else { return Ok(()) };
            let again = page_key(&Url::parse(&key.0).unwrap(), &scope()).unwrap();
            prop_assert_eq!(&again.0, &key);
            prop_assert_eq!(again.1.as_str(), &key.0);
            let again = page_key(&page, &scope()).unwrap();
            prop_assert_eq!(again.0, key);
            prop_assert_eq!(again.1, page);
        }

        #[test]
        fn no_url_is_too_strange(text in "(?s).{0,80}") {
            if let Ok(url) = Url::parse(&text) {
                let _ = page_key(&url, &scope());
            }
            let once = normal_escapes(&text).into_owned();
            prop_assert_eq!(normal_escapes(&once), once.as_str());
        }
    }
}
