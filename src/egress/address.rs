//! Which addresses are public. Pure.
//!
//! The ranges are those of the IANA special-purpose address registries (RFC 6890 and its successors) that are not
//! globally reachable, with multicast and the reserved remainder.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Cidr;

/// What a range of IPv4 is for: its first address, the length of its prefix, its name.
const V4: &[([u8; 4], u8, &str)] = &[
    ([0, 0, 0, 0], 8, "an unspecified address"),
    ([10, 0, 0, 0], 8, "a private address"),
    ([100, 64, 0, 0], 10, "a carrier's shared address"),
    ([127, 0, 0, 0], 8, "a loopback address"),
    ([169, 254, 0, 0], 16, "a link-local address"),
    ([172, 16, 0, 0], 12, "a private address"),
    ([192, 0, 0, 0], 24, "a protocol assignment"),
    ([192, 0, 2, 0], 24, "a documentation address"),
    ([192, 88, 99, 0], 24, "a 6to4 relay"),
    ([192, 168, 0, 0], 16, "a private address"),
    ([198, 18, 0, 0], 15, "a benchmark address"),
    ([198, 51, 100, 0], 24, "a documentation address"),
    ([203, 0, 113, 0], 24, "a documentation address"),
    ([224, 0, 0, 0], 4, "a multicast address"),
    ([255, 255, 255, 255], 32, "the broadcast address"),
    ([240, 0, 0, 0], 4, "a reserved address"),
];

/// The same of IPv6. What is in none of them and outside `2000::/3` is reserved.
const V6: &[(Ipv6Addr, u8, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "an unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4-compatible address"),
    (v6(0x0064, 0xff9b, 1), 48, "a local translation address"),
    (v6(0x2001, 2, 0), 48, "a benchmark address"),
    (v6(0x2001, 0x10, 0), 28, "an ORCHID"),
    (v6(0x2001, 0x20, 0), 28, "an ORCHID"),
    (v6(0x2001, 0xdb8, 0), 32, "a documentation address"),
    (v6(0x3fff, 0, 0), 20, "a documentation address"),
    (v6(0xfc00, 0, 0), 7, "a unique local address"),
    (v6(0xfe80, 0, 0), 10, "a link-local address"),
    (v6(0xfec0, 0, 0), 10, "a site-local address"),
    (v6(0xff00, 0, 0), 8, "a multicast address"),
];

/// Where clouds hand out the credentials of a machine: Amazon, Google, Azure and others share the first; then
/// Amazon's containers, Azure's host, Alibaba, Oracle, Amazon and Google over IPv6.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

/// Says whether an address may be dialled: it is public, or one of `allowed` holds it. An address that carries
/// another inside (NAT64, 6to4, Teredo, ISATAP) must pass with both. A metadata service must be listed by itself,
/// with a full prefix.
///
/// Returns what is wrong with it, to be read after "its address is".
pub(super) fn check(address: IpAddr, allowed: &[Cidr]) -> Result<(), &'static str> {
    let address = address.to_canonical();
    let carried = carried(address);
    for one in carried.iter().map(|v4| IpAddr::V4(*v4)).chain([address]) {
        if METADATA.contains(&one) && !allowed.iter().any(|network| is_exactly(network, one)) {
            return Err("a cloud's metadata service");
        }
    }
    if allowed.iter().any(|network| contains(network, address)) {
        return Ok(());
    }
    if let Some(range) = range(address) {
        return Err(range);
    }
    carried.into_iter().try_for_each(|v4| check(IpAddr::V4(v4), allowed))
}

fn is_exactly(network: &Cidr, address: IpAddr) -> bool {
    network.address.to_canonical() == address && network.prefix == if network.address.is_ipv4() { 32 } else { 128 }
}

fn range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => V4
            .iter()
            .find(|(first, prefix, _)| same_prefix(u32::from_be_bytes(*first).into(), v4.to_bits().into(), *prefix, 32))
            .map(|(_, _, name)| *name),
        IpAddr::V6(v6) => V6
            .iter()
            .find(|(first, prefix, _)| same_prefix(first.to_bits(), v6.to_bits(), *prefix, 128))
            .map(|(_, _, name)| *name)
            .or_else(|| {
                let global = v6.segments()[0] & 0xe000 == 0x2000 || is_nat64(v6);
                (!global).then_some("a reserved address")
            }),
    }
}

/// Whether a network holds an address; an IPv4-mapped one counts as the IPv4 address that it is.
fn contains(network: &Cidr, address: IpAddr) -> bool {
    match (network.address, address) {
        (IpAddr::V4(first), IpAddr::V4(v4)) => {
            same_prefix(first.to_bits().into(), v4.to_bits().into(), network.prefix, 32)
        }
        (IpAddr::V6(first), IpAddr::V6(v6)) => same_prefix(first.to_bits(), v6.to_bits(), network.prefix, 128),
        _ => false,
    }
}

/// Compares the first `prefix` bits of two numbers of `width` bits.
fn same_prefix(a: u128, b: u128, prefix: u8, width: u8) -> bool {
    let rest = u32::from(width.saturating_sub(prefix));
    // A shift by the whole width leaves nothing to differ.
    (a ^ b).checked_shr(rest).unwrap_or(0) == 0
}

