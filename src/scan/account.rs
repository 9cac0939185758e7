//! The account that a scan logs in with. It is stopped before a server would lock it out.

use std::time::Duration;

/// An account that has failed this often in a row is used by no scan any more, until a person releases it.
pub const MOST_LOGIN_FAILURES: u32 = 2;
/// An attempt that began longer ago has died with its process, and counts as failed.
pub const LOGIN_TAKES: Duration = Duration::from_mins(3);

/// Whether an account may be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginTurn {
    /// Yes. The attempt counts as failed until it ended differently.
    Go,
    /// Somebody else is logging in with it: their end decides whether it may be used.
    Wait,
    /// It has failed too often.
    Stopped,
}

/// How an attempt to log in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginEnd {
    /// Logged in: earlier failures are forgotten.
    Succeeded,
    /// The server was shown the secrets and did not let us in.
    Failed,
    /// The server was shown no secret: the page did not load, a field was not there.
    NotTried,
}
