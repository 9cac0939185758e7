//! The ways back to the page, from where an action led.

use std::sync::Arc;

use chromiumoxide::cdp::browser_protocol::page;
use phantom_checks::evidence::StepKind;
use serde_json::json;

use super::Act;
use super::input::Point;
use crate::browser::events::Nothing;

impl Act<'_> {
    /// The page shows itself under another address that names another page.
    pub(super) fn has_left(&self) -> bool {
        let now = self.places.first().map(|place| place.url.as_str()).unwrap_or_default();
        page_of(now) != page_of(&self.base)
    }

    /// Goes back to the address that the page had: what is at the other one is seen when that is visited.
    pub(super) async fn go_back(&mut self) {
        let Some(place) = self.places.first() else { return };
        let frame = (Arc::clone(&place.session), place.context);
        let again = self.before();
        self.ask((&frame.0, frame.1), "history.back()".to_owned(), self.patience())
            .await;
        self.settle(&again).await;
        if self.has_left() {
            let back = format!("history.replaceState(history.state, '', {})", json!(self.base));
            self.ask((&frame.0, frame.1), back, self.patience()).await;
            self.settle(&again).await;
        }
        // What the way back has tried is known already.
        self.tab.shared().recorder().tried.truncate(again.tried);
    }

    pub(super) async fn close(&mut self) {
        let frames: Vec<_> = self
            .places
            .iter()
            .map(|place| (Arc::clone(&place.session), place.context))
            .collect();
        for (session, context) in frames {
            self.ask(
                (&session, context),
                "window.__phantomExplore.close()".to_owned(),
                self.patience(),
            )
            .await;
        }
        self.mouse(StepKind::Hover, Point { x: 1.0, y: 1.0 }).await;
    }

    /// Goes back to the page from the answer to a form that it has sent.
    pub(super) async fn come_back(&mut self) -> bool {
        let session = self.session(self.tab.session().id());
        let mut to = vec![self.base.clone()];
        if self.base.contains('#') {
            // From the same address it would be a step within the document.
            to.insert(0, "about:blank".to_owned());
        }
        for url in to {
            self.tab.shared().recorder().again(&self.base);
            let gone: Result<Nothing, _> = session.call(page::NavigateParams::new(url), self.patience()).await;
            if gone.is_err() {
                return false;
            }
        }
        self.arrived().await
    }

    pub(super) async fn arrived(&mut self) -> bool {
        let loaded = self.tab.settle_again(self.until).await;
        self.places.clear();
        self.look_everywhere().await;
        loaded && !self.places.is_empty()
    }

    /// Loads the page again.
    pub(super) async fn reload(&mut self) -> bool {
        if let Some(place) = self.places.first() {
            let frame = (Arc::clone(&place.session), place.context);
            let back = format!("history.replaceState(null, '', {})", json!(self.base));
            self.ask((&frame.0, frame.1), back, self.patience()).await;
        }
        self.tab.shared().recorder().again(&self.base);
        let session = self.session(self.tab.session().id());
        if session
            .call::<Nothing>(page::ReloadParams::default(), self.patience())
            .await
            .is_err()
        {
            return false;
        }
        self.arrived().await
    }
}

/// The part of an address that names a page: a fragment does only if it is a route.
fn page_of(url: &str) -> &str {
    match url.split_once('#') {
        Some((_, fragment)) if fragment.starts_with('/') || fragment.starts_with('!') => url,
        Some((page, _)) => page,
        None => url,
    }
}
