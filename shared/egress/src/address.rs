//! The addresses that webhooks can reach: public unicast only.
//!
//! The excluded ranges are those of the *IANA IPv4* and *IPv6 Special-Purpose Address Registries* (RFC 6890, RFC 8190; IPv6 of 2025-10-09),
//! multicast, and ranges that were returned to IANA. Ranges that the registries mark as globally reachable are excluded too, because no
//! customer has a receiver there. An address that embeds an IPv4 address is treated like that IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::NameRefused;

/// Ranges of the IPv4 special-purpose registry, multicast and the former class E, as network and prefix length.
const IPV4: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::UNSPECIFIED, 8),           // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by carriers
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, instance and container metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // IETF protocols
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 31, 196, 0), 24), // AS112
    (Ipv4Addr::new(192, 52, 193, 0), 24), // AMT
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(192, 175, 48, 0), 24), // AS112
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarking
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 3),     // multicast, reserved, broadcast
];

/// Ranges of the IPv6 special-purpose registry inside `2000::/3`, the only space for public unicast.
const IPV6: [(Ipv6Addr, u32); 6] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // IETF protocols, Teredo among them
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: deprecated, and embeds any IPv4 address
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48), // AS112
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16), // the former 6bone
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Checks the addresses of a name. One address that is not public rejects the name: connections try all addresses in turn, so the owner of
/// the name could choose that address.
pub(crate) fn vet(addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NameRefused> {
    if addresses.is_empty() {
        return Err(NameRefused::Unknown);
    }
    if addresses.iter().all(|address| is_public(address.ip())) {
        Ok(addresses)
    } else {
        Err(NameRefused::NotPublic)
    }
}

/// Returns whether webhooks can reach this address.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped().or_else(|| nat64(v6)) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6) && isatap(v6).is_none_or(is_public_v4),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !IPV4.iter().any(|(network, bits)| (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let within = |network: Ipv6Addr, bits: u32| (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0;
    within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
        && !IPV6.iter().any(|(network, bits)| within(*network, *bits))
}

