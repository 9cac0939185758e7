//! What a settled page is asked, and how the answers become evidence.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chromiumoxide::cdp::browser_protocol::network;
use chromiumoxide::cdp::js_protocol::runtime;
use futures::future::join_all;
use phantom_checks::evidence::{
    Cookie, Evidence, Field, Form, FormMethod, Frame, FrameKind, Issue, Link, LinkSource, Meta, Page, ProbeAnswer,
    Request, ResourceKind, SameSite, Script, StorageArea, StorageEntry, Submitter,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::connection::{CdpError, Session};
use super::events::{BodyAnswer, CookiesAnswer, Evaluated};
use super::recorder::FrameRecord;
use super::redact::{self, Redactor};
use super::tab::{PageRequest, Shared};

/// How long a frame may take to answer the capture script.
const FRAME_DEADLINE: Duration = Duration::from_secs(5);
/// The part of the time left to the page that its frames may take together.
const FRAME_SHARE: f32 = 0.7;
/// The longest script text that is kept, in bytes; the rest is cut off.
const MAX_SCRIPT: usize = 1 << 20;
/// Script texts kept in memory for a scan, in bytes.
const CACHE_BYTES: usize = 64 << 20;
/// Frames of one page that are looked into.
const MAX_FRAMES: usize = 200;

/// What was seen on one page.
#[derive(Debug)]
pub struct Captured {
    /// The evidence, redacted.
    pub evidence: Evidence,
    /// The texts of its scripts by hash.
    pub scripts: BTreeMap<String, Arc<str>>,
}

/// Script texts of a scan by what tells that they are the same: a text is fetched from the browser once.
#[derive(Default)]
pub struct ScriptCache {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    texts: HashMap<String, Text>,
    order: VecDeque<String>,
    bytes: usize,
}

#[derive(Clone)]
struct Text {
    hash: String,
    length: u64,
    kept: Arc<str>,
}

impl Text {
    fn new(text: &str) -> Self {
        let mut end = text.len().min(MAX_SCRIPT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            hash: hex::encode(Sha256::digest(text.as_bytes())),
            length: text.len() as u64,
            kept: Arc::from(&text[..end]),
        }
    }
}

impl ScriptCache {
    fn get(&self, key: &str) -> Option<Text> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .texts
            .get(key)
            .cloned()
    }

    fn put(&self, key: String, text: Text) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += text.kept.len();
        if let Some(old) = kept.texts.insert(key.clone(), text) {
            kept.bytes -= old.kept.len();
        } else {
            kept.order.push_back(key);
        }
        while kept.bytes > CACHE_BYTES {
            let Some(oldest) = kept.order.pop_front() else { break };
            if let Some(old) = kept.texts.remove(&oldest) {
                kept.bytes -= old.kept.len();
            }
        }
    }
}

/// Two answers for one URL with one of these are the same text. Without a validator only a cached answer is.
fn cache_key(request: &Request) -> (String, bool) {
    let url = final_url(request);
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name == name)
            .map(|header| &header.value)
    };
    match header("etag").or_else(|| header("last-modified")) {
        Some(validator) => (format!("{url} {validator}"), true),
        None => (url.to_owned(), request.from_cache),
    }
}

fn final_url(request: &Request) -> &str {
    request.redirects.last().map_or(&request.url, |hop| &hop.to)
}

pub(super) struct Capture<'a> {
    pub session: &'a Session,
    pub shared: &'a Shared,
    pub request: &'a PageRequest,
    /// When the page's time is over.
    pub until: Instant,
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
}

