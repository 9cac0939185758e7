//! What a client asks to be connected with, and the patterns that name hosts. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::http::uri::Authority;
use url::Host;

/// A host and a port, the host in the one form that URLs have: lower case, punycode, and every way to write an
/// IPv4 address (decimal, octal, hexadecimal, short) turned into the usual one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) host: Host<String>,
    pub(super) port: u16,
}

impl Target {
    /// Reads `host:port`. Without a port, `default_port` is taken; there must be one.
    pub(super) fn parse(text: &str, default_port: Option<u16>) -> Result<Self, &'static str> {
        let authority: Authority = text.parse().map_err(|_| "not a host and a port")?;
        Self::from_authority(&authority, default_port)
    }

    /// Reads the authority of a request. A user name in it is left out.
    pub(super) fn from_authority(authority: &Authority, default_port: Option<u16>) -> Result<Self, &'static str> {
        // `Authority::port` leaves out a port that is too large, as if there were none.
        let text = authority.as_str().rsplit('@').next().unwrap_or_default();
        let port = match text
            .strip_prefix(authority.host())
            .map(|rest| rest.trim_start_matches(':'))
        {
            None => return Err("not a host and a port"),
            Some("") => default_port.ok_or("the port is missing")?,
            Some(port) => number(port).ok_or("the port is not a number from 1 to 65535")?,
        };
        if port == 0 {
            return Err("the port is not a number from 1 to 65535");
        }
        let host = Host::parse(authority.host()).map_err(|_| "the host name is not valid")?;
        Ok(Self { host, port })
    }

    /// The addresses that the host names without DNS: those of a literal, and loopback for `localhost` and all
    /// names below it (RFC 6761), whatever DNS may say of them.
    pub(super) fn own_addresses(&self) -> Option<Vec<IpAddr>> {
        match &self.host {
            Host::Ipv4(v4) => Some(vec![IpAddr::V4(*v4)]),
            Host::Ipv6(v6) => Some(vec![IpAddr::V6(*v6)]),
            Host::Domain(name) => {
                let name = bare(name);
                (name == "localhost" || name.ends_with(".localhost"))
                    .then(|| vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
            }
        }
    }

    /// The host as patterns are matched against it: no dot at the end, no brackets.
    fn name(&self) -> String {
        match &self.host {
            Host::Domain(name) => bare(name).to_owned(),
            Host::Ipv4(v4) => v4.to_string(),
            Host::Ipv6(v6) => v6.to_string(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Reads a port; a sign is no part of one.
fn number(port: &str) -> Option<u16> {
    port.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| port.parse().ok())
        .flatten()
}

fn bare(name: &str) -> &str {
    name.trim_end_matches('.')
}

/// A pattern over hosts in which `*` stands for any run of characters, dots too: `*.shop.example` matches every name
/// below `shop.example`, but not that name itself. Case makes no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPattern(String);

impl HostPattern {
    pub(super) fn new(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        Self(bare(text.trim_start_matches('[').trim_end_matches(']')).to_owned())
    }

    pub(super) fn matches(&self, target: &Target) -> bool {
        glob(&self.0, &target.name())
    }
}

/// A line of the `resolve` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    host: HostPattern,
    /// `None` stands for every port.
    port: Option<u16>,
    pub(super) to: Target,
}

impl Mapping {
    /// Reads `*.test:443` and `127.0.0.1:8443`. A pattern without a port, or with the port `*`, holds for all ports.
    pub(super) fn parse(pattern: &str, to: &str) -> Result<Self, &'static str> {
        let (host, port) = match pattern.rsplit_once(':') {
            // The colons of a bare IPv6 address are not before a port.
            Some((host, _)) if host.contains(':') && !host.ends_with(']') => (pattern, None),
            Some((host, "*")) => (host, None),
            Some((host, port)) => (
                host,
                Some(
                    port.parse()
                        .map_err(|_| "the pattern's port is neither a number nor `*`")?,
                ),
            ),
            None => (pattern, None),
        };
        if host.is_empty() {
            return Err("the pattern has no host");
        }
        Ok(Self {
            host: HostPattern::new(host),
            port,
            to: Target::parse(to, None)?,
        })
    }

    pub(super) fn matches(&self, target: &Target) -> bool {
        self.port.is_none_or(|port| port == target.port) && self.host.matches(target)
    }
}

/// Matches in time linear in both for each `*`, so that a long name cannot make it slow.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_have_one_form() {
        let table = [
            ("Example.COM:443", "example.com:443"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("127.1:80", "127.0.0.1:80"),
            ("2130706433:80", "127.0.0.1:80"),
            ("0x7f000001:80", "127.0.0.1:80"),
            ("0x7f.1:80", "127.0.0.1:80"),
            ("0177.0.0.1:80", "127.0.0.1:80"),
            ("127.0.0.1.:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[0:0::0001]:80", "[::1]:80"),
            ("[::ffff:127.0.0.1]:80", "[::ffff:7f00:1]:80"),
            ("user:secret@example.com:80", "example.com:80"),
            ("host.example", "host.example:80"),
        ];
        for (text, expected) in table {
            assert_eq!(
                Target::parse(text, Some(80))
                    .map(|target| target.to_string())
                    .as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in [
            "",
            ":80",
            "example.com:0",
            "example.com:65536",
            "example.com:-1",
            "example.com:+80",
            "a b:80",
            "%31%32%37.0.0.1:80",
            "[::1:80",
            "256.1.1.1:80",
        ] {
            assert!(Target::parse(text, Some(80)).is_err(), "{text}");
        }
        assert_eq!(Target::parse("example.com", None), Err("the port is missing"));
    }

    #[test]
    fn localhost_is_loopback_whatever_dns_says() {
        for text in ["localhost:1", "LOCALHOST.:1", "a.localhost:1", "127.0.0.1:1", "[::1]:1"] {
            let own = Target::parse(text, None).unwrap().own_addresses().expect(text);
            assert!(own.iter().all(IpAddr::is_loopback), "{text}");
        }
        assert_eq!(
            Target::parse("localhost.example:1", None).unwrap().own_addresses(),
            None
        );
    }

    #[test]
    fn patterns_match_hosts() {
        let table = [
            ("*.test", "a.test:1", true),
            ("*.test", "a.b.test:1", true),
            ("*.test", "A.test.:1", true),
            ("*.test", "test:1", false),
            ("*.test", "a.test.example:1", false),
            ("shop.test", "shop.test:1", true),
            ("shop.test", "xshop.test:1", false),
            ("*", "anything:1", true),
            ("a*b*c", "abc:1", true),
            ("a*b*c", "axxbyyc:1", true),
            ("a*b*c", "acb:1", false),
            ("10.20.*", "10.20.3.4:1", true),
            ("10.20.*", "10.21.3.4:1", false),
            ("[fd00::1]", "[fd00::1]:1", true),
            ("fd00::*", "[fd00::2]:1", true),
            ("", "a:1", false),
        ];
        for (pattern, target, expected) in table {
            let target = Target::parse(target, None).unwrap();
            assert_eq!(
                HostPattern::new(pattern).matches(&target),
                expected,
                "{pattern} {target}"
            );
        }
    }

    #[test]
    fn mappings_are_read() {
        let table = [
            ("*.test:443", "a.test:443", true),
            ("*.test:443", "a.test:80", false),
            ("*.test:*", "a.test:80", true),
            ("*.test", "a.test:80", true),
            ("[fd00::1]:443", "[fd00::1]:443", true),
            ("fd00::1", "[fd00::1]:443", true),
        ];
        for (pattern, target, expected) in table {
            let mapping = Mapping::parse(pattern, "127.0.0.1:8443").unwrap();
            assert_eq!(
                mapping.matches(&Target::parse(target, None).unwrap()),
                expected,
                "{pattern} {target}"
            );
        }
        for (pattern, to) in [
            ("*.test:x", "127.0.0.1:1"),
            (":443", "127.0.0.1:1"),
            ("a:1", "127.0.0.1"),
            ("a:1", ""),
        ] {
            assert!(Mapping::parse(pattern, to).is_err(), "{pattern} {to}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            if let Ok(target) = Target::parse(&text, Some(80)) {
                prop_assert_eq!(Target::parse(&target.to_string(), None), Ok(target));
            }
        }

        #[test]
        fn a_glob_agrees_with_a_regular_expression(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            let regex = regex::Regex::new(&format!("^{}$", pattern.replace('*', ".*"))).unwrap();
            prop_assert_eq!(glob(&pattern, &text), regex.is_match(&text));
        }
    }
}
