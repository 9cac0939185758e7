//! Calls of scripts that another site could make as well.

use url::Url;

use super::{META, Verdict, by_same_site, is_common, is_same_site, second_look, token, weakest};
use crate::check::Subject;
use crate::evidence::{Cookie, Endpoint, EndpointToken, Fate, Field, ResourceKind, SameSite};
use crate::fields::{self, Sensitive};
use crate::hosts;
use crate::observation::{Cause, Confidence, Fact, Observation, Question, Severity};
use crate::session_cookie::{self, Recognised, is_token_cookie};
use crate::stable::template;

/// Bodies that a form of another site can send.
const FORM_TYPES: [&str; 4] = [
    "",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
];
/// Headers that pages may add without being asked for leave first.
const OPEN_HEADERS: [&str; 2] = ["content-language", "range"];
/// Words in the last parts of a path whose calls read, count or log, whatever their method.
const READING: &str = "search find query graphql suggest suggestions autocomplete lookup filter list count preview validate \
    check log logs track tracking collect collector telemetry metrics analytics beacon pixel rum vitals stats csp report \
    reports ping health heartbeat token refresh introspect";
/// Words in the last part of a path whose calls change something, whatever stands before it.
const WRITING: &str =
    "add create save update edit set change remove delete submit send post checkout buy order pay transfer";
/// Words in the last parts of a path that logs in.
const LOGINS: [&str; 7] = [
    "login",
    "logon",
    "signin",
    "auth",
    "authenticate",
    "session",
    "sessions",
];

/// What a call comes to, if another site could make it.
pub(super) fn look(subject: &Subject<'_>, endpoint: &Endpoint, questions: &mut Vec<Question>) -> Option<Observation> {
    let headers = endpoint.headers.as_deref()?;
    let by_script = matches!(endpoint.kind, ResourceKind::Fetch | ResourceKind::Xhr);
    if !by_script || endpoint.method != "POST" || endpoint.unread {
        return None;
    }
    let frame = endpoint.frame.as_deref()?;
    let mut document = hosts::document_url(subject.evidence, frame)?;
    document.set_fragment(None);
    let target = Url::parse(&endpoint.url).ok()?;
    let known = is_same_site(&document, &target) && !is_guarded(subject, endpoint, headers, &target);
    if !known || only_reads(&target) || is_of_a_form(subject, &target) {
        return None;
    }
    let asks_first = !FORM_TYPES.contains(&endpoint.content_type.as_str())
        || headers.iter().any(|name| !OPEN_HEADERS.contains(&name.as_str()));
    let mut notes = Vec::new();
    let mut cookies = session_cookie::sent_to(&subject.evidence.cookies, &target);
    if cookies.is_empty() {
        cookies = session_cookie::sent_to(subject.elsewhere, &target);
        cookies.retain(|(_, how)| *how == Recognised::ByName);
        notes.push("the browser held the session cookie on other pages of the scan, and not yet on this one");
    }
    let elsewhere = document.origin() != target.origin();
    notes.extend(keep_what_went_along(subject, endpoint, elsewhere, &mut cookies));
    let mut confirmed = false;
    if !cookies.is_empty()
        && cookies.iter().all(|(_, how)| *how == Recognised::ByShape)
        && let Some((values, refused)) = second_look(subject, frame, (&document, &target), questions)
    {
        cookies.retain(|(cookie, _)| !is_common(cookie, values));
        confirmed = refused && cookies.len() == 1;
    }
    let verdict = judge(endpoint, &target, &cookies, (asks_first, confirmed))?;
    if elsewhere {
        notes.push("the call goes to another origin of the site: whether cookies go along is the script's choice");
    }
    if may_be_guarded(endpoint) {
        notes.push("something deep in what is sent may be a token");
    }
    let mut held = subject.evidence.cookies.iter();
    if held.any(|cookie| is_token_cookie(&cookie.name.to_ascii_lowercase())) {
        notes.push("there is a token cookie, but this call does not repeat it");
    }
    Some(observe(subject, endpoint, &target, &verdict, &cookies, &notes))
}

/// Leaves the cookies that went along with the call. If there is none, those are left that may have come only later,
/// with words that say so: one that was there and did not go along never does, as the script asks for none. To another
/// origin, browsers name the cookies that could go along, whatever the script asks for.
fn keep_what_went_along(
    subject: &Subject<'_>,
    endpoint: &Endpoint,
    elsewhere: bool,
    cookies: &mut Vec<(&Cookie, Recognised)>,
) -> Option<&'static str> {
    let sent = endpoint.sent_cookies.as_ref()?;
    if elsewhere && !sent.is_empty() {
        return None;
    }
    if cookies.iter().any(|(cookie, _)| sent.contains(&cookie.name)) {
        cookies.retain(|(cookie, _)| sent.contains(&cookie.name));
        return None;
    }
    let before = &subject.evidence.page.cookies_before;
    cookies.retain(|(cookie, _)| !before.contains(&cookie.name));
    Some(if sent.is_empty() {
        "no cookie went along with the call as it was made: either the session began only later, or the script asks for \
         none to go along, and then this is no flaw"
    } else {
        "the session cookie did not go along with the call as it was made: the session began only later"
    })
}

