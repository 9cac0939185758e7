//! What a site says of itself, for whoever is about to write its file: one page through the whole pipeline, recorded
//! nowhere.

use std::sync::Arc;

use phantom_checks::evidence::{Evidence, Form};
use url::Url;

use super::judge::MEND_CERTIFICATE;
use super::{ScanError, Scanner, Start, Trigger};
use crate::crawl::{PageState, Robots};
use crate::site::{RobotsSay, Site, SiteError};
use crate::store::{self, StoreError};

/// What a site said.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The page that was looked at, after redirects.
    pub url: Url,
    /// Its title. Untrusted.
    pub title: Option<String>,
    /// The page on which a login form was seen. Untrusted.
    pub login: Option<String>,
    /// Pages that its sitemaps list.
    pub sitemap_pages: u64,
    /// What robots.txt says, if there is one.
    pub robots: Option<RobotsSay>,
    /// What answered in the page's place, in words.
    pub obstacle: Option<String>,
}

/// Why a site could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The URL cannot be scanned.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The scan could not begin or go on.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no place for the store.
    #[error("there is no room for what is asked: {0}; free some space, or set TMPDIR")]
    Room(#[from] std::io::Error),
    /// The page was not looked at.
    #[error("{url} was not reached: {why}{}", next(why))]
    NotReached {
        /// The page.
        url: String,
        /// Why.
        why: String,
    },
}

/// What to do about a page that was not reached, if the reason does not say it.
fn next(why: &str) -> &'static str {
    if why.ends_with(MEND_CERTIFICATE) {
        ""
    } else {
        "; correct the URL, or ask again when the site answers"
    }
}

impl Scanner {
    /// Asks the site of a URL: looks at that page, its robots.txt and its sitemaps. The store is left alone.
    ///
    /// # Errors
    /// If the page cannot be reached, or is stopped.
    pub async fn ask(&self, url: &Url) -> Result<Asked, AskError> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("asked.db");
        let store = store::open(file.to_str()).await?;
        let scanner = Self {
            store: Arc::clone(&store),
            tabs: 1,
            ..self.clone()
        };
        let mut site = Site::adhoc(url)?;
        // Many a site sends its visitors to the same name with, or without, `www`.
        site.scope
            .include
            .extend(twin(url).map(|origin| format!("{origin}/**")));
        site.scope.allow_private = true;
        site.limits.ask(Some(1), Some(0));
        let site = Box::new(site);
        let trigger = Trigger::OnDemand;
        let ended = Box::pin(scanner.scan(Start::New { site, trigger })).await?;
        let scan = &ended.record.id;
        let looks = store.page_looks(scan).await?;
        for page in store.pages(scan, PageState::Done, u32::MAX).await? {
            if let Some(evidence) = store.evidence(scan, &page.key).await? {
                let look = looks.iter().find(|look| look.url == page.url);
                return Ok(Asked {
                    url: Url::parse(&evidence.page.url).unwrap_or_else(|_| url.clone()),
                    login: login_of(&evidence),
                    title: evidence.page.title,
                    sitemap_pages: ended.learnt.sitemap_pages,
                    robots: ended.learnt.robots,
                    obstacle: look.and_then(|look| look.obstacle.clone()),
                });
            }
        }
        let why = looks.into_iter().find_map(|look| look.reason);
        Err(AskError::NotReached {
            url: url.to_string(),
            why: why.unwrap_or_else(|| "the scan ended before".to_owned()),
        })
    }
}

/// The origin with `www.` if this is the one without, or the other way round, under https.
fn twin(url: &Url) -> Option<String> {
    let host = url.domain().filter(|_| url.port().is_none())?;
    Some(match host.strip_prefix("www.") {
        Some(bare) => format!("https://{bare}"),
        None => format!("https://www.{host}"),
    })
}

/// Where a form asks for a password, or a link leads to where one probably does.
fn login_of(evidence: &Evidence) -> Option<String> {
    let asks = |form: &Form| form.fields.iter().any(|field| field.kind == "password");
    evidence.forms.iter().any(asks).then(|| evidence.page.url.clone())
}

/// What a scan learnt of a site beside its pages.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Learnt {
    /// Pages that the site's sitemaps list.
    pub sitemap_pages: u64,
    /// What the robots.txt of the first start page says, if it says anything.
    pub robots: Option<RobotsSay>,
}

impl Learnt {
    pub(super) fn of(robots: Option<&Robots>, start: Option<&Url>, sitemap_pages: u64) -> Self {
        let robots = robots.filter(|robots| **robots != Robots::default());
        Self {
            sitemap_pages,
            robots: robots.zip(start).map(|(robots, start)| RobotsSay {
                allows_start: robots.allows(start),
                crawl_delay: robots.crawl_delay().map(|delay| delay.as_secs_f64()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_done_is_said_once() {
        for (why, advice) in [
            (
                format!("net::ERR_CERT_AUTHORITY_INVALID; {MEND_CERTIFICATE}"),
                "(see examples/phantom.toml)",
            ),
            (
                "net::ERR_NAME_NOT_RESOLVED".to_owned(),
                "correct the URL, or ask again when the site answers",
            ),
        ] {
            let url = "https://shop.test/".to_owned();
            let text = AskError::NotReached { url, why }.to_string();
            assert!(text.ends_with(advice), "{text}");
            assert_eq!(text.matches("; ").count(), 1, "{text}");
        }
    }

    #[test]
    fn the_twin_of_a_host_is_with_or_without_www() {
        for (url, expected) in [
            ("https://shop.example/a", Some("https://www.shop.example")),
            ("http://www.shop.example/", Some("https://shop.example")),
            ("https://shop.example:8443/", None),
            ("http://127.0.0.1/", None),
        ] {
            assert_eq!(twin(&Url::parse(url).unwrap()).as_deref(), expected, "{url}");
        }
    }
}
