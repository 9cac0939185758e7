//! What a page speaks to, as it was stopped or let go: raw, until it is redacted at capture.

use phantom_checks::evidence::{Request, ResourceKind};
use serde::Deserialize;

use super::words::{bounded, resource_kind};
use crate::browser::events::RequestPaused;
use crate::browser::json;
use crate::crawl::{Asked, AskedBody, Stopped, is_safe};

/// Calls kept of one page.
const MOST: usize = 500;
/// Headers kept of one call.
const MOST_HEADERS: usize = 100;
/// Bodies are looked at as far as this, in bytes.
const MOST_BODY: usize = 64 << 10;

/// One call of a page, however often it was made.
#[derive(Debug, Clone, Default)]
pub(in crate::browser) struct Call {
    pub method: String,
    pub url: String,
    pub kind: ResourceKind,
    pub why: Option<Stopped>,
    pub times: u32,
    pub headers: Vec<(String, String)>,
    /// Its headers are all that it would have been sent with.
    pub whole: bool,
    pub body: String,
    /// It has a body that is not kept.
    pub body_lost: bool,
    /// The request, as the network knows it.
    pub request: Option<String>,
    pub frame: Option<String>,
    pub worker: Option<String>,
    /// It is known to be one of this page.
    pub sure: bool,
    pub held: u32,
}

/// A request that a script wanted to make.
#[derive(Deserialize)]
struct NotMade {
    method: String,
    url: String,
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    body: String,
}

/// The calls of one page.
#[derive(Debug, Clone, Default)]
pub(in crate::browser) struct Calls {
    pub all: Vec<Call>,
    /// Those beyond the bound.
    pub dropped: u64,
    /// Frames and workers that were never let run, as what they ask for could not be made to wait in time.
    pub unheard: u64,
}

/// A paused request as the guard is asked about it.
pub(in crate::browser) fn asked(paused: &RequestPaused) -> Asked<'_> {
    let request = &paused.request;
    Asked {
        method: &request.method,
        url: &request.url,
        kind: resource_kind(&paused.resource_type),
        body: match (&request.post_data, request.has_post_data) {
            (Some(body), _) => AskedBody::Known(body),
            (None, false) => AskedBody::Known(""),
            (None, true) => AskedBody::Unknown,
        },
    }
}

impl Calls {
    /// Notes a request that was paused, if it is one that a page's scripts or forms make. If it is not `sure` whose it is,
    /// the network will tell.
    pub fn paused(&mut self, paused: &RequestPaused, why: Option<Stopped>, worker: Option<String>, sure: bool) {
        let (request, kind) = (&paused.request, resource_kind(&paused.resource_type));
        let by_itself = matches!(kind, ResourceKind::Document | ResourceKind::Other) && why.is_none();
        if by_itself && is_safe(&request.method) {
            return;
        }
        let url = bounded(&request.url);
        if let Some(call) = self.known(&request.method, &url, kind, why) {
            call.times += 1;
            if !call.sure {
                call.request.clone_from(&paused.network_id);
            }
            call.sure |= sure;
            return;
        }
        // Those of workers and reports are not told by the network of the page.
        let told = matches!(kind, ResourceKind::Fetch | ResourceKind::Xhr | ResourceKind::Ping) && worker.is_none();
        let mut body = request.post_data.clone().unwrap_or_default();
        let body_lost = body.len() > MOST_BODY || (body.is_empty() && request.has_post_data);
        if body_lost {
            body.clear();
        }
        let headers = request.headers.iter().take(MOST_HEADERS).filter_map(|(name, value)| {
            let value = value.as_str().filter(|value| value.len() <= 4_096)?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        });
        self.add(Call {
            method: request.method.chars().take(20).collect(),
            url,
            kind,
            why,
            times: 1,
            headers: headers.collect(),
            whole: request.headers.len() <= MOST_HEADERS,
            body,
            body_lost,
            request: paused.network_id.clone(),
            frame: Some(paused.frame_id.clone()).filter(|frame| !frame.is_empty() && worker.is_none()),
            worker,
            sure: sure || !told,
            held: 0,
        });
    }

