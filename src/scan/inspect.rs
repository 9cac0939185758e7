//! The checks look at a page; what they ask is answered, and they look again.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phantom_checks::evidence::{Answer, Evidence, HttpsOutcome};
use phantom_checks::{Bodies, Check, Meta, Observation, Outcome, Question, SiteFacts, Subject};
use url::Url;

use crate::egress::Fetcher;
use crate::triage::Picture;

/// Questions of one page that are answered.
const MOST_QUESTIONS: usize = 40;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a source map that are read.
const MOST_OF_MAP: usize = 1 << 20;
/// Answers kept in memory for a scan.
const MOST_ANSWERS: usize = 10_000;

/// Runs the checks of a scan over its pages.
pub(super) struct Inspector {
    checks: Vec<&'static dyn Check>,
    facts: SiteFacts,
    fetcher: Fetcher,
    answers: Mutex<HashMap<Question, Answer>>,
}

/// What the checks make of a page.
#[derive(Default)]
pub(super) struct Inspected {
    pub observations: Vec<Observation>,
    /// Checks that failed, as sentences.
    pub failures: Vec<String>,
    /// Their ids.
    pub failed_checks: Vec<String>,
    /// Pictures of what they saw.
    pub pictures: Vec<Picture>,
}

/// Script texts by hash.
pub(super) struct Texts<'a>(pub &'a BTreeMap<String, Arc<str>>);

impl Bodies for Texts<'_> {
    fn text(&self, hash: &str) -> Option<&str> {
        self.0.get(hash).map(|text| &**text)
    }
}

/// What each check makes of a page; `None` for one that failed. A check that fails on one odd page must neither end the
/// scan nor pass for silence.
pub(super) fn look(checks: &[&'static dyn Check], subject: &Subject<'_>) -> Vec<(&'static Meta, Option<Outcome>)> {
    checks
        .iter()
        .map(|check| {
            let outcome = catch_unwind(AssertUnwindSafe(|| check.run(subject)));
            (check.meta(), outcome.ok())
        })
        .collect()
}

impl Inspector {
    pub fn new(disabled: &[String], facts: SiteFacts, fetcher: Fetcher) -> Self {
        let checks = phantom_checks::all()
            .iter()
            .copied()
            .filter(|check| !disabled.iter().any(|id| id == check.meta().id))
            .collect();
        Self {
            checks,
            facts,
            fetcher,
            answers: Mutex::default(),
        }
    }

    pub fn checks(&self) -> &[&'static dyn Check] {
        &self.checks
    }

    /// Runs all checks over a page; answers become part of its evidence.
    pub async fn inspect(&self, evidence: &mut Evidence, scripts: &BTreeMap<String, Arc<str>>) -> Inspected {
        let (mut inspected, questions) = self.run(evidence, scripts);
        if !questions.is_empty() {
            for question in questions {
                evidence.answers.push(self.answer(question).await);
            }
            (inspected, _) = self.run(evidence, scripts);
        }
        inspected
    }

    fn run(&self, evidence: &Evidence, scripts: &BTreeMap<String, Arc<str>>) -> (Inspected, Vec<Question>) {
        let mut inspected = Inspected::default();
        let mut questions = Vec::new();
        let subject = Subject {
            evidence,
            bodies: &Texts(scripts),
            site: &self.facts,
        };
        for (meta, outcome) in look(&self.checks, &subject) {
            if let Some(outcome) = outcome {
                inspected.observations.extend(outcome.observations);
                questions.extend(outcome.questions);
            } else {
                let (id, url) = (meta.id, &evidence.page.url);
                inspected.failed_checks.push(id.to_owned());
                let failure = format!("the check {id} failed on {url}; please report it");
                inspected.failures.push(failure);
            }
        }
        questions.sort();
        questions.dedup();
        questions.truncate(MOST_QUESTIONS);
        (inspected, questions)
    }

    async fn answer(&self, question: Question) -> Answer {
        let known = self.answers().get(&question).cloned();
        if let Some(answer) = known {
            return answer;
        }
        let answer = match &question {
            Question::HttpsAnswers { url } => self.ask_https(url, &question).await,
            Question::AnyOriginMayRead { url } => self.ask_any_origin(url, &question).await,
            Question::IsSourceMap { url } => self.ask_source_map(url, &question).await,
            Question::Unknown => not_asked(&question, "this version does not understand the question"),
        };
        let mut answers = self.answers();
        if answers.len() < MOST_ANSWERS {
            answers.insert(question, answer.clone());
        }
        answer
    }

    async fn ask_https(&self, text: &str, question: &Question) -> Answer {
        let Ok(mut url) = Url::parse(text) else {
            return not_asked(question, "it is not a URL");
        };
        if url.scheme() != "https" && (url.set_scheme("https").is_err() || url.set_port(None).is_err()) {
            return not_asked(question, "it has no https form");
        }
        let outcome = match self.fetcher.get(&url, &[], 1_024, PATIENCE).await {
            Ok(fetched) => HttpsOutcome::Status { status: fetched.status },
            Err(error) => HttpsOutcome::Failed {
                error: error.to_string(),
            },
        };
        Answer::Https {
            url: text.to_owned(),
            outcome,
        }
    }

    /// Asks as a page of an origin would that nobody has.
    async fn ask_any_origin(&self, text: &str, question: &Question) -> Answer {
        let Ok(url) = Url::parse(text) else {
            return not_asked(question, "it is not a URL");
        };
        let origin = format!("https://{:08x}.invalid", rand::random::<u32>());
        let headers = [("origin".to_owned(), origin.clone())];
        match self.fetcher.get(&url, &headers, 1_024, PATIENCE).await {
            Ok(fetched) => Answer::AnyOrigin {
                url: text.to_owned(),
                allowed: fetched.header("access-control-allow-origin") == Some(&origin)
                    && fetched.header("access-control-allow-credentials") == Some("true"),
            },
            Err(error) => not_asked(question, &error.to_string()),
        }
    }

    async fn ask_source_map(&self, text: &str, question: &Question) -> Answer {
        let Ok(url) = Url::parse(text) else {
            return not_asked(question, "it is not a URL");
        };
        match self.fetcher.get(&url, &[], MOST_OF_MAP, PATIENCE).await {
            Ok(fetched) => Answer::SourceMap {
                url: text.to_owned(),
                found: fetched.status == 200 && is_source_map(&fetched.body),
            },
            Err(error) => not_asked(question, &error.to_string()),
        }
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, HashMap<Question, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of a map is enough: the rest may be megabytes.
fn is_source_map(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let has = |key: &str| text.contains(key);
    text.trim_start_matches(")]}'").trim_start().starts_with('{')
        && has("\"version\"")
        && has("\"sources\"")
        && has("\"sourcesContent\"")
}

fn not_asked(question: &Question, why: &str) -> Answer {
    Answer::NotAsked {
        question: question.clone(),
        why: why.to_owned(),
    }
}
