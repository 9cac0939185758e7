//! The same site at other times: what a visit finds in another order, and what a new deployment changes.
//!
//! A finding must outlive both. So [`Deployed`] changes all that changes on a site while its flaws stay: the order in
//! which pages are named and answered, queries that mean nothing, hashes in names, versions that are still vulnerable,
//! fields of forms, words.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::bench_site::{Numbers, seed};
use super::content::{Ask, Body, Content, Reply};

/// The longest that an answer is put off, in milliseconds.
const LONGEST_DELAY: usize = 40;

/// What the second deployment calls otherwise: hashes in names, and versions with flaws of their own.
const RENAMED: [(&str, &str); 6] = [
    ("app.4f9ac1e27b.js", "app.b07d13c5e8.js"),
    ("1.12.4", "2.2.4"),
    ("3.3.7", "3.4.0"),
    ("4.0.11", "4.0.12"),
    ("4.17.4", "4.17.10"),
    ("2.10.6", "2.11.2"),
];

/// Content as it is at one time, after one deployment.
pub struct Deployed<C> {
    content: C,
    /// What order and noise follow from.
    noise: AtomicU64,
    again: bool,
}

impl<C: Content> Deployed<C> {
    /// The content with noise that follows from a number; with `again`, as deployed a second time.
    pub fn new(content: C, noise: u64, again: bool) -> Self {
        Self {
            content,
            noise: AtomicU64::new(noise),
            again,
        }
    }

    fn rename(&self, text: &str) -> String {
        let renamed = RENAMED.iter().filter(|_| self.again);
        renamed.fold(text.to_owned(), |text, (old, new)| text.replace(old, new))
    }

    /// The path that the first deployment has for it.
    fn first_path(&self, path: &str) -> String {
        let renamed = RENAMED.iter().filter(|_| self.again);
        renamed.fold(path.to_owned(), |path, (old, new)| path.replace(new, old))
    }

    fn page(&self, page: &str, numbers: &mut Numbers) -> String {
        let mut page = add_queries(page, numbers);
        if self.again {
            page = page
                .replace("<p>", "<p>Now even fresher. ")
                .replace("</title>", " · autumn</title>")
                .replace("</h1>", " in autumn</h1>");
            page = after_tags(&page, "<form", "<label>Branch <input name=branch></label>");
        }
        self.rename(&page)
    }
}

impl<C: Content> Content for Deployed<C> {
    fn get(&self, ask: &Ask<'_>) -> Reply {
        let noise = self.noise.fetch_add(1, Ordering::Relaxed);
        let mut numbers = Numbers::new(seed(noise, ask.path));
        let path = self.first_path(ask.path);
        let mut reply = self.content.get(&Ask { path: &path, ..*ask });
        let kind = reply.headers.iter().find(|(name, _)| name == "content-type");
        let kind = kind.map(|(_, value)| value.clone()).unwrap_or_default();
        if let Body::Full(bytes) = &reply.body
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            let text = match kind.split(';').next().unwrap_or_default() {
                "text/html" => self.page(text, &mut numbers),
                "application/xml" | "text/xml" => shuffle_lines(text, &mut numbers),
                "text/javascript" => self.rename(text),
                _ => return reply,
            };
            reply.body = Body::Full(text.into());
            let delay = u64::try_from(numbers.below(LONGEST_DELAY)).unwrap_or_default();
            reply.delay += Duration::from_millis(delay);
        }
        reply
    }

    fn tls(&self, host: &str) -> super::Tls {
        self.content.tls(host)
    }
}

/// Links within the site get a campaign, its own scripts something against caches.
fn add_queries(page: &str, numbers: &mut Numbers) -> String {
    let mut noisy = String::with_capacity(page.len());
    let mut rest = page;
    while let Some(at) = rest.find(['"']) {
        let (before, quoted) = rest.split_at(at + 1);
        noisy.push_str(before);
        rest = quoted;
        let Some((value, _)) = quoted.split_once('"') else {
            break;
        };
        let name = if before.ends_with("<a href=\"") && value.starts_with('/') {
            "utm_source"
        } else if before.ends_with("<script src=\"") && (value.starts_with('/') || value.contains("//cdn.test/")) {
            "v"
        } else {
            continue;
        };
        if !value.contains(['?', '#']) {
            noisy.push_str(value);
            let _ = write!(noisy, "?{name}={}", numbers.below(1_000_000));
            rest = &quoted[value.len()..];
        }
    }
    noisy.push_str(rest);
    noisy
}

/// Puts something behind each tag that begins so.
fn after_tags(page: &str, tag: &str, more: &str) -> String {
    let mut parts = page.split(tag);
    let mut changed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        changed.push_str(tag);
        match part.split_once('>') {
            Some((attributes, rest)) => changed.extend([attributes, ">", more, rest]),
            None => changed.push_str(part),
        }
    }
    changed
}

/// Those that name pages, in another order.
fn shuffle_lines(text: &str, numbers: &mut Numbers) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    let named: Vec<_> = (0..lines.len())
        .filter(|line| lines[*line].starts_with("<url>"))
        .collect();
    for last in (1..named.len()).rev() {
        lines.swap(named[last], named[numbers.below(last + 1)]);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};

    use super::super::content::Scheme;
    use super::*;

    fn text(content: &impl Content, path: &str) -> String {
        let reply = content.get(&Ask {
            scheme: Scheme::Https,
            host: "shop.test",
            path,
            query: "",
            method: &Method::GET,
            headers: &HeaderMap::new(),
            body: &[],
        });
        match reply.body {
            Body::Full(bytes) if reply.status.is_success() => String::from_utf8(bytes.to_vec()).unwrap(),
            _ => panic!("{path}: {}", reply.status),
        }
    }

    #[test]
    fn what_a_deployment_changes_is_changed_and_reachable() {
        let site = |_: &Ask<'_>| {
            Reply::html(
                "<title>Tea</title><a href=\"/b\">b</a><script src=\"/assets/app.4f9ac1e27b.js\"></script>\
                 <form action=/x><p>old</form>",
            )
        };
        let page = text(&Deployed::new(site, 7, true), "/");
        for part in [
            "<a href=\"/b?utm_source=",
            "<script src=\"/assets/app.b07d13c5e8.js?v=",
            "<form action=/x><label>Branch <input name=branch></label><p>Now",
            "<title>Tea · autumn</title>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(text(&Deployed::new(site, 7, false), "/").contains("app.4f9ac1e27b.js?v="));

        let demo = Deployed::new(super::super::Files::demo().unwrap(), 1, true);
        let script = text(&demo, "/assets/app.b07d13c5e8.js");
        assert!(script.contains("\"4.0.12\""), "{script}");
        let (a, b) = (text(&demo, "/sitemap.xml"), text(&demo, "/sitemap.xml"));
        assert_eq!(
            (a.lines().count(), a.matches("<url>").count()),
            (b.lines().count(), b.matches("<url>").count())
        );
    }
}
