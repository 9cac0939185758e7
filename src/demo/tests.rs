//! The demo's content agrees with its manifest, as far as that can be seen without a browser.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, Method};
use scraper::{Html, Selector};
use url::Url;

use super::content::Body;
use super::*;

fn get(files: &Files, url: &Url) -> Reply {
    files.get(&Ask {
        scheme: if url.scheme() == "https" {
            Scheme::Https
        } else {
            Scheme::Http
        },
        host: url.host_str().unwrap(),
        path: url.path(),
        query: url.query().unwrap_or_default(),
        method: &Method::GET,
        headers: &HeaderMap::new(),
        body: &[],
    })
}

fn is_html(reply: &Reply) -> bool {
    let mut headers = reply.headers.iter();
    headers.any(|(name, value)| name == "content-type" && value.starts_with("text/html"))
}

/// Follows redirects, at most ten.
fn follow(files: &Files, url: &Url) -> Option<(Url, Reply)> {
    let mut url = url.clone();
    for _ in 0..10 {
        let reply = get(files, &url);
        match reply.headers.iter().find(|(name, _)| name == "location") {
            Some((_, to)) => url = url.join(to).unwrap(),
            None => return Some((url, reply)),
        }
    }
    None
}

/// Where the attributes of a document lead, absolute, without fragments.
fn targets(base: &Url, html: &str, selector: &str, attribute: &str) -> Vec<Url> {
    let document = Html::parse_document(html);
    let base = document
        .select(&Selector::parse("base").unwrap())
        .find_map(|base| base.value().attr("href"))
        .map_or_else(|| base.clone(), |href| base.join(href).unwrap());
    let selector = Selector::parse(selector).unwrap();
    let values = document
        .select(&selector)
        .filter_map(|element| element.value().attr(attribute));
    let mut urls: Vec<_> = values.map(|value| base.join(value).unwrap()).collect();
    for url in &mut urls {
        url.set_fragment(None);
    }
    urls
}

fn text(reply: &Reply) -> &str {
    match &reply.body {
        Body::Full(bytes) | Body::Never(bytes) => std::str::from_utf8(bytes).unwrap(),
        _ => "",
    }
}

#[test]
fn every_page_answers_as_the_manifest_says() {
    let (files, manifest) = (Files::demo().unwrap(), Manifest::demo().unwrap());
    for url in &manifest.pages.done {
        let (_, reply) = follow(&files, &Url::parse(url).unwrap()).expect(url);
        assert!(reply.status.is_success() && is_html(&reply), "{url}: {}", reply.status);
        assert!(!text(&reply).contains("{{"), "{url}: a template was left open");
    }
    for url in manifest.pages.failed.iter().chain(&manifest.pages.skipped) {
        let end = follow(&files, &Url::parse(url).unwrap());
        let is_page = end.is_some_and(|(_, reply)| reply.status.is_success() && is_html(&reply));
        let forbidden = url.starts_with("https://shop.test/internal/");
        assert!(forbidden || !is_page, "{url}");
    }
}

#[test]
fn every_link_in_scope_is_in_the_manifest_and_every_secure_resource_is_there() {
    let (files, manifest) = (Files::demo().unwrap(), Manifest::demo().unwrap());
    let pages = &manifest.pages;
    let known: BTreeSet<_> = [&pages.done, &pages.failed, &pages.skipped]
        .into_iter()
        .flatten()
        .collect();
    for url in &pages.done {
        let (url, reply) = follow(&files, &Url::parse(url).unwrap()).expect(url);
        for (selector, attribute) in [("a", "href"), ("iframe", "src")] {
            for mut target in targets(&url, text(&reply), selector, attribute) {
                let query: Vec<_> = target
                    .query_pairs()
                    .filter(|(name, _)| !name.starts_with("utm_"))
                    .collect();
                assert!(query.is_empty(), "{url}: {target}");
                target.set_query(None);
                let ours = target
                    .host_str()
                    .is_some_and(|host| host == "shop.test" || host.ends_with(".shop.test"));
                let in_scope = ours && target.path() != "/logout";
                assert!(
                    !in_scope || known.contains(&target.to_string()),
                    "{url} links to {target}"
                );
            }
        }
        for (selector, attribute) in [
            ("img", "src"),
            ("script", "src"),
            ("link[rel=stylesheet], link[rel=icon]", "href"),
        ] {
            for target in targets(&url, text(&reply), selector, attribute) {
                let status = get(&files, &target).status;
                assert!(
                    target.scheme() == "http" || status == 200,
                    "{url} needs {target}: {status}"
                );
            }
        }
    }
}

#[test]
fn the_site_file_and_the_manifest_speak_of_one_site() {
    let site: toml::Table = SITE_FILE.parse().unwrap();
    let start = site["start"][0].as_str().unwrap();
    assert!(Manifest::demo().unwrap().pages.done.contains(start));
    let patched = site["checks"]["patched"][0].as_str().unwrap();
    let file = format!("https://cdn.test/lib/{}.min.js", patched.replace('@', "-"));
    assert_eq!(get(&Files::demo().unwrap(), &Url::parse(&file).unwrap()).status, 200);
}
