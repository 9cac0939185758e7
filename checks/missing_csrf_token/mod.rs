//! # What it looks for
//!
//! Rendered forms that change something (POST) on the same site, and calls of scripts (`fetch`, `XMLHttpRequest`) that do,
//! that a session cookie would accompany, and that carry no authenticity token.
//!
//! # Why it matters
//!
//! Another site can put a copy of such a form on its own page and submit it in the name of whoever visits. The browser
//! adds the victim's session cookie, so the server takes the request for theirs. A login form without a token lets
//! another site log the visitor in to an account of the attacker's, who then sees what is entered there.
//!
//! # How it decides
//!
//! A form counts if it, or one of its buttons, submits by POST to the site of its own document and the browser holds a
//! session cookie that it would send there. A session cookie is known by the name that well-known software gives it,
//! or by a random value that is hidden from scripts or ends with the browser session. Cookies that count visitors,
//! balance load or keep a preference never are.
//!
//! A form is protected if it has a hidden field with a name that frameworks or the site's file give tokens, or any
//! hidden field whose value looks random (16 characters or more) and whose name is not that of an identifier or an
//! address; if such a token is in the query of its action; if its document has a token in a `meta` element; or if a
//! token cookie for double submission would be sent along. Search forms never count. If the site's file says that the
//! server verifies `Origin` or fetch metadata, nothing is reported.
//!
//! With `csrf_proof` in the site's file, which takes the mode `full`, forms that ask for nothing but words and do not read
//! as if they ended or removed something are sent a few times, ten kinds of them in a scan: as the page does, without any
//! cookie, and from another origin, without the token and with a wrong one, each with a word of its own that is looked
//! for afterwards on a page that is asked for anew. If the first word is there and the second is not, so that the session
//! counts, then a third one there is a proof: *certain*, also for a token that is present but not verified. If the session
//! cookie has `SameSite=None` and only the page's own submission has an effect, a form without a token is *tentative*.
//!
//! Severity and confidence follow the weakest `SameSite` of the session cookies that would be sent:
//! - `None`: any site can send it. *high* if the form asks for a password, card data, a one-time code, an identity
//!   number or an e-mail address, else *medium*; *firm*.
//! - not given: browsers differ, and those that take it for `Lax` make exceptions. *medium*, *tentative*.
//! - `Lax`: not sent with a POST from another site, but with one from a sibling subdomain, and with GET if the server
//!   takes that as well. *low*, *tentative*.
//! - `Strict`: only a sibling subdomain is left. *info*, *tentative*.
//!
//! A form with a token is looked at once more as a new visitor gets it: one request by GET for the form's document,
//! without cookies, for each kind of form and scan. If all that was taken for its token is the same there, a token by
//! name is a finding of its own: it is the same for everybody, so another site can get it as well. A value that only
//! looked like a token then counts for none, and a cookie that only looked like a session's for none either. What
//! `MediaWiki` and `WordPress` give to all who are not logged in is no finding: it acts for nobody.
//!
//! A session cookie known only by its shape makes it *tentative* at most, and has the page looked at once more without
//! cookies as well: a value that a new visitor gets, too, is no session; and if a new visitor is refused or sent to a
//! login, and it is the only such cookie, it is one, as if known by name. A login form is *low* and *tentative*,
//! whatever the cookies: there need be no session yet. A token that is the same for everybody is as bad as none, and
//! *firm*.
//!
//! If the session begins on another page of the scan, a form without a token that was seen before is judged with it, as
//! far as the cookie is known by its name, and *tentative*: the server may add a token once there is a session.
//!
//! A call of a script counts by the same rules, as it was made or stopped, if it is sent by POST and its path does not read
//! as one that searches, counts or logs. It is protected by a header of its own that names a token, is
//! `X-Requested-With` or `Authorization`, or whose value looks random, and by a field that would protect a form. What
//! another site's page may send only after the server gave leave (a body of JSON, a header of the call's own) is *low* at
//! most where the cookie is `SameSite=None`, *info* where nothing is said, else nothing; *tentative*, as many servers read
//! the same body as plain text or from a form. A token cookie that the call does not repeat makes it *tentative* as well.
//! So does a call with which no session cookie went along as it was made, if the cookie may have come only later; where
//! the browser held it and it did not go along, as with `credentials: 'omit'`, nothing is reported. Where a form on the
//! page is sent to the same address, the form is judged.
//!
//! # How to fix
//!
//! Switch on the protection of the framework and put its token into the form. Give session cookies `SameSite=Lax` or
//! `Strict` as a second line. If the server verifies `Origin` or `Sec-Fetch-Site` instead, say so in the site's file
//! with `csrf_defence`, and name tokens with unusual names in `csrf_token_fields`.
//!
//! # Known limits
//!
//! A token's presence does not prove that the server verifies it, unless `csrf_proof` has it tried. A token that a script adds on submission is not seen,
//! and one that a script makes, or that is shown only after a login, is not compared with a new visitor's. Where a token
//! cookie for double submission is sent along, a form that the server exempts from the check of it is missed. State
//! changed by GET, calls by other methods than POST (which another site's page may make with leave only), those of
//! workers, beacons, and sessions by Basic authentication or client certificate are not looked at; nor whether a call's
//! token is everybody's. `__VIEWSTATE` of `ASP.NET` is taken for a token, though it is one only if it is bound to the user.
//!
//! # References
//!
//! - CWE-352, Cross-Site Request Forgery: <https://cwe.mitre.org/data/definitions/352.html>
//! - OWASP, Cross-Site Request Forgery Prevention Cheat Sheet:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html>
//! - IETF, Cookies (RFC 6265bis), `SameSite`: <https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis>

