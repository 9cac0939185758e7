//! The address of a browser that somebody else runs.

use std::fmt;

use toml::de::DeValue;
use url::{Host, Url};

use super::kinds::{self, wrong_kind};
use super::raw::{Value, Wrong, nearest};

/// A browser that somebody else runs. Its URL may hold a token: what is shown, also by `{:?}`, is where it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http(s)://HOST:PORT`, which is asked for `/json/version`, or the `ws(s)` URL of a browser.
    url: Url,
    /// How many of the connections it gets beside the others, 1 to 100.
    pub weight: u32,
    /// Its pages do not speak through our egress proxy but go their own way.
    pub direct: bool,
}

const EXPECTED: &str = "write a URL such as \"http://127.0.0.1:9222\" or \"wss://browsers.internal/\"";
const KEYS: [&str; 3] = ["url", "weight", "direct"];

impl Endpoint {
    /// A browser at this place. What is not on this machine cannot speak through our proxy.
    fn new(url: Url) -> Self {
        Self {
            direct: !is_here(&url),
            weight: 1,
            url,
        }
    }

    /// The URL itself, for the one place that connects.
    pub fn expose(&self) -> &Url {
        &self.url
    }
}

/// Without user, password, path and query, all of which may be secret.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), self.url.host_str().unwrap_or_default())?;
        self.url.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self}, weight {}, direct {})", self.weight, self.direct)
    }
}

fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A URL, or a table with it.
pub(super) fn endpoint(value: Value<'_>) -> Result<Endpoint, Wrong> {
    match value.get_ref() {
        DeValue::String(_) => Ok(Endpoint::new(address(value)?)),
        DeValue::Table(table) => {
            let unknown = table.iter().find(|(key, _)| !KEYS.contains(&key.get_ref().as_ref()));
            if let Some((key, _)) = unknown {
                let advice = match nearest(key.get_ref(), KEYS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "there are `url`, `weight` and `direct`".to_owned(),
                };
                return Err(Wrong {
                    at: Some(key.span()),
                    ..Wrong::new(format!("has an unknown key `{}`", key.get_ref().escape_debug()), advice)
                });
            }
            let get = |name: &str| {
                table
                    .iter()
                    .find(|(key, _)| key.get_ref() == name)
                    .map(|(_, value)| value)
            };
            let url = get("url").ok_or_else(|| Wrong::new("has no `url`", EXPECTED))?;
            let mut endpoint = Endpoint::new(at("url", url, address)?);
            if let Some(weight) = get("weight") {
                endpoint.weight = at("weight", weight, kinds::whole(1..=100_u32))?;
            }
            if let Some(direct) = get("direct") {
                let wanted = at("direct", direct, kinds::flag)?;
                if endpoint.direct && !wanted {
                    let is = "has `direct = false`, but its browser is on another machine";
                    let advice = "remove it: our proxy listens on this machine alone";
                    return Err(Wrong {
                        at: Some(direct.span()),
                        ..Wrong::new(is, advice)
                    });
                }
                endpoint.direct = wanted;
            }
            Ok(endpoint)
        }
        other => Err(wrong_kind(other, "a URL in quotes, or a table with `url` and `weight`")),
    }
}

/// Reads the value of one key of the table.
fn at<'d, T>(key: &str, value: Value<'d>, kind: impl FnOnce(Value<'d>) -> Result<T, Wrong>) -> Result<T, Wrong> {
    kind(value).map_err(|wrong| Wrong {
        is: format!("has a `{key}` that {}", wrong.is),
        at: wrong.at.or(Some(value.span())),
        ..wrong
    })
}

/// The value may hold a token and is not repeated.
fn address(value: Value<'_>) -> Result<Url, Wrong> {
    let text = kinds::string(value, "a URL in quotes")?;
    let url = Url::parse(text.trim()).map_err(|error| Wrong::new(format!("is not a URL ({error})"), EXPECTED))?;
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
        return Err(Wrong::new("is neither http, https, ws nor wss", EXPECTED));
    }
    if url.fragment().is_some() {
        return Err(Wrong::new("has a fragment", "write the URL without `#`"));
    }
    let hidden = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
    if hidden && matches!(url.scheme(), "http" | "ws") && !is_here(&url) {
        return Err(Wrong::new(
            "would send its password or token in the clear",
            "write the https or wss URL; without TLS that is for loopback only",
        ));
    }
    Ok(url)
}
