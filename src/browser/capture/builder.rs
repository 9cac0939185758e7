//! Evidence from what the recorder holds and what the frames answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use phantom_checks::evidence::{
    Cookie, Endpoint, Evidence, Explored, Field, Form, FormMethod, Frame, FrameKind, Issue, Link, LinkSource, Look,
    Meta, Page, ProbeAnswer, Request, ResourceKind, Script, Step, StorageArea, StorageEntry, Submitter,
};

use super::answer::{FieldAnswer, FormAnswer, FrameAnswer, LookAnswer, ScriptAnswer};
use super::endpoints::endpoint;
use super::texts::{Text, final_url};
use super::{Brought, Captured, Recorded, SideFile, Silence};
use crate::browser::act::Finds;
use crate::browser::json;
use crate::browser::recorder::Calls;
use crate::browser::redact::{self, Redactor};
use crate::browser::steps::session_shown;
use crate::browser::tab::{PageRequest, SESSION_PROBE};
use crate::crawl::{REDACTED, hash, is_secret, sketch};
use url::Url;

/// Files beside a page that are noted.
const MOST_FILES: usize = 20;
/// Hints that one script may add.
const MOST_HINTS: usize = 60;
/// Links that one action may add, and forms and scripts that a page may have after all of them.
const MOST_BROUGHT: usize = 1_000;

/// Puts the evidence of one page together, replacing secrets on the way in.
pub(super) struct Builder<'a> {
    request: &'a PageRequest,
    redactor: &'a Redactor,
    evidence: Evidence,
    texts: BTreeMap<String, Arc<str>>,
    files: Vec<SideFile>,
    probing: Duration,
}

