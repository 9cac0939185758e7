//! Which requests may leave a browser. Pure: a request as the browser describes it, and yes or why not.

use std::sync::Arc;

use phantom_checks::evidence::ResourceKind;
use url::Url;

use super::destructive::{looks_destructive, looks_grave};
use super::graphql::{is_mutation, is_query, only_queries};
use crate::site::{AllowedRequest, BadPattern, Explore, ExploreMode, GraphqlKind, PagePatterns, ScopeRules};

/// What must hold of all requests of a scan, whoever causes them: pages, frames, workers, ourselves.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    mode: ExploreMode,
    scope: Option<Arc<ScopeRules>>,
    allowed: Vec<(AllowedRequest, PagePatterns)>,
    never: PagePatterns,
    /// Hosts that the steps of a login speak to, besides the site's own; `None` if there are no steps now.
    login: Option<Vec<String>>,
}

/// A request that waits to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The URL.
    pub url: &'a str,
    /// What the answer would be used as.
    pub kind: ResourceKind,
    /// What would be sent after the headers.
    pub body: AskedBody<'a>,
}

/// What would be sent after the headers of a request.
#[derive(Debug, Clone, Copy)]
pub enum AskedBody<'a> {
    /// Nothing, or this text.
    Known(&'a str),
    /// Something that is not known: a file, or too much.
    Unknown,
}

/// Why a request is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Its method may change state.
    #[error("its method may change state")]
    Method,
    /// Its URL looks as if it changed something.
    #[error("it looks destructive")]
    Destructive,
    /// The site's file says so.
    #[error("the site's file says never")]
    Never,
}

impl Guard {
    /// The guard of a site.
    pub fn new(explore: &Explore, scope: Arc<ScopeRules>) -> Result<Self, BadPattern> {
        let allowed = explore.allow_requests.iter().map(|allowed| {
            let pattern = PagePatterns::new(&[allowed.pattern()])?;
            Ok((allowed.clone(), pattern))
        });
        Ok(Self {
            mode: explore.mode,
            scope: Some(scope),
            allowed: allowed.collect::<Result<_, _>>()?,
            never: PagePatterns::new(&explore.never)?,
            login: None,
        })
    }

    /// The guard while the steps of a login are done: what they send to these hosts, or to the site's own, is sent.
    #[must_use]
    pub fn logging_in(&self, hosts: &[String]) -> Self {
        Self {
            login: Some(hosts.to_vec()),
            ..self.clone()
        }
    }

    fn of_login(&self, url: &Url) -> bool {
        let (Some(hosts), Some(host)) = (&self.login, url.host_str()) else {
            return false;
        };
        let own = self.scope.as_ref().is_some_and(|scope| scope.names_host(host));
        own || hosts.iter().any(|named| named == host)
    }

    /// What is done on pages.
    pub fn mode(&self) -> ExploreMode {
        self.mode
    }

    /// The hosts, with `*`, whose web sockets may be written to.
    pub fn sockets(&self) -> Vec<String> {
        match &self.scope {
            Some(scope) if self.mode == ExploreMode::Full => scope.own_hosts(),
            _ => Vec::new(),
        }
    }

    /// The methods of which some request may be sent; `None` if it may be any.
    pub fn methods(&self) -> Option<Vec<String>> {
        if self.mode == ExploreMode::Full || self.login.is_some() {
            return None;
        }
        let safe = SAFE.iter().map(|&method| method.to_owned());
        let allowed = self.allowed.iter().map(|(allowed, _)| allowed.method.clone());
        Some(safe.chain(allowed).collect())
    }

    /// Whether a request may be sent.
    pub fn judge(&self, asked: &Asked<'_>) -> Result<(), Stopped> {
        let Ok(url) = Url::parse(asked.url) else {
            return if is_safe(asked.method) {
                Ok(())
            } else {
                Err(Stopped::Method)
            };
        };
        if self.never.matches(&url) {
            return Err(Stopped::Never);
        }
        if self.allows(asked, &url) {
            return Ok(());
        }
        if is_safe(asked.method) {
            return if changes_by_url(&url, asked.kind) {
                Err(Stopped::Destructive)
            } else {
                Ok(())
            };
        }
        if self.of_login(&url) {
            return Ok(());
        }
        let owned = || self.scope.as_ref().is_some_and(|scope| scope.owns(&url));
        if self.mode != ExploreMode::Full || !owned() {
            Err(Stopped::Method)
        } else if looks_grave(&url) {
            Err(Stopped::Destructive)
        } else {
            Ok(())
        }
    }

    /// Whether a method may ever be sent to a URL, whatever the body: all that somebody can tell who sees no more.
    pub fn may_pass(&self, method: &str, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else {
            return is_safe(method);
        };
        let owned = |scope: &Arc<ScopeRules>| scope.owns(&url);
        is_safe(method)
            || self.of_login(&url)
            || (self.mode == ExploreMode::Full && self.scope.as_ref().is_some_and(owned))
            || self.exceptions(method, &url).next().is_some()
    }