mod endpoint;
mod replay;
mod seen;
mod token;

use std::collections::BTreeMap;

use url::Url;

use crate::check::{Check, CsrfDefence, Meta, Outcome, Subject};
use crate::evidence::{Answer, Cookie, Form, FormMethod, FreshPlace, FreshValue, SameSite};
use crate::fields::{self, Sensitive};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Question, Severity};
use crate::session_cookie::{self, Recognised};
use crate::stable::{same_site, template};
pub use replay::UNVERIFIED_TOKEN;
use token::Token;

/// Forms that another site can submit in a visitor's name.
pub struct MissingCsrfToken;

static META: Meta = Meta {
    id: "missing-csrf-token",
    version: 5,
    title: "A form can be submitted by another site in the visitor's name",
    severity: Severity::Medium,
    cwe: 352,
    source: include_str!("mod.rs"),
};

/// The kind of a form that logs in.
const LOGIN: &str = "login";

/// What a form without a token comes to.
struct Verdict {
    kind: &'static str,
    severity: Severity,
    confidence: Confidence,
    reason: &'static str,
    /// The token that is there and is everybody's.
    token: Option<String>,
}

impl Check for MissingCsrfToken {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        Some(Look::at(seen::look(seen)))
    }

    fn needs_session(&self) -> bool {
        true
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        if subject.site.csrf_defence != CsrfDefence::None {
            return Outcome::default();
        }
        let mut observations: BTreeMap<Cause, Observation> = BTreeMap::new();
        let mut questions = Vec::new();
        for form in &subject.evidence.forms {
            for observation in look(subject, form, &mut questions) {
                let known = observations
                    .entry(observation.cause.clone())
                    .or_insert_with(|| observation.clone());
                if (observation.severity, observation.confidence) > (known.severity, known.confidence) {
                    *known = observation;
                }
            }
        }
        for endpoint in &subject.evidence.endpoints {
            if let Some(observation) = endpoint::look(subject, endpoint, &mut questions) {
                observations.entry(observation.cause.clone()).or_insert(observation);
            }
        }
        Outcome {
            observations: observations.into_values().collect(),
            questions,
        }
    }
}

fn look(subject: &Subject<'_>, form: &Form, questions: &mut Vec<Question>) -> Vec<Observation> {
    let Some(mut document) = hosts::document_url(subject.evidence, &form.frame) else {
        return Vec::new();
    };
    document.set_fragment(None);
    if fields::is_search(form) {
        return Vec::new();
    }
    let in_document = token::in_document(subject, form);
    fields::targets(form)
        .into_iter()
        .filter(|(_, method)| *method == FormMethod::Post)
        .filter_map(|(action, _)| Url::parse(action).ok())
        .filter(|target| is_same_site(&document, target))
        .filter_map(|target| {
            let seen = look_at(subject, form, (&document, &target), &in_document, questions);
            replay::settle(subject, form, (&document, &target), seen, questions)
        })
        .collect()
}

