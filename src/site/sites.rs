//! The sites of one installation, and what a person means by a URL, an id or a file.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use url::Url;

use super::load::shown;
use super::{BadPattern, OutOfScope, ScopeRules, Site, SiteId};
use crate::config::raw::nearest;
use crate::config::{ConfigError, named};
use crate::crawl::page_key;

/// The file that explains the keys. It is no site.
const EXAMPLE: &str = "example.toml";

/// Why there is no site to scan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// A site's file cannot be used.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// Several files cannot be used. One line each, or more.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Files(Vec<ConfigError>),
    /// Two files have one id.
    #[error(
        "{} and {} both have the id `{id}`; give one of them another id",
        named(one),
        named(other)
    )]
    SameId {
        /// The id.
        id: SiteId,
        /// A file.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// Two files claim one URL.
    #[error(
        "{} and {} both claim {url}; exclude it under [scope] in one of them",
        named(one),
        named(other)
    )]
    SameUrl {
        /// The URL.
        url: String,
        /// A file.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A file claims the host of a URL, but not the URL.
    #[error(
        "{url} is {why} in {}, which claims its host; include it there, or scan another URL",
        named(file)
    )]
    NotInItsScope {
        /// The URL.
        url: String,
        /// What the scope says.
        why: OutOfScope,
        /// The file.
        file: PathBuf,
    },
    /// A target is no URL, no id and no file.
    #[error("`{target}` {why}; give a URL, the id of a site, or the path of a site's file")]
    NoTarget {
        /// What was given.
        target: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A target is no id of a site.
    #[error(
        "`{target}` is not known: no file in {} has this id; give a URL, the id of a site, or the path of a site's file",
        folder.display()
    )]
    Unknown {
        /// What was given.
        target: String,
        /// Where the files of sites are.
        folder: PathBuf,
    },
    /// A target may be meant differently.
    #[error("no site has the id `{target}`; did you mean `{near}`?")]
    UnknownId {
        /// What was given.
        target: String,
        /// What may be meant.
        near: String,
    },
    /// A scope cannot be used, though it was made by this program.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
}

/// The sites that have files.
#[derive(Debug, Clone, Default)]
pub struct SiteBook {
    folder: PathBuf,
    entries: Vec<Entry>,
    broken: Vec<ConfigError>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) file: PathBuf,
    pub(super) site: Site,
    rules: ScopeRules,
}