    /// Notes a request that could have changed state and ended before it waited for us, as those of frames do that are
    /// taken away.
    pub fn ended(&mut self, request: &Request) {
        let same = |call: &Call| call.method == request.method && call.url == request.url;
        if is_safe(&request.method) || self.all.iter().any(same) {
            return;
        }
        self.add(Call {
            method: request.method.chars().take(20).collect(),
            url: request.url.clone(),
            kind: request.kind,
            why: Some(Stopped::Method),
            times: 1,
            request: Some(request.id.clone()),
            frame: request.frame.clone().filter(|_| request.worker.is_none()),
            worker: request.worker.clone(),
            sure: true,
            ..Call::default()
        });
    }

    /// Notes a WebSocket.
    pub fn socket(&mut self, url: &str, request: Option<&str>, frame: Option<String>, worker: Option<String>) -> bool {
        let url = bounded(url);
        if let Some(call) = self.known("GET", &url, ResourceKind::WebSocket, None) {
            call.times += u32::from(request.is_some());
            return true;
        }
        self.add(Call {
            method: "GET".to_owned(),
            url,
            kind: ResourceKind::WebSocket,
            times: 1,
            request: request.map(str::to_owned),
            frame,
            worker,
            sure: true,
            ..Call::default()
        })
    }

    /// Notes a message or a request that was not made. A page may say what it likes here.
    pub fn held(&mut self, url: &str, frame: Option<String>, worker: Option<String>) {
        if url.starts_with('{') && url.len() <= 2 * MOST_BODY {
            if let Ok(request) = json::read(url) {
                self.not_made(request, frame, worker);
            }
            return;
        }
        if url.starts_with("ws") && self.socket(url, None, frame, worker) {
            let url = bounded(url);
            if let Some(call) = self.known("GET", &url, ResourceKind::WebSocket, None) {
                call.held = call.held.saturating_add(1);
            }
        }
    }

    fn not_made(&mut self, request: NotMade, frame: Option<String>, worker: Option<String>) {
        let url = bounded(&request.url);
        if let Some(call) = self.known(&request.method, &url, ResourceKind::Fetch, Some(Stopped::Method)) {
            call.times = call.times.saturating_add(1);
            return;
        }
        let kind = request.r#type.filter(|kind| kind.len() <= 4_096);
        self.add(Call {
            method: request.method.chars().take(20).collect(),
            url,
            kind: ResourceKind::Fetch,
            why: Some(Stopped::Method),
            times: 1,
            headers: kind.map(|kind| ("content-type".to_owned(), kind)).into_iter().collect(),
            body: request.body,
            frame: frame.filter(|_| worker.is_none()),
            worker,
            sure: true,
            ..Call::default()
        });
    }

    /// Takes those out that fit.
    pub fn take(&mut self, fits: impl Fn(&Call) -> bool) -> Self {
        let (taken, left) = std::mem::take(&mut self.all).into_iter().partition(fits);
        self.all = left;
        Self {
            all: taken,
            dropped: std::mem::take(&mut self.dropped),
            unheard: std::mem::take(&mut self.unheard),
        }
    }

    /// Adds what was seen elsewhere, unless it is known.
    pub fn join(&mut self, others: Self) {
        self.dropped += others.dropped;
        self.unheard += others.unheard;
        for call in others.all {
            match self.known(&call.method, &call.url, call.kind, call.why) {
                Some(known) => known.held = known.held.max(call.held),
                None => {
                    self.add(call);
                }
            }
        }
    }

    fn known(&mut self, method: &str, url: &str, kind: ResourceKind, why: Option<Stopped>) -> Option<&mut Call> {
        let same = |call: &&mut Call| call.kind == kind && call.why == why && call.url == url && call.method == method;
        self.all.iter_mut().find(same)
    }

    fn add(&mut self, call: Call) -> bool {
        let room = self.all.len() < MOST;
        if room {
            self.all.push(call);
        } else {
            self.dropped += 1;
        }
        room
    }
}
