//! Where a scan stands, in one word.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ScanState, Trigger, Wish};

/// Where a scan stands, for whoever looks from outside: how it is kept, what a person wants of it, and whether a process
/// has it, together. The same words in lists, events, logs and documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// A process has it.
    Running,
    /// No process has it. The next one that may takes it; a nightly scan in its hours.
    Waiting,
    /// A person wants it to wait, and its process still saves what it has.
    Pausing,
    /// It waits until a person says that it may go on.
    Paused,
    /// A person wants it to end, and its process still saves what it has.
    Stopping,
    /// A person ended it. Nothing goes on with it unless a person says so.
    Stopped,
    /// Its process was told to end. Nothing goes on with it unless a person says so.
    Interrupted,
    /// Every page was looked at, or cut off by a limit that the site names.
    Complete,
    /// Something that should have been looked at was not.
    Incomplete,
}

impl Standing {
    /// Of a scan that is kept so. `gone`: it runs, and no process has it.
    pub fn of(state: ScanState, wish: Option<Wish>, trigger: Trigger, gone: bool) -> Self {
        match (state, wish) {
            (ScanState::Complete, _) => Self::Complete,
            (ScanState::Incomplete, _) => Self::Incomplete,
            (ScanState::Running, Some(Wish::Stop)) if !gone => Self::Stopping,
            (ScanState::Running, Some(Wish::Pause)) if !gone => Self::Pausing,
            (ScanState::Running, None) if !gone => Self::Running,
            (_, Some(Wish::Stop)) => Self::Stopped,
            (_, Some(Wish::Pause)) => Self::Paused,
            // The schedule goes on with its own; a look is not gone on with at all.
            (ScanState::Interrupted, None) if trigger != Trigger::Nightly => Self::Interrupted,
            (_, None) if trigger.is_look() => Self::Interrupted,
            (_, None) => Self::Waiting,
        }
    }

    /// Nothing more comes of it by itself, and it waits for nobody's word.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Stopped | Self::Interrupted | Self::Complete | Self::Incomplete
        )
    }

    /// No process has it, and something may be left of it.
    pub fn is_resumable(self) -> bool {
        matches!(
            self,
            Self::Waiting | Self::Paused | Self::Stopped | Self::Interrupted | Self::Incomplete
        )
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Trigger::{Nightly, OnDemand, Verify};

    #[test]
    fn one_word_says_where_a_scan_stands() {
        use ScanState::{Complete, Incomplete, Interrupted, Running};
        let (stop, pause) = (Some(Wish::Stop), Some(Wish::Pause));
        for (state, wish, trigger, gone, word) in [
            (Running, None, OnDemand, false, "running"),
            (Running, None, OnDemand, true, "waiting"),
            (Running, None, Verify, true, "interrupted"),
            (Running, pause, Nightly, false, "pausing"),
            (Running, pause, Nightly, true, "paused"),
            (Interrupted, pause, OnDemand, false, "paused"),
            (Running, stop, OnDemand, false, "stopping"),
            (Running, stop, OnDemand, true, "stopped"),
            (Interrupted, stop, Nightly, false, "stopped"),
            (Interrupted, None, OnDemand, false, "interrupted"),
            (Interrupted, None, Nightly, false, "waiting"),
            (Complete, pause, OnDemand, false, "complete"),
            (Incomplete, stop, Nightly, false, "incomplete"),
        ] {
            let standing = Standing::of(state, wish, trigger, gone);
            assert_eq!(standing.to_string(), word, "{state:?} {wish:?} {trigger:?} {gone}");
            assert_eq!(serde_json::to_value(standing).unwrap(), word);
            let goes_on = ["running", "waiting", "pausing", "paused", "stopping"].contains(&word);
            assert_eq!(standing.is_over(), !goes_on, "{word}");
        }
    }
}
