//! A session as browsers hold it: cookies, and what scripts keep in storage.
//!
//! The format is that of Playwright's saved `storage_state`, so that a session can come from there, or from a program
//! that prints one. `sessionStorage` beside `localStorage` is ours.

use std::collections::BTreeMap;
use std::fmt;

use chromiumoxide::cdp::browser_protocol::network;
use serde::{Deserialize, Serialize};

use super::events::CookieData;

/// The largest saved session that is read, in bytes.
pub const LARGEST_STATE: usize = 8 << 20;

/// A session as a browser holds it. Never shown, never stored.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionState {
    /// Its cookies.
    pub cookies: Vec<StateCookie>,
    /// What the scripts of origins keep.
    pub origins: Vec<OriginState>,
}

/// A cookie.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateCookie {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
    /// The domain, with a leading dot for all hosts of it.
    pub domain: String,
    /// The path.
    #[serde(default = "root")]
    pub path: String,
    /// When it ends, in seconds since 1970; negative if with the browser.
    #[serde(default = "never")]
    pub expires: f64,
    /// Scripts cannot see it.
    #[serde(default)]
    pub http_only: bool,
    /// Only sent over https.
    #[serde(default)]
    pub secure: bool,
    /// `Strict`, `Lax` or `None`.
    #[serde(default)]
    pub same_site: Option<String>,
}

/// What the scripts of one origin keep.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OriginState {
    /// The origin.
    pub origin: String,
    /// What lasts.
    pub local_storage: Vec<StorageItem>,
    /// What lasts as long as the tab.
    pub session_storage: Vec<StorageItem>,
}

/// One thing that scripts keep.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct StorageItem {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

fn root() -> String {
    "/".to_owned()
}

fn never() -> f64 {
    -1.0
}

impl fmt::Debug for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cookies, origins) = (self.cookies.len(), self.origins.len());
        write!(f, "SessionState({cookies} cookies, {origins} origins)")
    }
}

impl SessionState {
    /// Reads a saved session. The error says what is wrong with it, and nothing of what it holds.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > LARGEST_STATE {
            return Err(format!("is larger than {} MB", LARGEST_STATE >> 20));
        }
        let state: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("is no saved session (line {}, column {})", error.line(), error.column()))?;
        if state.cookies.is_empty() && state.origins.is_empty() {
            return Err("holds neither cookies nor storage".to_owned());
        }
        Ok(state)
    }

    /// A script that gives each document of these origins what their scripts keep, where it is not there.
    pub(super) fn script(&self) -> Option<String> {
        let pairs = |items: &[StorageItem]| -> Vec<(String, String)> {
            let pair = |item: &StorageItem| (item.name.clone(), item.value.clone());
            items.iter().map(pair).collect()
        };
        let all: BTreeMap<&str, _> = self
            .origins
            .iter()
            .map(|origin| {
                let both = (pairs(&origin.local_storage), pairs(&origin.session_storage));
                (origin.origin.as_str(), both)
            })
            .filter(|(_, (local, session))| !local.is_empty() || !session.is_empty())
            .collect();
        if all.is_empty() {
            return None;
        }
        let all = serde_json::to_string(&all).ok()?;
        Some(format!(
            "(() => {{ const mine = ({all})[self.origin]; if (!mine) return; \
             const give = (store, items) => {{ for (const [name, value] of items) \
             if (store.getItem(name) === null) store.setItem(name, value); }}; \
             try {{ give(localStorage, mine[0]); give(sessionStorage, mine[1]); }} catch (_) {{}} }})()"
        ))
    }
}

impl From<CookieData> for StateCookie {
    fn from(cookie: CookieData) -> Self {
        Self {
            name: cookie.name,
            value: cookie.value,
            domain: cookie.domain,
            path: cookie.path,
            expires: if cookie.session { -1.0 } else { cookie.expires },
            http_only: cookie.http_only,
            secure: cookie.secure,
            same_site: cookie.same_site,
        }
    }
}

impl From<&StateCookie> for network::CookieParam {
    fn from(cookie: &StateCookie) -> Self {
        let mut param = Self::new(cookie.name.clone(), cookie.value.clone());
        param.domain = Some(cookie.domain.clone());
        param.path = Some(cookie.path.clone());
        param.secure = Some(cookie.secure);
        param.http_only = Some(cookie.http_only);
        param.same_site = cookie.same_site.as_deref().and_then(|word| word.parse().ok());
        if cookie.expires > 0.0 {
            param.expires = Some(network::TimeSinceEpoch::new(cookie.expires));
        }
        param
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_playwright_saves_is_read() {
        let saved = r#"{"cookies":[{"name":"sid","value":"s3cret","domain":".shop.test","path":"/","expires":-1,
            "httpOnly":true,"secure":true,"sameSite":"Lax"},{"name":"a","value":"b","domain":"shop.test"}],
            "origins":[{"origin":"https://shop.test","localStorage":[{"name":"token","value":"</script>\u2028'"}]}]}"#;
        let state = SessionState::parse(saved.as_bytes()).unwrap();
        assert_eq!((state.cookies.len(), state.cookies[1].path.as_str()), (2, "/"));
        assert!(state.cookies[0].http_only && !state.cookies[1].secure);
        assert_eq!(format!("{state:?}"), "SessionState(2 cookies, 1 origins)");
        let script = state.script().unwrap();
        assert!(script.contains("https://shop.test"), "{script}");
        let again = serde_json::to_vec(&state).unwrap();
        assert!(SessionState::parse(&again).unwrap() == state);
    }

    #[test]
    fn what_is_no_session_says_so_and_shows_nothing() {
        for text in ["", "s3cret", "[1]", "{}", r#"{"cookies":[{"name":"s3cret"}]}"#] {
            let error = SessionState::parse(text.as_bytes()).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(SessionState::default().script().is_none());
    }
}
