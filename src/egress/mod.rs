//! The forward proxy on loopback through which every local browser, and our own fetches, speak.
//!
//! It resolves a name, checks the address and dials the address it checked, so that a name whose address changes
//! between check and connection (DNS rebinding) gains nothing. What is not public is refused unless the global
//! configuration lists the address *and* the site's scope names the host. It counts bytes, enforces the scan's byte
//! budget, and [`Egress::cut`] is the one place where everything stops at once. Each scan has its own.
//!
//! Browsers must be told to use it for everything: `--proxy-server=http://ADDRESS --proxy-bypass-list=<-loopback>`
//! with non-proxied WebRTC off.
//!
//! # Speech
//! HTTP/1.1: `CONNECT host:port` makes a tunnel (https, and both kinds of WebSocket), a request with a whole `http:`
//! URL is passed on. On one connection such requests may go to different hosts in turn. Bodies are streamed, redirects
//! are left to the client, no `Via` is added. What goes wrong is answered with 502 (400 if the request itself is
//! wrong), a short text and the header [`CODE_HEADER`]; Chromium shows neither for a tunnel, hence
//! [`Egress::last_error`]. The header never comes from a server: it is taken off what servers send in the clear.
//!
//! # What an address must be
//! See [`EgressRules`]. Names mapped by `resolve` are exempt, as that is the operator's word. `localhost` and names
//! below it are loopback whatever DNS says. If a name has public and private addresses, the public ones are dialled
//! and the others reported. The metadata service of a cloud is refused unless it is listed alone, as a `/32`.
//!
//! With an upstream proxy the names are resolved there, see [`UPSTREAM_WARNING`]. Mapped names, and loopback or
//! private addresses that are allowed, are dialled directly.
//!
//! # What it exposes
//! It listens on 127.0.0.1 without a login, as Chromium can only log in to a proxy through request interception,
//! which is slow. While a scan runs, other users of the same machine can therefore reach through it what the scan
//! may reach: public addresses, mapped names, and private addresses that this scan was allowed. Run scans of private
//! networks on a machine, or in a container, of their own.

mod address;
mod dial;
mod error;
mod fetch;
mod forward;
mod ledger;
mod server;
mod target;
mod trust;
mod tunnel;
mod upstream;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::config::Cidr;
use dial::{Dialer, Resolver, SystemResolver};
pub use error::{DialError, EgressError};
pub use fetch::{FetchError, Fetched, Fetcher};
use ledger::Ledger;
pub use ledger::{Counters, Refusal};
use server::{Patience, Proxy};
use target::Target;
pub(crate) use upstream::authorization;

/// The header of answers that the proxy gives by itself; its value is [`DialError::code`].
pub const CODE_HEADER: &str = "x-phantom-egress";

/// A host that the proxy itself answers for, with its address as text: who reads that speaks through it.
pub const HELLO: &str = "phantom-gang.invalid";

/// To be told to whoever scans through an upstream proxy.
pub const UPSTREAM_WARNING: &str = "names are resolved by the proxy of network.proxy, so that proxy must keep pages \
    from reaching private addresses (DNS rebinding); addresses written as such, and localhost, are still refused here";

/// What may be reached, and how.
#[derive(Debug, Clone, Default)]
pub struct EgressRules {
    /// `host:port` patterns to the `address:port` that is dialled instead; the first match wins. In a pattern, `*`
    /// stands for any run of characters in the host, and for any port.
    pub resolve: Vec<(String, String)>,
    /// Networks that are not public and may be reached by hosts of `private_hosts`.
    pub allow_private: Vec<Cidr>,
    /// Patterns of the hosts that the site's scope names, if the site allows private addresses. `*` as above.
    pub private_hosts: Vec<String>,
    /// The proxy behind this one, `http://[user:password@]host:port`.
    pub upstream: Option<Url>,
    /// Asked about each request that is sent in the clear; without it all may pass.
    pub may_pass: Option<MayPass>,
    /// Bytes at most, both directions together, headers and TLS included; `None` means no limit.
    pub byte_budget: Option<u64>,
}

type Asked = dyn Fn(&str, &str) -> bool + Send + Sync;

/// Says of a method and a URL whether they may pass.
#[derive(Clone)]
pub struct MayPass(pub Arc<Asked>);

impl fmt::Debug for MayPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MayPass")
    }
}

/// A running proxy. Dropping it stops it.
#[derive(Debug)]
pub struct Egress {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    tasks: TaskTracker,
}

impl Egress {
    /// Starts a proxy on a free port of 127.0.0.1.
    pub async fn start(rules: EgressRules) -> Result<Self, EgressError> {
        Self::start_with(rules, Arc::new(SystemResolver), Patience::default()).await
    }

    async fn start_with(
        rules: EgressRules,
        resolver: Arc<dyn Resolver>,
        patience: Patience,
    ) -> Result<Self, EgressError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let ledger = Arc::new(Ledger::new(rules.byte_budget));
        let dialer = Dialer::new(&rules, resolver, address, Arc::clone(&ledger))?;
        let tasks = TaskTracker::new();
        let proxy = Arc::new(Proxy {
            dialer,
            ledger: Arc::clone(&ledger),
            may_pass: rules.may_pass,
            tasks: tasks.clone(),
            patience,
        });
        tasks.spawn(
            ledger
                .stop
                .clone()
                .run_until_cancelled_owned(server::serve(listener, proxy)),
        );
        Ok(Self { address, ledger, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has passed through it so far.
    pub fn counters(&self) -> Counters {
        self.ledger.counters()
    }

    /// What was refused, each case once, in order, at most 256.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.ledger.refusals()
    }

    /// Why the last attempt to reach `host:port` failed; `None` if it did not, or if it was long ago (1024 targets
    /// are remembered). `host` may be written as in a URL.
    pub fn last_error(&self, host: &str, port: u16) -> Option<DialError> {
        self.ledger
            .last_error(&Target::parse(&format!("{host}:{port}"), None).ok()?)
    }

    /// Whether the byte budget is used up. Then all connections have been cut and new ones are answered with the
    /// code `budget`.
    pub fn budget_exhausted(&self) -> bool {
        self.ledger.budget_exhausted()
    }

    /// Closes all connections at once and accepts no more. Returns immediately; the connections are closed as soon
    /// as the runtime gets to them.
    pub fn cut(&self) {
        self.ledger.stop.cancel();
    }

    /// As [`Self::cut`], and returns when everything is closed.
    pub async fn stop(self) {
        self.cut();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        self.cut();
    }
}
