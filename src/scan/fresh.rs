//! What a new visitor gets in the place of a token: a page's markup as it is without cookies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use phantom_checks::evidence::{Answer, FreshPlace, FreshValue};
use scraper::{Html, Selector};
use url::Url;

use crate::browser::Redactor;
use crate::egress::Fetched;

/// Values of one page that are kept.
const MOST_VALUES: usize = 500;
/// Kinds of forms of one scan that are looked at once more.
const MOST_LOOKS: usize = 300;
/// After so many refusals one after the other, a host is not asked by a stranger any more: some count these as attempts
/// to break in, and lock out who else comes from there.
const MOST_REFUSALS: u32 = 5;
/// A longer name, in characters, is no token's.
const LONGEST_NAME: usize = 200;

/// What was seen so far in a scan, by the form and by the page.
#[derive(Default)]
pub(super) struct FreshLooks {
    looks: Mutex<Looks>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Looks {
    forms: BTreeMap<String, Arc<Look>>,
    pages: BTreeMap<String, Arc<Look>>,
    /// By the host, how often it showed a stranger nothing since it last did.
    refusals: BTreeMap<String, u32>,
}

/// What a new visitor gets.
#[derive(Clone, Default)]
pub(super) struct Look {
    values: Vec<FreshValue>,
    /// Nothing but the way to a login.
    refused: bool,
}

impl Look {
    /// What an answer to a request without cookies shows.
    pub fn at(fetched: &Fetched, redactor: &Redactor) -> Self {
        Self {
            values: values(fetched, redactor),
            refused: is_refused(fetched),
        }
    }
}

impl FreshLooks {
    /// The right to ask.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// What is known of a form that is alike, or of the page; it need not be asked again.
    pub fn known(&self, url: &str, form: &str) -> Option<Answer> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let look = looks.forms.get(form).or_else(|| looks.pages.get(url))?;
        Some(answer(url, form, look))
    }

    /// Whether enough was asked in this scan.
    pub fn is_full(&self) -> bool {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).pages.len() >= MOST_LOOKS
    }

    /// Whether the host of a page shows its pages to nobody who is not logged in.
    pub fn is_closed(&self, url: &str) -> bool {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let refusals = host_of(url).and_then(|host| looks.refusals.get(&host).copied());
        refusals.is_some_and(|refusals| refusals >= MOST_REFUSALS)
    }

    /// Notes with which status a host answered a stranger.
    pub fn answered(&self, url: &str, status: u16) {
        let Some(host) = host_of(url) else { return };
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let refusals = looks.refusals.entry(host).or_default();
        *refusals = if status < 300 { 0 } else { refusals.saturating_add(1) };
    }

    /// Remembers what came.
    pub fn remember(&self, url: &str, form: &str, look: Look) -> Answer {
        let look = Arc::new(look);
        let told = answer(url, form, &look);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.pages.insert(url.to_owned(), Arc::clone(&look));
        looks.forms.insert(form.to_owned(), look);
        told
    }
}

fn host_of(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_owned)
}

fn answer(url: &str, form: &str, look: &Look) -> Answer {
    Answer::Fresh {
        url: url.to_owned(),
        form: form.to_owned(),
        values: look.values.clone(),
        refused: look.refused,
    }
}

/// Whether a new visitor is turned away: by the status, or by being sent to what reads like a login.
fn is_refused(fetched: &Fetched) -> bool {
    const LOGINS: [&str; 9] = [
        "login", "log-in", "log_in", "logon", "signin", "sign-in", "sign_in", "auth", "sso",
    ];
    match fetched.status {
        401 | 403 => true,
        300..=399 => fetched.header("location").is_some_and(|to| {
            let to = to.to_ascii_lowercase();
            let path = to.split(['?', '#']).next().unwrap_or_default();
            LOGINS.iter().any(|word| path.contains(word))
        }),
        _ => false,
    }
}

