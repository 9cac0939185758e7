//! The gang: browsers driven over the DevTools protocol. Nothing outside this module speaks it.
//!
//! A [`Pool`] keeps a few browser processes, or connections to browsers of others, each with a context for the scan and some tabs that are used again and
//! again. A worker holds a [`Slot`] and asks it to render pages; crashed or hung tabs and browsers are replaced behind
//! it. What a page did comes back as evidence, already redacted.

mod act;
mod capacity;
mod capture;
mod client;
mod connection;
mod endpoints;
mod events;
mod find;
mod flags;
mod guard;
mod json;
mod listen;
mod mark;
mod others;
mod picture;
mod pool;
mod process;
mod recorder;
mod redact;
mod remote;
mod replay;
mod running;
mod state;
mod steps;
mod tab;
mod view;

use std::path::PathBuf;
use std::time::Duration;

pub use act::Exploration;
pub use capacity::default_tabs;
pub use capture::{Captured, ScriptCache, SideFile};
pub use client::{ClientRules, IsOwn};
pub use connection::CdpError;
pub use find::{Found, find};
pub use listen::Listening;
pub use mark::mark;
pub use others::{Seen, look};
pub use picture::{Shot, Spot};
pub use pool::{Pool, PoolOptions, PoolStats, RenderError, Slot};
pub use redact::{Redactor, url as url_without_secrets};
pub use replay::{Replay, Replayed};
pub use state::{LARGEST_STATE, OriginState, SessionState, StateCookie, StorageItem};
pub use steps::{Action, Filler, StepFailure, Walk, WalkStep, Walked};
pub use tab::{CaptureScript, MayGo, PageRequest, Visit};

/// How long a call that only asks the browser itself may take.
const CALL: Duration = Duration::from_secs(10);
/// How long a browser that has just been started may take to answer: the full one reads its profile first.
const FIRST_CALL: Duration = Duration::from_secs(30);

impl BrowserError {
    /// It passes by itself, with time, where nothing was wrong before.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Endpoints(_))
    }
}

/// Why there is no browser.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// The binary was not found.
    #[error(
        "no browser: {what}; install one (Debian: apt-get install chromium-headless-shell) or set browser.path in \
         phantom.toml"
    )]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The binary did not run.
    #[error("the browser {path} did not start: {why}")]
    Launch {
        /// The binary.
        path: PathBuf,
        /// What it or the operating system said.
        why: String,
    },
    /// None of the browsers that others run can be used.
    #[error(
        "no browser of browser.endpoints can be used; mend one, or remove the key to use browsers of this machine:\n  {0}"
    )]
    Endpoints(String),
    /// The browser started, but could not be prepared for the scan.
    #[error("the browser could not be prepared: {0}")]
    Prepare(#[from] CdpError),
}