/// All `*.toml` in a folder, sorted, except `example.toml`. A folder that does not exist has none.
pub(super) fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, SiteError> {
    let unreadable = |error: std::io::Error| ConfigError::Read {
        path: folder.to_owned(),
        why: error.to_string(),
    };
    let listing = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.map_err(unreadable)?,
    };
    let mut files = Vec::new();
    for entry in listing {
        let file = entry.map_err(unreadable)?.path();
        let is_toml = file.extension().is_some_and(|extension| extension == "toml");
        if is_toml && file.file_name().is_some_and(|name| name != EXAMPLE) {
            files.push(file);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// How old and how large the files of the sites are, which tells whether one has changed.
pub fn stamp(folder: &Path) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
    let stamp = |file: PathBuf| {
        let about = std::fs::metadata(&file).ok();
        let modified = about.as_ref().and_then(|about| about.modified().ok());
        (file, modified, about.map_or(0, |about| about.len()))
    };
    // A folder that cannot be listed is told of when it is read.
    let files = toml_files(folder).unwrap_or_default();
    files.into_iter().map(stamp).collect()
}

impl SiteBook {
    /// Reads all `*.toml` in a folder, except `example.toml`. A folder that does not exist has no sites. A file that
    /// cannot be used stands in the way only of what it might have a say in: see [`SiteBook::whole`].
    pub fn load(folder: &Path) -> Result<Self, SiteError> {
        let mut book = Self {
            folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            ..Self::default()
        };
        for file in toml_files(folder)? {
            match Site::load(&file) {
                Ok(site) => book.add(file, site)?,
                Err(error) => book.broken.push(error),
            }
        }
        Ok(book)
    }

    /// What is wrong with files of the folder that cannot be used.
    pub fn broken(&self) -> &[ConfigError] {
        &self.broken
    }

    /// An error if a file of the folder cannot be used: it may claim any URL and have any id.
    pub fn whole(&self) -> Result<(), SiteError> {
        if self.broken.is_empty() {
            Ok(())
        } else {
            Err(SiteError::Files(self.broken.clone()))
        }
    }

    /// Adds a site; refused if another one has its id or claims a URL of it.
    pub fn add(&mut self, file: PathBuf, site: Site) -> Result<(), SiteError> {
        let entry = Entry::of(file, site)?;
        for other in &self.entries {
            entry.agrees_with(other)?;
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Whether the scope of any site includes pages of this host.
    pub fn claims_host(&self, host: &str) -> bool {
        self.entries.iter().any(|entry| entry.rules.names_host(host))
    }

    /// All sites, by file.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.entries.iter().map(|entry| &entry.site)
    }

    /// The file of the site that claims a URL, or its host.
    pub fn claimant(&self, url: &Url) -> Option<&Path> {
        let host = url.host_str().unwrap_or_default();
        let by_url = self.entries.iter().find(|entry| entry.rules.admits(url).is_ok());
        let claims = by_url.or_else(|| self.entries.iter().find(|entry| entry.rules.names_host(host)));
        claims.map(|entry| entry.file.as_path())
    }

    /// The site that a person means by a URL, an id or the path of a site's file.
    ///
    /// A URL gives the site whose file claims it, started at that URL alone; if no file claims its host, its origin
    /// becomes a site of its own.
    pub fn find(&self, target: &str) -> Result<Site, SiteError> {
        if let Some(url) = target.contains("://").then(|| Url::parse(target)) {
            let url = url.map_err(|_| SiteError::NoTarget {
                target: "the URL".to_owned(),
                why: "cannot be read",
            })?;
            self.whole()?;
            return self.find_url(&url);
        }
        if let Some(entry) = self.entries.iter().find(|entry| entry.site.id.0 == target) {
            return Ok(entry.site.clone());
        }
        let path = Path::new(target);
        if path.extension().is_some_and(|extension| extension == "toml") {
            return self.find_file(path);
        }
        self.whole()?;
        let near = nearest(target, self.entries.iter().map(|entry| entry.site.id.0.as_str()));
        let as_url = format!("https://{target}/");
        let is_host = target.contains('.') && Url::parse(&as_url).is_ok();
        match near.map(str::to_owned).or(is_host.then_some(as_url)) {
            Some(near) => Err(SiteError::UnknownId {
                target: target.to_owned(),
                near,
            }),
            None => Err(SiteError::Unknown {
                target: target.to_owned(),
                folder: self.folder.clone(),
            }),
        }
    }

    fn find_url(&self, url: &Url) -> Result<Site, SiteError> {
        let mut claims = self.entries.iter().filter(|entry| entry.rules.admits(url).is_ok());
        if let Some(entry) = claims.next() {
            if let Some(other) = claims.next() {
                return Err(SiteError::SameUrl {
                    url: shown(url),
                    one: entry.file.clone(),
                    other: other.file.clone(),
                });
            }
            let mut site = entry.site.clone();
            let (_, start) = page_key(url, &entry.rules).map_err(|_| SiteError::NoTarget {
                target: "the URL".to_owned(),
                why: "is too long",
            })?;
            site.start = vec![start];
            return Ok(site);
        }
        let host = url.host_str().unwrap_or_default();
        for entry in self.entries.iter().filter(|entry| entry.rules.names_host(host)) {
            if let Err(why) = entry.rules.admits(url) {
                return Err(SiteError::NotInItsScope {
                    url: shown(url),
                    why,
                    file: entry.file.clone(),
                });
            }
        }
        Site::adhoc(url)
    }

    fn find_file(&self, path: &Path) -> Result<Site, SiteError> {
        let same = |entry: &&Entry| match (entry.file.canonicalize(), path.canonicalize()) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        };
        if let Some(entry) = self.entries.iter().find(same) {
            return Ok(entry.site.clone());
        }
        let site = Site::load(path)?;
        let mut with_it = self.clone();
        with_it.add(path.to_owned(), site.clone())?;
        Ok(site)
    }
}

impl Entry {
    pub(super) fn of(file: PathBuf, site: Site) -> Result<Self, SiteError> {
        Ok(Self {
            rules: ScopeRules::new(&site.scope)?,
            file,
            site,
        })
    }

    /// Whether two scopes overlap cannot be told from their patterns in general. Where each crawl starts, and patterns
    /// that are alike, show what happens by mistake; [`SiteBook::find`] looks at the URL itself.
    pub(super) fn agrees_with(&self, other: &Self) -> Result<(), SiteError> {
        if self.site.id == other.site.id {
            return Err(SiteError::SameId {
                id: self.site.id.clone(),
                one: other.file.clone(),
                other: self.file.clone(),
            });
        }
        let claimed = |one: &Self, other: &Self| {
            let start = one.site.start.iter().find(|url| other.rules.admits(url).is_ok());
            start.map(shown)
        };
        let url = claimed(self, other).or_else(|| claimed(other, self)).or_else(|| {
            let shared = |pattern: &&String| other.site.scope.include.contains(pattern);
            let same_excludes = self.site.scope.exclude == other.site.scope.exclude;
            let alike = self.site.scope.include.iter().find(shared).filter(|_| same_excludes);
            alike.cloned()
        });
        match url {
            Some(url) => Err(SiteError::SameUrl {
                url,
                one: other.file.clone(),
                other: self.file.clone(),
            }),
            None => Ok(()),
        }
    }
}