/// What is said of a form that is sent to one of its targets, by what can be seen.
fn look_at(
    subject: &Subject<'_>,
    form: &Form,
    (document, target): (&Url, &Url),
    in_document: &[Token<'_>],
    questions: &mut Vec<Question>,
) -> Option<Observation> {
    let mut cookies = session_cookie::sent_to(&subject.evidence.cookies, target);
    let in_target = token::in_target(subject, target);
    let tokens: Vec<&Token<'_>> = in_document.iter().chain(&in_target).collect();
    if cookies.is_empty() && tokens.is_empty() && !fields::is_login(form) {
        return with_a_later_session(subject, form, target);
    }
    let verdict = judge(form, &cookies, false)?;
    let by_shape = cookies.iter().all(|(_, how)| *how == Recognised::ByShape);
    if tokens.is_empty() && (!by_shape || verdict.kind == LOGIN) {
        return Some(observe(subject, form, target, &verdict, &cookies));
    }
    let look = second_look(subject, &form.frame, (document, target), questions);
    if tokens.is_empty() && look.is_none() {
        return Some(observe(subject, form, target, &verdict, &cookies));
    }
    let (values, refused) = look?;
    // What every visitor gets is no session either.
    cookies.retain(|(cookie, how)| *how == Recognised::ByName || !is_common(cookie, values));
    let verdict = judge(form, &cookies, refused && cookies.len() == 1)?;
    if tokens.is_empty() {
        return Some(observe(subject, form, target, &verdict, &cookies));
    }
    let lives = |token: &&Token<'_>| token.nobodys || !token.is_in(values);
    if tokens.iter().any(lives) {
        return None;
    }
    let verdict = match tokens.iter().find(|token| token.named) {
        Some(token) => Verdict {
            kind: "static-token",
            confidence: Confidence::Firm,
            token: Some(token.name.to_owned()),
            ..verdict
        },
        // By its look alone it was taken for a token, and is none.
        None => verdict,
    };
    Some(observe(subject, form, target, &verdict, &cookies))
}

/// A form that was seen before the session began, on another page. The server may add a token from then on, so this is
/// never sure, and only for sessions that are known by their name.
fn with_a_later_session(subject: &Subject<'_>, form: &Form, target: &Url) -> Option<Observation> {
    let mut cookies = session_cookie::sent_to(subject.elsewhere, target);
    cookies.retain(|(_, how)| *how == Recognised::ByName);
    let verdict = Verdict {
        confidence: Confidence::Tentative,
        ..judge(form, &cookies, false)?
    };
    let mut observation = observe(subject, form, target, &verdict, &cookies);
    let note = "the browser held the cookie on other pages of the scan, and not yet on this one";
    observation.facts.push(Fact::new("session", note));
    Some(observation)
}

/// What a new visitor gets in the place of a form's tokens, and whether none is let in. It is asked for if it is not
/// known; `None` until then, and where it cannot be known.
fn second_look<'e>(
    subject: &Subject<'e>,
    frame: &str,
    (document, target): (&Url, &Url),
    questions: &mut Vec<Question>,
) -> Option<(&'e [FreshValue], bool)> {
    let question = Question::FreshLook {
        url: document.to_string(),
        form: template(target),
    };
    for answer in &subject.evidence.answers {
        match answer {
            Answer::Fresh {
                url,
                form,
                values,
                refused,
            } => {
                let asked = Question::FreshLook {
                    url: url.clone(),
                    form: form.clone(),
                };
                if asked == question {
                    return Some((values, *refused));
                }
            }
            Answer::NotAsked { question: asked, .. } if *asked == question => return None,
            _ => {}
        }
    }
    // What capture took out of an address cannot be asked for.
    let whole = !document.as_str().contains("REDACTED") && !subject.evidence.page.session_in_path;
    if whole && !hosts::is_third_party(subject, frame) && !questions.contains(&question) {
        questions.push(question);
    }
    None
}

/// Whether a new visitor gets the same cookie with the same value.
fn is_common(cookie: &Cookie, values: &[FreshValue]) -> bool {
    values
        .iter()
        .any(|value| value.place == FreshPlace::Cookie && value.name == cookie.name && value.hash == cookie.value.hash)
}

fn is_same_site(document: &Url, target: &Url) -> bool {
    let web = matches!(target.scheme(), "http" | "https");
    web && document
        .host_str()
        .zip(target.host_str())
        .is_some_and(|(one, other)| same_site(one, other))
}

