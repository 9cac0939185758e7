//! A form that is sent from a page of another origin, to see whether the server takes it.
//!
//! The browser itself decides which cookies go along: the page is one of a `data:` URL, whose origin is nobody's. What the
//! server makes of a submission is looked for afterwards, on a page that is asked for anew: a word that only this
//! submission has sent stands there, or does not.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use url::Url;

use super::json;
use super::recorder::MayVisit;
use super::tab::{MayGo, Tab};
use crate::crawl::Guard;

const FORM: &str = include_str!("replay.js");

/// How long one submission, or one look, may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it may take until a submission of ours was answered.
const SENT: Duration = Duration::from_secs(5);
/// How often that is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A form, and what is to be known of it.
pub struct Replay {
    /// The page that it stands on.
    pub page: Url,
    /// A CSS selector that finds it there.
    pub selector: String,
    /// The field that holds its token, if it has one.
    pub token: Option<String>,
    /// Words that nobody else sends, one for each submission.
    pub words: [String; 4],
    /// Where it may lead.
    pub may_visit: MayVisit,
    /// What is asked of each request meanwhile.
    pub guard: Arc<Guard>,
    /// Asked before each request.
    pub may_go: MayGo,
}

/// What the server took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
// Each stands for a submission of its own.
#[allow(clippy::struct_excessive_bools)]
pub struct Replayed {
    /// The submission that the page itself makes. If not, the others say nothing.
    pub honest: bool,
    /// One without cookies: then it is nobody's session that counts.
    pub from_anybody: bool,
    /// One from another origin, without the token if there is one.
    pub without_token: bool,
    /// One from another origin with a token that was never given out.
    pub wrong_token: bool,
}

/// A form as it would be sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Filled {
    found: bool,
    method: String,
    action: String,
    enctype: String,
    fields: Vec<(String, String)>,
}

/// How a submission is made from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As a navigation, which takes along the cookies that the browser lets.
    Navigation,
    /// As a request that takes none along.
    WithoutCookies,
}

impl Tab {
    /// Sends a form in several ways and looks what came of each. An error says why nothing can be known.
    pub(super) async fn replay(&self, replay: &Replay) -> Result<Replayed, String> {
        let result = self.replay_all(replay).await;
        self.recorder().end_walk();
        result
    }

    async fn replay_all(&self, replay: &Replay) -> Result<Replayed, String> {
        let [honest, anybody, without, wrong] = &replay.words;
        let mut replayed = Replayed::default();
        let filled = self.open_form(replay, honest).await?;
        if !filled.method.eq_ignore_ascii_case("post") || replay.token.as_ref().is_some_and(|token| !filled.has(token))
        {
            return Err("the form is another one now".to_owned());
        }
        self.ask_form("send", replay, honest).await?;
        self.consequences_of_replay().await?;
        let landed = Url::parse(&self.address().await?).ok();
        let pages = [Some(replay.page.clone()), landed.filter(|url| *url != replay.page)];
        let mut witness = None;
        for page in pages
            .into_iter()
            .flatten()
            .filter(|page| (replay.may_visit)(page.as_str()))
        {
            if self.shows_word(replay, &page, honest).await? {
                witness = Some(page);
                break;
            }
        }
        let Some(witness) = witness else { return Ok(replayed) };
        replayed.honest = true;
        let whole = self.open_form(replay, anybody).await?;
        let taken = self.send_from_elsewhere(replay, &whole, Way::WithoutCookies).await?;
        replayed.from_anybody = taken && self.shows_word(replay, &witness, anybody).await?;
        if replayed.from_anybody {
            return Ok(replayed);
        }
        let mut filled = self.open_form(replay, without).await?;
        filled.fields.retain(|(name, _)| Some(name) != replay.token.as_ref());
        let taken = self.send_from_elsewhere(replay, &filled, Way::Navigation).await?;
        replayed.without_token = taken && self.shows_word(replay, &witness, without).await?;
        if let Some(token) = &replay.token {
            let mut filled = self.open_form(replay, wrong).await?;
            for (_, value) in filled.fields.iter_mut().filter(|(name, _)| name == token) {
                *value = value.chars().map(another).collect();
            }
            let taken = self.send_from_elsewhere(replay, &filled, Way::Navigation).await?;
            replayed.wrong_token = taken && self.shows_word(replay, &witness, wrong).await?;
        }
        Ok(replayed)
    }

    /// Goes to the form's page, fills the form with a word, and says what would be sent.
    async fn open_form(&self, replay: &Replay, word: &str) -> Result<Filled, String> {
        self.go_to(replay, replay.page.as_str()).await?;
        self.ask_form("read", replay, word).await
    }

    async fn ask_form(&self, act: &str, replay: &Replay, word: &str) -> Result<Filled, String> {
        let arguments = serde_json::to_string(&[act, &replay.selector, word]).unwrap_or_default();
        let text = self.evaluate(&format!("({FORM})(...{arguments})"), None).await?;
        let filled: Filled = json::read(&text).map_err(|error| error.to_string())?;
        if filled.found {
            Ok(filled)
        } else {
            Err("the form is not there, or has no field for a word".to_owned())
        }
    }

