//! What can be done in a frame now: the listeners that the browser knows of, and what the frame makes of them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chromiumoxide::cdp::browser_protocol::dom;
use chromiumoxide::cdp::browser_protocol::dom_debugger;
use chromiumoxide::cdp::browser_protocol::emulation::SetDeviceMetricsOverrideParams;
use chromiumoxide::cdp::js_protocol::runtime;
use futures::future::join_all;
use phantom_checks::evidence::{Step, StepKind};
use serde::Deserialize;
use serde_json::json;

use super::{Act, Painting};
use crate::browser::events::{Evaluated, ListenerData, ListenersAnswer, Nothing, RemoteObject, ResolvedAnswer};
use crate::browser::json::read;
use crate::crawl::{Candidate, HandlerHints, hash_of};
use crate::site::ExploreMode;

/// Puts our script into a frame, if it is not there, and gives its document.
const INSTALL: &str = concat!(include_str!("../explore.js"), "document");
/// Handles that we hold in a page, released after each look.
const GROUP: &str = "explore";
/// Elements with the same listener that are looked at.
const MOST_ALIKE: usize = 40;
/// Elements with listeners that are looked at.
const MOST_NODES: usize = 300;
/// The longest answer of a frame, in bytes.
const MAX_ANSWER: usize = 4 << 20;
/// Candidates of one frame.
const MOST_CANDIDATES: usize = 600;

/// A frame that is explored.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub id: String,
    pub session: Arc<str>,
    pub context: i64,
    pub main: bool,
    pub url: String,
    pub state: String,
    pub candidates: Vec<Candidate>,
    /// Where the frame's own list has each candidate's element.
    pub elements: Vec<usize>,
    /// Our script is there.
    pub ready: bool,
}

impl Place {
    /// Which document of which frame it is.
    pub fn document(&self) -> (String, i64) {
        (self.id.clone(), self.context)
    }
}

#[derive(Deserialize)]
struct LookAnswer {
    url: String,
    state: String,
    candidates: Vec<CandidateAnswer>,
}

#[derive(Deserialize)]
struct CandidateAnswer {
    element: usize,
    kind: StepKind,
    value: String,
    path: String,
    label: String,
    words: Vec<String>,
    group: String,
    visible: bool,
    order: u64,
}

/// A listener as the frame is told of it: which node, what it listens to, what its handler is known by, and what its
/// text says.
type Listened = (i64, String, String, Vec<String>, Vec<String>);

