//! A site's file → [`Site`].

use std::path::Path;
use std::time::Duration;

use phantom_checks::SiteFacts;
use phantom_checks::check::{CsrfDefence, EndOfLife};
use url::Url;

use super::client::{client, profile};
use super::explore::explore;
use super::incremental;
use super::login::login;
use super::schedule;
use super::scope::ScopeRules;
use super::{Explore, Limits, Scope, Site, SiteError, SiteId, SiteSuppression, Sitemaps};
use crate::config::raw::{Section, Source, Value, Wrong};
use crate::config::{ConfigError, kinds, read_file};
use crate::crawl::page_key;

/// Parameters that advertisers add to links.
const IGNORED_BY_DEFAULT: [&str; 5] = ["utm_*", "gclid", "fbclid", "msclkid", "mc_eid"];

impl Site {
    /// Reads the file of a site.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::from_str(&read_file(path)?, path)
    }

    /// Reads a site from text; errors name `path`.
    pub fn from_str(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file = crate::config::named(path);
        let source = Source::new(&file, text);
        let tree = source.parse()?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let site = site(Section::root(&source, &tree), folder);
        source.finish()?;
        // Whatever keeps a site from being made was reported above.
        site.ok_or_else(|| ConfigError::Invalid(Vec::new()))
    }

    /// The site of a URL that no file claims: all of its origin, under the origin as id, with the default limits.
    ///
    /// An http origin includes the https one of the same host, because that is where such sites send their visitors.
    pub fn adhoc(url: &Url) -> Result<Self, SiteError> {
        let refused = |why: &'static str| SiteError::NoTarget {
            target: shown(url),
            why,
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("is neither http nor https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("holds a user name or password, which would be seen in reports"));
        }
        let origin = url.origin().ascii_serialization();
        let mut scope = default_scope(std::slice::from_ref(url));
        if url.scheme() == "http" && url.port().is_none() {
            scope
                .include
                .push(format!("{}/**", origin.replacen("http:", "https:", 1)));
        }
        let rules = ScopeRules::new(&scope).map_err(|_| refused("has a host that cannot be scanned"))?;
        // The scan keeps its site, so whatever looks like a token is left out here already.
        let (_, start) = page_key(url, &rules).map_err(|_| refused("is too long"))?;
        Ok(Self {
            id: SiteId(origin.clone()),
            title: origin,
            owner: None,
            approved_by: None,
            start: vec![start],
            sitemaps: Sitemaps::Auto,
            scope,
            limits: Limits::default(),
            explore: Explore::default(),
            disabled_checks: Vec::new(),
            facts: SiteFacts {
                hosts: rules.own_hosts(),
                ..SiteFacts::default()
            },
            suppress: Vec::new(),
            screenshots: None,
            client: Box::default(),
            profiles: Vec::new(),
            login: None,
            run_on: None,
            schedule: None,
            incremental: None,
        })
    }
}

/// The keys that are asked for when this text is read, `table.key`.
#[cfg(test)]
pub(crate) fn keys_read_from(text: &str) -> std::collections::BTreeSet<String> {
    let source = Source::new("example.toml", text);
    let tree = source.parse().expect("it is TOML");
    site(Section::root(&source, &tree), std::path::Path::new("")).expect("it is a site");
    source.asked()
}

/// A URL without credentials, for messages.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

fn site(mut root: Section<'_>, folder: &Path) -> Option<Site> {
    let id = root.require(
        "id",
        "a short name that is kept for ever, such as \"shop-main\"",
        site_id,
    );
    let title = root.get("title", kinds::text);
    let owner = root.get("owner", kinds::text);
    let approved_by = root.get("approved_by", kinds::text);
    let start = root.require("start", "the URLs where the crawl starts", kinds::some_of(start_url));
    let sitemaps = root.get("sitemaps", sitemaps).unwrap_or(Sitemaps::Auto);
    let scope = scope(root.section_or_empty("scope"), start.as_deref().unwrap_or_default());
    let limits = limits(root.section_or_empty("limits"));
    let explore = explore(root.section_or_empty("explore"));
    let (disabled_checks, mut facts) = checks(root.section_or_empty("checks"));
    if let Some(start) = &start {
        facts.csrf_proof = explore.csrf_proof;
        facts.hosts = own_hosts(&root, &scope, &explore.never, start);
    }
    let suppress = root.tables("suppress").into_iter().filter_map(suppression).collect();
    let mut evidence = root.section_or_empty("evidence");
    let screenshots = evidence.get("screenshots", kinds::screenshots);
    evidence.finish(&[]);
    let client = Box::new(client(root.section_or_empty("client"), folder));
    let profiles = root.tables("profile").into_iter().filter_map(profile).collect();
    let account = id.as_ref().map(|id| id.0.as_str());
    let login = root
        .section("login")
        .and_then(|section| login(section, folder, account).map(Box::new));
    let run_on = root.get("run_on", kinds::text);
    let schedule = root.section("schedule").and_then(schedule::read);
    let incremental = root.section("incremental").map(incremental::read);
    root.finish(&[]);
    let id = id?;
    Some(Site {
        title: title.unwrap_or_else(|| id.to_string()),
        id,
        owner,
        approved_by,
        start: start?,
        sitemaps,
        scope,
        limits,
        explore,
        disabled_checks,
        facts,
        suppress,
        screenshots,
        client,
        profiles,
        login,
        run_on,
        schedule,
        incremental,
    })
}

