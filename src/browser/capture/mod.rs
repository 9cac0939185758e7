//! What a settled page is asked, and how the answers become evidence.

mod answer;
mod builder;
mod endpoints;
mod texts;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chromiumoxide::cdp::browser_protocol::{network, page};
use chromiumoxide::cdp::js_protocol::runtime;
use futures::future::join_all;
use phantom_checks::evidence::{Cookie, Evidence, Issue, LinkSource, Request, ResourceKind, SameSite, Step};

use super::act::Finds;
use super::connection::{CdpError, Session};
use super::events::{BodyAnswer, CookiesAnswer, Evaluated, WorldAnswer};
use super::recorder::{Calls, FrameRecord, Recorder};
use super::redact::{self, Redactor};
use super::tab::{PageRequest, Shared};
pub(super) use answer::FrameAnswer;
use builder::Builder;
use endpoints::endpoint;
pub use texts::ScriptCache;
use texts::{Text, cache_key};

/// How long a frame may take to answer the capture script.
const FRAME_DEADLINE: Duration = Duration::from_secs(5);
/// The part of the time left to the page that its frames may take together.
const FRAME_SHARE: f32 = 0.7;
/// Answers of one page, beside scripts, whose bodies are hashed.
const MAX_MARKS: usize = 100;
/// Frames of one page that are looked into.
const MAX_FRAMES: usize = 200;

/// What was seen on one page.
#[derive(Debug)]
pub struct Captured {
    /// The evidence, redacted.
    pub evidence: Evidence,
    /// The texts of its scripts by hash, redacted.
    pub scripts: BTreeMap<String, Arc<str>>,
    /// Files beside it that may name pages.
    pub files: Vec<SideFile>,
    /// What the probes of checks took in its frames, as far as the page can be believed.
    pub probing: Duration,
    /// The page does not answer any more; its tab is not to be used again.
    pub worn: bool,
    /// Requests of scripts that are among the evidence.
    calls: usize,
}

impl Captured {
    /// Something was done on the page, so it may not be as it was when it had settled.
    pub(super) fn acted_upon(&self) -> bool {
        let explored = self.evidence.explored.as_ref();
        explored.is_some_and(|explored| explored.actions > 0 || explored.reloads > 0)
    }

    /// Adds what the page spoke to since it was captured.
    pub(super) fn add_calls(&mut self, recorder: &Recorder, redactor: &Redactor) {
        let cookies = &self.evidence.cookies;
        let late = recorder.calls.all.iter().skip(self.calls);
        let late: Vec<_> = late
            .map(|call| redactor.endpoint(endpoint(call.clone(), &[], &recorder.requests, cookies, redactor)))
            .collect();
        self.calls += late.len();
        self.evidence.endpoints.extend(late);
    }
}

/// A file beside a page that may name pages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SideFile {
    /// The manifest of a web app.
    Manifest(String),
    /// The sources that a script was made from.
    SourceMap(String),
    /// Rules of what a browser may load before it is asked for.
    SpeculationRules(String),
}

/// What the frames answered when the page had settled.
pub(super) struct Answers {
    recorded: Recorded,
    pub frames: Vec<(String, Result<FrameAnswer, Silence>)>,
}

/// What a frame showed after some steps.
#[derive(Debug)]
pub(super) struct Brought {
    pub frame: String,
    pub answer: FrameAnswer,
    pub path: Vec<Step>,
}

pub(super) struct Capture<'a> {
    pub session: &'a Session,
    pub shared: &'a Shared,
    pub request: &'a PageRequest,
    /// When the page's time is over.
    pub until: Instant,
}

/// Why a frame gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    /// It has no time for us.
    #[error("it did not answer in time")]
    Late,
    /// It is gone, or its renderer is.
    #[error("{0}")]
    Gone(String),
    /// Its scripts stand between us.
    #[error("{0}")]
    Forged(String),
}

impl From<CdpError> for Silence {
    fn from(error: CdpError) -> Self {
        match error {
            CdpError::Timeout { .. } => Self::Late,
            // The browser has ended the script for us.
            CdpError::Refused { message, .. } if message.contains("terminated") => Self::Late,
            other => Self::Gone(other.to_string()),
        }
    }
}

/// What the recorder held when the page had settled.
struct Recorded {
    requests: Vec<Request>,
    sessions: Vec<Option<Arc<str>>>,
    issues: Vec<Issue>,
    frames: HashMap<String, FrameRecord>,
    main_frame: String,
    tried: Vec<(String, LinkSource)>,
    dropped: u64,
    calls: Calls,
    cookies_before: Vec<String>,
}