impl Act<'_> {
    /// Looks at what can be done in a frame. False if it does not answer.
    pub(super) async fn look(&mut self, place: &mut Place) -> bool {
        let answer = self.ask_what_can_be_done(place).await;
        let session = self.session(&place.session);
        session.tell(&runtime::ReleaseObjectGroupParams::new(GROUP));
        let Some(mut answer) = answer else {
            place.candidates.clear();
            place.elements.clear();
            return false;
        };
        place.ready = true;
        place.url = answer.url;
        place.state = answer.state;
        answer.candidates.truncate(MOST_CANDIDATES);
        // In the order of the page, so that two visits go the same way.
        answer.candidates.sort_by_key(|candidate| candidate.order);
        let frame = if place.main { String::new() } else { place.url.clone() };
        place.elements = answer.candidates.iter().map(|candidate| candidate.element).collect();
        place.candidates = answer
            .candidates
            .into_iter()
            .map(|candidate| Candidate {
                step: Step {
                    frame: frame.clone(),
                    kind: candidate.kind,
                    element: candidate.path,
                    label: candidate.label,
                    value: candidate.value,
                },
                frame: place.id.clone(),
                group: hash_of(&candidate.group),
                text: candidate.words.first().cloned().unwrap_or_default(),
                names: candidate.words.into_iter().skip(1).collect(),
                visible: candidate.visible,
            })
            .collect();
        true
    }

    /// Puts our script into a frame.
    pub(super) async fn is_installed(&self, place: &Place) -> bool {
        let session = self.session(&place.session);
        let installed = self.handle(place, INSTALL).await.is_some();
        session.tell(&runtime::ReleaseObjectGroupParams::new(GROUP));
        installed
    }

    async fn ask_what_can_be_done(&self, place: &Place) -> Option<LookAnswer> {
        let script = if place.ready { "document" } else { INSTALL };
        let (document, window) = tokio::join!(self.handle(place, script), self.handle(place, "window"));
        let document = document?;
        let (inside, whole) = tokio::join!(
            self.listeners(place, &document, true),
            self.listeners(place, window.as_deref().unwrap_or_default(), false)
        );
        let (listened, nodes) = self.nodes(place, inside, whole).await;
        let mut ask = runtime::CallFunctionOnParams::new(
            "function (full, listened, ...nodes) { return window.__phantomExplore.look(full, listened, ...nodes); }",
        );
        ask.object_id = Some(document.into());
        let full = self.capture.request.guard.mode() == ExploreMode::Full;
        let arguments = [json!(full), json!(listened)].map(|value| runtime::CallArgument {
            value: Some(value),
            unserializable_value: None,
            object_id: None,
        });
        let handles = nodes.into_iter().map(|node| runtime::CallArgument {
            value: None,
            unserializable_value: None,
            object_id: Some(node.into()),
        });
        ask.arguments = Some(arguments.into_iter().chain(handles).collect());
        ask.return_by_value = Some(true);
        ask.silent = Some(true);
        let answer: Evaluated = self.session(&place.session).call(ask, self.patience()).await.ok()?;
        let value = answer.result.value.filter(|_| answer.exception_details.is_none())?;
        let text = value.as_str().filter(|text| text.len() <= MAX_ANSWER)?;
        read(text).ok()
    }

    async fn handle(&self, place: &Place, expression: &str) -> Option<String> {
        let mut ask = runtime::EvaluateParams::new(expression);
        ask.context_id = Some(runtime::ExecutionContextId::new(place.context));
        ask.object_group = Some(GROUP.to_owned());
        ask.silent = Some(true);
        let answer: Evaluated = self.session(&place.session).call(ask, self.patience()).await.ok()?;
        answer.result.object_id
    }

    async fn listeners(&self, place: &Place, object: &str, inside: bool) -> Vec<ListenerData> {
        if object.is_empty() {
            return Vec::new();
        }
        let mut ask = dom_debugger::GetEventListenersParams::new(object.to_owned());
        if inside {
            ask.depth = Some(-1);
            ask.pierce = Some(true);
        }
        let answer: Result<ListenersAnswer, _> = self.session(&place.session).call(ask, self.patience()).await;
        answer.unwrap_or_default().listeners
    }

    /// The listeners, and the elements that have them. Those that share a handler are alike, and few of them suffice.
    async fn nodes(
        &self,
        place: &Place,
        inside: Vec<ListenerData>,
        whole: Vec<ListenerData>,
    ) -> (Vec<Listened>, Vec<String>) {
        let mut ids: Vec<i64> = Vec::new();
        let mut index: HashMap<i64, usize> = HashMap::new();
        let mut alike: HashMap<(String, u64), usize> = HashMap::new();
        let mut hints: HashMap<u64, HandlerHints> = HashMap::new();
        let mut chosen = Vec::new();
        for listener in inside.into_iter().chain(whole) {
            let handler = listener
                .handler
                .and_then(|handler| handler.description)
                .unwrap_or_default();
            let known_by = known_by(&handler);
            let count = alike.entry((listener.r#type.clone(), known_by)).or_default();
            *count += 1;
            if *count > MOST_ALIKE {
                continue;
            }
            let node = match listener.backend_node_id {
                None => None,
                Some(id) if ids.len() >= MOST_NODES && !index.contains_key(&id) => continue,
                Some(id) => Some(*index.entry(id).or_insert_with(|| {
                    ids.push(id);
                    ids.len() - 1
                })),
            };
            let hints = hints
                .entry(known_by)
                .or_insert_with(|| HandlerHints::of(&handler))
                .clone();
            chosen.push((node, listener.r#type, format!("{known_by:x}"), hints));
        }
        let resolved = join_all(ids.into_iter().map(|id| self.resolve(place, id))).await;
        let mut places = Vec::with_capacity(resolved.len());
        let mut nodes = Vec::new();
        for object in resolved {
            places.push(object.map(|object| {
                nodes.push(object);
                nodes.len() - 1
            }));
        }
        let listened = chosen.into_iter().filter_map(|(node, kind, known_by, hints)| {
            let at = match node {
                None => -1,
                Some(node) => i64::try_from((*places.get(node)?)?).ok()?,
            };
            Some((at, kind, known_by, hints.keys, hints.selectors))
        });
        (listened.collect(), nodes)
    }

    async fn resolve(&self, place: &Place, node: i64) -> Option<String> {
        let ask = dom::ResolveNodeParams {
            backend_node_id: Some(dom::BackendNodeId::new(node)),
            execution_context_id: Some(runtime::ExecutionContextId::new(place.context)),
            object_group: Some(GROUP.to_owned()),
            ..dom::ResolveNodeParams::default()
        };
        let answer: Result<ResolvedAnswer, _> = self.session(&place.session).call(ask, self.patience()).await;
        let ResolvedAnswer {
            object: RemoteObject { object_id, .. },
        } = answer.ok()?;
        object_id
    }

    /// Has the page painted at its size, if it is not yet.
    pub(super) async fn paint_whole(&mut self) {
        if self.painting == Painting::Whole {
            return;
        }
        self.painting = Painting::Whole;
        self.view(self.tab.view.whole()).await;
        let Some(main) = self.places.first() else { return };
        let frame = (Arc::clone(&main.session), main.context);
        // The mouse meets what was drawn last.
        let drawn = "window.__phantomExplore.frame()".to_owned();
        self.ask((&frame.0, frame.1), drawn, self.patience()).await;
    }

    pub(super) async fn view(&self, view: SetDeviceMetricsOverrideParams) {
        let session = self.session(self.tab.session().id());
        let _: Result<Nothing, _> = session.call(view, self.patience()).await;
    }
}

/// What a handler is known by on other pages of the site: its text, without numbers.
fn known_by(handler: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for c in handler
        .chars()
        .filter(|c| !c.is_ascii_digit() && !c.is_whitespace())
        .take(2_000)
    {
        c.hash(&mut hasher);
    }
    hasher.finish()
}
