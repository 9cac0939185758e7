//! What must not be kept is replaced here, before it becomes evidence.

use std::collections::HashMap;
use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use phantom_checks::evidence::{Charset, Header, ValueShape};
use regex::{Captures, Regex};
use sha2::Sha256;
use url::Url;

/// Stands where a secret was.
pub const REDACTED: &str = "REDACTED";

/// Replaces secrets. Two installations never give equal hashes for equal values.
#[derive(Clone)]
pub struct Redactor {
    salt: [u8; 32],
}

impl Redactor {
    /// A redactor with this installation's salt.
    pub fn new(salt: [u8; 32]) -> Self {
        Self { salt }
    }

    /// What stands for a value.
    pub fn shape(&self, value: &str) -> ValueShape {
        let hash = Hmac::<Sha256>::new_from_slice(&self.salt).map(|mac| mac.chain_update(value.as_bytes()).finalize());
        ValueShape {
            hash: hash
                .map(|hash| hex::encode(&hash.into_bytes()[..8]))
                .unwrap_or_default(),
            length: u32::try_from(value.chars().count()).unwrap_or(u32::MAX),
            charset: charset(value),
            entropy: entropy(value),
        }
    }
}

/// A URL without password and without the values of parameters that are named like secrets.
pub fn url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return parameters(text);
    };
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
        return text.chars().take(200).collect();
    }
    if url.password().is_some() || !url.username().is_empty() {
        // Neither fails for these schemes.
        let _ = url.set_password(None);
        let _ = url.set_username("");
    }
    parameters(url.as_str())
}

/// A text in which the values of URL parameters that are named like secrets are replaced.
pub fn parameters(text: &str) -> String {
    static PARAMETER: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"([?&#;])([A-Za-z0-9_.\-\[\]]{2,60})=([^&#"'\s;<>]+)"#).ok());
    let Some(pattern) = PARAMETER.as_ref() else {
        return text.to_owned();
    };
    pattern
        .replace_all(text, |found: &Captures<'_>| {
            if secret_name(&found[2]) {
                format!("{}{}={REDACTED}", &found[1], &found[2])
            } else {
                found[0].to_owned()
            }
        })
        .into_owned()
}

/// Does a field, parameter, header or meta element of this name carry a secret?
pub fn secret_name(name: &str) -> bool {
    const WHOLE: [&str; 14] = [
        "sid",
        "sessid",
        "jsessionid",
        "phpsessid",
        "aspsessionid",
        "cfid",
        "cftoken",
        "code",
        "state",
        "otp",
        "pin",
        "jwt",
        "sig",
        "key",
    ];
    const PART: [&str; 14] = [
        "token",
        "csrf",
        "xsrf",
        "passw",
        "passwd",
        "pwd",
        "secret",
        "session",
        "apikey",
        "api_key",
        "api-key",
        "signature",
        "credential",
        "nonce",
    ];
    let name = name.to_ascii_lowercase();
    WHOLE.contains(&name.as_str()) || PART.iter().any(|part| name.contains(part))
}

/// A response header as it may be kept.
pub fn header(header: Header) -> Header {
    let value = match header.name.as_str() {
        "set-cookie" | "cookie" | "authorization" | "proxy-authorization" => REDACTED.to_owned(),
        "location" | "content-location" | "refresh" | "link" => parameters(&header.value),
        name if secret_name(name) => REDACTED.to_owned(),
        _ => return header,
    };
    Header { value, ..header }
}

/// An inline script in which literals that look like secrets, by their name or by their look, are replaced.
pub fn script(text: &str) -> String {
    static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r#"(?i)((?:token|csrf|xsrf|passw(?:or)?d|secret|api[_-]?key|session[_-]?id|authorization|credential|nonce)[\w-]*["'`]?\s*[:=,]\s*)(["'`])([^"'`\r\n]{4,4096})(["'`])"#,
        )
        .ok()
    });
    static LITERAL: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(["'`])([A-Za-z0-9+/=_.\-]{20,4096})(["'`])"#).ok());
    let (Some(named), Some(literal)) = (NAMED.as_ref(), LITERAL.as_ref()) else {
        return REDACTED.to_owned();
    };
    let text = named.replace_all(text, |found: &Captures<'_>| {
        format!("{}{}{REDACTED}{}", &found[1], &found[2], &found[4])
    });
    let text = literal.replace_all(&text, |found: &Captures<'_>| {
        if looks_random(&found[2]) {
            format!("{}{REDACTED}{}", &found[1], &found[3])
        } else {
            found[0].to_owned()
        }
    });
    parameters(&text)
}

