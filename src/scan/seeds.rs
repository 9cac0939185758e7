//! What a scan learns of a site before, and beside, looking at its pages: robots.txt and sitemaps.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use phantom_checks::evidence::{Link, LinkSource};
use url::Url;

use super::run::Run;
use crate::browser::{Captured, SideFile, url_without_secrets};
use crate::crawl::{
    LONGEST_ROBOTS, LONGEST_SITEMAP, NewPage, Robots, RobotsAnswer, Sitemap, looks_destructive, manifest_hints,
    source_map_hints, speculation_hints, speculation_rules, text_hints,
};
use crate::egress::{FetchError, Fetched};
use crate::site::Sitemaps;

/// How long one of our own fetches may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Sitemap files that are read of one site.
const MOST_SITEMAPS: usize = 200;
/// Texts beside a site in which it may name pages.
const WELL_KNOWN: [&str; 3] = ["/llms.txt", "/humans.txt", "/.well-known/security.txt"];
/// The longest such text, manifest or source map that is read, in bytes.
const LONGEST_SIDE_FILE: usize = 4 << 20;
/// Redirects that a fetch follows; robots.txt may redirect this often (RFC 9309, section 2.3.1.2).
const MOST_REDIRECTS: usize = 5;

impl Run {
    /// Asks the origin of `url` for its robots.txt, once a scan. A stop of the scan leaves it unasked.
    pub(super) async fn learn_robots(&self, url: &Url) {
        if !self.robots().lacks(url) {
            return;
        }
        // One at a time, so that an origin is asked once even if several tabs meet it together.
        let _asking = self.asking.lock().await;
        if !self.robots().lacks(url) {
            return;
        }
        let Ok(at) = url.join("/robots.txt") else { return };
        let Some(mut fetched) = self.fetch(&at, LONGEST_ROBOTS).await else {
            return;
        };
        if fetched.as_ref().is_err_and(FetchError::may_pass) {
            // A network may have stumbled.
            let Some(again) = self.fetch(&at, LONGEST_ROBOTS).await else {
                return;
            };
            fetched = again;
        }
        if fetched.is_err() && self.egress.budget_exhausted() {
            // It was cut off by ourselves.
            return;
        }
        let robots = match &fetched {
            Ok(file) => Robots::of(&at, RobotsAnswer::Status(file.status, &file.body)),
            // Its pages cannot be reached either, and will say why better than a rule that forbids them would.
            Err(error) if error.loses_origin(&at) => Robots::default(),
            Err(error) => {
                let why = error.to_string();
                let why = why.strip_prefix(&format!("{at}: ")).unwrap_or(&why);
                Robots::of(&at, RobotsAnswer::Unreachable(why))
            }
        };
        if let Some(remark) = robots.remark().filter(|_| self.robots().obeys()) {
            self.remark(remark.to_owned());
        }
        self.robots_mut().insert(url, robots);
    }

    /// The pages that the site's sitemaps name; `None` if the scan was stopped before all were read. Those the site's
    /// file lists must be there; others may be missing.
    pub(super) async fn read_sitemaps(&self) -> Option<Vec<NewPage>> {
        let (mut queue, expected) = self.sitemap_urls();
        let mut seen: HashSet<Url> = HashSet::new();
        let mut pages = Vec::new();
        while let Some(at) = queue.pop_front() {
            if !seen.insert(at.clone()) {
                continue;
            }
            if seen.len() > MOST_SITEMAPS {
                self.remark(format!("only the first {MOST_SITEMAPS} sitemap files were read"));
                break;
            }
            match self.fetch(&at, LONGEST_SITEMAP).await? {
                Ok(file) if file.status == 200 => {
                    let sitemap = Sitemap::parse(&at, &file.body);
                    // Nobody said that there is a sitemap.
                    if let Some(remark) = sitemap.remark.filter(|_| expected || !sitemap.is_web_page) {
                        self.remark(remark);
                    }
                    queue.extend(sitemap.sitemaps);
                    pages.extend(
                        sitemap
                            .pages
                            .iter()
                            .filter(|url| !self.redactor.holds(url.as_str()))
                            .filter_map(|url| self.rules().page(url, 1, None).ok()),
                    );
                }
                Ok(file) if expected => self.remark(format!("sitemap {at}: the server answered {}", file.status)),
                Err(error) if expected => self.remark(format!("sitemap {error}")),
                Ok(_) | Err(_) => {}
            }
        }
        Some(pages)
    }

