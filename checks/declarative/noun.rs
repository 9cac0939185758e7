//! What a declaration can look at, and what can be asked of it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::answers;
use crate::check::Subject;
use crate::evidence::{
    Cookie, Endpoint, Field, Form, Frame, Header, Link, Meta, Page, Request, Script, Step, StorageEntry,
};
use crate::observation::Fact;
use crate::stable;

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Noun {
    Page,
    /// A response header of the page's document.
    Header,
    Request,
    Endpoint,
    Form,
    Field,
    Link,
    Script,
    Cookie,
    Meta,
    Storage,
    Frame,
    /// What the page itself answered.
    Answer,
}

/// An attribute and what it is good for.
struct Attribute {
    name: &'static str,
    /// It is the same after a deploy, and no text of a page's visitor.
    cause: bool,
    /// It is told with each observation.
    shown: bool,
}

const fn stable_one(name: &'static str) -> Attribute {
    Attribute {
        name,
        cause: true,
        shown: true,
    }
}

const fn shown(name: &'static str) -> Attribute {
    Attribute {
        name,
        cause: false,
        shown: true,
    }
}

const fn hidden(name: &'static str) -> Attribute {
    Attribute {
        name,
        cause: false,
        shown: false,
    }
}

const fn quiet(name: &'static str) -> Attribute {
    Attribute {
        name,
        cause: true,
        shown: false,
    }
}

const PAGE: &[Attribute] = &[
    shown("url"),
    quiet("scheme"),
    quiet("host"),
    quiet("path"),
    hidden("query"),
    shown("status"),
    hidden("mime"),
    shown("title"),
];
const HEADER: &[Attribute] = &[stable_one("name"), shown("value"), quiet("host")];
const REQUEST: &[Attribute] = &[
    shown("url"),
    quiet("scheme"),
    quiet("host"),
    quiet("path"),
    hidden("query"),
    stable_one("method"),
    stable_one("kind"),
    shown("status"),
    hidden("mime"),
    shown("initiator"),
    hidden("failed"),
];
const ENDPOINT: &[Attribute] = &[
    shown("url"),
    quiet("scheme"),
    quiet("host"),
    quiet("path"),
    hidden("query"),
    stable_one("method"),
    stable_one("kind"),
    shown("fate"),
    shown("content_type"),
    shown("fields"),
    hidden("cookies"),
    shown("initiator"),
];
const FORM: &[Attribute] = &[
    shown("action"),
    quiet("scheme"),
    quiet("host"),
    quiet("path"),
    hidden("query"),
    stable_one("method"),
    hidden("visible"),
    shown("fields"),
    hidden("kinds"),
    hidden("autocomplete"),
    shown("snippet"),
    shown("selector"),
];
const FIELD: &[Attribute] = &[
    stable_one("name"),
    stable_one("kind"),
    hidden("id"),
    shown("autocomplete"),
    shown("label"),
    hidden("visible"),
    hidden("disabled"),
    shown("action"),
    quiet("host"),
    quiet("path"),
    stable_one("method"),
];
const LINK: &[Attribute] = &[
    shown("url"),
    quiet("scheme"),
    quiet("host"),
    quiet("path"),
    hidden("query"),
    stable_one("source"),
    shown("rel"),
];
const SCRIPT: &[Attribute] = &[
    shown("url"),
    quiet("scheme"),
    quiet("host"),
    quiet("path"),
    hidden("query"),
    quiet("kind"),
    hidden("integrity"),
    shown("snippet"),
    hidden("text"),
];
const COOKIE: &[Attribute] = &[
    stable_one("name"),
    stable_one("domain"),
    shown("path"),
    shown("secure"),
    shown("http_only"),
    shown("same_site"),
    shown("session"),
];
const META: &[Attribute] = &[stable_one("name"), shown("content"), quiet("host")];
const STORAGE: &[Attribute] = &[stable_one("origin"), stable_one("area"), stable_one("key")];
const FRAME: &[Attribute] = &[
    shown("url"),
    quiet("scheme"),
    quiet("host"),
    quiet("path"),
    hidden("query"),
    stable_one("kind"),
];
const ANSWER: &[Attribute] = &[stable_one("ask"), hidden("value"), quiet("host")];

impl Noun {
    /// All there are.
    pub const ALL: [Self; 13] = [
        Self::Page,
        Self::Header,
        Self::Request,
        Self::Endpoint,
        Self::Form,
        Self::Field,
        Self::Link,
        Self::Script,
        Self::Cookie,
        Self::Meta,
        Self::Storage,
        Self::Frame,
        Self::Answer,
    ];

