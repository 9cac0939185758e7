//! What in a URL looks like a session id or a token. It makes no page of its own, and it must not be stored.

use std::borrow::Cow;

/// Parameters whose values are always secret or are for one session only.
const ALWAYS: &[&str] = &[
    "_csrf",
    "_token",
    "_wpnonce",
    "access_token",
    "accesstoken",
    "api_key",
    "apikey",
    "auth_token",
    "authenticity_token",
    "authtoken",
    "authorization",
    "cfid",
    "cftoken",
    "client_secret",
    "csrf",
    "csrfmiddlewaretoken",
    "csrftoken",
    "csrf_token",
    "__requestverificationtoken",
    "id_token",
    "jsessionid",
    "jwt",
    "passwd",
    "password",
    "phpsessid",
    "pwd",
    "refresh_token",
    "reset_token",
    "secret",
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
    "xsrf",
    "xsrf_token",
];

/// Parameters that are secret only if their value looks it; `sid=12` may well be a story.
const IF_LONG: &[&str] = &[
    "auth", "code", "hash", "key", "nonce", "sid", "state", "ticket", "token",
];

/// What is long for those, in characters.
const LONG: usize = 16;

/// Whether a query parameter, decoded, carries a session id or a token.
pub fn is_secret_parameter(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let named = ALWAYS.contains(&name.as_str())
        || name.starts_with("aspsessionid")
        || name.ends_with("csrf_token")
        || name.ends_with("csrftoken")
        || name.ends_with("access_token");
    named || (IF_LONG.contains(&name.as_str()) && value.chars().count() >= LONG) || is_web_token(value)
}

/// A JSON Web Token: three parts of Base64, the first of which is an object.
fn is_web_token(value: &str) -> bool {
    value.starts_with("eyJ") && value.len() >= 40 && value.matches('.').count() == 2 && !value.contains('/')
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
    part.split_once('=')
        .is_some_and(|(name, value)| is_secret_parameter(name, value))
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
    fn secret_parameters_are_told_from_harmless_ones() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl";
        let cases = [
            ("PHPSESSID", "x", true),
            ("ASPSESSIONIDQQ", "x", true),
            ("shop_csrf_token", "x", true),
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
            assert_eq!(is_secret_parameter(name, value), secret, "{name}={value}");
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