    fn exceptions<'a>(&'a self, method: &'a str, url: &'a Url) -> impl Iterator<Item = &'a AllowedRequest> {
        let owned = self.scope.as_ref().is_some_and(|scope| scope.owns(url));
        self.allowed
            .iter()
            .filter(move |(allowed, pattern)| {
                allowed.method == method && (owned || allowed.host.is_some()) && pattern.matches(url)
            })
            .map(|(allowed, _)| allowed)
    }

    fn allows(&self, asked: &Asked<'_>, url: &Url) -> bool {
        // Some servers look for the operation in the URL first.
        let in_url = |url: &Url| {
            url.query_pairs()
                .all(|(name, value)| name != "query" || is_query(&value))
        };
        self.exceptions(asked.method, url)
            .any(|allowed| match (allowed.graphql, asked.body) {
                (None, _) => true,
                (Some(GraphqlKind::Query), AskedBody::Known(body)) => only_queries(body) && in_url(url),
                (Some(_), AskedBody::Unknown) => false,
            })
    }
}

const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// Methods that change nothing on a server that keeps to the standard (RFC 9110, 9.2.1).
pub fn is_safe(method: &str) -> bool {
    SAFE.contains(&method)
}

/// Whether a GET looks as if it changed something.
fn changes_by_url(url: &Url, kind: ResourceKind) -> bool {
    if url
        .query_pairs()
        .any(|(name, value)| name == "query" && is_mutation(&value))
    {
        return true;
    }
    let part = matches!(
        kind,
        ResourceKind::Document | ResourceKind::Ping | ResourceKind::CspViolationReport
    );
    if part || url.query().is_some() {
        return looks_destructive(url);
    }
    // A picture of a bin is named after what it stands for, and so is a script.
    match file_ending(url) {
        Some(ending) if is_of_a_page(&ending) => false,
        _ => looks_destructive(url),
    }
}

fn file_ending(url: &Url) -> Option<String> {
    let name = url.path_segments()?.next_back()?;
    let (_, ending) = name.rsplit_once('.')?;
    Some(ending.to_ascii_lowercase())
}

