use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a sandbox misbehaves. Each count says how many of the next requests it holds for; where several would hold for
/// one request, the first in this order does.
///
/// `POST /sandbox/faults` takes these as JSON, all optional; what is not named stays as it is:
/// `{"rate_limited": 2, "retry_after_s": 5, "unauthorized": 0, "server_errors": 1, "drop_creates": 1,
/// "drop_changes": 0, "search_lag_s": 30, "slow_changes_ms": 0}`. The answer is all faults that are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Requests answered with 429.
    pub rate_limited: u32,
    /// The Retry-After of those, in seconds.
    pub retry_after_s: u64,
    /// Requests answered with 401.
    pub unauthorized: u32,
    /// Requests answered with 503, undone.
    pub server_errors: u32,
    /// Creates that are done, but whose connection is closed without an answer.
    pub drop_creates: u32,
    /// Changes of any kind that are made, but whose connection is closed without an answer.
    pub drop_changes: u32,
    /// Searches find an issue only this long after it was created.
    pub search_lag: Duration,
    /// Requests to change something are dealt with only this long after they came, also if nobody waits for the answer
    /// any more.
    pub slow_changes: Duration,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            rate_limited: 0,
            retry_after_s: 5,
            unauthorized: 0,
            server_errors: 0,
            drop_creates: 0,
            drop_changes: 0,
            search_lag: Duration::ZERO,
            slow_changes: Duration::ZERO,
        }
    }
}

/// What happens to a request instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    RateLimited { retry_after_s: u64 },
    Unauthorized,
    ServerError,
}

impl Faults {
    /// The fault of the next request, used up by it.
    pub(super) fn next(&mut self) -> Option<Fault> {
        if take(&mut self.rate_limited) {
            Some(Fault::RateLimited {
                retry_after_s: self.retry_after_s,
            })
        } else if take(&mut self.unauthorized) {
            Some(Fault::Unauthorized)
        } else if take(&mut self.server_errors) {
            Some(Fault::ServerError)
        } else {
            None
        }
    }

    /// Is the connection of this create closed?
    pub(super) fn drops_create(&mut self) -> bool {
        take(&mut self.drop_creates)
    }

    /// Is the connection of this change closed?
    pub(super) fn drops_change(&mut self) -> bool {
        take(&mut self.drop_changes)
    }
}

fn take(count: &mut u32) -> bool {
    let any = *count > 0;
    *count = count.saturating_sub(1);
    any
}

/// The JSON of the control endpoint.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultsJson {
    rate_limited: Option<u32>,
    retry_after_s: Option<u64>,
    unauthorized: Option<u32>,
    server_errors: Option<u32>,
    drop_creates: Option<u32>,
    drop_changes: Option<u32>,
    search_lag_s: Option<u32>,
    slow_changes_ms: Option<u32>,
}

impl FaultsJson {
    pub fn apply(&self, faults: &mut Faults) {
        let set = |target: &mut u32, value: Option<u32>| *target = value.unwrap_or(*target);
        set(&mut faults.rate_limited, self.rate_limited);
        set(&mut faults.unauthorized, self.unauthorized);
        set(&mut faults.server_errors, self.server_errors);
        set(&mut faults.drop_creates, self.drop_creates);
        set(&mut faults.drop_changes, self.drop_changes);
        faults.retry_after_s = self.retry_after_s.unwrap_or(faults.retry_after_s);
        if let Some(seconds) = self.search_lag_s {
            faults.search_lag = Duration::from_secs(seconds.into());
        }
        if let Some(ms) = self.slow_changes_ms {
            faults.slow_changes = Duration::from_millis(ms.into());
        }
    }
}

impl From<Faults> for FaultsJson {
    fn from(faults: Faults) -> Self {
        Self {
            rate_limited: Some(faults.rate_limited),
            retry_after_s: Some(faults.retry_after_s),
            unauthorized: Some(faults.unauthorized),
            server_errors: Some(faults.server_errors),
            drop_creates: Some(faults.drop_creates),
            drop_changes: Some(faults.drop_changes),
            search_lag_s: Some(u32::try_from(faults.search_lag.as_secs()).unwrap_or(u32::MAX)),
            slow_changes_ms: Some(u32::try_from(faults.slow_changes.as_millis()).unwrap_or(u32::MAX)),
        }
    }
}
