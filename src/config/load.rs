//! `phantom.toml` → [`Config`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::{Host, Url};

use super::endpoint::endpoint;
use super::lifecycle::{issue_key, lifecycle, route};
use super::raw::{Section, Source, Value, Wrong};
use super::{
    BrowserConfig, BrowserKind, Config, ConfigError, Deployment, EvidenceConfig, JiraAuth, JiraConfig, NetworkConfig,
    Problem, SecretSource, TicketDefaults, TicketMode, kinds, named,
};

const SECOND: Duration = Duration::from_secs(1);
const TEN_MINUTES: Duration = Duration::from_mins(10);
const SEVERITIES: &str = "\"critical\", \"high\", \"medium\", \"low\" or \"info\"";
pub(super) const CONFIDENCES: &str = "\"certain\", \"firm\" or \"tentative\"";

impl Config {
    /// Reads the settings of an installation.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::from_str(&read_file(path)?, path)
    }

    /// Reads settings from text. Relative paths in it are relative to the folder of `path`, which errors name too.
    pub fn from_str(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file = named(path);
        let source = Source::new(&file, text);
        let tree = source.parse()?;
        let mut root = Section::root(&source, &tree);
        let folder = path.parent().unwrap_or(Path::new(""));
        let config = Self {
            store: root.get("store", |value| store(value, folder)),
            browser: browser(root.section_or_empty("browser"), folder),
            network: network(root.section_or_empty("network")),
            evidence: evidence(root.section_or_empty("evidence")),
            organisation_domains: root
                .get("organisation_domains", kinds::list(kinds::domain))
                .unwrap_or_default(),
            check_folders: check_folders(root.section_or_empty("checks"), folder),
            jira: root.section("jira").and_then(|section| jira(section, folder)),
        };
        root.finish(&["serve"]);
        source.finish()?;
        Ok(config)
    }
}

impl Config {
    /// The folders of declared checks that settings name, as far as they can be read: what else is wrong with them, the
    /// whole reader tells, which must know the checks first.
    pub fn check_folders(path: &Path) -> Vec<PathBuf> {
        let Ok(text) = read_file(path) else {
            return Vec::new();
        };
        let source = Source::new("", &text);
        let Ok(tree) = source.parse() else {
            return Vec::new();
        };
        let mut root = Section::root(&source, &tree);
        check_folders(root.section_or_empty("checks"), path.parent().unwrap_or(Path::new("")))
    }
}

fn check_folders(mut section: Section<'_>, folder: &Path) -> Vec<PathBuf> {
    let folders = section.get("folders", kinds::list(|value| file_path(value, folder)));
    section.finish(&[]);
    folders.unwrap_or_default()
}

/// Settings are not longer, in bytes.
const LONGEST_FILE: u64 = 4 << 20;

