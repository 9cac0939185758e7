//! Each insecure resource that the browser met on a page, once, with what became of it.

use std::collections::HashSet;

use url::Url;

use super::kind::Kind;
use crate::check::Subject;
use crate::evidence::{
    Answer, Hop, HttpsOutcome, Issue, MixedContentIssue, MixedContentResolution, MixedContentType, Request,
    ResourceKind,
};
use crate::hosts;
use crate::observation::{Confidence, Question, Severity};
use crate::stable::{asset, template};

/// What became of an insecure resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was loaded, or would have been had its server answered. `seen`: a response came over http.
    Loaded { seen: bool },
    /// The browser refused it.
    Blocked,
    /// The browser asked for the https form, which answers.
    UpgradedWorks,
    /// The browser asked for the https form, which does not answer.
    UpgradedFails(String),
    /// The browser asked for the https form; whether it answers could not be found out, and why.
    UpgradedUnknown(String),
    /// Whether the https form answers must be asked first.
    Asked(Question),
}

impl Fate {
    /// The end of a sentence that begins with the resource.
    pub(super) fn as_phrase(&self) -> &'static str {
        match self {
            Self::Loaded { .. } => "is loaded",
            Self::Blocked => "is blocked by the browser",
            Self::UpgradedWorks => "is upgraded to https by the browser",
            Self::UpgradedFails(_) => "is upgraded to https by the browser, and fails",
            Self::UpgradedUnknown(_) | Self::Asked(_) => "is upgraded to https by the browser, outcome unknown",
        }
    }
}

/// One insecure resource on a page.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    pub(super) url: Url,
    pub(super) kind: Kind,
    pub(super) fate: Fate,
    /// The script or stylesheet that asks for it, else the template of the document.
    pub(super) asked_by: String,
    /// Who asked, with its line, where the browser told.
    pub(super) initiator: Option<String>,
    pub(super) own: bool,
    pub(super) third_party: bool,
}

impl Sighting {
    pub(super) fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }

    pub(super) fn severity(&self) -> Severity {
        match (&self.fate, self.kind.is_passive()) {
            (Fate::Loaded { .. }, false) => Severity::High,
            (Fate::Loaded { .. }, true) => Severity::Medium,
            (Fate::Blocked, _) if self.own => Severity::Medium,
            (Fate::Blocked | Fate::UpgradedFails(_), _) => Severity::Low,
            (Fate::UpgradedWorks | Fate::UpgradedUnknown(_) | Fate::Asked(_), _) => Severity::Info,
        }
    }

    pub(super) fn confidence(&self) -> Confidence {
        match self.fate {
            Fate::Loaded { seen: true } => Confidence::Certain,
            Fate::Loaded { seen: false } | Fate::Blocked | Fate::UpgradedWorks | Fate::UpgradedFails(_) => {
                Confidence::Firm
            }
            Fate::UpgradedUnknown(_) | Fate::Asked(_) => Confidence::Tentative,
        }
    }

    pub(super) fn explain(&self) -> String {
        let phrase = self.fate.as_phrase();
        match &self.fate {
            Fate::UpgradedFails(why) | Fate::UpgradedUnknown(why) => format!("{phrase}: {why}"),
            _ => phrase.to_owned(),
        }
    }
}

/// All insecure resources of a page, without repeats.
pub(super) fn all(subject: &Subject<'_>) -> Vec<Sighting> {
    let mut covered = Covered::default();
    let mut sightings = Vec::new();
    for issue in &subject.evidence.issues {
        if let Issue::MixedContent(issue) = issue {
            sightings.extend(of_issue(subject, issue, &mut covered));
        }
    }
    for request in &subject.evidence.requests {
        sightings.extend(of_request(subject, request, &mut covered));
    }
    sightings
}

/// What was already told of, so that two witnesses make one sighting.
#[derive(Default)]
struct Covered {
    issues: HashSet<(Kind, String, String)>,
    urls: HashSet<String>,
    requests: HashSet<String>,
}

