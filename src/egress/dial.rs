//! Resolve, check, dial: the only way out.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Host;

use super::EgressRules;
use super::address;
use super::error::{DialError, EgressError};
use super::ledger::{Ledger, Metered};
use super::target::{HostPattern, Mapping, Target};
use super::upstream::Upstream;
use crate::config::Cidr;

/// The longest time for one name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time for one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);
/// Addresses of one name that are tried at most, so that a name with a hundred dead ones costs no more than this.
const MAX_ADDRESSES: usize = 4;
/// The longest time for the upstream proxy's answer.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(20);

/// Where addresses of names come from.
#[async_trait]
pub(super) trait Resolver: Send + Sync {
    /// All addresses of a name, in the order in which they are to be tried.
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's own resolver.
pub(super) struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0))
            .await?
            .map(|address| address.ip())
            .collect())
    }
}

/// A connection to a target, or to the upstream proxy that is to be asked for it.
pub(super) type Connection = Metered<TcpStream>;

/// Where a target is to be had.
enum Way<'a> {
    /// At one of these addresses, each of them checked.
    Direct(Vec<SocketAddr>),
    /// Behind the upstream proxy.
    Upstream(&'a Upstream),
}

/// Knows the rules and makes connections that keep to them.
pub(super) struct Dialer {
    resolve: Vec<Mapping>,
    allow_private: Vec<Cidr>,
    private_hosts: Vec<HostPattern>,
    upstream: Option<Upstream>,
    resolver: Arc<dyn Resolver>,
    /// Where we listen ourselves. A tunnel to it would be a loop.
    own: SocketAddr,
    ledger: Arc<Ledger>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Dialer {
    pub(super) fn new(
        rules: &EgressRules,
        resolver: Arc<dyn Resolver>,
        own: SocketAddr,
        ledger: Arc<Ledger>,
    ) -> Result<Self, EgressError> {
        let mapping = |(pattern, to): &(String, String)| {
            Mapping::parse(pattern, to).map_err(|reason| EgressError::Resolve {
                pattern: pattern.clone(),
                to: to.clone(),
                reason,
            })
        };
        Ok(Self {
            resolve: rules.resolve.iter().map(mapping).collect::<Result<_, _>>()?,
            allow_private: rules.allow_private.clone(),
            private_hosts: rules
                .private_hosts
                .iter()
                .map(|pattern| HostPattern::new(pattern))
                .collect(),
            upstream: rules.upstream.as_ref().map(Upstream::parse).transpose()?,
            resolver,
            own,
            ledger,
        })
    }

    /// Connects to a target so that bytes can be exchanged with it, through the upstream proxy if need be.
    pub(super) async fn tunnel(&self, target: &Target) -> Result<Connection, DialError> {
        let (mut connection, upstream) = self.plain(target).await?;
        if let Some(upstream) = upstream {
            match timeout(UPSTREAM_TIMEOUT, upstream.connect(&mut connection, target)).await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => {
                    return Err(DialError::Upstream {
                        target: target.to_string(),
                        reason,
                    });
                }
                Err(_) => return Err(timed_out(target, "the upstream proxy", UPSTREAM_TIMEOUT)),
            }
        }
        Ok(connection)
    }

    /// Connects to a target so that plain HTTP can be spoken with it; says whether it is the upstream proxy that
    /// listens, which wants the whole URL.
    pub(super) async fn plain(&self, target: &Target) -> Result<(Connection, Option<&Upstream>), DialError> {
        match self.way(target).await? {
            Way::Direct(addresses) => Ok((self.connect_any(target, &addresses).await?, None)),
            Way::Upstream(upstream) => Ok((self.connect_upstream(upstream, target).await?, Some(upstream))),
        }
    }

