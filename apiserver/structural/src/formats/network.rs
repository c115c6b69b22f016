//! Formats of addresses. Upstream keeps accepting leading zeros in IPv4 octets, as decimal.

use std::net::Ipv6Addr;

fn is_dotted_quad(text: &str) -> bool {
    let mut octets = 0;
    text.split('.').all(|octet| {
        octets += 1;
        let digits = octet.trim_start_matches('0');
        !octet.is_empty()
            && octet.bytes().all(|b| b.is_ascii_digit())
            && (digits.is_empty() || digits.parse::<u8>().is_ok())
    }) && octets == 4
}

fn is_v6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// Upstream asks for an address with a dot, which an IPv4-mapped IPv6 address has.
pub(super) fn is_ipv4(text: &str) -> bool {
    is_dotted_quad(text) || (text.contains('.') && is_v6(text))
}

pub(super) fn is_ipv6(text: &str) -> bool {
    is_v6(text)
}

pub(super) fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = if is_dotted_quad(address) {
        32
    } else if is_v6(address) {
        128
    } else {
        return false;
    };
    !length.is_empty()
        && length.bytes().all(|b| b.is_ascii_digit())
        && length.parse::<u32>().is_ok_and(|length| length <= most)
}

/// 6, 8 or 20 octets by colons or hyphens, or in groups of two by dots.
pub(super) fn is_mac(text: &str) -> bool {
    let grouped = |separator: char, digits: usize, counts: &[usize]| {
        let groups = text.split(separator);
        counts.contains(&groups.clone().count())
            && groups
                .into_iter()
                .all(|group| group.len() == digits && group.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    grouped(':', 2, &[6, 8, 20]) || grouped('-', 2, &[6, 8, 20]) || grouped('.', 4, &[3, 4, 10])
}
