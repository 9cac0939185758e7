//! # What it looks for
//!
//! Forms whose data travels unprotected: a form on a secure page that submits to http (by its own `action` or that of
//! one of its buttons), a form on a page served over http that asks for something sensitive, and a form that sends a
//! password in the URL (`method=get`).
//!
//! # Why it matters
//!
//! Whoever sits between the visitor and the server reads what is sent over http, and can change a page that comes over
//! http so that its form submits elsewhere. A password in a URL stays in the browser's history, in the logs of every
//! server and proxy on the way, and in the `Referer` header of the next request.
//!
//! # How it decides
//!
//! It looks at forms as they are after scripts ran, with actions as the browser resolved them. A target that the
//! browser itself would move to https does not count: the page sends `upgrade-insecure-requests`, or the target's host
//! announced `Strict-Transport-Security` while the page loaded. Loopback hosts, `method=dialog` and actions that are
//! not http or https never count. One observation is made per kind, template of the target, method and kinds of
//! sensitive fields.
//!
//! Where the scan sends a form by POST (in the mode `full`), the answer counts, too: a redirect with 307 or 308 from
//! https to http has the browser send everything once more in the clear, one with another status tells the address that
//! it leads to.
//!
//! Severity of data sent over http, or asked for on a page served over http, by the most sensitive field: *high* for
//! passwords, card data, one-time codes and identity numbers; *medium* for e-mail and personal data; *low* for the
//! rest, on secure pages only. A plain search box (GET, one field, nothing sensitive) is *low*, and only if the request
//! would carry a session cookie without `Secure`; else it is not reported. A password in the URL is *medium*: it takes
//! somebody who reads a log. What is sent again counts as what is sent over http; an address alone is *low*.
//!
//! Confidence: *firm*, since the browser resolved the target; *tentative* if the form cannot be seen, if each of its
//! buttons submits elsewhere, or, for a password in the URL, if the form has no action, because a script probably
//! sends it.
//!
//! # How to fix
//!
//! Serve the page and the target over https and write the action with `https:` or as a path. Send
//! `Strict-Transport-Security`. Give forms with passwords `method="post"`.
//!
//! # Known limits
//!
//! A script that changes the target or sends the data itself when the form is submitted is not seen unless the scan
//! submits the form, and so are redirects of its target. No scan sends a form that asks for a password. Fields whose
//! names are in a language that is not known here are recognised by their type or `autocomplete` only. A host that is
//! secure only by a browser's preload list counts as insecure. The full browser would warn before it sends a form over
//! http; a scan switches that off, so that both browsers show the same.
//!
//! # References
//!
//! - CWE-319, Cleartext Transmission of Sensitive Information: <https://cwe.mitre.org/data/definitions/319.html>
//! - CWE-598, Use of GET Request Method With Sensitive Query Strings: <https://cwe.mitre.org/data/definitions/598.html>
//! - W3C, Secure Contexts: <https://www.w3.org/TR/secure-contexts/>
//! - W3C, Upgrade Insecure Requests: <https://www.w3.org/TR/upgrade-insecure-requests/>

mod redirect;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use crate::check::{Check, Meta, Outcome, Subject};
use crate::evidence::{Form, FormMethod};
use crate::fields::{self, Sensitive};
use crate::hosts;
use crate::look::{Look, Seen};
use crate::observation::{Cause, Confidence, Fact, Observation, Severity};
use crate::session_cookie;
use crate::stable::template;
use upgrade::Upgrades;

/// Forms whose data travels unprotected.
pub struct InsecureForm;

static META: Meta = Meta {
    id: "insecure-form",
    version: 2,
    title: "A form sends its data unprotected",
    severity: Severity::Medium,
    cwe: 319,
    source: include_str!("mod.rs"),
};

/// What is wrong with a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Flaw {
    /// A secure page submits to http.
    Action,
    /// The page itself came over http.
    Page,
    /// A password goes into the URL.
    PasswordInUrl,
    /// What was sent to https is sent once more, to http.
    SentAgain,
    /// An address that follows upon what was sent goes over http.
    LedOn,
}

impl Flaw {
    fn as_str(self) -> &'static str {
        match self {
            Self::Action => "insecure-action",
            Self::Page => "insecure-page",
            Self::PasswordInUrl => "password-in-url",
            Self::SentAgain => "sent-again",
            Self::LedOn => "led-on",
        }
    }
}

/// A flaw of one way of submitting one form.
struct Found {
    flaw: Flaw,
    target: Url,
    method: FormMethod,
    asked: BTreeSet<Sensitive>,
    severity: Severity,
    confidence: Confidence,
    note: Option<&'static str>,
    /// Where a redirect led, and its status.
    led_to: Option<(String, u16)>,
}

impl Check for InsecureForm {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn look(&self, seen: &Seen<'_>) -> Option<Look> {
        let asks = match seen.fact("asks for") {
            "" => String::new(),
            names => format!(", which asks for {names}"),
        };
        let leads = match seen.fact("redirect") {
            "" => String::new(),
            redirect => format!(" The answer to it leads on by {redirect}."),
        };
        Some(Look::at(format!(
            "Look at the form that is sent to {} ({}){asks}: what is filled in there goes by {}.{leads}",
            seen.fact("action"),
            seen.fact("selector"),
            seen.fact("method")
        )))
    }

    fn needs_session(&self) -> bool {
        true
    }

