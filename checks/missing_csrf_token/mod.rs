//! # What it looks for
//!
//! Rendered forms that change something (POST) on the same site, that a session cookie would accompany, and that carry
//! no authenticity token.
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
//! Severity and confidence follow the weakest `SameSite` of the session cookies that would be sent:
//! - `None`: any site can send it. *high* if the form asks for a password, card data, a one-time code, an identity
//!   number or an e-mail address, else *medium*; *firm*.
//! - not given: browsers differ, and those that take it for `Lax` make exceptions. *medium*, *tentative*.
//! - `Lax`: not sent with a POST from another site, but with one from a sibling subdomain, and with GET if the server
//!   takes that as well. *low*, *tentative*.
//! - `Strict`: only a sibling subdomain is left. *info*, *tentative*.
//!
//! A session cookie known only by its shape makes it *tentative* at most. A login form is *low* and *tentative*,
//! whatever the cookies: there need be no session yet.
//!
//! # How to fix
//!
//! Switch on the protection of the framework and put its token into the form. Give session cookies `SameSite=Lax` or
//! `Strict` as a second line. If the server verifies `Origin` or `Sec-Fetch-Site` instead, say so in the site's file
//! with `csrf_defence`, and name tokens with unusual names in `csrf_token_fields`.
//!
//! # Known limits
//!
//! A token's presence does not prove that the server verifies it, and a random hidden value may be something else. A
//! token that a script adds on submission is not seen. Where a token cookie for double submission is sent along, a form
//! that the server exempts from the check of it is missed. State changed by GET, endpoints that only scripts call, and
//! sessions by Basic authentication or client certificate are not looked at. `__VIEWSTATE` of `ASP.NET` is taken for a
//! token, though it is one only if it is bound to the user.
//!
//! # References
//!
//! - CWE-352, Cross-Site Request Forgery: <https://cwe.mitre.org/data/definitions/352.html>
//! - OWASP, Cross-Site Request Forgery Prevention Cheat Sheet:
//!   <https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html>
//! - IETF, Cookies (RFC 6265bis), `SameSite`: <https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis>

mod token;

use std::collections::BTreeMap;

use url::Url;

use crate::check::{Check, CsrfDefence, Meta, Outcome, Subject};
use crate::evidence::{Cookie, Form, FormMethod, SameSite};
use crate::fields::{self, Sensitive};
use crate::hosts;
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};
use crate::session_cookie::{self, Recognised};
use crate::stable::{same_site, template};

/// Forms that another site can submit in a visitor's name.
pub struct MissingCsrfToken;

static META: Meta = Meta {
    id: "missing-csrf-token",
    version: 1,
    title: "A form can be submitted by another site in the visitor's name",
    severity: Severity::Medium,
    cwe: 352,
    source: include_str!("mod.rs"),
};

/// What a form without a token comes to.
struct Verdict {
    kind: &'static str,
    severity: Severity,
    confidence: Confidence,
    reason: &'static str,
}

impl Check for MissingCsrfToken {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        if subject.site.csrf_defence != CsrfDefence::None {
            return Outcome::default();
        }
        let mut observations: BTreeMap<Cause, Observation> = BTreeMap::new();
        for form in &subject.evidence.forms {
            for observation in look(subject, form) {
                let known = observations
                    .entry(observation.cause.clone())
                    .or_insert_with(|| observation.clone());
                if (observation.severity, observation.confidence) > (known.severity, known.confidence) {
                    *known = observation;
                }
            }
        }
        Outcome {
            observations: observations.into_values().collect(),
            questions: Vec::new(),
        }
    }
}

fn look(subject: &Subject<'_>, form: &Form) -> Vec<Observation> {
    let Some(document) = hosts::document_url(subject.evidence, &form.frame) else {
        return Vec::new();
    };
    if fields::is_search(form) || token::in_document(subject, form) {
        return Vec::new();
    }
    fields::targets(form)
        .into_iter()
        .filter(|(_, method)| *method == FormMethod::Post)
        .filter_map(|(action, _)| Url::parse(action).ok())
        .filter(|target| is_same_site(&document, target) && !token::in_target(subject, target))
        .filter_map(|target| {
            let cookies = session_cookie::sent_to(&subject.evidence.cookies, &target);
            let verdict = judge(form, &cookies)?;
            Some(observe(subject, form, &target, &verdict, &cookies))
        })
        .collect()
}

fn is_same_site(document: &Url, target: &Url) -> bool {
    let web = matches!(target.scheme(), "http" | "https");
    web && document
        .host_str()
        .zip(target.host_str())
        .is_some_and(|(one, other)| same_site(one, other))
}

fn judge(form: &Form, cookies: &[(&Cookie, Recognised)]) -> Option<Verdict> {
    if fields::is_login(form) {
        return Some(Verdict {
            kind: "login",
            severity: Severity::Low,
            confidence: Confidence::Tentative,
            reason: "a login without a token lets another site log the visitor in to an account of its own",
        });
    }
    let (severity, confidence, reason) = match weakest(cookies)?.same_site {
        SameSite::None => {
            let grave = fields::asked(form, false)
                .iter()
                .any(|kind| !matches!(kind, Sensitive::Personal));
            let severity = if grave { Severity::High } else { Severity::Medium };
            (
                severity,
                Confidence::Firm,
                "the session cookie has SameSite=None: any site can have it sent",
            )
        }
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
        confidence: if by_name { confidence } else { Confidence::Tentative },
        reason,
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
    let title = if verdict.kind == "login" {
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
