//! From what was seen on a page to the pages that come next.

use std::collections::HashSet;

use phantom_checks::evidence::{Evidence, Link, LinkSource};
use url::Url;

use super::budget::{ROBOTS, TOO_DEEP};
use super::destructive::looks_destructive;
use super::headers::header_links;
use super::robots::RobotsBook;
use super::url::{NotAPage, page_key};
use super::{NewPage, PageKey, Template};
use crate::site::{OutOfScope, ScopeRules};

/// Pages that one page may lead to. A page with more is a trap or an index of everything.
pub const MOST_LINKS: usize = 2_000;

/// Endings of files that a browser downloads or shows as something other than a page.
const NOT_PAGES: &[&str] = &[
    "7z",
    "aac",
    "apk",
    "avi",
    "avif",
    "bin",
    "bmp",
    "bz2",
    "css",
    "csv",
    "deb",
    "dmg",
    "doc",
    "docx",
    "eot",
    "eps",
    "epub",
    "exe",
    "flac",
    "gif",
    "gz",
    "ico",
    "ics",
    "iso",
    "jar",
    "jpeg",
    "jpg",
    "js",
    "json",
    "m4a",
    "m4v",
    "map",
    "mjs",
    "mkv",
    "mov",
    "mp3",
    "mp4",
    "mpeg",
    "mpg",
    "msi",
    "odp",
    "ods",
    "odt",
    "ogg",
    "otf",
    "pdf",
    "pkg",
    "png",
    "ppt",
    "pptx",
    "ps",
    "rar",
    "rpm",
    "rtf",
    "svgz",
    "tar",
    "tgz",
    "tif",
    "tiff",
    "ttf",
    "vcf",
    "wasm",
    "wav",
    "webm",
    "webmanifest",
    "webp",
    "wmv",
    "woff",
    "woff2",
    "xls",
    "xlsx",
    "xz",
    "zip",
    "zst",
];

/// Why a URL does not become a page of the scan at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFollowed {
    /// It is no page.
    #[error(transparent)]
    NotAPage(#[from] NotAPage),
    /// It belongs to another site.
    #[error("not in the site's scope")]
    OutOfScope,
}

/// What decides which pages a scan visits.
#[derive(Debug, Clone, Copy)]
pub struct LinkRules<'a> {
    /// The site's scope.
    pub scope: &'a ScopeRules,
    /// What is known of the hosts' robots.txt.
    pub robots: &'a RobotsBook,
    /// Links followed from a start page at most.
    pub depth: u32,
}

/// What a page leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Pages of the site, each once, in the order of the page. Those with [`NewPage::skip`] are for the record.
    pub pages: Vec<NewPage>,
    /// What was left out beyond that, as sentences.
    pub remarks: Vec<String>,
}