    fn run(&self, subject: &Subject<'_>) -> Outcome {
        let upgrades = Upgrades::of(subject.evidence);
        let mut observations: BTreeMap<Cause, Observation> = BTreeMap::new();
        for form in &subject.evidence.forms {
            let Some(document) = hosts::document_url(subject.evidence, &form.frame) else {
                continue;
            };
            for found in flaws(subject, form, &document, &upgrades) {
                let observation = observe(subject, form, &document, &found);
                let known = observations
                    .entry(observation.cause.clone())
                    .or_insert_with(|| observation.clone());
                if (observation.severity, observation.confidence) > (known.severity, known.confidence) {
                    *known = observation;
                }
            }
        }
        for (form, document, found) in redirect::flaws(subject, &upgrades) {
            let observation = observe(subject, form, &document, &found);
            observations.entry(observation.cause.clone()).or_insert(observation);
        }
        Outcome {
            observations: observations.into_values().collect(),
            questions: Vec::new(),
        }
    }
}

fn flaws(subject: &Subject<'_>, form: &Form, document: &Url, upgrades: &Upgrades) -> Vec<Found> {
    let page_is_insecure = document.scheme() == "http" && !hosts::is_loopback(document);
    let own_target_is_used = form.submitters.is_empty() || form.submitters.iter().any(|button| button.action.is_none());
    let mut found = Vec::new();
    for (index, (action, method)) in fields::targets(form).into_iter().enumerate() {
        let Some(target) = Url::parse(action)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && method != FormMethod::Dialog)
        else {
            continue;
        };
        let used = index > 0 || own_target_is_used;
        let confidence = if form.visible && used {
            Confidence::Firm
        } else {
            Confidence::Tentative
        };
        let leaks = target.scheme() == "http" && !hosts::is_loopback(&target);
        if document.scheme() == "https" && leaks && !upgrades.cover(&target) {
            found.extend(insecure_action(subject, form, target.clone(), method, confidence));
        }
        let asked = fields::asked(form, false);
        if page_is_insecure && !asked.is_empty() {
            found.push(Found {
                flaw: Flaw::Page,
                target: target.clone(),
                method,
                severity: worst(&asked),
                asked,
                confidence,
                note: None,
                led_to: None,
            });
        }
        let sent = fields::asked(form, true);
        if method == FormMethod::Get && sent.contains(&Sensitive::Password) {
            found.push(Found {
                flaw: Flaw::PasswordInUrl,
                target,
                method,
                asked: sent,
                severity: Severity::Medium,
                confidence: if form.has_action {
                    confidence
                } else {
                    Confidence::Tentative
                },
                note: (!form.has_action).then_some("without an action, a script probably sends this form"),
                led_to: None,
            });
        }
    }
    found
}

fn insecure_action(
    subject: &Subject<'_>,
    form: &Form,
    target: Url,
    method: FormMethod,
    confidence: Confidence,
) -> Option<Found> {
    let asked = fields::asked(form, true);
    let mut note = None;
    if method == FormMethod::Get && asked.is_empty() && fields::is_search(form) {
        if session_cookie::of_visitor(subject, &target).is_empty() {
            return None;
        }
        note = Some("the request would carry a session cookie that has no Secure flag");
    }
    Some(Found {
        flaw: Flaw::Action,
        target,
        method,
        severity: worst(&asked),
        asked,
        confidence,
        note,
        led_to: None,
    })
}

fn worst(asked: &BTreeSet<Sensitive>) -> Severity {
    asked.iter().map(|kind| kind.severity()).max().unwrap_or(Severity::Low)
}

fn observe(subject: &Subject<'_>, form: &Form, document: &Url, found: &Found) -> Observation {
    let names: Vec<&str> = found.asked.iter().map(|kind| kind.as_str()).collect();
    let asked = if names.is_empty() {
        "other".to_owned()
    } else {
        names.join(",")
    };
    let method = method_name(found.method);
    let shown: String = template(&found.target).chars().take(100).collect();
    let title = match found.flaw {
        Flaw::Action => format!("A secure page submits a form to http://{shown}"),
        Flaw::Page => format!(
            "A page served over http asks for {} (form to {shown})",
            names.join(", ")
        ),
        Flaw::PasswordInUrl => format!("A form sends a password in the URL of {shown}"),
        Flaw::SentAgain => format!("What a form sends to {shown} is sent on to http by a redirect"),
        Flaw::LedOn => format!("After a form was sent to {shown}, a redirect leads on over http"),
    };
    let mut facts = vec![
        Fact::new("action", found.target.as_str()),
        Fact::new("method", method),
        Fact::new("asks for", names.join(", ")),
        Fact::new("form", form.snippet.as_str()),
        Fact::new("selector", form.selector.as_str()),
        Fact::new("document", document.as_str()),
    ];
    facts.retain(|fact| !fact.value.is_empty());
    if let Some((to, status)) = &found.led_to {
        facts.push(Fact::new("redirect", format!("{status} to {to}")));
    }
    facts.extend(found.note.map(|note| Fact::new("note", note)));
    facts.extend(Fact::steps(&form.path));
    Observation {
        check: META.id.to_owned(),
        check_version: META.version,
        severity: found.severity,
        confidence: found.confidence,
        title,
        cause: Cause::new(
            1,
            [
                ("kind", found.flaw.as_str().to_owned()),
                ("action", template(&found.target)),
                ("method", method.to_owned()),
                ("fields", asked),
            ],
        ),
        aliases: Vec::new(),
        facts,
        third_party: hosts::is_third_party(subject, &form.frame),
    }
}

fn method_name(method: FormMethod) -> &'static str {
    match method {
        FormMethod::Post => "post",
        FormMethod::Dialog => "dialog",
        FormMethod::Get | FormMethod::Unknown => "get",
    }
}

#[cfg(test)]
mod tests;
