//! How requests are made to wait until it is known whether they may leave, and how what is written to web sockets
//! is held, in every frame and worker before it runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chromiumoxide::cdp::browser_protocol::{audits, fetch, inspector, network, page, target};
use chromiumoxide::cdp::js_protocol::runtime;

use serde_json::json;
use url::Url;

use super::client::Client;
use super::connection::{CdpError, Connection, Event, Events, Session};
use super::events::{AttachedToTarget, BindingCalled, DetachedFromTarget, Nothing, RequestPaused};
use super::recorder::{Calls, asked};
use super::tab::EARLY;
use super::{CALL, FIRST_CALL};
use crate::crawl::Guard;

const HOLD: &str = include_str!("hold.js");
/// Through which `hold.js` tells of what it held.
pub(super) const HELD: &str = "__phantomHeld";

/// What is attached to a tab or a browser and waits to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    /// A frame of another site.
    Frame,
    /// A worker of a page.
    Worker,
    /// A worker that outlives its page, as the browser sees it.
    Lasting,
}

/// The kinds of targets that outlive their pages.
const LASTING: [&str; 2] = ["service_worker", "shared_worker"];
/// Workers of one browser that are remembered.
const MOST_WORKERS: usize = 1_000;

/// What is the same for all that the browsers of a scan run.
#[derive(Clone)]
pub(super) struct Rules {
    /// Who they say they are.
    pub client: Arc<Client>,
    /// Asked about the requests of workers that outlive their pages.
    pub guard: Arc<Guard>,
    /// The script that holds what is written to web sockets.
    pub hold: Arc<str>,
    /// The same for what may end with its session: it makes no requests that may change state.
    hold_all: Arc<str>,
}

impl Rules {
    pub fn new(client: Client, guard: Arc<Guard>) -> Self {
        let (hosts, methods) = (json!(guard.sockets()), json!(guard.methods()));
        let script = HOLD.trim_end();
        Self {
            client: Arc::new(client),
            hold: format!("{script}({hosts}, null)").into(),
            hold_all: format!("{script}({hosts}, {methods})").into(),
            guard,
        }
    }
}

/// What workers that outlive their pages speak to, until a page of their origin takes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lasting(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// The URL of each worker by its session.
    workers: HashMap<String, String>,
    calls: Calls,
}

impl Lasting {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the calls of workers of these origins.
    pub fn take(&self, origins: &[String]) -> Calls {
        let of_them = |worker: Option<&str>| {
            let origin = worker.and_then(|url| Url::parse(url).ok()).map(|url| url.origin());
            origin.is_some_and(|origin| origins.contains(&origin.ascii_serialization()))
        };
        self.kept().calls.take(|call| of_them(call.worker.as_deref()))
    }
}

/// The function that the script tells through.
pub(super) fn held() -> runtime::AddBindingParams {
    runtime::AddBindingParams::new(HELD)
}

/// The requests that wait for a word of ours: those that can have a body, and those that can lead a frame away. Images,
/// styles, scripts, fonts and media are always asked for by GET, and there are many of them.
pub(super) fn pause() -> fetch::EnableParams {
    use network::ResourceType::{CspViolationReport, Document, Fetch, Other, Ping, Xhr};
    let patterns = [Document, Xhr, Fetch, Ping, CspViolationReport, Other].map(|kind| fetch::RequestPattern {
        resource_type: Some(kind),
        ..fetch::RequestPattern::default()
    });
    fetch::EnableParams {
        patterns: Some(patterns.into()),
        ..fetch::EnableParams::default()
    }
}

pub(super) fn auto_attach() -> target::SetAutoAttachParams {
    let mut attach = target::SetAutoAttachParams::new(true, true);
    attach.flatten = Some(true);
    attach
}

/// Stops a request. A navigation is broken off, so that no page of the browser's own comes instead.
pub(super) fn stop(session: &Session, paused: String, navigation: bool) {
    let reason = if navigation {
        network::ErrorReason::Aborted
    } else {
        network::ErrorReason::BlockedByClient
    };
    session.tell(&fetch::FailRequestParams::new(paused, reason));
}