    /// Sends a form. False if the server refused it, whatever it kept of it.
    async fn send_from_elsewhere(&self, replay: &Replay, filled: &Filled, way: Way) -> Result<bool, String> {
        if !(replay.may_go)().await {
            return Err("there was no turn for it at its host".to_owned());
        }
        self.begin_replay(replay);
        self.go(&elsewhere(filled, way), Instant::now() + PATIENCE).await?;
        // It is sent once our page is there, and the answer takes its place. A browser that refuses to send it stays.
        let until = Instant::now() + SENT;
        let over = "location.protocol !== 'data:' || document.title === 'sent' ? 'yes' : 'no'";
        while self.evaluate(over, None).await.is_ok_and(|over| over == "no") {
            if Instant::now() >= until {
                return Err("the browser got no answer to it from elsewhere".to_owned());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.consequences_of_replay().await?;
        match self.answered(&filled.action) {
            Some(status @ (429 | 500..)) => Err(format!("the server answered {status}, which says nothing")),
            Some(400..) => Ok(false),
            _ => Ok(true),
        }
    }

    /// With which status a submission was answered; `None` if it led elsewhere.
    fn answered(&self, action: &str) -> Option<u16> {
        let without_fragment = |url: &str| url.split('#').next().unwrap_or_default().to_owned();
        let recorder = self.recorder();
        let sent = recorder.requests.iter().rev().find(|request| {
            request.method.eq_ignore_ascii_case("post") && without_fragment(&request.url) == without_fragment(action)
        });
        sent.and_then(|request| request.status)
    }

    /// Whether a page that is asked for now shows a word.
    async fn shows_word(&self, replay: &Replay, page: &Url, word: &str) -> Result<bool, String> {
        self.go_to(replay, page.as_str()).await?;
        let arguments = serde_json::to_string(&["shows", "", word]).unwrap_or_default();
        let text = self.evaluate(&format!("({FORM})(...{arguments})"), None).await?;
        let shown: Filled = json::read(&text).map_err(|error| error.to_string())?;
        Ok(shown.found)
    }

    async fn go_to(&self, replay: &Replay, url: &str) -> Result<(), String> {
        if !(replay.may_go)().await {
            return Err("there was no turn for it at its host".to_owned());
        }
        self.begin_replay(replay);
        self.go(url, Instant::now() + PATIENCE).await
    }

    fn begin_replay(&self, replay: &Replay) {
        let may_visit = Arc::clone(&replay.may_visit);
        let or_ours = move |url: &str| url.starts_with("data:text/html,") || may_visit(url);
        self.begin_walk(Arc::new(or_ours), Arc::clone(&replay.guard));
    }

    async fn consequences_of_replay(&self) -> Result<(), String> {
        self.consequences(Instant::now() + PATIENCE).await
    }

    async fn address(&self) -> Result<String, String> {
        self.evaluate("location.href", None).await
    }
}

impl Filled {
    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }
}

/// Another character of the same kind.
fn another(character: char) -> char {
    match character {
        '9' => '0',
        'f' => 'a',
        'F' => 'A',
        'z' => 'g',
        'Z' => 'G',
        _ if character.is_ascii_alphanumeric() => char::from_u32(u32::from(character) + 1).unwrap_or('x'),
        other => other,
    }
}

/// A page of nobody's origin that sends a form as soon as it is there.
fn elsewhere(filled: &Filled, way: Way) -> String {
    let mut html = String::from("<!doctype html><meta charset=utf-8><title>elsewhere</title>");
    let _ = write!(
        html,
        "<form method=post action=\"{}\" enctype=\"{}\">",
        escaped(&filled.action),
        escaped(&filled.enctype)
    );
    for (name, value) in &filled.fields {
        let (name, value) = (escaped(name), escaped(value));
        // The parser takes the first line end away.
        let _ = write!(html, "<textarea name=\"{name}\">\n{value}</textarea>");
    }
    html.push_str("</form><script>const form = document.forms[0];");
    html.push_str(match way {
        Way::Navigation => "HTMLFormElement.prototype.submit.call(form);",
        Way::WithoutCookies => {
            "const body = form.getAttribute('enctype') === 'multipart/form-data' ? new FormData(form) \
             : new URLSearchParams(new FormData(form));\
             fetch(form.getAttribute('action'), { method: 'POST', mode: 'no-cors', credentials: 'omit', body })\
             .then(() => { document.title = 'sent'; }, () => {});"
        }
    });
    html.push_str("</script>");
    let mut url = String::from("data:text/html,");
    url.extend(
        url::form_urlencoded::byte_serialize(html.as_bytes()).map(|part| if part == "+" { "%20" } else { part }),
    );
    url
}

/// A text as it may stand in an attribute or in a `textarea`.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('\r', "&#13;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_names_stays_text() {
        let filled = Filled {
            action: "https://shop.test/a?x=1&y=\"><script>".into(),
            enctype: "application/x-www-form-urlencoded".into(),
            fields: vec![("a\"b".into(), "</textarea><script>\n+ %".into())],
            ..Filled::default()
        };
        let url = elsewhere(&filled, Way::Navigation);
        let html = url::form_urlencoded::parse(url.trim_start_matches("data:text/html,").as_bytes())
            .next()
            .map(|(html, _)| html.into_owned())
            .unwrap();
        assert_eq!(html.matches("<script>").count(), 1, "{html}");
        assert!(
            html.contains("name=\"a&quot;b\">\n&lt;/textarea>&lt;script>\n+ %</textarea>"),
            "{html}"
        );
        assert!(Url::parse(&url).is_ok());
    }

    #[test]
    fn a_wrong_token_is_as_long_and_none_of_its_signs_stays() {
        let token = "0f9aZzFG7e-Yy";
        let wrong: String = token.chars().map(another).collect();
        assert_eq!(wrong.len(), token.len());
        let same = token.chars().zip(wrong.chars()).filter(|(one, other)| one == other);
        assert_eq!(same.map(|(one, _)| one).collect::<String>(), "-");
        let hex: String = "0123456789abcdef".chars().map(another).collect();
        assert!(hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
