//! IP addresses and blocks of them.
//!
//! One thing differs from Event Ruler on purpose: Ruler compares an IPv6 address with an IPv4 block by its first 32
//! bits, so that `32.1.0.0/16` would accept `2001:db8::1`. Here an address only matches a block of its own family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses, first and last included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    first: IpAddr,
    last: IpAddr,
}

impl Network {
    /// The block that holds only this address.
    pub(crate) fn single(address: IpAddr) -> Self {
        Self { first: address, last: address }
    }

    /// Reads `address/bits`. The error says what is needed instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').ok_or("cidr needs an address, a slash and a number of bits")?;
        let address = parse_address(address).ok_or_else(|| format!("cidr needs an IP address, not `{address}`"))?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits.parse().ok().filter(|bits| *bits < width).ok_or_else(|| {
            format!(
                "cidr needs a number of bits from 0 to {} behind the slash; name a single address as it is",
                width - 1
            )
        })?;
        Ok(match address {
            IpAddr::V4(address) => {
                let free = u32::MAX >> bits;
                let base = address.to_bits();
                Self { first: Ipv4Addr::from_bits(base & !free).into(), last: Ipv4Addr::from_bits(base | free).into() }
            }
            IpAddr::V6(address) => {
                let free = u128::MAX >> bits;
                let base = address.to_bits();
                Self { first: Ipv6Addr::from_bits(base & !free).into(), last: Ipv6Addr::from_bits(base | free).into() }
            }
        })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }

    /// The address, if the block holds only one.
    pub(crate) fn as_single(&self) -> Option<IpAddr> {
        (self.first == self.last).then_some(self.first)
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.as_single() {
            Some(address) => address.fmt(f),
            None => write!(f, "{} to {}", self.first, self.last),
        }
    }
}

/// Reads an IPv4 or IPv6 address in digits; an IPv4 address mapped into IPv6 is that IPv4 address.
///
/// Zeros may lead each number of an IPv4 address (and mean nothing: it stays decimal).
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    let bytes = text.as_bytes();
    if !bytes.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')) {
        return None;
    }
    if bytes.contains(&b':') {
        if bytes.contains(&b'.') {
            return None;
        }
        return text.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical());
    }
    if bytes.len() > 15 {
        return None;
    }
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then_some(IpAddr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(block: &str, address: &str) -> bool {
        Network::parse(block).unwrap().contains(parse_address(address).unwrap())
    }

    #[test]
    fn a_block_reaches_from_its_first_to_its_last_address() {
        assert!(accepts("10.1.2.3/16", "10.1.0.0") && accepts("10.1.2.3/16", "10.1.255.255"));
        assert!(!accepts("10.1.2.3/16", "10.0.255.255") && !accepts("10.1.2.3/16", "10.2.0.0"));
        assert!(accepts("0.0.0.0/0", "255.255.255.255") && !accepts("0.0.0.0/0", "::1"));
        assert!(accepts("2001:db8::/32", "2001:db8:ffff::") && !accepts("2001:db8::/32", "2001:db9::"));
        assert!(!accepts("32.1.0.0/16", "2001:db8::1"));
    }

    #[test]
    fn bad_blocks_are_refused() {
        for text in
            ["10.0.0.0", "10.0.0.0/32", "10.0.0/8", "::/128", "host/8", "10.0.0.0/x", "10.0.0.0/-1", "1.2.3.256/8"]
        {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_has_many_writings() {
        assert_eq!(parse_address("010.0.0.07"), parse_address("10.0.0.7"));
        assert_eq!(parse_address("::ffff:a00:7"), parse_address("10.0.0.7"));
        assert_eq!(parse_address("2001:DB8:0:0::1"), parse_address("2001:db8::1"));
        for text in ["", "10.0.0", "10.0.0.0.0", "10.0.0.256", "::ffff:10.0.0.7", "1:2", "+1.2.3.4"] {
            assert_eq!(parse_address(text), None, "{text}");
        }
    }
}