impl std::hash::Hash for Kind {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

fn of_issue(subject: &Subject<'_>, issue: &MixedContentIssue, covered: &mut Covered) -> Option<Sighting> {
    let url = insecure(&issue.insecure_url)?;
    let kind = Kind::of_issue(&issue.resource, url.scheme())?;
    let document = Url::parse(&issue.document_url).ok();
    if document.as_ref().is_some_and(|document| document.scheme() == "http") {
        return None;
    }
    let request = request_of(subject, issue, &url);
    covered.urls.insert(url.to_string());
    if let Some(request) = request {
        covered.requests.insert(request.id.clone());
    }
    let fate = match issue.resolution {
        MixedContentResolution::Blocked => Fate::Blocked,
        MixedContentResolution::Warning => Fate::Loaded {
            seen: request.is_some_and(|request| request.status.is_some() && insecure(&request.url).is_some()),
        },
        MixedContentResolution::Upgraded => upgraded(subject, &url, request),
        MixedContentResolution::Unknown => return None,
    };
    // A blocked frame is its own frame; the document that asked for it is the one around it.
    let frame = request.and_then(|request| request.frame.as_deref()).or_else(|| {
        let own = issue.frame.as_deref()?;
        if kind == Kind::Frame {
            subject.evidence.frame(own)?.parent.as_deref()
        } else {
            Some(own)
        }
    });
    let document = match frame {
        Some(frame) if subject.evidence.frame(frame).is_some() => hosts::document_url(subject.evidence, frame),
        _ => document.or_else(|| Url::parse(&subject.evidence.page.url).ok()),
    };
    let sighting = sighting(subject, url, kind, fate, document, request);
    let key = (kind, sighting.url.to_string(), sighting.asked_by.clone());
    covered.issues.insert(key).then_some(sighting)
}

/// The request that an issue is about: by its id, else by its URL or the https form of that.
fn request_of<'a>(subject: &Subject<'a>, issue: &MixedContentIssue, url: &Url) -> Option<&'a Request> {
    let requests = &subject.evidence.requests;
    if let Some(id) = &issue.request
        && let Some(request) = requests.iter().find(|request| request.id == *id)
    {
        return Some(request);
    }
    let https = https_form(url);
    requests.iter().find(|request| request.url == url.as_str()).or_else(|| {
        requests
            .iter()
            .find(|request| https.as_ref().is_some_and(|https| request.url == https.as_str()))
    })
}

fn of_request(subject: &Subject<'_>, request: &Request, covered: &mut Covered) -> Option<Sighting> {
    if covered.requests.contains(&request.id) || is_navigation(subject, request) {
        return None;
    }
    let document = asking_document(subject, request)?;
    let kind = Kind::of_request(request.kind);
    let failure = request.failure.as_ref();
    let refused = failure.is_some_and(|failure| failure.blocked.as_deref() == Some("mixed-content"));
    let (url, redirected) = match insecure(&request.url) {
        Some(url) => (url, false),
        None => (insecure_hop(&request.redirects)?, true),
    };
    if covered.urls.contains(url.as_str()) {
        return None;
    }
    let class = request.mixed_content;
    let known = class == MixedContentType::Blockable || class == MixedContentType::OptionallyBlockable;
    let fate = if refused {
        Fate::Blocked
    } else if known && failure.is_none_or(|failure| failure.blocked.is_none() && !failure.canceled) {
        Fate::Loaded {
            seen: request.status.is_some(),
        }
    } else if redirected && !known {
        upgraded(subject, &url, Some(request))
    } else {
        return None;
    };
    covered.urls.insert(url.to_string());
    Some(sighting(subject, url, kind, fate, Some(document), Some(request)))
}

fn sighting(
    subject: &Subject<'_>,
    url: Url,
    kind: Kind,
    fate: Fate,
    document: Option<Url>,
    request: Option<&Request>,
) -> Sighting {
    let asker = request.and_then(|request| asking_file(subject, request, document.as_ref()));
    let asked_by = match (&asker, &document) {
        (Some(asker), _) => asset(asker),
        (None, Some(document)) => template(document),
        (None, None) => String::new(),
    };
    let initiator = request.and_then(|request| {
        let url = request.initiator.url.as_deref()?;
        Some(match request.initiator.line {
            Some(line) => format!("{url}:{line}"),
            None => url.to_owned(),
        })
    });
    Sighting {
        own: url.host_str().is_some_and(|host| hosts::is_own(subject, host)),
        third_party: document
            .and_then(|document| document.host_str().map(|host| !hosts::is_own(subject, host)))
            .unwrap_or(false),
        url,
        kind,
        fate,
        asked_by,
        initiator,
    }
}

