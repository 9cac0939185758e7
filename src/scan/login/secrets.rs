//! The secrets of a site, read before its scan begins. They live in memory alone.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::AsyncReadExt;

use super::totp::Totp;
use crate::browser::{Action, Filler, LARGEST_STATE, SessionState, StateCookie, WalkStep};
use crate::config::{Secret, SecretError, SecretSource};
use crate::site::{Deed, Filling, Login, Site, Step};

/// How long a program may take to print a session.
const COMMAND_TAKES: Duration = Duration::from_mins(1);

/// Why a secret cannot be used. Never shows any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginSecretError {
    /// It could not be read.
    #[error("`{key}`: {why}")]
    Read {
        /// The key in the site's file.
        key: String,
        /// Why.
        why: SecretError,
    },
    /// It is no seed of codes.
    #[error("`{key}`: the secret of the codes {is}; write the Base32 secret that the site shows, or its otpauth URL")]
    Totp {
        /// The key in the site's file.
        key: String,
        /// What is wrong with it.
        is: &'static str,
    },
    /// The saved session cannot be used.
    #[error("`login.storage_state`: {file} {is}; save it anew")]
    State {
        /// The file.
        file: String,
        /// What is wrong with it.
        is: String,
    },
}

/// The secrets of a site.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    values: HashMap<SecretSource, Secret>,
    codes: HashMap<SecretSource, Totp>,
    /// User and password for servers that ask by HTTP.
    pub http_auth: Option<(String, String)>,
    /// Headers for the site's own hosts, of `[client]` and `[login]`.
    pub headers: Vec<(String, String)>,
}

impl Secrets {
    /// Reads all secrets that the site's file names.
    pub fn read(site: &Site) -> Result<Self, LoginSecretError> {
        let mut secrets = Self::default();
        let login = site.login.as_deref();
        let consent = site.client.consent.iter().enumerate();
        let consent = consent.filter_map(|(at, step)| Some((format!("client.consent[{at}]"), step.secret()?)));
        let named = login.map(Login::secrets).unwrap_or_default();
        let all: Vec<_> = named.into_iter().chain(site.client.secrets()).chain(consent).collect();
        for (key, source) in all {
            let value = source.read().map_err(|why| LoginSecretError::Read { key, why })?;
            secrets.values.insert(source.clone(), value);
        }
        let steps = login.iter().flat_map(|login| &login.steps).enumerate();
        for (at, step) in steps {
            if let Deed::Fill(_, Filling::Totp(source)) = &step.deed {
                let key = format!("login.steps[{at}]");
                let totp = Totp::parse(secrets.of(source)).map_err(|is| LoginSecretError::Totp { key, is })?;
                secrets.codes.insert(source.clone(), totp);
            }
        }
        let of_login = login.iter().flat_map(|login| &login.headers);
        secrets.headers.clone_from(&site.client.headers);
        for header in site.client.secret_headers.iter().chain(of_login) {
            let value = secrets.of(&header.value).to_owned();
            secrets.headers.push((header.name.clone(), value));
        }
        if let Some(auth) = login.and_then(|login| login.http_auth.as_ref()) {
            let from = auth.user_from.as_ref().map(|source| secrets.of(source).to_owned());
            let user = auth.user.clone().or(from).unwrap_or_default();
            secrets.http_auth = Some((user, secrets.of(&auth.password).to_owned()));
        }
        if let Some(file) = login.and_then(|login| login.storage_state.as_deref()) {
            saved_state(file)?;
        }
        Ok(secrets)
    }

    fn of(&self, source: &SecretSource) -> &str {
        self.values.get(source).map(Secret::expose).unwrap_or_default()
    }

    /// All that must never be kept, shown or sent to anyone else.
    pub fn all(&self) -> Vec<String> {
        let basic = self.http_auth.iter();
        let basic = basic.map(|(user, password)| BASE64_STANDARD.encode(format!("{user}:{password}")));
        self.values
            .values()
            .map(|secret| secret.expose().to_owned())
            .chain(basic)
            .collect()
    }