    /// The word for it in a declaration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Header => "header",
            Self::Request => "request",
            Self::Endpoint => "endpoint",
            Self::Form => "form",
            Self::Field => "field",
            Self::Link => "link",
            Self::Script => "script",
            Self::Cookie => "cookie",
            Self::Meta => "meta",
            Self::Storage => "storage",
            Self::Frame => "frame",
            Self::Answer => "answer",
        }
    }

    fn all_attributes(self) -> &'static [Attribute] {
        match self {
            Self::Page => PAGE,
            Self::Header => HEADER,
            Self::Request => REQUEST,
            Self::Endpoint => ENDPOINT,
            Self::Form => FORM,
            Self::Field => FIELD,
            Self::Link => LINK,
            Self::Script => SCRIPT,
            Self::Cookie => COOKIE,
            Self::Meta => META,
            Self::Storage => STORAGE,
            Self::Frame => FRAME,
            Self::Answer => ANSWER,
        }
    }

    /// What can be asked of it. An answer has, beside these, the attributes that its question names.
    pub fn attributes(self) -> impl Iterator<Item = &'static str> {
        self.all_attributes().iter().map(|attribute| attribute.name)
    }

    /// Whether it has this attribute.
    pub fn has(self, name: &str) -> bool {
        self.attributes().any(|known| known == name)
    }

    /// Those that a fingerprint may be made of.
    pub fn causes(self) -> impl Iterator<Item = &'static str> {
        let all = self.all_attributes().iter();
        all.filter(|attribute| attribute.cause).map(|attribute| attribute.name)
    }

    /// Whether a fingerprint may be made of it: a deploy does not change it.
    pub fn may_be_cause(self, name: &str) -> bool {
        self.causes().any(|known| known == name)
    }

    /// What a fingerprint is made of if nobody says otherwise.
    pub fn usual_cause(self) -> &'static [&'static str] {
        match self {
            Self::Header | Self::Meta => &["host", "name"],
            Self::Page | Self::Frame | Self::Link => &["host", "path"],
            Self::Request | Self::Script => &["host", "path", "kind"],
            Self::Endpoint | Self::Form => &["host", "path", "method"],
            Self::Field => &["host", "path", "name"],
            Self::Cookie => &["domain", "name"],
            Self::Storage => &["origin", "key"],
            Self::Answer => &["host", "ask"],
        }
    }

    pub(super) fn shown(self) -> impl Iterator<Item = &'static str> {
        let all = self.all_attributes().iter();
        all.filter(|attribute| attribute.shown).map(|attribute| attribute.name)
    }

    /// All of its kind in the evidence.
    pub(super) fn items<'e>(self, subject: &Subject<'e>, check: &str) -> Box<dyn Iterator<Item = Item<'e>> + 'e> {
        let evidence = subject.evidence;
        match self {
            Self::Page => Box::new(std::iter::once(Item::Page(&evidence.page))),
            Self::Header => Box::new(evidence.page.headers.iter().map(Item::Header)),
            Self::Request => Box::new(evidence.requests.iter().map(Item::Request)),
            Self::Endpoint => Box::new(evidence.endpoints.iter().map(Item::Endpoint)),
            Self::Form => Box::new(evidence.forms.iter().map(Item::Form)),
            Self::Field => Box::new(
                evidence
                    .forms
                    .iter()
                    .flat_map(|form| form.fields.iter().map(move |field| Item::Field(form, field))),
            ),
            Self::Link => Box::new(evidence.links.iter().map(Item::Link)),
            Self::Script => Box::new(evidence.scripts.iter().map(Item::Script)),
            Self::Cookie => Box::new(evidence.cookies.iter().map(Item::Cookie)),
            Self::Meta => Box::new(evidence.metas.iter().map(Item::Meta)),
            Self::Storage => Box::new(evidence.storage.iter().map(Item::Storage)),
            Self::Frame => Box::new(evidence.frames.iter().map(Item::Frame)),
            Self::Answer => {
                let check = check.to_owned();
                let asked = evidence.probes.iter().filter(move |probe| probe.check == check);
                Box::new(asked.flat_map(|probe| {
                    let answers = probe.value.as_array().into_iter().flatten();
                    answers.map(|value| Item::Answer(&probe.frame, value))
                }))
            }
        }
    }
}

/// Whether the main frame was asked what a check asks.
pub(super) fn was_asked(subject: &Subject<'_>, check: &str) -> bool {
    let evidence = subject.evidence;
    let main = evidence.main_frame().map(|frame| frame.id.as_str());
    evidence
        .probes
        .iter()
        .any(|probe| probe.check == check && Some(probe.frame.as_str()) == main)
}

