//! Ways on that a server writes into the headers of an answer.

use std::sync::LazyLock;

use phantom_checks::evidence::Page;
use regex::Regex;
use url::Url;

/// Relations that lead to another page for people.
const LEADS_ON: &[&str] = &[
    "alternate",
    "author",
    "canonical",
    "first",
    "help",
    "last",
    "license",
    "next",
    "prefetch",
    "prerender",
    "prev",
    "privacy-policy",
    "search",
    "terms-of-service",
    "up",
];
/// Links that are read of one page's headers.
const MOST_LINKS: usize = 100;
/// Files of rules that are read of one page's headers.
const MOST_FILES: usize = 5;

/// The addresses in a page's `Link` (RFC 8288) and `Refresh` headers, absolute.
pub(super) fn header_links(page: &Page) -> Vec<String> {
    let Ok(base) = Url::parse(&page.url) else {
        return Vec::new();
    };
    let values = |name: &'static str| page.headers.iter().filter(move |header| header.name == name);
    let links = values("link").flat_map(|header| link_targets(&header.value));
    let refresh = values("refresh").filter_map(|header| refresh_target(&header.value));
    let targets = links.chain(refresh).take(MOST_LINKS);
    targets
        .filter_map(|target| base.join(target).ok().map(String::from))
        .collect()
}

/// The files that a page's `Speculation-Rules` headers name, absolute.
pub fn speculation_rules(page: &Page) -> Vec<String> {
    let Ok(base) = Url::parse(&page.url) else {
        return Vec::new();
    };
    let headers = page.headers.iter().filter(|header| header.name == "speculation-rules");
    let named = headers.flat_map(|header| header.value.split(',')).filter_map(|text| {
        let name = text.trim().strip_prefix('"')?.strip_suffix('"')?;
        base.join(name).ok().map(String::from)
    });
    named.take(MOST_FILES).collect()
}

/// The targets of a `Link` header that lead to pages.
fn link_targets(value: &str) -> Vec<&str> {
    static LINK: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"<([^<>]{1,4000})>((?:\s*;\s*[\w*-]+\s*=\s*(?:"[^"]*"|[^\s";,]+))*)"#).ok());
    let Some(link) = LINK.as_ref() else { return Vec::new() };
    link.captures_iter(value)
        .filter_map(|found| {
            let (_, [target, parameters]) = found.extract();
            leads_on(parameters).then_some(target)
        })
        .collect()
}

fn leads_on(parameters: &str) -> bool {
    let mut relation = false;
    for parameter in parameters.split(';') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        match name.trim().to_ascii_lowercase().as_str() {
            "rel" => relation |= value.split_whitespace().any(|word| LEADS_ON.contains(&word)),
            // A feed or a search description is no page.
            "type" if !value.contains("html") => return false,
            "as" if value != "document" => return false,
            _ => {}
        }
    }
    relation
}

/// The target of `Refresh: 5; url=/next`.
fn refresh_target(value: &str) -> Option<&str> {
    let (_, target) = value.split_once([';', ','])?;
    let target = target.trim();
    let target = match target.get(..4) {
        Some(head) if head.eq_ignore_ascii_case("url=") => &target[4..],
        _ => target,
    };
    let target = target.trim().trim_matches(['"', '\'']);
    (!target.is_empty()).then_some(target)
}

#[cfg(test)]
mod tests {
    use phantom_checks::evidence::Header;
    use proptest::prelude::*;

    use super::*;

    fn found(name: &str, value: &str) -> Vec<String> {
        header_links(&Page {
            url: "https://shop.example/a/".to_owned(),
            headers: vec![Header {
                name: name.to_owned(),
                value: value.to_owned(),
            }],
            ..Page::default()
        })
    }

    #[test]
    fn headers_lead_on() {
        for (name, value, expected) in [
            ("link", "<b>; rel=next", &["https://shop.example/a/b"][..]),
            (
                "link",
                r#"</x>; rel="next last", </y>;rel=stylesheet, </z>; title="a, b; c"; REL=Help"#,
                &["https://shop.example/x", "https://shop.example/z"],
            ),
            ("link", r#"</feed>; rel=alternate; type="application/rss+xml""#, &[]),
            ("link", "</f.woff>; rel=preload; as=font", &[]),
            ("link", "</p>; rel=prefetch; as=document", &["https://shop.example/p"]),
            ("link", "</broken; rel=next", &[]),
            ("refresh", "5; url=/soon", &["https://shop.example/soon"]),
            ("refresh", "0;URL='/q'", &["https://shop.example/q"]),
            ("refresh", "0, there", &["https://shop.example/a/there"]),
            ("refresh", "30", &[]),
            ("location", "</x>; rel=next", &[]),
        ] {
            assert_eq!(found(name, value), expected, "{name}: {value}");
        }
    }

    #[test]
    fn headers_name_files_of_rules() {
        let named = |value: &str| {
            speculation_rules(&Page {
                url: "https://shop.example/a/".to_owned(),
                headers: vec![Header {
                    name: "speculation-rules".to_owned(),
                    value: value.to_owned(),
                }],
                ..Page::default()
            })
        };
        assert_eq!(
            named(r#""/x.json", "y.json""#),
            ["https://shop.example/x.json", "https://shop.example/a/y.json"]
        );
        assert_eq!(named(r#"x.json, ("/y"), """#), ["https://shop.example/a/"]);
        assert!(named("\"").is_empty());
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(value in "[<>;,=\"' a-z/]{0,40}") {
            let _ = found("link", &value);
            let _ = found("refresh", &value);
        }
    }
}
