//! Leaving pages and closing tabs, so that what a page does at its end is seen and stopped.

use std::time::{Duration, Instant};

use chromiumoxide::cdp::browser_protocol::page;
use chromiumoxide::cdp::browser_protocol::target;
use chromiumoxide::cdp::js_protocol::runtime;

use super::{PageRequest, Tab};
use crate::browser::capture::Captured;
use crate::browser::connection::{CdpError, Session};
use crate::browser::events::{Evaluated, Navigated, Nothing};

/// A page that takes longer to say where it is hangs.
const ALIVE: Duration = Duration::from_secs(1);
/// A page that takes longer to be left hangs.
const LEAVING: Duration = Duration::from_secs(4);
/// What a page has sent before it was left is known this much later, unless it waited for its end.
const ON_THE_WAY: Duration = Duration::from_millis(10);
/// What a page sends at its end is known this much later, on a machine that is busy. A tab stays open as long after its
/// page is gone.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Where it takes longer to leave it, twice that time, up to this.
const LATEST_WORDS: Duration = Duration::from_secs(1);

impl Tab {
    /// Leaves a page that was captured, if it was acted upon or does something at its end, which is evidence, too. Others
    /// are left by going to the next: to leave a page costs the browser about a third of what it costs to render it.
    /// False if it cannot be left.
    pub async fn leave_captured(&self, request: &PageRequest, captured: &mut Captured) -> bool {
        let (has_last_words, waits) = {
            let recorder = self.recorder();
            (recorder.has_last_words(), recorder.awaits_its_end)
        };
        if !captured.acted_upon() && !has_last_words {
            return true;
        }
        let began = Instant::now();
        let left = self.left().await;
        // Its last words may still be on their way to us, for longer the busier the machine is.
        let busy = (2 * began.elapsed()).clamp(LAST_WORDS, LATEST_WORDS);
        tokio::time::sleep(if waits { busy } else { ON_THE_WAY }).await;
        self.caught_up().await;
        let recorder = self.shared.recorder();
        captured.add_calls(&recorder, &request.redactor);
        left
    }

    /// Leaves the page before.
    pub(in crate::browser) async fn leave(&self, request: &PageRequest) -> Result<(), CdpError> {
        self.begin(request, Instant::now());
        // Until it is gone, the next address may be taken for another place in it.
        if self.left().await {
            Ok(())
        } else {
            Err(CdpError::TabGone)
        }
    }

    /// Closes the tab. What the page does when it is left is done while its requests still wait for us. A page that
    /// cannot be left is not closed: it would send what it has kept for its end.
    pub async fn close(self) -> Closed {
        if !self.left().await && !self.connection.closed().is_cancelled() {
            return Closed::PageHangs;
        }
        // Frames of other sites say their last words a moment later, and those go out if nobody listens any more.
        tokio::time::sleep(LAST_WORDS).await;
        let close = target::CloseTargetParams::new(self.target.clone());
        let closed: Result<Nothing, _> = self.connection.browser().call(close, Duration::from_secs(3)).await;
        self.connection.forget(self.session.id());
        // Only silence means that the browser hangs; a refusal means that the tab is closed already.
        if matches!(closed, Err(CdpError::Timeout { .. })) {
            Closed::BrowserHangs
        } else {
            Closed::Yes
        }
    }

    /// Leaves the page, and waits until it is gone. The browser's answer to the navigation does not say that.
    async fn left(&self) -> bool {
        // A frame that has crashed ends the tab's own session for us, though the rest of the page may still be there.
        let session = self.connection.browser().child(self.session.id());
        let until = Instant::now() + LEAVING;
        let blank = page::NavigateParams::new("about:blank");
        let told: Result<Navigated, _> = session.call(blank, LEAVING).await;
        if let Err(CdpError::Refused { .. } | CdpError::BrowserGone) = told {
            // There is no tab any more.
            return true;
        }
        loop {
            match at(&session).await.as_deref() {
                Some("about:blank") => return true,
                Some(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                // Its script does not come to an end: it is made to.
                None => session.tell(&runtime::TerminateExecutionParams::default()),
            }
            if Instant::now() >= until || self.connection.closed().is_cancelled() {
                return false;
            }
        }
    }
}

/// Where a tab is, if it answers.
async fn at(session: &Session) -> Option<String> {
    let mut ask = runtime::EvaluateParams::new("location.href");
    ask.return_by_value = Some(true);
    ask.silent = Some(true);
    let answer: Evaluated = session.call(ask, ALIVE).await.ok()?;
    Some(answer.result.value?.as_str().unwrap_or_default().to_owned())
}

/// What became of a tab that was to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::browser) enum Closed {
    /// It is.
    Yes,
    /// Its page does not answer; only the end of the browser ends it.
    PageHangs,
    /// The browser does not answer.
    BrowserHangs,
}
