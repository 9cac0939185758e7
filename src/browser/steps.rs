//! The steps of a site's file, done in a tab as a visitor would: go, fill, click, press, wait.
//!
//! Each step waits for what it needs, so that nothing depends on how fast a page is. What is filled in never stands in
//! a message, and not in the page's world before the page itself gets it as typed text.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chromiumoxide::cdp::browser_protocol::input::{DispatchMouseEventType, InsertTextParams, MouseButton};
use chromiumoxide::cdp::browser_protocol::{emulation, page};
use chromiumoxide::cdp::js_protocol::runtime;
use serde::Deserialize;

use super::act::input::{Point, event, key};
use super::connection::CdpError;
use super::events::{Evaluated, Navigated, Nothing, WorldAnswer};
use super::recorder::MayVisit;
use super::state::OriginState;
use super::tab::Tab;
use super::{CALL, json, redact};
use crate::crawl::Guard;
use crate::site::{Selector, wildcard};

const FIND: &str = include_str!("steps.js");

/// How often it is looked whether an element is there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A click's consequences begin within this time.
const BEGINS: Duration = Duration::from_millis(150);
/// A page that shows neither that one is logged in nor that one is not is waited for this long.
const SHOWS: Duration = Duration::from_secs(5);
/// Storage that is taken along, in bytes.
const MOST_STORAGE: usize = 2 << 20;

/// Steps to do, one after the other.
#[derive(Clone)]
pub struct Walk {
    /// The steps.
    pub steps: Vec<WalkStep>,
    /// Where they may lead.
    pub may_visit: MayVisit,
    /// What is asked of each request meanwhile.
    pub guard: Arc<Guard>,
    /// How long one step may take.
    pub patience: Duration,
}

/// One step.
#[derive(Clone)]
pub struct WalkStep {
    /// What is done.
    pub action: Action,
    /// The frame it is done in, by a pattern of its URL.
    pub frame: Option<String>,
    /// The step as the site's file has it, for messages.
    pub words: String,
}

/// What a step does.
#[derive(Clone)]
pub enum Action {
    /// Navigates.
    Go(String),
    /// Fills a field.
    Fill(Selector, Filler),
    /// Clicks.
    Click(Selector),
    /// Presses a key.
    Press(String),
    /// Waits for an element.
    Wait(Selector),
}

/// Gives what a field is filled with, when its turn comes.
#[derive(Clone)]
pub struct Filler {
    /// Gives it.
    pub text: Arc<dyn Fn() -> String + Send + Sync>,
    /// It is a secret.
    pub secret: bool,
}

/// How far the steps came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// A page was given a secret.
    pub secret_shown: bool,
    /// The step that could not be done.
    pub failed: Option<StepFailure>,
}

/// A step that could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// Its place among the steps, from 0.
    pub at: usize,
    /// The step.
    pub step: String,
    /// Why.
    pub why: String,
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} ({}): {}", self.at + 1, self.step, self.why)
    }
}

/// What an element's finder says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
// They are the fields of an answer.
#[allow(clippy::struct_excessive_bools)]
struct Place {
    found: bool,
    hidden: bool,
    wrong: bool,
    done: bool,
    select: bool,
    x: f64,
    y: f64,
}

impl Tab {
    /// Does steps until one cannot be done.
    pub(super) async fn walk(&self, walk: &Walk) -> Walked {
        // Points are those of a page that is painted at its own size.
        let _: Result<Nothing, _> = self.session().call(self.view.whole(), CALL).await;
        let walked = self.walk_through(walk).await;
        self.recorder().end_walk();
        let _: Result<Nothing, _> = self.session().call(self.view.small(), CALL).await;
        walked
    }

    async fn walk_through(&self, walk: &Walk) -> Walked {
        self.begin_walk(Arc::clone(&walk.may_visit), Arc::clone(&walk.guard));
        // Without it, what is typed goes nowhere while another tab has the focus.
        let focus = emulation::SetFocusEmulationEnabledParams::new(true);
        let _: Result<Nothing, _> = self.session().call(focus, CALL).await;
        let mut secret_shown = false;
        for (at, step) in walk.steps.iter().enumerate() {
            let until = Instant::now() + walk.patience;
            if let Err(why) = self.step(step, until, &mut secret_shown).await {
                let step = step.words.clone();
                let failed = Some(StepFailure { at, step, why });
                return Walked { secret_shown, failed };
            }
        }
        Walked {
            secret_shown,
            failed: None,
        }
    }

