//! The checks look at a page; what they ask is answered, and they look again.
//!
//! What is asked of a host is a request like any other: it waits for its turn there, and obeys robots.txt.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use phantom_checks::evidence::{Answer, Cookie, Evidence, HttpsOutcome};
use phantom_checks::vulnerable_library::Catalog;
use phantom_checks::{Bodies, Check, Meta, Observation, Outcome, Question, SiteFacts, Subject};
use url::Url;

use super::fresh::{FreshLooks, Look};
use super::run::Run;
use crate::egress::{FetchError, Fetched};
use crate::triage::Picture;

/// Questions of one page that are answered.
const MOST_QUESTIONS: usize = 40;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a source map that are read.
const MOST_OF_MAP: usize = 1 << 20;
/// Bytes of a page that are read to see what a new visitor gets.
const MOST_OF_PAGE: usize = 2 << 20;
/// Why a question was not asked that another page may have time for. Silence about such a page proves nothing.
const NO_TIME: &str = "the pace of its host left no time for it";
/// Answers kept in memory for a scan.
const MOST_ANSWERS: usize = 10_000;

/// Runs the checks of a scan over its pages.
pub(super) struct Inspector {
    checks: Vec<&'static dyn Check>,
    facts: SiteFacts,
    libraries: Option<Arc<Catalog>>,
    answers: Mutex<HashMap<Question, Answer>>,
    fresh: FreshLooks,
    cost: Cost,
}

/// What looking at pages came to, for whoever measures it. In microseconds.
#[derive(Default)]
struct Cost {
    pages: AtomicU64,
    /// From navigation to evidence.
    pages_us: AtomicU64,
    /// The checks' part of that, in the pages.
    probes_us: AtomicU64,
    /// The checks over the evidence.
    checks_us: AtomicU64,
}

/// What the checks make of a page.
#[derive(Default)]
pub(super) struct Inspected {
    pub observations: Vec<Observation>,
    /// Checks that failed, as sentences.
    pub failures: Vec<String>,
    /// Their ids.
    pub failed_checks: Vec<String>,
    /// Forms that are to be sent from another origin.
    pub replays: Vec<Question>,
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
    pub fn new(disabled: &[String], facts: SiteFacts, libraries: Option<Arc<Catalog>>) -> Self {
        let checks = phantom_checks::all()
            .iter()
            .copied()
            .filter(|check| !disabled.iter().any(|id| id == check.meta().id))
            .collect();
        Self {
            checks,
            facts,
            libraries,
            answers: Mutex::default(),
            fresh: FreshLooks::default(),
            cost: Cost::default(),
        }
    }

    /// Which advisories the checks know, beside those of the program.
    pub fn advisories(&self) -> String {
        let of = |catalog: &Arc<Catalog>| format!("{} {:?}", catalog.date(), catalog.counts());
        self.libraries.as_ref().map(of).unwrap_or_default()
    }

    pub fn checks(&self) -> &[&'static dyn Check] {
        &self.checks
    }

    /// Runs all checks over a page; answers become part of its evidence.
    pub async fn inspect(&self, run: &Run, evidence: &mut Evidence, scripts: &BTreeMap<String, Arc<str>>) -> Inspected {
        // Where nothing was marked, there is nothing to tell of marks.
        let marked = |id: &str| {
            self.checks
                .iter()
                .any(|check| check.marks_address() && check.meta().id == id)
        };
        evidence.probes.retain(|answer| !marked(&answer.check));
        let is_replay = |question: &Question| matches!(question, Question::Replay { .. });
        let (mut inspected, mut questions) = self.run(evidence, scripts);
        let mut replays: Vec<Question> = questions.extract_if(.., |question| is_replay(question)).collect();
        if !questions.is_empty() {
            let asker = Asker {
                run,
                until: Instant::now() + run.page_deadline,
            };
            for question in questions {
                evidence.answers.push(self.answer(&asker, question).await);
            }
            let late = |answer: &Answer| matches!(answer, Answer::NotAsked { why, .. } if why == NO_TIME);
            if evidence.answers.iter().any(late) {
                let gap = format!("what a check asked of a server was left out: {NO_TIME}");
                evidence.gaps.push(gap);
            }
            (inspected, replays) = self.run(evidence, scripts);
            replays.retain(is_replay);
        }
        inspected.replays = replays;
        inspected
    }