/// The script or stylesheet of its own that asked; `None` if it was the document, or a script inside it.
fn asking_file(subject: &Subject<'_>, request: &Request, document: Option<&Url>) -> Option<Url> {
    let url = Url::parse(request.initiator.url.as_deref()?).ok()?;
    let is_document = document.is_some_and(|document| same_document(document, &url))
        || subject
            .evidence
            .frames
            .iter()
            .filter_map(|frame| Url::parse(&frame.url).ok())
            .any(|frame| same_document(&frame, &url));
    let is_file = matches!(url.scheme(), "http" | "https") && !is_document;
    let is_stylesheet = || {
        subject
            .evidence
            .requests
            .iter()
            .any(|other| other.kind == ResourceKind::Stylesheet && other.url == url.as_str())
    };
    (is_file && (request.initiator.kind == "script" || is_stylesheet())).then_some(url)
}

fn same_document(one: &Url, other: &Url) -> bool {
    one[..url::Position::AfterQuery] == other[..url::Position::AfterQuery]
}

/// Going to the page itself is not part of the page.
fn is_navigation(subject: &Subject<'_>, request: &Request) -> bool {
    let main = subject.evidence.main_frame().map(|frame| frame.id.as_str());
    request.kind == ResourceKind::Document && request.frame.as_deref() == main
}

/// The secure document or worker that made a request; `None` if it is not secure, and nothing can be mixed.
fn asking_document(subject: &Subject<'_>, request: &Request) -> Option<Url> {
    let document = match (&request.frame, &request.worker) {
        (Some(frame), _) if request.kind == ResourceKind::Document => {
            // The frame of a frame's own document is the frame itself.
            let parent = subject.evidence.frame(frame).and_then(|frame| frame.parent.as_deref());
            hosts::document_url(subject.evidence, parent.unwrap_or(frame))
        }
        (Some(frame), _) => hosts::document_url(subject.evidence, frame),
        (None, Some(worker)) => Url::parse(worker)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .or_else(|| Url::parse(&subject.evidence.page.url).ok()),
        (None, None) => Url::parse(&subject.evidence.page.url).ok(),
    };
    document.filter(|document| document.scheme() == "https")
}

/// The URL, if it is insecure and leaves the machine.
fn insecure(url: &str) -> Option<Url> {
    Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "ws") && !hosts::is_loopback(url))
}

/// The first redirect that leads to http, unless the browser itself turned that back into https (HSTS).
fn insecure_hop(redirects: &[Hop]) -> Option<Url> {
    redirects.iter().enumerate().find_map(|(index, hop)| {
        let to = insecure(&hop.to)?;
        let turned_back = redirects
            .get(index + 1)
            .is_some_and(|next| next.status == 307 && https_form(&to).is_some_and(|https| next.to == https.as_str()));
        (!turned_back).then_some(to)
    })
}

/// The URL that a browser asks for in place of an insecure one.
fn https_form(url: &Url) -> Option<Url> {
    let mut https = url.clone();
    let scheme = if url.scheme() == "ws" { "wss" } else { "https" };
    https.set_scheme(scheme).ok().map(|()| https)
}

/// What became of a resource whose https form the browser asked for.
fn upgraded(subject: &Subject<'_>, url: &Url, request: Option<&Request>) -> Fate {
    if let Some(fate) = request.and_then(by_request) {
        return fate;
    }
    let question = Question::HttpsAnswers { url: url.to_string() };
    for answer in &subject.evidence.answers {
        match answer {
            Answer::Https { url: asked, outcome } if *asked == url.as_str() => return by_answer(outcome),
            Answer::NotAsked { question: asked, why } if *asked == question => {
                return Fate::UpgradedUnknown(why.clone());
            }
            _ => {}
        }
    }
    Fate::Asked(question)
}

/// What the upgraded request itself tells; nothing, if it was cut short by something else than its server.
fn by_request(request: &Request) -> Option<Fate> {
    match (&request.failure, request.status) {
        (None, Some(status)) => Some(by_status(status)),
        (Some(failure), _) if failure.blocked.is_none() && !failure.canceled => {
            Some(Fate::UpgradedFails(failure.error.clone()))
        }
        _ => None,
    }
}

fn by_answer(outcome: &HttpsOutcome) -> Fate {
    match outcome {
        HttpsOutcome::Status { status } => by_status(*status),
        HttpsOutcome::Failed { error } => Fate::UpgradedFails(error.clone()),
        HttpsOutcome::Unknown => Fate::UpgradedUnknown("the answer was not understood".to_owned()),
    }
}

fn by_status(status: u16) -> Fate {
    if status < 400 {
        Fate::UpgradedWorks
    } else {
        Fate::UpgradedFails(format!("status {status}"))
    }
}