    /// Goes to a page and looks whether one of these elements is there. The first stands for true, the second for
    /// false; if neither comes it is false.
    pub(super) async fn shows(
        &self,
        url: &str,
        is: &Selector,
        is_not: Option<&Selector>,
        walk: &Walk,
    ) -> Result<bool, String> {
        self.begin_walk(Arc::clone(&walk.may_visit), Arc::clone(&walk.guard));
        let gone = self.go(url, Instant::now() + walk.patience).await;
        self.recorder().end_walk();
        gone?;
        let until = Instant::now() + SHOWS;
        loop {
            if self.there(is).await {
                return Ok(true);
            }
            if let Some(is_not) = is_not
                && self.there(is_not).await
            {
                return Ok(false);
            }
            if self.gone() {
                return Err(CdpError::TabGone.to_string());
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What the scripts of the main frame's origin keep.
    pub(super) async fn storage(&self) -> Option<OriginState> {
        let all = "(() => { const items = (store) => Object.keys(store).map((name) => ({ name, value: store.getItem(name) })); \
                   return JSON.stringify({ origin: self.origin, localStorage: items(localStorage), sessionStorage: \
                   items(sessionStorage) }); })()";
        let text = self.evaluate(all, None).await.ok()?;
        (text.len() <= MOST_STORAGE).then(|| json::read(&text).ok())?
    }

    async fn there(&self, selector: &Selector) -> bool {
        let place = self.find(selector, None, "there", "").await;
        place.is_ok_and(|place| place.found)
    }

    async fn step(&self, step: &WalkStep, until: Instant, secret_shown: &mut bool) -> Result<(), String> {
        let frame = step.frame.as_deref();
        match &step.action {
            Action::Go(url) => self.go(url, until).await,
            Action::Wait(selector) => self.wait_for(selector, frame, "there", "", until).await.map(|_| ()),
            Action::Click(selector) => {
                if frame.is_some() {
                    // Points of a frame are not those of the page.
                    self.wait_for(selector, frame, "press", "", until).await?;
                } else {
                    let place = self.wait_for(selector, frame, "click", "", until).await?;
                    self.click(&place).await?;
                }
                self.consequences(until).await
            }
            Action::Fill(field, filler) => {
                let place = self.wait_for(field, frame, "click", "", until).await?;
                let text = (filler.text)();
                *secret_shown |= filler.secret;
                let value = if place.select { text.as_str() } else { "" };
                let place = self.wait_for(field, frame, "fill", value, until).await?;
                if !place.done {
                    let session = self.session_of(frame).ok_or("its frame is gone")?.1;
                    let typed: Result<Nothing, _> = session.call(InsertTextParams::new(text), CALL).await;
                    typed.map_err(|error| error.to_string())?;
                }
                Ok(())
            }
            Action::Press(name) => {
                for event in key(name) {
                    let pressed: Result<Nothing, _> = self.session().call(event, CALL).await;
                    pressed.map_err(|error| error.to_string())?;
                }
                self.consequences(until).await
            }
        }
    }

    pub(super) async fn go(&self, url: &str, until: Instant) -> Result<(), String> {
        let patience = until.saturating_duration_since(Instant::now());
        let navigate = page::NavigateParams::new(url);
        let navigated: Navigated = self
            .session()
            .call(navigate, patience)
            .await
            .map_err(|error| error.to_string())?;
        self.stayed()?;
        match navigated.error_text.filter(|error| !error.is_empty()) {
            Some(error) => Err(error),
            None => self.consequences(until).await,
        }
    }

    /// Waits until what a step has begun is over.
    pub(super) async fn consequences(&self, until: Instant) -> Result<(), String> {
        tokio::time::sleep(BEGINS).await;
        self.settle(until).await.map_err(|error| error.to_string())?;
        self.stayed()
    }

    fn stayed(&self) -> Result<(), String> {
        match self.left_to() {
            Some(to) => {
                let host = url::Url::parse(&to)
                    .ok()
                    .and_then(|url| url.host_str().map(str::to_owned));
                let host = host.unwrap_or_else(|| redact::url(&to));
                Err(format!(
                    "it leads to {host}, which is neither in the site's scope nor among login.hosts"
                ))
            }
            None => Ok(()),
        }
    }

    async fn wait_for(
        &self,
        selector: &Selector,
        frame: Option<&str>,
        act: &str,
        value: &str,
        until: Instant,
    ) -> Result<Place, String> {
        loop {
            // A document that is just being replaced answers with an error.
            let place = self.find(selector, frame, act, value).await.unwrap_or_default();
            self.stayed()?;
            if place.found {
                return Ok(place);
            }
            if place.wrong {
                return Err("is no selector that the browser understands".to_owned());
            }
            if self.gone() {
                return Err(CdpError::TabGone.to_string());
            }
            if Instant::now() >= until {
                let why = if place.hidden {
                    "it is there, but hidden, disabled or without that option"
                } else {
                    "it is not there"
                };
                return Err(why.to_owned());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn find(&self, selector: &Selector, frame: Option<&str>, act: &str, value: &str) -> Result<Place, String> {
        let arguments = serde_json::to_string(&[selector.by.word(), &selector.text, act, value]);
        let expression = format!("({FIND})(...{})", arguments.unwrap_or_default());
        let text = self.evaluate(&expression, frame).await?;
        json::read(&text).map_err(|error| error.to_string())
    }

    /// Asks a frame, in a world of our own, for a text.
    pub(super) async fn evaluate(&self, expression: &str, frame: Option<&str>) -> Result<String, String> {
        let (id, session) = self.session_of(frame).ok_or("there is no such frame")?;
        let mut world = page::CreateIsolatedWorldParams::new(id);
        world.world_name = Some("steps".to_owned());
        let world: WorldAnswer = session.call(world, CALL).await.map_err(|error| error.to_string())?;
        let mut ask = runtime::EvaluateParams::new(expression);
        ask.context_id = Some(runtime::ExecutionContextId::new(world.execution_context_id));
        ask.return_by_value = Some(true);
        ask.silent = Some(true);
        ask.user_gesture = Some(true);
        let answer: Evaluated = session.call(ask, CALL).await.map_err(|error| error.to_string())?;
        let text = answer.result.value.as_ref().and_then(|value| value.as_str());
        text.map(str::to_owned)
            .ok_or_else(|| "the page did not answer".to_owned())
    }

    /// The main frame, or the one whose URL matches, with the session that can speak to it.
    fn session_of(&self, frame: Option<&str>) -> Option<(String, super::connection::Session)> {
        let recorder = self.recorder();
        let Some(pattern) = frame else {
            return Some((recorder.main_frame().to_owned(), self.session().clone()));
        };
        let pattern = format!("*{pattern}*");
        let (id, frame) = recorder
            .frames
            .iter()
            .filter(|(_, frame)| frame.parent.is_some())
            .find(|(_, frame)| wildcard(&pattern, &frame.url))?;
        Some((id.clone(), self.session().child(&frame.session)))
    }

    async fn click(&self, place: &Place) -> Result<(), String> {
        use DispatchMouseEventType::{MouseMoved, MousePressed, MouseReleased};
        let at = Point { x: place.x, y: place.y };
        let left = || Some(MouseButton::Left);
        for event in [
            event(MouseMoved, at, None, 0),
            event(MousePressed, at, left(), 1),
            event(MouseReleased, at, left(), 1),
        ] {
            let sent: Result<Nothing, _> = self.session().call(event, CALL).await;
            sent.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// An expression that tells whether an element is there, as the text of a [`Place`].
pub(super) fn there(selector: &Selector) -> String {
    let arguments = serde_json::to_string(&[selector.by.word(), &selector.text, "there", ""]);
    format!("({FIND})(...{})", arguments.unwrap_or_default())
}

/// What a page says of its session, by the answers of [`there`] for both ways.
pub(super) fn session_shown(answer: Option<&str>) -> Option<bool> {
    let answers: [Option<String>; 2] = json::read(answer?).ok()?;
    let [is, is_not] = answers.map(|text| {
        let place: Option<Place> = text.and_then(|text| json::read(&text).ok());
        place.is_some_and(|place| place.found)
    });
    match (is, is_not) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}
