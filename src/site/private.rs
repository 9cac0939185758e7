use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

use super::Site;
use crate::config::NetworkConfig;

/// A site starts at a private address that may not be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{url} is at a private address; to scan it, set `network.allow_private = [\"{network}\"]` in phantom.toml and \
     `scope.allow_private = true` in the file of a site that includes it ({missing} missing)"
)]
pub struct PrivateStart {
    /// The start page.
    pub url: String,
    /// The network that is to be allowed.
    pub network: String,
    /// Which of the two keys are missing.
    pub missing: &'static str,
}

impl Site {
    /// Whether the start pages whose URLs hold private addresses may be reached, so that a person hears of it before
    /// the scan. Names are judged when they are resolved.
    pub fn may_start(&self, network: &NetworkConfig) -> Result<(), PrivateStart> {
        for url in &self.start {
            let Some(address) = private_address(url) else { continue };
            let configured = network.allow_private.iter().any(|cidr| cidr.contains(address));
            let missing = match (configured, self.scope.allow_private) {
                (true, true) => continue,
                (true, false) => "the second is",
                (false, true) => "the first is",
                (false, false) => "both are",
            };
            return Err(PrivateStart {
                url: super::load::shown(url),
                network: address.to_string(),
                missing,
            });
        }
        Ok(())
    }
}

/// The address in a URL, if it is one that the public internet does not have; `localhost` counts as 127.0.0.1.
pub(super) fn private_address(url: &Url) -> Option<IpAddr> {
    let address = match url.host()? {
        Host::Domain(name) if name == "localhost" || name.ends_with(".localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Host::Domain(_) => return None,
        Host::Ipv4(address) => IpAddr::V4(address),
        Host::Ipv6(address) => IpAddr::V6(address).to_canonical(),
    };
    let private = match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (a, b & 0xc0) == (100, 64)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    private.then_some(address)
}
