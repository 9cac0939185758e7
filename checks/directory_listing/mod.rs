//! # What it looks for
//!
//! Lists of the files in a folder, made by the server.
//!
//! # Why it matters
//!
//! Such a list shows what nobody meant to link: backups, notes, old versions, files of other visitors.
//!
//! # How it decides
//!
//! The title is exactly the one that servers write above their lists (`Index of /path`, `Directory listing for /path`),
//! with the page's own path in it, and the page links to the folder above it, sorts itself in the way of such lists
//! (`?C=N;O=D`), or links to nothing but what is in the folder. There is one finding for each host.
//!
//! Severity: always *low*: what the files hold is not known.
//!
//! Confidence: *firm*: no page that people write has this title and these links by chance.
//!
//! # How to fix
//!
//! Switch the lists off (`Options -Indexes` in Apache, `autoindex off` in nginx), or put an index page into the folder.
//! If the folder is meant to be browsed, suppress the finding for its path.
//!
//! # Known limits
//!
//! Lists with a look of their own are not known, and neither is that of a folder with nothing in it.
//!
//! # References
//!
//! - CWE-548, Exposure of Information Through Directory Listing: <https://cwe.mitre.org/data/definitions/548.html>

use url::Url;

use crate::answers;
use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::LinkSource;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Severity};

/// Lists of files that servers make.
pub struct DirectoryListing;

static META: Meta = Meta {
    id: "directory-listing",
    version: 2,
    title: "The server lists the files of a folder",
    severity: Severity::Low,
    cwe: 548,
    source: include_str!("mod.rs"),
};

impl Check for DirectoryListing {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::answer(
            format!(
                "The page is the server's own list of files: \u{201c}{}\u{201d}.",
                seen.fact("title")
            ),
            seen.address(&["folder"]),
        ))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let page = &subject.evidence.page;
        let (Some(title), Ok(url)) = (page.title.as_deref(), Url::parse(&page.url)) else {
            return outcome;
        };
        if !is_title_of_list(title, &url) || !links_as_lists_do(subject, &url) {
            return outcome;
        }
        let host = answers::host(&url);
        outcome.observations.push(META.observe(
            (Severity::Low, Confidence::Firm),
            &format!("{host} lists the files of folders"),
            Cause::new(1, [("host", host.clone())]),
            vec![Fact::new("folder", page.url.as_str()), Fact::new("title", title)],
        ));
        outcome
    }
}

fn is_title_of_list(title: &str, url: &Url) -> bool {
    let named = ["Index of ", "Directory listing for ", "Directory Listing For ["]
        .iter()
        .find_map(|start| title.strip_prefix(start));
    let Some(path) = named else { return false };
    let bare = |path: &str| path.trim_end_matches([']', '/']).to_owned();
    let named = bare(path.trim());
    path.starts_with('/') && (named == bare(url.path()) || named == bare(&decoded(url.path())))
}

/// A path with its percent-encoded parts as they are meant.
fn decoded(path: &str) -> String {
    // A query is decoded in the same way, but for `+`.
    let pair = path.replace('+', "%2B");
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

fn links_as_lists_do(subject: &Subject<'_>, url: &Url) -> bool {
    let above = url.join(if url.path().ends_with('/') { ".." } else { "." }).ok();
    let links: Vec<Url> = subject
        .evidence
        .links
        .iter()
        .filter(|link| link.source == LinkSource::Anchor)
        .filter_map(|link| Url::parse(&link.url).ok())
        .collect();
    let marked = links.iter().any(|link| {
        let sorts = link.path() == url.path() && link.query().is_some_and(is_sorting);
        let up = above.as_ref().is_some_and(|above| {
            above.path() != url.path() && link.path() == above.path() && link.host() == url.host()
        });
        sorts || up
    });
    // The list of Python's server has no way up, and at the top of a host there is none.
    marked || (!links.is_empty() && links.iter().all(|link| is_child(link, url)))
}

/// Whether a link leads to a file or a folder right below a folder.
fn is_child(link: &Url, folder: &Url) -> bool {
    let below = link.path().strip_prefix(folder.path()).unwrap_or_default();
    let name = below.strip_suffix('/').unwrap_or(below);
    let same_host = link.host() == folder.host() && link.port_or_known_default() == folder.port_or_known_default();
    same_host && folder.path().ends_with('/') && link.query().is_none() && !name.is_empty() && !name.contains('/')
}

/// `C=N;O=D` and the like.
fn is_sorting(query: &str) -> bool {
    let mut parts = query.split([';', '&']);
    let column = parts.next().and_then(|part| part.strip_prefix("C="));
    let order = parts.next().and_then(|part| part.strip_prefix("O="));
    matches!(column, Some("N" | "M" | "S" | "D")) && matches!(order, Some("A" | "D"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Link;
    use crate::testing::Scene;

    #[test]
    fn title_and_links_must_both_be_those_of_a_list() {
        let page = "https://case.test/pub/old%20files/";
        let table = [
            ("Index of /pub/old files", "https://case.test/pub/", true),
            (
                "Index of /pub/old files/",
                "https://case.test/pub/old%20files/?C=N;O=D",
                true,
            ),
            (
                "Directory listing for /pub/old%20files/",
                "https://case.test/pub/",
                true,
            ),
            (
                "Index of /pub/old files",
                "https://case.test/pub/old%20files/a.txt?view",
                false,
            ),
            (
                "Directory listing for /pub/old files/",
                "https://case.test/pub/old%20files/a.txt",
                true,
            ),
            (
                "Directory listing for /pub/old files/",
                "https://case.test/pub/old%20files/a/b.txt",
                false,
            ),
            (
                "Directory listing for /pub/old files/",
                "https://other.test/pub/old%20files/a.txt",
                false,
            ),
            ("Index of /pub", "https://case.test/pub/", false),
            ("Index of authors", "https://case.test/pub/", false),
            ("Old files", "https://case.test/pub/", false),
        ];
        for (title, link, expected) in table {
            let mut scene = Scene::document(page);
            scene.evidence.page.title = Some(title.into());
            scene.evidence.links.push(Link {
                url: link.into(),
                source: LinkSource::Anchor,
                ..Link::default()
            });
            assert_eq!(
                !scene.run(&DirectoryListing).observations.is_empty(),
                expected,
                "{title} {link}"
            );
        }
    }
}
