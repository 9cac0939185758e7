//! What it shows that a form was sent from another origin, where the site's file asks for it.

use url::Url;

use super::{META, by_same_site, observe, token, weakest};
use crate::check::Subject;
use crate::evidence::{Answer, Form, FreshPlace, SameSite};
use crate::fields::{self, Sensitive};
use crate::hosts;
use crate::observation::{Cause, Confidence, Fact, Observation, Question};
use crate::session_cookie;
use crate::stable::template;

/// The kind of finding that only sending the form shows.
pub const UNVERIFIED_TOKEN: &str = "unverified-token";

/// What came of it.
// They are the fields of an answer.
#[allow(clippy::struct_excessive_bools)]
struct Replayed {
    honest: bool,
    from_anybody: bool,
    without_token: bool,
    wrong_token: bool,
}

/// What is said of a form, with what sending it has shown. It is asked for if that is not known.
pub(super) fn settle(
    subject: &Subject<'_>,
    form: &Form,
    (document, target): (&Url, &Url),
    seen: Option<Observation>,
    questions: &mut Vec<Question>,
) -> Option<Observation> {
    if !subject.site.csrf_proof || !may_be_sent(subject, form, document) {
        return seen;
    }
    if seen.as_ref().is_some_and(|seen| !is_of_a_form(seen)) {
        return seen;
    }
    let cookies = session_cookie::sent_to(&subject.evidence.cookies, target);
    let Some(same_site) = weakest(&cookies).map(|cookie| cookie.same_site) else {
        return seen;
    };
    // The browser would leave the cookie at home, so nothing could be shown.
    if matches!(same_site, SameSite::Lax | SameSite::Strict) {
        return seen;
    }
    let tokens = token::in_document(subject, form);
    let token = tokens.iter().find(|token| token.place == Some(FreshPlace::Field));
    let token = token.map(|token| token.name).filter(|name| !name.contains("REDACTED"));
    let of_target = token::in_target(subject, target);
    let in_cookie = of_target.iter().any(|token| token.place == Some(FreshPlace::Cookie));
    // What stands in the form or its address is what is held against the server; a cookie alone may stand for nothing.
    if seen.is_none() && token.is_none() && (!in_cookie || !tokens.is_empty() || of_target.len() > 1) {
        return None;
    }
    let token = token.filter(|_| seen.is_none());
    let Some(replayed) = replayed(subject, form, (document, target), token, questions) else {
        return seen;
    };
    match (seen, token) {
        (Some(seen), _) => Some(judged(seen, &replayed, same_site)),
        (None, Some(token)) => unverified(subject, form, target, token, &replayed),
        (None, None) => {
            let proved = replayed.honest && !replayed.from_anybody && replayed.without_token;
            let verdict = by_same_site(&cookies, false, true).filter(|_| proved)?;
            Some(judged(
                observe(subject, form, target, &verdict, &cookies),
                &replayed,
                same_site,
            ))
        }
    }
}

/// Whether a form is one that may be sent a few times with words of ours: the visitor's own, with nothing in it that must
/// not be changed.
fn may_be_sent(subject: &Subject<'_>, form: &Form, document: &Url) -> bool {
    let of_page = subject.evidence.main_frame().is_some_and(|main| main.id == form.frame);
    let harmless = fields::asked(form, false)
        .iter()
        .all(|kind| *kind == Sensitive::Personal);
    let sends_files = form.fields.iter().any(|field| field.kind == "file");
    of_page
        && form.visible
        && !form.in_shadow_root
        && form.path.is_empty()
        && harmless
        && !sends_files
        && !fields::is_login(form)
        && !document.as_str().contains("REDACTED")
        && !subject.evidence.page.session_in_path
        && !hosts::is_third_party(subject, &form.frame)
}

fn is_of_a_form(seen: &Observation) -> bool {
    seen.cause.to_string().contains("kind=form")
}

fn replayed(
    subject: &Subject<'_>,
    form: &Form,
    (document, target): (&Url, &Url),
    token: Option<&str>,
    questions: &mut Vec<Question>,
) -> Option<Replayed> {
    let question = Question::Replay {
        url: document.to_string(),
        form: template(target),
        selector: form.selector.clone(),
        token: token.map(str::to_owned),
    };
    for answer in &subject.evidence.answers {
        match answer {
            Answer::Replayed {
                form,
                token: of,
                honest,
                from_anybody,
                without_token,
                wrong_token,
            } if *form == template(target) && of.as_deref() == token => {
                return Some(Replayed {
                    honest: *honest,
                    from_anybody: *from_anybody,
                    without_token: *without_token,
                    wrong_token: *wrong_token,
                });
            }
            Answer::NotAsked { question: asked, .. } if *asked == question => return None,
            _ => {}
        }
    }
    if !questions.contains(&question) {
        questions.push(question);
    }
    None
}

/// What is said of a form without a token.
fn judged(mut seen: Observation, replayed: &Replayed, same_site: SameSite) -> Observation {
    let note = match replayed {
        Replayed { honest: false, .. } => "the page's own submission left nothing to look for, so nothing is shown",
        Replayed { from_anybody: true, .. } => {
            "the server takes the form without any cookie as well: whose session it is may not matter"
        }
        Replayed {
            without_token: true, ..
        } => {
            seen.confidence = Confidence::Certain;
            "sent from another origin in the test account's name, and the server did what it asks"
        }
        // With no word in the cookie it is the browser that may have held it back.
        _ if same_site == SameSite::None => {
            seen.confidence = Confidence::Tentative;
            "sent from another origin, and the server did not do what it asks: it may verify something else"
        }
        _ => "sent from another origin, and nothing came of it: the browser may have held the cookie back",
    };
    seen.facts.push(Fact::new("replay", note));
    seen
}

/// What is said of a form with a token that the server does not look at.
fn unverified(
    subject: &Subject<'_>,
    form: &Form,
    target: &Url,
    token: &str,
    replayed: &Replayed,
) -> Option<Observation> {
    let proved = replayed.honest && !replayed.from_anybody && (replayed.without_token || replayed.wrong_token);
    if !proved {
        return None;
    }
    let cookies = session_cookie::sent_to(&subject.evidence.cookies, target);
    let verdict = by_same_site(&cookies, false, true)?;
    let how = match (replayed.without_token, replayed.wrong_token) {
        (true, true) => "without the token, and with a wrong one",
        (true, false) => "without the token",
        _ => "with a wrong token",
    };
    let action = template(target);
    let shown: String = action.chars().take(110).collect();
    let name: String = token.chars().take(40).collect();
    let mut facts = vec![
        Fact::new("action", target.as_str()),
        Fact::new("method", "post"),
        Fact::new("token", token),
        Fact::new(
            "replay",
            format!("sent from another origin {how}, in the test account's name, and the server did what it asks"),
        ),
        Fact::new("reason", verdict.reason),
        Fact::new("form", form.snippet.as_str()),
        Fact::new("selector", form.selector.as_str()),
    ];
    facts.extend(weakest(&cookies).map(|cookie| Fact::new("session cookie", cookie.name.as_str())));
    let parts = [
        ("kind", UNVERIFIED_TOKEN.to_owned()),
        ("action", action),
        ("method", "post".to_owned()),
    ];
    Some(META.observe(
        (verdict.severity, Confidence::Certain),
        &format!("The CSRF token {name} of the form for {shown} is present, but not verified"),
        Cause::new(1, parts),
        facts,
    ))
}