/// Endings of files that pages are made of.
fn is_of_a_page(ending: &str) -> bool {
    matches!(
        ending,
        "avif"
            | "css"
            | "gif"
            | "ico"
            | "jpeg"
            | "jpg"
            | "js"
            | "json"
            | "map"
            | "mjs"
            | "mp3"
            | "mp4"
            | "ogg"
            | "otf"
            | "png"
            | "svg"
            | "ttf"
            | "vtt"
            | "wasm"
            | "webm"
            | "webp"
            | "woff"
            | "woff2"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Site, SiteError};

    fn guard(explore: &str) -> Guard {
        let text = format!(
            "id = \"shop\"\nstart = [\"https://shop.test/app/\"]\n[scope]\ninclude = [\"https://shop.test/app/**\"]\nexclude = [\"/app/old/**\"]\n[explore]\n{explore}"
        );
        let site = Site::from_str(&text, std::path::Path::new("shop.toml")).unwrap();
        let rules = ScopeRules::new(&site.scope).map_err(SiteError::from).unwrap();
        Guard::new(&site.explore, Arc::new(rules)).unwrap()
    }

    fn judge(guard: &Guard, method: &str, url: &str, kind: ResourceKind, body: &str) -> Result<(), Stopped> {
        guard.judge(&Asked {
            method,
            url,
            kind,
            body: AskedBody::Known(body),
        })
    }

    #[test]
    fn only_safe_methods_leave() {
        for guard in [
            Guard::default(),
            guard(""),
            guard("mode = \"safe\"\nallow_state_change = true"),
        ] {
            for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "post", "get", "X", ""] {
                for url in ["https://shop.test/app/a", "blob:x", "no url"] {
                    let judged = judge(&guard, method, url, ResourceKind::Fetch, "");
                    assert_eq!(judged, Err(Stopped::Method), "{method} {url}");
                    assert!(!guard.may_pass(method, url));
                }
            }
            for method in ["GET", "HEAD", "OPTIONS"] {
                for url in ["https://shop.test/app/a", "https://other.test/", "data:,x", "blob:x"] {
                    assert_eq!(judge(&guard, method, url, ResourceKind::Fetch, ""), Ok(()), "{url}");
                    assert!(guard.may_pass(method, url));
                }
            }
            assert!(guard.sockets().is_empty());
            assert_eq!(guard.methods().unwrap(), SAFE);
        }
    }

    #[test]
    fn a_login_speaks_to_its_hosts_while_it_lasts() {
        let guard = guard("never = [\"**/pay\"]");
        let login = guard.logging_in(&["sso.test".to_owned()]);
        let cases = [
            ("POST", "https://shop.test/app/login", Ok(())),
            ("POST", "https://shop.test/app/old/login", Ok(())),
            ("POST", "https://sso.test/auth", Ok(())),
            ("POST", "https://a.sso.test/auth", Err(Stopped::Method)),
            ("POST", "https://other.test/", Err(Stopped::Method)),
            ("POST", "https://shop.test/app/pay", Err(Stopped::Never)),
            ("GET", "https://shop.test/app/logout", Err(Stopped::Destructive)),
        ];
        for (method, url, expected) in cases {
            assert_eq!(
                judge(&login, method, url, ResourceKind::Document, ""),
                expected,
                "{method} {url}"
            );
        }
        let after = judge(&guard, "POST", "https://sso.test/auth", ResourceKind::Document, "");
        assert_eq!(after, Err(Stopped::Method));
    }

    #[test]
    fn full_changes_the_site_alone() {
        let guard = guard("mode = \"full\"\nallow_state_change = true\nnever = [\"**/pay\"]");
        let cases = [
            ("https://shop.test/app/cart", Ok(())),
            ("https://shop.test/api/cart", Ok(())),
            ("https://shop.test/app/logout", Err(Stopped::Destructive)),
            ("https://shop.test/app/old/cart", Err(Stopped::Method)),
            ("https://other.test/app/cart", Err(Stopped::Method)),
            ("https://shop.test/app/pay", Err(Stopped::Never)),
        ];
        for (url, expected) in cases {
            assert_eq!(
                judge(&guard, "POST", url, ResourceKind::Document, ""),
                expected,
                "{url}"
            );
        }
        assert_eq!(guard.sockets(), ["shop.test"]);
        assert_eq!(guard.methods(), None);
    }

    #[test]
    fn exceptions_are_narrow() {
        let guard = guard(
            "allow_requests = [{ method = \"POST\", path = \"/graphql\", graphql = \"query\" }, { method = \"PUT\", \
             path = \"/api/seen/*\" }, { method = \"POST\", host = \"*.find.test\", path = \"/search\" }]\nnever = \
             [\"**/seen/7\"]",
        );
        let (query, mutation) = (r#"{"query":"{ a }"}"#, r#"{"query":"mutation { a }"}"#);
        let cases = [
            ("POST", "https://shop.test/graphql", query, true),
            ("POST", "https://shop.test/graphql?x=1", query, true),
            ("POST", "https://shop.test/graphql", mutation, false),
            ("POST", "https://shop.test/graphql?query=mutation%7Ba%7D", query, false),
            ("PUT", "https://shop.test/graphql", query, false),
            ("POST", "https://other.test/graphql", query, false),
            ("PUT", "https://shop.test/api/seen/6", "", true),
            ("PUT", "https://shop.test/api/seen/7", "", false),
            ("POST", "https://a.find.test/search", "", true),
            ("POST", "https://a.find.test:8443/search", "", true),
            ("POST", "https://find.test/search", "", false),
        ];
        for (method, url, body, sent) in cases {
            let judged = judge(&guard, method, url, ResourceKind::Fetch, body);
            assert_eq!(judged.is_ok(), sent, "{method} {url} {body}: {judged:?}");
        }
        let unknown = Asked {
            method: "POST",
            url: "https://shop.test/graphql",
            kind: ResourceKind::Fetch,
            body: AskedBody::Unknown,
        };
        assert_eq!(guard.judge(&unknown), Err(Stopped::Method));
        assert!(guard.may_pass("POST", "https://shop.test/graphql"));
    }

    #[test]
    fn gets_that_look_destructive_stay() {
        let cases = [
            ("https://shop.test/logout", ResourceKind::Document, false),
            ("https://other.test/logout", ResourceKind::Document, false),
            ("https://shop.test/api/logout", ResourceKind::Fetch, false),
            ("https://shop.test/logout", ResourceKind::Image, false),
            ("https://shop.test/logout.gif?now", ResourceKind::Image, false),
            ("https://shop.test/icons/delete.svg", ResourceKind::Image, true),
            ("https://shop.test/delete.js", ResourceKind::Script, true),
            ("https://shop.test/delete.js", ResourceKind::Document, false),
            ("https://shop.test/text/logout.json", ResourceKind::Fetch, true),
            (
                "https://shop.test/graphql?query=mutation%7Ba%7D",
                ResourceKind::Fetch,
                false,
            ),
            ("https://shop.test/graphql?query=%7Ba%7D", ResourceKind::Fetch, true),
        ];
        for (url, kind, sent) in cases {
            let judged = judge(&Guard::default(), "GET", url, kind, "");
            assert_eq!(judged.is_ok(), sent, "{url} {kind:?}: {judged:?}");
        }
    }
}