/// The hosts of a scope. Reports start pages that lie outside of it.
fn own_hosts(root: &Section<'_>, scope: &Scope, never: &[String], start: &[Url]) -> Vec<String> {
    let mut scope = scope.clone();
    scope.exclude.extend(never.iter().cloned());
    match ScopeRules::new(&scope) {
        Ok(rules) => {
            for url in start {
                if let Err(why) = rules.admits(url) {
                    let is = format!("names {}, which is {why}", shown(url));
                    root.report("start", Wrong::new(is, "include it under [scope], or start elsewhere"));
                }
            }
            rules.own_hosts()
        }
        Err(bad) => {
            root.report(
                "start",
                Wrong::new(format!("leads to a scope in which {bad}"), "correct it"),
            );
            Vec::new()
        }
    }
}

pub(super) fn default_scope(start: &[Url]) -> Scope {
    let mut include: Vec<_> = start
        .iter()
        .map(|url| format!("{}/**", url.origin().ascii_serialization()))
        .collect();
    include.sort_unstable();
    include.dedup();
    Scope {
        include,
        exclude: Vec::new(),
        ignore_query: IGNORED_BY_DEFAULT.map(str::to_owned).to_vec(),
        obey_robots: true,
        allow_private: false,
    }
}

fn scope(mut section: Section<'_>, start: &[Url]) -> Scope {
    let default = default_scope(start);
    let include_pattern = pattern(|text| Scope {
        include: vec![text],
        ..default_scope(&[])
    });
    let exclude_pattern = pattern(|text| Scope {
        exclude: vec![text],
        ..default_scope(&[])
    });
    let scope = Scope {
        include: section
            .get("include", kinds::some_of(include_pattern))
            .unwrap_or(default.include),
        exclude: section
            .get("exclude", kinds::list(exclude_pattern))
            .unwrap_or(default.exclude),
        ignore_query: section
            .get("ignore_query", kinds::list(kinds::text))
            .unwrap_or(default.ignore_query),
        obey_robots: section
            .get("robots", kinds::word(&[("obey", true), ("ignore", false)], &[]))
            .unwrap_or(default.obey_robots),
        allow_private: section
            .get("allow_private", kinds::flag)
            .unwrap_or(default.allow_private),
    };
    section.finish(&[]);
    scope
}

/// Reads a pattern and tries it in a scope.
pub(super) fn pattern<'d>(in_scope: impl Fn(String) -> Scope) -> impl Fn(Value<'d>) -> Result<String, Wrong> {
    move |value| {
        let text = kinds::text(value)?;
        ScopeRules::new(&in_scope(text.clone()))
            .map_err(|bad| Wrong::new(format!("= \"{}\" {}", bad.pattern, bad.is), bad.advice))?;
        Ok(text)
    }
}

fn limits(mut section: Section<'_>) -> Limits {
    let default = Limits::default();
    let durations = Duration::from_secs(1)..=Duration::from_hours(30 * 24);
    let limits = Limits {
        pages: section
            .get("pages", kinds::whole(1..=10_000_000_u64))
            .unwrap_or(default.pages),
        depth: section
            .get("depth", kinds::whole(0..=1_000_u32))
            .unwrap_or(default.depth),
        duration: section
            .get("duration", kinds::duration(durations))
            .unwrap_or(default.duration),
        pages_per_s: section
            .get("pages_per_s", kinds::number(0.01..=1_000.0))
            .unwrap_or(default.pages_per_s),
        concurrency: section
            .get("concurrency", kinds::whole(1..=256_u32))
            .unwrap_or(default.concurrency),
        pages_per_template: section
            .get("pages_per_template", kinds::whole(1..=10_000_000_u64))
            .unwrap_or(default.pages_per_template),
        bytes: section.get("bytes", kinds::size(1_000_000..=1_000_000_000_000_000)),
        narrowed: false,
    };
    section.finish(&[]);
    limits
}