/// What may be a token in an answer. Nothing if it is no page.
fn values(fetched: &Fetched, redactor: &Redactor) -> Vec<FreshValue> {
    let html = fetched
        .header("content-type")
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    if fetched.status != 200 || !html {
        return Vec::new();
    }
    let mut values = Vec::new();
    let mut keep = |place, name: &str, value: &str| {
        if !name.is_empty() && name.chars().count() <= LONGEST_NAME && values.len() < MOST_VALUES {
            // As capture keeps them: what is named by its token has the token for its value.
            let shown = redactor.shown_name(name);
            let value = if shown == name || place != FreshPlace::Field {
                value
            } else {
                name
            };
            let (name, hash) = (shown.into_owned(), redactor.shape(value).hash);
            values.push(FreshValue { place, name, hash });
        }
    };
    for (name, cookie) in &fetched.headers {
        let pair = cookie.split(';').next().and_then(|pair| pair.split_once('='));
        if let ("set-cookie", Some((name, value))) = (name.as_str(), pair) {
            keep(FreshPlace::Cookie, name.trim(), value.trim());
        }
    }
    let page = Html::parse_document(&String::from_utf8_lossy(&fetched.body));
    let found = |selector: &str| Selector::parse(selector).ok();
    if let Some(hidden) = found("input[type=hidden i][name]") {
        for input in page.select(&hidden) {
            let value = input.attr("value").unwrap_or_default();
            keep(FreshPlace::Field, input.attr("name").unwrap_or_default(), value);
        }
    }
    if let Some(meta) = found("meta[name][content]") {
        for meta in page.select(&meta) {
            let name = meta.attr("name").unwrap_or_default().to_lowercase();
            keep(FreshPlace::Meta, &name, meta.attr("content").unwrap_or_default());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(body: &str) -> Fetched {
        Fetched {
            status: 200,
            headers: vec![
                ("content-type".to_owned(), "text/html; charset=utf-8".to_owned()),
                ("set-cookie".to_owned(), "XSRF-TOKEN=c; Path=/".to_owned()),
            ],
            body: body.as_bytes().to_vec(),
            truncated: false,
        }
    }

    #[test]
    fn fields_metas_and_cookies_are_read_and_their_values_hashed() {
        let redactor = Redactor::new([1; 32]);
        let body = "<meta name=CSRF-Token content=m><form><input type=HIDDEN name=t value='a&amp;b'><input name=u value=x>\
                    <!-- <input type=hidden name=v value=w> --></form>";
        let seen = values(&page(body), &redactor);
        let said: Vec<_> = seen.iter().map(|value| (value.place, value.name.as_str())).collect();
        let expected = [
            (FreshPlace::Cookie, "XSRF-TOKEN"),
            (FreshPlace::Field, "t"),
            (FreshPlace::Meta, "csrf-token"),
        ];
        assert_eq!(said, expected);
        assert_eq!(seen[1].hash, redactor.shape("a&b").hash);
        let token = "0f1e2d3c4b5a69788796a5b4c3d2e107";
        let named = values(
            &page(&format!("<form><input type=hidden name={token} value=1></form>")),
            &redactor,
        );
        assert_eq!(
            (named[1].name.contains(token), &named[1].hash),
            (false, &redactor.shape(token).hash)
        );
        assert!(
            values(
                &Fetched {
                    status: 302,
                    ..page(body)
                },
                &redactor
            )
            .is_empty()
        );
    }

    #[test]
    fn who_is_sent_to_a_login_is_refused() {
        let answered = |status, to: &str| Fetched {
            status,
            headers: vec![("location".to_owned(), to.to_owned())],
            ..page("")
        };
        for (status, to, expected) in [
            (401, "", true),
            (403, "", true),
            (302, "/Login?next=/settings", true),
            (303, "https://id.test/oauth/authorize", true),
            (302, "/en/?from=/login", false),
            (404, "", false),
            (200, "", false),
        ] {
            assert_eq!(is_refused(&answered(status, to)), expected, "{status} {to}");
        }
    }

    #[test]
    fn a_host_that_refuses_strangers_is_left_alone() {
        let looks = FreshLooks::default();
        let page = "https://a.test/1";
        for _ in 1..MOST_REFUSALS {
            looks.answered(page, 403);
        }
        assert!(!looks.is_closed(page));
        looks.answered(page, 200);
        for _ in 1..MOST_REFUSALS {
            looks.answered(page, 302);
        }
        assert!(!looks.is_closed(page), "it has shown one");
        looks.answered("https://a.test/2", 302);
        assert!(looks.is_closed(page) && !looks.is_closed("https://b.test/1"));
    }

    #[test]
    fn forms_that_are_alike_are_looked_at_once() {
        let looks = FreshLooks::default();
        assert_eq!(looks.known("https://a.test/1", "a.test/save"), None);
        let value = FreshValue {
            place: FreshPlace::Field,
            name: "t".to_owned(),
            hash: "h".to_owned(),
        };
        let look = Look {
            values: vec![value.clone()],
            refused: false,
        };
        looks.remember("https://a.test/1", "a.test/save", look);
        let Some(Answer::Fresh { url, values, .. }) = looks.known("https://a.test/2", "a.test/save") else {
            panic!("it is not known");
        };
        assert_eq!((url.as_str(), values.as_slice()), ("https://a.test/2", &[value][..]));
        assert!(
            looks.known("https://a.test/1", "a.test/other").is_some(),
            "the same page"
        );
        assert!(looks.known("https://a.test/2", "a.test/other").is_none());
    }
}
