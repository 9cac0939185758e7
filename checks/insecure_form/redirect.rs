//! What becomes of a form that the scan sent: redirects from https to http.

use url::Url;

use super::upgrade::Upgrades;
use super::{Flaw, Found, worst};
use crate::check::Subject;
use crate::evidence::{Form, FormMethod, Hop, Request};
use crate::fields;
use crate::hosts;
use crate::observation::{Confidence, Severity};
use crate::stable::template;

/// The flaws of forms that were sent, each with its form and the form's document.
pub(super) fn flaws<'e>(subject: &Subject<'e>, upgrades: &Upgrades) -> Vec<(&'e Form, Url, Found)> {
    let evidence = subject.evidence;
    let mut found = Vec::new();
    for request in evidence.requests.iter().filter(|request| request.method == "POST") {
        let Some((hop, target)) = leak(request, upgrades) else {
            continue;
        };
        let sent = evidence.forms.iter().find(|form| is_of(form, &target));
        let Some((form, document)) = sent.and_then(|form| Some((form, hosts::document_url(evidence, &form.frame)?)))
        else {
            continue;
        };
        let again = matches!(hop.status, 307 | 308);
        let asked = fields::asked(form, true);
        found.push((
            form,
            document,
            Found {
                flaw: if again { Flaw::SentAgain } else { Flaw::LedOn },
                target,
                method: FormMethod::Post,
                severity: if again { worst(&asked) } else { Severity::Low },
                asked,
                confidence: Confidence::Firm,
                note: None,
                led_to: Some((hop.to.clone(), hop.status)),
            },
        ));
    }
    found
}

/// The first redirect of a request from https to http that the browser would follow there, and what was asked for.
fn leak<'e>(request: &'e Request, upgrades: &Upgrades) -> Option<(&'e Hop, Url)> {
    let hop = request.redirects.iter().find(|hop| {
        let to = Url::parse(&hop.to).ok();
        let clear = to.is_some_and(|to| to.scheme() == "http" && !hosts::is_loopback(&to) && !upgrades.cover(&to));
        clear && hop.url.starts_with("https:")
    })?;
    Some((hop, Url::parse(&request.url).ok()?))
}

/// Whether a form sends there by POST.
fn is_of(form: &Form, target: &Url) -> bool {
    fields::targets(form).into_iter().any(|(action, method)| {
        method == FormMethod::Post && Url::parse(action).is_ok_and(|action| template(&action) == template(target))
    })
}