/// Whether the call carries what another site does not know or may not send.
fn is_guarded(subject: &Subject<'_>, endpoint: &Endpoint, headers: &[String], target: &Url) -> bool {
    let by_header = headers.iter().any(|name| token::is_guarding_header(name));
    let by_name = endpoint.fields.iter().any(|name| token::is_token_name(subject, name))
        || endpoint.inner.iter().any(|name| token::is_surely_token(subject, name));
    let by_look = endpoint
        .tokens
        .iter()
        .any(|one| one.header || !one.inner && token::looks_like_token(&one.name, &one.value));
    let in_query = token::in_target(subject, target).iter().any(|one| one.place.is_none());
    by_header || by_name || by_look || in_query
}

/// Deep in what is sent there are tokens of many kinds, such as that of a device.
fn may_be_guarded(endpoint: &Endpoint) -> bool {
    let by_look = |one: &EndpointToken| one.inner && token::looks_like_token(&one.name, &one.value);
    endpoint.tokens.iter().any(by_look) || endpoint.inner.iter().any(|name| token::is_known_name(name))
}

fn only_reads(target: &Url) -> bool {
    let last = target
        .path()
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let last = fields::name_words(&[last]);
    let writes = WRITING
        .split_ascii_whitespace()
        .any(|word| last.contains(&format!(" {word} ")));
    !writes && READING.split_ascii_whitespace().any(|word| ends_with(target, word))
}

/// Whether a word stands in one of the last two parts of a path.
fn ends_with(target: &Url, word: &str) -> bool {
    let parts = target.path().trim_end_matches('/').rsplit('/').take(2);
    fields::name_words(&parts.collect::<Vec<_>>()).contains(&format!(" {word} "))
}

/// Whether a form on the page is sent to the same address: the flaw is the form's then.
fn is_of_a_form(subject: &Subject<'_>, target: &Url) -> bool {
    let action = template(target);
    subject.evidence.forms.iter().any(|form| {
        let mut targets = fields::targets(form).into_iter();
        targets.any(|(url, method)| {
            method == crate::evidence::FormMethod::Post && Url::parse(url).is_ok_and(|url| template(&url) == action)
        })
    })
}

fn judge(
    endpoint: &Endpoint,
    target: &Url,
    cookies: &[(&Cookie, Recognised)],
    (asks_first, confirmed): (bool, bool),
) -> Option<Verdict> {
    let names = endpoint.fields.iter().chain(&endpoint.inner);
    let asked: Vec<Sensitive> = names.filter_map(|name| asks_for(name)).collect();
    let weakest = weakest(cookies)?;
    if asks_first {
        let severity = match weakest.same_site {
            SameSite::None => Severity::Low,
            SameSite::Unset | SameSite::Unknown => Severity::Info,
            SameSite::Lax | SameSite::Strict => return None,
        };
        return Some(Verdict {
            kind: "call",
            severity,
            confidence: Confidence::Tentative,
            reason: "from another site, browsers ask the server for leave before they make this call as it is; without, \
                     it can be sent as plain text or as a form, if the server reads that as well",
            token: None,
        });
    }
    let is_login = asked.contains(&Sensitive::Password) && LOGINS.iter().any(|word| ends_with(target, word));
    if is_login {
        return Some(Verdict {
            kind: "login-call",
            severity: Severity::Low,
            confidence: Confidence::Tentative,
            reason: "a login without a token lets another site log the visitor in to an account of its own",
            token: None,
        });
    }
    let grave = asked.iter().any(|kind| *kind != Sensitive::Personal);
    Some(Verdict {
        kind: "call",
        ..by_same_site(cookies, grave, confirmed)?
    })
}

/// What a field asks for, by its name alone.
fn asks_for(name: &str) -> Option<Sensitive> {
    fields::sensitive(&Field {
        name: name.to_owned(),
        kind: "text".to_owned(),
        ..Field::default()
    })
}

fn observe(
    subject: &Subject<'_>,
    endpoint: &Endpoint,
    target: &Url,
    verdict: &Verdict,
    cookies: &[(&Cookie, Recognised)],
    notes: &[&str],
) -> Observation {
    let action = template(target);
    let shown: String = action.chars().take(110).collect();
    let confidence = if notes.is_empty() {
        verdict.confidence
    } else {
        Confidence::Tentative
    };
    let line = endpoint
        .initiator
        .line
        .map_or_else(String::new, |line| format!(", line {line}"));
    let by = endpoint.initiator.url.as_deref().map(|url| format!("{url}{line}"));
    let sent = match endpoint.fate {
        Fate::Sent => "yes",
        _ => "no, it was stopped",
    };
    let mut facts = vec![
        Fact::new("call", target.as_str()),
        Fact::new("method", "post"),
        Fact::new("reason", verdict.reason),
        Fact::new("content type", endpoint.content_type.as_str()),
        Fact::new("fields", endpoint.fields.join(", ")),
        Fact::new("headers", endpoint.headers.as_deref().unwrap_or_default().join(", ")),
        Fact::new("made by", by.unwrap_or_default()),
        Fact::new("sent", sent),
    ];
    facts.extend(notes.iter().map(|note| Fact::new("note", *note)));
    facts.extend(weakest(cookies).map(|cookie| Fact::new("session cookie", cookie.name.as_str())));
    facts.extend(Fact::steps(&endpoint.path));
    let parts = [
        ("kind", verdict.kind.to_owned()),
        ("action", action),
        ("method", "post".to_owned()),
    ];
    Observation {
        third_party: endpoint
            .frame
            .as_deref()
            .is_some_and(|frame| hosts::is_third_party(subject, frame)),
        ..META.observe(
            (verdict.severity, confidence),
            &format!("Calls of scripts to {shown} carry no CSRF token"),
            Cause::new(1, parts),
            facts,
        )
    }
}
