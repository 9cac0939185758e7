//! Why something could not be reached.

use std::net::IpAddr;

/// Why the proxy could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// No port on loopback could be had.
    #[error(
        "the egress proxy cannot listen on 127.0.0.1: {0}; check the limit of open files and the loopback interface"
    )]
    Bind(#[from] std::io::Error),
    /// A line of the `resolve` table makes no sense.
    #[error(
        "browser.resolve: `{pattern}` = `{to}`: {reason}; write `host:port` or `*.domain:port` on the left and \
         `address:port` on the right"
    )]
    Resolve {
        /// The pattern.
        pattern: String,
        /// What it is mapped to.
        to: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The upstream proxy cannot be spoken to.
    #[error("network.proxy: `{url}`: {reason}; write `http://host:port`")]
    Upstream {
        /// The proxy's URL, without the password.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Why a host and port could not be reached through the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DialError {
    /// The request names nothing that could be dialled.
    #[error("`{asked}` cannot be dialled: {reason}")]
    Malformed {
        /// What was asked for.
        asked: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A rule forbids it.
    #[error(
        "`{target}` is refused: {address} is {range}; to allow it, list the address in network.allow_private and let \
         the site's scope name the host with allow_private = true"
    )]
    Refused {
        /// Host and port.
        target: String,
        /// The address that was refused.
        address: IpAddr,
        /// What kind of address that is, with its article.
        range: &'static str,
    },
    /// The name leads to no address.
    #[error("`{target}` cannot be resolved: {reason}; check the name, or map it in browser.resolve")]
    Resolve {
        /// Host and port.
        target: String,
        /// What the resolver said.
        reason: String,
    },
    /// No connection, or it broke before an answer.
    #[error("no connection to `{target}`: {reason}; check that the server runs and a firewall lets us through")]
    Connect {
        /// Host and port.
        target: String,
        /// What the system said, with the address.
        reason: String,
    },
    /// Too slow.
    #[error("`{target}` did not answer in time ({stage}, {seconds} s)")]
    TimedOut {
        /// Host and port.
        target: String,
        /// What took too long.
        stage: &'static str,
        /// The limit in seconds.
        seconds: u64,
    },
    /// The upstream proxy would not.
    #[error("the proxy of network.proxy did not connect to `{target}`: {reason}; check its address, login and rules")]
    Upstream {
        /// Host and port.
        target: String,
        /// What it said.
        reason: String,
    },
    /// The server's answer is not HTTP.
    #[error("the answer of `{target}` is not HTTP/1: {reason}")]
    Protocol {
        /// Host and port.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request may change state, and the scan may not.
    #[error("{method} to `{target}` is not sent, as it may change state; see the site's file, [explore]")]
    Method {
        /// Host and port.
        target: String,
        /// The method.
        method: String,
    },
    /// The scan's byte budget is used up.
    #[error("the scan's byte budget is used up; raise it in the site's limits")]
    Budget,
    /// The scan was stopped.
    #[error("the scan was stopped")]
    Cut,
}

/// What takes too long once there is a connection.
pub(super) const WAITING: &str = "waiting for a response";
/// How a connection ended that was there.
pub(super) const BROKE: &str = "it broke before an answer came";

impl DialError {
    /// Whether there was a connection: another request may get an answer.
    pub fn had_connection(&self) -> bool {
        match self {
            Self::Protocol { .. } => true,
            Self::TimedOut { stage, .. } => *stage == WAITING,
            Self::Connect { reason, .. } => reason.starts_with(BROKE),
            _ => false,
        }
    }

    /// A stable word for the kind of error, the value of the header [`super::CODE_HEADER`]: `malformed`, `refused`,
    /// `resolve`, `connect`, `timeout`, `upstream`, `protocol`, `method`, `budget`, `cut`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::Refused { .. } => "refused",
            Self::Resolve { .. } => "resolve",
            Self::Connect { .. } => "connect",
            Self::TimedOut { .. } => "timeout",
            Self::Upstream { .. } => "upstream",
            Self::Protocol { .. } => "protocol",
            Self::Method { .. } => "method",
            Self::Budget => "budget",
            Self::Cut => "cut",
        }
    }
}
