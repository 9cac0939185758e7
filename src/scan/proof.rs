//! Forms are sent from another origin where the site's file asks for a proof: few of them, one kind once in a scan.

use std::sync::Arc;

use phantom_checks::Question;
use phantom_checks::evidence::{Answer, Form, ResourceKind};
use phantom_checks::missing_csrf_token::UNVERIFIED_TOKEN;
use url::Url;

use super::ScanId;
use super::inspect::Inspected;
use super::run::Run;
use super::worker::Worker;
use crate::browser::{Captured, Replay};
use crate::crawl::{Asked, AskedBody, PageKey, looks_grave, reads_destructive};
use crate::store::{Store, StoreError};
use crate::triage::Finding;

/// Kinds of forms that are sent in one scan. Each is sent four times at most.
const MOST: u32 = 10;

/// Why a form was not sent that might have been at another time. Silence about it proves nothing.
const NOT_NOW: &str = "the scan or its browser was about to end";

/// Whether a scan may send a form.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplayTurn {
    /// Yes. It counts as sent.
    Go,
    /// It was sent: this came of it.
    Known(Answer),
    /// It is being sent, or was when the process that did it ended.
    Tried,
    /// So many were sent that this one is not.
    Enough,
}

impl Worker {
    /// Sends the forms of a page from another origin, as far as the checks ask for it, and has the checks look again. The
    /// page is left by that.
    pub(super) async fn prove(&mut self, captured: &mut Captured, inspected: &mut Inspected) {
        let questions = std::mem::take(&mut inspected.replays);
        if questions.is_empty() {
            return;
        }
        let run = Arc::clone(&self.run);
        for question in questions {
            let answer = self.answer(&run, &question, &captured.evidence.forms).await;
            if let Answer::NotAsked { why, .. } = &answer
                && why == NOT_NOW
            {
                let gap = format!("whether a server takes a form from another origin was not tried: {why}");
                captured.evidence.gaps.push(gap);
            }
            captured.evidence.answers.push(answer);
        }
        let (again, _) = run.inspector.run(&captured.evidence, &captured.scripts);
        let pictures = std::mem::take(&mut inspected.pictures);
        *inspected = Inspected { pictures, ..again };
    }

    async fn answer(&mut self, run: &Arc<Run>, question: &Question, forms: &[Form]) -> Answer {
        let Question::Replay {
            url,
            form,
            selector,
            token,
        } = question
        else {
            return not_asked(question, "it is no question about a form");
        };
        let token = token.as_deref();
        let Some(shown) = forms.iter().find(|form| form.selector == *selector) else {
            return not_asked(question, "the form is not known");
        };
        if let Some(why) = kept_from(run, shown) {
            return not_asked(question, why);
        }
        // What is claimed is not tried again when the scan goes on.
        if run.stop.is_cancelled() {
            return not_asked(question, NOT_NOW);
        }
        match run.store.claim_replay(&run.scan, form, token, MOST).await {
            Ok(ReplayTurn::Go) => {}
            Ok(ReplayTurn::Known(answer)) => return as_answer_to(question, answer),
            Ok(ReplayTurn::Tried) => return not_asked(question, "another page of the scan has begun to try it"),
            Ok(ReplayTurn::Enough) => return not_asked(question, "enough forms were sent in this scan"),
            Err(error) => {
                tracing::warn!(%error, %form, "a form was not sent from another origin: that could not be noted before");
                return not_asked(question, NOT_NOW);
            }
        }
        let answer = match self.send(run, (url, selector), token).await {
            Ok(replayed) => Answer::Replayed {
                form: form.clone(),
                token: token.map(str::to_owned),
                honest: replayed.honest,
                from_anybody: replayed.from_anybody,
                without_token: replayed.without_token,
                wrong_token: replayed.wrong_token,
            },
            Err(why) => not_asked(question, &why),
        };
        tracing::info!(%form, ?answer, "a form was to be sent from another origin");
        if let Err(error) = run.store.keep_replay(&run.scan, form, token, &answer).await {
            tracing::warn!(%error, %form, "what came of a form is not known to other pages");
        }
        answer
    }

    async fn send(
        &mut self,
        run: &Arc<Run>,
        (page, selector): (&str, &str),
        token: Option<&str>,
    ) -> Result<crate::browser::Replayed, String> {
        let page = Url::parse(page).map_err(|error| error.to_string())?;
        let replay = Replay {
            selector: selector.to_owned(),
            token: token.map(str::to_owned),
            words: std::array::from_fn(|_| format!("pg{:010x}", rand::random::<u64>() >> 24)),
            may_visit: run.may_visit(),
            guard: Arc::clone(&run.guard),
            may_go: run.may_go(&page),
            page,
        };
        run.remark(
            "forms were sent from another origin, too, because the site's file asks for it (csrf_proof); what they have left \
             there begins with `pg`"
                .to_owned(),
        );
        let replayed = run.stop.run_until_cancelled(self.slot().replay(&replay)).await;
        match replayed {
            None => Err(NOT_NOW.to_owned()),
            Some(Ok(replayed)) => replayed,
            Some(Err(error)) => {
                tracing::debug!(%error, "a form could not be sent from another origin");
                Err(NOT_NOW.to_owned())
            }
        }
    }
}