impl Capture<'_> {
    /// How long one question may take.
    fn patience(&self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        FRAME_DEADLINE.min(left.mul_f32(FRAME_SHARE))
    }

    pub async fn run(self) -> Result<Captured, CdpError> {
        let recorded = self.recorded();
        let frames = self.look_into_frames(&recorded);
        let cookies = self.cookies(&recorded);
        let texts = self.script_texts(&recorded);
        let (frames, cookies, texts) = tokio::join!(frames, cookies, texts);
        // A tab that died under the capture gave no evidence of anything.
        if self.session.gone().is_cancelled() {
            return Err(CdpError::TabGone);
        }
        let main_answered = frames
            .iter()
            .any(|(id, answer)| *id == recorded.main_frame && answer.is_ok());
        if !main_answered {
            return Err(CdpError::Timeout {
                method: "the page's own scripts".to_owned(),
                after: FRAME_DEADLINE,
            });
        }
        let mut builder = Builder::new(self.request, &recorded);
        for (id, answer) in frames {
            builder.frame(&id, &recorded, answer);
        }
        builder.loaded_scripts(&recorded, &texts);
        builder.cookies(cookies);
        Ok(builder.finish(recorded))
    }

    fn recorded(&self) -> Recorded {
        let recorder = self.shared.recorder();
        Recorded {
            requests: recorder.requests.clone(),
            sessions: (0..recorder.requests.len())
                .map(|at| recorder.session_of(at).cloned())
                .collect(),
            issues: recorder.issue_list.clone(),
            frames: recorder.frames.clone(),
            main_frame: recorder.main_frame().to_owned(),
            tried: recorder.tried.clone(),
            dropped: recorder.dropped_requests,
        }
    }

    async fn look_into_frames(&self, recorded: &Recorded) -> Vec<(String, Result<FrameAnswer, String>)> {
        let mut ids: Vec<&String> = recorded.frames.keys().collect();
        // The main frame first, then in a stable order.
        ids.sort_by_key(|id| (**id != recorded.main_frame, *id));
        ids.truncate(MAX_FRAMES);
        join_all(ids.into_iter().map(|id| async {
            let answer = match recorded.frames.get(id) {
                Some(frame) => self.look_into(frame).await,
                None => Err("it is gone".to_owned()),
            };
            (id.clone(), answer)
        }))
        .await
    }

    async fn look_into(&self, frame: &FrameRecord) -> Result<FrameAnswer, String> {
        let context = frame.context.ok_or("it has no document that can be asked")?;
        let mut ask = runtime::EvaluateParams::new(&*self.request.script.expression);
        ask.context_id = Some(runtime::ExecutionContextId::new(context));
        ask.return_by_value = Some(true);
        ask.silent = Some(true);
        let patience = self.patience();
        // The browser gives up before we do.
        ask.timeout = Some(runtime::TimeDelta::new(patience.as_secs_f64() * 800.0));
        let answer: Evaluated = self
            .session
            .child(&frame.session)
            .call(ask, patience)
            .await
            .map_err(|error| match error {
                CdpError::Timeout { .. } => "it did not answer in time".to_owned(),
                other => other.to_string(),
            })?;
        let value = answer.result.value.filter(|_| answer.exception_details.is_none());
        let text = value
            .as_ref()
            .and_then(|value| value.as_str())
            .ok_or("its scripts prevented the capture")?;
        serde_json::from_str(text).map_err(|_| "its scripts falsified the capture".to_owned())
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

    async fn script_texts(&self, recorded: &Recorded) -> HashMap<String, Text> {
        let wanted = recorded.requests.iter().zip(&recorded.sessions).filter(|(request, _)| {
            request.kind == ResourceKind::Script && request.status == Some(200) && request.failure.is_none()
        });
        let texts = wanted.map(|(request, session)| async move {
            Some((request.id.clone(), self.script_text(request, session.as_ref()?).await?))
        });
        join_all(texts).await.into_iter().flatten().collect()
    }

    async fn script_text(&self, request: &Request, session: &str) -> Option<Text> {
        let cache = &self.request.scripts;
        let (key, reusable) = cache_key(request);
        if reusable && let Some(known) = cache.get(&key) {
            return Some(known);
        }
        let ask = network::GetResponseBodyParams::new(request.id.clone());
        let answer: BodyAnswer = self.session.child(session).call(ask, self.patience()).await.ok()?;
        let text = if answer.base64_encoded {
            Text::new(&String::from_utf8_lossy(&BASE64_STANDARD.decode(answer.body).ok()?))
        } else {
            Text::new(&answer.body)
        };
        cache.put(key, text.clone());
        Some(text)
    }
}

// What the capture script answers. The page may have forged all of it.

#[derive(Deserialize)]
struct FrameAnswer {
    url: String,
    origin: String,
    title: String,
    elements: u32,
    forms: Vec<FormAnswer>,
    links: Vec<LinkAnswer>,
    scripts: Vec<ScriptAnswer>,
    metas: Vec<MetaAnswer>,
    storage: Vec<StorageAnswer>,
    probes: BTreeMap<String, Option<String>>,
    left_out: u64,
}

#[derive(Deserialize)]
struct FormAnswer {
    selector: String,
    snippet: String,
    has_action: bool,
    action: String,
    method: String,
    enctype: String,
    visible: bool,
    in_shadow_root: bool,
    fields: Vec<FieldAnswer>,
    submitters: Vec<SubmitterAnswer>,
}

#[derive(Deserialize)]
struct FieldAnswer {
    name: String,
    kind: String,
    id: String,
    autocomplete: String,
    label: String,
    visible: bool,
    disabled: bool,
    value: Option<String>,
}

#[derive(Deserialize)]
struct SubmitterAnswer {
    text: String,
    name: String,
    action: Option<String>,
    method: Option<String>,
}

#[derive(Deserialize)]
struct LinkAnswer {
    url: String,
    source: LinkSource,
    rel: String,
}

