//! # What it looks for
//!
//! Access tokens that a page keeps in `localStorage`.
//!
//! # Why it matters
//!
//! Every script on the page can read `localStorage`, an injected one too, and it stays there after the browser is closed.
//! A cookie with `HttpOnly` cannot be read by scripts.
//!
//! # How it decides
//!
//! An entry of the site's own origins in `localStorage`, not `sessionStorage`, whose value is or holds a JSON Web Token;
//! or whose key is one under which libraries for logging in keep their tokens, with a value of some length. Tokens
//! against forgery (`csrf`, `xsrf`) do not count. There is one finding for each origin and key.
//!
//! Severity: always *low*: it takes a script of an attacker's in the page.
//!
//! Confidence: *firm* for a JSON Web Token under a key that speaks of logging in, or a library's own key; *tentative* for
//! a JSON Web Token under another key: some name a visitor and open nothing.
//!
//! # How to fix
//!
//! Keep the token in memory, or in a cookie with `Secure; HttpOnly; SameSite=Strict` that the server sets; make it
//! short-lived.
//!
//! # Known limits
//!
//! Tokens that are not JSON Web Tokens, under keys of the site's own, are not known.
//!
//! # References
//!
//! - OWASP, HTML5 Security Cheat Sheet, Local Storage:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/HTML5_Security_Cheat_Sheet.html>
//! - CWE-922, Insecure Storage of Sensitive Information: <https://cwe.mitre.org/data/definitions/922.html>

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use url::Url;

use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::{StorageArea, StorageEntry};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};

/// Tokens that every script can read.
pub struct TokenInStorage;

static META: Meta = Meta {
    id: "token-in-storage",
    version: 1,
    title: "An access token is kept where every script can read it",
    severity: Severity::Low,
    cwe: 922,
    source: include_str!("mod.rs"),
};

/// The kind of value that capture calls a JSON Web Token.
pub const WEB_TOKEN: &str = "web-token";

/// What libraries for logging in keep is longer than this, in characters.
const LEAST: u32 = 40;

impl Check for TokenInStorage {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::at(format!(
            "Look at the local storage of {} (developer tools, F12, Application or Storage): the value of {} is an access \
             token.",
            seen.fact("origin"),
            seen.fact("key")
        )))
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let mut found: BTreeMap<Cause, Observation> = BTreeMap::new();
        for entry in &subject.evidence.storage {
            let own = Url::parse(&entry.origin)
                .ok()
                .and_then(|origin| origin.host_str().map(|host| hosts::is_own(subject, host)));
            if entry.area != StorageArea::Local || own != Some(true) {
                continue;
            }
            let Some(confidence) = judge(entry) else { continue };
            let key = stable(&entry.key);
            let shown: String = key.chars().take(80).collect();
            let observation = META.observe(
                (Severity::Low, confidence),
                &format!("{} keeps an access token in localStorage, as {shown}", entry.origin),
                Cause::new(1, [("origin", entry.origin.clone()), ("key", key)]),
                vec![
                    Fact::new("origin", entry.origin.as_str()),
                    Fact::new("key", entry.key.as_str()),
                    Fact::new("length", entry.value.length.to_string()),
                ],
            );
            let known = found
                .entry(observation.cause.clone())
                .or_insert_with(|| observation.clone());
            if observation.confidence > known.confidence {
                *known = observation;
            }
        }
        Outcome {
            observations: found.into_values().collect(),
            questions: Vec::new(),
        }
    }
}

fn judge(entry: &StorageEntry) -> Option<Confidence> {
    static LIBRARY: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"^(?:oidc\.user:https?://|firebase:authUser:|CognitoIdentityServiceProvider\..+\.(?:access|id|refresh)Token$|@@auth0spajs@@::|okta-token-storage$|supabase\.auth\.token$|sb-[a-z0-9]+-auth-token$)",
        )
        .ok()
    });
    static WORDS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)auth|access|bearer|jwt|token|session|login|user").ok());
    let fits = |pattern: &LazyLock<Option<Regex>>| pattern.as_ref().is_some_and(|pattern| pattern.is_match(&entry.key));
    let key = entry.key.to_ascii_lowercase();
    if key.contains("csrf") || key.contains("xsrf") {
        return None;
    }
    let is_token = entry.value.kind.as_deref() == Some(WEB_TOKEN);
    match (is_token, fits(&LIBRARY)) {
        (_, true) if entry.value.length >= LEAST => Some(Confidence::Firm),
        (true, _) if fits(&WORDS) => Some(Confidence::Firm),
        (true, _) => Some(Confidence::Tentative),
        _ => None,
    }
}

/// A key without what differs from one visitor or installation to the next.
fn stable(key: &str) -> String {
    static VARYING: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{16,}|[0-9]{4,}").ok()
    });
    let key: String = key.chars().take(200).collect();
    match VARYING.as_ref() {
        Some(varying) => varying.replace_all(&key, "{id}").into_owned(),
        None => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scene, shape};

    #[test]
    fn tokens_are_known_by_their_look_and_their_key() {
        use Confidence::{Firm, Tentative};
        let long = "x".repeat(60);
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl";
        let table = [
            ("access_token", token, true, Some(Firm)),
            ("visitor", token, true, Some(Tentative)),
            ("csrfToken", token, true, None),
            ("access_token", "blue", false, None),
            ("firebase:authUser:AIza:[DEFAULT]", long.as_str(), false, Some(Firm)),
            ("sb-abcdef-auth-token", long.as_str(), false, Some(Firm)),
            ("theme", "dark", false, None),
        ];
        for (key, value, is_token, expected) in table {
            let mut scene = Scene::new("https://case.test/");
            let mut value = shape(value);
            value.kind = is_token.then(|| WEB_TOKEN.to_owned());
            scene.evidence.storage.push(StorageEntry {
                origin: "https://case.test".into(),
                area: StorageArea::Local,
                key: key.into(),
                value,
            });
            let found = scene.run(&TokenInStorage).observations;
            assert_eq!(found.first().map(|seen| seen.confidence), expected, "{key}");
            scene.evidence.storage[0].area = StorageArea::Session;
            assert!(scene.run(&TokenInStorage).observations.is_empty());
        }
    }
}