fn looks_random(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    digits >= 2 && letters >= 2 && !value.contains("//") && entropy(value) >= 3.2
}

fn charset(value: &str) -> Charset {
    let all = |is: fn(u8) -> bool| value.bytes().all(is);
    if value.is_empty() {
        Charset::Empty
    } else if all(|byte| byte.is_ascii_digit()) {
        Charset::Digits
    } else if all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
        || all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F' | b'-'))
    {
        Charset::Hex
    } else if all(|byte| byte.is_ascii_alphanumeric()) {
        Charset::Alphanumeric
    } else if all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_.:".contains(&byte)) {
        Charset::Base64
    } else if all(|byte| (b' '..=b'~').contains(&byte)) {
        Charset::Ascii
    } else {
        Charset::Other
    }
}

fn entropy(value: &str) -> f32 {
    let mut counts: HashMap<char, u32> = HashMap::new();
    let mut total = 0u32;
    for character in value.chars() {
        *counts.entry(character).or_default() += 1;
        total += 1;
    }
    let total = total as f32;
    // Adding zero turns the negative zero of a single repeated character into a plain one.
    -counts
        .values()
        .map(|&count| count as f32 / total)
        .map(|share| share * share.log2())
        .sum::<f32>()
        + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_passwords_and_secret_parameters_only() {
        let cases = [
            ("https://u:p@shop.test/a?x=1", "https://shop.test/a?x=1"),
            (
                "https://shop.test/a?page=2&csrf_token=abc&q=z",
                "https://shop.test/a?page=2&csrf_token=REDACTED&q=z",
            ),
            (
                "https://shop.test/cb#access_token=abc&type=x",
                "https://shop.test/cb#access_token=REDACTED&type=x",
            ),
            (
                "https://shop.test/a;jsessionid=123?x=1",
                "https://shop.test/a;jsessionid=REDACTED?x=1",
            ),
            ("/login?PHPSESSID=77", "/login?PHPSESSID=REDACTED"),
            (
                "https://shop.test/search?q=session+ideas",
                "https://shop.test/search?q=session+ideas",
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(url(input), expected);
        }
    }

    #[test]
    fn scripts_lose_secrets_and_keep_code() {
        let cases = [
            (r#"var csrfToken = "k9";"#, r#"var csrfToken = "k9";"#),
            (r#"var csrfToken = "k9f3";"#, r#"var csrfToken = "REDACTED";"#),
            (r#"{"password":"hunter2!"}"#, r#"{"password":"REDACTED"}"#),
            (
                r#"x("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc")"#,
                r#"x("REDACTED")"#,
            ),
            (
                r#"import "./components/navigation-bar.js""#,
                r#"import "./components/navigation-bar.js""#,
            ),
            (r#"jQuery.fn.jquery="1.12.4""#, r#"jQuery.fn.jquery="1.12.4""#),
        ];
        for (input, expected) in cases {
            assert_eq!(script(input), expected);
        }
    }

    #[test]
    fn shapes_tell_values_apart_without_telling_them() {
        let one = Redactor::new([1; 32]);
        let shape = one.shape("9f86d081884c7d65");
        assert_eq!((shape.length, shape.charset), (16, Charset::Hex));
        assert!(shape.entropy > 3.0);
        assert_eq!(shape.hash, one.shape("9f86d081884c7d65").hash);
        assert_ne!(shape.hash, Redactor::new([2; 32]).shape("9f86d081884c7d65").hash);
        assert!(one.shape("aaaa").entropy.abs() < f32::EPSILON);
    }
}
