//! What can be done on a page is done, one thing after the other, and what comes of it is seen.
//!
//! The choice is [`Explorer`]'s; here it is carried out with real input where that finds the element, and with events of
//! our own where it does not. After each action only the frames in which something moved are looked at again, and there
//! only what is new.

mod back;
mod consequences;
pub(super) mod input;
mod look;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chromiumoxide::cdp::browser_protocol::page;
use chromiumoxide::cdp::js_protocol::runtime;
use phantom_checks::evidence::{Explored, Step, StepKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::capture::{Answers, Brought, Capture};
use super::connection::Session;
use super::events::Evaluated;
use super::json::read;
use super::redact;
use super::tab::Tab;
use crate::crawl::{Candidate, Experience, Explorer, Next, Outcome, hash_of};
use consequences::Before;
use input::Point;
use look::Place;

/// How long a frame may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it may take until all frames are watched.
const INSTALLING: Duration = Duration::from_secs(2);
/// Frames of one page that are explored.
const MOST_FRAMES: usize = 12;
/// Pieces of evidence that actions may add to a page.
const MOST_BROUGHT: usize = 400;
/// A page that keeps us waiting this often is left.
const MOST_SILENCES: u32 = 2;

/// How far a page is explored.
#[derive(Debug, Clone)]
pub struct Exploration {
    /// Actions at most.
    pub actions: u32,
    /// The part of the page's time that it may take.
    pub share: f32,
    /// What the scan has learnt so far.
    pub experience: Arc<Mutex<Experience>>,
}

/// What an exploration has found.
#[derive(Debug, Default)]
pub(super) struct Finds {
    /// What was seen in frames after actions.
    pub brought: Vec<Brought>,
    /// From which entry of the recorder's list of tried ways on which path led there.
    pub tried: Vec<(usize, Vec<Step>)>,
    /// The same for its list of calls.
    pub calls: Vec<(usize, Vec<Step>)>,
    pub explored: Option<Explored>,
    /// The page does not answer any more; its tab is not to be used again.
    pub worn: bool,
}

/// An exploration of one page.
pub(super) struct Act<'a> {
    pub tab: &'a Tab,
    pub capture: &'a Capture<'a>,
    pub plan: &'a Exploration,
    pub until: Instant,
    places: Vec<Place>,
    /// What the page has shown so far: links and forms.
    known: HashSet<u64>,
    finds: Finds,
    silences: u32,
    base: String,
    painting: Painting,
}

/// How the page is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Painting {
    /// As a small picture, which the mouse does not meet.
    Small,
    /// At its size, which costs more: from the first action on that needs it.
    Whole,
}

#[derive(Deserialize)]
struct Prepared {
    #[serde(default)]
    gone: bool,
    #[serde(default)]
    focused: bool,
    #[serde(default)]
    point: Option<PointAnswer>,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct PointAnswer {
    x: f64,
    y: f64,
}

impl<'a> Act<'a> {
    pub fn new(tab: &'a Tab, capture: &'a Capture<'a>, plan: &'a Exploration) -> Self {
        Self {
            tab,
            capture,
            plan,
            until: Instant::now() + INSTALLING,
            places: Vec::new(),
            known: HashSet::new(),
            finds: Finds::default(),
            silences: 0,
            base: String::new(),
            painting: Painting::Small,
        }
    }

    /// Begins to note what moves, before the page is looked at: so nothing falls between that look and the first action.
    pub async fn install(&mut self) {
        for mut place in self.explorable() {
            place.ready = self.is_installed(&place).await;
            if place.ready {
                self.places.push(place);
            }
        }
    }

