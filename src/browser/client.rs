//! Who the browsers of a scan say they are: headers and answers for the site's own hosts, and the device.
//!
//! A header of ours must not reach another host, and a request keeps its headers when it is redirected. So where there
//! are such headers every request waits for a word of ours, also each hop of a redirect.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chromiumoxide::cdp::browser_protocol::{emulation, fetch};
use serde::Deserialize;

use fetch::AuthChallengeResponseResponse::{CancelAuth, ProvideCredentials};

use super::connection::{Event, Session};
use crate::site::Device;

/// Whether a URL is one of the site's own.
pub type IsOwn = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Who the browsers of a scan say they are.
#[derive(Clone)]
pub struct ClientRules {
    /// Headers for the site's own hosts.
    pub headers: Vec<(String, String)>,
    /// User and password for those of them that ask by HTTP.
    pub auth: Option<(String, String)>,
    /// Which hosts are its own.
    pub is_own: IsOwn,
    /// What pages are shown on.
    pub device: Device,
}

impl Default for ClientRules {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            auth: None,
            is_own: Arc::new(|_| false),
            device: Device::default(),
        }
    }
}

/// The same, in use.
pub(super) struct Client {
    rules: ClientRules,
    /// What browsers are told that were not started for us.
    told: Option<Told>,
    /// Servers are answered that ask by HTTP.
    answers: AtomicBool,
    /// Requests that were answered, by session: asked once more, the answer was wrong.
    answered: Mutex<HashSet<(String, String)>>,
}

/// What browsers of others are told in each tab, frame and worker; ours are started with it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub user_agent: emulation::SetUserAgentOverrideParams,
    pub locale: emulation::SetLocaleOverrideParams,
}

impl Told {
    pub fn new(user_agent: &str, device: &Device) -> Self {
        let (locale, languages) = languages(device);
        let mut told = emulation::SetUserAgentOverrideParams::new(user_agent);
        told.accept_language = Some(languages);
        Self {
            user_agent: told,
            locale: emulation::SetLocaleOverrideParams { locale: Some(locale) },
        }
    }
}

/// The locale of a device, and the languages that it asks for.
pub(super) fn languages(device: &Device) -> (String, String) {
    let locale = device.locale.as_deref().unwrap_or("en-GB");
    let (language, _) = locale.split_once('-').unwrap_or((locale, ""));
    (locale.to_owned(), format!("{locale},{language}"))
}

/// Answers that are remembered.
const MOST_ANSWERS: usize = 10_000;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Waiting {
    request_id: String,
    request: Asked,
    auth_challenge: Challenge,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Asked {
    url: String,
    headers: BTreeMap<String, serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Challenge {
    source: Option<String>,
    origin: String,
}

impl Client {
    pub fn new(rules: ClientRules, told: Option<Told>) -> Self {
        Self {
            rules,
            told,
            answers: AtomicBool::new(false),
            answered: Mutex::default(),
        }
    }

    pub fn device(&self) -> &Device {
        &self.rules.device
    }

    pub fn told(&self) -> Option<&Told> {
        self.told.as_ref()
    }

    /// From now on servers are answered that ask by HTTP, or not.
    pub fn answer(&self, answer: bool) {
        self.answers.store(answer, Ordering::Relaxed);
    }

    /// What waits for us, given what waits without it.
    pub fn pause(&self, mut pause: fetch::EnableParams) -> fetch::EnableParams {
        if !self.rules.headers.is_empty() {
            pause.patterns = None;
        }
        if self.rules.auth.is_some() {
            pause.handle_auth_requests = Some(true);
        }
        pause
    }

    /// The headers of a request that waits, if they are to be others.
    pub fn headers(&self, event: &Event) -> Option<Vec<fetch::HeaderEntry>> {
        if self.rules.headers.is_empty() || event.method != "Fetch.requestPaused" {
            return None;
        }
        let asked = event.read::<Waiting>()?.request;
        let ours = |name: &str| self.rules.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        let own = (self.rules.is_own)(&asked.url);
        if !own && !asked.headers.keys().any(|name| ours(name)) {
            return None;
        }
        let others = asked.headers.iter().filter(|(name, _)| !ours(name));
        let others = others.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let added = self.rules.headers.iter().filter(|_| own);
        let added = added.map(|(name, value)| (name.as_str(), value.as_str()));
        let entry = |(name, value)| fetch::HeaderEntry::new(name, value);
        Some(others.chain(added).map(entry).collect())
    }

    /// Answers a server that asks by HTTP. True if the event was that.
    pub fn take(&self, event: &Event, session: &Session) -> bool {
        if event.method != "Fetch.authRequired" {
            return false;
        }
        let Some(waiting) = event.read::<Waiting>() else {
            return true;
        };
        let first = {
            let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
            if answered.len() >= MOST_ANSWERS {
                answered.clear();
            }
            answered.insert((event.session.to_string(), waiting.request_id.clone()))
        };
        let of_server = waiting.auth_challenge.source.as_deref() != Some("Proxy");
        let own = (self.rules.is_own)(&waiting.request.url) && (self.rules.is_own)(&waiting.auth_challenge.origin);
        let mut response = fetch::AuthChallengeResponse::new(CancelAuth);
        if first
            && of_server
            && own
            && self.answers.load(Ordering::Relaxed)
            && let Some((user, password)) = &self.rules.auth
        {
            response.response = ProvideCredentials;
            response.username = Some(user.clone());
            response.password = Some(password.clone());
        }
        let answer = fetch::ContinueWithAuthParams::new(waiting.request_id, response);
        session.child(&event.session).tell(&answer);
        true
    }
}