#[derive(Deserialize)]
struct ScriptAnswer {
    kind: String,
    snippet: String,
    integrity: Option<String>,
    url: Option<String>,
    #[serde(default)]
    length: u64,
    text: Option<String>,
}

#[derive(Deserialize)]
struct MetaAnswer {
    name: String,
    content: String,
}

#[derive(Deserialize)]
struct StorageAnswer {
    area: String,
    key: String,
    value: String,
}

/// Puts the evidence of one page together, replacing secrets on the way in.
struct Builder<'a> {
    request: &'a PageRequest,
    redactor: &'a Redactor,
    evidence: Evidence,
    texts: BTreeMap<String, Arc<str>>,
}

impl<'a> Builder<'a> {
    fn new(request: &'a PageRequest, recorded: &Recorded) -> Self {
        let mut page = Page {
            requested_url: redact::url(&request.url),
            ..Page::default()
        };
        let document = recorded
            .requests
            .iter()
            .find(|request| request.kind == ResourceKind::Document);
        if let Some(document) = document {
            page.url = redact::url(final_url(document));
            page.status = document.status;
            page.mime.clone_from(&document.mime);
            page.headers = document.headers.iter().cloned().map(redact::header).collect();
            page.redirects.clone_from(&document.redirects);
            for hop in &mut page.redirects {
                hop.url = redact::url(&hop.url);
                hop.to = redact::url(&hop.to);
            }
        }
        Self {
            request,
            redactor: &request.redactor,
            evidence: Evidence::of(page),
            texts: BTreeMap::new(),
        }
    }

    fn frame(&mut self, id: &str, recorded: &Recorded, answer: Result<FrameAnswer, String>) {
        let Some(record) = recorded.frames.get(id) else { return };
        let main = id == recorded.main_frame;
        let main_session = recorded.frames.get(&recorded.main_frame).map(|frame| &frame.session);
        let mut frame = Frame {
            id: id.to_owned(),
            parent: record.parent.clone(),
            url: redact::url(&record.url),
            origin: record.origin.clone(),
            kind: match (main, main_session == Some(&record.session)) {
                (true, _) => FrameKind::Main,
                (_, true) => FrameKind::Child,
                (_, false) => FrameKind::OutOfProcess,
            },
            captured: answer.is_ok(),
        };
        match answer {
            Ok(answer) => {
                frame.url = redact::url(&answer.url);
                frame.origin.clone_from(&answer.origin);
                if main {
                    self.evidence.page.url.clone_from(&frame.url);
                    self.evidence.page.title = Some(answer.title.clone()).filter(|title| !title.is_empty());
                    self.evidence.page.elements = answer.elements;
                }
                self.contents(id, answer);
            }
            Err(why) => self
                .evidence
                .gaps
                .push(format!("frame {} could not be looked into: {why}", frame.url)),
        }
        self.evidence.frames.push(frame);
    }

    fn contents(&mut self, frame: &str, answer: FrameAnswer) {
        if answer.left_out > 0 {
            self.evidence.gaps.push(format!(
                "{} forms, links, scripts or meta tags beyond the bounds were not looked at",
                answer.left_out
            ));
        }
        for form in answer.forms {
            let form = self.form(frame, form);
            self.evidence.forms.push(form);
        }
        self.evidence.links.extend(answer.links.into_iter().map(|link| Link {
            url: redact::url(&link.url),
            frame: frame.to_owned(),
            source: link.source,
            rel: link.rel,
        }));
        for script in answer.scripts {
            let script = self.script(frame, script);
            self.evidence.scripts.push(script);
        }
        for meta in answer.metas {
            let secret = redact::secret_name(&meta.name);
            self.evidence.metas.push(Meta {
                frame: frame.to_owned(),
                value: secret.then(|| self.redactor.shape(&meta.content)),
                content: (!secret).then(|| redact::parameters(&meta.content.chars().take(1_000).collect::<String>())),
                name: meta.name,
            });
        }
        for entry in answer.storage {
            self.evidence.storage.push(StorageEntry {
                origin: answer.origin.clone(),
                area: if entry.area == "localStorage" {
                    StorageArea::Local
                } else {
                    StorageArea::Session
                },
                value: self.redactor.shape(&entry.value),
                key: entry.key,
            });
        }
        for (check, version) in self.request.script.versions.iter() {
            let value = answer.probes.get(*check).cloned().flatten();
            if let Some(value) = value.and_then(|json| serde_json::from_str(&json).ok()) {
                let (check, frame) = ((*check).to_owned(), frame.to_owned());
                self.evidence.probes.push(ProbeAnswer {
                    check,
                    version: *version,
                    frame,
                    value,
                });
            }
        }
    }