    /// The pages that the usual texts beside a site name.
    pub(super) async fn read_well_known(&self) -> Option<Vec<NewPage>> {
        let mut pages = Vec::new();
        let mut asked = HashSet::new();
        for start in &self.site.start {
            if self.site.sitemaps != Sitemaps::Auto || !asked.insert(start.origin()) {
                continue;
            }
            for path in WELL_KNOWN {
                let Ok(at) = start.join(path) else { continue };
                if !self.robots().allows(&at) || self.scope().admits(&at).is_err() {
                    continue;
                }
                if let Ok(file) = self.fetch(&at, LONGEST_SIDE_FILE).await?
                    && file.status == 200
                {
                    let hints = text_hints(&file.body);
                    let urls = hints.iter().filter_map(|hint| at.join(hint).ok());
                    let urls = urls.filter(|url| !self.redactor.holds(url.as_str()));
                    pages.extend(urls.filter_map(|url| self.rules().page(&url, 1, None).ok()));
                }
            }
        }
        Some(pages)
    }

    /// What the files beside a page name is put among its links. Each file is asked for once a scan.
    pub(super) async fn read_side_files(&self, captured: &mut Captured) {
        let main = captured
            .evidence
            .main_frame()
            .map(|frame| frame.id.clone())
            .unwrap_or_default();
        let Ok(page) = Url::parse(&captured.evidence.page.url) else {
            return;
        };
        let rules = speculation_rules(&captured.evidence.page).into_iter();
        let files = std::mem::take(&mut captured.files).into_iter();
        for file in files.chain(rules.map(SideFile::SpeculationRules)) {
            let (SideFile::Manifest(url) | SideFile::SourceMap(url) | SideFile::SpeculationRules(url)) = &file;
            let Ok(at) = Url::parse(url) else { continue };
            if at.host() != page.host() || looks_destructive(&at) || !self.first_asked(&at) {
                continue;
            }
            self.learn_robots(&at).await;
            if !self.robots().allows(&at) {
                continue;
            }
            let Some(Ok(fetched)) = self.fetch(&at, LONGEST_SIDE_FILE).await else {
                continue;
            };
            if fetched.status != 200 {
                continue;
            }
            let (hints, base) = match &file {
                SideFile::Manifest(_) => (manifest_hints(&fetched.body), &at),
                SideFile::SourceMap(_) => (source_map_hints(&fetched.body), &page),
                SideFile::SpeculationRules(_) => (speculation_hints(&fetched.body), &at),
            };
            let urls = hints.iter().filter_map(|hint| base.join(hint).ok());
            let urls = urls.filter(|url| !self.redactor.holds(url.as_str()));
            let found = urls.map(|url| Link {
                url: url_without_secrets(url.as_str()),
                frame: main.clone(),
                source: LinkSource::Hint,
                ..Link::default()
            });
            let found: Vec<_> = found.collect();
            captured.evidence.links.extend(found);
        }
    }

    fn sitemap_urls(&self) -> (VecDeque<Url>, bool) {
        match &self.site.sitemaps {
            Sitemaps::List(urls) => (urls.iter().cloned().collect(), true),
            Sitemaps::Auto => {
                let robots = self.robots();
                let named = self
                    .site
                    .start
                    .iter()
                    .filter_map(|start| robots.of(start))
                    .flat_map(Robots::sitemaps);
                let usual = self
                    .site
                    .start
                    .iter()
                    .filter_map(|start| start.join("/sitemap.xml").ok());
                (named.cloned().chain(usual).collect(), false)
            }
        }
    }

    /// A fetch of our own; `None` if the scan is stopped meanwhile.
    async fn fetch(&self, url: &Url, max_bytes: usize) -> Option<Result<Fetched, FetchError>> {
        self.stop.run_until_cancelled(self.follow(url, max_bytes)).await
    }

    /// Fetches at the pace of the site, following redirects.
    async fn follow(&self, url: &Url, max_bytes: usize) -> Result<Fetched, FetchError> {
        let mut at = url.clone();
        for _ in 0..MOST_REDIRECTS {
            self.wait_for_turn(&at).await;
            let fetched = self
                .fetcher
                .get(&at, self.headers_for(&at), max_bytes, PATIENCE)
                .await?;
            let next = fetched.header("location").and_then(|to| at.join(to).ok());
            match next {
                Some(next) if (300..400).contains(&fetched.status) => at = next,
                _ => return Ok(fetched),
            }
        }
        self.fetcher.get(&at, self.headers_for(&at), max_bytes, PATIENCE).await
    }
}
