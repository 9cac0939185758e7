//! What an action brings: waited for, and seen.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use phantom_checks::evidence::Step;
use serde::Deserialize;
use serde_json::Value;

use super::look::Place;
use super::{Act, MOST_SILENCES};
use crate::browser::json::read;
use crate::crawl::{Outcome, hash_of};

/// How long the consequences of one action are waited for.
const SETTLE_BOUND: Duration = Duration::from_millis(1_500);
/// Nothing is in flight and nothing has happened for this long: the consequences are there.
const QUIET: Duration = Duration::from_millis(40);
/// A document that was about to be asked for is not asked for any more after this long.
const ABOUT_TO: Duration = Duration::from_millis(400);
/// An answer to what an action has asked for is waited for so long.
const ANSWER_BOUND: Duration = Duration::from_millis(800);

#[derive(Deserialize, Default)]
struct After {
    moves: u64,
    due: f64,
    url: String,
}

/// What the recorder knew before an action.
pub(super) struct Before {
    in_flight: usize,
    requests: usize,
    pub tried: usize,
    calls: usize,
    pub began: Instant,
}

impl Act<'_> {
    pub(super) fn before(&self) -> Before {
        let recorder = self.tab.shared().recorder();
        Before {
            in_flight: recorder.in_flight(),
            requests: recorder.requests.len(),
            tried: recorder.tried.len(),
            calls: recorder.calls.all.len(),
            began: Instant::now(),
        }
    }

    /// Waits for what an action brings, sees it, and looks at what can be done now.
    pub(super) async fn consequences(&mut self, before: &Before, path: Vec<Step>) -> Outcome {
        let moved = self.settle(before).await;
        self.tab.shared().recorder().may_submit = false;
        let (mut news, mut to_scan) = (0, 0);
        let tried: Vec<u64> = {
            let recorder = self.tab.shared().recorder();
            recorder
                .tried
                .iter()
                .skip(before.tried)
                .map(|(url, _)| hash_of(url))
                .collect()
        };
        let calls = self.tab.shared().recorder().calls.all.len();
        if calls > before.calls {
            self.finds.calls.push((before.calls, path.clone()));
            self.finds.calls.push((calls, Vec::new()));
        }
        if !tried.is_empty() {
            self.finds.tried.push((before.tried, path.clone()));
            let end = self.tab.shared().recorder().tried.len();
            self.finds.tried.push((end, Vec::new()));
            let (more, more_to_scan) = self.meet(tried);
            news += more;
            to_scan += more_to_scan;
        }
        for at in &moved {
            let (more, more_to_scan) = self.see(*at, &path, false).await;
            news += more;
            to_scan += more_to_scan;
        }
        if self.has_left() {
            self.go_back().await;
        }
        let count = self.places.len();
        for at in moved {
            if at < count {
                self.look_again(at).await;
            }
        }
        let known: HashSet<(String, i64)> = self.places.iter().map(Place::document).collect();
        self.look_everywhere().await;
        let fresh: Vec<usize> = (0..self.places.len())
            .filter(|&at| !known.contains(&self.places[at].document()))
            .collect();
        for at in fresh {
            let (more, more_to_scan) = self.see(at, &path, true).await;
            news += more;
            to_scan += more_to_scan;
        }
        let replaced = std::mem::take(&mut self.tab.shared().recorder().replaced);
        if replaced {
            self.come_back().await;
        }
        Outcome {
            state: self.state(),
            news,
            news_to_scan: to_scan,
        }
    }

    /// Waits until the consequences of an action are there. Returns the frames in which something moved.
    pub(super) async fn settle(&mut self, before: &Before) -> Vec<usize> {
        // From here on: on a busy machine the action itself takes longer than its consequences.
        let done = Instant::now();
        let bound = done + SETTLE_BOUND;
        loop {
            let frames: Vec<_> = self
                .places
                .iter()
                .map(|place| (Arc::clone(&place.session), place.context))
                .collect();
            let mut moved = Vec::new();
            let mut due: f64 = 0.0;
            for (at, (session, context)) in frames.into_iter().enumerate() {
                let asked = self
                    .ask(
                        (&session, context),
                        "window.__phantomExplore.after()".to_owned(),
                        self.patience(),
                    )
                    .await;
                let after: After = asked
                    .as_ref()
                    .and_then(Value::as_str)
                    .and_then(|text| read(text).ok())
                    .unwrap_or_default();
                if let Some(place) = self.places.get_mut(at) {
                    if after.moves > 0 || (!after.url.is_empty() && after.url != place.url) {
                        moved.push(at);
                    }
                    if !after.url.is_empty() {
                        place.url = after.url;
                    }
                }
                if after.due.is_finite() {
                    due = due.max(after.due);
                }
            }
            self.tab.caught_up().await;
            let now = Instant::now();
            let wait = {
                let recorder = self.tab.shared().recorder();
                let nothing = recorder.requests.len() == before.requests
                    && recorder.in_flight() <= before.in_flight
                    && recorder.tried.len() == before.tried;
                let quiet = recorder.last_activity + QUIET;
                let unanswered = now < done + ANSWER_BOUND && recorder.unanswered_since(before.requests);
                let about_to = |since: Instant| since >= before.began && now < since + ABOUT_TO;
                if unanswered
                    || recorder.in_flight() > before.in_flight
                    || recorder.about_to_navigate.is_some_and(about_to)
                {
                    Some(Duration::from_millis(20))
                } else if due > 0.0 {
                    Some(Duration::from_secs_f64((due / 1000.0).clamp(0.005, 1.5)))
                } else if !nothing && quiet > now {
                    Some(quiet - now)
                } else {
                    None
                }
            };
            match wait {
                Some(wait) if now < bound && self.silences < MOST_SILENCES && !self.tab.gone() => {
                    tokio::time::sleep(wait.min(bound.saturating_duration_since(now))).await;
                }
                _ => return moved,
            }
        }
    }
}
