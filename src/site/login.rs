//! How a scan logs in: `[login]` in the site's file. Secrets are named here, never held.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use super::client::secret_headers;
use super::steps::{Selector, Step, secret, selector, steps};
use crate::config::raw::{Section, Value, Wrong};
use crate::config::{SecretSource, kinds};

/// How a scan logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Hosts that may be visited to log in and for nothing else, in lower case.
    pub hosts: Vec<String>,
    /// The account, as people call it; it is stopped under this name.
    pub account: String,
    /// What tells whether it is logged in.
    pub check: LoginCheck,
    /// What a visitor would do.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Cookies that are a session.
    #[serde(default)]
    pub cookies: Vec<LoginCookie>,
    /// Request headers that are a login, for the site's own hosts.
    #[serde(default)]
    pub headers: Vec<SecretHeader>,
    /// What servers of the site are told that ask by HTTP.
    #[serde(default)]
    pub http_auth: Option<HttpAuth>,
    /// A file with a session, in the format that Playwright saves.
    #[serde(default)]
    pub storage_state: Option<PathBuf>,
    /// A program that prints such a session, with its arguments.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Where the site's file is: the command runs there.
    #[serde(default)]
    pub folder: PathBuf,
}

/// What tells whether a scan is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginCheck {
    /// A page that shows it.
    pub url: Url,
    /// What is there only if logged in.
    pub logged_in: Selector,
    /// What is there only if not.
    #[serde(default)]
    pub logged_out: Option<Selector>,
}

/// A cookie whose value is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginCookie {
    /// The name.
    pub name: String,
    /// Where the value is.
    pub value: SecretSource,
    /// The domain, with a leading dot for all hosts of it.
    pub domain: String,
    /// The path.
    pub path: String,
}

/// A request header whose value is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretHeader {
    /// The name.
    pub name: String,
    /// Where the value is.
    pub value: SecretSource,
}

/// What a server is told that asks by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAuth {
    /// The user, if it is no secret.
    pub user: Option<String>,
    /// Where the user is.
    pub user_from: Option<SecretSource>,
    /// Where the password is.
    pub password: SecretSource,
}

impl Login {
    /// Every key that names a secret, with where the secret is.
    pub fn secrets(&self) -> Vec<(String, &SecretSource)> {
        let steps = self.steps.iter().enumerate();
        let steps = steps.filter_map(|(at, step)| Some((format!("login.steps[{at}]"), step.secret()?)));
        let cookies = self.cookies.iter().enumerate();
        let cookies = cookies.map(|(at, cookie)| (format!("login.cookies[{at}]"), &cookie.value));
        let headers = self.headers.iter();
        let headers = headers.map(|header| (format!("login.headers_env.{}", header.name), &header.value));
        let auth = self.http_auth.iter().flat_map(|auth| {
            let user = auth.user_from.iter().map(|user| ("login.http_auth.user", user));
            let password = ("login.http_auth.password", &auth.password);
            user.chain([password]).map(|(key, source)| (key.to_owned(), source))
        });
        steps.chain(cookies).chain(headers).chain(auth).collect()
    }
}

/// Reads `[login]`. `id` stands for an account without a name.
pub(super) fn login(mut section: Section<'_>, folder: &Path, id: Option<&str>) -> Option<Login> {
    let hosts = section.get("hosts", kinds::list(host)).unwrap_or_default();
    let account = section.get("account", kinds::text);
    let what = "what tells that it is logged in: { url = \"https://…/account\", logged_in = \"css:#account-menu\" }";
    section.require("check", what, |_| Ok(()));
    let check = section.section("check").and_then(check);
    let steps = steps(&mut section, "steps", folder);
    let default_domain = check.as_ref().and_then(|check| check.url.host_str().map(str::to_owned));
    let cookies = section.tables("cookies").into_iter();
    let cookies: Vec<_> = cookies
        .filter_map(|table| cookie(table, folder, default_domain.as_deref()))
        .collect();
    let headers = secret_headers(&mut section);
    let http_auth = section.section("http_auth").and_then(|table| http_auth(table, folder));
    let storage_state = section.get("storage_state", |value| {
        kinds::text(value).map(|path| folder.join(path))
    });
    let command = section.get("command", kinds::some_of(kinds::text));
    let ways = [
        "steps",
        "cookies",
        "headers_env",
        "http_auth",
        "storage_state",
        "command",
    ];
    if !ways.iter().any(|way| section.has(way)) {
        section.report_whole("does not say how to log in", &format!("add one of {}", ways.join(", ")));
    }
    section.finish(&[]);
    Some(Login {
        hosts,
        account: account.or_else(|| id.map(str::to_owned))?,
        check: check?,
        steps,
        cookies,
        headers,
        http_auth,
        storage_state,
        command,
        folder: folder.to_owned(),
    })
}

fn check(mut section: Section<'_>) -> Option<LoginCheck> {
    let url = section.require("url", "a page that shows whether somebody is logged in", kinds::web_url);
    let logged_in = section.require(
        "logged_in",
        "what is there only then, such as \"css:#account-menu\"",
        selector,
    );
    let logged_out = section.get("logged_out", selector);
    section.finish(&[]);
    Some(LoginCheck {
        url: url?,
        logged_in: logged_in?,
        logged_out,
    })
}

fn cookie(mut section: Section<'_>, folder: &Path, default_domain: Option<&str>) -> Option<LoginCookie> {
    let name = section.require("name", "the cookie's name", kinds::text);
    let domain = section.get("domain", kinds::text);
    let path = section.get("path", kinds::text);
    let value = secret(&mut section, "with_env", "with_file", folder);
    if !section.has("with_env") && !section.has("with_file") {
        section.report_whole(
            "has no value",
            "name the variable that holds it: with_env, or with_file",
        );
    }
    section.finish(&[]);
    Some(LoginCookie {
        name: name?,
        value: value?,
        domain: domain.or_else(|| default_domain.map(str::to_owned))?,
        path: path.unwrap_or_else(|| "/".to_owned()),
    })
}

fn http_auth(mut section: Section<'_>, folder: &Path) -> Option<HttpAuth> {
    let user = section.get("user", kinds::text);
    let user_from = secret(&mut section, "user_env", "user_file", folder);
    let password = secret(&mut section, "password_env", "password_file", folder);
    if !section.has("user") && !section.has("user_env") && !section.has("user_file") {
        section.report_whole("names no user", "add user, user_env or user_file");
    }
    if !section.has("password_env") && !section.has("password_file") {
        section.report_whole("names no password", "add password_env or password_file");
    }
    section.finish(&[]);
    Some(HttpAuth {
        user,
        user_from,
        password: password?,
    })
}

fn host(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    let host = url::Host::parse(&text).map(|host| host.to_string());
    host.map_err(|_| {
        kinds::quoted(
            &text,
            "write a host such as \"sso.shop.example\", without scheme and path",
        )
    })
}