/// Why a form is never sent, if it is not.
fn kept_from(run: &Run, form: &Form) -> Option<&'static str> {
    if is_destructive(form) {
        return Some("it reads as if it ended or removed something, or moved money");
    }
    let asked = Asked {
        method: "POST",
        url: &form.action,
        kind: ResourceKind::Document,
        body: AskedBody::Known(""),
    };
    let refused = run.guard.judge(&asked).is_err();
    refused.then_some("the site's file keeps it from being sent")
}

/// Whether a form, or what sends it, says that it ends, removes or leaves something, or moves money.
fn is_destructive(form: &Form) -> bool {
    let says = |text: &str| reads_destructive(text, &[]);
    let by_address = |url: &str| Url::parse(url).is_ok_and(|url| looks_grave(&url));
    // What it is called stands in the attributes of its tag.
    let mut names = form
        .snippet
        .split(['"', '<', '>', '=', ' '])
        .filter(|name| !name.contains('/'));
    by_address(&form.action)
        || names.any(says)
        || form.fields.iter().any(|field| says(&field.name))
        || form
            .submitters
            .iter()
            .any(|one| says(&one.text) || says(&one.name) || one.action.as_deref().is_some_and(by_address))
}

/// Whether a scan has tried again, on any of these pages, what a finding was proved by. Most need no trying.
///
/// # Errors
/// If the store fails.
pub(super) async fn was_tried(
    store: &dyn Store,
    scan: &ScanId,
    finding: &Finding,
    pages: impl Iterator<Item = PageKey>,
) -> Result<bool, StoreError> {
    let part = |name: &str| finding.cause.parts.get(name).map(String::as_str);
    if part("kind") != Some(UNVERIFIED_TOKEN) {
        return Ok(true);
    }
    for page in pages {
        let Some(evidence) = store.evidence(scan, &page).await? else {
            continue;
        };
        let tried = |answer: &Answer| matches!(answer, Answer::Replayed { form, honest: true, .. } if part("action") == Some(form));
        if evidence.answers.iter().any(tried) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What came of a form, as the answer to another page's question about it.
fn as_answer_to(question: &Question, known: Answer) -> Answer {
    match known {
        Answer::NotAsked { why, .. } => not_asked(question, &why),
        known => known,
    }
}

fn not_asked(question: &Question, why: &str) -> Answer {
    Answer::NotAsked {
        question: question.clone(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use phantom_checks::evidence::Submitter;

    use super::*;

    #[test]
    fn every_page_is_told_of_its_own_question() {
        let question = |url: &str| Question::Replay {
            url: url.to_owned(),
            form: "POST /save".to_owned(),
            selector: "form".to_owned(),
            token: None,
        };
        let (first, second) = (question("https://shop.test/1"), question("https://shop.test/2"));
        let known = not_asked(&first, NOT_NOW);
        assert_eq!(as_answer_to(&second, known), not_asked(&second, NOT_NOW));
        let sent = Answer::Replayed {
            form: "POST /save".to_owned(),
            token: None,
            honest: true,
            from_anybody: true,
            without_token: false,
            wrong_token: false,
        };
        assert_eq!(as_answer_to(&second, sent.clone()), sent);
    }

    #[test]
    fn what_ends_something_or_moves_money_is_known_by_all_that_names_it() {
        let form = |snippet: &str, action: &str, button: &str| Form {
            snippet: snippet.to_owned(),
            action: format!("https://shop.test{action}"),
            submitters: vec![Submitter {
                text: button.to_owned(),
                ..Submitter::default()
            }],
            ..Form::default()
        };
        for (snippet, action, button, expected) in [
            ("<form id=\"settings\" class=\"wide form\">", "/save", "Save", false),
            ("<form class=\"modal-close menu\">", "/close", "Close", false),
            ("<form id=\"close-account\">", "/go", "Continue", true),
            ("<form name=\"deactivate\" method=\"post\">", "/go", "Continue", true),
            ("<form>", "/go", "Close my account", true),
            ("<form>", "/go", "Send money", true),
            ("<form>", "/go", "Transfer", true),
            ("<form>", "/money/send", "Go", true),
            ("<form>", "/transfer", "Go", true),
        ] {
            assert_eq!(
                is_destructive(&form(snippet, action, button)),
                expected,
                "{snippet} {action} {button}"
            );
        }
    }
}
