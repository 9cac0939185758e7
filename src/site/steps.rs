//! What is done on pages before they are looked at, to log in or to answer a consent wall: steps of the site's file.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Url;

use crate::config::raw::{Section, Value, Wrong};
use crate::config::{SecretSource, kinds};

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub deed: Deed,
    /// The frame it is done in, by a pattern of its URL; `None` means the page itself.
    #[serde(default)]
    pub frame: Option<String>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Goes to a page.
    Go(Url),
    /// Fills a field.
    Fill(Selector, Filling),
    /// Clicks.
    Click(Selector),
    /// Presses a key, such as `Enter`.
    Press(String),
    /// Waits until something is there.
    Wait(Selector),
}

/// What a field is filled with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filling {
    /// This text, which is no secret.
    Plain(String),
    /// A secret.
    Secret(SecretSource),
    /// The code of the moment (RFC 6238), by this secret in Base32 or `otpauth:` form.
    Totp(SecretSource),
}

/// What an element is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// How.
    pub by: By,
    /// The selector or text.
    pub text: String,
}

/// How an element is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By a CSS selector, in open shadow roots, too.
    Css,
    /// By its whole text; of several the innermost.
    Text,
    /// A field by its label, accessible name or placeholder.
    Label,
}

const WAYS: [(&str, By); 3] = [("css", By::Css), ("text", By::Text), ("label", By::Label)];

impl By {
    /// The word before the colon.
    pub fn word(self) -> &'static str {
        WAYS.iter()
            .find(|(_, by)| *by == self)
            .map(|(word, _)| *word)
            .unwrap_or_default()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.by.word(), self.text)
    }
}

impl Selector {
    /// Reads `css:…`, `text:…` or `label:…`.
    pub fn parse(text: &str) -> Option<Self> {
        let (way, text) = text.split_once(':')?;
        let (_, by) = WAYS.iter().find(|(word, _)| *word == way)?;
        let text = text.trim();
        (!text.is_empty()).then(|| Self {
            by: *by,
            text: text.to_owned(),
        })
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("no selector"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.deed {
            Deed::Go(url) => write!(f, "go to {url}"),
            Deed::Fill(field, _) => write!(f, "fill {field}"),
            Deed::Click(selector) => write!(f, "click {selector}"),
            Deed::Press(key) => write!(f, "press {key}"),
            Deed::Wait(selector) => write!(f, "wait for {selector}"),
        }
    }
}

impl Step {
    /// Where the secret of this step is, if it has one.
    pub fn secret(&self) -> Option<&SecretSource> {
        match &self.deed {
            Deed::Fill(_, Filling::Secret(source) | Filling::Totp(source)) => Some(source),
            _ => None,
        }
    }
}

/// Keys that can be pressed.
pub const KEYS: [&str; 4] = ["Enter", "Tab", "Escape", "Space"];

/// Reads a list of steps.
pub(super) fn steps(section: &mut Section<'_>, key: &'static str, folder: &Path) -> Vec<Step> {
    let read = |table| step(table, folder);
    section.tables(key).into_iter().filter_map(read).collect()
}

fn step(mut section: Section<'_>, folder: &Path) -> Option<Step> {
    let go = section.get("go", kinds::web_url);
    let fill = section.get("fill", selector);
    let click = section.get("click", selector);
    let wait = section.get("wait", selector);
    let press = section.get("press", key);
    let frame = section.get("frame", kinds::text);
    let filling = filling(&mut section, folder);
    let named: Vec<_> = ["go", "fill", "click", "press", "wait"]
        .into_iter()
        .filter(|key| section.has(key))
        .collect();
    if named.len() != 1 {
        let is = match named.len() {
            0 => "says nothing to do",
            _ => "says several things to do",
        };
        section.report_whole(is, "write one of go, fill, click, press and wait in each step");
    }
    let with = ["with", "with_env", "with_file", "with_totp_env", "with_totp_file"];
    let given = with.iter().filter(|key| section.has(key)).count();
    if section.has("fill") && given != 1 {
        let advice = "name one of with_env, with_file, with_totp_env, with_totp_file, and with for what is no secret";
        section.report("fill", Wrong::new("is not told what to fill in", advice));
    } else if !section.has("fill") && given > 0 {
        section.report_whole("has something to fill in and no field", "add `fill`");
    }
    section.finish(&[]);
    let deed = match (go, fill, click, press, wait) {
        (Some(url), ..) => Deed::Go(url),
        (_, Some(field), ..) => Deed::Fill(field, filling?),
        (_, _, Some(selector), ..) => Deed::Click(selector),
        (.., Some(key), _) => Deed::Press(key),
        (.., Some(selector)) => Deed::Wait(selector),
        _ => return None,
    };
    Some(Step { deed, frame })
}

fn filling(section: &mut Section<'_>, folder: &Path) -> Option<Filling> {
    let plain = section.get("with", kinds::text).map(Filling::Plain);
    let secret = secret(section, "with_env", "with_file", folder).map(Filling::Secret);
    let totp = self::secret(section, "with_totp_env", "with_totp_file", folder).map(Filling::Totp);
    plain.or(secret).or(totp)
}

/// A secret that is in a variable or a file.
pub(super) fn secret(
    section: &mut Section<'_>,
    env: &'static str,
    file: &'static str,
    folder: &Path,
) -> Option<SecretSource> {
    let from_env = section.get(env, kinds::env_name).map(SecretSource::Env);
    let from_file = section.get(file, |value| Ok(SecretSource::File(folder.join(kinds::text(value)?))));
    if section.has(env) && section.has(file) {
        section.report(
            file,
            Wrong::new(format!("stands beside `{env}`"), "keep one of the two"),
        );
    }
    from_env.or(from_file)
}

/// A selector.
pub(super) fn selector(value: Value<'_>) -> Result<Selector, Wrong> {
    let text = kinds::text(value)?;
    Selector::parse(&text).ok_or_else(|| {
        let advice = "begin it with \"css:\", \"text:\" or \"label:\", such as \"css:#user\"";
        kinds::quoted(&text, advice)
    })
}

fn key(value: Value<'_>) -> Result<String, Wrong> {
    let words = KEYS.map(|key| (key, key));
    kinds::word(&words, &[])(value).map(str::to_owned)
}