/// One thing in the evidence.
pub(super) enum Item<'e> {
    Page(&'e Page),
    Header(&'e Header),
    Request(&'e Request),
    Endpoint(&'e Endpoint),
    Form(&'e Form),
    Field(&'e Form, &'e Field),
    Link(&'e Link),
    Script(&'e Script),
    Cookie(&'e Cookie),
    Meta(&'e Meta),
    Storage(&'e StorageEntry),
    Frame(&'e Frame),
    Answer(&'e str, &'e Value),
}

impl<'e> Item<'e> {
    /// The frame it belongs to.
    pub fn frame(&self) -> Option<&'e str> {
        match self {
            Self::Request(request) => request.frame.as_deref(),
            Self::Endpoint(endpoint) => endpoint.frame.as_deref(),
            Self::Form(form) | Self::Field(form, _) => Some(&form.frame),
            Self::Link(link) => Some(&link.frame),
            Self::Script(script) => Some(&script.frame),
            Self::Meta(meta) => Some(&meta.frame),
            Self::Frame(frame) => Some(&frame.id),
            Self::Answer(frame, _) => Some(frame),
            Self::Page(_) | Self::Header(_) | Self::Cookie(_) | Self::Storage(_) => None,
        }
    }

    /// What was done on the page before it was there.
    pub fn path(&self) -> &'e [Step] {
        match self {
            Self::Endpoint(endpoint) => &endpoint.path,
            Self::Form(form) | Self::Field(form, _) => &form.path,
            Self::Link(link) => &link.path,
            _ => &[],
        }
    }

    /// What is told of it that has no name of ours.
    pub fn own_facts(&self) -> Vec<Fact> {
        let Self::Answer(_, answer) = self else {
            return Vec::new();
        };
        let mut facts = vec![Fact::new("value", text(&answer["value"]))];
        for (name, value) in answer["attributes"].as_object().into_iter().flatten() {
            facts.push(Fact::new(name, text(value)));
        }
        facts
    }

    /// An attribute as a cause has it: what a deploy changes in a path is taken out.
    pub fn stable(&self, name: &str, subject: &Subject<'e>) -> String {
        if name != "path" || matches!(self, Self::Cookie(_)) {
            return self.values(name, subject).join(",");
        }
        let Some(url) = self.url(subject) else {
            return String::new();
        };
        let whole = match self {
            Self::Script(_) | Self::Request(_) => stable::asset(&url),
            _ => stable::template(&url),
        };
        let host = url.host_str().unwrap_or_default();
        whole.strip_prefix(host).unwrap_or(&whole).to_owned()
    }

    /// What an attribute is; several if it is a list, none if it is not there.
    pub fn values(&self, name: &str, subject: &Subject<'e>) -> Vec<Cow<'e, str>> {
        if let ("scheme" | "host" | "path" | "query", false) = (name, matches!(self, Self::Cookie(_))) {
            return self.of_url(name, subject);
        }
        match self {
            Self::Page(page) => of_page(page, name),
            Self::Header(header) => one(match name {
                "name" => &header.name,
                _ => &header.value,
            }),
            Self::Request(request) => of_request(request, name),
            Self::Endpoint(endpoint) => of_endpoint(endpoint, name),
            Self::Form(form) => of_form(form, name),
            Self::Field(form, field) => of_field(form, field, name),
            Self::Link(link) => match name {
                "source" => word(&link.source),
                "rel" => one(&link.rel),
                _ => one(&link.url),
            },
            Self::Script(script) => of_script(script, name, subject),
            Self::Cookie(cookie) => of_cookie(cookie, name),
            Self::Meta(meta) => match name {
                "name" => one(&meta.name),
                _ => maybe(meta.content.as_deref()),
            },
            Self::Storage(entry) => match name {
                "origin" => one(&entry.origin),
                "area" => word(&entry.area),
                _ => one(&entry.key),
            },
            Self::Frame(frame) => match name {
                "kind" => word(&frame.kind),
                _ => one(&frame.url),
            },
            Self::Answer(_, answer) => match name {
                "ask" | "value" => of_json(&answer[name]),
                _ => of_json(&answer["attributes"][name]),
            },
        }
    }

    fn of_url(&self, name: &str, subject: &Subject<'e>) -> Vec<Cow<'e, str>> {
        let Some(url) = self.url(subject) else {
            return Vec::new();
        };
        let value = match name {
            "scheme" => Some(url.scheme().to_owned()),
            "host" => Some(answers::host(&url)),
            "path" => Some(url.path().to_owned()),
            _ => url.query().map(str::to_owned),
        };
        value.map(Cow::Owned).into_iter().collect()
    }

    /// The URL that it has, or that of the document it belongs to.
    fn url(&self, subject: &Subject<'e>) -> Option<Url> {
        let text = match self {
            Self::Request(request) => &request.url,
            Self::Endpoint(endpoint) => &endpoint.url,
            Self::Form(form) | Self::Field(form, _) => &form.action,
            Self::Link(link) => &link.url,
            Self::Script(script) => script.url.as_ref()?,
            Self::Frame(frame) => &frame.url,
            Self::Page(page) => &page.url,
            Self::Header(_) | Self::Cookie(_) | Self::Storage(_) => &subject.evidence.page.url,
            Self::Meta(meta) => return crate::hosts::document_url(subject.evidence, &meta.frame),
            Self::Answer(frame, _) => return crate::hosts::document_url(subject.evidence, frame),
        };
        Url::parse(text).ok()
    }
}

fn one(text: &str) -> Vec<Cow<'_, str>> {
    vec![Cow::Borrowed(text)]
}

fn maybe(text: Option<&str>) -> Vec<Cow<'_, str>> {
    text.map(Cow::Borrowed).into_iter().collect()
}

fn number<'e>(number: Option<u16>) -> Vec<Cow<'e, str>> {
    number
        .map(|number| Cow::Owned(number.to_string()))
        .into_iter()
        .collect()
}

fn flag<'e>(flag: bool) -> Vec<Cow<'e, str>> {
    one(if flag { "true" } else { "false" })
}

/// An enum's word, as evidence is stored with it.
fn word<'e>(value: &impl Serialize) -> Vec<Cow<'e, str>> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => vec![Cow::Owned(word)],
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => String::new(),
    }
}

fn of_json<'e>(value: &Value) -> Vec<Cow<'e, str>> {
    if value.is_null() {
        Vec::new()
    } else {
        vec![Cow::Owned(text(value))]
    }
}

fn of_page<'e>(page: &'e Page, name: &str) -> Vec<Cow<'e, str>> {
    match name {
        "status" => number(page.status),
        "mime" => maybe(page.mime.as_deref()),
        "title" => maybe(page.title.as_deref()),
        _ => one(&page.url),
    }
}

fn of_request<'e>(request: &'e Request, name: &str) -> Vec<Cow<'e, str>> {
    match name {
        "method" => one(&request.method),
        "kind" => word(&request.kind),
        "status" => number(request.status),
        "mime" => maybe(request.mime.as_deref()),
        "initiator" => maybe(request.initiator.url.as_deref()),
        "failed" => flag(request.failure.is_some()),
        _ => one(&request.url),
    }
}

fn of_endpoint<'e>(endpoint: &'e Endpoint, name: &str) -> Vec<Cow<'e, str>> {
    match name {
        "method" => one(&endpoint.method),
        "kind" => word(&endpoint.kind),
        "fate" => word(&endpoint.fate),
        "content_type" => one(&endpoint.content_type),
        "fields" => endpoint
            .fields
            .iter()
            .map(|field| Cow::Borrowed(field.as_str()))
            .collect(),
        "cookies" => flag(endpoint.cookies),
        "initiator" => maybe(endpoint.initiator.url.as_deref()),
        _ => one(&endpoint.url),
    }
}