impl<'a> Builder<'a> {
    pub fn new(request: &'a PageRequest, recorded: &Recorded) -> Self {
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
            files: Vec::new(),
            probing: Duration::ZERO,
        }
    }

    pub fn frame(&mut self, id: &str, recorded: &Recorded, answer: Result<FrameAnswer, Silence>) {
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
                let probing = answer.probes_ms.unwrap_or_default().clamp(0.0, 5_000.0) / 1_000.0;
                self.probing += Duration::try_from_secs_f64(probing).unwrap_or_default();
                frame.url = redact::url(&answer.url);
                frame.origin.clone_from(&answer.origin);
                if main {
                    self.evidence.page.session_in_path = redact::has_session_in_path(&answer.url);
                    self.evidence.page.url.clone_from(&frame.url);
                    self.evidence.page.title = Some(answer.title.clone()).filter(|title| !title.is_empty());
                    self.evidence.page.elements = answer.elements;
                    self.evidence.page.look = answer.look.as_ref().map(|look| look_of(&answer.title, look));
                    let session = answer.probes.get(SESSION_PROBE).cloned().flatten();
                    self.evidence.page.logged_in = session_shown(session.as_deref());
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

    /// What a frame showed after some steps, as far as it had not shown it before.
    pub fn brought(&mut self, recorded: &Recorded, brought: Brought) {
        let Brought { frame, answer, path } = brought;
        if self.evidence.frame(&frame).is_none()
            && let Some(record) = recorded.frames.get(&frame)
        {
            self.evidence.frames.push(Frame {
                id: frame.clone(),
                parent: record.parent.clone(),
                url: redact::url(&answer.url),
                origin: answer.origin.clone(),
                kind: FrameKind::Child,
                captured: true,
            });
        }
        let (links, forms, scripts) = (
            self.evidence.links.len(),
            self.evidence.forms.len(),
            self.evidence.scripts.len(),
        );
        self.contents(&frame, answer);
        let evidence = &mut self.evidence;
        let mut at = 0;
        for link in evidence.links.split_off(links) {
            let known = evidence
                .links
                .iter()
                .any(|other| other.url == link.url && other.source == link.source);
            if !known && at < MOST_BROUGHT {
                at += 1;
                evidence.links.push(Link {
                    path: path.clone(),
                    ..link
                });
            }
        }
        for form in evidence.forms.split_off(forms) {
            let alike = |other: &Form| {
                other.frame == form.frame
                    && other.selector == form.selector
                    && other.action == form.action
                    && other.fields.len() == form.fields.len()
            };
            if !evidence.forms.iter().any(alike) && evidence.forms.len() < MOST_BROUGHT {
                evidence.forms.push(Form {
                    path: path.clone(),
                    ..form
                });
            }
        }
        for script in evidence.scripts.split_off(scripts) {
            let alike =
                |other: &Script| other.frame == script.frame && other.url == script.url && other.hash == script.hash;
            if !evidence.scripts.iter().any(alike) && evidence.scripts.len() < MOST_BROUGHT {
                evidence.scripts.push(script);
            }
        }
    }

    pub fn explored(&mut self, explored: Option<Explored>) {
        self.evidence.explored = explored;
    }

    fn contents(&mut self, frame: &str, answer: FrameAnswer) {
        if answer.left_out > 0 {
            self.evidence.gaps.push(format!(
                "{} forms, links, scripts or meta tags beyond the bounds were not looked at",
                answer.left_out
            ));
        }
        self.files
            .extend(answer.manifests.into_iter().take(MOST_FILES).map(SideFile::Manifest));
        for form in answer.forms {
            let form = self.form(frame, form);
            self.evidence.forms.push(form);
        }
        self.evidence.links.extend(answer.links.into_iter().map(|link| Link {
            session_in_path: redact::has_session_in_path(&link.url),
            url: redact::url(&link.url),
            frame: frame.to_owned(),
            source: link.source,
            rel: link.rel,
            path: Vec::new(),
        }));
        for script in answer.scripts {
            let script = self.script(frame, script);
            self.evidence.scripts.push(script);
        }
        for meta in answer.metas {
            let secret = is_secret(&meta.name, &meta.content) || redact::looks_random(&meta.content);
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
            if let Some(value) = value.and_then(|json| json::read(&json).ok()) {
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
            snippet: redact::script(&form.snippet),
            has_action: form.has_action,
            action: redact::url(&form.action),
            method: method(&form.method),
            enctype: form.enctype,
            visible: form.visible,
            in_shadow_root: form.in_shadow_root,
            fields: form.fields.into_iter().map(|field| self.field(field)).collect(),
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
            path: Vec::new(),
        }
    }

    fn field(&self, field: FieldAnswer) -> Field {
        // Some frameworks name a hidden field by its token; it is then kept as the value is.
        let named_by_token = field.kind == "hidden" && redact::looks_random(&field.name);
        let value = if named_by_token {
            Some(&field.name)
        } else {
            field.value.as_ref()
        };
        Field {
            value: value.map(|value| self.redactor.shape(value)),
            name: if named_by_token {
                REDACTED.to_owned()
            } else {
                field.name
            },
            kind: field.kind,
            id: field.id,
            autocomplete: field.autocomplete,
            label: field.label,
            visible: field.visible,
            disabled: field.disabled,
        }
    }

    fn script(&mut self, frame: &str, script: ScriptAnswer) -> Script {
        let text = script.text.map(|text| self.request.scripts.redacted(&text));
        let hash = text.map(|text| self.keep(&text));
        Script {
            frame: frame.to_owned(),
            // Looked up again, with its text, when the requests are gone through.
            url: script.url,
            hash,
            length: script.length,
            snippet: redact::script(&script.snippet),
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
    pub fn loaded_scripts(&mut self, recorded: &Recorded, texts: &HashMap<String, Result<Text, String>>) {
        for request in recorded
            .requests
            .iter()
            .filter(|request| request.kind == ResourceKind::Script)
        {
            let text = texts.get(&request.id);
            if let Some(Err(why)) = text {
                let url = redact::url(final_url(request));
                let gap = format!("the text of the script {url} could not be read: {why}");
                self.evidence.gaps.push(gap);
            }
            let text = text.and_then(|text| text.as_ref().ok());
            let hash = text.map(|text| self.keep(text));
            let length = text.map_or(0, |text| text.length);
            let frame = request.frame.clone().unwrap_or_default();
            if let Some(text) = text {
                self.hints(&frame, request, text);
            }
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

    /// What a script of the page's own host hints at.
    fn hints(&mut self, frame: &str, request: &Request, text: &Text) {
        let Ok(script) = Url::parse(final_url(request)) else {
            return;
        };
        let Ok(page) = Url::parse(&self.evidence.page.url) else {
            return;
        };
        if script.host_str() != page.host_str() {
            return;
        }
        if let Some(map) = text.source_map.as_deref().and_then(|map| script.join(map).ok())
            && self.files.len() < MOST_FILES
        {
            self.files.push(SideFile::SourceMap(map.into()));
        }
        let known = self.evidence.links.len();
        for hint in text.hints.iter() {
            let Ok(url) = page.join(hint) else { continue };
            let url = redact::url(url.as_str());
            let seen = self.evidence.links.iter().any(|link| link.url == url);
            if !seen && self.evidence.links.len() < known + MOST_HINTS {
                self.evidence.links.push(Link {
                    url,
                    frame: frame.to_owned(),
                    source: LinkSource::Script,
                    ..Link::default()
                });
            }
        }
    }

    pub fn cookies(&mut self, cookies: Vec<Cookie>) {
        self.evidence.cookies = cookies;
    }

    fn endpoints(&mut self, calls: Calls, requests: &[Request], paths: &[(usize, Vec<Step>)]) -> Vec<Endpoint> {
        if calls.dropped > 0 {
            let gap = format!("{} requests of scripts beyond the bounds were not kept", calls.dropped);
            self.evidence.gaps.push(gap);
        }
        if calls.unheard > 0 {
            let gap = format!(
                "{} frames or workers were not let run: the browser did not make their requests wait in time",
                calls.unheard
            );
            self.evidence.gaps.push(gap);
        }
        let calls = calls.all.into_iter();
        calls
            .enumerate()
            .map(|(at, call)| {
                endpoint(
                    call,
                    path_to(at, paths),
                    requests,
                    &self.evidence.cookies,
                    self.redactor,
                )
            })
            .collect()
    }

    pub fn finish(mut self, recorded: Recorded, finds: &Finds) -> Captured {
        let main_frame = recorded.main_frame;
        for (at, (url, source)) in recorded.tried.into_iter().enumerate() {
            let url = redact::url(&url);
            let path = path_to(at, &finds.tried).to_vec();
            self.evidence.links.push(Link {
                url,
                frame: main_frame.clone(),
                source,
                path,
                ..Link::default()
            });
        }
        let calls = recorded.calls.all.len();
        self.evidence.endpoints = self.endpoints(recorded.calls, &recorded.requests, &finds.calls);
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
            files: self.files,
            probing: self.probing,
            worn: finds.worn,
            calls,
        }
    }
}

/// Longer texts, in characters, are not kept: what stands in a page's place says little.
const LONGEST_TEXT: usize = 1_500;

fn look_of(title: &str, answer: &LookAnswer) -> Look {
    let lower = answer.text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let short = answer.text.chars().count() <= LONGEST_TEXT;
    let masked = |word| if redact::looks_random(word) { REDACTED } else { word };
    let text = || answer.text.split(' ').map(masked).collect::<Vec<_>>().join(" ");
    Look {
        structure: sketch(answer.paths.iter().map(String::as_str)),
        words: sketch(words.iter().copied()),
        word_count: u32::try_from(words.len()).unwrap_or(u32::MAX),
        text_hash: format!("{:016x}", hash(format!("{title}\n{}", answer.text).as_bytes())),
        text: short.then(|| redact::parameters(&text())),
    }
}

/// The steps that led to one of a list, given from which of them on which steps had been taken.
fn path_to(at: usize, paths: &[(usize, Vec<Step>)]) -> &[Step] {
    let path = paths.iter().rev().find(|(from, _)| *from <= at);
    path.map(|(_, path)| path.as_slice()).unwrap_or_default()
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
            // Where the browser names no request, its URL stands here.
            issue.request = issue.request.map(|request| redact::parameters(&request));
            Issue::MixedContent(issue)
        }
        Issue::Csp(mut issue) => {
            issue.blocked_url = issue.blocked_url.map(|url| redact::url(&url));
            issue.source_url = issue.source_url.map(|url| redact::url(&url));
            Issue::Csp(issue)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