fn checks(mut section: Section<'_>) -> (Vec<String>, SiteFacts) {
    let defences = [
        ("none", CsrfDefence::None),
        ("fetch-metadata", CsrfDefence::FetchMetadata),
        ("origin", CsrfDefence::Origin),
    ];
    let ended = [
        ("medium", EndOfLife::Medium),
        ("high", EndOfLife::High),
        ("low", EndOfLife::Low),
        ("info", EndOfLife::Info),
        ("off", EndOfLife::Off),
    ];
    let disabled = section.get("disable", kinds::list(check_id)).unwrap_or_default();
    let facts = SiteFacts {
        hosts: Vec::new(),
        csrf_proof: false,
        csrf_token_fields: section
            .get("csrf_token_fields", kinds::list(kinds::text))
            .unwrap_or_default(),
        csrf_defence: section
            .get("csrf_defence", kinds::word(&defences, &[]))
            .unwrap_or_default(),
        patched: section.get("patched", kinds::list(library)).unwrap_or_default(),
        end_of_life: section.get("end_of_life", kinds::word(&ended, &[])).unwrap_or_default(),
    };
    section.finish(&[]);
    (disabled, facts)
}

fn suppression(mut section: Section<'_>) -> Option<SiteSuppression> {
    let check = section.get("check", check_id);
    let finding = section.get("finding", fingerprint);
    let page_pattern = pattern(|text| Scope {
        exclude: vec![text],
        ..default_scope(&[])
    });
    let pages = section.get("pages", kinds::some_of(page_pattern));
    let host = section.get("host", kinds::text);
    let reason = section.require("reason", "why it is not to be reported", kinds::text);
    let by = section.require("by", "who decided, such as an e-mail address", kinds::text);
    let until = section.get("until", kinds::end_of_day);
    let named = ["check", "finding", "pages", "host"].iter().any(|key| section.has(key));
    if !named {
        section.report_whole(
            "does not say what it covers",
            "name a `check`, a `finding`, `pages` or a `host`; a whole site is left out by deleting its file",
        );
    }
    section.finish(&[]);
    Some(SiteSuppression {
        check,
        finding,
        pages: pages.unwrap_or_default(),
        host: host.map(|host| host.to_ascii_lowercase()),
        reason: reason?,
        by: by?,
        until,
    })
}

fn fingerprint(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(kinds::quoted(
            &text,
            "write the finding's fingerprint: 32 hexadecimal digits",
        ))
    }
}

fn site_id(value: Value<'_>) -> Result<SiteId, Wrong> {
    let text = kinds::text(value)?;
    let valid = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if valid {
        Ok(SiteId(text))
    } else {
        let advice = "write at most 64 small letters, digits and hyphens, such as \"shop-main\"";
        Err(kinds::quoted(&text, advice))
    }
}

fn start_url(value: Value<'_>) -> Result<Url, Wrong> {
    let mut url = kinds::web_url(value)?;
    url.set_fragment(None);
    Ok(url)
}

fn sitemaps(value: Value<'_>) -> Result<Sitemaps, Wrong> {
    if matches!(value.get_ref(), toml::de::DeValue::String(_)) {
        return kinds::word(&[("auto", ())], &[])(value).map(|()| Sitemaps::Auto);
    }
    kinds::list(kinds::web_url)(value).map(Sitemaps::List)
}

fn check_id(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    if phantom_checks::by_id(&text).is_some() {
        return Ok(text);
    }
    let known: Vec<_> = phantom_checks::all().iter().map(|check| check.meta().id).collect();
    Err(kinds::quoted(
        &text,
        format!("write the id of a check: {}", known.join(", ")),
    ))
}

fn library(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    let named = text
        .rsplit_once('@')
        .is_some_and(|(name, version)| !name.is_empty() && version.starts_with(|c: char| c.is_ascii_digit()));
    if named {
        Ok(text)
    } else {
        Err(kinds::quoted(
            &text,
            "write a library and its version such as \"jquery@1.12.4\"",
        ))
    }
}