/// What a form comes to. `confirmed`: without the cookie, nobody is let in.
fn judge(form: &Form, cookies: &[(&Cookie, Recognised)], confirmed: bool) -> Option<Verdict> {
    if fields::is_login(form) {
        return Some(Verdict {
            kind: LOGIN,
            severity: Severity::Low,
            confidence: Confidence::Tentative,
            reason: "a login without a token lets another site log the visitor in to an account of its own",
            token: None,
        });
    }
    let grave = fields::asked(form, false)
        .iter()
        .any(|kind| !matches!(kind, Sensitive::Personal));
    by_same_site(cookies, grave, confirmed)
}

/// What `SameSite` of the session cookies makes of something without a token. `grave`: it carries what is worth most.
fn by_same_site(cookies: &[(&Cookie, Recognised)], grave: bool, confirmed: bool) -> Option<Verdict> {
    let (severity, confidence, reason) = match weakest(cookies)?.same_site {
        SameSite::None => (
            if grave { Severity::High } else { Severity::Medium },
            Confidence::Firm,
            "the session cookie has SameSite=None: any site can have it sent",
        ),
        SameSite::Unset | SameSite::Unknown => (
            Severity::Medium,
            Confidence::Tentative,
            "the session cookie has no SameSite: browsers differ, and those that take it for Lax make exceptions",
        ),
        SameSite::Lax => (
            Severity::Low,
            Confidence::Tentative,
            "the session cookie has SameSite=Lax: sibling subdomains, and GET if the server takes it, are left",
        ),
        SameSite::Strict => (
            Severity::Info,
            Confidence::Tentative,
            "the session cookie has SameSite=Strict: only a sibling subdomain is left",
        ),
    };
    let by_name = cookies.iter().any(|(_, how)| *how == Recognised::ByName);
    Some(Verdict {
        kind: "form",
        severity,
        confidence: if by_name || confirmed {
            confidence
        } else {
            Confidence::Tentative
        },
        reason,
        token: None,
    })
}

/// The session cookie that another site can have sent most easily. Those known by name stand before the others.
fn weakest<'a>(cookies: &[(&'a Cookie, Recognised)]) -> Option<&'a Cookie> {
    let best = cookies.iter().map(|(_, how)| *how).max()?;
    cookies
        .iter()
        .filter(|(_, how)| *how == best)
        .map(|(cookie, _)| *cookie)
        .max_by_key(|cookie| {
            (
                session_cookie::exposure(cookie.same_site),
                std::cmp::Reverse(&cookie.name),
            )
        })
}

fn observe(
    subject: &Subject<'_>,
    form: &Form,
    target: &Url,
    verdict: &Verdict,
    cookies: &[(&Cookie, Recognised)],
) -> Observation {
    let action = template(target);
    let shown: String = action.chars().take(110).collect();
    let title = if let Some(token) = &verdict.token {
        let token: String = token.chars().take(40).collect();
        format!("The CSRF token {token} of the form for {shown} is the same for everybody")
    } else if verdict.kind == LOGIN {
        format!("The login form for {shown} has no CSRF token")
    } else {
        format!("The form that posts to {shown} has no CSRF token")
    };
    let hidden: Vec<&str> = form
        .fields
        .iter()
        .filter(|field| field.kind == "hidden" && !field.name.is_empty())
        .map(|field| field.name.as_str())
        .collect();
    let mut facts = vec![
        Fact::new("action", target.as_str()),
        Fact::new("method", "post"),
        Fact::new("reason", verdict.reason),
        Fact::new("token", verdict.token.as_deref().unwrap_or_default()),
        Fact::new("form", form.snippet.as_str()),
        Fact::new("selector", form.selector.as_str()),
        Fact::new("hidden fields", hidden.join(", ")),
    ];
    facts.extend(weakest(cookies).map(|cookie| Fact::new("session cookie", cookie.name.as_str())));
    facts.extend(Fact::steps(&form.path));
    facts.retain(|fact| !fact.value.is_empty());
    Observation {
        check: META.id.to_owned(),
        check_version: META.version,
        severity: verdict.severity,
        confidence: verdict.confidence,
        title,
        cause: Cause::new(
            1,
            [
                ("kind", verdict.kind.to_owned()),
                ("action", action),
                ("method", "post".to_owned()),
            ],
        ),
        aliases: Vec::new(),
        facts,
        third_party: hosts::is_third_party(subject, &form.frame),
    }
}

#[cfg(test)]
mod tests;