impl Capture<'_> {
    /// How long one question may take.
    fn patience(&self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        FRAME_DEADLINE.min(left.mul_f32(FRAME_SHARE))
    }

    /// Looks into the frames. An error means that not even the main frame answered.
    pub async fn answers(&self) -> Result<Answers, CdpError> {
        let recorded = self.recorded();
        let frames = self.look_into_frames(&recorded).await;
        // A tab that died under the capture gave no evidence of anything.
        if self.session.gone().is_cancelled() {
            return Err(CdpError::TabGone);
        }
        match frames.iter().find(|(id, _)| *id == recorded.main_frame) {
            Some((_, Ok(_))) => {}
            Some((_, Err(Silence::Late))) => {
                return Err(CdpError::Timeout {
                    method: "the page's own scripts".to_owned(),
                    after: FRAME_DEADLINE,
                });
            }
            // A renderer that dies is silent before the browser says that it has died.
            Some((_, Err(why))) => return Err(CdpError::Silent(why.to_string())),
            None => return Err(CdpError::Silent("it has no main frame".to_owned())),
        }
        Ok(Answers { recorded, frames })
    }

    /// Puts together what was seen at first, and what was found then.
    pub async fn finish(&self, first: Answers, mut finds: Finds) -> Result<Captured, CdpError> {
        let mut recorded = self.recorded();
        let (cookies, texts, marks) = tokio::join!(
            self.cookies(&recorded),
            self.script_texts(&recorded),
            self.marks(&recorded)
        );
        if self.session.gone().is_cancelled() {
            return Err(CdpError::TabGone);
        }
        let mut builder = Builder::new(self.request, &recorded);
        for (id, answer) in first.frames {
            builder.frame(&id, &first.recorded, answer);
        }
        for brought in std::mem::take(&mut finds.brought) {
            builder.brought(&recorded, brought);
        }
        builder.loaded_scripts(&recorded, &texts);
        self.keep_marks(&mut recorded, &texts, marks);
        builder.cookies(cookies);
        builder.explored(finds.explored.take());
        let mut captured = builder.finish(recorded, &finds);
        let redactor = &self.request.redactor;
        captured.evidence = redactor.evidence(captured.evidence);
        for text in captured.scripts.values_mut() {
            redactor.script(text);
        }
        Ok(captured)
    }

    /// Looks into a frame once more, at what is new in it alone or at the whole.
    pub async fn look_again(&self, session: &Arc<str>, context: i64, whole: bool) -> Option<FrameAnswer> {
        let frame = FrameRecord {
            session: Arc::clone(session),
            ..FrameRecord::default()
        };
        let script = &self.request.script;
        let expression = if whole { &script.expression } else { &script.increment };
        self.put(&frame, context, expression).await.ok()
    }

    fn recorded(&self) -> Recorded {
        let mut recorder = self.shared.recorder();
        recorder.forget_last_words();
        Recorded {
            requests: recorder.requests.clone(),
            sessions: (0..recorder.requests.len())
                .map(|at| recorder.session_of(at).cloned())
                .collect(),
            issues: recorder.issue_list.clone(),
            frames: recorder.frames.clone(),
            main_frame: recorder.main_frame().to_owned(),
            tried: recorder.tried.clone(),
            dropped: recorder.dropped,
            calls: recorder.calls.clone(),
            cookies_before: recorder.cookies_before(),
        }
    }

    async fn look_into_frames(&self, recorded: &Recorded) -> Vec<(String, Result<FrameAnswer, Silence>)> {
        let mut ids: Vec<&String> = recorded.frames.keys().collect();
        // The main frame first, then in a stable order.
        ids.sort_by_key(|id| (**id != recorded.main_frame, *id));
        ids.truncate(MAX_FRAMES);
        join_all(ids.into_iter().map(|id| async {
            let answer = match recorded.frames.get(id) {
                Some(frame) => self.look_into(id, frame).await,
                None => Err(Silence::Gone("it is gone".to_owned())),
            };
            (id.clone(), answer)
        }))
        .await
    }

    /// Asks a frame in its own world, where its libraries are. If the page has put other functions in the place of those
    /// that the question relies on, all but the libraries is asked again in a world of our own.
    async fn look_into(&self, id: &str, frame: &FrameRecord) -> Result<FrameAnswer, Silence> {
        let nothing = || Silence::Gone("it has no document that can be asked".to_owned());
        let context = frame.context.ok_or_else(nothing)?;
        let (own, why) = match self.ask(frame, context).await {
            Ok(answer) if answer.changed.is_empty() => return Ok(answer),
            Err(Silence::Forged(why)) => (None, why),
            Err(why) => return Err(why),
            Ok(answer) => {
                let why = format!("its scripts replaced the browser's own {}", safe_name(&answer.changed));
                (Some(answer), why)
            }
        };
        let world = self.world(id, frame).await?;
        let asked = self.ask(frame, world).await;
        let mut answer = asked.map_err(|silence| match silence {
            Silence::Forged(_) => Silence::Forged(why),
            other => other,
        })?;
        answer.probes = own.map(|own| own.probes).unwrap_or_default();
        Ok(answer)
    }

    /// A world of our own in a frame: the same document, other built-in functions.
    async fn world(&self, id: &str, frame: &FrameRecord) -> Result<i64, Silence> {
        let mut ask = page::CreateIsolatedWorldParams::new(id.to_owned());
        ask.world_name = Some("capture".to_owned());
        let session = self.session.child(&frame.session);
        let made: WorldAnswer = session.call(ask, self.patience()).await?;
        Ok(made.execution_context_id)
    }

    async fn ask(&self, frame: &FrameRecord, context: i64) -> Result<FrameAnswer, Silence> {
        self.put(frame, context, &self.request.script.expression).await
    }

    async fn put(&self, frame: &FrameRecord, context: i64, expression: &str) -> Result<FrameAnswer, Silence> {
        let mut ask = runtime::EvaluateParams::new(expression);
        ask.context_id = Some(runtime::ExecutionContextId::new(context));
        ask.return_by_value = Some(true);
        ask.silent = Some(true);
        let patience = self.patience();
        // The browser gives up before we do.
        ask.timeout = Some(runtime::TimeDelta::new(patience.as_secs_f64() * 800.0));
        let session = self.session.child(&frame.session);
        let answer: Evaluated = session.call(ask, patience).await?;
        let value = answer.result.value.filter(|_| answer.exception_details.is_none());
        let text = value.as_ref().and_then(|value| value.as_str());
        let text = text.ok_or_else(|| Silence::Forged("its scripts prevented the capture".to_owned()))?;
        FrameAnswer::parse(text).map_err(Silence::Forged)
    }

    async fn cookies(&self, recorded: &Recorded) -> Vec<Cookie> {
        let mut ask = network::GetCookiesParams::default();
        let mut urls: Vec<String> = recorded
            .frames
            .values()
            .map(|frame| frame.url.clone())
            .filter(|url| url.starts_with("http"))
            .collect();
        urls.sort_unstable();
        urls.dedup();
        ask.urls = Some(urls);
        let answer: CookiesAnswer = self.session.call(ask, self.patience()).await.unwrap_or_default();
        let redactor = &self.request.redactor;
        answer
            .cookies
            .into_iter()
            .map(|cookie| Cookie {
                value: redactor.shape(&cookie.value),
                name: cookie.name,
                domain: cookie.domain,
                path: cookie.path,
                secure: cookie.secure,
                http_only: cookie.http_only,
                same_site: match cookie.same_site.as_deref() {
                    None => SameSite::Unset,
                    Some("Strict") => SameSite::Strict,
                    Some("Lax") => SameSite::Lax,
                    Some("None") => SameSite::None,
                    Some(_) => SameSite::Unknown,
                },
                session: cookie.session,
            })
            .collect()
    }

    async fn script_texts(&self, recorded: &Recorded) -> HashMap<String, Result<Text, String>> {
        let wanted = recorded.requests.iter().zip(&recorded.sessions).filter(|(request, _)| {
            request.kind == ResourceKind::Script && request.status == Some(200) && request.failure.is_none()
        });
        let texts = wanted.map(|(request, session)| async move {
            let text = match session {
                Some(session) => self.script_text(request, session).await,
                None => Err("the browser does not say who loaded it".to_owned()),
            };
            (request.id.clone(), text)
        });
        join_all(texts).await.into_iter().collect()
    }

    /// Marks of the bodies of documents, styles and what scripts fetched, if they are wanted.
    async fn marks(&self, recorded: &Recorded) -> HashMap<String, String> {
        use ResourceKind::{Document, Fetch, Stylesheet, Xhr};
        if !self.request.marks {
            return HashMap::new();
        }
        let wanted = recorded.requests.iter().zip(&recorded.sessions).filter(|(request, _)| {
            let kind = matches!(request.kind, Document | Stylesheet | Xhr | Fetch);
            kind && request.status == Some(200) && request.failure.is_none() && request.method == "GET"
        });
        let marks = wanted.take(MAX_MARKS).map(|(request, session)| async move {
            let text = self.body(request, session.as_deref()?).await.ok()?;
            Some((request.id.clone(), self.request.redactor.mark(request.kind, &text)))
        });
        join_all(marks).await.into_iter().flatten().collect()
    }

    fn keep_marks(
        &self,
        recorded: &mut Recorded,
        texts: &HashMap<String, Result<Text, String>>,
        mut marks: HashMap<String, String>,
    ) {
        let redactor = &self.request.redactor;
        for request in &mut recorded.requests {
            let text = texts.get(&request.id).and_then(|text| text.as_ref().ok());
            let of_script = text.filter(|_| self.request.marks);
            request.mark = match of_script {
                Some(text) => Some(redactor.mark_of_hash(&text.raw)),
                None => marks.remove(&request.id),
            };
        }
    }

    /// The body of an answer, as text.
    async fn body(&self, request: &Request, session: &str) -> Result<String, String> {
        let ask = network::GetResponseBodyParams::new(request.id.clone());
        let answer: Result<BodyAnswer, _> = self.session.child(session).call(ask, self.patience()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if !answer.base64_encoded {
            return Ok(answer.body);
        }
        let bytes = BASE64_STANDARD.decode(answer.body).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn script_text(&self, request: &Request, session: &str) -> Result<Text, String> {
        let cache = &self.request.scripts;
        let (key, reusable) = cache_key(request);
        if reusable && let Some(known) = cache.get(&key) {
            return Ok(known);
        }
        let text = self.body(request, session).await?;
        let text = cache.redacted(&text);
        cache.put(key, text.clone());
        Ok(text)
    }
}

/// A name that a page gave, as far as it is one.
fn safe_name(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).take(40).collect()
}