/// The text of a file of settings.
pub(crate) fn read_file(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |why: String| ConfigError::Read {
        path: path.to_owned(),
        why,
    };
    let about = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    // A pipe or a device would be read for ever.
    if !about.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    if about.len() > LONGEST_FILE {
        return Err(unreadable(format!("it is longer than {LONGEST_FILE} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| not_text(path, &error))
}

/// Says where a file is not UTF-8.
fn not_text(path: &Path, error: &std::string::FromUtf8Error) -> ConfigError {
    let (bytes, at) = (error.as_bytes(), error.utf8_error().valid_up_to());
    let before = String::from_utf8_lossy(&bytes[..at]);
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    ConfigError::Invalid(vec![Problem {
        file: named(path),
        line: before.matches('\n').count() + 1,
        column: last_line.chars().count() + 1,
        what: format!(
            "the byte {:#04x} here is not UTF-8",
            bytes.get(at).copied().unwrap_or_default()
        ),
        advice: "save the file as UTF-8".to_owned(),
    }])
}

fn browser(mut section: Section<'_>, folder: &Path) -> BrowserConfig {
    let default = BrowserConfig::default();
    let kinds_of_browser = [
        ("headless-shell", BrowserKind::HeadlessShell),
        ("chromium", BrowserKind::Chromium),
    ];
    let config = BrowserConfig {
        kind: section
            .get("kind", kinds::word(&kinds_of_browser, &[]))
            .unwrap_or(default.kind),
        path: section.get("path", |value| file_path(value, folder)),
        processes: section
            .get("processes", kinds::whole(1..=64_u16))
            .map_or(default.processes, usize::from),
        tabs: section.get("tabs", kinds::whole(1..=512_u16)).map(usize::from),
        endpoints: section.get("endpoints", kinds::list(endpoint)).unwrap_or_default(),
        sandbox: section.get("sandbox", kinds::flag).unwrap_or(default.sandbox),
        resolve: section.pairs("resolve", kinds::host_port).unwrap_or_default(),
        trust_spki: section.get("trust_spki", kinds::list(kinds::spki)).unwrap_or_default(),
        page_deadline: section
            .get("page_deadline", kinds::duration(SECOND..=TEN_MINUTES))
            .unwrap_or(default.page_deadline),
    };
    if !config.endpoints.is_empty() {
        beside_endpoints(&section, &config);
    }
    section.finish(&[]);
    config
}

/// What is said of local browsers means nothing to those of others.
fn beside_endpoints(section: &Section<'_>, config: &BrowserConfig) {
    for key in ["kind", "path", "processes", "sandbox"] {
        if section.has(key) {
            let beside = "stands beside `endpoints`, whose browsers are used instead of local ones";
            section.report(key, Wrong::new(beside, "remove one of the two"));
        }
    }
    if let Some(direct) = config.endpoints.iter().find(|endpoint| endpoint.direct)
        && !config.resolve.is_empty()
    {
        let is = format!(
            "stands beside {direct} of `endpoints`, whose pages do not speak through our proxy, where names are mapped"
        );
        let advice = "remove it, and start that browser with --host-resolver-rules; or use browsers of this machine";
        section.report("resolve", Wrong::new(is, advice));
    }
}

fn network(mut section: Section<'_>) -> NetworkConfig {
    let default = NetworkConfig::default();
    let config = NetworkConfig {
        allow_private: section
            .get("allow_private", kinds::list(kinds::cidr))
            .unwrap_or_default(),
        proxy: section.get("proxy", kinds::service_url),
        user_agent: section
            .get("user_agent", kinds::user_agent)
            .unwrap_or(default.user_agent),
    };
    section.finish(&[]);
    config
}

fn evidence(mut section: Section<'_>) -> EvidenceConfig {
    let default = EvidenceConfig::default();
    let config = EvidenceConfig {
        keep_scans: section
            .get("keep_scans", kinds::whole(1..=1_000_u32))
            .unwrap_or(default.keep_scans),
        keep: section
            .get("keep_days", kinds::whole(1..=3_650_u64))
            .map_or(default.keep, |days| Duration::from_hours(24 * days)),
        screenshots: section
            .get("screenshots", kinds::screenshots)
            .unwrap_or(default.screenshots),
    };
    section.finish(&[]);
    config
}

fn jira(mut section: Section<'_>, folder: &Path) -> Option<JiraConfig> {
    let deployments = [("cloud", Deployment::Cloud), ("datacenter", Deployment::DataCenter)];
    let modes = [
        ("live", TicketMode::Live),
        ("dry-run", TicketMode::DryRun),
        ("off", TicketMode::Off),
    ];
    let deployment = section.require(
        "deployment",
        "\"cloud\" or \"datacenter\"",
        kinds::word(&deployments, &[]),
    );
    let base_url = section.require(
        "base_url",
        "the URL of Jira, such as \"https://shop.atlassian.net\"",
        jira_url,
    );
    let browse_url = section.get("browse_url", kinds::service_url);
    gateway(&mut section, deployment, base_url.as_ref());
    let finding_url = section.get("finding_url", kinds::finding_url);
    let mode = section.get("mode", kinds::word(&modes, &[]));
    let requests_per_s = section.get("requests_per_s", kinds::number(0.01..=100.0));
    let timeout = section.get("timeout", kinds::duration(SECOND..=TEN_MINUTES));
    let proxy = section.get("proxy", kinds::service_url);
    let ca_file = section.get("ca_file", |value| file_path(value, folder));
    section.require("auth", "who the scanner is in Jira", |_| Ok(()));
    let auth = section
        .section("auth")
        .and_then(|auth| jira_auth(auth, deployment, folder));
    let defaults = ticket_defaults(section.section_or_empty("defaults"));
    let lifecycle = lifecycle(section.section_or_empty("lifecycle"));
    let routes = section.tables("route").into_iter().map(route).collect();
    section.finish(&[]);

    let least = JiraConfig::new(deployment?, base_url?, auth?, defaults?);
    Some(JiraConfig {
        browse_url: browse_url.unwrap_or(least.browse_url),
        finding_url,
        mode: mode.unwrap_or(least.mode),
        requests_per_s: requests_per_s.unwrap_or(least.requests_per_s),
        timeout: timeout.unwrap_or(least.timeout),
        proxy,
        ca_file,
        lifecycle,
        routes,
        ..least
    })
}

/// Tokens with scopes are used through Atlassian's gateway, where nobody can open a ticket.
fn gateway(section: &mut Section<'_>, deployment: Option<Deployment>, base_url: Option<&Url>) {
    let Some(base_url) = base_url.filter(|url| url.host_str() == Some("api.atlassian.com")) else {
        return;
    };
    let whole = base_url.path().strip_prefix("/ex/jira/");
    if deployment == Some(Deployment::DataCenter) || whole.is_none_or(|id| id.is_empty() || id.contains('/')) {
        section.report(
            "base_url",
            Wrong::new(
                "is not the gateway of one Jira Cloud site",
                "write \"https://api.atlassian.com/ex/jira/\" and the site's cloud id",
            ),
        );
    }
    let what = "where people open tickets, such as \"https://shop.atlassian.net\"";
    section.require("browse_url", what, |_| Ok(()));
}

fn jira_auth(mut section: Section<'_>, deployment: Option<Deployment>, folder: &Path) -> Option<JiraAuth> {
    #[derive(Clone, Copy)]
    enum Kind {
        Basic,
        Pat,
        OAuth2,
    }
    let kinds = [("basic", Kind::Basic), ("pat", Kind::Pat), ("oauth2", Kind::OAuth2)];
    // What else is needed depends on it.
    let kind = section.require("kind", "\"basic\", \"pat\" or \"oauth2\"", kinds::word(&kinds, &[]))?;
    let user = match (kind, deployment) {
        (Kind::Basic, Some(Deployment::DataCenter)) => {
            section.require("user", "the name of the account that files tickets", user_name)
        }
        (Kind::Basic, _) => section.require("email", "the address of the account that files tickets", email),
        (Kind::Pat | Kind::OAuth2, _) => None,
    };
    if matches!((kind, deployment), (Kind::Pat, Some(Deployment::Cloud))) {
        let advice = "write \"basic\" with an API token, or \"oauth2\"";
        section.report("kind", Wrong::new("= \"pat\" is for Data Center only", advice));
    }
    let token = jira_token(&mut section, folder);
    section.finish(&["client_id", "client_secret_env", "client_secret_file"]);
    let token = token?;
    Some(match kind {
        Kind::Basic => JiraAuth::Basic { user: user?, token },
        Kind::Pat => JiraAuth::Pat { token },
        Kind::OAuth2 => JiraAuth::OAuth2 { token },
    })
}

fn jira_token(section: &mut Section<'_>, folder: &Path) -> Option<SecretSource> {
    let env = section.get("token_env", kinds::env_name);
    let file = section.get("token_file", |value| file_path(value, folder));
    if section.has("token_env") && section.has("token_file") {
        let beside = Wrong::new("stands beside `token_env`", "keep one of the two");
        section.report("token_file", beside);
    } else if !section.has("token_file") {
        let what = "the name of the environment variable that holds the token; or `token_file`";
        section.require("token_env", what, |_| Ok(()));
    }
    env.map(SecretSource::Env).or(file.map(SecretSource::File))
}

fn ticket_defaults(mut section: Section<'_>) -> Option<TicketDefaults> {
    let project = section.require(
        "project",
        "the key of the project that tickets are filed in",
        project_key,
    );
    let search_projects = section.get("search_projects", kinds::some_of(project_key));
    let issue_type = section.get("issue_type", kinds::text);
    let min_severity = section.get("min_severity", kinds::parsed(SEVERITIES));
    let min_confidence = section.get("min_confidence", kinds::parsed(CONFIDENCES));
    let labels = section.get("labels", kinds::list(ticket_label));
    let priority = section.pairs("priority", |severity, value| {
        let severity = severity
            .parse()
            .map_err(|_| Wrong::new("is not a severity", format!("write a key of {SEVERITIES}")))?;
        Ok((severity, kinds::text(value)?))
    });
    let fields = section.pairs("fields", |id, value| Ok((id.to_owned(), kinds::json(value)?)));
    let components = section.get("components", kinds::list(kinds::text));
    let assignee = section.get("assignee", kinds::text);
    let security_level = section.get("security_level", kinds::text);
    let parent = section.get("parent", issue_key);
    section.finish(&[]);

    let least = TicketDefaults::of(project?);
    Some(TicketDefaults {
        search_projects: search_projects.unwrap_or(least.search_projects),
        issue_type: issue_type.unwrap_or(least.issue_type),
        min_severity: min_severity.unwrap_or(least.min_severity),
        min_confidence: min_confidence.unwrap_or(least.min_confidence),
        labels: labels.unwrap_or(least.labels),
        priority: priority.unwrap_or_default().into_iter().collect(),
        components: components.unwrap_or_default(),
        assignee,
        security_level,
        parent,
        fields: fields.unwrap_or_default().into_iter().collect(),
        ..least
    })
}

/// `sqlite:` and a path, made relative to the folder of the settings: the store must not depend on where a command is
/// started. The value may hold a password and is not repeated.
fn store(value: Value<'_>, folder: &Path) -> Result<String, Wrong> {
    let expected = "write \"sqlite:\" and the path of a file, such as \"sqlite:phantom.db\", or \
                    \"postgres://USER@HOST/DATABASE\"";
    let text = kinds::text(value)?;
    if let Some(("postgres" | "postgresql", rest)) = text.split_once("://") {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        if user.contains(':') || rest.contains("password=") {
            return Err(Wrong::new(
                "holds a password, which does not belong in a file",
                "leave it out, and set PGPASSWORD or write it into ~/.pgpass",
            ));
        }
        return Ok(text);
    }
    let path = text
        .strip_prefix("sqlite:")
        .map(|path| path.strip_prefix("//").unwrap_or(path));
    match path {
        None | Some("") => Err(Wrong::new("names no store", expected)),
        Some(memory) if memory.starts_with(":memory:") => Ok(text),
        Some(path) => Ok(format!("sqlite:{}", folder.join(path).display())),
    }
}

fn file_path(value: Value<'_>, folder: &Path) -> Result<PathBuf, Wrong> {
    kinds::text(value).map(|path| folder.join(path))
}

/// A token must not travel in the clear, except within one machine.
fn jira_url(value: Value<'_>) -> Result<Url, Wrong> {
    let url = kinds::service_url(value)?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || loopback {
        Ok(url)
    } else {
        Err(Wrong::new(
            "is http, which would send the token in the clear",
            "write the https URL; http is for loopback only",
        ))
    }
}

fn email(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    let whole = text
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if whole && !text.contains([' ', ':']) {
        Ok(text)
    } else {
        Err(kinds::quoted(
            &text,
            "write an address such as \"scanner@shop.example\"",
        ))
    }
}

fn user_name(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    if text.contains([' ', ':']) {
        return Err(kinds::quoted(&text, "write the name that the account logs in with"));
    }
    Ok(text)
}

pub(super) fn project_key(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    let key = text.starts_with(|c: char| c.is_ascii_uppercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if key {
        Ok(text)
    } else {
        Err(kinds::quoted(&text, "write a project's key such as \"SEC\""))
    }
}

pub(super) fn ticket_label(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    if text.len() <= 255 && !text.contains(char::is_whitespace) {
        Ok(text)
    } else {
        Err(kinds::quoted(
            &text,
            "write a label without spaces, at most 255 characters",
        ))
    }
}