    /// What the checks make of a page, and what they ask.
    pub fn run(&self, evidence: &Evidence, scripts: &BTreeMap<String, Arc<str>>) -> (Inspected, Vec<Question>) {
        let mut inspected = Inspected::default();
        let mut questions = Vec::new();
        let subject = Subject {
            evidence,
            elsewhere: &[],
            bodies: &Texts(scripts),
            site: &self.facts,
            libraries: self.libraries.as_deref(),
        };
        let began = Instant::now();
        let outcomes = look(&self.checks, &subject);
        add(&self.cost.checks_us, began.elapsed());
        for (meta, outcome) in outcomes {
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

    /// What checks that need a session make of a page beyond what they made of it without these cookies, which the
    /// browser held on other pages.
    pub fn with_sessions(&self, evidence: &Evidence, elsewhere: &[Cookie]) -> Vec<Observation> {
        let checks: Vec<_> = self
            .checks
            .iter()
            .copied()
            .filter(|check| check.needs_session())
            .collect();
        let seen = |elsewhere| {
            let subject = Subject {
                evidence,
                elsewhere,
                bodies: &Texts(&BTreeMap::new()),
                site: &self.facts,
                libraries: self.libraries.as_deref(),
            };
            let outcomes = look(&checks, &subject).into_iter().filter_map(|(_, outcome)| outcome);
            outcomes.flat_map(|outcome| outcome.observations).collect::<Vec<_>>()
        };
        let known = seen(&[]);
        let mut observations = seen(elsewhere);
        observations.retain(|observation| !known.contains(observation));
        observations
    }

    /// Counts what a page took.
    pub fn count(&self, page: Duration, probing: Duration) {
        self.cost.pages.fetch_add(1, Ordering::Relaxed);
        add(&self.cost.pages_us, page);
        add(&self.cost.probes_us, probing);
    }

    /// Says what the checks cost, beside what the pages took.
    pub fn tell_cost(&self) {
        let ms = |us: &AtomicU64| us.load(Ordering::Relaxed) / 1_000;
        tracing::info!(
            target: "phantom_gang::cost",
            pages = self.cost.pages.load(Ordering::Relaxed),
            pages_ms = ms(&self.cost.pages_us),
            probes_ms = ms(&self.cost.probes_us),
            checks_ms = ms(&self.cost.checks_us),
            "what the checks took"
        );
    }

    async fn answer(&self, asker: &Asker<'_>, question: Question) -> Answer {
        let known = self.answers().get(&question).cloned();
        if let Some(answer) = known {
            return answer;
        }
        let answer = match &question {
            Question::HttpsAnswers { url } => asker.ask_https(url, &question).await,
            Question::AnyOriginMayRead { url } => asker.ask_any_origin(url, &question).await,
            Question::IsSourceMap { url } => asker.ask_source_map(url, &question).await,
            Question::FreshLook { url, form } => {
                // Another page with such a form needs the same answer under its own address.
                return self.look_again(asker, (url, form), &question).await;
            }
            Question::Replay { .. } => Err(Unasked::ForGood("only an open browser can answer it".to_owned())),
            Question::Unknown => Err(Unasked::ForGood(
                "this version does not understand the question".to_owned(),
            )),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(Unasked::ForGood(why)) => not_asked(&question, &why),
            // Another page may have the time.
            Err(Unasked::ThisTime(why)) => return not_asked(&question, why),
        };
        let mut answers = self.answers();
        if answers.len() < MOST_ANSWERS {
            answers.insert(question, answer.clone());
        }
        answer
    }

    /// The page as a new visitor gets it.
    async fn look_again(&self, asker: &Asker<'_>, (url, form): (&str, &str), question: &Question) -> Answer {
        // One after the other, or pages in hand at once would each ask about a form that they share.
        let _turn = self.fresh.turn().await;
        if let Some(known) = self.fresh.known(url, form) {
            return known;
        }
        if self.fresh.is_full() {
            return not_asked(question, "enough forms were looked at in this scan");
        }
        if self.fresh.is_closed(url) {
            return self.fresh.remember(url, form, Look::default());
        }
        match asker.ask_as_a_stranger(url).await {
            Ok(Ok(fetched)) => {
                self.fresh.answered(url, fetched.status);
                let look = Look::at(&fetched, &asker.run.redactor);
                self.fresh.remember(url, form, look)
            }
            Ok(Err(error)) => not_asked(question, &error.to_string()),
            Err(Unasked::ForGood(why)) => not_asked(question, &why),
            Err(Unasked::ThisTime(why)) => not_asked(question, why),
        }
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, HashMap<Question, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a question has no answer.
enum Unasked {
    /// It would be so on any page of the scan.
    ForGood(String),
    /// There was no time for it.
    ThisTime(&'static str),
}

/// Asks for one page, until its time is over: its lease does not wait for ever.
struct Asker<'a> {
    run: &'a Run,
    until: Instant,
}

impl Asker<'_> {
    async fn ask_https(&self, text: &str, question: &Question) -> Result<Answer, Unasked> {
        let mut url = read(text)?;
        if url.scheme() != "https" && (url.set_scheme("https").is_err() || url.set_port(None).is_err()) {
            return Ok(not_asked(question, "it has no https form"));
        }
        let outcome = match self.get(&url, &[], 1_024).await? {
            Ok(fetched) => HttpsOutcome::Status { status: fetched.status },
            Err(error) => HttpsOutcome::Failed {
                error: error.to_string(),
            },
        };
        Ok(Answer::Https {
            url: text.to_owned(),
            outcome,
        })
    }

    /// Asks as a page of an origin would that nobody has.
    async fn ask_any_origin(&self, text: &str, question: &Question) -> Result<Answer, Unasked> {
        let url = read(text)?;
        let origin = format!("https://{:08x}.invalid", rand::random::<u32>());
        let headers = [("origin".to_owned(), origin.clone())];
        Ok(match self.get(&url, &headers, 1_024).await? {
            Ok(fetched) => Answer::AnyOrigin {
                url: text.to_owned(),
                allowed: fetched.header("access-control-allow-origin") == Some(&origin)
                    && fetched.header("access-control-allow-credentials") == Some("true"),
            },
            Err(error) => not_asked(question, &error.to_string()),
        })
    }

    async fn ask_source_map(&self, text: &str, question: &Question) -> Result<Answer, Unasked> {
        let url = read(text)?;
        Ok(match self.get(&url, &[], MOST_OF_MAP).await? {
            Ok(fetched) => Answer::SourceMap {
                url: text.to_owned(),
                found: fetched.status == 200 && is_source_map(&fetched.body),
            },
            Err(error) => not_asked(question, &error.to_string()),
        })
    }

    /// Asks as somebody would whom the site has never seen.
    async fn ask_as_a_stranger(&self, text: &str) -> Result<Result<Fetched, FetchError>, Unasked> {
        let url = read(text)?;
        if !self.run.may_visit()(text) {
            return Err(Unasked::ForGood("it is outside of the scope".to_owned()));
        }
        let known = |name: &str| name.eq_ignore_ascii_case("cookie") || name.eq_ignore_ascii_case("authorization");
        if self.run.headers_for(&url).iter().any(|(name, _)| known(name)) {
            return Err(Unasked::ForGood(
                "the site's file gives each request a session".to_owned(),
            ));
        }
        self.get(&url, &[], MOST_OF_PAGE).await
    }

    /// One request, when it is its turn at its host.
    async fn get(
        &self,
        url: &Url,
        headers: &[(String, String)],
        max_bytes: usize,
    ) -> Result<Result<Fetched, FetchError>, Unasked> {
        if !self.run.robots().allows(url) {
            return Err(Unasked::ForGood("disallowed by robots.txt".to_owned()));
        }
        if !self.run.wait_for_turn_until(url, self.until).await {
            return Err(Unasked::ThisTime(NO_TIME));
        }
        let headers = [self.run.headers_for(url), headers].concat();
        let asked = self.run.fetcher.get(url, &headers, max_bytes, PATIENCE);
        let asked = self.run.stop.run_until_cancelled(asked).await;
        asked.ok_or(Unasked::ThisTime("the scan was stopped"))
    }
}

fn add(sum: &AtomicU64, time: Duration) {
    sum.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn read(text: &str) -> Result<Url, Unasked> {
    Url::parse(text).map_err(|_| Unasked::ForGood("it is not a URL".to_owned()))
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