fn is_nat64(v6: Ipv6Addr) -> bool {
    v6.segments()[..6] == [0x0064, 0xff9b, 0, 0, 0, 0]
}

/// The IPv4 addresses to which a gateway or tunnel would pass what is sent to this one.
fn carried(address: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return Vec::new() };
    let s = v6.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let mut found = Vec::new();
    if is_nat64(v6) {
        found.push(join(s[6], s[7]));
    }
    if s[0] == 0x2002 {
        found.push(join(s[1], s[2]));
    }
    if s[..2] == [0x2001, 0] {
        found.push(join(s[2], s[3]));
        // Teredo keeps the client's address with every bit turned over.
        found.push(join(!s[6], !s[7]));
    }
    if matches!(s[4], 0 | 0x200) && s[5] == 0x5efe {
        found.push(join(s[6], s[7]));
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        let (address, prefix) = text.split_once('/').unwrap();
        Cidr {
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
        }
    }

    #[test]
    fn addresses_that_are_not_public_are_refused() {
        let table = [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("10.255.255.255", "private"),
            ("100.64.0.1", "shared"),
            ("100.127.255.255", "shared"),
            ("100.100.100.200", "metadata"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("168.63.129.16", "metadata"),
            ("169.254.0.1", "link-local"),
            ("169.254.169.254", "metadata"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.8", "assignment"),
            ("192.0.2.1", "documentation"),
            ("192.88.99.1", "6to4"),
            ("192.168.0.1", "private"),
            ("198.18.0.1", "benchmark"),
            ("198.19.255.255", "benchmark"),
            ("198.51.100.7", "documentation"),
            ("203.0.113.7", "documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::7f00:1", "compatible"),
            ("::8.8.8.8", "compatible"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:10.0.0.1", "private"),
            ("::ffff:169.254.169.254", "metadata"),
            ("::ffff:0:127.0.0.1", "reserved"),
            ("64:ff9b::127.0.0.1", "loopback"),
            ("64:ff9b::a9fe:a9fe", "metadata"),
            ("64:ff9b:1::1", "translation"),
            ("100::1", "reserved"),
            ("2001:0:0a00:0001::", "private"),
            ("2001:0:808:808::f5ff:fffe", "private"),
            ("2001:2::1", "benchmark"),
            ("2001:10::1", "ORCHID"),
            ("2001:2f:ffff::1", "ORCHID"),
            ("2001:db8::1", "documentation"),
            ("2002:7f00:1::", "loopback"),
            ("2002:c0a8:101::1", "private"),
            ("2606:4700::5efe:10.0.0.1", "private"),
            ("3fff:fff::1", "documentation"),
            ("4000::1", "reserved"),
            ("5f00::1", "reserved"),
            ("fc00::1", "unique local"),
            ("fd00:ec2::254", "metadata"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ];
        for (address, why) in table {
            let refused = check(address.parse().unwrap(), &[]).expect_err(address);
            assert!(refused.contains(why), "{address}: {refused}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        let table = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:0:808:808::f7f7:f7f7",
            "2001:db7:ffff::1",
            "3ffe::1",
        ];
        for address in table {
            assert_eq!(check(address.parse().unwrap(), &[]), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_passes_and_nothing_beside_it() {
        let allowed = [
            cidr("10.20.0.0/16"),
            cidr("169.254.0.0/16"),
            cidr("fd00::/8"),
            cidr("64:ff9b::/96"),
        ];
        let table = [
            ("10.20.0.1", true),
            ("::ffff:10.20.0.1", true),
            ("64:ff9b::10.20.0.1", true),
            ("10.21.0.1", false),
            ("169.254.1.1", true),
            ("169.254.169.254", false),
            ("64:ff9b::169.254.169.254", false),
            ("fd00::1", true),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
        ];
        for (address, passes) in table {
            assert_eq!(check(address.parse().unwrap(), &allowed).is_ok(), passes, "{address}");
        }
    }

    #[test]
    fn a_metadata_service_must_be_listed_by_itself() {
        let address = "169.254.169.254".parse().unwrap();
        assert!(check(address, &[cidr("0.0.0.0/0")]).is_err());
        assert!(check(address, &[cidr("169.254.169.254/31")]).is_err());
        assert!(check(address, &[cidr("169.254.169.254/32")]).is_ok());
    }

    #[test]
    fn the_empty_prefix_holds_every_address() {
        assert!(check("10.0.0.1".parse().unwrap(), &[cidr("0.0.0.0/0")]).is_ok());
        assert!(check("fe80::1".parse().unwrap(), &[cidr("::/0")]).is_ok());
    }

    proptest! {
        #[test]
        fn a_mapped_address_is_treated_as_the_one_it_is(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(check(IpAddr::V4(v4), &[]), check(IpAddr::V6(v4.to_ipv6_mapped()), &[]));
        }

        #[test]
        fn the_standard_library_agrees_on_what_is_not_public(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_documentation() {
                prop_assert!(check(IpAddr::V4(v4), &[]).is_err());
            }
        }

        #[test]
        fn every_ipv6_address_is_decided(bits: u128) {
            let v6 = Ipv6Addr::from_bits(bits);
            if v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast() || v6.is_loopback() {
                prop_assert!(check(IpAddr::V6(v6), &[]).is_err());
            }
        }
    }
}