    /// Decides where a target is to be had. A name that the operator mapped is exempt from the check: that is the
    /// operator's word.
    async fn way(&self, target: &Target) -> Result<Way<'_>, DialError> {
        if let Some(mapping) = self.resolve.iter().find(|mapping| mapping.matches(target)) {
            let addresses = self.lookup(&mapping.to).await?;
            return Ok(Way::Direct(on_port(&addresses, mapping.to.port)));
        }
        if let Some(upstream) = &self.upstream
            && target.own_addresses().is_none()
        {
            return Ok(Way::Upstream(upstream));
        }
        let checked = self.checked(target, &self.lookup(target).await?)?;
        match &self.upstream {
            Some(upstream) if checked.iter().all(|address| address::check(address.ip(), &[]).is_ok()) => {
                Ok(Way::Upstream(upstream))
            }
            _ => Ok(Way::Direct(checked)),
        }
    }

    /// Leaves the addresses that may be dialled, or says why there are none.
    fn checked(&self, target: &Target, addresses: &[IpAddr]) -> Result<Vec<SocketAddr>, DialError> {
        let private = self.private_hosts.iter().any(|pattern| pattern.matches(target));
        let allowed = if private { self.allow_private.as_slice() } else { &[] };
        let mut passed = Vec::new();
        let mut refused = None;
        for socket in on_port(addresses, target.port) {
            let verdict = if self.is_own(socket) {
                Err("our own egress proxy")
            } else {
                address::check(socket.ip(), allowed)
            };
            match verdict {
                Ok(()) => passed.push(socket),
                Err(range) => {
                    self.ledger.refuse(target, socket.ip(), range);
                    refused.get_or_insert((socket.ip(), range));
                }
            }
        }
        match refused {
            Some((address, range)) if passed.is_empty() => Err(DialError::Refused {
                target: target.to_string(),
                address,
                range,
            }),
            _ => Ok(passed),
        }
    }

    /// Where the proxy itself listens.
    pub(super) fn own_address(&self) -> SocketAddr {
        self.own
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        address.port() == self.own.port() && address.ip().to_canonical() == self.own.ip()
    }

    /// All addresses of a target, unchecked and never none.
    async fn lookup(&self, target: &Target) -> Result<Vec<IpAddr>, DialError> {
        if let Some(own) = target.own_addresses() {
            return Ok(own);
        }
        let Host::Domain(name) = &target.host else {
            return Ok(Vec::new());
        };
        let failed = |reason| DialError::Resolve {
            target: target.to_string(),
            reason,
        };
        match timeout(LOOKUP_TIMEOUT, self.resolver.lookup(name)).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(failed("the name has no address".to_owned())),
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(timed_out(target, "DNS", LOOKUP_TIMEOUT)),
        }
    }

    /// Connects to the first address that answers; they are tried one after the other.
    async fn connect_any(&self, target: &Target, addresses: &[SocketAddr]) -> Result<Connection, DialError> {
        let mut last = DialError::Resolve {
            target: target.to_string(),
            reason: "the name has no address".to_owned(),
        };
        for address in addresses.iter().take(MAX_ADDRESSES) {
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Without it small packets wait for each other; no connection is worse for lacking it.
                    let _ = stream.set_nodelay(true);
                    self.ledger.connected();
                    return Ok(Metered::new(stream, Arc::clone(&self.ledger)));
                }
                Ok(Err(error)) => {
                    last = DialError::Connect {
                        target: target.to_string(),
                        reason: format!("{address}: {error}"),
                    };
                }
                Err(_) => last = timed_out(target, "connecting", CONNECT_TIMEOUT),
            }
        }
        Err(last)
    }

    /// Connects to the upstream proxy, which is where the operator says and so is not checked.
    async fn connect_upstream(&self, upstream: &Upstream, target: &Target) -> Result<Connection, DialError> {
        let connected = async {
            let addresses = self.lookup(&upstream.target).await?;
            self.connect_any(&upstream.target, &on_port(&addresses, upstream.target.port))
                .await
        };
        connected.await.map_err(|error| DialError::Upstream {
            target: target.to_string(),
            reason: error.to_string(),
        })
    }
}

fn on_port(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses
        .iter()
        .map(|address| SocketAddr::new(*address, port))
        .collect()
}

fn timed_out(target: &Target, stage: &'static str, limit: Duration) -> DialError {
    DialError::TimedOut {
        target: target.to_string(),
        stage,
        seconds: limit.as_secs(),
    }
}