fn of_form<'e>(form: &'e Form, name: &str) -> Vec<Cow<'e, str>> {
    let each = |value: fn(&Field) -> &str| form.fields.iter().map(|field| Cow::Borrowed(value(field))).collect();
    match name {
        "method" => word(&form.method),
        "visible" => flag(form.visible),
        "fields" => each(|field| &field.name),
        "kinds" => each(|field| &field.kind),
        "autocomplete" => each(|field| &field.autocomplete),
        "snippet" => one(&form.snippet),
        "selector" => one(&form.selector),
        _ => one(&form.action),
    }
}

fn of_field<'e>(form: &'e Form, field: &'e Field, name: &str) -> Vec<Cow<'e, str>> {
    match name {
        "name" => one(&field.name),
        "kind" => one(&field.kind),
        "id" => one(&field.id),
        "autocomplete" => one(&field.autocomplete),
        "label" => one(&field.label),
        "visible" => flag(field.visible),
        "disabled" => flag(field.disabled),
        "method" => word(&form.method),
        _ => one(&form.action),
    }
}

fn of_script<'e>(script: &'e Script, name: &str, subject: &Subject<'e>) -> Vec<Cow<'e, str>> {
    match name {
        "kind" => one(&script.kind),
        "integrity" => maybe(script.integrity.as_deref()),
        "snippet" => one(&script.snippet),
        "text" => {
            let text = script.hash.as_deref().and_then(|hash| subject.bodies.text(hash));
            maybe(text)
        }
        _ => maybe(script.url.as_deref()),
    }
}

fn of_cookie<'e>(cookie: &'e Cookie, name: &str) -> Vec<Cow<'e, str>> {
    match name {
        "domain" => one(&cookie.domain),
        "path" => one(&cookie.path),
        "secure" => flag(cookie.secure),
        "http_only" => flag(cookie.http_only),
        "same_site" => word(&cookie.same_site),
        "session" => flag(cookie.session),
        _ => one(&cookie.name),
    }
}
