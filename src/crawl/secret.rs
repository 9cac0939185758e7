//! What looks like a session id, a token or a password. In a URL it makes no page of its own, and it must not be stored.

use std::borrow::Cow;

use url::form_urlencoded;

/// Stands where a secret was.
pub const REDACTED: &str = "REDACTED";

/// Names whose values are always secret or are for one session only.
const ALWAYS: &[&str] = &[
    "_token",
    "_wpnonce",
    "access_token",
    "accesstoken",
    "api_key",
    "apikey",
    "auth_token",
    "authenticity_token",
    "authorization",
    "authtoken",
    "cfid",
    "cftoken",
    "client_secret",
    "__requestverificationtoken",
    "id_token",
    "jsessionid",
    "jwt",
    "otp",
    "phpsessid",
    "pwd",
    "refresh_token",
    "reset_token",
    "secret",
    "sectok",
    "sesskey",
    "session_id",
    "sessionid",
    "session_token",
    "sessiontoken",
    "sessid",
    "sig",
    "signature",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
];

/// The same for names that hold one of these: `registration[_csrf_token]`, `new_password`.
const ALWAYS_IN: &[&str] = &["aspsessionid", "csrf", "xsrf", "passw", "access_token"];

/// Names whose values are secret only if they look it; `sid=12` may well be a story.
const IF_LONG: &[&str] = &["auth", "code", "hash", "key", "sid", "state", "ticket"];

/// The same for names that hold one of these.
const IF_LONG_IN: &[&str] = &[
    "api-key",
    "api_key",
    "apikey",
    "authoriz",
    "credential",
    "nonce",
    "secret",
    "sessid",
    "session",
    "signature",
    "token",
];

/// What is long for those, in characters.
const LONG: usize = 16;

/// Whether the value under this name is a secret or is for one session only. Both are decoded; the name is that of a
/// parameter, a field, a header or a meta element.
pub fn is_secret(name: &str, value: &str) -> bool {
    is_secret_by_itself(name, value) || holds_secret_parameter(value)
}

fn is_secret_by_itself(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is =
        |whole: &[&str], part: &[&str]| whole.contains(&name.as_str()) || part.iter().any(|part| name.contains(part));
    value == REDACTED
        || is_web_token(value)
        || is_authorization(value)
        || is(ALWAYS, ALWAYS_IN)
        || (value.chars().count() >= LONG && !are_words(value) && is(IF_LONG, IF_LONG_IN))
}

/// A JSON Web Token: three parts of Base64, the first of which is an object.
pub fn is_web_token(value: &str) -> bool {
    value.starts_with("eyJ") && value.len() >= 40 && value.matches('.').count() == 2 && !value.contains('/')
}

/// The value of an `Authorization` header.
fn is_authorization(value: &str) -> bool {
    value
        .split_once(' ')
        .is_some_and(|(scheme, rest)| matches!(scheme, "Bearer" | "Basic") && rest.len() >= 8 && !rest.contains(' '))
}

/// Several words in small letters: `?session=a-better-web`.
fn are_words(value: &str) -> bool {
    let is_gap = |byte: u8| matches!(byte, b'-' | b'_' | b' ' | b',' | b'/');
    value.bytes().any(is_gap) && value.bytes().all(|byte| byte.is_ascii_lowercase() || is_gap(byte))
}

/// A URL within a value, with a secret of its own: `?next=/reset?token=…`.
pub(super) fn holds_secret_parameter(value: &str) -> bool {
    let is_url = value.starts_with('/') || value.contains("://");
    is_url
        && value.split(['?', '&', '#', ';']).skip(1).any(|part| {
            form_urlencoded::parse(part.as_bytes())
                .next()
                .is_some_and(|(name, value)| !value.is_empty() && is_secret_by_itself(&name, &value))
        })
}

/// A path without the session ids that some servers put into it: `/a;jsessionid=…/b`, `/(S(…))/a`.
pub fn without_session_segments(path: &str) -> Cow<'_, str> {
    if !path.contains([';', '(']) {
        return Cow::Borrowed(path);
    }
    let segments: Vec<_> = path
        .split('/')
        .map(|segment| {
            let kept: Vec<_> = segment
                .split(';')
                .enumerate()
                .filter(|(index, part)| *index == 0 || !is_session_parameter(part))
                .map(|(_, part)| part)
                .collect();
            kept.join(";")
        })
        .filter(|segment| !is_cookieless_session(segment))
        .collect();
    let path = segments.join("/");
    if path.starts_with('/') {
        Cow::Owned(path)
    } else {
        Cow::Owned(format!("/{path}"))
    }
}

fn is_session_parameter(part: &str) -> bool {
    part.split_once('=').is_some_and(|(name, value)| is_secret(name, value))
}

/// ASP.NET's sessions without cookies: `(S(…))`, or several such letters.
fn is_cookieless_session(segment: &str) -> bool {
    let Some(mut rest) = segment.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else {
        return false;
    };
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let ticket = rest
            .strip_prefix(|c: char| c.is_ascii_uppercase())
            .and_then(|rest| rest.strip_prefix('('))
            .and_then(|rest| rest.split_once(')'));
        match ticket {
            Some((id, after)) if !id.is_empty() && !id.contains('(') => rest = after,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_harmless_values() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl";
        let cases = [
            ("PHPSESSID", "x", true),
            ("ASPSESSIONIDQQ", "x", true),
            ("shop_csrf_token", "x", true),
            ("registration[_csrf_token]", "x", true),
            ("newPassword", "x", true),
            ("x-auth-token", "0123456789abcdef0", true),
            ("x-echo", "Bearer 0a1b2c3d4e", true),
            ("x-echo", "Basic training for all", false),
            ("session", "3", false),
            ("session", "building-a-better-web", false),
            ("session", "qhfzplwmcbvnxjdk", true),
            ("next", "/cb?state=0123456789abcdef0", true),
            ("next", "https://shop.test/a?page=2#token=blue", false),
            ("next", "/a?password=x", true),
            ("code", REDACTED, true),
            ("sectok", "x", true),
            ("sid", "12", false),
            ("sid", "0123456789abcdef0", true),
            ("token", "blue", false),
            ("code", "DE", false),
            ("data", token, true),
            ("data", "eyJ", false),
            ("page", "0123456789abcdef0", false),
            ("q", "what is a token", false),
        ];
        for (name, value, secret) in cases {
            assert_eq!(is_secret(name, value), secret, "{name}={value}");
        }
    }

    #[test]
    fn sessions_in_paths_are_removed() {
        let cases = [
            ("/a;JSESSIONID=12/b", "/a/b"),
            ("/a;v=1;jsessionid=12;w=2", "/a;v=1;w=2"),
            ("/(S(abc))/a", "/a"),
            ("/(S(abc));jsessionid=12/a", "/a"),
            ("/(A(abc)S(def))", "/"),
            ("/f(x)/(y)", "/f(x)/(y)"),
            ("/(S())/a", "/(S())/a"),
            ("/()", "/()"),
        ];
        for (path, expected) in cases {
            assert_eq!(without_session_segments(path), expected, "{path}");
        }
    }
}