    /// The steps, ready to be done.
    pub fn steps(&self, steps: &[Step]) -> Vec<WalkStep> {
        let ready = |step: &Step| WalkStep {
            action: match &step.deed {
                Deed::Go(url) => Action::Go(url.to_string()),
                Deed::Click(selector) => Action::Click(selector.clone()),
                Deed::Press(key) => Action::Press(key.clone()),
                Deed::Wait(selector) => Action::Wait(selector.clone()),
                Deed::Fill(field, filling) => Action::Fill(field.clone(), self.filler(filling)),
            },
            frame: step.frame.clone(),
            words: step.to_string(),
        };
        steps.iter().map(ready).collect()
    }

    fn filler(&self, filling: &Filling) -> Filler {
        let (text, secret): (Arc<dyn Fn() -> String + Send + Sync>, bool) = match filling {
            Filling::Plain(text) => {
                let text = text.clone();
                (Arc::new(move || text.clone()), false)
            }
            Filling::Secret(source) => {
                let text = self.of(source).to_owned();
                (Arc::new(move || text.clone()), true)
            }
            Filling::Totp(source) => {
                let totp = self.codes.get(source).cloned();
                let code = move || {
                    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                    let now = now.unwrap_or_default().as_secs();
                    totp.as_ref().map(|totp| totp.code(now)).unwrap_or_default()
                };
                (Arc::new(code), true)
            }
        };
        Filler { text, secret }
    }

    /// The session that the login begins with: a saved one, a printed one, cookies; empty if only steps lead in.
    pub async fn session(&self, login: &Login) -> Result<SessionState, String> {
        let mut state = match (&login.storage_state, &login.command) {
            (Some(file), _) => saved_state(file).map_err(|error| error.to_string())?,
            (None, Some(command)) => printed_state(command, &login.folder).await?,
            (None, None) => SessionState::default(),
        };
        let secure = login.check.url.scheme() == "https";
        state.cookies.extend(login.cookies.iter().map(|cookie| StateCookie {
            name: cookie.name.clone(),
            value: self.of(&cookie.value).to_owned(),
            domain: cookie.domain.clone(),
            path: cookie.path.clone(),
            expires: -1.0,
            http_only: true,
            secure,
            same_site: None,
        }));
        Ok(state)
    }
}

fn saved_state(file: &Path) -> Result<SessionState, LoginSecretError> {
    let failed = |is: String| LoginSecretError::State {
        file: file.display().to_string(),
        is,
    };
    let bytes = std::fs::read(file).map_err(|error| failed(format!("cannot be read ({error})")))?;
    SessionState::parse(&bytes).map_err(failed)
}

/// Runs a program that prints a session. What else it says is nobody's business here: it may be secret.
async fn printed_state(command: &[String], folder: &Path) -> Result<SessionState, String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("`login.command` is empty".to_owned());
    };
    let failed = |why: String| format!("the program {program} of `login.command` {why}");
    let mut run = tokio::process::Command::new(program);
    if !folder.as_os_str().is_empty() {
        run.current_dir(folder);
    }
    let mut child = run
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("does not run: {error}")))?;
    let printed = async {
        let mut bytes = Vec::new();
        if let Some(out) = child.stdout.take() {
            let most = LARGEST_STATE as u64 + 1;
            out.take(most)
                .read_to_end(&mut bytes)
                .await
                .map_err(|error| error.to_string())?;
        }
        let status = child.wait().await.map_err(|error| error.to_string())?;
        if status.success() {
            Ok(bytes)
        } else {
            Err(format!("ended with {status}"))
        }
    };
    let bytes = tokio::time::timeout(COMMAND_TAKES, printed)
        .await
        .map_err(|_| failed(format!("took longer than {} s", COMMAND_TAKES.as_secs())))?
        .map_err(failed)?;
    SessionState::parse(&bytes).map_err(|is| failed(format!("printed what {is}")))
}
