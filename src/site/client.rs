//! Who the browsers say they are: `[client]` and `[[profile]]` in the site's file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::login::SecretHeader;
use super::steps::{Step, steps};
use crate::config::raw::{Section, Value, Wrong};
use crate::config::{SecretSource, kinds};

/// Who the browsers say they are. What is not set is the browser's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Client {
    /// Request headers for the site's own hosts.
    pub headers: Vec<(String, String)>,
    /// The same, with secret values.
    pub secret_headers: Vec<SecretHeader>,
    /// What the pages look like to.
    pub device: Device,
    /// What is done on a page that asks for consent.
    pub consent: Vec<Step>,
}

/// What pages are shown on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// The language, such as `en-GB`.
    pub locale: Option<String>,
    /// Width and height in CSS pixels.
    pub viewport: Option<(u32, u32)>,
    /// Device pixels for each of them, in hundredths.
    pub scale: Option<u32>,
    /// The User-Agent.
    pub user_agent: Option<String>,
    /// It is touched, and its pages are laid out as on a phone.
    pub touch: bool,
}

/// A device that a scan can be asked to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What it is called by.
    pub name: String,
    /// What it is.
    pub device: Device,
}

impl Client {
    /// Every key that names a secret, with where the secret is.
    pub fn secrets(&self) -> Vec<(String, &SecretSource)> {
        let headers = self.secret_headers.iter();
        headers
            .map(|header| (format!("client.headers_env.{}", header.name), &header.value))
            .collect()
    }
}

impl Device {
    /// This device, with what `other` does not say.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            locale: self.locale.or_else(|| other.locale.clone()),
            viewport: self.viewport.or(other.viewport),
            scale: self.scale.or(other.scale),
            user_agent: self.user_agent.or_else(|| other.user_agent.clone()),
            touch: self.touch || other.touch,
        }
    }
}

/// Why client certificates are refused.
const NO_CERTIFICATES: &str = "cannot be presented by a headless browser that is not set up by the machine's own policy: \
                               Chromium chooses certificates by the policy AutoSelectCertificateForUrls alone";

/// Reads `[client]`.
pub(super) fn client(mut section: Section<'_>, folder: &Path) -> Client {
    let headers = section.pairs("headers", |name, value| Ok((header_name(name)?, header_value(value)?)));
    let secret_headers = secret_headers(&mut section);
    let device = device(&mut section);
    let consent = steps(&mut section, "consent", folder);
    if section.has("certificate") {
        let advice = "remove it, and let a proxy that presents the certificate stand before the site (network.proxy, \
                      browser.resolve)";
        section.get("certificate", |_| Ok(()));
        section.report("certificate", Wrong::new(NO_CERTIFICATES, advice));
    }
    section.finish(&[]);
    Client {
        headers: headers.unwrap_or_default(),
        secret_headers,
        device,
        consent,
    }
}

/// Reads `[[profile]]`.
pub(super) fn profile(mut section: Section<'_>) -> Option<Profile> {
    let name = section.require(
        "name",
        "what it is called by on the command line, such as \"phone\"",
        kinds::text,
    );
    let device = device(&mut section);
    section.finish(&[]);
    Some(Profile { name: name?, device })
}

fn device(section: &mut Section<'_>) -> Device {
    Device {
        locale: section.get("locale", locale),
        viewport: section.get("viewport", viewport),
        scale: section.get("scale", kinds::number(0.5..=5.0)).map(hundredths),
        user_agent: section.get("user_agent", kinds::user_agent),
        touch: section.get("touch", kinds::flag).unwrap_or_default(),
    }
}

fn hundredths(scale: f64) -> u32 {
    // Between 50 and 500.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = (scale * 100.0).round() as u32;
    whole
}

/// Headers whose values are in variables.
pub(super) fn secret_headers(section: &mut Section<'_>) -> Vec<SecretHeader> {
    let headers = section.pairs("headers_env", |name, value| {
        Ok(SecretHeader {
            name: header_name(name)?,
            value: SecretSource::Env(kinds::env_name(value)?),
        })
    });
    headers.unwrap_or_default()
}

/// Headers that only the browser can know.
const OF_THE_BROWSER: [&str; 7] = [
    "connection",
    "content-length",
    "cookie",
    "host",
    "origin",
    "proxy-authorization",
    "transfer-encoding",
];

fn header_name(name: &str) -> Result<String, Wrong> {
    let valid = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if !valid {
        return Err(Wrong::new("is no name of a header", "write a name such as X-Scanner"));
    }
    if OF_THE_BROWSER.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(Wrong::new(
            "is the browser's own business",
            "remove it; cookies of a session are `login.cookies`",
        ));
    }
    Ok(name.to_owned())
}

fn header_value(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    if text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        Ok(text)
    } else {
        Err(Wrong::new("cannot be sent in a header", "write plain ASCII"))
    }
}

fn locale(value: Value<'_>) -> Result<String, Wrong> {
    let text = kinds::text(value)?;
    let part = |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    if text.len() <= 35 && text.split('-').all(part) {
        Ok(text)
    } else {
        Err(kinds::quoted(&text, "write a language such as \"en-GB\""))
    }
}

fn viewport(value: Value<'_>) -> Result<(u32, u32), Wrong> {
    let text = kinds::text(value)?;
    let parsed = text.split_once('x').and_then(|(width, height)| {
        let bounded = |text: &str| text.parse().ok().filter(|size| (100..=8_000).contains(size));
        Some((bounded(width)?, bounded(height)?))
    });
    parsed.ok_or_else(|| kinds::quoted(&text, "write width and height from 100 to 8000, such as \"1280x800\""))
}