/// Returns the IPv4 address in a well-known NAT64 address (RFC 6052), which resolvers of networks without IPv4 return.
fn nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let prefix = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).to_bits();
    let bits = address.to_bits();
    let [.., high, low] = address.segments();
    (bits >> 32 == prefix >> 32).then(|| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Returns the IPv4 address that an ISATAP address (RFC 5214, section 6.1) tunnels to, with any prefix.
fn isatap(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [.., 0 | 0x200, 0x5efe, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_private_address_among_public_ones_rejects_the_name() {
        let addresses = |texts: &[&str]| -> Vec<_> {
            texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
        };
        assert!(vet(addresses(&["1.1.1.1", "2606:4700::1111"])).is_ok());
        assert_eq!(vet(addresses(&["1.1.1.1", "10.0.0.1"])), Err(NameRefused::NotPublic));
        assert_eq!(vet(addresses(&["::1"])), Err(NameRefused::NotPublic));
        assert_eq!(vet(Vec::new()), Err(NameRefused::Unknown));
    }

    /// Every row of both registries, and further excluded ranges: network, prefix, name. Independent of the table above, so that a missing
    /// row is detected.
    const REFUSED: [(&str, u32, &str); 63] = [
        // IANA IPv4 Special-Purpose Address Registry
        ("0.0.0.0", 8, "This network"),
        ("0.0.0.0", 32, "This host on this network"),
        ("10.0.0.0", 8, "Private-Use"),
        ("100.64.0.0", 10, "Shared Address Space"),
        ("127.0.0.0", 8, "Loopback"),
        ("169.254.0.0", 16, "Link Local"),
        ("172.16.0.0", 12, "Private-Use"),
        ("192.0.0.0", 24, "IETF Protocol Assignments"),
        ("192.0.0.0", 29, "IPv4 Service Continuity Prefix"),
        ("192.0.0.8", 32, "IPv4 dummy address"),
        ("192.0.0.9", 32, "Port Control Protocol Anycast"),
        ("192.0.0.10", 32, "TURN Anycast"),
        ("192.0.0.170", 32, "NAT64/DNS64 Discovery"),
        ("192.0.0.171", 32, "NAT64/DNS64 Discovery"),
        ("192.0.2.0", 24, "Documentation (TEST-NET-1)"),
        ("192.31.196.0", 24, "AS112-v4"),
        ("192.52.193.0", 24, "AMT"),
        ("192.88.99.0", 24, "Deprecated (6to4 Relay Anycast)"),
        ("192.88.99.2", 32, "6a44-relay anycast address"),
        ("192.168.0.0", 16, "Private-Use"),
        ("192.175.48.0", 24, "Direct Delegation AS112 Service"),
        ("198.18.0.0", 15, "Benchmarking"),
        ("198.51.100.0", 24, "Documentation (TEST-NET-2)"),
        ("203.0.113.0", 24, "Documentation (TEST-NET-3)"),
        ("240.0.0.0", 4, "Reserved"),
        ("255.255.255.255", 32, "Limited Broadcast"),
        // IPv4 beyond the registry
        ("224.0.0.0", 4, "Multicast (RFC 5771)"),
        ("169.254.169.254", 32, "instance metadata"),
        ("169.254.170.2", 32, "container credentials"),
        ("169.254.170.23", 32, "pod credentials"),
        // IANA IPv6 Special-Purpose Address Registry; without ::ffff:0:0/96 and 64:ff9b::/96, which embed an IPv4 address
        ("::1", 128, "Loopback Address"),
        ("::", 128, "Unspecified Address"),
        ("64:ff9b:1::", 48, "IPv4-IPv6 Translat."),
        ("100::", 64, "Discard-Only Address Block"),
        ("100:0:0:1::", 64, "Dummy IPv6 Prefix"),
        ("2001::", 23, "IETF Protocol Assignments"),
        ("2001::", 32, "TEREDO"),
        ("2001:1::1", 128, "Port Control Protocol Anycast"),
        ("2001:1::2", 128, "TURN Anycast"),
        ("2001:1::3", 128, "DNS-SD Service Registration Protocol Anycast"),
        ("2001:2::", 48, "Benchmarking"),
        ("2001:3::", 32, "AMT"),
        ("2001:4:112::", 48, "AS112-v6"),
        ("2001:10::", 28, "Deprecated (previously ORCHID)"),
        ("2001:20::", 28, "ORCHIDv2"),
        ("2001:30::", 28, "Drone Remote ID Protocol Entity Tags"),
        ("2001:db8::", 32, "Documentation"),
        ("2002::", 16, "6to4"),
        ("2620:4f:8000::", 48, "Direct Delegation AS112 Service"),
        ("3fff::", 20, "Documentation"),
        ("5f00::", 16, "Segment Routing (SRv6) SIDs"),
        ("fc00::", 7, "Unique-Local"),
        ("fe80::", 10, "Link-Local Unicast"),
        // IPv6 beyond the registry: not global unicast (RFC 4291), and returned ranges
        ("::", 96, "IPv4-compatible (RFC 4291, section 2.5.5.1)"),
        ("::ffff:0:0:0", 96, "IPv4-translated (RFC 2765)"),
        ("200::", 7, "formerly OSI NSAP (RFC 4048)"),
        ("3ffe::", 16, "formerly 6bone (RFC 3701)"),
        ("4000::", 2, "not assigned"),
        ("8000::", 2, "not assigned"),
        ("fd00:ec2::254", 128, "instance metadata"),
        ("fd00:ec2::23", 128, "pod credentials"),
        ("fec0::", 10, "formerly site-local (RFC 3879)"),
        ("ff00::", 8, "Multicast"),
    ];

    /// Returns the first and last address of a range, as numbers, and whether they are IPv6 addresses.
    fn range((network, prefix, _): (&str, u32, &str)) -> (u128, u128, bool) {
        match network.parse().unwrap() {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
                (v4.to_bits().into(), (v4.to_bits() | host).into(), false)
            }
            IpAddr::V6(v6) => (v6.to_bits(), v6.to_bits() | u128::MAX.checked_shr(prefix).unwrap_or(0), true),
        }
    }

    fn address(bits: u128, v6: bool) -> IpAddr {
        if v6 {
            Ipv6Addr::from_bits(bits).into()
        } else {
            Ipv4Addr::from_bits(u32::try_from(bits).unwrap()).into()
        }
    }

    /// Returns whether the test's table excludes an address. Does not consider embedded addresses.
    fn in_the_table(address: IpAddr) -> bool {
        let (bits, v6) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), false),
            IpAddr::V6(v6) => (v6.to_bits(), true),
        };
        REFUSED.into_iter().map(range).any(|(first, last, of)| of == v6 && (first..=last).contains(&bits))
    }

    /// Returns the IPv6 addresses that embed this IPv4 address.
    fn embeddings(v4: Ipv4Addr, prefix: u64) -> [Ipv6Addr; 11] {
        let inner = u128::from(v4.to_bits());
        let high = |segments: [u16; 8]| Ipv6Addr::from(segments).to_bits();
        let local_nat64 = high([0x64, 0xff9b, 1, 0, 0, 0, 0, 0]);
        let any_prefix = u128::from(prefix) << 64;
        [
            high([0, 0, 0, 0, 0, 0xffff, 0, 0]) | inner,    // mapped
            inner,                                          // compatible
            high([0, 0, 0, 0, 0xffff, 0, 0, 0]) | inner,    // translated
            high([0x64, 0xff9b, 0, 0, 0, 0, 0, 0]) | inner, // NAT64, well known
            local_nat64 | inner,                            // NAT64, local use, /96
            local_nat64 | (inner >> 16) << 64 | (inner & 0xffff) << 40, // NAT64, local use, /48
            high([0x2002, 0, 0, 0, 0, 0, 0, 0]) | inner << 80 | any_prefix >> 48 << 48 & 0xffff << 64, // 6to4, any subnet
            high([0x2001, 0, 0, 0, 0, 0, 0, 0]) | inner << 64, // Teredo, as server
            high([0x2001, 0, 0, 0, 0, 0, 0, 0]) | (!inner & 0xffff_ffff), // Teredo, as client
            any_prefix | 0x5efe << 32 | inner,                 // ISATAP, private
            any_prefix | 0x0200_5efe << 32 | inner,            // ISATAP, universal
        ]
        .map(Ipv6Addr::from_bits)
    }

    #[test]
    fn every_registry_row_is_excluded_up_to_its_bounds() {
        for row in REFUSED {
            let (first, last, v6) = range(row);
            let middle = first + (last - first) / 2;
            for bits in [first, middle, last] {
                assert!(!is_public(address(bits, v6)), "{} of {row:?}", address(bits, v6));
            }
            let highest = if v6 { u128::MAX } else { u128::from(u32::MAX) };
            for bits in [first.checked_sub(1), last.checked_add(1)]
                .into_iter()
                .flatten()
                .filter(|bits| *bits <= highest)
            {
                let beside = address(bits, v6);
                // The addresses between `::/96` and `::ffff:0:0:0/96` are reserved or mapped.
                let reserved = v6 && bits >> 125 != 1;
                assert_eq!(is_public(beside), !in_the_table(beside) && !reserved, "{beside}, beside {row:?}");
            }
        }
    }

    #[test]
    fn ipv6_forms_of_excluded_ipv4_addresses_are_excluded() {
        for row in REFUSED {
            let (first, last, v6) = range(row);
            for bits in [first, first + (last - first) / 2, last].into_iter().filter(|_| !v6) {
                let v4 = Ipv4Addr::from_bits(u32::try_from(bits).unwrap());
                for embedded in embeddings(v4, 0x2606_4700_0000_0000) {
                    assert!(!is_public(embedded.into()), "{embedded} embeds {v4}");
                }
            }
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
            "2606:4700::5efe:808:808",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn no_address_of_an_excluded_row_is_allowed(row in proptest::sample::select(&REFUSED[..]), at: u128) {
            let (first, last, v6) = range(row);
            // No row is `::/0`, so the size fits.
            let inside = address(first + at % (last - first + 1), v6);
            prop_assert!(!is_public(inside), "{} of {:?}", inside, row);
        }

        #[test]
        fn no_ipv6_form_of_an_excluded_ipv4_address_is_allowed(row in proptest::sample::select(&REFUSED[..30]), at: u32, prefix: u64) {
            let (first, last, v6) = range(row);
            prop_assert!(!v6);
            let v4 = Ipv4Addr::from_bits(u32::try_from(first + u128::from(at) % (last - first + 1)).unwrap());
            for embedded in embeddings(v4, prefix) {
                prop_assert!(!is_public(embedded.into()), "{} embeds {}", embedded, v4);
            }
        }

        #[test]
        fn other_ipv4_addresses_are_allowed_bare_mapped_and_in_nat64(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let expected = !in_the_table(v4.into());
            prop_assert_eq!(is_public(v4.into()), expected);
            let [mapped, .., _] = embeddings(v4, 0);
            prop_assert_eq!(is_public(mapped.into()), expected);
            prop_assert_eq!(is_public(embeddings(v4, 0)[3].into()), expected);
        }

        #[test]
        fn other_global_unicast_ipv6_addresses_are_allowed(bits: u128) {
            let v6 = Ipv6Addr::from_bits(bits >> 3 | 1 << 125);
            prop_assume!(!matches!(v6.segments(), [.., 0 | 0x200, 0x5efe, _, _]));
            prop_assert_eq!(is_public(v6.into()), !in_the_table(v6.into()));
        }
    }
}