/// Listens to a frame or a worker, and lets it run once its requests wait for us. If the browser does not say so, it
/// never runs. False if it did not get that far; it may have ended meanwhile.
pub(super) async fn set_up(child: Session, kind: Child, rules: Rules) -> bool {
    if kind != Child::Lasting {
        child.tell(&network::EnableParams::default());
    }
    child.tell(&runtime::EnableParams::default());
    child.tell(&held());
    if kind == Child::Frame {
        child.tell(&inspector::EnableParams::default());
        child.tell(&page::EnableParams::default());
        child.tell(&audits::EnableParams::default());
        child.tell(&page::AddScriptToEvaluateOnNewDocumentParams::new(EARLY));
        child.tell(&page::AddScriptToEvaluateOnNewDocumentParams::new(&*rules.hold_all));
    } else {
        child.tell(&runtime::EvaluateParams::new(&*rules.hold_all));
    }
    if let Some(told) = rules.client.told() {
        child.tell(&told.user_agent);
    }
    child.tell(&auto_attach());
    match child.call::<Nothing>(rules.client.pause(pause()), CALL).await {
        // Dedicated workers have no requests of their own: theirs wait at their page.
        Ok(_) | Err(CdpError::Refused { .. }) => {
            child.tell(&runtime::RunIfWaitingForDebuggerParams::default());
            true
        }
        Err(error) => {
            tracing::debug!(%error, "a frame or worker could not be guarded and stays stopped");
            false
        }
    }
}

/// Guards the workers of a context that outlive their pages: a page's own session sees them only while the page is
/// there, and shared ones never.
pub(super) async fn watch_workers(connection: &Connection, context: &str, rules: &Rules) -> Result<Lasting, CdpError> {
    let (session, events) = connection.open("");
    let lasting = Lasting::default();
    let context = context.to_owned();
    tokio::spawn(watch(events, session.clone(), context, rules.clone(), lasting.clone()));
    let kinds = LASTING.map(|kind| target::FilterEntry {
        exclude: None,
        r#type: Some(kind.to_owned()),
    });
    let mut attach = auto_attach();
    attach.filter = Some(target::TargetFilter::new(kinds.to_vec()));
    session.call::<Nothing>(attach, FIRST_CALL).await.map(|_| lasting)
}

async fn watch(mut events: Events, session: Session, context: String, rules: Rules, lasting: Lasting) {
    while let Some(event) = events.next().await {
        if !rules.client.take(&event, &session) {
            take(&event, &session, &context, &rules, &lasting);
        }
    }
}

fn take(event: &Event, session: &Session, context: &str, rules: &Rules, lasting: &Lasting) {
    match event.method.as_str() {
        "Target.attachedToTarget" => {
            let Some(attached) = event.read::<AttachedToTarget>() else {
                return;
            };
            if !LASTING.contains(&attached.target_info.r#type.as_str()) {
                // A tab that we asked for ourselves.
                return;
            }
            let child = session.child(&attached.session_id);
            if attached.target_info.browser_context_id != context {
                // Somebody else's, in a browser that is not ours.
                child.tell(&runtime::RunIfWaitingForDebuggerParams::default());
                session.tell(&target::DetachFromTargetParams {
                    session_id: Some(attached.session_id.into()),
                });
                return;
            }
            let mut kept = lasting.kept();
            if kept.workers.len() < MOST_WORKERS {
                kept.workers
                    .insert(attached.session_id.clone(), attached.target_info.url);
            }
            drop(kept);
            let (rules, lasting) = (rules.clone(), lasting.clone());
            tokio::spawn(async move {
                if !set_up(child, Child::Lasting, rules).await {
                    let mut kept = lasting.kept();
                    let is_there = kept.workers.contains_key(&attached.session_id);
                    kept.calls.unheard += u64::from(is_there);
                }
            });
        }
        "Target.detachedFromTarget" => {
            if let Some(detached) = event.read::<DetachedFromTarget>() {
                lasting.kept().workers.remove(&detached.session_id);
            }
        }
        "Runtime.bindingCalled" => {
            if let Some(called) = event.read::<BindingCalled>().filter(|called| called.name == HELD) {
                let mut kept = lasting.kept();
                let worker = kept.workers.get(&*event.session).cloned();
                kept.calls.held(&called.payload, None, worker);
            }
        }
        "Fetch.requestPaused" => judge(event, session, rules, lasting),
        _ => {}
    }
}

fn judge(event: &Event, session: &Session, rules: &Rules, lasting: &Lasting) {
    let Some(paused) = event.read::<RequestPaused>() else {
        return;
    };
    let judged = rules.guard.judge(&asked(&paused));
    {
        let mut kept = lasting.kept();
        let worker = kept.workers.get(&*event.session).cloned();
        kept.calls.paused(&paused, judged.err(), worker, true);
    }
    let session = session.child(&event.session);
    if judged.is_ok() {
        let mut go = fetch::ContinueRequestParams::new(paused.request_id);
        go.headers = rules.client.headers(event);
        session.tell(&go);
    } else {
        stop(&session, paused.request_id, false);
    }
}