impl LinkRules<'_> {
    /// The page of a URL: a start page, an entry of a sitemap, the end of a redirect or a link.
    ///
    /// A page of the site that is not to be visited has the reason in [`NewPage::skip`].
    pub fn page(&self, url: &Url, depth: u32, found_on: Option<&PageKey>) -> Result<NewPage, NotFollowed> {
        let (key, url) = page_key(url, self.scope)?;
        let skip = match self.scope.admits(&url) {
            Err(OutOfScope::NotIncluded) => return Err(NotFollowed::OutOfScope),
            Err(excluded) => Some(excluded.to_string()),
            Ok(()) => self.reason_to_skip(&url, depth),
        };
        Ok(NewPage {
            key,
            template: Some(Template::of(&url)),
            url,
            depth,
            found_on: found_on.cloned(),
            skip,
        })
    }

    /// The pages that a page leads to: its links, those in its headers, the documents of its frames, where it went by
    /// itself, and at last what only hints at a page. `page` and
    /// `depth` are its own; `nofollow` is for search engines and is not heeded.
    pub fn found_on(&self, evidence: &Evidence, page: &PageKey, depth: u32) -> Found {
        let links = |which: &'static dyn Fn(&Link) -> bool| {
            let links = evidence.links.iter().filter(move |link| which(link));
            links.map(|link| link.url.as_str())
        };
        let offered = links(&|link| !link.source.is_weak() && link.source != LinkSource::Form);
        let frames = evidence
            .frames
            .iter()
            .filter(|frame| frame.parent.is_some())
            .map(|frame| frame.url.as_str());
        let itself = std::iter::once(evidence.page.url.as_str());
        let headers = header_links(&evidence.page);
        let headers = headers.iter().map(String::as_str);
        // What the page does not offer to anyone comes last: it gives way if there is too much.
        let hints = links(&|link| link.source.is_weak());
        let mut found = Found::default();
        let mut seen = HashSet::from([page.clone()]);
        let (mut too_long, mut too_many) = (0_usize, false);
        for url in offered.chain(headers).chain(frames).chain(itself).chain(hints) {
            let Ok(url) = Url::parse(url) else { continue };
            match self.page(&url, depth.saturating_add(1), Some(page)) {
                Ok(new) if seen.contains(&new.key) => {}
                Ok(_) if found.pages.len() >= MOST_LINKS => too_many = true,
                Ok(new) => {
                    seen.insert(new.key.clone());
                    found.pages.push(new);
                }
                Err(NotFollowed::NotAPage(NotAPage::TooLong)) => too_long += 1,
                Err(_) => {}
            }
        }
        if too_many {
            found.remarks.push(format!(
                "{page} has more than {MOST_LINKS} links; only the first ones are followed"
            ));
        }
        if too_long > 0 {
            found.remarks.push(format!(
                "{page} has {too_long} links of more than {} characters, which were not followed",
                super::url::LONGEST_URL
            ));
        }
        found
    }

    fn reason_to_skip(&self, url: &Url, depth: u32) -> Option<String> {
        if looks_destructive(url) {
            Some("looks destructive".to_owned())
        } else if !self.robots.allows(url) {
            Some(ROBOTS.to_owned())
        } else if is_no_page(url) {
            Some("not a page by its extension".to_owned())
        } else if depth > self.depth {
            Some(too_deep(self.depth))
        } else {
            None
        }
    }
}

/// Why a page beyond the depth limit is skipped.
fn too_deep(limit: u32) -> String {
    let links = if limit == 1 { "link" } else { "links" };
    format!("more than {limit} {links}{TOO_DEEP}")
}