    /// Explores the page of which `first` was seen when it had settled.
    pub async fn run(mut self, first: &Answers, until: Instant) -> Finds {
        let began = Instant::now();
        self.until = until;
        for (_, answer) in &first.frames {
            if let Ok(answer) = answer {
                self.meet(answer.leads());
            }
        }
        let at_first: Vec<String> = self
            .tab
            .shared()
            .recorder()
            .tried
            .iter()
            .map(|(url, _)| url.clone())
            .collect();
        self.meet(at_first.iter().map(hash_of));
        // The page before is not to be gone back to.
        self.session(self.tab.session().id())
            .tell(&page::ResetNavigationHistoryParams::default());
        let before = self.before();
        for at in self.settle(&before).await {
            self.see(at, &[], false).await;
        }
        for at in 0..self.places.len() {
            self.look_again(at).await;
        }
        self.look_everywhere().await;
        self.base = self.places.first().map(|place| place.url.clone()).unwrap_or_default();
        let mut explorer = Explorer::new(self.state(), self.plan.actions);
        self.explore(&mut explorer).await;
        if self.painting != Painting::Small {
            self.view(self.tab.view.small()).await;
        }
        let cut_off = explorer.left(&self.candidates(), &self.experience());
        let over = explorer.done() >= self.plan.actions || Instant::now() >= self.until;
        self.finds.worn = self.silences >= MOST_SILENCES;
        self.finds.explored = Some(Explored {
            actions: explorer.done(),
            cut_off: if over { cut_off } else { 0 },
            forbidden: explorer.forbidden(),
            reloads: explorer.reloads(),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        self.finds
    }

    async fn explore(&mut self, explorer: &mut Explorer) {
        while Instant::now() < self.until && self.silences < MOST_SILENCES && !self.tab.gone() {
            let candidates = self.candidates();
            let next = explorer.next(&candidates, &self.experience());
            match next {
                Next::Act(index) => {
                    let Some(candidate) = candidates.get(index) else { return };
                    let path: Vec<Step> = explorer.path().iter().chain([&candidate.step]).cloned().collect();
                    let before = self.before();
                    self.perform(candidate).await;
                    let outcome = self.consequences(&before, path).await;
                    told(&self.base, &candidate.step, outcome, &before);
                    let experience = Arc::clone(&self.plan.experience);
                    let mut experience = experience.lock().unwrap_or_else(PoisonError::into_inner);
                    explorer.learn(candidate, outcome, &mut experience);
                }
                Next::Close => {
                    let before = self.before();
                    self.close().await;
                    let path = explorer.path().to_vec();
                    let outcome = self.consequences(&before, path).await;
                    explorer.arrive(outcome.state);
                }
                Next::Reload(path) => {
                    self.see_what_came_late(explorer.path()).await;
                    if !self.reload().await {
                        return;
                    }
                    explorer.arrive(self.state());
                    self.take_again(explorer, path).await;
                }
                Next::Over => break,
            }
        }
        self.see_what_came_late(explorer.path()).await;
    }

    /// Sees what the last actions brought after they were thought to be over.
    async fn see_what_came_late(&mut self, path: &[Step]) {
        let before = self.before();
        for at in self.settle(&before).await {
            self.see(at, path, false).await;
        }
    }

    /// Takes the steps of a path once more.
    async fn take_again(&mut self, explorer: &mut Explorer, path: Vec<Step>) {
        let mut taken = Vec::new();
        for step in path {
            let candidates = self.candidates();
            let Some(candidate) = candidates
                .iter()
                .find(|candidate| candidate.step == step && !candidate.is_forbidden())
            else {
                return;
            };
            let before = self.before();
            self.perform(candidate).await;
            explorer.step_taken();
            taken.push(step);
            let outcome = self.consequences(&before, taken.clone()).await;
            explorer.arrive(outcome.state);
        }
    }

    pub fn session(&self, id: &str) -> Session {
        self.tab.session().child(id)
    }

    pub fn patience(&self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        PATIENCE.min(left + Duration::from_millis(500))
    }

    fn experience(&self) -> MutexGuard<'_, Experience> {
        self.plan.experience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn candidates(&self) -> Vec<Candidate> {
        let all = self.places.iter().flat_map(|place| place.candidates.iter().cloned());
        all.collect()
    }

    fn state(&self) -> u64 {
        let states: Vec<_> = self.places.iter().map(|place| (&place.url, &place.state)).collect();
        hash_of(&states)
    }

    /// Notes what was seen. Returns how much of it the page had not shown yet, and the scan had not met.
    fn meet(&mut self, leads: impl IntoIterator<Item = u64>) -> (u32, u32) {
        let experience = Arc::clone(&self.plan.experience);
        let mut experience = experience.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut news, mut to_scan) = (0, 0);
        for lead in leads {
            if self.known.insert(lead) {
                news += 1;
                to_scan += u32::from(experience.meet(&lead));
            }
        }
        (news, to_scan)
    }

    /// The frames that are explored: those of pages that may be visited, and those without a URL of their own in them.
    fn explorable(&self) -> Vec<Place> {
        let recorder = self.tab.shared().recorder();
        let main = recorder.main_frame();
        let may = |id: &str| {
            let mut at = Some(id.to_owned());
            for _ in 0..10 {
                let Some(frame) = at.as_ref().and_then(|id| recorder.frames.get(id)) else {
                    return false;
                };
                if at.as_deref() == Some(main) {
                    return true;
                }
                if frame.url.starts_with("http") {
                    return (self.capture.request.may_visit)(&frame.url);
                }
                at.clone_from(&frame.parent);
            }
            false
        };
        let mut places: Vec<Place> = recorder
            .frames
            .iter()
            .filter(|(id, _)| may(id))
            .filter_map(|(id, frame)| {
                Some(Place {
                    id: id.clone(),
                    session: Arc::clone(&frame.session),
                    context: frame.context?,
                    main: id == main,
                    ..Place::default()
                })
            })
            .collect();
        places.sort_by(|a, b| (!a.main, &a.id).cmp(&(!b.main, &b.id)));
        places.truncate(MOST_FRAMES);
        places
    }

    /// Looks at every frame that is explored. Those that were looked at before are kept as they are.
    async fn look_everywhere(&mut self) {
        let mut known = std::mem::take(&mut self.places);
        for mut place in self.explorable() {
            let kept = known.iter().position(|known| {
                known.id == place.id && known.context == place.context && known.session == place.session
            });
            if let Some(at) = kept {
                self.places.push(known.swap_remove(at));
            } else if self.look(&mut place).await {
                self.places.push(place);
            }
        }
    }

    async fn look_again(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else { return };
        let mut place = std::mem::take(place);
        self.look(&mut place).await;
        if let Some(slot) = self.places.get_mut(at) {
            *slot = place;
        }
    }

    /// Asks a frame's own script.
    async fn ask(&mut self, place: (&str, i64), expression: String, patience: Duration) -> Option<Value> {
        let mut ask = runtime::EvaluateParams::new(expression);
        ask.context_id = Some(runtime::ExecutionContextId::new(place.1));
        ask.return_by_value = Some(true);
        ask.await_promise = Some(true);
        ask.silent = Some(true);
        ask.user_gesture = Some(true);
        let session = self.session(place.0);
        match session.call::<Evaluated>(ask, patience).await {
            Ok(answer) => {
                self.silences = 0;
                answer.result.value.filter(|_| answer.exception_details.is_none())
            }
            Err(super::CdpError::Timeout { .. }) => {
                self.silenced(&session);
                None
            }
            Err(_) => None,
        }
    }

    /// The page does not come to an end with what it does: it is made to.
    fn silenced(&mut self, session: &Session) {
        self.silences += 1;
        session.tell(&runtime::TerminateExecutionParams::default());
    }

    /// Does one thing.
    async fn perform(&mut self, candidate: &Candidate) {
        // Only what is done here may end the page, not what it does by itself.
        self.tab.shared().recorder().may_submit = true;
        let found = self.places.iter().find(|place| place.id == candidate.frame);
        let Some(place) = found else { return };
        let Some(at) = place.candidates.iter().position(|other| other == candidate) else {
            return;
        };
        let element = place.elements.get(at).copied().unwrap_or_default();
        let frame = (Arc::clone(&place.session), place.context);
        let step = &candidate.step;
        if step.kind == StepKind::Resize {
            self.painting = Painting::Whole;
            self.view(self.tab.view.narrow()).await;
            return;
        }
        if input::is_mouse(step.kind) {
            self.paint_whole().await;
        }
        let arguments = format!("{element}, {}, {}", json!(step.kind), json!(step.value));
        let prepare = format!("window.__phantomExplore.prepare({arguments})");
        let answer = self.ask((&frame.0, frame.1), prepare, self.patience()).await;
        let prepared: Option<Prepared> = answer.as_ref().and_then(Value::as_str).and_then(|text| read(text).ok());
        let Some(prepared) = prepared.filter(|prepared| !prepared.gone) else {
            return;
        };
        let taken = match (step.kind, prepared.point) {
            (StepKind::Fill, _) if prepared.focused => {
                let typed = self.type_text(&prepared.value).await;
                typed && self.press("Enter").await
            }
            (StepKind::Keys, _) if prepared.focused => self.press(&step.value).await,
            (_, Some(PointAnswer { x, y })) if x.is_finite() && y.is_finite() => {
                self.mouse(step.kind, Point { x, y }).await
            }
            _ => {
                let act = format!("window.__phantomExplore.act({arguments})");
                self.ask((&frame.0, frame.1), act, self.patience()).await;
                true
            }
        };
        if !taken {
            let main = self.session(self.tab.session().id());
            self.silenced(&main);
        }
    }

    /// Sees what is new in a frame, or all of it.
    async fn see(&mut self, at: usize, path: &[Step], whole: bool) -> (u32, u32) {
        let Some(place) = self.places.get(at) else {
            return (0, 0);
        };
        let (id, session, context) = (place.id.clone(), Arc::clone(&place.session), place.context);
        let Some(answer) = self.capture.look_again(&session, context, whole).await else {
            return (0, 0);
        };
        let met = self.meet(answer.leads());
        if self.finds.brought.len() < MOST_BROUGHT && !answer.is_empty() {
            self.finds.brought.push(Brought {
                frame: id,
                answer,
                path: path.to_vec(),
            });
        }
        met
    }
}

/// Says what was done, for those who want to know why a page was not found.
fn told(page: &str, step: &Step, outcome: Outcome, before: &Before) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let (page, took) = (redact::url(page), before.began.elapsed().as_millis());
        let (kind, element, state, news) = (step.kind, &step.element, outcome.state, outcome.news);
        tracing::debug!(page, ?kind, ?element, state, news, took, "done on a page");
    }
}
