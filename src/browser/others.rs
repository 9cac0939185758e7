//! The browsers of others that a pool uses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use url::Url;

use super::BrowserError;
use super::endpoints::Endpoints;
use super::guard::Rules;
use super::remote::{Reached, Unfit, reach};
use super::running::Running;
use super::state::SessionState;
use crate::config::{BrowserConfig, Endpoint};

/// How long is waited for the first of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Browsers of others, and what is known of those that were used.
pub(super) struct Others {
    endpoints: Arc<Endpoints>,
    trusted: Vec<String>,
    upstream: Option<Url>,
    unsandboxed: AtomicBool,
}

impl Others {
    /// Looks for one that is well. Returns its version, too.
    pub async fn find(config: BrowserConfig, upstream: Option<Url>) -> Result<(Self, String), BrowserError> {
        let others = Self {
            endpoints: Arc::new(Endpoints::new(config.endpoints)),
            trusted: config.trust_spki,
            upstream,
            unsandboxed: AtomicBool::new(false),
        };
        let until = Instant::now() + PATIENCE;
        while let Some(seat) = others.endpoints.seat(until).await {
            match reach(seat.endpoint(), &others.trusted).await {
                Ok(reached) => {
                    reached.connection.close();
                    drop(seat);
                    return Ok((others, reached.version));
                }
                Err(unfit) => seat.failed(&unfit),
            }
        }
        Err(others.endpoints.error())
    }

    /// Makes a context in one of them.
    pub async fn join(
        &self,
        egress: SocketAddr,
        rules: &Rules,
        state: &SessionState,
        patience: Duration,
    ) -> Result<Running, BrowserError> {
        let until = Instant::now() + patience;
        while let Some(seat) = self.endpoints.seat(until).await {
            let reached = match reach(seat.endpoint(), &self.trusted).await {
                Ok(reached) => reached,
                Err(unfit) => {
                    seat.failed(&unfit);
                    continue;
                }
            };
            self.unsandboxed.fetch_or(!reached.sandboxed, Ordering::Relaxed);
            let ways = (egress, self.upstream.as_ref().map(Url::as_str));
            match Running::join(reached, seat, ways, rules, state).await {
                Ok(running) => {
                    running.is_well();
                    return Ok(running);
                }
                Err((seat, unfit)) => seat.failed(&unfit),
            }
        }
        Err(self.endpoints.error())
    }

    pub fn sandboxed(&self) -> bool {
        !self.unsandboxed.load(Ordering::Relaxed)
    }

    /// What people should know of them.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.endpoints.any_direct().map(warning).into_iter().collect();
        if !self.sandboxed() {
            warnings.push("a remote browser runs without Chromium's sandbox".to_owned());
        }
        let failures = self.endpoints.failures();
        warnings.extend(
            failures
                .into_iter()
                .map(|what| format!("a remote browser cannot be used: {what}")),
        );
        warnings
    }
}

fn warning(direct: &Endpoint) -> String {
    format!(
        "pages in the browser at {direct} do not speak through our proxy: a network policy there must keep them from \
         private addresses, and what they load counts for no limit of bytes"
    )
}

/// What a browser of others is found to be.
#[derive(Debug)]
pub struct Seen {
    /// Where it is, without secrets.
    pub at: String,
    /// Its version, and what people should know; or what is wrong with it.
    pub is: Result<(String, Vec<String>), String>,
}

/// Looks at each browser of others that the settings name.
pub async fn look(config: &BrowserConfig) -> Vec<Seen> {
    let each = config.endpoints.iter().map(async |endpoint| {
        let reached: Result<Reached, Unfit> = reach(endpoint, &config.trust_spki).await;
        let is = reached.map_err(|unfit| format!("{endpoint} {unfit}")).map(|reached| {
            reached.connection.close();
            let mut warnings: Vec<String> = endpoint.direct.then(|| warning(endpoint)).into_iter().collect();
            if !reached.sandboxed {
                warnings.push(format!("the browser at {endpoint} runs without Chromium's sandbox"));
            }
            (reached.version, warnings)
        });
        Seen {
            at: endpoint.to_string(),
            is,
        }
    });
    futures::future::join_all(each).await
}