fn is_no_page(url: &Url) -> bool {
    let name = url.path().rsplit('/').next().unwrap_or_default();
    let name = name.split(';').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(_, extension)| {
        let extension = extension.to_ascii_lowercase();
        NOT_PAGES.binary_search(&extension.as_str()).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use phantom_checks::evidence::{Frame, FrameKind, Page};

    use super::super::robots::{Robots, RobotsAnswer};
    use super::*;
    use crate::site::Scope;

    struct Site {
        scope: ScopeRules,
        robots: RobotsBook,
    }

    fn site() -> Site {
        let scope = Scope {
            include: vec!["https://shop.example/**".to_owned()],
            exclude: vec!["/admin/**".to_owned()],
            ignore_query: Vec::new(),
            obey_robots: true,
            allow_private: false,
        };
        let at = Url::parse("https://shop.example/robots.txt").unwrap();
        let mut robots = RobotsBook::new(true);
        let body = b"User-agent: *\nDisallow: /private";
        robots.insert(&at, Robots::of(&at, RobotsAnswer::Status(200, body)));
        Site {
            scope: ScopeRules::new(&scope).unwrap(),
            robots,
        }
    }

    fn link(url: &str, source: LinkSource) -> Link {
        Link {
            url: url.to_owned(),
            frame: "main".to_owned(),
            source,
            rel: "nofollow".to_owned(),
            ..Link::default()
        }
    }

    fn found(links: Vec<Link>, depth: u32) -> Found {
        let mut evidence = Evidence::of(Page {
            url: "https://shop.example/here#now".to_owned(),
            ..Page::default()
        });
        evidence.links = links;
        let frame = |id: &str, parent: Option<&str>, url: &str| Frame {
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
            url: url.to_owned(),
            origin: String::new(),
            kind: FrameKind::Child,
            captured: true,
        };
        evidence.frames = vec![
            frame("main", None, "https://shop.example/here"),
            frame("a", Some("main"), "https://shop.example/framed"),
            frame("b", Some("main"), "about:srcdoc"),
        ];
        let site = site();
        let rules = LinkRules {
            scope: &site.scope,
            robots: &site.robots,
            depth: 3,
        };
        rules.found_on(&evidence, &PageKey("https://shop.example/here".to_owned()), depth)
    }

    #[test]
    fn extensions_are_sorted() {
        assert!(NOT_PAGES.is_sorted());
    }

    #[test]
    fn links_become_pages_or_skipped_ones_or_nothing() {
        let cases = [
            ("https://shop.example/a#b", Some(None)),
            ("https://shop.example/a.html", Some(None)),
            ("https://shop.example/here#there", None),
            ("https://other.example/", None),
            ("mailto:a@shop.example", None),
            ("no url", None),
            (
                "https://shop.example/admin/x",
                Some(Some("excluded by the site's pattern `/admin/**`")),
            ),
            ("https://shop.example/private/x", Some(Some("disallowed by robots.txt"))),
            ("https://shop.example/user/7/delete", Some(Some("looks destructive"))),
            (
                "https://shop.example/manual.PDF?v=2",
                Some(Some("not a page by its extension")),
            ),
            (
                "https://shop.example/a.tar.gz",
                Some(Some("not a page by its extension")),
            ),
        ];
        for (url, expected) in cases {
            let pages = found(vec![link(url, LinkSource::Anchor)], 0).pages;
            let skips: Vec<_> = pages.iter().map(|page| page.skip.as_deref()).collect();
            let framed = None;
            let expected: Vec<_> = expected.into_iter().chain([framed]).collect();
            assert_eq!(skips, expected, "{url}");
        }
    }

    #[test]
    fn a_page_is_found_once_and_knows_where() {
        let links = ["/b?x=1&y=2", "/b?y=2&x=1", "/b?x=1&y=2#z", "/framed"]
            .map(|path| link(&format!("https://shop.example{path}"), LinkSource::Anchor));
        let pages = found(links.to_vec(), 1).pages;
        let urls: Vec<_> = pages.iter().map(|page| page.url.as_str()).collect();
        assert_eq!(urls, ["https://shop.example/b?x=1&y=2", "https://shop.example/framed"]);
        assert!(pages.iter().all(|page| page.depth == 2 && page.skip.is_none()));
        assert_eq!(pages[0].found_on, Some(PageKey("https://shop.example/here".to_owned())));
    }

    #[test]
    fn forms_are_not_sent() {
        let pages = found(vec![link("https://shop.example/search", LinkSource::Form)], 0).pages;
        assert_eq!(pages.len(), 1, "the frame alone: {pages:?}");
    }

    #[test]
    fn what_is_too_deep_is_recorded_as_skipped() {
        let pages = found(vec![link("https://shop.example/a", LinkSource::Anchor)], 3).pages;
        let reason = Some("more than 3 links away from a start page");
        assert!(pages.iter().all(|page| page.skip.as_deref() == reason), "{pages:?}");
    }

    #[test]
    fn a_page_with_too_many_or_too_long_links_is_cut_and_says_so() {
        let mut links: Vec<_> = (0..MOST_LINKS + 5)
            .map(|n| link(&format!("https://shop.example/{n}"), LinkSource::Anchor))
            .collect();
        links.push(link(
            &format!("https://shop.example/{}", "a".repeat(3_000)),
            LinkSource::Anchor,
        ));
        let found = found(links, 0);
        assert_eq!(found.pages.len(), MOST_LINKS);
        assert_eq!(
            found.remarks,
            [
                "https://shop.example/here has more than 2000 links; only the first ones are followed",
                "https://shop.example/here has 1 links of more than 2000 characters, which were not followed"
            ]
        );
    }
}