    fn form(&self, frame: &str, form: FormAnswer) -> Form {
        Form {
            frame: frame.to_owned(),
            selector: form.selector,
            snippet: redact::parameters(&form.snippet),
            has_action: form.has_action,
            action: redact::url(&form.action),
            method: method(&form.method),
            enctype: form.enctype,
            visible: form.visible,
            in_shadow_root: form.in_shadow_root,
            fields: form
                .fields
                .into_iter()
                .map(|field| Field {
                    name: field.name,
                    kind: field.kind,
                    id: field.id,
                    autocomplete: field.autocomplete,
                    label: field.label,
                    visible: field.visible,
                    disabled: field.disabled,
                    value: field.value.map(|value| self.redactor.shape(&value)),
                })
                .collect(),
            submitters: form
                .submitters
                .into_iter()
                .map(|submitter| Submitter {
                    text: submitter.text,
                    name: submitter.name,
                    action: submitter.action.map(|action| redact::url(&action)),
                    method: submitter.method.as_deref().map(method),
                })
                .collect(),
        }
    }

    fn script(&mut self, frame: &str, script: ScriptAnswer) -> Script {
        let text = script.text.map(|text| Text::new(&redact::script(&text)));
        let hash = text.map(|text| self.keep(&text));
        Script {
            frame: frame.to_owned(),
            // Looked up again, with its text, when the requests are gone through.
            url: script.url,
            hash,
            length: script.length,
            snippet: redact::parameters(&script.snippet),
            kind: script.kind,
            integrity: script.integrity,
        }
    }

    fn keep(&mut self, text: &Text) -> String {
        self.texts
            .entry(text.hash.clone())
            .or_insert_with(|| Arc::clone(&text.kept));
        text.hash.clone()
    }

    /// Gives script elements the text of the request they made, and adds scripts that have no element.
    fn loaded_scripts(&mut self, recorded: &Recorded, texts: &HashMap<String, Text>) {
        for request in recorded
            .requests
            .iter()
            .filter(|request| request.kind == ResourceKind::Script)
        {
            let text = texts.get(&request.id);
            let hash = text.map(|text| self.keep(text));
            let length = text.map_or(0, |text| text.length);
            let frame = request.frame.clone().unwrap_or_default();
            let mut found = false;
            for script in &mut self.evidence.scripts {
                if script.url.as_deref() == Some(&request.url) && (script.frame == frame || frame.is_empty()) {
                    script.hash.clone_from(&hash);
                    script.length = length;
                    found = true;
                }
            }
            if !found {
                let url = Some(redact::url(final_url(request)));
                self.evidence.scripts.push(Script {
                    frame,
                    url,
                    hash,
                    length,
                    ..Script::default()
                });
            }
        }
        for script in &mut self.evidence.scripts {
            script.url = script
                .url
                .take()
                .filter(|url| !url.is_empty())
                .map(|url| redact::url(&url));
        }
    }

    fn cookies(&mut self, cookies: Vec<Cookie>) {
        self.evidence.cookies = cookies;
    }

    fn finish(mut self, recorded: Recorded) -> Captured {
        let main_frame = recorded.main_frame;
        for (url, source) in recorded.tried {
            let url = redact::url(&url);
            self.evidence.links.push(Link {
                url,
                frame: main_frame.clone(),
                source,
                rel: String::new(),
            });
        }
        self.evidence.requests = recorded.requests.into_iter().map(redacted_request).collect();
        self.evidence.issues = recorded.issues.into_iter().map(redacted_issue).collect();
        if recorded.dropped > 0 {
            self.evidence.gaps.push(format!(
                "{} requests or events beyond the bounds were not kept",
                recorded.dropped
            ));
        }
        Captured {
            evidence: self.evidence,
            scripts: self.texts,
        }
    }
}

fn method(word: &str) -> FormMethod {
    match word {
        "get" => FormMethod::Get,
        "post" => FormMethod::Post,
        "dialog" => FormMethod::Dialog,
        _ => FormMethod::Unknown,
    }
}

fn redacted_request(mut request: Request) -> Request {
    request.url = redact::url(&request.url);
    request.initiator.url = request.initiator.url.map(|url| redact::url(&url));
    request.worker = request.worker.map(|url| redact::url(&url));
    for hop in &mut request.redirects {
        hop.url = redact::url(&hop.url);
        hop.to = redact::url(&hop.to);
    }
    request.headers = request.headers.into_iter().map(redact::header).collect();
    request
}

fn redacted_issue(issue: Issue) -> Issue {
    match issue {
        Issue::MixedContent(mut issue) => {
            issue.insecure_url = redact::url(&issue.insecure_url);
            issue.document_url = redact::url(&issue.document_url);
            Issue::MixedContent(issue)
        }
        other => other,
    }
}
